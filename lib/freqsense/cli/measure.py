"""The commands `measure` and `compare`: networks and pictures from files, findings into files."""

import csv
import io
import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

import freqsense
from freqsense import datasets
from freqsense._checks import seeded_generator, sides
from freqsense._files import check_regular, check_replaceable, write_together
from freqsense.checkpoints import Network, make_network, needed_sides, read_file
from freqsense.cli._devices import as_device
from freqsense.measurement import Measurement, measure_network
from freqsense.measurement import compare as compare_measurements
from freqsense.sensitivity import SensitivityMap, Slope

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["compare", "measure"]

_MIN_SIDE = 8  # for three rings to fit a line to
_MEASURED = ("map.npz", "map.png", "profile.csv", "profile.png", "summary.json")
_COMPARED = ("compare.csv", "compare.png", "profiles.csv", "summary.json")
_SMALL, _FEW, _MANY = 64, 8, 64  # pictures read at a time: few, or many of at most 64 pixels a side


def measure(
    *,
    paths: list[str],
    output: str | None,
    force: bool,
    n_untrained: int,
    until: float | None,
    per_pixel: bool,
    **told: Any,
) -> None:
    """Measure a network of the user's, of which more is told, on pictures of the user's."""
    *networks, images = paths
    if len(networks) > 1:
        raise ValueError(f"measure takes [MODEL] IMAGES_FOLDER, got {' '.join(paths)}")
    _choose_folder(output, "measurement", _MEASURED, force)  # refused before hours of work
    path = networks[0] if networks else None
    bench = _Bench(images, **told)
    measured = bench.measure(path, n_untrained=n_untrained, until=until)
    contents = _describe(measured, per_pixel)
    target = _choose_folder(output, "measurement", _MEASURED, force)  # what came meanwhile
    write_together(target, contents, force=force)
    _print_measurement(measured)
    print(f"written: {target}/{', '.join(contents)}")


def compare(
    *, paths: list[str], output: str | None, force: bool, per_pixel: bool, **told: Any
) -> None:
    """Measure several networks on the same pictures, or take what was measured, as one table."""
    _choose_folder(output, "comparison", _COMPARED, force)
    has_pictures = _is_pictures(paths[-1])
    networks = paths[:-1] if has_pictures else paths
    bench = _Bench(paths[-1], **told) if has_pictures else None
    measurements = []
    for name, network in zip(_name_apart(networks), networks, strict=True):
        if _is_measured(network):
            measured = _read_measurement(network, told["fmin"], told["fmax"])
        elif bench is None:
            raise ValueError(f"{network} must be measured on pictures: give IMAGES_FOLDER last")
        else:
            measured = bench.measure(network)
        measurements.append(replace(measured, name=name))
    rows = compare_measurements(measurements)
    doubts = [f"{m.name}: {text}" for m in measurements for text in m.warnings]
    doubts += _doubt_likeness(measurements)
    contents = _describe_comparison(measurements, rows, doubts, per_pixel)
    target = _choose_folder(output, "comparison", _COMPARED, force)
    write_together(target, contents, force=force)
    _print_table(rows)
    lines = {line for each in measurements if (line := each.pictures_slope()) is not None}
    if len(lines) == 1:
        print(f"pictures: slope of their amplitude {_slope_text(lines.pop())}")
    _print_doubts(measurements, doubts)
    print(f"written: {target}/{', '.join(contents)}")


