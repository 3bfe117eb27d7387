"""Networks by name."""

import pytest
import torch
from draws import noise

from freqsense import models


@pytest.mark.parametrize("name", models.ARCHITECTURES)
def test_every_architecture_can_be_built_by_name(name):
    model = models.build(name, width=2, shape=(1, 16, 16), n_outputs=2, seed=1).eval()
    assert model(torch.zeros(3, 1, 16, 16)).shape == (3, 2)


def test_names_say_what_is_built():
    shape = {"width": 2, "shape": (1, 8, 8), "n_outputs": 1}
    small = models.build("conv_actually-3-5x5", **shape)
    assert [layer.kernel_size for layer in small.features[::2]] == [(5, 5), (5, 5)]
    linear = models.build("conv_actually-3-linear", **shape)
    x = noise(2, 1, 8, 8, dtype=torch.float32)
    assert torch.allclose(linear(x) + linear(-x), 2 * linear(torch.zeros_like(x)), atol=1e-5)
    assert not any(
        "BatchNorm" in type(m).__name__ for m in models.build("vgg-11-plain", **shape).modules()
    )
