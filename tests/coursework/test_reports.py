"""What the grader writes: marks, pages, a teacher's own table; and what a person has filled in."""

import base64
import csv
import io
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import handed_in
import pytest
from grader import answers, exports, questions, release, report, tables
from grader.__main__ import main, summarise
from grader.assignment import load, names
from grader.grade import write_reports
from grader.marks import Mark
from grader.sandbox import NoSandboxError
from grader.submissions import Submission, owner
from grader.tables import TableError
from grader.term import Term
from PIL import Image


@pytest.fixture(scope="module")
def assignment():
    return load("spectra")


@pytest.fixture
def answered(tmp_path):
    """A notebook with an answer."""
    path = tmp_path / "in" / "answered.ipynb"
    path.parent.mkdir()
    path.write_text(json.dumps({"cells": [text(ANSWER + "Yes.")]}), "utf-8")
    return path


@pytest.fixture
def write(tmp_path, term, assignment, answered):
    """Write the reports of students who all have full marks for functions, and an answer."""
    marks = [Mark(task.name, task.points, task.points, "") for task in assignment.tasks]

    def write(*students, term=term, path=answered):
        graded = [(Submission(name, path), marks, {}) for name in students]
        questions.check_questions(
            tmp_path / "questions", assignment, term, [each for each, _, _ in graded]
        )
        write_reports(tmp_path, assignment, term, graded)

    return write


@pytest.fixture
def table(tmp_path):
    """The CSV that a person fills in."""
    return tmp_path / "questions" / "off-the-law.csv"


@pytest.fixture
def code(assignment, term):
    """Give the code under which a student's answer is read."""
    return lambda name: questions.code_of(term, assignment.questions[0], Submission(name, None))


def fill(path, *lines):
    """Write lines below the head of a CSV."""
    head = path.read_text("utf-8").splitlines()[0]
    path.write_text("\n".join([head, *lines]) + "\n", "utf-8")


def grades(folder):
    """Return points for the question, total and note by student."""
    with (folder / "grades.csv").open(encoding="utf-8", newline="") as file:
        return {row["student"]: (row["off-the-law"], row["total"]) for row in csv.DictReader(file)}


# What a person has filled in


def test_grading_again_keeps_what_is_filled_in_and_counts_it(tmp_path, write, table, code):
    write("ada", "bob")
    filled = f'{code("ada")},1,1,0,"0,3",good control'
    fill(table, filled)
    write("ada", "bob")
    assert filled in table.read_text("utf-8").splitlines()
    assert grades(tmp_path) == {"ada": ("2.3", "18.3"), "bob": ("", "16")}
    page = (tmp_path / "feedback" / "ada.html").read_text("utf-8")
    assert "<strong>18.3</strong> of 20 points" in page and "good control" in page
    page = (tmp_path / "feedback" / "bob.html").read_text("utf-8")
    assert "<strong>16</strong> of 16 points so far; 4 more" in page
    results = json.loads((tmp_path / "gradescope" / "ada" / "results.json").read_text("utf-8"))
    assert results["score"] == 18.3 and len(results["tests"]) == 5


def test_students_come_and_go_and_what_is_filled_in_stays(tmp_path, write, table, code):
    write("ada", "bob")
    fill(table, f"{code('ada')},1,1,1,1,", f"{code('bob')},0,0,0,0,all lost")
    write("ada", "eve")
    assert grades(tmp_path) == {"ada": ("4", "20"), "eve": ("", "16")}
    assert f"{code('bob')},0,0,0,0,all lost" in table.read_text("utf-8").splitlines()
    write("ada", "bob", "eve")
    assert grades(tmp_path)["bob"] == ("0", "16")


def test_a_student_reads_which_row_of_the_rubric_was_lost(tmp_path, write, table, code):
    write("ada", "bob")
    fill(table, f'{code("ada")},1,0,1,"0,5",see row 2')
    write("ada", "bob")
    page, other = (
        re.sub(r"\s+", " ", (tmp_path / "feedback" / f"{name}.html").read_text("utf-8"))
        for name in ("ada", "bob")
    )
    rows = re.findall(r'class="row">[^<]+</th> <td class="number">([\d.]+) of 1<', page)
    assert rows == ["1", "0", "1", "0.5"] and "2.5 of 4" in page
    assert 'class="row"' not in other and "Not read yet." in other


