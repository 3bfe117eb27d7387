"""A process that sees Python, the library, a folder to read and a file to write, and no more."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO

MEMORY = 8_000_000_000  # bytes of addresses; torch maps some 3 GB
CPU_SECONDS = 600
FILE_BYTES = 100_000_000
HERE = Path(__file__).resolve().parent
LIBRARY = HERE.parents[1] / "lib"
PYTHON = (os.path.abspath(sys.executable), "-s")
SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache")


class NoSandboxError(RuntimeError):
    """The machine has no sandbox."""


def require_sandbox() -> None:
    """Raise unless a process can be shut off on this machine."""
    for program, package in (("bwrap", "bubblewrap"), ("prlimit", "util-linux")):
        if shutil.which(program) is None:
            raise NoSandboxError(
                f"grading runs students' code in a sandbox and needs {program}: install "
                f"{package} (Linux), or grade in a container; --trust-students grades without"
            )


def start(folder: Path, result: Path, *, trusted: bool = False) -> subprocess.Popen[bytes]:
    """Start ``inside.py`` on a folder that it reads, and a file that it writes each result into."""
    if trusted:
        command = [*limits(), *PYTHON, str(HERE / "inside.py"), str(folder), str(result)]
    else:
        programs = {f"/grader/{name}": HERE / name for name in ("inside.py", "codec.py")}
        walled = walls({"/in": folder, **programs}, result)
        written = f"/out/{result.name}"
        command = [*limits(), *walled, *PYTHON, "/grader/inside.py", "/in", written]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=environment(), start_new_session=True,
    )  # fmt: skip


def start_program(
    file: str, files: Mapping[str, Path], array: Path, written: Path, options: Sequence[str],
    errors: BinaryIO, *, trusted: bool = False,
) -> subprocess.Popen[bytes]:  # fmt: skip
    """Start a program among its files on an array that it reads, and a file that it writes."""
    if trusted:
        command = [*limits(), *PYTHON, str(files[file]), str(array), str(written), *options]
    else:
        seen = {f"/in/{name}": path for name, path in files.items()}
        walled = walls({f"/given/{array.name}": array, **seen}, written, "/in")
        places = (f"/given/{array.name}", f"/out/{written.name}")
        command = [*limits(), *walled, *PYTHON, f"/in/{file}", *places, *options]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
        env=environment(), start_new_session=True, cwd=files[file].parent if trusted else None,
    )  # fmt: skip


def limits() -> list[str]:
    """Return the command that limits what follows it."""
    return [
        "prlimit",
        f"--as={MEMORY}",
        f"--cpu={CPU_SECONDS}",
        f"--fsize={FILE_BYTES}",
        "--core=0",
    ]


def walls(readable: Mapping[str, Path], written: Path, work: str = "/out") -> list[str]:
    """Return the command that shuts what follows it off.

    It reads what ``readable`` names by the place where it sees it, starts in the folder ``work``,
    and writes one file of ours, which it can neither remove nor replace. The rest that it writes
    stays in memory, and is little.
    """
    python = {os.path.abspath(sys.prefix), os.path.abspath(sys.base_prefix)}
    ours = [*filter(os.path.exists, SYSTEM), *sorted(python), str(LIBRARY)]
    command = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]
    command += ["--proc", "/proc", "--dev", "/dev"]
    for place in ("/dev/shm", "/tmp", "/out"):
        command += ["--size", str(FILE_BYTES), "--tmpfs", place]
    for path in ours:
        command += ["--ro-bind", path, path]
    for place, source in readable.items():
        command += ["--ro-bind", str(source), place]
    for source in font_lists():
        command += ["--ro-bind", str(source), f"/tmp/{source.name}"]
    command += ["--bind", str(written), f"/out/{written.name}"]
    command += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", work]
    for name, value in environment().items():
        command += ["--setenv", name, value]
    return [*command, "--"]


@cache
def font_lists() -> list[Path]:
    """List the file in which matplotlib notes the fonts of this machine, or each would seek them.

    The folder ``/tmp`` of the sandbox is that of its matplotlib.
    """
    # Importing it writes the file where there is none.
    from matplotlib import font_manager, get_cachedir

    return sorted(
        Path(get_cachedir()).glob(f"fontlist-v{font_manager.FontManager.__version__}*.json")
    )


def environment() -> dict[str, str]:
    """Name the few variables that the process gets."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": "/tmp",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
