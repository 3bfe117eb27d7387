"""Convolution layers: both routes against PyTorch, SciPy and dense matrices; transfer matrices."""

import copy
import itertools
import math
import pickle

import numpy as np
import pytest
import scipy.signal
import torch
from draws import noise
from matrices import dense
from tolerances import ATOL
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from freqsense import fourier, layers

TIGHT = ATOL[torch.float64]
DOUBLE = torch.float64

# image, kernel, groups, channels in, channels out: odd, even, rectangular, as large as the image
CASES = [
    ((8, 8), (3, 3), 1, 2, 3),
    ((7, 9), (4, 5), 2, 4, 6),
    ((6, 8), (6, 8), 1, 3, 2),
    ((7, 5), (7, 5), 1, 1, 2),
    ((5, 4), (1, 4), 3, 3, 3),
    ((9, 6), (2, 1), 1, 2, 2),
    ((1, 9), (1, 3), 1, 1, 1),
    ((6, 6), (1, 1), 2, 4, 2),
]
GRID = [
    (n, c_in, c_out, side, kernel)
    for side in (8, 16, 32, 64)
    for n, (c_in, c_out) in itertools.product((1, 64), [(1, 1), (3, 16), (64, 64)])
    for kernel in range(1, side + 1, 2)
]


def pair(case, method="fft", dtype=DOUBLE, seed=0):
    """Our layer and PyTorch's, each initialised from the same seed."""
    _, kernel, groups, c_in, c_out = case
    torch.manual_seed(seed)
    ours = layers.CircularConv2d(c_in, c_out, kernel, groups=groups, method=method).to(dtype)
    torch.manual_seed(seed)
    circular = {"padding": "same", "padding_mode": "circular"}
    return ours, nn.Conv2d(c_in, c_out, kernel, groups=groups, **circular).to(dtype)


def without_bias(layer):
    return lambda x: layer(x) - layer.bias[:, None, None]


