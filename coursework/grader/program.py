"""A program handed in beside the notebook: it is run on files, and what it writes is judged."""

import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Generator

from freqsense.exercises import Verdict

from . import sandbox
from .marks import Mark
from .submissions import Submission
from .term import Term

LARGEST = 1_000_000  # bytes of what a program writes
MOST_FILES = 200


@dataclass(frozen=True)
class Given:
    """What one run is given: an array in a file, and options."""

    array: np.ndarray
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Program:
    """A program to be written, ``python FILE given.npy written.csv``.

    ``draw`` takes a generator of random numbers and returns the runs by name. ``judge`` takes what
    each has written, as text by the same names, and what the program that was handed out writes.
    """

    name: str
    points: int
    file: str
    draw: Callable[[Generator], Mapping[str, Given]]
    judge: Callable[[Mapping[str, str], Mapping[str, str]], Verdict]
    seconds: int = 180


@dataclass(frozen=True)
class DrawnProgram:
    """A program as a term has it: its runs, and what the one that was handed out writes."""

    program: Program
    runs: Mapping[str, Given]
    handed_out: Mapping[str, str]


class ProgramError(RuntimeError):
    """A program that did not write what it should."""


def draw_program(
    program: Program, term: Term, assignment: str, starter: Path, *, trusted: bool = False
) -> DrawnProgram:
    """Draw the runs of a program, and make them with the one that was handed out."""
    seed = term.number(assignment, program.name, "inputs")
    runs = program.draw(Generator().manual_seed(seed))
    files = {program.file: starter / program.file}
    return DrawnProgram(program, runs, make_runs(program, runs, files, trusted=trusted))


def mark_program(submission: Submission, drawn: DrawnProgram, *, trusted: bool = False) -> Mark:
    """Run a program on all that was drawn; give all points or none, and say why."""
    program = drawn.program
    try:
        check_files(submission, program)
        found = make_runs(program, drawn.runs, submission.files, trusted=trusted)
    except ProgramError as error:
        return Mark(program.name, 0, program.points, f"It stopped: {error}.")
    verdict = program.judge(found, drawn.handed_out)
    points = program.points if verdict.right else 0
    return Mark(program.name, points, program.points, verdict.message, verdict.misconception)


def check_files(submission: Submission, program: Program) -> None:
    """Raise unless the program lies beside the notebook, among not too many other files."""
    if program.file not in submission.files:
        raise ProgramError(
            f"{program.file} was not handed in; it belongs into one folder with the notebook"
        )
    if len(submission.files) > MOST_FILES:
        raise ProgramError(f"{len(submission.files)} files were handed in, more than {MOST_FILES}")


def make_runs(
    program: Program, runs: Mapping[str, Given], files: Mapping[str, Path], *, trusted: bool
) -> dict[str, str]:
    """Return what a program writes in each run; the first that fails ends them."""
    return {name: make_run(program, given, files, trusted=trusted) for name, given in runs.items()}


def make_run(program: Program, given: Given, files: Mapping[str, Path], *, trusted: bool) -> str:
    """Run a program once; each run has a file to write and sees nothing of the others."""
    with tempfile.TemporaryDirectory(prefix="grade-") as place:
        folder = Path(place)
        array, written, told = (folder / name for name in ("given.npy", "measured.csv", "errors"))
        np.save(array, given.array)
        written.touch()
        with told.open("wb") as errors:
            process = sandbox.start_program(
                program.file, files, array, written, given.options, errors, trusted=trusted
            )
            status = wait_for(process, program.seconds)
        if status is None:
            raise ProgramError(f"it took longer than {program.seconds} s")
        if status:
            raise ProgramError(f"it ended with an error: {last_line(told)}")
        return read_written(written)


def wait_for(process: subprocess.Popen[Any], seconds: int) -> int | None:
    """Wait for a process to end, and end it if it takes too long; return its status."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        process.kill()
        process.wait()


def last_line(path: Path) -> str:
    """Return the last line of what a program has said about its error."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2000))
        lines = file.read().decode("utf-8", "replace").split("\n")
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "none was told")


def read_written(path: Path) -> str:
    """Return what a program has written, if it is a text of some size."""
    size = path.stat().st_size
    if not 0 < size <= LARGEST:
        raise ProgramError(f"it wrote {size} bytes, and should write 1 to {LARGEST}")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ProgramError("what it wrote is no text") from None
