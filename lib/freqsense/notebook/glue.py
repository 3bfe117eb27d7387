"""Numbers that a page's prose takes from the code beside it."""

import os

from freqsense.notebook.sliders import STATIC_VARIABLE

__all__ = ["glue"]


def glue(name: str, value: object) -> None:
    """Hand a computed value to the prose of the page, as text.

    The page writes ``{glue:text}`` with the name where the number belongs. In the book's build the
    value goes there and nothing is printed. In a plain notebook, where no prose is filled in, the
    name and the value are printed instead, and nothing but this library need be installed.

    Parameters
    ----------
    name : of the value, unique on the page.
    value : shown as ``str(value)``: format numbers first.

    Raises
    ------
    TypeError
        If the name is not a string.

    Examples
    --------
    >>> from freqsense import notebook
    >>> notebook.glue("answer", f"{41.999:.1f}")
    answer = 42.0
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r}")
    if os.environ.get(STATIC_VARIABLE) != "1":
        print(f"{name} = {value}")
        return
    from myst_nb import glue as hand_over  # only the book's build has it

    hand_over(name, str(value), display=False)
