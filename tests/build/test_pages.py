"""What every page of the book promises its reader, checked in its source."""

import json
import re

import pytest
import yaml
from pybtex.database import parse_file
from sources import (
    BOOK,
    CORE,
    DEEPER,
    FENCE,
    NOTEBOOKS,
    OPENING,
    PAGES,
    ROOT,
    closing_line,
    directives,
    read,
    sections,
)
from twins import page_name, twin_text

FIGURES = {"figure", "glue:figure"}
STATEMENTS = {
    "prf:definition", "prf:lemma", "prf:proposition", "prf:theorem", "prf:corollary",
}  # fmt: skip
CITATION = re.compile(r"\{cite(?::\w+)?\}`([^`]+)`")
REPOSITORY = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["repository"]["url"]

each_page = pytest.mark.parametrize("page", PAGES, ids=page_name)
each_notebook = pytest.mark.parametrize("page", NOTEBOOKS, ids=page_name)
each_core_page = pytest.mark.parametrize("page", CORE, ids=page_name)
each_taught_page = pytest.mark.parametrize("page", CORE + DEEPER, ids=page_name)


def code_cells(page):
    return [d for d in directives(read(page)) if d.name == "code-cell"]


def twin_code_cells(page):
    cells = json.loads(read(page.with_suffix(".ipynb")))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def tags(cell):
    found = cell.options.get("tags", [])
    return yaml.safe_load(found) if isinstance(found, str) else found


def cited_keys():
    lists = [keys for page in PAGES for keys in CITATION.findall(read(page))]
    return {key.strip() for keys in lists for key in keys.split(",")}


def bibliography():
    return parse_file(str(BOOK / "references.bib"), "bibtex").entries


# The book as a whole


def test_the_table_of_contents_names_every_page_once():
    assert len(set(PAGES)) == len(PAGES)
    on_disk = {p for p in BOOK.rglob("*.md") if not {"_ext", "_static"} & set(p.parts)}
    assert {page_name(p) for p in on_disk} == {page_name(p) for p in PAGES}


def test_every_twin_belongs_to_a_page():
    on_disk = {p for p in BOOK.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts}
    assert on_disk == {page.with_suffix(".ipynb") for page in NOTEBOOKS}


def test_labels_are_unique():
    labels = [
        d.options[key]
        for page in PAGES
        for d in directives(read(page))
        for key in ("label", "name")
        if key in d.options
    ]
    assert sorted(labels) == sorted(set(labels))


def test_pages_with_code_or_statements_have_tests_at_their_paths_and_tests_have_pages():
    folder = ROOT / "tests" / "pages"

    def test_of(page):
        place = page.relative_to(BOOK).with_suffix(".py")
        return folder / place.parent / f"test_{place.name.replace('-', '_')}"

    stating = [page for page in PAGES if {d.name for d in directives(read(page))} & STATEMENTS]
    there = set(folder.rglob("*.py"))
    assert {test_of(page) for page in NOTEBOOKS + stating} - there == set()
    assert there - {test_of(page) for page in PAGES} == set()


def test_every_statement_has_a_numerical_check_named_after_its_label():
    labels = {
        d.options.get("label", f"none at {page_name(page)}:{d.line}")
        for page in PAGES
        for d in directives(read(page))
        if d.name in STATEMENTS
    }
    sources = [read(path) for path in (ROOT / "tests").rglob("test_*.py")]
    checks = {name for text in sources for name in re.findall(r"^def test_(\w+)\(", text, re.M)}
    assert {label for label in labels if label.replace("-", "_") not in checks} == set()


def test_every_label_that_a_docstring_names_is_in_the_book():
    text = "\n".join(read(page) for page in PAGES)
    defined = set(re.findall(r"^ *(?::label:|:name:|name:) *([\w-]+) *$", text, re.M))
    defined |= set(re.findall(r"^ *\$\$ *\(([\w-]+)\) *$", text, re.M))
    defined |= set(re.findall(r":name: (tab-[\w-]+)", text))  # of tables that a cell writes
    docstrings = "\n".join(read(path) for path in (ROOT / "lib").rglob("*.py"))
    named = set(re.findall(r"``((?:def|thm|lem|cor|eq|fig|tab)-[\w-]+)``", docstrings))
    assert len(named) > 20
    assert named - defined == set()


def test_the_bibliography_is_cited_and_the_citations_are_in_it():
    assert cited_keys() == set(bibliography())


def test_every_reference_can_be_found():
    lost = [
        key
        for key, entry in bibliography().items()
        if not {"doi", "eprint", "url"} & {name.lower() for name in entry.fields}
    ]
    assert lost == []


# Every page


@each_page
def test_the_page_has_one_title(page):
    text = "\n".join(part for part in re.split(r"^```.*?^```", read(page), flags=re.M | re.S))
    assert len(re.findall(r"^# ", text, re.M)) == 1


@each_page
def test_pictures_have_a_number_a_caption_and_a_description(page):
    for d in directives(read(page)):
        assert d.name != "image", f"line {d.line}: use a figure, which has a number"
        if d.name in FIGURES:
            assert d.options.get("name"), f"line {d.line}: no name"
            assert d.options.get("alt"), f"line {d.line}: no alt text"
            assert d.body.strip(), f"line {d.line}: no caption"
    for cell in code_cells(page):
        shown = cell.options.get("mystnb", {})
        if shown and ("figure" in shown or "image" in shown):
            assert shown.get("figure", {}).get("name"), f"line {cell.line}: no name"
            assert shown.get("figure", {}).get("caption"), f"line {cell.line}: no caption"
            # A slider describes each of its frames by itself.
            if "notebook." not in cell.body:
                assert shown.get("image", {}).get("alt"), f"line {cell.line}: no alt text"
    assert not re.search(r"!\[[^\]]*\]\(", read(page)), "a picture without a number"


