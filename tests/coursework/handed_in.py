"""Notebooks as students hand them in, honest and hostile."""

import json

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
