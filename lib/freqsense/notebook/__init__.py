"""What the book's pages use of a notebook: sliders over figures, numbers handed to the prose."""

# The name ``glue`` ends as the function: importing the module of that name sets it first.
from freqsense.notebook.glue import glue
from freqsense.notebook.sliders import (
    MAX_FRAMES,
    STATIC_VARIABLE,
    FrameSlider,
    explore,
    frame_slider,
)

__all__ = ["MAX_FRAMES", "STATIC_VARIABLE", "FrameSlider", "explore", "frame_slider", "glue"]
