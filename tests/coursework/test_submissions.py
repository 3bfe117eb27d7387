"""What a teacher has on disk: names of Canvas and Moodle, strangers, several files of one."""

import json
import os
from pathlib import Path

import handed_in
import nbformat
import pytest
from grader import release
from grader.assignment import load, names
from grader.grade import check_places, check_term, choose_all, grade_folder, guess_assignment
from grader.submissions import WrongFolderError, find_submissions, owner, read_submission
from grader.term import Term, TermError, read_term


def put(folder, name, *sources):
    """Write a notebook into a folder, which is made."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(handed_in.notebook(*(sources or ["x = 1"])), "utf-8")
    return path


def handed_in_by(folder):
    """Map students to the names of their files."""
    found, notes = find_submissions(folder)
    return {name: [each.path.name for each in rivals] for name, rivals in found.items()}, notes


@pytest.mark.parametrize(
    ("path", "student", "keys"),
    [
        ("ada.ipynb", "ada", ()),
        ("ada (2).ipynb", "ada", ()),
        ("ada/anything.ipynb", "ada", ()),
        ("lovelaceada_12345_67890_spectra.ipynb", "lovelaceada 12345", ("canvas 12345",)),
        ("lovelaceada_LATE_12345_67890_spectra-1.ipynb", "lovelaceada 12345", ("canvas 12345",)),
        ("müllerzoë_7_88_my_own_name.ipynb", "müllerzoë 7", ("canvas 7",)),
        ("Ada Lovelace_12_assignsubmission_file_/a.ipynb", "Ada Lovelace 12",
         ("participant 12", "Ada Lovelace")),
        ("Ada Lovelace_12_assignsubmission_file/a.ipynb", "Ada Lovelace 12",
         ("participant 12", "Ada Lovelace")),
        ("Ada Lovelace_12_assignsubmission_file_a.ipynb", "Ada Lovelace 12",
         ("participant 12", "Ada Lovelace")),
        ("Participant_12_assignsubmission_file_/a.ipynb", "Participant 12",
         ("participant 12", "Participant")),
        ("submission_123/a.ipynb", "submission_123", ()),
        ("Zoe\u0308.ipynb", "Zo\u00eb", ()),
        (b"z\xff.ipynb", "z\\xff", ()),
    ],
)  # fmt: skip
def test_a_name_tells_whose_a_file_is(path, student, keys):
    found = owner(Path("all") / os.fsdecode(path), Path("all"))
    assert (found.student, found.keys) == (student, keys)


def test_names_that_only_look_like_those_of_canvas_keep_students_apart(tmp_path):
    for name in ("ada", "bob"):
        put(tmp_path, f"spectra_2026_11_{name}.ipynb")
    assert set(handed_in_by(tmp_path)[0]) == {"spectra_2026_11_ada", "spectra_2026_11_bob"}


def test_of_several_files_the_newest_counts(tmp_path):
    put(tmp_path, "ada_5_900_a-1.ipynb")
    put(tmp_path, "ada_LATE_5_1000_a-2.ipynb")
    put(tmp_path, "bob.ipynb")
    put(tmp_path, "bob (10).ipynb")
    put(tmp_path, "bob (9).ipynb")
    found, _ = handed_in_by(tmp_path)
    assert found["ada 5"][-1] == "ada_LATE_5_1000_a-2.ipynb"
    assert found["bob"] == ["bob.ipynb", "bob (9).ipynb", "bob (10).ipynb"]


def test_what_canvas_calls_late_is_noted_where_it_counts(tmp_path):
    put(tmp_path, "ada_LATE_5_800_a.ipynb")
    put(tmp_path, "bob_6_850_a.ipynb")
    put(tmp_path, "eve_LATE_7_900_a.ipynb")
    put(tmp_path, "eve_7_1000_a.ipynb")
    found, _ = find_submissions(tmp_path)
    chosen = {each.student: each.notes for each in choose_all(found, "spectra")}
    assert chosen["ada 5"] == ["marked late by Canvas"] and chosen["bob 6"] == []
    assert chosen["eve 7"] == ["2 files were handed in; eve_7_1000_a.ipynb was graded"]


def test_strangers_are_left_out_and_told(tmp_path):
    put(tmp_path, "ada.ipynb")
    put(tmp_path, ".ipynb_checkpoints/ada-checkpoint.ipynb")
    put(tmp_path, "bob/.ipynb_checkpoints/x-checkpoint.ipynb")
    put(tmp_path, "bob/x.ipynb")
    put(tmp_path, "__MACOSX/._ada.ipynb")
    (tmp_path / "late.zip").write_bytes(b"PK")
    (tmp_path / "link.ipynb").symlink_to(tmp_path / "ada.ipynb")
    for number in range(5):
        (tmp_path / f"{number}.pdf").write_bytes(b"%PDF")
    found, notes = handed_in_by(tmp_path)
    assert found == {"ada": ["ada.ipynb"], "bob": ["x.ipynb"]}
    assert "0.pdf, 1.pdf, 2.pdf and 2 more: not a notebook, left out" in notes
    assert "late.zip: an archive, which you unpack first if it holds work, left out" in notes
    assert "link.ipynb: not a plain file, left out" in notes
    assert sum("hidden, left out" in note for note in notes) == 1


def test_a_class_in_a_folder_of_its_own_is_not_one_student(tmp_path):
    put(tmp_path, "submissions/ada.ipynb")
    assert set(handed_in_by(tmp_path)[0]) == {"submissions"}, "one student in a folder"
    put(tmp_path, "submissions/bob.ipynb")
    with pytest.raises(WrongFolderError, match=r"submissions, which would be one student: grade"):
        find_submissions(tmp_path)


def test_two_notebooks_of_one_student_of_moodle_are_his(tmp_path):
    put(tmp_path, "A B_1_assignsubmission_file_/a.ipynb")
    put(tmp_path, "A B_1_assignsubmission_file_/b.ipynb")
    assert set(handed_in_by(tmp_path)[0]) == {"A B 1"}


def test_a_folder_without_work_is_refused(tmp_path, term):
    (tmp_path / "all.zip").write_bytes(b"PK")
    with pytest.raises(WrongFolderError, match=r"holds no notebook .*all\.zip: an archive"):
        grade_folder(tmp_path, term, tmp_path.parent / "out", trusted=True)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        find_submissions(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "text",
    ["", "%PDF", "[]", "{}", '{"cells": 1}', '{"cells": ["x"]}', '{"cells": [{"source": 1}]}',
     '{"cells": [{"source": [1], "cell_type": "code"}]}', "[" * 100_000],
)  # fmt: skip
def test_what_is_no_notebook_is_told(tmp_path, text):
    path = tmp_path / "a.ipynb"
    path.write_text(text, "utf-8")
    assert read_submission("a", path).problem == "the file is not a Jupyter notebook"


# Which assignment

LAYERS = [f"def {task.name}(x): pass" for task in load("layers").tasks]
SPECTRA = [f"def {task.name}(x): pass" for task in load("spectra").tasks]


def test_notebooks_of_something_else_are_refused(tmp_path):
    with pytest.raises(WrongFolderError, match="say ASSIGNMENT="):
        guess_assignment([read_submission("a", put(tmp_path, "a.ipynb"))])


def test_a_notebook_of_another_assignment_is_told_so(tmp_path):
    for name in ("ada", "bob"):
        put(tmp_path, f"{name}.ipynb", *SPECTRA)
    put(tmp_path, "eve.ipynb", *LAYERS)
    put(tmp_path, "kim.ipynb", *SPECTRA)
    put(tmp_path, "kim (1).ipynb", *LAYERS)
    put(tmp_path, "lee.ipynb", "x = 1")
    found, _ = find_submissions(tmp_path)
    every = [each for rivals in found.values() for each in rivals]
    assert guess_assignment(every) == "spectra"
    chosen = {each.student: each for each in choose_all(found, "spectra")}
    assert chosen["eve"].problem == "this is a notebook of layers, not of spectra"
    assert [chosen[name].problem for name in ("ada", "bob", "kim", "lee")] == [None] * 4
    assert chosen["kim"].path.name == "kim.ipynb"
    assert chosen["kim"].notes == ["2 files were handed in; kim.ipynb was graded"]


def test_two_assignments_in_equal_numbers_have_to_be_told(tmp_path):
    put(tmp_path, "ada.ipynb", *SPECTRA)
    put(tmp_path, "eve.ipynb", *LAYERS)
    found, _ = find_submissions(tmp_path)
    with pytest.raises(WrongFolderError, match="say ASSIGNMENT="):
        guess_assignment([each for rivals in found.values() for each in rivals])


# Which term

SPRING = Term("Spring · B (2027)", "a secret of these tests")


def hand_out(folder, name, term):
    """Put the release of a term into a folder, or a notebook that names none."""
    if term is None:
        return put(folder, name, *SPECTRA)
    path = folder / name
    nbformat.write(release.release_notebook(load("spectra"), Term(term, SPRING.secret)), path)
    return path


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("kind", [release.release_notebook, release.key_notebook])
def test_a_notebook_names_its_term(tmp_path, name, kind):
    path = tmp_path / "a.ipynb"
    nbformat.write(kind(load(name), SPRING), path)
    assert read_submission("a", path).term == SPRING.name
    assert read_submission("a", put(tmp_path, "b.ipynb", "# x · 20 points · y")).term is None


class StopHere(Exception):
    """A notebook would run now."""


def test_another_term_is_told_before_a_notebook_runs(tmp_path, monkeypatch, capsys):
    def stop(**_):
        raise StopHere

    monkeypatch.setattr("grader.grade.require_working", stop)
    for terms, told in ((("Autumn", "Autumn", None), True), ((SPRING.name, "Autumn"), False)):
        folder = tmp_path / str(told)
        folder.mkdir()
        for number, term in enumerate(terms):
            hand_out(folder, f"{number}.ipynb", term)
        with pytest.raises(StopHere):
            grade_folder(folder, SPRING, tmp_path / "out", trusted=True)
        message = f"no notebook is of the term '{SPRING.name}'"
        assert (message in capsys.readouterr().err) == told


@pytest.mark.parametrize(
    ("named", "noted"),
    [
        ({"ada": SPRING.name, "bob": "Autumn", "eve": None}, ["bob"]),
        ({"ada": SPRING.name, "bob": SPRING.name}, []),
        ({"ada": None, "bob": None}, []),
    ],
)
def test_a_notebook_of_another_term_is_told_so(tmp_path, named, noted):
    submissions = [
        read_submission(student, hand_out(tmp_path, f"{student}.ipynb", term))
        for student, term in named.items()
    ]
    notes = check_term(submissions, SPRING)
    assert [each.student for each in submissions if each.notes] == noted
    told = [note for each in submissions for note in each.notes]
    assert told == ["this notebook is of the term 'Autumn'"] * len(noted)
    assert notes == [f"1 of another term than '{SPRING.name}': bob"] * len(noted)


# Places and terms


def test_places_that_would_do_harm_are_refused(tmp_path):
    folder = tmp_path / "in"
    put(folder, "ada.ipynb")
    for target in (folder, folder / "out", folder / "a" / ".." / "b"):
        with pytest.raises(WrongFolderError, match="would be handed in next time"):
            check_places(folder, target, None)
    with pytest.raises(WrongFolderError, match="cannot be written"):
        check_places(tmp_path / "in", put(tmp_path, "file"), None)
    with pytest.raises(WrongFolderError, match=r"no assignment 'spectre'; there are .*spectra"):
        check_places(folder, tmp_path / "out", "spectre")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        check_places(tmp_path / "none", tmp_path / "out", None)
    check_places(folder, tmp_path, "spectra")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected name and secret"),
        ('name = "A"\nsecret = "short"', "has 5 characters, and needs 16"),
        ('name = "A"\nsecret_variable = "NOT_SET"', r"variable NOT_SET, which .*term\.toml names"),
        ("name = ", "is not TOML"),
        ('name = "A"\nsecret = "long enough to be one"\nx = 1', "expected name and secret"),
    ],
)
def test_a_term_that_says_too_little_is_refused(tmp_path, text, message):
    path = tmp_path / "term.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(TermError, match=message):
        read_term(path)


def test_a_term_that_is_no_file_is_refused(tmp_path):
    with pytest.raises(TermError, match=r"no file .*coursework/term\.toml is an example"):
        read_term(tmp_path / "none.toml")
    with pytest.raises(TermError, match="cannot be read: Is a directory"):
        read_term(tmp_path)


def test_half_characters_and_odd_cells_stop_nothing(tmp_path):
    path = tmp_path / "a.ipynb"
    cells = [{"cell_type": "code", "source": "x = '\ud800'"}, {"cell_type": [], "source": "y"}]
    path.write_text(json.dumps({"cells": cells}), "utf-8")
    assert read_submission("a", path).problem is None
