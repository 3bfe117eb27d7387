"""What runs in the sandbox: the cells of one notebook, then its functions on the drawn inputs.

Started as a script, with nothing of the grader beside it but ``codec.py``, on a folder that it
reads and a file that it writes each result into. It hears one line of JSON a request on its
standard input, and answers with one; what the student prints goes nowhere.
"""

import gc
import importlib
import json
import os
import resource
import signal
import sys
import traceback
from typing import Any, TextIO

import codec

FOLDER, RESULT = sys.argv[1:3] if __name__ == "__main__" else ("", "")


def main() -> None:
    """Run the cells, say how each went, then call one function a request."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    silence()
    # Once, before anything is timed: a call in a fork would import it within its own seconds.
    import_torch()
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with open(f"{FOLDER}/cells.json", encoding="utf-8") as file:
        cells = json.load(file)
    for number, source in cells:
        tell(replies, cell=number)
        tell(replies, done=number, error=run_cell(source, namespace))
    tell(replies, loaded=True)
    for line in sys.stdin:
        request = json.loads(line)
        tell(replies, **call_apart(namespace, **request))


def import_torch() -> None:
    """Import torch, without looking for rubbish among what it makes: a sixth of the time."""
    gc.disable()
    importlib.import_module("torch")
    gc.freeze()
    # Nor often among what the cells import: a process of a minute leaves little.
    gc.set_threshold(100_000)
    gc.enable()


def silence() -> None:
    """Point standard output and error to nothing."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)


def tell(replies: TextIO, **message: Any) -> None:
    """Write one line of JSON."""
    replies.write(json.dumps(message) + "\n")
    replies.flush()


def run_cell(source: str, namespace: dict[str, Any]) -> str | None:
    """Run one cell; return its error as a line, or None."""
    try:
        exec(compile(source, "<cell>", "exec"), namespace)
    except BaseException as error:  # SystemExit and KeyboardInterrupt must not end the run either
        return line_of(error)
    return None


def line_of(error: BaseException) -> str:
    """Say an error in one line."""
    return traceback.format_exception_only(error)[-1].strip()[:300]


def call_apart(
    namespace: dict[str, Any], function: str, case: str, seconds: int, patience: int
) -> dict[str, str]:
    """Call a function in a process of its own, so that a crash costs this call alone.

    It may take ``seconds`` of a processor, which a busy machine gives in up to ``patience``.
    """
    child = os.fork()
    if child == 0:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        os._exit(call_and_write(namespace, function, case))
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(child, signal.SIGKILL))
    signal.alarm(patience)
    _, status = os.waitpid(child, 0)
    signal.alarm(0)
    try:
        os.killpg(child, signal.SIGKILL)  # what it has left behind
    except (ProcessLookupError, PermissionError):
        pass
    if os.WIFSIGNALED(status):
        return {"ended": "late" if os.WTERMSIG(status) == signal.SIGKILL else "crashed"}
    return {"ended": "called" if os.WEXITSTATUS(status) == 0 else "crashed"}


def call_and_write(namespace: dict[str, Any], function: str, case: str) -> int:
    """Write what the function returns, or the error it raises, into the one file for it."""
    try:
        with open(f"{FOLDER}/{case}.npz", "rb") as file:
            arguments = codec.unpack(file.read())
        if not callable(namespace.get(function)):
            raise NameError(f"there is no function {function}")
        packed = codec.pack({"value": namespace[function](*arguments)})
    except BaseException as error:
        packed = codec.pack({"error": line_of(error)})
    with open(RESULT, "wb") as file:
        file.write(packed)
    return 0


if __name__ == "__main__":
    main()
