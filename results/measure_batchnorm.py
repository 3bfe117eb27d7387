"""Switch off, one by one, what decay does to BatchNorm networks; write ``batchnorm-cause.csv``.

As the sweep ``batchnorm.yaml`` at rate 0.01, with decay 0.1 on a part of the weights: on nothing,
on the kernels (each followed by a BatchNorm), on the rest (gains, shifts and head), on everything.
In the fifth row nothing decays: after each epoch kernels are given the lengths that those under
decay ended with, which is what decay does to their effective rate by ``lem-effective-rate``, and
nothing else. Each network is measured as training leaves it, by running statistics, and settled.
"""

import copy
import math
from pathlib import Path

import torch
from tables import write_table
from torch import nn

from freqsense import experiments, models, robustness, sensitivity, training

TABLE = Path(__file__).with_name("batchnorm-cause.csv")
COLUMNS = (
    *("seed", "network", "decayed", "rate", "loss"),
    *("slope", "train_accuracy", "accuracy"),
    *("settled_slope", "settled_train_accuracy", "settled_accuracy"),
)
NETWORKS = ("vgg-11", "myrtle_cnn-batchnorm")
SEEDS = (0, 1)
LR, WEIGHT_DECAY, EPOCHS = 0.01, 0.1, 30
N_MEASURED = 500
DECAYED = ("nothing", "kernels", "rest", "everything", "nothing, kernels scaled")


def build(task: experiments.Task, network: str, seed: int) -> nn.Module:
    _, *shape = task.images.shape
    return models.build(network, width=8, shape=tuple(shape), n_outputs=task.n_outputs, seed=seed)


def kernels(model: nn.Module) -> list[torch.Tensor]:
    return [layer.weight for layer in model.modules() if isinstance(layer, nn.Conv2d)]


def decaying(model: nn.Module, decayed: str) -> list[torch.Tensor]:
    """The parameters that a row of the table lets decay."""
    first = {id(weight) for weight in kernels(model)}
    weights: list[torch.Tensor] = list(model.parameters())
    return {
        "kernels": kernels(model),
        "rest": [weight for weight in weights if id(weight) not in first],
        "everything": weights,
    }.get(decayed, [])


def scale(model: nn.Module, lengths: list[float]) -> None:
    with torch.no_grad():
        for weight, length in zip(kernels(model), lengths, strict=True):
            weight *= length / weight.norm()


def train(
    task: experiments.Task, model: nn.Module, seed: int, decayed: str, lengths: list[float]
) -> float:
    """Train in place; return the loss of the last epoch."""
    chosen = decaying(model, decayed)

    def penalty(images: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
        return WEIGHT_DECAY / 2 * torch.stack([w.square().sum() for w in chosen]).sum()

    def after_epoch(epoch: int) -> None:
        if decayed == "nothing, kernels scaled":
            scale(model, lengths)

    after_epoch(0)
    history = training.train(
        model,
        task.images,
        task.labels,
        epochs=EPOCHS,
        lr=LR,
        weight_decay=0.0,
        seed=seed,
        loss=task.loss,
        penalty=penalty if chosen else None,
        after_epoch=after_epoch,
    )
    return history.loss[-1]


def measure(task: experiments.Task, model: nn.Module) -> dict[str, float]:
    images = task.test_images[:N_MEASURED]
    profile = sensitivity.measure_sensitivity(model, images).norm().radial()[0]
    return {
        "slope": sensitivity.slope(profile, fmin=1, fmax=12).slope,
        "train_accuracy": 1 - robustness.error_rate(model, task.images, task.labels),
        "accuracy": 1 - robustness.error_rate(model, task.test_images, task.test_labels),
    }


def rows_of(network: str, seed: int) -> list[dict]:
    task = experiments.load_task(
        "photographs", size=32, n_train=2000, n_test=500, image_filter="high_pass:1", seed=seed
    )
    rows: list[dict] = []
    lengths: list[float] = []
    for decayed in DECAYED:
        model = build(task, network, seed)
        loss = train(task, model, seed, decayed, lengths)
        norms = [float(weight.detach().norm()) for weight in kernels(model)]
        lengths = norms if decayed == "kernels" else lengths
        rate = LR * math.exp(-2 * sum(map(math.log, norms)) / len(norms))
        row = {"seed": seed, "network": network, "decayed": decayed}
        values = {"rate": rate, "loss": loss} | measure(task, model)
        settled = measure(task, sensitivity.settle_batchnorm(copy.deepcopy(model), task.images))
        values |= {f"settled_{name}": value for name, value in settled.items()}
        rows.append(row | {name: f"{value:.4g}" for name, value in values.items()})
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Write the table, after each network what there is."""
    torch.set_flush_denormal(True)
    rows = []
    for seed in SEEDS:
        for network in NETWORKS:
            rows += rows_of(network, seed)
            write_table(TABLE, COLUMNS, rows)


if __name__ == "__main__":
    main()
