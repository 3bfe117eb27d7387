"""A page about the result of a sweep, complete in one file."""

import base64
import io
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from freqsense import plotting
from freqsense._extras import extra
from freqsense._files import check_regular
from freqsense.experiments import mean_and_error, ring_power, ring_slopes
from freqsense.fourier import RadialProfile, radial_average

with extra("sweeps"):
    import jinja2
    import xarray
    from xarray import DataArray, Dataset

__all__ = ["make_report"]

_DIMS = {
    "sensitivity": ("ring",),
    "power_map": ("ky", "half_kx"),
    "accuracy": (),
    "train_accuracy": (),
}
_ATTRIBUTES = ("configuration", "missing", "failures", "function")
_PROVENANCE = ("function", "command", "date", "freqsense", "torch", "numpy", "python", "device")
_IMAGE_AXES = ("data", "image_filter", "size", "n_train", "n_test")  # power depends on no others
_KNOWN = "train_and_measure"  # whose results are drawn
_FIRST_RING = 2
_COLUMNS = (
    "seeds",
    "test accuracy",
    "training accuracy",
    "slope of sensitivity",
    "slope of power",
)
_ARRAY = ("array", "of each run", "least", "mean", "largest")

Rows = list[tuple[object, ...]]


@dataclass(frozen=True)
class _Section:
    """What is shown of one architecture, or of all runs that have none."""

    title: str
    columns: tuple[str, ...]
    rows: Rows
    note: str = ""
    pictures: Sequence[tuple[str, str]] = ()  # alternative text, PNG in base64


def make_report(path: Path) -> str:
    """HTML of a report; ValueError if the file is no result of a sweep.

    Runs of ``train_and_measure`` are shown with curves and slopes, those of any other function by
    the numbers that they return.
    """
    check_regular(path, "RESULT")
    try:
        dataset = xarray.load_dataset(path, engine="netcdf4")
    except Exception as error:  # whatever damaged bytes lead to, in three libraries
        raise ValueError(f"{path} must be the netCDF file of a sweep, got: {error}") from error
    grid, missing, failures = _read_attributes(path, dataset)
    _check_grid(path, dataset, grid)
    is_known = dataset.attrs["function"] == _KNOWN
    if is_known and dataset.data_vars:
        _check_results(path, dataset)
    make_sections = _sections if is_known else _plain_sections
    page = jinja2.Environment(
        loader=jinja2.PackageLoader("freqsense.cli", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    ).get_template("report.html")
    return page.render(
        name=path.name,
        provenance=[(name, dataset.attrs[name]) for name in _PROVENANCE if name in dataset.attrs],
        grid=grid,
        n_runs=math.prod(len(values) for values in grid.values()),
        n_missing=len(missing),
        n_failed=len(failures),
        missing=_missing_rows(grid, missing, failures),
        sections=list(make_sections(dataset, grid)) if dataset.data_vars else [],
    )


# What a file must hold


def _read_attributes(path: Path, dataset: Dataset) -> tuple[dict, list, list]:
    try:
        texts = {name: dataset.attrs[name] for name in _ATTRIBUTES}
        grid = json.loads(texts["configuration"])["grid"]
        missing, failures = json.loads(texts["missing"]), json.loads(texts["failures"])
        _ = [len(values) for values in grid.values()]
        for run in missing + [failure["configuration"] for failure in failures]:
            _ = [run[axis] for axis in grid]
        _ = ["failed: " + failure["error"] for failure in failures]
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} must be what a sweep saved, with attributes {', '.join(_ATTRIBUTES)}; "
            f"got {', '.join(map(str, dataset.attrs)) or 'none'}"
        ) from error
    return grid, missing, failures


def _check_grid(path: Path, dataset: Dataset, grid: dict) -> None:
    sizes = {axis: len(values) for axis, values in grid.items()}
    for name, values in dataset.data_vars.items():
        if values.sizes != dict(values.sizes) | sizes or values.dtype.kind not in "biuf":
            got = f"{values.dtype} {dict(values.sizes)}"
            raise ValueError(f"{path} must hold numbers {name} for each of {sizes}, got {got}")


