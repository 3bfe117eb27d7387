"""Measure which spatial frequencies images hold, and which convolutional networks listen to."""

__version__ = "0.1.0"
