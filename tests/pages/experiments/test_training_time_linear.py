"""A linear network in time: by heart, from an effective start, under the logistic loss."""

import math

import numpy as np
import pytest
import torch
from draws import noise
from recorded import dataset
from scipy.integrate import solve_ivp
from tolerances import ATOL

from freqsense import experiments, fourier, images, layers, models, sensitivity, theory

TIGHT = ATOL[torch.float64]
BINS = {"size": 32, "fmin": 1, "fmax": 12}
RELU = ["conv_actually-2", "conv_actually-3-5x5", "myrtle_cnn"]


def flow_of_weights(A_1, A_2_star, s, c, n_pixels, times):
    """B (T,) of one frequency: the flow of its two layers, by a solver that knows no theory."""
    root, width = n_pixels**0.5, len(A_1)

    def move(_, packed):
        first, last = np.split(packed[: 2 * width] + 1j * packed[2 * width :], 2)
        gradient = s * root * (last.conj() @ first) - c
        step = -root * np.concatenate([last * gradient, first * np.conj(gradient)])
        return np.concatenate([step.real, step.imag])

    begin = np.concatenate([A_1, A_2_star])
    path = solve_ivp(move, (0, times[-1]), np.concatenate([begin.real, begin.imag]),
                     t_eval=times, rtol=1e-11, atol=1e-14)  # fmt: skip
    whole = path.y[: 2 * width] + 1j * path.y[2 * width :]
    return root * np.einsum("wt,wt->t", whole[width:].conj(), whole[:width])


def distance_from_theory(scale, width, seed, r_0=None):
    """Largest |B - e r| on the way, r from the start of the proposition, or from another."""
    rng = np.random.default_rng(seed)
    A_1, A_2_star = scale * (rng.normal(size=(2, width)) + 1j * rng.normal(size=(2, width)))
    s, c, n = 0.7, 1.3 * np.exp(2j), 9
    e, times = c / abs(c), np.linspace(0, 8, 400)
    begin = n**0.5 / 4 * np.linalg.norm(A_1 + e * A_2_star) ** 2 if r_0 is None else r_0
    one = torch.full((3, 3), 1.0, dtype=torch.float64)
    r = theory.learning_curves(s * one, abs(c) * one, depth=2, times=torch.from_numpy(times),
                               start=begin)[:, 0, 0].numpy()  # fmt: skip
    return np.abs(flow_of_weights(A_1, A_2_star, s, c, n, times) - e * r).max()


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_prop_effective_start(width, seed):
    """The distance falls like the square of the scale, over the whole way."""
    distances = [distance_from_theory(scale, width, seed) for scale in (0.08, 0.04, 0.02)]
    for large, small in zip(distances, distances[1:], strict=False):
        assert large / small == pytest.approx(4, rel=0.25)
    # Negative control: half of the start is late by a time that does not depend on the scale.
    assert distance_from_theory(0.02, width, seed, r_0=1e-4) > 10 * distances[2]


def test_prop_effective_start_holds_for_weights_of_a_network():
    shape, n = (9, 9), 81
    radius = fourier.radial_frequency(shape).double()
    s = torch.where(radius > 0, radius.clamp(min=1) ** -1.0, 0.0)
    teacher = fourier.fft2(noise(*shape, seed=1))
    c = s * teacher / teacher.abs().clamp(min=0.1)
    model = models.linear_cnn(2, width=4, shape=shape, seed=0).double()
    for weight in model.parameters():
        weight.data *= 0.02
    first = layers.transfer_function(model.convolutions[0], shape).detach()[..., 0] / n**0.5
    last = fourier.fft2(model.head.detach())[0].permute(1, 2, 0)
    e = (c / c.abs().clamp(min=1e-300))[..., None]
    r_0 = n**0.5 / 4 * (first + e * last).abs().square().sum(-1)
    loss, path = theory.population_loss(s, c), []
    for k in range(801):
        B = theory.end_to_end(model)
        if k % 20 == 0:
            path.append(B.detach()[..., 0, 0].abs())
        weights = list(model.parameters())
        for weight, g in zip(weights, torch.autograd.grad(loss(B), weights), strict=True):
            weight.data -= 0.005 * g
    path, times = torch.stack(path), 0.1 * torch.arange(41).double()
    live = s > 0

    def off(start):
        r = theory.learning_curves(s, c.abs(), depth=2, times=times, start=start)
        return float((path - r)[:, live].norm() / r[:, live].norm())

    assert off(r_0) < 0.02
    assert off(path[0].clamp(min=1e-12)) > 5 * off(r_0)


