"""How the pages are written: code as ruff formats it, words, terms, numbers."""

import re

import format_pages
import pytest
from bookbuild.gate import CODE_CELL
from sources import NOTEBOOKS, read
from twins import page_name

each_notebook = pytest.mark.parametrize("page", NOTEBOOKS, ids=page_name)


# Code


@each_notebook
def test_code_cells_are_formatted(page):
    text = read(page)
    assert len(format_pages.read_cells(text)) == len(CODE_CELL.findall(text))
    assert format_pages.format_text(text) == text, "run `make format`"


PAGE = """\
# Title

```{code-cell} ipython3
---
tags: [hide-input]
---
%matplotlib inline
x=[1,
   2]
```

```python
shown = [ 1 ]
```

````{code-cell} ipython3
:tags: [remove-cell]
f( x );
````
"""
FORMATTED = PAGE.replace("x=[1,\n   2]", "x = [1, 2]").replace("f( x );", "f(x);")


def test_formatting_changes_cells_alone_and_is_done_once(tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    monkeypatch.setattr("sys.argv", ["format_pages.py", str(page)])
    format_pages.main()
    assert page.read_text() == FORMATTED
    assert capsys.readouterr().out == f"formatted {page}\n"
    format_pages.main()
    assert capsys.readouterr().out == ""


def test_a_cell_that_is_no_python_stops_formatting_and_is_named(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(PAGE.replace("x=[1,", "x=[1,,"))
    monkeypatch.setattr("sys.argv", ["format_pages.py", str(page)])
    with pytest.raises(SystemExit, match="page.md: .*"):
        format_pages.main()


def test_lines_of_a_cell_are_short(tmp_path):
    (cell,) = format_pages.format_cells([f"call({', '.join(['argument'] * 12)})"])
    assert max(map(len, cell.splitlines())) <= format_pages.LINE_LENGTH
    assert re.search(r"^    argument,$", cell, re.M)
