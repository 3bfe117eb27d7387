"""The marks of answers whose worth is known: key, untouched, wrong, mutated, of last year."""

import matplotlib.pyplot as plt
import pytest
from grader import release
from grader.assignment import load, names
from grader.draw import draw_assignment, draw_task
from grader.marks import mark_submission, mark_task
from grader.term import Term
from grader.trust import as_submission, rows_of, run_here

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
    for term in terms_that_show_every_variant(assignment):
        key = release.key_notebook(assignment, term)
        assert any("assert" in cell.source for cell in key.cells if cell.cell_type == "code")
        run_here(key)
        plt.close("all")


@pytest.mark.sandboxed
@pytest.mark.parametrize("name", names())
def test_the_key_of_one_term_gets_less_than_half_in_another(name):
    assignment = load(name)
    first = Term("First", "the secret of the first term")
    others = (Term("Other", f"the secret of another term, {n}") for n in range(100))
    varied = [task for task in assignment.tasks if len(task.variants) > 1]
    second = next(
        other
        for other in others
        if all(first.variant(name, task) != other.variant(name, task) for task in varied)
    )
    key = as_submission(release.key_notebook(assignment, first))
    drawn = draw_assignment(second, name, assignment.tasks)
    marks, _ = mark_submission(key, assignment.tasks, drawn)
    assert sum(mark.points for mark in marks) < sum(mark.of for mark in marks) / 2
