"""Exercises of the part on natural images."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from freqsense import filters, fourier, spectra
from freqsense.exercises import messages
from freqsense.exercises._draws import normal, number, rectangle
from freqsense.exercises.exercise import Exercise, Wrong

Map = Callable[[Tensor], Tensor]


def same(values: Tensor) -> Tensor:
    """Return what is given."""
    return values


def squares(images: Tensor) -> Tensor:
    """Return |x̂|² of images, (..., H, W)."""
    return fourier.fft2(images).abs().square()


def radius_by_sides(shape: tuple[int, int]) -> Tensor:
    """Return the length of (ky, kx), each counted along its own side, (H, W)."""
    ky, kx = fourier.frequencies(shape)
    return torch.hypot(ky, kx)


def radius_of_longer(shape: tuple[int, int]) -> Tensor:
    """Return the radial frequency counted along the longer side, (H, W)."""
    return fourier.radial_frequency(shape) * max(shape) / min(shape)


def sides_of(images: Tensor) -> tuple[int, int]:
    """Return the height and the width of images."""
    return images.shape[-2], images.shape[-1]


# The inverse from the transform


def matrix_inverse(xhat: Tensor) -> Tensor:
    """Sum over waves, with a matrix along each side."""
    rows, columns = (
        torch.fft.ifft(torch.eye(n, dtype=xhat.dtype), norm="ortho") for n in xhat.shape
    )
    return rows @ xhat @ columns.T


def draw_coefficients(generator: Generator) -> tuple[Tensor]:
    """Draw complex coefficients on a rectangle."""
    parts = normal(generator, 2, *rectangle(generator))
    return (torch.complex(parts[0], parts[1]),)


INVERSE = Exercise(
    "ex-dft-inverse",
    draw_coefficients,
    fourier.ifft2,
    [
        Wrong(
            "forward-again",
            fourier.fft2,
            "This turns the image about. What changes the sign of i in the sum?",
        ),
        Wrong(
            "conjugate",
            lambda xhat: fourier.fft2(xhat.conj()),
            "This is the conjugate of the image. A real image does not tell the two apart, a "
            "complex one does.",
        ),
        Wrong(
            "conjugated-too-late",
            lambda xhat: fourier.fft2(xhat).conj(),
            "You conjugate the result. Which i in the sum does that change, and which one stays?",
        ),
        Wrong(
            "real-part",
            lambda xhat: fourier.ifft2(xhat).real,
            "The imaginary part is lost. The image may be a complex one.",
        ),
        Wrong(
            "modulus",
            lambda xhat: fourier.ifft2(xhat).abs(),
            "Only sizes are left: the image may have negative and complex values.",
        ),
        Wrong(
            "divided-by-pixels",
            lambda xhat: fourier.ifft2(xhat) / xhat.numel(),
            "You divide by the number of pixels. Forward and back, the unitary transforms have "
            "the same factor.",
        ),
        Wrong(
            "root-of-pixels",
            lambda xhat: fourier.ifft2(xhat) / xhat.numel() ** 0.5,
            "Your image is too small by the root of the number of pixels: what does the unitary "
            "transform do to lengths?",
        ),
    ],
    [matrix_inverse, lambda xhat: fourier.fft2(xhat).flip(0, 1).roll((1, 1), (0, 1))],
)


# A filter that does not ring


def gaussian_by(
    *, power: float = 2, divide: float = 2, square: bool = True,
    radius: Callable[[tuple[int, int]], Tensor] = fourier.radial_frequency, change: Map = same,
) -> Callable[[Tensor, float], Tensor]:  # fmt: skip
    """Return a gentle filter, right unless told otherwise."""

    def gaussian_low_pass(images: Tensor, s: float) -> Tensor:
        width = divide * (s**2 if square else s)
        gain = change(torch.exp(-(radius(sides_of(images)) ** power) / width))
        return fourier.ifft2(gain * fourier.fft2(images)).real

    return gaussian_low_pass


def gaussian_by_sides(images: Tensor, s: float) -> Tensor:
    """Filter along one side after the other, on the half of the waves."""
    height, width = sides_of(images)
    unit = min(height, width)
    down = torch.exp(-0.5 * (unit * torch.fft.fftfreq(height, dtype=images.dtype) / s) ** 2)
    across = torch.exp(-0.5 * (unit * torch.fft.rfftfreq(width, dtype=images.dtype) / s) ** 2)
    half = torch.fft.rfft2(images) * down[:, None] * across
    return torch.fft.irfft2(half, s=(height, width))


def draw_images_and_width(generator: Generator) -> tuple[Tensor, float]:
    """Draw images with a mean, and the width of a filter in cycles/image."""
    return 1 + normal(generator, 2, 1, *rectangle(generator)), number(generator, 1.5, 2.5)


GENTLE = Exercise(
    "ex-waves-gentle",
    draw_images_and_width,
    gaussian_by(),
    [
        Wrong(
            "wider",
            gaussian_by(divide=1),
            "Your gain falls too fast: the exponent is twice as large as it should be.",
        ),
        Wrong(
            "width-not-squared",
            gaussian_by(square=False),
            "The width enters without a square. If s doubles, at which frequency must the gain "
            "be what it was?",
        ),
        Wrong(
            "radius-not-squared",
            gaussian_by(power=1),
            "Your gain is an exponential of the radius, with a kink at zero.",
        ),
        Wrong(
            "high-pass",
            gaussian_by(change=lambda gain: 1 - gain),
            "This is what the filter takes away.",
        ),
        Wrong(
            "sharp",
            filters.low_pass,
            "This filter has an edge, and rings.",
        ),
        Wrong("shifted", gaussian_by(change=torch.fft.fftshift), messages.GAIN_SHIFTED),
        Wrong(
            "cycles-per-pixel",
            gaussian_by(radius=lambda shape: fourier.radial_frequency(shape) / min(shape)),
            "Nearly nothing is filtered: you count cycles/pixel, of which no wave has as many as "
            "s.",
        ),
        Wrong(
            "each-side-by-itself",
            gaussian_by(radius=radius_by_sides),
            messages.EACH_SIDE_BY_ITSELF,
        ),
        Wrong("longer-side", gaussian_by(radius=radius_of_longer), messages.LONGER_SIDE),
    ],
    [gaussian_by_sides],
)


# The power of images by rings


def radial_power_by(
    *, combine: Callable[[Tensor], Tensor] | None = None, half: float = 0.5, start: int = 0,
    centred: bool = True, corners: bool = False, finish: Map = same, shift: Map = same,
    radius: Callable[[tuple[int, int]], Tensor] = fourier.radial_frequency,
    side: Callable[[Any], int] = min, total: bool = False,
) -> Map:  # fmt: skip
    """Return a function that measures power by rings, right unless told otherwise."""

    def radial_power(images: Tensor) -> Tensor:
        if centred:
            images = images - images.mean((-2, -1), keepdim=True)
        power = combine(images) if combine else squares(images).mean(0)  # (H, W)
        ring = torch.floor(shift(radius(sides_of(images))) + half).long()
        last = side(power.shape) // 2
        ring = ring.clamp(max=last) if corners else ring
        parts = [power[ring == k] for k in range(start, last + 1)]
        return finish(torch.stack([part.sum() if total else part.mean() for part in parts]))

    return radial_power


def radial_power_by_points(images: Tensor) -> Tensor:
    """Sum image by image and point by point."""
    height, width = sides_of(images)
    shorter = min(height, width)
    sums: list[list[float]] = [[] for _ in range(shorter // 2 + 1)]
    for image in images:
        spectrum = torch.fft.fft2(image).abs() ** 2 / image.numel()
        spectrum[0, 0] = 0
        for row in range(height):
            for column in range(width):
                ky, kx = min(row, height - row) / height, min(column, width - column) / width
                ring = round(shorter * (ky * ky + kx * kx) ** 0.5)
                if ring < len(sums):
                    sums[ring].append(float(spectrum[row, column]))
    return torch.tensor([sum(ring) / len(ring) for ring in sums], dtype=torch.float64)


def library_radial_power(images: Tensor) -> Tensor:
    """Return what the library measures."""
    return spectra.power_spectrum(images[:, None]).radial().mean[0]


def draw_images(generator: Generator) -> tuple[Tensor]:
    """Draw a few images with a mean that matters, on a rectangle."""
    return (2 + normal(generator, 4, *rectangle(generator)),)


RINGS = Exercise(
    "ex-ps-rings",
    draw_images,
    library_radial_power,
    [
        Wrong("amplitude", radial_power_by(finish=torch.sqrt), messages.AMPLITUDE),
        Wrong(
            "mean-of-sizes",
            radial_power_by(combine=lambda x: squares(x).sqrt().mean(0).square()),
            messages.MEAN_OF_SIZES,
        ),
        Wrong(
            "power-of-the-mean-image",
            radial_power_by(combine=lambda x: squares(x.mean(0))),
            messages.IMAGES_CANCEL,
        ),
        Wrong(
            "sum-over-images",
            radial_power_by(combine=lambda x: squares(x).sum(0)),
            messages.SUM_OVER_IMAGES,
        ),
        Wrong(
            "not-unitary",
            radial_power_by(combine=lambda x: squares(x).mean(0) * x[0].numel()),
            messages.NOT_UNITARY,
        ),
        Wrong(
            "mean-kept",
            radial_power_by(centred=False),
            "Ring 0 has power. The power spectrum is that of images whose own mean is taken out.",
        ),
        Wrong("shifted", radial_power_by(shift=torch.fft.fftshift), messages.SHIFTED),
        Wrong("half-a-ring", radial_power_by(half=0.0), messages.HALF_A_RING),
        Wrong(
            "dc-missing",
            radial_power_by(start=1),
            "Your first ring is ring 1. Ring 0, which holds the constant wave, comes first.",
        ),
        Wrong("corners-kept", radial_power_by(corners=True), messages.CORNERS_KEPT),
        Wrong(
            "sum-over-ring",
            radial_power_by(total=True),
            "Rings have different numbers of waves: take means, not sums.",
        ),
        Wrong(
            "longer-side",
            radial_power_by(radius=radius_of_longer, side=max),
            messages.LONGER_SIDE,
        ),
        Wrong(
            "each-side-by-itself",
            radial_power_by(radius=radius_by_sides),
            messages.EACH_SIDE_BY_ITSELF,
        ),
    ],
    [radial_power_by_points, radial_power_by()],
)


# The most likely exponent


def exponent_by(
    *, sign: float = 1.0, factor: float = 1.0, stop: int = 1, offset: int = 0,
    weighted: bool = True, digits: int = 16,
) -> Callable[[Tensor, Tensor, int, int], float]:  # fmt: skip
    """Return a function that finds the most likely exponent, right unless told otherwise."""

    def exponent(power: Tensor, count: Tensor, fmin: int, fmax: int) -> float:
        ring = torch.arange(fmin, fmax + stop)
        log, p = (ring.double() + offset).log(), power[ring]
        n = count[ring].double() if weighted else torch.ones_like(p)
        middle = (n * log).sum() / n.sum()
        low, high = -10.0, 10.0
        for _ in range(60):
            alpha = (low + high) / 2
            weight = n * p * (alpha * log).exp()
            too_flat = (weight * log).sum() / weight.sum() < middle
            low, high = (alpha, high) if too_flat else (low, alpha)
        return sign * factor * round(low, digits)

    return exponent


def line_by(*, weighted: bool) -> Callable[[Tensor, Tensor, int, int], Tensor]:
    """Return a function that fits a line to logarithms."""

    def exponent(power: Tensor, count: Tensor, fmin: int, fmax: int) -> Tensor:
        k = torch.arange(fmin, fmax + 1).double().log()
        y = power[fmin : fmax + 1].log()
        n = count[fmin : fmax + 1].double() if weighted else torch.ones_like(y)
        k = k - (n * k).sum() / n.sum()
        return -(n * k * y).sum() / (n * k * k).sum()

    return exponent


def exponent_by_newton(power: Tensor, count: Tensor, fmin: int, fmax: int) -> Tensor:
    """Solve for the exponent by Newton's method, from that of the line."""
    log = torch.arange(fmin, fmax + 1).double().log()
    n, p = count[fmin : fmax + 1].double(), power[fmin : fmax + 1]
    middle = (n * log).sum() / n.sum()
    alpha = line_by(weighted=True)(power, count, fmin, fmax)
    for _ in range(20):
        weight = n * p * (alpha * log).exp()
        mean = (weight * log).sum() / weight.sum()
        alpha = alpha - (mean - middle) / ((weight * log**2).sum() / weight.sum() - mean**2)
    return alpha


