"""The table of notation: every name in it exists, and every function of the transform is in it."""

import re
from dataclasses import is_dataclass
from importlib import import_module
from inspect import getmembers, isfunction, signature

import pytest
from sources import BOOK, read

NAME = re.compile(r"`(\w+(?:\.\w+)+(?:\([^`]*\))?)`")
CALL = re.compile(r"([\w.]+)(?:\((.*)\))?$")


def table_rows():
    """The rows of the table, each a list of five cells."""
    table = read(BOOK / "reference" / "notation.md").split(":name: tab-notation")[1].split("```")[0]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


ROWS = table_rows()
NAMES = sorted({name for row in ROWS for name in NAME.findall(row[2])})


def resolve(name):
    """Return what a name stands for; AttributeError, ImportError or TypeError say that it is not.

    A call, ``module.function(argument)``, stands for a function that takes arguments of that name.
    """
    path, arguments = CALL.match(name).groups()
    module, *attributes = path.split(".")
    found = import_module(f"freqsense.{module}")
    for part in attributes:
        fields = getattr(found, "__dataclass_fields__", {}) if is_dataclass(found) else {}
        found = fields[part] if part in fields else getattr(found, part)
    if arguments:
        signature(found).bind_partial(**dict.fromkeys(re.findall(r"(\w+)", arguments)))
    return found


def test_tab_notation_has_a_symbol_a_name_a_shape_and_a_unit_in_every_row():
    assert len(ROWS) > 20
    assert [row for row in ROWS if len(row) != 5 or not all(row)] == []
    assert [row for row in ROWS if not NAME.search(row[2])] == []


@pytest.mark.parametrize("name", NAMES)
def test_tab_notation_names_what_exists(name):
    assert resolve(name) is not None


def test_a_call_names_the_arguments():
    assert resolve("fourier.fft2(x)") is resolve("fourier.fft2")


@pytest.mark.parametrize(
    "name",
    [
        "fourier.fft3",
        "fourier.fft2(y)",
        "fourier.RadialProfile.median",
        "spectra.PowerLaw.alpha.real",
        "fouriér.fft2",
    ],
)
def test_a_name_that_does_not_exist_is_noticed(name):
    with pytest.raises((AttributeError, ImportError, TypeError)):
        resolve(name)


def test_tab_notation_holds_every_public_function_of_the_measurements():
    for module in ("fourier", "spectra", "filters"):
        functions = {
            f"{module}.{name}"
            for name, function in getmembers(import_module(f"freqsense.{module}"), isfunction)
            if not name.startswith("_") and function.__module__ == f"freqsense.{module}"
        }
        assert functions - set(NAMES) == set()
