"""Runs of sweeps: the images and labels of a task, what a run returns, and its determinism."""

import numpy as np
import pytest
import torch
from archives import TEST, TRAIN, random_records, write_archive
from recorded import CIFAR10
from tolerances import ATOL, SIGMAS

from freqsense import datasets, experiments, filters, fourier, images, theory
from freqsense.experiments import runs

SIZES = {"size": 8, "n_train": 300, "n_test": 100}
RUN = {"architecture": "linear_cnn-2", "weight_decay": 0.05, "width": 2, "epochs": 2} | SIZES
FIELDS = {"data": "gaussian_field:2"}


@pytest.fixture
def cifar10_archive(tmp_path, monkeypatch):
    """Six batches of 20 records; the first pixel of each says which record it is."""
    members = {}
    for number, name in enumerate([*TRAIN, TEST]):
        records = random_records(20, seed=number)
        records[:, 0] = np.arange(20) % 10
        records[:, 1] = 20 * number + np.arange(20)
        members[name] = records.tobytes()
    path = write_archive(tmp_path / "cifar.tar.gz", members)
    monkeypatch.setenv(CIFAR10, str(path))
    return path


@pytest.mark.parametrize("alpha", [0, 1.5, 3])
@pytest.mark.parametrize("kind", ["gaussian_field", "dead_leaves"])
def test_made_images_have_the_power_law(kind, alpha):
    task = experiments.load_task(f"{kind}:{alpha}", size=16, n_train=500, n_test=100)
    power, _ = experiments.label_statistics(task.images, task.labels)
    expected = fourier.radial_frequency((16, 16)).clamp(min=1) ** -alpha
    ratio = (power / expected).flatten()[1:]
    # A mean of 500 squared Gaussians (two at most frequencies, one at those that are real); those
    # of dead leaves were divided by their own mean over all 600 images, so vary less.
    assert ((ratio / ratio.mean() - 1).abs() < 1.5 * SIGMAS * (2 / 500) ** 0.5).all()
    assert power[0, 0] < 1e-3 * power.max()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_teacher_of_made_images_is_white(seed):
    task = experiments.load_task("gaussian_field:0", size=8, n_train=20_000, n_test=10, seed=seed)
    _, cross = theory.second_moments(task.images, task.labels)
    # On white images E[conj(x̂) sign(u)] = √(2/π) conj(b*)/‖b*‖: of one size at all frequencies.
    sizes = cross.abs().flatten()[1:] * (63 * torch.pi / 2) ** 0.5
    error = (63 * torch.pi / 2 / 20_000) ** 0.5
    assert ((sizes - 1).abs() < SIGMAS * error).all()


def test_labels_do_not_depend_on_the_exponent_of_white_images_alone():
    white, pink = (
        experiments.load_task(f"gaussian_field:{alpha}", **SIZES) for alpha in ("0", "2")
    )
    assert not torch.equal(white.labels, pink.labels)  # the images changed, the teacher did not
    for task in (white, pink):
        assert abs(task.labels.mean()) < SIGMAS / 300**0.5


def test_task_is_standardised_by_one_scale():
    task = experiments.load_task("photographs", size=8, n_train=100, n_test=50)
    assert task.images.mean((0, 2, 3)).abs().max() < ATOL[torch.float32]
    assert task.images.std().item() == pytest.approx(1, abs=1e-4)
    raw = task.images * task.scale + task.mean[:, None, None]
    assert raw.min() > -1e-5 and raw.max() < 1 + 1e-5
    assert (task.n_outputs, task.loss) == (len(images.PATCH_CLASSES), "cross_entropy")


def test_filters_apply_from_left_to_right_to_test_images_too():
    steps = "high_pass:1 recolor:1.5"
    task = experiments.load_task("photographs", image_filter=steps, **SIZES)
    raw = experiments.load_task("photographs", **SIZES)
    for ours, plain in ((task.images, raw.images), (task.test_images, raw.test_images)):
        expected = filters.recolor(filters.high_pass(plain, 1), 1.5)
        expected = expected / filters.recolor(filters.high_pass(raw.images, 1), 1.5).std()
        assert torch.allclose(ours, expected, atol=1e-4)


