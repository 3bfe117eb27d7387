"""Limits that the page on few images at depth 1 names."""

import pytest
import torch
from draws import falling_power, white_teacher

from freqsense import theory


@pytest.mark.parametrize(("share", "expected"), [(2, 1.0), (4, 3.0)])
def test_white_images_without_decay_teach_the_share_of_the_dimensions(share, expected):
    power = torch.ones(8, 8)
    decay = theory.sample_decay(power, weight_decay=1e-9, n_images=64 // share)
    assert decay == pytest.approx(expected, abs=1e-6)


def test_few_images_leave_the_amplitude_whatever_the_teacher():
    power = falling_power((16, 16), alpha=1.0).double()
    kinds = (white_teacher((16, 16)), white_teacher((16, 16)) * power**-0.5)
    for teacher in kinds:
        r = theory.predict_few_images(power, power * teacher, weight_decay=0.1, n_images=1)
        weak = power < power.max() / 4
        ratio = (r / power.sqrt())[weak]
        assert ratio.max() < 1.3 * ratio.min()
    many = theory.predict_few_images(power, power * kinds[1], weight_decay=0.1, n_images=10**6)
    assert (many / power.sqrt())[power < power.max() / 4].max() > 2 * ratio.max()
