"""Arrays of all kinds and numbers of all sizes: taken as what they are, or refused in one line."""

import warnings

import numpy as np
import pandas
import pytest
import torch
import xarray
from draws import noise
from tolerances import ATOL
from torch.masked import masked_tensor

from freqsense import filters, fourier, images, models, spectra, theory, training
from freqsense._checks import as_classes, as_device, as_images, as_integer, as_labels, as_real
from freqsense._memory import check_memory

X = noise(4, 1, 8, 8).numpy()
MASK = np.zeros(X.shape, bool)
MASK[0, 0, 3, 4] = True
TIGHT = ATOL[torch.float64]
NET = models.linear_cnn(1, width=1, shape=(8, 8))


def read_only(array):
    view = array.view()
    view.flags.writeable = False
    return view


def field_of_records(array):
    records = np.zeros(array.shape, [("flag", "i1"), ("value", "f8")])
    records["value"] = array
    return records["value"]


# Kinds of arrays that hold the same numbers.
SAME = {
    "big-endian": lambda x: x.astype(">f8"),
    "column by column": np.asfortranarray,
    "read-only": read_only,
    "backwards": lambda x: x[..., ::-1].copy()[..., ::-1],
    "backwards, read-only": lambda x: read_only(x[..., ::-1].copy()[..., ::-1]),
    "a field of records": field_of_records,
    "masked nowhere": np.ma.MaskedArray,
    "a tensor": torch.tensor,
    "with gradients": lambda x: torch.tensor(x, requires_grad=True),
    "a parameter": lambda x: torch.nn.Parameter(torch.tensor(x)),
    "a negated view": lambda x: (
        torch.complex(torch.zeros(x.shape).double(), -torch.tensor(x)).conj().imag
    ),
}

# Kinds that hold no numbers, not all of them, or numbers that torch does not compute with.
REFUSED = {
    "masked somewhere": lambda x: np.ma.MaskedArray(x, MASK[: len(x)]),
    "masked, with a value to fill in": lambda x: np.ma.MaskedArray(x, MASK, fill_value=0.0),
    "objects": lambda x: x.astype(object),
    "text": lambda x: x.astype(str),
    "dates": lambda x: x.astype("datetime64[s]"),
    "long doubles": lambda x: x.astype(np.longdouble),
    "half precision": lambda x: x.astype(np.float16),
    "a list": lambda x: x.tolist(),
    "of xarray": xarray.DataArray,
    "of pandas": lambda x: pandas.DataFrame(x.reshape(len(x), -1)),
    "sparse": lambda x: torch.tensor(x).to_sparse(),
    "nested": lambda x: torch.nested.nested_tensor(list(torch.tensor(x))),
    "meta": lambda x: torch.tensor(x).to("meta"),
    "masked by torch": lambda x: masked_tensor(torch.tensor(x), torch.tensor(x) > 0),
    "bfloat16": lambda x: torch.tensor(x).bfloat16(),
    "with NaN": lambda x: np.where(x > 1, np.nan, x),
}

# What takes images, and what it makes of them.
TAKES_IMAGES = {
    "power_spectrum": lambda x: spectra.power_spectrum(x).values,
    "frequency_covariance": lambda x: spectra.frequency_covariance(x),
    "stationarity": lambda x: spectra.stationarity(x).coherence,
    "fft2": lambda x: fourier.fft2(x),
    "radial_average": lambda x: fourier.radial_average(x).mean,
    "high_pass": lambda x: filters.high_pass(x, 2),
    "recolor": lambda x: filters.recolor(x, 1.0),
    "whiten": lambda x: filters.whiten(x),
    "swap_phases": lambda x: filters.swap_phases(torch.tensor(X), x),
    "scramble_phases": lambda x: filters.scramble_phases(x),
    "luminance": lambda x: images.luminance(x),
    "shrink": lambda x: images.shrink(x, 2),
    "cut_tiles": lambda x: images.cut_tiles(x, 4),
    "second_moments": lambda x: theory.second_moments(x, torch.ones(4))[0],
    "flip_and_crop": lambda x: training.flip_and_crop(x, torch.ones(4), torch.Generator()),
}


