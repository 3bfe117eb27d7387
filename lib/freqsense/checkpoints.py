"""Networks in files: checkpoints of this library, the user's weights, exported programs."""

import ast
import copy
import hashlib
import importlib
import io
import logging
import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present
from torch.overrides import TorchFunctionMode

from freqsense import _weights, models
from freqsense._checks import as_image_shape, as_integer, as_real, as_shape
from freqsense._evaluation import eval_mode
from freqsense._files import atomic_write

__all__ = [
    "Network",
    "is_checkpoint",
    "load_weights",
    "make_network",
    "needed_sides",
    "open_network",
    "read_file",
    "read_weights",
    "write_checkpoint",
]

_FORMAT = "freqsense-checkpoint-1"
_DESCRIPTION = ("architecture", "width", "shape", "n_outputs", "seed")
_KEYS = {"format", "freqsense", "mean", "std", "training", "state_dict", *_DESCRIPTION}

_WRAPPERS = {"module", "model", "net", "network", "_orig_mod"}  # of prefixes before all names
_MAX_CHANNELS = 1000


@dataclass(frozen=True)
class Network:
    """A network, and the images that it takes.

    model : maps (N, C, H, W) to (N, K)
    channels : C; None where neither the file nor the user says it, and no sides were given to try
    device : where it has to stay, or None
    mean, std : of pixels, one or one a channel, as the network was trained; None if not known
    notes : what was decided on the way, a sentence each
    """

    model: Callable[[Tensor], Tensor]
    channels: int | None
    device: torch.device | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    notes: list[str] = field(default_factory=list)
    make: Callable[[int], nn.Module] | None = field(default=None, repr=False)

    def untrained(self, seed: int) -> nn.Module:
        """Build the network again with other initial weights, drawn from a seed.

        An architecture of this library is built anew, and so is what a function made whose weights
        a file then replaced; of another module a copy draws its weights again, layer by layer.

        Raises
        ------
        ValueError
            If the network is an exported program, or has modules with weights of their own and no
            ``reset_parameters``: they are named.
        """
        seed = as_integer(seed, "seed", 0)
        if self.make is not None:
            return self.make(seed)
        if not isinstance(self.model, nn.Module):
            raise ValueError("an untrained network can be made of a module, got a program")
        return _reset(self.model, seed)


def write_checkpoint(path: Path, model: nn.Module, description: dict) -> None:
    """Write weights, and what is needed to build the network again, whole or not at all."""
    weights = {name: value.cpu() for name, value in model.state_dict().items()}
    content = io.BytesIO()
    whole = {"format": _FORMAT, **description, "digest": _digest(weights), "state_dict": weights}
    torch.save(whole, content)
    atomic_write(path, content.getvalue())


def read_file(path: str | Path, trust: bool) -> dict | ExportedProgram:
    """Read a checkpoint, named tensors, or a program; only the last may run code, if trusted."""
    path = Path(path)
    kind = _weights.kind_of(path)
    if kind == _weights.PROGRAM and not trust:
        # torch.export.load unpickles without weights_only where an archive asks for it, evaluates
        # symbolic sizes as Python, and loads compiled libraries: it cannot be kept from running
        # code.
        raise ValueError(
            f"{path} is an exported program, and PyTorch may run code that is in such a file: "
            "give --trust if you made it or trust who did, or save a state_dict instead"
        )
    _weights.check_whole(path, kind)
    if kind == _weights.PROGRAM:
        return _read_program(path)
    content = _weights.read_content(path, kind)
    if is_checkpoint(content):
        _check_checkpoint(path, content)
    else:
        _weights.take_weights(path, content)
    return content


def is_checkpoint(content: object) -> TypeGuard[dict]:
    """Whether the content of a file says that it is a checkpoint of this library."""
    return isinstance(content, dict) and content.get("format") == _FORMAT


