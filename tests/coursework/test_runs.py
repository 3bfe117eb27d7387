"""How the grader runs: terms in a row, what a call may cost, and programs."""

import pytest
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
