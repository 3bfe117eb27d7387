"""The networks of the paper: published sizes, wiring, initial weights, any image size."""

import functools
import math

import draws
import pytest
import torch
from tolerances import ATOL, SIGMAS
from torch import nn
from torch.nn import functional

from freqsense import fourier, layers, models

SHAPES = [(12, 12), (16, 16), (32, 32), (13, 13), (12, 18), (9, 5)]
TIGHT = ATOL[torch.float64]

# One of each kind; all take width, shape, n_outputs and seed.
KINDS = {
    "conv_actually relu": lambda **k: models.conv_actually(3, **k),
    "conv_actually identity": lambda **k: models.conv_actually(3, activation="identity", **k),
    "myrtle_cnn": models.myrtle_cnn,
    "myrtle_cnn with norm": lambda **k: models.myrtle_cnn(batch_norm=True, **k),
    "vgg 11": lambda **k: models.vgg(11, **k),
    "vgg 11 plain": lambda **k: models.vgg(11, batch_norm=False, **k),
    "resnet 9": lambda **k: models.resnet(9, **k),
    "resnet 9 plain": lambda **k: models.resnet(9, batch_norm=False, **k),
    "resnet 20": lambda **k: models.resnet(20, **k),
    "resnet 56": lambda **k: models.resnet(56, **k),
    "resnet 56 plain": lambda **k: models.resnet(56, batch_norm=False, **k),
}
every_kind = pytest.mark.parametrize("build", KINDS.values(), ids=KINDS.keys())


noise = functools.partial(draws.noise, dtype=torch.float32)


def small(build, shape=(3, 12, 12), width=4, **options):
    return build(width=width, shape=shape, n_outputs=5, **options)


def count(model):
    return sum(p.numel() for p in model.parameters())


def weight_layers(model):
    return [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]


# Sizes


@pytest.mark.parametrize(
    ("build", "width", "n_parameters", "published"),
    [
        # VGG for CIFAR-10 with one linear layer, with BatchNorm and without
        (lambda **k: models.vgg(11, **k), 64, 9_228_362, 9.23e6),
        (lambda **k: models.vgg(13, **k), 64, 9_413_066, 9.41e6),
        (lambda **k: models.vgg(16, **k), 64, 14_724_042, 14.7e6),
        (lambda **k: models.vgg(19, **k), 64, 20_035_018, 20.0e6),
        (lambda **k: models.vgg(16, batch_norm=False, **k), 64, 14_719_818, 14.7e6),
        # DAWNBench with a bias in the head; He et al., table 6
        (lambda **k: models.resnet(9, **k), 64, 6_573_130, 6.57e6),
        (lambda **k: models.resnet(20, **k), 16, 269_722, 0.27e6),
        (lambda **k: models.resnet(56, **k), 16, 853_018, 0.85e6),
        # the paper's code
        (models.myrtle_cnn, 64, 1_556_106, 1.56e6),
        (lambda **k: models.conv_actually(4, **k), 64, 9_240_778, 9.24e6),
    ],
)
def test_number_of_parameters_at_full_width(build, width, n_parameters, published):
    found = count(build(width=width, shape=(3, 32, 32), n_outputs=10))
    assert found == n_parameters
    assert abs(found / published - 1) < 0.01


@pytest.mark.parametrize(
    ("model", "depth"),
    [
        *[(models.conv_actually(d, width=2, shape=(5, 5), n_outputs=1), d) for d in (1, 2, 4, 8)],
        *[(models.resnet(d, width=2, shape=(8, 8), n_outputs=1), d) for d in (9, 20, 56)],
        # two of the three linear layers that the name counts are left out
        *[(models.vgg(d, width=2, shape=(8, 8), n_outputs=1), d - 2) for d in (11, 13, 16, 19)],
        (models.myrtle_cnn(width=2, shape=(8, 8), n_outputs=1), 5),
    ],
)
def test_depth_counts_layers_with_weights(model, depth):
    assert len(weight_layers(model)) == depth


@every_kind
@pytest.mark.parametrize("shape", SHAPES)
def test_images_of_any_size(build, shape):
    model = small(build, (2, *shape), width=2)
    outputs = model(noise(3, 2, *shape))
    assert outputs.shape == (3, 5) and outputs.isfinite().all()
    assert model.shape == (2, *shape)


