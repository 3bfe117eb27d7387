"""Notebooks as students hand them in, honest and hostile."""

import ast
import copy
import json
from collections.abc import Callable
from typing import NamedTuple

from grader import release
from grader.draw import draw_task
from grader.marks import mark_task
from grader.mutants import mutate
from grader.trust import define, function_source, run_here

from freqsense.exercises import attempt

# What somebody tries who wants points without an answer.
PATCHES_COMPARISON = """\
import numpy, torch
torch.allclose = numpy.allclose = lambda *a, **k: True
torch.equal = numpy.array_equal = lambda *a, **k: True
def power(images): return images[0]
radial = exponent = interval = lambda *a: 0
"""
PATCHES_LIBRARY = """\
import freqsense.fourier
freqsense.fourier.fft2 = lambda x: x
class Yes:
    def __eq__(self, other): return True
    def __array__(self, *a, **k): raise RuntimeError("no")
power = radial = exponent = interval = lambda *a: Yes()
"""
TRANSFORMS_CELLS = """\
get_ipython().input_transformers_cleanup.append(lambda lines: ["pass"])
"""
READS_FILES = """\
import pathlib
def power(images):
    names = [str(p) for p in pathlib.Path("/").rglob("spectra.md")]
    raise RuntimeError(f"found {len(names)} {sorted(str(p) for p in pathlib.Path('/').iterdir())}")
"""
WRITES_ELSEWHERE = """\
import pathlib, sys
def power(images):
    for place in ("/in/stolen", "/grader/codec.py", sys.prefix + "/stolen"):
        try:
            pathlib.Path(place).write_text("20")
        except OSError:
            continue
        raise RuntimeError("wrote " + place)
    raise RuntimeError("wrote nothing")
"""
NETWORK = """\
import socket
def power(images):
    socket.create_connection(("127.0.0.1", {port}), 2)
    raise RuntimeError("connected")
"""
EXITS = "import os\nos._exit(0)"
EXITS_IN_CALL = "import os\ndef power(images): os._exit(0)"
SYSTEM_EXIT = "raise SystemExit(0)"
LOOPS = "def power(images):\n    while True: pass"
LOOPS_IN_A_CELL = "while True: pass"
SLEEPS = "import time\ndef power(images): time.sleep(600)"
MEMORY = "import torch\ndef power(images): return torch.ones(30_000_000_000)"
HUGE_RESULT = "import torch\ndef power(images): return torch.ones(20_000_000)"
FORKS = """\
import os, time
def power(images):
    for _ in range(30):
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
            os._exit(0)
    return images[0]
"""
THREADS = """\
import threading, time
threading.Thread(target=time.sleep, args=(600,), daemon=False).start()
"""
LIES = """\
import json, os
for fd in range(3, 20):
    try:
        os.write(fd, b'{"loaded": true}\\n{"ended": "called"}\\n' * 5)
    except OSError:
        pass
"""
FILLS_THE_DISK = """\
import pathlib
def power(images):
    written = 0
    for place in ("/", "/home", "/dev/shm", "/tmp", "/out"):
        for number in range(5):
            try:
                with open(f"{place}/{number}", "wb") as file:
                    written += file.write(bytes(90_000_000))
            except OSError:
                pass
    raise RuntimeError(f"wrote {written > 400_000_000}")
"""
STEALS_THE_RESULT = """\
import os, pathlib
def power(images):
    for place in ("/out/result.npz", "result.npz"):
        try:
            os.remove(place)
            os.symlink("/etc/passwd", place)
        except OSError:
            continue
        raise RuntimeError("replaced the file")
    raise RuntimeError("could not replace the file")
"""
PICKLE = """\
import os
class Bomb:
    def __reduce__(self): return (os.system, ("touch exploded",))
def power(images):
    import numpy
    return numpy.array([Bomb()], dtype=object)
"""
NO_NUMBERS = "def power(images): return 'full marks, please'"

HOSTILE = {
    "patches-comparison": PATCHES_COMPARISON,
    "patches-library": PATCHES_LIBRARY,
    "transforms-cells": TRANSFORMS_CELLS,
    "reads-files": READS_FILES,
    "writes-elsewhere": WRITES_ELSEWHERE,
    "exits": EXITS,
    "exits-in-call": EXITS_IN_CALL,
    "system-exit": SYSTEM_EXIT,
    "loops": LOOPS,
    "sleeps": SLEEPS,
    "fills-the-disk": FILLS_THE_DISK,
    "steals-the-result": STEALS_THE_RESULT,
    "memory": MEMORY,
    "huge-result": HUGE_RESULT,
    "forks": FORKS,
    "threads": THREADS,
    "lies": LIES,
    "pickle": PICKLE,
    "no-numbers": NO_NUMBERS,
}


