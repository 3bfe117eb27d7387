"""The search index: Greek letters are found by letter and by name, in formulas and in words."""

import re

from sphinx.search.en import SearchEnglish

from .latex import COMMANDS, GREEK

COMMAND = re.compile(r"\\([A-Za-z]+)")
NAMES = {letter: name for name, letter in GREEK.items()}


class EnglishAndGreek(SearchEnglish):
    """English, with both spellings of each Greek letter."""

    def split(self, input):
        """Split a text into words, and spell each of its Greek letters in both ways."""
        return super().split(input) + list(greek_words(input))


def greek_words(text):
    r"""Yield letter and name of each Greek letter, the first of which formulas lack.

    >>> sorted(set(greek_words(r"\lambda_1 \le |\Omega|, where α = 2")))
    ['alpha', 'lambda', 'omega', 'α', 'λ', 'ω']
    """
    letters = [COMMANDS[name] for name in COMMAND.findall(text) if name in COMMANDS]
    for letter in [*letters, *text]:
        name = NAMES.get(letter.lower())
        if name:
            yield from (letter.lower(), name)
