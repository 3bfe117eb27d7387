"""Argument checks shared by all modules: each error says what was expected and what came."""

import difflib
import math
from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral, Real

import numpy as np
import torch
from torch import Tensor, nn

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


def as_image_shape(shape: object) -> tuple[int, int, int]:
    """(C, H, W) as positive ints, with C = 1 put in if only (H, W) is given."""
    if not isinstance(shape, tuple | list | torch.Size) or len(shape) not in (2, 3):
        raise ValueError(f"shape must be (C, H, W) or (H, W), got {shape!r}")
    sides = [as_integer(side, f"shape[{axis}]", 1) for axis, side in enumerate(shape)]
    channels, height, width = sides if len(sides) == 3 else (1, *sides)
    return channels, height, width


def sides(grid: Tensor) -> tuple[int, int]:
    """Height and width (H, W) of a grid (..., H, W)."""
    height, width = grid.shape[-2:]
    return height, width


def as_labels(labels: object, n_images: int, name: str = "labels") -> Tensor:
    """Return real labels, one an image (N,) or K of them (N, K), as a tensor."""
    if not isinstance(labels, Tensor | np.ndarray):
        kind = type(labels).__name__
        raise TypeError(f"{name} must be a torch tensor or a numpy array (N,), got {kind}")
    labels = torch.as_tensor(labels).detach()
    if labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"{name} must be real numbers, got {labels.dtype}")
    if labels.ndim not in (1, 2) or len(labels) != n_images or 0 in labels.shape:
        expected, got = f"({n_images}, ...), as the images", tuple(labels.shape)
        raise ValueError(f"{name} must have shape {expected}, got {got}")
    if not torch.isfinite(labels).all():
        raise ValueError(f"{name} must be finite, got NaN or infinite entries")
    return labels


def as_classes(labels: Tensor, n_classes: int | None = None, name: str = "labels") -> Tensor:
    """Return labels that are integer classes (N,), below K if that is known, as int64."""
    if labels.is_floating_point() or labels.ndim != 1:
        got = f"{labels.dtype} {tuple(labels.shape)}"
        raise TypeError(f"{name} must be integer classes (N,), got {got}")
    low, high = int(labels.min()), int(labels.max())
    if n_classes is None and low < 0:
        raise ValueError(f"{name} must be at least 0, got {low}")
    if n_classes is not None and not 0 <= low <= high < n_classes:
        expected = f"between 0 and K - 1 = {n_classes - 1}"
        raise ValueError(f"{name} must lie {expected}, got {low} to {high}")
    return labels.long()


def check_signs(labels: Tensor, where: str, name: str = "labels") -> None:
    """Raise unless every label is -1 or +1."""
    if not (labels.abs() == 1).all():
        wrong = labels[labels.abs() != 1][0].item()
        raise ValueError(f"{name} must be -1 or +1 {where}, got {wrong:g}")


def seeded_generator(seed: object, salt: int = 0) -> torch.Generator:
    """Random numbers on the CPU; with another salt, others than the same seed gives elsewhere."""
    return torch.Generator().manual_seed(as_integer(seed, "seed", 0, 2**63 - 1) ^ salt)


def first_weight(model: object) -> nn.Parameter:
    """A parameter to be trained, which tells the device and dtype of the model."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    weight = next((w for w in model.parameters() if w.requires_grad), None)
    if weight is None:
        raise ValueError("model must have parameters that require gradients, got none")
    return weight


def as_integer(value: object, name: str, low: int | None = None, high: int | None = None) -> int:
    """Return an int between low and high, both included."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    _check_range(int(value), name, low, high)
    return int(value)


def as_real(value: object, name: str, low: float | None = None, high: float | None = None) -> float:
    """Return a finite float between low and high, both included."""
    if isinstance(value, bool) or not isinstance(value, Real | np.floating):
        raise TypeError(f"{name} must be a real number, got {value!r}")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {value}")
    _check_range(number, name, low, high)
    return number


def as_positive(value: object, name: str) -> float:
    """Return a finite float above 0."""
    number = as_real(value, name)
    if number <= 0:
        raise ValueError(f"{name} must be positive, got {number}")
    return number


def as_flag(value: object, name: str) -> bool:
    """Return value if it is True or False, and nothing that merely counts as one."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return value


def as_names(names: object, argument: str, known: Sequence[str]) -> tuple[str, ...]:
    """Return a sequence of names, each known and given once."""
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise TypeError(f"{argument} must be a list or tuple of names, got {names!r}")
    if not names:
        raise ValueError(f"{argument} must hold at least one name, got none")
    checked = tuple(as_choice(name, f"each of {argument}", known) for name in names)
    twice = sorted({name for name in checked if checked.count(name) > 1})
    if twice:
        raise ValueError(f"{argument} must not repeat a name, got {', '.join(twice)} twice or more")
    return checked


def as_choice(value: object, name: str, choices: Sequence[str]) -> str:
    """Return value if it is one of the choices, or name the nearest of them."""
    if isinstance(value, str) and value in choices:
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
