"""Exercises of the part on the sensitivity theorem, and on errors over seeds."""

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from freqsense import fourier, theory
from freqsense.exercises import messages
from freqsense.exercises._draws import normal, number, rectangle, whole
from freqsense.exercises.exercise import Exercise, Wrong
from freqsense.sensitivity import measure_sensitivity

Map = Callable[[Tensor], Tensor]
Network = Callable[[Tensor], Tensor]


def same(values: Tensor) -> Tensor:
    """Return what is given."""
    return values


# The sensitivity of any function


def gradients(f: Network, x: Tensor) -> Tensor:
    """Return the gradients of all outputs, (N, K, H, W), for images (N, 1, H, W)."""
    x = x.detach().clone().requires_grad_()
    outputs = f(x)
    parts = [
        torch.autograd.grad(outputs[:, k].sum(), x, retain_graph=True)[0][:, 0]
        for k in range(outputs.shape[1])
    ]
    return torch.stack(parts, 1)


def sizes(images: Tensor) -> Tensor:
    """Return |x̂| of images."""
    return fourier.fft2(images).abs()


def sensitivity_by(
    *, before: Map = same, average: Map = lambda size: size.square().mean(0),
    finish: Map = lambda power: power.sum(0).sqrt(),
) -> Callable[[Network, Tensor], Tensor]:  # fmt: skip
    """Return a function that measures sensitivity, right unless told otherwise."""

    def sensitivity(f: Network, x: Tensor) -> Tensor:
        return finish(average(sizes(before(gradients(f, x)))))

    return sensitivity


def library_sensitivity(f: Network, x: Tensor) -> Tensor:
    """Return what the library measures."""
    return measure_sensitivity(f, x).values[0]


def sensitivity_by_images(f: Network, x: Tensor) -> Tensor:
    """Take one Jacobian after the other."""
    total = torch.zeros(x.shape[-2:], dtype=torch.float64)
    for image in x:
        jacobian = torch.autograd.functional.jacobian(f, image[None])[0, :, 0, 0]  # (K, H, W)
        total += torch.fft.fft2(jacobian).abs().square().sum(0) / image.numel()
    return (total / len(x)).sqrt()


def draw_network(generator: Generator) -> tuple[Network, Tensor]:
    """Draw a network of two layers with a bend, and images (N, 1, H, W)."""
    shape = rectangle(generator)
    first = normal(generator, 5, shape[0] * shape[1]) / 4
    second = normal(generator, whole(generator, 3, 4), 5)

    def network(x: Tensor) -> Tensor:
        return torch.tanh(x.flatten(1) @ first.T) @ second.T

    return network, normal(generator, whole(generator, 4, 6), 1, *shape)


SENSITIVITY = Exercise(
    "ex-ms-function",
    draw_network,
    library_sensitivity,
    [
        Wrong(
            "not-unitary",
            sensitivity_by(finish=lambda p: (p.sum(0) * p[0].numel()).sqrt()),
            "Your transform is not the unitary one: the sum of squares over frequencies is not "
            "that over pixels.",
        ),
        Wrong(
            "mean-of-sizes",
            sensitivity_by(average=lambda size: size.mean(0).square()),
            "You average sizes over images, where squares are to be averaged.",
        ),
        Wrong(
            "mean-over-outputs",
            sensitivity_by(finish=lambda power: power.mean(0).sqrt()),
            messages.MEAN_OVER_OUTPUTS,
        ),
        Wrong("batch-mean", sensitivity_by(before=lambda g: g / len(g)), messages.BATCH_MEAN),
        Wrong(
            "sum-over-images",
            sensitivity_by(average=lambda size: size.square().sum(0)),
            "Your result grows with the number of images: take the mean over them.",
        ),
        Wrong(
            "square",
            sensitivity_by(finish=lambda power: power.sum(0)),
            messages.SQUARE_OF_SENSITIVITY,
        ),
        Wrong(
            "images-first",
            sensitivity_by(before=lambda g: g.mean(0, keepdim=True)),
            messages.GRADIENTS_CANCEL,
        ),
        Wrong(
            "sizes-added",
            sensitivity_by(finish=lambda power: power.sqrt().sum(0)),
            messages.ADDED_OUTPUTS,
        ),
        Wrong(
            "outputs-first",
            sensitivity_by(before=lambda g: g.sum(1, keepdim=True)),
            messages.FIRST_OUTPUTS_ADDED,
        ),
        Wrong(
            "one-output",
            sensitivity_by(before=lambda g: g[:, :1]),
            "You look at the first output alone.",
        ),
        Wrong(
            "dc-in-the-middle",
            sensitivity_by(finish=lambda power: torch.fft.fftshift(power.sum(0).sqrt())),
            messages.DC_IN_THE_MIDDLE,
        ),
    ],
    [sensitivity_by(), sensitivity_by_images],
)


