"""The verdict: the same words on every page that gives it, and what its figure and table hold."""

import csv
import math
import re

import pytest
from recorded import RESULTS, table
from sources import BOOK, ROOT, read
from tolerances import SIGMAS

# One sentence for what makes networks follow, one for where they do not.
ANSWER = (
    "Weight decay and few images can each make sensitivity follow the power of the images; the "
    "start and the length of training set how steep it is.",
    "Networks trained on many images with little decay hardly respond to a change of that power, "
    "and linear ones undo it.",
)
PAGES = [
    BOOK / "index.md",
    BOOK / "experiments" / "verdict.md",
    BOOK / "experiments" / "limits.md",
    ROOT / "README.md",
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_gives_the_verdict_in_the_same_words(page):
    text = re.sub(r"\s+", " ", read(page))
    for sentence in ANSWER:
        assert sentence in text


def responses(**wanted):
    return [row for row in table("responses") if wanted.items() <= row.items()]


@pytest.mark.parametrize("images", ["photographs", "CIFAR-10"])
@pytest.mark.parametrize("network", ["linear_cnn-2", "conv_actually-2", "conv_actually-3-5x5"])
def test_few_images_follow_more_than_many_without_decay(images, network):
    rows = responses(images=images, network=network, size="16", weight_decay="0")
    track = sorted(rows, key=lambda row: int(row["n_images"]))
    assert len(track) >= 3
    values = [float(row["response"]) for row in track]
    assert values[0] > 0.2 and all(b < a + 0.05 for a, b in zip(values, values[1:], strict=False))
    assert values[-1] < (-0.4 if network == "linear_cnn-2" else 0.1)


def test_exact_minimisers_lie_between_the_limits_at_depth_one():
    """At depth 1 a slope is bounded by no theorem, yet on these images none leaves the range."""
    values = [float(row["response"]) for row in responses(network="exact-1")]
    assert len(values) > 20 and max(values) < 0.5 and min(values) > -0.5
    deep = [float(row["response"]) for row in responses(network="exact-2")]
    assert max(deep) > 1  # depth 2 switches frequencies off: no upper bound


def test_lines_of_the_figure_are_networks_of_the_table():
    with (RESULTS / "responses.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    shown = [row for row in rows if row["label"]]
    assert {row["images"] for row in shown} == {"photographs", "CIFAR-10", "ImageNet"}
    assert all(math.isfinite(float(row["response"])) for row in shown)
    assert {row["network"] for row in rows} - {row["network"] for row in shown} == {"exact-2"}


@pytest.mark.parametrize("network", ["lite0", "lite1", "lite2"])
def test_training_on_imagenet_turned_the_slope_by_less_than_following(network):
    (row,) = responses(images="ImageNet", network=network)
    turn, stderr = float(row["response"]), float(row["stderr"])
    assert turn > SIGMAS * stderr  # in the direction of following
    assert turn < 0.5 - SIGMAS * stderr  # and not all the way
    assert "no response" in row["label"]
