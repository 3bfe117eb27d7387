"""Argument checks shared by all modules: each error says what was expected and what came."""

import difflib
from collections.abc import Iterable, Iterator
from numbers import Integral, Real

import numpy as np
import torch
from torch import Tensor

REAL_DTYPES = (torch.float32, torch.float64)


def as_images(images: object, name: str = "images") -> Tensor:
    """Return a real (N, C, H, W) stack as a tensor, or say what is wrong with it."""
    stack = _as_tensor(images, name)
    if stack.dtype not in REAL_DTYPES:
        hint = " (divide 8-bit pixels by 255)" if stack.dtype == torch.uint8 else ""
        raise TypeError(f"{name} must be float32 or float64{hint}, got {_dtype_name(stack.dtype)}")
    if stack.ndim != 4:
        raise ValueError(f"{name} must have shape (N, C, H, W), got {tuple(stack.shape)}")
    if 0 in stack.shape:
        raise ValueError(f"{name} must not be empty, got shape {tuple(stack.shape)}")
    # One sum is a cheap first look: NaN and infinity survive it. A bad sum is looked at closely,
    # since large finite pixels can overflow it.
    if not torch.isfinite(stack.sum()) and not torch.isfinite(stack).all():
        bad = int((~torch.isfinite(stack)).sum())
        raise ValueError(f"{name} must be finite, got {bad} NaN or infinite pixels")
    return stack


def as_stacks(images: object, *beside: object) -> Iterator[tuple[str, Tensor | np.ndarray, list]]:
    """Check at once that images are a stack (N, C, H, W) or an iterable; iterate over the stacks.

    Yields the name of each stack for messages, the stack, and what lies beside it: what follows it
    in its tuple, or what is given beside a single stack. Rank and size of a stack are checked when
    it comes, its values are not: take pieces of it with :func:`as_images`.
    """
    if isinstance(images, Tensor | np.ndarray):
        return _walk_stacks([(images, *beside)], "images")
    if not isinstance(images, Iterable) or isinstance(images, str | bytes | dict):
        kind = type(images).__name__
        raise TypeError(f"images must be a stack (N, C, H, W) or an iterable of them, got {kind}")
    return _walk_stacks(images, "batch {} of images")


def _walk_stacks(items: Iterable, template: str) -> Iterator[tuple[str, Tensor | np.ndarray, list]]:
    seen = None
    for index, item in enumerate(items):
        name = template.format(index)
        stack, *beside = item if isinstance(item, tuple | list) and len(item) else (item,)
        is_array = isinstance(stack, Tensor | np.ndarray)
        if is_array and stack.ndim != 4:
            raise ValueError(f"{name} must have shape (N, C, H, W), got {tuple(stack.shape)}")
        if not is_array or 0 in stack.shape:
            as_images(stack, name)  # says what is wrong
        size = tuple(stack.shape[1:])
        if seen not in (None, size):
            raise ValueError(f"images must be of one size: {name} is {size}, the first was {seen}")
        seen = size
        yield name, stack, beside
    if seen is None:
        raise ValueError("images must hold at least one image, got an empty iterable")


def as_grid(values: object, name: str = "values") -> Tensor:
    """Return a tensor whose last two axes are a non-empty grid (H, W)."""
    grid = _as_tensor(values, name)
    if not (grid.is_floating_point() or grid.is_complex()):
        raise TypeError(f"{name} must be a float or complex tensor, got {_dtype_name(grid.dtype)}")
    if grid.ndim < 2:
        raise ValueError(f"{name} must have at least two axes (..., H, W), got {tuple(grid.shape)}")
    if 0 in grid.shape:
        raise ValueError(f"{name} must not be empty, got shape {tuple(grid.shape)}")
    return grid


def as_shape(shape: object, name: str = "shape") -> tuple[int, int]:
    """Return (H, W) as a pair of positive ints."""
    if not isinstance(shape, tuple | list | torch.Size) or len(shape) != 2:
        raise ValueError(f"{name} must be a pair (H, W), got {shape!r}")
    height, width = (as_integer(side, f"{name}[{axis}]", 1) for axis, side in enumerate(shape))
    return height, width


def as_integer(value: object, name: str, low: int | None = None, high: int | None = None) -> int:
    """Return an int between low and high, both included."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    _check_range(value, name, low, high)
    return int(value)


def as_real(value: object, name: str, low: float | None = None, high: float | None = None) -> float:
    """Return a finite float between low and high, both included."""
    if isinstance(value, bool) or not isinstance(value, Real | np.floating):
        raise TypeError(f"{name} must be a real number, got {value!r}")
    if not np.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    _check_range(value, name, low, high)
    return float(value)


def as_flag(value: object, name: str) -> bool:
    """Return value if it is True or False, and nothing that merely counts as one."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return value


def as_choice(value: object, name: str, choices: tuple[str, ...] | list[str]) -> str:
    """Return value if it is one of the choices, or name the nearest of them."""
    if value in choices:
        return value
    near = difflib.get_close_matches(str(value), choices, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}{hint}")


def _as_tensor(values: object, name: str) -> Tensor:
    if isinstance(values, np.ndarray):
        # PyTorch warns of read-only memory (a memory map, say); nothing here writes to its input.
        return torch.from_numpy(values if values.flags.writeable else values.copy())
    if not isinstance(values, Tensor):
        kind = type(values).__name__
        raise TypeError(f"{name} must be a torch tensor or a numpy array, got {kind}")
    return values.detach()


def _check_range(value: float, name: str, low: float | None, high: float | None) -> None:
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = {(True, False): f"at least {low}", (False, True): f"at most {high}"}
        expected = bounds.get((high is None, low is None), f"between {low} and {high}")
        raise ValueError(f"{name} must be {expected}, got {value}")


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
