"""The paper's networks at scale: as wide and trained for as long as some minutes allow."""

import heapq
import json
import math
import time
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch

import freqsense
from freqsense import models, training
from freqsense._checks import as_choice, as_integer, as_positive
from freqsense._files import atomic_write
from freqsense.experiments import runs
from freqsense.experiments._records import read_json
from freqsense.experiments._specs import DATA, split_spec
from freqsense.experiments._workers import Run, run_here
from freqsense.experiments.sweep import Sweep
from freqsense.sensitivity import measure_sensitivity

__all__ = ["PAPER_NETWORKS", "Loading", "Timing", "plan_paper", "read_plan", "run_paper"]

# In the order of what each adds: where time runs out, the last ones are missing.
PAPER_NETWORKS = (
    "myrtle_cnn",
    "resnet-9",
    "conv_actually-4",
    "vgg-11-plain",
    "conv_actually-2",
    "vgg-11",
    "conv_actually-8",
    "conv_actually-1",
    "conv_actually-4-linear",
)
_FILTERS = ("none", "high_pass:8")
_SETTINGS: dict[str, Any] = {
    "lr": 0.0005,
    "schedule": "one_cycle",
    "weight_decay": 1e-5,
    "decay": "weights",
    "augment": True,
}
# What a plan holds, and the axes of its grid that are told of it.
_PLAN = {"freqsense": str, "asked": dict, "grid": dict}
_TOLD = (
    "architecture",
    "image_filter",
    "data",
    "width",
    "n_train",
    "steps",
    "batch_size",
    "precision",
)
_DATA_SETS = ("cifar10", "cifar10_jpeg")
_SHAPE = (3, 32, 32)  # of an image of theirs
_N_CLASSES = 10
_ALL = 10**9  # more images than there are

_FEWEST_EPOCHS = 3
_FEWEST_IMAGES = 1024
_MOST_EPOCHS = 10_000
_NARROWEST = 8
_LOOKS = 6
_N_MEASURED = 500  # images on which a run measures a sensitivity

# A look measures the network and, as a network twice as large, what it has learned.
_MEASUREMENTS_A_LOOK = 3

# Of the time that is left, this share is given away; the rest is for what was not foreseen.
_SHARE = 0.8


@dataclass(frozen=True)
class Loading:
    """The images of a data set, and how long a run takes over them beside its training.

    n_train, n_test : images there are
    first : seconds to load them the first time in a process
    again : seconds a run, to load and to filter images and for their statistics
    """

    n_train: int
    n_test: int
    first: float
    again: float


@dataclass(frozen=True)
class Timing:
    """Seconds that one network takes.

    step : for one step of its training
    look : for one measurement of its sensitivity
    """

    step: float
    look: float


def plan_paper(
    data: str,
    loading: Loading,
    time_networks: Callable[[int], Iterable[Timing]],
    seconds_left: Callable[[], float],
    *,
    width: int = 64,
    n_workers: int = 1,
    batch_size: int = 128,
    precision: str = "float32",
) -> dict[str, list]:
    """The largest grid of the paper's networks that fits into the time that is left.

    All images and the width asked for, if three epochs of them fit; else half the width, and so on
    down to 8; then fewer images, but 1,024 at least. Then as many epochs, the same for all
    networks, as fit. A fifth of the time is kept back for what was not foreseen. If not even the
    smallest grid fits, that is the plan, and several calls are needed.

    Parameters
    ----------
    data : as for :func:`.load_task`.
    loading : the images there are, and the time that they take.
    time_networks : of a width: times of :data:`PAPER_NETWORKS`, in their order, each measured when
        it is asked for.
    seconds_left : how many there are now.
    width : the largest.
    n_workers : runs at the same time, of which each takes as long as it was timed.
    batch_size, precision : as for :func:`.train_and_follow`.

    Returns
    -------
    dict
        The grid of a :class:`.Sweep` of :func:`.train_and_follow`: of natural and of high-passed
        images, network by network.

    Examples
    --------
    >>> from freqsense.experiments.scale import Loading, Timing, plan_paper
    >>> grid = plan_paper(
    ...     "cifar10", Loading(50_000, 10_000, first=0, again=10),
    ...     lambda width: 9 * [Timing(step=width * 3e-4, look=0.1)], lambda: 720,
    ... )
    >>> grid["width"], grid["n_train"], grid["steps"]
    ([32], [50000], [1564])
    """

    def fits(timings: Sequence[Timing], n_train: int = loading.n_train) -> bool:
        took = _duration(timings, loading, n_train, _FEWEST_EPOCHS, batch_size, n_workers)
        return took <= _usable(seconds_left(), loading)

    width, timings = _choose_width(time_networks, width, fits)
    n_train, epochs = _choose_training(
        timings, loading, batch_size, n_workers, _usable(seconds_left(), loading)
    )
    return {
        "architecture": [*PAPER_NETWORKS],
        "data": [data],
        "width": [width],
        "n_train": [n_train],
        "n_test": [loading.n_test],
        "steps": [epochs * math.ceil(n_train / batch_size)],
        "looks": [_LOOKS],
        "batch_size": [batch_size],
        "precision": [precision],
        **{name: [value] for name, value in _SETTINGS.items()},
        "seed": [0],
        "image_filter": [*_FILTERS],
    }


