"""Sensitivity: against Jacobians, finite differences and linear networks; probes; state; files."""

import io
import math
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from draws import noise
from networks import end_to_end, small_net
from states import assert_same_state, state_of
from tolerances import ATOL, SIGMAS
from torch import nn

from freqsense import fourier, models
from freqsense.sensitivity import SensitivityMap, measure_sensitivity, settle_batchnorm, slope

SHAPES = [(8, 8), (7, 7), (6, 9), (7, 4)]
TIGHT = ATOL[torch.float64]


def jacobians(model, x):
    """|df_k / d x-hat_c(ω)| (N, K, C, H, W), image by image, from complex Jacobians."""
    model.eval()

    def outputs_of(xhat):
        return model(torch.fft.ifft2(xhat, norm="ortho").real[None])[0]

    spectra = torch.fft.fft2(x, norm="ortho")
    return torch.stack(
        [torch.autograd.functional.jacobian(outputs_of, xhat) for xhat in spectra]
    ).abs()


@pytest.mark.parametrize("shape", SHAPES)
def test_def_sensitivity(shape):
    """The batched transform of pixel gradients is the Jacobian with respect to x-hat."""
    model, x = small_net(), noise(5, 2, *shape)
    sizes = jacobians(model, x)
    expected = sizes.square().sum(1).mean(0).sqrt()
    for batch_size in (1, 2, 5, 100):
        result = measure_sensitivity(model, x, batch_size=batch_size)
        assert torch.allclose(result.values, expected, rtol=TIGHT, atol=TIGHT)
    assert result.n_images == 5 and expected.amax() > 2 * expected.amin()
    rms = measure_sensitivity(model, x, reduce="rms")
    assert torch.allclose(rms.values, expected / math.sqrt(3), rtol=TIGHT, atol=TIGHT)


@pytest.mark.parametrize("shape", SHAPES)
def test_eq_sensitivity_mean(shape):
    model, x = small_net(), noise(6, 2, *shape)
    expected = jacobians(model, x).mean(0).square().sum(0).sqrt()
    for batch_size in (1, 4, 100):
        result = measure_sensitivity(model, x, average="mean", batch_size=batch_size)
        assert torch.allclose(result.values, expected, rtol=TIGHT, atol=TIGHT)
    # The root mean square is at least the mean, and larger where gradients differ.
    assert (measure_sensitivity(model, x).values > result.values).any()
    assert (measure_sensitivity(model, x).values >= result.values - TIGHT).all()


@pytest.mark.parametrize(("ky", "kx"), [(0, 0), (1, 2), (-3, 1), (0, 3)])
def test_a_finite_step_along_a_fourier_direction(ky, kx):
    """Steps along the real and the imaginary part of e_ω, nothing but forward passes."""
    model, x = small_net().eval(), noise(1, 2, 7, 9)
    mode = fourier.fourier_mode((7, 9), ky, kx)
    expected = torch.zeros(2, dtype=torch.float64)
    for channel in range(2):
        for part in (mode.real, mode.imag):
            step = torch.zeros_like(x)
            step[0, channel] = 1e-5 * part
            with torch.no_grad():
                slopes = (model(x + step) - model(x - step)) / 2e-5
            expected[channel] += slopes.square().sum()
    values = measure_sensitivity(model, x).values[:, ky, kx]
    assert torch.allclose(values, expected.sqrt(), rtol=1e-6)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_thm_linear_sensitivity(depth, shape):
    """|B_c(ω)| for one output, the norm over k for several, at any image."""
    for n_outputs in (1, 3):
        model = models.linear_cnn(depth, width=3, shape=(3, *shape), n_outputs=n_outputs).double()
        expected = end_to_end(model).abs().square().sum(2).sqrt().permute(2, 0, 1)
        for average in ("rms", "mean"):
            result = measure_sensitivity(model, noise(4, 3, *shape), average=average)
            assert torch.allclose(result.values, expected, rtol=TIGHT, atol=TIGHT)
            assert result.stderr.max() < TIGHT and result.radial().sem.max() < TIGHT


