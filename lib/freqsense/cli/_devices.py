"""Devices by the names that users give them."""

import torch

from freqsense import _checks


def as_device(name: str | None) -> torch.device:
    """Return a device that is here; None is a GPU if there is one."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return _checks.as_device(name, "--device")
