"""What the build adds to pages that teach, and what it asks of them, on a tiny book."""

import json
import pickle
import re
from collections import Counter
from types import SimpleNamespace

import pytest
from bookbuild import limits, record
from bookbuild.check import read_checks
from bookbuild.contents import Contents, survey
from docutils import nodes
from sources import BOOK, ROOT, read
from tinybook import HEADER, TinyBook

TOC = """\
format: jb-book
root: book/index
parts:
  - caption: Natural images
    numbered: 2
    chapters:
      - file: book/page
        sections:
          - file: book/below
  - caption: Reference
    chapters:
      - file: book/reference/status
"""

CORE = """\
# A page

```{message}
Four words of message.
```

```{page-card}
**You will be able to**
- *count* these words, which are none of the page's
```

Five words and $x$, one formula.

$$
x = 1
$$ (eq-tiny)

```{figure} _static/favicon.svg
:name: fig-tiny
:alt: a mark

Two words.
```

```{check} tiny-sum
```

```{code-cell} ipython3
import math
a = math.pi
```

```{code-cell} ipython3
:tags: [hide-input]
b = 1
```

*Idea.* Short.

````{dropdown} Proof
```{prf:proof}
Three words here.

$$
y
$$
```
````

```{exercise} First
:label: ex-tiny-first
:class: easy

Not counted.
```

```{exercise-start} Second
:label: ex-tiny-second
:class: hard
```

Not counted.

```{exercise-end}
```

```{solution} ex-tiny-first
:class: dropdown

Nor this.
```
"""

BELOW = """\
# Below

```{page-card}
**You will be able to**
- see
```

```{prf:theorem} Moved
:label: thm-tiny

So it is.
```

```{code-cell} ipython3
1 + 1
```
"""

CHECKS = """\
page:
  - id: tiny-sum
    question: What is $1 + 1$?
    answers:
      - text: "2"
        right: true
        because: One more than one.
      - text: "11"
        because: That is how it is written.
"""

ADDRESSES = """\
page,label,heir
book/page,thm-tiny,
book/page,eq-tiny,
book/old,,book/page
book/old,thm-tiny,
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A tiny book with a core page and one below it, built once."""
    book = TinyBook(tmp_path_factory.mktemp("core"), ROOT)
    book.write("_toc.yml", TOC)
    book.write("book/page.md", HEADER + "\n" + CORE)
    book.write("book/below.md", HEADER + "\n" + BELOW)
    book.write("book/checks.yaml", CHECKS)
    book.write("book/addresses.csv", ADDRESSES)
    book.write("book/reference/status.md", read(BOOK / "reference" / "status.md"))
    book.code, book.output = book.build()
    return book


def doctree(book, name):
    return pickle.loads((book.root / f"_build/.doctrees/book/{name}.doctree").read_bytes())


def test_a_page_is_counted_as_it_is_seen(book):
    found = survey(doctree(book, "page"))
    # Title 2, message 2 + 4, text 6, caption 2, idea 2, three times of folded text not.
    assert found.shown["words"] == 2 + 2 + 4 + 6 + 2 + 2
    assert found.shown["formulas"] == found.shown["displays"] == found.shown["figures"] == 1
    assert found.shown["checks"] == 1
    assert found.shown["code lines"] == 2  # the hidden one is not seen
    assert found.folded["proof words"] == 4  # with the word that opens it
    assert found.folded["proof displays"] == 1
    assert found.levels == [["easy"], ["hard"]]
    assert (found.message, found.displays_before_figure, found.longest_cell) == (4, 1, 2)
    assert found.plumbing == ["import math"]


def test_a_core_page_that_asks_too_much_or_gives_too_little_fails_the_build(book):
    assert book.code != 0
    assert "1 checks, fewer than 3" in book.output
    assert "plumbing in a visible cell: import math" in book.output
    assert book.output.count("WARNING") - book.output.count("IPKernelApp") == 2


def contents(**changes):
    """A page at the limits, but for the changes."""
    words = changes.pop("words", 1500)
    checks = changes.pop("checks", 3)
    given = {
        "levels": [["easy"], ["hard"]],
        "message": 45,
        "displays_before_figure": 3,
        "longest_cell": 12,
    }
    return Contents(shown=Counter(words=words, checks=checks), **{**given, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {"words": 1501},
        {"checks": 2},
        {"message": 46},
        {"message": None},
        {"displays_before_figure": 4},
        {"displays_before_figure": None},
        {"longest_cell": 13},
        {"plumbing": ["assert x"]},
        {"levels": [["easy"]]},
        {"levels": [["easy"]] * 5},
    ],
)
def test_each_limit_is_where_it_says(change):
    assert limits.page_faults(contents()) == []
    assert len(limits.page_faults(contents(**change))) == 1


def test_a_page_of_many_figures_takes_too_long():
    page = contents()
    page.shown["figures"] = 10
    (fault,) = limits.page_faults(page)
    assert fault.startswith("15.2 minutes")


@pytest.mark.parametrize(
    ("levels", "n_faults"),
    [([], 0), ([["easy"], ["hard"]], 0), ([["hard"]], 1), ([[]], 2), ([["easy"], []], 1)],
)
def test_every_exercise_has_one_level_and_one_is_easy(levels, n_faults):
    assert len(limits.exercise_faults(levels)) == n_faults


