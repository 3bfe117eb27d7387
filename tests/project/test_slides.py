"""Slides from a small built book, and what is said of one that cannot give any."""

import re
import shutil

import pytest
import slides
from bs4 import BeautifulSoup

TOC = """\
root: book/index
parts:
  - caption: Waves
    chapters:
      - file: book/waves/one
        sections:
          - file: book/waves/deeper
      - file: book/waves/two
  - caption: Reference
    chapters:
      - file: book/names
"""
CONFIG = """\
title: A book
author: Its authors
html: {baseurl: "https://book.example/", extra_footer: "Text CC BY."}
"""
PAGE = r"""<html><script>window.MathJax = {"tex": {"macros": {"R": "r"}}}</script><article>
<section id="a"><h1><span class="section-number">1. </span>One &amp; two<a class="headerlink">#</a>
</h1>
<div class="message admonition"><p class="admonition-title">The message</p>
<p>All is <a class="term-link" href="g.html">waves</a>.</p></div>
<div class="page-card admonition"><p><strong>You will be able to</strong></p>
<ul><li><p>see;</p></li></ul><p><strong>You need</strong> eyes.</p></div>
<p>Before the section.</p>
<section id="b"><h2><span class="section-number">1.1. </span>A section</h2>
<figure id="fig-a"><img alt="Dots." src="../../_images/dots.png"/><figcaption><p>
<span class="caption-number">Figure 1.1 </span><span class="caption-text">Move the slider. Dots
(green) on <span class="math">\((a. b)\)</span> &lt; 1. More.</span></p></figcaption></figure>
<div class="proof theorem admonition" id="thm-a"><p class="admonition-title">
<span class="caption-number">Theorem 1.1 </span> (It holds)</p><section class="theorem-content">
<p>Then</p><div class="math" id="equation-in"><span class="eqno">(1.1)</span>\[a\]</div>
</section></div>
<div class="proof admonition"><p>Proof. Obvious.</p></div>
<p>So that</p>
<div class="math" id="equation-b"><span class="eqno">(1.2)</span>\[b\]</div>
<div class="math" id="equation-c"><span class="eqno">(1.3)</span>\[c\]</div>
<p>where it ends. And <em>next</em>:</p>
<div class="math" id="equation-d"><span class="eqno">(1.4)</span>\[d\]</div>
<details><figure><img alt="Folded." src="../../_images/dots.png"/></figure></details>
<table><thead><tr><th>head</th></tr></thead><tbody>ROWS</tbody></table>
<div class="check" id="check-a"><p>Which?</p>
<details class="answer"><summary>This.</summary><p><strong>Not quite.</strong> No.</p></details>
<details class="answer"><summary>That.</summary><p><strong>Right.</strong> Yes.</p></details></div>
</section>
<section id="exercises"><h2>Exercises</h2>
<div class="exercise admonition" id="ex-a"><p class="admonition-title">Exercise 1.1</p>
<section id="exercise-content"><p>Show it.</p>
<details class="sd-dropdown"><summary>Hint</summary>
<div class="sd-summary-content"><p>Look.</p></div></details></section></div>
<div class="solution admonition"><p>It is secret.</p></div></section>
<section id="summary"><h2>Summary</h2><ul><li><p>Waves.</p></li></ul></section>
</section></article></html>
""".replace("ROWS", "".join(f"<tr><td>{n} {'x' * 200}</td></tr>" for n in range(6)))


@pytest.fixture
def book(tmp_path):
    """A built book of two core pages and a deeper one."""
    site = tmp_path / "_build" / "html"
    (tmp_path / "_toc.yml").write_text(TOC, encoding="utf-8")
    (tmp_path / "_config.yml").write_text(CONFIG, encoding="utf-8")
    for folder in ("_images", "_static/mathjax", "_static/explorers", "book/waves"):
        (site / folder).mkdir(parents=True)
    (site / "_images" / "dots.png").write_bytes(b"dots")
    (site / "_static" / "mathjax" / "tex-svg-full.js").write_text("", encoding="utf-8")
    (site / "index.html").write_text("", encoding="utf-8")
    for name in ("one", "deeper", "two"):
        (site / "book" / "waves" / f"{name}.html").write_text(PAGE, encoding="utf-8")
    return tmp_path


@pytest.fixture
def into(book):
    slides.main(["--root", str(book), "--into", str(book / "slides")])
    return book / "slides"


@pytest.fixture
def deck(into):
    return BeautifulSoup((into / "waves-one.html").read_text(encoding="utf-8"), "html.parser")


def sections(deck, kind=None):
    found = deck.select(".slides > section")
    return [each for each in found if kind in (None, each["data-kind"])]


def text(element):
    return " ".join(element.get_text().split())


def test_core_pages_have_a_deck_each_and_the_list_names_them_in_order(into):
    listed = re.findall(r'href="([\w-]+\.html)"', (into / "index.html").read_text("utf-8"))
    assert listed == ["waves-one.html", "waves-two.html"]
    assert {path.name for path in into.glob("*.html")} == {"index.html", *listed}


