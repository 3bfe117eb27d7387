"""Statements of the page on the representation cost, and what its assumptions are worth."""

import copy
import math

import pytest
import torch
from draws import noise, random_map
from networks import as_network, factors, imbalances
from tolerances import ATOL

from freqsense import fourier, layers, models, theory, training

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


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_def_linear_cnn(depth, shape):
    model = models.linear_cnn(depth, width=3, shape=(2, *shape), n_outputs=2).double()
    x = noise(4, 2, *shape)
    hidden = x.flatten(1)
    for layer in model.convolutions:  # as dense matrices, without a Fourier transform
        assert layer.bias is None and tuple(layer.weight.shape[-2:]) == shape
        hidden = hidden @ layers.circulant_matrix(layer, shape).T
    assert torch.allclose(model(x), hidden @ model.head.flatten(1).T, atol=TIGHT)
    assert len(model.convolutions) == depth - 1
    narrower = models.linear_cnn(depth, width=2, shape=(2, *shape), n_outputs=2, seed=1).double()
    assert not torch.allclose(model(x), narrower(x), atol=1e-3)


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


def largest_imbalance(model):
    return max(float(part.abs().max()) for part in imbalances(model))


def trained(model, weight_decay, seed):
    """Train on noise and a random linear teacher; return the model."""
    n_outputs = len(model.head)
    x = noise(150, *model.shape, seed=seed)
    y = x.flatten(1) @ noise(math.prod(model.shape), n_outputs, seed=seed + 100)
    loss = theory.quadratic_loss(x, y)
    training.minimize(
        model,
        lambda m: loss(theory.end_to_end(m)),
        weight_decay=weight_decay,
        tolerance=1e-9,
        max_iterations=3000,
    )
    return model


@pytest.mark.parametrize("shape", [(4, 4), (3, 5)])
@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_thm_balance(depth, shape, seed):
    # A decay so small that no singular value vanishes: the power 2/L of one that is zero up to
    # rounding, 1e-16, is anything but zero.
    start = models.linear_cnn(depth, width=4, shape=(3, *shape), n_outputs=2, seed=seed).double()
    model = trained(copy.deepcopy(start), 0.05, seed)
    B = theory.end_to_end(model).detach()
    assert torch.linalg.svdvals(B).min() > 1e-3
    assert largest_imbalance(model) < 1e-8
    cost = theory.representation_cost(B, depth)
    assert math.isclose(sum_of_squares(model.parameters()), cost, rel_tol=TIGHT)
    control = trained(start, 0.0, seed)
    free = theory.representation_cost(theory.end_to_end(control).detach(), depth)
    assert largest_imbalance(control) > 0.05
    assert sum_of_squares(control.parameters()) > 1.05 * free


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_narrow_network_pays_the_cost_of_its_map_too(seed):
    weights = [noise(1, 2, 4, 5, seed=seed), noise(2, 1, 4, 5, seed=seed + 50)]
    model = trained(as_network([w / 4 for w in weights]), 0.05, seed)
    sizes = torch.linalg.svdvals(theory.end_to_end(model).detach())  # (H, W, 2)
    assert sizes[..., 1].max() < TIGHT and sizes[..., 0].min() > 1e-3
    cost = 2 * 20**-0.5 * float(sizes[..., 0].sum())
    assert math.isclose(sum_of_squares(model.parameters()), cost, rel_tol=TIGHT)
    with pytest.raises(ValueError, match="width"):
        models.linear_cnn(2, width=1, shape=(2, 4, 5), n_outputs=2)


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


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_different_decays_enter_by_their_geometric_mean(seed):
    x, y = noise(60, 2, 4, 5, seed=seed), noise(60, seed=seed + 10)
    loss = theory.quadratic_loss(x, y)
    model = models.linear_cnn(2, width=2, shape=(2, 4, 5), seed=seed).double()

    def objective(m):
        decay = 0.01 * m.convolutions[0].weight.square().sum() + 1.0 * m.head.square().sum()
        return loss(theory.end_to_end(m)) + decay

    fit = training.minimize(model, objective, weight_decay=0.0, max_iterations=2000)
    solved = theory.solve(x, y, weight_decay=0.2, depth=2)  # 0.02 and 2.0
    assert math.isclose(fit.objective, solved.objective, rel_tol=1e-9)
    assert fit.objective < 0.98 * theory.solve(x, y, weight_decay=1.01, depth=2).objective


