"""Argument checks shared by all modules: each error says what was expected and what came."""

import difflib
import math
from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral, Real

import numpy as np
import torch
from torch import Tensor, nn

from freqsense._memory import check_memory

REAL_DTYPES = (torch.float32, torch.float64)

# Of what a frequency grid takes on the way, in float64: coordinates, radii and their sums.
_GRID_BYTES = 40

_LONGEST_VALUE = 80  # characters of a value that is shown in a message


def as_tensor(values: object, name: str) -> Tensor:
    """Return a dense tensor of native numbers, on its gradient tape, or say what came instead."""
    given = check_array(values, name)
    if isinstance(given, Tensor):
        plain = given.resolve_conj().resolve_neg()
        return plain if type(plain) is Tensor else plain.as_subclass(Tensor)
    array = np.asarray(given.astype(given.dtype.newbyteorder("="), copy=False))
    # PyTorch refuses steps backwards or between numbers, and warns of read-only memory (a memory
    # map, say); nothing here writes to its input.
    strange = any(step < 0 or step % array.itemsize for step in array.strides)
    return torch.from_numpy(array.copy() if strange or not array.flags.writeable else array)


def check_array(values: object, name: str) -> Tensor | np.ndarray:
    """Return a dense tensor or a numpy array of numbers, none of them masked, and refuse others.

    Nothing is copied, and no number is looked at: a memory map can be checked so as a whole.
    """
    if isinstance(values, np.ndarray):
        _check_numpy(values, name)
    elif isinstance(values, Tensor):
        _check_torch(values, name)
    else:
        hint = ": convert it with .to_numpy()" if hasattr(values, "to_numpy") else ""
        kind = type(values).__name__
        raise TypeError(f"{name} must be a torch tensor or a numpy array, got {kind}{hint}")
    return values


def _check_numpy(values: np.ndarray, name: str) -> None:
    if values.dtype.kind not in "biufc" or values.dtype.char in "gG":
        got = f"{values.dtype.name}: convert with .astype(float)"
        raise TypeError(f"{name} must be an array of numbers, got {got}")
    if np.ma.is_masked(values):
        masked = f"{int(np.ma.count_masked(values))} of {values.size}"
        raise ValueError(
            f"{name} must have no masked entries, got {masked}: fill or leave them out"
        )


def _check_torch(values: Tensor, name: str) -> None:
    if type(values).__torch_dispatch__ is not Tensor.__torch_dispatch__:
        got = f"a {type(values).__name__}"
    elif values.is_nested or values.layout != torch.strided:
        got = f"a nested or sparse one ({values.layout})"
    elif values.is_quantized:
        got = "a quantized one: call .dequantize()"
    elif values.is_meta:
        got = "one on the device meta, without numbers"
    elif any(getattr(values, "names", ())):  # not in every torch
        got = "one with named axes: call .rename(None)"
    else:
        return
    raise TypeError(f"{name} must be a plain dense tensor, got {got}")


def check_finite(values: Tensor, name: str) -> None:
    """Raise if a value is NaN or infinite."""
    # One sum is a cheap first look: NaN and infinity survive it. A bad sum is looked at closely,
    # since large finite values can overflow it.
    if not torch.isfinite(values.sum()) and not torch.isfinite(values).all():
        bad = int((~torch.isfinite(values)).sum())
        raise ValueError(f"{name} must be finite, got {bad} NaN or infinite values")


def as_images(images: object, name: str = "images") -> Tensor:
    """Return a real (N, C, H, W) stack as a tensor, or say what is wrong with it."""
    stack = as_tensor(images, name).detach()
    if stack.dtype not in REAL_DTYPES:
        hint = " (divide 8-bit pixels by 255)" if stack.dtype == torch.uint8 else ""
        raise TypeError(f"{name} must be float32 or float64{hint}, got {_dtype_name(stack.dtype)}")
    if stack.ndim != 4:
        raise ValueError(f"{name} must have shape (N, C, H, W), got {tuple(stack.shape)}")
    if 0 in stack.shape:
        raise ValueError(f"{name} must not be empty, got shape {tuple(stack.shape)}")
    check_finite(stack, name)
    return stack


def as_stacks(images: object, *beside: object) -> Iterator[tuple[str, Tensor | np.ndarray, list]]:
    """Check at once that images are a stack (N, C, H, W) or an iterable; iterate over the stacks.

    Yields the name of each stack for messages, the stack, and what lies beside it: what follows it
    in its tuple, or what is given beside a single stack. Rank and size of a stack are checked when
    it comes, its values are not: take pieces of it with :func:`as_images`.
    """
    if isinstance(images, Tensor | np.ndarray):
        return _walk_stacks([(images, *beside)], "images")
    if hasattr(images, "to_numpy"):  # of xarray or pandas: an iterable, but of its rows
        check_array(images, "images")
    if not isinstance(images, Iterable) or isinstance(images, str | bytes | dict):
        kind = type(images).__name__
        raise TypeError(f"images must be a stack (N, C, H, W) or an iterable of them, got {kind}")
    return _walk_stacks(images, "batch {} of images")


