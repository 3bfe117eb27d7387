"""What is asked of a model that is measured: eval mode, with one row of outputs an image."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn

CUT_OFF = "the output of model must depend on the images, got one cut off from them"


def check_callable(model: object) -> None:
    """Raise unless a model can be called."""
    if not callable(model):
        raise TypeError(f"model must map (N, C, H, W) to (N, K), got {type(model).__name__}")


def as_outputs(outputs: object, n_images: int) -> Tensor:
    """Return what a model made of n images, if it is a real (n, K)."""
    fits = isinstance(outputs, Tensor) and outputs.ndim == 2 and len(outputs) == n_images
    if not isinstance(outputs, Tensor) or not fits or outputs.shape[1] == 0:
        got = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ValueError(f"model must map {n_images} images to ({n_images}, K), got {got}")
    if outputs.is_complex():
        raise ValueError(f"the output of model must be real, got {outputs.dtype}")
    return outputs


@contextmanager
def eval_mode(
    model: Callable[[Tensor], Tensor], device: str | torch.device | None
) -> Iterator[tuple[str | torch.device | None, torch.dtype | None]]:
    """Put a module in eval mode, without gradients of weights, on the device; then put it back."""
    if not isinstance(model, nn.Module):
        yield device, None
        return
    modes = [(module, module.training) for module in model.modules()]
    flags = [(weight, weight.requires_grad) for weight in model.parameters()]
    floating = [weight for weight, _ in flags if weight.is_floating_point()]
    home = next((each.device for each in chain(model.parameters(), model.buffers())), None)
    try:
        model.eval()
        for weight, _ in flags:
            weight.requires_grad_(False)
        if device is not None:
            model.to(device)
        yield (home if device is None else device), (floating[0].dtype if floating else None)
    finally:
        for module, mode in modes:
            module.training = mode
        for weight, flag in flags:
            weight.requires_grad_(flag)
        if device is not None and home is not None:
            model.to(home)
