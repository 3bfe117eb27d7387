"""Training: closed forms reached, options that do what they say, divergence named, seeds obeyed."""

import contextlib
import copy
import math

import pytest
import torch
from draws import noise
from formulas import half_squares, ridge
from networks import seeded
from tolerances import ATOL, SIGMAS
from torch import nn
from torch.nn import functional

from freqsense import models
from freqsense.sensitivity import measure_sensitivity
from freqsense.training import History, flip_and_crop, train

TIGHT = ATOL[torch.float64]


def regression(n=64, shape=(1, 4, 4)):
    return noise(n, *shape), noise(n, 2, seed=1)


@pytest.mark.parametrize(("optimizer", "lr"), [("sgd", 0.01), ("adam", 0.003)])
def test_eq_training_objective(optimizer, lr):
    """Full batches end at the ridge solution: the decay is L2, for Adam too."""
    x, y = regression()
    model = models.linear_cnn(1, width=1, shape=(1, 4, 4), n_outputs=2).double()
    keywords = {"loss": "squared", "optimizer": optimizer, "batch_size": 64}
    train(model, x, y, epochs=2000, lr=lr, weight_decay=0.5, **keywords)
    expected = ridge(x, y, 0.5)
    # Adam with a constant rate ends in small circles.
    assert (model.head - expected).norm() < 1e-3 * expected.norm()
    assert (model.head - ridge(x, y, 0.4)).norm() > 0.01 * expected.norm()


def test_one_step_is_the_gradient_of_the_objective():
    x, y = regression(8)
    model = models.linear_cnn(2, width=2, shape=(1, 4, 4), n_outputs=2).double()
    before = [w.detach().clone() for w in model.parameters()]
    slopes = torch.autograd.grad(half_squares(x, y)(model), list(model.parameters()))
    history = train(model, x, y, epochs=1, lr=0.1, weight_decay=0.3, loss="squared", batch_size=8)
    for old, slope, new in zip(before, slopes, model.parameters(), strict=True):
        assert torch.allclose(new, old - 0.1 * (slope + 0.3 * old), atol=TIGHT)
    assert math.isnan(history.accuracy[0])


def two_classes(n=300, n_classes=3):
    """Blobs around one random image each."""
    labels = torch.arange(n) % n_classes
    return noise(n, 1, 6, 6) + 2 * noise(n_classes, 1, 6, 6, seed=7)[labels], labels


