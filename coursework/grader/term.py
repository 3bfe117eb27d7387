"""A term: its secret, and what follows from it: the variants of the tasks and the inputs drawn."""

import hashlib
import hmac
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

import torch

SHORTEST_SECRET = 16  # characters


class TermError(ValueError):
    """A file of a term that says too little, or something else than it should."""


@dataclass(frozen=True)
class Term:
    """The name of a term and its secret."""

    name: str
    secret: str

    def number(self, *words):
        """Return a number below 2^63 that only the secret gives for these words."""
        text = "\0".join(map(str, words)).encode()
        digest = hmac.new(self.secret.encode(), text, hashlib.sha256).digest()
        return int.from_bytes(digest[:8], "big") >> 1

    def variant(self, assignment, task):
        """Choose the variant of a task."""
        return task.variants[self.number(assignment, task.name, "variant") % len(task.variants)]

    def generator(self, assignment, task, attempt):
        """Return the random numbers that the inputs of a task are drawn with."""
        seed = self.number(assignment, task.name, "inputs", attempt)
        return torch.Generator().manual_seed(seed)


def read_term(path):
    """Read a term from a TOML file; the secret stands there or in a variable that it names."""
    path = Path(path)
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TermError(f"there is no file {path}; coursework/term.toml is an example") from None
    except OSError as error:
        raise TermError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TermError(f"{path} is not TOML: {error}") from None
    unknown = set(told) - {"name", "secret", "secret_variable"}
    if unknown or not told.get("name"):
        raise TermError(f"{path}: expected name and secret, got {sorted(told)}")
    return Term(told["name"], read_secret(told, path))


def read_secret(told, path):
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
