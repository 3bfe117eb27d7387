"""The record of networks trained on ImageNet, as its pages' tests read it."""

import numpy as np


def slopes(table, band, **wanted):
    """Slopes (seeds, pictures) of the record."""
    wanted = {"output": "logits"} | wanted
    rows = [row for row in table if wanted.items() <= row.items()]
    seeds = sorted({row["seed"] for row in rows})
    return np.array([[float(r[f"slope_{band}"]) for r in rows if r["seed"] == k] for k in seeds])


def error(values):
    """Standard error of a mean."""
    return values.std(ddof=1) / len(values) ** 0.5