# Noise in the images


def lasso(s: Tensor, gamma: Tensor, price: float) -> Tensor:
    """Return what depth 2 leaves at a price."""
    return (gamma - price).clamp(min=0) / s


def noisy_by(
    *, price: Callable[[float, int], float] = lambda decay, n: decay / n**0.5,
    rule: Callable[[Tensor, Tensor, float], Tensor] = lasso, square: bool = True,
) -> Callable[..., Tensor]:  # fmt: skip
    """Return a function for the sensitivity beside noise, right unless told otherwise."""

    def noisy(s: Tensor, gamma: Tensor, eta: float, decay: float, n_pixels: int) -> Tensor:
        return rule(s + (eta**2 if square else eta), gamma, price(decay, n_pixels))

    return noisy


def library_noisy(s: Tensor, gamma: Tensor, eta: float, decay: float, n_pixels: int) -> Tensor:
    """Return the prediction of the library at depth 2, whose map has a side of one pixel."""
    scale = math.sqrt(s.numel() / n_pixels)  # the library counts the pixels of its map
    power = (s + eta**2)[None]
    return theory.predict_sensitivity(power, gamma[None], weight_decay=scale * decay, depth=2)[0]


def noisy_by_halving(s: Tensor, gamma: Tensor, eta: float, decay: float, n_pixels: int) -> Tensor:
    """Minimise the problem of each frequency by halving an interval."""
    found = []
    for power, correlation in zip(s.tolist(), gamma.tolist(), strict=True):
        low, high = 0.0, correlation / power
        for _ in range(80):
            middle = (low + high) / 2
            falls = (power + eta * eta) * middle - correlation + decay / math.sqrt(n_pixels) < 0
            low, high = (middle, high) if falls else (low, middle)
        found.append(low)
    return torch.tensor(found, dtype=torch.float64)


def noise_in_gamma(s: Tensor, gamma: Tensor, eta: float, decay: float, n_pixels: int) -> Tensor:
    """Let the teacher see the noise too."""
    return noisy_by()(s, gamma * (s + eta**2) / s, eta, decay, n_pixels)


def noise_as_decay(s: Tensor, gamma: Tensor, eta: float, decay: float, n_pixels: int) -> Tensor:
    """Take noise for more decay."""
    return lasso(s, gamma, (decay + eta**2) / n_pixels**0.5)


def draw_noisy(generator: Generator) -> tuple[Tensor, Tensor, float, float, int]:
    """Draw powers and correlations, noise, and a decay that silences about a third of them."""
    s, teacher = 0.3 + 2 * torch.rand(2, 12, generator=generator, dtype=torch.float64)
    gamma = s * teacher
    n_pixels = whole(generator, 6, 12) * whole(generator, 6, 12)
    decay = float(gamma.quantile(0.35)) * math.sqrt(n_pixels)
    return s, gamma, number(generator, 0.4, 0.8), decay, n_pixels


