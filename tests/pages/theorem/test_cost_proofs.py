"""The lemmas behind the representation cost."""

import math

import pytest
import torch
from draws import noise, random_map
from networks import as_network, factors
from tolerances import ATOL

from freqsense import fourier, layers, models, theory

TIGHT = ATOL[torch.float64]
SHAPES = [(6, 6), (5, 5), (4, 7)]


def generator(seed):
    return torch.Generator().manual_seed(seed)


def complex_noise(*shape, seed=0):
    return torch.complex(noise(*shape, seed=2 * seed), noise(*shape, seed=2 * seed + 1))


def mirrored(values):
    """Values at -ω of a map (H, W, ...)."""
    return values.flip(0, 1).roll((1, 1), (0, 1))


def sum_of_squares(tensors):
    return sum(float(t.detach().abs().square().sum()) for t in tensors)


def schatten(matrix, p):
    return float(torch.linalg.svdvals(matrix).pow(p).sum())


def test_initial_transfer_matrices_have_entries_of_the_stated_variance():
    model = models.linear_cnn(3, width=8, shape=(3, 16, 16), n_outputs=20).double()
    for layer, variance in zip(model.convolutions, (1 / 8, 1 / 8), strict=True):
        entries = layers.transfer_function(layer, (16, 16)).detach().abs().square()
        # Of |T|² by frequency: exponential, or of a real square on four points of the grid.
        error = variance * math.sqrt(2 / layer.weight.numel())
        assert abs(entries.mean() - variance) < 4 * error
    assert abs(model.head.detach().var() * 256 * 20 - 1) < 4 * math.sqrt(2 / model.head.numel())


def test_lem_am_gm():
    z = noise(1000, 5).abs()
    arithmetic, geometric = z.mean(1), z.log().mean(1).exp()
    assert (arithmetic > geometric).all()
    equal = z[:, :1].expand(-1, 5)
    assert torch.allclose(equal.mean(1), equal.log().mean(1).exp(), atol=TIGHT)


