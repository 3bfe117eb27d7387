"""Print the built book into one PDF, ``_build/pdf/freqsense.pdf``.

Run by ``make pdf``, after ``make book``. Chromium prints each page as it does on paper, with what
is folded open; here the pages are joined, and links between them lead from page to page. A title
page and a table of contents stand before them, numbers at their feet, bookmarks beside them.
"""

import argparse
import io
import re
from dataclasses import dataclass, field
from html import escape, unescape
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import yaml
from chromium import serve, start_chromium
from playwright.sync_api import sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, FloatObject, NameObject, NullObject, TextStringObject
from twins import ROOT, files_of, read_toc  # which also makes the build extension importable

import freqsense  # isort: skip
from bookbuild.latex import plain  # isort: skip

SITE = ROOT / "_build" / "html"
TARGET = ROOT / "_build" / "pdf" / "freqsense.pdf"
PAPER = {
    "format": "A4",
    "margin": {"top": "18mm", "bottom": "20mm", "left": "17mm", "right": "17mm"},
    "print_background": True,
    "scale": 0.85,
}
# What is folded, or not there until somebody scrolls; and a link to each place that is led to from
# elsewhere, without which Chromium does not note where it is. The book has one table of contents.
PREPARE = """async (anchors) => {
    await window.MathJax?.startup?.promise;
    dispatchEvent(new Event("beforeprint"));
    document.querySelector("#jb-print-toc")?.remove();
    const pictures = [...document.querySelectorAll("article img")];
    pictures.forEach(picture => (picture.loading = "eager"));
    await Promise.all(pictures.map(picture => picture.decode().catch(() => null)));
    for (const anchor of anchors) {
        const link = document.createElement("a");
        link.href = `#${anchor}`;
        link.hidden = true;
        document.body.append(link);
    }
}"""
STYLE = """
    body { font: 11pt/1.45 "DejaVu Sans", Arial, sans-serif; margin: 0 }
    h1 { font-size: 26pt; line-height: 1.2; margin: 70mm 0 8mm }
    .title { break-after: page }
    h2 { font-size: 13pt; margin: 6mm 0 2mm; break-after: avoid }
    p { margin: 0.8mm 0; display: flex; gap: 2mm }
    p span { flex: 1; border-bottom: 1px dotted #999 }
    p.deeper { padding-left: 6mm; font-size: 10pt }
    a { color: inherit; text-decoration: none }
"""


@dataclass
class Page:
    """A page of the book and where it stands: ``depth`` 0 the landing page, 1 core, 2 deeper."""

    name: str
    part: str
    depth: int
    title: str = ""
    pdf: PdfReader | None = None
    first: int = 0  # among the sheets of the whole
    sections: dict = field(default_factory=dict)  # their titles by their anchors
    anchors: set = field(default_factory=set)  # where links and bookmarks lead to


def list_pages(root=ROOT):
    """List the pages in the order of _toc.yml."""
    toc = read_toc(root)
    pages = [Page(toc["root"], "", 0)]
    for part in toc["parts"]:
        for chapter in part["chapters"]:
            names = list(files_of([chapter]))
            pages.append(Page(names[0], part["caption"], 1))
            pages += [Page(name, part["caption"], 2) for name in names[1:]]
    return pages


def read_html(page, site):
    """Read a built page, which must be there."""
    path = site / f"{page.name}.html"
    if not path.exists():
        raise SystemExit(f"{page.name} is not built: run `make book` first")
    return path.read_text(encoding="utf-8")


def find_links(pages, site):
    """Read the titles of pages, and the places on each of them that something leads to."""
    by_name = {page.name: page for page in pages}
    for page in pages:
        html = read_html(page, site)
        page.title, page.sections = read_titles(html[html.index("<article") :])
        page.anchors |= set(page.sections)
        for link in re.findall(r'<a [^>]*href="([^"#]+\.html#[^"]+)"', html):
            address, anchor = urldefrag(urljoin(f"/{page.name}.html", unescape(link)))
            target = by_name.get(unquote(address[1:]).removesuffix(".html"))
            if target is not None:
                target.anchors.add(unquote(anchor))


