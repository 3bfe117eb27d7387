"""Write the .ipynb twin beside every page that holds code, for Binder, Colab and JupyterLab.

Run by ``make notebooks``. The page (.md) is the source; the twin holds the same cells and, before
the first with code, one that fetches the library on Colab. It holds no outputs and nothing that
changes from one run or machine to the next.
"""

import re
import sys
from pathlib import Path

import jupytext
import nbformat
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "book" / "_ext"))

from bookbuild.gate import has_code_cells  # noqa: E402
from bookbuild.outline import LOOKED_UP  # noqa: E402

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}

COLAB_CELL = """\
# On Colab this page arrives alone: fetch the book it belongs to and its library.
import importlib.util
import os

if importlib.util.find_spec("freqsense") is None:
    !git clone -q --depth 1 {url}
    %pip install -q "./{clone}[all]"
    os.chdir("{clone}/{folder}")"""

# A live figure of a page is computed by the page; in a notebook the kernel draws it.
LIVE_FIGURE = re.compile(
    r"^```\{explorer\} (?P<name>\w+)\n(?P<options>(?::.*\n)*)\n(?P<caption>(?:.+\n)+)```$",
    re.MULTILINE,
)
START = re.compile(r"^:start: (.*)$", re.MULTILINE)
LIVE_CELL = """\
```{{code-cell}} ipython3
from freqsense import notebook

notebook.explorer({arguments})
```

{caption}"""


def live_cell(figure):
    r"""Return the code cell, and the caption, that stand for a live figure.

    >>> text = "```{explorer} field\n:name: fig-a\n:start: alpha=2.5\n\nA field.\n```"
    >>> print(live_cell(LIVE_FIGURE.match(text)).splitlines()[3])
    notebook.explorer("field", alpha=2.5)
    """
    start = START.search(figure["options"])
    arguments = ", ".join([f'"{figure["name"]}"', *([start[1]] if start else [])])
    return LIVE_CELL.format(arguments=arguments, caption=figure["caption"])


def toc_pages(root=ROOT):
    """List the source files that _toc.yml names, in its order."""
    toc = read_toc(root)
    chapters = [name for part in toc["parts"] for name in files_of(part["chapters"])]
    return [root / f"{name}.md" for name in [toc["root"], *chapters]]


def read_toc(root=ROOT):
    """Read _toc.yml."""
    return yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))


def read_parts(root=ROOT):
    """List the parts of _toc.yml that are read, which leaves out those looked things up in."""
    return [part for part in read_toc(root)["parts"] if part["caption"] not in LOOKED_UP]


def read_chapters(root=ROOT):
    """List the chapters of these parts."""
    return [chapter for part in read_parts(root) for chapter in part["chapters"]]


def core_pages(root=ROOT):
    """List the chapters of the parts that are read."""
    return [root / f"{chapter['file']}.md" for chapter in read_chapters(root)]


def deeper_pages(root=ROOT):
    """List the pages under these chapters."""
    chapters = read_chapters(root)
    below = [name for chapter in chapters for name in files_of(chapter.get("sections", []))]
    return [root / f"{name}.md" for name in below]


def files_of(entries):
    """Name the pages of entries of _toc.yml, each before those that hang under it.

    >>> list(files_of([{"file": "a", "sections": [{"file": "b"}]}, {"file": "c"}]))
    ['a', 'b', 'c']
    """
    for entry in entries:
        yield entry["file"]
        yield from files_of(entry.get("sections", []))


def page_name(page, root=ROOT):
    """Name a page as _toc.yml does."""
    return page.relative_to(root).with_suffix("").as_posix()


def notebook_pages(root=ROOT):
    """List the pages of _toc.yml that hold code cells."""
    return [page for page in toc_pages(root) if has_code_cells(page.read_text(encoding="utf-8"))]


def colab_cell(page, root=ROOT):
    """Return the cell that brings the library and the page's folder to a notebook on its own."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    url = config["repository"]["url"]
    folder = page.parent.relative_to(root).as_posix()
    source = COLAB_CELL.format(url=url, clone=url.rsplit("/", 1)[1], folder=folder)
    return nbformat.v4.new_code_cell(source, metadata={"tags": ["remove-cell"]})


def twin_text(page):
    """Convert one page, with cell ids that count up instead of random ones."""
    text = LIVE_FIGURE.sub(live_cell, page.read_text(encoding="utf-8"))
    notebook = jupytext.reads(text, fmt="md:myst")
    first_code = [cell.cell_type for cell in notebook.cells].index("code")
    notebook.cells.insert(first_code, colab_cell(page))
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def main():
    """Write every twin; remove those whose page is gone."""
    pages = notebook_pages()
    for page in pages:
        twin = page.with_suffix(".ipynb")
        twin.write_text(twin_text(page), encoding="utf-8", newline="\n")
    for stray in set((ROOT / "book").rglob("*.ipynb")) - {p.with_suffix(".ipynb") for p in pages}:
        if ".ipynb_checkpoints" not in stray.parts:
            stray.unlink()
            print(f"removed {stray.relative_to(ROOT)}")
    print(f"{len(pages)} notebooks written")


if __name__ == "__main__":
    main()