def test_whitening_divides_by_the_spectrum_of_the_training_images():
    task = experiments.load_task("photographs", image_filter="high_pass:1 whiten", **SIZES)
    power, _ = experiments.label_statistics(task.images, task.labels)
    inner = power.flatten()[1:]
    assert torch.allclose(inner, inner.mean().expand(63), rtol=1e-4)
    test_power, _ = experiments.label_statistics(task.test_images, task.test_labels)
    assert test_power.flatten()[1:].std() > 0.05 * test_power.mean()  # its own would be flat


def test_random_labels_are_the_same_labels_in_another_order():
    true, shuffled = (
        experiments.load_task("photographs", labels=kind, **SIZES) for kind in ("true", "random")
    )
    assert torch.equal(true.images, shuffled.images)
    assert torch.equal(true.labels.bincount(), shuffled.labels.bincount())
    assert (true.labels == shuffled.labels).float().mean() < 0.2


def test_cifar10_takes_the_first_records_of_each_batch(cifar10_archive):
    task = experiments.load_task("cifar10:3", size=32, n_train=15, n_test=3)
    first = (task.images[:, 0, 0, 0] * task.scale + task.mean[0]) * 255
    assert first.round().int().tolist() == [20 * k + r for k in range(5) for r in range(3)]
    assert task.test_labels.tolist() == [0, 1, 2]


def test_cifar10_says_how_many_records_there_are(cifar10_archive):
    for asked in ("cifar10", "cifar10:21", "cifar10:2.5"):
        with pytest.raises(ValueError, match="1 to 20 records of a batch here"):
            experiments.load_task(asked, size=32, n_train=5, n_test=5)


def test_imagenette_is_shrunk_by_a_whole_factor(monkeypatch):
    def batches(*, size, split):
        yield torch.rand(4, 3, size, size), torch.arange(4)

    monkeypatch.setattr(datasets, "imagenette", batches)
    task = experiments.load_task("imagenette", size=32, n_train=4, n_test=4)
    assert task.images.shape == (4, 3, 32, 32)
    with pytest.raises(ValueError, match="size must divide 160 for imagenette, got 48"):
        experiments.load_task("imagenette", size=48, n_train=4, n_test=4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"data": "gausian_field:2"}, "did you mean 'gaussian_field'"),
        ({"data": "gaussian_field"}, "takes 1 numbers after colons, got 'gaussian_field'"),
        ({"data": "gaussian_field:x"}, "got 'gaussian_field:x'"),
        ({"data": "photographs:nan"}, "got 'photographs:nan'"),
        ({"image_filter": "highpass:4"}, "did you mean 'high_pass'"),
        ({"image_filter": "whiten:1"}, "got 'whiten:1'"),
        ({"image_filter": "high_pass:40"}, "images must differ"),
        ({"labels": "rand"}, "did you mean 'random'"),
        ({"size": 3}, "size must be at least 4, got 3"),
        ({"n_train": 0}, "n_train must be at least 1, got 0"),
    ],
)
def test_bad_tasks_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        experiments.load_task(**({"data": "photographs"} | SIZES | arguments))


def test_the_name_of_the_data_is_text():
    with pytest.raises(TypeError, match="data must be a string"):
        experiments.load_task(3, **SIZES)


def test_a_run_returns_what_it_says():
    result = experiments.train_and_measure(**RUN, **FIELDS)
    layout = {name: value[0] for name, value in result.items() if isinstance(value, tuple)}
    assert layout == {
        "sensitivity": ("ring",),
        "untrained": ("ring",),
        "power_map": ("ky", "half_kx"),
        "cross_map": ("ky", "half_kx"),
        "predicted": ("ring",),
    }
    assert result["n_images"] == 300
    assert 0 <= result["accuracy"] <= 1


def test_a_run_depends_on_its_seed_alone():
    first, again, other = (
        experiments.train_and_measure(**RUN, **FIELDS, seed=seed) for seed in (0, 0, 1)
    )
    assert torch.equal(first["sensitivity"][1], again["sensitivity"][1])
    assert first["loss"] == again["loss"]
    assert not torch.equal(first["sensitivity"][1], other["sensitivity"][1])


