"""Read the sources of the book: pages, sections, directives."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import twins
import yaml
from bookbuild.gate import has_code_cells

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"

PAGES = twins.toc_pages()
NOTEBOOKS = [page for page in PAGES if page.exists() and has_code_cells(page.read_text("utf-8"))]

# The core pages are the chapters of the parts that are read; deeper pages stand under them.
CORE = twins.core_pages()
DEEPER = twins.deeper_pages()

OPENING = re.compile(r"^ *(`{3,}|~{3,}|:{3,})\{([\w:-]+)\} *(.*?) *$")
FENCE = re.compile(r"^ *(`{3,}|~{3,}|:{3,})")
OPTION = re.compile(r"^ *:([\w-]+): *(.*?) *$")


@dataclass
class Directive:
    """A fenced directive: its options (YAML block or lines of ``:key: value``) and its body."""

    name: str
    argument: str
    line: int
    body: str
    options: dict = field(default_factory=dict)


def directives(text):
    """Find every directive of a page, nested ones included.

    >>> found = directives("::::{exercise}\\n:label: ex-a\\n:::{dropdown} Hint\\nTry.\\n:::\\n::::")
    >>> [(d.name, d.argument, d.options) for d in found]
    [('exercise', '', {'label': 'ex-a'}), ('dropdown', 'Hint', {})]
    """
    found, lines, position = [], text.splitlines(), 0
    while position < len(lines):
        opening, fence = OPENING.match(lines[position]), FENCE.match(lines[position])
        if not fence:
            position += 1
            continue
        end = closing_line(lines, position, fence.group(1))
        if opening:
            options, body = split_options(lines[position + 1 : end])
            _, name, argument = opening.groups()
            found.append(Directive(name, argument, position + 1, "\n".join(body), options))
            if name != "code-cell":
                found.extend(directives("\n".join(body)))
        position = end + 1
    return found


def closing_line(lines, start, fence):
    """Find the line that closes a fence: the same character, at least as often, and no more."""
    closing = re.compile(rf"^ *{re.escape(fence[0])}{{{len(fence)},}} *$")
    for position in range(start + 1, len(lines)):
        if closing.match(lines[position]):
            return position
    raise ValueError(f"the fence {fence} opened in line {start + 1} is never closed")


def split_options(lines):
    """Separate a directive's options from its body."""
    if lines and lines[0].strip() == "---":
        end = [line.strip() for line in lines].index("---", 1)
        return yaml.safe_load("\n".join(lines[1:end])) or {}, lines[end + 1 :]
    options, position = {}, 0
    while position < len(lines) and (match := OPTION.match(lines[position])):
        options[match.group(1)] = match.group(2)
        position += 1
    return options, lines[position:]


def sections(text):
    """Map the title of every second-level section to its text, code cells left out.

    >>> list(sections("# A\\n## B\\nb\\n```python\\n## no title\\n```\\n### C\\n## D\\n"))
    ['B', 'D']
    """
    found, title, fence = {}, None, None
    for line in text.splitlines():
        mark = FENCE.match(line)
        if fence:
            fence = None if re.match(rf"^ *{re.escape(fence)}+ *$", line) else fence
        elif mark and not line.lstrip().startswith(":"):
            fence = mark.group(1)
        elif line.startswith("## "):
            title = line[3:].strip()
            found[title] = []
        if title is not None:
            found[title].append(line)
    return {name: "\n".join(lines[1:]) for name, lines in found.items()}


def read(page):
    """Read a page's source."""
    return page.read_text(encoding="utf-8")
