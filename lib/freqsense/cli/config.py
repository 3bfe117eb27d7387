"""Sweeps declared in YAML, checked in full before any run."""

import inspect
import re
import reprlib
from collections import Counter
from pathlib import Path

from freqsense import experiments, models, training
from freqsense._checks import as_choice, as_flag, as_integer, as_real
from freqsense._extras import extra
from freqsense._files import atomic_write, check_regular
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
_LARGEST = 1_000_000  # bytes; a grid of all the runs that a sweep may have is shorter
_INT64 = 2**63 - 1  # what netCDF holds
_DEPTH = 4  # of nodes: the file, its grid, an axis, a value

# What stands without quotes and is no text: what YAML 1.2 says, but for 010 and others that 1.1
# reads as something else.
_PLAIN = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?(0|[1-9][0-9]*)",
    "float": r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?",
}
_HINTS = {
    int: "write a decimal number, without zeros before it",
    float: "write a decimal number, such as 0.001 or 1e-3",
    bool: "write true or false",
}


class _Loader(yaml.SafeLoader):
    """YAML as a sweep needs it: shallow, without tags and aliases, and without repeated keys.

    Of these the last would win without a word; aliases of aliases grow beyond all memory.
    """

    yaml_implicit_resolvers: dict = {}
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None):
            raise ValueError(f"a tag or an alias in {_place(event)}: write the value out")
        if self.depth == _DEPTH:
            raise ValueError(f"a list or mapping in place of a value in {_place(event)}")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if repeated := [key for key, count in keys.items() if count > 1]:
            raise ValueError(f"the key {repeated[0]!r} twice in what {_place(node)} begins")
        return super().construct_mapping(node, deep)


def _place(found: yaml.Event | yaml.Node) -> str:
    return f"line {found.start_mark.line + 1}"


for _name, _pattern in _PLAIN.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"({_pattern})$"), None)


def read_sweep(path: Path, folder: Path) -> Sweep:
    """Read the sweep that a file declares; ValueError or TypeError says what is wrong in it.

    Numbers are decimal, and true and false alone are flags: 010, 1:30 and yes, which versions of
    YAML read differently, are text, and refused where a number or a flag belongs.
    """
    content = _read_yaml(path)
    if not isinstance(content, dict) or not isinstance(content.get("grid"), dict):
        got = "nothing" if content is None else reprlib.repr(content)
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


def _read_yaml(path: Path) -> object:
    check_regular(path, "CONFIG.yaml")
    if (size := path.stat().st_size) > _LARGEST:
        raise ValueError(f"{path} must have at most {_LARGEST:,} bytes, got {size:,}")
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, ValueError) as error:
        said = " ".join(str(error).split())
        raise ValueError(f"{path} must be YAML for a sweep, got: {said}") from error


def _check_value(value: object, axis: str, kind: type) -> object:
    if kind is not str and isinstance(value, str):
        got = reprlib.repr(value)
        raise TypeError(f"{axis} must be of type {kind.__name__}, got {got}: {_HINTS[kind]}")
    if kind is bool:
        return as_flag(value, axis)
    if kind in (int, float):
        return as_integer(value, axis, -_INT64, _INT64) if kind is int else as_real(value, axis)
    if axis in _NAMES:
        return as_choice(value, axis, _NAMES[axis])
    for step in _steps(value, axis):
        runs.split_spec(step, axis, _SPECIFICATIONS[axis])
    return value


def _steps(value: object, axis: str) -> list:
    if axis not in _SPECIFICATIONS:
        return []
    return value.split() if axis == "image_filter" and isinstance(value, str) else [value]