@pytest.mark.filterwarnings("ignore:.*prototype.*", "ignore:.*Sparse.*")
@pytest.mark.parametrize("name", TAKES_IMAGES)
def test_images_of_every_kind_of_array(name):
    """The same numbers give the same result; no numbers, or not all of them, one clear line."""
    call = TAKES_IMAGES[name]
    expected = call(X)
    for kind, convert in SAME.items():
        got = call(convert(X)).detach()
        assert type(got) is torch.Tensor, kind
        assert torch.allclose(got, expected, atol=TIGHT), kind
    for convert in REFUSED.values():
        with pytest.raises((TypeError, ValueError)) as caught:
            call(convert(X))
        assert "\n" not in str(caught.value) and "must" in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("masked somewhere", ValueError, "no masked entries, got 1 of 256: fill or leave them out"),
        ("objects", TypeError, r"got object: convert with .astype\(float\)"),
        ("long doubles", TypeError, r"convert with .astype\(float\)"),
        ("half precision", TypeError, "must be float32 or float64, got float16"),
        ("of xarray", TypeError, r"got DataArray: convert it with .to_numpy\(\)"),
        ("of pandas", TypeError, r"got DataFrame: convert it with .to_numpy\(\)"),
        ("sparse", TypeError, "dense tensor, got a nested or sparse one"),
        ("meta", TypeError, "on the device meta, without numbers"),
        ("with NaN", ValueError, r"finite, got \d+ NaN or infinite values"),
    ],
)
def test_what_came_is_named(kind, error, words):
    with pytest.raises(error, match=words):
        spectra.power_spectrum(REFUSED[kind](X))
    with pytest.raises(error, match=words):  # in a stream too
        spectra.power_spectrum(iter([X, REFUSED[kind](X)]))


def test_a_masked_batch_is_found_wherever_it_comes():
    stack = np.ma.MaskedArray(np.zeros((3000, 1, 32, 32), np.float32))
    stack[2999, 0, 0, 0] = np.ma.masked
    with pytest.raises(ValueError, match="masked entries, got 1 of"):
        spectra.power_spectrum(stack)


def test_labels_of_every_kind_of_array():
    classes = np.array([0, 2, 1, 3])
    for dtype in ("u1", "u2", "u4", "u8", "i1", ">i4", ">u2"):
        assert as_classes(as_labels(classes.astype(dtype), 4)).tolist() == [0, 2, 1, 3]
    assert as_labels(classes[::-1], 4).tolist() == [3, 1, 2, 0]
    for labels in (np.ma.MaskedArray(classes, classes == 2), classes.astype(object), classes > 0):
        with pytest.raises((TypeError, ValueError), match="labels must"):
            training.train(NET, X, labels, epochs=1, lr=0.1, weight_decay=0.0)
    with pytest.raises(ValueError, match=r"below 2\^63"):
        as_labels(np.full(4, 2**64 - 1, "u8"), 4)
    with pytest.raises(ValueError, match="masked"):
        theory.solve(X, np.ma.MaskedArray(X[:, 0, 0, 0], MASK[:, 0, 3, 4]), weight_decay=1, depth=1)


@pytest.mark.parametrize(
    "value", [10**400, 10**5000, -(10**5000)], ids=["400", "5000", "5000, negative"]
)
def test_integers_of_thousands_of_digits(value):
    for call in (
        lambda: as_real(value, "lr"),
        lambda: as_integer(value, "size", 0, 9),
        lambda: fourier.frequencies((value, value)),
        lambda: models.build("vgg-11", width=value, shape=(8, 8), n_outputs=2),
        lambda: theory.jump(1.0, value),
        lambda: theory.threshold(1.0, weight_decay=1.0, depth=3, n_pixels=value),
    ):
        with pytest.raises(ValueError) as caught:
            call()
        assert len(str(caught.value)) < 600 and "must" in str(caught.value)


def test_long_values_are_told_by_their_type():
    with pytest.raises(TypeError, match=r"^size must be an integer, got a value of type ndarray$"):
        as_integer(np.zeros((50, 50)), "size")
    with pytest.raises(TypeError, match=r"^size must be an integer, got 2\.5$"):
        as_integer(2.5, "size")


