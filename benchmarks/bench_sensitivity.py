"""Exact and probed sensitivity against the bare passes and per-image Jacobians."""

import torch
from timing import median_seconds, print_row, time_pair
from torch import nn

from freqsense.sensitivity import measure_sensitivity

SHAPE = (3, 32, 32)


def small_cnn(n_outputs):
    """Three layers of width 16."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(256, n_outputs),
    ).eval()


def bare_passes(model, images, n_backward):
    """One forward pass and some backward passes to the pixels, nothing else."""
    for stack in images.split(256):
        x = stack.clone().requires_grad_()
        outputs = model(x)
        for k in range(n_backward):
            torch.autograd.grad(outputs[:, k].sum(), x, retain_graph=k < n_backward - 1)


def fourier_jacobians(model, images):
    """Mean squared derivative with respect to x-hat, image by image."""
    total = 0.0
    for image in images:

        def outputs_of(xhat):
            x = torch.fft.ifft2(xhat, norm="ortho").real
            return model(x[None])[0]

        xhat = torch.fft.fft2(image, norm="ortho")
        jacobian = torch.autograd.functional.jacobian(outputs_of, xhat)  # (K, C, H, W)
        total = total + jacobian.abs().square().sum(0)
    return (total / len(images)).sqrt()


def bench_against_bare_passes(images):
    model = small_cnn(10)
    for method, n_backward, target in [("exact", 10, 1.2), ("probe", 1, 1.3)]:
        *_, ratio = time_pair(
            lambda method=method: measure_sensitivity(model, images, method=method),
            lambda n_backward=n_backward: bare_passes(model, images, n_backward),
            rounds=7,
        )
        name = f"{method}, K = 10 / forward and {n_backward} backward"
        print_row(name, f"{ratio:.2f}x", f"at most {target}x")


def bench_against_jacobians(images):
    model = small_cnn(10)
    ours, theirs = measure_sensitivity(model, images).values, fourier_jacobians(model, images)
    assert torch.allclose(ours.float(), theirs, atol=1e-6)
    *_, ratio = time_pair(
        lambda: fourier_jacobians(model, images),
        lambda: measure_sensitivity(model, images),
        rounds=7,
    )
    print_row("per-image Jacobians / exact, K = 10", f"{ratio:.2f}x", "at least 1.5x")


def bench_probe_against_exact(images):
    *_, ratio = time_pair(
        lambda: measure_sensitivity(small_cnn(10), images),
        lambda: measure_sensitivity(small_cnn(10), images, method="probe"),
        rounds=7,
    )
    print_row("exact / probe, K = 10", f"{ratio:.1f}x", "at least 5x")
    few = images[:32]
    exact = median_seconds(lambda: measure_sensitivity(small_cnn(1000), few), rounds=1)
    probe = median_seconds(lambda: measure_sensitivity(small_cnn(1000), few, method="probe"))
    print_row("exact / probe, K = 1000", f"{exact / probe:.0f}x", "at least 200x")


if __name__ == "__main__":
    images = torch.rand(256, *SHAPE)
    bench_against_bare_passes(images)
    bench_against_jacobians(images)
    bench_probe_against_exact(images)
