"""Changing the statistics: slopes of sensitivity, predictions on recoloured images, errors, R²."""

import math

import torch
from grader.pieces import number, radius, whole
from grader.task import Task, choices

from freqsense.exercises import Wrong, messages

SIDE = 16  # pixels of a map of sensitivity
MEANS = {  # of a ring: what is averaged, and the way back to a sensitivity
    "sizes": (torch.sqrt, lambda mean: mean),
    "squares": (lambda squares: squares, torch.sqrt),
    "logs": (lambda squares: squares.log() / 2, torch.exp),
}


def rings(values, *, half=0.5, corners=False):
    """Average over the rings of a map, (R,), of rounded radii unless told otherwise."""
    ring, last = torch.floor(radius(values.shape) + half), min(values.shape) // 2
    ring = ring.clamp(max=last) if corners else ring
    return torch.stack([values[ring == k].mean() for k in range(last + 1)])


def fit_line(x, y, weights):
    """Fit a line by weighted least squares; return its slope."""
    x = x - (weights * x).sum() / weights.sum()
    return (weights * x * y).sum() / (weights * x.square()).sum()


def slope_by(
    variant, *, sign=1.0, factor=1.0, before=None, weights=None, first=0, last=0, early=0,
    offset=0, **how,
):  # fmt: skip
    """Return a function that fits the slope, right unless told otherwise."""
    mean_of, weighing = before or variant["mean"], weights or variant["weights"]

    def slope(squares, fmin, fmax):
        there, back = MEANS[mean_of]
        curve = back(rings(there(squares), **how))
        chosen = torch.arange(fmin + first, fmax + 1 + last)
        count = torch.bincount(torch.floor(radius(squares.shape) + 0.5).long().flatten())
        weight = count[chosen].double() if weighing == "points" else torch.ones(len(chosen))
        x = (chosen.double() + offset).log()
        return sign * factor * fit_line(x, curve[chosen - early].log(), weight.double())

    return slope


def middle(ring, kind):
    """Return the mean sensitivity of a list of squares."""
    n = len(ring)
    if kind == "logs":
        return math.prod(ring) ** (1 / (2 * n))
    return sum(v**0.5 for v in ring) / n if kind == "sizes" else (sum(ring) / n) ** 0.5


def right_slope(variant):
    """Write the same with loops and a solver."""

    def slope(squares, fmin, fmax):
        sums = [[] for _ in range(SIDE)]
        for row in range(SIDE):
            for column in range(SIDE):
                ky, kx = min(row, SIDE - row), min(column, SIDE - column)
                size = float(squares[row, column])
                sums[int((ky * ky + kx * kx) ** 0.5 + 0.5)].append(size)
        curve = [middle(ring, variant["mean"]) for ring in sums if ring]
        k = torch.arange(fmin, fmax + 1)
        y = torch.tensor([curve[i] for i in k.tolist()], dtype=torch.float64).log10()
        x = torch.stack([torch.ones(len(k), dtype=torch.float64), k.double().log10()], 1)
        if variant["weights"] == "points":
            root = torch.tensor([len(sums[i]) for i in k.tolist()], dtype=torch.float64).sqrt()
            x, y = root[:, None] * x, root * y
        return float(torch.linalg.lstsq(x, y[:, None]).solution[1])

    return [slope]


