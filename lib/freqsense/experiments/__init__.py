"""Experiments: sweeps of runs, the runs of the book, and what is read off recorded ones."""

from freqsense.experiments.analysis import (
    jackknife,
    mean_and_error,
    response,
    ring_power,
    ring_slopes,
)
from freqsense.experiments.explain import explain_sensitivity
from freqsense.experiments.recoloring import Response, measure_response
from freqsense.experiments.runs import (
    Task,
    label_statistics,
    load_task,
    solve_and_measure,
    train_and_attack,
    train_and_follow,
    train_and_measure,
)
from freqsense.experiments.scale import run_paper
from freqsense.experiments.sweep import Sweep

__all__ = [
    "Response",
    "Sweep",
    "Task",
    "explain_sensitivity",
    "jackknife",
    "label_statistics",
    "load_task",
    "mean_and_error",
    "measure_response",
    "response",
    "ring_power",
    "ring_slopes",
    "run_paper",
    "solve_and_measure",
    "train_and_attack",
    "train_and_follow",
    "train_and_measure",
]
