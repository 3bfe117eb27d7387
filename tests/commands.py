"""Commands that a page shows: found in its text, and read by the program's own parser."""

import re
import shlex

from freqsense import __main__

NAMES = ("compare", "download", "measure", "report", "sweep", "train")
# What stands for a name of the reader's, or for an f-string's value.
PLACES = {
    "HOST": "localhost",
    "{make}": "my_network:make",
    "{pixels}": "--size 224",
    "{normal}": "--mean 0.5 --std 0.2",
    "{own}": "--model my_network:make",
    "{name}": "whole.pt",
    "{there}": "--scheduler tcp://127.0.0.1:1 --folder there.runs",
    "NAME": "cifar10",
}


def in_prose(text):
    """Commands that the text names with what they take; a name alone is left out."""
    found = re.findall(r"freqsense ([a-z]+ .*?)(?:`|$)", text, re.M)
    return sorted({line for line in found if line.split()[0] in NAMES})


def named(text):
    """Commands that the text names at all."""
    return {name for name in re.findall(r"freqsense ([a-z]+)", text) if name in NAMES}


def in_cells(text):
    """Commands that cells hand to the program, each in one string."""
    found = re.findall(rf"""(["'])((?:{"|".join(NAMES)}) .+?)\1""", text)
    return sorted({line for _, line in found})


def parse(line):
    """Read a command as the program does."""
    for place, value in PLACES.items():
        line = line.replace(place, value)
    return vars(__main__._parser().parse_args(shlex.split(line)))


def unknown_options(text):
    """Options that a page's prose names and no command has."""
    helped = "\n".join(
        action.format_help()
        for parent in __main__._parser()._actions
        for action in (parent.choices or {}).values()
    )
    # Of pip, of dask worker, and of every command.
    named = set(re.findall(r"`(--[a-z][a-z-]*)", text)) - {"--help", "--nthreads"}
    return {name for name in named if name not in helped}
