"""The page "Recipes": each snippet, taken from the page, on networks whose answer is known."""

import io
import sys
from contextlib import redirect_stdout
from types import ModuleType, SimpleNamespace

import pytest
import torch
from draws import noise
from networks import seeded, small_net
from sources import BOOK, directives, read, sections
from tolerances import ATOL
from torch import nn

from freqsense import (
    checkpoints,
    experiments,
    fourier,
    images,
    layers,
    measurement,
    models,
    sensitivity,
)
from freqsense.sensitivity import measure_sensitivity

TEXT = read(BOOK / "experiments" / "recipes.md")
# A recipe is a section that says why; its snippet is its only cell without a tag.
RECIPES = [name for name, text in sections(TEXT).items() if "**Why.**" in text]
EXACT = {"atol": ATOL[torch.float64], "rtol": 1e-8}


def snippet(recipe):
    """The code of a recipe, from the page."""
    start = TEXT.index(f"\n## {recipe}\n")
    end = TEXT.find("\n## ", start + 1)
    cells = [d for d in directives(TEXT[start:end]) if d.name == "code-cell"]
    (shown,) = [cell.body.strip() for cell in cells if not cell.options]
    return shown


def follow(recipe, **given):
    """Run a snippet with the names that it is given; return all names, and what it prints."""
    names = {"torch": torch, "nn": nn, "sensitivity": sensitivity}
    names |= {"measure_sensitivity": measure_sensitivity} | given
    with redirect_stdout(io.StringIO()) as printed:
        exec(snippet(recipe), names)
    return names, printed.getvalue()


