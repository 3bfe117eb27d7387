"""Spectra of photographs: the power of waves, rings, an exponent and its interval."""

import math

import torch
from grader.pieces import radius, squares
from grader.task import Task, choices

from freqsense.exercises import Wrong, messages

FMIN, FMAX = 2, 9  # as many rings as there are photographs in task 4


def taper(n, order, start=0.5):
    """Return a window along one side, (n,), before it is scaled."""
    place = (torch.arange(n, dtype=torch.float64) + start) / n
    return torch.sin(torch.pi * place) ** order


def window(shape, order, scale, start=0.5):
    """Return the window of an image, (H, W)."""
    values = torch.outer(taper(shape[0], order, start), taper(shape[1], order, start))
    sizes = {"squares": values.square().mean().sqrt(), "values": values.mean(), "no": 1.0}
    return values / sizes[scale]


def place_dc(power, variant):
    """Put the constant wave where the term wants it."""
    return torch.fft.fftshift(power, (-2, -1)) if variant["dc"] == "in the middle" else power


def without_mean(images, values):
    """Remove the mean under the window, then apply the window."""
    return values * (images - (values * images).sum((-2, -1), keepdim=True) / values.sum())


def power_by(variant, *, start=0.5, taken=without_mean, combine=None, finish=None):
    """Return a function that measures power, right unless told otherwise."""

    def power(images):
        values = window(images.shape[-2:], variant["order"], variant["scale"], start)
        tapered = taken(images, values)  # (N, H, W)
        result = combine(tapered) if combine else squares(tapered).mean(0)
        return place_dc(finish(result) if finish else result, variant)

    return power


def right_power(variant):
    """Write the same with a loop over images and matrices of waves."""

    def power(images):
        height, width = images.shape[-2:]
        values = window((height, width), variant["order"], variant["scale"])
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
    return [*wrong_windows(variant), *wrong_means(variant), *wrong_places(variant)]


def wrong_windows(variant):
    """List how the window goes wrong."""
    scale = {"squares": "values", "values": "squares"}[variant["scale"]]
    return [
        Wrong(
            "window-unscaled",
            power_by({**variant, "scale": "no"}),
            "A window takes power away, and yours is not scaled. Which mean has to be 1?",
        ),
        Wrong(
            f"mean-of-{scale}",
            power_by({**variant, "scale": scale}),
            f"Your window is scaled so that the mean of its {scale} is 1. The task scales "
            "otherwise.",
        ),
        Wrong(
            "starts-at-zero",
            power_by(variant, start=0.0),
            "The first value of your taper is 0. Where on the sine does the first pixel lie?",
        ),
        *[
            Wrong(
                f"sine-to-the-{order}",
                power_by({**variant, "order": order}),
                f"Your taper is a sine to the power of {order}, which is not this term's.",
            )
            for order in {1, 2, 3} - {variant["order"]}
        ],
    ]


def wrong_means(variant):
    """List how the mean of an image, and the mean over images, go wrong."""
    return [
        Wrong(
            "plain-mean",
            power_by(variant, taken=lambda x, w: w * (x - x.mean((-2, -1), keepdim=True))),
            "You removed the plain mean, and the window brings a part of it back. Which number "
            "makes the sum of the windowed image zero?",
        ),
        Wrong(
            "one-mean-for-all",
            power_by(variant, taken=lambda x, w: w * (x - (w * x).sum() / w.sum() / len(x))),
            "You subtract one number from all images, so the windowed ones do not each sum to "
            "zero. Has every image its own?",
        ),
        Wrong(
            "mean-after-the-window",
            power_by(variant, taken=lambda x, w: w * x - (w * x).mean((-2, -1), keepdim=True)),
            "You subtract a number from the windowed image, so the bright bump of the window "
            "stays. The number is subtracted from the image, before the window.",
        ),
        Wrong(
            "mean-of-sizes",
            power_by(variant, combine=lambda x: squares(x).sqrt().mean(0).square()),
            messages.MEAN_OF_SIZES,
        ),
        Wrong(
            "power-of-the-mean-image",
            power_by(variant, combine=lambda x: squares(x.mean(0))),
            messages.IMAGES_CANCEL,
        ),
        Wrong(
            "sum",
            power_by(variant, combine=lambda x: squares(x).sum(0)),
            messages.SUM_OVER_IMAGES,
        ),
        Wrong(
            "amplitude",
            power_by(variant, finish=torch.sqrt),
            messages.AMPLITUDE,
        ),
        Wrong(
            "not-unitary",
            power_by(variant, finish=lambda power: power * power.numel()),
            "The transform of this course is unitary: the sum of |x̂|² is the sum of squared "
            "pixels of the windowed image.",
        ),
    ]


