"""Names in configurations, with numbers after colons: ``recolor:0.5``."""

from freqsense._checks import as_choice, as_real

# Names in configurations -> how many numbers may follow each, after colons.
DATA: dict[str, tuple[int, ...]] = {
    "gaussian_field": (1,),
    "dead_leaves": (1,),
    "photographs": (0, 1),
    "cifar10": (0, 1),
    "cifar10_jpeg": (0,),
    "imagenette": (0,),
}

FILTERS: dict[str, tuple[int, ...]] = {
    "none": (0,),
    "high_pass": (1,),
    "low_pass": (1,),
    "recolor": (1,),
    "whiten": (0,),
    "scramble_phases": (0,),
    "grey": (0,),
    "shrink": (1,),
}

REGIMES: dict[str, tuple[int, ...]] = {
    "plain": (0,),
    "gaussian_noise": (1,),
    "low_pass_blur": (1,),
    "adversarial": (1,),
    "penalty_below": (2,),
    "penalty_above": (2,),
}

LABELS = ("true", "random", "two_groups")


def split_spec(
    spec: object, name: str, counts: dict[str, tuple[int, ...]]
) -> tuple[str, list[float]]:
    """Split "name:number:number" into a known name and as many numbers as it takes."""
    if not isinstance(spec, str):
        raise TypeError(f"{name} must be a string such as {next(iter(counts))!r}, got {spec!r}")
    head, *arguments = spec.split(":")
    as_choice(head, name, tuple(counts))
    expected = " or ".join(map(str, counts[head]))
    complaint = f"{name} {head} takes {expected} numbers after colons, got {spec!r}"
    try:
        numbers = [as_real(float(text), name) for text in arguments]
    except ValueError as error:
        raise ValueError(complaint) from error
    if len(numbers) not in counts[head]:
        raise ValueError(complaint)
    return head, numbers
