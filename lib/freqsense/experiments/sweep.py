"""Sweeps: a declared grid of runs, each stored once, on this machine or on a Dask cluster."""

import copy
import inspect
import io
import itertools
import json
import math
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

import freqsense
from freqsense._checks import as_choice, as_integer, as_positive
from freqsense._extras import extra
from freqsense._files import atomic_replace, atomic_write
from freqsense.experiments._records import Result, read_failure, read_result
from freqsense.experiments._table import Table
from freqsense.experiments._workers import (
    Run,
    connect,
    current_versions,
    now,
    run_here,
    run_on_cluster,
)

if TYPE_CHECKING:
    from xarray import Dataset

__all__ = ["Sweep"]

_LEFTOVER = 3600  # seconds after which a temporary file belongs to a killed process

_MOST_RUNS = 100_000  # a file each, in one folder

_INT64 = range(-(2**63), 2**63)  # what netCDF holds


class Sweep:
    """A grid of runs of one function, each stored in a folder and never computed twice.

    A run is ``function(**configuration)``. Its file is named by the SHA-256 of three things: the
    name of the run, the whole configuration (the values of the axes and the defaults of the
    function's other parameters) and the version of this library. Neither the file in which the
    function stands nor its body is part of that: after a change of the body, use a new folder. A
    file is complete or not there, whenever the process is killed; a damaged one is named in a
    warning and computed again.

    Every run computes with one torch thread, and the global generators of NumPy and torch are
    seeded from the configuration alone, so that a result depends neither on the order of the runs
    nor on the worker. Not so the module ``random``, from which a Dask worker draws for itself.

    Parameters
    ----------
    function : defined at the top level of a module. Returns a dict of names -> numbers or pairs
        (dims, array), such as ``{"loss": 0.1, "map": (("ky", "kx"), array)}``; every run the same
        names, dims and shapes.
    grid : dict of axes -> lists of values, all as in JSON. An axis is a parameter of the function.
    folder : where the results are, one file a run. Several sweeps may share it at the same time;
        different functions in one folder need different names.
    name : of the runs, in their keys and in what is recorded of them; by default that of the
        function.

    Raises
    ------
    TypeError, ValueError
        If an axis is not a parameter of the function, a parameter has no value, an axis is empty or
        repeats a value, a value is not one of JSON, or there are more than 100,000 runs.

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

    def __init__(
        self,
        function: Callable,
        grid: dict[str, list],
        folder: str | PathLike,
        *,
        name: str | None = None,
    ):
        self._defaults = _check_function(function, grid)
        self.grid = _check_grid(grid)
        _check_count(self.grid)
        self.folder = Path(folder)
        self.name = _as_run_name(function.__name__ if name is None else name)
        points = (
            dict(zip(self.grid, values, strict=True))
            for values in itertools.product(*self.grid.values())
        )
        self._runs = [
            Run(function, self.name, self._defaults | point, freqsense.__version__)
            for point in points
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
        minutes: float | None = None,
        retry_failures: bool = False,
        progress: bool = True,
    ) -> "Dataset":
        """Do the runs that are not stored yet, as :meth:`compute` does, and return all results.

        Parameters
        ----------
        n_workers, scheduler, minutes, retry_failures, progress : as for :meth:`compute`.

        Raises
        ------
        ConnectionError, ImportError, KeyboardInterrupt, OSError, TypeError
            As :meth:`compute` does.
        ValueError
            Likewise, and as :meth:`dataset` does.
        """
        as_integer(n_workers, "n_workers", 1)
        _import_extra()  # before hours of work
        self.compute(
            n_workers=n_workers,
            scheduler=scheduler,
            minutes=minutes,
            retry_failures=retry_failures,
            progress=progress,
        )
        dataset = self.dataset()
        self._warn_of_missing(dataset, all_done=minutes is None)
        return dataset

    def compute(
        self,
        *,
        n_workers: int = 1,
        scheduler: str | None = None,
        minutes: float | None = None,
        retry_failures: bool = False,
        progress: bool = True,
    ) -> None:
        """Do the runs that are not stored yet, in the order of the grid, and store each.

        Unlike :meth:`run` it puts nothing together, and needs neither xarray nor netCDF4.

        One worker is this process. More are processes of joblib; where there are GPUs, each gets
        one through ``CUDA_VISIBLE_DEVICES``, in turn: more workers than GPUs share them. Workers of
        a Dask cluster are started beside it, for one GPU each with
        ``CUDA_VISIBLE_DEVICES=0 dask worker ADDRESS --nthreads 1`` and so on; they and the
        scheduler need this library and the module of the function, but not the folder.

        A run that raises, or takes its worker down, is recorded with its traceback and the rest
        goes on. What ends all of it early, Ctrl-C or a full disk, says how many runs are stored.

        Parameters
        ----------
        n_workers : processes on this machine, when there is no scheduler.
        scheduler : address of a Dask scheduler, such as "tcp://127.0.0.1:8786".
        minutes : after which no run is begun any more; those under way are finished.
        retry_failures : whether to do the runs again that failed earlier.
        progress : whether to show a progress bar.

        Raises
        ------
        ConnectionError
            If no scheduler answers at the address, within seconds, or it is lost later.
        ImportError
            If joblib is not installed and there are several workers, or the extra ``cluster``
            where there is a scheduler; or if the scheduler or a worker beside it cannot import the
            function. Nothing is recorded as failed then.
        OSError
            If a run cannot be stored.
        TypeError, ValueError
            If an argument is of the wrong kind or out of range, or a folder, say, is where the file
            of a run belongs.
        """
        as_integer(n_workers, "n_workers", 1)
        seconds = math.inf if minutes is None else 60 * as_positive(minutes, "minutes")
        deadline = time.time() + seconds
        pending = [run for run in self._runs if not self._is_settled(run, retry_failures)]
        client = None if scheduler is None else connect(scheduler)
        self.folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(self.folder)
        self._warn_of_damage(pending)
        outcomes = (
            run_on_cluster(pending, client, deadline)
            if client
            else run_here(pending, n_workers, deadline)
        )
        done = len(self._runs) - len(pending)
        with (
            self._saying_how_far_it_came(),
            closing(outcomes),
            tqdm(total=len(self._runs), initial=done, desc="runs", disable=not progress) as bar,
        ):
            for record, values in outcomes:
                self._store(record, values)
                bar.update()

    def remaining(self) -> list[dict]:
        """The configuration of each run that is neither stored nor failed, in their order."""
        left = [run for run in self._runs if not self._is_settled(run, retry_failures=False)]
        return [copy.deepcopy(run.configuration) for run in left]

    def failures(self) -> list[dict]:
        """The record of each failed run: its configuration, error, traceback and versions."""
        lost = (run for run in self._runs if self._read_result(run) is None)
        return [record for run in lost if (record := self._read_failure(run)) is not None]

    def dataset(self) -> "Dataset":
        """All stored results, one dimension an axis, with how they came about as attributes.

        Numbers are floats: NaN stands for a run that is missing. Attributes ``missing`` and
        ``failures`` list those runs, as JSON. Values of an axis that are neither all numbers, nor
        all strings, nor all booleans, and integers beyond 64 bits, are labelled by their JSON text.

        Raises
        ------
        ValueError
            If two runs return different names, dims or shapes, or all results together, as the
            first foretells, are larger than the memory.
        """
        xarray = _import_extra()
        table = Table(len(self._runs))
        failures: list[dict] = []
        missing: list[dict] = []
        for row, run in enumerate(self._runs):
            if result := self._read_result(run):
                table.add(row, *result)
                continue
            missing.append(run.configuration)
            failures += filter(None, [self._read_failure(run)])
        coordinates = {axis: _labels(values) for axis, values in self.grid.items()}
        attributes = self._provenance(table.records, failures) | {"missing": json.dumps(missing)}
        return xarray.Dataset(table.on_grid(self.grid), coordinates, attributes)

    def save(self, path: str | PathLike) -> "Dataset":
        """Write :meth:`dataset` to a compressed netCDF file, complete or not there, and return it.

        Raises
        ------
        OSError
            If it cannot be written, because the disk is full, say.
        ValueError
            As :meth:`dataset` does, or if there is something at the path that is no file.
        """
        dataset = self.dataset()
        compressed = {name: {"zlib": True} for name in dataset.data_vars}
        with atomic_replace(Path(path)) as temporary:
            try:
                dataset.to_netcdf(temporary, engine="netcdf4", encoding=compressed)
            except (OSError, RuntimeError) as error:  # netCDF's own, which do not say why
                raise OSError(
                    f"{path} cannot be written, is there room for it? got: {error}; "
                    f"{self._how_far()}"
                ) from error
        return dataset

    def _how_far(self) -> str:
        stored = sum(self._path(run, "npz").is_file() for run in self._runs)
        n_runs = len(self._runs)
        return f"{stored} of {n_runs} runs are stored in {self.folder}; the same command goes on"

    @contextmanager
    def _saying_how_far_it_came(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            raise KeyboardInterrupt(self._how_far()) from None
        except OSError as error:
            said = f"{error.strerror or error}; {self._how_far()}"
            numbers = [] if error.errno is None else [error.errno]
            raise type(error)(*numbers, said) from error

    def _warn_of_damage(self, pending: list[Run]) -> None:
        """Name the files of runs to be done that are there and say nothing."""
        files = [self._path(run, "npz") for run in pending]
        files += [self._path(run, "json") for run in pending if self._read_failure(run) is None]
        if damaged := [file.name for file in files if file.exists()]:
            warnings.warn(
                f"runs are done again whose files in {self.folder} are damaged, {len(damaged)} of "
                f"them: {', '.join(damaged[:3])}{', ...' * (len(damaged) > 3)}",
                stacklevel=3,
            )

    def _warn_of_missing(self, dataset: "Dataset", all_done: bool) -> None:
        failures, missing = (json.loads(dataset.attrs[name]) for name in ("failures", "missing"))
        n_runs = len(self._runs)
        if failures:
            warnings.warn(
                f"{len(failures)} of {n_runs} runs failed, the first with "
                f"{failures[0]['error'].splitlines()[0]}; tracebacks are in {self.folder}/*.json",
                stacklevel=3,
            )
        if all_done and (gone := len(missing) - len(failures)):
            warnings.warn(
                f"{gone} of {n_runs} runs are missing: their files have vanished from "
                f"{self.folder} or were damaged meanwhile; the same command does them again",
                stacklevel=3,
            )

    def _path(self, run: Run, suffix: str) -> Path:
        return self.folder / f"{run.key}.{suffix}"

    def _read_result(self, run: Run) -> Result | None:
        return read_result(self._path(run, "npz"), run)

    def _read_failure(self, run: Run) -> dict | None:
        return read_failure(self._path(run, "json"), run)

    def _is_settled(self, run: Run, retry_failures: bool) -> bool:
        if self._read_result(run) is not None:
            return True
        return not retry_failures and self._read_failure(run) is not None

    def _store(self, record: dict, values: dict | None) -> None:
        failure = self.folder / f"{record['key']}.json"
        if values is None:
            atomic_write(failure, json.dumps(record, indent=1).encode())
            return
        record = record | {"dims": {name: dims for name, (dims, _) in values.items()}}
        arrays = {f"value.{name}": array for name, (_, array) in values.items()}
        content = io.BytesIO()
        np.savez(content, record=np.array(json.dumps(record)), **arrays)
        atomic_write(failure.with_suffix(".npz"), content.getvalue())
        failure.unlink(missing_ok=True)

    def _provenance(self, records: list[dict], failures: list[dict]) -> dict[str, str]:
        made_by = [record["versions"] for record in records] or [current_versions()]
        versions = {
            name: ", ".join(sorted({versions[name] for versions in made_by})) for name in made_by[0]
        }
        failed = [
            {name: record[name] for name in ("configuration", "error")} for record in failures
        ]
        return versions | {
            "function": self.name,
            "configuration": json.dumps({"grid": self.grid, "defaults": self._defaults}),
            "date": max((record["date"] for record in records), default=now()),
            "command": shlex.join(["python", *sys.orig_argv[1:]]),
            "failures": json.dumps(failed),
        }


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


def _as_run_name(name: object) -> str:
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"name must be an identifier, such as train_and_measure, got {name!r}")
    return name


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


def _check_count(grid: dict[str, list]) -> None:
    """Raise before a list of all runs would fill the memory."""
    if (n_runs := math.prod(len(values) for values in grid.values())) > _MOST_RUNS:
        lengths = " x ".join(f"{len(values)} {axis}" for axis, values in grid.items())
        raise ValueError(
            f"grid must have at most {_MOST_RUNS:,} runs, got {n_runs:,}: {lengths}; several "
            "sweeps may share a folder"
        )


def _labels(values: list) -> list:
    """Coordinates along an axis: of one kind, numbers, strings or booleans."""
    if any(isinstance(v, int) and v not in _INT64 for v in values):
        return [json.dumps(value) for value in values]
    for kind in (bool, str, (int, float)):
        if all(isinstance(v, kind) and (kind is bool or not isinstance(v, bool)) for v in values):
            return values
    return [json.dumps(value) for value in values]


def _remove_leftovers(folder: Path) -> None:
    # Those of atomic_write in killed processes. A younger one may be under way in another sweep.
    for temporary in folder.glob("*.tmp"):
        with suppress(FileNotFoundError):
            if time.time() - temporary.stat().st_mtime > _LEFTOVER:
                temporary.unlink()


def _import_extra() -> ModuleType:
    """Import what sweeps are put together with; workers do without, and without its 0.6 s."""
    with extra("sweeps"):
        import joblib  # noqa: F401 (for several workers)
        import netCDF4  # noqa: F401 (what xarray writes files with)
        import xarray
    return xarray
