"""The recorded exponents: measured again, they come out as they stand in the table."""

import os

import pytest
import recorded

NUMBERS = ("alpha", "stderr", "low", "high")
# Both sides are rounded to three digits: numbers that are equal but for rounding errors may fall on
# two sides of a half, one unit apart.
LAST_DIGIT = 1.01e-3


@pytest.fixture(scope="module")
def script():
    return recorded.script("measure_alpha")


@pytest.fixture(scope="module")
def record():
    return recorded.table("alpha")


def key(row):
    return tuple(str(row[name]) for name in ("data", "subset", "window", "fmin", "fmax"))


def differences(record, measured):
    """Name the rows of which anything but the last digit's rounding differs."""
    recorded, wrong = {key(row): row for row in record}, []
    for row in measured:
        other = recorded.get(key(row), dict.fromkeys(row, "nan"))
        digits = all(abs(float(row[n]) - float(other[n])) <= LAST_DIGIT for n in NUMBERS)
        if not digits or any(str(row[n]) != other[n] for n in row if n not in NUMBERS):
            wrong.append(key(row))
    return wrong


def test_the_photographs_measure_as_recorded(script, record):
    measured = [*script["measure_photographs"](), *script["measure_patches"]()]
    assert differences(record, measured) == []
    assert len(measured) == sum(not row["data"].startswith("CIFAR-10") for row in record)


@recorded.needs_cifar10
def test_cifar10_measures_as_recorded(script, record):
    measured = list(script["measure_cifar10"](os.environ[recorded.CIFAR10]))
    assert differences(record, measured) == []
    assert len(measured) == sum(row["data"].startswith("CIFAR-10") for row in record)


def test_a_wrong_digit_is_noticed(record):
    changed = dict(record[0], alpha=f"{float(record[0]['alpha']) + 0.002:.3f}")
    renamed = dict(record[1], source="another.png")
    assert differences(record, [changed, renamed, record[2]]) == [key(changed), key(renamed)]


def test_the_record_is_complete_and_names_no_path(record):
    from freqsense.datasets import CIFAR10_CLASSES
    from freqsense.images import PHOTOGRAPHS

    rows = {key(row)[:3] for row in record}
    assert len({key(row) for row in record}) == len(record)
    for window in ("none", "hann"):
        assert {("photograph", name, window) for name in PHOTOGRAPHS} <= rows
        assert {("photographs", name, window) for name in ("all", "colour", "grey")} <= rows
        assert {("CIFAR-10, train", name, window) for name in CIFAR10_CLASSES} <= rows
        assert {("CIFAR-10, test", "all", window), ("patches, test", "all", window)} <= rows
    for row in record:
        assert "/" not in row["source"] and "\\" not in row["source"]
        assert len(row["sha256"]) in (0, 64)
        assert float(row["low"]) < float(row["alpha"]) < float(row["high"])
