"""The recorded responses: measured again, they are the table."""

import math

import pytest
import recorded
import xarray

from freqsense import experiments

# Both sides are rounded to four digits, of numbers that are equal but for rounding errors.
LAST_DIGIT = 1.01e-4


@pytest.fixture(scope="module")
def script():
    return recorded.script("measure_responses")


@pytest.fixture(scope="module")
def table():
    return recorded.table("responses")


def differences(script, table, measured):
    """Name the rows that are in one of the two only, or differ by more than their last digit."""
    names, numbers = script["NAMES"], script["NUMBERS"]

    def key(row):
        return tuple(str(row[name]) for name in names)

    def alike(a, b):
        a, b = float(a), float(b)
        return abs(a - b) <= LAST_DIGIT or (math.isnan(a) and math.isnan(b))

    there, again = ({key(row): row for row in rows} for rows in (table, measured))
    assert (len(there), len(again)) == (len(table), len(measured))
    return sorted(
        one
        for one in there.keys() | again.keys()
        if one not in there
        or one not in again
        or not all(alike(there[one][n], again[one][n]) for n in numbers)
    )


def test_measured_again_it_is_the_table(script, table):
    assert differences(script, table, script["measure"]()) == []


def test_a_wrong_digit_and_a_row_too_few_are_noticed(script, table):
    changed = dict(table[0], response=f"{float(table[0]['response']) + 0.002:.3f}")
    found = differences(script, table, [changed, *table[2:]])
    named = [tuple(row[name] for name in script["NAMES"]) for row in table[:2]]
    assert found == sorted(named)


def test_a_row_by_hand(script, table):
    record = xarray.load_dataset(recorded.RESULTS / "hard-photographs.nc").squeeze(drop=True)
    one = record.sel(architecture="conv_actually-2")
    names = [f"high_pass:1 recolor:{d}" for d in ("-0.5", "0.5", "1", "1.5", "2")]
    one = one.sel(image_filter=["high_pass:1", *names])
    band = {"size": 32, "fmin": 1, "fmax": 12}
    y = experiments.ring_slopes(one.sensitivity, **band)
    x = experiments.ring_slopes(experiments.ring_power(one.power_map), **band)
    mean = float(experiments.response(y, x).mean())
    (row,) = (
        row
        for row in table
        if (row["record"], row["network"]) == ("hard-photographs", "conv_actually-2")
    )
    assert float(row["response"]) == pytest.approx(mean, abs=LAST_DIGIT)
    assert int(row["runs"]) == one.sizes["seed"]


def test_what_was_learned_stands_only_where_the_start_survives(table):
    # Under decay f - f_0 holds -f_0, and its slope is no slope of what was learned.
    with_decay = [row for row in table if float(row["weight_decay"]) > 0]
    assert with_decay and all(math.isnan(float(row["learned"])) for row in with_decay)
    trained = [
        r for r in table if r not in with_decay and r["record"].startswith("response-trained")
    ]
    assert trained and all(math.isfinite(float(row["learned"])) for row in trained)