def wrong_places(variant):
    """List how the order of the frequencies goes wrong."""
    moved = {"in the middle": "in the corner", "in the corner": "in the middle"}[variant["dc"]]
    wrongs = [
        Wrong(
            "dc-elsewhere",
            power_by({**variant, "dc": moved}),
            f"The values are right, with the constant wave {moved}. Where does the task want it?",
        )
    ]
    if variant["dc"] == "in the middle":
        corner = power_by({**variant, "dc": "in the corner"})
        wrongs.append(
            Wrong(
                "shifted-back",
                lambda images: torch.fft.ifftshift(corner(images)),
                "Right on even sides. On odd ones your frequencies are off by one place: there "
                "are two functions that shift.",
            )
        )
    return wrongs


def draw_power(generator, variant):
    """Draw a few images with a mean that matters, on a rectangle."""
    images = 3 + torch.randn(4, 6, 9, generator=generator, dtype=torch.float64)
    return (images + torch.linspace(0, 1, 9, dtype=torch.float64),)


VALUES = {
    "mean": torch.mean,
    "geometric mean": lambda part: part.log().mean().exp(),
    "total": torch.sum,
}
NOT_WANTED = {
    "mean": "Your values are plain means over rings. The task combines the powers of a ring "
    "otherwise.",
    "geometric mean": "You average logarithms. The task combines the powers of a ring otherwise.",
    "total": "Your values are sums over rings. Far out a ring holds more waves: does the task "
    "want that to count?",
}


def ring_of(distance, rule):
    """Return the number of the ring of each point."""
    # Rounding as people do it: a half goes up.
    return torch.floor(distance + (0.5 if rule == "nearest" else 0.0)).long()


def radial_by(variant, *, side=min, shifted=False, corners=False, missing=0):
    """Return a function that combines the power of rings, right unless told otherwise."""

    def radial(power):
        distance = radius(power.shape, side)
        if shifted:
            distance = torch.fft.fftshift(distance)
        ring, last = ring_of(distance, variant["rule"]), side(power.shape) // 2 - missing
        ring = ring.clamp(max=last) if corners else ring
        value = VALUES[variant["value"]]
        return torch.stack([value(power[ring == k]) for k in range(variant["first"], last + 1)])

    return radial