@pytest.mark.parametrize("shape", SHAPES)
def test_eq_sensitivity_norm(shape):
    """Against the sum of squares; a map of one channel that can be averaged, saved and drawn."""
    result = measure_sensitivity(small_net().eval(), noise(6, 2, *shape))
    norm = result.norm()
    assert torch.allclose(norm.values[0], (result.values**2).sum(0).sqrt(), rtol=TIGHT)
    assert norm.n_images == 6 and norm.values.shape == norm.stderr.shape == (1, *shape)
    assert norm.radial().mean.shape == norm.ring_stderr.shape == (1, min(shape) // 2 + 1)
    assert norm.stderr.min() >= 0 and torch.isfinite(norm.ring_stderr).all()
    again = norm.norm()  # of one channel it is the map itself
    assert torch.allclose(again.values, norm.values, rtol=TIGHT)
    assert torch.allclose(again.stderr, norm.stderr, rtol=TIGHT)
    silent = measure_sensitivity(lambda x: 0 * x.mean((2, 3)), noise(6, 2, *shape)).norm()
    assert silent.values.max() == silent.stderr.max() == silent.ring_stderr.max() == 0


def test_the_error_of_a_norm_is_a_bound():
    """Reached if the channels err together; too large by √C if they err independently."""
    one = measure_sensitivity(lambda x: (x**2).mean((2, 3)), noise(20, 1, 8, 8))
    parts = (one.values, one.stderr, one.ring_stderr)
    values, stderr, of_rings = (part.repeat(3, *[1] * (part.ndim - 1)) for part in parts)
    three = SensitivityMap(values, stderr, 20, of_rings).norm()
    assert torch.allclose(three.stderr, 3**0.5 * one.stderr, rtol=TIGHT)
    assert torch.allclose(three.radial().sem, 3**0.5 * one.radial().sem, rtol=TIGHT)
    sets = noise(300, 20, 3, 8, 8)
    apart = [measure_sensitivity(lambda x: (x**2).mean((2, 3)), x).norm() for x in sets]
    scatter = torch.stack([found.values[0, 1, 2] for found in apart]).std()
    told = torch.stack([found.stderr[0, 1, 2] for found in apart]).mean()
    assert told / scatter == pytest.approx(3**0.5, rel=SIGMAS / (2 * 300) ** 0.5)


def test_float32_agrees_with_float64():
    model, x = small_net(), noise(20, 2, 8, 8)
    exact = measure_sensitivity(model, x).values
    values = measure_sensitivity(model.float(), x).values  # images follow the weights
    assert torch.allclose(values, exact, rtol=ATOL[torch.float32], atol=ATOL[torch.float32])


def test_of_the_loss():
    model, x = small_net().eval(), noise(5, 2, 6, 7)
    y = torch.tensor([0, 2, 1, 1, 0])
    total = 0.0
    for image, label in zip(x, y, strict=True):
        image = image[None].clone().requires_grad_()
        nn.functional.cross_entropy(model(image), label[None]).backward()
        total = total + fourier.fft2(image.grad[0]).abs().square()
    expected = (total / 5).sqrt()
    model.zero_grad()
    for reduce in ("norm", "rms"):  # a loss is one output
        result = measure_sensitivity(model, x, of="loss", labels=y, batch_size=2, reduce=reduce)
        assert torch.allclose(result.values, expected, rtol=TIGHT, atol=TIGHT)
    batches = [(x[:3], y[:3]), (x[3:], y[3:])]
    streamed = measure_sensitivity(model, batches, of="loss")
    assert torch.allclose(streamed.values, expected, rtol=TIGHT, atol=TIGHT)
    shuffled = measure_sensitivity(model, x, of="loss", labels=(y + 1) % 3)
    assert not torch.allclose(shuffled.values, expected, rtol=0.01)


def test_any_iterable_of_batches():
    model, x = small_net(), noise(7, 2, 8, 8)
    expected = measure_sensitivity(model, x)
    dataset = torch.utils.data.TensorDataset(x, torch.zeros(7))
    loader = torch.utils.data.DataLoader(dataset, batch_size=3)
    for source in (loader, iter(x.split(2)), x.numpy(), list(x.numpy()[:, None])):
        result = measure_sensitivity(model, source)
        assert torch.allclose(result.values, expected.values, rtol=TIGHT, atol=TIGHT)
        assert torch.allclose(result.stderr, expected.stderr, rtol=1e-9, atol=TIGHT)


@pytest.mark.parametrize("shape", [(6, 6), (5, 8)])
def test_thm_probe(shape):
    """The mean square over all sign vectors is the sum over outputs, with no sampling at all."""
    model, x = small_net(n_outputs=3), noise(4, 2, *shape)
    total = 0.0
    for bits in range(8):
        signs = torch.tensor([1.0 if bits >> k & 1 else -1.0 for k in range(3)]).double()

        def combined(x, signs=signs):
            return (model(x) @ signs)[:, None]

        model.eval()
        total = total + measure_sensitivity(combined, x).values.square() / 8
    assert torch.allclose(total.sqrt(), measure_sensitivity(model, x).values, atol=TIGHT)
    assert not torch.allclose(
        measure_sensitivity(model, x, method="probe").values.square(), total, rtol=0.01
    )


def test_probe_is_unbiased_and_its_errors_cover_the_exact_value():
    """Over 200 seeds: the mean square within its error, and the nominal 95 % of intervals."""
    model, x = small_net(n_outputs=5), noise(200, 2, 6, 6)
    exact = measure_sensitivity(model, x).values
    ring_exact = fourier.radial_average(exact).mean
    squares, hits, ring_hits = [], [], []
    for seed in range(200):
        images = x[torch.randint(200, (400,), generator=torch.Generator().manual_seed(seed))]
        probe = measure_sensitivity(model, images, method="probe", seed=seed)
        squares.append(probe.values.square())
        hits.append((probe.values - exact).abs() < 1.96 * probe.stderr)
        profile = probe.radial()
        ring_hits.append((profile.mean - ring_exact).abs() < 1.96 * profile.sem)
    squares = torch.stack(squares)
    error = squares.std(0) / math.sqrt(200)
    assert ((squares.mean(0) - exact.square()).abs() < SIGMAS * error).all()
    for found in (torch.stack(hits), torch.stack(ring_hits)):
        rates = found.double().mean(0)
        spread = math.sqrt(0.95 * 0.05 / 200)
        assert abs(rates.mean() - 0.95) < 2 * spread
        assert (rates > 0.95 - SIGMAS * spread - 0.01).all()


@pytest.mark.parametrize("batch_size", [1, 16])
@pytest.mark.parametrize("average", ["rms", "mean"])
def test_errors_over_images_cover_the_value_of_many_images(average, batch_size):
    model, x = small_net(), noise(4000, 2, 6, 6)
    whole = measure_sensitivity(model, x, average=average)
    ring_whole = whole.radial().mean
    hits, ring_hits = [], []
    for part in x.split(40):  # the whole's own error is a tenth of theirs
        result = measure_sensitivity(model, part, average=average, batch_size=batch_size)
        hits.append((result.values - whole.values).abs() < 1.96 * result.stderr)
        profile = result.radial()
        assert profile.sem_over == "images"
        ring_hits.append((profile.mean - ring_whole).abs() < 1.96 * profile.sem)
    for found in (torch.stack(hits), torch.stack(ring_hits)):
        assert abs(found.double().mean() - 0.95) < math.sqrt(0.95 * 0.05 / 100)


def test_ring_errors_allow_for_images_that_shout_at_all_frequencies():
    """One factor of the whole gradient: the ring mean is no better known than each frequency."""

    def model(x):
        return x[:, 0, 0, :1] * x[:, 0, 0, :1].detach()  # a spike of an image's own size

    for batch_size in (1, 500):
        result = measure_sensitivity(model, noise(500, 1, 8, 8), batch_size=batch_size)
        relative = (result.stderr / result.values)[0, 0, 0]
        profile = result.radial()
        # To the share that moves while the means settle; independent frequencies would have halved
        # the error of ring 1 and taken it below a third in ring 4.
        assert torch.allclose(profile.sem / profile.mean, relative, rtol=0.05, atol=0)


def test_more_probes_leave_less_error():
    model, x = small_net(n_outputs=8), noise(100, 2, 6, 6)
    exact = measure_sensitivity(model, x)
    one, many = (
        measure_sensitivity(model, x, method="probe", n_probes=n_probes) for n_probes in (1, 64)
    )
    assert (many.stderr < one.stderr).double().mean() > 0.95
    assert (many.values - exact.values).norm() < 0.5 * (one.values - exact.values).norm()
    # What is left is the scatter over images.
    assert torch.allclose(many.stderr.mean(), exact.stderr.mean(), rtol=0.1)


def test_probe_is_a_function_of_its_seed_alone():
    model, x = small_net(), noise(10, 2, 6, 6)
    state = torch.get_rng_state()
    first = measure_sensitivity(model, x, method="probe", seed=3, n_probes=2)
    torch.manual_seed(99)
    again = measure_sensitivity(model, x, method="probe", seed=3, n_probes=2, batch_size=3)
    assert torch.allclose(first.values, again.values, rtol=TIGHT)
    other = measure_sensitivity(model, x, method="probe", seed=4, n_probes=2)
    assert not torch.allclose(first.values, other.values, rtol=1e-3)
    torch.set_rng_state(state)
    measure_sensitivity(model, x, method="probe")
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("method", ["exact", "probe"])
def test_the_model_is_left_as_it_was(method):
    model = small_net().train()
    model[1].eval()
    model[0].bias.requires_grad_(False)
    model[4].weight.grad = torch.ones_like(model[4].weight)
    before, x = state_of(model), noise(4, 2, 8, 8)
    pixels = x.clone()
    result = measure_sensitivity(model, x, method=method)
    assert_same_state(before, state_of(model))
    assert torch.equal(x, pixels) and not x.requires_grad
    # Dropout would change it from call to call, batch statistics from batch to batch.
    assert torch.equal(result.values, measure_sensitivity(model, x, method=method).values)
    with pytest.raises(RuntimeError):
        measure_sensitivity(model, noise(4, 3, 8, 8), method=method)
    assert_same_state(before, state_of(model))


def test_under_no_grad_and_inference_mode():
    model, x = small_net(), noise(4, 2, 8, 8)
    expected = measure_sensitivity(model, x).values
    with torch.no_grad():
        assert torch.equal(measure_sensitivity(model, x).values, expected)
        assert not torch.is_grad_enabled()
    with torch.inference_mode():
        assert torch.equal(measure_sensitivity(model, x.clone(), device="cpu").values, expected)


def test_a_model_that_writes_into_its_input():
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(16, 2)).double()
    x = noise(3, 1, 4, 4)
    pixels = x.clone()
    assert measure_sensitivity(model, x).values.min() > 0
    assert torch.equal(x, pixels)