def test_a_row_without_an_answer_is_filled_in_until_there_is_one(
    tmp_path, write, table, code, answered, term
):
    nobody = tmp_path / "in" / "nothing.ipynb"
    nobody.write_text(json.dumps({"cells": [text(ANSWER)]}), "utf-8")
    write("ada", path=nobody)
    assert table.read_text("utf-8").splitlines()[1] == f"{code('ada')},0,0,0,0,no answer found"
    assert grades(tmp_path) == {"ada": ("0", "16")}
    write("ada", path=answered)
    assert table.read_text("utf-8").splitlines()[1] == f"{code('ada')},,,,,"
    assert grades(tmp_path) == {"ada": ("", "16")}


@pytest.mark.parametrize("cells", ["0,0,0,1,no answer found", "0,0,0,0,seen on paper", "0,0,0,0,"])
def test_a_row_that_a_person_has_changed_stays(tmp_path, write, table, code, cells):
    nobody = tmp_path / "in" / "nothing.ipynb"
    nobody.write_text(json.dumps({"cells": [text(ANSWER)]}), "utf-8")
    write("ada", path=nobody)
    fill(table, f"{code('ada')},{cells}")
    write("ada", path=nobody)
    write("ada")
    assert f"{code('ada')},{cells}" in table.read_text("utf-8").splitlines()


def test_rows_that_nobody_has_written_into_stop_no_other_secret(tmp_path, write, table, code):
    nobody = tmp_path / "in" / "nothing.ipynb"
    nobody.write_text(json.dumps({"cells": [text(ANSWER)]}), "utf-8")
    write("ada", path=nobody)
    write("ada", path=nobody, term=Term("Test term", "another secret for these tests"))
    assert code("ada") not in table.read_text("utf-8")


def test_headings_end_in_a_whole_word():
    for question in (each for name in names() for each in load(name).questions):
        for told, (points, for_what) in zip(
            questions.head_of(question)[1:-1], question.rubric, strict=True
        ):
            kept = told.removeprefix(f"{points}: ")
            assert 0 < len(kept) <= 40 and f"{for_what} ".startswith(f"{kept} ")


def test_a_row_that_is_filled_of_somebody_gone_is_told(write, table, code, tmp_path, term,
                                                       assignment):  # fmt: skip
    write("ada", "bob")
    fill(table, f"{code('ada')},1,1,,,", f"{code('bob')},0,0,0,0,")
    submissions = [Submission("ada", None)]
    gone, partly = questions.check_questions(tmp_path / "questions", assignment, term, submissions)
    assert "filled rows of nobody in the folder, kept: 1" in gone
    assert "rows partly filled in, not counted (a blank is no 0): 1" in partly
    write("ada")
    assert grades(tmp_path) == {"ada": ("", "16")}


def test_another_secret_does_not_lose_what_is_filled_in(write, table, code):
    write("ada", "bob")
    fill(table, f"{code('ada')},1,1,1,1,", f"{code('bob')},,,,,")
    before = table.read_bytes()
    other = Term("Test term", "another secret for these tests")
    with pytest.raises(TableError, match="none of its codes is of this class.*secret changed"):
        write("ada", "bob", term=other)
    assert table.read_bytes() == before


def test_another_secret_is_welcome_while_nothing_is_filled_in(tmp_path, write, table, code):
    write("ada", "bob")
    write("ada", "bob", term=Term("Test term", "another secret for these tests"))
    assert len(table.read_text("utf-8").splitlines()) == 3
    assert code("ada") not in table.read_text("utf-8")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ("many,,,,", "expected points from 0 to 1, got 'many'"),
        ("2,0,0,0,", "expected points from 0 to 1, got '2'"),
        ("-1,0,0,0,", "got '-1'"),
        ("nan,0,0,0,", "got 'nan'"),
        ("1,1,1,1,fine,and more", "expected 6 cells a row, got 7"),
    ],
)
def test_points_that_cannot_be_are_told_before_grading(write, table, code, cells, message):
    write("ada")
    fill(table, f"{code('ada')},{cells}")
    with pytest.raises(TableError, match=message):
        write("ada")


def test_a_code_in_two_rows_is_told(write, table, code):
    write("ada")
    fill(table, f"{code('ada')},1,1,1,1,", f"{code('ada')},0,0,0,0,")
    with pytest.raises(TableError, match="a code stands in two rows"):
        write("ada")


