"""A page about the result of a sweep, complete in one file."""

import base64
import io
import itertools
import json
import math
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
import xarray
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from xarray import Dataset

from freqsense import plotting
from freqsense._analysis import ring_power, ring_slopes
from freqsense.fourier import RadialProfile, radial_average

_DIMS = {
    "sensitivity": ("ring",),
    "power_map": ("ky", "half_kx"),
    "accuracy": (),
    "train_accuracy": (),
}
_ATTRIBUTES = ("configuration", "missing", "failures", "function")
_PROVENANCE = ("function", "command", "date", "freqsense", "torch", "numpy", "python", "device")
_IMAGE_AXES = ("data", "image_filter", "size", "n_train", "n_test")  # power depends on no others
_FIRST_RING = 2
_STYLE = """
body {font: 16px/1.5 sans-serif; max-width: 62em; margin: 2em auto; padding: 0 1em}
table {border-collapse: collapse; margin: 1em 0}
th, td {border: 1px solid #bbb; padding: .25em .6em; text-align: left; overflow-wrap: anywhere}
img {max-width: 100%}
.missing {border: 3px solid #D55E00; padding: 0 1em}
"""


def make_report(path: Path) -> str:
    """HTML of a report; ValueError if the file is no result of ``train_and_measure``."""
    if not path.is_file():
        raise FileNotFoundError(f"RESULT must be a file, got {path}, which is none")
    try:
        dataset = xarray.load_dataset(path, engine="netcdf4")
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} must be the netCDF file of a sweep, got: {error}") from error
    grid, missing, failures = _read_attributes(path, dataset)
    parts = [_provenance(dataset), _missing(grid, missing, failures), _grid(grid)]
    if dataset.data_vars:
        _check_results(path, dataset)
        parts += _results(dataset)
    title = f"Sweep {escape(path.name)}"
    body = "\n".join([f"<h1>{title}</h1>", *parts])
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


# What a file must hold


def _read_attributes(path: Path, dataset: Dataset) -> tuple[dict, list, list]:
    try:
        texts = {name: dataset.attrs[name] for name in _ATTRIBUTES}
        grid = json.loads(texts["configuration"])["grid"]
        missing, failures = json.loads(texts["missing"]), json.loads(texts["failures"])
        for run in missing + [failure["configuration"] for failure in failures]:
            [run[axis] for axis in grid]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} must be what a sweep saved, with attributes {', '.join(_ATTRIBUTES)}; "
            f"got {', '.join(map(str, dataset.attrs)) or 'none'}"
        ) from error
    return grid, missing, failures


def _check_results(path: Path, dataset: Dataset) -> None:
    axes = list(json.loads(dataset.attrs["configuration"])["grid"])
    for name, dims in _DIMS.items():
        if (
            name not in dataset
            or dataset[name].dims != (*axes, *dims)
            or "architecture" not in axes
        ):
            raise ValueError(
                f"{path} must be the result of train_and_measure, with {', '.join(_DIMS)} for each "
                f"architecture; got {', '.join(map(str, dataset.data_vars))} "
                f"of {dataset.attrs['function']}"
            )
    half = dataset.sizes["ky"] // 2 + 1
    if (dataset.sizes["half_kx"], dataset.sizes["ring"]) != (half, half):
        raise ValueError(f"{path} must hold maps of square images, got {dict(dataset.sizes)}")


# Parts of the page


def _provenance(dataset: Dataset) -> str:
    rows = [(name, dataset.attrs[name]) for name in _PROVENANCE if name in dataset.attrs]
    return "<h2>Where it comes from</h2>" + _table(("", ""), rows)


def _missing(grid: dict, missing: list[dict], failures: list[dict]) -> str:
    n_runs = math.prod(len(values) for values in grid.values())
    if not missing:
        return f"<h2>Runs</h2><p>All {n_runs} runs are here.</p>"
    failed = [failure["configuration"] for failure in failures]
    rows = [
        (*(f["configuration"][axis] for axis in grid), "failed: " + f["error"]) for f in failures
    ]
    rows += [(*(run[axis] for axis in grid), "not done") for run in missing if run not in failed]
    text = f"{len(missing)} of {n_runs} runs are missing, {len(failures)} of which failed."
    table = _table((*grid, "why"), rows)
    return f'<h2>Runs</h2><div class="missing"><p><strong>{text}</strong></p>{table}</div>'


def _grid(grid: dict) -> str:
    rows = [(axis, ", ".join(map(str, values))) for axis, values in grid.items()]
    return "<h2>Grid</h2>" + _table(("axis", "values"), rows)


def _results(dataset: Dataset) -> Iterator[str]:
    """One part for each architecture."""
    n_seeds = dataset.sizes.get("seed", 1)
    for architecture in dataset["architecture"].values:
        runs = list(_combinations(dataset.sel(architecture=architecture)))
        yield f"<h2>{escape(str(architecture))}</h2>"
        yield _summary_table(runs)
        yield f"<p>Up to {n_seeds} seeds; ± is one standard error over them, bands are 1.96.</p>"
        each = len(plotting.OKABE_ITO)  # curves that can be told apart
        drawn = [run for run in runs if _finite(run[1]["sensitivity"]).size]
        for start in range(0, len(drawn), each):
            yield _figure(str(architecture), drawn[start : start + each])


