"""Write slides for each core page of the built book into ``_build/slides``.

Run by ``make slides``, after ``make book``. A deck is made from what its page holds: the message,
the figures, what is defined and proved, the checks and the exercises. reveal.js, MathJax and the
pictures lie beside the decks, so that the folder works without a network, opened as files.
"""

import argparse
import shutil
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace

import jinja2
from deck import read_deck
from pdf import read_html, read_titles
from quizzes import read_yaml
from twins import ROOT, files_of, read_parts

TEMPLATES = Path(__file__).parent / "templates"
FONT = "theme/fonts/source-sans-pro"
# What is taken of the package, by where it comes to lie.
REVEAL = {
    "LICENSE": "LICENSE",
    "notes.js": "plugin/notes/notes.js",
    "zoom.js": "plugin/zoom/zoom.js",
    **{name: f"dist/{name}" for name in ("reset.css", "reveal.css", "reveal.js")},
    "theme/white.css": "dist/theme/white.css",
    FONT: f"dist/{FONT}",
}


def read_decks(root, site):
    """Make a deck of every core page, in the order of the book."""
    if not (site / "index.html").exists():
        raise SystemExit(f"{site} holds no built book: run `make book` first")
    address = read_yaml(root / "_config.yml")["html"]["baseurl"]
    decks = []
    for part in read_parts(root):
        for chapter in part["chapters"]:
            name, *deeper = files_of([chapter])
            deck = read_deck(name, read_built(name, site))
            deck.part, deck.address = part["caption"], f"{address}{name}.html"
            deck.file = name.removeprefix("book/").replace("/", "-") + ".html"
            deck.folder = (site / name).parent
            deck.deeper = [read_titles(read_built(each, site))[0] for each in deeper]
            decks.append(deck)
    return decks


def read_built(name, site):
    """Read a built page."""
    return read_html(SimpleNamespace(name=name), site)


def write_decks(root, site, into):
    """Write the decks, a page that lists them, and what they load."""
    decks = read_decks(root, site)
    config = read_yaml(root / "_config.yml")
    book = SimpleNamespace(
        title=config["title"], author=config["author"], licence=config["html"]["extra_footer"]
    )
    loader = jinja2.FileSystemLoader(TEMPLATES)
    templates = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    parts = {part: list(those) for part, those in groupby(decks, lambda deck: deck.part)}
    pages = {"index.html": templates.get_template("decks.html").render(book=book, parts=parts)}
    for deck in decks:
        pages[deck.file] = templates.get_template("deck.html").render(book=book, deck=deck)
    copy_shared(site, into / "shared")
    copy_pictures(decks, into / "figures")
    for name, html in pages.items():
        (into / name).write_text(html, encoding="utf-8")
    return decks


def copy_shared(site, into):
    """Copy what every deck loads."""
    reveal = files("sphinx_revealjs") / "_static" / "revealjs"
    sources = {f"reveal/{name}": reveal / path for name, path in REVEAL.items()}
    sources |= {name: site / "_static" / name for name in ("mathjax", "explorers")}
    sources |= {name: TEMPLATES / name for name in ("slides.css", "slides.js")}
    for name, source in sources.items():
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, target)


def copy_pictures(decks, into):
    """Copy the pictures of all decks."""
    into.mkdir(parents=True, exist_ok=True)
    for picture in {deck.folder / source for deck in decks for source in deck.pictures}:
        shutil.copyfile(picture, into / picture.name)


def main(arguments=None):
    """Write the slides and say where they are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder of the book")
    parser.add_argument("--into", type=Path, help="default: _build/slides in it")
    given = parser.parse_args(arguments)
    into = given.into or given.root / "_build" / "slides"
    decks = write_decks(given.root, given.root / "_build" / "html", into)
    print(f"{len(decks)} decks: {into / 'index.html'}")


if __name__ == "__main__":
    main()