def _usable(seconds: float, loading: Loading) -> float:
    return _SHARE * (seconds - loading.first)


def _choose_width(
    time_networks: Callable[[int], Iterable[Timing]],
    width: int,
    fits: Callable[[Sequence[Timing]], bool],
) -> tuple[int, list[Timing]]:
    """The largest width that fits, or else the narrowest, and the times of all networks there."""
    while True:
        narrowest = width // 2 < _NARROWEST
        timings: list[Timing] = []
        for timing in time_networks(width):
            timings.append(timing)
            # The other networks can only add to what is too long already.
            if not narrowest and not fits(timings):
                break
        else:
            if any(math.isinf(timing.step) for timing in timings):
                raise ValueError(f"the device must hold the networks of width {width}: too little")
            return width, timings
        width //= 2


def _choose_training(
    timings: Sequence[Timing], loading: Loading, batch_size: int, n_workers: int, seconds: float
) -> tuple[int, int]:
    """Images, all of them if that is possible, and epochs that fit into some seconds."""

    def takes(n_train: int, epochs: int) -> float:
        return _duration(timings, loading, n_train, epochs, batch_size, n_workers)

    sizes = [*range(_FEWEST_IMAGES, loading.n_train, batch_size), loading.n_train]
    fitting = bisect_right(sizes, seconds, key=lambda n: takes(n, _FEWEST_EPOCHS))
    n_train = sizes[max(fitting - 1, 0)]
    numbers = range(_FEWEST_EPOCHS, _MOST_EPOCHS + 1)
    fitting = bisect_right(numbers, seconds, key=lambda epochs: takes(n_train, epochs))
    return n_train, numbers[max(fitting - 1, 0)]


def _duration(
    timings: Sequence[Timing],
    loading: Loading,
    n_train: int,
    epochs: int,
    batch_size: int,
    n_workers: int,
) -> float:
    """Seconds until the last run ends, when each begins as soon as a worker is free."""
    ends = [0.0] * n_workers
    for timing in timings:
        # One epoch more, for the accuracy at the end; one look more, for the untrained network.
        training_time = (epochs + 1) * math.ceil(n_train / batch_size) * timing.step
        looking = (min(epochs, _LOOKS) * _MEASUREMENTS_A_LOOK + 1) * timing.look
        seconds = training_time + looking + loading.again * n_train / loading.n_train
        for _ in _FILTERS:
            heapq.heapreplace(ends, ends[0] + seconds)
    return max(ends)


