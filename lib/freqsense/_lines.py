"""Straight lines through logarithms."""

import numpy as np


def fit_log_log(frequency: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope (...) of log values (..., R) against log frequency (R,), and its standard error (...).

    Least squares, every point alike; the error comes from the scatter around the line. NaN where a
    value is.
    """
    x, y = np.log(frequency), np.log(values.astype(float))
    x, y = x - x.mean(), y - y.mean(-1, keepdims=True)
    spread = (x**2).sum()
    slope = (y * x).sum(-1) / spread
    scatter = ((y - slope[..., None] * x) ** 2).sum(-1) / (len(x) - 2)
    return slope, np.sqrt(scatter / spread)