@seeded
def linear_classifier(n_outputs=8, channels=3, side=32):
    """Logits that are one linear map of the pixels, and that map (K, C, H, W)."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(channels * side**2, n_outputs)).double()
    return model, model[1].weight.detach().view(n_outputs, channels, side, side)


@seeded
def circular(channels, outputs):
    return layers.CircularConv2d(channels, outputs, 3).double()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_has_reason_snippet_result_and_pitfall(recipe):
    text = sections(TEXT)[recipe]
    for part in ("**Why.**", "**What to see.**", "**Pitfall.**"):
        assert text.count(part) == 1
    lines = [line for line in snippet(recipe).splitlines() if line.strip()]
    assert 1 <= len(lines) <= 8
    assert "print(" in lines[-1] or "print(" in lines[-2]  # what it finds is on the page


@pytest.mark.parametrize("seed", [0, 1])
def test_a_circular_convolution_as_a_layer_has_its_transfer_function(seed):
    layer = circular(3, 5, seed=seed)
    net = nn.Sequential(*[nn.Identity()] * 4, layer, nn.ReLU())
    x = noise(60, 3, 32, 32, seed=seed)
    found, _ = follow("A layer", net=net, x=x)
    told = layers.transfer_function(layer, (32, 32)).abs().square().sum(-2).sqrt()  # (H, W, C)
    # Each image brings one probe: errors are told by the map itself.
    off = (found["second"].values - told.detach().permute(2, 0, 1)).abs()
    assert (off < 6 * found["second"].stderr).all()
    assert not net[4]._forward_hooks


@pytest.mark.parametrize("seed", [0, 1])
def test_a_class_is_one_row_of_the_jacobian(seed):
    net, rows = linear_classifier(seed=seed)
    x = noise(3, 3, 32, 32, seed=seed)
    found, _ = follow("A class, or a group of classes", net=net, x=x)
    single = measure_sensitivity(found["tried"]["one logit"], x).values
    torch.testing.assert_close(single, fourier.fft2(rows[4]).abs(), **EXACT)
    every = [measure_sensitivity(lambda z, k=k: net(z)[:, [k]], x).values for k in range(8)]
    whole = measure_sensitivity(net, x).values
    torch.testing.assert_close(torch.stack(every).square().sum(0).sqrt(), whole, **EXACT)


def test_the_odds_of_a_group_ignore_what_all_logits_share():
    net, _ = linear_classifier()
    x = noise(3, 3, 32, 32)
    shared = noise(3, 32, 32, seed=5)

    def shifted(z):
        return net(z) + (z * shared).sum((1, 2, 3))[:, None]

    plain, _ = follow("A class, or a group of classes", net=net, x=x)
    found, _ = follow("A class, or a group of classes", net=shifted, x=x)
    odds = [measure_sensitivity(names["log_odds"], x).values for names in (plain, found)]
    torch.testing.assert_close(*odds, **EXACT)
    logits = [measure_sensitivity(names["tried"]["one logit"], x) for names in (plain, found)]
    assert (logits[0].values - logits[1].values).abs().max() > 0.1


@pytest.mark.parametrize("seed", [0, 1])
def test_axes_of_colour_are_a_rotation(seed):
    net, rows = linear_classifier(seed=seed)
    names, printed = follow(
        "Colour axes", net=net.float(), x=noise(3, 3, 32, 32, seed=seed).float()
    )
    turn = names["axes"].double()
    torch.testing.assert_close(turn @ turn.T, torch.eye(3).double(), atol=1e-6, rtol=0)
    along = torch.einsum("ij,kjhw->kihw", turn, rows)
    told = fourier.fft2(along).abs().square().sum(0).sqrt()
    torch.testing.assert_close(names["turned"].values, told, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        names["turned"].norm().values, names["plain"].norm().values, atol=1e-5, rtol=1e-4
    )
    assert (names["turned"].values - names["plain"].values).abs().max() > 0.01


@pytest.mark.parametrize("patch", [4, 8])
def test_tokens_that_are_treated_alike_leave_nothing_beside_the_lattice(patch):
    torch.manual_seed(0)
    embed = nn.Conv2d(3, 4, patch, stride=patch).double()
    x = noise(3, 3, 32, 32)
    models = {"transformer": lambda z: embed(z).mean((2, 3)), "net": lambda z: embed(z)[:, :, 1, 2]}
    names, _ = follow("A transformer", x=x, transformer=models["transformer"], net=models["net"])
    shares = [names["lattice_share"](model, patch) for model in models.values()]
    assert shares[0] == pytest.approx(1, abs=1e-9)
    # One patch of white weights: the share of the frequencies, give or take the draw.
    assert abs(shares[1] - (patch**2 - 1) / 1023) < 0.05


@pytest.mark.parametrize("seed", [0, 1])
def test_all_places_of_a_circular_layer_are_one_place_times_the_root_of_their_number(seed):
    dense = circular(3, 2, seed=seed)
    names, printed = follow("Dense outputs", dense=dense, x=noise(60, 3, 32, 32, seed=seed))
    told = layers.transfer_function(dense, (32, 32)).abs().square().sum(-2).sqrt()
    told = told.detach().permute(2, 0, 1)
    torch.testing.assert_close(names["place"].values, told / 32, **EXACT)
    assert names["level"][0] / names["level"][1] == pytest.approx(32, rel=0.02)
    # The mean over places hears DC alone.
    assert names["mean"].values[:, 0, 0].min() > 1e-3
    assert names["mean"].values.flatten(1)[:, 1:].max() < 1e-12


def test_preparation_inside_a_network_of_timm_divides_by_its_deviations(monkeypatch):
    net, _ = linear_classifier(n_outputs=3, side=48)
    mean, std = (0.5, 0.4, 0.3), (0.25, 0.5, 0.125)
    timm = ModuleType("timm")
    timm.create_model = lambda name, pretrained: net.float()
    timm.data = SimpleNamespace(resolve_model_data_config=lambda m: {"mean": mean, "std": std})
    monkeypatch.setitem(sys.modules, "timm", timm)
    names, _ = follow("A network of torchvision or timm", images=images)
    model, pictures = names["model"], names["pictures"]
    prepared = measure_sensitivity(model, (pictures - names["m"]) / names["s"])
    told = prepared.values / torch.tensor(std)[:, None, None]
    torch.testing.assert_close(names["result"].values, told, atol=1e-5, rtol=1e-4)


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """Weights of three states of a small network in a folder, as the page saves its own."""
    monkeypatch.chdir(tmp_path)
    net = small_net(channels=2)
    for epoch in range(6):
        torch.save(net.state_dict(), f"epoch-{epoch}.pt")
        with torch.no_grad():
            net[-1].weight.mul_(2)
    return lambda: small_net(channels=2, seed=1)


def test_a_checkpoint_file_brings_back_what_was_saved(saved):
    x = noise(20, 2, 12, 12)
    task = SimpleNamespace(images=noise(50, 2, 12, 12, seed=3))
    names, _ = follow_with_slope("A network from a checkpoint file", make=saved, x=x, task=task)
    by_hand = saved()
    by_hand.load_state_dict(torch.load("epoch-5.pt"))
    told = measure_sensitivity(by_hand, x).values
    torch.testing.assert_close(names["result"].values, told, **EXACT)
    assert (names["before"].values - told).abs().max() > 0.1 * told.max()


def follow_with_slope(recipe, **given):
    """As `follow`, for images too small for rings 2 to 16."""
    short = SimpleNamespace(
        slope=lambda profile, fmin, fmax: sensitivity.slope(profile, 2, 6),
        settle_batchnorm=sensitivity.settle_batchnorm,
    )
    return follow(recipe, sensitivity=short, **given)


def test_a_wrapped_checkpoint_is_opened_and_what_was_stripped_is_said(saved):
    names, printed = follow(
        "A checkpoint of Lightning, or of several GPUs", make=saved, checkpoints=checkpoints
    )
    opened = names["network"].model.state_dict()
    assert all(torch.equal(opened[name], value) for name, value in names["trained"].items())
    assert "model." in printed and "state_dict" in printed


def test_epochs_that_differ_in_size_alone_have_one_slope(saved):
    names, printed = follow(
        "Several epochs compared", make=saved, checkpoints=checkpoints, x=noise(20, 2, 32, 32)
    )
    rows = measurement.compare(names["found"])
    assert [row["name"] for row in rows] == [f"epoch {n}" for n in range(6)]
    assert [row["level"] / rows[0]["level"] for row in rows] == pytest.approx(
        [2.0**n for n in range(6)]
    )
    assert max(abs(row["minus_first"]) for row in rows) < 1e-8
    assert len(printed.splitlines()) == 6


def test_a_linear_network_on_many_images_undoes_a_recolouring():
    task = experiments.load_task("gaussian_field:1", size=8, n_train=400, n_test=100)

    def to_the_end(*arguments, **keywords):
        keywords |= {"epochs": 30, "lr": 0.03, "weight_decay": 0.0, "loss": "squared"}
        return experiments.measure_response(*arguments, **keywords, schedule="cosine")

    names, printed = follow(
        "Recolour, retrain, response",
        experiments=SimpleNamespace(measure_response=to_the_end),
        task=task,
        x=task.test_images,
        make=lambda: models.linear_cnn(1, width=1, shape=(1, 8, 8)),
    )
    assert names["answer"].response == pytest.approx(-0.5, abs=0.06)
    powers = names["answer"].powers.values
    assert powers[1] - powers[0] == pytest.approx(2, abs=0.1)
    assert "response -0." in printed
