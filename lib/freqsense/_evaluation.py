"""What is asked of a model that is measured: eval mode, with one row of outputs an image."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from freqsense._checks import as_integer

CUT_OFF = "the output of model must depend on the images, got one cut off from them"
MIXED = (
    "each image must have outputs of its own, but those of one depend on others in its batch: "
    "give BatchNorm running statistics, and put modules inside a function in eval mode"
)


# Values of images in a batch: 8 of 3 x 224 x 224, which take a network of the usual kind about a
# gigabyte with its gradients, and four times as many without.
_BATCH_VALUES = 8 * 3 * 224 * 224


def as_batch_size(batch_size: int | None, low: int = 1) -> int | None:
    """Images at a time, or None for as many as fit."""
    return None if batch_size is None else as_integer(batch_size, "batch_size", low)


def fitting_batch(stack: Tensor | np.ndarray, *, gradients: bool) -> int:
    """How many images of a stack (N, C, H, W) fit into the memory at a time, 256 at most."""
    n_values = _BATCH_VALUES if gradients else 4 * _BATCH_VALUES
    return max(1, min(256, n_values // math.prod(stack.shape[1:])))


def check_callable(model: object) -> None:
    """Raise unless a model can be called."""
    if not callable(model):
        raise TypeError(f"model must map (N, C, H, W) to (N, K), got {type(model).__name__}")


def as_outputs(outputs: object, n_images: int, key: str | int | None = None) -> Tensor:
    """Return what a model made of n images, or the part of it that a key names: a real (n, K).

    Without a key, of a tuple, dict or object: its logits, or else the only real (n, K) in it.
    """
    if isinstance(outputs, Tensor) and key is None:
        chosen = outputs
    else:
        chosen = _select(outputs, key, n_images)
    if chosen.ndim != 2 or len(chosen) != n_images or chosen.shape[1] == 0:
        got = tuple(chosen.shape)
        raise ValueError(f"model must map {n_images} images to ({n_images}, K), got {got}")
    if chosen.is_complex():
        raise ValueError(f"the output of model must be real, got {chosen.dtype}")
    return chosen


def _select(outputs: object, key: str | int | None, n_images: int) -> Tensor:
    """The tensor among the parts of an output that a key names, or that stands out."""
    parts = _parts(outputs, key)
    if isinstance(key, int) and isinstance(outputs, tuple | list):
        chosen = dict(enumerate(outputs)).get(key % max(len(outputs), 1) if key < 0 else key)
    elif key is not None or isinstance(parts.get("logits"), Tensor):
        chosen = parts.get("logits" if key is None else key)
    else:
        fitting = [part for part in parts.values() if _is_row_per_image(part, n_images)]
        chosen = fitting[0] if len(fitting) == 1 else None
    if isinstance(chosen, Tensor):
        return chosen
    got = ", ".join(f"{name!r}: {_describe(part)}" for name, part in parts.items())
    got = f"{type(outputs).__name__} of {got}" if got else _describe(outputs)
    if key is not None:
        raise ValueError(f"output_key must name a tensor in the output of model, {key!r} in {got}")
    hint = "; choose by output_key" if parts else ""
    raise ValueError(f"model must map {n_images} images to ({n_images}, K), got {got}{hint}")


def _parts(outputs: object, key: str | int | None) -> dict:
    """Parts of an output, by name or index."""
    if isinstance(outputs, Tensor):
        return {}
    if isinstance(outputs, Mapping):
        return dict(outputs)
    if isinstance(outputs, tuple | list):
        return getattr(outputs, "_asdict", lambda: dict(enumerate(outputs)))()
    names = dict.fromkeys([*getattr(outputs, "__dict__", ()), "logits", key])
    return {n: getattr(outputs, n) for n in names if isinstance(n, str) and hasattr(outputs, n)}


def _is_row_per_image(part: object, n_images: int) -> bool:
    if not isinstance(part, Tensor) or not part.is_floating_point():
        return False
    return part.ndim == 2 and len(part) == n_images


def _describe(part: object) -> str:
    return str(tuple(part.shape)) if isinstance(part, Tensor) else type(part).__name__


def differentiable_outputs(model: Callable, leaf: Tensor, key: str | int | None = None) -> Tensor:
    """Outputs (n, K) of the model, checked, on the gradient tape of a leaf (n, C, H, W)."""
    with torch.enable_grad():
        # A model may write into its input, but not into a leaf.
        outputs = as_outputs(model(leaf.clone()), len(leaf), key)
    if not outputs.requires_grad:
        raise ValueError(CUT_OFF)
    return outputs


def check_own_outputs(model: Callable, images: Tensor, key: str | int | None = None) -> None:
    """Raise if the gradient of what a model makes of one image reaches another one.

    That gradient is exactly zero otherwise, whatever the precision, the kernels and the chance in
    a network; differences between a batch and single images are not.
    """
    leaf, outputs = _outputs_of_two(model, images, key)
    weights = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(0)).to(outputs)
    even = (torch.arange(len(leaf)) % 2 == 0).to(outputs.device)
    for some in (even, ~even):
        along = torch.where(some[:, None], weights, 0)
        (reached,) = torch.autograd.grad(outputs, leaf, along, retain_graph=True, allow_unused=True)
        leak = torch.zeros(()) if reached is None else reached[~some]
        if (torch.isfinite(leak) & (leak != 0)).any():
            raise ValueError(MIXED)


def _outputs_of_two(
    model: Callable, images: Tensor, key: str | int | None
) -> tuple[Tensor, Tensor]:
    leaf = images[:2].detach().clone().requires_grad_()  # of inference mode no more
    try:
        return leaf, differentiable_outputs(model, leaf, key)
    except Exception:  # a network for one size of batch takes all of them, or says what is wrong
        leaf = images.detach().clone().requires_grad_()
        return leaf, differentiable_outputs(model, leaf, key)


@contextmanager
def eval_mode(
    model: Callable[[Tensor], Tensor], device: str | torch.device | None
) -> Iterator[tuple[str | torch.device | None, torch.dtype | None]]:
    """Put a module in eval mode, without gradients of weights, on the device; then put it back.

    Yields the device, and the dtype of the first weight of two axes or more: a scale that stands
    before it sees no image.
    """
    if not isinstance(model, nn.Module):
        yield device, None
        return
    with _modes_off(model), _without_inference_tensors(model), _weights_fixed(model):
        home = next((each.device for each in chain(model.parameters(), model.buffers())), None)
        made = [weight for weight in model.parameters() if not is_lazy(weight)]
        floating = [weight for weight in made if weight.is_floating_point()]
        first = next((weight for weight in floating if weight.ndim > 1), next(iter(floating), None))
        try:
            if device is not None:
                model.to(device)
            yield (home if device is None else device), (None if first is None else first.dtype)
        finally:
            if device is not None and home is not None:
                model.to(home)


@contextmanager
def _modes_off(model: nn.Module) -> Iterator[None]:
    """Turn training off by its flags: an exported program refuses eval(), and others extend it."""
    modes = [(module, getattr(module, "training", None)) for module in model.modules()]
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, mode in modes:
            if mode is None:  # as some are that were compiled or unpickled
                del module.training
            else:
                module.training = mode


@contextmanager
def _without_inference_tensors(model: nn.Module) -> Iterator[None]:
    """Let copies stand in for what was made in inference mode, which no gradient passes."""
    tables: list[dict] = [t for m in model.modules() for t in (m._parameters, m._buffers)]
    made = [
        (table, name, tensor)
        for table in tables
        for name, tensor in table.items()
        if tensor is not None and not is_lazy(tensor) and tensor.is_inference()
    ]
    try:
        with torch.inference_mode(False):
            for table, name, tensor in made:
                copy = tensor.clone()
                is_weight = isinstance(tensor, nn.Parameter)
                table[name] = nn.Parameter(copy, requires_grad=False) if is_weight else copy
        yield
    finally:
        with torch.inference_mode():
            for table, name, tensor in made:
                table[name] = tensor.copy_(table[name])


@contextmanager
def _weights_fixed(model: nn.Module) -> Iterator[None]:
    """Take no gradients of weights."""
    made = [weight for weight in model.parameters() if not is_lazy(weight)]
    flags = [(weight, weight.requires_grad) for weight in made]
    try:
        for weight, _ in flags:
            weight.requires_grad_(False)
        yield
    finally:
        for weight, flag in flags:
            weight.requires_grad_(flag)