def run_paper(
    folder: str | PathLike,
    *,
    minutes: float,
    data: str = "cifar10",
    width: int = 64,
    n_workers: int = 1,
    retry_failures: bool = False,
    progress: bool = True,
) -> Sweep:
    """Train the paper's networks on natural and on high-passed images, in some minutes.

    The first call times a few steps of each network on the device there is, makes a plan
    (``plan_paper`` of ``experiments.scale``) and stores it in the folder, as ``plan.json``. A later
    call goes on with that plan where the one before it ended. When the minutes are over no run is
    begun any more, and those under way are finished; what is left then is what
    :meth:`.Sweep.remaining` tells.

    On a GPU networks are trained in bfloat16, in batches of 512. Without a GPU such a plan is not
    gone on with: nothing is run, and a warning says so.

    Parameters
    ----------
    folder : of the plan and the runs, one a data set and width.
    minutes : for all of it, timing included.
    data : ``"cifar10"``, ``"cifar10:M"`` or ``"cifar10_jpeg"``, see :func:`.load_task`.
    width : of the networks, at most.
    n_workers : processes, which share the GPUs there are.
    retry_failures : whether to do runs again that failed earlier.
    progress : whether to show a progress bar.

    Returns
    -------
    Sweep
        Whose ``dataset()`` is what there is by now.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind or out of range, the folder holds the plan of other
        data, another width or version, or the data cannot be loaded.
    ImportError
        If there are several workers, and joblib is not installed.

    Source
    ------
    arXiv 2210.01257.

    Examples
    --------
    >>> from freqsense import experiments
    >>> experiments.run_paper("paper.runs", minutes=12, data="photographs")
    Traceback (most recent call last):
    ValueError: data must be one of cifar10, cifar10_jpeg, got 'photographs'
    """
    deadline = time.time() + 60 * as_positive(minutes, "minutes")
    as_choice(str(data).partition(":")[0], "data", _DATA_SETS)
    split_spec(data, "data", DATA)
    asked = {"data": data, "width": as_integer(width, "width", 1)}
    n_workers = as_integer(n_workers, "n_workers", 1)
    grid = _grid_as_planned(Path(folder), asked)
    if grid is None:
        grid = _make_plan(data, width, n_workers, deadline)
        _write_plan(Path(folder), asked, grid)
    sweep = Sweep(runs.train_and_follow, grid, folder, name="train_and_follow")
    left = (deadline - time.time()) / 60
    if grid["precision"] == ["bfloat16"] and not torch.cuda.is_available():
        if sweep.remaining():
            warnings.warn("the plan in the folder needs a GPU: nothing was run here", stacklevel=2)
    elif left > 0:
        sweep.compute(
            n_workers=n_workers, minutes=left, retry_failures=retry_failures, progress=progress
        )
    return sweep


def read_plan(folder: Path) -> dict[str, Any] | None:
    """Return the plan in a folder: what was asked for, its version and grid; None if there is none.

    Parameters
    ----------
    folder : as for :func:`run_paper`.

    Raises
    ------
    NotADirectoryError, ValueError
        If the folder is a file, or the file is no plan.
    """
    path = folder / "plan.json"
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"folder must be a folder, got the file {folder}")
    if not path.exists():
        return None
    try:
        plan = read_json(path)
        _ = [plan["grid"][axis][0] for axis in _TOLD]
        return {name: kind(plan[name]) for name, kind in _PLAN.items()}
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ValueError(f"{path} must be a plan, got: {error!r}") from error


def _grid_as_planned(folder: Path, asked: dict[str, Any]) -> dict[str, list] | None:
    """The grid of the plan in a folder, which must be of what is asked for; None without one."""
    if (plan := read_plan(folder)) is None:
        return None
    made_for = plan["asked"] | {"freqsense": plan["freqsense"]}
    wanted = asked | {"freqsense": freqsense.__version__}
    if made_for != wanted:
        path = folder / "plan.json"
        raise ValueError(f"{path} must be of {wanted}, got one of {made_for}: use another folder")
    return plan["grid"]