def _check_results(path: Path, dataset: Dataset) -> None:
    axes = list(json.loads(dataset.attrs["configuration"])["grid"])
    for name, dims in _DIMS.items():
        if (
            name not in dataset
            or dataset[name].dims != (*axes, *dims)
            or "architecture" not in axes
        ):
            raise ValueError(
                f"{path} must be the result of {_KNOWN}, with {', '.join(_DIMS)} for each "
                f"architecture; got {', '.join(map(str, dataset.data_vars))}"
            )
    half = dataset.sizes["ky"] // 2 + 1
    if (dataset.sizes["half_kx"], dataset.sizes["ring"]) != (half, half):
        raise ValueError(f"{path} must hold maps of square images, got {dict(dataset.sizes)}")


# Parts of the page


def _missing_rows(grid: dict, missing: list[dict], failures: list[dict]) -> Rows:
    failed = [failure["configuration"] for failure in failures]
    rows: Rows = [
        (*(f["configuration"][axis] for axis in grid), "failed: " + f["error"]) for f in failures
    ]
    rows += [(*(run[axis] for axis in grid), "not done") for run in missing if run not in failed]
    return rows


def _plain_sections(dataset: Dataset, grid: dict) -> Iterator[_Section]:
    """The numbers that runs of any function return, and what is known of their arrays."""
    arrays = [name for name in dataset if set(dataset[name].dims) - grid.keys()]
    if numbers := dataset.drop_vars(arrays):
        parts = list(_combinations(numbers, grid))
        rows: Rows = [
            (*varied.values(), *map(_plain_text, part.values())) for varied, part in parts
        ]
        note = "Mean over seeds ± one standard error (number of seeds)." * ("seed" in grid)
        yield _Section("Numbers", (*parts[0][0], *map(str, numbers)), rows, note)
    if arrays:
        rows = [_describe_array(dataset[name], grid) for name in arrays]
        yield _Section("Arrays", _ARRAY, rows, "Over all runs that are here.")


def _describe_array(values: DataArray, grid: dict) -> tuple[object, ...]:
    inner = {dim: size for dim, size in values.sizes.items() if dim not in grid}
    there = values.values[np.isfinite(values.values)]
    found = (there.min(), there.mean(), there.max()) if there.size else ()
    shape = ", ".join(f"{size} {dim}" for dim, size in inner.items())
    return (values.name, shape, *(f"{number:.4g}" for number in found))


def _sections(dataset: Dataset, grid: dict) -> Iterator[_Section]:
    """One part for each architecture."""
    each = len(plotting.OKABE_ITO)  # curves that can be told apart
    for name in dataset["architecture"].values:
        architecture = str(name)
        runs = list(_combinations(dataset.sel(architecture=name), grid))
        drawn = [run for run in runs if _complete(run[1]["sensitivity"]).size]
        groups = [drawn[start : start + each] for start in range(0, len(drawn), each)]
        n_seeds = dataset.sizes.get("seed", 1)
        yield _Section(
            architecture,
            (*runs[0][0], *_COLUMNS),
            [_summarize(varied, part) for varied, part in runs],
            f"Up to {n_seeds} seeds; ± is one standard error over them, bands are 1.96.",
            [(_describe(architecture, group), _draw(architecture, group)) for group in groups],
        )


def _combinations(dataset: Dataset, grid: dict) -> Iterator[tuple[dict, Dataset]]:
    """What is varied, and the runs (seed, ...) of each combination of it."""
    if "seed" not in dataset.dims:
        dataset = dataset.expand_dims("seed")
    axes = [axis for axis in dataset.dims if axis in grid and axis != "seed"]
    for index in itertools.product(*(range(dataset.sizes[axis]) for axis in axes)):
        runs = dataset.isel(dict(zip(axes, index, strict=True)))
        varied = {axis: runs[axis].item() for axis in axes if dataset.sizes[axis] > 1}
        yield varied, runs.transpose("seed", ...)