@pytest.mark.parametrize("shape", SHAPES)
def test_lem_weights_in_frequency(shape):
    model = models.linear_cnn(3, width=4, shape=(3, *shape), n_outputs=2).double()
    weights = [*(layer.weight for layer in model.convolutions), model.head]
    for w, A in zip(weights, factors(model), strict=True):
        assert math.isclose(sum_of_squares([w]), sum_of_squares([A]), rel_tol=TIGHT)
        assert torch.allclose(mirrored(A), A.conj(), atol=TIGHT)
    # Every Hermitian family of matrices has a real kernel.
    T = random_map(shape, 2, 3)
    layer = layers.CircularConv2d(3, 2, shape, bias=False).double()
    ahead = tuple((side - 1) // 2 for side in shape)
    plain = fourier.ifft2(T.conj().permute(2, 3, 0, 1)) / math.prod(shape) ** 0.5
    assert plain.imag.abs().max() < TIGHT
    layer.weight.data = plain.real.roll(ahead, (-2, -1))
    assert torch.allclose(layers.transfer_function(layer, shape), T, atol=TIGHT)


def test_def_schatten():
    M = complex_noise(3, 5)
    assert math.isclose(schatten(M, 2), sum_of_squares([M]), rel_tol=TIGHT)
    assert math.isclose(schatten(M, 1), float(torch.linalg.matrix_norm(M, "nuc")), rel_tol=TIGHT)
    for p in (2 / 3, 1, 2):
        assert math.isclose(schatten(M[:1], p) ** (1 / p), float(M[0].norm()), rel_tol=TIGHT)
    # Below p = 1 the triangle inequality fails: two matrices of rank 1 and their sum.
    one, two = torch.diag(torch.tensor([1.0, 0.0])), torch.diag(torch.tensor([0.0, 1.0]))
    assert schatten(one + two, 0.5) ** 2 > 1.5 * (schatten(one, 0.5) ** 2 + schatten(two, 0.5) ** 2)


@pytest.mark.parametrize("sizes", [(4, 6, 3), (3, 3, 3), (5, 2, 4)])
def test_lem_restriction(sizes):
    rows, inner, columns = sizes
    columns = min(inner, columns)
    for seed in range(50):
        X = complex_noise(rows, inner, seed=seed)
        Q = torch.linalg.qr(complex_noise(inner, columns, seed=1000 + seed)).Q
        small, large = torch.linalg.svdvals(X @ Q), torch.linalg.svdvals(X)
        assert (small <= large[: len(small)] + TIGHT).all()
    loose = 3 * Q  # not orthonormal: no such bound
    assert (torch.linalg.svdvals(X @ loose) > 1.01 * large[: len(small)]).any()


@pytest.mark.parametrize("sizes", [(4, 6, 3), (3, 3, 3), (5, 2, 4)])
def test_lem_horn(sizes):
    rows, inner, columns = sizes
    single = False
    for seed in range(100):
        X = complex_noise(rows, inner, seed=seed)
        Y = complex_noise(inner, columns, seed=1000 + seed)
        m = min(sizes)
        xy, x, y = (torch.linalg.svdvals(M)[:m] for M in (X @ Y, X, Y))
        assert (xy.cumprod(0) <= (x * y).cumprod(0) * (1 + TIGHT)).all()
        single |= bool((xy > x * y).any())
    assert single  # the singular values themselves obey no such bound


def test_lem_log_majorisation():
    checked = 0
    for seed in range(200):
        y = noise(6, seed=seed).exp().sort(descending=True).values
        # A smaller log-majorised vector: averages of neighbours' logs, then a shrinkage.
        share = torch.rand(1, generator=generator(seed), dtype=torch.float64)
        logs = y.log()
        for i in range(5):
            pair = logs[i : i + 2].clone()
            logs[i : i + 2] = share / 2 * pair.flip(0) + (1 - share / 2) * pair
        x = logs.sort(descending=True).values.exp() * torch.tensor([1, 1, 1, 1, 1, 0.0])
        assert (x.cumprod(0) <= y.cumprod(0) * (1 + TIGHT)).all()
        assert x.sum() <= y.sum() * (1 + TIGHT)
        checked += bool((x > y * (1 + 1e-6)).any())  # not because each is smaller
    assert checked > 100
    # Without the hypothesis the claim fails.
    assert sum([2.0, 2.0]) > sum([3.0, 0.5]) and 2 * 2 > 3 * 0.5


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_lem_product_cost(depth):
    sides = [3, 4, 2, 5, 3][: depth + 1]
    for seed in range(100):
        A = [complex_noise(sides[i + 1], sides[i], seed=10 * seed + i) for i in range(depth)]
        product = torch.linalg.multi_dot(A[::-1]) if depth > 1 else A[0]
        bound = depth * schatten(product, 2 / depth)
        assert sum_of_squares(A) >= bound * (1 - TIGHT)
    two = torch.tensor([[2.0]])  # equal numbers attain the bound
    bound = depth * schatten(two**depth, 2 / depth)
    assert math.isclose(sum_of_squares([two] * depth), bound, rel_tol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize(("n_outputs", "n_channels"), [(1, 1), (1, 3), (3, 2)])
def test_lem_balanced_factors(n_outputs, n_channels, depth, shape):
    B = random_map(shape, n_outputs, n_channels)
    weights = theory.realize(B, depth, width=3)
    model = as_network(weights)
    A = factors(model)
    product = A[0]
    for factor in A[1:]:
        product = factor @ product
    D = math.prod(shape)
    assert torch.allclose(product, B * D ** (-(depth - 1) / 2), atol=TIGHT)
    expected = torch.linalg.svdvals(product).pow(1 / depth)
    for factor in A:
        found = torch.linalg.svdvals(factor)[..., : expected.shape[-1]]
        assert torch.allclose(found, expected, atol=TIGHT)
    assert math.isclose(
        sum_of_squares(weights), theory.representation_cost(B, depth), rel_tol=TIGHT
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("depth", [2, 3])
def test_other_factors_of_the_same_map_cost_more(depth, seed):
    B = random_map((4, 5), 2, 2, seed=seed)
    A = factors(as_network(theory.realize(B, depth, width=2)))
    cost = theory.representation_cost(B, depth)
    for t in (-0.3, -0.01, 0.01, 0.3):
        changed = list(A)
        for i in range(depth - 1):
            M = torch.matrix_exp(t * random_map((4, 5), 2, 2, seed=10 * seed + i + 50))
            changed[i], changed[i + 1] = M @ changed[i], changed[i + 1] @ torch.linalg.inv(M)
        assert sum_of_squares(changed) > cost * (1 + 0.1 * t**2)