def test_slides_come_in_the_order_of_a_session(deck):
    assert [each["data-kind"] for each in sections(deck)] == [
        "title", "objectives", "message", "figure", "statement", "equation", "equation", "table",
        "table", "check", "exercise", "summary", "limits", "source",
    ]  # fmt: skip


def test_a_figure_is_named_by_what_is_seen_and_read_from_its_caption(deck, into):
    (figure,) = sections(deck, "figure")
    # Neither the slider nor the bracket; a full stop in a formula ends no sentence.
    assert text(figure.h2) == r"Dots on \((a. b)\) < 1"
    assert figure.img["alt"] == "Dots."
    assert (into / figure.img["src"]).read_bytes() == b"dots"
    notes = text(figure.select_one(".notes"))
    assert notes.startswith("Figure 1.1 Move the slider. Dots (green)") and "Seen: Dots." in notes
    assert figure.select_one(".body figcaption") is None


def test_a_statement_has_its_equations_and_no_proof(deck):
    (statement,) = sections(deck, "statement")
    assert text(statement.h2) == "Theorem 1.1 (It holds)"
    assert r"\[a\]" in text(statement) and "Obvious" not in deck.get_text()


def test_equations_in_a_row_share_a_slide_with_the_words_around_them(deck):
    first, second = sections(deck, "equation")
    assert text(first.h2) == text(second.h2) == "A section"
    parts = [text(each) for each in first.select(".body > *")]
    assert parts == ["So that", r"(1.2)\[b\]", r"(1.3)\[c\]", "where it ends."]
    assert [text(each) for each in second.select(".body > *")] == ["And next:", r"(1.4)\[d\]"]


def test_a_long_table_goes_on_with_its_head(deck):
    tables = sections(deck, "table")
    assert [text(each.h2) for each in tables] == ["A section (1 of 2)", "A section (2 of 2)"]
    assert [text(each.th) for each in tables] == ["head", "head"]
    assert [text(row)[0] for each in tables for row in each.select("td")] == list("012345")


def test_the_answer_of_a_check_comes_with_the_next_step(deck):
    (check,) = sections(deck, "check")
    steps = check.select(".fragment")
    assert [text(each) for each in steps] == ["That.", "Right. Yes."]
    assert {each["data-fragment-index"] for each in steps} == {"0"}
    assert [text(each) for each in check.select("li")] == ["This.", "That."]
    assert text(check.select_one(".notes")) == "A. Not quite. No.B. Right. Yes."


def test_an_exercise_has_its_hint_as_a_step_and_no_solution(deck):
    (exercise,) = sections(deck, "exercise")
    assert text(exercise.select_one(".fragment")) == "Hint. Look."
    assert "secret" not in deck.get_text()


def test_the_last_slides_say_what_is_deeper_and_where_all_this_is(deck):
    limits, source = sections(deck)[-2:]
    assert "1. One & two" in text(limits)
    assert source.a["href"] == "https://book.example/book/waves/one.html"
    assert "Text CC BY." in text(source)


def test_no_link_but_the_last_and_no_slide_within_a_slide(deck):
    assert len(deck.select("a")) == 1
    assert deck.select("section section") == []
    assert deck.select(".slides [id]") == []


def test_formulas_have_the_settings_of_the_book(deck):
    assert 'window.MathJax = {"tex": {"macros": {"R": "r"}}}' in str(deck.head)


def test_everything_that_a_deck_loads_is_there(deck, into):
    loaded = [each["href"] for each in deck.select("link")]
    loaded += [each["src"] for each in deck.select("[src]")]
    missing = {name for name in loaded if not (into / name).is_file()}
    # The small book has no live figures.
    assert {name for name in missing if "explorers" not in name} == set()


def test_slides_are_the_same_on_every_run(book, into):
    first = {path: path.read_bytes() for path in into.rglob("*") if path.is_file()}
    slides.main(["--root", str(book), "--into", str(into)])
    assert {path: path.read_bytes() for path in into.rglob("*") if path.is_file()} == first


def without_site(site):
    shutil.rmtree(site)


def without_page(site):
    (site / "book" / "waves" / "two.html").unlink()


def without_message(site):
    page = site / "book" / "waves" / "two.html"
    page.write_text(PAGE.replace('class="message', 'class="note'), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (without_site, "holds no built book: run `make book` first"),
        (without_page, "book/waves/two is not built: run `make book` first"),
        (without_message, "book/waves/two as built has no message: run `make book` anew"),
    ],
)
def test_what_is_missing_is_named_before_anything_is_written(book, spoil, said):
    spoil(book / "_build" / "html")
    with pytest.raises(SystemExit, match=re.escape(said)):
        slides.main(["--root", str(book), "--into", str(book / "slides")])
    assert not (book / "slides").exists()
