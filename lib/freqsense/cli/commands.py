"""What each command does; what only one of them needs is imported by that one."""

import json
import math
import shlex
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import freqsense
from freqsense import datasets
from freqsense._extras import extra
from freqsense._files import atomic_write, check_replaceable
from freqsense.checkpoints import write_checkpoint
from freqsense.cli._devices import as_device
from freqsense.cli.measure import compare, measure

if TYPE_CHECKING:
    from freqsense.experiments import Sweep

__all__ = ["compare", "download", "measure", "paper", "report", "sweep", "train"]


def download(name: str, root: str | None) -> None:
    """Fetch an archive and print where it is."""
    print(datasets.download(name, root))


def train(
    *,
    architecture: str,
    data: str,
    output: str,
    width: int,
    size: int,
    n_train: int,
    n_test: int,
    epochs: int,
    lr: float,
    weight_decay: float,
    optimizer: str,
    schedule: str,
    augment: bool,
    seed: int,
    device: str | None,
) -> None:
    """Train one network and write its checkpoint."""
    from freqsense import experiments, models, training

    path, place = _new_file(output), as_device(device)
    sizes: dict[str, Any] = {"size": size, "n_train": n_train, "n_test": n_test, "seed": seed}
    task = experiments.load_task(data, **sizes)
    shape = tuple(task.images.shape[1:])
    built: dict[str, Any] = {"width": width, "shape": shape, "n_outputs": task.n_outputs}
    built["seed"] = seed
    model = models.build(architecture, **built)
    settings: dict[str, Any] = {"epochs": epochs, "lr": lr, "weight_decay": weight_decay}
    settings |= {"optimizer": optimizer, "schedule": schedule, "loss": task.loss, "seed": seed}
    history = training.train(
        model,
        task.images,
        task.labels,
        **settings,
        augment=training.flip_and_crop if augment else None,
        validation=(task.test_images, task.test_labels),
        device=place,
        progress=True,
    )
    mean, std = task.mean.tolist(), [task.scale]
    accuracy = {"train": history.accuracy[-1], "test": history.validation_accuracy[-1]}
    description: dict[str, Any] = {"architecture": architecture, **built, "mean": mean, "std": std}
    description["freqsense"] = freqsense.__version__
    extra = {"data": data, "augment": augment, "accuracy": accuracy}
    description["training"] = settings | sizes | extra
    write_checkpoint(path, model, description)
    print(f"accuracy {accuracy['train']:.3f} in training, {accuracy['test']:.3f} on test images")
    print(f"written: {path}")


def sweep(
    *,
    config: str,
    workers: int,
    scheduler: str | None,
    folder: str | None,
    output: str | None,
    retry_failures: bool,
) -> int:
    """Do the runs of a configuration, store them together, and say how many failed."""
    from freqsense.cli.config import read_sweep

    path = Path(config)
    runs = path.with_suffix(".runs") if folder is None else Path(folder)
    file = _new_file(path.with_suffix(".nc") if output is None else output)
    declared = read_sweep(path, runs)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"\d+ of \d+ runs ")  # failed or missing: said below
        declared.run(n_workers=workers, scheduler=scheduler, retry_failures=retry_failures)
    # What is said is what is in the file: stored runs may vanish at any time.
    attributes = declared.save(file).attrs
    failures, missing = (json.loads(attributes[name]) for name in ("failures", "missing"))
    n_runs = len(declared.configurations)
    print(f"{n_runs} runs, {n_runs - len(missing)} stored, {len(failures)} failed; in {runs}")
    _print_failures(declared, failures)
    if gone := len(missing) - len(failures):
        print(f"missing: {gone} runs, whose files vanished; the same command does them again")
    print(f"written: {file}")
    return 1 if missing else 0