@each_page
def test_no_cell_is_allowed_to_fail_or_left_unexecuted(page):
    for cell in code_cells(page):
        assert not {"raises-exception", "skip-execution"} & set(tags(cell)), f"line {cell.line}"
    assert "allow_errors" not in read(page)


@each_page
def test_the_page_names_no_file_of_somebodys_machine(page):
    assert not re.search(r"(?<![\w./~])/(?:home|root|Users|work|tmp|opt)/", read(page))
    assert "sys.path" not in read(page)


# Pages with code


@each_taught_page
def test_the_page_opens_with_its_message_and_its_card(page):
    shown = [d for d in directives(read(page)) if "remove-cell" not in tags(d)]
    if page in CORE:
        assert shown.pop(0).name == "message", "the first thing on the page is not its message"
    card = shown[0]
    assert card.name == "page-card", "the page does not open with its card"
    objectives, prerequisites = split_card(card.body)
    n_objectives = len(re.findall(r"^[-*] ", objectives, re.M))
    assert n_objectives in (range(3, 6) if page in CORE else range(1, 8))
    assert prerequisites.strip(" .*:\n"), "no prerequisites"


@each_core_page
def test_the_card_of_a_core_page_explains_its_symbols(page):
    (card,) = [d for d in directives(read(page)) if d.name == "page-card"]
    assert "**Symbols**" in card.body


@each_core_page
def test_a_visible_proof_is_short(page):
    for directive in directives(unfolded(page)):
        if directive.name == "prf:proof":
            lines = [line for line in directive.body.splitlines() if line.strip()]
            assert len(lines) <= 8, f"the proof after line {directive.line} is long: fold it"


def unfolded(page):
    """The source of a page without its folded blocks and its solutions."""
    lines, kept, position = read(page).splitlines(), [], 0
    while position < len(lines):
        opening = OPENING.match(lines[position])
        name = opening.group(2) if opening else ""
        if name in {"dropdown", "solution"}:
            position = closing_line(lines, position, opening.group(1))
        elif name == "solution-start":
            ends = (n for n in range(position, len(lines)) if "{solution-end}" in lines[n])
            position = closing_line(lines, next(ends), opening.group(1))
        else:
            kept.append(lines[position])
        position += 1
    return "\n".join(kept)


def split_card(body):
    match = re.search(r"\*\*(?:Prerequisites|You need)[.:]?\*\*", body)
    assert match, "the card names no prerequisites"
    return body[: match.start()], body[match.end() :]


@each_notebook
def test_the_twin_is_the_page_without_outputs(page):
    twin = page.with_suffix(".ipynb")
    assert twin.exists(), "run `make notebooks`"
    assert twin.read_text(encoding="utf-8") == twin_text(page), "run `make notebooks`"
    cells = twin_code_cells(page)
    assert all(cell["outputs"] == [] for cell in cells)
    live = [d for d in directives(read(page)) if d.name == "explorer"]
    expected = 1 + len(live) + len(code_cells(page))
    assert len(cells) == expected, "a code cell inside a directive gets no cell"


@each_notebook
def test_the_twin_alone_fetches_the_library_on_colab(page):
    first, *others = ["".join(cell["source"]) for cell in twin_code_cells(page)]
    assert twin_code_cells(page)[0]["metadata"] == {"tags": ["remove-cell"]}
    assert first.startswith("# On Colab ")
    assert f"git clone -q --depth 1 {REPOSITORY}\n" in first
    folder = page.parent.relative_to(ROOT).as_posix()
    assert first.endswith(f'os.chdir("{REPOSITORY.rsplit("/", 1)[1]}/{folder}")')
    for text in [*others, *(cell.body for cell in code_cells(page))]:
        assert "# On Colab " not in text and "!git clone" not in text


# Exercises


@each_taught_page
def test_each_exercise_has_a_folded_hint_and_a_folded_solution(page):
    found = directives(read(page))
    exercises = [d for d in found if d.name in {"exercise", "exercise-start"}]
    solutions = [d for d in found if d.name in {"solution", "solution-start"}]
    assert sorted(d.argument for d in solutions) == sorted(d.options["label"] for d in exercises)
    for solution in solutions:
        assert "dropdown" in solution.options.get("class", ""), f"line {solution.line} is open"
    for exercise in exercises:
        inner = directives(exercise_body(page, exercise))
        hints = [d for d in inner if "hint" in f"{d.name} {d.argument}".lower()]
        assert hints, f"line {exercise.line}: no hint"
        for hint in hints:
            assert hint.name == "dropdown" or "dropdown" in hint.options.get("class", "")


def exercise_body(page, exercise):
    """The text of an exercise, which a gated pair of directives leaves between its two halves."""
    if exercise.name == "exercise":
        return exercise.body
    lines = read(page).splitlines()[exercise.line - 1 :]
    start = closing_line(lines, 0, FENCE.match(lines[0]).group(1))
    end = next(number for number, line in enumerate(lines) if "{exercise-end}" in line)
    return "\n".join(lines[start + 1 : end])


@each_core_page
def test_the_page_ends_with_a_summary_and_with_what_to_read_next(page):
    found = sections(read(page))
    assert found.get("Summary", "").strip()
    assert CITATION.search(found.get("What to read next", "")), "nothing is cited to read next"
