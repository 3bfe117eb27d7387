"""The sweep over depth and decay, in full: the record is whole, and is what it says it is."""

import json

from recorded import dataset


def test_the_record_is_whole():
    record = dataset("depth-decay")
    assert json.loads(record.attrs["missing"]) == json.loads(record.attrs["failures"]) == []
    assert record.accuracy.notnull().all() and record.sensitivity.notnull().all()
    grid = json.loads(record.attrs["configuration"])["grid"]
    for axis in ("architecture", "weight_decay", "seed"):
        assert list(record[axis].values) == list(grid[axis])


def test_a_larger_sweep_is_declared():
    import yaml
    from sources import ROOT

    grid = yaml.safe_load((ROOT / "results" / "paper-cifar10-full.yaml").read_text("utf-8"))
    text = json.dumps(grid)
    assert "weight_decay" in text and "seed" in text
