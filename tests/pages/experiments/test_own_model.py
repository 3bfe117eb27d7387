"""The page "Measure your own network": its commands are those there are, its claims hold."""

import copy
import json
import re
import shlex

import pytest
import torch
import yaml
from draws import noise
from networks import seeded
from sources import BOOK, read
from tolerances import ATOL
from torch import nn

from freqsense import __main__, experiments, fourier
from freqsense.cli import config
from freqsense.sensitivity import measure_sensitivity, settle_batchnorm, slope

TEXT = read(BOOK / "experiments" / "own-model.md")

CELLS = re.findall(r"^```\{code-cell\} ipython3\n(.*?)^```", TEXT, re.M | re.S)

# Commands of the prose, and the arguments that cells hand to the same parser.
IN_PROSE = re.findall(r"python -m freqsense ([a-z].*?)(?:`|$)", TEXT, re.M)
IN_CELLS = re.findall(r'"((?:train|measure|sweep|report|download) [^"]+)"', TEXT)
PLACES = {
    "NAME": "cifar10",
    "HOST": "localhost",
    "{normal}": "--mean 0.5 --std 0.2",
    "{own}": "measure weights.pt pictures --model my_network:make --size 24",
    "{name}": "whole.pt",
    "{there}": "--scheduler tcp://127.0.0.1:1 --folder there.runs",
}
NEEDED = {"train": " --architecture vgg-11 --data photographs --output a.pt"}


def arguments(text):
    for place, value in PLACES.items():
        text = text.replace(place, value)
    return shlex.split(text)


def parse(argv):
    return vars(__main__._parser().parse_args(argv))


@seeded
def normed_net(width=4):
    return nn.Sequential(
        nn.Conv2d(2, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * width, 3),
    ).double()


# Commands


def test_the_page_shows_every_command():
    shown = {text.split()[0] for text in IN_PROSE + IN_CELLS}
    assert shown == {"download", "train", "measure", "sweep", "report"}
    for command in shown:
        assert f"`python -m freqsense {command}" in TEXT


@pytest.mark.parametrize("text", sorted(set(IN_PROSE)))
def test_commands_of_the_prose_are_accepted(text):
    words = arguments(text)
    if len(words) == 1:  # only named
        words += {"measure": ["a.pt", "b"], "sweep": ["a.yaml"], "report": ["a.nc"]}.get(
            words[0], arguments(NEEDED.get(words[0], ""))
        )
    assert parse(words)["command"] == words[0]


@pytest.mark.parametrize("text", sorted(set(IN_CELLS)))
def test_commands_of_the_cells_are_accepted(text):
    if "--mehod" in text:  # which the page shows to be refused
        with pytest.raises(ValueError, match="unrecognized arguments: --mehod"):
            parse(arguments(text))
        return
    if text.startswith("train"):  # the cell breaks it in two
        text += " --output a.pt"
    assert parse(arguments(text))["command"] == text.split()[0]


def test_options_that_the_prose_names_exist():
    helped = "\n".join(
        action.format_help()
        for parent in __main__._parser()._actions
        for action in (parent.choices or {}).values()
    )
    named = set(re.findall(r"`(--[a-z][a-z-]*)", TEXT)) - {"--help", "--nthreads"}
    assert {"--model", "--trust", "--workers", "--retry-failures"} <= named
    assert {name for name in named if name not in helped} == set()


def test_the_study_of_the_page_is_a_valid_sweep(tmp_path):
    (cell,) = [cell for cell in CELLS if cell.startswith('study = """')]
    path = tmp_path / "study.yaml"
    path.write_text(cell.split('"""')[1], encoding="utf-8")
    sweep = config.read_sweep(path, tmp_path / "runs")
    assert len(sweep.configurations) == 6
    wrong = yaml.safe_load(path.read_text(encoding="utf-8"))
    wrong["grid"]["archtecture"] = wrong["grid"].pop("architecture")
    path.write_text(yaml.safe_dump(wrong), encoding="utf-8")
    with pytest.raises(ValueError, match="did you mean 'architecture'"):
        config.read_sweep(path, tmp_path / "runs")