def _combinations(dataset: Dataset) -> Iterator[tuple[dict, Dataset]]:
    """What is varied, and the runs (seed, ...) of each combination of it."""
    if "seed" not in dataset.dims:
        dataset = dataset.expand_dims("seed")
    inner = {"seed", "ring", "ky", "half_kx"}
    axes = [axis for axis in dataset.dims if axis not in inner]
    for index in itertools.product(*(range(dataset.sizes[axis]) for axis in axes)):
        runs = dataset.isel(dict(zip(axes, index, strict=True)))
        varied = {axis: runs[axis].item() for axis in axes if dataset.sizes[axis] > 1}
        yield varied, runs.transpose("seed", ...)


def _summary_table(runs: list[tuple[dict, Dataset]]) -> str:
    rows = []
    for varied, part in runs:
        sensitivity = _finite(part["sensitivity"])
        power = _powers(part) if len(sensitivity) else sensitivity
        cells = [_finite(part[name]) for name in ("accuracy", "train_accuracy")]
        cells += [_slopes(sensitivity, part), _slopes(power, part)]
        rows.append((*varied.values(), len(sensitivity), *map(_mean_and_error, cells)))
    columns = ("seeds", "test accuracy", "training accuracy")
    columns += ("slope of sensitivity", "slope of power")
    return _table((*runs[0][0], *columns), rows)


def _figure(architecture: str, runs: list[tuple[dict, Dataset]]) -> str:
    with mpl.rc_context():
        plotting.use_theme()
        left, right = (figure := Figure(figsize=(10, 4.2))).subplots(1, 2)
        powers = {}
        for varied, part in runs:
            _draw(
                left, _finite(part["sensitivity"]), part, varied, "sensitivity (output/pixel unit)"
            )
            of_images = {axis: value for axis, value in varied.items() if axis in _IMAGE_AXES}
            powers.setdefault(json.dumps(of_images), (_powers(part), part, of_images))
        for values, part, of_images in powers.values():
            _draw(right, values, part, of_images, "power of the images (pixel unit²)")
        left.set_title(architecture.replace("$", r"\$"))
        picture = io.BytesIO()
        figure.savefig(picture, format="png")
    data = base64.b64encode(picture.getvalue()).decode()
    names = "; ".join(_label(varied) for varied, _ in runs)
    alt = escape(f"Radial sensitivity of {architecture} and power of its images: {names}")
    return f'<img alt="{alt}" src="data:image/png;base64,{data}">'


def _draw(ax: Axes, values: np.ndarray, part: Dataset, varied: dict, ylabel: str) -> None:
    """Draw the mean over seeds of ring means (seed, ring), if there is one to draw."""
    profile = _profile(values, part)
    if (profile.mean[1:] > 0).any():
        label = _label(varied).replace("$", r"\$")
        plotting.plot_profile(ax, profile, label=label, ylabel=ylabel)
        ax.legend(fontsize=8)


# Numbers


def _finite(values: xarray.DataArray) -> np.ndarray:
    """The rows of (seed, ...) that are there."""
    array = values.values
    return array[np.isfinite(array).reshape(len(array), -1).all(1)]


def _powers(part: Dataset) -> np.ndarray:
    """Ring means (seed, ring) of the power of the training images."""
    return _finite(ring_power(part["power_map"]))


def _profile(values: np.ndarray, part: Dataset) -> RadialProfile:
    n, side = len(values), part.sizes["ky"]
    mean = torch.from_numpy(values.astype(float).mean(0))
    error = (
        values.astype(float).std(0, ddof=1) / math.sqrt(n) if n > 1 else np.full(len(mean), np.nan)
    )
    ring = radial_average(torch.zeros(side, side))
    return RadialProfile(ring.frequency, mean, torch.from_numpy(error), ring.count, ring.shape)


def _slopes(values: np.ndarray, part: Dataset) -> np.ndarray:
    """Slope of each of (seed, ring) in which every ring has some value."""
    last = values.shape[1] - 1
    if not len(values) or last < _FIRST_RING + 2:
        return np.array([])
    rings = xarray.DataArray(values, dims=("seed", "ring"))
    slopes = ring_slopes(rings, size=part.sizes["ky"], fmin=_FIRST_RING, fmax=last).values
    return slopes[np.isfinite(slopes)]


def _mean_and_error(values: np.ndarray) -> str:
    if len(values) < 2:
        return f"{values[0]:.3f}" if len(values) else "none"
    return f"{values.mean():.3f} ± {values.std(ddof=1) / math.sqrt(len(values)):.3f}"


# Text


def _label(varied: dict) -> str:
    return ", ".join(f"{axis} {value}" for axis, value in varied.items()) or "all runs"


def _table(header: Iterable, rows: Iterable[Iterable]) -> str:
    def row(cells: Iterable, tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(str(c))}</{tag}>" for c in cells) + "</tr>"

    lines = [row(header, "th")] if any(header) else []
    return "<table>" + "\n".join(lines + [row(cells, "td") for cells in rows]) + "</table>"
