"""Sweeps: two local workers against one, and what a Dask cluster adds to the bare runs."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from timing import print_row

from freqsense.experiments import Sweep

N_RUNS = 16
NAP = 1.0  # seconds


def train_small(seed, steps=400):
    """A few seconds on one thread: a small network and its gradients on 32x32 images."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(64, 3, 32, 32, generator=generator)
    weights = torch.randn(8, 3, 3, 3, generator=generator).requires_grad_()
    for _ in range(steps):
        loss = torch.nn.functional.conv2d(images, weights).relu().square().mean()
        (gradient,) = torch.autograd.grad(loss, weights)
        weights = (weights - 0.01 * gradient).detach().requires_grad_()
    return {"loss": loss.item()}


def nap(index):
    """Nothing but time, so that all above it is overhead."""
    time.sleep(NAP)
    return {"index_squared": index**2}


def seconds_of_sweep(function, grid, **options):
    """Wall time of a whole sweep in a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        Sweep(function, grid, folder).run(progress=False, **options)
        return time.perf_counter() - start


def bench_two_workers():
    """The pool starts anew for the first figure, start of its processes included."""
    grid = {"seed": list(range(N_RUNS))}
    one = seconds_of_sweep(train_small, grid)
    cold = seconds_of_sweep(train_small, grid, n_workers=2)
    warm = seconds_of_sweep(train_small, grid, n_workers=2)
    name = f"{N_RUNS} runs of {one / N_RUNS:.1f} s, two workers / one"
    print_row(f"{name}, processes started", f"{one / cold:.2f}x", "at least 1.7x")
    print_row(f"{name}, processes there", f"{one / warm:.2f}x", "at least 1.7x")


def bench_dask(rounds=3):
    """Overhead a run of one worker process: the sweep's time above its naps, connection included.

    It does not grow with the length of a run, so it is measured on short ones and compared to 10 s.
    """
    grid = {"index": list(range(6))}
    bare = len(grid["index"]) * NAP
    with tempfile.TemporaryDirectory() as folder:
        contact = Path(folder) / "scheduler.json"
        processes = [start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", contact)]
        try:
            processes.append(start("dask_worker", "--nthreads", "1", "--no-nanny", contact))
            address = wait_for_address(contact)
            seconds_of_sweep(nap, {"index": [0]}, scheduler=address)  # imports in the worker
            totals = [seconds_of_sweep(nap, grid, scheduler=address) for _ in range(rounds)]
        finally:
            for process in processes[::-1]:
                process.kill()
                process.wait(20)
    overhead = (statistics.median(totals) - bare) / len(grid["index"])
    name = f"Dask, {overhead * 1e3:.0f} ms a run above {NAP:.0f} s naps, of a run of 10 s"
    print_row(name, f"{overhead / 10:.2%}", "under 5 %")


def start(program, *arguments):
    """A scheduler or worker; the last argument is where the scheduler leaves its address."""
    *options, contact = map(str, arguments)
    command = [sys.executable, "-m", f"distributed.cli.{program}", *options, "--no-dashboard"]
    paths = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        [*command, "--scheduler-file", contact], env=paths, stdout=quiet, stderr=quiet
    )


def wait_for_address(contact):
    """Address of the scheduler once it has written it."""
    for _ in range(300):
        if contact.exists():
            return json.loads(contact.read_text())["address"]
        time.sleep(0.1)
    raise TimeoutError("the scheduler did not start within 30 s")


if __name__ == "__main__":
    bench_two_workers()
    bench_dask()
