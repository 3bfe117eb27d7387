"""The parts of the build extension, without a build; tests/build/test_build_gates.py builds."""

from types import SimpleNamespace

import pytest
from bookbuild import mathjax
from bookbuild.contents import survey
from bookbuild.freshness import fingerprint
from bookbuild.gate import has_code_cells
from bookbuild.names import link_names
from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx_proof.nodes import proof_node


@pytest.fixture
def root(tmp_path):
    (tmp_path / "lib" / "pkg").mkdir(parents=True)
    (tmp_path / "lib" / "pkg" / "a.py").write_bytes(b"A = 1\nB = 2\n")
    (tmp_path / "requirements.txt").write_bytes(b"one==1\n")
    return tmp_path


def test_the_fingerprint_sees_contents_names_and_the_lock(root):
    seen = {fingerprint(root)}
    (root / "lib" / "pkg" / "a.py").write_bytes(b"A = 1\nB = 3\n")
    seen.add(fingerprint(root))
    (root / "lib" / "pkg" / "a.py").rename(root / "lib" / "pkg" / "b.py")
    seen.add(fingerprint(root))
    (root / "requirements.txt").write_bytes(b"one==2\n")
    seen.add(fingerprint(root))
    (root / "lib" / "pkg" / "photographs.json").write_bytes(b"{}")
    seen.add(fingerprint(root))
    assert len(seen) == 5


def test_the_fingerprint_overlooks_line_endings_and_what_python_writes(root):
    before = fingerprint(root)
    (root / "lib" / "pkg" / "a.py").write_bytes(b"A = 1\r\nB = 2\r\n")
    (root / "lib" / "pkg" / "__pycache__").mkdir()
    (root / "lib" / "pkg" / "__pycache__" / "a.pyc").write_bytes(b"\0")
    (root / "lib" / "pkg.egg-info").mkdir()
    (root / "lib" / "pkg.egg-info" / "PKG-INFO").write_bytes(b"x")
    assert fingerprint(root) == before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```{code-cell} ipython3\n1\n```", True),
        ("````{code-cell}\n1\n````", True),
        ("  ```{code-cell} ipython3\n  1\n  ```", True),
        (":::{code-cell} ipython3\n1\n:::", True),
        ("```python\n1\n```", False),
        ("A `{code-cell}` holds code.", False),
    ],
)
def test_code_cells_are_recognised_in_every_spelling(text, expected):
    assert has_code_cells(text) is expected


def page_of(*children):
    document = nodes.section()
    document.extend(children)
    return document


def reading_minutes(*children):
    return survey(page_of(*children)).reading()


def test_reading_time_counts_words_code_output_and_formulas():
    words = nodes.paragraph("", " ".join(["word"] * 2000))
    assert reading_minutes(words) == pytest.approx(10)
    code = nodes.container("", nodes.literal_block("", "x = 1\n\ny = 2\n" * 10))
    assert reading_minutes(words, code) == pytest.approx(12)
    output = nodes.container("", nodes.literal_block("", "0.1\n" * 20), classes=["cell_output"])
    assert reading_minutes(words, output) == pytest.approx(11)
    formulas = [nodes.math_block("", r"a = b \\ c") for _ in range(4)]
    assert reading_minutes(words, *formulas) == pytest.approx(12)


def test_a_proof_is_read_at_a_third_of_the_speed_and_its_formulas_at_half():
    text = nodes.paragraph("", " ".join(["word"] * 200))
    assert reading_minutes(proof_node("", text)) == pytest.approx(3)
    formula = nodes.math_block("", "a")
    assert reading_minutes(proof_node("", formula)) == pytest.approx(1)


def test_what_is_folded_is_counted_apart():
    text = nodes.paragraph("", " ".join(["word"] * 400))
    page = survey(page_of(nodes.container("", text, design_component="dropdown")))
    assert (page.reading(), page.everything()) == (0, pytest.approx(2))


@pytest.fixture
def app():
    """A build that knows one function of the library."""
    known = {"freqsense.theory.solve": SimpleNamespace(docname="modules/theory", node_id="solve")}
    return SimpleNamespace(
        env=SimpleNamespace(get_domain=lambda name: SimpleNamespace(objects=known)),
        builder=SimpleNamespace(get_relative_uri=lambda here, there: f"{there}.html"),
    )


@pytest.mark.parametrize("text", ["theory.solve", "freqsense.theory.solve", "theory.solve(x, y)"])
def test_code_that_names_a_function_of_the_library_is_a_link(app, text):
    paragraph = nodes.paragraph("", "", nodes.literal("", text))
    link_names(app, page_of(paragraph), "page")
    (link,) = paragraph.findall(nodes.reference)
    assert link["refuri"] == "modules/theory.html#solve"
    assert link.astext() == text and isinstance(link[0], nodes.literal)


@pytest.mark.parametrize(
    "text", ["solve", "theory.solved", "theory", "x.solve", "theory.solve + 1"]
)
def test_other_code_is_no_link(app, text):
    paragraph = nodes.paragraph("", "", nodes.literal("", text))
    link_names(app, page_of(paragraph), "page")
    assert list(paragraph.findall(nodes.reference)) == []


def test_what_is_a_link_or_a_title_stays_as_it_is(app):
    inside = nodes.reference("", "", nodes.literal("", "theory.solve"), refuri="elsewhere")
    title = nodes.title("", "", nodes.literal("", "theory.solve"))
    page = page_of(title, nodes.paragraph("", "", inside))
    link_names(app, page, "page")
    assert [link["refuri"] for link in page.findall(nodes.reference)] == ["elsewhere"]


def test_a_missing_mathjax_says_what_to_install(monkeypatch):
    with pytest.raises(ExtensionError, match="has no file static/mathjax/none.js"):
        mathjax.find_script("mathjax/none.js")
    monkeypatch.setattr(mathjax, "PACKAGE", "not-installed")
    with pytest.raises(ExtensionError, match="not-installed brings MathJax .* pip install"):
        mathjax.find_script("mathjax/tex-svg-full.js")
