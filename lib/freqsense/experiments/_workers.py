"""One run of a sweep, and where runs happen: this process, a pool of processes, a Dask cluster."""

import copy
import hashlib
import json
import math
import os
import pickle
import platform
import reprlib
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import current_process
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import freqsense
from freqsense._extras import extra

if TYPE_CHECKING:
    from distributed import Client

Values = dict[str, tuple[tuple[str, ...], np.ndarray]]  # name -> (dims, array)
Outcome = tuple[dict[str, Any], Values | None]  # the record of a run; its values if it did not fail

_CONNECT = 5  # seconds that a scheduler has to answer

_WIDEST = 8  # bytes of a number that netCDF holds

_ONE_RUN_A_PROCESS = threading.Lock()  # threads of a Dask worker share seeds and thread counts


@dataclass(frozen=True)
class Run:
    """One point of a grid: a function to call, and the three things that the key depends on."""

    function: Callable
    name: str
    configuration: dict[str, Any]
    version: str

    @property
    def key(self) -> str:
        identity = {"function": self.name, "freqsense": self.version}
        return digest(identity | {"configuration": self.configuration})


def execute(run: Run) -> Outcome:
    """Return the record of a run, and its values if it did not fail."""
    start = time.perf_counter()
    try:
        if freqsense.__version__ != run.version:
            raise RuntimeError(
                f"the worker must have freqsense {run.version}, got {freqsense.__version__}"
            )
        with _ONE_RUN_A_PROCESS, _reproducible_state(run.configuration):
            returned = run.function(**copy.deepcopy(run.configuration))
        values = as_values(returned, run.configuration)
    except (Exception, SystemExit) as error:
        return describe(run, error), None
    return describe(run) | {"seconds": round(time.perf_counter() - start, 3)}, values


def describe(run: Run, error: BaseException | None = None) -> dict:
    """How a run came about, and what it failed with."""
    record = {
        "key": run.key,
        "function": run.name,
        "configuration": run.configuration,
        "versions": current_versions(),
        "date": now(),
    }
    if error is None:
        return record
    lines = "".join(traceback.format_exception(error))
    return record | {"error": f"{type(error).__name__}: {error}", "traceback": lines}


@contextmanager
def _reproducible_state(configuration: dict) -> Iterator[None]:
    """One torch thread, denormals flushed, seeds from the configuration; then all put back."""
    seed = int(digest(configuration)[:8], 16)
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    numpy_state, n_threads = np.random.get_state(), torch.get_num_threads()
    with torch.random.fork_rng(devices=devices):
        np.random.seed(seed)
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        # Networks driven to zero by weight decay meet denormal numbers, 100 times slower.
        torch.set_flush_denormal(True)
        try:
            yield
        finally:
            torch.set_flush_denormal(False)
            np.random.set_state(numpy_state)
            torch.set_num_threads(n_threads)


def as_values(returned: object, axes: dict) -> Values:
    """Return the values of a run as name -> (dims, array), checked."""
    if not isinstance(returned, dict) or not returned:
        got = reprlib.repr(returned)
        raise TypeError(f"a run must return a dict of named values, not empty, got {got}")
    values: Values = {}
    for name, value in returned.items():
        dims, array = value if isinstance(value, tuple) and len(value) == 2 else ((), value)
        dims = (dims,) if isinstance(dims, str) else tuple(dims)
        array = np.asarray(array.detach().cpu() if isinstance(array, torch.Tensor) else array)
        for label in (name, *dims):
            if not isinstance(label, str) or not label.isidentifier() or label in axes:
                raise ValueError(f"names and dims must be identifiers and no axes, got {label!r}")
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > _WIDEST:
            raise TypeError(f"{name} must be real numbers, got {array.dtype}")
        if len(set(dims)) != array.ndim or len(dims) != array.ndim:
            raise ValueError(
                f"{name} must be a number or a pair (dims, array) with a name for each axis, "
                f"got dims {dims} and shape {array.shape}"
            )
        values[name] = dims, array
    return values


def current_versions() -> dict[str, str]:
    device = torch.cuda.get_device_name() if torch.cuda.is_initialized() else platform.machine()
    return {
        "freqsense": freqsense.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": device,
    }


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def digest(value: object) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def execute_before(deadline: float, run: Run) -> Outcome | None:
    """Outcome of a run, or None if the time, in seconds since 1970, is past the deadline."""
    return execute(run) if time.time() < deadline else None


