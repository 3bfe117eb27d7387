"""Small changes to the key's functions, each of which the drawn inputs should show."""

import ast
import copy
from collections.abc import Iterator
from typing import Any

SWAPS: dict[type, Any] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
}  # fmt: skip
NAMES = {"mean": "sum", "sum": "mean", "square": "abs", "log": "sqrt", "sin": "cos", "min": "max"}


def mutate(source: str) -> Iterator[tuple[str, str]]:
    """Yield (what was changed, source) for every single change of a function."""
    tree = ast.parse(source)
    sites = [node for node in ast.walk(tree) if change(copy.deepcopy(node))]
    for number, _ in enumerate(sites):
        changed = copy.deepcopy(tree)
        site = [node for node in ast.walk(changed) if change(copy.deepcopy(node))][number]
        what = change(site)
        yield f"line {getattr(site, 'lineno', 1)}: {what}", ast.unparse(changed)


def change(node: ast.AST) -> str | None:
    """Change a node in place; return what was changed, or None where there is nothing to."""
    if isinstance(node, ast.BinOp) and type(node.op) in SWAPS:
        old_operator, node.op = node.op, SWAPS[type(node.op)]()
        return f"{type(old_operator).__name__} to {type(node.op).__name__}"
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        compared, node.ops[0] = node.ops[0], SWAPS[type(node.ops[0])]()
        return f"{type(compared).__name__} to {type(node.ops[0]).__name__}"
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        number: Any = node.value
        node.value = number + 1
        return f"{number!r} to {node.value!r}"
    if isinstance(node, ast.Attribute) and node.attr in NAMES:
        old, node.attr = node.attr, NAMES[node.attr]
        return f"{old} to {node.attr}"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        node.op = ast.UAdd()
        return "a sign dropped"
    return None
