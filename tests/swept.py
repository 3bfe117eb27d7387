"""Functions that sweeps run: in a module of their own, so that other processes can import them."""

import os
import resource
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from freqsense.experiments import Sweep


def draw(depth, decay, seed=0, size=3):
    """Numbers from each of the global generators, and from one seeded by the configuration."""
    own = torch.Generator().manual_seed(seed)
    global_draws = torch.rand(1).item() + np.random.rand()
    return {
        "loss": depth * decay + torch.rand(1, generator=own).item(),
        "global_draws": global_draws,
        "power": (("ky", "kx"), torch.rand(size, size + 1, generator=own, dtype=torch.float64)),
    }


def nap(index):
    time.sleep(0.02)
    return {"noise": ("x", np.random.rand(20_000)), "square": index**2}


def nap_longer(index):
    time.sleep(0.15)
    return {"noise": ("x", np.random.rand(10)), "square": index**2, "pid": os.getpid()}


def fail_at(index, marker="", bad=2):
    if index == bad and not (marker and Path(marker).exists()):
        raise ZeroDivisionError(f"no run {index}")
    return {"square": index**2}


def die_at(index, bad=1):
    if index == bad:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return {"square": index**2}


def differ(index):
    return {"a": 1.0} if index == 0 else {"b": 1.0}


def accept_anything(**configuration):
    return {"n_axes": len(configuration)}


def tell_device(index):
    time.sleep(0.2)
    return {"device": int(os.environ.get("CUDA_VISIBLE_DEVICES", -1)), "pid": os.getpid()}


def interrupt_at(index, bad=2):
    if index == bad:
        raise KeyboardInterrupt
    return {"square": index**2}


def fill(index):
    return {"field": ("x", np.zeros(1_000_000))}


def count_threads(index):
    return {"threads": torch.get_num_threads()}


def give(index, kind="number"):
    return {
        "number": {"x": np.float32(1)},
        "complex": {"x": 1j},
        "text": {"x": "one"},
        "wide": {"x": np.longdouble(1)},
        "no dims": {"x": np.zeros(3)},
        "few dims": {"x": ("y", np.zeros((3, 3)))},
        "same dims": {"x": (("y", "y"), np.zeros((3, 3)))},
        "axis": {"index": 1.0},
        "dim of an axis": {"x": ("index", np.zeros(3))},
        "name": {"a/b": 1.0},
        "empty": {},
        "none": None,
    }[kind]


@contextmanager
def file_size_limit(n_bytes):
    """As on a disk that is nearly full, no file of this process may be larger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def run(sweep, **options):
    return sweep.run(progress=False, **options)


def sweep_in_child(folder, n_runs, ready):
    ready.set()
    run(Sweep(nap, {"index": list(range(n_runs))}, folder))


def retry_in_child(folder, marker, ready):
    ready.set()
    sweep = Sweep(fail_at, {"index": [*range(30)], "marker": [marker]}, folder)
    sweep.compute(progress=False, retry_failures=True)


def follow(
    *,
    architecture,
    data,
    weight_decay,
    seed=0,
    image_filter="none",
    width=8,
    n_train=4000,
    n_test=1000,
    steps=3000,
    looks=6,
    batch_size=128,
    lr=0.001,
    schedule="one_cycle",
    decay="all",
    augment=False,
    precision="float32",
):
    """What stands in for hours of training."""
    time.sleep(0.1)
    return {"accuracy": 0.5, "sensitivity": (("look", "ring"), np.zeros((looks, 17)))}


def refuse_to_follow(*, architecture, data, weight_decay, image_filter="none", **rest):
    if image_filter != "none":
        raise ZeroDivisionError(image_filter)
    return follow(architecture=architecture, data=data, weight_decay=weight_decay)


def load_at_once(*, data):
    """What stands in for the loading of all images."""
    return {"n_train": 2000, "n_test": 100, "first": 0.0, "again": 0.001}


def time_at_once(*, architecture, width, batch_size, precision):
    """What stands in for a few steps of training."""
    return {"step": 1e-3, "look": 1e-4}