@pytest.mark.parametrize("data", [b"PK\x03\x04\x00\x00", b"", b"\x00\x01\x02", b"a;b\n1;2\n"])
def test_a_file_that_is_no_such_table_is_told_and_stays(write, table, data):
    write("ada")
    table.write_bytes(data)
    with pytest.raises(TableError, match=re.escape(str(table))):
        write("ada")
    assert table.read_bytes() == data


def test_a_changed_rubric_is_told_once_something_is_filled_in(write, table, code, assignment, term,
                                                              tmp_path):  # fmt: skip
    write("ada")
    question = assignment.questions[0]
    changed = replace(assignment, questions=(replace(question, rubric=((2, "all of it"),)),))
    students = [Submission("ada", None)]
    assert questions.check_questions(table.parent, changed, term, students) == []
    fill(table, f"{code('ada')},1,1,1,1,")
    with pytest.raises(TableError, match="other columns than the rubric has now"):
        questions.check_questions(table.parent, changed, term, students)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_what_a_spreadsheet_has_saved_is_read(tmp_path, write, table, code, encoding):
    write("ada")
    rows = list(csv.reader(io.StringIO(table.read_text("utf-8"))))
    rows[1][1:] = ["1", "0", "0,5", "1", "schön; und gut"]
    text = io.StringIO()
    csv.writer(text, delimiter=";").writerows(rows)
    table.write_bytes(text.getvalue().encode(encoding))
    write("ada")
    assert grades(tmp_path) == {"ada": ("2.5", "18.5")}


def test_no_spreadsheet_takes_a_code_for_a_number(assignment, term):
    for question in assignment.questions:
        for number in range(500):
            found = questions.code_of(term, question, Submission(f"student {number}", None))
            assert re.fullmatch("[a-z]{8}", found)


def test_writing_that_is_stopped_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    tables.write_table(path, [["a"]])

    def full(*_):
        raise OSError(28, "No space left on device")

    for name in ("write_bytes",):
        with monkeypatch.context() as patch:
            patch.setattr(Path, name, full)
            with pytest.raises(OSError, match="No space"):
                tables.write_table(path, [["b"]])
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space"):
            tables.write_table(path, [["b"]])
    assert path.read_text("utf-8") == "a\n"
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_class_twice_gives_the_same_bytes(tmp_path, write, table, code):
    write("ada", "bob")
    fill(table, f"{code('ada')},1,1,1,1,x")
    write("ada", "bob")
    once = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    write("ada", "bob")
    assert once == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


# Whose page is whose

ALIKE = ["a b", "a_b", "a/b", "A B", "Ab", "ab", "Zoë", "Zoe", "zoë", "ZOË", "x" * 200,
         "x" * 199, "x" * 100, "..", ".", "", "con", "a b-0000000000000000",
         report.file_name("a b")]  # fmt: skip


def test_no_two_students_share_a_page():
    found = [report.file_name(name).casefold() for name in ALIKE]
    assert len(set(found)) == len(ALIKE)
    assert all(re.fullmatch(r"[\w.-]{1,80}", name, re.ASCII) for name in found)
    assert report.file_name("lovelace.ada-2") == "lovelace.ada-2"


def test_each_student_reads_his_own_page(tmp_path, write):
    write("a b", "a_b", "x" * 150, "x" * 151)
    pages = [path.read_text("utf-8") for path in (tmp_path / "feedback").iterdir()]
    assert len(pages) == 4
    assert sorted(re.search(r"soft\">(.*) ·", page)[1] for page in pages) == sorted(
        ["a b", "a_b", "x" * 150, "x" * 151]
    )
    assert len(list((tmp_path / "gradescope").iterdir())) == 4


# A teacher's own table


def submission(name):
    """A submission of this file's name."""
    found = owner(Path("all") / name, Path("all"))
    return Submission(found.student, None, keys=found.keys)


CANVAS = [submission(name) for name in ("lovelaceada_12_900_x.ipynb", "nobody_99_901_x.ipynb")]
MOODLE = [submission("Ada Lovelace_12_assignsubmission_file_/x.ipynb")]
GRADEBOOK = (
    "Student,ID,SIS Login ID,Spectra (1)\r\n"
    ",,,Manual Posting\r\n"
    "    Points Possible,,,20.00\r\n"
    '"Lovelace, Ada",12,ada@uni.edu,\r\n'
    '"Hopper, Grace",13,grace@uni.edu,3\r\n'
)


def filled(path, columns, submissions, target):
    """Fill 16.5 in for everybody; return the text and what is told."""
    roster = exports.read_roster(path, *columns)
    rows = exports.match(roster, submissions)
    exports.fill_column(roster, target, {each.student: 16.5 for each in submissions}, rows)
    return target.read_bytes().decode(), exports.tell_unmatched(roster, submissions, rows)


