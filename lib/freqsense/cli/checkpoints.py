"""Networks in files: checkpoints of this library, the user's weights, exported programs."""

import importlib
import io
import logging
import pickle
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from freqsense import models
from freqsense._checks import as_image_shape, as_integer
from freqsense._files import atomic_write

__all__ = [
    "Network",
    "is_checkpoint",
    "make_network",
    "needed_sides",
    "read_file",
    "write_checkpoint",
]

_FORMAT = "freqsense-checkpoint-1"
_DESCRIPTION = ("architecture", "width", "shape", "n_outputs", "seed")
_KEYS = {"format", "freqsense", "mean", "std", "training", "state_dict", *_DESCRIPTION}


@dataclass(frozen=True)
class Network:
    """A network, and the images that it takes.

    model : maps (N, C, H, W) to (N, K)
    channels : C, 1 or 3
    device : where it has to stay, or None
    """

    model: Callable[[Tensor], Tensor]
    channels: int
    device: torch.device | None = None


def write_checkpoint(path: Path, model: nn.Module, description: dict) -> None:
    """Write weights, and what is needed to build the network again, whole or not at all."""
    weights = {name: value.cpu() for name, value in model.state_dict().items()}
    content = io.BytesIO()
    torch.save({"format": _FORMAT, **description, "state_dict": weights}, content)
    atomic_write(path, content.getvalue())


def read_file(path: Path, trust: bool) -> dict | ExportedProgram:
    """Read a checkpoint, named tensors, or a program; only the last may run code, if trusted."""
    if not path.is_file():
        raise FileNotFoundError(f"MODEL must be a file, got {path}, which is none")
    if path.suffix == ".pt2":
        return _read_program(path, trust)
    try:
        with warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever damaged or hostile bytes lead to
        raise ValueError(f"{_expected(path)}, got {_what_came(error)}") from error
    if is_checkpoint(content):
        _check_checkpoint(path, content)
    else:
        _check_tensors(path, content)
    return content


def is_checkpoint(content: object) -> bool:
    """Whether the content of a file says that it is a checkpoint of this library."""
    return isinstance(content, dict) and content.get("format") == _FORMAT


def needed_sides(content: dict | ExportedProgram) -> tuple[int, int] | None:
    """Height and width of the images that a network takes, None if the file does not tell."""
    if isinstance(content, ExportedProgram):
        height, width = _input_of(content).shape[2:]
        return (height, width) if isinstance(height, int) and isinstance(width, int) else None
    return as_image_shape(content["shape"])[1:] if is_checkpoint(content) else None


def make_network(
    path: Path,
    content: dict | ExportedProgram,
    sides: tuple[int, int],
    *,
    architecture: str | None,
    width: int | None,
    factory: str | None,
) -> Network:
    """Build the network that a file holds the weights of, for images of these sides."""
    given = {"--architecture": architecture, "--width": width, "--model": factory}
    told = [name for name, value in given.items() if value is not None]
    if isinstance(content, ExportedProgram) or is_checkpoint(content):
        if told:
            raise ValueError(f"{path} tells its network itself: leave out {', '.join(told)}")
        if isinstance(content, ExportedProgram):
            return _run_program(content)
        model = models.build(
            content["architecture"], **{name: content[name] for name in _DESCRIPTION[1:]}
        )
        return Network(_with_weights(path, model, content["state_dict"]), content["shape"][0])
    if factory is not None:
        model = _with_weights(path, _call_factory(factory), content)
        convolutions = (m.in_channels for m in model.modules() if isinstance(m, nn.Conv2d))
        return Network(model, next(convolutions, 3))
    if architecture is None or width is None:
        raise ValueError(
            f"{path} holds weights alone: give --architecture NAME --width N, or "
            f"--model PACKAGE.MODULE:FUNCTION, got {' and '.join(told) or 'neither'}"
        )
    return _of_weights(path, content, architecture, width, sides)


# Checkpoints and weights


def _expected(path: Path) -> str:
    return f"{path} must hold tensors by name, as torch.save(model.state_dict(), FILE) writes them"


def _what_came(error: Exception) -> str:
    if not isinstance(error, pickle.UnpicklingError):
        return "a file that is damaged or of another kind"
    asked = re.search(r"GLOBAL (\S+)", str(error))
    what = f"asks to run {asked[1]}" if asked else "may run code"
    return f"a pickle that {what}, which is refused"


def _check_tensors(path: Path, content: object) -> None:
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{_expected(path)}, got {type(content).__name__}")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(f"{_expected(path)}, got {type(value).__name__} for {name!r}")


