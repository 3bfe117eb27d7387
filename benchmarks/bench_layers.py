"""Circular convolution by FFT against PyTorch's, the choice between them, and singular values."""

import itertools
import json
import sys
import time

import numpy as np
import torch
from scipy.optimize import least_squares, nnls
from timing import median_seconds, print_row, time_pair
from torch import nn

from freqsense import layers

# Batch, channels in and out, groups, side of the image and of the kernel.
FULL = (64, 16, 32, 1, 32, 32)

# Kernels from one pixel to the whole image, images, channels, batches; no direct run takes long.
SHAPES = [
    (n, *channels, side, kernel)
    for side, channels, n in itertools.product(
        (8, 16, 32, 64),
        [(1, 1, 1), (3, 16, 1), (16, 32, 1), (64, 64, 1), (32, 32, 32)],
        (1, 64),
    )
    for kernel in sorted({1, 3, 5, 9, 15, side})
    if kernel <= side and n * channels[0] * channels[1] // channels[2] * (side * kernel) ** 2 < 1e9
]
# Wide layers, in which the products between the transforms have a share that counts.
SHAPES += [
    (n, 256, 256, 1, side, kernel)
    for n, side, kernels in ((1, 8, (1, 3, 8)), (1, 16, (3, 9, 16)), (64, 8, (1, 3, 8)))
    for kernel in kernels
]


def make_job(shape, method, *, backward=False):
    """One call of the layer, with the backward pass or without gradients."""
    n, c_in, c_out, groups, side, kernel = shape
    x = torch.rand(n, c_in, side, side).requires_grad_(backward)
    if method == "conv2d":
        circular = {"padding": "same", "padding_mode": "circular", "groups": groups}
        layer = nn.Conv2d(c_in, c_out, kernel, **circular)
    else:
        layer = layers.CircularConv2d(c_in, c_out, kernel, groups=groups, method=method)

    def job():
        with torch.set_grad_enabled(backward):
            y = layer(x)
        if backward:
            y.backward(torch.ones_like(y))

    return job


def bare_fft(x, weight):
    """Transforms and matrix products, with no padding, phase, bias or check."""
    xhat = torch.fft.rfft2(x).permute(2, 3, 1, 0)  # (H, W // 2 + 1, C_in, N)
    what = torch.fft.rfft2(weight, s=x.shape[-2:]).conj().permute(2, 3, 0, 1)
    return torch.fft.irfft2((what @ xhat).permute(3, 2, 0, 1), s=x.shape[-2:])


