"""Timing side by side: the machine's speed drifts, the ratio within one run does not."""

import statistics
import time
from collections.abc import Callable


def time_pair(ours: Callable, theirs: Callable, rounds: int = 15) -> tuple[float, float, float]:
    """Median seconds of both, and the median of the ratios ours / theirs of each round."""
    ours(), theirs()  # plans, caches and first allocations
    pairs = [(_seconds(ours), _seconds(theirs)) for _ in range(rounds)]
    ratios = (mine / other for mine, other in pairs)
    mine, other = (statistics.median(column) for column in zip(*pairs, strict=True))
    return mine, other, statistics.median(ratios)


def median_seconds(job: Callable, rounds: int = 15) -> float:
    """Median seconds of one job after a warm-up."""
    job()
    return statistics.median(_seconds(job) for _ in range(rounds))


def print_row(name: str, figure: str, target: str) -> None:
    """One line of the table: what was timed, what was seen, what was promised."""
    print(f"{name:<64} {figure:>16}   ({target})")


def _seconds(job: Callable) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start
