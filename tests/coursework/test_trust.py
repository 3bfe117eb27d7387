"""The marks of answers whose worth is known: key, untouched, wrong, mutated, of last year."""

import re
from dataclasses import replace

import matplotlib.pyplot as plt
import pytest
from grader import release
from grader.__main__ import warn_of_example
from grader.assignment import ROOT, load, names
from grader.draw import draw_assignment, draw_task
from grader.marks import mark_submission, mark_task
from grader.term import Term, read_term
from grader.trust import as_submission, chance_in, chance_of_half, rows_of, run_here, write_trust

from freqsense.exercises import Cases, Exercise, Wrong, attempt, judge

SECRETS = 200


@pytest.fixture(scope="module")
def rows(term):
    return [row for name in names() for row in rows_of(load(name), term)]


@pytest.mark.sandboxed
def test_the_key_gets_everything_and_the_untouched_release_nothing(rows):
    assert {(row.task, row.key - row.of, row.untouched) for row in rows} == {
        (row.task, 0, 0) for row in rows
    }


@pytest.mark.sandboxed
def test_right_answers_count_however_they_are_written(rows):
    assert all(row.right[0] == row.right[1] >= 1 for row in rows)


@pytest.mark.sandboxed
def test_each_wrong_answer_is_told_what_it_is(rows):
    assert all(row.wrong[0] == row.wrong[1] >= 5 for row in rows)


@pytest.mark.sandboxed
def test_nine_of_ten_changes_of_the_key_are_noticed(rows):
    for row in rows:
        assert row.mutants[1] >= 8, "too few changes to judge by"
        assert row.mutants[0] >= 0.9 * row.mutants[1], row.survivors


@pytest.mark.parametrize("name", names())
def test_whatever_the_secret_every_wrong_answer_shows_and_every_right_one_is_right(name):
    assignment = load(name)
    for number in range(SECRETS):
        term = Term("Any", f"a secret of this number: {number}")
        for task in assignment.tasks:
            drawn = draw_task(term, name, task)
            for function in drawn.exercise.right:
                values = [("value", function(*each)) for each in drawn.cases.arguments]
                assert mark_task(task, drawn, values).points == task.points


def terms_that_show_every_variant(assignment):
    """Yield terms, each with a variant of some task that those before have not."""
    unseen = {(task.name, str(each)) for task in assignment.tasks for each in task.variants}
    for number in range(1000):
        term = Term("Any", f"a secret for the variants: {number}")
        chosen = {(t.name, str(term.variant(assignment.name, t))) for t in assignment.tasks}
        if chosen & unseen:
            yield term
        unseen -= chosen
    assert not unseen


@pytest.mark.parametrize("name", names())
def test_the_key_passes_its_own_visible_checks(name, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: None)
    plt.switch_backend("Agg")
    assignment = load(name)
    for number, term in enumerate(terms_that_show_every_variant(assignment)):
        key = release.key_notebook(assignment, term)
        checks = [n for n, cell in enumerate(key.cells) if is_check(cell)]
        assert len(checks) >= len(assignment.tasks)
        # Experiments that a person reads stand below; no definition changes them.
        key.cells = key.cells[: checks[-1] + 1] if number else key.cells
        run_here(key)
        plt.close("all")


def is_check(cell):
    """Tell whether a cell holds visible checks."""
    return cell.cell_type == "code" and "assert" in cell.source


# One term after another


PAIRS = 40


def terms_in_a_row(number):
    """Return a term and the one before, which has one before it."""
    first, last, now = (f"a secret of the term {n}, row {number}" for n in range(3))
    before = Term("Last", last, Term("First", first))
    return Term("Now", now, before), before


