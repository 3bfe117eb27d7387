"""Images to measure: real photographs and their patches, Gaussian fields and dead leaves."""

from freqsense.images.patches import PATCH_CLASSES, held_out_region, photo_patches
from freqsense.images.photographs import (
    PHOTOGRAPHS,
    Photograph,
    cut_tiles,
    luminance,
    photographs,
    shrink,
)
from freqsense.images.synthetic import dead_leaves, gaussian_field

__all__ = [
    "PATCH_CLASSES",
    "PHOTOGRAPHS",
    "Photograph",
    "cut_tiles",
    "dead_leaves",
    "gaussian_field",
    "held_out_region",
    "luminance",
    "photo_patches",
    "photographs",
    "shrink",
]