def right_radial(variant):
    """Write the same with a loop over points."""

    def combine(ring):
        if variant["value"] == "geometric mean":
            return math.prod(ring) ** (1 / len(ring))
        return sum(ring) / (len(ring) if variant["value"] == "mean" else 1)

    def radial(power):
        height, width = power.shape
        shorter = min(height, width)
        rings = [[] for _ in range(shorter // 2 + 1)]
        for row in range(height):
            for column in range(width):
                ky, kx = min(row, height - row), min(column, width - column)
                distance = shorter * ((ky / height) ** 2 + (kx / width) ** 2) ** 0.5
                ring = int(distance + 0.5 if variant["rule"] == "nearest" else distance)
                if ring < len(rings):
                    rings[ring].append(float(power[row, column]))
        return torch.tensor([combine(r) for r in rings[variant["first"] :]], dtype=torch.float64)

    return [radial]


def wrong_radials(variant):
    """List how rings go wrong."""
    rule = {"nearest": "below", "below": "nearest"}[variant["rule"]]
    return [
        Wrong(
            "shifted",
            radial_by(variant, shifted=True),
            messages.SHIFTED,
        ),
        Wrong(
            "half-a-ring",
            radial_by({**variant, "rule": rule}),
            "Your rings begin half a cycle away from those of the task. In which ring does a wave "
            "of radius 1.5 lie?",
        ),
        Wrong(
            "ring-0-missing" if variant["first"] == 0 else "ring-0-kept",
            radial_by({**variant, "first": 1 - variant["first"]}),
            f"Your first value belongs to ring {1 - variant['first']}. With which ring does the "
            "task begin?",
        ),
        Wrong(
            "last-ring-missing",
            radial_by(variant, missing=1),
            "Your last ring is missing: waves of two pixels along the shorter side lie in it.",
        ),
        Wrong(
            "corners-kept",
            radial_by(variant, corners=True),
            messages.CORNERS_KEPT,
        ),
        Wrong(
            "longer-side",
            radial_by(variant, side=max),
            "Your radius counts periods along the longer side; the task counts along the shorter.",
        ),
        *[
            Wrong(value.replace(" ", "-"), radial_by({**variant, "value": value}), message)
            for value, message in NOT_WANTED.items()
            if value != variant["value"]
        ],
    ]


def draw_radial(generator, variant):
    """Draw a power spectrum on a rectangle whose radii meet the edges of rings exactly."""
    shape = (16, 24) if torch.rand((), generator=generator) < 0.5 else (24, 16)
    return (torch.rand(shape, generator=generator, dtype=torch.float64).exp(),)


WEIGHTS = {"1": 0, "k": 1, "1/k": -1}  # of a ring, as powers of its number k
QUANTITIES = {
    "power": "the power of a wave",
    "amplitude": "the amplitude of a wave",
    "total": "the total power of a ring",
}


def fit_slope(frequency, values, weight=0):
    """Fit a line to logarithms by least squares, ring k with weight k^weight; its slope, (...)."""
    shares = frequency**weight / (frequency**weight).sum()
    x, y = frequency.log(), values.log()
    x = x - (shares * x).sum()
    return (shares * x * y).sum(-1) / (shares * x.square()).sum()


def exponent_by(variant, *, sign=1.0, start=0, stop=1, offset=0, weight_power=1):
    """Return a function that fits the exponent, right unless told otherwise."""

    def exponent(radial, fmin, fmax):
        rings = torch.arange(fmin + start, fmax + stop)
        weight = weight_power * WEIGHTS[variant["weight"]]
        of_power = -fit_slope(rings.double() + offset, radial[..., rings], weight)
        of = {"power": of_power, "amplitude": of_power / 2, "total": of_power - 1}
        return sign * of[variant["of"]]

    return exponent


def right_exponent(variant):
    """Write the same with a matrix and a least-squares solver."""

    def exponent(radial, fmin, fmax):
        rings = torch.arange(fmin, fmax + 1, dtype=torch.float64)
        values = radial[fmin : fmax + 1]
        values = {"power": values, "amplitude": values.sqrt(), "total": rings * values}
        root = rings ** (WEIGHTS[variant["weight"]] / 2)
        matrix = torch.stack([torch.ones_like(rings), torch.log10(rings)], 1) * root[:, None]
        heights = (torch.log10(values[variant["of"]]) * root)[:, None]
        return float(-torch.linalg.lstsq(matrix, heights).solution[1])

    return [exponent]


def wrong_exponents(variant):
    """List how exponents go wrong."""
    return [
        Wrong(
            "sign",
            exponent_by(variant, sign=-1.0),
            messages.SLOPE_FOR_EXPONENT,
        ),
        *[
            Wrong(
                f"of-the-{of}",
                exponent_by({**variant, "of": of}),
                f"This is the exponent of {told}. The task asks for that of another quantity.",
            )
            for of, told in QUANTITIES.items()
            if of != variant["of"]
        ],
        *wrong_ranges(variant),
        *wrong_weights(variant),
    ]


def wrong_ranges(variant):
    """List how the range of the fit goes wrong."""
    return [
        Wrong(
            "first-ring-missing",
            exponent_by(variant, start=1),
            "The range of the fit begins one ring too late: fmin belongs to it.",
        ),
        Wrong(
            "last-ring-missing",
            exponent_by(variant, stop=0),
            messages.LAST_RING_MISSING,
        ),
        Wrong(
            "one-ring-too-many",
            exponent_by(variant, stop=2),
            messages.ONE_RING_TOO_MANY,
        ),
        Wrong(
            "frequencies-shifted",
            exponent_by(variant, offset=1),
            messages.FREQUENCIES_SHIFTED,
        ),
    ]


def wrong_weights(variant):
    """List how the weights of rings go wrong."""
    wrongs = [
        Wrong(
            f"weight-{other.replace('/', '-over-')}",
            exponent_by({**variant, "weight": other}),
            f"Your fit gives ring k the weight {other}. The task weighs otherwise.",
        )
        for other in WEIGHTS
        if other != variant["weight"]
    ]
    if variant["weight"] != "1":
        wrongs.append(
            Wrong(
                "weights-squared",
                exponent_by(variant, weight_power=2),
                "Your weights act twice. They belong to the squares of deviations; some fits, "
                "numpy.polyfit among them, apply theirs before squaring.",
            )
        )
    return wrongs


def draw_exponent(generator, variant):
    """Draw a profile that falls, with noise."""
    rings = torch.arange(12, dtype=torch.float64).clamp(min=0.5)
    noise = 0.3 * torch.randn(12, generator=generator, dtype=torch.float64)
    return rings ** (-2) * noise.exp(), FMIN, FMAX


N_PHOTOGRAPHS = 8
TIMES = {80: 1.28, 90: 1.645, 95: 1.96}  # standard errors to each side, by level, as in tables
fit_power = exponent_by({"of": "power", "weight": "1"})


def resampled(profiles, picks, of, fmin, fmax):
    """Return the statistic of each row of photographs, (B,), from their profiles, (M, R)."""
    if of == "the mean profile":
        return fit_power(profiles[picks].mean(1), fmin, fmax)
    return fit_power(profiles, fmin, fmax)[picks].mean(1)


def statistics_of(profiles, picks, of, fmin, fmax):
    """Return the statistics of the resamples, and that of all photographs."""
    every = torch.arange(len(profiles))[None]
    tiles_averaged = profiles.mean(1)
    return (resampled(tiles_averaged, each, of, fmin, fmax) for each in (picks, every))


def over_rings(profiles, picks, of, fmin, fmax):
    """Draw the rings of the mean profile anew, where photographs ought to be drawn."""
    mean = profiles.mean((0, 1))
    fitted = [-fit_slope(rings.double(), mean[rings]) for rings in fmin + picks]
    return torch.stack(fitted), fit_power(mean, fmin, fmax)


def over_tiles(profiles, picks, of, fmin, fmax):
    """Take the numbers of photographs for numbers of tiles."""
    return statistics_of(profiles.flatten(0, 1)[:, None], picks, of, fmin, fmax)


def tile_by_tile(profiles, picks, of, fmin, fmax):
    """Fit each tile."""
    fitted = fit_power(profiles, fmin, fmax).mean(1)
    return fitted[picks].mean(1), fitted.mean()


def interval_by(variant, *, statistics=statistics_of, finish=None):
    """Return a function that bootstraps an interval, right unless told otherwise."""

    def interval(profiles, picks, fmin, fmax):
        fitted, middle = statistics(profiles, picks, variant["of"], fmin, fmax)
        share = (100 - variant["level"]) / 200
        ends = torch.quantile(fitted, torch.tensor([share, 1 - share], dtype=torch.float64))
        if variant["ends"] == "mirrored":
            ends = 2 * middle - ends.flip(0)
        low, high = finish(ends, fitted) if finish else ends
        return float(low), float(high)

    return interval


def around(times):
    """Return the mean of the resamples with so many standard errors to each side."""

    def ends(_, fitted):
        return fitted.mean() - times * fitted.std(), fitted.mean() + times * fitted.std()

    return ends


def right_interval(variant):
    """Write the same with loops and sorted values."""
    fit = right_exponent({"of": "power", "weight": "1"})[0]

    def statistic(photographs, fmin, fmax):
        if variant["of"] == "the mean profile":
            return fit(sum(photographs) / len(photographs), fmin, fmax)
        return sum(fit(each, fmin, fmax) for each in photographs) / len(photographs)

    def interval(profiles, picks, fmin, fmax):
        photographs = [sum(tiles) / len(tiles) for tiles in profiles]
        ordered = sorted(
            statistic([photographs[m] for m in pick], fmin, fmax) for pick in picks.tolist()
        )

        def at(share):
            left, rest = divmod(share * (len(ordered) - 1), 1)
            right = min(int(left) + 1, len(ordered) - 1)
            return ordered[int(left)] * (1 - rest) + ordered[right] * rest

        outside = (1 - variant["level"] / 100) / 2
        low, high = at(outside), at(1 - outside)
        if variant["ends"] == "mirrored":
            middle = statistic(photographs, fmin, fmax)
            low, high = 2 * middle - high, 2 * middle - low
        return low, high

    return [interval]


def wrong_intervals(variant):
    """List how intervals go wrong."""
    return [*wrong_units(variant), *wrong_statistics(variant), *wrong_ends(variant)]


def wrong_units(variant):
    """List what is wrongly drawn anew."""
    return [
        Wrong(
            "over-frequencies",
            interval_by(variant, statistics=over_rings),
            "You draw rings anew. What is drawn at random in this study is the photograph.",
        ),
        Wrong(
            "over-tiles",
            interval_by(variant, statistics=over_tiles),
            "You draw tiles anew, and tiles of one photograph are alike. The numbers in picks are "
            "those of photographs.",
        ),
        Wrong(
            "standard-error-twice",
            interval_by(variant, finish=around(TIMES[variant["level"]] / N_PHOTOGRAPHS**0.5)),
            "The standard deviation of the resamples is the standard error already, and you "
            "divide it by the root of the number of photographs once more.",
        ),
    ]


def wrong_statistics(variant):
    """List what is wrongly computed of a resample."""
    told = {
        "the mean profile": "You fit the mean of the profiles",
        "each photograph": "You average the exponents of single photographs",
    }
    other = next(of for of in told if of != variant["of"])
    return [
        Wrong(
            f"of-{other.replace(' ', '-')}",
            interval_by({**variant, "of": other}),
            f"{told[other]}. The task does these two steps in the other order.",
        ),
        Wrong(
            "tile-by-tile",
            interval_by(variant, statistics=tile_by_tile),
            "You fit single tiles. The tiles of a photograph are averaged before any fit.",
        ),
    ]


def wrong_ends(variant):
    """List how the ends of an interval go wrong."""
    other = {"mirrored": "as they are", "as they are": "mirrored"}[variant["ends"]]
    return [
        Wrong(
            f"quantiles-{other.replace(' ', '-')}",
            interval_by({**variant, "ends": other}),
            "You return the quantiles themselves. What does the task do with them?"
            if other == "as they are"
            else "You mirror the quantiles at the exponent of all photographs, which this term "
            "does not.",
        ),
        *[
            Wrong(
                f"{level}-percent",
                interval_by({**variant, "level": level}),
                f"This interval holds {level} %, not {variant['level']} %. What is left out is "
                "shared by the two ends.",
            )
            for level in {*TIMES, 2 * variant["level"] - 100} - {variant["level"]}
        ],
        Wrong(
            "standard-errors",
            interval_by(variant, finish=around(TIMES[variant["level"]])),
            "This is the mean of the resamples, plus and minus some standard errors. The task asks "
            "for quantiles, which need not lie evenly.",
        ),
        Wrong(
            "ends-changed-places",
            interval_by(variant, finish=lambda ends, _: ends.flip(0)),
            "The ends have changed places: the lower one comes first.",
        ),
    ]


def draw_interval(generator, variant):
    """Draw profiles of tiles of photographs that differ in their exponents, and picks."""
    alphas = 2 + 0.5 * torch.randn(N_PHOTOGRAPHS, 1, 1, generator=generator, dtype=torch.float64)
    rings = torch.arange(12, dtype=torch.float64).clamp(min=0.5)
    noise = 0.2 * torch.randn(N_PHOTOGRAPHS, 3, 12, generator=generator, dtype=torch.float64)
    picks = torch.randint(N_PHOTOGRAPHS, (80, N_PHOTOGRAPHS), generator=generator)
    return rings**-alphas * noise.exp(), picks, FMIN, FMAX


TASKS = [
    Task(
        "power", 4, draw_power, power_by, wrong_powers, right_power,
        variants=choices(
            order=(1, 2, 3), scale=("squares", "values"), dc=("in the corner", "in the middle")
        ),
    ),
    Task(
        "radial", 5, draw_radial, radial_by, wrong_radials, right_radial,
        variants=choices(rule=("nearest", "below"), value=tuple(VALUES), first=(0, 1)),
    ),
    Task(
        "exponent", 4, draw_exponent, exponent_by, wrong_exponents, right_exponent,
        variants=choices(of=tuple(QUANTITIES), weight=tuple(WEIGHTS)),
    ),
    Task(
        "interval", 3, draw_interval, interval_by, wrong_intervals, right_interval,
        variants=choices(
            level=tuple(TIMES), of=("the mean profile", "each photograph"),
            ends=("as they are", "mirrored"),
        ),
    ),
]  # fmt: skip