def _check_checkpoint(path: Path, content: dict) -> None:
    if lacking := _KEYS - set(content):
        raise ValueError(
            f"{path} must be a whole checkpoint, but lacks {', '.join(sorted(lacking))}"
        )
    _check_tensors(path, content["state_dict"])
    as_image_shape(content["shape"])
    for name in ("width", "n_outputs", "seed"):
        as_integer(content[name], f"{name} of {path}", 0)


def _with_weights(path: Path, model: nn.Module, weights: dict[str, Tensor]) -> nn.Module:
    """Put weights into a network, or name those that do not fit it."""
    own = model.state_dict()
    problems = [f"{name} is missing" for name in own if name not in weights]
    problems += [f"{name} is unexpected" for name in weights if name not in own]
    problems += [
        f"{name} has shape {tuple(weights[name].shape)}, not {tuple(value.shape)}"
        for name, value in own.items()
        if name in weights and weights[name].shape != value.shape
    ]
    if problems:
        shown = problems[:8] + [f"and {len(problems) - 8} more"] * (len(problems) > 8)
        raise ValueError(f"{path} must fit the network, got: {'; '.join(shown)}")
    model.load_state_dict(weights)
    return model


def _of_weights(
    path: Path, weights: dict[str, Tensor], architecture: str, width: int, sides: tuple[int, int]
) -> Network:
    head = weights.get("head", weights.get("head.weight"))
    if head is None or head.ndim < 2:
        got = ", ".join(list(weights)[:8])
        raise ValueError(f"{path} must have the head of a network of this library, got {got}")
    kernels = [value for value in weights.values() if value.ndim == 4]
    pixels = sides[0] * sides[1]
    channels = kernels[0].shape[1] if kernels else max(1, head.shape[1] // pixels)
    shape = (channels, *sides)
    model = models.build(architecture, width=width, shape=shape, n_outputs=len(head))
    try:
        return Network(_with_weights(path, model, weights), channels)
    except ValueError as error:
        hint = f"{architecture} of width {width} for images {shape}; --size N makes other images"
        raise ValueError(f"{error} ({hint})") from error


def _call_factory(spec: str) -> nn.Module:
    module, colon, name = spec.partition(":")
    if not (module and colon and name):
        raise ValueError(f"--model must be PACKAGE.MODULE:FUNCTION, got {spec!r}")
    try:
        model = getattr(importlib.import_module(module), name)()
    except Exception as error:  # whatever the user's code raises
        raise ValueError(f"--model {spec} failed: {type(error).__name__}: {error}") from error
    if not isinstance(model, nn.Module):
        raise TypeError(f"--model {spec} must return a torch.nn.Module, got {type(model).__name__}")
    return model


# Exported programs


def _read_program(path: Path, trust: bool) -> ExportedProgram:
    # torch.export.load unpickles without weights_only where an archive asks for it, evaluates
    # symbolic sizes as Python, and loads compiled libraries: it cannot be kept from running code.
    if not trust:
        raise ValueError(
            f"{path} is an exported program, and PyTorch may run code that is in such a file: "
            "give --trust if you made it or trust who did, or save a state_dict instead"
        )
    log = logging.getLogger("torch.export")
    level = log.level
    log.setLevel(logging.ERROR)  # it logs the traceback of what it then raises
    try:
        with warnings.catch_warnings(action="ignore"):
            program = torch.export.load(path)
    except Exception as error:  # whatever damaged bytes lead to
        expected = f"{path} must be what torch.export.save wrote"
        raise ValueError(f"{expected}, got {type(error).__name__}: {error}") from error
    finally:
        log.setLevel(level)
    _input_of(program)
    return program


def _input_of(program: ExportedProgram) -> Tensor:
    """Stand-in for the one input (N, C, H, W) of a program, with its sizes and dtype."""
    names = program.graph_signature.user_inputs
    inputs = [node.meta["val"] for node in program.graph.nodes if node.name in names]
    if len(inputs) != 1 or not isinstance(inputs[0], Tensor) or inputs[0].ndim != 4:
        got = [tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__ for x in inputs]
        raise ValueError(f"an exported program must take one stack (N, C, H, W), got {got}")
    return inputs[0]


def _run_program(program: ExportedProgram) -> Network:
    example, module = _input_of(program), program.module()
    n_fixed = example.shape[0] if isinstance(example.shape[0], int) else None

    def model(x: Tensor) -> Tensor:
        x = x.to(example.dtype)
        if n_fixed is None:
            return module(x)
        pieces = list(x.split(n_fixed))
        n_lacking = n_fixed - len(pieces[-1])
        pieces[-1] = torch.cat([pieces[-1], pieces[-1][-1:].expand(n_lacking, -1, -1, -1)])
        return torch.cat([module(piece) for piece in pieces])[: len(x)]

    return Network(model, int(example.shape[1]), example.device)
