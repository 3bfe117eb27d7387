"""The inputs of a task in a term: drawn anew until every listed wrong answer shows on them."""

from .compare import agree

ATTEMPTS = 50


class UnluckyInputsError(RuntimeError):
    """Inputs on which a wrong answer cannot be told from the right one."""


def draw_cases(term, assignment, task):
    """Return the variant of a task, the arguments of each call, and the right answers."""
    variant = term.variant(assignment, task)
    reference, wrong = task.reference(variant), task.wrong(variant)
    for attempt in range(ATTEMPTS):
        generator = term.generator(assignment, task, attempt)
        cases = [task.draw(generator, variant) for _ in range(task.n_cases)]
        # An error of the reference stops everything: else the key would lose marks silently.
        answers = [reference(*arguments) for arguments in cases]
        silent = [each.name for each in wrong if not shows(each, cases, answers, task.rtol)]
        if not silent:
            return variant, cases, answers
    raise UnluckyInputsError(f"{assignment}, {task.name}: {silent} equal the right answer")


def shows(wrong, cases, answers, rtol):
    """Tell whether a wrong answer differs from the right one on some case."""
    pairs = zip(cases, answers, strict=True)
    return any(not agree(attempt(wrong.function, case), answer, rtol) for case, answer in pairs)


def attempt(function, arguments):
    """Return what a function of ours gives, or None where it raises an error."""
    try:
        return function(*arguments)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
        return None
