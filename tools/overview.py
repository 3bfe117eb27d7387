"""Copy the figure that the README shows out of the built book.

Run by ``make figures``, after ``make book``. The figure is drawn by the page itself, so the README
shows what a reader finds there.
"""

import re
import shutil
from html import unescape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "_build" / "html" / "book" / "images" / "power-spectra.html"
LABEL = "fig-profile"
TARGET = ROOT / "book" / "_static" / "overview.png"


def find_figure(html, label):
    """Return the file name and the alt text of the picture in a labelled figure."""
    figure = re.search(rf'<figure[^>]* id="{label}">(.*?)</figure>', html, re.DOTALL)
    if figure is None:
        labels = re.findall(r'<figure[^>]* id="([^"]+)"', html)
        raise SystemExit(f"no figure {label} in {PAGE.name}; there are {', '.join(labels)}")
    picture = re.search(r"<img[^>]*>", figure.group(1)).group()
    return [unescape(re.search(rf'{name}="([^"]*)"', picture).group(1)) for name in ("src", "alt")]


def main():
    """Copy the picture and print what the README says of it to those who do not see it."""
    if not PAGE.exists():
        raise SystemExit("the book is not built: run `make book` first")
    source, alt = find_figure(PAGE.read_text(encoding="utf-8"), LABEL)
    shutil.copyfile(PAGE.parent / source, TARGET)
    print(f"alternative text: {alt}")


if __name__ == "__main__":
    main()
