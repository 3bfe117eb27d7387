"""Run one notebook in the sandbox and fetch what its functions return."""

import json
import queue
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from . import codec, sandbox

CELL_SECONDS = 60
START_SECONDS = 120
GRACE = 5  # seconds for the sandbox to report a call that was stopped
RESTARTS = 4
LINE = 100_000  # characters of one reply


@dataclass
class Run:
    """What came out of a notebook."""

    values: dict = field(default_factory=dict)  # by call: ("value", it) or ("error", why)
    cell_errors: dict = field(default_factory=dict)  # by number of the cell


class Silence(Exception):
    """The sandbox has ended, or said nothing in time."""


def run_notebook(cells, calls, *, trusted=False):
    """Run cells, a list of sources, then calls, a dict from a name to (function, arguments, s).

    A cell or a call that hangs or ends the process is left out, and the rest is run anew.
    """
    run, skipped = Run(), set()
    with tempfile.TemporaryDirectory(prefix="grade-") as folder:
        places = Path(folder) / "in", Path(folder) / "out"
        for place in places:
            place.mkdir()
        for name, (_, arguments, _) in calls.items():
            (places[0] / f"{name}.npz").write_bytes(codec.pack(arguments))
        for _ in range(RESTARTS + 1):
            left = [(n, source) for n, source in enumerate(cells) if n not in skipped]
            (places[0] / "cells.json").write_text(json.dumps(left), encoding="utf-8")
            with conversation(*places, trusted) as talk:
                if run_cells(talk, run, skipped) and run_calls(talk, calls, run, places[1]):
                    break
    for name in calls:
        run.values.setdefault(name, ("error", "the notebook ended before it could be called"))
    return run


def require_run(*, trusted=False):
    """Raise unless a notebook of one function runs here."""
    run = run_notebook(["def one():\n    return 1"], {"one": ("one", (), 10)}, trusted=trusted)
    if run.values["one"] != ("value", 1):
        raise sandbox.NoSandboxError(f"the sandbox does not work here: {run.values['one'][1]}")


def run_cells(talk, run, skipped):
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


def run_calls(talk, calls, run, folder):
    """Make the calls that have no result yet; on silence the one under way has its error."""
    for name, (function, _, seconds) in calls.items():
        if name in run.values:
            continue
        try:
            talk.say({"function": function, "case": name, "seconds": seconds})
            ended = talk.hear(seconds + GRACE).get("ended")
        except (Silence, ValueError, AttributeError):
            run.values[name] = ("error", "it ended the program, or did not end")
            return False
        run.values[name] = read_result(folder / f"{name}.npz", ended, seconds)
    return True


def read_result(path, ended, seconds):
    """Read what a call has written."""
    if ended == "late":
        return "error", f"it took longer than {seconds} s, or more memory than there is"
    if ended != "called" or not path.is_file() or path.is_symlink():
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

    def __init__(self, process):
        self.process = process
        self.lines = queue.Queue(maxsize=1000)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        """Put every line into the queue, and None at the end."""
        while line := self.process.stdout.readline(LINE):
            try:
                self.lines.put(line, timeout=CELL_SECONDS)
            except queue.Full:
                break
        self.lines.put(None)

    def hear(self, seconds):
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

    def say(self, request):
        """Send a request."""
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except (BrokenPipeError, OSError):
            raise Silence from None


@contextmanager
def conversation(folder_in, folder_out, trusted):
    """Start a sandbox, and end it with everything in it."""
    process = sandbox.start(folder_in, folder_out, trusted=trusted)
    try:
        yield Talk(process)
    finally:
        process.kill()
        process.stdin.close()
        process.wait()
