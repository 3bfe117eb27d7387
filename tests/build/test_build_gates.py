"""The build cannot pass silently: each gate is tried on a tiny book with one fault in it."""

import re

import pytest
from bookbuild.mathjax import find_script
from tinybook import HEADER, INDEX, PAGE, TinyBook


@pytest.fixture
def tiny_book(tmp_path, repository):
    return TinyBook(tmp_path, repository)


def assert_fails_twice(book, message):
    """The fault is reported, and not only the first time."""
    for attempt in ("first", "second"):
        code, output = book.build()
        assert code != 0, f"the {attempt} build passed:\n{output}"
        assert re.search(message, output), f"the {attempt} build says nothing of it:\n{output}"


def assert_loads_mathjax(book):
    """The page asks once for the file of MathJax, and the build has put it there."""
    path = "_static/mathjax/tex-svg-full.js"
    (asked,) = re.findall(r'<script[^>]* src="([^"]*mathjax[^"]*)"', book.html("page"), re.I)
    assert asked.split("?")[0] == f"../{path}"
    copied = (book.root / "_build" / "html" / path).read_bytes()
    assert copied == find_script("mathjax/tex-svg-full.js").read_bytes()


def test_a_sound_book_builds_and_runs_again_only_when_the_library_or_the_lock_changes(tiny_book):
    code, output = tiny_book.build()
    assert code == 0, output
    assert tiny_book.runs() == 1
    card = re.search(r"About 1 minute. The code ran in .* when", tiny_book.html("page"))
    assert card, "the page card does not say how long the page takes"
    assert_loads_mathjax(tiny_book)

    code, output = tiny_book.build()
    assert (code, tiny_book.runs()) == (0, 1), output

    tiny_book.write("book/index.md", INDEX + "\nOne more sentence.\n")
    code, output = tiny_book.build()
    assert (code, tiny_book.runs()) == (0, 1), output
    assert "One more sentence" in tiny_book.html("index")

    tiny_book.write("lib/stand_in.py", "ANSWER = 2\n")
    code, output = tiny_book.build()
    assert (code, tiny_book.runs()) == (0, 2), output

    tiny_book.write("requirements.txt", "one==2\n")
    code, output = tiny_book.build()
    assert (code, tiny_book.runs()) == (0, 3), output


def test_a_failing_cell_fails_the_build(tiny_book):
    cell = "\n```{code-cell} ipython3\nraise RuntimeError('out of order')\n```\n"
    tiny_book.write("book/page.md", HEADER + PAGE + cell)
    assert_fails_twice(tiny_book, "out of order")


def test_a_broken_reference_fails_the_build(tiny_book):
    tiny_book.write("book/page.md", HEADER + PAGE + "\nSee {ref}`nowhere`.\n")
    assert_fails_twice(tiny_book, "undefined label: 'nowhere'")


def test_an_unknown_citation_fails_the_build(tiny_book):
    tiny_book.write("book/index.md", INDEX + "\nSee {cite}`nobody2000`.\n")
    assert_fails_twice(tiny_book, "nobody2000")


def test_a_library_that_writes_warnings_to_a_page_fails_the_build(tiny_book):
    cell = "\n```{code-cell} ipython3\nimport warnings\nwarnings.warn('deprecated thing')\n```\n"
    tiny_book.write("book/page.md", HEADER + PAGE + cell)
    assert_fails_twice(tiny_book, "stderr was found")


def test_a_page_with_code_but_no_jupytext_header_fails_the_build(tiny_book):
    tiny_book.write("book/page.md", PAGE)
    assert_fails_twice(tiny_book, r"1 pages hold code cells and 0 were executed.*book/page")
    assert tiny_book.runs() == 0


def test_a_page_missing_from_the_folder_fails_the_build(tiny_book):
    (tiny_book.root / "book" / "page.md").unlink()
    assert_fails_twice(tiny_book, "book/page")
