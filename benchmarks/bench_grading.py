"""A class of sixty, ten of whom are hostile, graded unattended.

The notebooks are whole, as students hand them in: they load photographs and run the visible checks.
Ends with status 1 if it takes too long, or if a mark is not the one that was earned.
"""

import os
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "coursework"), str(ROOT / "tests" / "coursework")]

from grader import sandbox  # noqa: E402
from grader.assignment import load  # noqa: E402
from grader.grade import grade_folder  # noqa: E402
from grader.term import Term  # noqa: E402
from handed_in import make_class  # noqa: E402
from timing import print_row  # noqa: E402

SECONDS, CORES = 120, 2


@contextmanager
def count_sandboxes():
    """Collect the processor time of each sandbox, looked up just before it is killed."""
    used, start = [], sandbox.start

    def counted(*given, **named):
        process = start(*given, **named)
        kill = process.kill
        process.kill = lambda: (used.append(seconds_of(process.pid)), kill())
        return process

    sandbox.start = counted
    try:
        yield used
    finally:
        sandbox.start = start


def seconds_of(number):
    """Return the processor time of a process and of those that it has started."""
    place = Path("/proc") / str(number)
    try:
        fields = (place / "stat").read_text("utf-8").rpartition(")")[2].split()
        children = (place / "task" / str(number) / "children").read_text("utf-8").split()
    except OSError:  # it has ended
        return 0
    ticks = sum(map(int, fields[11:15]))  # its own, and those of children that have ended
    return ticks / os.sysconf("SC_CLK_TCK") + sum(map(seconds_of, children))


def bench_class(folder):
    """Grade a class; return the seconds, those of a processor, and marks that were not earned."""
    term = Term("Bench", "a secret for the bench of grading")
    handed = make_class(load("spectra"), term)
    (folder / "in").mkdir()
    for name, each in handed.items():
        (folder / "in" / f"{name}.ipynb").write_text(each.text, "utf-8")
    before, start = time.process_time(), time.perf_counter()
    with count_sandboxes() as used:
        graded = grade_folder(folder / "in", term, folder / "out", assignment="spectra")[1]
    seconds, own = time.perf_counter() - start, time.process_time() - before
    found = {
        submission.student: {mark.task: mark.points for mark in marks}
        for submission, marks, _ in graded
    }
    wrong = [
        f"{name}: expected {each.points}, got {found.get(name)}"
        for name, each in handed.items()
        if found.get(name) != each.points
    ]
    return len(handed), seconds, sum(used) + own, wrong


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        n, seconds, used, wrong = bench_class(Path(folder))
    target = f"at most {SECONDS} s on {CORES} idle cores"
    print_row(f"{n} notebooks graded, ten of them hostile", f"{seconds:.0f} s", target)
    print_row("the same in time of a processor, per core", f"{used / CORES:.0f} s", target)
    print(*wrong, sep="\n")
    sys.exit(bool(wrong) or seconds > SECONDS)
