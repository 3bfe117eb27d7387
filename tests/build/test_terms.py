"""Terms of the glossary become links, in a small book of Sphinx's own."""

import re

import pytest
from bookbuild import latex
from sources import BOOK, read
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

CONF = """\
from bookbuild import terms
extensions = ["myst_parser"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
html_theme = "basic"

def setup(app):
    app.connect("env-updated", terms.collect_terms)
    app.connect("doctree-resolved", terms.link_terms)
"""
GLOSSARY = """\
# Glossary

```{glossary}
power
  The modulus of a coefficient, $|\\hat x(\\omega)|^2$ ({ref}`a place <index>`); see {term}`wave`. A
  power is never negative.

power spectrum
  Power as a function of frequency.

wave
  A periodic image.

following
  Said of sensitivity.

fast transform (FFT)
  A way.

kernel
  The weights of a convolution.

teacher
  The map that makes the labels.
```
"""


class Site:
    def __init__(self, root):
        self.root = root
        (root / "conf.py").write_text(CONF)
        self.write("index", "(index)=\n# Index\n\n```{toctree}\npage\nglossary\n```\n")
        self.write("glossary", GLOSSARY)

    def write(self, name, text):
        (self.root / f"{name}.md").write_text(text, encoding="utf-8")

    def build(self, page=None):
        """Build the site with a page, and return the links to the glossary on that page."""
        if page is not None:
            self.write("page", f"# Waves\n\n{page}\n")
        out = self.root / "_build"
        with patch_docutils(self.root), docutils_namespace():
            app = Sphinx(self.root, self.root, out, out / "doctrees", "html", status=None)
            app.build()
        html = (out / "page.html").read_text("utf-8")
        return re.findall(r'<a class="[^"]*term-link[^"]*" href="glossary.html#([^"]+)"', html)

    def html(self, name="page"):
        return (self.root / "_build" / f"{name}.html").read_text("utf-8")


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_the_first_use_of_a_term_is_a_link_that_says_what_it_means(site):
    assert site.build("Waves have power.\n\nWaves have power.") == ["term-wave", "term-power"]
    assert 'title="A periodic image."' in site.html()
    assert 'title="The modulus of a coefficient, |x̂(ω)|²; see wave."' in site.html()


def test_the_longest_term_wins_across_lines_and_in_the_plural(site):
    assert site.build("Of the power\nspectra one is white.") == ["term-power-spectrum"]
    assert site.build("By FFT, by a fast transform.") == ["term-fast-transform-FFT"]


def test_lists_and_quotations_have_links_too(site):
    assert site.build("- a wave\n\n> *Power* counts.") == ["term-wave", "term-power"]


@pytest.mark.parametrize(
    "page",
    [
        "## A wave",
        "`wave`",
        "$wave$",
        "[a wave](https://example.org)",
        "```python\nwave\n```",
        "A **wave** is what we call a wave.",
        "The following holds.",
        "Raised to the power 3, which is no power of two, of whatever powers.",
        "Restart the kernel, and ask your teacher. Your teacher knows.",
        "A wave-like wavelet, a microwave, file.wave",
        ":::{admonition} A wave\nNone.\n:::",
    ],
)
def test_nothing_else_is_linked(site, page):
    assert site.build(page) == []


def test_a_page_that_defines_a_term_links_it_elsewhere(site):
    assert site.build("A **wave** is a wave.\n\nOne wave, two waves.") == ["term-wave"]


def test_a_link_by_hand_is_the_first(site):
    assert site.build("A {term}`wave`.\n\nA wave.") == ["term-wave"]
    assert "A periodic image." in site.html()


def test_a_new_meaning_reaches_pages_that_did_not_change(site):
    site.build("A wave.")
    site.write("glossary", GLOSSARY.replace("A periodic image", "An image with a period"))
    site.build()
    assert 'title="An image with a period."' in site.html()


def test_the_glossary_has_no_link_to_itself_but_its_own(site):
    site.build("Nothing.")
    assert "term-link" not in site.html("glossary")


def test_no_formula_of_the_glossary_keeps_a_command():
    formulas = re.findall(r"\$([^$]+)\$", read(BOOK / "reference" / "glossary.md"))
    assert len(formulas) > 20
    assert [each for each in map(latex.plain, formulas) if re.search(r"[\\{}]", each)] == []