@seeded
def class_net():
    """Everything whose mode matters, on images of 6 × 6 pixels."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(144, 3),
    )


def test_classes_are_learned_and_shuffled_labels_are_not():
    x, y = two_classes()
    shuffled = y[torch.randperm(300, generator=torch.Generator().manual_seed(0))]
    held_out = {}
    for name, labels in [("true", y), ("shuffled", shuffled)]:
        model = class_net()
        history = train(
            model,
            x[:200],
            labels[:200],
            epochs=8,
            lr=0.02,
            weight_decay=0.001,
            batch_size=32,
            validation=(x[200:], y[200:]),
        )
        held_out[name] = history.validation_accuracy[-1]
    assert held_out["true"] > 0.9 and held_out["shuffled"] < 0.6
    assert history.loss[-1] < history.loss[0]
    for column in (history.accuracy, history.validation_loss, history.seconds):
        assert len(column) == len(history.loss) == 8
    assert all(seconds > 0 for seconds in history.seconds)


def test_history_tells_what_a_hand_computes():
    """A learning rate of zero: loss and accuracy of the network as it is, last batch of one."""
    x, y = two_classes(33)
    model = models.linear_cnn(2, width=3, shape=(6, 6), n_outputs=3)
    outputs = model(x.float())
    history = train(
        model, x, y, epochs=1, lr=0.0, weight_decay=0.1, batch_size=16, validation=(x, y)
    )
    loss = functional.cross_entropy(outputs, y).item()
    accuracy = (outputs.argmax(1) == y).double().mean().item()
    assert math.isclose(history.loss[0], loss, rel_tol=1e-5)
    assert math.isclose(history.validation_loss[0], loss, rel_tol=1e-5)
    assert math.isclose(history.accuracy[0], accuracy, rel_tol=1e-5)
    assert math.isclose(history.validation_accuracy[0], accuracy, rel_tol=1e-5)
    sign = torch.where(y == 0, 1, -1)
    model = models.linear_cnn(2, width=1, shape=(6, 6))
    outputs = model(x.float())[:, 0]
    history = train(model, x, sign, epochs=1, lr=0.0, weight_decay=0.1, loss="logistic")
    loss = functional.softplus(-sign * outputs).mean().item()
    assert math.isclose(history.loss[0], loss, rel_tol=1e-5)
    right = (outputs.sign() == sign).double().mean().item()
    assert math.isclose(history.accuracy[0], right, rel_tol=1e-5)


def runs_of_seeds(start):
    """What a run gives with seeds 1, 1 and 2, under global seeds of their own, which stay."""
    found = []
    for global_seed, seed in enumerate((1, 1, 2)):
        torch.manual_seed(global_seed)
        state = torch.get_rng_state()
        found.append(start(seed))
        assert torch.equal(torch.get_rng_state(), state)
    return found


def test_the_seed_decides_the_run_and_the_global_state_stays():
    x, y = two_classes()
    first, again, other = runs_of_seeds(
        lambda seed: run(class_net(), x, y, epochs=2, lr=0.02, weight_decay=0.0, seed=seed).loss
    )
    assert first == again != other


def test_modes_come_back_part_by_part_and_after_an_error():
    x, y = two_classes(30)
    model = class_net().train()
    model[1].eval()
    train(model, x, y, epochs=1, lr=0.01, weight_decay=0.0)
    assert model.training and model[0].training and not model[1].training
    model.eval()
    with pytest.raises(ValueError, match="below"):
        train(model, x, y + 1, epochs=1, lr=0.01, weight_decay=0.0)
    assert not any(module.training for module in model.modules())
    assert all(weight.grad is None for weight in model.parameters())


def test_labels_are_checked_before_the_first_step():
    """A class without an output, in the last image or in the validation set alone."""
    x, y = two_classes(30)
    wrong = y.clone()
    wrong[-1] = 3
    for labels, held_out in ((wrong, None), (y, (x, wrong))):
        model = class_net()
        before = [weight.clone() for weight in model.parameters()]
        with pytest.raises(ValueError, match="below the 3 outputs of model, got 3"):
            run(model, x, labels, batch_size=10, validation=held_out)
        for old, new in zip(before, model.parameters(), strict=True):
            assert torch.equal(old, new)


def test_training_under_no_grad():
    with torch.no_grad():
        assert len(run().loss) == 1


class Seen(nn.Module):
    """Keeps the sizes of the batches that it is trained on."""

    def __init__(self):
        super().__init__()
        self.part, self.sizes = class_net(), []

    def forward(self, x):
        self.sizes.append(len(x))
        return self.part(x)


@pytest.mark.parametrize(
    ("n", "batch_size", "sizes"),
    [
        (33, 32, [33]),
        (9, 4, [4, 5]),
        (10, 4, [4, 4, 2]),
        (8, 4, [4, 4]),
        (5, 100, [5]),
        (3, 1, [1, 1, 1]),
        (1, 4, [1]),
    ],
)
def test_one_image_left_over_joins_the_batch_before_it(n, batch_size, sizes):
    x, y = two_classes(n)
    model = Seen()
    history = run(model, x, y, epochs=2, lr=0.1, batch_size=batch_size, schedule="cosine")
    assert model.sizes == 2 * sizes
    assert history.lr[1] == pytest.approx(0.05)  # half of the steps are done


def test_a_batch_of_one_that_has_no_statistics_is_named():
    x, y = two_classes(12)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3), nn.BatchNorm1d(3))
    assert len(run(model, x[:5], y[:5], epochs=1, batch_size=4).loss) == 1
    for n, batch_size in ((12, 1), (1, 8)):
        with pytest.raises(ValueError, match="batch_size and the number of images must be at leas"):
            run(model, x[:n], y[:n], epochs=1, batch_size=batch_size)


@pytest.mark.parametrize("name", ["lr", "weight_decay"])
def test_rates_beyond_the_range_of_the_weights(name):
    x, y = two_classes(12)
    for optimizer in ("sgd", "adam"):
        with pytest.raises(ValueError, match=f"{name} must be at most 1.8.*, got 1e\\+300"):
            run(class_net(), x, y, epochs=1, optimizer=optimizer, **{name: 1e300})
        with contextlib.suppress(FloatingPointError):  # within it, training diverges at worst
            run(class_net(), x, y, epochs=3, optimizer=optimizer, **{name: 1e19})


@pytest.mark.parametrize("training", [True, False])
def test_validation_is_in_eval_mode_and_the_mode_comes_back(training):
    x, y = two_classes(60)
    model = class_net().train(training)
    arguments = {"epochs": 1, "lr": 0.01, "weight_decay": 0.0, "validation": (x, y)}
    history = train(model, x, y, **arguments)
    assert model.training is training
    model.eval()
    loss = functional.cross_entropy(model(x.float()), y).item()
    assert math.isclose(history.validation_loss[0], loss, rel_tol=1e-4)


def test_progress_shows_a_bar(capfd):
    x, y = two_classes(30)
    keywords = {"epochs": 2, "lr": 0.01, "weight_decay": 0.0}
    train(class_net(), x, y, **keywords)
    assert capfd.readouterr().err == ""
    train(class_net(), x, y, **keywords, progress=True)
    assert "2/2" in capfd.readouterr().err


def test_divergence_is_named_with_epoch_and_step():
    x, y = regression()
    model = models.linear_cnn(2, width=1, shape=(1, 4, 4), n_outputs=2)
    with pytest.raises(FloatingPointError, match=r"(nan|inf) at epoch \d+, step \d+ .*lower lr"):
        train(model, x, y, epochs=50, lr=50.0, weight_decay=0.0, loss="squared", batch_size=8)


def test_a_weight_that_breaks_in_the_last_step_is_named():
    class Root(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(1, 1))

        def forward(self, x):
            return (x.flatten(1)[:, :1] * 0 + self.w.abs()).sqrt()  # finite, with slope 0 · ∞

    x, y = torch.ones(4, 1, 2, 2), torch.ones(4)
    with pytest.raises(FloatingPointError, match="a weight is NaN .* epoch 0, step 0"):
        train(Root(), x, y, epochs=1, lr=0.1, weight_decay=0.0, loss="squared", batch_size=4)


@seeded
def plain_net():
    """Biases and a normalisation, but nothing that is drawn."""
    parts = nn.Conv2d(1, 3, 3), nn.Tanh(), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2)
    return nn.Sequential(*parts).double()


def weights_and_slopes(model, objective):
    """The weights as they are, and the gradient of an objective at them, in train mode."""
    model = copy.deepcopy(model).train()
    weights = list(model.parameters())
    slopes = torch.autograd.grad(objective(model), weights)
    return [weight.detach() for weight in weights], slopes


def assert_close(model, expected):
    for weight, other in zip(model.parameters(), expected, strict=True):
        assert torch.allclose(weight, other, rtol=0, atol=TIGHT)


@pytest.mark.parametrize("decay", ["all", "weights"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_decay_spares_what_it_says(decay, optimizer):
    """The first step by hand; that of Adam is the sign of the gradient, up to its ε."""
    x, y = regression(8)
    model = plain_net()
    weights, slopes = weights_and_slopes(model, half_squares(x, y))
    keywords = {"loss": "squared", "batch_size": 8, "optimizer": optimizer, "decay": decay}
    train(model, x, y, epochs=1, lr=0.1, weight_decay=0.3, **keywords)
    expected = []
    for weight, slope in zip(weights, slopes, strict=True):
        spared = decay == "weights" and weight.ndim < 2
        slope = slope if spared else slope + 0.3 * weight
        first = slope / (slope.abs() + 1e-8) if optimizer == "adam" else slope
        expected.append(weight - 0.1 * first)
    assert_close(model, expected)


def pace(schedule, step, n_steps):
    """Share of the highest rate, and momentum, in closed form."""
    if schedule == "constant":
        return 1.0, 0.9
    if schedule == "cosine":
        return (1 + math.cos(math.pi * step / n_steps)) / 2, 0.9
    top = 0.3 * n_steps - 1
    rising = step <= top
    way = step / top if rising else (step - top) / (n_steps - 1 - top)
    mix = (1 - math.cos(math.pi * way)) / 2  # from 0 to 1
    first, last = (1 / 25, 1) if rising else (1, 1 / 250_000)
    momentum = 0.95 - 0.1 * mix if rising else 0.85 + 0.1 * mix
    return first + (last - first) * mix, momentum


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle"])
def test_schedules_are_followed_step_by_step(schedule):
    x, y = regression(8)
    model = models.linear_cnn(2, width=2, shape=(1, 4, 4), n_outputs=2).double()
    weights = [w.detach().clone() for w in model.parameters()]
    speeds = [torch.zeros_like(w) for w in weights]
    by_hand, rates = copy.deepcopy(model), []
    for step in range(30):
        share, momentum = pace(schedule, step, 30)
        rates.append(0.02 * share)
        slopes = torch.autograd.grad(half_squares(x, y)(by_hand), list(by_hand.parameters()))
        for weight, speed, slope in zip(by_hand.parameters(), speeds, slopes, strict=True):
            speed.mul_(momentum).add_(slope)
            weight.data -= rates[-1] * speed
    keywords = {"loss": "squared", "batch_size": 8, "schedule": schedule}
    history = train(model, x, y, epochs=30, lr=0.02, weight_decay=0.0, **keywords)
    assert history.lr == pytest.approx(rates, rel=1e-12)
    assert_close(model, by_hand.parameters())


def test_schedules_start_middle_and_end():
    rates = {
        schedule: run(epochs=30, lr=0.5, schedule=schedule).lr
        for schedule in ("constant", "cosine", "one_cycle")
    }
    assert set(rates["constant"]) == {0.5}
    assert rates["cosine"][0] == 0.5 and math.isclose(rates["cosine"][15], 0.25)
    assert math.isclose(rates["cosine"][29], 0.5 * math.sin(math.pi / 60) ** 2)
    cycle = rates["one_cycle"]
    assert math.isclose(cycle[0], 0.02) and math.isclose(cycle[8], 0.5)
    assert math.isclose(cycle[4], 0.26) and math.isclose(cycle[29], 0.5 / 250_000)


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
def test_schedules_go_by_steps_and_not_by_epochs(schedule):
    history = run(epochs=4, lr=0.1, batch_size=5, schedule=schedule)  # three steps an epoch
    expected = [0.1 * pace(schedule, 3 * epoch, 12)[0] for epoch in range(4)]
    assert history.lr == pytest.approx(expected, rel=1e-12)


def test_augment_meets_every_image_once_with_its_label():
    seen = []

    def augment(images, labels, generator):
        assert images.dtype == torch.float32 and generator.device.type == "cpu"
        seen.append((images.clone(), labels.clone()))
        return images

    run(augment=augment, batch_size=5)
    assert [len(images) for images, _ in seen] == [5, 5, 2]
    images, labels = (torch.cat(parts) for parts in zip(*seen, strict=True))
    found = (images[:, None] == X.float()).all((2, 3, 4))
    assert torch.equal(found.sum(0), torch.ones(12, dtype=torch.int64))
    assert torch.equal(labels, Y[found.int().argmax(1)])


def test_augment_is_for_training_alone():
    """Black images have outputs of zero, and the loss log 3; validation sees what it was given."""
    model = copy.deepcopy(NET)
    history = run(
        model, lr=0.0, augment=lambda images, labels, generator: 0 * images, validation=(X, Y)
    )
    plain = run(model, lr=0.0, validation=(X, Y))
    assert math.isclose(history.loss[0], math.log(3), rel_tol=1e-6)
    assert not math.isclose(plain.loss[0], math.log(3), rel_tol=0.1)
    assert history.validation_loss == plain.validation_loss


def test_the_draws_of_augment_are_its_own():
    draws = {}

    def train_with(name, seed):
        def augment(images, labels, generator):
            draws[name] = torch.rand(9, generator=generator)
            return images

        return run(class_net(), seed=seed, augment=augment).loss

    losses = [train_with("first", 1), train_with("again", 1), train_with("other", 2)]
    assert torch.equal(draws["first"], draws["again"])
    assert not torch.equal(draws["first"], draws["other"])
    assert not torch.equal(
        draws["first"], torch.rand(9, generator=torch.Generator().manual_seed(1))
    )
    assert (
        losses[0] == losses[1] == run(class_net(), seed=1).loss[:1]
    )  # what is drawn moves nothing


def test_flip_and_crop_takes_each_window_equally_often():
    n, image = 8100, noise(2, 5, 6)
    taken = flip_and_crop(
        image.expand(n, 2, 5, 6), torch.zeros(n), torch.Generator().manual_seed(0)
    )
    padded = functional.pad(image, (4, 4, 4, 4))
    windows = [
        window
        for top in range(9)
        for left in range(9)
        for window in (padded[:, top : top + 5, left : left + 6],)
        for window in (window, window.flip(2))
    ]
    counts = torch.stack([(taken == window).all((1, 2, 3)).sum() for window in windows])
    assert counts.sum() == n and len(windows) == 162
    spread = math.sqrt(n / 162 * (1 - 1 / 162))
    assert (counts - n / 162).abs().max() < SIGMAS * spread


def test_a_penalty_on_the_slope_is_weight_decay_at_depth_one():
    """The outputs of one linear layer have the weights for slope."""
    x, y = noise(40, 1, 4, 4), noise(40, 1, seed=1)

    def half_slopes(images, outputs):
        (slopes,) = torch.autograd.grad(outputs.sum(), images, create_graph=True)
        return 0.3 / 2 * slopes.square().sum() / len(images)

    ends = {}
    for name, weight_decay, penalty in [
        ("penalty", 0.0, half_slopes),
        ("decay", 0.3, None),
        ("none", 0.0, None),
    ]:
        model = models.linear_cnn(1, width=1, shape=(4, 4)).double()
        first = model.head.detach().clone()
        keywords = {"loss": "squared", "batch_size": 16, "penalty": penalty}
        history = train(model, x, y, epochs=5, lr=0.05, weight_decay=weight_decay, **keywords)
        ends[name] = model.head.detach(), history
        again = train(model, x, y, epochs=1, lr=0.0, weight_decay=0.0, **keywords)
        if penalty:
            size = 0.3 / 2 * model.head.square().sum().item()
            assert math.isclose(again.penalty[0], size, rel_tol=1e-12)
            assert len(history.penalty) == 5
        else:
            assert history.penalty == []
        loss = half_squares(x, y)(model).item()
        assert math.isclose(again.loss[0], loss, rel_tol=1e-12)  # without the penalty
    assert torch.allclose(ends["penalty"][0], ends["decay"][0], rtol=0, atol=TIGHT)
    assert (ends["penalty"][0] - ends["none"][0]).norm() > 0.01 * first.norm()
    assert ends["penalty"][1].loss == pytest.approx(ends["decay"][1].loss, rel=1e-10)


def test_one_step_with_a_penalty_is_the_gradient_of_the_whole():
    """A double backward pass through a network that is not linear, in train mode."""
    x, y = regression(8)

    def slope_squares(images, outputs):
        (slopes,) = torch.autograd.grad(outputs.pow(2).sum(), images, create_graph=True)
        return slopes.square().mean()

    def whole(model):
        images = x.clone().requires_grad_()
        return half_squares(images, y)(model) + slope_squares(images, model(images))

    model = plain_net()
    weights, slopes = weights_and_slopes(model, whole)
    keywords = {"loss": "squared", "batch_size": 8, "penalty": slope_squares}
    train(model, x, y, epochs=1, lr=0.1, weight_decay=0.0, **keywords)
    assert_close(model, [w - 0.1 * g for w, g in zip(weights, slopes, strict=True)])


def overfit(epochs, **keywords):
    """Noise is learned after the rest: the validation loss falls, then rises."""
    x = noise(72, 1, 4, 4)
    y = x.flatten(1)[:, :2] + noise(72, 2, seed=1)
    model = plain_net()
    settings = {"lr": 0.005, "weight_decay": 0.0, "loss": "squared", "batch_size": 8, **keywords}
    history = train(model, x[:24], y[:24], epochs=epochs, validation=(x[24:], y[24:]), **settings)
    return model, history


@pytest.mark.parametrize("patience", [1, 4, 100])
def test_patience_ends_in_time_and_puts_the_best_weights_back(patience):
    _, full = overfit(40)
    losses = full.validation_loss
    best, n_epochs = 0, 40
    for epoch, value in enumerate(losses):
        best = epoch if value < losses[best] else best
        if epoch == best + patience:
            n_epochs = epoch + 1
            break
    model, history = overfit(40, patience=patience)
    assert history.validation_loss == losses[:n_epochs]
    assert history.best_epoch == best and 0 < best < n_epochs - 1
    shorter, _ = overfit(best + 1)
    for name, value in shorter.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    longer, _ = overfit(n_epochs)
    assert not torch.equal(longer[0].weight, model[0].weight)


def test_the_best_epoch_is_the_first_of_the_lowest_that_is_a_number():
    assert History().best_epoch is None
    assert History(validation_loss=[math.nan, 2.0, 1.0, math.inf, 1.0]).best_epoch == 2
    assert History(validation_loss=[math.nan]).best_epoch == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_autocast_computes_in_bfloat16_in_training_alone():
    x, y = two_classes()
    losses, seen = {}, set()
    for autocast in (False, True):
        model = class_net()
        model[-1].register_forward_hook(lambda part, _, out: seen.add((part.training, out.dtype)))
        history = train(
            model,
            x,
            y,
            epochs=3,
            lr=0.01,
            weight_decay=0.0,
            device="cuda",
            validation=(x, y),
            autocast=autocast,
        )
        losses[autocast] = history.loss[-1]
        assert all(weight.dtype == torch.float32 for weight in model.parameters())
        assert (True, torch.bfloat16) in seen if autocast else (True, torch.bfloat16) not in seen
        assert (False, torch.bfloat16) not in seen
    assert losses[True] != losses[False] and abs(losses[True] - losses[False]) < 0.1


def test_the_seed_decides_the_run_with_all_options():
    x, y = two_classes(60)

    def slopes(images, outputs):
        (found,) = torch.autograd.grad(outputs.sum(), images, create_graph=True)
        return 0.01 * found.square().mean()

    def start(seed):
        model = class_net()
        history = run(
            model,
            x[:40],
            y[:40],
            epochs=4,
            lr=0.05,
            batch_size=16,
            seed=seed,
            decay="weights",
            schedule="one_cycle",
            augment=flip_and_crop,
            penalty=slopes,
            patience=2,
            validation=(x[40:], y[40:]),
        )
        columns = history.loss, history.accuracy, history.penalty, history.validation_loss
        return columns, {key: value.tolist() for key, value in model.state_dict().items()}

    first, again, other = runs_of_seeds(start)
    assert first == again
    assert first[0][0] != other[0][0]


def test_a_penalty_that_is_not_finite_is_named():
    calls = []

    def breaks_down(images, outputs):
        calls.append(1)
        return outputs.sum() * (math.nan if len(calls) == 5 else 1)

    with pytest.raises(FloatingPointError, match="the penalty is nan at epoch 1, step 1 "):
        run(copy.deepcopy(NET), epochs=3, batch_size=4, penalty=breaks_down)
    with pytest.raises(FloatingPointError, match="the loss is nan at epoch 0, step 0 "):
        run(augment=lambda x, y, g: x * math.nan, penalty=lambda x, outputs: outputs.sum())


X, Y = two_classes(12)
NET = models.linear_cnn(1, width=1, shape=(6, 6), n_outputs=3)
DOUBLE = models.linear_cnn(1, width=1, shape=(6, 6), n_outputs=3).double()


class Pair(nn.Module):
    """A model that returns two things."""

    def __init__(self):
        super().__init__()
        self.part = class_net()

    def forward(self, x):
        outputs = self.part(x)
        return outputs, outputs


def frozen(model):
    return copy.deepcopy(model).requires_grad_(False)


def run(model=NET, x=X, y=Y, epochs=1, lr=0.1, weight_decay=0.1, **keywords):
    return train(model, x, y, epochs=epochs, lr=lr, weight_decay=weight_decay, **keywords)


def test_after_epoch_sees_the_weights_that_fewer_epochs_leave():
    x, y = two_classes(64)
    seen = []
    model = class_net()
    train(
        model,
        x,
        y,
        epochs=3,
        lr=0.01,
        weight_decay=0.1,
        after_epoch=lambda n: seen.append((n, model.training, weights_of(model))),
    )
    assert [n for n, _, _ in seen] == [1, 2, 3]
    for n, training, weights in seen:
        shorter = class_net()
        train(shorter, x, y, epochs=n, lr=0.01, weight_decay=0.1)
        assert training and torch.equal(weights, weights_of(shorter))
    assert not torch.equal(seen[0][2], seen[1][2])


def weights_of(model):
    return torch.cat([w.detach().flatten().clone() for w in model.parameters()])


def test_looking_on_changes_nothing():
    x, y = two_classes(64)
    ends = []
    for looks in (False, True):
        model = class_net()

        def look(_, model=model):
            measure_sensitivity(model, x.float())

        settings = {"epochs": 2, "lr": 0.01, "weight_decay": 0.1}
        train(model, x, y, **settings, after_epoch=look if looks else None)
        ends.append(weights_of(model))
    assert torch.equal(*ends)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: run(model=len), TypeError, "torch.nn.Module"),
        (lambda: run(model=nn.Flatten()), ValueError, "must have parameters"),
        (lambda: run(x=X[0]), ValueError, r"\(N, C, H, W\)"),
        (lambda: run(x=X / 0), ValueError, "NaN or infinite"),
        (lambda: run(y=Y[:5]), ValueError, r"shape \(12, \.\.\.\), as the images, got \(5,\)"),
        (lambda: run(y=Y.tolist()), TypeError, "got list"),
        (lambda: run(y=Y.float()), TypeError, "integer classes"),
        (lambda: run(y=Y - 1), ValueError, "at least 0, got -1"),
        (lambda: run(y=Y + 1), ValueError, "below the 3 outputs of model, got 3"),
        (lambda: run(y=Y / 0, loss="squared"), ValueError, "labels must be finite"),
        (lambda: run(y=Y, loss="squared"), ValueError, r"\(N, 3\), as the outputs, got \(N, 1\)"),
        (lambda: run(y=Y, loss="logistic"), ValueError, "-1 or"),
        (lambda: run(y=Y[:, None]), TypeError, r"classes \(N,\), got torch.int64 \(12, 1\)"),
        (lambda: run(y=Y + 0j, loss="squared"), TypeError, "real numbers, got torch.complex64"),
        (lambda: run(y=Y > 0, loss="logistic"), TypeError, "real numbers, got torch.bool"),
        (lambda: run(y=torch.ones(12, 0), loss="squared"), ValueError, r"got \(12, 0\)"),
        (lambda: run(y=1 * (Y > 0), loss="logistic"), ValueError, r"-1 or \+1 .* got 0"),
        (
            lambda: run(model=models.linear_cnn(1, width=1, shape=(6, 6)), y=0 * Y),
            ValueError,
            "at least 2, got 1",
        ),
        (lambda: run(model=frozen(NET)), ValueError, "require gradients, got none"),
        (lambda: run(model=Pair()), ValueError, r"must map 12 images to \(12, K\), got tuple"),
        (
            lambda: run(validation=(X[..., :5], Y)),
            ValueError,
            r"validation images must have shape \(N, 1, 6, 6\), got \(12, 1, 6, 5\)",
        ),
        (lambda: run(loss="hinge"), ValueError, "cross_entropy, squared, logistic"),
        (lambda: run(optimizer="adamw"), ValueError, "mean 'adam'"),
        (lambda: run(epochs=0), ValueError, "epochs must be at least 1"),
        (lambda: run(lr=-1.0), ValueError, "lr must be at least 0"),
        (lambda: run(weight_decay=-1.0), ValueError, "weight_decay must be at least 0"),
        (lambda: run(batch_size=0), ValueError, "batch_size must be at least 1"),
        (lambda: run(seed=-1), ValueError, "seed must be between 0 and"),
        (lambda: run(validation=X), TypeError, "pair"),
        (lambda: run(validation=(X, Y[:2])), ValueError, "validation labels"),
        (
            lambda: run(model=nn.Conv2d(1, 2, 3)),
            ValueError,
            r"must map 12 images to \(12, K\), got \(12, 2, 4, 4\)",
        ),
        (lambda: run(decay="bias"), ValueError, "all, weights, got 'bias'"),
        (lambda: run(schedule="cosin"), ValueError, "mean 'cosine'"),
        (lambda: run(augment=3), TypeError, "augment must be a function or None, got int"),
        (lambda: run(after_epoch=1), TypeError, "after_epoch must be a function or None, got int"),
        (lambda: run(penalty="l2"), TypeError, "penalty must be a function or None, got str"),
        (
            lambda: run(augment=lambda x, y, g: x[..., 1:]),
            ValueError,
            r"images of shape \(12, 1, 6, 6\), got \(12, 1, 6, 5\)",
        ),
        (
            lambda: run(augment=lambda x, y, g: x.double()),
            ValueError,
            "dtype torch.float32, got torch.float64",
        ),
        (lambda: run(augment=lambda x, y, g: (x, y)), TypeError, "tensor, got tuple"),
        (lambda: run(penalty=lambda x, f: f), ValueError, r"real scalar tensor, got \(12, 3\)"),
        (lambda: run(penalty=lambda x, f: 3.0), ValueError, "scalar tensor, got float"),
        (lambda: run(penalty=lambda x, f: f.detach().sum()), ValueError, "create_graph=True"),
        (lambda: run(patience=2), ValueError, "patience=2 needs validation"),
        (lambda: run(patience=0, validation=(X, Y)), ValueError, "patience must be at least 1"),
        (lambda: run(patience=1.0, validation=(X, Y)), TypeError, "patience must be an integer"),
        (lambda: run(autocast=1), TypeError, "autocast must be True or False"),
        (lambda: run(autocast=True), ValueError, "devices other than cuda, got cpu"),
        (
            lambda: run(model=DOUBLE, device="cuda", autocast=True),
            TypeError,
            "float32, got torch.float64",
        ),
        (
            lambda: flip_and_crop(X[0], Y, torch.Generator()),
            ValueError,
            r"\(N, C, H, W\), got \(1, 6, 6\)",
        ),
        (lambda: flip_and_crop(X, Y, 0), TypeError, "torch.Generator, got int"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
