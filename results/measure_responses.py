"""Read the response of every recorded network off its record; write ``responses.csv`` beside this.

The verdict of the book in numbers: the slope of the slope of sensitivity over that of power, under
recolourings that keep the labels (equation ``eq-response`` of the book), with its standard error
over seeds (NaN where there is one). Where it is recorded, also the response of what training added
to its start, which can be taken off only where no decay has changed it; and the loudness, mean
sensitivity as a share of the untrained network's, the least over recolourings: the response of a
nearly silent network means little. A record that is not there yet has no rows. Run this again after
a record has changed.

The networks trained on ImageNet were never trained on recoloured pictures and have no response. In
its place stands the turn: what training added to the slope of the untrained networks, as a share of
the slope of the pictures' power (table ``imagenet.csv``). At 1/2 it would be the slope of their
amplitude.
"""

import math
from pathlib import Path

import numpy as np
import xarray
from tables import read_table, write_table

from freqsense import experiments

HERE = Path(__file__).parent
TABLE = HERE / "responses.csv"
NAMES = ("label", "record", "images", "size", "network", "n_images", "weight_decay", "runs")
NUMBERS = ("response", "stderr", "learned", "learned_stderr", "loudness", "accuracy")
# Record -> what its images are called.
RECORDS = {
    "response-photographs": "photographs",
    "response-trained-photographs": "photographs",
    "response-cifar10-jpeg": "CIFAR-10",
    "response-trained-cifar10": "CIFAR-10",
    "response-colour": "CIFAR-10",
    "hard-photographs": "photographs",
    "hard-cifar10": "CIFAR-10",
}
LAST_RING = {16: 8, 32: 12}
# Network -> its name in the figure of the verdict; others are in the table alone.
SHOWN = {
    "exact-1": "exact linear",
    "linear_cnn-2": "linear",
    "conv_actually-2": "ReLU, full kernels",
    "conv_actually-3-5x5": "ReLU, 5 × 5 kernels",
    "myrtle_cnn": "Myrtle CNN",
    "resnet-9": "ResNet-9",
}
# EfficientNet-Lite as it was trained: arXiv 1905.11946, section 5.2, on arXiv 1409.0575.
IMAGENET = {
    "label": "trained on ImageNet: turn, no response",
    "record": "imagenet",
    "images": "ImageNet",
    "size": 224,
}
N_IMAGENET, IMAGENET_DECAY = 1281167, 1e-5
# Axes of one value in all of these records.
ALONE = ("data", "labels", "size", "n_test", "steps", "lr", "epochs")


def recolored(record: xarray.Dataset) -> xarray.Dataset:
    """The runs on recoloured images, and on those as they were."""
    steps = ("none", "grey", "shrink:2", "high_pass:1")
    names = [
        name
        for name in record.image_filter.values
        if all(step in steps or step.startswith("recolor:") for step in name.split())
    ]
    return record.sel(image_filter=names)


def responses(record: xarray.Dataset, curve: str) -> xarray.DataArray:
    """The response of each run, read off a named curve."""
    size = record.sizes["ky"]
    band = {"size": size, "fmin": 1, "fmax": LAST_RING[size]}
    slopes = experiments.ring_slopes(record[curve], **band)
    powers = experiments.ring_slopes(experiments.ring_power(record.power_map), **band)
    return experiments.response(slopes, powers)


def by_network(record: xarray.Dataset) -> xarray.Dataset:
    """The last look at each run, with one axis for architectures and for exact minimisers."""
    record = record.isel(look=-1) if "look" in record.dims else record
    record = record.squeeze([dim for dim in record.dims if dim in ALONE], drop=True)
    if "architecture" in record.dims:
        return record.rename(architecture="network")
    names = [f"exact-{depth}" for depth in record.depth.values]
    return record.assign_coords(depth=names).rename(depth="network")


