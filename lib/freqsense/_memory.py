"""What a request takes in memory, looked at before anything is allocated."""

import os
from functools import cache
from pathlib import Path

# Where Linux tells how much a container may use.
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")

# What is assumed of systems that do not tell.
_UNKNOWN = 2**36


def check_memory(n_bytes: float, what: str) -> None:
    """Raise if something takes more memory than this machine, or this process, may use at all."""
    there = _memory()
    if n_bytes > there:
        needed = f"{n_bytes / 2**30:,.0f} GiB" if n_bytes < 1e30 else "far more"
        raise ValueError(
            f"{what} must fit into memory, {there / 2**30:.3g} GiB here, and needs {needed}: "
            "ask for less"
        )


def _memory() -> int:
    """Bytes of memory, or of what the container or the process is allowed if that is less."""
    limits = [_physical(), *map(_read_limit, _LIMITS)]
    try:
        import resource
    except ImportError:  # Windows
        return min(limits)
    allowed = resource.getrlimit(resource.RLIMIT_AS)[0]
    return min(limits) if allowed == resource.RLIM_INFINITY else min(*limits, allowed)


@cache
def _physical() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return _UNKNOWN


@cache
def _read_limit(path: str) -> int:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return 2**63