@every_kind
def test_one_channel_needs_no_name(build):
    assert small(build, (12, 10)).shape == (1, 12, 10)
    assert small(build, (12, 10))(noise(2, 1, 12, 10)).shape == (2, 5)


@every_kind
def test_batch_norm_follows_a_convolution_without_bias(build):
    model = small(build)
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    *convolutions, head = weight_layers(model)
    assert len(norms) in (0, len(convolutions))
    assert all((layer.bias is None) == bool(norms) for layer in convolutions)
    assert head.bias is not None


# What is computed


@pytest.mark.parametrize("shape", [(8, 8), (7, 9), (6, 5)])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_conv_actually_with_the_identity_is_a_linear_cnn_but_for_biases(depth, shape):
    """Its change from an empty image is B(ω) x-hat(ω) summed over frequencies."""
    model = models.conv_actually(
        depth, width=3, shape=(2, *shape), n_outputs=4, activation="identity"
    ).double()
    for layer in weight_layers(model):
        nn.init.normal_(layer.bias, generator=torch.Generator().manual_seed(1))
    head = model.head.weight.unflatten(1, (-1, *shape))  # (K, C_last, H, W)
    b = fourier.fft2(head).conj().permute(2, 3, 0, 1)  # (H, W, K, C_last)
    for layer in reversed([m for m in model.features if isinstance(m, nn.Conv2d)]):
        assert layer.kernel_size == shape
        b = b @ layers.transfer_function(layer, shape)
    x = noise(3, 2, *shape, dtype=torch.float64)
    expected = torch.einsum("hwkc,nchw->nk", b, fourier.fft2(x)).real
    assert torch.allclose(model(x) - model(0 * x), expected, atol=TIGHT)
    assert not torch.allclose(model(x), expected, atol=0.1)


def test_conv_actually_with_relu_is_not_linear():
    model = small(KINDS["conv_actually relu"]).double()
    x = noise(2, 3, 12, 12, dtype=torch.float64)
    assert not torch.allclose(model(x) + model(-x), 2 * model(0 * x), atol=0.1)


@pytest.mark.parametrize("activation", ["relu", "identity"])
def test_conv_actually_has_circular_padding_and_the_others_have_zeros(activation):
    x = noise(2, 3, 9, 12, dtype=torch.float64)

    def moves_with_the_image(model, n_layers):
        features = model.double().features[:n_layers]
        moved = features(x.roll((2, 5), (2, 3)))
        return torch.allclose(moved, features(x).roll((2, 5), (2, 3)), atol=TIGHT)

    circular = models.conv_actually(
        3, width=4, shape=(3, 9, 12), n_outputs=2, activation=activation
    )
    assert moves_with_the_image(circular, 4)
    for build in (models.myrtle_cnn, KINDS["vgg 11"], KINDS["resnet 20"]):
        assert not moves_with_the_image(small(build, (3, 9, 12)), 1)


def plain_conv(x, weights, stride=1):
    """One convolution with the normalisation of an untrained network in evaluation mode."""
    y = functional.conv2d(functional.pad(x, (1, 1, 1, 1)), next(weights), stride=stride)
    return y / math.sqrt(1 + 1e-5)


def myrtle_by_hand(x, weights):
    x = plain_conv(x, weights).relu()
    for _ in range(3):
        x = functional.max_pool2d(plain_conv(x, weights).relu(), 2)
    return functional.max_pool2d(x, 4)


def vgg_by_hand(x, weights):
    for letter in "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M".split():
        x = functional.max_pool2d(x, 2) if letter == "M" else plain_conv(x, weights).relu()
    return x


def resnet_9_by_hand(x, weights):
    x = plain_conv(x, weights).relu()
    for has_residual in (True, False, True):
        x = functional.max_pool2d(plain_conv(x, weights).relu(), 2)
        if has_residual:
            x = x + plain_conv(plain_conv(x, weights).relu(), weights).relu()
    return functional.max_pool2d(x, 4)


def resnet_20_by_hand(x, weights):
    x = plain_conv(x, weights).relu()
    for block in range(9):
        stride = 2 if block in (3, 6) else 1
        y = plain_conv(plain_conv(x, weights, stride).relu(), weights)
        x = x if stride == 1 else torch.cat([x[..., ::2, ::2], 0 * x[..., ::2, ::2]], 1)
        x = (x + y).relu()
    return x.mean((2, 3))


