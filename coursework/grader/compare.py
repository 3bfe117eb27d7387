"""Compare what a student's function returned with what is right, in the teacher's process."""

import numpy as np


def agree(answer, right, rtol):
    """Tell whether two values are equal up to rounding.

    >>> agree(1.0, np.float32(1.0), 1e-6), agree((1, 2), [1, 2], 1e-6), agree(1, (1,), 1e-6)
    (True, True, False)
    """
    return difference(answer, right, rtol) is None


def difference(answer, right, rtol):
    """Say in words how an answer differs from the right one, without telling it; None if equal."""
    if isinstance(right, (tuple, list)):
        if not isinstance(answer, (tuple, list)) or len(answer) != len(right):
            return f"expected {len(right)} values, got {kind(answer)}"
        parts = (difference(a, r, rtol) for a, r in zip(answer, right, strict=True))
        return next(filter(None, parts), None)
    found, wanted = as_array(answer), as_array(right)
    if found is None:
        return f"expected numbers, got {kind(answer)}"
    if found.shape != wanted.shape:
        return f"expected shape {wanted.shape}, got {found.shape}"
    if not np.isfinite(found).all():
        return "some of the numbers are not finite"
    # What is small beside the largest number is rounding of that one.
    scale = np.abs(wanted).max(initial=0)
    if np.allclose(found, wanted, rtol=rtol, atol=rtol * scale):
        return None
    return "the numbers differ"


def as_array(value):
    """Return numbers as a NumPy array, None for anything else."""
    if hasattr(value, "detach"):
        value = value.detach().resolve_conj().resolve_neg().numpy()
    if not isinstance(value, (bool, int, float, complex, np.ndarray, np.generic)):
        return None
    array = np.asarray(value)
    return array if array.dtype.kind in "biufc" else None


def kind(value):
    """Name the kind of a value."""
    return "nothing" if value is None else f"a {type(value).__name__}"
