"""A tiny book with this repository's configuration and build extension, and no library."""

import shutil
import subprocess
import sys
from pathlib import Path

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