def test_negative_control_a_constant_model_is_sensitive_to_nothing():
    model = small_net()
    nn.init.zeros_(model[-1].weight)
    for keywords in ({}, {"average": "mean"}, {"method": "probe"}):
        result = measure_sensitivity(model, noise(4, 2, 8, 8), **keywords)
        assert result.values.abs().max() == 0 and result.stderr.abs().max() == 0
        assert result.radial().sem.abs().max() == 0


def test_one_image_has_no_error_over_images():
    result = measure_sensitivity(small_net(), noise(1, 2, 8, 8))
    assert result.stderr.isnan().all() and result.radial().sem_over == "ring"


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [
        *((torch.float32, scale) for scale in (1e-37, 1e-25, 1e-12, 1e12, 1e20, 1e35)),
        *((torch.float64, scale) for scale in (1e-290, 1e-160, 1e-80, 1e80, 1e160, 1e290)),
    ],
)
@pytest.mark.parametrize("average", ["rms", "mean"])
def test_gradients_whose_squares_leave_the_range(average, scale, dtype):
    """All of a map scales with the network, errors included; channels differ as they may."""
    x, weights = noise(6, 2, 7, 6, dtype=dtype), noise(3, 7, 6, seed=1, dtype=dtype)

    def measured(scales):
        def model(x):
            parts = zip(scales, x.unbind(1), strict=True)
            return sum(
                s * torch.tanh((part[:, None] * weights).sum((-2, -1))) * 0.5 for s, part in parts
            )

        return measure_sensitivity(model, x, average=average, batch_size=4)

    whole, found = measured([1.0, 1.0]), measured([scale, 1.0])
    close = {"rtol": 20 * ATOL[dtype], "atol": 0}
    for name in ("values", "stderr", "ring_stderr"):
        expected, got = getattr(whole, name), getattr(found, name)
        assert torch.allclose(got[0] / scale, expected[0], **close) and expected.min() > 0
        assert torch.allclose(got[1], expected[1], **close)
    both = measured([scale, scale])
    for name in ("values", "stderr", "ring_stderr"):
        expected, got = getattr(whole.norm(), name), getattr(both.norm(), name)
        assert torch.allclose(got / scale, expected, **close)


