"""Handing numbers to the prose, with and without a book being built."""

import importlib
import sys
import types

import pytest

from freqsense import book, notebook
from freqsense.notebook import STATIC_VARIABLE


def test_glue_prints_in_a_plain_notebook(monkeypatch, capsys):
    monkeypatch.delenv(STATIC_VARIABLE, raising=False)
    monkeypatch.setitem(sys.modules, "myst_nb", None)  # not installed: importing it would fail
    notebook.glue("alpha", "1.98")
    assert capsys.readouterr().out == "alpha = 1.98\n"


def test_glue_hands_text_to_the_page_in_a_build(monkeypatch, capsys):
    calls = []
    stand_in = types.SimpleNamespace(glue=lambda *args, **kwargs: calls.append((args, kwargs)))
    monkeypatch.setenv(STATIC_VARIABLE, "1")
    monkeypatch.setitem(sys.modules, "myst_nb", stand_in)
    notebook.glue("count", 3)
    assert calls == [(("count", "3"), {"display": False})]
    assert capsys.readouterr().out == ""


def test_bad_input():
    with pytest.raises(TypeError, match="name must be a string, got 3"):
        notebook.glue(3, "x")


def test_the_former_name_gives_the_same_function():
    assert book.__all__ == ["glue"]
    assert book.glue is notebook.glue


def test_the_function_keeps_the_name_that_its_module_has_too():
    assert importlib.import_module("freqsense.notebook.glue").glue is notebook.glue
