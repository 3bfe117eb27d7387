"""Training time and the start: what was learned, what is kept, the records."""

import pytest
import torch
import xarray
from draws import noise
from recorded import dataset
from tolerances import ATOL

from freqsense import experiments, fourier, models, sensitivity, theory

TIGHT = ATOL[torch.float64]
BINS = {"size": 32, "fmin": 1, "fmax": 12}
RELU = ["conv_actually-2", "conv_actually-3-5x5", "myrtle_cnn"]


def two_layers(seed=0):
    return models.conv_actually(2, width=3, shape=(1, 8, 8), n_outputs=2, seed=seed).double()


def gradients(function, x):
    """Gradient (K, N, C, H, W) of each output."""
    x = x.clone().requires_grad_()
    y = function(x).sum(0)
    return torch.stack([torch.autograd.grad(one, x, retain_graph=True)[0] for one in y])


def test_eq_learned():
    """What was learned has the difference of the gradients, and of linear networks that of B."""
    x, start, model = noise(5, 1, 8, 8), two_layers(0), two_layers(1)
    difference = gradients(lambda z: model(z) - start(z), x)
    assert torch.allclose(difference, gradients(model, x) - gradients(start, x), atol=TIGHT)
    first, last = (models.linear_cnn(2, width=2, shape=(8, 8), seed=k).double() for k in (0, 1))
    measured = sensitivity.measure_sensitivity(lambda z: last(z) - first(z), x).values[0]
    expected = (theory.end_to_end(last) - theory.end_to_end(first)).abs()[..., 0, 0]
    assert torch.allclose(measured.double(), expected.detach(), atol=1e-6)
    # Negative control: sensitivities themselves do not subtract.
    sizes = [theory.end_to_end(m).abs()[..., 0, 0].detach() for m in (first, last)]
    assert not torch.allclose(expected.detach(), (sizes[1] - sizes[0]).abs(), rtol=0.1)


def test_eq_survival():
    x, start, other = noise(6, 1, 8, 8), two_layers(0), two_layers(1)
    for share in (0.0, 0.4, 1.0):
        g_0, g_t = gradients(start, x), gradients(lambda z, k=share: k * start(z) + other(z), x)

        def square(g):  # S² of one frequency after another
            return fourier.fft2(g).abs().square().sum((0, 2)).mean(0)

        rho = (square(g_t) + square(g_0) - square(g_t - g_0)) / (2 * square(g_0))
        inner = (fourier.fft2(g_t) * fourier.fft2(g_0).conj()).real.sum((0, 2)).mean(0)
        assert torch.allclose(rho, inner / square(g_0), atol=TIGHT)
        # What is strange to the start adds a number that does not depend on the share.
        rest = rho - share
        assert torch.allclose(rest, survival_of(gradients(other, x), g_0), atol=1e-9)


def survival_of(g_t, g_0):
    inner = (fourier.fft2(g_t) * fourier.fft2(g_0).conj()).real.sum((0, 2)).mean(0)
    return inner / fourier.fft2(g_0).abs().square().sum((0, 2)).mean(0)


def test_eq_kernel_split():
    x, start, model = noise(5, 1, 8, 8), two_layers(0), two_layers(1)
    layer = model.features[0]
    layer.bias.data += 0.1
    w_t, w_0 = layer.weight.detach().clone(), start.features[0].weight.detach()

    def part(kernel):
        def function(z):
            with torch.no_grad():
                gate = (layer(z) > 0).double()
            moved = torch.func.functional_call(
                layer, {"weight": kernel, "bias": torch.zeros_like(layer.bias)}, (z,))  # fmt: skip
            return model.head((gate * moved).flatten(1))

        return gradients(function, x)

    whole = gradients(model, x)
    assert torch.allclose(part(w_0) + part(w_t - w_0), whole, atol=TIGHT)
    assert not torch.allclose(part(w_t - w_0), whole, rtol=0.1)