class _Bench:
    """Pictures, and how every network is measured on them."""

    def __init__(
        self,
        folder: str,
        *,
        size: int | None,
        skip_others: bool,
        mean: list[float] | None,
        std: list[float] | None,
        model: str | None,
        architecture: str | None,
        width: int | None,
        channels: int | None,
        output_key: str | None,
        trust: bool,
        device: str | None,
        **options: Any,
    ) -> None:
        if not Path(folder).is_dir():
            raise NotADirectoryError(f"IMAGES_FOLDER must be a folder of pictures, got {folder}")
        self.folder, self.size, self.skip_others = folder, size, skip_others
        self.mean, self.std, self.device, self.trust = mean, std, device, trust
        self.model, self.channels = model, channels
        self.described: dict[str, Any] = {"architecture": architecture, "width": width}
        self.options = options | {"output_key": _as_key(output_key), "progress": True}
        self.pictures: datasets.ImageBatches | None = None
        self.warned: list[str] = []
        as_device(device)

    def measure(self, network: str | None, **more: Any) -> Measurement:
        """Measure the network of a file, of --model, or of both; keep what is warned of."""
        with _listen(self.warned):
            measured = self._measure(network, **more)
        return replace(measured, settings=measured.settings | {"warned": list(self.warned)})

    def _measure(self, network: str | None, **more: Any) -> Measurement:
        path, factory = _as_network(network, self.model)
        content = None if path is None else read_file(path, self.trust)
        needed = None if content is None else needed_sides(content)
        if factory is not None and self.pictures is None:
            # A wrong one is told before all pictures are read.
            make_network(path, content, None, factory=factory, **self.described)
        pictures, shape = self._open_pictures(needed)
        opened = make_network(
            path, content, shape, factory=factory, channels=self.channels, **self.described
        )
        self._check_channels(opened)
        told = str(path or factory)
        options = self.options | more | {"device": self._place(opened), "name": _shorten(told)}
        options |= {"mean": self.mean, "std": self.std}
        found = _apply(opened, pictures, f"{told} on images {(opened.channels, *shape)}", options)
        settings = {"model": told, "factory": factory, **self.described, "images": self.folder}
        return replace(found, settings=settings | {"size": self.size} | found.settings)

    def _open_pictures(
        self, needed: tuple[int, int] | None
    ) -> tuple[datasets.ImageBatches, tuple[int, int]]:
        """Pictures, and their height and width, which must be those needed if these are known."""
        hint = ""
        if needed is not None:
            hint = f"; the network needs {needed[0]} x {needed[1]} pixels"
            square = needed[0] == needed[1]
            hint += f", --size {needed[0]} crops and resizes pictures to that" if square else ""
        if self.pictures is None:
            self.pictures = self._read_folder(hint)
        height, width = sides(next(iter(replace(self.pictures, batch_size=1)))[0])
        got = f"{height} x {width}"
        if needed not in (None, (height, width)):
            raise ValueError(f"pictures are {got} pixels{hint}")
        if min(height, width) < _MIN_SIDE:
            raise ValueError(f"pictures must have at least {_MIN_SIDE} pixels a side, got {got}")
        n_read = _MANY if height * width <= _SMALL**2 else _FEW
        return replace(self.pictures, batch_size=n_read), (height, width)

    def _read_folder(self, hint: str) -> datasets.ImageBatches:
        options: dict[str, Any] = {"skip_others": self.skip_others, "progress": True}
        try:
            pictures = datasets.image_folder(self.folder, self.size, **options)
        except ValueError as error:
            raise ValueError(f"{error}{hint}") from error
        # Classes lie together in a folder: what ends early, or sees batches, needs a fair sample.
        generator = seeded_generator(self.options["seed"])
        order = torch.randperm(len(pictures.names), generator=generator)
        names, files = (
            tuple(listed[k] for k in order.tolist()) for listed in (pictures.names, pictures.files)
        )
        return replace(pictures, names=names, files=files, labels=pictures.labels[order])

    def _place(self, network: Network) -> torch.device:
        """Where to compute."""
        device = self.device
        place = as_device(device) if network.device is None else network.device
        if device is not None and torch.device(device).type != place.type:
            raise ValueError(
                f"an exported program stays on its device, {place}; got --device {device}"
            )
        return place

    def _check_channels(self, network: Network) -> None:
        if network.channels not in (1, 3):
            raise ValueError(f"pictures have 1 or 3 channels, the network takes {network.channels}")


@contextmanager
def _listen(warned: list[str]) -> Iterator[None]:
    """Keep the warnings that are shown."""
    show = warnings.showwarning

    def keep(message: Warning | str, *where: Any, **more: Any) -> None:
        warned.append(" ".join(str(message).split()))
        show(message, *where, **more)

    with warnings.catch_warnings():
        warnings.showwarning = keep
        yield


def _as_network(network: str | None, model: str | None) -> tuple[Path | None, str | None]:
    """File and factory of a network; one of them may be missing."""
    if network is None:
        if model is None:
            raise ValueError("the network must be told: give MODEL, or --model, or both")
        return None, model
    if ":" in network and not Path(network).exists():
        if model is not None:
            raise ValueError(f"--model is for weights: leave it out, or {network}")
        return None, network
    if Path(network).is_dir():
        raise ValueError(f"{network} must be a file of a network, got a folder without map.npz")
    return Path(network), model


def _apply(
    network: Network, pictures: datasets.ImageBatches, what: str, options: dict[str, Any]
) -> Measurement:
    try:
        found = measure_network(network, pictures, **options)
    except (ValueError, TypeError, OSError):
        raise  # these say what is wrong
    except Exception as error:  # whatever the user's network raises
        text = " ".join(str(error).split()) or type(error).__name__
        memory = isinstance(error, MemoryError) or "memory" in text
        hint = "--batch-size N takes less" if memory else "--size N makes other images"
        raise ValueError(f"{what} fails: {text}; {hint}") from error
    if not (found.profile.mean[1:] > 0).any():
        raise ValueError(f"{what} must respond to a frequency beside DC, got none that it does")
    return found


