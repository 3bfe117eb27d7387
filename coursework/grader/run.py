"""Run one notebook in the sandbox and fetch what its functions return."""

import json
import queue
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import codec, sandbox

CELL_SECONDS = 60
START_SECONDS = 120
PATIENCE = 3  # times as long may a call take as it has seconds of a processor
GRACE = 5  # seconds for the sandbox to report a call that was stopped
RESTARTS = 4
LINE = 100_000  # characters of one reply

Call = tuple[str, tuple[Any, ...], int]  # function, arguments, seconds
Value = tuple[str, Any]  # ("value", it) or ("error", why)


@dataclass
class Run:
    """What came out of a notebook."""

    values: dict[str, Value] = field(default_factory=dict)  # by call
    cell_errors: dict[int, str] = field(default_factory=dict)  # by number of the cell


class Silence(Exception):
    """The sandbox has ended, or said nothing in time."""


def run_notebook(cells: Sequence[str], calls: Mapping[str, Call], *, trusted: bool = False) -> Run:
    """Run cells, which are sources, then calls, each of which has a name.

    A cell or a call that hangs or ends the process is left out, and the rest is run anew.
    """
    run, skipped = Run(), set[int]()
    with tempfile.TemporaryDirectory(prefix="grade-") as place:
        folder, result = Path(place) / "in", Path(place) / "result.npz"
        folder.mkdir()
        result.touch()
        for name, (_, arguments, _) in calls.items():
            (folder / f"{name}.npz").write_bytes(codec.pack(arguments))
        for _ in range(RESTARTS + 1):
            left = [(n, source) for n, source in enumerate(cells) if n not in skipped]
            (folder / "cells.json").write_text(json.dumps(left), encoding="utf-8")
            with conversation(folder, result, trusted) as talk:
                if run_cells(talk, run, skipped) and run_calls(talk, calls, run, result):
                    break
    for name in calls:
        run.values.setdefault(name, ("error", "the notebook ended before it could be called"))
    return run


def require_run(*, trusted: bool = False) -> None:
    """Raise unless a notebook of one function runs here."""
    run = run_notebook(["def one():\n    return 1"], {"one": ("one", (), 10)}, trusted=trusted)
    if run.values["one"] != ("value", 1):
        raise sandbox.NoSandboxError(f"the sandbox does not work here: {run.values['one'][1]}")


def run_cells(talk: "Talk", run: Run, skipped: set[int]) -> bool:
    """Follow the cells; on silence note which of them to leave out."""
    current = None
    try:
        while True:
            reply = talk.hear(START_SECONDS if current is None else CELL_SECONDS)
            if "loaded" in reply:
                return True
            if "cell" in reply:
                current = int(reply["cell"])
            elif reply.get("error"):
                run.cell_errors[int(reply["done"])] = str(reply["error"])[:300]
    except (Silence, ValueError, KeyError, TypeError):
        if current is not None:  # else it was the sandbox that did not start
            skipped.add(current)
            why = "this cell did not end, or ended the program: it was left out"
            run.cell_errors[current] = why
        return False


def run_calls(talk: "Talk", calls: Mapping[str, Call], run: Run, result: Path) -> bool:
    """Make the calls that have no result yet; on silence the one under way has its error.

    After an error of a function its other calls are left out, since they cannot save its points.
    """
    for name, (function, _, seconds) in calls.items():
        if name in run.values:
            continue
        if error := error_of(function, calls, run):
            run.values[name] = error
            continue
        result.write_bytes(b"")
        try:
            patience = PATIENCE * seconds
            request = {"function": function, "case": name, "seconds": seconds}
            talk.say(request | {"patience": patience})
            ended = talk.hear(patience + GRACE).get("ended")
        except (Silence, ValueError, AttributeError):
            run.values[name] = ("error", "it ended the program, or did not end")
            return False
        run.values[name] = read_result(result, ended, seconds)
    return True


def error_of(function: str, calls: Mapping[str, Call], run: Run) -> Value | None:
    """Return the error of an earlier call of a function, None if there is none."""
    values = (run.values.get(name) for name, call in calls.items() if call[0] == function)
    return next((value for value in values if value and value[0] == "error"), None)


def read_result(path: Path, ended: Any, seconds: int) -> Value:
    """Read what a call has written."""
    if ended == "late":
        return "error", f"it took longer than {seconds} s, or more memory than there is"
    if ended != "called" or path.stat().st_size == 0:
        return "error", "it ended the program"
    try:
        if path.stat().st_size > codec.LIMIT:
            return "error", "the result is too large"
        ((kind, value),) = codec.unpack(path.read_bytes()).items()
    except Exception:  # whatever a student may have written there
        return "error", "what it returned cannot be read"
    return ("error", str(value)[:300]) if kind == "error" else ("value", value)


class Talk:
    """A conversation with the sandbox, a line of JSON at a time."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin and process.stdout
        self.requests, self.replies = process.stdin, process.stdout
        self.lines: queue.Queue[bytes | None] = queue.Queue(maxsize=1000)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        """Put every line into the queue, and None at the end."""
        while line := self.replies.readline(LINE):
            try:
                self.lines.put(line, timeout=CELL_SECONDS)
            except queue.Full:
                break
        self.lines.put(None)

    def hear(self, seconds: float) -> dict[str, Any]:
        """Return the next reply, or raise when none comes in time."""
        try:
            line = self.lines.get(timeout=seconds)
        except queue.Empty:
            raise Silence from None
        if line is None:
            raise Silence
        reply = json.loads(line)
        if not isinstance(reply, dict):
            raise ValueError("a reply is a dict")
        return reply

    def say(self, request: dict[str, Any]) -> None:
        """Send a request."""
        try:
            self.requests.write(json.dumps(request).encode() + b"\n")
            self.requests.flush()
        except (BrokenPipeError, OSError):
            raise Silence from None


@contextmanager
def conversation(folder: Path, result: Path, trusted: bool) -> Iterator[Talk]:
    """Start a sandbox, and end it with everything in it."""
    process = sandbox.start(folder, result, trusted=trusted)
    talk = Talk(process)
    try:
        yield talk
    finally:
        process.kill()
        talk.requests.close()
        process.wait()
