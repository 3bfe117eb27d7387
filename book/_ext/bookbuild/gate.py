"""Make a build that looks finished, but is not, end with an error."""

import re
from pathlib import Path

from sphinx.errors import SphinxError

CODE_CELL = re.compile(r"^[ \t]*(?:`{3,}|~{3,}|:{3,})\{code-cell\}", re.MULTILINE)


def has_code_cells(text):
    r"""Tell whether the source of a page holds a code cell.

    >>> has_code_cells("# Title\n\n```{code-cell} ipython3\n1 + 1\n```\n")
    True
    >>> has_code_cells("Write `{code-cell}` for a cell.")
    False
    """
    return CODE_CELL.search(text) is not None


def require_executed_notebooks(app, exception):
    """Fail unless the pages of the table of contents that hold code are those that were executed.

    A page without the jupytext header is taken for plain text: its cells are shown, none runs,
    and Jupyter Book says nothing.
    """
    if exception is not None:
        return
    expected = {name for name in app.config.external_site_map if page_has_code(app, name)}
    executed = {
        name
        for name, page in getattr(app.env, "nb_metadata", {}).items()
        if page.get("exec_data", {}).get("succeeded")
    }
    if executed != expected:
        raise SphinxError(
            f"{len(expected)} pages hold code cells and {len(executed)} were executed. "
            f"Not executed: {sorted(expected - executed) or 'none'}; "
            f"executed without a code cell: {sorted(executed - expected) or 'none'}. "
            "A notebook page needs the jupytext header with `format_name: myst`."
        )


def page_has_code(app, docname):
    """Read a page's source and look for a code cell."""
    return has_code_cells(Path(app.env.doc2path(docname)).read_text(encoding="utf-8"))


def forget_environment_after_warnings(app, exception):
    """After a build with warnings, make the next one read every page again.

    Sphinx warns about a page when it reads or writes it and skips unchanged pages, so the second
    build would pass. Executed outputs stay in their cache: reading again is quick.
    """
    if exception is None and app._warncount:
        (Path(app.doctreedir) / "environment.pickle").unlink(missing_ok=True)