def test_power_and_correlation_are_those_of_the_training_images():
    task = experiments.load_task("photographs", **SIZES)
    power, cross = experiments.label_statistics(task.images, task.labels)
    expected_power, expected_cross = 0, 0
    for k in range(task.n_outputs):
        y = (task.labels == k).double()
        second, c = theory.second_moments(task.images, y - y.mean())
        expected_power = second.diagonal(dim1=-2, dim2=-1).real.sum(-1)
        expected_cross = expected_cross + c.abs().square().sum(-1)
    assert torch.allclose(power, expected_power, rtol=ATOL[torch.float64], atol=ATOL[torch.float64])
    assert torch.allclose(
        cross, expected_cross.sqrt(), rtol=ATOL[torch.float64], atol=ATOL[torch.float64]
    )


def test_statistics_do_not_depend_on_the_pieces_of_a_stack(monkeypatch):
    task = experiments.load_task("gaussian_field:2", **SIZES)
    whole = experiments.label_statistics(task.images, task.labels)
    monkeypatch.setattr(runs, "_PIECE", 7)  # 300 = 42 * 7 + 6
    pieces = experiments.label_statistics(task.images, task.labels)
    for a, b in zip(whole, pieces, strict=True):
        torch.testing.assert_close(a, b, atol=ATOL[torch.float64], rtol=ATOL[torch.float64])


test_def_label_statistics = test_power_and_correlation_are_those_of_the_training_images


def test_a_linear_network_comes_to_the_prediction_and_an_untrained_one_does_not():
    many = RUN | {"n_train": 1000, "epochs": 60, "lr": 0.003, "width": 4}
    for seed in range(3):
        result = experiments.train_and_measure(**many, data="gaussian_field:2", seed=seed)
        trained, untrained, predicted = (
            result[name][1][1:] / result[name][1][1:].sum()
            for name in ("sensitivity", "untrained", "predicted")
        )
        assert (trained - predicted).abs().max() < 0.02
        assert (untrained - predicted).abs().max() > 0.1


@pytest.mark.parametrize(
    "regime",
    ["gaussian_noise:0.5", "low_pass_blur:2", "adversarial:0.5", "penalty_above:2:5"],
)
def test_every_regime_changes_what_is_learned(regime):
    plain, changed = (
        experiments.train_and_measure(**RUN, **FIELDS, regime=kind)["sensitivity"][1]
        for kind in ("plain", regime)
    )
    assert (plain - changed).abs().max() > 1e-4


def test_penalties_lower_the_sensitivity_of_their_band():
    def share_above(regime):
        run = RUN | {"epochs": 10}
        rings = experiments.train_and_measure(**run, data="gaussian_field:0", regime=regime)
        rings = rings["sensitivity"][1]
        return (rings[3:].sum() / rings.sum()).item()

    above, plain, below = map(share_above, ("penalty_above:3:20", "plain", "penalty_below:3:20"))
    assert above < 0.8 * plain < plain < below


def test_augmentation_is_chained_before_the_regime():
    runs = [
        experiments.train_and_measure(**RUN, **FIELDS, augment=augment, regime="gaussian_noise:0.1")
        for augment in (False, True)
    ]
    assert runs[0]["loss"] != runs[1]["loss"]


def test_a_run_with_attacks_returns_what_it_says():
    result = experiments.train_and_attack(**RUN, **FIELDS, wave_norm=4.0, pgd_radius=1.0)
    assert result["attacked_error"] >= 1 - result["accuracy"]
    assert result["heat_map"][1].shape == (8, 5)
    rings = result["noise_error"][1], result["low_pass_error"][1], result["high_pass_error"][1]
    assert all(ring.shape == (5,) and ring[1:].isfinite().all() for ring in rings)
    # Nothing is below 1 cycle but DC, and these images have none: their error is that of chance.
    assert abs(rings[1][1] - 0.5) < SIGMAS * 0.5 / 10
    assert rings[2][1] == pytest.approx(1 - result["accuracy"], abs=0.02)