def test_a_gradebook_of_canvas_is_filled_in_and_nothing_else_is_touched(tmp_path):
    path = tmp_path / "canvas.csv"
    path.write_bytes(GRADEBOOK.encode("utf-8-sig"))
    text, notes = filled(path, ("ID", "Spectra (1)"), CANVAS, tmp_path / "filled.csv")
    assert text == GRADEBOOK.replace("ada@uni.edu,\r", "ada@uni.edu,16.5\r")
    assert notes == [
        f"not in {path}: nobody 99", f"1 of {path} handed in nothing: 13 Hopper, Grace"
    ]  # fmt: skip


@pytest.mark.parametrize("word", ["Participant ", "Teilnehmer/in", "Participante "])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("column", ["Identifier", "Full name"])
def test_a_worksheet_of_moodle_is_filled_in(tmp_path, word, delimiter, column):
    path = tmp_path / "moodle.csv"
    rows = [
        ["Identifier", "Full name", "Email address", "Grade"],
        [f"{word}112", "A", "", ""],
        [f"{word}12", "Ada Lovelace", "", ""],
    ]
    lines = [delimiter.join(row) + "\r\n" for row in rows]
    path.write_bytes("".join(lines).encode())
    text, _ = filled(path, (column, "Grade"), MOODLE, tmp_path / "filled.csv")
    assert text == "".join([*lines[:2], lines[2].replace("\r", "16.5\r")])


@pytest.mark.parametrize(
    ("rows", "column", "students"),
    [
        ("SIS User ID,Grade\n12,\n", "SIS User ID", CANVAS),
        ("Username,Grade\ns12,\nt13,\n", "Username", MOODLE),
        ("Name,Username,Grade\nA,s12,\n", "Username", MOODLE),
        ("ID,Grade\n12,\n", "ID", MOODLE),
        ("ID,Grade\n12,\n", "ID", [submission("ada.ipynb")]),
    ],
)
def test_a_number_of_something_else_is_nobodys(tmp_path, rows, column, students):
    path = tmp_path / "t.csv"
    path.write_text(rows, "utf-8")
    with pytest.raises(TableError, match="names anybody"):
        filled(path, (column, "Grade"), students, tmp_path / "filled.csv")


def test_plain_names_are_found_as_they_are(tmp_path):
    path = tmp_path / "canvas.csv"
    path.write_text("SIS Login ID,Grade\nada,\nbob,\n", "utf-8")
    students = [submission("ada.ipynb"), submission("bob (1).ipynb")]
    text, notes = filled(path, ("SIS Login ID", "Grade"), students, tmp_path / "filled.csv")
    assert text == "SIS Login ID,Grade\r\nada,16.5\r\nbob,16.5\r\n" and notes == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Student,ID\nA,12\n", r"no column 'Grade'; it has Student, ID"),
        ("ID,Grade,Grade\n12,,\n", "has 2 columns 'Grade'"),
        ("", "is empty; expected the columns ID, Grade"),
        ("ID,Grade\n12,\n12,\n", "2 rows of 'ID' name lovelaceada 12"),
        ("ID,Grade\n55,\n", "no row of 'ID' names anybody of the folder, such as 'lovelaceada 12"),
        ("ID,Grade\n12,\n\0", "is not a CSV in UTF-8"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path, text, message):
    path = tmp_path / "t.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(TableError, match=message):
        filled(path, ("ID", "Grade"), CANVAS, tmp_path / "filled.csv")
    assert not (tmp_path / "filled.csv").exists()


def test_a_table_that_is_no_file_is_refused(tmp_path):
    with pytest.raises(TableError, match="there is no file"):
        exports.read_roster(tmp_path / "none.csv", "ID", "Grade")
    with pytest.raises(TableError, match="is a folder"):
        exports.read_roster(tmp_path, "ID", "Grade")


# The pages


PNG = io.BytesIO()
Image.new("RGB", (4, 4)).save(PNG, "PNG")
PNG = base64.b64encode(PNG.getvalue()).decode()


def find_answer(tmp_path, assignment, *cells, question=0):
    """Return the answer that a notebook of these cells holds."""
    path = tmp_path / "secret-name.ipynb"
    path.write_text(json.dumps({"cells": list(cells)}), "utf-8")
    given = answers.given_lines(assignment, Term("T", "a secret of these tests"))
    asked = assignment.questions[question]
    return answers.answer_to(asked, assignment, Submission("ada", path), given)


