"""The ImageNet network in full: where the peak arises, what matters, how pictures are prepared."""

import copy

import pytest
import recorded
import torch
from draws import noise
from imagenet import slopes
from networks import small_net
from tolerances import ATOL

from freqsense import sensitivity


@pytest.fixture(scope="module")
def table():
    return recorded.table("imagenet")


def test_the_peak_is_made_in_the_second_and_third_block(table):
    at = {"network": "lite0", "pictures": "photographs"}
    after = [slopes(table, "all", output=f"block {k}", **at).mean() for k in range(17)]
    assert min(after[:2]) > 0.1 and max(after[2:]) < 0.05


def test_outputs_hardly_matter_and_colour_does(table):
    at = {"network": "lite0", "weights": "trained"}
    logits = slopes(table, "all", pictures="photographs", **at)[0]
    for output in ("softmax", "loss", "top logit"):
        other = slopes(table, "all", output=output, pictures="photographs", **at)[0]
        assert abs(other - logits).mean() < 0.1
    grey = slopes(table, "all", pictures="grey", **at)[0]
    assert (logits - grey).mean() > 0.2


@pytest.mark.parametrize("scale", [0.5, 4.0])
def test_a_first_batchnorm_tells_how_pictures_were_normalised(scale):
    images = noise(64, 2, 8, 8)
    model = sensitivity.settle_batchnorm(small_net(), images)
    shown = sensitivity.settle_batchnorm(copy.deepcopy(model), scale * images)
    ratio = shown[1].running_var / model[1].running_var
    assert torch.allclose(ratio, torch.full_like(ratio, scale**2), rtol=1e-6)


def test_turned_colour_axes_keep_the_norm_and_show_each_axis():
    axes = torch.tensor([[1.0, 1, 1], [1, -1, 0], [1, 1, -2]], dtype=torch.float64)
    axes = axes / axes.norm(dim=1, keepdim=True)
    x, model = noise(4, 3, 8, 8), small_net(channels=3).eval()

    def of_axes(y):
        return model(torch.einsum("ac,nahw->nchw", axes, y))

    turned = torch.einsum("ac,nchw->nahw", axes, x)
    plain, along = (
        sensitivity.measure_sensitivity(f, images) for f, images in ((model, x), (of_axes, turned))
    )
    tight = ATOL[torch.float64]
    assert torch.allclose(plain.norm().values, along.norm().values, atol=tight)
    # A network that sees the mean of the colours hears grey alone.
    grey = sensitivity.measure_sensitivity(
        lambda y: of_axes(torch.cat([y[:, :1], 0 * y[:, 1:]], 1)), turned
    )
    assert grey.values[1:].abs().max() < tight < grey.values[0].min()