def read_titles(article):
    r"""Read the title of a page, and those of its sections by their anchors.

    >>> read_titles('<h1>1. Waves</h1><section id="a-b"><h2>A \\(b\\)</h2>')
    ('1. Waves', {'a-b': 'A b'})
    """
    title = re.search(r"<h1[^>]*>(.*?)</h1>", article, re.S)[1]
    found = re.findall(r'<section[^>]* id="([^"]+)">\s*(?:<span id.*?>\s*)?<h2>(.*?)</h2>', article)
    return bare(title), {anchor: bare(text) for anchor, text in found}


def bare(html):
    """Write a title as plain text."""
    text = re.sub(r'<a class="headerlink".*?</a>|<[^>]+>', "", html, flags=re.S)
    return " ".join(re.sub(r"\\\((.*?)\\\)", lambda m: plain(m[1]), unescape(text)).split())


def print_page(browser, address, page):
    """Let Chromium print one page."""
    tab = browser.new_page(viewport={"width": 1000, "height": 1400}, color_scheme="light")
    tab.set_default_timeout(120_000)
    tab.goto(f"{address}{page.name}.html", wait_until="load")
    tab.emulate_media(media="print", color_scheme="light")
    tab.evaluate(PREPARE, sorted(page.anchors))
    page.pdf = PdfReader(io.BytesIO(tab.pdf(**PAPER)))
    tab.close()


def print_html(browser, html):
    """Let Chromium print what is written here."""
    tab = browser.new_page()
    tab.set_content(html)
    printed = PdfReader(io.BytesIO(tab.pdf(**PAPER | {"scale": 1})))
    tab.close()
    return printed


def front_html(title, author, version, pages, address):
    """Write the title page and the table of contents."""
    lines, part = [], None
    for page in pages:
        if page.part != part:
            part = page.part
            lines.append(f"<h2>{escape(part)}</h2>")
        link = f'<a href="{address}{page.name}.html">{escape(page.title)}</a>'
        kind = "deeper" if page.depth > 1 else "chapter"
        lines.append(f'<p class="{kind}">{link}<span></span>{page.first + 1}</p>')
    return (
        f'<!doctype html><html lang="en"><style>{STYLE}</style>'
        f'<div class="title"><h1>{escape(title)}</h1><p>{escape(author)}</p>'
        f"<p>Version {version}</p></div><h2>Contents</h2>{''.join(lines)}</html>"
    )


def number_sheets(pages, n_front):
    """Say on which sheet each page begins."""
    first = n_front
    for page in pages:
        page.first = first
        first += len(page.pdf.pages)
    return first


def print_front(browser, about, pages, address):
    """Print the front matter, whose own length moves the numbers in it."""
    number_sheets(pages, 0)
    front = print_html(browser, front_html(*about, pages, address))
    number_sheets(pages, len(front.pages))
    return print_html(browser, front_html(*about, pages, address))


def print_numbers(browser, pages, n_front, n_sheets):
    """Print sheets with nothing on them but number and title, to be laid over the others."""
    style = (
        "body { margin: 0 } div { break-after: page; height: 296mm; position: relative }"
        ' p { position: absolute; bottom: 9mm; left: 17mm; right: 17mm; font: 8pt "DejaVu Sans",'
        " Arial, sans-serif; color: #555; display: flex; justify-content: space-between }"
    )
    titles = {}
    for page in pages:
        titles |= dict.fromkeys(range(page.first, page.first + len(page.pdf.pages)), page.title)
    feet = "".join(
        f"<div><p><span>{escape(titles.get(sheet, ''))}</span><span>{sheet + 1}</span></p></div>"
        for sheet in range(n_front, n_sheets)
    )
    tab = browser.new_page()
    tab.set_content(f'<!doctype html><html lang="en"><style>{style}</style>{feet}</html>')
    printed = PdfReader(io.BytesIO(tab.pdf(format="A4", margin={})))
    tab.close()
    return printed


