"""What a model may be and return: outputs by name, images of their own, modules of all kinds."""

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from draws import noise
from networks import small_net
from states import assert_same_state, state_of
from tolerances import ATOL
from torch import Tensor, nn
from torch.nn import functional

from freqsense.robustness import error_rate, pgd
from freqsense.sensitivity import measure_sensitivity, settle_batchnorm

TIGHT = ATOL[torch.float64]
X = noise(4, 2, 8, 8)
NET = small_net().eval()
TRAINED, HALF = small_net().train(), small_net().half().eval()
WHOLE = measure_sensitivity(NET, X).values


class Both(NamedTuple):
    logits: Tensor
    aux: Tensor


@dataclass
class Answer:
    features: Tensor
    logits: Tensor | None = None


def maps_of(x):
    return NET[:-2](x)


OUTPUTS = {
    "tuple of one": lambda x: (NET(x),),
    "table and maps": lambda x: [maps_of(x), NET(x)],
    "logits beside a table": lambda x: {"aux": x.flatten(1), "logits": NET(x)},
    "named tuple": lambda x: Both(NET(x), x.flatten(1)),
    "object with logits": lambda x: Answer(x.flatten(1), NET(x)),
    "object with one table": lambda x: Answer(NET(x)),
    "numbers beside it": lambda x: {"loss": 3.0, "n": torch.ones(len(x), 2).long(), "y": NET(x)},
}


@pytest.mark.parametrize("model", OUTPUTS.values(), ids=OUTPUTS)
def test_an_output_that_stands_out_is_taken(model):
    assert torch.equal(measure_sensitivity(model, X).values, WHOLE)
    y = NET(X).argmax(1)
    assert error_rate(model, X, y) == 0
    assert torch.equal(pgd(model, X, y, radius=0.5), pgd(NET, X, y, radius=0.5))


@pytest.mark.parametrize(
    ("model", "key"),
    [
        (lambda x: (x.flatten(1), NET(x)), 1),
        (lambda x: [NET(x), x.flatten(1)], -2),
        (lambda x: Both(x.flatten(1), NET(x)), 1),
        (lambda x: Both(x.flatten(1), NET(x)), "aux"),
        (lambda x: {"logits": x.flatten(1), "y": NET(x)}, "y"),
        (lambda x: {0: x.flatten(1), 1: NET(x)}, 1),
        (lambda x: Answer(NET(x), x.flatten(1)), "features"),
    ],
)
def test_an_output_is_taken_by_name_or_index(model, key):
    assert torch.equal(measure_sensitivity(model, X, output_key=key).values, WHOLE)


@pytest.mark.parametrize(
    ("model", "key", "message"),
    [
        (lambda x: (NET(x), x.flatten(1)), None, r"tuple of 0: \(4, 3\), 1: .*by output_key"),
        (lambda x: {"out": maps_of(x), "n": 3}, None, r"'out': \(4, 3, 2, 2\), 'n': int"),
        (lambda x: {"logits": maps_of(x)}, None, r"\(4, K\), got \(4, 3, 2, 2\)"),
        (lambda x: {"logits": None, "y": maps_of(x)}, None, "'logits': NoneType"),
        (lambda x: (), None, r"\(4, K\), got tuple"),
        (lambda x: "cat", None, r"\(4, K\), got str"),
        (lambda x: (NET(x),), 1, r"name a tensor in the output of model, 1 in tuple of 0:"),
        (lambda x: (NET(x),), "logits", "'logits' in tuple of 0:"),
        (lambda x: {"y": NET(x)}, 0, r"0 in dict of 'y': \(4, 3\)"),
        (lambda x: Answer(NET(x)), "logit", "'logit' in Answer of 'features'"),
        (NET, "logits", r"'logits' in \(4, 3\)"),
    ],
)
def test_an_output_that_does_not_stand_out_is_described(model, key, message):
    with pytest.raises(ValueError, match=message) as caught:
        measure_sensitivity(model, X, output_key=key)
    assert "\n" not in str(caught.value)


def batch_statistics(x):
    return functional.batch_norm(x, None, None, training=True).tanh().mean((2, 3))


def attention(x):
    flat = x.flatten(1)
    return (flat @ flat.T / 11).softmax(1) @ flat[:, :3]


MIXED = {
    "module without running statistics": nn.Sequential(
        nn.BatchNorm2d(2, track_running_stats=False), nn.Tanh(), nn.Flatten(), nn.Linear(128, 3)
    ).double(),
    "function of batch statistics": batch_statistics,
    "module in training mode in a function": lambda x: TRAINED(x),
    "attention across the batch": attention,
    "less the mean": lambda x: (x - x.mean(0)).flatten(1),
    "shares of the batch": lambda x: x.flatten(1).softmax(0),
    "later images hear earlier ones": lambda x: x.flatten(1).cumsum(0),
    "earlier images hear later ones": lambda x: x.flatten(1).flip(0).cumsum(0).flip(0),
    "neighbours": lambda x: x.flatten(1) * x.roll(1, 0).flatten(1),
    "half precision": lambda x: attention(x.half()),
}


