"""Spectra of photographs: the power of waves, rings, an exponent and its interval."""

import torch
from grader.pieces import radius, squares
from grader.task import Task, choices

from freqsense.exercises import Wrong

FMIN, FMAX = 2, 7


def taper(n, kind):
    """Return a window along one side, (n,), before it is scaled."""
    place = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    sine = torch.sin(torch.pi * place)
    return sine.square() if kind == "hann" else sine


def window(shape, kind):
    """Return the window of an image, (H, W), of mean square 1."""
    values = torch.outer(taper(shape[0], kind), taper(shape[1], kind))  # (H, W)
    return values / values.square().mean().sqrt()


def place_dc(power, variant):
    """Put the constant wave where the term wants it."""
    return torch.fft.fftshift(power, (-2, -1)) if variant["dc"] == "in the middle" else power


def power_by(variant, *, scaled=True, weighted=True, kind=None, combine=None, finish=None):
    """Return a function that measures power, right unless told otherwise."""

    def power(images):
        shape = images.shape[-2:]
        values = window(shape, kind or variant["taper"])
        if not scaled:
            values = values / values.max()
        weights = values if weighted else torch.ones_like(values)
        mean = (weights * images).sum((-2, -1), keepdim=True) / weights.sum()
        tapered = values * (images - mean)  # (N, H, W)
        result = combine(tapered) if combine else squares(tapered).mean(0)
        return place_dc(finish(result) if finish else result, variant)

    return power


def right_power(variant):
    """Write the same with a loop over images and matrices of waves."""

    def power(images):
        height, width = images.shape[-2:]
        values = window((height, width), variant["taper"])
        waves = [torch.fft.fft(torch.eye(n, dtype=torch.complex128)) for n in (height, width)]
        total = torch.zeros(height, width, dtype=torch.float64)
        for image in images:
            tapered = values * (image - (values * image).sum() / values.sum())
            spectrum = waves[0] @ tapered.to(torch.complex128) @ waves[1].T
            total += spectrum.abs() ** 2 / (height * width)
        return place_dc(total / len(images), variant)

    return [power]


def wrong_powers(variant):
    """List how the power of images goes wrong."""
    other = {"hann": "sine", "sine": "hann"}[variant["taper"]]
    elsewhere = {"in the middle": "in the corner", "in the corner": "in the middle"}
    moved = {**variant, "dc": elsewhere[variant["dc"]]}
    return [
        Wrong(
            "window-unscaled",
            power_by(variant, scaled=False),
            "A window takes power away. Scale it so that the mean of its squares is 1, whatever "
            "its largest value is.",
        ),
        Wrong(
            "plain-mean",
            power_by(variant, weighted=False),
            "You removed the plain mean, and the window brings a part of it back. Which mean "
            "makes the sum of the windowed image zero?",
        ),
        Wrong(
            "amplitude",
            power_by(variant, finish=torch.sqrt),
            "This is an amplitude: its square is the power.",
        ),
        Wrong(
            "mean-of-sizes",
            power_by(variant, combine=lambda x: squares(x).sqrt().mean(0).square()),
            "You average sizes and square afterwards; power is the mean of squares.",
        ),
        Wrong(
            "power-of-the-mean-image",
            power_by(variant, combine=lambda x: squares(x.mean(0))),
            "You average the images first, and their waves cancel. Measure each, then average.",
        ),
        Wrong(
            "sum",
            power_by(variant, combine=lambda x: squares(x).sum(0)),
            "Twice as many images must not have twice the power: take the mean over images.",
        ),
        Wrong(
            "not-unitary",
            power_by(variant, finish=lambda power: power * power.numel()),
            "The transform of this course is unitary: compare the sum of your power with the sum "
            "of squared pixels.",
        ),
        Wrong(
            "other-taper",
            power_by(variant, kind=other),
            "This is another window than the one that the task defines.",
        ),
        Wrong(
            "dc-elsewhere",
            power_by(moved),
            "The values are right and stand in other places: where does the task want the "
            "constant wave?",
        ),
    ]


def draw_power(generator, variant):
    """Draw a few images with a mean that matters, on a rectangle."""
    images = 3 + torch.randn(4, 6, 9, generator=generator, dtype=torch.float64)
    return (images + torch.linspace(0, 1, 9, dtype=torch.float64),)


def ring_of(distance, rule):
    """Return the number of the ring of each point."""
    # Rounding as people do it: a half goes up.
    return torch.floor(distance + (0.5 if rule == "nearest" else 0.0)).long()