def test_the_module_of_the_page_makes_a_network(tmp_path, monkeypatch):
    (cell,) = [cell for cell in CELLS if cell.startswith("%%writefile my_network.py")]
    (tmp_path / "my_network.py").write_text(cell.partition("\n")[2], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    import my_network

    model = my_network.make()
    assert model(torch.zeros(2, 3, 24, 24)).shape == (2, 8)
    assert list(model.state_dict())[-1] == "9.bias"  # which the page leaves out of a file


# Claims


@pytest.mark.parametrize("shape", [(8, 8), (7, 7), (6, 9)])
@pytest.mark.parametrize("seed", [0, 1])
def test_preparation_inside_the_model_divides_by_its_spread(shape, seed):
    model, raw = normed_net(seed=seed).eval(), noise(5, 2, *shape, seed=seed)
    mean = torch.tensor([0.3, -0.2], dtype=torch.float64)[:, None, None]
    for spread in ([0.4, 0.4], [0.4, 1.7]):
        by = torch.tensor(spread, dtype=torch.float64)[:, None, None]
        prepared = measure_sensitivity(model, (raw - mean) / by).values
        inside = measure_sensitivity(lambda x, by=by: model((x - mean) / by), raw).values
        torch.testing.assert_close(inside, prepared / by, atol=ATOL[torch.float64], rtol=0)
        assert (inside - prepared).abs().max() > 0.1 * prepared.max()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_spread_moves_the_level_and_two_the_slope(seed):
    model, x = normed_net(seed=seed, width=8).eval(), noise(20, 2, 16, 16, seed=seed)
    values = measure_sensitivity(model, x).values

    def fitted(by):
        size = (values / torch.tensor(by)[:, None, None]).square().sum(0).sqrt()
        return slope(fourier.radial_average(size), 1, 8).slope

    assert fitted([3.0, 3.0]) == pytest.approx(fitted([1.0, 1.0]), abs=1e-10)
    assert abs(fitted([1.0, 9.0]) - fitted([9.0, 1.0])) > 1e-3


@pytest.mark.parametrize("seed", [0, 1])
def test_the_batch_size_changes_nothing_in_eval_mode(seed):
    model, x = normed_net(seed=seed), noise(12, 2, 8, 8, seed=seed)
    whole = measure_sensitivity(model, x, batch_size=12).values
    pieces = measure_sensitivity(model, x, batch_size=5).values
    torch.testing.assert_close(pieces, whole, atol=ATOL[torch.float64], rtol=0)
    assert model.training  # as it was found
    # A function that hides a module in training mode is another matter.
    hidden = copy.deepcopy(model).train()
    before = hidden[1].running_mean.clone()
    parts = [measure_sensitivity(lambda z: hidden(z), x, batch_size=n).values for n in (12, 5)]
    assert (parts[0] - parts[1]).abs().max() > 1e-3 * parts[0].max()
    assert not torch.equal(hidden[1].running_mean, before)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_batch_norm_that_has_seen_nothing_has_another_level(seed):
    fresh, x = normed_net(seed=seed), 4 * noise(300, 2, 8, 8, seed=seed)
    levels = [
        float(measure_sensitivity(model, x[:50]).values.square().sum().sqrt())
        for model in (fresh, settle_batchnorm(copy.deepcopy(fresh), x))
    ]
    assert levels[0] > 1.2 * levels[1]


def area(width, height, depth=2):
    return {"volume": width * height * depth}


def test_what_a_change_of_the_grid_leaves_to_be_done(tmp_path):
    grid = {"width": [1, 2], "height": [3]}
    experiments.Sweep(area, grid, tmp_path).run(progress=False)

    assert [n_missing(grid | change, tmp_path) for change in ({}, {"depth": [2]})] == [0, 0]
    assert n_missing(grid | {"depth": [2, 3]}, tmp_path) == 2
    assert n_missing(grid | {"width": [1, 2, 5]}, tmp_path) == 1


def n_missing(grid, folder):
    dataset = experiments.Sweep(area, grid, folder).dataset()
    return len(json.loads(dataset.attrs["missing"]))
