"""The former name of freqsense.notebook."""

from freqsense.notebook import MAX_FRAMES, STATIC_VARIABLE, FrameSlider, explore, frame_slider

__all__ = ["MAX_FRAMES", "STATIC_VARIABLE", "FrameSlider", "explore", "frame_slider"]