def test_batches_may_differ_in_size_by_any_power():
    """The first batch is silent, the others span more than the squares of float32 do."""
    x = torch.tensor([0.0, 0.0, 1e-30, 1e-30, 1.0, 1e15]).reshape(6, 1, 1, 1).expand(-1, 1, 4, 4)
    sizes = x[:, 0, 0, 0].double()

    def model(x):
        return x.square().mean((1, 2, 3))[:, None] / 2  # a gradient of x / 16 at 16 pixels

    for batch_size in (1, 2, 6):
        rms = measure_sensitivity(model, x, batch_size=batch_size).values[0, 0, 0]
        assert rms.item() == pytest.approx(sizes.square().mean().sqrt().item() / 4, rel=1e-6)
        mean = measure_sensitivity(model, x, batch_size=batch_size, average="mean").values[0, 0, 0]
        assert mean.item() == pytest.approx(sizes.mean().item() / 4, rel=1e-6)
        silent = measure_sensitivity(model, x[:4], batch_size=batch_size).values[0, 0, 0]
        assert silent.item() == pytest.approx(1e-30 / 4 / 2**0.5, rel=1e-6, abs=0)


@pytest.mark.parametrize("margin", [-60.0, 0.0, 5.0, 20.0, 60.0, 100.0, 400.0, 650.0])
def test_the_loss_of_a_confident_network_has_a_gradient(margin):
    """log(1 + e^-m) falls as 1 / (1 + e^m), far below what 1 - p resolves."""
    x, y = torch.full((3, 1, 2, 2), margin / 8), torch.zeros(3, dtype=torch.long)

    def model(x):
        total = x.sum((1, 2, 3))
        return torch.stack([total, -total, -total - 800], 1)

    found = measure_sensitivity(model, x, of="loss", labels=y).values[0, 0, 0]
    assert found.item() == pytest.approx(4 / (1 + math.exp(margin)), rel=1e-4, abs=0)


def test_the_loss_of_classes_that_share_what_is_left():
    """Against autograd in float64, where p is still told from 1."""
    weights, x = noise(4, 2, 5, 6, seed=3), noise(3, 2, 5, 6)
    y = torch.tensor([0, 1, 2])

    def model(x):
        logits = 0.3 * (x[:, None] * weights.to(x)).sum((2, 3, 4))
        return logits + 16 * nn.functional.one_hot(y[: len(x)], 4)

    exact = measure_sensitivity(model, x, of="loss", labels=y).values
    leaf = x.clone().requires_grad_()
    nn.functional.cross_entropy(model(leaf), y, reduction="sum").backward()
    expected = (fourier.fft2(leaf.grad).abs().square().mean(0)).sqrt()
    assert torch.allclose(exact, expected, rtol=1e-6, atol=0)
    single = measure_sensitivity(model, x.float(), of="loss", labels=y).values
    assert torch.allclose(single, expected, rtol=1e-4, atol=0)


def fan(n_outputs):
    """A network of many outputs that are not alike."""
    weights = noise(n_outputs, 2, 6, 6, seed=5)
    return lambda x: torch.tanh((x[:, None] * weights).sum((2, 3, 4)) / 9)