def read_answer(tmp_path, assignment, *cells):
    """Return what a person reads of a notebook of these cells."""
    return find_answer(tmp_path, assignment, *cells).html or answers.NO_ANSWER


def text(source, **more):
    return {"cell_type": "markdown", "source": source, **more}


def drawn(source, *outputs):
    return {"cell_type": "code", "source": source, "outputs": list(outputs)}


ANSWER = "**Answer off-the-law:** "


def test_an_answer_is_read_with_its_formulas(tmp_path, assignment):
    told = read_answer(tmp_path, assignment, text(ANSWER + "By $a_1 b_2<c$, *so*\n\n$$\nx_1\n$$"))
    assert '<span class="math inline">\\(a_1 b_2&lt;c\\)</span>, <em>so</em>' in told
    assert re.search(
        r'<div class="math block">\s*<div class="wide" tabindex="0">\\\[\s*x_1\s*\\\]</div>', told
    )


def test_an_answer_is_read_with_its_figures_and_numbers(tmp_path, assignment):
    figure = {"output_type": "display_data", "data": {"image/png": PNG, "text/plain": "<Figure>"}}
    printed = {"output_type": "stream", "name": "stdout", "text": ["0.5 ± 0.1\n"]}
    warning = {"output_type": "stream", "name": "stderr", "text": "/opt/ada/x.py: old"}
    told = read_answer(
        tmp_path,
        assignment,
        text("## Task 4: how sure (3 points)"),
        drawn("of_task_4()", figure),
        text("## Task 5: a photograph off the law (4 points, read by a person)\nDo it.\n\n" + ANSWER
             + "See ![mine](attachment:a.png) ![theirs](http://x.org/a.png)",
             attachments={"a.png": {"image/png": PNG}}),
        drawn("plot(x<1)", figure, printed, warning),
        text("And so on."),
        text("**Answer of-another:** no"),
        drawn("after()", figure),
    )  # fmt: skip
    assert told.count(f"data:image/png;base64,{PNG}") == 2
    assert 'alt="mine"' in told and "[picture not shown: theirs]" in told
    assert "plot(x&lt;1)" in told and "0.5 ± 0.1" in told and "And so on." in told
    for hidden in ("of_task_4", "after()", "Answer of-another", "/opt/ada", "Do it.", "<Figure>"):
        assert hidden not in told
    assert "secret-name" not in told and "x.org" not in told


HEADING = "## Task 5: a photograph off the law (4 points, read by a person)"


@pytest.fixture
def handed_out(assignment, term):
    """The cells of the notebook that students get, each with something that it has shown."""
    cells = release.release_notebook(assignment, term).cells
    number = {"output_type": "stream", "name": "stdout", "text": "camera: 2.0"}
    return [
        {"cell_type": cell.cell_type, "source": cell.source}
        | ({"outputs": [number]} if cell.cell_type == "code" else {})
        for cell in cells
    ]


def rewrite(cells, old, new):
    """Change the cells of text."""
    assert any(old in cell["source"] for cell in cells)
    return [
        cell | {"source": cell["source"].replace(old, new)} if "outputs" not in cell else cell
        for cell in cells
    ]


def test_what_is_handed_out_is_no_answer(tmp_path, assignment, handed_out):
    assert find_answer(tmp_path, assignment, *handed_out) == answers.Answer()
    gone = rewrite(handed_out, ANSWER.strip(), "")
    assert find_answer(tmp_path, assignment, *gone) == answers.Answer(has_line=False)


@pytest.mark.parametrize("line", ["", "Answer off-the-law: ", "**My answer:** "])
def test_an_answer_whose_line_is_gone_is_read_with_its_section(
    tmp_path, assignment, handed_out, line
):
    cells = rewrite(handed_out, ANSWER.strip(), line + "The bricks do it.")
    told = find_answer(tmp_path, assignment, *cells)
    assert answers.NO_LINE in told.html and not told.has_line
    assert "The bricks do it." in told.html and "Choose a photograph" in told.html
    assert "def interval" not in told.html, "the section before is another's"


def test_an_answer_whose_heading_is_gone_too_is_read(tmp_path, assignment, handed_out):
    cells = rewrite(handed_out, ANSWER.strip(), "The bricks do it.")
    told = find_answer(tmp_path, assignment, *rewrite(cells, HEADING, ""))
    assert answers.NO_LINE in told.html and "The bricks do it." in told.html
    assert "def power" not in told.html