def needed_sides(content: dict | ExportedProgram) -> tuple[int, int] | None:
    """Height and width of the images that a network takes, None if the file does not tell."""
    if isinstance(content, ExportedProgram):
        height, width = _input_of(content).shape[2:]
        return (height, width) if isinstance(height, int) and isinstance(width, int) else None
    return as_image_shape(content["shape"])[1:] if is_checkpoint(content) else None


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Read tensors by name from a file of PyTorch or safetensors; nothing in it is run.

    The file may be a training checkpoint: of its parts, such as ``state_dict``,
    ``model_state_dict`` or ``model``, the one with the weights is taken, trained weights before
    averages of them (``ema``).

    Raises
    ------
    ValueError
        If the file is of another kind, which is named, or damaged, or would run code.

    Examples
    --------
    >>> import tempfile, torch
    >>> from freqsense import checkpoints
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     torch.save({"epoch": 3, "state_dict": {"bias": torch.ones(2)}}, f"{folder}/net.pt")
    ...     checkpoints.read_weights(f"{folder}/net.pt")
    {'bias': tensor([1., 1.])}
    """
    weights, _ = _take_weights(Path(path), read_file(Path(path), trust=False))
    return {name: value.clone() for name, value in weights.items()}  # apart from the mapped file


def load_weights(model: nn.Module, path: str | Path) -> nn.Module:
    """Return a copy of a module with the weights of a file, all of which must fit.

    A prefix that wrappers put before every name (``module.``, ``model.``, ``_orig_mod.``) is
    stripped, and a training checkpoint's weights are taken as by :func:`read_weights`; warnings say
    so, and where a file holds no checksums.

    Raises
    ------
    ValueError
        If a file does not hold weights, or these do not fit the module: those that are missing,
        unexpected or of another shape are named. The module stays as it was.
    """
    path, loaded = Path(path), copy.deepcopy(model)
    weights, notes = _take_weights(path, read_file(path, trust=False))
    for note in _put_weights(path, loaded, weights, notes):
        warnings.warn(note, stacklevel=2)
    return loaded


def open_network(
    path: str | Path | None = None,
    *,
    model: str | nn.Module | Callable[[], nn.Module] | None = None,
    architecture: str | None = None,
    width: int | None = None,
    sides: tuple[int, int] | None = None,
    channels: int | None = None,
    trust: bool = False,
) -> Network:
    """Open a network: a file that tells it whole, or a module and the file of its weights, if any.

    Parameters
    ----------
    path : a checkpoint of this library; a file of weights of PyTorch or safetensors; or an exported
        program.
    model : of weights, or a network that has its own: a module, a function without arguments that
        makes one, or ``"PACKAGE.MODULE:FUNCTION"`` or ``"PACKAGE.MODULE:FUNCTION(...)"``, in
        parentheses numbers, strings and other literals. The function is run.
    architecture, width : of weights of a network of :data:`.ARCHITECTURES`.
    sides : (H, W) of the images, where the file does not tell.
    channels : C of the images, where the file does not tell; if not given, 3 and then 1 are tried.
    trust : whether to load an exported program, though PyTorch may run code that is in it.

    Raises
    ------
    TypeError, ValueError, OSError
        If there is no such file, if it is of another kind, which is named, or damaged, or if its
        weights do not fit: those that are missing, unexpected or of another shape are named.
    ImportError
        If a file of safetensors needs that package.

    Examples
    --------
    >>> from torch import nn
    >>> from freqsense import checkpoints
    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    >>> network = checkpoints.open_network(model=net, sides=(16, 16))
    >>> network.channels, network.notes
    (1, ['the network takes images of 1 channel, and none of 3'])
    """
    return make_network(
        None if path is None else Path(path),
        None if path is None else read_file(path, trust),
        sides,
        architecture=architecture,
        width=width,
        factory=model,
        channels=channels,
    )


def make_network(
    path: Path | None,
    content: dict | ExportedProgram | None,
    sides: tuple[int, int] | None,
    *,
    architecture: str | None = None,
    width: int | None = None,
    factory: str | nn.Module | Callable[[], nn.Module] | None = None,
    channels: int | None = None,
) -> Network:
    """Build the network that a file holds the weights of, if any, for images of these sides."""
    if channels is not None:
        channels = as_integer(channels, "channels", 1, _MAX_CHANNELS)
    if sides is not None:
        sides = as_shape(sides, "sides")
    given = {"architecture": architecture, "width": width, "model": factory, "channels": channels}
    told = [f"--{name}" for name, value in given.items() if value is not None]
    if isinstance(content, ExportedProgram) or is_checkpoint(content):
        if told:
            raise ValueError(f"{path} tells its network itself: leave out {', '.join(told)}")
        if isinstance(content, ExportedProgram):
            return _run_program(content)
        return _of_checkpoint(content, path)
    if factory is not None:
        if len(told) > 1 + (channels is not None):
            raise ValueError(f"--model tells the network: leave out {', '.join(told[:-1])}")
        return _of_factory(path, content, factory, sides, channels)
    if path is None or content is None:
        raise ValueError("a network is a file, or --model PACKAGE.MODULE:FUNCTION, got neither")
    if architecture is None or width is None:
        raise ValueError(
            f"{path} holds weights alone: give --architecture NAME --width N, or "
            f"--model PACKAGE.MODULE:FUNCTION, got {' and '.join(told) or 'neither'}"
        )
    return _of_weights(path, content, architecture, width, sides, channels)


# Checkpoints of this library


def _digest(weights: dict[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and numbers."""
    hashed = hashlib.sha256()
    for name, value in weights.items():
        hashed.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        hashed.update(value.detach().contiguous().flatten().view(torch.uint8).numpy().data)
    return hashed.hexdigest()


