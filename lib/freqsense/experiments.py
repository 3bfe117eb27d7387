"""Sweeps: a declared grid of runs, each stored once, on this machine or on a Dask cluster."""

import copy
import hashlib
import inspect
import io
import itertools
import json
import os
import platform
import shlex
import sys
import threading
import time
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import current_process
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import numpy as np
import torch
from tqdm.auto import tqdm

import freqsense
from freqsense._analysis import (  # noqa: F401 (what is read off a sweep is public here)
    explain_sensitivity,
    mean_and_error,
    ring_power,
    ring_slopes,
)
from freqsense._checks import as_choice, as_integer
from freqsense._files import replacing, write_whole
from freqsense._runs import (  # noqa: F401 (the runs themselves are public here)
    Task,
    label_statistics,
    load_task,
    train_and_attack,
    train_and_measure,
)

if TYPE_CHECKING:
    from distributed import Client
    from xarray import Dataset

_CONNECT = 5  # seconds that a scheduler has to answer
_LEFTOVER = 3600  # seconds after which a temporary file belongs to a killed process
_ONE_RUN_A_PROCESS = threading.Lock()  # threads of a Dask worker share seeds and thread counts


@dataclass(frozen=True)
class _Run:
    """One point of a grid, with all that its key depends on."""

    function: Callable
    name: str
    configuration: dict
    version: str

    @property
    def key(self) -> str:
        identity = {"function": self.name, "freqsense": self.version}
        return _digest(identity | {"configuration": self.configuration})


