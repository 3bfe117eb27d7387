"""MathJax in the built book, so that formulas are there without a network."""

import shutil
from importlib.resources import files
from pathlib import Path

from sphinx.errors import ExtensionError

PACKAGE = "sphinx-mathjax-offline"


def find_script(path):
    """Find the file that the setting ``mathjax_path`` names among those of the package."""
    try:
        script = files(PACKAGE) / "static" / path
    except ModuleNotFoundError as error:
        raise ExtensionError(
            f"The package {PACKAGE} brings MathJax to the book and is not installed: "
            "pip install -r requirements.txt"
        ) from error
    if not script.is_file():
        raise ExtensionError(f"The installed {PACKAGE} has no file static/{path}.")
    return script


def copy_script(app):
    """Copy the one file that pages load; as an extension the package would copy 24 MB.

    It is there before any page is written, because the address in the pages holds its checksum.
    """
    if app.builder.format != "html":
        return
    path = app.config.mathjax_path
    target = Path(app.outdir) / "_static" / path
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(find_script(path), target)
