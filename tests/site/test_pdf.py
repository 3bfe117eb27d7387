"""The book on paper: pages in order, links that lead to their places, a front, numbers."""

import re
import subprocess
import sys
from itertools import pairwise

import pytest
from built import NOTEBOOKS, PAGES, ROOT, SITE
from pypdf import PdfReader

TOOL = ROOT / "tools" / "pdf.py"
LAST = "book/reference/whats-new"


def html(name):
    return (SITE / f"{name}.html").read_text(encoding="utf-8")


def linked_pair():
    """The two shortest neighbours of which the second leads to a statement of the first."""
    pairs = [
        (len(html(first)) + len(html(second)), first, second)
        for first, second in pairwise(PAGES)
        if second in NOTEBOOKS
        and re.search(rf'href="{first.rsplit("/", 1)[1]}\.html#(?:def|thm)-', html(second))
    ]
    return list(min(pairs)[1:])


@pytest.fixture(scope="module")
def names():
    return [*linked_pair(), LAST]


@pytest.fixture(scope="module")
def pdf(names, tmp_path_factory):
    target = tmp_path_factory.mktemp("pdf") / "book.pdf"
    command = [sys.executable, TOOL, *names, "--output", target]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return PdfReader(target)


def flat(outline):
    for each in outline:
        yield from flat(each) if isinstance(each, list) else [each]


def titles(names):
    """The titles of pages without numbers."""
    found = [re.search(r"<title>(.*?) &#8212;", html(name))[1] for name in names]
    return [re.sub(r"^[\d.]+\s+", "", title) for title in found]


@pytest.fixture(scope="module")
def texts(pdf):
    """The text of each sheet."""
    return [" ".join(page.extract_text().split()) for page in pdf.pages]


def test_bookmarks_name_pages_in_order_and_their_sections(pdf, names):
    marks = [re.sub(r"^[\d.]+\s+", "", mark.title) for mark in flat(pdf.outline)]
    assert [mark for mark in marks if mark in titles(names)] == titles(names)
    assert "Summary" in marks
    places = [pdf.get_destination_page_number(mark) for mark in flat(pdf.outline)]
    assert places == sorted(places)


def test_the_front_has_the_title_and_says_where_each_page_is(pdf, names, texts):
    front, contents = texts[:2]
    assert "Version" in front
    first = {
        re.sub(r"^[\d.]+\s+", "", mark.title): pdf.get_destination_page_number(mark)
        for mark in flat(pdf.outline)
    }
    for title in titles(names):
        assert re.search(rf"{re.escape(title)} *{first[title] + 1}\b", contents)
        assert title in texts[first[title]]


def test_sheets_are_numbered(texts):
    numbered = [text.split()[-1] == str(number) for number, text in enumerate(texts, 1)]
    assert all(numbered[2:])


def test_links_lead_within_the_document_and_none_to_this_machine(pdf, names):
    links = [
        (sheet, link.get_object())
        for sheet, page in enumerate(pdf.pages)
        for link in page.get("/Annots", ())
    ]
    assert not [link for _, link in links if "127.0.0.1" in str(link.get("/A", {}).get("/URI"))]
    second = titles(names)[1]
    (start,) = [
        pdf.get_destination_page_number(mark)
        for mark in flat(pdf.outline)
        if mark.title.endswith(second)
    ]
    places = [link["/Dest"] for sheet, link in links if sheet >= start and "/Dest" in link]
    back = [p for p in places if 2 <= pdf.get_page_number(p[0].get_object()) < start]
    # To a place on the sheet, not to its top.
    assert any(place[1] == "/XYZ" for place in back)


def test_what_is_folded_is_printed(names, texts):
    text = " ".join(texts)
    solutions = html(names[0]).count('class="solution') + html(names[1]).count('class="solution')
    assert solutions and text.count("Solution to") >= solutions
    assert text.count("Right.") == sum(html(name).count("Right.") for name in names[:2])
    assert "Cite this page" not in text


def test_a_page_that_is_not_built_is_named(tmp_path):
    command = [sys.executable, TOOL, "book/nowhere", "--output", tmp_path / "book.pdf"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr == "_toc.yml has no book/nowhere\n"
