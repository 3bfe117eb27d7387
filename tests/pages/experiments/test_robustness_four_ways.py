"""Statements on four ways of training that the tests of the library do not check."""

import math

import pytest
import torch
from draws import fields, noise
from networks import linear_net
from recorded import dataset
from tolerances import ATOL, SIGMAS
from torch.nn.functional import softplus

from freqsense import (
    experiments,
    fourier,
    images,
    models,
    robustness,
    sensitivity,
    theory,
    training,
)

TIGHT = ATOL[torch.float64]
SHAPES = [(1, 6, 6), (2, 5, 7)]


def squared_loss(model, x, y):
    return (model(x).detach() - y).square().sum(1) / 2


def even_power(shape, seed):
    return fourier.fft2(noise(*shape, seed=seed)).abs().square()


@pytest.mark.parametrize("shape", SHAPES)
def test_prop_noise_is_ridge(shape):
    """The added loss is half of Σ P S², for noise that is no whiter than the network."""
    model, n = linear_net(2, shape, n_outputs=2), 20_000
    x, y = noise(n, *shape, seed=1), noise(n, 2, seed=2)
    S = sensitivity.measure_sensitivity(model, x[:2]).values
    power = S.square() / S.square().mean()
    eta = fields(power, n, seed=4)
    added = squared_loss(model, x + eta, y) - squared_loss(model, x, y)
    expected = (power * S.square()).sum() / 2
    error = added.std() / math.sqrt(n)
    assert abs(added.mean() - expected) < SIGMAS * error < 0.2 * expected
    # Negative control: as if the same power were spread over all frequencies.
    assert abs(added.mean() - (power.mean() * S.square()).sum() / 2) > SIGMAS * error


def test_prop_noise_is_ridge_for_the_minimiser():
    """White noise moves s to s + σ², at depth 1 and at depth 2, and leaves γ."""
    shape, sigma, lam = (6, 6), 0.8, 0.3
    power, cross = even_power(shape, 1) + 0.1, fourier.fft2(noise(*shape, seed=2))
    for depth in (1, 2):
        kappa = lam * 36 ** (-(depth - 1) / depth)
        s, gamma = power + sigma**2, cross.abs()
        formula = gamma / (s + lam) if depth == 1 else (gamma - kappa).clamp(min=0) / s
        found = theory.predict_sensitivity(s, cross, weight_decay=lam, depth=depth)
        assert torch.allclose(found, formula, atol=TIGHT)
    # Samples, depth 1: many noisy copies of the images against ridge on the clean ones.
    x = images.gaussian_field(60, shape=shape, alpha=1.0).double()
    y = x[:, 0, 2, 3] + noise(60, seed=5)
    copies = torch.cat([x + sigma * noise(*x.shape, seed=10 + k) for k in range(400)])
    noisy = theory.solve(copies, y.repeat(400), weight_decay=lam, depth=1).B.abs()
    ridge, plain = (
        theory.solve(x, y, weight_decay=decay, depth=1).B.abs() for decay in (lam + sigma**2, lam)
    )
    assert (noisy - ridge).norm() < 0.03 * ridge.norm() < 0.3 * (plain - ridge).norm()


@pytest.mark.parametrize("shape", SHAPES)
def test_prop_penalty_linear(shape):
    """The penalty μ adds to the squared loss what noise of power 2μ in the band adds."""
    model, mu, low, high, n = linear_net(2, shape), 0.7, 1.0, 2.6, 20_000
    x, y = noise(n, *shape, seed=1), noise(n, 1, seed=2)
    few = x[:3].clone().requires_grad_()
    value = robustness.band_penalty(mu, low=low, high=high)(few, model(few)).detach()
    band = fourier.radial_mask(shape[1:], low, high).double()
    S = sensitivity.measure_sensitivity(model, x[:3]).values
    assert torch.allclose(value, mu * (band * S.square()).sum(), atol=TIGHT)
    eta = fields((2 * mu * band).expand(shape), n, seed=4)
    added = squared_loss(model, x + eta, y) - squared_loss(model, x, y)
    error = added.std() / math.sqrt(n)
    assert abs(added.mean() - value) < SIGMAS * error < 0.2 * value
    outside = fields((2 * mu * (1 - band)).expand(shape), n, seed=4)
    elsewhere = squared_loss(model, x + outside, y) - squared_loss(model, x, y)
    assert abs(elsewhere.mean() - value) > SIGMAS * elsewhere.std() / math.sqrt(n)


