"""Values that cross between the teacher's process and the sandbox: arrays and plain values.

Both sides load this file. Nothing is unpickled, and what arrives is measured before it is read.
"""

import io
import json
import zipfile
from typing import Any

import numpy as np

LIMIT = 50_000_000  # bytes of all arrays of one result
PLAIN = (bool, int, float, complex, str, type(None))


def pack(value: Any) -> bytes:
    """Turn a value into bytes: its arrays, and how they hang together.

    >>> unpack(pack((np.arange(3), {"n": 2, "side": 1.5})))
    (array([0, 1, 2]), {'n': 2, 'side': 1.5})
    """
    arrays: list[np.ndarray] = []
    structure = json.dumps(describe(value, arrays))
    named: dict[str, Any] = {f"a{number}": array for number, array in enumerate(arrays)}
    buffer = io.BytesIO()
    np.savez(buffer, structure=np.array(structure), **named)
    return buffer.getvalue()


def describe(value: Any, arrays: list[np.ndarray]) -> dict[str, Any]:
    """Describe a value as JSON can hold it, and collect its arrays."""
    if is_tensor(value):
        arrays.append(value.detach().resolve_conj().resolve_neg().cpu().numpy())
        return {"tensor": len(arrays) - 1}
    if isinstance(value, (np.ndarray, np.generic)):
        arrays.append(np.asarray(value))
        return {"array": len(arrays) - 1}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, PLAIN):
        return {"plain": value}
    if isinstance(value, (tuple, list)):
        return {type(value).__name__: [describe(part, arrays) for part in value]}
    if isinstance(value, dict):
        return {"dict": [[str(key), describe(part, arrays)] for key, part in value.items()]}
    raise TypeError(f"a {type(value).__name__} cannot be handed in: return a tensor or a number")


def is_tensor(value: Any) -> bool:
    """Tell whether a value is a tensor of torch, which is not imported for the question."""
    return type(value).__module__.startswith("torch") and hasattr(value, "resolve_conj")


def unpack(data: bytes) -> Any:
    """Read back what ``pack`` wrote; refuse more than ``LIMIT`` bytes, and objects."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        total = sum(each.file_size for each in archive.infolist())
    if total > LIMIT:
        raise ValueError(f"the result takes {total / 1e6:.0f} MB, more than {LIMIT / 1e6:.0f}")
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return rebuild(json.loads(str(arrays["structure"])), arrays)


def rebuild(part: dict[str, Any], arrays: Any) -> Any:
    """Put a value together from its description."""
    ((kind, content),) = part.items()
    if kind == "tensor":
        import torch

        return torch.from_numpy(arrays[f"a{int(content)}"].copy())
    if kind == "array":
        return arrays[f"a{int(content)}"]
    if kind == "complex":
        return complex(*content)
    if kind in ("tuple", "list"):
        return {"tuple": tuple, "list": list}[kind](rebuild(each, arrays) for each in content)
    if kind == "dict":
        return {key: rebuild(each, arrays) for key, each in content}
    return content