def radial_by(variant, *, rule=None, side=min, shifted=False, start=0, corners=False, total=False):
    """Return a function that averages over rings, right unless told otherwise."""

    def radial(power):
        distance = radius(power.shape, side)
        if shifted:
            distance = torch.fft.fftshift(distance)
        ring, last = ring_of(distance, rule or variant["rule"]), side(power.shape) // 2
        ring = ring.clamp(max=last) if corners else ring
        parts = [power[ring == k] for k in range(start, last + 1)]
        return torch.stack([part.sum() if total else part.mean() for part in parts])

    return radial


def right_radial(variant):
    """Write the same with a loop over points."""

    def radial(power):
        height, width = power.shape
        shorter = min(height, width)
        sums = [[] for _ in range(shorter // 2 + 1)]
        for row in range(height):
            for column in range(width):
                ky = row if row < (height + 1) // 2 else row - height
                kx = column if column < (width + 1) // 2 else column - width
                distance = shorter * ((ky / height) ** 2 + (kx / width) ** 2) ** 0.5
                ring = int(distance + 0.5 if variant["rule"] == "nearest" else distance)
                if ring < len(sums):
                    sums[ring].append(float(power[row, column]))
        return torch.tensor([sum(ring) / len(ring) for ring in sums], dtype=torch.float64)

    return [radial]


def wrong_radials(variant):
    """List how rings go wrong."""
    other = {"nearest": "below", "below": "nearest"}[variant["rule"]]
    wrongs = [
        Wrong(
            "shifted",
            radial_by(variant, shifted=True),
            "You take the middle of the array for the constant wave; here it stands in the corner.",
        ),
        Wrong(
            "half-a-ring",
            radial_by(variant, rule=other),
            "Your rings begin half a cycle away from those of the task. In which ring does a wave "
            "of radius 1.5 lie?",
        ),
        Wrong(
            "dc-missing",
            radial_by(variant, start=1),
            "Your first ring is ring 1. Ring 0, which holds the constant wave, comes first.",
        ),
        Wrong(
            "corners-kept",
            radial_by(variant, corners=True),
            "The last ring holds the corners of the plane too. Waves beyond the last ring belong "
            "to no ring.",
        ),
        Wrong(
            "sum",
            radial_by(variant, total=True),
            "Rings have different numbers of waves: take means, not sums.",
        ),
    ]
    if variant["shape"][0] != variant["shape"][1]:
        wrongs.append(
            Wrong(
                "longer-side",
                radial_by(variant, side=max),
                "Your radius counts periods along the longer side; the task counts along the "
                "shorter.",
            )
        )
    return wrongs


def draw_radial(generator, variant):
    """Draw a power spectrum of the term's shape."""
    return (torch.rand(variant["shape"], generator=generator, dtype=torch.float64).exp(),)


def fit_slope(frequency, values):
    """Fit a line to logarithms by least squares; return its slope, (...)."""
    x, y = frequency.log(), values.log()
    x = x - x.mean()
    return (x * y).sum(-1) / x.square().sum()


def exponent_by(variant, *, sign=-1.0, factor=1.0, stop=1, offset=0):
    """Return a function that fits the exponent, right unless told otherwise."""
    of_what = {"power": 1.0, "amplitude": 0.5}[variant["exponent"]]

    def exponent(radial, fmin, fmax):
        rings = torch.arange(fmin, fmax + stop)
        slope = fit_slope(rings.double() + offset, radial[..., rings])
        return sign * factor * of_what * slope

    return exponent


def right_exponent(variant):
    """Write the same with a matrix and a least-squares solver."""
    of_what = {"power": 1.0, "amplitude": 0.5}[variant["exponent"]]

    def exponent(radial, fmin, fmax):
        rings = torch.arange(fmin, fmax + 1, dtype=torch.float64)
        matrix = torch.stack([torch.ones_like(rings), torch.log10(rings)], 1)
        heights = torch.log10(radial[fmin : fmax + 1])[:, None]
        return float(-of_what * torch.linalg.lstsq(matrix, heights).solution[1])

    return [exponent]


def wrong_exponents(variant):
    """List how exponents go wrong."""
    factor = {"power": 0.5, "amplitude": 2.0}[variant["exponent"]]
    wanted = variant["exponent"]
    return [
        Wrong(
            "sign",
            exponent_by(variant, sign=1.0),
            "This is the slope. Falling power has a negative slope and a positive exponent.",
        ),
        Wrong(
            "power-or-amplitude",
            exponent_by(variant, factor=factor),
            f"You are off by a factor of two: the task asks for the exponent of the {wanted}.",
        ),
        Wrong(
            "last-ring-missing",
            exponent_by(variant, stop=0),
            "The range of the fit ends one ring too early: fmax belongs to it.",
        ),
        Wrong(
            "one-ring-too-many",
            exponent_by(variant, stop=2),
            "The range of the fit ends one ring too late: fmax is the last ring.",
        ),
        Wrong(
            "frequencies-shifted",
            exponent_by(variant, offset=1),
            "The entry k of the profile belongs to k cycles/image, and you took k + 1 (or the fit "
            "starts to count at 1).",
        ),
    ]


def draw_exponent(generator, variant):
    """Draw a profile that falls, with noise."""
    rings = torch.arange(12, dtype=torch.float64).clamp(min=0.5)
    noise = 0.3 * torch.randn(12, generator=generator, dtype=torch.float64)
    return rings ** (-2) * noise.exp(), FMIN, FMAX


def interval_by(*, axis="photographs", ends=(0.025, 0.975), of_means=True, narrow=False):
    """Return a function that bootstraps an interval, right unless told otherwise."""
    exponent = exponent_by({"exponent": "power"})

    def interval(profiles, picks, fmin, fmax):
        if axis == "photographs":
            drawn = profiles[picks]  # (B, M, R)
            fitted = (
                exponent(drawn.mean(1), fmin, fmax)
                if of_means
                else exponent(drawn, fmin, fmax).mean(1)
            )
        else:
            rings = fmin + picks % (fmax - fmin + 1)  # (B, M)
            fitted = torch.stack(
                [-fit_slope(each.double(), profiles.mean(0)[each]) for each in rings]
            )
        if narrow:
            middle = fitted.mean()
            fitted = middle + (fitted - middle) / len(profiles) ** 0.5
        low, high = torch.quantile(fitted, torch.tensor(ends, dtype=torch.float64))
        return float(low), float(high)

    return interval


def right_interval(variant):
    """Write the same with loops and sorted values."""

    def interval(profiles, picks, fmin, fmax):
        fitted = []
        for pick in picks.tolist():
            mean = sum(profiles[m] for m in pick) / len(pick)
            fitted.append(right_exponent({"exponent": "power"})[0](mean, fmin, fmax))
        ordered = sorted(fitted)

        def at(share):
            place = share * (len(ordered) - 1)
            left = int(place)
            rest = place - left
            right = min(left + 1, len(ordered) - 1)
            return ordered[left] * (1 - rest) + ordered[right] * rest

        return at(0.025), at(0.975)

    return [interval]


def wrong_intervals(variant):
    """List how intervals go wrong."""
    return [
        Wrong(
            "over-frequencies",
            interval_by(axis="rings"),
            "You draw rings anew. What is drawn at random in this study is the photograph.",
        ),
        Wrong(
            "standard-error-twice",
            interval_by(narrow=True),
            "The spread over the resamples is the error of the mean already; you divide it by "
            "the root of the number of photographs once more.",
        ),
        Wrong(
            "mean-of-exponents",
            interval_by(of_means=False),
            "You average the exponents of single photographs; the task asks for the exponent of "
            "the mean profile.",
        ),
        Wrong(
            "ninety-percent", interval_by(ends=(0.05, 0.95)), "This interval holds 90 %, not 95 %."
        ),
        Wrong("half", interval_by(ends=(0.5, 0.975)), "The lower end is the middle of the values."),
    ]


def draw_interval(generator, variant):
    """Draw profiles of photographs that differ in their exponents, and picks."""
    alphas = 2 + 0.5 * torch.randn(9, generator=generator, dtype=torch.float64)
    rings = torch.arange(12, dtype=torch.float64).clamp(min=0.5)
    noise = 0.1 * torch.randn(9, 12, generator=generator, dtype=torch.float64)
    profiles = rings ** (-alphas[:, None]) * noise.exp()
    picks = torch.randint(9, (80, 9), generator=generator)
    return profiles, picks, FMIN, FMAX


TASKS = [
    Task(
        "power", 4, draw_power, power_by, wrong_powers, right_power,
        variants=choices(taper=("hann", "sine"), dc=("in the corner", "in the middle")),
    ),
    Task(
        "radial", 5, draw_radial, radial_by, wrong_radials, right_radial,
        variants=choices(rule=("nearest", "below"), shape=((16, 16), (16, 24))),
    ),
    Task(
        "exponent", 4, draw_exponent, exponent_by, wrong_exponents, right_exponent,
        variants=choices(exponent=("power", "amplitude")),
    ),
    Task(
        "interval", 3, draw_interval, lambda variant: interval_by(), wrong_intervals,
        right_interval,
    ),
]  # fmt: skip
