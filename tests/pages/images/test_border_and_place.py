"""Statements and the recorded table of the page "The border and the place"."""

import ast
import math
import os

import pytest
import recorded
import torch
from draws import all_shifts, noise
from tolerances import ATOL

from freqsense import fourier, spectra

TIGHT = ATOL[torch.float64]
SHAPES = [(6, 6), (5, 5), (4, 7)]


def stationary_on_the_plane(shape):
    """Patches of all shifts of one image three times as large: exact second moments."""
    return all_shifts(noise(1, 1, 3 * shape[0], 3 * shape[1]).cumsum(2))[
        ..., : shape[0], : shape[1]
    ]


@pytest.mark.parametrize("shape", SHAPES)
def test_prop_border(shape):
    x = stationary_on_the_plane(shape)
    sigma = spectra.frequency_covariance(x)[0]
    height, width = shape
    gamma = torch.zeros(height, width, height, width, dtype=torch.float64)
    for dy in range(-height + 1, height):
        for dx in range(-width + 1, width):
            first = x[:, 0, max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]
            second = x[:, 0, max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)]
            half = (first - second).square().mean() / 2
            for y in range(max(-dy, 0), height + min(-dy, 0)):
                for column in range(max(-dx, 0), width + min(-dx, 0)):
                    gamma[y + dy, column + dx, y, column] = half
    predicted = -fourier.fft2(fourier.ifft2(gamma).movedim((2, 3), (0, 1)))
    # Over q with the sign plus, over p with the sign minus: (ky', kx', ky, kx) to (D, D).
    predicted = predicted.flatten(0, 1).flatten(1).T
    scale = sigma.abs().max()
    assert torch.allclose(predicted[1:, 1:] / scale, sigma[1:, 1:] / scale, atol=TIGHT)
    off = sigma - torch.diag(sigma.diagonal())
    assert off.abs().max() > 0.05 * scale  # the border makes a difference


@pytest.fixture(scope="module")
def script():
    return recorded.script("measure_stationarity")


@pytest.fixture(scope="module")
def table():
    return {row["set"]: row for row in recorded.table("stationarity")}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_border_function_of_the_recorded_table(script, shape):
    border_alone = script["border_alone"]
    x = stationary_on_the_plane(shape)
    sigma = spectra.frequency_covariance(x)[0]
    assert torch.allclose(border_alone(x), sigma, atol=TIGHT * float(sigma.abs().max()))
    x = x * torch.linspace(0.3, 1, shape[0])[:, None]  # now the place matters
    sigma = spectra.frequency_covariance(x)[0]
    assert not torch.allclose(border_alone(x), sigma, atol=0.05 * float(sigma.abs().max()))


@pytest.mark.parametrize("shape", [(8, 8), (9, 9), (8, 12)])
def test_prop_window_coherence(shape):
    hann = torch.outer(*[torch.hann_window(side, dtype=torch.float64) for side in shape])
    # Every pixel lit alone, scaled to unit variance: white noise with exact second moments.
    n_pixels = math.prod(shape)
    white = math.sqrt(n_pixels) * torch.eye(n_pixels, dtype=torch.float64).reshape(-1, 1, *shape)
    for window in (hann, noise(*shape).abs()):
        sigma = spectra.frequency_covariance(white, window=window, center=False)[0]
        coherence = (sigma[0].abs().square() / (sigma[0, 0] * sigma.diagonal()).real).reshape(shape)
        squared = fourier.fft2(window.square()).abs().square()
        assert torch.allclose(coherence, squared / squared[0, 0], atol=TIGHT)
        if window is hann:
            assert abs(coherence[0, 1] - 4 / 9) < TIGHT
            assert abs(coherence[2, 0] - 1 / 36) < TIGHT
            assert coherence[0, 3:-2].abs().max() < TIGHT
    sigma = spectra.frequency_covariance(white, center=False)[0]  # no window, no coherence
    assert (sigma - torch.diag(sigma.diagonal())).abs().max() < TIGHT


def test_the_recorded_table_is_complete(script, table):
    names = ["patches of photographs", "CIFAR-10", "CIFAR-10, random windows"]
    classes = [f"CIFAR-10, {name}" for name in script["datasets"].CIFAR10_CLASSES]
    assert list(table) == names + classes
    total = sum(int(table[name]["images"]) for name in classes)
    assert total == int(table["CIFAR-10"]["images"])
    for row in table.values():
        assert tuple(row) == script["COLUMNS"]
        assert 0 < float(row["stderr"]) < 0.05
        assert 0 < float(row["border_alone"]) < 1 and 0 < float(row["off_diagonal"]) < 1


def test_the_recorded_photographs_are_measured_again(script, table):
    recorded = table["patches of photographs"]
    pooled = torch.cat(script["photograph_parts"]())
    assert int(recorded["images"]) == len(pooled) and int(recorded["size"]) == pooled.shape[-1]
    for key, value in script["measure_shares"](pooled).items():
        # Four decimals are recorded, and float32 patches may differ in the last bit.
        assert abs(value - float(recorded[key])) < 2e-3


@recorded.needs_cifar10
def test_the_recorded_cifar10_is_measured_again(script, table):
    for name, parts in script["cifar10_parts"](os.environ[recorded.CIFAR10]).items():
        pooled = torch.cat(parts)
        if len(pooled) != int(table[name]["images"]):
            pytest.skip("the table was made from another part of the records")
        for key, value in script["measure_shares"](pooled).items():
            assert abs(value - float(table[name][key])) < 2e-3


def test_the_page_shows_the_function_that_made_the_table(repository):
    page = (repository / "book/images/border-and-place.md").read_text(encoding="utf-8")
    made = (recorded.RESULTS / "measure_stationarity.py").read_text(encoding="utf-8")
    start = page.index("def border_alone(")
    shown = ast.parse(page[start : page.index("return sigma", start) + len("return sigma")])
    shipped = {node.name: node for node in ast.parse(made).body if hasattr(node, "name")}
    assert body(shown.body[0]) == body(shipped["border_alone"])


def body(function):
    return [ast.dump(statement) for statement in function.body]
