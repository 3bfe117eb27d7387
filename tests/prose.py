"""Read the running text of pages: what is left when code, formulas and addresses are taken out."""

import re

import yaml
from sources import BOOK, FENCE, OPENING, closing_line, directives, read, split_options

# Directives that hold text; all others hold code, data or formulas, or nothing.
TEXTUAL = {
    "admonition", "attention", "danger", "dropdown", "exercise", "explorer", "figure", "glossary",
    "glue:figure", "important", "message", "note", "page-card", "prf:corollary", "prf:definition",
    "prf:example", "prf:lemma", "prf:proof", "prf:proposition", "prf:remark", "prf:theorem",
    "solution", "tip", "warning", "margin", "topic", "seealso", "card", "grid", "grid-item-card",
    "tab-item", "tab-set", "list-table", "table",
}  # fmt: skip
# Roles whose text is shown; all others show a number, or what code has computed.
SHOWN_ROLES = re.compile(
    r"\{(?:term|abbr)\}`([^`<]*?)\s*(?:<[^`]*>)?`|\{\w+\}`([^`<]*?)\s*<[^`]*>`"
)
REMOVED = [
    re.compile(pattern, re.S | re.M)
    for pattern in (
        r"\A---\n.*?\n---\n",
        r"<!--.*?-->",
        r"^%.*?$",
        r"^\([\w-]+\)=$",
        r"\$\$.*?\$\$(?: *\([\w-]+\))?",
        r"\\begin\{(\w+\*?)\}.*?\\end\{\1\}",
        r"\{[\w:-]+\}`[^`]*`",
        r"(?<!\\)\$[^$]+\$",
        r"``.*?``|`[^`]*`",
        r"\]\([^)]*\)",
        r"https?://[^\s)>]+|www\.\S+",
        r"<[^<>\n]+>",
        r"\{[#.][^}\n]*\}",
    )
]
TABLE_ROW = re.compile(r"^ *\|.*\|.*$", re.M)
BOLD = re.compile(r"\*\*(?!\s)([^*]{1,60}?)\*\*")
QUOTATION = re.compile(r"^ *>.*$|“[^”]*”", re.M)


def text_lines(lines, skipped=()):
    """Yield the lines of a page outside fences, and those inside directives that hold text."""
    position = 0
    while position < len(lines):
        opening, fence = OPENING.match(lines[position]), FENCE.match(lines[position])
        if not fence:
            yield lines[position]
            position += 1
            continue
        end = closing_line(lines, position, fence.group(1))
        if opening and opening.group(2) in TEXTUAL - set(skipped):
            if opening.group(2) not in {"solution", "figure", "glue:figure", "explorer"}:
                yield opening.group(3)
            yield ""
            yield from text_lines(split_options(lines[position + 1 : end])[1], skipped)
            yield ""
        position = end + 1


def captions(text):
    """List the captions and descriptions of figures that cells draw, and those of directives."""
    found = []
    for directive in directives(text):
        shown = directive.options.get("mystnb") or {}
        found += [(shown.get("figure") or {}).get("caption"), (shown.get("image") or {}).get("alt")]
        found.append(directive.options.get("alt"))
    return [each for each in found if each]


def plain(text):
    """Take formulas, code, addresses and markup out of a text."""
    text = SHOWN_ROLES.sub(lambda role: role[1] or role[2], text)
    for pattern in REMOVED:
        text = pattern.sub(" ", text)
    return text


def prose(text, *, skipped=(), with_captions=True):
    """Return the running text of a page."""
    lines = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S).splitlines()
    parts = ["\n".join(text_lines(lines, skipped))]
    return plain("\n\n".join(parts + (captions(text) if with_captions else [])))


def bold(text):
    """List what running text has in bold: no labels of list items, no heads, nothing in tables.

    >>> bold("A **Fourier mode** is. **Why.** Because.\\n- **Readers** come.\\n| **a** | b |")
    ['Fourier mode']
    """
    text = TABLE_ROW.sub(" ", prose(text, skipped=["page-card"], with_captions=False))
    text = re.sub(r"^ *(?:[-*+]|\d+\.) +\*\*[^*]+\*\*", " ", text, flags=re.M)
    found = [" ".join(phrase.split()) for phrase in BOLD.findall(text)]
    return [phrase for phrase in found if phrase and phrase[-1] not in ".:?!;,"]


def checks():
    """Map the name of each check to its texts."""
    pages = yaml.safe_load(read(BOOK / "checks.yaml"))
    return {
        each["id"]: plain(
            "\n\n".join(
                [each["question"]]
                + [f"{answer['text']}\n\n{answer['because']}" for answer in each["answers"]]
            )
        )
        for questions in pages.values()
        for each in questions
    }