@pytest.mark.parametrize("above", [True, False])
def test_an_answer_that_does_not_stand_below_its_line_is_read(
    tmp_path, assignment, handed_out, above
):
    own = text("The bricks.") if above else drawn("mine()", {"data": {"image/png": PNG}})
    place = next(n for n, cell in enumerate(handed_out) if ANSWER.strip() in cell["source"])
    cells = [*handed_out[: place + (not above)], own, *handed_out[place + (not above) :]]
    told = find_answer(tmp_path, assignment, *cells)
    assert answers.BLANK in told.html and told.has_line
    assert ("The bricks." if above else PNG) in told.html


def test_code_that_shows_nothing_is_no_answer(tmp_path, assignment, handed_out):
    cells = [*handed_out, drawn("mine()")]
    assert find_answer(tmp_path, assignment, *cells) == answers.Answer()


def test_an_empty_answer_is_not_filled_with_its_neighbours(tmp_path):
    capstone = load("capstone")
    names = [each.name for each in capstone.questions]
    marks = "**Answer question:** Of mine.\n\n**Answer method:**\n\n**Answer result:** Of mine."
    cell = text("## Step 5: report (20 points, read by a person)\n" + marks)
    told = {
        name: find_answer(tmp_path, capstone, cell, question=names.index(name))
        for name in ("question", "method", "result", "control")
    }
    assert told["method"] == answers.Answer()
    assert all("Of mine." in told[name].html for name in ("question", "result"))
    assert answers.NO_LINE in told["control"].html


def test_answer_lines_that_are_not_found_are_counted(tmp_path, assignment, term, answered):
    path = tmp_path / "in" / "changed.ipynb"
    path.write_text(json.dumps({"cells": [text(f"{HEADING}\n\nBricks.")]}), "utf-8")
    rows = [(Submission(name, each), [], {}) for name, each in (("ada", answered), ("bob", path))]
    assert write_reports(tmp_path, assignment, term, rows[:1])[1] == []
    (note,) = write_reports(tmp_path, assignment, term, rows)[1]
    assert note.startswith("A photograph off the law: 1 of 2 answer lines were not found")
    assert "Bricks." in (tmp_path / "questions" / "off-the-law.html").read_text("utf-8")


HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "[x](javascript:alert(1))",
    "![x](javascript:alert(1))", "![\"><script>](attachment:a.png)", "$</span><script>$",
    "$$\n</div><script>\n$$", "`<script>`", "```\n<script>\n```", "```\"><script>\nx\n```",
    "\\begin{align}<script>\\end{align}", "<!-- <script> -->", "[x](<\"><script>>)",
]  # fmt: skip


@pytest.mark.parametrize("source", HOSTILE)
def test_an_answer_runs_nothing(tmp_path, assignment, source):
    cell = text(ANSWER + source, attachments={"a.png": {"image/png": PNG}})
    told = read_answer(tmp_path, assignment, cell, drawn(source))
    assert "<script" not in told and "<!--" not in told
    assert not re.search(r"<[^>]*(onerror|javascript)", told), told


def test_a_heading_in_an_answer_does_not_pass_for_one_of_the_page(tmp_path, assignment):
    told = read_answer(tmp_path, assignment, text(ANSWER + "x\n\n# bcdfghjk\n\nsetext\n==="))
    assert "<h" not in told and '<p class="heading">bcdfghjk</p>' in told


@pytest.mark.parametrize(
    "output",
    [
        {"data": {"image/png": "no base64!"}}, {"data": {"image/png": 7}}, {"data": []}, 7, None,
        {"data": {"image/png": base64.b64encode(b"<svg onload=x>").decode()}}, {"text": [1]},
        {"data": {"image/svg+xml": "<svg/>"}}, {"name": "stdout", "text": {"a": 1}},
    ],
)  # fmt: skip
def test_what_is_no_picture_is_left_out(tmp_path, assignment, output):
    told = read_answer(tmp_path, assignment, text(ANSWER + "x"), drawn("", output))
    assert "<img" not in told and "<svg" not in told