def _walk_stacks(items: Iterable, template: str) -> Iterator[tuple[str, Tensor | np.ndarray, list]]:
    seen = None
    for index, item in enumerate(items):
        name = template.format(index)
        stack, *beside = item if isinstance(item, tuple | list) and len(item) else (item,)
        check_array(stack, name)
        if stack.ndim != 4:
            raise ValueError(f"{name} must have shape (N, C, H, W), got {tuple(stack.shape)}")
        if 0 in stack.shape:
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
    grid = as_tensor(values, name).detach()
    if grid.dtype not in (*REAL_DTYPES, torch.complex64, torch.complex128):
        wanted = "float or complex, of 32 or 64 bits a part"
        raise TypeError(f"{name} must be {wanted}, got {_dtype_name(grid.dtype)}")
    if grid.ndim < 2:
        raise ValueError(f"{name} must have at least two axes (..., H, W), got {tuple(grid.shape)}")
    if 0 in grid.shape:
        raise ValueError(f"{name} must not be empty, got shape {tuple(grid.shape)}")
    return grid


def as_shape(shape: object, name: str = "shape") -> tuple[int, int]:
    """Return (H, W) as a pair of positive ints."""
    if not isinstance(shape, tuple | list | torch.Size) or len(shape) != 2:
        raise ValueError(f"{name} must be a pair (H, W), got {describe(shape)}")
    height, width = (as_integer(side, f"{name}[{axis}]", 1) for axis, side in enumerate(shape))
    check_memory(_GRID_BYTES * height * width, f"a grid of {describe(height)} x {describe(width)}")
    return height, width


def as_image_shape(shape: object) -> tuple[int, int, int]:
    """(C, H, W) as positive ints, with C = 1 put in if only (H, W) is given."""
    if not isinstance(shape, tuple | list | torch.Size) or len(shape) not in (2, 3):
        raise ValueError(f"shape must be (C, H, W) or (H, W), got {describe(shape)}")
    sides = [as_integer(side, f"shape[{axis}]", 1) for axis, side in enumerate(shape)]
    channels, height, width = sides if len(sides) == 3 else (1, *sides)
    check_memory(4 * math.prod(sides), f"an image of shape {describe((channels, height, width))}")
    return channels, height, width


def sides(grid: Tensor) -> tuple[int, int]:
    """Height and width (H, W) of a grid (..., H, W)."""
    height, width = grid.shape[-2:]
    return height, width


def as_labels(labels: object, n_images: int, name: str = "labels") -> Tensor:
    """Return real labels, one an image (N,) or K of them (N, K), as a tensor."""
    labels = as_real_tensor(labels, name)
    if labels.ndim not in (1, 2) or len(labels) != n_images or 0 in labels.shape:
        expected, got = f"({n_images}, ...), as the images", tuple(labels.shape)
        raise ValueError(f"{name} must have shape {expected}, got {got}")
    check_finite(labels, name)
    return labels


def as_real_tensor(values: object, name: str) -> Tensor:
    """Return real numbers of any shape as a tensor: floats as they are, integers as int64."""
    numbers = as_tensor(values, name).detach()
    if numbers.dtype in REAL_DTYPES:
        return numbers
    if numbers.dtype == torch.bool or numbers.is_floating_point() or numbers.is_complex():
        raise TypeError(f"{name} must be real numbers, got {numbers.dtype}")
    if numbers.dtype == torch.uint64 and (numbers.long() < 0).any():
        raise ValueError(f"{name} must be below 2^63, got larger ones")
    return numbers.long()


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
        raise TypeError(f"{name} must be an integer, got {describe(value)}")
    _check_range(int(value), name, low, high)
    return int(value)


def as_real(value: object, name: str, low: float | None = None, high: float | None = None) -> float:
    """Return a finite float between low and high, both included."""
    if isinstance(value, bool) or not isinstance(value, Real | np.floating):
        raise TypeError(f"{name} must be a real number, got {describe(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
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
        raise TypeError(f"{name} must be True or False, got {describe(value)}")
    return value


def as_names(names: object, argument: str, known: Sequence[str]) -> tuple[str, ...]:
    """Return a sequence of names, each known and given once."""
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise TypeError(f"{argument} must be a list or tuple of names, got {describe(names)}")
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
    near = difflib.get_close_matches(value, choices, n=1) if isinstance(value, str) else []
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"{name} must be one of {', '.join(choices)}, got {describe(value)}{hint}")


def describe(value: object) -> str:
    """What came, on one line: a short value as it is, another by its type."""
    try:
        text = repr(value)
    except ValueError:  # of an integer of thousands of digits
        text = ""
    short = 0 < len(text) <= _LONGEST_VALUE and text.isprintable()
    return text if short else f"a value of type {type(value).__name__}"


def as_device(device: str | torch.device, name: str = "device") -> torch.device:
    """Return a device that is here and holds numbers."""
    try:
        found = torch.empty(0, device=device).device
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f"{name} must be one that is here, got {describe(device)}: {reason}"
        ) from error
    if found.type == "meta":
        raise ValueError(f"{name} must be one that holds numbers, got meta")
    return found


def _check_range(value: float, name: str, low: float | None, high: float | None) -> None:
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = {(True, False): f"at least {low}", (False, True): f"at most {high}"}
        expected = bounds.get((high is None, low is None), f"between {low} and {high}")
        raise ValueError(f"{name} must be {expected}, got {describe(value)}")


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
