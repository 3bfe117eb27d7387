"""The answers that a person reads, as HTML: Markdown, formulas and pictures, and no more.

Students may write anything: raw HTML is shown as text, and no picture comes from elsewhere.
"""

import base64
import html
import io
import re
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any

from markdown_it import MarkdownIt
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from PIL import Image

from .assignment import Assignment, Question
from .release import release_notebook
from .submissions import Submission, as_text, is_code, read_cells
from .term import Term

Cell = dict[str, Any]
NO_ANSWER = "(no answer found)"
NO_LINE = "The answer line was not found; this is all of its section."
BLANK = "Nothing stands below the answer line; this is what else its section holds."
MARK = re.compile(r"^\*\*Answer ([\w-]+):\*\*", re.MULTILINE)
PICTURES = 6  # of an answer
ANSWER = 20_000  # characters of a cell of text
TEXT = 4000  # characters of a cell of code, or of what it has printed
PICTURE_BYTES = 2_000_000
PICTURE_PIXELS = 25_000_000
FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg"}
# What a reader cannot decode, or will not.
UNREADABLE = (OSError, ValueError, TypeError, KeyError, AttributeError, SyntaxError,
              RecursionError, Image.DecompressionBombError)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """The HTML of an answer, empty if there is none, and whether its line was found."""

    html: str = ""
    has_line: bool = True


def answer_to(
    question: Question, assignment: Assignment, submission: Submission, given: Set[str]
) -> Answer:
    """Return a student's answer, with the code of its section and what that has shown.

    Where it does not stand below its line, the section is shown, if the student wrote any of it.
    """
    if submission.path is None or submission.problem:
        return Answer()
    cells, headings = read_cells(submission.path), headings_of(assignment)
    marked = [number for number, cell in enumerate(cells) if has_mark(cell, question)]
    for number in marked:
        if told := render_section(cells, number, question, headings):
            return Answer(told)
    pieces = cut_cells(cells, headings)
    if marked:
        section, flag = around_line(pieces, question, headings), BLANK
    else:
        section, flag = under_heading(pieces, question, assignment), NO_LINE
    if not any(is_own(cell, given) for cell in section):
        return Answer(has_line=bool(marked))
    return Answer(f"<p><strong>{flag}</strong></p>{render_cells(section)}", bool(marked))


def given_lines(assignment: Assignment, term: Term) -> set[str]:
    """Return the lines that students are given, which are no answer."""
    cells = release_notebook(assignment, term).cells
    return {line.strip() for cell in cells for line in cell["source"].splitlines()}


def has_mark(cell: Cell, question: Question) -> bool:
    """Tell whether the line of a question stands in a cell."""
    return not is_code(cell) and question.name in MARK.findall(cell["source"])


def cut_cells(cells: Sequence[Cell], headings: Set[str]) -> list[Cell]:
    """Cut cells of text before each heading of the assignment and each line of an answer."""
    pieces: list[Cell] = []
    for cell in cells:
        if is_code(cell):
            pieces.append(cell)
            continue
        pieces.append({**cell, "source": ""})
        for line in cell["source"].splitlines(keepends=True):
            if line.strip() in headings or MARK.match(line):
                pieces.append({**cell, "source": ""})
            pieces[-1]["source"] += line
    return pieces


def around_line(pieces: Sequence[Cell], question: Question, headings: Set[str]) -> Sequence[Cell]:
    """Return what stands around the line of an answer and belongs to no other."""
    number = next(n for n, piece in enumerate(pieces) if has_mark(piece, question))
    before = (n for n in range(number - 1, -1, -1) if ends_section(pieces[n], headings))
    start = next(before, number)
    if not has_heading(pieces[start], headings):
        start = number  # what stands before it belongs to another answer
    return pieces[start : next_end(pieces, number, headings)]


def under_heading(
    pieces: Sequence[Cell], question: Question, assignment: Assignment
) -> Sequence[Cell]:
    """Return the section of a question; if its heading is gone too, what it was overwritten in."""
    above = assignment.source.partition(f"**Answer {question.name}:**")[0]
    for heading in reversed(re.findall(r"^##+ .*", above, re.MULTILINE)):
        starts = (n for n, piece in enumerate(pieces) if has_heading(piece, {heading.strip()}))
        if (start := next(starts, None)) is not None:
            later, headings = range(start + 1, len(pieces)), headings_of(assignment)
            end = next((n for n in later if has_heading(pieces[n], headings)), len(pieces))
            return pieces[start:end]
    return []


def is_own(cell: Cell, given: Set[str]) -> bool:
    """Tell whether a cell shows anything that students are not given."""
    own = any(line.strip() not in given for line in cell["source"].splitlines() if line.strip())
    return own and (not is_code(cell) or bool(render_outputs(cell, iter(range(PICTURES)))))


def headings_of(assignment: Assignment) -> set[str]:
    """Return the headings of an assignment, between which a section lies."""
    return {line.strip() for line in assignment.source.splitlines() if line.startswith("#")}


def render_section(
    cells: Sequence[Cell], number: int, question: Question, headings: Set[str]
) -> str:
    """Render what follows the mark in its section, and all code of the section; '' if no text."""
    start = next((n for n in range(number, 0, -1) if has_heading(cells[n], headings)), 0)
    end = next_end(cells, number, headings)
    first = {**cells[number], "source": after_mark(cells[number]["source"], question.name)}
    texts = [first, *(cell for cell in cells[number + 1 : end] if not is_code(cell))]
    if not any(cell["source"].strip() for cell in texts):
        return ""
    budget = iter(range(PICTURES))
    before = [render_code(cell, budget) for cell in cells[start:number] if is_code(cell)]
    return "".join([*before, render_text(first), render_cells(cells[number + 1 : end], budget)])


