"""A process that sees Python, the library and two folders, and nothing else of this machine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

MEMORY = 8_000_000_000  # bytes of addresses; torch maps some 3 GB
CPU_SECONDS = 600
FILE_BYTES = 100_000_000
HERE = Path(__file__).resolve().parent
LIBRARY = HERE.parents[1] / "lib"
SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache")


class NoSandboxError(RuntimeError):
    """The machine has no sandbox."""


def require_sandbox():
    """Raise unless a process can be shut off on this machine."""
    for program, package in (("bwrap", "bubblewrap"), ("prlimit", "util-linux")):
        if shutil.which(program) is None:
            raise NoSandboxError(
                f"grading runs students' code in a sandbox and needs {program}: install "
                f"{package} (Linux), or grade in a container; --trust-students grades without"
            )


def start(folder_in, folder_out, *, trusted=False):
    """Start ``inside.py`` on two folders: one it reads, one it writes."""
    python = [os.path.abspath(sys.executable), "-s"]
    if trusted:
        command = [*limits(), *python, str(HERE / "inside.py"), str(folder_in), str(folder_out)]
    else:
        walled = walls(folder_in, folder_out)
        command = [*limits(), *walled, *python, "/grader/inside.py", "/in", "/out"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, **pipes, env=environment(), start_new_session=True)


def limits():
    """Return the command that limits what follows it."""
    return [
        "prlimit",
        f"--as={MEMORY}",
        f"--cpu={CPU_SECONDS}",
        f"--fsize={FILE_BYTES}",
        "--core=0",
    ]


def walls(folder_in, folder_out):
    """Return the command that shuts what follows it off."""
    python = {os.path.abspath(sys.prefix), os.path.abspath(sys.base_prefix)}
    readable = [*filter(lambda path: Path(path).exists(), SYSTEM), *sorted(python), str(LIBRARY)]
    command = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]
    command += ["--proc", "/proc", "--dev", "/dev", "--dir", "/home"]
    command += ["--size", str(FILE_BYTES), "--tmpfs", "/tmp"]
    for path in readable:
        command += ["--ro-bind", path, path]
    for name in ("inside.py", "codec.py"):
        command += ["--ro-bind", str(HERE / name), f"/grader/{name}"]
    command += ["--ro-bind", str(folder_in), "/in", "--bind", str(folder_out), "/out"]
    command += ["--chdir", "/out"]
    for name, value in environment().items():
        command += ["--setenv", name, value]
    return [*command, "--"]


def environment():
    """Name the few variables that the process gets."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": "/home",
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": "/tmp",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
