"""A term: its secret, and what follows from it: the variants of the tasks and the inputs drawn."""

import hashlib
import hmac
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .task import Task, Variant

SHORTEST_SECRET = 16  # characters
EXAMPLE_SECRET = "this-is-an-example-and-no-secret"  # of coursework/term.toml


class TermError(ValueError):
    """A file of a term that says too little, or something else than it should."""


@dataclass(frozen=True)
class Term:
    """The name of a term, its secret, and the term before."""

    name: str
    secret: str
    previous: "Term | None" = None

    def number(self, *words: Any) -> int:
        """Return a number below 2^63 that only the secret gives for these words."""
        text = "\0".join(map(str, words)).encode()
        digest = hmac.new(self.secret.encode(), text, hashlib.sha256).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    def variant(self, assignment: str, task: Task) -> Variant:
        """Choose the variant of a task: not that of the term before, if there is another."""
        free: Sequence[Variant] = task.variants
        if self.previous and len(free) > 1:
            last = self.previous.variant(assignment, task)
            free = [each for each in free if each != last]
        return free[self.number(assignment, task.name, "variant") % len(free)]

    def generator(self, assignment: str, task: Task, attempt: Any) -> torch.Generator:
        """Return the random numbers that the inputs of a task are drawn with."""
        seed = self.number(assignment, task.name, "inputs", attempt)
        return torch.Generator().manual_seed(seed)


def read_term(path: str | Path, later: tuple[Path, ...] = ()) -> Term:
    """Read a term from a TOML file; the secret stands there or in a variable that it names.

    ``later`` are the files of later terms that have led here, each the previous of the one before.
    """
    path = Path(path)
    if path.resolve() in later:
        raise TermError(f"{path} is the term before itself: look at the lines `previous`")
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TermError(f"there is no file {path}; coursework/term.toml is an example") from None
    except OSError as error:
        raise TermError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TermError(f"{path} is not TOML: {error}") from None
    unknown = set(told) - {"name", "secret", "secret_variable", "previous"}
    if unknown or not told.get("name"):
        raise TermError(f"{path}: expected name and secret, got {sorted(told)}")
    secret = read_secret(told, path)
    return Term(told["name"], secret, read_previous(told, path, (*later, path.resolve())))


def read_previous(told: Mapping[str, Any], path: Path, later: tuple[Path, ...]) -> Term | None:
    """Read the term before, whose file is named by its place beside that of the term."""
    previous = told.get("previous")
    if previous is None:
        return None
    if not isinstance(previous, str) or not previous:
        raise TermError(f"{path}: expected a file as previous, got {previous!r}")
    try:
        return read_term(path.parent / previous, later)
    except TermError as error:
        raise TermError(f"{path}, previous: {error}") from None


def read_secret(told: Mapping[str, Any], path: Path) -> str:
    """Return the secret of a term, which must be long enough not to be guessed."""
    variable = told.get("secret_variable")
    if variable and variable not in os.environ:
        raise TermError(f"the variable {variable}, which {path} names, is not set")
    secret = os.environ.get(variable, "") if variable else told.get("secret", "")
    if not isinstance(secret, str) or len(secret) < SHORTEST_SECRET:
        place = f"the variable {variable}" if variable else f"{path}"
        raise TermError(
            f"{place}: the secret has {len(str(secret))} characters, and needs {SHORTEST_SECRET}: "
            "python -c 'import secrets; print(secrets.token_hex(16))' makes one"
        )
    return secret