def stages_only(x, weight):
    """The same transforms and products on arrays that happen to lie right: nothing is moved."""
    (n, c_in, height, width), c_out = x.shape, len(weight)
    n_half = height * (width // 2 + 1)
    xhat, what = torch.fft.rfft2(x), torch.fft.rfft2(weight, s=x.shape[-2:])
    product = what.view(n_half, c_out, c_in) @ xhat.view(n_half, c_in, n)  # not a convolution
    return torch.fft.irfft2(product.view(n, c_out, height, -1), s=x.shape[-2:])


def bench_full_kernel():
    """A kernel as large as the image, forward and backward."""
    for backward, target in ((False, 20), (True, 40)):
        ours, theirs = (make_job(FULL, name, backward=backward) for name in ("fft", "conv2d"))
        *_, ratio = time_pair(theirs, ours, rounds=3 if backward else 7)
        name = "nn.Conv2d / fft, 32x32 kernel" + (", and backward" if backward else ", forward")
        print_row(name, f"{ratio:.0f}x", f"at least {target}x")
    n, c_in, c_out, _, side, kernel = FULL
    x, weight = torch.rand(n, c_in, side, side), torch.rand(c_out, c_in, kernel, kernel)
    ours = make_job(FULL, "fft")
    for name, bare in [
        ("bare FFTs and products", bare_fft),
        ("the same, nothing moved in memory", stages_only),
    ]:
        *_, ratio = time_pair(ours, lambda bare=bare: bare(x, weight), rounds=25)
        print_row(f"fft / {name}", f"{ratio:.2f}x", "at most 1.4x")


def bench_choice(limit=1.2):
    """The automatic route against the better of the two, over the grid.

    Where it looks too slow it is timed again and again, for up to a second: the least times of a
    wrong choice stay apart, those of a disturbed run do not.
    """
    for backward in (False, True):
        found = []
        for shape in SHAPES:
            jobs = [make_job(shape, name, backward=backward) for name in layers.METHODS]
            auto, direct, fft = best_seconds(jobs, budget=0.1)
            for _ in range(5):
                if auto > limit * min(direct, fft):
                    again = best_seconds(jobs, budget=0.2)
                    auto, direct, fft = map(min, zip((auto, direct, fft), again, strict=True))
            found.append((auto / min(direct, fft), shape))
        (worst, shape), slow = max(found), sum(ratio > limit for ratio, _ in found)
        passes = "forward and backward" if backward else "forward"
        target = f"at most {limit}x; {slow} above, the worst at {shape}"
        print_row(f"auto / better route, {passes}, {len(SHAPES)} shapes", f"{worst:.2f}x", target)


def bench_singular_values():
    """Small SVDs against the dense one where that fits, and alone on a 32x32 image."""
    layer = nn.Conv2d(64, 64, 3, padding="same", padding_mode="circular")
    for side in (3, 4, 6):
        matrix = layers.circulant_matrix(layer, (side, side)).double()
        *_, ratio = time_pair(
            lambda matrix=matrix: torch.linalg.svdvals(matrix),
            lambda side=side: layers.singular_values(layer, (side, side)),
            rounds=3,
        )
        target = "at least 100x at 32x32, grows as the pixels squared"
        print_row(f"dense SVD / singular_values, 64 to 64, {side}x{side}", f"{ratio:.0f}x", target)
    seconds = median_seconds(lambda: layers.singular_values(layer, (32, 32)), rounds=3)
    print_row(
        "singular_values, 64 to 64, 32x32", f"{seconds * 1e3:.0f} ms", "dense: 34 GB of float64"
    )


def best_seconds(jobs, budget):
    """Least seconds of each job, in turns: what disturbs one run in ten leaves these alone.

    Each runs once untimed at its turn, since the job before leaves cold caches and an emptied heap;
    the turns go to and fro, so that no job always follows the same one.
    """
    turns = [(job, []) for job in jobs]
    start, rounds = time.perf_counter(), 0
    while rounds < 4 or (time.perf_counter() - start < budget and rounds < 40):
        for job, seconds in turns[:: (-1) ** rounds]:
            job()
            before = time.perf_counter()
            job()
            seconds.append(time.perf_counter() - before)
        rounds += 1
    return [min(seconds) for _, seconds in turns]


def calibrate(limit=110.0):
    """Fit the coefficients of ``choose_method`` to this machine and print them."""
    random = np.random.default_rng(0)
    for backward in (False, True):
        rows, start = [], time.perf_counter()
        for index in random.permutation(len(SHAPES)):
            if time.perf_counter() - start > limit:
                break
            n, c_in, c_out, groups, side, kernel = SHAPES[index]
            jobs = [make_job(SHAPES[index], name, backward=backward) for name in ("direct", "fft")]
            sizes = (n, c_in, side, side), (c_out, c_in // groups, kernel, kernel)
            terms = layers._cost_terms(*sizes, groups, backward)
            rows.append((terms, best_seconds(jobs, budget=0.05)))
        for route, name in enumerate(("direct", "fft")):
            terms = np.array([row[0][route] for row in rows], dtype=float)
            seconds = np.array([row[1][route] for row in rows])
            print(backward, name, json.dumps([float(f"{c:.2g}") for c in fit(terms, seconds)]))


def fit(terms, seconds):
    """Positive coefficients with the least error of the logarithm; outliers count little.

    The search starts from the least relative error, which has a single minimum.
    """
    used = terms.any(0)
    terms = terms[:, used]
    shares = terms / seconds[:, None]
    start = nnls(shares, np.ones(len(seconds)))[0]
    start = np.log(np.maximum(start, 1e-3 / shares.mean(0)))
    solution = least_squares(
        lambda logs: np.log(terms @ np.exp(logs)) - np.log(seconds),
        start,
        loss="soft_l1",
        f_scale=0.1,
    )
    coefficients = np.zeros(len(used))
    coefficients[used] = np.exp(solution.x)
    return coefficients


if __name__ == "__main__":
    if sys.argv[1:] == ["calibrate"]:
        calibrate()
    else:
        bench_full_kernel()
        bench_choice()
        bench_singular_values()