def test_pictures_are_limited(tmp_path, assignment, monkeypatch):
    cells = [drawn("", {"data": {"image/png": PNG}}) for _ in range(9)]
    told = read_answer(tmp_path, assignment, text(ANSWER + "x"), *cells)
    assert told.count("<img") == answers.PICTURES and told.count("one more figure") == 3
    monkeypatch.setattr(answers, "PICTURE_BYTES", 10)
    assert "<img" not in read_answer(tmp_path, assignment, text(ANSWER + "x"), *cells)


@pytest.mark.parametrize("cells", [[], [text("x")], [text(ANSWER)], [drawn(ANSWER + "x")]])
def test_no_answer_is_told(tmp_path, assignment, cells):
    assert answers.NO_ANSWER in read_answer(tmp_path, assignment, *cells)


def test_a_long_answer_is_cut(tmp_path, assignment):
    told = read_answer(tmp_path, assignment, text(ANSWER + "*[" * 100_000))
    assert len(told) < 100_000 and "more characters" in told


def test_pages_escape_what_students_are_called_and_write(tmp_path, assignment, term):
    bad = "<script>alert(1)</script>"
    marks = [Mark(task.name, 0, task.points, bad, bad) for task in assignment.tasks]
    submission = Submission(bad, None, problem=bad + "\ud800", notes=[bad])
    write_reports(tmp_path, assignment, term, [(submission, marks, {0: bad})])
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) == 3
    for page in pages:
        assert "<script>alert" not in page.read_text("utf-8")


def test_a_message_is_plain_text():
    """Pages set what stands between backticks as code, and nothing else."""
    messages = [
        wrong.message
        for name in names()
        for task in load(name).tasks
        for variant in task.variants
        for wrong in task.wrong(variant)
    ]
    assert len(messages) > 100
    assert [message for message in messages if re.search(r"[$\\<]|\*\*", message)] == []
    assert [message for message in messages if message.count("`") % 2] == []


def test_the_class_report_tells_shares_of_what_could_be_graded(
    tmp_path, assignment, term, answered
):
    first, *others = assignment.tasks
    rest = [Mark(task.name, task.points, task.points, "") for task in others]
    one = Mark(first.name, 0, 4, "Half of the power is lost.", "half")
    other = Mark(first.name, 0, 4, "It stopped: no.")
    right = Mark(first.name, 4, 4, "")
    every = [
        (Submission(str(n), answered), [m, *rest], {})
        for n, m in enumerate((one, one, other, right))
    ]
    why = "the file is not a Jupyter notebook"
    nothing = [Mark(task.name, 0, task.points, why) for task in assignment.tasks]
    every.append((Submission("4", answered, problem=why), nothing, {}))
    write_reports(tmp_path, assignment, term, every)
    page = re.sub(r"\s+", " ", (tmp_path / "class.html").read_text("utf-8"))
    assert "<strong>4</strong> of 5 graded; mean <strong>13.0</strong> of 16" in page
    assert re.search(r"half<br><span[^>]*>Half of the power is lost\.</span></th> "
                     r'<td class="number">2</td><td class="number">50 %', page)  # fmt: skip
    assert "Most often: It stopped: no." in page
    assert "A photograph off the law</a>: 1 of 5 answers are read" in page
    assert page.count("not a Jupyter notebook") == 1
    told = list(summarise(assignment, every, tmp_path))
    assert "mean 13.0 of 16 points for functions" in told[0]
    assert told[1].startswith("1 could not be graded: 4 (the file")
    assert f"half in {first.name}, 2 of" in told[2] and "Half of the power is lost." in told[2]


def test_what_could_not_be_graded_is_told_once(tmp_path, assignment, term, answered):
    why = "the notebook holds no code"
    marks = [Mark(task.name, 0, task.points, why) for task in assignment.tasks]
    rows = [(Submission(name, answered, problem=told), marks, {})
            for name, told in (("ada", why), ("bob", None))]  # fmt: skip
    write_reports(tmp_path, assignment, term, rows)
    page, other = ((tmp_path / "feedback" / f"{name}.html").read_text("utf-8")
                   for name in ("ada", "bob"))  # fmt: skip
    assert f"could not be graded: {why}. Hand in again." in page and page.count(why) == 1
    assert "Functions" not in page and "Read by a person" not in page and "person who" not in page
    assert other.count(why) == len(marks) and "Hand in again" not in other
    assert "person who has not read" in other


def test_a_class_of_which_nothing_could_be_graded_is_told(tmp_path, assignment, term):
    rows = [(Submission("ada", None, problem="it is empty"), [], {})]
    write_reports(tmp_path, assignment, term, rows)
    assert "<strong>0</strong> of 1 graded" in (tmp_path / "class.html").read_text("utf-8")