def test_the_parts_have_limits_too():
    sums = dict.fromkeys(limits.PENCIL_PARTS, (4, 90, 160, 300))
    assert limits.book_faults(sums) == []
    assert len(limits.book_faults(sums | {"Experiments": (1, 1, 1, 1)})) == 1
    assert len(limits.book_faults(dict.fromkeys(limits.PENCIL_PARTS, (4, 80, 161, 300)))) == 1


def test_the_card_adds_up_the_page_and_what_is_below(book):
    # 18 words, a formula, a display, a figure, a check, two lines: under two minutes; exercises 23.
    assert "Core 2 minutes, everything 26 minutes: with 2 exercises and the 1 page below." in (
        book.html("page")
    )


def test_the_level_stands_in_the_title_of_an_exercise(book):
    titles = re.findall(r'admonition-title">(.*?)</p>', book.html("page"))
    words = [re.sub("<[^>]+>", "", title) for title in titles if "exercise-level" in title]
    assert [each.split()[-1] for each in words] == ["easy", "hard"]


def test_a_check_unfolds_its_answers_and_needs_no_script(book):
    (html,) = re.findall(r'<div class="check".*?</div>', book.html("page"), re.S)
    answers = re.findall(r"<details.*?</details>", html, re.S)
    assert len(answers) == 2
    assert "Right." in answers[0] and "One more than one." in answers[0]
    assert "Not quite." in answers[1]
    assert "<script" not in html and "onclick" not in html


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("        right: true\n", ""), "'tiny-sum' has 0 right answers"),
        (('text: "11"\n', 'text: "11"\n        right: true\n'), "has 2 right answers"),
    ],
)
def test_a_check_with_no_or_two_right_answers_is_refused(tmp_path, change, message):
    path = tmp_path / "checks.yaml"
    path.write_text(CHECKS.replace(*change), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_checks(path, 0)


def test_two_checks_of_one_name_are_refused(tmp_path):
    path = tmp_path / "checks.yaml"
    path.write_text(CHECKS + CHECKS.replace("page:", "other:", 1), encoding="utf-8")
    with pytest.raises(ValueError, match="two checks are named 'tiny-sum'"):
        read_checks(path, 0)


def test_a_label_that_left_its_page_is_found_from_there(book):
    (data,) = re.findall(r'id="moved">([^<]*)<', book.html("page"))
    # The equation has stayed, so only the theorem is told.
    assert json.loads(data) == {"thm-tiny": "below.html#thm-tiny"}


def test_a_page_that_is_gone_leads_to_its_heir_and_its_labels_to_theirs(book):
    html = book.html("old")
    (data,) = re.findall(r'id="moved">([^<]*)<', html)
    assert json.loads(data) == {"thm-tiny": "below.html#thm-tiny"}
    assert 'href="page.html"' in html and "url=page.html" in html


def test_a_label_that_is_lost_fails_the_build(book):
    book.write("book/addresses.csv", ADDRESSES + "book/page,fig-lost,\nbook/lost,thm-tiny,\n")
    _, output = book.build()
    assert "book/page: the label fig-lost stands nowhere now" in output
    assert "the page book/lost is gone" in output


def test_pages_that_add_up_others_are_written_when_one_of_these_changed():
    tree = SimpleNamespace(caption="Natural images", files=lambda: ["page"])
    root = SimpleNamespace(docname="index", subtrees=[tree])
    app = SimpleNamespace(config=SimpleNamespace(external_site_map=SimpleNamespace(root=root)))
    env = SimpleNamespace(
        page_contents={"page": contents()}, titles={"page": nodes.title("", "A page")},
        found_docs={"index", "page", "below"}, nb_metadata={},
    )  # fmt: skip
    assert record.name_summing_pages(app, env) == ["index", "page"]
    assert record.name_summing_pages(app, env) == []
    env.page_contents["page"] = contents(words=1400)
    assert record.name_summing_pages(app, env) == ["index", "page"]
    env.titles["page"] = nodes.title("", "Another name")
    assert record.name_summing_pages(app, env) == ["index", "page"]
    env.nb_metadata["page"] = {"exec_data": {"runtime": 3.0}}
    assert record.name_summing_pages(app, env) == ["index", "page"]


def test_the_status_page_tells_seconds_and_memory_of_every_notebook(book):
    rows = re.findall(r"<tr.*?</tr>", book.html("reference/status"), re.S)
    cells = [re.findall(r"<p>(.*?)</p>", row) for row in rows[1:]]
    assert [re.sub("<[^>]+>", "", row[0]) for row in cells] == ["A page", "Below"]
    for row in cells:
        seconds, memory = row[-2:]
        assert 0 <= int(seconds) < 120
        assert 20 < int(memory) < 1500  # a kernel takes some 60 MB


def test_every_answer_of_the_book_has_a_word_to_be_read_aloud():
    """A formula alone gives what is chosen no name for those who hear it."""
    checks = read_checks(BOOK / "checks.yaml", 0)
    texts = [str(given["text"]) for each in checks.values() for given in each["answers"]]
    assert len(texts) > 200
    assert [text for text in texts if not re.search(r"\w", re.sub(r"\$[^$]*\$", "", text))] == []
