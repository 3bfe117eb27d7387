"""Compare what a function returned with what is right."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["agree", "as_array", "difference", "kind", "magnitude"]


def agree(answer: Any, right: Any, rtol: float, atol: float = 0.0) -> bool:
    """Tell whether two values are equal up to rounding.

    >>> agree(1.0, np.float32(1.0), 1e-6), agree((1, 2), [1, 2], 1e-6), agree(1, (1,), 1e-6)
    (True, True, False)
    """
    return difference(answer, right, rtol, atol) is None


def difference(answer: Any, right: Any, rtol: float, atol: float = 0.0) -> str | None:
    """Say in words how an answer differs from the right one, without telling it; None if equal.

    >>> difference([1.0, 2.0], np.zeros(3), 1e-6)
    'expected numbers, got a list'
    """
    if isinstance(right, (tuple, list)):
        if not isinstance(answer, (tuple, list)) or len(answer) != len(right):
            return f"expected {len(right)} values, got {kind(answer)}"
        parts = (difference(a, r, rtol, atol) for a, r in zip(answer, right, strict=True))
        return next(filter(None, parts), None)
    found, wanted = as_array(answer), as_array(right)
    if wanted is None:
        raise TypeError(f"expected numbers as the right answer, got {kind(right)}")
    if found is None:
        return f"expected numbers, got {kind(answer)}"
    if found.shape != wanted.shape:
        return f"expected shape {wanted.shape}, got {found.shape}"
    if not np.isfinite(found).all():
        return "some of the numbers are not finite"
    # What is small beside the largest number is rounding of that one.
    atol = max(atol, rtol * magnitude(wanted))
    if not np.iscomplexobj(wanted) and np.abs(found.imag).max(initial=0) > atol:
        return "expected real numbers, got complex ones"
    return None if np.allclose(found, wanted, rtol=rtol, atol=atol) else "the numbers differ"


def magnitude(value: Any) -> float:
    """Return the size of the largest number in a value.

    >>> magnitude((1, [np.array([-3.0, 2.0])]))
    3.0
    """
    if isinstance(value, (tuple, list)):
        return max(map(magnitude, value), default=0.0)
    array = as_array(value)
    return 0.0 if array is None else float(np.abs(array).max(initial=0))


def as_array(value: Any) -> NDArray[Any] | None:
    """Return numbers as a NumPy array, None for anything else."""
    if hasattr(value, "detach"):
        value = value.detach().resolve_conj().resolve_neg().numpy()
    if not isinstance(value, (bool, int, float, complex, np.ndarray, np.generic)):
        return None
    array = np.asarray(value)
    return array if array.dtype.kind in "biufc" else None


def kind(value: Any) -> str:
    """Name the kind of a value."""
    return "nothing" if value is None else f"a {type(value).__name__}"
