"""Statements of the page "Measuring sensitivity", and its claims over several seeds."""

import math

import pytest
import torch
from draws import noise
from networks import seeded
from tolerances import ATOL, SIGMAS
from torch import nn

from freqsense import filters, fourier, images, layers
from freqsense.sensitivity import measure_sensitivity, slope
from freqsense.training import train

SHAPES = [(8, 8), (7, 7), (6, 9), (7, 4)]
TIGHT = ATOL[torch.float64]


@seeded
def kinked_net(channels=2, n_outputs=3, activation=nn.ReLU):
    return nn.Sequential(
        nn.Conv2d(channels, 6, 3, padding=1),
        activation(),
        nn.Conv2d(6, 6, 3, padding=1),
        activation(),
        nn.AdaptiveAvgPool2d(3),
        nn.Flatten(),
        nn.Linear(54, n_outputs),
    ).double()


def gradients(model, x):
    """Gradients (N, K, C, H, W)."""
    x = x.clone().requires_grad_()
    f = model(x)
    rows = [torch.autograd.grad(f[:, k].sum(), x, retain_graph=True)[0] for k in range(f.shape[1])]
    return torch.stack(rows, 1)


def unit_waves(x, channel, frequency, phases):
    """Waves of one channel, one phase for each image, (N, C, H, W)."""
    mode = fourier.fourier_mode(tuple(x.shape[-2:]), *frequency)
    wave = torch.zeros_like(x)
    wave[:, channel] = (2**0.5 * torch.exp(1j * phases)[:, None, None] * mode).real
    return wave


def slopes_along(model, x, wave):
    """Derivatives (N, K) by forward-mode differentiation: no gradient, no transform."""
    return torch.func.jvp(model, (x.contiguous(),), (wave.contiguous(),))[1].detach()


