"""The lecture plans: every core page once, in order, in weeks of about equal length."""

import re
from itertools import chain, combinations

import pytest
from bookbuild import outline, plan
from hypothesis import given
from hypothesis import strategies as st
from sources import BOOK, CORE, PAGES, ROOT, read
from tinybook import TinyBook
from twins import page_name, read_parts

MINUTES = st.lists(st.floats(1, 40), min_size=1, max_size=30)


def lengths(times, weeks):
    return [sum(times[index] for index in week) for week in weeks]


@given(MINUTES, st.data())
def test_every_page_is_in_one_week_in_order_and_no_week_is_long(times, data):
    n_weeks = data.draw(st.integers(1, len(times)))
    weeks = plan.split(times, n_weeks)
    assert list(chain(*weeks)) == list(range(len(times)))
    assert len(weeks) == n_weeks and all(weeks)
    assert max(lengths(times, weeks)) <= sum(times) / n_weeks + max(times) + 1e-9


@given(st.lists(st.floats(1, 40), min_size=4, max_size=8), st.integers(2, 4))
def test_no_other_plan_has_a_shorter_longest_week(times, n_weeks):
    n_pages = len(times)
    plans = [
        [range(a, b) for a, b in zip((0, *cuts), (*cuts, n_pages), strict=True)]
        for cuts in combinations(range(1, n_pages), n_weeks - 1)
    ]
    shortest = min(max(lengths(times, weeks)) for weeks in plans)
    assert max(lengths(times, plan.split(times, n_weeks))) == shortest


def test_pages_to_teach_with_are_no_core_pages():
    captions = [part["caption"] for part in read_parts()]
    assert not set(captions) & set(outline.LOOKED_UP)
    teach = {page for page in PAGES if page.parent.name == "teach"}
    assert len(teach) == 3 and not teach & set(CORE)


def test_the_guide_has_a_plan_for_four_seven_and_twelve_weeks():
    guide = read(BOOK / "teach" / "assign.md")
    assert page_name(BOOK / "teach" / "assign.md") == plan.PAGE
    assert sorted(re.findall(r"\{lecture-plan\} (\d+)", guide), key=int) == ["4", "7", "12"]


TOC = """\
format: jb-book
root: book/index
parts:
  - caption: Natural images
    chapters:
      - file: book/a
        sections:
          - file: book/below
      - file: book/b
      - file: book/c
  - caption: Teach
    chapters:
      - file: book/teach/assign
"""
# 600 words take three minutes; an easy exercise takes three more.
EXERCISE = "\n```{exercise}\n:label: ex-tiny-one\n:class: easy\n\nTry.\n```\n"
TEXTS = {"a": 600, "below": 2000, "b": 600, "c": 1200}


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A tiny book of three core pages, a page below one of them, and two plans."""
    book = TinyBook(tmp_path_factory.mktemp("plan"), ROOT)
    book.write("_toc.yml", TOC)
    (book.root / "book" / "page.md").unlink()
    for name, words in TEXTS.items():
        text = f"# Page {name}\n\n{'word ' * words}\n"
        book.write(f"book/{name}.md", text + (EXERCISE if name == "b" else ""))
    book.write(
        "book/teach/assign.md",
        "# Guide\n\n```{lecture-plan} 2\n```\n\n```{lecture-plan} 4\n```\n",
    )
    _, book.output = book.build()
    return book


def test_a_plan_has_a_row_a_week_with_links_and_times(book):
    html = book.html("teach/assign")
    (table,) = re.findall(r"<table.*?</table>", html, re.S)
    rows = [re.findall(r"<p>(.*?)</p>", row) for row in re.findall(r"<tr.*?</tr>", table, re.S)]
    assert [re.sub("<[^>]+>", "", cell) for cell in rows[0]] == list(plan.HEAD)
    assert [[re.sub("<[^>]+>", "", cell) for cell in row] for row in rows[1:]] == [
        ["1", "Page a; Page b", "6\N{NO-BREAK SPACE}min", "9\N{NO-BREAK SPACE}min"],
        ["2", "Page c", "6\N{NO-BREAK SPACE}min", "6\N{NO-BREAK SPACE}min"],
    ]
    assert 'href="../a.html"' in rows[1][1] and 'href="../b.html"' in rows[1][1]


def test_a_plan_of_more_weeks_than_pages_is_refused(book):
    assert "a plan is for 1 to 3 weeks, got '4'" in book.output