def small_kernel_cost(B, k, seed, width=4):
    shape, used = tuple(B.shape), B != 0
    power = B[used].abs().square()
    layer = layers.CircularConv2d(1, width, k, bias=False).double()
    layer.weight.data = noise(*layer.weight.shape, seed=seed) / k

    def gain(layer):
        return layers.transfer_function(layer, shape).abs().square().sum((-2, -1))[used]

    fit = training.minimize(
        layer,
        lambda m: (power / gain(m)).sum() / 2,
        weight_decay=1.0,
        tolerance=1e-8,
        max_iterations=2000,
    )
    return 2 * fit.objective


@pytest.mark.parametrize("shape", [(8, 8), (7, 7)])
@pytest.mark.parametrize("seed", [0, 1])
def test_small_kernels_cost_more(shape, seed):
    B = fourier.fft2(noise(*shape, seed=seed))
    full = theory.representation_cost(B[..., None, None], 2)
    found = [small_kernel_cost(B, k, seed) / full for k in (1, 3, 5, shape[0])]
    assert math.isclose(found[0], 2 * float(B.abs().square().sum().sqrt()) / full, rel_tol=1e-8)
    assert found[0] > found[1] > 1.01 and found[1] > found[2] > 1 - 1e-8
    assert math.isclose(found[3], 1, rel_tol=1e-8)


@pytest.mark.parametrize(("shape", "omega"), [((9, 9), (2, 3)), ((8, 10), (1, -3))])
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_eq_wave_cost(shape, omega, k):
    B = torch.zeros(shape, dtype=torch.complex128)
    B[omega], B[-omega[0], -omega[1]] = 0.3 + 0.4j, 0.3 - 0.4j
    q = torch.cartesian_prod(torch.arange(k), torch.arange(k)).double()
    angle = (
        4
        * torch.pi
        * (q @ torch.tensor([o / n for o, n in zip(omega, shape, strict=True)]).double())
    )
    m = (k**2 + abs(complex(torch.exp(1j * angle).sum()))) / 2
    for seed in (0, 1):
        assert math.isclose(small_kernel_cost(B, k, seed), 2 * math.sqrt(2 / m) * 0.5, rel_tol=1e-7)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_normalisation_makes_the_scale_of_weights_free(seed):
    x, w = noise(16, 3, 6, 7, seed=seed), noise(4, 3, 6, 7, seed=seed + 10)
    outputs = []
    for scale in (1.0, 1e-3):
        layer = layers.CircularConv2d(3, 4, (6, 7), bias=False).double()
        layer.weight.data = scale * w
        norm = torch.nn.BatchNorm2d(4, eps=1e-30).double()
        outputs.append((layer(x).detach(), norm(layer(x)).detach()))
    (plain, normed), (small, same) = outputs
    assert torch.allclose(normed, same, atol=TIGHT)
    assert not torch.allclose(plain, small, atol=0.1)


def test_behind_a_normalisation_only_the_kernels_before_it_are_free():
    x = noise(16, 2, 6, 6)
    conv = layers.CircularConv2d(2, 4, 6, bias=False).double()
    norm = torch.nn.BatchNorm2d(4, eps=1e-30).double()
    head = torch.nn.Linear(144, 3).double()

    def outputs():
        return head(norm(conv(x)).flatten(1)).detach()

    before = outputs()
    for part, free in ((conv.weight, True), (norm.weight, False), (head.weight, False)):
        kept = part.data.clone()
        part.data *= 1e-3
        assert torch.allclose(outputs(), before, atol=1e-6) == free
        part.data = kept
    conv.weight.data *= 0  # the infimum is not attained
    assert not torch.allclose(outputs(), before, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_global_average_pooling_sees_dc_alone(shape):
    head = noise(2, 4, 1, 1).expand(2, 4, *shape).clone()
    B = theory.end_to_end(as_network([noise(4, 3, *shape, seed=1), head])).detach()
    assert B[0, 0].abs().min() > 1e-3
    assert B.flatten(0, 1)[1:].abs().max() < TIGHT
    full = theory.end_to_end(as_network([noise(4, 3, *shape, seed=1), noise(2, 4, *shape)]))
    assert full.detach().flatten(0, 1)[1:].abs().amin((1, 2)).min() > 1e-3


@pytest.mark.parametrize("seed", [0, 1])
def test_a_bias_between_layers_adds_a_constant_alone(seed):
    model = models.linear_cnn(3, width=2, shape=(2, 4, 5), seed=seed).double()
    B = theory.end_to_end(model).detach()
    for layer in model.convolutions:
        layer.bias = torch.nn.Parameter(noise(2, seed=seed))
    x = noise(5, 2, 4, 5, seed=seed)
    constant = model(torch.zeros_like(x[:1])).detach()
    expected = torch.einsum("hwkc,nchw->nk", B, fourier.fft2(x)).real
    assert constant.abs().max() > 1e-3
    assert torch.allclose(model(x).detach(), expected + constant, atol=TIGHT)