def test_eq_logistic_flow():
    """The gradient on Gaussian images has the pull c/2 and one curvature h(v) for all waves."""
    shape, n = (6, 6), 400_000
    x = images.gaussian_field(n, shape=shape, alpha=1.0, seed=0).double()
    x = x / x.std()
    xhat = fourier.fft2(x)[:, 0]
    teacher = fourier.fft2(noise(*shape, seed=1))
    y = (xhat * teacher).sum((1, 2)).real.sign()
    s, c = xhat.abs().square().mean(0), (xhat.conj() * y[:, None, None]).mean(0)
    live = s > 1e-9
    z = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    normal = torch.softmax(-z.square() / 2, 0)
    direction = 0.3 * teacher + fourier.fft2(noise(*shape, seed=2))
    for size in (1e-3, 0.1, 0.5):
        B = size * direction
        f = (xhat * B).sum((1, 2)).real
        gradient = (xhat.conj() * (-y * torch.sigmoid(-y * f))[:, None, None]).mean(0)
        p = torch.sigmoid(f.std() * z)
        h = float((normal * p * (1 - p)).sum())
        error = (gradient - (h * s * B - c / 2))[live].norm() / gradient[live].norm()
        assert error < 0.03
        if size == 1e-3:
            assert h == pytest.approx(0.25, abs=1e-4)
        if size == 0.5:  # negative control: the first curvature is wrong for large outputs
            early = (gradient - (s * B / 4 - c / 2))[live].norm() / gradient[live].norm()
            assert early > 5 * error


def test_eq_by_heart():
    """Chance follows the root of power, and its best predictor the inverse root."""
    shape, n, draws = (12, 12), 20_000, 40
    x = images.gaussian_field(n, shape=shape, alpha=2.0, seed=0).double()
    xhat, pixels = fourier.fft2(x)[:, 0], x.flatten(1)
    teachers = fourier.fft2(noise(draws, *shape, seed=2))
    teachers = teachers / teachers.abs()
    taught = torch.einsum("nhw,khw->nk", xhat, teachers).real
    targets = {"chance": noise(n, draws, seed=1).sign(), "teacher": taught}

    def slope_over(sizes):  # (H, W), squares summed over draws
        return float(sensitivity.slope(fourier.radial_average(sizes.sqrt()), 1, 6).slope)

    root = slope_over(xhat.abs().square().mean(0))
    slopes = {}
    for name, y in targets.items():
        c = torch.einsum("nhw,nk->khw", xhat.conj(), y + 0j) / n
        b = torch.linalg.lstsq(pixels, y, driver="gelsd").solution.T.unflatten(1, shape)
        late = fourier.fft2(b)
        slopes[name] = [slope_over(each.abs().square().sum(0)) for each in (c, late)]
    assert slopes["chance"][0] == pytest.approx(root, abs=0.1)
    assert slopes["chance"][1] == pytest.approx(-root, abs=0.1)
    # Negative control: with a white teacher the best predictor is flat.
    assert slopes["teacher"][1] == pytest.approx(0, abs=0.05)


def test_where_the_stopped_filter_peaks():
    x = np.linspace(0.5, 3, 250_001)
    peak = x[(-np.expm1(-x) / np.sqrt(x)).argmax()]
    assert math.exp(peak) == pytest.approx(1 + 2 * peak, rel=1e-4)


def test_the_linear_network_rises_from_both_starts():
    record = dataset("training-time").squeeze(drop=True)
    slopes = experiments.ring_slopes(record.sensitivity, **BINS)
    free = slopes.sel(architecture="linear_cnn-2", weight_decay=0.0)
    assert (free.isel(look=-1) > 0.3).all() and (free.isel(look=0) < 0).all()