class Sweep:
    """A grid of runs of one function, each stored in a folder and never computed twice.

    A run is ``function(**configuration)``. Its file is named by the SHA-256 of the whole
    configuration (the values of the axes and the defaults of the function's other parameters), of
    the version of this library and of the function's qualified name. The body of the function is
    not part of it: after changing that, use a new folder. A file is complete or not there, whenever
    the process is killed; a damaged one is computed again.

    Every run computes with one torch thread, and the global generators of NumPy and torch are
    seeded from the configuration alone, so that a result depends neither on the order of the runs
    nor on the worker. Not so the module ``random``, from which a Dask worker draws for itself.

    Parameters
    ----------
    function : defined at the top level of a module. Returns a dict of names -> numbers or pairs
        (dims, array), such as ``{"loss": 0.1, "map": (("ky", "kx"), array)}``; every run the same
        names, dims and shapes.
    grid : dict of axes -> lists of values, all as in JSON. An axis is a parameter of the function.
    folder : where the results are, one file a run. Several sweeps may share it at the same time.

    Raises
    ------
    TypeError, ValueError
        If an axis is not a parameter of the function, a parameter has no value, an axis is empty or
        repeats a value, or a value is not one of JSON.

    Examples
    --------
    >>> import tempfile
    >>> from freqsense.experiments import Sweep
    >>> def area(width, height):
    ...     return {"area": width * height}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sweep = Sweep(area, {"width": [1, 2], "height": [10, 20]}, folder)
    ...     dataset = sweep.run(progress=False)
    >>> dataset.area.sel(width=2, height=20).item()
    40.0
    """

    def __init__(self, function: Callable, grid: dict[str, list], folder: str | PathLike):
        self._defaults = _check_function(function, grid)
        self.grid = _check_grid(grid)
        self.folder = Path(folder)
        name, version = _qualified_name(function), freqsense.__version__
        self._runs = [
            _Run(
                function, name, self._defaults | dict(zip(self.grid, values, strict=True)), version
            )
            for values in itertools.product(*self.grid.values())
        ]

    @property
    def configurations(self) -> list[dict]:
        """The whole configuration of each run, the last axis fastest."""
        return [copy.deepcopy(run.configuration) for run in self._runs]

    def run(
        self,
        *,
        n_workers: int = 1,
        scheduler: str | None = None,
        retry_failures: bool = False,
        progress: bool = True,
    ) -> "Dataset":
        """Do the runs that are not stored yet, and return the results of all.

        One worker is this process. More are processes of joblib; where there are GPUs, each gets
        one through ``CUDA_VISIBLE_DEVICES``, in turn. Workers of a Dask cluster are started beside
        it, for one GPU each with
        ``CUDA_VISIBLE_DEVICES=0 dask worker ADDRESS --nthreads 1`` and so on; they need this
        library and the module of the function, but not the folder.

        A run that raises, or takes its worker down, is recorded with its traceback and the rest
        goes on.

        Parameters
        ----------
        n_workers : processes on this machine, when there is no scheduler.
        scheduler : address of a Dask scheduler, such as "tcp://127.0.0.1:8786".
        retry_failures : whether to do the runs again that failed earlier.
        progress : whether to show a progress bar.

        Raises
        ------
        ConnectionError
            If no scheduler answers at the address, within seconds, or it is lost later.
        ImportError
            If there is a scheduler and the extra ``cluster`` is not installed.
        ValueError
            If two runs return different names, dims or shapes.
        """
        as_integer(n_workers, "n_workers", 1)
        client = None if scheduler is None else _connect(scheduler)
        self.folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(self.folder)
        pending = [run for run in self._runs if not self._is_settled(run, retry_failures)]
        outcomes = _run_on_cluster(pending, client) if client else _run_here(pending, n_workers)
        done = len(self._runs) - len(pending)
        with (
            closing(outcomes),
            tqdm(total=len(self._runs), initial=done, desc="runs", disable=not progress) as bar,
        ):
            for record, values in outcomes:
                self._store(record, values)
                bar.update()
        results = [self._read_result(run) for run in self._runs]
        if failures := self._failures(results):
            warnings.warn(
                f"{len(failures)} of {len(self._runs)} runs failed, the first with "
                f"{failures[0]['error'].splitlines()[0]}; tracebacks are in {self.folder}/*.json",
                stacklevel=2,
            )
        return self._assemble(results, failures)

    def failures(self) -> list[dict]:
        """The record of each failed run: its configuration, error, traceback and versions."""
        return self._failures(self._read_result(run) for run in self._runs)

    def dataset(self) -> "Dataset":
        """All stored results, one dimension an axis, with how they came about as attributes.

        Numbers are floats: NaN stands for a run that is missing. Attributes ``missing`` and
        ``failures`` list those runs, as JSON. Values of an axis that are neither all numbers, nor
        all strings, nor all booleans are labelled by their JSON text.
        """
        results = [self._read_result(run) for run in self._runs]
        return self._assemble(results, self._failures(results))

    def save(self, path: str | PathLike) -> None:
        """Write :meth:`dataset` to a compressed netCDF file, which is complete or not there."""
        dataset = self.dataset()
        compressed = {name: {"zlib": True} for name in dataset.data_vars}
        with replacing(Path(path)) as temporary:
            dataset.to_netcdf(temporary, engine="netcdf4", encoding=compressed)

    def _failures(self, results: Iterable[tuple | None]) -> list[dict]:
        """Return the records of the runs that have none of the results, if there are any."""
        pairs = zip(self._runs, results, strict=True)
        failed = (self._read_failure(run) for run, result in pairs if result is None)
        return [record for record in failed if record is not None]

    def _assemble(self, results: list[tuple | None], failures: list[dict]) -> "Dataset":
        import xarray  # here, since workers have no use for it and would import it for 0.6 s each

        present = [result for result in results if result is not None]
        for result in present[1:]:
            _check_agreement(present[0], result)
        names = present[0][1] if present else []
        variables = {name: self._fill(results, name) for name in names}
        coordinates = {axis: _labels(values) for axis, values in self.grid.items()}
        pairs = zip(self._runs, results, strict=True)
        missing = [run.configuration for run, result in pairs if result is None]
        provenance = self._provenance([record for record, _ in present], failures)
        return xarray.Dataset(variables, coordinates, provenance | {"missing": json.dumps(missing)})

    def _path(self, key: str, suffix: str) -> Path:
        return self.folder / f"{key}.{suffix}"

    def _is_settled(self, run: _Run, retry_failures: bool) -> bool:
        if self._read_result(run) is not None:
            return True
        return not retry_failures and self._read_failure(run) is not None

    def _store(self, record: dict, values: dict | None) -> None:
        failure = self._path(record["key"], "json")
        if values is None:
            write_whole(failure, json.dumps(record, indent=1).encode())
            return
        record = record | {"dims": {name: dims for name, (dims, _) in values.items()}}
        arrays = {f"value.{name}": array for name, (_, array) in values.items()}
        content = io.BytesIO()
        np.savez(content, record=np.array(json.dumps(record)), **arrays)
        write_whole(self._path(record["key"], "npz"), content.getvalue())
        failure.unlink(missing_ok=True)

    def _read_result(self, run: _Run) -> tuple[dict, dict] | None:
        """Return the record and values of a run, or None if there are none or they are damaged."""
        try:
            content = io.BytesIO(self._path(run.key, "npz").read_bytes())
        except FileNotFoundError:
            return None
        try:
            with zipfile.ZipFile(content) as archive:
                whole = archive.testzip() is None  # compares checksums
            content.seek(0)
            with np.load(content, allow_pickle=False) as stored:
                record = json.loads(stored["record"].item())
                names = record["dims"].items()
                values = {name: (tuple(dims), stored[f"value.{name}"]) for name, dims in names}
        except Exception:  # whatever damaged bytes lead to
            return None
        return (record, values) if whole and record["key"] == run.key else None

    def _read_failure(self, run: _Run) -> dict | None:
        try:
            record = json.loads(self._path(run.key, "json").read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return record if isinstance(record, dict) and record.get("key") == run.key else None

    def _fill(self, results: list, name: str) -> tuple[tuple, np.ndarray]:
        """Dims and values of one name over the grid, NaN where there is no result."""
        present = {row: result[1][name] for row, result in enumerate(results) if result is not None}
        dims, first = next(iter(present.values()))
        dtype = np.result_type(np.float32, *(array.dtype for _, array in present.values()))
        filled = np.full((len(results), *first.shape), np.nan, dtype)
        for row, (_, array) in present.items():
            filled[row] = array
        return (*self.grid, *dims), filled.reshape(*map(len, self.grid.values()), *first.shape)

    def _provenance(self, records: list[dict], failures: list[dict]) -> dict[str, str]:
        made_by = [record["versions"] for record in records] or [_versions()]
        versions = {
            name: ", ".join(sorted({versions[name] for versions in made_by})) for name in made_by[0]
        }
        failed = [
            {name: record[name] for name in ("configuration", "error")} for record in failures
        ]
        return versions | {
            "function": self._runs[0].name,
            "configuration": json.dumps({"grid": self.grid, "defaults": self._defaults}),
            "date": max((record["date"] for record in records), default=_now()),
            "command": shlex.join(["python", *sys.orig_argv[1:]]),
            "failures": json.dumps(failed),
        }


# The grid


def _check_function(function: Callable, grid: dict) -> dict:
    """Return the defaults of the parameters that are not axes."""
    if not inspect.isfunction(function) or "<" in function.__qualname__:
        raise TypeError(
            "function must be defined by def at the top level of a module, since its name is all "
            f"that a stored result knows of it; got {function!r}"
        )
    if not isinstance(grid, dict) or not grid:
        raise TypeError(f"grid must be a dict of axes -> lists of values, not empty, got {grid!r}")
    parameters = inspect.signature(function).parameters.values()
    named = {
        p.name: p.default for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        for axis in grid:
            as_choice(axis, f"axis of {function.__qualname__}", list(named))
    rest = {name: default for name, default in named.items() if name not in grid}
    if unset := [name for name, default in rest.items() if default is inspect.Parameter.empty]:
        raise ValueError(
            f"each parameter of {function.__qualname__} without a default must be an axis, "
            f"got none for {', '.join(unset)}"
        )
    return {name: _as_json(default, f"default of {name}") for name, default in rest.items()}


def _check_grid(grid: dict) -> dict[str, list]:
    checked = {}
    for axis, values in grid.items():
        if not isinstance(axis, str) or not axis.isidentifier():
            raise ValueError(f"names of axes must be identifiers, got {axis!r}")
        if not isinstance(values, list) or not values:
            raise TypeError(f"axis {axis} must be a list of values, not empty, got {values!r}")
        checked[axis] = [_as_json(value, f"value of axis {axis}") for value in values]
        if len(set(_labels(checked[axis]))) < len(values):
            raise ValueError(f"axis {axis} must not repeat a value, got {values!r}")
    return checked


def _as_json(value: object, name: str) -> object:
    """Return a copy of a value that JSON keeps as it is."""
    try:
        kept = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a value of JSON, got {value!r}: {error}") from error
    if kept != value:
        raise TypeError(f"{name} must be a value of JSON, got {value!r}, which becomes {kept!r}")
    return kept


def _labels(values: list) -> list:
    """Coordinates along an axis: of one kind, numbers, strings or booleans."""
    for kind in (bool, str, (int, float)):
        if all(isinstance(v, kind) and (kind is bool or not isinstance(v, bool)) for v in values):
            return values
    return [json.dumps(value) for value in values]


def _qualified_name(function: Callable) -> str:
    module = function.__module__
    if module == "__main__":  # a script has the name under which others would import it
        module = Path(getattr(sys.modules[module], "__file__", module)).stem
    return f"{module}.{function.__qualname__}"


def _digest(value: object) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


# One run


def _execute(run: _Run) -> tuple[dict, dict | None]:
    """Return the record of a run, and its values if it did not fail."""
    start = time.perf_counter()
    try:
        if freqsense.__version__ != run.version:
            raise RuntimeError(
                f"the worker must have freqsense {run.version}, got {freqsense.__version__}"
            )
        with _ONE_RUN_A_PROCESS, _own_state(run.configuration):
            returned = run.function(**copy.deepcopy(run.configuration))
        values = _as_values(returned, run.configuration)
    except (Exception, SystemExit) as error:
        return _record(run, error), None
    return _record(run) | {"seconds": round(time.perf_counter() - start, 3)}, values


def _record(run: _Run, error: BaseException | None = None) -> dict:
    """How a run came about, and what it failed with."""
    record = {
        "key": run.key,
        "function": run.name,
        "configuration": run.configuration,
        "versions": _versions(),
        "date": _now(),
    }
    if error is None:
        return record
    lines = "".join(traceback.format_exception(error))
    return record | {"error": f"{type(error).__name__}: {error}", "traceback": lines}


@contextmanager
def _own_state(configuration: dict) -> Iterator[None]:
    """One torch thread, denormals flushed, seeds from the configuration; then all put back."""
    seed = int(_digest(configuration)[:8], 16)
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    numpy_state, n_threads = np.random.get_state(), torch.get_num_threads()
    with torch.random.fork_rng(devices=devices):
        np.random.seed(seed), torch.manual_seed(seed), torch.set_num_threads(1)
        # Networks driven to zero by weight decay meet denormal numbers, 100 times slower.
        torch.set_flush_denormal(True)
        try:
            yield
        finally:
            torch.set_flush_denormal(False)
            np.random.set_state(numpy_state)
            torch.set_num_threads(n_threads)


def _as_values(returned: object, axes: dict) -> dict[str, tuple[tuple, np.ndarray]]:
    """Return the values of a run as name -> (dims, array), checked."""
    if not isinstance(returned, dict) or not returned:
        raise TypeError(f"a run must return a dict of named values, not empty, got {returned!r}")
    values = {}
    for name, value in returned.items():
        dims, array = value if isinstance(value, tuple) and len(value) == 2 else ((), value)
        dims = (dims,) if isinstance(dims, str) else tuple(dims)
        array = np.asarray(array.detach().cpu() if isinstance(array, torch.Tensor) else array)
        for label in (name, *dims):
            if not isinstance(label, str) or not label.isidentifier() or label in axes:
                raise ValueError(f"names and dims must be identifiers and no axes, got {label!r}")
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{name} must be real numbers, got {array.dtype}")
        if len(set(dims)) != array.ndim or len(dims) != array.ndim:
            raise ValueError(
                f"{name} must be a number or a pair (dims, array) with a name for each axis, "
                f"got dims {dims} and shape {array.shape}"
            )
        values[name] = dims, array
    return values


def _versions() -> dict[str, str]:
    device = torch.cuda.get_device_name() if torch.cuda.is_initialized() else platform.machine()
    return {
        "freqsense": freqsense.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": device,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _check_agreement(*results: tuple[dict, dict]) -> None:
    layouts = [
        {name: dict(zip(dims, array.shape, strict=True)) for name, (dims, array) in values.items()}
        for _, values in results
    ]
    if layouts[0] != layouts[1]:
        first, other = (record["configuration"] for record, _ in results)
        raise ValueError(
            "all runs must return the same names, dims and shapes; "
            f"{first} gave {layouts[0]}, but {other} gave {layouts[1]}"
        )


# Where runs happen


def _run_here(runs: list[_Run], n_workers: int) -> Iterator[tuple[dict, dict | None]]:
    """Outcomes in the order in which they come, from this process or from a pool of processes."""
    if n_workers == 1:
        yield from map(_execute, runs)
        return
    waiting = {run.key: run for run in runs}
    while waiting:
        begun = {}
        try:
            for outcome in _run_in_pool([*waiting.values()], n_workers, begun):
                del waiting[outcome[0]["key"]]
                yield outcome
        except BrokenProcessPool:
            # Some run took its worker, and with it the pool, down: which, shows each alone.
            for key in begun.keys() & waiting.keys():
                yield _run_alone(waiting.pop(key))


def _run_in_pool(runs: list[_Run], n_workers: int, begun: dict) -> Iterator:
    def jobs() -> Iterator:
        for run in runs:
            begun[run.key] = run
            yield joblib.delayed(_execute)(run)

    start = {"initializer": _start_worker, "initargs": (os.getpid(), _visible_devices())}
    with joblib.parallel_config("loky", n_jobs=n_workers, inner_max_num_threads=1, **start):
        pool = joblib.Parallel(return_as="generator_unordered", batch_size=1)
    yield from pool(jobs())


def _run_alone(run: _Run) -> tuple[dict, dict | None]:
    """Outcome of a run in a pool of its own, its failure if it takes that down too."""
    try:
        return next(_run_in_pool([run], 2, {}))  # a pool of one would be this process
    except BrokenProcessPool as error:
        return _record(run, error), None


def _visible_devices() -> list[str]:
    """The GPUs that this process may use, by their names in CUDA_VISIBLE_DEVICES."""
    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
    return named.split(",")[:count]


def _start_worker(parent: int, devices: list[str]) -> None:
    """Give a new process its GPU, and see to it that it does not outlive a killed parent."""
    if devices:
        number = int(current_process().name.rpartition("-")[2])  # LokyProcess-1, -2, ...
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[(number - 1) % len(devices)]

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _connect(scheduler: str) -> "Client":
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError(
            "a sweep on a cluster needs the extra cluster: pip install 'freqsense[cluster]'"
        ) from error
    try:
        return Client(scheduler, timeout=_CONNECT, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ConnectionError(
            f"a Dask scheduler must answer at {scheduler} within {_CONNECT} s, got: {error}"
        ) from error


def _run_on_cluster(runs: list[_Run], client: "Client") -> Iterator[tuple[dict, dict | None]]:
    from distributed import as_completed

    address = client.scheduler.address
    if runs and not client.scheduler_info()["workers"]:
        warnings.warn(
            f"the scheduler at {address} has no workers yet; start some: dask worker {address}",
            stacklevel=3,
        )
    futures = {client.submit(_execute, run, pure=False): run for run in runs}
    try:
        for future in as_completed(list(futures), loop=client.loop):
            run = futures.pop(future)
            if future.status == "finished":
                yield future.result()
            elif future.status == "error":  # it took several workers down, or cannot be sent
                yield _record(run, future.exception()), None
            else:
                raise ConnectionError(f"the Dask scheduler at {address} was lost")
    finally:
        client.close()  # which cancels what is under way


# Files


def _remove_leftovers(folder: Path) -> None:
    # Those of write_whole in killed processes. A younger one may be under way in another sweep.
    for temporary in folder.glob("*.tmp"):
        with suppress(FileNotFoundError):
            if time.time() - temporary.stat().st_mtime > _LEFTOVER:
                temporary.unlink()