def test_auto_probes_above_fifty_outputs_and_says_so():
    x = noise(6, 2, 6, 6)
    for n_outputs, method, n_probes in ((50, "exact", 0), (51, "probe", 3)):
        model = fan(n_outputs)
        probes = {"n_probes": 3, "seed": 4} if n_probes else {}
        found = measure_sensitivity(model, x, method="auto", n_probes=3, seed=4)
        expected = measure_sensitivity(model, x, method=method, **probes)
        assert torch.equal(found.values, expected.values)
        assert found.n_probes == expected.n_probes == found.norm().n_probes == n_probes
    # What probes do not give is measured exactly, whatever the number of outputs.
    assert measure_sensitivity(fan(51), x, method="auto", average="mean").n_probes == 0
    labels = torch.zeros(6).long()
    loss = measure_sensitivity(fan(51), x, method="auto", of="loss", labels=labels)
    assert loss.n_probes == 0


@pytest.mark.parametrize(
    ("shape", "expected"), [((3, 32, 32), 256), ((3, 224, 224), 8), ((1, 1500, 1000), 1)]
)
def test_batches_are_as_large_as_memory_has_room(shape, expected):
    seen = []

    def model(x):
        seen.append(len(x))
        return x.mean((1, 2, 3))[:, None]

    x = torch.zeros(1, *shape).expand(expected + 1, -1, -1, -1)
    measure_sensitivity(model, x)
    few = min(2, expected)
    assert seen == [few, expected, 1] if expected > 1 else seen == [1, 1]
    seen.clear()
    measure_sensitivity(model, x, batch_size=expected + 1)
    assert seen == [2, expected + 1]


def test_progress_counts_images_and_outputs(capsys):
    x = noise(6, 2, 8, 8)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x), batch_size=4)
    for source in (x, loader):
        measure_sensitivity(small_net(), source, progress=True)
        assert "18/18" in capsys.readouterr().err
        measure_sensitivity(small_net(), source, method="probe", n_probes=2, progress=True)
        assert "12/12" in capsys.readouterr().err
    measure_sensitivity(small_net(), iter(x.split(2)), progress=True)
    assert "18 gradients" in capsys.readouterr().err
    measure_sensitivity(small_net(), x)
    assert capsys.readouterr().err == ""


def relative_error(found):
    profile = found.norm().radial()
    return float((profile.sem / profile.mean)[0, 1:].median())


@pytest.mark.parametrize("method", ["exact", "probe"])
def test_until_stops_at_the_first_batch_that_is_precise_enough(method):
    model, x = small_net(), noise(400, 2, 8, 8)
    errors = {
        n: relative_error(measure_sensitivity(model, x[:n], method=method, batch_size=20))
        for n in range(20, 401, 20)
    }
    for until in (0.2, 0.05, 0.03):
        expected = next(n for n, error in errors.items() if error <= until)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = measure_sensitivity(model, x, method=method, batch_size=20, until=until)
        assert found.n_images == expected < 400
        whole = measure_sensitivity(model, x[:expected], method=method, batch_size=20)
        assert torch.equal(found.values, whole.values)


def test_until_trusts_no_error_of_few_images():
    """That of a linear network is 0 from two on."""
    model = models.linear_cnn(1, width=1, shape=(1, 8, 8)).double()
    found = measure_sensitivity(model, noise(30, 1, 8, 8), batch_size=1, until=0.5)
    assert found.n_images == 10


def test_images_that_run_out_are_said_with_how_many_would_do():
    model, x = small_net(), noise(40, 2, 8, 8)
    error = relative_error(measure_sensitivity(model, x))
    until = error / 2
    with pytest.warns(UserWarning, match="the 40 images ran out at .* about 16. would do") as seen:
        assert measure_sensitivity(model, x, until=until).n_images == 40
    assert len(seen) == 1 and seen[0].filename == __file__
    with pytest.warns(UserWarning, match="got one image"):
        measure_sensitivity(model, x[:1], until=until)


def test_an_image_without_a_gradient_is_named():
    """A blank picture among others, where a network divides by its contrast."""
    x = noise(7, 1, 6, 6)
    x[5] = 0.5

    def model(x):
        return (x / x.std((1, 2, 3), keepdim=True)).square().mean((2, 3)) * x.mean((2, 3))

    for source in (x, x.split(2), [x[:3], x[3:]]):
        for average in ("rms", "mean"):
            with pytest.raises(ValueError, match="NaN or infinite gradient .* on image 5"):
                measure_sensitivity(model, source, average=average)


def test_eq_slope():
    radius = fourier.radial_frequency((64, 64)).clamp(min=1)
    for exponent in (-2.0, -0.5, 1.0):
        profile = fourier.radial_average(3 * radius**exponent)
        line = slope(profile, 8, 32)
        assert abs(line.slope - exponent) < 0.01 and line.stderr < 0.01
    flat = slope(fourier.radial_average(torch.ones(64, 64)), 1, 32)
    assert abs(flat.slope) < TIGHT