def _check_checkpoint(path: Path, content: dict) -> None:
    if lacking := _KEYS - set(content):
        raise ValueError(
            f"{path} must be a whole checkpoint, but lacks {', '.join(sorted(lacking))}"
        )
    _weights.as_tensors(path, content["state_dict"])
    as_image_shape(content["shape"])
    for name in ("width", "n_outputs", "seed"):
        as_integer(content[name], f"{name} of {path}", 0)
    for name in ("mean", "std"):
        if not isinstance(content[name], list):
            raise TypeError(f"{name} of {path} must be a list, got {content[name]!r}")
        for value in content[name]:
            as_real(value, f"{name} of {path}")
    # Files of earlier versions have no digest.
    if "digest" in content and content["digest"] != _digest(content["state_dict"]):
        raise ValueError(f"{path} is damaged: its weights are not those that its digest is of")


def _of_checkpoint(content: dict, path: Path | None) -> Network:
    description = {name: content[name] for name in _DESCRIPTION}
    model = _build(path, content["state_dict"], **description)
    return Network(
        model,
        as_image_shape(content["shape"])[0],
        mean=content["mean"],
        std=content["std"],
        make=partial(_build_with_seed, description),
    )


def _of_weights(
    path: Path,
    content: dict,
    architecture: str,
    width: int,
    sides: tuple[int, int] | None,
    channels: int | None,
) -> Network:
    if sides is None:
        raise ValueError("weights of an architecture need sides=(H, W), those of the images")
    weights, notes = _take_weights(path, content)
    head = weights.get("head", weights.get("head.weight"))
    if head is None or head.ndim < 2:
        got = ", ".join(list(weights)[:8])
        raise ValueError(f"{path} must have the head of a network of this library, got {got}")
    kernels = [value for value in weights.values() if value.ndim == 4]
    if channels is None:
        pixels = sides[0] * sides[1]
        channels = kernels[0].shape[1] if kernels else max(1, head.shape[1] // pixels)
    shape = (channels, *sides)
    description: dict[str, Any] = {"architecture": architecture, "width": width, "shape": shape}
    description |= {"n_outputs": len(head), "seed": 0}
    try:
        model = _build(path, weights, **description)
    except ValueError as error:
        hint = f"{architecture} of width {width} for images {shape}; --size N makes other images"
        raise ValueError(f"{error} ({hint})") from error
    return Network(model, channels, notes=notes, make=partial(_build_with_seed, description))


def _build(
    path: Path | None, weights: dict[str, Tensor], architecture: str, **description: Any
) -> nn.Module:
    """Build a network with weights that fit it; others are refused before it takes memory."""
    try:
        with _OnMeta():
            outline = models.build(architecture, **description)
    except RuntimeError as error:
        raise ValueError(f"{path} must be of a network that can be built, got {error}") from error
    if problems := _misfits(outline.state_dict(), weights):
        raise ValueError(f"{path} must fit the network, got: {problems}")
    model = models.build(architecture, **description)
    _put_weights(path, model, weights, [])
    return model


def _build_with_seed(description: dict, seed: int) -> nn.Module:
    named = dict(description)
    return models.build(named.pop("architecture"), **(named | {"seed": seed}))


class _OnMeta(TorchFunctionMode):
    """Builders of this library make shapes alone, where they would draw weights."""

    def __torch_function__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = {name: value for name, value in (kwargs or {}).items() if name != "generator"}
        if "device" in kwargs or function is torch.randn:
            kwargs["device"] = "meta"
        return function(*args, **kwargs)


# Weights and modules


def _take_weights(path: Path, content: dict | ExportedProgram) -> tuple[dict, list[str]]:
    """Tensors by name of what was read, and sentences on where they lay."""
    if is_checkpoint(content):
        return content["state_dict"], []
    weights, notes = _weights.take_weights(path, content)
    unchecked = _weights.what_is_unchecked(path)
    return weights, [*notes, unchecked] if unchecked else notes


def _put_weights(
    path: Path | None, model: nn.Module, weights: dict[str, Tensor], notes: list[str]
) -> list[str]:
    """Load weights, and note what was stripped or left out for it; or say what does not fit."""
    own = {n: value for n, value in model.state_dict().items() if isinstance(value, Tensor)}
    weights, stripped = _without_prefix(own, weights)
    notes = notes + stripped
    beside = f" ({'; '.join(notes)})" if notes else ""
    for name in own.keys() & weights.keys():
        if not _keeps_numbers(weights[name], own[name]):
            got = f"{name} of {weights[name].dtype}, not {own[name].dtype}"
            raise ValueError(f"{path} must fit the network, got {got}{beside}")
    try:
        model.load_state_dict(weights)
    except Exception as error:  # also what a module's own rules raise
        got = _misfits(own, weights) or " ".join(str(error).split())
        raise ValueError(f"{path} must fit the network, got: {got}{beside}") from error
    for name, weight in model.named_parameters():
        if weight.is_floating_point() and not torch.isfinite(weight).all():
            raise ValueError(f"{path} must hold finite weights, got NaN or infinity in {name}")
    return notes


def _without_prefix(
    own: dict[str, Tensor], weights: dict[str, Tensor]
) -> tuple[dict[str, Tensor], list[str]]:
    """Strip the prefix after which most names are those of the network."""
    found = Counter({"": sum(name in own for name in weights)})
    for name in weights:
        words = name.split(".")
        for count in range(1, len(words)):
            found[".".join(words[:count]) + "."] += ".".join(words[count:]) in own
    prefix = found.most_common(1)[0][0]
    others = [name for name in weights if not name.startswith(prefix)]
    if prefix == "" or (others and not set(prefix[:-1].split(".")) <= _WRAPPERS):
        return weights, []
    stripped = {name: value for name, value in weights.items() if name not in others}
    if hasattr(weights, "_metadata"):
        stripped = OrderedDict(stripped)  # which can have attributes
        stripped.__dict__["_metadata"] = weights._metadata  # versions of modules, for them to read
    consume_prefix_in_state_dict_if_present(stripped, prefix)
    notes = [f"prefix {prefix!r} stripped from the names of weights"]
    if others:
        notes.append(f"weights left out: {_first(others)}")
    return stripped, notes


def _keeps_numbers(value: Tensor, own: Tensor) -> bool:
    """Whether a copy of a tensor into another type holds the same numbers, rounded at most."""
    if value.is_floating_point() and own.dtype == torch.int64:
        # A count of batches, where all was saved in half precision.
        return torch.equal(value, value.long().to(value.dtype))
    kinds = [(x.is_complex(), x.is_floating_point(), x.dtype == torch.bool) for x in (value, own)]
    return kinds[0] == kinds[1]


def _misfits(own: dict[str, Tensor], weights: dict[str, Tensor]) -> str:
    """Name what is missing, unexpected or of another shape; an empty text if nothing is."""
    kinds = [
        [f"{name} is missing" for name in own if name not in weights],
        [f"{name} is unexpected" for name in weights if name not in own],
        [
            f"{name} has shape {tuple(weights[name].shape)}, not {tuple(value.shape)}"
            for name, value in own.items()
            if name in weights
            and not nn.parameter.is_lazy(value)
            and weights[name].shape != value.shape
        ],
    ]
    return "; ".join(_first(kind) for kind in kinds if kind)


def _first(names: list[str], n_shown: int = 4) -> str:
    more = [f"and {len(names) - n_shown} more"] * (len(names) > n_shown)
    return ", ".join(names[:n_shown] + more)


def _of_factory(
    path: Path | None,
    content: dict | None,
    factory: str | nn.Module | Callable[[], nn.Module],
    sides: tuple[int, int] | None,
    channels: int | None,
) -> Network:
    target = _find(factory) if isinstance(factory, str) else factory
    model = _make_module(target, str(factory))
    lazy = any(nn.parameter.is_lazy(weight) for weight in model.parameters())
    notes: list[str] = []
    if path is not None and content is not None:
        weights, notes = _take_weights(path, content)
        if isinstance(target, nn.Module):
            model = copy.deepcopy(model)
        notes = _put_weights(path, model, weights, notes)
    make = None
    if path is not None and not (lazy or isinstance(target, nn.Module)):
        make = partial(_make_untrained, target, str(factory))
    if sides is not None:
        channels, tried = _try_channels(model, sides, channels)
        notes = [*notes, *tried]
    return Network(model, channels, notes=notes, make=make)


def _find(spec: str) -> Any:
    """Find what PACKAGE.MODULE:FUNCTION(...) names; its arguments are read as literals."""
    module, colon, expression = spec.partition(":")
    wrong = ValueError(
        "--model must be PACKAGE.MODULE:FUNCTION or PACKAGE.MODULE:FUNCTION(...) with literals as "
        f"arguments, got {spec[:80]!r}"
    )
    if not (module and colon and expression):
        raise wrong
    try:
        tree = ast.parse(expression.strip(), mode="eval").body
        arguments, keywords = [], {}
        called = isinstance(tree, ast.Call)
        if isinstance(tree, ast.Call):
            arguments = [ast.literal_eval(argument) for argument in tree.args]
            keywords = {str(k.arg): ast.literal_eval(k.value) for k in tree.keywords if k.arg}
            if len(keywords) < len(tree.keywords):
                raise wrong
            tree = tree.func
        names = _dotted(tree)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        raise wrong from error
    try:
        target: Any = importlib.import_module(module)
        for name in names:
            target = getattr(target, name)
    except Exception as error:  # whatever the user's code raises
        raise ValueError(f"--model {spec} failed: {_said(error)}") from error
    return partial(target, *arguments, **keywords) if called else target


def _dotted(tree: ast.expr) -> list[str]:
    if isinstance(tree, ast.Attribute):
        return [*_dotted(tree.value), tree.attr]
    if isinstance(tree, ast.Name):
        return [tree.id]
    raise ValueError("no name")


def _make_module(target: Any, spec: str) -> nn.Module:
    if isinstance(target, nn.Module):
        return target
    try:
        model = target()
    except Exception as error:  # whatever the user's code raises
        raise ValueError(f"--model {spec} failed: {_said(error)}") from error
    if not isinstance(model, nn.Module):
        raise TypeError(f"--model {spec} must return a torch.nn.Module, got {type(model).__name__}")
    return model


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _try_channels(
    model: nn.Module, sides: tuple[int, int], channels: int | None
) -> tuple[int, list[str]]:
    """Apply a network to a black image of the channels that are said, or of 3, then of 1."""
    refused = []
    for n_channels in (3, 1) if channels is None else (channels,):
        try:
            with torch.no_grad(), eval_mode(model, None) as (device, dtype):
                model(torch.zeros(1, n_channels, *sides, device=device, dtype=dtype))
        except Exception as error:  # whatever the user's network raises
            refused.append(f"{(n_channels, *sides)}: {_said(error)}")
            continue
        if channels is not None:
            return n_channels, []
        if n_channels == 3:
            return 3, ["the network takes images of 3 channels; 1 was not tried"]
        return 1, ["the network takes images of 1 channel, and none of 3"]
    raise ValueError(
        f"the network cannot be applied to images {'; nor to '.join(refused)}; "
        "--size N makes other images, --channels N other channels"
    )


# Untrained networks


def _make_untrained(target: Callable[[], nn.Module], spec: str, seed: int) -> nn.Module:
    """Call a function anew; where it always makes the same weights, draw them again by layers."""
    first, second = (_call_seeded(target, spec, each) for each in (seed, seed + 1))
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return _reset(first, seed) if all(torch.equal(*pair) for pair in pairs) else first


def _call_seeded(target: Callable[[], nn.Module], spec: str, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _make_module(target, spec)


def _reset(model: nn.Module, seed: int) -> nn.Module:
    twin = copy.deepcopy(model)
    lacking = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, module in twin.named_modules():
            reset = getattr(module, "reset_parameters", getattr(module, "_reset_parameters", None))
            # A lazy layer that has met no image yet resets nothing.
            if reset is not None and not isinstance(module, LazyModuleMixin):
                reset()
            elif next(module.parameters(recurse=False), None) is not None:
                lacking.append(f"{name or 'the network itself'} ({type(module).__name__})")
    if lacking:
        raise ValueError(
            "an untrained network needs reset_parameters in modules with weights of their own, "
            f"which these lack: {_first(lacking)}"
        )
    return twin


# Exported programs


def _read_program(path: Path) -> ExportedProgram:
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