def wrong_slopes(variant):
    """List how slopes go wrong."""
    other_weights = {"rings": "points", "points": "rings"}[variant["weights"]]
    averaged = {
        "sizes": "sensitivities within a ring",
        "squares": "squares within a ring and take the root afterwards",
        "logs": "logarithms within a ring",
    }
    return [
        Wrong(
            "power-for-amplitude",
            slope_by(variant, factor=2.0),
            "Your slope is twice as steep as it should be: it belongs to the squares.",
        ),
        Wrong(
            "sign",
            slope_by(variant, sign=-1.0),
            "This is an exponent. A slope is negative where the curve falls.",
        ),
        Wrong(
            "frequencies-shifted",
            slope_by(variant, offset=1),
            "Your rings have the frequency of the next one: the first ring of a profile, of "
            "0 cycles/image, holds the constant wave.",
        ),
        Wrong(
            "values-shifted",
            slope_by(variant, early=1),
            "You take the value of each ring for that of the next, so that the fit begins one ring "
            "too early: the first value of a profile is that of the constant wave, ring 0.",
        ),
        Wrong(
            "corners-kept",
            slope_by(variant, corners=True),
            "Your last ring holds the corners of the frequency plane too.",
        ),
        Wrong(
            "half-a-ring",
            slope_by(variant, half=0.0),
            "Your rings begin half a cycle away from those of the task: does a wave of radius 1.6 "
            "lie in ring 1 or in ring 2?",
        ),
        Wrong(
            "first-ring-missing",
            slope_by(variant, first=1),
            "Your fit begins one ring too late: fmin belongs to it.",
        ),
        Wrong(
            "last-ring-missing",
            slope_by(variant, last=-1),
            "Your fit ends one ring too early: fmax belongs to it.",
        ),
        *(
            Wrong(
                f"mean-of-{other}",
                slope_by(variant, before=other),
                f"You average {what}. The task has another mean: see its second step.",
            )
            for other, what in averaged.items()
            if other != variant["mean"]
        ),
        Wrong(
            "other-weights",
            slope_by(variant, weights=other_weights),
            {
                "rings": "Your fit gives more weight to rings of more frequencies. In this task "
                "every ring counts alike.",
                "points": "Your fit has every ring count alike; the task gives them weights.",
            }[variant["weights"]],
        ),
    ]


def draw_slope(generator, variant):
    """Draw a map of squares that falls, with scatter."""
    distance = radius((SIDE, SIDE)).clamp(min=0.6)
    scatter = torch.randn(SIDE, SIDE, generator=generator, dtype=torch.float64)
    fmin, fmax = 1 + whole(generator, 0, 1), 8 - whole(generator, 0, 1)
    return distance ** -number(generator, 1.0, 3.0) * scatter.exp(), fmin, fmax


def predict_by(
    variant, *, of_power=2.0, of_cross=1.0, sign=1.0, depth=None, scale=None, given=None, **how
):
    """Return a function that predicts sensitivity, right unless told otherwise."""
    layers, scaling = depth or variant["depth"], scale or variant["scale"]
    given = given or variant["given"]

    def predict(power, task, delta, decay):
        cross = task if given == "cross" else power * task
        distance = radius(power.shape)
        distance[0, 0] = 1
        gain = distance ** (sign * delta)
        if scaling != "none":
            weight = torch.ones_like(power) if how.get("flat") else power
            ratio = total(weight, scaling) / total(gain.square() * weight, scaling)
            gain = gain * (ratio if how.get("no_root") else ratio.sqrt())
            gain[0, 0] = 1
        s, c = gain**of_power * power, gain**of_cross * cross
        return sensitivity(s, c, decay, layers, **how)

    return predict


def total(power, scaling):
    """Add up power, without the constant wave unless it counts too."""
    return power.sum() - (0 if scaling == "with dc" else power[0, 0])


def sensitivity(s, c, decay, depth, *, kappa=0.5, clipped=True, decayed=True, **_):
    """Return the closed form of a depth; by default that of the book."""
    if depth == 1:
        return c / (s + decay) if decayed else c / s
    above = c - decay / s.numel() ** kappa if decayed else c
    return (above.clamp(min=0) if clipped else above) / s


def right_predict(variant):
    """Write the same frequency by frequency, from the minimum of the scalar problem."""

    def predict(power, task, delta, decay):
        cross = task if variant["given"] == "cross" else power * task
        height, width = power.shape
        distance = radius(power.shape)
        scale = 1.0
        if variant["scale"] == "variance":
            old = sum(float(p) for p in power.flatten()[1:])
            gains = distance.flatten()[1:] ** (2 * delta)
            new = sum(float(g * p) for g, p in zip(gains, power.flatten()[1:], strict=True))
            scale = (old / new) ** 0.5
        result = torch.zeros(height, width, dtype=torch.float64)
        for row in range(height):
            for column in range(width):
                r = float(distance[row, column])
                g = scale * r**delta if r > 0 else 1.0
                s, c = float(power[row, column]), float(cross[row, column])
                teacher = c / (s * g)
                if variant["depth"] == 1:
                    result[row, column] = teacher / (1 + decay / (g * g * s))
                else:
                    price = decay / ((height * width) ** 0.5 * g * g * s)
                    result[row, column] = max(teacher - price, 0.0)
        return result

    return [predict]


