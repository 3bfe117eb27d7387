"""``{check}``: a question after a section, whose answers each say at once why.

Each answer unfolds what it is worth, so a check needs no script, and a keyboard and a screen reader
do with it what they do with any folded text.
"""

from functools import cache
from pathlib import Path

import yaml
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

FILE = "book/checks.yaml"
VERDICTS = {True: "Right.", False: "Not quite."}


class check(nodes.General, nodes.Element):
    """A question and its answers."""


class answer(nodes.General, nodes.Element):
    """One answer: what can be chosen, then what it is worth."""


class choice(nodes.General, nodes.TextElement):
    """The line of an answer that is seen before it is chosen."""


class Check(SphinxDirective):
    """``{check} ID``: the question of this name in ``book/checks.yaml``."""

    required_arguments = 1

    def run(self):
        """Return the question and its answers."""
        (name,) = self.arguments
        path = Path(self.env.srcdir) / FILE
        self.env.note_dependency(str(path))
        asked = read_checks(path, path.stat().st_mtime_ns)
        if name not in asked:
            raise self.error(f"no check {name!r} in {FILE}")
        node = check(ids=[f"check-{name}"])
        node += nodes.paragraph("", "", *self.inline(asked[name]["question"]))
        node += [self.answer(name, given) for given in asked[name]["answers"]]
        self.set_source_info(node)
        return [node]

    def answer(self, name, given):
        """Return one answer; of those of a question one is open at a time."""
        node = answer(group=f"check-{name}")
        verdict = nodes.strong("", VERDICTS[given.get("right", False)])
        node += choice("", "", *self.inline(given["text"]))
        node += nodes.paragraph("", "", verdict, nodes.Text(" "), *self.inline(given["because"]))
        return node

    def inline(self, text):
        """Read a line of text with formulas and links in it."""
        found, messages = self.state.inline_text(text, self.lineno)
        return [*found, *messages]


@cache
def read_checks(path, _changed):
    """Read every check of the book by its name, and say which of them is wrongly written."""
    pages = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    checks = {}
    for each in (each for page in pages.values() for each in page):
        if each["id"] in checks:
            raise ValueError(f"{FILE}: two checks are named {each['id']!r}")
        right = [given for given in each["answers"] if given.get("right")]
        if len(right) != 1:
            raise ValueError(f"{FILE}: {each['id']!r} has {len(right)} right answers, not one")
        checks[each["id"]] = each
    return checks


def visit_check(writer, node):
    """Open the question."""
    writer.body.append(writer.starttag(node, "div", CLASS="check", role="group"))


def visit_answer(writer, node):
    """Open an answer."""
    writer.body.append(f'<details class="answer" name="{node["group"]}">')


def close(tag):
    """Return what closes an element."""
    return lambda writer, node: writer.body.append(f"</{tag}>\n")


def visit_choice(writer, node):
    """Open the line that is seen."""
    writer.body.append("<summary>")


def add_nodes(app):
    """Tell Sphinx how a check is written."""
    app.add_node(check, html=(visit_check, close("div")))
    app.add_node(answer, html=(visit_answer, close("details")))
    app.add_node(choice, html=(visit_choice, close("summary")))
