"""How the grader runs: what a call may cost, and terms in a row."""

import handed_in
import pytest
from grader.assignment import load
from grader.run import Talk, run_notebook
from grader.term import TermError, read_term

SECRET = 'secret = "a secret that is long enough"\n'


# Terms in a row


def write_term(folder, name, previous=None):
    line = f"previous = {previous!r}\n" if previous is not None else ""
    (folder / name).write_text(f'name = "{name}"\n{SECRET}{line}', "utf-8")


def test_a_term_reads_the_terms_before_it(tmp_path):
    (tmp_path / "old").mkdir()
    write_term(tmp_path / "old", "first.toml")
    write_term(tmp_path / "old", "second.toml", "first.toml")
    write_term(tmp_path, "third.toml", "old/second.toml")
    term = read_term(tmp_path / "third.toml")
    assert term.previous.name == "second.toml"
    assert term.previous.previous.name == "first.toml"
    assert term.previous.previous.previous is None


def test_terms_that_go_in_circles_are_refused(tmp_path):
    write_term(tmp_path, "a.toml", "b.toml")
    write_term(tmp_path, "b.toml", "a.toml")
    with pytest.raises(TermError, match=r"b\.toml, previous: .*a\.toml is the term before itself"):
        read_term(tmp_path / "a.toml")


@pytest.mark.parametrize(
    ("previous", "message"),
    [
        ("", "expected a file as previous, got ''"),
        (2026, "expected a file as previous, got 2026"),
        ("gone.toml", r"term\.toml, previous: there is no file .*gone\.toml"),
    ],
)
def test_a_term_before_that_cannot_be_read_is_refused(tmp_path, previous, message):
    write_term(tmp_path, "term.toml", previous)
    with pytest.raises(TermError, match=message):
        read_term(tmp_path / "term.toml")


# What a call may cost


@pytest.mark.sandboxed
def test_a_function_that_was_late_once_is_not_called_again(monkeypatch):
    asked = []
    say = Talk.say
    monkeypatch.setattr(
        Talk, "say", lambda talk, told: (asked.append(told["case"]), say(talk, told))
    )
    cells = ["def slow(n):\n    while True: pass", "def quick(n):\n    return n"]
    calls = {f"{name}-{n}": (name, (n,), 2) for name in ("slow", "quick") for n in range(5)}
    run = run_notebook(cells, calls)
    assert asked == ["slow-0", *(f"quick-{n}" for n in range(5))]
    late = ("error", "it took longer than 2 s, or more memory than there is")
    assert [run.values[f"slow-{n}"] for n in range(5)] == [late] * 5
    assert [run.values[f"quick-{n}"] for n in range(5)] == [("value", n) for n in range(5)]


@pytest.mark.sandboxed
def test_a_call_is_measured_by_the_processor_and_not_by_the_clock():
    """A busy machine costs nobody points; whoever sleeps is waited for a little longer."""
    cells = ["import time\ndef nap(seconds):\n    time.sleep(seconds)\n    return seconds"]
    run = run_notebook(cells, {"short": ("nap", (1.5,), 1), "long": ("nap", (30,), 1)})
    assert run.values["short"] == ("value", 1.5)
    assert run.values["long"][0] == "error" and "longer than 1 s" in run.values["long"][1]


@pytest.mark.sandboxed
def test_what_one_call_wrote_is_not_the_result_of_the_next():
    cells = ["import os\ndef f(n):\n    if n: os._exit(0)\n    return n"]
    run = run_notebook(cells, {"first": ("f", (0,), 5), "second": ("f", (1,), 5)})
    assert run.values == {"first": ("value", 0), "second": ("error", "it ended the program")}


def test_a_class_of_sixty_is_fifty_and_ten_and_no_two_are_alike(term):
    handed = handed_in.make_class(load("spectra"), term)
    assert len(handed) == 60 == len({each.text for each in handed.values()})
    assert len([name for name in handed if name.startswith("hostile-")]) == 10
    sums = [sum(each.points.values()) for each in handed.values()]
    assert min(sums) == 0 and max(sums) == 16 and len(set(sums)) > 5