NOISE = Exercise(
    "ex-theorem-noise",
    draw_noisy,
    noisy_by(),
    [
        Wrong(
            "price-without-pixels",
            noisy_by(price=lambda decay, n: decay),
            messages.PRICE_WITHOUT_PIXELS,
        ),
        Wrong("per-pixel", noisy_by(price=lambda decay, n: decay / n), messages.PER_PIXEL),
        Wrong(
            "not-clipped",
            noisy_by(rule=lambda s, g, p: (g - p) / s),
            messages.NEGATIVE_SENSITIVITY,
        ),
        Wrong(
            "size-of-negative",
            noisy_by(rule=lambda s, g, p: (g - p).abs() / s),
            messages.SIZE_OF_NEGATIVE,
        ),
        Wrong(
            "noise-not-squared",
            noisy_by(square=False),
            "You add η, which is a standard deviation, to a power.",
        ),
        Wrong(
            "noise-forgotten",
            lambda s, gamma, eta, decay, n: noisy_by()(s, gamma, 0.0, decay, n),
            "Your sensitivity does not depend on the noise.",
        ),
        Wrong(
            "noise-in-correlation",
            noise_in_gamma,
            "Your correlation grows with the noise. What does noise that is independent of the "
            "target add to it?",
        ),
        Wrong(
            "noise-as-decay",
            noise_as_decay,
            "You take noise for more weight decay, as one may at depth 1. Is depth 2 the same?",
        ),
        Wrong(
            "depth-1",
            noisy_by(rule=lambda s, g, p: g / (s + p), price=lambda decay, n: decay),
            "This is the formula of depth 1. Depth 2 cuts off.",
        ),
        Wrong(
            "price-off-the-teacher",
            noisy_by(rule=lambda s, g, p: (g / s - p).clamp(min=0)),
            messages.PRICE_OFF_THE_TEACHER,
        ),
        Wrong(
            "not-divided",
            noisy_by(rule=lambda s, g, p: (g - p).clamp(min=0)),
            messages.NOT_DIVIDED,
        ),
    ],
    [library_noisy, noisy_by_halving],
)


# From which decay on all is silent


def silence_by(
    *, factor: Callable[[int], float] = lambda n: n**0.5, squares_of: Map | None = None,
    average: Callable[[Tensor, Tensor], Tensor] | None = None, total: bool = False,
) -> Callable[[Tensor, Tensor], float]:  # fmt: skip
    """Return a function that finds the decay that silences all, right unless told otherwise."""

    def silent_from(x: Tensor, y: Tensor) -> float:
        xhat = fourier.fft2(x)  # (N, C, H, W)
        weights = y[:, None, None, None]
        cross = average(xhat, weights) if average else (weights * xhat).mean(0)  # (C, H, W)
        cross = cross * len(x) if total else cross
        size = squares_of(cross) if squares_of else cross.abs().square().sum(0).sqrt()
        return factor(x[0, 0].numel()) * float(size.max())

    return silent_from


def library_silence(x: Tensor, y: Tensor) -> float:
    """Return the same from the moments of the library."""
    _, cross = theory.second_moments(x, y)  # (H, W, C)
    side = math.sqrt(x.shape[-2] * x.shape[-1])
    return side * float(torch.linalg.vector_norm(cross, dim=-1).max())


def silence_by_gradient(x: Tensor, y: Tensor) -> float:
    """Return the same from the gradient of the loss over pixels, at a map of zero."""
    gradient = (y @ x.flatten(1) / len(x)).reshape(x.shape[1:])  # (C, H, W)
    return float(torch.fft.fft2(gradient).abs().square().sum(0).max().sqrt())


def draw_colours(generator: Generator) -> tuple[Tensor, Tensor]:
    """Draw images of three channels, on a rectangle, and targets that depend on them."""
    x = 0.5 + normal(generator, 6, 3, *rectangle(generator))
    x = x - x.mean((-2, -1), keepdim=True)
    return x, normal(generator, 6)


SILENCE = Exercise(
    "ex-verified-silence",
    draw_colours,
    silence_by(),
    [
        Wrong(
            "one-channel",
            silence_by(squares_of=lambda c: c.abs()),
            "You take the largest number of one channel. A frequency has the length of all its "
            "channels.",
        ),
        Wrong(
            "channels-added",
            silence_by(squares_of=lambda c: c.sum(0).abs()),
            "You add up the channels before you take a size, and they may cancel.",
        ),
        Wrong(
            "pixels-missing",
            silence_by(factor=lambda n: 1.0),
            "This is the largest correlation. It is κ that has to reach it, not λ.",
        ),
        Wrong(
            "pixels-not-rooted",
            silence_by(factor=lambda n: n),
            "Your decay is too large by a root of D. Which power of D lies between λ and κ at "
            "depth 2, and is your transform the unitary one?",
        ),
        Wrong(
            "sum-over-images",
            silence_by(total=True),
            "Your decay grows with the number of images. The loss is a mean.",
        ),
        Wrong(
            "sizes-averaged",
            silence_by(average=lambda xhat, y: (y * xhat).abs().mean(0)),
            "You average sizes over images. Correlations have phases and signs, and cancel.",
        ),
        Wrong(
            "square",
            silence_by(squares_of=lambda c: c.abs().square().sum(0)),
            "You compare a squared size with the price.",
        ),
        Wrong(
            "power-for-correlation",
            silence_by(average=lambda xhat, y: xhat.abs().square().mean(0)),
            "The targets have no part in your answer. A strong wave of which the task knows "
            "nothing is silent as well.",
        ),
        Wrong(
            "all-frequencies",
            silence_by(squares_of=lambda c: c.norm()),
            "You add up all frequencies. Each has to pay by itself.",
        ),
    ],
    [library_silence, silence_by_gradient],
)


