"""Images of a task that come from a file of JPEG images, or from all photographs but one."""

import numpy as np
import pytest
import torch
from archives import jpeg_arrays
from tolerances import ATOL

from freqsense import datasets, experiments, images

VARIABLE = "FREQSENSE_CIFAR10_JPEG"


@pytest.fixture
def jpeg_file(tmp_path, monkeypatch):
    path = tmp_path / "jpeg.npz"
    np.savez(path, **jpeg_arrays(12))
    monkeypatch.setenv(VARIABLE, str(path))
    return path


def pixels(task):
    """Images as they were before they were scaled."""
    return task.images * task.scale + task.mean[:, None, None]


def test_jpeg_images_are_those_of_the_file(jpeg_file):
    task = experiments.load_task("cifar10_jpeg", size=32, n_train=7, n_test=9)
    train, labels = datasets.read_cifar10_jpeg(jpeg_file, "train")
    test, _ = datasets.read_cifar10_jpeg(jpeg_file, "test")
    assert torch.allclose(pixels(task), train[:7], atol=ATOL[torch.float32])
    assert task.labels.tolist() == labels[:7].tolist() and task.n_outputs == 10
    assert task.test_images.shape == test.shape


def test_jpeg_images_are_decoded_once_a_process(jpeg_file):
    asked = {"size": 32, "n_train": 11, "n_test": 1}
    first = experiments.load_task("cifar10_jpeg", **asked)
    jpeg_file.unlink()
    again = experiments.load_task("cifar10_jpeg", **asked)
    assert torch.equal(first.images, again.images) and torch.equal(first.labels, again.labels)
    filtered = experiments.load_task("cifar10_jpeg", image_filter="high_pass:8", **asked)
    assert not torch.equal(first.images, filtered.images)
    assert torch.equal(first.images, experiments.load_task("cifar10_jpeg", **asked).images)


def test_jpeg_images_need_the_name_of_their_file(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(ValueError, match=f"variable {VARIABLE} must name a file .*, got none"):
        experiments.load_task("cifar10_jpeg", size=32, n_train=5, n_test=5)


def test_jpeg_images_have_one_size(jpeg_file):
    with pytest.raises(ValueError, match="size must be 32 for cifar10_jpeg, got 16"):
        experiments.load_task("cifar10_jpeg", size=16, n_train=5, n_test=5)


@pytest.mark.parametrize("left_out", [0, 5])
def test_one_photograph_can_be_left_out(left_out):
    names = [name for k, name in enumerate(images.PATCH_CLASSES) if k != left_out]
    task = experiments.load_task(f"photographs:{left_out}", size=8, n_train=70, n_test=14, seed=3)
    x, y = images.photo_patches("train", n_per_class=10, size=8, seed=3, classes=names)
    assert torch.allclose(pixels(task), x, atol=ATOL[torch.float32])
    assert torch.equal(task.labels, y) and task.n_outputs == len(names)
    assert task.labels.unique().tolist() == list(range(len(names)))
    assert len(task.test_images) == 14


def test_all_photographs_are_as_they_were():
    task = experiments.load_task("photographs", size=8, n_train=80, n_test=16)
    x, y = images.photo_patches("train", n_per_class=10, size=8)
    assert torch.allclose(pixels(task), x, atol=ATOL[torch.float32]) and torch.equal(task.labels, y)


@pytest.mark.parametrize("left_out", ["8", "-1", "0.5"])
def test_the_photograph_left_out_must_be_there(left_out):
    with pytest.raises(ValueError, match=f"position of one of them, 0 to 7, got {left_out}"):
        experiments.load_task(f"photographs:{left_out}", size=8, n_train=8, n_test=8)