@pytest.mark.parametrize(
    "call",
    [
        lambda: fourier.frequencies((10**6, 10**6)),
        lambda: images.gaussian_field(10**13, shape=(8, 8), alpha=2.0),
        lambda: images.gaussian_field(1, shape=(10**6, 10**6), alpha=2.0),
        lambda: images.dead_leaves(10**13, shape=(8, 8)),
        lambda: images.photo_patches("train", n_per_class=10**12),
        lambda: images.held_out_region((10**7, 10**7)),
        lambda: models.build("resnet-20", width=4, shape=(10**9, 32, 32), n_outputs=2),
        lambda: models.build("resnet-20", width=10**6, shape=(3, 32, 32), n_outputs=2),
        lambda: models.build("conv_actually-4", width=10**5, shape=(3, 32, 32), n_outputs=2),
        lambda: models.linear_cnn(10**8, width=1, shape=(1, 1)),
        lambda: theory.realize(torch.ones(2, 2, 1, 1), 10**9, width=10),
        lambda: spectra.frequency_covariance(torch.zeros(1, 2000, 64, 64)),
    ],
)
def test_what_takes_more_memory_than_there_is_is_refused(call):
    with pytest.raises(ValueError, match=r"must fit into memory, .* GiB here, and needs .*GiB"):
        call()


def test_memory_that_a_process_may_use(monkeypatch):
    """A limit of the process counts, and what lies below it does not."""
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (2**30, 2**30))
    check_memory(2**30, "this")
    with pytest.raises(ValueError, match=r"this must fit into memory, 1 GiB here, and needs 3 GiB"):
        check_memory(3 * 2**30, "this")


@pytest.mark.parametrize("device", ["meta", "nothing", "cpu:bad", 3.0])
def test_devices_without_numbers_are_refused(device):
    with pytest.raises(ValueError, match="device must be one that"):
        training.train(NET, X, X[:, 0, 0, 0], **RUN, device=device)
    assert as_device("cpu") == torch.device("cpu")


RUN = {"epochs": 1, "lr": 0.1, "weight_decay": 0.0, "loss": "squared"}

SCALES = [1e-300, 1e-150, 1e-42, 1e-12, 1e9, 1e30, 1e150, 1e300]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", SCALES)
def test_values_of_any_size_give_a_finite_result_or_a_reason(scale, dtype):
    x = (torch.tensor(X) * scale).to(dtype)
    number = torch.tensor([scale], dtype=torch.float64)
    power, cross = x[0, 0].abs().double(), x[1, 0].double()
    calls = [
        *(lambda take=take: take(x) for take in TAKES_IMAGES.values()),
        lambda: spectra.power_spectrum(x).radial().sem,
        lambda: spectra.fit_power_law(spectra.power_spectrum(x).radial(), fmin=1, fmax=4),
        lambda: filters.recolor(x, 300.0),
        lambda: theory.representation_cost(fourier.fft2(x[:1]).permute(2, 3, 0, 1), 3),
        lambda: theory.threshold(number, weight_decay=scale, depth=3, n_pixels=64),
        lambda: theory.branches(number, weight_decay=1 / scale, depth=4, n_pixels=64).gamma_global,
        lambda: theory.predict_sensitivity(power, cross, weight_decay=1.0, depth=3, branch="upper"),
        lambda: theory.predict_sensitivity(power**-1.0, cross, weight_decay=1e-9, depth=4),
        lambda: theory.learning_curves(power, cross, depth=4, times=[1e9], start=1e-90),
    ]
    n_answers = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for call in calls:
            try:
                got = call()
            except ValueError as error:
                assert "\n" not in str(error)
                continue
            n_answers += 1
            values = [got.alpha, got.alpha_stderr] if hasattr(got, "alpha") else got
            assert torch.isfinite(torch.as_tensor(values)).all()
    assert n_answers > len(calls) / 2 or not 1e-150 < scale < 1e150


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 4e9])
def test_images_of_any_size_are_told_from_zero(scale):
    """What is made of a stack that is larger by a factor is larger by it, or by its square."""
    x = torch.tensor(X).float()
    assert torch.equal(as_images(x), x)
    for name, order in [("high_pass", 1), ("recolor", 1), ("whiten", 0), ("scramble_phases", 1)]:
        plain, scaled = TAKES_IMAGES[name](x), TAKES_IMAGES[name](scale * x)
        assert torch.allclose(scaled.double() / scale**order, plain.double(), atol=1e-5), name
    small, one = spectra.power_spectrum(scale * x), spectra.power_spectrum(x)
    assert torch.allclose(small.values / scale**2, one.values, rtol=1e-5)
    assert torch.allclose(small.stderr / scale**2, one.stderr, rtol=1e-4)
    assert torch.allclose(small.radial().sem / scale**2, one.radial().sem, rtol=1e-4)
