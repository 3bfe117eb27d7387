"""Sweeps declared in YAML, checked in full before any run."""

import inspect
from pathlib import Path

from freqsense import experiments, models, training
from freqsense._checks import as_choice, as_flag, as_integer, as_real
from freqsense._extras import extra
from freqsense._files import atomic_write
from freqsense.experiments import Sweep, runs

with extra("sweeps"):
    import yaml

__all__ = ["RUNS", "read_sweep", "write_sweep"]

RUNS = ("train_and_measure", "train_and_follow", "train_and_attack", "solve_and_measure")
_KEYS = ("grid", "run", "description")
_NAMES = {
    "architecture": models.ARCHITECTURES,
    "labels": runs.LABELS,
    "optimizer": training.OPTIMIZERS,
    "schedule": training.SCHEDULES,
    "decay": training.DECAYS,
}
_SPECIFICATIONS = {
    "data": runs.DATA,
    "regime": runs.REGIMES,
    "image_filter": runs.FILTERS,
}


class _Loader(yaml.SafeLoader):
    """YAML without repeated keys, of which the last would silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [key.value for key, _ in node.value]
        if repeated := [key for key in keys if keys.count(key) > 1]:
            line = node.start_mark.line + 1
            raise ValueError(
                f"keys must differ, got {repeated[0]!r} twice in what line {line} begins"
            )
        return super().construct_mapping(node, deep)


def read_sweep(path: Path, folder: Path) -> Sweep:
    """Read the sweep that a file declares; ValueError or TypeError says what is wrong in it."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} must be YAML, got: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("grid"), dict):
        got = type(content).__name__ if not isinstance(content, dict) else list(content)
        raise ValueError(f"{path} must hold `grid:` with the axes of a sweep, got {got}")
    for key in content:
        as_choice(key, f"key of {path}", _KEYS)
    name = as_choice(content.get("run", RUNS[0]), f"run of {path}", RUNS)
    function = getattr(experiments, name)
    parameters = inspect.signature(function).parameters
    grid = {}
    for axis, values in content["grid"].items():
        kind = parameters[as_choice(axis, f"axis of {path}", list(parameters))].annotation
        listed = values if isinstance(values, list) else [values]
        grid[axis] = [_check_value(value, axis, kind) for value in listed]
    return Sweep(function, grid, folder)


def write_sweep(path: Path, sweep: Sweep, description: str) -> None:
    """Write the file that declares a sweep."""
    content = {"description": description, "run": sweep.name, "grid": sweep.grid}
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=100)
    atomic_write(path, text.encode())


def _check_value(value: object, axis: str, kind: type) -> object:
    if kind is not str and isinstance(value, str):
        hint = " (YAML takes 1e-3 for text: write 1.0e-3)" if kind is float else ""
        raise TypeError(f"{axis} must be of type {kind.__name__}{hint}, got {value!r}")
    if kind is bool:
        return as_flag(value, axis)
    if kind in (int, float):
        return as_integer(value, axis) if kind is int else as_real(value, axis)
    if axis in _NAMES:
        return as_choice(value, axis, _NAMES[axis])
    for step in _steps(value, axis):
        runs.split_spec(step, axis, _SPECIFICATIONS[axis])
    return value


def _steps(value: object, axis: str) -> list:
    if axis not in _SPECIFICATIONS:
        return []
    return value.split() if axis == "image_filter" and isinstance(value, str) else [value]
