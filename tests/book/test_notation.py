"""Every name in code that the table of notation lists exists."""

import dataclasses
import importlib
import inspect
import re

import pytest
from sources import BOOK, read

CODE_NAME = re.compile(r"`([^`]+)`")
CALL = re.compile(r"([\w.]+)(?:\((.*)\))?$")


def code_names():
    """The backticked names in the column "name in code" of every table on the page."""
    names, column = [], None
    for line in read(BOOK / "start" / "notation.md").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if not line.strip().startswith("|"):
            column = None
        elif column is None:
            column = next((i for i, cell in enumerate(cells) if "code" in cell.lower()), None)
        elif not set(cells[column]) <= set("-: "):
            names += CODE_NAME.findall(cells[column])
    return names


def exists(name):
    """Tell whether ``module.function``, ``module.function(argument)`` or a field can be found.

    >>> exists("fourier.fft2"), exists("fourier.RadialProfile.mean"), exists("fourier.fft2(x)")
    (True, True, True)
    >>> exists("fourier.fft3"), exists("fourier.RadialProfile.median"), exists("fourier.fft2(y)")
    (False, False, False)
    """
    path, arguments = CALL.match(name).groups()
    module, *attributes = path.removeprefix("freqsense.").split(".")
    try:
        found = importlib.import_module(f"freqsense.{module}")
    except ModuleNotFoundError:
        return False
    for attribute in attributes:
        fields = {f.name for f in dataclasses.fields(found)} if is_record(found) else set()
        if not hasattr(found, attribute) and attribute not in fields:
            return False
        found = getattr(found, attribute, None)
    keywords = re.findall(r"(\w+)=?", arguments or "")
    return not keywords or set(keywords) <= set(inspect.signature(found).parameters)


def is_record(thing):
    return inspect.isclass(thing) and dataclasses.is_dataclass(thing)


def test_the_table_lists_names():
    assert len(code_names()) >= 10


@pytest.mark.parametrize("name", code_names() if (BOOK / "start" / "notation.md").exists() else [])
def test_the_name_exists(name):
    assert exists(name)