def loudness(record: xarray.Dataset) -> xarray.DataArray:
    """Mean sensitivity over the rings, as a share of that before training, least over filters."""
    rings = slice(1, LAST_RING[record.sizes["ky"]] + 1)
    after, before = (
        record[name].isel(ring=rings).mean("ring") for name in ("sensitivity", "untrained")
    )
    return (after / before).min("image_filter").mean("seed")


def rows_of(stem: str) -> list[dict]:
    """A row of the table for each network, number of images and decay of a record."""
    record = by_network(recolored(xarray.load_dataset(HERE / f"{stem}.nc")))
    each = responses(record, "sensitivity")
    mean, error = experiments.mean_and_error(each)
    table = xarray.Dataset({"runs": each.notnull().sum("seed"), "response": mean, "stderr": error})
    table = table.assign(dict.fromkeys(("learned", "learned_stderr", "loudness"), math.nan))
    if "learned" in record:
        mean, error = experiments.mean_and_error(
            responses(record, "learned").where(record.weight_decay == 0)
        )
        table = table.assign(learned=mean, learned_stderr=error)
    if "untrained" in record:
        table["loudness"] = loudness(record)
    table["accuracy"] = record.accuracy.mean(["image_filter", "seed"])
    rows = table.to_dataframe().reset_index().dropna(subset="response").to_dict("records")
    about = {"record": stem, "images": RECORDS[stem], "size": record.sizes["ky"]}
    return [{"label": label_of(row["network"], about)} | about | as_text(row) for row in rows]


def label_of(network: str, about: dict) -> str:
    """Line of the verdict's figure that a network belongs to; empty if it has none."""
    if network not in SHOWN:
        return ""
    kind = "grey" if about["size"] == 16 else "colour"
    if about["record"] == "response-colour":
        kind += ", 2,000 steps"  # the other runs in colour have a tenth of these
    return f"{about['images']}, {kind}: {SHOWN[network]}"


def as_text(row: dict) -> dict:
    """Numbers of a row in four decimals, and names as the table has them."""
    row = row | {"n_images": int(row.pop("n_train")), "weight_decay": f"{row['weight_decay']:g}"}
    return {k: f"{v:.4f}" if isinstance(v, float) else v for k, v in row.items()}


def slopes_of(network: str, weights: str) -> np.ndarray:
    """Slopes (seeds, pictures) up to the last ring, of a network or of the pictures' amplitude."""
    rows = [
        row
        for row in read_table(HERE / "imagenet.csv")
        if (row["network"], row["weights"], row["pictures"]) == (network, weights, "photographs")
        and row["output"] in ("logits", "amplitude")
    ]
    seeds = sorted({row["seed"] for row in rows})
    return np.array([[float(r["slope_all"]) for r in rows if r["seed"] == k] for k in seeds])


def turn(network: str) -> dict:
    """The row of a network trained on ImageNet; errors over pictures and untrained seeds."""
    untrained, power = slopes_of(network, "untrained"), 2 * slopes_of("none", "")[0]
    change = slopes_of(network, "trained")[0] - untrained.mean(0)
    share = change.mean() / power.mean()
    spread = (change, untrained.mean(1), share * power)
    stderr = math.sqrt(sum(x.var(ddof=1) / len(x) for x in spread)) / abs(power.mean())
    about = {"network": network, "n_train": N_IMAGENET, "weight_decay": IMAGENET_DECAY}
    numbers = {"runs": len(untrained), "response": share, "stderr": stderr}
    return IMAGENET | as_text(dict.fromkeys(NUMBERS, math.nan) | about | numbers)


def measure() -> list[dict]:
    """Rows of all records that are there."""
    there = [stem for stem in RECORDS if (HERE / f"{stem}.nc").exists()]
    rows = [row for stem in there for row in rows_of(stem)]
    return rows + [turn(network) for network in ("lite0", "lite1", "lite2")]


def main() -> None:
    """Write the table."""
    write_table(TABLE, (*NAMES, *NUMBERS), measure())


if __name__ == "__main__":
    main()