def paper(
    *,
    minutes: float,
    data: str,
    width: int,
    workers: int,
    folder: str,
    output: str | None,
    record: bool,
    retry_failures: bool,
) -> int:
    """Train the paper's networks for some minutes, and say what is left to do."""
    from freqsense.experiments import run_paper

    runs = Path(folder)
    file = _new_file(runs.with_suffix(".nc") if output is None else output) if record else None
    if file is not None:
        _check_record(file, runs)
    options: dict[str, Any] = {"data": data, "width": width, "n_workers": workers}
    trained = run_paper(runs, minutes=minutes, retry_failures=retry_failures, **options)
    failures, left = trained.failures(), trained.remaining()
    n_runs = len(trained.configurations)
    stored = n_runs - len(failures) - len(left)
    print(f"plan: {_describe_plan(trained.grid)}")
    print(f"{n_runs} runs, {stored} stored, {len(failures)} failed, {len(left)} left; in {runs}")
    _print_failures(trained, failures)
    if left:
        asked = {"minutes": f"{minutes:g}", "data": data, "width": width, "workers": workers}
        asked |= {"folder": folder} if file is None else {"folder": folder, "output": file}
        _print_left(left, asked, with_record=file is not None)
    missing = None if file is None else _write_record(file, trained)
    return 1 if failures or left or missing else 0


def report(*, result: str, output: str | None) -> None:
    """Write one HTML page about the result of a sweep."""
    from freqsense.cli.report import make_report

    path = Path(result)
    folder = path.with_suffix(".report") if output is None else Path(output)
    page = make_report(path)
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / "report.html", page.encode())
    print(f"written: {folder / 'report.html'}")


# Sweeps


def _print_failures(sweep: "Sweep", failures: list[dict]) -> None:
    for failure in failures[:5]:
        several = [name for name, values in sweep.grid.items() if len(values) > 1]
        varied = {name: failure["configuration"][name] for name in several or sweep.grid}
        print(f"failed: {varied}: {failure['error'].splitlines()[0]}")
    if failures:
        print(f"tracebacks: {sweep.folder}/*.json; --retry-failures does these runs again")


def _print_left(left: list[dict], asked: dict[str, Any], with_record: bool) -> None:
    for cell in left:
        print(f"left: {cell['architecture']}, {cell['image_filter']}")
    words = [word for name, value in asked.items() for word in (f"--{name}", str(value))]
    words += [] if with_record else ["--no-record"]
    print("to go on:", shlex.join(["freqsense", "paper", *words]))


def _describe_plan(grid: dict[str, list]) -> str:
    """One line; every axis but those of networks and filters has one value."""
    n_train, batch_size = grid["n_train"][0], grid["batch_size"][0]
    epochs = grid["steps"][0] // math.ceil(n_train / batch_size)
    return (
        f"width {grid['width'][0]}, {n_train:,} images of {grid['data'][0]}, {epochs} epochs "
        f"in batches of {batch_size}, {grid['precision'][0]}"
    )


def _check_record(file: Path, runs: Path) -> None:
    """Check, before minutes of work, that a record can be made, and declared beside itself."""
    with extra("sweeps"):
        import netCDF4  # noqa: F401 (what xarray writes files with)
        import xarray  # noqa: F401
    from freqsense.cli.config import read_sweep
    from freqsense.experiments.scale import read_plan

    declaration = file.with_suffix(".yaml")
    if not declaration.exists():
        return
    plan = read_plan(runs)
    if plan is None or read_sweep(declaration, runs).grid != plan["grid"]:
        raise ValueError(
            f"{declaration} must be free, or be of the plan in {runs}; got another sweep: "
            "name another --output"
        )


def _write_record(file: Path, trained: "Sweep") -> list[dict]:
    """Write the record and its declaration; return the runs that are missing in it."""
    from freqsense.cli.config import write_sweep

    declaration = file.with_suffix(".yaml")
    missing = json.loads(trained.save(file).attrs["missing"])
    if not declaration.exists():
        write_sweep(declaration, trained, "The paper's networks, as planned for some minutes.")
    print(f"written: {file}, {declaration.name}")
    return missing


# Files


def _new_file(path: str | Path) -> Path:
    """Check that a file can be written before hours of work."""
    path = Path(path)
    if not path.parent.is_dir() or path.is_dir():
        raise FileNotFoundError(f"--output must be a file in a folder that exists, got {path}")
    check_replaceable(path)
    return path
