"""Measure our network on given images: ``python measure.py images.npy measured.csv``.

``images.npy`` holds 64 colour images, (64, 3, 32, 32), with values from 0 to 1. What is written has
a line for each ring: its frequency in cycles/image, and the sensitivity there. Nothing is written
unless the numbers pass the checks below. ``--scale 2`` multiplies the outputs of the network by 2.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from torch import nn

from freqsense import fourier
from freqsense.sensitivity import measure_sensitivity


def own_network():
    """Return our network, ready to be measured: put yours here, and load its weights."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 5, padding=2), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    ).eval()  # fmt: skip


def prepared(images):
    """Return images, (N, 3, 32, 32) from 0 to 1, as our network wants them."""
    return (images - 0.5) / 0.25


def measure(network, images):
    """Return the sensitivity of each ring, (R,): a root of a mean of squares."""
    found = measure_sensitivity(lambda x: network(prepared(x)), images)
    power = found.values.square().sum(0)  # over the colours, (H, W)
    return fourier.radial_average(power).mean.sqrt()


def check(network, images, measured):
    """Raise unless the numbers are what sensitivities can be."""
    if not torch.isfinite(measured).all() or measured.min() < 0 or measured.max() == 0:
        raise SystemExit("sensitivities are finite and positive, and not all of them zero")
    doubled = measure(lambda x: 2 * network(x), images)
    if not torch.allclose(doubled, 2 * measured, rtol=1e-3):
        raise SystemExit("with the logits doubled the sensitivity must double")
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    if not torch.allclose(measure(network, images[order]), measured, rtol=1e-3):
        raise SystemExit("the order of the images must not matter")
    halves = [measure(network, half).square() for half in images.chunk(2)]
    if not torch.allclose(sum(halves) / 2, measured.square(), rtol=1e-2):
        raise SystemExit("the squares are not a mean over images: does an image see the others?")


def main():
    """Read the images, measure, check, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("measured", type=Path)
    parser.add_argument("--scale", type=float, default=1.0)
    told = parser.parse_args()
    images = torch.from_numpy(np.load(told.images, allow_pickle=False)).float()
    plain = own_network()

    def network(x):
        return told.scale * plain(x)

    measured = measure(network, images)
    check(network, images, measured)
    with told.measured.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["cycles_per_image", "sensitivity"])
        writer.writerows(enumerate(measured.tolist()))


if __name__ == "__main__":
    main()
