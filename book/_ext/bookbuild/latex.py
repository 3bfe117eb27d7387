"""Formulas where no formula can be typeset: in the text of a tooltip, and in the search index."""

import re

from docutils import nodes

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ",
    "eta": "η", "theta": "θ", "iota": "ι", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν",
    "xi": "ξ", "omicron": "ο", "pi": "π", "rho": "ρ", "sigma": "σ", "tau": "τ", "upsilon": "υ",
    "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω",
}  # fmt: skip
# LaTeX's second forms of a letter, and its capitals.
COMMANDS = (
    GREEK
    | {f"var{name}": letter for name, letter in GREEK.items()}
    | {name.capitalize(): letter.upper() for name, letter in GREEK.items()}
)
SIGNS = {
    "approx": "≈", "bullet": "•", "cdot": "·", "circ": "∘", "dots": "…", "ge": "≥", "geq": "≥",
    "in": "∈", "infty": "∞", "int": "∫", "langle": "⟨", "ldots": "…", "le": "≤", "leq": "≤",
    "ll": "≪", "gg": "≫", "ne": "≠", "neq": "≠", "nabla": "∇", "otimes": "⊗", "partial": "∂",
    "pm": "±", "propto": "∝", "rangle": "⟩", "sim": "~", "sqrt": "√", "sum": "∑", "times": "×",
    "to": "→", "lVert": "‖", "rVert": "‖", "Vert": "‖", "lvert": "|", "rvert": "|", "mid": "|",
    "ell": "ℓ", "star": "*", "ast": "*", "lfloor": "⌊", "rfloor": "⌋",
}  # fmt: skip
ACCENTS = {"hat": "\u0302", "widehat": "\u0302", "tilde": "\u0303", "bar": "\u0304"}
ARGUMENT = r"\s*(?:\{([^{}]*)\}|(\\?[A-Za-z]+\b|\w))"
SUPERSCRIPTS = str.maketrans("0123456789+-−ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻ⁿⁱ")


def plain(latex):
    r"""Write a formula of a line in plain text, as well as that goes.

    >>> plain(r"\hat x(\omega) = \mathbb E\,|b^*|^{-2}"), plain(r"P \propto |\omega|^{-\alpha}")
    ('x̂(ω) = E|b*|⁻²', 'P ∝ |ω|^(−α)')
    >>> plain(r"s_{\mathrm c} = \tfrac12 \sqrt{D}/n"), plain(r"\frac{a+b}{2}")
    ('s_c = ½ √D/n', '(a+b)/2')
    >>> plain(r"\hat x(-\omega) = \overline{\hat x(\omega)}"), plain("A_{l+1}")
    ('x̂(-ω) = conj(x̂(ω))', 'A_(l+1)')
    """
    text = latex.replace(r"\tfrac12", "½").replace(r"\|", "‖").replace(r"\frac12", "½")
    text = re.sub(r"\\(?:math|text|operatorname)\w*" + ARGUMENT, argument, text)
    text = re.sub(r"\\(?:left|right|big\w*|Big\w*|displaystyle|limits)(?![A-Za-z])", "", text)
    text = re.sub(r"\\overline" + ARGUMENT, lambda match: f"conj({argument(match)})", text)
    text = re.sub(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", fraction, text)
    for name, mark in ACCENTS.items():
        text = re.sub(rf"\\{name}(?![A-Za-z]){ARGUMENT}", lambda m, k=mark: argument(m) + k, text)
    text = re.sub(r"\\(?:[,;:!]|quad|qquad)", "", text)
    text = re.sub(r"\\([A-Za-z]+) ?", sign, text).replace("\\", "")
    text = re.sub(r"\^\{?\*\}?", "*", text)
    text = re.sub(r"\^(?:\{([^{}]*)\}|(\w))", raised, text)
    text = re.sub(r"_\{([^{}]*[+−-][^{}]*)\}", r"_(\1)", text)
    text = re.sub(r"\{([^{}]*)\}", r"\1", text)
    return " ".join(text.split())


def spoken(node):
    """Write what stands below a node as plain text."""
    if isinstance(node, nodes.Text):
        return node.astext()
    if isinstance(node, (nodes.math, nodes.math_block)):
        return plain(node.astext())
    return "".join(map(spoken, node.children))


def argument(match):
    """The argument of a command, with or without braces."""
    return match[1] if match[1] is not None else match[2]


def fraction(match):
    """A fraction in a line; more than one letter goes into brackets."""
    return "/".join(part if len(part) == 1 else f"({part})" for part in match.groups())


def sign(match):
    """The sign of a command; one without a sign, such as the logarithm, is read by its name."""
    name = match[1]
    found = COMMANDS.get(name) or SIGNS.get(name)
    # A space after a command ends its name, and is none between signs.
    return found + " " * (match[0][-1] == " " and name not in {"sqrt"}) if found else match[0][1:]


def raised(match):
    """An exponent, raised where there are such letters."""
    exponent = argument(match).replace("-", "−")
    small = exponent.translate(SUPERSCRIPTS)
    if not set(small) & set(exponent):
        return small
    return f"^{exponent}" if len(exponent) == 1 else f"^({exponent})"
