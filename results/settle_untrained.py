"""Measure untrained networks with BatchNorm again, and write that into records: nothing else.

Records made before ``settle_batchnorm`` trusted each network's running averages, which keep a share
of the mean 0 and variance 1 that a new network has in store. What was trained is not touched. Run
it with ``FREQSENSE_CIFAR10`` set to the archive that the record of CIFAR-10 was made from.
"""

import itertools
import json
import sys
from functools import lru_cache
from pathlib import Path

import netCDF4
import numpy as np
from torch import nn

from freqsense import experiments, fourier, models, sensitivity

RECORDS = ("depth-decay", "hard-photographs", "paper-cifar10")
TASK = ("data", "size", "n_train", "n_test", "image_filter", "labels", "seed")

load = lru_cache(maxsize=1)(experiments.load_task)


def untrained_rings(configuration: dict) -> np.ndarray | None:
    """Ring means (R,) of a network before training; None if it has no BatchNorm."""
    task = load(**{name: configuration[name] for name in TASK})
    model = models.build(
        configuration["architecture"],
        width=configuration["width"],
        shape=tuple(task.images.shape[1:]),
        n_outputs=task.n_outputs,
        seed=configuration["seed"],
    )
    if not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        return None
    sensitivity.settle_batchnorm(model, task.images[:4096])
    found = sensitivity.measure_sensitivity(model, task.test_images[:500]).norm().values[0]
    return fourier.radial_average(found).mean.float().numpy()


def configurations(record: netCDF4.Dataset) -> list[tuple[tuple[int, ...], dict]]:
    """Place in the grid and configuration of each run, those of one task together."""
    declared = json.loads(record.configuration)
    grid, defaults = declared["grid"], declared["defaults"]
    places = itertools.product(*(range(len(values)) for values in grid.values()))
    found = [
        (place, defaults | {a: grid[a][k] for a, k in zip(grid, place, strict=True)})
        for place in places
    ]
    return sorted(found, key=lambda pair: [str(pair[1][name]) for name in TASK])


def settle(path: Path) -> int:
    """Replace what a record says of untrained networks with BatchNorm; return how many runs."""
    changed = 0
    with netCDF4.Dataset(path, "a") as record:
        for place, configuration in configurations(record):
            rings = untrained_rings(configuration)
            if rings is not None:
                record["untrained"][(*place, slice(None))] = rings
                changed += 1
        record["untrained"].comment = "BatchNorms settled by freqsense.sensitivity.settle_batchnorm"
    return changed


if __name__ == "__main__":
    for name in sys.argv[1:] or RECORDS:
        print(f"{name}: {settle(Path(__file__).with_name(f'{name}.nc'))} runs")