def test_two_groups_are_the_first_half_of_the_classes_and_the_rest():
    settings = {"size": 16, "n_train": 80, "n_test": 40}
    classes = experiments.load_task("photographs", **settings)
    groups = experiments.load_task("photographs", labels="two_groups", **settings)
    assert groups.n_outputs == 1 and groups.loss == "logistic"
    for ours, theirs in (
        (groups.labels, classes.labels),
        (groups.test_labels, classes.test_labels),
    ):
        assert torch.equal(ours, torch.where(theirs < 4, 1.0, -1.0))
    assert torch.equal(groups.images, classes.images)


def test_grey_and_shrunk_images():
    settings = {"size": 16, "n_train": 8, "n_test": 8}
    color = experiments.load_task("photographs", **settings)
    task = experiments.load_task("photographs", image_filter="grey shrink:2", **settings)
    expected = images.shrink(images.luminance(color.images * color.scale), 2)
    expected = expected - expected.mean((0, 2, 3), keepdim=True)
    assert task.images.shape == (8, 1, 8, 8)
    torch.testing.assert_close(task.images, expected / expected.std(), rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="shrink takes a whole number, got 1.5"):
        experiments.load_task("photographs", image_filter="shrink:1.5", **settings)


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("decay", [0.0, 0.05])
def test_an_exact_run_is_the_minimiser(depth, decay):
    settings = {"size": 8, "n_train": 40, "n_test": 200, "seed": 1}
    task = experiments.load_task("gaussian_field:1", **settings)
    if decay:
        rest = {"weight_decay": decay, "loss": "logistic"}
        solution = theory.solve(task.images, task.labels, depth=depth, **rest)
    else:
        solution = theory.solve_limit(task.images, task.labels, depth=depth)
    result = experiments.solve_and_measure(
        data="gaussian_field:1", weight_decay=decay, depth=depth, **settings
    )
    expected = fourier.radial_average(solution.B.abs().square().sum((2, 3)).sqrt()).mean
    # A gap of 1e-5 leaves about its root of the map.
    assert (result["sensitivity"][1] - expected).norm() < 3 * 1e-5**0.5 * expected.norm()
    assert 0 <= result["gap"] <= 1e-5 and result["n_images"] == 40
    assert 0.5 < result["accuracy"] < 1 and (result["silent"] > 0.1) == (depth == 2)


def test_no_run_is_lost_where_there_is_no_limit():
    """Random labels of many images: no map separates them, and training goes on all the same."""
    settings = {"data": "gaussian_field:0", "size": 4, "n_train": 200, "n_test": 20}
    settings |= {"labels": "random", "weight_decay": 0.0}
    exact = experiments.solve_and_measure(depth=1, **settings)
    assert exact["sensitivity"][1].isnan().all() and np.isnan(exact["gap"])
    trained = experiments.train_and_measure(
        architecture="linear_cnn-2", width=1, epochs=2, **settings
    )
    assert trained["predicted"][1].isnan().all()
    assert torch.isfinite(trained["sensitivity"][1]).all()


def test_no_run_is_lost_where_a_solution_does_not_converge(monkeypatch):
    def give_up(*_, **__):
        raise theory.NotConvergedError("no convergence in 1 iteration")

    settings = {"data": "gaussian_field:2", "weight_decay": 1e-6, "depth": 2} | SIZES
    solved = experiments.solve_and_measure(**settings | {"weight_decay": 0.1})
    monkeypatch.setattr(theory, "solve", give_up)
    lost = experiments.solve_and_measure(**settings)
    assert {name: np.shape(v[1] if isinstance(v, tuple) else v) for name, v in lost.items()} == {
        name: np.shape(v[1] if isinstance(v, tuple) else v) for name, v in solved.items()
    }
    assert lost["sensitivity"][1].isnan().all() and np.isnan(lost["silent"])
    assert torch.equal(lost["power_map"][1], solved["power_map"][1])