def _as_key(text: str | None) -> str | int | None:
    is_index = text is not None and text.removeprefix("-").isdecimal()
    return int(text) if text is not None and is_index else text


# What was measured before


def _is_measured(path: str) -> bool:
    return Path(path).suffix == ".npz" or (Path(path) / "map.npz").exists()


def _is_pictures(path: str) -> bool:
    return Path(path).is_dir() and not _is_measured(path)


def _read_measurement(path: str, fmin: float | None, fmax: float | None) -> Measurement:
    """Map of a folder or of a file of one; the summary beside it tells how it was measured."""
    file = Path(path) if Path(path).suffix == ".npz" else Path(path) / "map.npz"
    check_regular(file, "a measured map")
    found = SensitivityMap.load(file)
    summary = file.with_name("summary.json")
    settings: Any = {}
    if summary.exists():
        check_regular(summary, "a summary")
        try:
            settings = json.loads(summary.read_bytes())
        except ValueError as error:
            raise ValueError(f"{summary} must be JSON, got {error}") from error
        if not isinstance(settings, dict):
            raise ValueError(f"{summary} must hold names and values, got {type(settings).__name__}")
    return Measurement(path, found, fmin, fmax, settings=settings)


def _name_apart(networks: Sequence[str]) -> list[str]:
    """Names as short as tell the networks apart."""
    short = [_shorten(network) for network in networks]
    return short if len(set(short)) == len(short) else list(networks)


def _shorten(network: str) -> str:
    path = Path(network)
    if path.name == "map.npz":
        path = path.parent
    return network if not path.exists() else path.resolve().stem


def _doubt_likeness(measurements: Sequence[Measurement]) -> list[str]:
    """Say in what the measurements that are compared differ, networks apart."""
    found: dict[str, list] = {"size": [list(m.map.values.shape[1:]) for m in measurements]}
    found["n_images"] = [m.map.n_images for m in measurements]
    for name in ("images", "mean", "std", "n_probes", "seed"):
        found[name] = [m.settings.get(name) for m in measurements]
    return [
        f"the networks were not measured alike: {name} {', '.join(map(str, values))}"
        for name, values in found.items()
        if any(value != values[0] for value in values)
    ]


# Files


def _choose_folder(output: str | None, default: str, names: tuple[str, ...], force: bool) -> Path:
    """Folder for files that are not there yet, checked before hours of work."""
    if output is None and not force:
        number = 1
        while (folder := Path(default if number == 1 else f"{default}-{number}")).exists():
            number += 1
        return folder
    folder = Path(default if output is None else output)
    there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not there.is_dir():
        raise NotADirectoryError(f"--output must be a folder, new or not, got {there}")
    if not os.access(there, os.W_OK):
        raise PermissionError(f"--output must be a folder that can be written in, got {there}")
    for name in names:
        check_replaceable(folder / name)
    old = [name for name in names if (folder / name).exists()]
    if old and not force:
        raise FileExistsError(f"{folder} holds {', '.join(old)}: --force replaces what is there")
    return folder


def _describe(measured: Measurement, per_pixel: bool) -> dict[str, bytes]:
    """Contents of the files of one measurement."""
    norm = measured.map.norm().values[0]

    def draw_map(ax: "Axes") -> None:
        freqsense.plotting.plot_spectrum_map(ax, norm, label="sensitivity (output/pixel unit)")

    def draw_profile(ax: "Axes") -> None:
        freqsense.plotting.plot_measurements(ax, [measured], per_pixel=per_pixel)

    return {
        "map.npz": _as_npz(measured.map),
        "map.png": _as_png(draw_map),
        "profile.csv": _as_csv(_profile_rows(measured)),
        "profile.png": _as_png(draw_profile),
        "summary.json": _as_json(measured.summary),
    }


def _describe_comparison(
    measurements: list[Measurement], rows: list[dict], doubts: list[str], per_pixel: bool
) -> dict[str, bytes]:
    # Networks of several sizes have their own cycles/image.
    several = len({m.map.values.shape[1:] for m in measurements}) > 1

    def draw(ax: "Axes") -> None:
        freqsense.plotting.plot_measurements(ax, measurements, per_pixel=per_pixel or several)

    summaries = [measured.summary for measured in measurements]
    return {
        "compare.csv": _as_csv(rows),
        "compare.png": _as_png(draw),
        "profiles.csv": _as_csv([row for m in measurements for row in _profile_rows(m)]),
        "summary.json": _as_json({"networks": summaries, "table": rows, "warnings": doubts}),
    }