class Places:
    """Where the places that links name are in the whole."""

    def __init__(self, writer, pages, address, published):
        self.writer, self.address, self.published = writer, address, published
        self.found = {}
        for page in pages:
            self.found[page.name, ""] = page.first, None
            for anchor, place in page.pdf.named_destinations.items():
                sheet = page.pdf.get_destination_page_number(place)
                self.found[page.name, anchor.removeprefix("/")] = page.first + sheet, place.top

    def sheet(self, name, anchor):
        """Return the number of the sheet on which a place is; a lost one is where its page is."""
        return (self.found.get((name, anchor)) or self.found[name, ""])[0]

    def array(self, name, anchor):
        """Return a place as PDF writes it, or None for a page that is not there."""
        place = self.found.get((name, anchor)) or self.found.get((name, ""))
        if place is None:
            return None
        sheet, top = place
        where = [NameObject("/Fit")]
        if top is not None:
            where = [NameObject("/XYZ"), NullObject(), FloatObject(top), NullObject()]
        return ArrayObject([self.writer.pages[sheet].indirect_reference, *where])

    def mend(self, link, name):
        """Let a link on a page lead to a place in the whole, if it is one within the book."""
        action = link.get("/A", {})
        uri, anchor = action.get("/URI"), link.get("/Dest", action.get("/D"))
        if uri is not None and uri.startswith(self.address):
            path, anchor = urldefrag(uri.removeprefix(self.address))
            place = self.array(unquote(path).removesuffix(".html"), unquote(anchor))
            if place is None:
                action[NameObject("/URI")] = TextStringObject(
                    uri.replace(self.address, self.published)
                )
                return
        elif uri is None and anchor is not None:
            place = self.array(name, unquote(anchor.removeprefix("/")))
        else:
            return
        link.pop("/A", None)
        link[NameObject("/Dest")] = place


def add_bookmarks(writer, pages, places):
    """Add a bookmark for each part, page and section."""
    part, above = None, {}
    for page in pages:
        if page.part != part:
            part = page.part
            above = {1: writer.add_outline_item(title=part, page_number=page.first)}
        mark = writer.add_outline_item(
            title=page.title, page_number=page.first, parent=above.get(page.depth)
        )
        above[page.depth + 1] = mark
        for anchor, title in page.sections.items():
            sheet = places.sheet(page.name, anchor)
            writer.add_outline_item(title=title, page_number=sheet, parent=mark)


def join(front, pages, numbers, address, published):
    """Join everything into one document."""
    writer = PdfWriter()
    names = [None] * len(front.pages)
    for sheet in front.pages:
        writer.add_page(sheet)
    for page in pages:
        for sheet in page.pdf.pages:
            writer.add_page(sheet)
            names.append(page.name)
    places = Places(writer, pages, address, published)
    for sheet, name in zip(writer.pages, names, strict=True):
        for link in sheet.get("/Annots", ()):
            if link.get_object().get("/Subtype") == "/Link":
                places.mend(link.get_object(), name)
    for sheet, number in zip(writer.pages[len(front.pages) :], numbers.pages, strict=True):
        sheet.merge_page(number)
        sheet.compress_content_streams()
    add_bookmarks(writer, pages, places)
    return writer


def print_book(pages, target, site=SITE):
    """Print pages and join them."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    about = config["title"], config["author"], freqsense.__version__
    find_links(pages, site)
    with serve(site) as address, sync_playwright() as playwright:
        with start_chromium(playwright) as browser:
            for number, page in enumerate(pages, 1):
                print_page(browser, address, page)
                print(f"{number:3} of {len(pages)}: {page.name}", flush=True)
            front = print_front(browser, about, pages, address)
            n_sheets = number_sheets(pages, len(front.pages))
            numbers = print_numbers(browser, pages, len(front.pages), n_sheets)
    writer = join(front, pages, numbers, address, config["html"]["baseurl"])
    writer.add_metadata({"/Title": about[0], "/Author": about[1]})
    target.parent.mkdir(parents=True, exist_ok=True)
    writer.write(target)
    print(f"{target}: {n_sheets} pages, {target.stat().st_size / 1e6:.0f} MB")


def main():
    """Print the pages named, or all of them."""
    parser = argparse.ArgumentParser(description="Print the built book into one PDF.")
    parser.add_argument("pages", nargs="*", help="as _toc.yml names them; without any, all")
    parser.add_argument("--output", type=Path, default=TARGET)
    asked = parser.parse_args()
    pages = list_pages()
    if unknown := set(asked.pages) - {page.name for page in pages}:
        raise SystemExit(f"_toc.yml has no {', '.join(sorted(unknown))}")
    print_book(
        [page for page in pages if not asked.pages or page.name in asked.pages], asked.output
    )


if __name__ == "__main__":
    main()
