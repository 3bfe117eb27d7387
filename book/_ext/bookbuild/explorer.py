"""``{explorer}``: a live figure; the build draws it first, a script in the page draws it anew."""

import shutil
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

# Beside this file and not in _static, where Jupyter Book loads each script on every page.
FILES = Path(__file__).parent / "explorers"
STYLE, SCRIPTS = "explorers.css", ("formulas.js", "explorers.js")


def read_start(text):
    """Read values of sliders from an option.

    >>> read_start("alpha=2, depth=3")
    {'alpha': 2.0, 'depth': 3.0}
    """
    pairs = (part.split("=") for part in text.split(","))
    return {name.strip(): float(value) for name, value in pairs}


class ExplorerDirective(SphinxDirective):
    """``{explorer} NAME``: its body is the caption, ``start`` the values its sliders start at."""

    required_arguments = 1
    option_spec = {"name": directives.unchanged_required, "start": read_start}
    has_content = True

    def run(self):
        """Return a figure, numbered as the others are."""
        # Only a page with a live figure waits for the library.
        from .explorers import EXPLORERS

        (name,) = self.arguments
        if name not in EXPLORERS:
            raise self.error(f"no explorer {name!r}; there are {', '.join(EXPLORERS)}")
        try:
            picture = EXPLORERS[name].html(name, self.options.get("start", {}))
        except ValueError as error:
            raise self.error(str(error)) from error
        figure = nodes.figure("", nodes.raw("", picture, format="html"), self.caption())
        figure["classes"].append("live-figure")
        self.set_source_info(figure)
        self.add_name(figure)
        for path in FILES.glob("*.*"):
            self.env.note_dependency(str(path))
        return [figure]

    def caption(self):
        """Return the body, one paragraph, as the caption."""
        self.assert_has_content()
        body = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, body)
        if len(body) != 1 or not isinstance(body[0], nodes.paragraph):
            raise self.error("the caption of an explorer must be one paragraph")
        caption = nodes.caption("", "", *body[0].children)
        self.set_source_info(caption)
        return caption


def copy_files(app):
    """Copy what the pages load; the address of a script holds its checksum, so before any page."""
    if app.builder.format == "html":
        target = Path(app.outdir) / "_static" / FILES.name
        target.mkdir(parents=True, exist_ok=True)
        for name in (STYLE, *SCRIPTS):
            shutil.copyfile(FILES / name, target / name)


def load_files(app, pagename, templatename, context, doctree):
    """Ask for style and scripts on a page that has a live figure, and on no other."""
    figures = doctree.findall(nodes.figure) if doctree else ()
    if any("live-figure" in figure["classes"] for figure in figures):
        app.add_css_file(f"{FILES.name}/{STYLE}")
        for name in SCRIPTS:
            app.add_js_file(f"{FILES.name}/{name}", loading_method="defer")