def uniform_phases(n, seed):
    return 2 * torch.pi * torch.rand(n, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("shape", SHAPES)
def test_thm_gradient_transform(shape):
    model, x = kinked_net(), noise(1, 2, *shape)
    ghat = fourier.fft2(gradients(model, x))[0]  # (K, C, H, W)
    turn = 2 * torch.pi * torch.arange(12, dtype=torch.float64) / 12
    copies = x.expand(12, -1, -1, -1)
    for frequency in ((0, 0), (1, 1), (-2, 1), (shape[0] // 2, 0)):
        for channel in (0, 1):
            wave = unit_waves(copies, channel, frequency, turn)
            found = slopes_along(model, copies, wave)  # (12, K)
            at = ghat[:, channel, frequency[0], frequency[1]]
            said = 2**0.5 * at.abs() * torch.cos(turn[:, None] - at.angle())
            assert torch.allclose(found, said, atol=TIGHT)
            assert torch.allclose(found.square().mean(0).sqrt(), at.abs(), atol=TIGHT)
            lengths = wave.square().sum((1, 2, 3))
            own_mirror = all(2 * k % n == 0 for k, n in zip(frequency, shape, strict=True))
            assert torch.allclose(lengths.mean(), torch.ones_like(lengths[0]), atol=TIGHT)
            assert own_mirror == (lengths.std() > 0.1)
    # Part 2, the real and the imaginary part one by one.
    mode = fourier.fourier_mode(shape, 1, -1)
    for part, expected in (
        (mode.real, ghat[:, 1, 1, -1].real),
        (mode.imag, -ghat[:, 1, 1, -1].imag),
    ):
        wave = torch.zeros_like(x)
        wave[0, 1] = part
        assert torch.allclose(slopes_along(model, x, wave)[0], expected, atol=TIGHT)
    # Part 3, autograd's derivative with respect to complex coefficients.
    jacobian = torch.autograd.functional.jacobian(
        lambda xhat: model(fourier.ifft2(xhat).real)[0], fourier.fft2(x)
    )[:, 0]
    assert torch.allclose(jacobian, ghat, atol=TIGHT)
    assert not torch.allclose(jacobian, ghat.conj(), atol=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_thm_random_wave(shape):
    """Twelve equally spaced phases average cos² exactly."""
    model, x = kinked_net(), noise(5, 2, *shape)
    values = measure_sensitivity(model, x).values
    turn = 2 * torch.pi * torch.arange(12, dtype=torch.float64) / 12
    many, phases = x.repeat_interleave(12, 0), turn.repeat(5)
    for channel, frequency in ((0, (0, 0)), (1, (1, 1)), (0, (-2, 1)), (1, (0, 2))):
        found = slopes_along(model, many, unit_waves(many, channel, frequency, phases))
        expected = values[channel, frequency[0], frequency[1]]
        assert torch.allclose(found.square().sum(1).mean().sqrt(), expected, atol=TIGHT)


@pytest.mark.parametrize("shape", SHAPES)
def test_thm_total_sensitivity(shape):
    model, x = kinked_net(), noise(5, 2, *shape)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda one: model(one[None])[0]))(x)
    expected = jacobian.square().flatten(1).sum(1).mean()
    assert torch.allclose(measure_sensitivity(model, x).values.square().sum(), expected, atol=TIGHT)


@pytest.mark.parametrize("shape", [(8, 8), (7, 9)])
@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_thm_noise_response(shape, alpha):
    model, x = kinked_net(channels=1), noise(1, 1, *shape)
    n = 5_000
    eta = images.gaussian_field(n, shape=shape, alpha=alpha, seed=3).double()
    change = slopes_along(model, x.expand(n, -1, -1, -1), eta).square().sum(1)
    law = fourier.radial_frequency(shape).clamp(min=1e-9) ** -alpha
    law[0, 0] = 0
    power = law * math.prod(shape) / law.sum()
    sensitivity = measure_sensitivity(model, x).values[0]
    expected = (power * sensitivity.square()).sum()
    assert abs(change.mean() - expected) < SIGMAS * change.std() / math.sqrt(n)
    # The spectrum counts: white noise of the same strength would do something else.
    if alpha:
        white = sensitivity.square().sum() - sensitivity[0, 0] ** 2
        assert abs(white * math.prod(shape) / (math.prod(shape) - 1) / expected - 1) > 0.1


def deviations(model, x, frequency, sizes, seed):
    """Relative deviation from the linear term at each size, and its prediction's jump."""
    slope_at = {}
    for name, offset in (("measured", 0), ("predicted", 1000)):
        wave = unit_waves(x, 0, frequency, uniform_phases(len(x), seed + offset))
        slope_at[name] = wave, slopes_along(model, x, wave)
    wave, start = slope_at["measured"]
    with torch.no_grad():
        missed = [model(x + e * wave) - model(x) - e * start for e in sizes]
    unit = start.square().sum(1).mean()
    found = [
        float((m.square().sum(1).mean() / unit).sqrt()) / e
        for m, e in zip(missed, sizes, strict=True)
    ]
    wave, start = slope_at["predicted"]
    jump = slopes_along(model, x + 0.02 * wave, wave) - start
    return found, float(jump.square().sum(1).mean() / start.square().sum(1).mean())


@pytest.mark.parametrize("seed", range(3))
def test_thm_linear_regime(seed):
    """Exponents 3/2 and 2, with constants from slopes alone, for networks of several seeds."""
    x, sizes = noise(2000, 1, 8, 8, seed=seed), (0.004, 0.01, 0.025)
    found, jump = deviations(kinked_net(1, seed=seed), x, (1, 2), sizes, seed)
    said = [math.sqrt(jump / 0.02 * e / 3) for e in sizes]
    assert all(abs(f / s - 1) < 0.25 for f, s in zip(found, said, strict=True))
    wrong = [math.sqrt(jump) / 0.02 * e / 2 for e in sizes]  # as if it were smooth
    assert abs(found[0] / wrong[0] - 1) > 0.4
    found, jump = deviations(kinked_net(1, seed=seed, activation=nn.Tanh), x, (1, 2), sizes, seed)
    said = [math.sqrt(jump) / 0.02 * e / 2 for e in sizes]
    assert all(abs(f / s - 1) < 0.1 for f, s in zip(found, said, strict=True))
    assert abs(found[2] / found[0] / (sizes[2] / sizes[0]) - 1) < 0.02


def test_thm_linear_regime_with_known_kinks():
    """A single kink of known place and jump: d = a (ε - t)₊, uniform t, so that q = a² / t_max."""
    kink = torch.rand(400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    jump = 2.0
    for size in (0.1, 0.3):
        mean = (jump * (size - kink).clamp(min=0)).square()
        expected = jump**2 * size**3 / 3
        assert abs(mean.mean() - expected) < SIGMAS * mean.std() / math.sqrt(len(kink))


@pytest.mark.parametrize("shape", SHAPES)
def test_thm_sensitivity_rules(shape):
    model, x = kinked_net(), noise(5, 2, *shape)
    values = measure_sensitivity(model, x).values
    frame = torch.linalg.qr(noise(5, 3))[0]  # (5, 3), orthonormal columns

    def turned(x):
        return -2 * model(x) @ frame.T + 7

    assert torch.allclose(measure_sensitivity(turned, x).values, 2 * values, atol=TIGHT)
    scaled = measure_sensitivity(lambda x: model(x / 3), 3 * x).values
    assert torch.allclose(scaled, values / 3, atol=TIGHT)
    layer = seeded(layers.CircularConv2d)(2, 2, 3, seed=1).double()
    transfer = layers.transfer_function(layer, shape).detach()  # (H, W, 2, 2)
    inner = fourier.fft2(gradients(model, layer(x).detach()))  # (N, K, 2, H, W)
    expected = torch.einsum("hwoc,nkohw->nkchw", transfer.conj(), inner)
    found = fourier.fft2(gradients(lambda x: model(layer(x)), x))
    assert torch.allclose(found, expected, atol=TIGHT)
    # The same filter on every channel, and a shift.
    gain = 1 / (1 + fourier.radial_frequency(shape))

    def blur(x):
        return fourier.ifft2(gain * fourier.fft2(x)).real

    behind = measure_sensitivity(lambda x: model(blur(x)), x).values
    assert torch.allclose(behind, gain * measure_sensitivity(model, blur(x)).values, atol=TIGHT)
    shifted = measure_sensitivity(lambda x: model(x.roll((2, -1), (-2, -1))), x).values
    moved = measure_sensitivity(model, x.roll((2, -1), (-2, -1))).values
    assert torch.allclose(shifted, moved, atol=TIGHT)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("cut", [1, 2])
def test_negative_control_no_sensitivity_above_a_low_pass_filter(shape, cut):
    model, x = kinked_net(), noise(5, 2, *shape)
    low = fourier.radial_mask(shape, 0, cut)
    behind = measure_sensitivity(lambda x: model(fourier.ifft2(low * fourier.fft2(x)).real), x)
    assert behind.values[:, ~low].max() < TIGHT
    below = measure_sensitivity(model, filters.low_pass(x, cut)).values[:, low]
    assert torch.allclose(behind.values[:, low], below, atol=TIGHT) and below.min() > 1e-4


def test_lem_mean_below():
    model, x = kinked_net(), noise(20, 2, 7, 9)
    root, mean = (measure_sensitivity(model, x, average=a).values for a in ("rms", "mean"))
    assert (mean < root).all()
    # The norm over the outputs of each image first, as the paper's code has it, is between them.
    pixels = torch.func.vmap(torch.func.jacrev(lambda one: model(one[None])[0]))(x)
    published = fourier.fft2(pixels).abs().square().sum(1).sqrt().mean(0)
    assert (mean < published).all() and (published < root).all()
    weights = noise(2, 1 * 5 * 6)

    def linear(x):
        return x.flatten(1) @ weights.T

    z = noise(3, 1, 5, 6)
    same = [measure_sensitivity(linear, z, average=a).values for a in ("rms", "mean")]
    assert torch.allclose(*same, atol=TIGHT)

    def square(x):  # the gradient is the image: white noise has circular Gaussian coefficients
        return x.square().sum((1, 2, 3))[:, None] / 2

    white = noise(40_000, 1, 5, 5, seed=2)
    maps = [measure_sensitivity(square, white, average=a) for a in ("mean", "rms")]
    ratio = maps[0].values / maps[1].values
    error = (maps[0].stderr / maps[0].values + maps[1].stderr / maps[1].values).max()
    off = torch.ones(1, 5, 5, dtype=torch.bool)
    off[0, 0, 0] = False  # DC is real
    assert ((ratio - math.sqrt(math.pi) / 2).abs()[off] < SIGMAS * error).all()
    assert abs(ratio[0, 0, 0] - math.sqrt(2 / math.pi)) < SIGMAS * error


@pytest.mark.parametrize("n_outputs", [1, 2, 4])
def test_thm_probe_variance(n_outputs):
    """All sign vectors of one image, and the two sources of scatter over many images."""
    model, x = kinked_net(n_outputs=n_outputs), noise(6, 2, 5, 6)
    ghat = fourier.fft2(gradients(model, x))  # (N, K, C, H, W)
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * n_outputs).reshape(-1, n_outputs)
    probe = torch.einsum("zk,nkchw->znchw", signs.to(ghat.dtype), ghat).abs().square()
    gram = torch.einsum("njchw,nkchw->njkchw", ghat.conj(), ghat).real
    p = ghat.abs().square().sum(1)
    pairs = gram.square().sum((1, 2)) - gram.diagonal(dim1=1, dim2=2).square().sum(-1)
    assert torch.allclose(probe.mean(0), p, atol=TIGHT)
    assert torch.allclose(probe.var(0, correction=0), 2 * pairs, atol=TIGHT)
    assert (2 * pairs <= 2 * (1 - 1 / n_outputs) * p.square() + TIGHT).all()
    assert (pairs.max() > 1e-8) == (n_outputs > 1)


def test_thm_probe_variance_with_several_probes():
    """Var = (V_x + V_z / m) / N, with images drawn from a finite set."""
    model, x = kinked_net(channels=1, n_outputs=4), noise(50, 1, 6, 6)
    ghat = fourier.fft2(gradients(model, x))[:, :, 0]
    gram = torch.einsum("njhw,nkhw->njkhw", ghat.conj(), ghat).real
    pairs = gram.square().sum((1, 2)) - gram.diagonal(dim1=1, dim2=2).square().sum(-1)
    v_z, v_x = 2 * pairs.mean(0), ghat.abs().square().sum(1).var(0, correction=0)
    draw = torch.Generator().manual_seed(0)
    for m in (1, 3):
        squares = []
        for seed in range(400):
            some = x[torch.randint(50, (30,), generator=draw)]
            result = measure_sensitivity(model, some, method="probe", n_probes=m, seed=seed)
            squares.append(result.values[0].square())
        ratio = torch.stack(squares).var(0) / ((v_x + v_z / m) / 30)
        assert abs(ratio.mean() - 1) < 0.1 and (ratio - 1).abs().max() < 0.5


# Claims of the page about trained networks, over seeds.


@seeded
def small_cnn(n_outputs):
    """The network of the page."""
    circular = {"stride": 2, "padding": 2, "padding_mode": "circular"}
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, **circular),
        nn.ReLU(),
        nn.Conv2d(8, 16, 5, **circular),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(256, n_outputs),
    )


