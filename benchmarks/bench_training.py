"""Training: a small CNN on photograph patches to its plateau, and what the data cost beside it."""

import time

import torch
from timing import print_row

from freqsense import images, models, training

N_PER_CLASS = 750  # 6,000 patches of eight photographs
PATIENCE = 3


def bench_plateau():
    """Until the validation loss has not fallen for three epochs."""
    x, y = images.photo_patches("train", n_per_class=N_PER_CLASS, seed=0)
    validation = images.photo_patches("test", n_per_class=100, seed=0)
    mean, scale = x.mean(), x.std()
    x, validation = (x - mean) / scale, ((validation[0] - mean) / scale, validation[1])
    model = models.build("conv_actually-3-5x5", width=8, shape=(3, 32, 32), n_outputs=8)
    start = time.perf_counter()
    history = training.train(
        model, x, y, epochs=40, lr=0.002, weight_decay=0.003, optimizer="adam",
        validation=validation, patience=PATIENCE,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    name = f"{len(x)} patches, {len(history.loss)} epochs, accuracy {history.accuracy[-1]:.2f}"
    print_row(name, f"{seconds:.0f} s", "under 40 s")
    return seconds / len(history.loss), x


def bench_loading(seconds_of_epoch, x):
    """The share of an epoch that goes into shuffling and gathering its batches."""
    start = time.perf_counter()
    for index in torch.randperm(len(x)).split(128):
        x[index]
    share = (time.perf_counter() - start) / seconds_of_epoch
    print_row("data loading, share of an epoch", f"{share:.1%}", "under 5 %")


if __name__ == "__main__":
    bench_loading(*bench_plateau())
