"""The program of the capstone: it measures a network of the students' own on images that are drawn.

Nobody knows that network, so what is judged are properties that every sensitivity has.
"""

import csv
import math
from collections.abc import Mapping

import numpy as np
import torch
from grader.program import Given, Program
from torch import Generator

from freqsense.exercises import Verdict

HEAD = ["cycles_per_image", "sensitivity"]
RINGS = 17
RTOL = 0.01  # of the largest number: measuring by random signs is allowed
SCALE = 2


def draw_runs(generator: Generator) -> dict[str, Given]:
    """Draw 64 images from 0 to 1 that are smooth and rough in parts, and others."""
    images, others = (draw_images(generator) for _ in range(2))
    order = torch.randperm(len(images), generator=generator).numpy()
    return {
        "plain": Given(images),
        "permuted": Given(images[order]),
        "twice": Given(np.concatenate([images, images])),
        "scaled": Given(images, ("--scale", str(SCALE))),
        "others": Given(others),
    }


def draw_images(generator: Generator) -> np.ndarray:
    """Draw images (64, 3, 32, 32), each a random walk along both sides, from 0 to 1."""
    walks = torch.randn(64, 3, 32, 32, generator=generator, dtype=torch.float64)
    walks = walks.cumsum(-1).cumsum(-2)
    low, high = walks.amin((-3, -2, -1), True), walks.amax((-3, -2, -1), True)
    return ((walks - low) / (high - low)).numpy()


def read_measured(text: str) -> np.ndarray:
    """Read what a program has written; raise ValueError, in words, if it is not the table."""
    head, *rows = list(csv.reader(text.splitlines())) or [[]]
    if head != HEAD:
        raise ValueError(f"the first line must be {','.join(HEAD)}")
    if [row[:1] for row in rows] != [[str(ring)] for ring in range(RINGS)]:
        raise ValueError(f"there must be one line for each ring from 0 to {RINGS - 1}, in order")
    if any(len(row) != 2 for row in rows):
        raise ValueError("each line must hold two values")
    try:
        found = np.array([float(row[1]) for row in rows])
    except ValueError:
        raise ValueError("a sensitivity is not a number") from None
    if not (np.isfinite(found).all() and (found >= 0).all() and found.any()):
        raise ValueError("sensitivities are finite and positive, and not all of them zero")
    return found


def judge_runs(found: Mapping[str, str], handed_out: Mapping[str, str]) -> Verdict:
    """Judge what the runs have written."""
    try:
        measured = {name: read_measured(text) for name, text in found.items()}
    except ValueError as error:
        return Verdict(False, f"What it wrote cannot be used: {error}.", "table")
    plain = measured["plain"]
    if same(plain, read_measured(handed_out["plain"])):
        message = "These are the numbers of the network that was handed out. Put yours in."
        return Verdict(False, message, "handed-out")
    for name, message in UNCHANGED.items():
        if not same(measured[name], plain):
            return Verdict(False, message, name)
    if not same(measured["scaled"], SCALE * plain):
        grown = float(np.median(measured["scaled"][plain > 0] / plain[plain > 0]))
        power = math.isclose(grown, SCALE**2, rel_tol=RTOL)
        return Verdict(False, SQUARE if power else SCALED, "square" if power else "scaled")
    return Verdict(True, LINEAR if same(measured["others"], plain) else "Right on all runs.")


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Tell whether two measurements agree."""
    return bool(np.allclose(one, other, rtol=0, atol=RTOL * max(one.max(), other.max())))


UNCHANGED = {
    "permuted": "The same images in another order gave other numbers. Does an image see the "
    "others, as in training mode, or is something drawn without a seed?",
    "twice": "The same images twice gave other numbers: a sensitivity is a mean over images.",
}
SQUARE = "With the logits doubled your numbers grow fourfold: write the root, not the square."
SCALED = "With the logits doubled (--scale 2) the sensitivity must double."
# A linear network's sensitivity is the same for all images; so is a table that was written down.
LINEAR = (
    "Right on all runs, and the same on other images: either the network is linear, or the "
    "numbers do not come from it. A person looks at that."
)

PROGRAMS = [Program("program", 4, "measure.py", draw_runs, judge_runs)]
