"""No line of a solution, and nothing of a term's secret, is where students look."""

import re

import handed_in
import nbformat
import numpy as np
import pytest
import torch
from grader import release
from grader.assignment import ROOT, load, names
from grader.draw import draw_assignment
from grader.grade import grade_folder, write_coursework
from packaged import build
from secrets_of_keys import TERMS, leaks, leaks_in_files, read, secrets, text_of


@pytest.mark.parametrize("name", names())
def test_the_key_is_found_to_leak(name):
    """A test that finds nothing elsewhere finds something here."""
    key = release.key_notebook(load(name), TERMS[0])
    assert len(leaks(text_of(key))) >= 10
    markup = "".join(f"<pre><span>{cell.source}</span></pre>\n" for cell in key.cells)
    for kind, text in ((".html", markup), (".ipynb", nbformat.writes(key)), (".md", markup)):
        assert len(leaks(read(f"key{kind}", text.encode()))) >= 10


def test_every_assignment_has_secrets():
    assert len(secrets()) > 300


def test_what_is_handed_out_holds_no_solution(tmp_path):
    for number, term in enumerate(TERMS):
        write_coursework(term, tmp_path / str(number))
        handed_out = [p for p in (tmp_path / str(number) / "release").rglob("*") if p.is_file()]
        assert len(handed_out) > len(names())
        assert leaks_in_files(handed_out) == {}
        assert not [p for p in handed_out if term.secret.encode() in p.read_bytes()]


def test_the_book_holds_no_solution():
    pages = [p for kind in ("*.md", "*.ipynb") for p in (ROOT.parent / "book").rglob(kind)]
    assert len(pages) > 50
    assert leaks_in_files(pages) == {}


def test_the_wheel_holds_no_solution(repository, tmp_path):
    (tmp_path / "dist").mkdir()
    assert leaks_in_files([build(repository, tmp_path / "dist", tmp_path / "sources")[0]]) == {}


def numbers_of(value):
    """Return the numbers of inputs and answers, as they would be written, cut to six digits."""
    if isinstance(value, (tuple, list)):
        return {each for part in value for each in numbers_of(part)}
    if not isinstance(value, (float, np.ndarray, torch.Tensor)):
        return set()
    written = (f"{abs(each):.17f}"[:8] for each in np.asarray(value).real.ravel())
    return {each for each in written if len(set(each) - {"0", "."}) >= 4}


@pytest.mark.sandboxed
def test_what_the_grader_writes_holds_no_secret_and_no_input(term, tmp_path):
    assignment = load("spectra")
    key = release.key_notebook(assignment, term)
    wrong = [*key.cells, handed_in.code("def power(images): return images[0] * 0 + 1")]
    (tmp_path / "in").mkdir()
    for name, cells in (("ada", key.cells), ("bob", wrong)):
        text = handed_in.write([cell for cell in cells if cell["cell_type"] == "code"])
        (tmp_path / "in" / f"{name}.ipynb").write_text(text, "utf-8")
    grade_folder(tmp_path / "in", term, tmp_path / "out")
    told = [p for place in ("feedback", "gradescope") for p in tmp_path.rglob(f"{place}/**/*.*")]
    told += tmp_path.rglob("class.html")
    assert len(told) == 5
    drawn = draw_assignment(term, "spectra", assignment.tasks).values()
    drawn_numbers = numbers_of([[*each.cases.arguments, *each.cases.answers] for each in drawn])
    assert len(drawn_numbers) > 500
    for path in told:
        text = path.read_text("utf-8")
        assert term.secret not in text
        assert drawn_numbers.isdisjoint(n[:8] for n in re.findall(r"\d+\.\d{6,}", text))
        assert leaks(read(path.name, text.encode())) == []