def wrong_predicts(variant):
    """List how predictions go wrong."""
    other_scale = {"none": "variance", "variance": "none"}[variant["scale"]]
    other_given = {"cross": "teacher", "teacher": "cross"}[variant["given"]]
    return [
        Wrong(
            "cross-not-recoloured",
            predict_by(variant, of_cross=0.0),
            "You leave the label correlation as it was. The labels stay, but what they are "
            "correlated with does not.",
        ),
        Wrong(
            "teacher-kept",
            predict_by(variant, of_cross=2.0),
            {
                "cross": "You multiply the correlation as if it were a power, so the teacher "
                "stays. It is the labels that stay.",
                "teacher": "You keep the teacher as it was. It is the labels that stay, and they "
                "are told from other images now.",
            }[variant["given"]],
        ),
        Wrong(
            "power-by-the-gain",
            predict_by(variant, of_power=1.0),
            "You multiply power as if it were an amplitude.",
        ),
        Wrong(
            "power-not-recoloured",
            predict_by(variant, of_power=0.0),
            "You leave the power as it was. It is what the recolouring is made to change.",
        ),
        Wrong(
            "nothing-recoloured",
            predict_by(variant, of_power=0.0, of_cross=0.0),
            "This is the prediction for the images before they are recoloured.",
        ),
        Wrong(
            "sign",
            predict_by(variant, sign=-1.0),
            "You recolour the other way: a positive δ makes fine waves stronger.",
        ),
        Wrong(
            "decay-forgotten",
            predict_by(variant, decayed=False),
            "Your prediction does not depend on the decay.",
        ),
        Wrong(
            "other-depth",
            predict_by(variant, depth=3 - variant["depth"]),
            f"This is the closed form of depth {3 - variant['depth']}; the task has depth "
            f"{variant['depth']}.",
        ),
        Wrong(
            "correlation-or-teacher",
            predict_by(variant, given=other_given),
            {
                "cross": "You take γ for the teacher: the power is in it already.",
                "teacher": "You take |b*| for the correlation γ. What lies between the two?",
            }[variant["given"]],
        ),
        Wrong(
            "other-scale",
            predict_by(variant, scale=other_scale),
            {
                "none": "You rescale the gain to keep the variance; the task rescales nothing.",
                "variance": "Your gain is right but for its scale: the variance of your images is "
                "no longer what it was.",
            }[variant["scale"]],
        ),
        *wrong_prices(variant),
    ]


def wrong_prices(variant):
    """List what goes wrong at depth 2 only, and with the scale only."""
    wrongs = []
    if variant["depth"] == 2:
        wrongs += [
            Wrong(
                "lambda-for-kappa",
                predict_by(variant, kappa=0.0),
                "Your threshold is λ itself. At this depth the number of pixels has a part in it.",
            ),
            Wrong(
                "lambda-over-d",
                predict_by(variant, kappa=1.0),
                "Your threshold is λ/D. Look up which power of D belongs to this depth.",
            ),
            Wrong(
                "not-clipped",
                predict_by(variant, clipped=False),
                "Some of your sensitivities are negative. What does the network do with a "
                "frequency whose correlation is below the threshold?",
            ),
        ]
    if variant["scale"] == "variance":
        wrongs += [
            Wrong(
                "scaled-twice",
                predict_by(variant, no_root=True),
                "You scale the gain by a ratio of variances; the gain multiplies amplitudes.",
            ),
            Wrong(
                "scaled-without-power",
                predict_by(variant, flat=True),
                "You scale the gain by its own squares. The variance of the pixels is a sum of "
                "powers, each multiplied by the square of its gain.",
            ),
            Wrong(
                "dc-counted",
                predict_by(variant, scale="with dc"),
                "The power of the constant wave is no part of the variance of the pixels.",
            ),
        ]
    return wrongs


