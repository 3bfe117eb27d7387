"""What the book's pages use of a notebook: live figures, sliders, numbers handed to the prose."""

from freqsense.notebook.explorers import EXPLORERS, Explorer, Slider, explorer

# The name ``glue`` ends as the function: importing the module of that name sets it first.
from freqsense.notebook.glue import glue
from freqsense.notebook.sliders import (
    MAX_FRAMES,
    STATIC_VARIABLE,
    FrameSlider,
    explore,
    frame_slider,
)

__all__ = [
    "EXPLORERS",
    "MAX_FRAMES",
    "STATIC_VARIABLE",
    "Explorer",
    "FrameSlider",
    "Slider",
    "explore",
    "explorer",
    "frame_slider",
    "glue",
]
