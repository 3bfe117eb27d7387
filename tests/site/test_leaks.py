"""The built book holds no line of a solution: pages, sources, notebooks, search index."""

import pytest
from built import PAGES, SITE
from secrets_of_keys import leaks_in_files

KINDS = ("*.html", "*.md", "*.ipynb", "*.txt", "searchindex.js", "*.zip")


@pytest.fixture(scope="module")
def published():
    if not (SITE / "index.html").exists():
        pytest.fail("the book is not built: run `make book` first", pytrace=False)
    return [path for kind in KINDS for path in SITE.rglob(kind)]


def test_the_built_book_holds_no_solution(published):
    kinds = {path.suffix for path in published}
    assert {".html", ".ipynb", ".js"} <= kinds and len(published) > len(PAGES)
    assert leaks_in_files(published) == {}


def test_the_built_book_holds_no_assignment(published):
    """Nothing of the coursework's folder is copied beside the pages."""
    names = {path.name for path in published}
    assert not names & {"tasks.py", "rubric.yml", "making-images.md", "capstone.md"}
