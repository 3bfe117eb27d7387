"""The build cannot pass silently: each gate is tried on a tiny book with one fault in it.

The tiny book has this repository's own configuration and build extension, and a stand-in library.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bookbuild.mathjax import find_script

HEADER = """\
---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---
"""

# A cell that leaves a trace of every execution.
PAGE = """\
# A page

```{page-card}
**Objectives**

- *count* the executions
```

A formula: $x = 1$.

```{code-cell} ipython3
with open("runs.txt", "a") as trace:
    print("run", file=trace)
```
"""

INDEX = "# A book\n\n{cite}`one`\n\n```{bibliography}\n```\n"
REFERENCE = "@misc{one, title={One}, author={Someone}, year={2000}, doi={10.1000/1}}\n"
TOC = """\
format: jb-book
root: book/index
parts:
  - caption: Reference
    chapters:
      - file: book/page
"""


class TinyBook:
    """A book of one landing page and one notebook, in a folder of its own."""

    def __init__(self, root, repository):
        self.root = root
        for name in ["_config.yml", "book/_ext", "book/_static"]:
            source, target = repository / name, root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        self.write("_toc.yml", TOC)
        self.write("requirements.txt", "one==1\n")
        self.write("lib/stand_in.py", "ANSWER = 1\n")
        self.write("book/index.md", INDEX)
        self.write("book/references.bib", REFERENCE)
        self.write("book/page.md", HEADER + PAGE)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def build(self):
        """Build as `make book` does; return the exit code and everything printed."""
        jupyter_book = shutil.which("jupyter-book", path=str(Path(sys.executable).parent))
        done = subprocess.run(
            [jupyter_book, "build", ".", "-W", "-n", "--keep-going"],
            cwd=self.root, capture_output=True, text=True, timeout=120, check=False,
            encoding="utf-8", errors="replace",
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def runs(self):
        """Count how often the page's cell was executed."""
        trace = self.root / "book" / "runs.txt"
        return len(trace.read_text().splitlines()) if trace.exists() else 0

    def html(self, name):
        return (self.root / "_build" / "html" / "book" / f"{name}.html").read_text("utf-8")


@pytest.fixture
def tiny_book(tmp_path, repository):
    return TinyBook(tmp_path, repository)


def assert_fails_twice(book, message):
    """The fault is reported, and not only the first time."""
    for attempt in ("first", "second"):
        code, output = book.build()
        assert code != 0, f"the {attempt} build passed:\n{output}"
        assert re.search(message, output), f"the {attempt} build says nothing of it:\n{output}"


def assert_loads_mathjax(book):
    """The page asks once for the file of MathJax, and the build has put it there."""
    path = "_static/mathjax/tex-svg-full.js"
    (asked,) = re.findall(r'<script[^>]* src="([^"]*mathjax[^"]*)"', book.html("page"), re.I)
    assert asked.split("?")[0] == f"../{path}"
    copied = (book.root / "_build" / "html" / path).read_bytes()
    assert copied == find_script("mathjax/tex-svg-full.js").read_bytes()


def test_a_sound_book_builds_and_runs_again_only_when_the_library_or_the_lock_changes(tiny_book):
    code, output = tiny_book.build()
    assert code == 0, output
    assert tiny_book.runs() == 1
    card = re.search(r"About 1 minute to read; the code ran in .* when", tiny_book.html("page"))
    assert card, "the page card does not say how long the page takes"
    assert_loads_mathjax(tiny_book)

    code, output = tiny_book.build()
    assert (code, tiny_book.runs()) == (0, 1), output

    tiny_book.write("book/index.md", INDEX + "\nOne more sentence.\n")
    code, output = tiny_book.build()
    assert (code, tiny_book.runs()) == (0, 1), output
    assert "One more sentence" in tiny_book.html("index")

    tiny_book.write("lib/stand_in.py", "ANSWER = 2\n")
    code, output = tiny_book.build()
    assert (code, tiny_book.runs()) == (0, 2), output

    tiny_book.write("requirements.txt", "one==2\n")
    code, output = tiny_book.build()
    assert (code, tiny_book.runs()) == (0, 3), output


def test_a_failing_cell_fails_the_build(tiny_book):
    cell = "\n```{code-cell} ipython3\nraise RuntimeError('out of order')\n```\n"
    tiny_book.write("book/page.md", HEADER + PAGE + cell)
    assert_fails_twice(tiny_book, "out of order")


def test_a_broken_reference_fails_the_build(tiny_book):
    tiny_book.write("book/page.md", HEADER + PAGE + "\nSee {ref}`nowhere`.\n")
    assert_fails_twice(tiny_book, "undefined label: 'nowhere'")


def test_an_unknown_citation_fails_the_build(tiny_book):
    tiny_book.write("book/index.md", INDEX + "\nSee {cite}`nobody2000`.\n")
    assert_fails_twice(tiny_book, "nobody2000")


def test_a_library_that_writes_warnings_to_a_page_fails_the_build(tiny_book):
    cell = "\n```{code-cell} ipython3\nimport warnings\nwarnings.warn('deprecated thing')\n```\n"
    tiny_book.write("book/page.md", HEADER + PAGE + cell)
    assert_fails_twice(tiny_book, "stderr was found")


def test_a_page_with_code_but_no_jupytext_header_fails_the_build(tiny_book):
    tiny_book.write("book/page.md", PAGE)
    assert_fails_twice(tiny_book, r"1 pages hold code cells and 0 were executed.*book/page")
    assert tiny_book.runs() == 0


def test_a_page_missing_from_the_folder_fails_the_build(tiny_book):
    (tiny_book.root / "book" / "page.md").unlink()
    assert_fails_twice(tiny_book, "book/page")