def _write_plan(folder: Path, asked: dict[str, Any], grid: dict[str, list]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    plan = {"freqsense": freqsense.__version__, "asked": asked, "grid": grid}
    atomic_write(folder / "plan.json", json.dumps(plan, indent=1).encode())


def _make_plan(data: str, width: int, n_workers: int, deadline: float) -> dict[str, list]:
    """Load the images, time the networks, and plan."""
    on_gpu = torch.cuda.is_available()
    batch_size, precision = (512, "bfloat16") if on_gpu else (128, "float32")
    # By workers, as the runs are done later: they keep what they have decoded.
    [found] = _do(_time_loading, [{"data": data}], n_workers)
    loading = Loading(
        int(found["n_train"]), int(found["n_test"]), float(found["first"]), float(found["again"])
    )
    return plan_paper(
        data,
        loading,
        lambda width: _time_networks(width, n_workers, batch_size, precision),
        lambda: deadline - time.time(),
        width=width,
        n_workers=n_workers,
        batch_size=batch_size,
        precision=precision,
    )


def _time_networks(width: int, n_workers: int, batch_size: int, precision: str) -> Iterator[Timing]:
    """Times of the paper's networks, in their order."""
    shared = {"width": width, "batch_size": batch_size, "precision": precision}
    asked = [{"architecture": name} | shared for name in PAPER_NETWORKS]
    # As many at a time as will run at a time, since they share what there is.
    for start in range(0, len(asked), n_workers):
        for found in _do(_time_network, asked[start : start + n_workers], n_workers):
            yield Timing(float(found["step"]), float(found["look"]))


def _do(function: Callable, configurations: list[dict], n_workers: int) -> list[dict]:
    """What a function returns for each configuration, computed as the runs of a sweep are."""
    asked = [Run(function, function.__name__, c, freqsense.__version__) for c in configurations]
    found = {}
    for record, values in run_here(asked, n_workers):
        if values is None:
            raise ValueError(record["error"].partition(": ")[2])
        found[record["key"]] = {name: array for name, (_, array) in values.items()}
    return [found[run.key] for run in asked]


def _time_loading(*, data: str) -> dict[str, float]:
    """What a :class:`Loading` holds."""
    begun = time.perf_counter()
    task = runs.load_task(data, size=_SHAPE[1], n_train=_ALL, n_test=_ALL)
    loaded = time.perf_counter()
    task = runs.load_task(
        data, size=_SHAPE[1], n_train=_ALL, n_test=_ALL, image_filter=_FILTERS[-1]
    )
    runs.label_statistics(task.images, task.labels)
    return {
        "n_train": len(task.images),
        "n_test": len(task.test_images),
        "first": loaded - begun,
        "again": time.perf_counter() - loaded,
    }


def _time_network(
    *, architecture: str, width: int, batch_size: int, precision: str
) -> dict[str, float]:
    """What a :class:`Timing` holds, infinite for a network too large for the device."""
    try:
        return _time_steps(architecture, width, batch_size, precision)
    except torch.cuda.OutOfMemoryError:
        return {"step": math.inf, "look": math.inf}
    finally:
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # for the other workers on the device


def _time_steps(architecture: str, width: int, batch_size: int, precision: str) -> dict[str, float]:
    on_gpu = torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    n_batches, n_measured = (10, _N_MEASURED) if on_gpu else (1, 16)
    images = torch.randn(n_batches * batch_size, *_SHAPE, device=device)
    labels = torch.arange(len(images), device=device) % _N_CLASSES
    model = models.build(architecture, width=width, shape=_SHAPE, n_outputs=_N_CLASSES).to(device)
    if precision == "bfloat16":
        # torch's own type hints know of no module's memory format.
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    history = training.train(
        model,
        images,
        labels,
        epochs=3,  # the first of which warms up
        batch_size=batch_size,
        optimizer="adam",
        autocast=precision == "bfloat16",
        **_SETTINGS | {"augment": training.flip_and_crop},
    )
    seconds = [_time_look(model, images[:n_measured]) for _ in range(2)]
    look = min(seconds) * _N_MEASURED / n_measured
    return {"step": min(history.seconds[1:]) / n_batches, "look": look}


def _time_look(model: torch.nn.Module, images: torch.Tensor) -> float:
    begun = time.perf_counter()
    measure_sensitivity(model, images).values.sum().item()  # a number waits for the device
    return time.perf_counter() - begun