@pytest.mark.parametrize(
    ("model", "by_hand"),
    [
        (models.myrtle_cnn, myrtle_by_hand),
        (lambda **k: models.vgg(16, **k), vgg_by_hand),
        (KINDS["resnet 9"], resnet_9_by_hand),
        (KINDS["resnet 20"], resnet_20_by_hand),
    ],
)
def test_wiring_is_that_of_the_published_networks(model, by_hand):
    model = small(model, (3, 32, 32)).double().eval()
    x = noise(2, 3, 32, 32, dtype=torch.float64)
    *convolutions, head = weight_layers(model)
    weights = iter([layer.weight for layer in convolutions])
    features = by_hand(x, weights).flatten(1)
    assert next(weights, None) is None
    if by_hand is myrtle_by_hand:  # it has no normalisation
        features = features * (1 + 1e-5) ** 2
    assert torch.allclose(model(x), head(features), atol=TIGHT)
    assert model(x).std() > 0.01


def test_pooling_keeps_the_edge_of_an_odd_map_and_is_the_usual_one_of_an_even():
    pool = small(models.myrtle_cnn).features[4]
    x = torch.zeros(1, 1, 5, 5)
    x[..., -1, -1] = 1
    assert pool(x)[..., -1, -1] == 1 and nn.MaxPool2d(2)(x).max() == 0
    assert torch.equal(pool(noise(1, 1, 6, 8)), nn.MaxPool2d(2)(noise(1, 1, 6, 8)))


@every_kind
def test_evaluation_is_deterministic_and_blind_to_the_rest_of_the_batch(build):
    model = small(build).double().eval()
    x = noise(4, 3, 12, 12, dtype=torch.float64)
    assert torch.equal(model(x), model(x))
    assert torch.allclose(model(x)[:1], model(x[:1]), atol=TIGHT)


def test_in_training_batch_norm_sees_the_batch():
    model = small(KINDS["resnet 9"])
    x = noise(4, 3, 12, 12)
    assert not torch.allclose(model(x)[:2], model(x[:2]), atol=0.01)


# Weights at the start, and learning


