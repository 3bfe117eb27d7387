"""The clean test in full: its records, the price of a bias, what a trained ReLU network pays."""

import json

import pytest
import recorded
import torch
import yaml

from freqsense import experiments, models, theory, training


def test_a_bias_makes_a_response_cheapest_where_the_exercise_says():
    beta = torch.linspace(0, 2, 20_001, dtype=torch.float64)
    price = (1 + beta**2).sqrt() / torch.special.ndtr(beta)
    assert float(price[0]) == 2
    assert float(price.min()) == pytest.approx(1.61, abs=0.005)
    assert float(beta[price.argmin()]) == pytest.approx(0.62, abs=0.005)


def test_a_trained_relu_network_gets_near_the_doubled_decay_and_not_below():
    task = experiments.load_task("gaussian_field:2", size=6, n_train=100, n_test=1)
    x = torch.cat([task.images, -task.images]).double()
    y = torch.cat([task.labels, -task.labels]).double()
    bounds = [
        theory.solve(x, y, weight_decay=w, depth=2, loss="logistic").objective for w in (0.1, 0.2)
    ]
    model = models.conv_actually(2, width=4, shape=(6, 6), n_outputs=1).double()
    for name, weights in model.named_parameters():
        weights.requires_grad_(not name.endswith("bias"))

    def loss(m):
        return torch.nn.functional.softplus(-y * m(x)[:, 0]).mean()

    training.minimize(model, loss, weight_decay=0.1, max_iterations=500)
    with torch.no_grad():
        free = [w for w in model.parameters() if w.requires_grad]
        reached = float(loss(model) + 0.05 * sum(w.square().sum() for w in free))
    assert bounds[1] - 1e-9 < reached < bounds[1] + 0.2 * (bounds[1] - bounds[0])


@pytest.mark.parametrize("name", ["clean", "clean-leaves", "clean-myrtle"])
def test_the_record_is_complete_and_the_page_names_its_command(name, repository):
    declared = yaml.safe_load((recorded.RESULTS / f"{name}.yaml").read_text("utf-8"))
    record = recorded.dataset(name)
    assert json.loads(record.attrs["missing"]) == []
    assert json.loads(record.attrs["failures"]) == []
    for axis, values in declared["grid"].items():
        assert record[axis].values.tolist() == values
    assert not record.sensitivity.isnull().any()
    page = (repository / "book/experiments/clean-test-in-full.md").read_text("utf-8")
    assert f"python -m freqsense sweep results/{name}.yaml --workers 2" in page
