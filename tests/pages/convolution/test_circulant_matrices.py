"""Statements of the page "Circulant matrices"."""

import math

import pytest
import torch
from convolving import along_row, circulant, shift_matrix
from draws import noise
from matrices import modes
from tolerances import ATOL

TIGHT = ATOL[torch.float64]


SHAPES = [(1, 8), (1, 9), (4, 4), (3, 5), (4, 3), (2, 6)]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("shape", SHAPES)
def test_thm_translation_circulant(shape, seed):
    one_step = [shift_matrix(shape, 1, 0), shift_matrix(shape, 0, 1)]
    matrix = circulant(noise(*shape, seed=seed))
    for step in one_step:
        assert torch.equal(matrix @ step, step @ matrix)
    # The mean over all shifts commutes with them, and is circulant again.
    anything = noise(len(matrix), len(matrix), seed=seed)
    shifts = [shift_matrix(shape, y, x) for y in range(shape[0]) for x in range(shape[1])]
    average = sum(s.T @ anything @ s for s in shifts) / len(shifts)
    assert all(torch.allclose(average @ s, s @ average, atol=TIGHT) for s in one_step)
    assert torch.allclose(average, circulant(average[0].reshape(shape)), atol=TIGHT)
    # A matrix that is not circulant fails for at least one of the two.
    assert max((anything @ s - s @ anything).abs().max() for s in one_step) > 0.1
    place = torch.diag(torch.arange(len(matrix)).double())
    assert max((place @ s - s @ place).abs().max() for s in one_step) > 0.1


@pytest.mark.parametrize("shape", SHAPES)
def test_thm_circulant_eigenvectors(shape):
    m, waves = noise(*shape), modes(shape)
    matrix = circulant(m).to(waves.dtype)
    phases = waves * math.sqrt(m.numel())  # exp(2πi ω·r/n), (r, ω)
    eigenvalues = (m.flatten()[:, None] * phases).sum(0)
    assert torch.allclose(matrix @ waves, waves * eigenvalues, atol=TIGHT)
    # Conversely, any eigenvalues on the modes give a circulant matrix.
    chosen = torch.complex(noise(m.numel(), seed=1), noise(m.numel(), seed=2))
    made = waves @ torch.diag(chosen) @ waves.conj().T
    rebuilt = circulant(made[0].reshape(shape))
    assert torch.allclose(made, rebuilt, atol=TIGHT)
    # On another basis they do not.
    basis = torch.linalg.qr(torch.complex(noise(*made.shape), noise(*made.shape, seed=1)))[0]
    made = basis @ torch.diag(chosen) @ basis.conj().T
    assert not torch.allclose(made, circulant(made[0].reshape(shape)), atol=0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_cor_circulant_algebra(shape):
    first, second = circulant(noise(*shape)), circulant(noise(*shape, seed=1))
    waves = modes(shape)

    def transfer(matrix):
        return (waves.conj() * (matrix.to(waves.dtype) @ waves)).sum(0)

    one, two = transfer(first), transfer(second)
    for made, expected in [
        (first + second, one + two),
        (first @ second, one * two),
        (first.T, one.conj()),
        (torch.linalg.inv(first), 1 / one),
    ]:
        assert torch.allclose(made, circulant(made[0].reshape(shape)), atol=TIGHT)
        assert torch.allclose(transfer(made), expected, atol=TIGHT)
    assert torch.allclose(first @ second, second @ first, atol=TIGHT)
    gains = one.abs().sort(descending=True)[0]
    assert torch.allclose(torch.linalg.svdvals(first), gains, atol=TIGHT)
    anything = noise(*first.shape, seed=2)
    assert not torch.allclose(first @ anything, anything @ first, atol=0.1)


@pytest.mark.parametrize(
    ("first", "second", "drift"), [(3, 5, 0), (3, 4, 0), (4, 3, 0), (2, 2, 1), (4, 6, 1)]
)
def test_two_layers_are_one_up_to_a_pixel(first, second, drift):
    n = 15
    one, two = noise(first), noise(second, seed=1)
    both = torch.zeros(first + second - 1, dtype=torch.float64)
    for q, weight in enumerate(one):
        both[q : q + second] += weight * two
    x = noise(1, 1, 1, n, seed=2)
    twice = along_row(two)(along_row(one)(x))
    assert torch.allclose(twice, along_row(both)(x).roll(-drift, -1), atol=TIGHT)
    assert not torch.allclose(twice, along_row(both)(x).roll(1 - drift, -1), atol=0.01)
