"""Format the code cells of pages in place, as ``ruff format`` writes Python.

Run by ``make format``, or as ``tools/format_pages.py PAGE.md ...`` for some pages. Lines of a page
are shorter than those of a file: a cell stands in a column of text.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from twins import notebook_pages

LINE_LENGTH = 88
CELL = re.compile(
    r"^(?P<open>(?P<fence>`{3,})\{code-cell\}.*\n(?:---\n(?:.*\n)*?---\n|(?::[\w-]+:.*\n)*)\n*)"
    r"(?P<code>(?:.*\n)*?)"
    r"(?P<close>(?P=fence)[ \t]*)$",
    re.MULTILINE,
)


def read_cells(text):
    r"""List the code of a page's cells.

    >>> read_cells("# A\n\n```{code-cell} ipython3\n:tags: [hide-input]\n\nx=1\ny=2\n```\n")
    ['x=1\ny=2']
    """
    return [cell["code"].rstrip("\n") for cell in CELL.finditer(text)]


def format_cells(cells):
    """Format a list of cells as those of one notebook, in which a line may be a magic."""
    if not cells:
        return []
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in cells])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.ipynb"
        nbformat.write(notebook, path)
        command = [sys.executable, "-m", "ruff", "format", "--isolated", "--no-cache", "--quiet"]
        command += ["--line-length", str(LINE_LENGTH), "--target-version", "py311", str(path)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            raise ValueError(run.stderr.strip())
        return [cell.source for cell in nbformat.read(path, as_version=4).cells]


def format_text(text):
    """Return the text of a page with its cells formatted; all else stays as it is."""
    formatted = iter(format_cells(read_cells(text)))

    def replace(cell):
        code = next(formatted)
        return cell["open"] + (f"{code}\n" if code else "") + cell["close"]

    return CELL.sub(replace, text)


def main():
    """Format the pages named, or every page that holds code."""
    for page in [Path(name) for name in sys.argv[1:]] or notebook_pages():
        text = page.read_text(encoding="utf-8")
        try:
            formatted = format_text(text)
        except ValueError as error:
            raise SystemExit(f"{page}: {error}") from None
        if formatted != text:
            page.write_text(formatted, encoding="utf-8", newline="\n")
            print(f"formatted {page}")


if __name__ == "__main__":
    main()