def to_frequency(matrix, shape):
    """F M F^H with its axes split: (C_out, D, C_in, D)."""
    size = math.prod(shape)
    blocks = matrix.reshape(-1, *shape, matrix.shape[1])
    columns = fourier.fft2(blocks.movedim(-1, 0)).flatten(-2)  # (C_in * D, C_out, D)
    rows = columns.permute(1, 2, 0).reshape(-1, size, matrix.shape[1] // size, *shape)
    return fourier.fft2(rows.conj()).conj().flatten(-2)


def off_block_share(matrix, shape):
    """Share of the squared entries that couple different frequencies."""
    energy = to_frequency(matrix, shape).abs().square().sum((0, 2))  # (D, D)
    return float(1 - energy.diagonal().sum() / energy.sum())


@pytest.mark.parametrize("method", ["direct", "fft"])
@pytest.mark.parametrize("case", CASES)
def test_def_circular_convolution(case, method):
    (height, width), (kh, kw), groups, c_in, c_out = case
    layer, _ = pair(case, method)
    x = noise(2, c_in, height, width)
    weight = layer.weight.detach()
    expected = layer.bias.detach()[None, :, None, None].repeat(2, 1, height, width)
    for o, c, qy, qx in np.ndindex(c_out, c_in // groups, kh, kw):
        image = x[:, o // (c_out // groups) * (c_in // groups) + c]
        ahead = (qy - (kh - 1) // 2, qx - (kw - 1) // 2)
        expected[:, o] += weight[o, c, qy, qx] * image.roll((-ahead[0], -ahead[1]), (-2, -1))
    assert torch.allclose(layer(x), expected, atol=TIGHT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", ["auto", "direct", "fft"])
@pytest.mark.parametrize("case", CASES)
def test_it_is_a_drop_in_for_conv2d(case, method, dtype):
    ours, theirs = pair(case, method, dtype)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, other)  # the same initial values
    x = noise(3, case[3], *case[0], dtype=dtype)
    y = ours(x)
    assert y.dtype == dtype and y.is_contiguous()
    assert torch.allclose(y, theirs(x), atol=ATOL[dtype], rtol=ATOL[dtype])
    if method == "direct":
        assert torch.equal(y, theirs(x))
    assert not torch.allclose(ours(x), ours(x.roll(1, -1)), atol=1e-3) or case[0][1] == 1


def test_state_dicts_go_both_ways():
    for source, target in (pair(CASES[1]), reversed(pair(CASES[1]))):
        with torch.no_grad():
            source.weight.mul_(2)
        target.load_state_dict(source.state_dict())
        x = noise(1, 4, 7, 9)
        assert torch.allclose(source(x), target(x), atol=TIGHT)
        for twin in (copy.deepcopy(target), pickle.loads(pickle.dumps(target))):
            assert torch.equal(twin(x), target(x))


def test_without_a_bias_on_an_empty_batch_and_channels_last():
    layer = layers.CircularConv2d(2, 3, 4, bias=False, method="fft").double()
    assert layer.bias is None and layer(noise(0, 2, 6, 6)).shape == (0, 3, 6, 6)
    x = noise(2, 2, 6, 6)
    strided = x.contiguous(memory_format=torch.channels_last)
    assert torch.allclose(layer(x), layer(strided), atol=TIGHT)
    assert torch.allclose(layer(-x), -layer(x), atol=TIGHT)
    with torch.inference_mode():
        assert torch.allclose(layer(x), layer(x.clone()), atol=TIGHT)
    assert "method='fft'" in repr(layer)


@pytest.mark.parametrize("kernel", [(3, 3), (4, 4), (5, 2), (9, 8), (1, 7)])
def test_both_routes_against_scipy(kernel):
    x, shape = noise(1, 1, 9, 8), (9, 8)
    for method in ("direct", "fft"):
        layer, _ = pair((shape, kernel, 1, 1, 1), method)
        weight = layer.weight.detach()[0, 0].numpy()
        expected = scipy.signal.correlate2d(x[0, 0].numpy(), weight, "same", "wrap")
        expected = torch.from_numpy(expected)
        assert torch.allclose(without_bias(layer)(x)[0, 0], expected, atol=TIGHT)


@pytest.mark.parametrize("case", CASES)
def test_thm_convolution(case):
    """Transform, multiply frequency by frequency, transform back: it slides the kernel."""
    shape, _, _, c_in, _ = case
    ours, theirs = pair(case)
    x = noise(2, c_in, *shape)
    transfer = layers.transfer_function(theirs, shape)
    product = torch.einsum("hwoc,nchw->nohw", transfer, fourier.fft2(x))
    by_hand = fourier.ifft2(product).real + theirs.bias[:, None, None]
    for y in (by_hand, ours(x)):
        assert torch.allclose(y, theirs(x), atol=TIGHT)


def test_correlation_is_not_convolution():
    """Without the conjugate one gets convolution, which is the flipped kernel's correlation."""
    _, layer = pair(((8, 8), (3, 3), 1, 1, 1))
    x = noise(1, 1, 8, 8)
    transfer = layers.transfer_function(layer, (8, 8))[..., 0, 0]
    convolved = fourier.ifft2(transfer.conj() * fourier.fft2(x)).real
    correlated = without_bias(layer)(x)
    assert not torch.allclose(convolved, correlated, atol=1e-2)
    with torch.no_grad():
        layer.weight.copy_(layer.weight.flip(-2, -1))
    assert torch.allclose(convolved, without_bias(layer)(x), atol=TIGHT)


@pytest.mark.parametrize("case", CASES)
def test_def_transfer_matrix(case):
    shape, kernel, groups, c_in, c_out = case
    _, layer = pair(case)
    padded = torch.zeros(c_out, c_in, *shape, dtype=DOUBLE)
    for o in range(c_out):
        first = o // (c_out // groups) * (c_in // groups)
        taps = layer.weight.detach()[o]
        padded[o, first : first + len(taps), : kernel[0], : kernel[1]] = taps
    ky, kx = fourier.frequencies(shape)
    tap = [(side - 1) // 2 for side in kernel]
    phase = torch.exp(-2j * torch.pi * (ky * tap[0] / shape[0] + kx * tap[1] / shape[1]))
    expected = math.sqrt(math.prod(shape)) * fourier.fft2(padded).conj() * phase
    transfer = layers.transfer_function(layer, shape)
    assert transfer.shape == (*shape, c_out, c_in)
    assert torch.allclose(transfer, expected.permute(2, 3, 0, 1), atol=TIGHT)
    mirror = fourier.rings(shape).mirror
    flat = transfer.flatten(0, 1)
    assert torch.allclose(flat[mirror], flat.conj(), atol=TIGHT)  # T(-ω) is its conjugate


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": (3, 2), "dilation": (2, 3), "padding": "same"},
        {"kernel_size": (4, 2), "dilation": (1, 5), "padding": "same"},
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": (5, 3), "padding": (4, 1), "dilation": (2, 1)},
        {"kernel_size": 1, "padding_mode": "zeros"},
        {"kernel_size": 1, "padding": "valid", "padding_mode": "zeros"},
    ],
)
def test_transfer_function_of_other_layers_that_keep_the_size(options):
    layer = nn.Conv2d(2, 4, **{"padding_mode": "circular", "groups": 2, **options}).double()
    x = noise(2, 2, 9, 8)
    transfer = layers.transfer_function(layer, (9, 8))
    product = torch.einsum("hwoc,nchw->nohw", transfer, fourier.fft2(x))
    assert torch.allclose(fourier.ifft2(product).real, without_bias(layer)(x), atol=TIGHT)


def test_gradients_flow_through_the_transfer_function():
    """The sum of squares of T is D times that of the weights, by Parseval."""
    _, layer = pair(CASES[1])
    layers.transfer_function(layer, (7, 9)).abs().square().sum().backward()
    assert torch.allclose(layer.weight.grad, 2 * 63 * layer.weight, atol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_def_circulant_matrix(case):
    shape, _, _, c_in, _ = case
    _, layer = pair(case)
    matrix = layers.circulant_matrix(layer, shape)
    assert torch.allclose(matrix, dense(without_bias(layer), c_in, shape), atol=TIGHT)


def test_each_row_of_a_circulant_matrix_is_the_row_above_moved_on():
    _, layer = pair(((1, 7), (1, 4), 1, 1, 1))
    matrix = layers.circulant_matrix(layer, (1, 7))
    assert torch.equal(matrix.roll((1, 1), (0, 1)), matrix)
    zeros = nn.Conv2d(1, 1, (1, 3), padding="same").double()
    broken = dense(without_bias(zeros), 1, (1, 7))
    assert not torch.allclose(broken.roll((1, 1), (0, 1)), broken, atol=1e-3)


@pytest.mark.parametrize("case", CASES)
def test_thm_block_diagonal(case):
    shape, *_ = case
    _, layer = pair(case)
    matrix = layers.circulant_matrix(layer, shape)
    assert off_block_share(matrix, shape) < TIGHT
    blocks = to_frequency(matrix, shape).diagonal(dim1=1, dim2=3)  # (C_out, C_in, D)
    transfer = layers.transfer_function(layer, shape).flatten(0, 1).permute(1, 2, 0)
    assert torch.allclose(blocks, transfer, atol=TIGHT)


@pytest.mark.parametrize("options", [{"padding_mode": "zeros"}, {"padding_mode": "reflect"}])
def test_other_padding_is_not_block_diagonal(options):
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 2, 3, padding="same", **options).double()
    assert off_block_share(dense(without_bias(layer), 2, (8, 8)), (8, 8)) > 0.01


@pytest.mark.parametrize("case", CASES)
def test_thm_singular_values(case):
    shape, _, _, c_in, c_out = case
    _, layer = pair(case)
    values = layers.singular_values(layer, shape)
    assert values.shape == (*shape, min(c_in, c_out))
    assert (values.diff(dim=-1) <= 0).all()
    expected = torch.linalg.svdvals(dense(without_bias(layer), c_in, shape))
    assert torch.allclose(values.flatten().sort(descending=True).values, expected, atol=TIGHT)
    transfer = layers.transfer_function(layer, shape)
    assert torch.allclose(values, torch.linalg.svdvals(transfer), atol=TIGHT)


def test_singular_values_of_float32_weights_are_those_of_the_same_weights_in_float64():
    _, layer = pair(CASES[0], dtype=torch.float32)
    values = layers.singular_values(layer, (8, 8))
    assert torch.equal(values, layers.singular_values(copy.deepcopy(layer).double(), (8, 8)))
    assert layer.weight.dtype == torch.float32


def test_zero_padding_has_other_singular_values():
    _, circular = pair(((8, 8), (3, 3), 1, 2, 2))
    zeros = nn.Conv2d(2, 2, 3, padding="same").double()
    zeros.load_state_dict(circular.state_dict())
    exact = torch.linalg.svdvals(dense(without_bias(zeros), 2, (8, 8)))
    predicted = layers.singular_values(circular, (8, 8)).flatten().sort(descending=True).values
    assert (exact - predicted).abs().max() > 0.01


@pytest.mark.parametrize("case", CASES)
def test_eq_spectral_norm(case):
    """No image is stretched more, and one is stretched that much."""
    shape, _, _, c_in, _ = case
    _, layer = pair(case)
    norm = layers.spectral_norm(layer, shape)
    run = without_bias(layer)
    x = noise(50, c_in, *shape)
    with torch.no_grad():
        stretch = run(x).flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1)
        assert stretch.max() <= norm + TIGHT
        top = torch.linalg.svd(layers.circulant_matrix(layer, shape)).Vh[0]
        assert abs(run(top.reshape(1, c_in, *shape)).norm() - norm) < TIGHT


@pytest.mark.parametrize("case", CASES)
def test_the_adjoint_multiplies_by_the_conjugate_transpose(case):
    """<Ax, y> = <x, A*y>, with A* from the gradient and from T(ω)^H."""
    shape, _, _, c_in, c_out = case
    ours, _ = pair(case)
    x = noise(1, c_in, *shape).requires_grad_()
    y = noise(1, c_out, *shape, seed=1)
    inner = (without_bias(ours)(x) * y).sum()
    (back,) = torch.autograd.grad(inner, x)
    assert (inner - (x * back).sum()).abs() < TIGHT
    transfer = layers.transfer_function(ours, shape)
    product = torch.einsum("hwoc,nohw->nchw", transfer.conj(), fourier.fft2(y))
    assert torch.allclose(back, fourier.ifft2(product).real, atol=TIGHT)


@pytest.mark.parametrize("case", [((4, 5), (2, 3), 1, 2, 2), ((4, 4), (4, 4), 2, 2, 2)])
def test_gradients_of_the_fft_route(case):
    layer, theirs = pair(case)
    x = noise(2, 2, *case[0]).requires_grad_()

    def run(x, weight, bias):
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (x,))

    inputs = (x, layer.weight, layer.bias)
    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)
    for model in (layer, theirs):
        model(x).square().sum().backward()
    for mine, other in zip(layer.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(mine.grad, other.grad, atol=TIGHT)


@pytest.mark.parametrize("method", ["direct", "fft"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_it_is_a_drop_in_too(method, dtype):
    """After a layer that gives half precision, and forwards and backwards."""
    results = []
    for layer in pair(CASES[1], method, torch.float32):
        first = nn.Conv2d(4, 4, 1, bias=False)
        first.weight.data = torch.eye(4)[..., None, None]
        x = noise(2, 4, 7, 9, dtype=torch.float32).requires_grad_()
        with torch.autocast("cpu", dtype):
            y = layer(first(x))
        assert y.dtype == dtype
        y.float().square().sum().backward()
        results.append([y.float(), x.grad, layer.weight.grad, layer.bias.grad])
    for mine, other in zip(*results, strict=True):
        assert (mine - other).abs().max() < 4 * torch.finfo(dtype).eps * other.abs().max()


def test_autocast_spares_float64_and_ends_where_it_is_turned_off():
    ours, theirs = pair(CASES[1])
    x = noise(2, 4, 7, 9)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.allclose(ours(x), theirs(x), atol=TIGHT)
        with pytest.raises(TypeError, match="must be torch.float64.*got torch.bfloat16"):
            ours(x.bfloat16())
        with pytest.raises(TypeError, match="must be torch.float32.*got torch.float64"):
            ours.float()(x)
        with torch.autocast("cpu", enabled=False):
            assert ours.float()(x.float()).dtype == torch.float32
            with pytest.raises(TypeError, match="must be torch.float32.*got torch.bfloat16"):
                ours(x.bfloat16())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_cuda_device_gives_what_the_cpu_gives(dtype):
    case = CASES[1]
    ours, _ = pair(case, dtype=dtype)
    x = noise(2, 4, *case[0], dtype=dtype)
    expected = (
        ours(x),
        layers.transfer_function(ours, case[0]),
        layers.circulant_matrix(ours, case[0]),
    )
    values = layers.singular_values(ours, case[0])
    ours = ours.cuda()
    got = (
        ours(x.cuda()),
        layers.transfer_function(ours, case[0]),
        layers.circulant_matrix(ours, case[0]),
    )
    for mine, other in zip(got, expected, strict=True):
        assert mine.is_cuda and torch.allclose(mine.cpu(), other, atol=ATOL[dtype])
    assert torch.allclose(layers.singular_values(ours, case[0]).cpu(), values, atol=ATOL[dtype])


def count(layer, case):
    """Our counts of the operations of a layer, and PyTorch's number of them."""
    shape, _, groups, c_in, _ = case
    x = noise(2, c_in, *shape)
    with FlopCounterMode(display=False) as counter:
        layer(x)
    counts = layers.operation_counts(x.shape, layer.weight.shape, groups)
    return counts, counter.get_total_flops()


@pytest.mark.parametrize("case", CASES)
def test_eq_cost_direct(case):
    """Twice the multiplications, as PyTorch counts them."""
    _, layer = pair(case)
    counts, n_flops = count(layer, case)
    assert counts.direct == n_flops


@pytest.mark.parametrize("case", CASES)
def test_eq_cost_fft(case):
    """Products as PyTorch counts them, and transforms by the usual 5/2 D log2 D."""
    shape, kernel, groups, c_in, c_out = case
    layer, _ = pair(case)
    counts, n_flops = count(layer, case)
    # PyTorch counts two operations where a complex product and sum take eight real ones.
    assert counts.products == 4 * n_flops
    size = math.prod(shape)
    n_maps = 2 * c_in + 2 * c_out + c_in * c_out // groups
    assert math.isclose(counts.transforms, 2.5 * size * math.log2(size) * n_maps)
    assert counts.fft == counts.transforms + counts.products


def test_only_the_direct_count_grows_with_the_kernel():
    small, large = (layers.operation_counts((4, 3, 32, 32), (8, 3, k, k)) for k in (3, 32))
    assert small.fft == large.fft
    assert small.direct * 32**2 == large.direct * 3**2


@pytest.mark.parametrize("gradient", [False, True])
def test_choose_method(gradient):
    """Direct for the smallest kernels, FFT for the largest, and one crossover between.

    But for the gradients of a single channel, which fill one place of a vector and leave the others
    idle: there the FFT was measured to be faster even for a kernel of one pixel.
    """
    for (n, c_in, c_out, side), shapes in itertools.groupby(GRID, key=lambda shape: shape[:4]):
        x_shape = (n, c_in, side, side)
        chosen = [
            layers.choose_method(x_shape, (c_out, c_in, k, k), gradient=gradient)
            for *_, k in shapes
        ]
        assert chosen == sorted(chosen)  # "direct" comes before "fft"
        if side >= 32 and n == 64 and not (gradient and c_in == 1):
            assert {chosen[0], chosen[-1]} == {"direct", "fft"}


def test_shapes_may_be_lists():
    shapes = (64, 16, 32, 32), (32, 16, 32, 32)
    assert layers.choose_method(*map(list, shapes)) == layers.choose_method(*shapes) == "fft"


@pytest.mark.parametrize("gradient", [False, True])
def test_without_kernels_to_slide_far_many_channels_go_directly(gradient):
    """A 1 x 1 layer is the matrix product of the FFT route without its transforms."""
    for n, side, channels in itertools.product((1, 64), (8, 32), (16, 64, 256, 1024)):
        shapes = (n, channels, side, side), (channels, channels, 1, 1)
        assert layers.choose_method(*shapes, gradient=gradient) == "direct"


def test_auto_runs_the_chosen_route(monkeypatch):
    x = noise(2, 2, 6, 6)
    case = ((6, 6), (3, 3), 1, 2, 2)
    auto, theirs = pair(case, "auto")
    seen = []

    def choose(x_shape, weight_shape, groups, *, gradient):
        seen.append((tuple(x_shape), tuple(weight_shape), groups, gradient))
        return "direct"

    monkeypatch.setattr(layers, "choose_method", choose)
    assert torch.equal(auto(x), theirs(x))
    with torch.no_grad():
        auto(x)
    assert seen == [((2, 2, 6, 6), (2, 2, 3, 3), 1, gradient) for gradient in (True, False)]


def broken(**changes):
    options = {"padding": "same", "padding_mode": "circular", **changes}
    layer = nn.Conv2d(2, 2, options.pop("kernel_size", 3), **options)
    return layer


def with_weight(value):
    layer = broken()
    layer.weight = nn.Parameter(layer.weight.detach() * value)
    return layer


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        (lambda: nn.Linear(2, 2), TypeError, "must be an nn.Conv2d, got Linear"),
        (lambda: nn.ConvTranspose2d(2, 2, 3), TypeError, "got ConvTranspose2d"),
        (lambda: broken(stride=2, padding=1), ValueError, r"stride 1 .*got \(2, 2\)"),
        (lambda: broken(padding_mode="zeros"), ValueError, "'circular' .*got 'zeros'"),
        (lambda: broken(padding_mode="reflect"), ValueError, "'circular' .*got 'reflect'"),
        (lambda: broken(padding=0), ValueError, r"padding='same'.*got padding=\(0, 0\)"),
        (lambda: broken(padding="valid"), ValueError, "got padding='valid'"),
        (lambda: broken(padding=2), ValueError, r"got padding=\(2, 2\)"),
        (lambda: broken(padding=2, kernel_size=4), ValueError, r"kernel_size=\(4, 4\)"),
        (lambda: with_weight(1j), TypeError, "float32 or float64 weights, got torch.complex64"),
        (lambda: broken().half(), TypeError, "got torch.float16"),
        (lambda: with_weight(float("nan")), ValueError, "finite weights, got 36 NaN"),
        (lambda: broken(kernel_size=(3, 9)), ValueError, r"fit .*\(8, 8\), got one of \(3, 9\)"),
        (lambda: broken(dilation=4), ValueError, r"got one of \(9, 9\)"),
    ],
)
def test_layers_that_have_no_transfer_function(layer, error, message):
    for function in (
        layers.transfer_function,
        layers.singular_values,
        layers.spectral_norm,
        layers.circulant_matrix,
    ):
        with pytest.raises(error, match=message):
            function(layer(), (8, 8))


def test_bad_shapes_and_matrices_too_large():
    layer = layers.CircularConv2d(3, 3, 3)
    with pytest.raises(ValueError, match=r"shape must be a pair \(H, W\), got 8"):
        layers.transfer_function(layer, 8)
    with pytest.raises(ValueError, match=r"shape\[1\] must be at least 1, got 0"):
        layers.singular_values(layer, (8, 0))
    with pytest.raises(ValueError, match="use singular_values"):
        layers.circulant_matrix(layer, (256, 256))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((0, 3, 3), {}, ValueError, "in_channels must be at least 1, got 0"),
        ((3, 2.5, 3), {}, TypeError, "out_channels must be an integer, got 2.5"),
        ((3, 4, 3), {"groups": 2}, ValueError, "in_channels must be a multiple of groups=2, got 3"),
        ((4, 3, 3), {"groups": 2}, ValueError, "out_channels must be a multiple of groups=2"),
        ((4, 4, 3), {"groups": 0}, ValueError, "groups must be at least 1"),
        ((4, 4, 0), {}, ValueError, r"kernel_size\[0\] must be at least 1, got 0"),
        ((4, 4, (3, 3, 3)), {}, ValueError, r"must be k or \(kh, kw\), got \(3, 3, 3\)"),
        ((4, 4, "3"), {}, ValueError, r"kernel_size must be k or \(kh, kw\), got '3'"),
        ((4, 4, 3), {"method": "ftt"}, ValueError, "did you mean 'fft'"),
    ],
)
def test_bad_arguments_of_the_layer(arguments, options, error, message):
    with pytest.raises(error, match=message):
        layers.CircularConv2d(*arguments, **options)


