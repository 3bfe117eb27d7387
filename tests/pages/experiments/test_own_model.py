"""The page "Measure your own network": its commands are those there are, its module makes one."""

import re
import sys

import commands
import pytest
import torch
from sources import BOOK, read

TEXT = read(BOOK / "experiments" / "own-model.md")
MODULE = re.compile(r"%%writefile my_network.py\n(.*?)```", re.S)


def test_the_page_shows_every_command():
    assert commands.named(TEXT) == set(commands.NAMES)


@pytest.mark.parametrize("line", commands.in_prose(TEXT) + commands.in_cells(TEXT))
def test_a_command_of_the_page_is_accepted(line):
    assert commands.parse(line)["command"] == line.split()[0]


def test_options_that_the_prose_names_exist():
    assert commands.unknown_options(TEXT) == set()
    assert commands.unknown_options("`--untrained` and `--untrainde`") == {"--untrainde"}


def test_the_module_of_the_page_makes_a_network(tmp_path, monkeypatch):
    (cell,) = MODULE.findall(TEXT)
    (tmp_path / "my_network.py").write_text(cell, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_network", raising=False)
    import my_network

    model = my_network.make()
    assert model(torch.zeros(2, 3, 24, 24)).shape == (2, 8)


def test_the_page_of_mistakes_makes_them_on_the_same_network():
    assert MODULE.findall(read(BOOK / "experiments" / "mistakes.md")) == MODULE.findall(TEXT)