def test_the_error_of_a_slope_covers_it():
    radius = fourier.radial_frequency((32, 32)).clamp(min=1)
    profile = fourier.radial_average(1 / radius)
    exact = torch.arange(17.0).clamp(min=1).double() ** -1
    hits = []
    for seed in range(400):
        noisy = exact * torch.exp(0.1 * noise(17, seed=seed))
        profile = type(profile)(exact**-1, noisy, profile.sem, profile.count)
        line = slope(profile, fmin=1, fmax=16)
        hits.append(abs(line.slope + 1) < 2.145 * line.stderr)  # the 95 % of t with 14 degrees
    assert abs(np.mean(hits) - 0.95) < 3 * math.sqrt(0.95 * 0.05 / 400)


def test_a_saved_map_comes_back(tmp_path):
    result = measure_sensitivity(small_net(), noise(4, 2, 8, 6))
    path = tmp_path / "map.npz"
    path.write_bytes(b"an older file")
    result.save(path)
    back = SensitivityMap.load(str(path))
    assert back.n_images == 4 and back.n_probes == result.n_probes == 0
    replace(result, n_probes=None).save(path)
    assert SensitivityMap.load(path).n_probes is None
    for name in ("values", "stderr", "ring_stderr"):
        assert torch.equal(getattr(back, name), getattr(result, name))
    assert [file.name for file in tmp_path.iterdir()] == ["map.npz"]


def test_a_failed_save_leaves_the_old_file(tmp_path):
    result = measure_sensitivity(small_net(), noise(4, 2, 8, 6))
    path = tmp_path / "map.npz"
    result.save(path)
    before = path.read_bytes()
    broken = SensitivityMap(result.values.requires_grad_(), result.stderr, 4, result.ring_stderr)
    with pytest.raises(RuntimeError):
        broken.save(path)  # a tensor on the gradient tape has no numpy array
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["map.npz"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": None}, "expected arrays"),
        ({"values": np.ones((2, 8))}, r"expected maps \(C, H, W\)"),
        ({"values": np.full((2, 8, 6), np.nan)}, "finite values of at least 0"),
        ({"values": -np.ones((2, 8, 6))}, "finite values of at least 0"),
        ({"stderr": np.full((2, 8, 6), np.inf)}, "finite standard errors"),
        ({"stderr": -np.ones((2, 8, 6))}, "standard errors of at least 0"),
        ({"ring_stderr": np.ones((2, 9))}, r"expected ring_stderr \(2, 4\)"),
        ({"n_images": 0}, "positive integer n_images"),
        ({"n_images": 2.5}, "positive integer n_images"),
        ({"n_probes": -1}, "whole number n_probes of at least 0"),
        ({"format": 99}, "expected format 1, got 99"),
        ({"values": np.ones((2, 8, 6), np.float32)}, "expected float64"),
        ({"values": np.array([{}], dtype=object)}, "no saved SensitivityMap"),
    ],
)
def test_a_broken_file_is_named(tmp_path, change, message):
    path = tmp_path / "map.npz"
    measure_sensitivity(small_net(), noise(4, 2, 8, 6)).save(path)
    with np.load(path) as file:
        columns = {**file, **change}
    np.savez(path, **{name: value for name, value in columns.items() if value is not None})
    with pytest.raises(ValueError, match=message):
        SensitivityMap.load(path)


def test_no_file_and_no_zip(tmp_path):
    with pytest.raises(FileNotFoundError):
        SensitivityMap.load(tmp_path / "none.npz")
    for content in (b"", b"text", np.ones(3).tobytes()):
        (tmp_path / "map.npz").write_bytes(content)
        with pytest.raises(ValueError, match="no saved SensitivityMap"):
            SensitivityMap.load(tmp_path / "map.npz")
    np.save(tmp_path / "map.npy", np.ones(3))
    with pytest.raises(ValueError, match="got a single one"):
        SensitivityMap.load(tmp_path / "map.npy")


def test_any_damaged_byte_is_found_or_harmless(tmp_path):
    """Whatever is damaged: the same map, or the one error, and no other."""
    path = tmp_path / "map.npz"
    result = measure_sensitivity(small_net(), noise(4, 2, 8, 6))
    result.save(path)
    content, found = path.read_bytes(), 0
    for place in range(0, len(content), 5):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            assert torch.equal(SensitivityMap.load(path).values, result.values)
        except ValueError as error:
            assert "no saved SensitivityMap" in str(error)
            found += 1
    assert found > len(content) / 5 / 2


def test_a_file_that_claims_or_unpacks_to_too_much_is_refused(tmp_path):
    path = tmp_path / "map.npz"
    np.savez_compressed(path, values=np.zeros((1000, 1000)))
    with pytest.raises(ValueError, match="without compression"):
        SensitivityMap.load(path)
    header = io.BytesIO()
    shape = {"descr": "<f8", "fortran_order": False, "shape": (10**7, 10**3, 10**3)}
    np.lib.format.write_array_header_1_0(header, shape)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("values.npy", header.getvalue())
    with pytest.raises(ValueError, match="no saved SensitivityMap"):
        SensitivityMap.load(path)