@every_kind
def test_the_seed_alone_decides(build):
    state = torch.get_rng_state()
    first = small(build, seed=1)
    torch.manual_seed(5)
    again, other = small(build, seed=1), small(build, seed=2)
    for (name, a), b in zip(first.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    for one, two in zip(weight_layers(first), weight_layers(other), strict=True):
        assert not torch.equal(one.weight, two.weight)
    torch.set_rng_state(state)
    small(build)
    assert torch.equal(state, torch.get_rng_state())


def test_weights_are_no_images_of_the_same_seed():
    """The same generator and seed would make the first image the first kernel, up to scale."""
    for seed in range(3):
        model = models.conv_actually(2, width=1, shape=(16, 16), n_outputs=1, seed=seed)
        kernel, image = weight_layers(model)[0].weight.flatten(), noise(256, seed=seed)
        assert functional.cosine_similarity(kernel, image, dim=0).abs() < SIGMAS / 16


@pytest.mark.parametrize(
    ("build", "gain"),
    [
        (KINDS["conv_actually relu"], 2),
        (KINDS["conv_actually identity"], 1),
        (models.myrtle_cnn, 2),
        (KINDS["vgg 11"], 2),
        (KINDS["resnet 20"], 2),
    ],
)
def test_variance_of_initial_weights(build, gain):
    for layer in weight_layers(small(build, width=16)):
        weight = layer.weight
        error = weight.square().mean() * weight[0].numel() / gain - 1
        assert abs(error) < SIGMAS * math.sqrt(2 / weight.numel())
        assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("seed", range(3))
def test_branches_without_batch_norm_start_small_enough(seed):
    """With the branches at He's variance, 27 blocks would multiply it by millions."""
    model = models.resnet(56, width=8, shape=(16, 16), n_outputs=10, batch_norm=False, seed=seed)
    x = noise(20, 1, 16, 16)
    with torch.no_grad():
        assert 0.1 < model(x).std() < 10
        for block in model.features:
            if hasattr(block, "branch"):
                block.branch[-1].weight *= math.sqrt(27)
        assert model(x).std() > 1000


@every_kind
def test_gradients_reach_every_parameter_and_the_image(build):
    model = small(build, (3, 16, 16))
    x = noise(8, 3, 16, 16).requires_grad_()
    (model(x) * noise(8, 5, seed=1)).sum().backward()
    for name, parameter in [*model.named_parameters(), ("image", x)]:
        assert parameter.grad.isfinite().all() and parameter.grad.abs().max() > 1e-6, name


@pytest.mark.parametrize("seed", range(3))
def test_a_deep_vgg_without_batch_norm_starts_almost_silent_on_small_images(seed):
    def spread(side, **options):
        model = models.vgg(19, width=8, shape=(side, side), n_outputs=10, seed=seed, **options)
        return model(noise(20, 1, side, side)).std()

    assert spread(12, batch_norm=False) < 0.01 < 0.1 < spread(32, batch_norm=False)
    assert spread(12) > 0.1


@pytest.mark.parametrize(
    ("build", "side"),
    [
        *[(build, 12) for build in KINDS.values()],
        (lambda **k: models.vgg(19, batch_norm=False, **k), 32),
    ],
    ids=[*KINDS, "vgg 19 plain"],
)
def test_a_few_steps_fit_a_few_images(build, side):
    model = small(build, (3, side, side), width=8)
    x, labels = noise(16, 3, side, side), torch.arange(16) % 5
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


@every_kind
def test_a_copy_of_the_state_is_the_same_network(build):
    model, twin = small(build).eval(), small(build, seed=9).eval()
    x = noise(2, 3, 12, 12)
    assert not torch.equal(model(x), twin(x))
    twin.load_state_dict(model.state_dict())
    assert torch.equal(model(x), twin(x))


# Bad input


@pytest.mark.parametrize(
    ("build", "given", "nearest"),
    [
        (models.vgg, 12, "11, 13, 16, 19, got 12; did you mean 11"),
        (models.vgg, 18, "did you mean 19"),
        (models.resnet, 18, "9, 20, 56, got 18; did you mean 20"),
        (models.resnet, 50, "did you mean 56"),
        (models.resnet, -3, "did you mean 9"),
    ],
)
def test_an_unknown_depth_is_told_the_nearest(build, given, nearest):
    with pytest.raises(ValueError, match=nearest):
        build(given, width=4, shape=(8, 8), n_outputs=2)


@every_kind
@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"width": 0}, ValueError, "width .* got 0"),
        ({"width": 4.0}, TypeError, "width .* got 4.0"),
        ({"shape": 8}, ValueError, r"\(H, W\), got 8"),
        ({"shape": (8, 0)}, ValueError, r"shape\[1\]"),
        ({"n_outputs": 0}, ValueError, "n_outputs .* got 0"),
        ({"seed": -1}, ValueError, "seed .* got -1"),
        ({"seed": None}, TypeError, "seed .* got None"),
    ],
)
def test_bad_sizes(build, wrong, error, message):
    with pytest.raises(error, match=message):
        build(**({"width": 4, "shape": (8, 8), "n_outputs": 2} | wrong))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda k: models.conv_actually(0, **k), ValueError, "depth .* got 0"),
        (lambda k: models.conv_actually(2.0, **k), TypeError, "depth .* got 2.0"),
        (
            lambda k: models.conv_actually(2, activation="rleu", **k),
            ValueError,
            "relu, identity, got 'rleu'; did you mean 'relu'",
        ),
        (lambda k: models.vgg("16", **k), TypeError, "depth .* got '16'"),
        (lambda k: models.resnet(True, **k), TypeError, "depth .* got True"),
        (lambda k: models.vgg(11, batch_norm="no", **k), TypeError, "batch_norm .* got 'no'"),
        (lambda k: models.resnet(9, batch_norm=1, **k), TypeError, "batch_norm .* got 1"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call({"width": 4, "shape": (8, 8), "n_outputs": 2})


@every_kind
@pytest.mark.parametrize("wrong", [(2, 3, 12, 13), (2, 1, 12, 12), (3, 12, 12)])
def test_images_of_another_size_are_refused(build, wrong):
    with pytest.raises(ValueError, match=r"\(N, 3, 12, 12\), got"):
        small(build)(torch.zeros(wrong))
