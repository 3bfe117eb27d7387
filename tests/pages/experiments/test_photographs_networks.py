"""Claims of the page "Training on photographs: curves and checks"."""

import recorded
import torch

from freqsense import experiments, fourier, models
from freqsense.sensitivity import measure_sensitivity, slope


def profile(model, x):
    heard = measure_sensitivity(model, x).values.square().sum(0).sqrt()
    return fourier.radial_average(heard)


def test_doubled_logits_double_sensitivity_and_keep_the_slope():
    task = experiments.load_task(
        "photographs", size=16, n_train=600, n_test=100, image_filter="high_pass:1"
    )
    model = models.build("conv_actually-2", width=4, shape=(3, 16, 16), n_outputs=8)
    once = profile(model, task.test_images)
    twice = profile(lambda x: 2 * model(x), task.test_images)
    assert torch.allclose(twice.mean, 2 * once.mean, rtol=1e-4)
    assert abs(slope(twice, 1, 8).slope - slope(once, 1, 8).slope) < 1e-4


def test_the_curve_of_the_linear_network_rises_and_falls_and_has_a_small_slope():
    record = recorded.dataset("hard-photographs")
    record = record.squeeze(["data", "weight_decay", "n_train", "n_test", "epochs"])
    linear = record.sensitivity.sel(image_filter="high_pass:1", architecture="linear_cnn-2")
    slope_of = experiments.ring_slopes(linear, size=32, fmin=1, fmax=12)
    assert (abs(slope_of) < 0.3).all()
    curve = linear.mean("seed").values[1:]
    assert 1.2 * max(curve[0], curve[-1]) < curve.max()
    assert 0 < curve.argmax() < len(curve) - 1


def test_the_roof_of_the_exercise_has_the_slope_that_its_solution_says():
    k = torch.arange(1.0, 17.0)
    roof = torch.where(k <= 4, k, 16 / k)
    x = k.log() - k.log().mean()
    assert abs(float((roof.log() * x).sum() / x.square().sum()) + 0.2) < 0.01