def test_saving_names_a_missing_folder_and_leaves_files_for_all_to_read(tmp_path):
    result = measure_sensitivity(small_net(), noise(4, 2, 8, 6))
    with pytest.raises(FileNotFoundError, match="no folder .*missing to save map.npz in"):
        result.save(tmp_path / "missing" / "map.npz")
    result.save(tmp_path / "map.npz")
    (tmp_path / "plain").write_bytes(b"")
    modes = {(tmp_path / name).stat().st_mode for name in ("map.npz", "plain")}
    assert len(modes) == 1
    with pytest.raises(ValueError, match="a folder"):
        result.save(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"map.npz", "plain"}
    assert not list(tmp_path.parent.glob(tmp_path.name + "?*"))


IMAGES = torch.zeros(3, 2, 8, 8, dtype=torch.float64)
NET = small_net()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: measure_sensitivity(3, IMAGES), TypeError, "model must map .* got int"),
        (lambda: measure_sensitivity(NET, IMAGES[0]), ValueError, r"\(N, C, H, W\), got \(2, 8, 8"),
        (lambda: measure_sensitivity(NET, IMAGES[:0]), ValueError, "must not be empty"),
        (lambda: measure_sensitivity(NET, []), ValueError, "at least one image"),
        (lambda: measure_sensitivity(NET, 3), TypeError, "got int"),
        (
            lambda: measure_sensitivity(NET, IMAGES.int()),
            TypeError,
            "float32 or float64, got int32",
        ),
        (lambda: measure_sensitivity(NET, IMAGES / 0), ValueError, "384 NaN or infinite"),
        (
            lambda: measure_sensitivity(NET, [IMAGES, IMAGES[..., :4]]),
            ValueError,
            r"one size: batch 1 of images is \(2, 8, 4\)",
        ),
        (lambda: measure_sensitivity(NET, IMAGES, method="exat"), ValueError, "mean 'exact'"),
        (lambda: measure_sensitivity(NET, IMAGES, reduce="sum"), ValueError, "norm, rms"),
        (lambda: measure_sensitivity(NET, IMAGES, batch_size=0), ValueError, "at least 1, got 0"),
        (
            lambda: measure_sensitivity(NET, IMAGES, method="probe", n_probes=0),
            ValueError,
            "n_probes must be at least 1",
        ),
        (
            lambda: measure_sensitivity(NET, IMAGES, method="probe", average="mean"),
            ValueError,
            "average='mean' needs method='exact'",
        ),
        (
            lambda: measure_sensitivity(NET, IMAGES, method="probe", of="loss"),
            ValueError,
            "of='loss' needs method='exact'",
        ),
        (lambda: measure_sensitivity(NET, IMAGES, of="loss"), ValueError, "needs labels"),
        (lambda: measure_sensitivity(NET, [IMAGES], of="loss"), ValueError, "pairs"),
        (
            lambda: measure_sensitivity(NET, IMAGES, labels=torch.zeros(3).long()),
            ValueError,
            "labels are for of='loss'",
        ),
        (
            lambda: measure_sensitivity(NET, IMAGES, of="loss", labels=torch.zeros(2).long()),
            ValueError,
            r"shape \(3, \.\.\.\), .* got \(2,\)",
        ),
        (
            lambda: measure_sensitivity(NET, IMAGES, of="loss", labels=torch.zeros(3)),
            TypeError,
            "integer classes",
        ),
        (
            lambda: measure_sensitivity(NET, IMAGES, of="loss", labels=torch.tensor([0, 1, 3])),
            ValueError,
            "between 0 and K - 1 = 2, got 0 to 3",
        ),
        (lambda: measure_sensitivity(NET[:-2], IMAGES), ValueError, r"to \(3, K\), got \(3, 3, 2"),
        (lambda: measure_sensitivity(lambda x: x.mean(), IMAGES), ValueError, r"got \(\)"),
        (
            lambda: measure_sensitivity(lambda x: NET(x)[:, :0], IMAGES),
            ValueError,
            r"to \(3, K\), got \(3, 0\)",
        ),
        (lambda: measure_sensitivity(lambda x: NET(x) + 0j, IMAGES), ValueError, "must be real"),
        (
            lambda: measure_sensitivity(lambda x: torch.ones(3, 2).requires_grad_(), IMAGES),
            ValueError,
            "must depend on the images",
        ),
        (
            lambda: measure_sensitivity(NET, IMAGES, method="exact", n_probes=3),
            ValueError,
            "for method='probe'",
        ),
        (
            lambda: measure_sensitivity(NET, IMAGES, of="loss", labels=[0, 1, 2]),
            TypeError,
            "tensor or a numpy array.* got list",
        ),
        (
            lambda: measure_sensitivity(lambda x: NET(x).detach(), IMAGES),
            ValueError,
            "must depend on the images",
        ),
        (
            lambda: measure_sensitivity(lambda x: x.flatten(1).sqrt(), IMAGES),
            ValueError,
            "NaN or infinite gradient",
        ),
        (
            lambda: measure_sensitivity(NET, [IMAGES, IMAGES[:0]]),
            ValueError,
            "batch 1 of images must not be empty",
        ),
        (lambda: measure_sensitivity(NET, IMAGES, until=0), ValueError, "until must be positive"),
        (
            lambda: measure_sensitivity(NET, IMAGES, progress=1),
            TypeError,
            "progress must be True or False",
        ),
        (lambda: slope(3, 1, 4), TypeError, "RadialProfile, got int"),
        (
            lambda: slope(fourier.radial_average(torch.zeros(16, 16)), 1, 8),
            ValueError,
            "positive in every bin",
        ),
        (
            lambda: slope(fourier.radial_average(torch.ones(2, 16, 16)), 1, 8),
            ValueError,
            r"take profile\[channel\]",
        ),
        (
            lambda: slope(fourier.radial_average(torch.ones(16, 16)), 1, 9),
            ValueError,
            "fmax <= 8",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def statistics(model):
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    return torch.cat([torch.cat([m.running_mean, m.running_var]) for m in norms])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("batch_size", [7, 50])
def test_eq_settled_batchnorm(shape, batch_size):
    layer, x = nn.BatchNorm2d(2).double(), 5 + 3 * noise(50, 2, *shape)
    batches = x.tensor_split(math.ceil(50 / batch_size))
    settle_batchnorm(layer, x, batch_size=batch_size)
    mean = torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0)
    var = torch.stack([b.var((0, 2, 3)) for b in batches]).mean(0)
    assert torch.allclose(layer.running_mean, mean, rtol=TIGHT, atol=TIGHT)
    assert torch.allclose(layer.running_var, var, rtol=TIGHT, atol=TIGHT)
    assert (mean - 5).abs().max() < 1 and (var - 9).abs().max() < 2