@pytest.mark.parametrize("name", names())
def test_right_answers_of_the_term_before_get_less_than_half(name):
    """All of them, by the reference, which is faster than the key in a sandbox."""
    tasks, programs = load(name).tasks, load(name).programs
    for now, before in map(terms_in_a_row, range(PAIRS)):
        points = sum(program.points for program in programs)  # each is the student's own
        for task in tasks:
            old, drawn = task.reference(before.variant(name, task)), draw_task(now, name, task)
            values = [("value", attempt(old, each)) for each in drawn.cases.arguments]
            points += mark_task(task, drawn, values).points
        assert points < sum(part.points for part in (*tasks, *programs)) / 2


@pytest.mark.parametrize("name", names())
def test_no_definition_does_for_another(name):
    """Whichever two terms meet: each right answer is wrong under every other definition."""
    for task in load(name).tasks:
        for variant in task.variants:
            only = replace(task, variants=(variant,))
            drawn = draw_task(Term("Any", "a secret for the definitions"), name, only)
            for other in task.variants:
                values = [attempt(task.reference(other), each) for each in drawn.cases.arguments]
                mark = mark_task(task, drawn, [("value", value) for value in values])
                assert bool(mark.points) == (other == variant), (task.name, variant, other)


@pytest.mark.sandboxed
def test_the_key_of_the_term_before_gets_less_than_half():
    now, before = terms_in_a_row("of the sandbox")
    assignment = load("spectra")
    key = as_submission(release.key_notebook(assignment, before))
    drawn = draw_assignment(now, "spectra", assignment.tasks)
    marks, _ = mark_submission(key, assignment.tasks, drawn)
    assert sum(mark.points for mark in marks) < sum(mark.of for mark in marks) / 2


def test_a_task_with_one_definition_keeps_it(term):
    task = replace(load("spectra").tasks[0], variants=({"only": 1},))
    assert Term("Now", term.secret, term).variant("spectra", task) == {"only": 1}


def test_the_chance_of_old_code_is_that_of_its_tasks_together():
    task = load("spectra").tasks[0]
    two = [replace(task, points=points, variants=({},) * n) for points, n in ((3, 2), (1, 4))]
    assert chance_of_half(two) == pytest.approx(1 / 2)
    assert chance_of_half([two[0], two[0]]) == pytest.approx(3 / 4)
    assert chance_of_half(two, certain=2) == pytest.approx(1 - 1 / 2 * 3 / 4)


def test_the_table_says_what_old_code_may_get(tmp_path):
    now, before = terms_in_a_row("of the table")
    told = []
    for term in (replace(now, previous=None), now):
        write_trust([], term, tmp_path)
        told.append((tmp_path / "trust.md").read_text("utf-8"))
    alone, follows = told
    assert alone.startswith(f"# How far to trust the grader: {now.name}")
    assert all(f"{name} {chance_in(load(name)):.0%}" in alone for name in names())
    assert "names no `previous`" in alone and "names no `previous`" not in follows
    assert f"No definition is that of {before.name}" in follows


def test_the_public_secret_is_told(term, capsys):
    warn_of_example(term)
    assert capsys.readouterr().out == ""
    warn_of_example(read_term(ROOT / "term.toml"))
    assert "public example" in capsys.readouterr().out


def test_the_readme_says_what_old_code_may_get():
    text = (ROOT / "README.md").read_text("utf-8")
    ((told, capstone),) = re.findall(r"one of (\d+) terms \(for the capstone, of (\d+)\)", text)
    chances = {name: chance_in(load(name)) for name in names()}
    assert chances.pop("capstone") <= 1 / int(capstone)
    assert max(chances.values()) <= 1 / int(told)


def test_rounding_of_a_wrong_zero_is_named():
    """Code that cancels to 1e-16 has the misconception of which the list gives exactly 0."""
    cancels = Wrong("cancels", lambda x: 0 * x, "They cancel.")
    exercise = Exercise("sum", None, lambda x: x, [cancels], [])
    cases = Cases([(2.0,), (3.0,)], [2.0, 3.0])
    assert judge(exercise, cases, [1e-16, -2e-16]).misconception == "cancels"
    assert judge(exercise, cases, [1e-3, 1e-3]).misconception is None
