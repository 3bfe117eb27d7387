"""The former place of :mod:`freqsense.checkpoints`."""

from freqsense.checkpoints import (
    Network,
    is_checkpoint,
    make_network,
    needed_sides,
    read_file,
    write_checkpoint,
)

__all__ = [
    "Network",
    "is_checkpoint",
    "make_network",
    "needed_sides",
    "read_file",
    "write_checkpoint",
]