def draw_predict(generator, variant):
    """Draw power, label correlations, a recolouring, and a decay that matters."""
    height = 7 + 2 * whole(generator, 0, 2)
    shape = (height, height + 3)
    noise = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    power = 4 * radius(shape).clamp(min=0.5) ** -2 * (0.2 * noise[0]).exp()
    cross = power.sqrt() * noise[1].abs()
    delta = number(generator, 0.5, 0.8) * (-1) ** whole(generator, 0, 1)
    if variant["depth"] == 1:
        decay = number(generator, 0.3, 0.6)
    else:
        decay = number(generator, 0.3, 0.5) * (shape[0] * shape[1]) ** 0.5
    return power, cross if variant["given"] == "cross" else cross / power, delta, decay


def spread(values, correction=1):
    """Return the standard error of a mean."""
    return values.std(correction=correction) / len(values) ** 0.5


def over_images(values, kind):
    """Summarise the images of each seed, (S,)."""
    if kind == "all":
        return values.flatten()
    return values.mean(1) if kind == "mean" else values.median(1).values


def stderr_by(
    variant, *, swapped=False, images=None, starts=None, error=spread, finish=float,
    add=torch.hypot,
):  # fmt: skip
    """Return a function that gives a mean and its error, right unless told otherwise."""
    kind, starts = images or variant["images"], starts or variant["starts"]

    def stderr(trained, untrained):
        if (variant["seeds"] == "columns") != swapped:
            trained, untrained = trained.T, untrained.T
        change = over_images(trained - untrained, kind)
        if starts == "same":
            return float(change.mean()), finish(error(change))
        after, before = over_images(trained, kind), over_images(untrained, kind)
        if starts == "paired":
            return float((after - before).mean()), finish(error(after - before))
        return float(after.mean() - before.mean()), finish(add(error(after), error(before)))

    return stderr