def test_an_exact_run_is_of_two_classes():
    with pytest.raises(ValueError, match="labels must be two_groups for 8 classes, got true"):
        experiments.solve_and_measure(
            data="photographs", weight_decay=0.1, depth=1, size=8, n_train=16, n_test=8
        )


FOLLOW = {"architecture": "linear_cnn-2", "weight_decay": 0.05, "width": 2} | SIZES | FIELDS


def test_a_followed_run_returns_what_it_says():
    result = experiments.train_and_follow(**FOLLOW, steps=25, looks=4)  # 3 steps an epoch
    assert result["epoch"][1].tolist() == [1, 2, 4, 9]
    for name in ("sensitivity", "learned"):
        assert result[name][0] == ("look", "ring") and result[name][1].shape == (4, 5)
    assert result["untrained"][1].shape == (5,) and result["power_map"][1].shape == (8, 5)
    assert (result["loss"][1].diff() < 0).all() and result["n_images"] == 300
    again = experiments.train_and_follow(**FOLLOW, steps=25, looks=4)
    other = experiments.train_and_follow(**FOLLOW, steps=25, looks=4, seed=1)
    assert torch.equal(again["sensitivity"][1], result["sensitivity"][1])
    assert not torch.allclose(other["sensitivity"][1], result["sensitivity"][1])


def test_the_last_look_is_a_run_of_as_many_epochs():
    followed = experiments.train_and_follow(**FOLLOW, steps=12, looks=3, schedule="constant")
    for look, epochs in enumerate([1, 2, 4]):
        run = experiments.train_and_measure(**FOLLOW, epochs=epochs)
        assert torch.equal(followed["sensitivity"][1][look], run["sensitivity"][1])
        if epochs == 4:
            for name in ("power_map", "cross_map", "untrained"):
                assert torch.equal(followed[name][1], run[name][1])
            assert [followed[n] for n in ("accuracy", "train_accuracy")] == [
                run[n] for n in ("accuracy", "train_accuracy")
            ]


@pytest.mark.parametrize("architecture", ["linear_cnn-1", "resnet-9"])
def test_eq_learned(architecture, monkeypatch):
    """The gradient of what was learned is the difference of the two gradients."""
    kept = []
    watcher = runs._Watcher
    monkeypatch.setattr(runs, "_Watcher", lambda *a: kept.append(watcher(*a)) or kept[-1])
    settings = FOLLOW | {"architecture": architecture}
    result = experiments.train_and_follow(**settings, steps=6, looks=1)
    x = kept[0].task.test_images[:500].clone().requires_grad_()
    slopes = [torch.autograd.grad(m.eval()(x).sum(), x)[0] for m in (kept[0].model, kept[0].start)]
    sizes = fourier.fft2((slopes[0] - slopes[1]).double()).abs().square().mean(0).sqrt()
    expected = fourier.radial_average(sizes[0]).mean
    assert torch.allclose(result["learned"][1][0].double(), expected, rtol=1e-4)
    # Negative control: it is neither the whole nor the start.
    for whole in (result["sensitivity"][1][0], result["untrained"][1]):
        assert not torch.allclose(result["learned"][1][0], whole, rtol=0.02)


def test_a_small_start_leaves_no_background():
    shares = []
    for start in (1.0, 0.01):
        result = experiments.train_and_follow(
            **FOLLOW | {"weight_decay": 0.0}, steps=300, start=start, lr=0.01
        )
        whole, learned = result["sensitivity"][1][-1], result["learned"][1][-1]
        shares.append(((whole - learned).norm() / whole.norm()).item())
    assert shares[1] < 1e-3 < 1e-2 < shares[0]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"steps": 0}, ValueError, "steps must be at least 1"),
        ({"looks": 0}, ValueError, "looks must be at least 1"),
        ({"start": -1.0}, ValueError, "start must be at least 0"),
        ({"precision": "float16"}, ValueError, "precision must be one of float32, bfloat16"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
    ],
)
def test_bad_settings_of_a_followed_run(change, error, words):
    with pytest.raises(error, match=words):
        experiments.train_and_follow(**FOLLOW | change)