# From the command line


@pytest.fixture
def course(tmp_path):
    """A folder of one submission, a term and a gradebook."""
    (tmp_path / "in").mkdir()
    source = "def power(images, window):\n    return images[0]"
    notebook = json.loads(handed_in.notebook(source))
    notebook["cells"].append(text(ANSWER + "Yes."))
    for name in ("lovelaceada_12_900_x", "hoppergrace_LATE_13_901_x"):
        (tmp_path / "in" / f"{name}.ipynb").write_text(json.dumps(notebook), "utf-8")
    (tmp_path / "term.toml").write_text('name = "T"\nsecret = "a secret of the tests"\n', "utf-8")
    (tmp_path / "canvas.csv").write_text(GRADEBOOK, "utf-8")
    return tmp_path


def grade(course, *more):
    """Grade the course, without a sandbox."""
    return main(["grade", str(course / "in"), "--term", str(course / "term.toml"), "--into",
                 str(course / "out"), "--trust-students", *more])  # fmt: skip


def files_of(folder):
    """Return what every file below a folder holds."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_of_canvas_is_graded_into_its_gradebook(course, capsys, monkeypatch):
    fill_in = ["--fill", str(course / "canvas.csv"), "ID", "Spectra (1)"]
    folder = course / "out" / "spectra"
    assert grade(course, *fill_in) == 0
    told = capsys.readouterr().out
    assert "mean 0.0 of 16" in told and "2 of 2 students: not all" in told
    assert "totals will rise: hoppergrace 13, lovelaceada 12" in told
    assert "answer lines" not in told
    assert "ada@uni.edu,0\r\n" in (folder / "filled.csv").read_bytes().decode()
    once = files_of(folder)

    # A second time, nothing has changed but what a person has filled in.
    path = folder / "questions" / "off-the-law.csv"
    head, first, second = path.read_text("utf-8").splitlines()
    path.write_text("\n".join([head, first[:8] + ",1,1,1,1,", second]), "utf-8")
    assert grade(course, *fill_in) == 0
    told = capsys.readouterr().out
    assert "1 of 2 students: not all" in told
    names = [each.student for each in CANVAS[:1]] + ["hoppergrace 13"]
    assert sum(f"totals will rise: {name}\n" in told for name in names) == 1
    with (folder / "filled.csv").open(encoding="utf-8") as file:
        assert sorted(row[-1] for row in list(csv.reader(file))[3:]) == ["0", "4"]
    changed = {each.name for each, held in files_of(folder).items() if held != once[each]}
    assert {"filled.csv", "grades.csv", "off-the-law.csv", "class.html"} < changed
    assert len(changed) == 6, "and a page and a results.json of the one student"

    # A third time, what is filled in cannot be counted, and no notebook is run.
    path.write_text("\n".join([head, first[:8] + ",9,1,1,1,", second]), "utf-8")
    monkeypatch.setattr("grader.grade.mark_submission", None)
    assert grade(course, *fill_in) == 2
    assert "expected points from 0 to 1, got '9'" in capsys.readouterr().err


def test_a_machine_without_a_sandbox_is_told_what_to_do(course, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda program: None)
    told = ["grade", str(course / "in"), "--term", str(course / "term.toml"), "--into", "out"]
    assert main(told) == 2
    message = capsys.readouterr().err
    assert all(word in message for word in ("bubblewrap", "container", "--trust-students"))


def test_a_sandbox_that_does_not_work_is_told_before_grading(course, capsys, monkeypatch):
    def broken(**_):
        raise NoSandboxError("the sandbox does not work here: nothing came")

    monkeypatch.setattr("grader.grade.require_run", broken)
    assert grade(course) == 2
    assert "says why. Allow them or grade on another machine" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--fill", "canvas.csv", "ID", "Spectra"], "no column 'Spectra'"),
        (["--fill", "none.csv", "ID", "Spectra (1)"], "there is no file none.csv"),
        (["--assignment", "spectre"], "there is no assignment 'spectre'"),
        (["--into", "in/out"], "would be handed in next time"),
        (["--term", "in"], "cannot be read: Is a directory"),
    ],
)
def test_what_is_wrong_is_told_in_a_line_before_grading(course, capsys, monkeypatch, more, message):
    monkeypatch.chdir(course)
    monkeypatch.setattr("grader.grade.mark_submission", None)
    assert grade(course, *more) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
    assert not (course / "out").exists()
