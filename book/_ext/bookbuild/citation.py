"""How a page is cited, at its foot, and the version of the book, in the footer."""

from functools import cache
from html import escape
from pathlib import Path

from docutils import nodes
from pybtex.database import parse_file

import freqsense

from .latex import spoken
from .metatags import address_of

# The paper that the book teaches.
PAPER = "2210.01257"
ADDRESS = "https://arxiv.org/abs/"
BLOCK = """\
<details class="cite-page">
<summary>Cite this page</summary>
<p>{plain}</p>
{bibtex}
</details>
"""
PAGE = """\
@incollection{{{key},
  author    = {{{{{author}}}}},
  title     = {{{{{title}}}}},
  booktitle = {{{{{book}}}}},
  year      = {{{year}}},
  note      = {{Version {version}}},
  url       = {{{address}}}
}}
"""
# The landing page stands for the book.
BOOK = """\
@book{{freqsense,
  author = {{{{{author}}}}},
  title  = {{{{{book}}}}},
  year   = {{{year}}},
  note   = {{Version {version}}},
  url    = {{{address}}}
}}
"""


def add_version(app, config):
    """Say in the footer which version of the book and its library this is."""
    options = config.html_theme_options
    options["extra_footer"] = f"{options.get('extra_footer', '')} Version {freqsense.__version__}."


def add_citation(app, pagename, templatename, context, doctree):
    """Write the block to the foot of a page that an author wrote."""
    if doctree is None or not app.config.html_baseurl:
        return
    title = app.env.titles[pagename]
    facts = {
        "author": app.config.author,
        "book": app.config.html_title,
        "year": app.config.copyright,
        "version": freqsense.__version__,
        "address": address_of(app, pagename),
    }
    entry = BOOK if pagename == app.config.root_doc else PAGE
    entry = entry.format(key=key_of(pagename), title=in_latex(title), **facts)
    bibtex = entry + paper(Path(app.srcdir) / app.config.bibtex_bibfiles[0])
    context["body"] += BLOCK.format(
        plain=sentence(title=spoken(title), **facts),
        bibtex=app.builder.highlighter.highlight_block(bibtex, "bibtex"),
    )


def sentence(author, title, book, year, version, address):
    """Cite a page in words; the landing page is the book."""
    part = "" if title == book else f"{escape(title)}. In: "
    return (
        f"{escape(author)} ({year}). {part}<em>{escape(book)}</em>, version {version}. "
        f'<a class="reference external" href="{address}">{address}</a>. The paper that the book '
        f'teaches: <a class="reference external" href="{ADDRESS}{PAPER}">arXiv:{PAPER}</a>.'
    )


def key_of(pagename):
    """The key of a page in a bibliography.

    >>> key_of("book/images/waves")
    'freqsense-images-waves'
    """
    return "-".join(["freqsense", *pagename.split("/")[1:]])


def in_latex(title):
    """Write a title with its formulas as LaTeX reads them."""
    return "".join(
        f"${each.astext()}$" if isinstance(each, nodes.math) else spoken(each)
        for each in title.children
    )


@cache
def paper(path):
    """The entry of the paper, as the book's bibliography has it."""
    entries = parse_file(path, "bibtex").entries.values()
    found = [entry for entry in entries if entry.fields.get("eprint") == PAPER]
    return "".join("\n" + entry.to_string("bibtex") for entry in found)