@pytest.mark.parametrize("shape", SHAPES)
def test_prop_adversarial_linear(shape):
    """The worst loss is that of the margin less ρ times the dual norm, and no attack beats it."""
    model, rho = linear_net(2, shape), 0.4
    x, y = noise(30, *shape, seed=1), noise(30, seed=2).sign()
    B = theory.end_to_end(model).detach()[..., 0, :]
    b = fourier.ifft2(B.conj().permute(2, 0, 1)).real
    assert torch.allclose(b.norm().square(), B.abs().square().sum())
    margins = y * model(x).detach()[:, 0]
    for norm, dual, size in (
        ("l2", b.norm(), lambda d: d.flatten(1).norm(dim=1)),
        ("linf", b.abs().sum(), lambda d: d.abs().amax((1, 2, 3))),
    ):
        moved = robustness.pgd(model, x, y, radius=rho, norm=norm, random_start=False)
        loss = softplus(-y * model(moved).detach()[:, 0])
        assert torch.allclose(loss, softplus(rho * dual - margins), atol=TIGHT)
        for seed in range(20):
            stray = noise(*x.shape, seed=seed + 5)
            stray = rho * stray / size(stray)[:, None, None, None]
            assert (softplus(-y * model(x + stray).detach()[:, 0]) < loss).all()


def test_eq_adversarial_training():
    """Training sees the worst images: a step goes where the loss g(m - ρ‖b‖) falls."""
    shape, rho, lr = (1, 5, 6), 0.3, 0.1
    x, y = noise(32, *shape, seed=1), noise(32, seed=2).sign()
    options = {"epochs": 1, "lr": lr, "weight_decay": 0.0, "batch_size": 32, "loss": "logistic"}

    def head_after(attack):
        model = linear_net(2, shape, seed=3)
        augment = robustness.adversarial(model, radius=rho) if attack else None
        training.train(model, x, y, augment=augment, **options)
        return model.head.detach()

    twin = linear_net(2, shape, seed=3)
    norm = theory.end_to_end(twin)[..., 0, :].abs().square().sum().sqrt()
    softplus(rho * norm - y * twin(x)[:, 0]).mean().backward()
    expected = (twin.head - lr * twin.head.grad).detach()
    missed = (head_after(True) - expected).norm()
    assert missed < 0.2 * (head_after(False) - expected).norm()


def test_what_blur_empties_fades_with_decay_alone():
    """Beyond the cut-off sensitivity stays for λ = 0 and goes to zero for λ > 0."""
    shape, cut = (12, 12), 3
    x = images.gaussian_field(200, shape=shape, alpha=1.0).double()
    x = x / x.std()
    y = (x[:, 0] * noise(*shape, seed=7)).sum((1, 2)).sign()
    beyond = fourier.radial_mask(shape, cut, math.inf)

    def heard(weight_decay, before=False):
        model = models.linear_cnn(1, width=1, shape=shape).double()
        if not before:
            augment = robustness.low_pass_augment(cut)
            options = {"loss": "logistic", "augment": augment, "weight_decay": weight_decay}
            training.train(model, x, y, epochs=200, lr=0.2, batch_size=200, **options)
        return theory.end_to_end(model).detach()[..., 0, 0].abs()[beyond]

    start = heard(0.0, before=True)
    assert torch.allclose(heard(0.0), start, rtol=1e-9)
    assert heard(0.2).max() < 1e-3 * start.max()


def test_a_network_of_the_record_is_trained_again():
    """Rounding differs between processors, and training amplifies it."""
    again = experiments.train_and_measure(
        architecture="conv_actually-3-5x5", data="photographs", regime="gaussian_noise:0.3",
        weight_decay=0.001, n_train=2000, n_test=500, epochs=12, schedule="one_cycle", seed=0,
    )  # fmt: skip
    record = dataset("robustness").sel(regime="gaussian_noise:0.3", seed=0).squeeze(drop=True)
    ratio = again["sensitivity"][1].double() / torch.from_numpy(record.sensitivity.values)
    assert (ratio - 1).abs().max() < 0.05
    assert again["accuracy"] == pytest.approx(float(record.accuracy), abs=0.02)