@pytest.mark.parametrize("model", MIXED.values(), ids=MIXED)
def test_gradients_that_mix_images_are_refused(model):
    for images in (X, X[:2], [X[:1], X[1:]]):
        with pytest.raises(ValueError, match="each image must have outputs of its own"):
            measure_sensitivity(model, images)
    # A batch of one mixes nothing.
    assert measure_sensitivity(model, X, batch_size=1).n_images == 4


APART = {
    "over an image": lambda x: functional.layer_norm(x, x.shape[1:]).flatten(1).tanh(),
    "attention over pixels": lambda x: functional.scaled_dot_product_attention(
        *[x.flatten(2).mT] * 3
    ).mean(1),
    "chance": lambda x: functional.dropout(x, 0.5).flatten(1),
    "half precision": lambda x: HALF(x.half()),
    "shares of the outputs": lambda x: NET(x).softmax(1),
}


@pytest.mark.parametrize("model", APART.values(), ids=APART)
def test_gradients_that_mix_no_images_are_not(model):
    assert measure_sensitivity(model, X).values.max() > 0


def test_a_statistic_without_a_gradient_counts_as_a_constant():
    mean = X.mean(0)
    cut = measure_sensitivity(lambda x: (x - x.mean(0).detach()).square().mean((2, 3)), X)
    constant = measure_sensitivity(lambda x: (x - mean).square().mean((2, 3)), X)
    assert torch.allclose(cut.values, constant.values, atol=TIGHT)


def exported():
    return torch.export.export(small_net().eval(), (X,)).module()  # for batches of 4 alone


def without_flags():
    net = small_net()
    del net.training, net[0].training, net[1].training
    return net


class Stubborn(nn.Module):
    """Refuses to be switched as a whole, as some wrappers do."""

    def __init__(self):
        super().__init__()
        self.net = small_net()

    def train(self, mode=True):
        raise NotImplementedError("not supported yet")

    def forward(self, x):
        return self.net(x)


def made_in_inference_mode():
    with torch.inference_mode():
        return small_net()


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones((), dtype=torch.float32))
        self.net = small_net()

    def forward(self, x):
        return self.net(x * self.scale)


MODULES = {
    "exported": exported,
    "exported, in another": lambda: nn.Sequential(exported()),
    "scripted": lambda: torch.jit.script(small_net()),
    "traced": lambda: torch.jit.trace(small_net().eval(), X),
    "frozen": lambda: torch.jit.freeze(torch.jit.script(small_net().eval())),
    "without flags": without_flags,
    "stubborn": Stubborn,
    "made in inference mode": made_in_inference_mode,
    "a scale of another type first": Scaled,
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("build", MODULES.values(), ids=MODULES)
def test_modules_of_all_kinds_are_measured_and_left_as_they_were(build):
    model = build()
    before = [(hasattr(m, "training"), getattr(m, "training", None)) for m in model.modules()]
    weights = {name: (t, t.clone(), t.requires_grad) for name, t in model.named_parameters()}
    assert torch.allclose(measure_sensitivity(model, X).values, WHOLE, atol=TIGHT)
    after = [(hasattr(m, "training"), getattr(m, "training", None)) for m in model.modules()]
    assert after == before
    for name, weight in model.named_parameters():
        kept, values, flag = weights[name]
        assert torch.equal(weight, values) and weight.requires_grad == flag
        assert weight is kept or isinstance(model, torch.jit.ScriptModule)


def test_settling_a_network_made_in_inference_mode_or_without_flags():
    expected = settle_batchnorm(small_net(), X)[1].running_var
    for build in (made_in_inference_mode, without_flags):
        net = settle_batchnorm(build(), X)
        assert torch.equal(net[1].running_var, expected)
        with pytest.raises(RuntimeError, match="channels"):
            settle_batchnorm(net, noise(4, 3, 8, 8))
        assert torch.equal(net[1].running_var, expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("build", [exported, lambda: torch.jit.script(small_net())])
def test_compiled_batchnorms_cannot_be_settled(build):
    with pytest.raises(ValueError, match="BatchNorms as modules, got a compiled or exported '1'"):
        settle_batchnorm(build(), X)


def test_settling_takes_fewer_of_large_images():
    seen = []
    net = nn.Sequential(nn.AvgPool2d(224), nn.BatchNorm2d(3))
    net[0].register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    settle_batchnorm(net, torch.zeros(1, 3, 224, 224).expand(64, -1, -1, -1))
    assert seen == [32, 32]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_networks_in_half_precision_are_measured_to_their_precision(dtype):
    net = small_net()
    before = state_of(net.to(dtype))
    values = measure_sensitivity(net, X.float()).values
    assert_same_state(before, state_of(net))
    assert (values - WHOLE).abs().max() < 8 * torch.finfo(dtype).eps * WHOLE.max()


def test_complex_weights_see_images_of_their_own_type():
    w = noise(128, 3, dtype=torch.complex128)

    class Modulus(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(w)

        def forward(self, x):
            return (x.flatten(1).to(w.dtype) @ self.weight).abs().square()

    def in_real_numbers(x):
        return sum((x.flatten(1) @ part).square() for part in (w.real, w.imag))

    found, expected = (measure_sensitivity(m, X).values for m in (Modulus(), in_real_numbers))
    assert torch.allclose(found, expected, atol=1e-9)
