"""The table of notation: every name in it exists, and every function of the transform is in it."""

import re
from dataclasses import is_dataclass
from importlib import import_module
from inspect import getmembers, isfunction

import pytest

NAME = re.compile(r"`(\w+(?:\.\w+)+)`")


@pytest.fixture(scope="module")
def rows(repository):
    """The rows of the table, each a list of five cells."""
    text = (repository / "book" / "start" / "notation.md").read_text(encoding="utf-8")
    table = text.split(":name: tab-notation")[1].split("```")[0]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def resolve(name):
    """Return what a name stands for, or raise AttributeError or ImportError."""
    module, *path = name.split(".")
    found = import_module(f"freqsense.{module}")
    for part in path:
        fields = getattr(found, "__dataclass_fields__", {}) if is_dataclass(found) else {}
        found = fields[part] if part in fields else getattr(found, part)
    return found


def test_tab_notation_has_a_symbol_a_name_a_shape_and_a_unit_in_every_row(rows):
    assert len(rows) > 20
    assert [row for row in rows if len(row) != 5 or not all(row)] == []
    assert [row[2] for row in rows if not NAME.search(row[2])] == []


def test_tab_notation_names_what_exists(rows):
    for row in rows:
        for name in NAME.findall(row[2]):
            assert resolve(name) is not None


@pytest.mark.parametrize(
    "name", ["fourier.fft3", "spectra.PowerLaw.beta", "spectra.PowerLaw.alpha.real", "fouriér.fft2"]
)
def test_a_name_that_does_not_exist_is_noticed(name):
    with pytest.raises((AttributeError, ImportError)):
        resolve(name)


def test_tab_notation_holds_every_public_function_of_the_measurements(rows):
    listed = {name for row in rows for name in NAME.findall(row[2])}
    for module in ("fourier", "spectra", "filters"):
        functions = {
            f"{module}.{name}"
            for name, function in getmembers(import_module(f"freqsense.{module}"), isfunction)
            if not name.startswith("_") and function.__module__ == f"freqsense.{module}"
        }
        assert functions - listed == set()
