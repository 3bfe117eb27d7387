"""The grader against honest, careless and hostile submissions."""

import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import handed_in
import nbformat
import pytest
import torch
import yaml
from grader import codec, release, sandbox
from grader.assignment import load
from grader.draw import draw_assignment, draw_task
from grader.grade import grade_folder
from grader.marks import mark_submission
from grader.run import run_notebook
from grader.sandbox import start
from grader.term import Term
from grader.trust import as_submission, code_of

from freqsense.exercises import UnluckyInputsError, Wrong

sandboxed = pytest.mark.sandboxed
PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}


@pytest.fixture(scope="module")
def assignment():
    return load("spectra")


@pytest.fixture(scope="module")
def answers(assignment, term):
    """The key's functions without the cells that load photographs or test: it starts quickly."""
    cells = code_of(release.key_notebook(assignment, term))
    asked = tuple(f"def {task.name}(" for task in assignment.tasks)
    solutions = [source for source in cells if source.startswith(asked)]
    return ["import torch\nfrom freqsense import fourier", *solutions]


@pytest.fixture(scope="module")
def class_folder(tmp_path_factory, answers):
    """A folder as it comes from a course: right, careless, hostile, and things that are no work."""
    folder = tmp_path_factory.mktemp("class")
    honest = {
        "ada": answers,
        "copied-cells": [*answers, answers[1], *answers],
        "reordered": [answers[0], *reversed(answers[1:])],
        "tests-deleted": answers,
        "one-broken-cell": [*answers[:2], "this is not python", *answers[2:]],
        "magics": ["%matplotlib inline\n!pip list", *answers],
        "left-running": [*answers, handed_in.THREADS],
        "forgot-one": answers[:-1],
    }
    for name, cells in honest.items():
        (folder / f"{name}.ipynb").write_text(handed_in.notebook(*cells), "utf-8")
    for name, source in handed_in.HOSTILE.items():
        text = handed_in.notebook(source, answers[0], answers[-1])
        (folder / f"hostile-{name}.ipynb").write_text(text, "utf-8")
    bare = {"cells": [{"cell_type": "code", "source": source} for source in answers]}
    (folder / "stripped.ipynb").write_text(json.dumps(bare), "utf-8")
    (folder / "empty.ipynb").write_text("", "utf-8")
    (folder / "no-notebook.ipynb").write_text("%PDF-1.7", "utf-8")
    (folder / "no-cells.ipynb").write_text(handed_in.notebook(), "utf-8")
    (folder / "ada (1).ipynb").write_text(handed_in.notebook(*answers), "utf-8")
    (folder / "essay.docx").write_bytes(b"PK")
    with (folder / "large.ipynb").open("wb") as file:
        file.truncate(100_000_000)
    return folder


@pytest.fixture(scope="module")
def sandboxes(tmp_path_factory):
    """Where the sandboxes of this class have their folders."""
    return tmp_path_factory.mktemp("sandboxes")


