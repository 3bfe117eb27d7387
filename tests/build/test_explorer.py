"""The directive of live figures, in a small project, and the figures' own refusals."""

import json
import re

import pytest
from bookbuild import explorer
from bookbuild.explorers import EXPLORERS
from bookbuild.explorers.panels import Axis, number
from sources import PAGES, directives, read
from sphinx.application import Sphinx
from twins import page_name, twin_text

from freqsense import notebook

PAGE = """\
# A page

See {numref}`fig-live`.

```{explorer} theorem
:name: fig-live
:start: alpha=1, depth=2

Power and *sensitivity*.
```
"""


def add_directive(app):
    app.add_directive("explorer", explorer.ExplorerDirective, override=True)
    app.connect("builder-inited", explorer.copy_files)
    app.connect("html-page-context", explorer.load_files)


@pytest.fixture
def build(tmp_path):
    """Build a project of one page and a plain one; return its folder and its warnings."""

    def build_page(page):
        (tmp_path / "index.md").write_text("# Plain\n\n```{toctree}\npage\n```\n", "utf-8")
        (tmp_path / "page.md").write_text(page, "utf-8")
        out, warnings = tmp_path / "out", (tmp_path / "warnings.txt").open("w+", encoding="utf-8")
        settings = {"extensions": "myst_parser", "numfig": True, "html_theme": "basic"}
        app = Sphinx(
            tmp_path, None, out, tmp_path / "doctrees", "html", confoverrides=settings,
            status=None, warning=warnings,
        )  # fmt: skip
        add_directive(app)
        app.events.emit("builder-inited")
        app.build()
        warnings.seek(0)
        return out, warnings.read()

    return build_page


def test_a_live_figure_is_numbered_and_its_page_alone_loads_the_scripts(build):
    out, warnings = build(PAGE)
    assert warnings == ""
    page, plain = ((out / f"{name}.html").read_text("utf-8") for name in ("page", "index"))
    assert re.search(r"<figure[^>]* id=\"fig-live\">\s*<div class=\"freqsense-explorer\"", page)
    assert 'href="#fig-live"><span class="std std-numref">Fig. 1</span>' in page
    assert "Power and <em>sensitivity</em>." in page[page.index("<figcaption>") :]
    assert 'name="alpha"' in page and 'value="1"' in page and "Depth 2, λ = 1, α = 1" in page
    loaded = re.findall(r'<script defer="defer" src="_static/explorers/([\w.]+)', page)
    assert tuple(loaded) == explorer.SCRIPTS
    assert "explorers" not in plain
    for name in (explorer.STYLE, *explorer.SCRIPTS):
        built = out / "_static" / "explorers" / name
        assert built.read_bytes() == (explorer.FILES / name).read_bytes()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("} theorem", "} theorme", "no explorer 'theorme'; there are "),
        ("alpha=1", "beta=1", "theorem has no slider 'beta'"),
        ("alpha=1", "alpha=9", "alpha = 9 is beyond the ends of its slider"),
        ("alpha=1", "alpha", "start"),
        ("Power and", "Power\n\nand", "must be one paragraph"),
        ("Power and *sensitivity*.\n", "", "Content block expected"),
    ],
)
def test_a_wrong_explorer_warns_on_its_page(build, old, new, message):
    assert old in PAGE
    _, warnings = build(PAGE.replace(old, new))
    assert "page.md:5" in warnings and message in warnings


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_live_figures_of_a_page_have_a_number_a_caption_and_a_cell_in_its_twin(page):
    found = [d for d in directives(read(page)) if d.name == "explorer"]
    for d in found:
        assert d.options.get("name") and d.body.strip(), f"line {d.line}"
    if found:
        cells = json.loads(twin_text(page))["cells"]
        sources = ["".join(cell["source"]) for cell in cells]
        assert "{explorer}" not in "".join(sources)
        lines = [source.splitlines()[-1] for source in sources if "notebook.explorer(" in source]
        starts = [f", {d.options['start']}" if "start" in d.options else "" for d in found]
        pairs = zip(found, starts, strict=True)
        assert lines == [f'notebook.explorer("{d.argument}"{start})' for d, start in pairs]


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_the_cell_of_a_live_figure_starts_where_the_page_does(page):
    for d in (d for d in directives(read(page)) if d.name == "explorer"):
        start = explorer.read_start(d.options["start"]) if "start" in d.options else {}
        *sliders, _ = notebook.explorer(d.argument, **start).children
        controls = {c.name: c.start for c in EXPLORERS[d.argument].controls} | start
        assert [slider.value for slider in sliders] == pytest.approx(list(controls.values()))


@pytest.mark.parametrize("name", EXPLORERS)
def test_a_figure_without_the_script_says_what_it_shows(name):
    picture = EXPLORERS[name].html(name, {})
    (sentence,) = re.findall(r'aria-live="polite">([^<]+)</p>', picture)
    assert len(re.findall(r"\d", sentence)) >= 3, "a sentence without numbers"
    drawn = " ".join([sentence, *re.findall(r' d="([^"]*)"', picture)])
    assert not re.search(r"\b(nan|inf)\b", drawn)


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.5, "2.5"), (-0.125, "−0.125"), (12345.0, "12,300"), (0.00012344, "0.000123"), (0.0, "0")],
)
def test_numbers_have_three_digits_and_a_true_minus(value, text):
    assert number(value) == text


def test_an_axis_keeps_what_lies_beyond_it_at_its_ends():
    axis = Axis("", 0.1, 10, {}, log=True)
    assert [axis.place(v) for v in (0, 0.1, 1, 10, 99)] == [0, 0, 0.5, 1, 1]