def run_here(
    runs: list[Run], n_workers: int, deadline: float = math.inf
) -> Generator[Outcome, None, None]:
    """Outcomes in the order in which they come, from this process or from a pool of processes.

    Runs begin in their order, and none after the deadline, in seconds since 1970.
    """
    if n_workers == 1:
        yield from filter(None, (execute_before(deadline, run) for run in runs))
        return
    waiting = {run.key: run for run in runs}
    while waiting and time.time() < deadline:
        begun: dict[str, Run] = {}
        try:
            for outcome in _run_in_pool([*waiting.values()], n_workers, begun, deadline):
                del waiting[outcome[0]["key"]]
                yield outcome
        except BrokenProcessPool:
            # Some run took its worker, and with it the pool, down: which, shows each alone.
            for key in begun.keys() & waiting.keys():
                if alone := _run_alone(waiting.pop(key), deadline):
                    yield alone


def _run_in_pool(
    runs: list[Run], n_workers: int, begun: dict[str, Run], deadline: float
) -> Iterator[Outcome]:
    with extra("sweeps"):
        import joblib

    def jobs() -> Iterator:
        for run in runs:
            begun[run.key] = run
            # Jobs wait in a queue: only the worker knows when one begins.
            yield joblib.delayed(execute_before)(deadline, run)

    start = {"initializer": _start_worker, "initargs": (os.getpid(), _visible_devices())}
    with joblib.parallel_config("loky", n_jobs=n_workers, inner_max_num_threads=1, **start):
        pool = joblib.Parallel(return_as="generator_unordered", batch_size=1)
    yield from filter(None, pool(jobs()))


def _run_alone(run: Run, deadline: float) -> Outcome | None:
    """Outcome of a run in a pool of its own, its failure if it takes that down too."""
    try:
        # A pool of one would be this process.
        return next(_run_in_pool([run], 2, {}, deadline), None)
    except BrokenProcessPool as error:
        return describe(run, error), None


def _visible_devices() -> list[str]:
    """The GPUs that this process may use, by their names in CUDA_VISIBLE_DEVICES."""
    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
    return named.split(",")[:count]


def _start_worker(parent: int, devices: list[str]) -> None:
    """Give a new process its GPU, and see to it that it ends with its parent, and not before."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both, and the parent answers it
    if devices:
        number = int(current_process().name.rpartition("-")[2])  # LokyProcess-1, -2, ...
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[(number - 1) % len(devices)]

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def connect(scheduler: str) -> "Client":
    with extra("cluster"):
        from distributed import Client
        from distributed.comm import resolve_address
    try:
        resolve_address(scheduler)  # a Client of a bad one complains again when it is deleted
        return Client(scheduler, timeout=_CONNECT, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise ConnectionError(
            f"a Dask scheduler must answer at {scheduler} within {_CONNECT} s, got: {error}"
        ) from error


def run_on_cluster(
    runs: list[Run], client: "Client", deadline: float = math.inf
) -> Generator[Outcome, None, None]:
    from distributed import KilledWorker, as_completed

    try:
        address = client.scheduler_info()["address"]
        if runs:
            _check_cluster(client, address, runs[0])
        futures = {client.submit(execute_before, deadline, run, pure=False): run for run in runs}
        for future in as_completed(list(futures), loop=client.loop):
            run = futures.pop(future)
            if future.status == "finished":
                if outcome := future.result():
                    yield outcome
            elif future.status != "error":
                raise ConnectionError(f"the Dask scheduler at {address} was lost")
            elif isinstance(error := future.exception(), KilledWorker):
                yield describe(run, error), None
            else:  # it has never begun, so it has not failed
                raise _cannot_load("a worker", address, run, error)
    finally:
        client.close()  # which cancels what is under way


def _check_cluster(client: "Client", address: str, run: Run) -> None:
    """Raise unless the scheduler and all workers that are there can load what they are sent."""
    from distributed.protocol.pickle import dumps

    sent = dumps((execute_before, run))
    places = {"the scheduler": client.run_on_scheduler, "each worker": client.run}
    for place, load in places.items():
        try:
            load(pickle.loads, sent)
        except OSError:
            continue  # who is lost by now cannot be asked, and does no run
        except Exception as error:  # whatever an import there leads to
            raise _cannot_load(place, address, run, error) from error
    if not client.scheduler_info()["workers"]:
        warnings.warn(
            f"the scheduler at {address} has no workers yet; start some: dask worker {address}",
            stacklevel=4,
        )


def _cannot_load(place: str, address: str, run: Run, error: BaseException) -> ImportError:
    return ImportError(
        f"{place} at {address} must be able to import freqsense and {run.function.__module__}, "
        f"got: {error!r}; start it in an environment and a folder where they are found"
    )
