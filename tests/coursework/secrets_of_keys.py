"""What keys hold and releases do not, and where of it a text holds some."""

import html
import re
import zipfile
from functools import cache

import nbformat
from grader import release
from grader.assignment import load, names
from grader.term import Term

TERMS = [Term("Leak", f"a secret to look for leaks with, {n}") for n in range(4)]
# Fewer words are met by chance: `return x.sum()`, or a formula that everyone writes so.
ONE_LINE, TWO_LINES = 16, 6


def words(line):
    """Return the words of a line, without the marks of formulas, code and HTML between them."""
    return " ".join(re.findall(r"\w+", line.lower()))


def lines_of(text):
    """Return the lines of a text as words."""
    return [found for found in map(words, text.splitlines()) if found]


def units(lines):
    """Return what can be recognised: each long line, and each two lines that follow each other.

    One short line of a solution stands by chance in other code; two in a row do not.
    """
    pairs = (f"{one}\n{other}" for one, other in zip(lines, lines[1:], strict=False))
    return {unit for unit in (*lines, *pairs) if len(unit.split()) >= limit_of(unit)}


def limit_of(unit):
    """Return how many words make a unit telling."""
    return TWO_LINES if "\n" in unit else ONE_LINE


def text_of(notebook):
    """Return the text of a notebook's cells."""
    return "\n".join(cell["source"] for cell in notebook["cells"])


@cache
def secrets():
    """Return what no student may find, over all assignments and some terms."""
    kinds = release.key_notebook, release.release_notebook
    key, handed_out = (
        {
            unit
            for term in TERMS
            for name in names()
            for cell in make(load(name), term).cells
            for unit in units(lines_of(cell.source))
        }
        for make in kinds
    )
    return key - handed_out


def leaks(text):
    """Return what a text holds that it should not."""
    return sorted(secrets() & units(lines_of(text)))


def read(name, data):
    """Return the text of a file: of a notebook its cells, of a page what is seen of it."""
    text = data.decode("utf-8", "replace")
    if name.endswith(".ipynb"):
        return text_of(nbformat.reads(text, as_version=4))
    if name.endswith(".html"):
        return html.unescape(re.sub(r"<[^>]*>", "", text))
    if name.endswith(".js"):
        return text.replace("\\n", "\n")
    return text


def leaks_in_files(paths):
    """Return the leaks of files, by path; those in archives by their names there."""
    found = {}
    for path in paths:
        if path.suffix in (".whl", ".zip"):
            with zipfile.ZipFile(path) as archive:
                told = {n: archive.read(n) for n in archive.namelist() if not n.endswith("/")}
        else:
            told = {str(path): path.read_bytes()}
        found |= {name: leaks(read(name, data)) for name, data in told.items()}
    return {name: each for name, each in found.items() if each}
