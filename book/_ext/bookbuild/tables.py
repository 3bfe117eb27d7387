"""Tables that the build writes."""

from docutils import nodes


def build_table(head, rows):
    """Return a table with one row of titles."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in head), cols=len(head))
    group += nodes.thead("", build_row(head))
    group += nodes.tbody("", *map(build_row, rows))
    return nodes.table("", group)


def build_link(app, docname, page):
    """Return a link from one page to another, by its title."""
    link = nodes.reference("", app.env.titles[page].astext(), internal=True)
    link["refuri"] = app.builder.get_relative_uri(docname, page)
    return link


def build_row(cells):
    """Return a row; a cell is text or a node."""
    return nodes.row("", *(nodes.entry("", as_paragraph(cell)) for cell in cells))


def as_paragraph(cell):
    """Wrap the content of a cell."""
    return nodes.paragraph("", "", nodes.Text(cell) if isinstance(cell, str) else cell)
