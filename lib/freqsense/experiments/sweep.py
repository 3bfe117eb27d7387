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
import zipfile
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
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


class Sweep:
    """A grid of runs of one function, each stored in a folder and never computed twice.

    A run is ``function(**configuration)``. Its file is named by the SHA-256 of three things: the
    name of the run, the whole configuration (the values of the axes and the defaults of the
    function's other parameters) and the version of this library. Neither the file in which the
    function stands nor its body is part of that: after a change of the body, use a new folder. A
    file is complete or not there, whenever the process is killed; a damaged one is computed again.

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
        ConnectionError, ImportError, TypeError
            As :meth:`compute` does.
        ValueError
            Likewise, or if two runs return different names, dims or shapes.
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
        results = [self._read_result(run) for run in self._runs]
        if failures := self._failures(results):
            warnings.warn(
                f"{len(failures)} of {len(self._runs)} runs failed, the first with "
                f"{failures[0]['error'].splitlines()[0]}; tracebacks are in {self.folder}/*.json",
                stacklevel=2,
            )
        return self._assemble(results, failures)

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
        ``CUDA_VISIBLE_DEVICES=0 dask worker ADDRESS --nthreads 1`` and so on; they need this
        library and the module of the function, but not the folder.

        A run that raises, or takes its worker down, is recorded with its traceback and the rest
        goes on.

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
            where there is a scheduler.
        TypeError, ValueError
            If an argument is of the wrong kind or out of range.
        """
        as_integer(n_workers, "n_workers", 1)
        seconds = math.inf if minutes is None else 60 * as_positive(minutes, "minutes")
        deadline = time.time() + seconds
        client = None if scheduler is None else connect(scheduler)
        self.folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(self.folder)
        pending = [run for run in self._runs if not self._is_settled(run, retry_failures)]
        outcomes = (
            run_on_cluster(pending, client, deadline)
            if client
            else run_here(pending, n_workers, deadline)
        )
        done = len(self._runs) - len(pending)
        with (
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
        with atomic_replace(Path(path)) as temporary:
            dataset.to_netcdf(temporary, engine="netcdf4", encoding=compressed)

    def _failures(self, results: Iterable[tuple | None]) -> list[dict]:
        """Return the records of the runs that have none of the results, if there are any."""
        pairs = zip(self._runs, results, strict=True)
        failed = (self._read_failure(run) for run, result in pairs if result is None)
        return [record for record in failed if record is not None]

    def _assemble(self, results: list[tuple | None], failures: list[dict]) -> "Dataset":
        xarray = _import_extra()
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

    def _is_settled(self, run: Run, retry_failures: bool) -> bool:
        if self._read_result(run) is not None:
            return True
        return not retry_failures and self._read_failure(run) is not None

    def _store(self, record: dict, values: dict | None) -> None:
        failure = self._path(record["key"], "json")
        if values is None:
            atomic_write(failure, json.dumps(record, indent=1).encode())
            return
        record = record | {"dims": {name: dims for name, (dims, _) in values.items()}}
        arrays = {f"value.{name}": array for name, (_, array) in values.items()}
        content = io.BytesIO()
        np.savez(content, record=np.array(json.dumps(record)), **arrays)
        atomic_write(self._path(record["key"], "npz"), content.getvalue())
        failure.unlink(missing_ok=True)

    def _read_result(self, run: Run) -> tuple[dict, dict] | None:
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

    def _read_failure(self, run: Run) -> dict | None:
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


def _labels(values: list) -> list:
    """Coordinates along an axis: of one kind, numbers, strings or booleans."""
    for kind in (bool, str, (int, float)):
        if all(isinstance(v, kind) and (kind is bool or not isinstance(v, bool)) for v in values):
            return values
    return [json.dumps(value) for value in values]


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
