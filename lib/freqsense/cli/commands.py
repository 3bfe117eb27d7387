"""What each command does; what only one of them needs is imported by that one."""

import json
import math
import shlex
import warnings
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import torch
from matplotlib.figure import Figure
from torch import Tensor
from tqdm.auto import tqdm

import freqsense
from freqsense import datasets, plotting, spectra
from freqsense._checks import sides
from freqsense._extras import extra
from freqsense._files import atomic_replace, atomic_write
from freqsense.cli.checkpoints import (
    Network,
    is_checkpoint,
    make_network,
    needed_sides,
    read_file,
    write_checkpoint,
)
from freqsense.fourier import RadialProfile, fft2, radial_average
from freqsense.images import luminance
from freqsense.sensitivity import SensitivityMap, Slope, measure_sensitivity, slope

if TYPE_CHECKING:
    from freqsense.experiments import Sweep

__all__ = ["download", "measure", "paper", "report", "sweep", "train"]

_FIRST_RING = 2  # of fits; ring 1 holds four frequencies
_MIN_SIDE = 8  # for three rings to fit a line to


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

    path, place = _new_file(output), _as_device(device)
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


def measure(
    *,
    model: str,
    images: str,
    output: str,
    size: int | None,
    mean: list[float] | None,
    std: list[float] | None,
    method: str,
    batch_size: int,
    trust: bool,
    device: str | None,
    **told: Any,
) -> None:
    """Measure a network of the user's, of which more is told, on pictures of the user's."""
    path, folder = Path(model), Path(output)
    content = read_file(path, trust)
    pictures, shape = _open_pictures(images, size, batch_size, needed_sides(content))
    network = make_network(path, content, shape, **told)
    center, scale = _choose_normalization(content, network.channels, mean, std)
    options = {"method": method, "batch_size": batch_size, "device": _place(network, device)}
    folder.mkdir(parents=True, exist_ok=True)
    prepared = _PreparedPictures(pictures, network.channels, center, scale)
    complaint = f"{path} cannot be applied to images {(network.channels, *shape)}"
    with closing(prepared.batches()) as batches:
        result = _apply(network, batches, complaint, options)
    result.save(folder / "map.npz")
    sensitivity, power = result.norm().radial().single(), prepared.mean_power()
    last_ring = len(power.frequency) - 1
    try:
        line = slope(sensitivity, _FIRST_RING, last_ring)
        law = prepared.fit_power_law(last_ring)
    except ValueError as error:
        raise ValueError(f"{error}; the map itself is in {folder / 'map.npz'}") from error
    _draw_measurement(folder / "profile.png", sensitivity, power, line, law)
    summary = {
        "model": model,
        "images": images,
        "n_images": result.n_images,
        "shape": (network.channels, *shape),
        "mean": center.flatten().tolist(),
        "std": scale.flatten().tolist(),
        "method": method,
        "sensitivity_slope": asdict(line),
        "power_law": asdict(law),
        "versions": {"freqsense": freqsense.__version__, "torch": torch.__version__},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    atomic_write(folder / "summary.json", json.dumps(summary, indent=1).encode())
    band = f"{_FIRST_RING} to {last_ring} cycles/image"
    # In ASCII: not every terminal, and no pipe on Windows, prints more.
    said = [" ".join(f"{value:.3g}" for value in values.flatten()) for values in (center, scale)]
    print(f"pixels from 0 to 1, minus {said[0]}, divided by {said[1]}")
    print(f"sensitivity: slope {line.slope:.3f} +/- {line.stderr:.3f} over {band}")
    print(f"power: exponent alpha {law.alpha:.3f} +/- {law.alpha_stderr:.3f} over {band}")
    print(f"written: {folder}/map.npz, profile.png, summary.json")


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
        warnings.filterwarnings("ignore", r"\d+ of \d+ runs failed")  # which is printed below
        dataset = declared.run(
            n_workers=workers, scheduler=scheduler, retry_failures=retry_failures
        )
    declared.save(file)
    failures = declared.failures()
    n_missing = len(json.loads(dataset.attrs["missing"]))
    n_runs = len(declared.configurations)
    print(f"{n_runs} runs, {n_runs - n_missing} stored, {len(failures)} failed; in {runs}")
    _print_failures(declared, failures)
    print(f"written: {file}")
    return 1 if failures else 0


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
    if file is not None:
        _write_record(file, trained)
    return 1 if failures or left else 0


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

    declaration, plan = file.with_suffix(".yaml"), runs / "plan.json"
    if not declaration.exists():
        return
    planned = json.loads(plan.read_text(encoding="utf-8"))["grid"] if plan.exists() else None
    if read_sweep(declaration, runs).grid != planned:
        raise ValueError(
            f"{declaration} must be free, or be of the plan in {runs}; got another sweep: "
            "name another --output"
        )


def _write_record(file: Path, trained: "Sweep") -> None:
    from freqsense.cli.config import write_sweep

    declaration = file.with_suffix(".yaml")
    trained.save(file)
    if not declaration.exists():
        write_sweep(declaration, trained, "The paper's networks, as planned for some minutes.")
    print(f"written: {file}, {declaration.name}")


# Files and devices


def _new_file(path: str | Path) -> Path:
    """Check that a file can be written before hours of work."""
    path = Path(path)
    if not path.parent.is_dir() or path.is_dir():
        raise FileNotFoundError(f"--output must be a file in a folder that exists, got {path}")
    return path


def _as_device(name: str | None) -> torch.device:
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device must be one that is here, got {name!r}: {reason}") from error


# Measurement


def _open_pictures(
    folder: str, size: int | None, batch_size: int, needed: tuple[int, int] | None
) -> tuple[datasets.ImageBatches, tuple[int, int]]:
    """Pictures, and their height and width, which must be those needed if these are known."""
    if not Path(folder).is_dir():
        raise NotADirectoryError(f"IMAGES_FOLDER must be a folder of pictures, got {folder}")
    hint = ""
    if needed is not None:
        hint = f"; the network needs {needed[0]} x {needed[1]} pixels"
        square = needed[0] == needed[1]
        hint += f", --size {needed[0]} crops and resizes pictures to that" if square else ""
    try:
        pictures = datasets.image_folder(folder, size, batch_size=batch_size)
    except ValueError as error:
        raise ValueError(f"{error}{hint}") from error
    first, _ = next(iter(replace(pictures, batch_size=1)))
    height, width = sides(first)
    got = f"{height} x {width}"
    if needed not in (None, (height, width)):
        raise ValueError(f"pictures are {got} pixels{hint}")
    if min(height, width) < _MIN_SIDE:
        raise ValueError(f"pictures must have at least {_MIN_SIDE} pixels a side, got {got}")
    return pictures, (height, width)


def _choose_normalization(
    content: object, n_channels: int, mean: list[float] | None, std: list[float] | None
) -> tuple[Tensor, Tensor]:
    """Mean and scale of pixels, (C, 1, 1) or (1, 1, 1): those given, stored, or 0 and 1."""
    if n_channels not in (1, 3):
        raise ValueError(f"pictures have 1 or 3 channels, the network takes {n_channels}")
    stored = {"mean": [0.0], "std": [1.0]}
    if isinstance(content, dict) and is_checkpoint(content):
        stored = content
    return (
        _as_channel_values(mean or stored["mean"], "mean", n_channels),
        _as_channel_values(std or stored["std"], "std", n_channels),
    )


def _place(network: Network, device: str | None) -> torch.device:
    """Where to compute."""
    place = _as_device(device) if network.device is None else network.device
    if device is not None and torch.device(device).type != place.type:
        raise ValueError(f"an exported program stays on its device, {place}; got --device {device}")
    return place


def _apply(
    network: Network, batches: Iterator[Tensor], complaint: str, options: dict[str, Any]
) -> SensitivityMap:
    try:
        return measure_sensitivity(network.model, batches, **options)
    except (ValueError, TypeError):
        raise  # these say what is wrong
    except Exception as error:  # whatever the user's network raises
        raise ValueError(f"{complaint}: {error}; --size N makes other images") from error


def _as_channel_values(values: list[float], name: str, n_channels: int) -> Tensor:
    if len(values) not in (1, n_channels):
        raise ValueError(f"--{name} takes 1 or {n_channels} values, got {len(values)}")
    if not all(math.isfinite(value) and (name == "mean" or value > 0) for value in values):
        raise ValueError(
            f"--{name} must be finite{' and positive' * (name == 'std')}, got {values}"
        )
    return torch.tensor(values)[:, None, None]  # (C, 1, 1) or (1, 1, 1)


class _PreparedPictures:
    """Pictures as a network sees them; the power of each is kept as it passes."""

    def __init__(
        self, pictures: datasets.ImageBatches, n_channels: int, mean: Tensor, std: Tensor
    ) -> None:
        self.pictures, self.n_channels, self.mean, self.std = pictures, n_channels, mean, std
        self.powers: list[RadialProfile] = []  # of each batch, ring means (n, R)

    def batches(self) -> Generator[Tensor, None, None]:
        """Yield stacks (n, C, H, W)."""
        for stack, _ in tqdm(self.pictures, desc="batches"):
            grey_or_not = stack if self.n_channels == 3 else luminance(stack)
            prepared = (grey_or_not - self.mean) / self.std
            power = fft2(prepared.double()).abs().square().sum(1)  # (n, H, W)
            self.powers.append(radial_average(power))
            yield prepared

    def mean_power(self) -> RadialProfile:
        """Mean over the pictures that have passed, with its error over them."""
        if len(profiles := self._profiles()) == 1:
            return profiles[0]
        means = torch.stack([profile.mean for profile in profiles])  # (N, R)
        sem = means.std(0) / math.sqrt(len(means))
        return replace(profiles[0], mean=means.mean(0), sem=sem, sem_over="images")

    def fit_power_law(self, last_ring: int) -> spectra.PowerLaw:
        """Fit the power of the pictures that have passed."""
        if len(profiles := self._profiles()) == 1:
            return spectra.fit_power_law(profiles[0], fmin=_FIRST_RING, fmax=last_ring)
        return spectra.bootstrap_power_law(profiles, fmin=_FIRST_RING, fmax=last_ring)

    def _profiles(self) -> list[RadialProfile]:
        return [profile[index] for profile in self.powers for index in range(len(profile.mean))]


def _draw_measurement(
    path: Path,
    sensitivity: RadialProfile,
    power: RadialProfile,
    line: Slope,
    law: spectra.PowerLaw,
) -> None:
    with mpl.rc_context():
        plotting.use_theme()
        left, right = (figure := Figure(figsize=(9.6, 4.2))).subplots(1, 2)
        plotting.plot_profile(left, sensitivity, ylabel="sensitivity (output/pixel unit)")
        title = f"network: slope {line.slope:.2f} ± {line.stderr:.2f}"
        left.set_title(title.replace("-", "\N{MINUS SIGN}"))
        plotting.plot_profile(right, power, ylabel="power (pixel unit²)")
        plotting.plot_power_law(right, law)
        right.legend()
        right.set_title("images")
        with atomic_replace(path) as temporary:
            figure.savefig(temporary, format="png")