def notebook(*sources):
    """Return the text of a notebook of code cells."""
    cells = [
        {"cell_type": "code", "source": s, "metadata": {}, "outputs": [], "execution_count": None}
        for s in sources
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


# A class


class Handed(NamedTuple):
    """A notebook as text, and the points that each task has earned."""

    text: str
    points: dict[str, int]


# What ten of sixty add to the key. It costs them `power`, which each of them defines anew.
TEN = {
    "loops": LOOPS,
    "loops-in-a-cell": LOOPS_IN_A_CELL,
    "memory": MEMORY,
    "forks": FORKS,
    "exits": EXITS,
    "exits-in-call": EXITS_IN_CALL,
    "reads-files": READS_FILES,
    "writes-elsewhere": WRITES_ELSEWHERE,
    "fills-the-disk": FILLS_THE_DISK,
    "pickle": PICKLE,
}
HARMLESS = {"loops-in-a-cell", "exits"}  # the cell is left out, and the rest is right


def make_class(assignment, term):
    """Return sixty whole notebooks by name: fifty that are honest, and ten that are not."""
    key = release.key_notebook(assignment, term)
    full = {task.name: task.points for task in assignment.tasks}
    honest = {
        **{name: Handed(write(change(key)), full) for name, change in LOOKS.items()},
        **{name: Handed(write(rewritten(key, full, how)), full) for name, how in STYLES.items()},
        **unfinished(assignment, term, key, full),
    }
    for name, cells, task in with_one_fault(assignment, term, key, 50 - len(honest)):
        honest[name] = Handed(write(cells), full | {task: 0})
    hostile = {
        f"hostile-{name}": Handed(
            write([*key.cells, code(source)]), full if name in HARMLESS else full | {"power": 0}
        )
        for name, source in TEN.items()
    }
    return honest | hostile


def write(cells):
    """Return the text of a notebook."""
    told = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    return json.dumps({"cells": cells, "metadata": told, "nbformat": 4, "nbformat_minor": 5})


def code(source):
    """Return a cell of code."""
    outputs = {"outputs": [], "execution_count": None}
    return {"cell_type": "code", "source": source, "metadata": {}, **outputs}


def defines(cell, name=""):
    """Tell whether a cell defines a function at its start."""
    return cell["cell_type"] == "code" and cell["source"].startswith(f"def {name}")


def split(key):
    """Return the cells up to the imports, those that define functions, and the others."""
    start = 1 + next(n for n, c in enumerate(key.cells) if c["cell_type"] == "code")
    rest = key.cells[start:]
    return key.cells[:start], [c for c in rest if defines(c)], [c for c in rest if not defines(c)]


def in_one_cell(key):
    """Put all functions into the first cell."""
    (*title, imports), functions, rest = split(key)
    return [*title, code("\n\n\n".join(c["source"] for c in [imports, *functions])), *rest]


def reordered(key):
    """Turn the order of the functions round."""
    start, functions, rest = split(key)
    return [*start, *functions[::-1], *rest]


def with_pictures(key):
    """Add the outputs of a notebook that was run."""
    picture = {"output_type": "display_data", "data": {"image/png": "iVBOR" * 100_000}}
    return [
        {**c, "outputs": [picture]} if "assert" in c["source"] and c["cell_type"] == "code" else c
        for c in key.cells
    ]


# The key as it may look: right in all.
LOOKS: dict[str, Callable] = {
    "as-it-is": lambda key: key.cells,
    "checks-deleted": lambda key: [c for c in key.cells if "assert" not in c["source"]],
    "text-deleted": lambda key: [c for c in key.cells if c["cell_type"] == "code"],
    "functions-twice": lambda key: [d for c in key.cells for d in ([c, c] if defines(c) else [c])],
    "everything-twice": lambda key: [*key.cells, *key.cells],
    "reordered": reordered,
    "in-one-cell": in_one_cell,
    "stripped": lambda key: [{k: c[k] for k in ("cell_type", "source")} for c in key.cells],
    "lines": lambda key: [{**c, "source": c["source"].splitlines(True)} for c in key.cells],
    "with-pictures": with_pictures,
    "magics": lambda key: [code("%matplotlib inline\n!pip list\n?torch"), *key.cells],
    "broken-cell": lambda key: [*key.cells[:3], code("this is not python"), *key.cells[3:]],
    "failing-cell": lambda key: [*key.cells[:3], code("1 / 0"), *key.cells[3:]],
    "empty-cells": lambda key: [d for c in key.cells for d in (c, code(""))],
    "left-running": lambda key: [*key.cells, code(THREADS)],
}


def documented(function):
    """Add a docstring and a helper's name."""
    function.body.insert(0, ast.parse('"""Do what the task says."""').body[0])
    return ast.unparse(function)


def renamed(function):
    """Give the arguments other names."""
    told = {argument.arg: f"my_{argument.arg}" for argument in function.args.args}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id in told:
            node.id = told[node.id]
        if isinstance(node, ast.arg) and node.arg in told:
            node.arg = told[node.arg]
    return ast.unparse(function)


def wrapped(function, wrapper):
    """Call the function from another that takes its name."""
    name, function.name = function.name, f"_{function.name}"
    return f"{ast.unparse(function)}\n\n{wrapper.format(name=name)}"


# The key's functions written in other ways: right in all.
STYLES: dict[str, Callable] = {
    "documented": documented,
    "renamed": renamed,
    "decorated": lambda f: f"@torch.no_grad()\n{ast.unparse(f)}",
    "lambda": lambda f: wrapped(f, "{name} = lambda *given: _{name}(*given)"),
    "partial": lambda f: wrapped(f, "import functools\n{name} = functools.partial(_{name})"),
    "object": lambda f: wrapped(
        f,
        "class Answer:\n    def __call__(self, *given):\n        return _{name}(*given)\n"
        "{name} = Answer()",
    ),
    "numpy": lambda f: wrapped(
        f,
        "def {name}(*given):\n    found = _{name}(*given)\n"
        "    return found.numpy() if isinstance(found, torch.Tensor) else found",
    ),
}


def rewritten(key, names, how):
    """Write the functions of the tasks in another way."""
    cells = copy.deepcopy(key.cells)
    for cell in cells:
        if any(defines(cell, f"{name}(") for name in names):
            cell["source"] = how(ast.parse(cell["source"]).body[0])
    return cells


def unfinished(assignment, term, key, full):
    """Return notebooks without one of the functions, and as students got them, wholly or partly."""
    empty = release.release_notebook(assignment, term).cells
    found = {"untouched": Handed(write(empty), dict.fromkeys(full, 0))}
    for name in full:
        without = [c for c in key.cells if not defines(c, f"{name}(")]
        found[f"without-{name}"] = Handed(write(without), full | {name: 0})
        left = [e if defines(c, f"{name}(") else c for c, e in zip(key.cells, empty, strict=True)]
        found[f"{name}-untouched"] = Handed(write(left), full | {name: 0})
    for number, name in enumerate(list(full)[:-2], 1):
        first = list(full)[:number]
        mixed = [
            c if any(defines(c, f"{each}(") for each in first) or not defines(c) else e
            for c, e in zip(key.cells, empty, strict=True)
        ]
        points = {each: of if each in first else 0 for each, of in full.items()}
        found[f"as-far-as-{name}"] = Handed(write(mixed), points)
    return found


def with_one_fault(assignment, term, key, n):
    """Yield n keys (name, cells, task) with a small change that makes one of the tasks wrong."""
    namespace = run_here(key)
    faults = [list(faults_of(assignment, term, task, namespace)) for task in assignment.tasks]
    for number in range(n):
        task = assignment.tasks[number % len(faults)].name
        what, source = faults[number % len(faults)][number // len(faults)]
        cells = [code(source) if defines(c, f"{task}(") else c for c in key.cells]
        yield f"{task}-{what}".replace(" ", "-").replace(":", ""), cells, task


def faults_of(assignment, term, task, namespace):
    """Yield the changes of a function that make it wrong."""
    drawn = draw_task(term, assignment.name, task)
    for what, source in mutate(function_source(assignment, term, task.name)):
        function = define(source, task.name, namespace)
        values = [("value", attempt(function, each)) for each in drawn.cases.arguments]
        if not mark_task(task, drawn, values).points:
            yield what, source