def slope_of(model, x):
    return slope(measure_sensitivity(model, x).radial()[0], 1, x.shape[-1] // 2 - 2).slope


def test_untrained_networks_have_no_tilt_unless_they_average_pixels():
    x = images.gaussian_field(100, shape=(24, 24), alpha=2.0)
    plain = [slope_of(small_cnn(8, seed=seed), x) for seed in range(6)]
    assert max(abs(s) for s in plain) < 0.3
    tilted = []
    for seed in range(6):
        net = small_cnn(8, seed=seed)
        for layer in (net[0], net[2]):
            layer.stride = (1, 1)
        pooled = nn.Sequential(
            net[0], net[1], nn.AvgPool2d(2), *net[2:4], nn.AvgPool2d(2), *net[4:]
        )
        tilted.append(slope_of(pooled, x))
    assert max(tilted) < -0.4


@pytest.mark.parametrize("seed", range(5, 8))
def test_networks_trained_on_steeper_fields_are_tilted_more(seed):
    """Seeds and a teacher that the page does not use."""
    slopes = []
    teacher = torch.randn(256, generator=torch.Generator().manual_seed(seed))
    for alpha in (0.0, 2.0):
        fields = images.gaussian_field(1500, shape=(16, 16), alpha=alpha, seed=seed)
        labels = (fields.flatten(1) @ teacher).sign()
        model = small_cnn(1, seed=seed)
        train(
            model, fields, labels, epochs=8, lr=5e-3, weight_decay=0.03, seed=seed,
            batch_size=64, optimizer="adam", loss="logistic",
        )  # fmt: skip
        slopes.append(slope_of(model, images.gaussian_field(100, shape=(16, 16), alpha=alpha)))
    assert slopes[1] < slopes[0] - 0.2
    assert slopes[1] < -0.3
