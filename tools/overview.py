"""Copy the figures that the README shows out of the built book.

Run by ``make figures``, after ``make book``. Each figure is drawn by the page itself, so the README
shows what a reader finds there.
"""

import re
import shutil
from html import unescape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / "_build" / "html" / "book"
STATIC = ROOT / "book" / "_static"
# Page, label of its figure, and the name of the copy.
FIGURES = (
    ("images/power-spectra", "fig-profile", "overview.png"),
    ("experiments/verdict", "fig-verdict", "verdict.png"),
)


def find_figure(html, label):
    """Return the file name and the alt text of the picture in a labelled figure."""
    figure = re.search(rf'<figure[^>]* id="{label}">(.*?)</figure>', html, re.DOTALL)
    if figure is None:
        labels = re.findall(r'<figure[^>]* id="([^"]+)"', html)
        raise SystemExit(f"no figure {label} there; there are {', '.join(labels)}")
    picture = re.search(r"<img[^>]*>", figure.group(1)).group()
    return [unescape(re.search(rf'{name}="([^"]*)"', picture).group(1)) for name in ("src", "alt")]


def main():
    """Copy the pictures and print what the README says of them to those who do not see them."""
    for name, label, target in FIGURES:
        page = BUILT / f"{name}.html"
        if not page.exists():
            raise SystemExit("the book is not built: run `make book` first")
        source, alt = find_figure(page.read_text(encoding="utf-8"), label)
        shutil.copyfile(page.parent / source, STATIC / target)
        print(f"{target}, alternative text: {alt}")


if __name__ == "__main__":
    main()