def library_exponent(power: Tensor, count: Tensor, fmin: int, fmax: int) -> float:
    """Return what the library fits to rings that are circles."""
    radius = torch.arange(len(power), dtype=torch.float64)
    profile = fourier.RadialProfile(radius, power, power / count.clamp(min=1).sqrt(), count)
    return spectra.fit_power_law(profile, fmin=fmin, fmax=fmax).alpha


def draw_profile(generator: Generator) -> tuple[Tensor, Tensor, int, int]:
    """Draw the power of rings, which falls with much scatter, and how many values they hold."""
    k = torch.arange(13, dtype=torch.float64)
    count = torch.tensor([1, *(round(torch.pi * n) for n in range(1, 13))])
    noise = 0.4 * normal(generator, 13)
    return k.clamp(min=0.5) ** -number(generator, 1.5, 2.5) * noise.exp(), count, 2, 9


EXPONENT = Exercise(
    "ex-ps-likely",
    draw_profile,
    exponent_by(),
    [
        Wrong("sign", exponent_by(sign=-1.0), messages.SLOPE_FOR_EXPONENT),
        Wrong(
            "amplitude",
            exponent_by(factor=0.5),
            "You are off by a factor of two: the exponent of the power is asked for.",
        ),
        Wrong("last-ring-missing", exponent_by(stop=0), messages.LAST_RING_MISSING),
        Wrong("one-ring-too-many", exponent_by(stop=2), messages.ONE_RING_TOO_MANY),
        Wrong("frequencies-shifted", exponent_by(offset=1), messages.FREQUENCIES_SHIFTED),
        Wrong(
            "counts-forgotten",
            exponent_by(weighted=False),
            "All rings weigh the same in your likelihood. Which of them are known best?",
        ),
        Wrong(
            "line",
            line_by(weighted=False),
            "This is the slope of a line through logarithms. What does a likelihood make of a "
            "ring that is low by chance, and what does a logarithm?",
        ),
        Wrong(
            "weighted-line",
            line_by(weighted=True),
            "This is the slope of a line through logarithms, with weights. The logarithm of a "
            "mean is still biased.",
        ),
        Wrong(
            "two-digits",
            exponent_by(digits=2),
            "Your exponent has two digits: you try values on a grid, or stop early.",
        ),
    ],
    [exponent_by_newton, library_exponent],
)


