"""The program of the capstone: as it is handed out, and as the grader runs what comes back."""

import csv
import importlib.util
import re
import sys
from dataclasses import replace

import nbformat
import numpy as np
import pytest
import torch
from grader import release
from grader.assignment import folder_of, load
from grader.grade import grade_folder, write_coursework
from grader.program import draw_program, mark_program
from grader.submissions import Submission, files_beside
from torch import nn

STARTER = folder_of("capstone") / "starter" / "measure.py"


@pytest.fixture
def program(tmp_path, monkeypatch):
    """The starter as a module, with 64 images beside it."""
    spec = importlib.util.spec_from_file_location("measure_of_the_capstone", STARTER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    images = np.random.default_rng(0).random((64, 3, 32, 32))
    np.save(tmp_path / "images.npy", images)
    places = [str(tmp_path / "images.npy"), str(tmp_path / "measured.csv")]
    monkeypatch.setattr(sys, "argv", ["measure.py", *places])
    return module


def test_the_starter_runs_as_it_is(program, tmp_path):
    program.main()
    with (tmp_path / "measured.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["cycles_per_image"]) for row in rows] == list(range(17))
    assert all(float(row["sensitivity"]) > 0 for row in rows)


def test_the_logits_can_be_doubled(program, tmp_path, monkeypatch):
    def run(*options):
        monkeypatch.setattr(sys, "argv", [*sys.argv[:3], *options])
        program.main()
        rows = (tmp_path / "measured.csv").read_text("utf-8").splitlines()[1:]
        return np.array([float(row.split(",")[1]) for row in rows])

    assert np.allclose(run("--scale", "2"), 2 * run(), rtol=1e-4)


def flat():
    """A linear network."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))


def test_a_network_that_hears_nothing_is_refused(program, tmp_path, monkeypatch):
    network = flat()
    monkeypatch.setattr(program, "own_network", lambda: lambda x: 0 * network(x))
    with pytest.raises(SystemExit, match="not all of them zero"):
        program.main()
    assert not (tmp_path / "measured.csv").exists()


def test_a_measurement_that_does_not_double_with_the_logits_is_refused(program, monkeypatch):
    measure = program.measure

    def shares(network, images):
        found = measure(network, images)
        return found / found.sum()

    monkeypatch.setattr(program, "measure", shares)
    with pytest.raises(SystemExit, match="must double"):
        program.main()


def test_an_image_that_sees_the_others_is_refused(program, monkeypatch):
    network = flat()
    monkeypatch.setattr(program, "own_network", lambda: lambda x: len(x) * network(x))
    with pytest.raises(SystemExit, match="does an image see the others"):
        program.main()


def test_the_starter_is_handed_out_beside_the_notebook(tmp_path, term):
    write_coursework(term, tmp_path)
    handed_out = {path.name for path in (tmp_path / "release" / "capstone").iterdir()}
    assert handed_out == {"capstone.ipynb", "measure.py"}
    assert not list((tmp_path / "release").rglob("tasks.py"))


# What the grader makes of it

PROGRAM = load("capstone").programs[0]
# A network of a student's: the starter with another one in it.
OWN = STARTER.read_text("utf-8").replace("torch.manual_seed(0)", "torch.manual_seed(1)")


def table(values):
    lines = [f"{ring},{float(value)}" for ring, value in enumerate(values)]
    return "\n".join(["cycles_per_image,sensitivity", *lines]) + "\n"


def runs(plain, **others):
    """What a program has written in each run, right unless told otherwise."""
    plain = np.asarray(plain)
    told = {"plain": plain, "permuted": plain, "twice": plain, "scaled": 2 * plain}
    told |= {"others": 1.1 * plain} | others
    return {name: table(values) for name, values in told.items()}


ONES, FALLING = np.ones(17), 1 / np.arange(1, 18)


@pytest.mark.parametrize(
    ("found", "misconception", "message"),
    [
        (runs(FALLING), None, "Right on all runs."),
        (runs(FALLING, others=FALLING), None, "A person looks at that"),
        (runs(ONES), "handed-out", "Put yours in"),
        (runs(FALLING, permuted=FALLING * 1.1), "permuted", "another order"),
        (runs(FALLING, twice=2 * FALLING), "twice", "mean over images"),
        (runs(FALLING, scaled=4 * FALLING), "square", "the root"),
        (runs(FALLING, scaled=FALLING), "scaled", "must double"),
        (runs(-FALLING), "table", "finite and positive"),
        (runs(np.nan * FALLING), "table", "finite and positive"),
        (runs(0 * FALLING), "table", "not all of them zero"),
        (runs(FALLING[:16]), "table", "one line for each ring"),
        (dict.fromkeys(runs(ONES), "sensitivity\n"), "table", "the first line must be"),
        (dict.fromkeys(runs(ONES), table(ONES).replace("1.0", "one")), "table", "not a number"),
        (dict.fromkeys(runs(ONES), table(ONES).replace("1.0", "1,0")), "table", "two values"),
        (dict.fromkeys(runs(ONES), "\0"), "table", "cannot be used"),
    ],
)  # fmt: skip
def test_each_fault_of_the_numbers_is_named(found, misconception, message):
    verdict = PROGRAM.judge(found, runs(ONES))
    assert (verdict.right, verdict.misconception) == (misconception is None, misconception)
    assert message in verdict.message


@pytest.fixture(scope="module")
def drawn(term):
    return draw_program(PROGRAM, term, "capstone", STARTER.parent)


def mark(drawn, folder, program, **files):
    """Hand in a program, and mark it."""
    (folder / "measure.py").write_text(program, "utf-8")
    (folder / "x.ipynb").write_text("{}", "utf-8")
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    submission = Submission("ada", folder / "x.ipynb", files=files_beside(folder / "x.ipynb"))
    return mark_program(submission, drawn)


@pytest.mark.sandboxed
def test_a_program_with_a_network_of_its_own_gets_its_points(drawn, tmp_path):
    source = OWN.replace("torch.manual_seed(1)", 'torch.manual_seed(int(open("seed").read()))')
    assert mark(drawn, tmp_path, source, seed="7").points == 4


@pytest.mark.sandboxed
def test_the_starter_untouched_gets_none(drawn, tmp_path):
    found = mark(drawn, tmp_path, STARTER.read_text("utf-8") + "\n# mine\n")
    assert (found.points, found.misconception) == (0, "handed-out")


def test_a_program_that_is_not_there_costs_its_own_points(drawn, tmp_path):
    found = mark_program(Submission("ada", tmp_path / "ada.ipynb"), drawn)
    assert found.points == 0 and "measure.py was not handed in" in found.message


TRIES = {
    "exits": ("raise SystemExit(0)", "wrote 0 bytes"),
    "fails": ("1 / 0", "ended with an error: ZeroDivisionError"),
    "loops": ("while True: pass", "took longer than 5 s"),
    "sleeps": ("import time; time.sleep(600)", "took longer than 5 s"),
    "memory": ("bytearray(30_000_000_000)", "MemoryError"),
    "network": ('import socket; socket.create_connection(("127.0.0.1", 1), 2)', "OSError|refused"),
    "writes-elsewhere": ('open("notes.txt", "w")', "Read-only"),
    "huge-file": ("import sys; open(sys.argv[2], 'w').write('1' * 2_000_000)", "wrote 2000000"),
    "link": (
        "import sys, os; os.remove(sys.argv[2]); os.symlink('/etc/passwd', sys.argv[2])",
        "busy",
    ),
    "no-text": ("import sys; open(sys.argv[2], 'wb').write(bytes([255, 254]))", "is no text"),
    "much-said": ("import sys; sys.stderr.write('x' * 50_000_000); 1 / 0", "ended with an error"),
    "left-running": (
        "import os, time\nif os.fork() == 0:\n    os.setsid(); time.sleep(600)",
        "wrote 0 bytes",
    ),
}  # fmt: skip


@pytest.mark.sandboxed
@pytest.mark.parametrize("name", TRIES)
def test_a_program_that_tries_something_else_gets_none_and_a_reason(drawn, tmp_path, name):
    source, reason = TRIES[name]
    patient = replace(drawn, program=replace(PROGRAM, seconds=5))
    found = mark(patient, tmp_path, source)
    assert found.points == 0
    assert re.search(reason, found.message), found.message


@pytest.mark.sandboxed
def test_a_program_sees_its_own_folder_and_no_other(drawn, tmp_path):
    (tmp_path / "ada").mkdir()
    (tmp_path / "bob").mkdir()
    (tmp_path / "bob" / "secret.txt").write_text("of bob")
    (tmp_path / "ada" / "link").symlink_to(tmp_path / "bob")
    seen = f"sorted(os.listdir()), os.path.exists({str(tmp_path)!r})"
    source = f"import os\nraise RuntimeError(({seen}))"
    found = mark(drawn, tmp_path / "ada", source)
    assert "(['measure.py', 'x.ipynb'], False)" in found.message


@pytest.mark.sandboxed
def test_a_folder_with_notebook_and_program_is_graded_whole(term, tmp_path):
    assignment = load("capstone")
    for name, program in (("ada", OWN), ("bob", None)):
        (tmp_path / "in" / name).mkdir(parents=True)
        key = release.key_notebook(assignment, term)
        nbformat.write(key, tmp_path / "in" / name / "capstone.ipynb")
        if program:
            (tmp_path / "in" / name / "measure.py").write_text(program, "utf-8")
    _, graded, notes = grade_folder(tmp_path / "in", term, tmp_path / "out")
    points = {each.student: [mark.points for mark in marks] for each, marks, _ in graded}
    assert points == {"ada": [4, 4, 4], "bob": [4, 4, 0]}
    assert not [note for note in notes if "measure.py" in note]
    rows = (tmp_path / "out" / "capstone" / "grades.csv").read_text("utf-8").splitlines()
    assert rows[0].startswith("student,measure,change,program,")