@pytest.mark.parametrize("method", ["auto", "direct", "fft"])
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (lambda: noise(1, 2, 8, 8), ValueError, r"shape \(N, 3, H, W\), got \(1, 2, 8, 8\)"),
        (lambda: noise(3, 8, 8), ValueError, r"got \(3, 8, 8\)"),
        (lambda: noise(1, 3, 8, 4), ValueError, r"fit .*\(8, 4\), got one of \(5, 5\)"),
        (lambda: noise(1, 3, 8, 8).float(), TypeError, "must be torch.float64.*got torch.float32"),
        (lambda: noise(1, 3, 8, 8) * 1j, TypeError, "got torch.complex128"),
        (lambda: np.zeros((1, 3, 8, 8)), TypeError, "must be a torch tensor, got ndarray"),
    ],
)
def test_bad_input_of_the_layer(x, error, message, method):
    layer = layers.CircularConv2d(3, 2, 5, method=method).double()
    with pytest.raises(error, match=message):
        layer(x())


@pytest.mark.parametrize("method", ["auto", "direct", "fft"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64])
def test_weights_of_another_type_are_refused_on_every_route(method, dtype):
    layer = layers.CircularConv2d(2, 2, 3, method=method)
    layer.weight = nn.Parameter(layer.weight.to(dtype))
    with pytest.raises(TypeError, match=f"float32 or float64 weights, got {dtype}"):
        layer(torch.zeros(1, 2, 8, 8, dtype=dtype))


def test_a_route_set_later_is_checked():
    layer = layers.CircularConv2d(2, 2, 3)
    layer.method = "ftt"
    with pytest.raises(ValueError, match="did you mean 'fft'"):
        layer(torch.zeros(1, 2, 8, 8))


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((1, 3, 8), (2, 3, 3, 3)), r"x_shape must be \(N, C_in, H, W\), got \(1, 3, 8\)"),
        (((1, 3, 8, 8), (2, 3)), r"weight_shape must be"),
        (((1, 4, 8, 8), (2, 3, 3, 3)), "3 channels, got 4"),
        (((1, 6, 8, 8), (3, 3, 3, 3), 2), "multiple of groups=2, got 3"),
        (((1, 3, 8, 8), (2, 3, 9, 3)), "fit"),
    ],
)
def test_bad_shapes_to_count_operations_for(shapes, message):
    for function in (layers.operation_counts, layers.choose_method):
        with pytest.raises(ValueError, match=message):
            function(*shapes)