def test_a_factor_passes_from_the_kernels_to_the_head():
    """The same function at the start, whichever layer is small."""
    x, outputs = noise(5, 1, 8, 8), []
    for kernels, head in ((0.1, 1.0), (1.0, 0.1)):
        model = two_layers()
        with torch.no_grad():
            model.features[0].weight *= kernels
            model.head.weight *= head
        outputs.append(model(x))
    assert torch.allclose(*outputs, atol=TIGHT)


def followed():
    record = dataset("training-time").squeeze(drop=True)
    return record, experiments.ring_slopes(record.sensitivity, **BINS)


def test_time_and_a_small_start_each_make_the_slope_without_decay_in_every_seed():
    record, slopes = followed()
    free = slopes.sel(architecture=RELU, weight_decay=0.0)
    usual, small = free.sel(start=1.0), free.sel(start=0.1)
    assert (abs(usual.isel(look=0)) < 0.3).all() and (usual.isel(look=-1) < -0.5).all()
    assert (small.isel(look=0) < -1).all() and (small < usual - 0.3).all()
    amplitude = experiments.ring_slopes(experiments.ring_power(record.power_map), **BINS) / 2
    wide = ["conv_actually-2", "conv_actually-3-5x5"]
    assert (small.isel(look=-1).sel(architecture=wide) < float(amplitude.min()) - 0.2).all()


def test_subtracting_the_start_is_not_starting_small():
    record, slopes = followed()
    learned = experiments.ring_slopes(record.learned, **BINS)
    at = {"weight_decay": 0.0, "look": -1}
    less, whole, small = (
        values.sel(architecture=RELU, weight_decay=0.0, start=start).isel(look=-1).mean("seed")
        for values, start in ((learned, 1.0), (slopes, 1.0), (slopes, 0.1))
    )
    assert at["look"] == -1 and (abs(less - whole) < 0.15).all() and (less - small > 0.5).all()


def test_decay_forgets_the_start():
    record, _ = followed()
    rings = {"ring": slice(9, 13)}
    end = record.sel(start=1.0, architecture=RELU).isel(look=-1, **rings)
    squares = [end[key] ** 2 for key in ("sensitivity", "untrained", "learned")]
    left = ((squares[0] + squares[1] - squares[2]) / (2 * squares[1])).mean("ring")
    assert (abs(left.sel(weight_decay=0.1)) < 0.1).all()
    assert (left.sel(weight_decay=0.0, architecture="conv_actually-2") > 0.4).all()


def test_the_small_myrtle_network_dies_under_decay_and_lives_without():
    record, _ = followed()
    small = record.sel(architecture="myrtle_cnn", start=0.1)
    assert (small.train_accuracy.sel(weight_decay=[0.01, 0.1]) <= 1.5 / 8).all()
    assert (small.train_accuracy.sel(weight_decay=0.0) > 0.8).all()


def test_epochs_carry_most_of_the_difference_between_two_pages():
    record = dataset("training-width").squeeze(drop=True)
    slopes = experiments.ring_slopes(record.sensitivity, **BINS)
    assert isinstance(slopes, xarray.DataArray) and record.attrs["missing"] == "[]"

    def effect(**change):
        ((name, (old, new)),) = change.items()
        moved = slopes.sel({name: new}) - slopes.sel({name: old})
        return float(moved.mean())

    epochs, schedule = effect(steps=(240, 128)), effect(schedule=("constant", "one_cycle"))
    width, rate = effect(width=(8, 4)), effect(lr=(0.001, 0.002))
    assert epochs > schedule > width > 0 > rate
    here = {"width": 8, "schedule": "constant", "lr": 0.001, "steps": 240}
    there = {"width": 4, "schedule": "one_cycle", "lr": 0.002, "steps": 128}
    whole = float((slopes.sel(there) - slopes.sel(here)).mean())
    assert whole == pytest.approx(epochs + schedule + width + rate, abs=0.1)
