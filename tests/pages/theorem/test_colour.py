"""The counterexample of the page on colour, by hand."""

import torch
from tolerances import ATOL

from freqsense import theory

TIGHT = ATOL[torch.float64]


def test_adding_power_that_the_teacher_ignores_lowers_sensitivity():
    """The counterexample of thm-several-channels, by hand."""
    beta = torch.tensor([1.0, -1.0], dtype=torch.complex128)
    before = torch.diag(torch.tensor([1.0, 0.0], dtype=torch.complex128))
    added = torch.ones(2, 2, dtype=torch.complex128)
    sizes = [
        theory.predict_sensitivity(
            m[None, None], (m @ beta)[None, None], weight_decay=1.0, depth=1
        ).item()
        for m in (before, before + added, 2 * before)
    ]
    assert abs(sizes[0] - 0.5) < TIGHT and abs(sizes[1] - 5**-0.5) < TIGHT
    assert sizes[2] > sizes[0]
