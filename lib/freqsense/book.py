"""The former name of freqsense.notebook."""

from freqsense.notebook import glue

__all__ = ["glue"]
