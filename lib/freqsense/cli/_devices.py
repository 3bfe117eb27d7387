"""Devices by the names that users give them."""

import torch


def as_device(name: str | None) -> torch.device:
    """Return a device that is here; None is a GPU if there is one."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device must be one that is here, got {name!r}: {reason}") from error
