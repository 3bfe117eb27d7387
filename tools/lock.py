"""Resolve the ranges in pyproject.toml into requirements.txt, the versions the book is built with.

Run by ``make lock``. One file serves Linux, macOS and Windows and Python 3.11 to 3.13; where a
version depends on the platform, the line carries a marker.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.txt"
TORCH = "2.13.0"

# These come with torch's CUDA build on Linux. pip takes them along where it installs that build;
# listed here they would land, gigabytes of them, beside a CPU build that cannot use them.
CUDA_PACKAGE = re.compile(r"(nvidia|cuda|triton)\b")

HEADER = """\
# The lock: made from pyproject.toml by `make lock`; do not edit by hand.
# Install with `pip install -r requirements.txt`. The lines carry no hashes, because torch is
# fetched as different files for CPU and CUDA under the same version.
"""


def resolve():
    """Ask uv for every pin, one a line, each with the packages that asked for it."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--extra", "dev"]
    command += ["--universal", "--python-version", "3.11", "--upgrade", "--quiet"]
    command += ["--no-header", "--annotation-style", "line", "--constraint", "-"]
    pins = subprocess.run(
        command, cwd=ROOT, input=f"torch=={TORCH}\n", capture_output=True, text=True, check=False
    )
    if pins.returncode:
        raise SystemExit(pins.stderr)
    return pins.stdout.splitlines()


def without_cuda(lines):
    """Drop torch's CUDA packages."""
    return [line for line in lines if not CUDA_PACKAGE.match(line)]


if __name__ == "__main__":
    LOCK.write_text(HEADER + "\n".join(without_cuda(resolve())) + "\n", encoding="utf-8")
