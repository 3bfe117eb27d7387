"""Power spectra and ring averages against the bare lines one would write instead."""

import subprocess
import sys

import torch
from timing import median_seconds, print_row, time_pair

from freqsense import fourier, images, spectra

STREAM = """
import resource, sys, torch
from freqsense import spectra
batches = (torch.rand(100, 3, 32, 32) for _ in range(int(sys.argv[1]) // 100))
spectra.power_spectrum(batches)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def bare_sum(batches):
    """Sum of power, with neither variance nor checks."""
    return sum(torch.fft.rfft2(batch).abs().square().sum(0) for batch in batches)


def bench_power_spectrum():
    """One stack, and the same stack in batches of 100, each against the bare lines on the same."""
    for shape in [(6000, 1, 32, 32), (6000, 3, 32, 32), (1000, 3, 64, 64), (100, 3, 256, 256)]:
        stack = torch.rand(shape)
        for name, source in [("one stack", [stack]), ("batches of 100", stack.split(100))]:
            *_, ratio = time_pair(
                lambda source=source: spectra.power_spectrum(source),
                lambda source=source: bare_sum(source),
            )
            size = "x".join(map(str, shape))
            print_row(f"power_spectrum {size}, {name} / bare lines", f"{ratio:.2f}x", "at most 2x")


def bench_memory():
    """Peak memory of two processes that stream a different number of images."""
    peak = {n: _peak_kilobytes(n) / 1024 for n in (2_000, 40_000)}
    text = " / ".join(f"{megabytes:.0f} MB" for megabytes in peak.values())
    print_row("peak memory of 2,000 / 40,000 images of 3x32x32", text, "equal")


def bench_rings_and_leaves():
    """Single calls with a budget in milliseconds."""
    values = torch.rand(1024, 1024)
    budgets = [
        ("radial_average of 1024x1024", lambda: fourier.radial_average(values), 30),
        ("dead_leaves, one of 256x256", lambda: images.dead_leaves(1, shape=(256, 256)), 1000),
    ]
    for name, job, budget in budgets:
        print_row(name, f"{median_seconds(job) * 1e3:.1f} ms", f"under {budget} ms")


def _peak_kilobytes(n_images: int) -> int:
    command = [sys.executable, "-c", STREAM, str(n_images)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    bench_power_spectrum()
    bench_memory()
    bench_rings_and_leaves()