# How many errors two groups of networks are apart


def apart_by(
    *, spread: Callable[[Tensor], Tensor] | None = None, correct: int = 1,
    join: Callable[[Tensor, Tensor], Tensor] = torch.hypot, order: float = 1.0,
    finish: Map = same,
) -> Callable[[Tensor, Tensor], float]:  # fmt: skip
    """Return a function for a difference in units of its error, right unless told otherwise."""

    def error(slopes: Tensor) -> Tensor:
        return slopes.std(correction=correct) / len(slopes) ** 0.5

    def errors_apart(first: Tensor, second: Tensor) -> float:
        own = spread or error
        both = finish(join(own(first), own(second)))
        return order * float((second.mean() - first.mean()) / both)

    return errors_apart


def apart_by_lists(first: Tensor, second: Tensor) -> float:
    """Sum squares with loops."""
    means, variance = [], 0.0
    for slopes in (first.tolist(), second.tolist()):
        n, mean = len(slopes), sum(slopes) / len(slopes)
        means.append(mean)
        variance += sum((slope - mean) ** 2 for slope in slopes) / (n - 1) / n
    return (means[1] - means[0]) / math.sqrt(variance)


def pooled(first: Tensor, second: Tensor) -> float:
    """Take all networks for one group."""
    everything = torch.cat([first, second])
    error = everything.std() / len(everything) ** 0.5
    return float((second.mean() - first.mean()) / error)


def draw_slopes(generator: Generator) -> tuple[Tensor, Tensor]:
    """Draw the slopes of two groups of networks, of which one is larger and scatters more."""
    first = -1 + 0.2 * normal(generator, whole(generator, 4, 5))
    return first, -0.6 + 0.4 * normal(generator, whole(generator, 6, 8))


SEEDS = Exercise(
    "ex-limits-seeds",
    draw_slopes,
    apart_by(),
    [
        Wrong(
            "standard-deviation",
            apart_by(spread=torch.std),
            messages.STANDARD_DEVIATION,
        ),
        Wrong("n-for-n-minus-1", apart_by(correct=0), messages.N_FOR_N_MINUS_1),
        Wrong(
            "divided-by-n",
            apart_by(spread=lambda slopes: slopes.std() / len(slopes)),
            messages.DIVIDED_BY_N,
        ),
        Wrong("variance", apart_by(finish=torch.square), messages.VARIANCE_FOR_ERROR),
        Wrong(
            "upside-down",
            lambda first, second: 1 / apart_by()(first, second),
            "This is the error in units of the difference.",
        ),
        Wrong(
            "not-divided",
            lambda first, second: float(second.mean() - first.mean()),
            "This is the difference itself. How large is it beside its error?",
        ),
        Wrong(
            "errors-added",
            apart_by(join=torch.add),
            "You add the errors of the two means. They are independent, and seldom err the same "
            "way.",
        ),
        Wrong(
            "errors-subtracted",
            apart_by(join=lambda a, b: (a - b).abs()),
            "You subtract the errors. Of a difference one knows less than of each mean, not more.",
        ),
        Wrong(
            "one-group",
            apart_by(join=lambda a, b: b),
            "Only the second group has a part in your error.",
        ),
        Wrong(
            "pooled",
            pooled,
            "You take all networks for one group, so the difference itself counts as scatter.",
        ),
        Wrong(
            "sign",
            apart_by(order=-1.0),
            "You take the second mean from the first.",
        ),
    ],
    [apart_by_lists],
)


EXERCISES: dict[str, Exercise] = {each.name: each for each in (SENSITIVITY, NOISE, SILENCE, SEEDS)}