# A field of a given exponent


def unit_power(values: Tensor) -> Tensor:
    """Scale so that the mean of the squares is 1."""
    return values / values.square().mean().sqrt()


def exact(field: Tensor) -> Tensor:
    """Scale a field so that the mean of its squared pixels is 1."""
    return field / field.square().mean().sqrt()


def field_by(
    *, factor: float = 0.5, dc: bool = False, scale: Map = unit_power, shift: Map = same,
    radius: Callable[[tuple[int, int]], Tensor] = fourier.radial_frequency,
    enter: Map = fourier.fft2, leave: Map = lambda xhat: fourier.ifft2(xhat).real,
    finish: Map = same,
) -> Callable[[Tensor, float], Tensor]:  # fmt: skip
    """Return a function that makes a field, right unless told otherwise."""

    def field(noise: Tensor, alpha: float) -> Tensor:
        distances = radius(sides_of(noise))
        distances[0, 0] = 1
        gain = distances ** (-factor * alpha)
        if not dc:
            gain[0, 0] = 0
        return finish(leave(shift(scale(gain)) * enter(noise)))

    return field


def field_by_halves(noise: Tensor, alpha: float) -> Tensor:
    """Make a field from the half of the waves, and scale it at the end."""
    height, width = sides_of(noise)
    ky, kx = torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width)
    distances = torch.hypot(ky.double(), kx.double())
    distances[0, 0] = torch.inf
    power = distances**-alpha
    half = torch.fft.rfft2(noise) * power[:, : width // 2 + 1].sqrt()
    return torch.fft.irfft2(half, s=(height, width)) / power.mean().sqrt()


def draw_noise(generator: Generator) -> tuple[Tensor, float]:
    """Draw white noise, and an exponent."""
    return normal(generator, *rectangle(generator)), number(generator, 1.2, 2.8)


FIELD = Exercise(
    "ex-ps-field",
    draw_noise,
    field_by(),
    [
        Wrong(
            "power-or-amplitude",
            field_by(factor=1.0),
            "Your exponent is off by a factor of two. α belongs to the power, and a gain "
            "multiplies amplitudes.",
        ),
        Wrong(
            "half-again",
            field_by(factor=0.25),
            "Your power falls too slowly: the exponent was halved once too often.",
        ),
        Wrong("sign", field_by(factor=-0.5), messages.GAIN_GROWS),
        Wrong(
            "dc-kept",
            field_by(dc=True),
            "The constant wave has a gain, so the fields have a mean. What is wanted there?",
        ),
        Wrong("gain-shifted", field_by(shift=torch.fft.fftshift), messages.GAIN_SHIFTED),
        Wrong("gain-squared", field_by(shift=torch.square), messages.GAIN_SQUARED),
        Wrong(
            "each-side-by-itself",
            field_by(radius=radius_by_sides),
            messages.EACH_SIDE_BY_ITSELF,
        ),
        Wrong(
            "not-scaled",
            field_by(scale=same),
            "The law is right but for its scale: white noise of variance 1 would not keep its "
            "variance.",
        ),
        Wrong(
            "sum-of-squares",
            field_by(scale=lambda gain: gain / gain.norm()),
            "The sum of your squared gains is 1, so the fields are faint: which of the sums in "
            "Parseval's identity must be D for a variance of 1?",
        ),
        Wrong(
            "dc-not-counted",
            field_by(scale=lambda gain: gain * ((gain.numel() - 1) ** 0.5 / gain.norm())),
            "You take the mean over all frequencies but the constant wave. The variance is a mean "
            "over all pixels, of which there are as many as frequencies.",
        ),
        Wrong(
            "mean-size",
            field_by(scale=lambda gain: gain / gain.mean()),
            "The mean of your gains is 1. What has to be 1 is a mean of powers.",
        ),
        Wrong(
            "each-scaled",
            field_by(finish=exact),
            "You scale each field to variance 1 exactly. It is to be 1 on average only, and "
            "that of single fields scatters.",
        ),
        Wrong(
            "pixels-for-coefficients",
            field_by(enter=same),
            messages.PIXELS_FOR_COEFFICIENTS,
        ),
        Wrong(
            "phases-only",
            field_by(enter=lambda noise: torch.sgn(fourier.fft2(noise))),
            messages.PHASES_ONLY,
        ),
        Wrong(
            "modulus",
            field_by(leave=lambda xhat: fourier.ifft2(xhat).abs()),
            messages.MODULUS_ON_THE_WAY_BACK,
        ),
    ],
    [field_by_halves],
)


# The phases of another image


def swap_by(
    *, roles: bool = True, join: Callable[[Tensor, Tensor], Tensor] | None = None,
    phase: Map = torch.angle, leave: Map = lambda xhat: fourier.ifft2(xhat).real,
) -> Callable[[Tensor, Tensor], Tensor]:  # fmt: skip
    """Return a function that swaps phases, right unless told otherwise."""

    def hybrid(x: Tensor, z: Tensor) -> Tensor:
        own, other = map(fourier.fft2, (x, z) if roles else (z, x))
        return leave(join(own, other) if join else torch.polar(own.abs(), phase(other)))

    return hybrid


def library_swap(x: Tensor, z: Tensor) -> Tensor:
    """Return what the library makes of two images."""
    return filters.swap_phases(x[None, None], z[None, None])[0, 0]


def draw_pair(generator: Generator) -> tuple[Tensor, Tensor]:
    """Draw two images of positive mean with negative pixels."""
    x, z = normal(generator, 2, *rectangle(generator))
    return x - x.mean() + 0.5, z - z.mean() + 0.3


SWAP = Exercise(
    "ex-phases-swap",
    draw_pair,
    library_swap,
    [
        Wrong("roles", swap_by(roles=False), messages.ROLES),
        Wrong(
            "angle-of-a-modulus",
            swap_by(phase=lambda other: other.abs().angle()),
            messages.ANGLE_OF_A_MODULUS,
        ),
        Wrong(
            "arctan-without-quadrant",
            swap_by(phase=lambda other: torch.atan(other.imag / other.real)),
            messages.QUADRANT,
        ),
        Wrong(
            "conjugate",
            swap_by(phase=lambda other: -other.angle()),
            messages.CONJUGATED_PHASES,
        ),
        Wrong(
            "phases-added",
            swap_by(join=lambda own, other: own * torch.sgn(other)),
            messages.PHASES_ADDED,
        ),
        Wrong(
            "all-of-the-other",
            swap_by(join=lambda own, other: other),
            messages.ALL_OF_THE_OTHER,
        ),
        Wrong(
            "product-of-amplitudes",
            swap_by(join=lambda own, other: own.abs() * other),
            messages.PRODUCT_OF_AMPLITUDES,
        ),
        Wrong(
            "modulus",
            swap_by(leave=lambda xhat: fourier.ifft2(xhat).abs()),
            messages.MODULUS_ON_THE_WAY_BACK,
        ),
    ],
    [swap_by(), swap_by(join=lambda own, other: own.abs() * other / other.abs())],
)


# Light instead of display values


def light_by(
    *, edge: float = 0.04045, straight: Map = lambda value: value / 12.92, power: float = 2.4,
    bent: Map | None = None,
) -> Map:  # fmt: skip
    """Return a function from display values to light, right unless told otherwise."""

    def linear_light(value: Tensor) -> Tensor:
        curve = bent(value) if bent else ((value + 0.055) / 1.055) ** power
        return torch.where(value <= edge, straight(value), curve)

    return linear_light


def light_by_entries(value: Tensor) -> Tensor:
    """Convert one value after the other."""
    light = [
        v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
        for v in value.flatten().tolist()
    ]
    return torch.tensor(light, dtype=value.dtype).reshape(value.shape)


def display(light: Tensor) -> Tensor:
    """Return the display values of light: the way back."""
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def draw_values(generator: Generator) -> tuple[Tensor]:
    """Draw display values of colour channels, some of them dark, none close to the edge."""
    values = torch.rand(3, 4, 5, generator=generator, dtype=torch.float64)
    dark = torch.rand(3, 4, 2, generator=generator, dtype=torch.float64)
    return (torch.cat([0.05 + 0.95 * values, 0.038 * dark], -1),)


LIGHT = Exercise(
    "ex-photographs-gamma",
    draw_values,
    light_by(),
    [
        Wrong(
            "no-straight-part",
            light_by(edge=-1.0),
            "Right for bright pixels. Look at what your function makes of 0.",
        ),
        Wrong(
            "straight-only",
            light_by(edge=2.0),
            "All values are divided by 12.92: your white is grey.",
        ),
        Wrong(
            "exponent-2.2",
            lambda value: value**2.2,
            "This is a common approximation, a plain power. The code has two parts.",
        ),
        Wrong(
            "way-back",
            display,
            "You make display values of light. The way asked for makes dark values darker.",
        ),
        Wrong(
            "edge-of-the-way-back",
            light_by(edge=0.0031308),
            "Your straight part ends where that of the inverse function does.",
        ),
        Wrong(
            "power-before-scale",
            light_by(bent=lambda value: (value + 0.055) ** 2.4 / 1.055),
            "The power is taken before the division, so white does not stay white.",
        ),
        Wrong(
            "straight-part-multiplied",
            light_by(straight=lambda value: value * 12.92),
            "Dark values come out brighter than those above them: the curve jumps.",
        ),
        Wrong(
            "luminance",
            lambda value: (value.new_tensor([0.2126, 0.7152, 0.0722])[:, None, None]
                           * light_by()(value)).sum(0),
            "This is the luminance of the light. Return each channel by itself.",
        ),
    ],
    [light_by_entries],
)  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    each.name: each for each in (INVERSE, GENTLE, RINGS, EXPONENT, FIELD, SWAP, LIGHT)
}