@pytest.fixture(scope="module")
def graded(class_folder, term, sandboxes, tmp_path_factory):
    target = tmp_path_factory.mktemp("graded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(sandboxes))
        assignment, graded, notes = grade_folder(class_folder, term, target)
    marks = {submission.student: marks for submission, marks, _ in graded}
    return (
        target / assignment.name,
        marks,
        {submission.student: submission for submission, *_ in graded},
        notes,
    )


def points(marks):
    return {mark.task: mark.points for mark in marks}


FULL = {"power": 4, "radial": 5, "exponent": 4, "interval": 3}


@sandboxed
@pytest.mark.parametrize(
    "student",
    ["ada", "copied-cells", "reordered", "tests-deleted", "one-broken-cell", "magics",
     "left-running", "stripped"],
)  # fmt: skip
def test_a_right_notebook_gets_full_marks_however_it_looks(graded, student):
    assert points(graded[1][student]) == FULL


@sandboxed
def test_a_missing_function_costs_its_own_task_alone(graded):
    assert points(graded[1]["forgot-one"]) == FULL | {"interval": 0}
    assert "no function interval" in graded[1]["forgot-one"][-1].message


# The last cell of each holds a right `interval`, 3 points, which the rest must not cost.
@sandboxed
@pytest.mark.parametrize(
    ("name", "kept", "reason"),
    [
        ("patches-comparison", 3, "expected shape|differ"),
        ("patches-library", 3, "cannot be handed in"),
        ("transforms-cells", 3, "no function power"),
        ("reads-files", 3, "found 0"),
        ("writes-elsewhere", 3, "wrote nothing"),
        ("exits", 3, "no function power"),
        ("exits-in-call", 3, "ended the program"),
        ("system-exit", 3, "no function power"),
        ("loops", 3, "longer than 10 s"),
        ("sleeps", 3, "longer than 10 s"),
        ("fills-the-disk", 3, "wrote False"),
        ("steals-the-result", 3, "could not replace"),
        ("memory", 3, "memory"),
        ("huge-result", 3, "too large"),
        ("forks", 3, "expected shape|differ"),
        ("threads", 3, "no function power"),
        ("lies", 0, ""),
        ("pickle", 3, "cannot be read|allow_pickle"),
        ("no-numbers", 3, "expected numbers"),
    ],
)
def test_a_hostile_notebook_gets_what_it_has_earned(graded, name, kept, reason):
    marks = graded[1][f"hostile-{name}"]
    got = points(marks)
    assert got["power"] == got["radial"] == got["exponent"] == 0
    assert got["interval"] >= kept
    assert re.search(reason, marks[0].message), marks[0].message


@sandboxed
@pytest.mark.parametrize(
    ("student", "problem"),
    [
        ("empty", "not a Jupyter notebook"),
        ("no-notebook", "not a Jupyter notebook"),
        ("no-cells", "holds no code"),
        ("large", "100 MB"),
    ],
)
def test_what_is_no_notebook_gets_no_points_and_a_reason(graded, student, problem):
    assert sum(points(graded[1][student]).values()) == 0
    assert problem in graded[1][student][0].message


@sandboxed
def test_a_second_download_is_the_same_student(graded):
    assert "ada (1)" not in graded[1]
    assert graded[2]["ada"].path.name == "ada (1).ipynb"
    assert graded[2]["ada"].notes == ["2 files were handed in; ada (1).ipynb was graded"]
    assert "essay.docx: not a notebook, left out" in graded[3]


@sandboxed
def test_nothing_is_left_running(graded, sandboxes):
    # The kernel ends what a sandbox holds, a moment after the sandbox.
    assert comes_true(lambda: list_inside(sandboxes) == [])
    (sandboxes / "result.npz").touch()
    with start(sandboxes, sandboxes / "result.npz") as process:
        assert comes_true(lambda: list_inside(sandboxes)), "a sandbox that runs is not seen"
        process.kill()


def comes_true(condition, seconds=5):
    """Tell whether a condition holds within some seconds; what is left behind sleeps for 600."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def list_inside(folder):
    """List the processes whose walls leave a folder open; those of other tests have others."""
    places = Path("/proc").glob("[0-9]*")
    return [place for place in places if str(folder) in mounts_of(place)]


def mounts_of(place):
    """What a process sees of the disk; it may end while this is read."""
    try:
        return (place / "mountinfo").read_text("utf-8")
    except OSError:
        return ""


@sandboxed
def test_the_sandbox_has_no_network(assignment, answers, term):
    """The same call arrives where there is no wall, so it is the wall that stops it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        threading.Thread(target=lambda: server.accept(), daemon=True).start()
        source = handed_in.NETWORK.replace("{port}", str(server.getsockname()[1]))
        drawn = draw_assignment(term, "spectra", assignment.tasks)
        submission = replace(as_submission(release.key_notebook(assignment, term)), code=[source])
        inside, _ = mark_submission(submission, assignment.tasks, drawn)
        outside, _ = mark_submission(submission, assignment.tasks, drawn, trusted=True)
    assert "refused" in inside[0].message
    assert "connected" in outside[0].message


@sandboxed
def test_marks_are_told_in_every_format(graded):
    folder, marks, *_ = graded
    rows = (folder / "grades.csv").read_text("utf-8").splitlines()
    assert rows[0] == "student,power,radial,exponent,interval,off-the-law,total,note"
    assert "ada,4,5,4,3,0,16,2 files were handed in; ada (1).ipynb was graded" in rows
    assert "tests-deleted,4,5,4,3,0,16," in rows
    results = json.loads((folder / "gradescope" / "ada" / "results.json").read_text("utf-8"))
    assert results["score"] == 16 and len(results["tests"]) == 5
    page = (folder / "feedback" / "forgot-one.html").read_text("utf-8")
    assert "<strong>13</strong> of 20 points" in page and "no answer found" in page
    assert "there is no function interval" in page
    assert "</thead>" in (folder / "class.html").read_text("utf-8")


def test_a_sandbox_that_does_not_start_leaves_no_cell_to_blame(monkeypatch):
    command = [sys.executable, "-c", ""]
    monkeypatch.setattr(sandbox, "start", lambda *_, **__: subprocess.Popen(command, **PIPES))
    run = run_notebook(["x = 1"], {"one": ("one", (), 1)})
    assert run.cell_errors == {}
    assert run.values == {"one": ("error", "the notebook ended before it could be called")}


# Inputs


def test_inputs_follow_from_the_secret_alone(assignment, term):
    task = assignment.tasks[0]
    once, again = (arguments_of(term, task) for _ in range(2))
    other = arguments_of(Term("Test term", "another secret of the same kind"), task)
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


def arguments_of(term, task):
    """Return the images of the first call."""
    return draw_task(term, "spectra", task).cases.arguments[0][0]


def test_inputs_on_which_a_wrong_answer_does_not_show_are_drawn_anew_until_given_up(term):
    task = load("spectra").tasks[2]
    same = Wrong("same", task.reference(term.variant("spectra", task)), "")
    hopeless = replace(task, wrong=lambda variant: [same])
    with pytest.raises(UnluckyInputsError, match="same"):
        draw_task(term, "spectra", hopeless)


def test_an_error_of_the_reference_stops_everything(term):
    def broken(variant):
        return lambda *arguments: 1 / 0

    with pytest.raises(ZeroDivisionError):
        draw_task(term, "spectra", replace(load("spectra").tasks[0], reference=broken))


# What crosses


@pytest.mark.parametrize(
    "value",
    [
        torch.arange(3).conj(),
        torch.ones(2, dtype=torch.complex64).conj(),
        torch.ones(2, requires_grad=True) * 2,
        (1, 2.5, True, None, "text", 1j),
        [torch.zeros(0), {"a": (1,)}],
    ],
)
def test_values_cross_unharmed(value):
    back = codec.unpack(codec.pack(value))
    assert type(back) is type(value)
    assert codec.pack(back) == codec.pack(value)


def test_no_object_crosses():
    with pytest.raises(TypeError, match="a set cannot be handed in"):
        codec.pack({1, 2})


def test_a_result_is_measured_before_it_is_read(monkeypatch):
    data = codec.pack(torch.ones(1000))
    monkeypatch.setattr(codec, "LIMIT", 1000)
    with pytest.raises(ValueError, match="more than"):
        codec.unpack(data)


# The notebooks


@pytest.mark.parametrize("secret", range(8))
def test_the_release_holds_no_line_of_a_solution(assignment, secret):
    term = Term("Leak", f"a secret for leaks, {secret}")
    sources = {
        kind: [cell.source for cell in make(assignment, term).cells]
        for kind, make in (("key", release.key_notebook), ("release", release.release_notebook))
    }
    text = "\n".join(sources["release"])
    secret_lines = {
        line.strip()
        for before, after in zip(sources["key"], sources["release"], strict=True)
        for line in set(before.splitlines()) - set(after.splitlines())
        if len(line.strip()) > 12
    }
    assert len(secret_lines) > 20
    assert [line for line in secret_lines if line in text] == []
    assert "BEGIN SOLUTION" not in text and "<!-- key -->" not in text and "<<" not in text


def test_the_nbgrader_notebook_names_tasks_and_points(assignment, term):
    notebook = release.nbgrader_notebook(assignment, term)
    nbformat.validate(notebook)
    told = [cell.metadata["nbgrader"] for cell in notebook.cells if "nbgrader" in cell.metadata]
    asked = {f"answer-{each.name}": each.points for each in assignment.questions}
    solutions = [each["grade_id"] for each in told if each["solution"]]
    assert set(solutions) >= {*FULL, *asked} and len(set(solutions)) == len(solutions)
    points = {each["grade_id"]: each["points"] for each in told if each["grade"]}
    assert points == {f"test-{name}": of for name, of in FULL.items()} | asked
    assert "### BEGIN SOLUTION" in "".join(cell.source for cell in notebook.cells)


def test_a_key_says_so_in_its_title_and_a_release_does_not(assignment, term):
    key, handed_out = (
        make(assignment, term).cells[0].source
        for make in (release.key_notebook, release.release_notebook)
    )
    assert key.startswith(f"# {release.KEY_TITLE}") and release.KEY_TITLE not in handed_out
    assert key.replace(release.KEY_TITLE, "") == handed_out


def test_students_get_the_environment_of_the_book_and_the_library(repository):
    told = yaml.safe_load(release.student_environment())
    book = yaml.safe_load((repository / "binder" / "environment.yml").read_text("utf-8"))
    *packages, pip = told.pop("dependencies")
    assert packages == book.pop("dependencies")
    assert told == book
    assert pip == {"pip": [release.LIBRARY]}