def _profile_rows(measured: Measurement) -> list[dict[str, Any]]:
    """A row a ring, with what tells it from those of other measurements."""
    profile = measured.profile
    columns: dict[str, torch.Tensor] = {
        "cycles_per_image": profile.frequency,
        "cycles_per_pixel": profile.frequency / measured.side,
        "count": profile.count,
        "sensitivity": profile.mean,
        "sensitivity_stderr": profile.sem,
    }
    if measured.pictures is not None:
        columns |= {"pictures": measured.pictures.mean, "pictures_stderr": measured.pictures.sem}
    if measured.untrained is not None:
        columns["untrained"] = measured.untrained.mean(0)
        columns |= {f"untrained_{k}": curve for k, curve in enumerate(measured.untrained)}
    same = {"name": measured.name, "n_images": measured.map.n_images}
    same |= {name: measured.settings.get(name) for name in ("images", "n_probes", "seed")}
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [
        {"ring": ring, **dict(zip(columns, row, strict=True)), **same}
        for ring, row in enumerate(values)
    ]


def _as_csv(rows: list[dict[str, Any]]) -> bytes:
    names = dict.fromkeys(name for row in rows for name in row)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(names))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode(errors="backslashreplace")


def _as_json(summary: dict[str, Any]) -> bytes:
    versions = {"freqsense": freqsense.__version__, "torch": torch.__version__}
    summary |= {"versions": versions, "date": datetime.now(UTC).isoformat(timespec="seconds")}
    return json.dumps(summary, indent=1, allow_nan=False).encode()


def _as_npz(found: SensitivityMap) -> bytes:
    with TemporaryDirectory() as place:
        found.save(path := Path(place, "map.npz"))
        return path.read_bytes()


def _as_png(draw: Callable[["Axes"], object]) -> bytes:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    content = io.BytesIO()
    with mpl.rc_context():
        freqsense.plotting.use_theme()
        figure = Figure(figsize=(6.4, 4.8))
        draw(figure.subplots())
        figure.savefig(content, format="png")
    return content.getvalue()


# What is printed, in ASCII: not every terminal, and no pipe on Windows, prints more.


def _print_measurement(measured: Measurement) -> None:
    told, shape = measured.settings, " x ".join(map(str, measured.map.values.shape))
    mean, std = (" ".join(f"{value:.3g}" for value in told[name]) for name in ("mean", "std"))
    several = "s" * (measured.map.n_images != 1)
    print(f"{measured.map.n_images} picture{several} of {told['images']}, {shape}")
    print(f"pixels from 0 to 1, minus {mean}, divided by {std}")
    print(_method_text(measured))
    first, last = measured.bands["whole"]
    line, low, high = (measured.slope(band) for band in ("whole", "low", "high"))
    if line is not None:
        print(f"sensitivity: slope {_slope_text(line)} over {first:g} to {last:g} cycles/image")
    if low is not None and high is not None:
        print(f"  {_slope_text(low)} up to {low.fmax:g}, {_slope_text(high)} from there")
    peak = measured.peak
    print(f"peak: {peak.cycles_per_image:.3g} cycles/image, {peak.cycles_per_pixel:.3f} per pixel")
    if (line := measured.pictures_slope()) is not None:
        print(f"pictures: slope of their amplitude {_slope_text(line)}")
    if (line := measured.untrained_slope()) is not None and measured.untrained is not None:
        print(f"untrained: slope {_slope_text(line)}, {len(measured.untrained)} of them")
    if (line := measured.trained_minus_untrained()) is not None:
        print(f"trained minus untrained: {_slope_text(line)}")
    _print_doubts([measured], measured.warnings)


def _method_text(measured: Measurement) -> str:
    n_probes = measured.map.n_probes
    how = f"{n_probes} random probe{'s' * (n_probes != 1)} of all outputs a picture"
    how = f"{how}, seed {measured.settings['seed']}" if n_probes else "every output, exactly"
    if measured.relative_error is not None:
        how += f"; standard error of ring means {measured.relative_error:.1%}"
    return how


def _slope_text(line: Slope) -> str:
    return f"{line.slope:.3f} +/- {line.stderr:.3f}"


def _print_doubts(measurements: list[Measurement], doubts: list[str]) -> None:
    for note in dict.fromkeys(note for measured in measurements for note in measured.notes):
        print(f"note: {note}")
    for doubt in doubts:
        print(f"warning: {doubt}")


def _print_table(rows: list[dict[str, Any]]) -> None:
    head = ["network", "pictures", "slope", "low", "high", "peak/pixel", "minus first"]
    table = [head]
    for row in rows:
        pairs = [_pair(row, name) for name in ("slope", "low", "high")]
        peak = f"{row['cycles_per_pixel']:.3f}"
        table.append([row["name"], str(row["n_images"]), *pairs, peak, _pair(row, "minus_first")])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        print("  ".join(cells).rstrip())


def _pair(row: dict[str, Any], name: str) -> str:
    value, stderr = row[name], row[f"{name}_stderr"]
    return "-" if value is None else f"{value:.3f} +/- {stderr:.3f}"