def _summarize(varied: dict[str, Any], part: Dataset) -> tuple[object, ...]:
    sensitivity = _complete(part["sensitivity"])
    power = _power(part) if sensitivity.size else sensitivity
    cells = [_complete(part[name]) for name in ("accuracy", "train_accuracy")]
    cells += [_slopes(sensitivity, part), _slopes(power, part)]
    return (*varied.values(), sensitivity.sizes["seed"], *map(_mean_text, cells))


def _describe(architecture: str, runs: list[tuple[dict, Dataset]]) -> str:
    names = "; ".join(_label(varied) for varied, _ in runs)
    return f"Radial sensitivity of {architecture} and power of its images: {names}"


def _draw(architecture: str, runs: list[tuple[dict, Dataset]]) -> str:
    with mpl.rc_context():
        plotting.use_theme()
        left, right = (figure := Figure(figsize=(10, 4.2))).subplots(1, 2)
        powers: dict[str, tuple[DataArray, Dataset, dict]] = {}
        for varied, part in runs:
            rings = _complete(part["sensitivity"])
            _draw_mean(left, rings, part, varied, "sensitivity (output/pixel unit)")
            of_images = {axis: value for axis, value in varied.items() if axis in _IMAGE_AXES}
            powers.setdefault(json.dumps(of_images), (_power(part), part, of_images))
        for power, part, of_images in powers.values():
            _draw_mean(right, power, part, of_images, "power of the images (pixel unit²)")
        left.set_title(architecture.replace("$", r"\$"))
        picture = io.BytesIO()
        figure.savefig(picture, format="png")
    return base64.b64encode(picture.getvalue()).decode()


def _draw_mean(ax: Axes, rings: DataArray, part: Dataset, varied: dict, ylabel: str) -> None:
    """Draw the mean over seeds of ring means (seed, ring), if there is one to draw."""
    profile = _profile(rings, part)
    if (profile.mean[1:] > 0).any():
        label = _label(varied).replace("$", r"\$")
        plotting.plot_profile(ax, profile, label=label, ylabel=ylabel)
        ax.legend(fontsize=8)


# Numbers


def _complete(values: DataArray) -> DataArray:
    """The runs (seed, ...) that are there."""
    finite = np.isfinite(values.values).reshape(values.sizes["seed"], -1).all(1)
    return values.isel(seed=finite)


def _power(part: Dataset) -> DataArray:
    """Ring means (seed, ring) of the power of the training images."""
    return ring_power(_complete(part["power_map"]))


def _profile(rings: DataArray, part: Dataset) -> RadialProfile:
    mean, error = mean_and_error(rings.astype(float))
    side = part.sizes["ky"]
    ring = radial_average(torch.zeros(side, side))
    curve = torch.from_numpy(mean.values), torch.from_numpy(error.values)
    return RadialProfile(ring.frequency, *curve, ring.count, ring.shape)


def _slopes(rings: DataArray, part: Dataset) -> DataArray:
    """Slope of each of (seed, ring) in which every ring has some value."""
    last = rings.sizes["ring"] - 1
    if not rings.sizes["seed"] or last < _FIRST_RING + 2:
        return rings.isel(seed=[], ring=0)
    return _complete(ring_slopes(rings, size=part.sizes["ky"], fmin=_FIRST_RING, fmax=last))


def _mean_text(values: DataArray) -> str:
    if values.sizes["seed"] < 2:
        return f"{values.item():.3f}" if values.size else "none"
    mean, error = mean_and_error(values)
    return f"{mean.item():.3f} ± {error.item():.3f}"


def _plain_text(values: DataArray) -> str:
    """Mean over the seeds (seed,) that are there, with its error if there are several."""
    values = _complete(values)
    if values.sizes["seed"] < 2:
        return f"{values.item():.4g}" if values.size else "none"
    mean, error = mean_and_error(values)
    return f"{mean.item():.4g} ± {error.item():.2g} ({values.size})"


def _label(varied: dict) -> str:
    return ", ".join(f"{axis} {value}" for axis, value in varied.items()) or "all runs"