def right_stderr(variant):
    """Write the same with lists."""

    def summary(seed):
        ordered = sorted(seed)
        return sum(seed) / len(seed) if variant["images"] == "mean" else ordered[len(seed) // 2]

    def mean_and_square(table):
        table = (table.T if variant["seeds"] == "columns" else table).tolist()
        values = [summary(seed) for seed in table]
        n = len(values)
        mean = sum(values) / n
        return mean, sum((v - mean) ** 2 for v in values) / (n * (n - 1))

    def stderr(trained, untrained):
        if variant["starts"] == "same":
            mean, square = mean_and_square(trained - untrained)
            return mean, square**0.5
        (after, square), (before, other) = map(mean_and_square, (trained, untrained))
        return after - before, (square + other) ** 0.5

    return [stderr]


def wrong_stderrs(variant):
    """List how errors go wrong."""
    other = {"mean": "median", "median": "mean"}[variant["images"]]
    return [
        Wrong(
            "over-images",
            stderr_by(variant, swapped=True),
            "Your error is over images, which all networks share. What is drawn anew from run to "
            "run is the seed.",
        ),
        Wrong(
            "all-pooled",
            stderr_by(variant, images="all"),
            "You count every pair of a seed and an image as an independent draw.",
        ),
        Wrong(
            "standard-deviation",
            stderr_by(variant, error=torch.std),
            messages.STANDARD_DEVIATION,
        ),
        Wrong(
            "n-for-n-minus-1",
            stderr_by(variant, error=lambda values: spread(values, correction=0)),
            messages.N_FOR_N_MINUS_1,
        ),
        Wrong(
            "divided-by-n",
            stderr_by(variant, error=lambda values: values.std() / len(values)),
            messages.DIVIDED_BY_N,
        ),
        Wrong(
            "variance",
            stderr_by(variant, finish=lambda found: float(found**2)),
            messages.VARIANCE_FOR_ERROR,
        ),
        Wrong(
            "two-errors",
            stderr_by(variant, finish=lambda found: 1.96 * float(found)),
            "This is half of a 95 % interval. The task asks for one standard error.",
        ),
        Wrong(
            "other-middle",
            stderr_by(variant, images=other),
            f"You take the {other} over images; the task has the {variant['images']}.",
        ),
        *wrong_controls(variant),
    ]


def wrong_controls(variant):
    """List what goes wrong with the untrained networks."""
    plain, common = stderr_by(variant), stderr_by({**variant, "starts": "same"})
    wrongs = [
        Wrong(
            "control-ignored",
            lambda trained, untrained: common(trained, 0 * untrained),
            "You do not use the untrained networks.",
        ),
        Wrong(
            "sign",
            lambda trained, untrained: plain(untrained, trained),
            "You take the trained slope from the untrained one.",
        ),
    ]
    if variant["starts"] == "same":
        return [
            *wrongs,
            Wrong(
                "unpaired",
                stderr_by(variant, starts="others"),
                "You take the two groups as independent. Each network has its own start, so take "
                "the change of each.",
            ),
        ]
    return [
        *wrongs,
        Wrong(
            "paired",
            stderr_by(variant, starts="paired"),
            "You subtract seed by seed, but these seeds have nothing to do with each other: both "
            "groups scatter.",
        ),
        Wrong(
            "errors-added",
            stderr_by(variant, add=torch.add),
            "You add the errors of the two groups. Errors that know nothing of each other add in "
            "squares.",
        ),
    ]


def draw_stderr(generator, variant):
    """Draw slopes of five seeds on nine images, with starts that the seeds keep."""
    seed, other = torch.randn(2, 5, 1, generator=generator, dtype=torch.float64)
    image = torch.randn(1, 9, generator=generator, dtype=torch.float64)
    noise = 0.5 * torch.randn(2, 5, 9, generator=generator, dtype=torch.float64)
    start = 0.5 * seed + 0.3 * image + noise[0]
    own_start = start if variant["starts"] == "same" else 0.5 * other + 0.3 * image
    end = own_start - 1 + noise[1].exp()
    return (end, start) if variant["seeds"] == "rows" else (end.T, start.T)


def explained_by(variant, *, about=None, scope=None, logs=True, share=None):
    """Return a function that gives the share explained, right unless told otherwise."""
    reference = about or variant["about"]
    together = (scope or variant["scope"]) == "all runs together"

    def explained(predicted, measured):
        p, m = (about_it(v.log() if logs else v, reference) for v in (predicted, measured))
        if share:
            return float(share(p, m))
        if together:
            return float(1 - (m - p).square().sum() / m.square().sum())
        return float((1 - (m - p).square().sum(1) / m.square().sum(1)).mean())

    return explained


def about_it(curves, reference):
    """Subtract from curves (I, K) what the task does, or something else."""
    if reference == "its own mean":
        return curves - curves.mean(1, keepdim=True)
    if reference == "the first run":
        return curves[1:] - curves[:1]
    if reference == "the mean of the runs":
        return curves - curves.mean(0)
    return curves - curves.mean() if reference == "the mean of all" else curves


def right_explained(variant):
    """Write the same with loops."""

    def level(curves, run):
        """Return what is subtracted from each ring of a run."""
        if variant["about"] == "its own mean":
            return [sum(curves[run]) / len(curves[run])] * len(curves[run])
        if variant["about"] == "the first run":
            return curves[0]
        return [sum(ring) / len(curves) for ring in zip(*curves, strict=True)]

    def explained(predicted, measured):
        runs, first = [], 1 if variant["about"] == "the first run" else 0
        tables = [table.log().tolist() for table in (predicted, measured)]
        for i in range(first, len(measured)):
            pair = [
                [value - of for value, of in zip(curves[i], level(curves, i), strict=True)]
                for curves in tables
            ]
            missed = sum((a - b) ** 2 for a, b in zip(*pair, strict=True))
            runs.append((missed, sum(b * b for b in pair[1])))
        if variant["scope"] == "all runs together":
            return 1 - sum(missed for missed, _ in runs) / sum(all_ for _, all_ in runs)
        return sum(1 - missed / all_ for missed, all_ in runs) / len(runs)

    return [explained]


def correlation(p, m):
    """Return the squared correlation of all values."""
    p, m = p - p.mean(), m - m.mean()
    return (p * m).sum() ** 2 / (p.square().sum() * m.square().sum())


def missed(p, m):
    """Return the share that is missed."""
    return (m - p).square().sum() / m.square().sum()


def wrong_explaineds(variant):
    """List how the share explained goes wrong."""
    abouts = {
        "its own mean": "from each curve its mean over rings",
        "the first run": "the first run from each curve",
        "the mean of the runs": "the mean over runs from each curve",
    }
    scopes = ("all runs together", "run by run")
    other_scope = scopes[variant["scope"] == scopes[0]]
    return [
        Wrong(
            "squared-correlation",
            explained_by(variant, share=correlation),
            "This is a squared correlation: a prediction of twice the size, or upside down, has "
            "the same. It must count as a miss.",
        ),
        Wrong(
            "about-zero",
            explained_by(variant, about="zero"),
            "You compare the logarithms as they are. Of what the task subtracts from them the "
            "theory says nothing.",
        ),
        Wrong(
            "about-the-mean-of-all",
            explained_by(variant, about="the mean of all"),
            "You subtract one number, the mean of all curves together.",
        ),
        Wrong(
            "without-logarithms",
            explained_by(variant, logs=False),
            "You compare sensitivities; the task compares their logarithms.",
        ),
        Wrong(
            "roles",
            explained_by(variant, share=lambda p, m: 1 - missed(m, p)),
            "You divide by the squares of what was predicted. What is to be explained?",
        ),
        Wrong(
            "missed",
            explained_by(variant, share=missed),
            "This is the share that is not explained.",
        ),
        Wrong(
            "sizes-for-squares",
            explained_by(variant, share=lambda p, m: 1 - (m - p).abs().sum() / m.abs().sum()),
            "You add up sizes of differences, not their squares.",
        ),
        *(
            Wrong(
                f"about-{about.replace(' ', '-')}",
                explained_by(variant, about=about),
                f"You subtract {what}; the task has something else subtracted.",
            )
            for about, what in abouts.items()
            if about != variant["about"]
        ),
        Wrong(
            "other-scope",
            explained_by(variant, scope=other_scope),
            {
                "all runs together": "You take the mean of one share a run; the task has one "
                "quotient for all.",
                "run by run": "You take one quotient of sums over all runs; the task has one a "
                "run, and then a mean.",
            }[variant["scope"]],
        ),
    ]


def draw_explained(generator, variant):
    """Draw measured curves, and predictions of the right kind and another size and level."""
    k = torch.arange(1, 9, dtype=torch.float64).log()
    slopes = torch.linspace(-1.5, 0.6, 4, dtype=torch.float64)[:, None]
    noise = 0.3 * torch.randn(2, 4, 8, generator=generator, dtype=torch.float64)
    measured = slopes * k + noise[0]
    size, level = number(generator, 1.2, 1.5), number(generator, 0.5, 1.0)
    return (size * slopes * k + noise[1] + level).exp(), measured.exp()


TASKS = [
    Task(
        "slope", 4, draw_slope, slope_by, wrong_slopes, right_slope,
        variants=choices(mean=("sizes", "squares", "logs"), weights=("rings", "points")),
    ),
    Task(
        "predict", 4, draw_predict, predict_by, wrong_predicts, right_predict,
        variants=choices(
            depth=(1, 2), scale=("none", "variance"), given=("cross", "teacher"),
        ),
    ),
    Task(
        "stderr", 4, draw_stderr, stderr_by, wrong_stderrs, right_stderr,
        variants=choices(
            seeds=("rows", "columns"), images=("mean", "median"), starts=("same", "others"),
        ),
    ),
    Task(
        "explained", 3, draw_explained, explained_by, wrong_explaineds, right_explained,
        variants=choices(
            about=("its own mean", "the first run", "the mean of the runs"),
            scope=("all runs together", "run by run"),
        ),
    ),
]  # fmt: skip