def render_cells(cells: Sequence[Cell], budget: Iterator[int] | None = None) -> str:
    """Render cells of text and of code, with as many pictures as are left."""
    budget = budget or iter(range(PICTURES))
    told = (render_code(cell, budget) if is_code(cell) else render_text(cell) for cell in cells)
    return "".join(told)


def has_heading(cell: Cell, headings: Set[str]) -> bool:
    """Tell whether a section of the assignment begins in a cell."""
    lines = [] if is_code(cell) else cell["source"].splitlines()
    return any(line.strip() in headings for line in lines)


def next_end(cells: Sequence[Cell], number: int, headings: Set[str]) -> int:
    """Return the number of the cell after this one at which its section ends."""
    later = range(number + 1, len(cells))
    return next((n for n in later if ends_section(cells[n], headings)), len(cells))


def ends_section(cell: Cell, headings: Set[str]) -> bool:
    """Tell whether a cell belongs to the next question."""
    return not is_code(cell) and (has_heading(cell, headings) or bool(MARK.search(cell["source"])))


def after_mark(source: str, name: str) -> str:
    r"""Return what stands between the mark of a question and the next mark.

    >>> after_mark("**Answer a:** one\n\n**Answer b:** two", "a")
    'one'
    """
    _, *parts = MARK.split(source)
    return dict(zip(parts[::2], parts[1::2], strict=True))[name].strip()


def render_text(cell: Cell) -> str:
    """Render the Markdown of a cell; pictures are those attached to it."""
    source, attached = cell["source"], {"attachments": cell.get("attachments")}
    try:
        told = reader().render(source[:ANSWER], attached)
    except Exception:  # whatever a student may have written there
        told = f"<pre>{html.escape(source[:ANSWER])}</pre>"
    more = f"<p>({len(source) - ANSWER} more characters)</p>" if len(source) > ANSWER else ""
    return told + more


def reader() -> MarkdownIt:
    """Return the reader of Markdown, which lets no HTML, script or address of a picture through."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    markdown.use(dollarmath_plugin, double_inline=True, renderer=formula)
    markdown.use(amsmath_plugin, renderer=lambda text: formula(text, {"display_mode": True}))
    # A heading of a student's would pass for one of the page.
    markdown.add_render_rule("heading_open", lambda *_: '<p class="heading">')
    markdown.add_render_rule("heading_close", lambda *_: "</p>\n")
    markdown.add_render_rule("image", show_attachment)
    markdown.add_render_rule("table_open", lambda *_: '<div class="wide" tabindex="0"><table>\n')
    markdown.add_render_rule("th_open", lambda *_: '<th scope="col">')
    markdown.add_render_rule("table_close", lambda *_: "</table></div>\n")
    return markdown


def formula(text: str, options: dict[str, Any]) -> str:
    r"""Hand a formula over to MathJax, which reads nothing but what stands in the class ``math``.

    >>> formula("a<b", {"display_mode": False})
    '\\(a&lt;b\\)'
    """
    if options.get("display_mode"):
        return f'<div class="wide" tabindex="0">\\[{html.escape(text)}\\]</div>'
    return f"\\({html.escape(text)}\\)"


def show_attachment(renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    """Show a picture that is attached to the cell, and name any other."""
    source, said = tokens[index].attrs.get("src", ""), tokens[index].content
    try:
        bundle = env["attachments"][str(source).removeprefix("attachment:")]
        uri = next(filter(None, map(as_uri, bundle.values())), None)
    except UNREADABLE:
        uri = None
    return picture(uri, said) if uri else f"[picture not shown: {html.escape(said or str(source))}]"


def picture(uri: str, said: str) -> str:
    """Return the element of a picture."""
    return f'<img src="{uri}" alt="{html.escape(said)}">'


def render_code(cell: Cell, budget: Iterator[int]) -> str:
    """Render a cell of code, folded, and what it has shown."""
    code = html.escape(cell["source"][:TEXT])
    folded = f"<details><summary>code</summary><pre>{code}</pre></details>"
    return folded + render_outputs(cell, budget)


def render_outputs(cell: Cell, budget: Iterator[int]) -> str:
    """Render what a cell of code has shown."""
    outputs = cell.get("outputs")
    return (
        "".join(render_output(each, budget) for each in outputs)
        if isinstance(outputs, list)
        else ""
    )


def render_output(output: Any, budget: Iterator[int]) -> str:
    """Render a picture or printed text; warnings and errors may name people, in paths of files."""
    try:
        bundle = output.get("data") or {}
        uri = next(filter(None, (as_uri(bundle.get(kind)) for kind in FORMATS.values())), None)
        if uri:
            left = next(budget, None) is not None
            return picture(uri, "a figure of this answer") if left else "<p>(one more figure)</p>"
        printed = output.get("text") if output.get("name") == "stdout" else bundle.get("text/plain")
        text = as_text(printed or "")[:TEXT]
    except UNREADABLE:
        return ""
    return f"<pre>{html.escape(text)}</pre>" if text.strip() else ""


def as_uri(encoded: Any) -> str | None:
    """Return a picture as an address that holds it; None if it is none, or too large."""
    try:
        data = base64.b64decode("".join(as_text(encoded).split()), validate=True)
        with Image.open(io.BytesIO(data), formats=list(FORMATS)) as found:
            kind, (width, height) = FORMATS[str(found.format)], found.size
    except UNREADABLE:
        return None
    if len(data) > PICTURE_BYTES or width * height > PICTURE_PIXELS:
        return None
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
