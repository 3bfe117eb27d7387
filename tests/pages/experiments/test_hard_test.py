"""The page that keeps labels and changes images: the response and its two ends."""

import numpy as np
import pytest
import torch
import xarray
from draws import noise

from freqsense import experiments, filters, fourier, theory

DELTAS = (-0.5, 0.0, 1.0, 2.0)


def power_law_runs(deltas, exponent_of):
    """Slopes of power and of sensitivity when ring k has the power k^(2δ - 2)."""
    k = np.maximum(np.arange(9.0), 0.5)
    rings = {
        "power": [k ** (2 * d - 2) for d in deltas],
        "S": [k ** exponent_of(d) for d in deltas],
    }
    fit = {"size": 16, "fmin": 1, "fmax": 8}
    return [
        experiments.ring_slopes(xarray.DataArray(np.array(v), dims=("image_filter", "ring")), **fit)
        for v in (rings["S"], rings["power"])
    ]


@pytest.mark.parametrize(
    ("exponent_of", "expected"),
    [(lambda d: d - 1.7, 0.5), (lambda d: -0.3 - d, -0.5), (lambda _: -1.2, 0.0)],
    ids=["follows", "undoes", "does not care"],
)
def test_def_response(exponent_of, expected):
    slopes, powers = power_law_runs(DELTAS, exponent_of)
    assert float(experiments.response(slopes, powers)) == pytest.approx(expected, abs=1e-2)


def test_eq_response():
    x, y = (noise(5, seed=seed).numpy() for seed in (0, 1))
    told = experiments.response(
        *(xarray.DataArray(values, dims="image_filter") for values in (y, x))
    )
    assert float(told) == pytest.approx(np.polyfit(x, y, 1)[0], rel=1e-9)
    # The slope of x over y is another number.
    assert abs(float(told) - 1 / np.polyfit(y, x, 1)[0]) > 0.1


def test_many_images_undo_exactly_and_few_follow():
    gains = [fourier.radial_frequency((8, 8)).double().clamp(min=1) ** d for d in (0.0, 0.5)]
    responses = {}
    for n in (6, 3000):
        x = filters.recolor(noise(n, 1, 8, 8, seed=2), -0.75)
        y = noise(n, seed=3).sign()
        rings, power = [], []
        for gain in gains:
            z = fourier.ifft2(gain * fourier.fft2(x)).real
            B = theory.solve(z, y, weight_decay=1e-9, depth=1).B
            rings.append(fourier.radial_average(B.abs().square().sum((-2, -1)).sqrt()).mean)
            power.append(fourier.radial_average(fourier.fft2(z).abs().square().mean((0, 1))).mean)
        fit = {"size": 8, "fmin": 1, "fmax": 4}
        slopes, powers = (
            experiments.ring_slopes(
                xarray.DataArray(torch.stack(v).numpy(), dims=("image_filter", "ring")), **fit
            )
            for v in (rings, power)
        )
        responses[n] = float(experiments.response(slopes, powers))
    assert responses[3000] == pytest.approx(-0.5, abs=0.02)
    assert responses[6] > 0.2


@pytest.mark.parametrize("delta", [-0.5, 1.0])
def test_dividing_by_the_gain_keeps_the_answers_and_undoes(delta):
    x, B = noise(20, 1, 8, 8), noise(8, 8, seed=1) + 1j * noise(8, 8, seed=2)
    gain = fourier.radial_frequency((8, 8)).double().clamp(min=1) ** delta

    def answer(B, images):
        return (B * fourier.fft2(images)[:, 0]).sum((1, 2))

    changed = fourier.ifft2(gain * fourier.fft2(x)).real
    assert torch.allclose(answer(B, x), answer(B / gain, changed))
    # A weighted sum of the images has their gain, and follows.
    weights = noise(20, seed=3).to(torch.complex128)
    sums = [torch.einsum("n,nchw->hw", weights, fourier.fft2(v)) for v in (x, changed)]
    assert torch.allclose(gain * sums[0], sums[1])
