"""Convolutional networks of any width and image shape."""

from freqsense.models.linear import LinearCNN, linear_cnn
from freqsense.models.paper import (
    ACTIVATIONS,
    ConvNet,
    conv_actually,
    myrtle_cnn,
    resnet,
    vgg,
)
from freqsense.models.registry import ARCHITECTURES, build

__all__ = [
    "ACTIVATIONS",
    "ARCHITECTURES",
    "ConvNet",
    "LinearCNN",
    "build",
    "conv_actually",
    "linear_cnn",
    "myrtle_cnn",
    "resnet",
    "vgg",
]
