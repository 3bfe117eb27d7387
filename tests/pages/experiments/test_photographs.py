"""Claims of the page "Training CNNs on photographs", on smaller images and over seeds."""

import pytest
import recorded

from freqsense import experiments, images

SEEDS = [0, 1, 2]


def small_task(seed=0, labels="true"):
    return experiments.load_task(
        "photographs", size=16, n_train=600, n_test=100, image_filter="high_pass:1",
        labels=labels, seed=seed,
    )  # fmt: skip


def measured(name):
    return recorded.dataset(name).squeeze(["data", "weight_decay", "n_train", "n_test", "epochs"])


def slopes(rings):
    return experiments.ring_slopes(rings, size=32, fmin=1, fmax=12)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_task_has_as_many_classes_as_colour_photographs(seed):
    task = small_task(seed)
    assert task.n_outputs == len(images.PATCH_CLASSES)
    assert set(task.labels.tolist()) == set(range(task.n_outputs))
    assert (task.images.mean((2, 3)).abs() < 1e-5).all()
    assert abs(task.images.std() - 1) < 0.01


def test_three_networks_take_a_slope_in_every_seed_and_none_has_one_untrained():
    plain = measured("hard-photographs").sel(image_filter="high_pass:1")
    inherit = plain.sel(architecture=["conv_actually-2", "conv_actually-3-5x5", "myrtle_cnn"])
    assert (slopes(inherit.sensitivity) < -0.2).all()
    assert (slopes(inherit.sensitivity) < slopes(inherit.untrained) - 0.2).all()
    assert (abs(slopes(plain.untrained)) < 0.3).all()
    flat = plain.sel(architecture=["linear_cnn-2", "resnet-9"])
    assert (abs(slopes(flat.sensitivity)) < 0.3).all()


def test_shuffled_labels_take_most_of_the_slope_away_in_every_seed():
    control = measured("random-labels").sel(image_filter="high_pass:1")
    relu = control.sel(architecture=["conv_actually-2", "conv_actually-3-5x5"])
    true, random = (slopes(relu.sensitivity.sel(labels=kind)) for kind in ("true", "random"))
    assert (random < 0).all()
    assert (abs(random) < abs(true) / 2).all()


def test_a_linear_network_fits_training_patches_and_guesses_on_others():
    linear = (
        measured("hard-photographs")
        .sel(image_filter="high_pass:1")
        .sel(architecture="linear_cnn-2")
    )
    assert (linear.train_accuracy > 3 * linear.accuracy).all()
    assert (abs(linear.accuracy - 1 / len(images.PATCH_CLASSES)) < 0.08).all()
