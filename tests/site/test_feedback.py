"""The pages that the grader writes: for students, for whoever reads answers, for the class."""

import base64
import io

import nbformat
import pytest
from axe import COLOURS_ONLY, SCROLLING_ONLY, THE_REST, serious_faults
from built import NARROW_DARK, WIDE_LIGHT
from grader import release, report
from grader.assignment import load
from grader.grade import write_reports
from grader.marks import Mark
from grader.submissions import Submission
from grader.term import Term
from PIL import Image

RUNS = {
    WIDE_LIGHT: [THE_REST, COLOURS_ONLY, SCROLLING_ONLY],
    NARROW_DARK: [COLOURS_ONLY, SCROLLING_ONLY],
}
QUESTION = "questions/only-convolutions"
PAGES = ["class", "feedback/key", "feedback/hostile", QUESTION]
MARK = "**Answer only-convolutions:**"
LONG = r"y &= " + " + ".join(rf"\int_0^{n} f(x)\,dx" for n in range(30))
HOSTILE = rf"""{MARK} <script>alert(1)</script> <img src=x onerror=alert(2)>
[click](javascript:alert(3)) ![x](http://elsewhere.example/x.png)

# A heading

$\href{{javascript:alert(4)}}{{x}}$ $\mmlToken{{mi}}[href="javascript:alert(5)"]{{y}}$
$\require{{html}}\class{{x}}{{z}}$ $\def\delta{{\text{{redefined}}}}\delta$
$\mmlToken{{mi}}[style="position:fixed;inset:0"]{{y}}$

$$
\begin{{aligned}} {LONG} \end{{aligned}}
$$

{"a-long-word" * 40} `{"a_long_name" * 40}`

```
{"a long line of code " * 30}
```

| a | b |
|---|---|
| {"wide" * 40} | 1 |
"""


def picture():
    """Return a wide picture as the output of a cell."""
    file = io.BytesIO()
    Image.new("RGB", (2000, 300), (200, 60, 60)).save(file, "PNG")
    data = {"image/png": base64.b64encode(file.getvalue()).decode()}
    return nbformat.v4.new_output("display_data", data=data)


def hand_in(folder, name, notebook):
    """Write a notebook; return it as a submission."""
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return Submission(name, path, notes=["2 files were handed in; x.ipynb was graded"])


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """A graded folder of two: the key, and somebody who writes what he should not."""
    folder, term = tmp_path_factory.mktemp("graded"), Term("Term", "a secret of these tests")
    assignment = load("convolution")
    key = release.key_notebook(assignment, term)
    cells = [nbformat.v4.new_markdown_cell(HOSTILE)]
    cells += [nbformat.v4.new_code_cell("plot()" * 40, outputs=[picture()])]
    message = "Not `this`. It stopped: " + "x" * 200
    right = [Mark(each.name, each.points, each.points, "Right.") for each in assignment.tasks]
    wrong = [Mark(each.name, 0, each.points, message, "wrong way") for each in assignment.tasks]
    hostile = hand_in(folder, "hostile", nbformat.v4.new_notebook(cells=cells))
    failed = Submission("failed" * 20, None, problem="the file is not a Jupyter notebook")
    rows = [
        (hand_in(folder, "key", key), right, {}),
        (hostile, wrong, {3: "ValueError: " + "long" * 60}),
        (failed, wrong, {}),
    ]
    write_reports(folder, assignment, term, rows)
    return folder


@pytest.fixture
def page(graded, browser):
    """Open a page of the folder; note what it asks for and whatever it pops up."""
    opened = []

    def page(name, width=1280, scheme="light"):
        tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        opened.append(tab)
        tab.noted = []
        tab.on("dialog", lambda dialog: (tab.noted.append(dialog.message), dialog.dismiss()))
        tab.on("request", lambda request: tab.noted.append(request.url))
        tab.goto((graded / f"{name}.html").as_uri(), wait_until="load")
        tab.evaluate("async () => { if (window.MathJax) await MathJax.startup.promise }")
        tab.noted = [what for what in tab.noted if not what.startswith(("file:", "data:"))]
        return tab

    yield page
    for tab in opened:
        tab.close()


@pytest.mark.parametrize(("width", "scheme"), RUNS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_accessible_and_fits(page, name, width, scheme):
    tab = page(name, width, scheme)
    faults = serious_faults(tab, RUNS[width, scheme])
    assert not faults, "\n".join(faults)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.locator("html").get_attribute("lang") == "en"
    levels = tab.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(e => +e.tagName[1])")
    assert levels[0] == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))
    bare = "th:not([scope]), table:not(article table):not(:has(caption)):not(h3 + table)"
    assert tab.locator(bare).count() == 0


def test_formulas_of_answers_are_set_without_a_network(page):
    tab = page(QUESTION)
    assert tab.noted == []
    answer = tab.locator("article", has_text="Linear.")
    assert answer.locator("mjx-container").count() > 20
    assert answer.locator("[data-mml-node=merror]").count() == 0
    assert "redefined" not in answer.inner_text()


def test_an_answer_runs_nothing_and_leads_nowhere(page):
    tab = page(QUESTION)
    article = tab.locator("article", has_text="alert(1)")
    assert article.locator("img").count() == 1 and article.locator("script").count() == 0
    address = tab.url
    for link in article.locator("a").all():
        link.dispatch_event("click")
    tab.wait_for_timeout(300)
    assert tab.noted == [] and tab.url == address
    assert article.locator("a[href^=javascript], [style*=fixed]").count() == 0


def test_no_page_of_answers_names_a_student(graded):
    text = (graded / f"{QUESTION}.html").read_text("utf-8")
    assert not any(name in text for name in ("key.ipynb", "hostile", "failed"))
    assert report.file_name("key") == "key"
