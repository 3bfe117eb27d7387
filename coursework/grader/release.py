"""Write what students get and what teachers keep: notebooks of a term from the source of both."""

import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import jinja2
import jupytext
import nbformat

from .assignment import ROOT, Assignment
from .term import Term

LIBRARY = "freqsense @ git+https://github.com/freqsense/freqsense"
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
SOLUTION = re.compile(rf"^( *){BEGIN}\n.*?^ *{END}\n?", re.MULTILINE | re.DOTALL)
# In the title of a key, so that one among the releases is found by a search.
KEY_TITLE = "Key, not for students: "
STARTER = 'raise NotImplementedError("your code here")'
# Paragraphs of the key that students must not see.
KEY_TEXT = re.compile(r"^<!-- key -->\n.*?^<!-- /key -->\n?", re.MULTILINE | re.DOTALL)
ANSWER = re.compile(r"\*\*Answer ([\w-]+):\*\*")
MARK = re.compile(r"^<!-- /?key -->\n", re.MULTILINE)


def student_environment() -> str:
    """Return what Binder installs for students: what the book's pages need, and the library."""
    told = (ROOT.parent / "binder" / "environment.yml").read_text(encoding="utf-8")
    packages = told[told.index("name:") :].rstrip("\n")
    return f"{packages}\n  - pip:\n    - {LIBRARY}\n"


def fill_in(assignment: Assignment, term: Term) -> str:
    """Put the definitions that the term has chosen into the source."""
    chosen = {
        task.name: SimpleNamespace(**term.variant(assignment.name, task))
        for task in assignment.tasks
    }
    # Not double braces: formulas hold them.
    environment = jinja2.Environment(
        variable_start_string="<<", variable_end_string=">>", block_start_string="<%",
        block_end_string="%>", comment_start_string="<#", comment_end_string="#>",
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True,
    )  # fmt: skip
    return environment.from_string(assignment.source).render(chosen, term=term.name)


def key_notebook(assignment: Assignment, term: Term) -> Any:
    """Return the teacher's notebook: complete, with the answers to all questions."""
    text = MARK.sub("", fill_in(assignment, term)).replace("\n# ", f"\n# {KEY_TITLE}", 1)
    marks = re.compile(rf"^ *(?:{BEGIN}|{END})\n", re.MULTILINE)
    return as_notebook(marks.sub("", text), assignment.name)


def release_notebook(assignment: Assignment, term: Term) -> Any:
    """Return the student's notebook, in which every solution is a line to be replaced."""
    text = KEY_TEXT.sub("", fill_in(assignment, term))
    return as_notebook(SOLUTION.sub(rf"\1{STARTER}\n", text), assignment.name)


def nbgrader_notebook(assignment: Assignment, term: Term) -> Any:
    """Return the source notebook that nbgrader reads, with its metadata on tasks and questions."""
    text = KEY_TEXT.sub("", fill_in(assignment, term))
    notebook = as_notebook(text, assignment.name)
    points = {task.name: task.points for task in assignment.tasks}
    split_answers(notebook, {each.name: each.points for each in assignment.questions})
    for cell in notebook.cells:
        found = re.search(r"^def (\w+)\(", cell.source, re.MULTILINE)
        if cell.cell_type == "code" and BEGIN in cell.source and found:
            told = {"grade": False, "solution": True, "locked": False, "grade_id": found[1]}
            cell.metadata["nbgrader"] = {"schema_version": 3, "task": False, **told}
        elif cell.cell_type == "code" and "assert" in cell.source:
            name = next((name for name in points if f"{name}(" in cell.source), None)
            if name:
                told = {"grade": True, "solution": False, "locked": True}
                told |= {"grade_id": f"test-{name}", "points": points.pop(name)}
                cell.metadata["nbgrader"] = {"schema_version": 3, "task": False, **told}
    return notebook


def split_answers(notebook: Any, questions: Mapping[str, int]) -> None:
    """Give each answer that a person reads a cell of its own, with its points."""
    cells = []
    for cell in notebook.cells:
        parts = ANSWER.split(cell.source) if cell.cell_type == "markdown" else [cell.source]
        cell.source = parts[0]
        cells.append(cell)
        for name, after in zip(parts[1::2], parts[2::2], strict=True):
            cells[-1].source += f"**Answer {name}:**"
            cells.append(answer_cell(name, questions[name]))
            if after.strip():
                cells.append(nbformat.v4.new_markdown_cell(after.strip(), id=f"after-{name}"))
    notebook.cells = cells
    nbformat.validate(notebook)


def answer_cell(name: str, points: int) -> Any:
    """Return the cell of an answer, which nbgrader empties for students."""
    cell = nbformat.v4.new_markdown_cell("Your answer.", id=f"answer-{name}")
    told: dict[str, Any] = {"grade": True, "solution": True, "locked": False, "task": False}
    told |= {"grade_id": f"answer-{name}", "points": points, "schema_version": 3}
    cell.metadata["nbgrader"] = told
    return cell


def as_notebook(text: str, name: str) -> Any:
    """Convert the source to a notebook without outputs, with ids that do not change."""
    notebook = jupytext.reads(text, fmt="md:myst")
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{name}-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.validate(notebook)
    return notebook
