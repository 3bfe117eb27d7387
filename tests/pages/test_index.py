"""The landing page: no code is shown, and the network of its slider is that of the next page."""

import re

from sources import BOOK, directives, read

HIDDEN = {"remove-cell", "remove-input"}
BUILD = re.compile(r"nn\.Sequential\((.*?)\n *\)\n", re.DOTALL)


def cells(page):
    return [d for d in directives(read(page)) if d.name == "code-cell"]


def test_the_landing_page_shows_a_slider_and_no_code():
    found = cells(BOOK / "index.md")
    assert all(HIDDEN & set(re.findall(r"[\w-]+", str(cell.options["tags"]))) for cell in found)
    assert "notebook.explore(" in found[1].body


def test_the_network_of_the_slider_is_built_and_trained_as_on_the_next_page():
    pages = BOOK / "index.md", BOOK / "start" / "listening.md"
    layers, settings = [], []
    for page in pages:
        text = read(page)
        layers.append(re.sub(r"\s+", "", BUILD.search(text).group(1)))
        values = {"lr=0.007", "epochs=9", "batch_size=100", 'optimizer="adam"'}
        settings.append({value for value in values if value in text})
    assert layers[0] == layers[1]
    assert settings[0] == settings[1] == values
