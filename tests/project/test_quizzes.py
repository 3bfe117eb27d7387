"""The checks of the pages, as quizzes for Moodle and as a QTI package."""

import io
import re
import xml.etree.ElementTree as ET
import zipfile
from types import SimpleNamespace

import pytest
import quizzes
import yaml

ITEM = f"{{{quizzes.IMSQTI}}}"
PACKAGE = f"{{{quizzes.IMSCP}}}"
MARKS = re.compile(r"\$|\{[a-z][\w:-]*\}`|`|(?<![\\\w])\*\w|\]\(")
TOC = """\
root: book/index
parts:
  - caption: Waves
    numbered: 2
    chapters:
      - file: book/waves/one
        sections:
          - file: book/waves/two
  - caption: Reference
    chapters:
      - file: book/reference/names
"""
CHECK = """\
waves/two:
  - id: two-first
    question: Which?
    answers:
      - text: This.
        right: true
        because: It is.
      - text: That.
        because: It is not.
"""


@pytest.fixture(scope="module")
def asked(repository):
    return yaml.safe_load((repository / quizzes.CHECKS).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def by_id(asked):
    return {check["id"]: check for checks in asked.values() for check in checks}


@pytest.fixture(scope="module")
def written(repository, tmp_path_factory):
    folder = tmp_path_factory.mktemp("quizzes")
    quizzes.export(repository, folder)
    return folder


@pytest.fixture(scope="module")
def moodle(written):
    return ET.fromstring((written / quizzes.MOODLE).read_bytes())


@pytest.fixture(scope="module")
def package(written):
    with zipfile.ZipFile(written / quizzes.QTI) as archive:
        assert archive.testzip() is None
        assert len(set(archive.namelist())) == len(archive.namelist())
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def items(package):
    return {
        name: ET.fromstring(content)
        for name, content in package.items()
        if name.startswith("items/")
    }


@pytest.fixture
def book(tmp_path):
    """A book of three pages and one check."""
    pages = {
        "waves/one": "# Sums of *waves*\n\n(eq-place)=\n",
        "waves/two": "# On/off\n\n```{figure} a.png\n:name: fig-two\n```\n",
        "reference/names": "# Names\n",
    }
    for name, text in pages.items():
        path = tmp_path / "book" / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    config = "parse: {myst_enable_extensions: [dollarmath, attrs_inline, substitution]}\n"
    (tmp_path / "_config.yml").write_text(config, encoding="utf-8")
    (tmp_path / "_toc.yml").write_text(TOC, encoding="utf-8")
    (tmp_path / quizzes.CHECKS).write_text(CHECK, encoding="utf-8")
    return tmp_path


def questions(moodle):
    return moodle.findall("question[@type='multichoice']")


# Moodle


def test_moodle_has_every_check_once(moodle, by_id):
    names = [question.findtext("name/text") for question in questions(moodle)]
    assert sorted(names) == sorted(by_id)
    assert [question.findtext("idnumber") for question in questions(moodle)] == names


def test_moodle_keeps_the_order_of_the_book(moodle, asked, repository):
    pages = [quiz.page for quiz in quizzes.list_pages(repository) if quiz.page in asked]
    names = [question.findtext("name/text") for question in questions(moodle)]
    assert names == [check["id"] for page in pages for check in asked[page]]
    categories = [
        question.findtext("category/text")
        for question in moodle
        if question.get("type") == "category"
    ]
    assert len(categories) == len(pages)
    assert categories == sorted(categories)
    assert all(name.startswith("$course$/top/freqsense/") for name in categories)


def test_a_question_of_moodle_has_one_right_answer_and_a_reason_for_each(moodle, by_id):
    for question in questions(moodle):
        check = by_id[question.findtext("name/text")]
        fractions = [answer.get("fraction") for answer in question.findall("answer")]
        assert fractions == ["100" if given.get("right") else "0" for given in check["answers"]]
        assert fractions.count("100") == 1
        assert question.findtext("single") == question.findtext("shuffleanswers") == "true"
        assert all(question.findtext("answer/feedback/text") for _ in fractions)


def test_nothing_of_myst_is_left_in_moodle(moodle):
    texts = [text for each in questions(moodle) for text in each.itertext() if text.strip()]
    assert [text for text in texts if MARKS.search(text)] == []
    assert sum(text.count(r"\(") for text in texts) == sum(text.count(r"\)") for text in texts) > 20
    # What stands there as text is HTML, and as such well-formed too.
    for text in texts:
        if text.startswith("<"):
            assert ET.fromstring(text).tag == "p"


# QTI


def test_the_package_has_an_item_for_every_check(items, by_id):
    assert sorted(items) == sorted(f"items/{name}.xml" for name in by_id)
    assert sorted(item.get("identifier") for item in items.values()) == sorted(by_id)


def test_the_manifest_names_every_file_and_no_other(package):
    manifest = ET.fromstring(package["imsmanifest.xml"])
    named = [each.get("href") for each in manifest.iter(f"{PACKAGE}file")]
    assert sorted(named) == sorted(package.keys() - {"imsmanifest.xml"})
    resources = list(manifest.iter(f"{PACKAGE}resource"))
    assert [each.get("href") for each in resources] == named
    names = [each.get("identifier") for each in resources]
    assert len(set(names)) == len(names)
    needed = [each.get("identifierref") for each in manifest.iter(f"{PACKAGE}dependency")]
    assert set(needed) == {name for name in names if name.startswith("item-")}


def test_the_tests_ask_the_checks_of_each_page_in_order(package, asked):
    for page, checks in asked.items():
        test = ET.fromstring(package[f"tests/quiz-{page.replace('/', '-')}.xml"])
        found = list(test.iter(f"{ITEM}assessmentItemRef"))
        assert [each.get("identifier") for each in found] == [check["id"] for check in checks]
        assert {each.get("href").removeprefix("../") for each in found} <= set(package)


def test_an_item_gives_full_marks_to_one_choice_and_a_reason_for_each(items, by_id):
    for item in items.values():
        answers = by_id[item.get("identifier")]["answers"]
        choices = [each.get("identifier") for each in item.iter(f"{ITEM}simpleChoice")]
        assert len(choices) == len(answers)
        reasons = {each.get("identifier"): each for each in item.iter(f"{ITEM}modalFeedback")}
        assert all("".join(each.itertext()).strip() for each in reasons.values())
        scores, shown = {}, {}
        for condition in item.iter(f"{ITEM}responseIf"):
            choice = condition.findtext(f"{ITEM}match/{ITEM}baseValue")
            score, feedback = condition.findall(f"{ITEM}setOutcomeValue")
            scores[choice] = float(score.findtext(f"{ITEM}baseValue"))
            shown[choice] = feedback.findtext(f"{ITEM}multiple/{ITEM}baseValue")
        assert list(scores) == choices
        assert list(scores.values()) == [float(given.get("right", False)) for given in answers]
        assert list(shown.values()) == list(reasons)
        assert scores[item.findtext(f".//{ITEM}correctResponse/{ITEM}value")] == 1


def test_nothing_of_myst_is_left_in_the_package(package):
    for name, content in package.items():
        texts = [text for text in ET.fromstring(content).itertext() if MARKS.search(text)]
        assert texts == [], name


# Both


def test_both_say_the_same(moodle, items):
    for question in questions(moodle):
        item = items[f"items/{question.findtext('name/text')}.xml"]
        wanted = [
            question.findtext("questiontext/text"),
            *(answer.findtext("text") for answer in question.findall("answer")),
            *(answer.findtext("feedback/text") for answer in question.findall("answer")),
        ]
        tags = ("prompt", "simpleChoice", "modalFeedback")
        found = ["".join(each.itertext()).strip() for tag in tags for each in item.iter(ITEM + tag)]
        assert found == ["".join(ET.fromstring(text).itertext()) for text in wanted]


def test_exported_again_the_files_are_the_same(repository, written, tmp_path):
    quizzes.export(repository, tmp_path)
    for name in (quizzes.MOODLE, quizzes.QTI):
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes()


def test_the_zip_holds_no_time_of_its_making(written):
    with zipfile.ZipFile(io.BytesIO((written / quizzes.QTI).read_bytes())) as archive:
        assert {info.date_time[0] for info in archive.infolist()} == {1980}


def test_a_page_has_the_number_that_the_book_gives_it(book):
    found = {quiz.page: quiz.number for quiz in quizzes.list_pages(book)}
    assert found == {"waves/one": "1", "waves/two": "1.1", "reference/names": ""}


def test_a_slash_in_a_title_makes_no_category(book, tmp_path, capsys):
    quizzes.main(["--root", str(book), "--into", str(tmp_path / "out")])
    assert "1 checks of 1 pages" in capsys.readouterr().out
    root = ET.parse(tmp_path / "out" / quizzes.MOODLE).getroot()
    name = root.findtext("question/category/text")
    assert name == "$course$/top/freqsense/1 Waves/01.01 On//off"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        (r"so $|\omega| < 8$; 8", r"so \(|\omega| &lt; 8\); 8"),
        (r"$a_{i}$ and $b*c*d$", r"\(a_{i}\) and \(b*c*d\)"),
        ("{math}`x^2`", r"\(x^2\)"),
        ("*per* **unit** of `--mean`", "<em>per</em> <strong>unit</strong> of <code>--mean</code>"),
        ("a & b, `<c>`", "a &amp; b, <code>&lt;c&gt;</code>"),
        (r"5 \$ and \*", "5 $ and *"),
        ("see {doc}`one`", "see Sums of waves"),
        ("see {doc}`/book/reference/names`", "see Names"),
        ("see {doc}`the names <../reference/names>`", "see the names"),
        ("see {numref}`fig-two`, {eq}`eq-place`", "see On/off, Sums of waves"),
        ("see {prf:ref}`the theorem <thm-a>`", "see the theorem"),
        ("{term}`gain`, {term}`gains <gain>`", "gain, gains"),
        ("[names](../reference/names.md)", "names"),
        ("[Moodle](https://moodle.org)", '<a href="https://moodle.org">Moodle</a>'),
    ],
)
def test_a_line_of_myst_becomes_html(book, text, html):
    where = SimpleNamespace(page="waves/two", check="two-first")
    assert quizzes.Writer(book).html(text, where) == f"<p>{html}</p>"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("It costs $5 or so", "a formula does not end"),
        ("$$x^2$$", "a formula does not end"),
        ("{doc} `one`", "{doc} without its backticks"),
        ("{cite}`someone`", "the role {cite} cannot be written"),
        ("{doc}`nowhere`", "book/waves/nowhere.md has no title, or is not there"),
        ("{numref}`fig-none`", "no page has the label 'fig-none'"),
        ("![a](b.png)", "image cannot be written"),
        ("a {{name}}", "cannot be written"),
    ],
)
def test_a_line_that_cannot_be_written_is_refused(book, text, fault):
    where = SimpleNamespace(page="waves/two", check="two-first")
    with pytest.raises(SystemExit, match=re.escape(fault)):
        quizzes.Writer(book).html(text, where)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (CHECK, "", "pages and their checks are expected"),
        (CHECK, "- a\n", "pages and their checks are expected"),
        ("waves/two:", "waves/two: [", "is not YAML"),
        ("waves/two", "waves/three", "not in _toc.yml: waves/three"),
        (CHECK, "waves/two: none\n", "a list of checks is expected"),
        ("id: two-first", "name: two-first", "a check without an id"),
        ("two-first", "../two", "'../two' is no id"),
        ("        right: true\n", "", "0 right answers, not one"),
        ("It is not.", "It is not.\n        right: true", "2 right answers, not one"),
        ("right: true", "right: maybe", "neither true nor false"),
        ("right: true", "rigth: true", "unknown key: rigth"),
        ("text: That.", "text: This.", "the same answer twice"),
        ("        because: It is not.\n", "", "no text in `because`"),
        ("because: It is not.", "because: Why: not.", "is not YAML"),
        ("question: Which?", "question: 3", "no text in `question`"),
        ("      - text: That.\n        because: It is not.\n", "", "two answers or more"),
        ("question: Which?", "question: $a", "'two-first': a formula does not end"),
    ],
)
def test_a_wrong_file_is_refused_and_nothing_written(book, old, new, fault):
    assert old in CHECK
    (book / quizzes.CHECKS).write_text(CHECK.replace(old, new), encoding="utf-8")
    with pytest.raises(SystemExit, match=re.escape(fault)):
        quizzes.main(["--root", str(book)])
    assert not (book / "_build").exists()


def test_two_checks_of_one_name_are_refused(book):
    second = CHECK.replace("waves/two", "reference/names")
    (book / quizzes.CHECKS).write_text(CHECK + second, encoding="utf-8")
    with pytest.raises(SystemExit, match="two checks are named 'two-first'"):
        quizzes.export(book, book / "out")


def test_a_missing_file_is_named(book):
    (book / quizzes.CHECKS).unlink()
    with pytest.raises(SystemExit, match=r"checks\.yaml is not there"):
        quizzes.export(book, book / "out")