def test_settling_is_that_of_torch_for_a_network_without_dropout():
    build, x = (lambda: models.resnet(9, width=2, shape=(8, 8), n_outputs=2)), noise(64, 1, 8, 8)
    ours, theirs = build().double(), build().double()
    settle_batchnorm(ours, x, batch_size=16)
    torch.optim.swa_utils.update_bn(x.split(16), theirs)
    assert torch.allclose(statistics(ours), statistics(theirs), rtol=TIGHT, atol=TIGHT)


def test_no_momentum_is_trusted():
    """A running average keeps a share of what was in store; the settled level does not."""
    x = 2 * noise(512, 3, 32, 32).float()
    levels = {}
    for momentum in (0.1, 0.01):
        for settled in (True, False):
            model = models.vgg(11, width=4, shape=(3, 32, 32), n_outputs=10)
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.momentum = momentum
            if settled:
                settle_batchnorm(model, x)
            else:
                with torch.no_grad():
                    for batch in x.split(256):
                        model(batch)
            level = measure_sensitivity(model, x[:20]).values.square().sum().sqrt().item()
            levels[momentum, settled] = level
    assert levels[0.1, True] == pytest.approx(levels[0.01, True], rel=1e-6)
    assert not levels[0.1, False] == pytest.approx(levels[0.01, False], rel=0.1)
    assert not levels[0.1, False] == pytest.approx(levels[0.1, True], rel=0.1)


def test_settling_changes_the_statistics_alone():
    model, x = small_net(), noise(40, 2, 8, 8)
    model[1].eval(), model[3].train()
    model[1].momentum = 0.3
    before, seed = state_of(model), torch.random.get_rng_state()
    assert settle_batchnorm(model, x) is model
    after = state_of(model)
    assert after[:2] == before[:2] and model[1].momentum == 0.3
    changed = {name for name in before[3] if not torch.equal(before[3][name], after[3][name])}
    assert {"1.running_mean", "1.running_var"} <= changed
    assert changed <= {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    assert torch.equal(torch.random.get_rng_state(), seed)  # dropout drew nothing
    again = settle_batchnorm(model, x)
    assert torch.equal(
        statistics(again), torch.cat([after[3][f"1.running_{k}"] for k in ("mean", "var")])
    )


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (noise(8, 5, 8, 8), RuntimeError, "channels"),
        (noise(1, 2, 8, 8), ValueError, "at least 2 images"),
        ([noise(8, 2, 8, 8), noise(1, 2, 8, 8)], ValueError, "batch 1 of images must hold"),
        ([], ValueError, "empty iterable"),
    ],
)
def test_statistics_are_as_before_where_images_do_not_fit(images, error, message):
    model = small_net()
    before = state_of(model)
    with pytest.raises(error, match=message):
        settle_batchnorm(model, images)
    assert_same_state(before, state_of(model))


def test_only_modules_are_settled():
    with pytest.raises(TypeError, match=r"must be an nn\.Module, got function"):
        settle_batchnorm(lambda x: x, noise(4, 1, 8, 8))
    plain = nn.Linear(2, 2)
    assert settle_batchnorm(plain, noise(4, 1, 2, 2).float()) is plain  # none to settle


def test_a_silent_network_is_silent_where_denormals_are_flushed():
    """As they are once something has been trained."""
    torch.set_flush_denormal(True)
    try:
        for average in ("rms", "mean"):
            found = measure_sensitivity(lambda x: 0 * fan(3)(x), noise(5, 1, 6, 6), average=average)
            assert found.values.max() == found.stderr.max() == 0
    finally:
        torch.set_flush_denormal(False)
