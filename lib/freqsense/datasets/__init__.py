"""Standard image data sets from their public homes, and folders of one's own pictures."""

from freqsense.datasets.cifar import CIFAR10_CLASSES, cifar10, read_cifar10, read_cifar10_jpeg
from freqsense.datasets.downloads import ARCHIVES, Archive, download
from freqsense.datasets.imagenet import IMAGENETTE_CLASSES, imagenette
from freqsense.datasets.pictures import ImageBatches, image_folder

__all__ = [
    "ARCHIVES",
    "CIFAR10_CLASSES",
    "IMAGENETTE_CLASSES",
    "Archive",
    "ImageBatches",
    "cifar10",
    "download",
    "image_folder",
    "imagenette",
    "read_cifar10",
    "read_cifar10_jpeg",
]
