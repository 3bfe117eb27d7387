"""Changing the statistics: slopes of sensitivity, predictions on recoloured images, errors, R²."""

import torch
from grader.pieces import number, radius
from grader.task import Task, choices

from freqsense.exercises import Wrong

SIDE = 16  # pixels of a map of sensitivity
FMIN, FMAX = 1, 8


def rings(values, *, half=0.5, corners=False):
    """Average over the rings of a map, (R,), of rounded radii unless told otherwise."""
    ring, last = torch.floor(radius(values.shape) + half), min(values.shape) // 2
    ring = ring.clamp(max=last) if corners else ring
    return torch.stack([values[ring == k].mean() for k in range(last + 1)])


def fit_line(x, y, weights):
    """Fit a line by weighted least squares; return its slope."""
    x = x - (weights * x).sum() / weights.sum()
    return (weights * x * y).sum() / (weights * x.square()).sum()


def slope_by(variant, *, sign=1.0, factor=1.0, before=None, weights=None, first=0, last=0, **how):
    """Return a function that fits the slope, right unless told otherwise."""
    mean_of, weighing = before or variant["mean"], weights or variant["weights"]
    offset = how.pop("offset", 0)

    def slope(squares, fmin, fmax):
        values = squares.sqrt() if mean_of == "sizes" else squares
        curve = rings(values, **how)
        curve = curve if mean_of == "sizes" else curve.sqrt()
        chosen = torch.arange(fmin + first, fmax + 1 + last)
        count = torch.bincount(torch.floor(radius(squares.shape) + 0.5).long().flatten())
        weight = count[chosen].double() if weighing == "points" else torch.ones(len(chosen))
        x = (chosen.double() + offset).log()
        return sign * factor * fit_line(x, curve[chosen].log(), weight.double())

    return slope


def right_slope(variant):
    """Write the same with loops and a solver."""

    def slope(squares, fmin, fmax):
        sums = [[] for _ in range(SIDE)]
        for row in range(SIDE):
            for column in range(SIDE):
                ky, kx = min(row, SIDE - row), min(column, SIDE - column)
                size = float(squares[row, column])
                sums[int((ky * ky + kx * kx) ** 0.5 + 0.5)].append(size)
        if variant["mean"] == "sizes":
            curve = [sum(v**0.5 for v in ring) / max(len(ring), 1) for ring in sums]
        else:
            curve = [(sum(ring) / max(len(ring), 1)) ** 0.5 for ring in sums]
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
    other_mean = {"sizes": "squares", "squares": "sizes"}[variant["mean"]]
    other_weights = {"rings": "points", "points": "rings"}[variant["weights"]]
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
        Wrong(
            "other-mean",
            slope_by(variant, before=other_mean),
            "You take root and ring mean in the other order than the task.",
        ),
        Wrong(
            "other-weights",
            slope_by(variant, weights=other_weights),
            "Your fit weighs the rings otherwise than the task says.",
        ),
    ]


def draw_slope(generator, variant):
    """Draw a map of squares that falls, with scatter."""
    distance = radius((SIDE, SIDE)).clamp(min=0.6)
    scatter = torch.randn(SIDE, SIDE, generator=generator, dtype=torch.float64)
    return distance ** -number(generator, 1.0, 3.0) * scatter.exp(), FMIN, FMAX


def predict_by(variant, *, of_power=2.0, of_cross=1.0, sign=1.0, depth=None, scale=None, **how):
    """Return a function that predicts sensitivity, right unless told otherwise."""
    layers, scaling = depth or variant["depth"], scale or variant["scale"]

    def predict(power, cross, delta, decay):
        distance = radius(power.shape)
        distance[0, 0] = 1
        gain = distance ** (sign * delta)
        if scaling != "none":
            ratio = total(power, scaling) / total(gain.square() * power, scaling)
            gain = gain * (ratio if how.get("no_root") else ratio.sqrt())
            gain[0, 0] = 1
        s, c = gain**of_power * power, gain**of_cross * cross
        return sensitivity(s, c, decay, layers, **how)

    return predict


def total(power, scaling):
    """Add up power, without the constant wave unless it counts too."""
    return power.sum() - (0 if scaling == "with dc" else power[0, 0])


def sensitivity(s, c, decay, depth, *, kappa=0.5, clipped=True, decayed=True, no_root=False):
    """Return the closed form of a depth; by default that of the book."""
    if depth == 1:
        return c / (s + decay) if decayed else c / s
    above = c - decay / s.numel() ** kappa if decayed else c
    return (above.clamp(min=0) if clipped else above) / s


def right_predict(variant):
    """Write the same frequency by frequency, from the minimum of the scalar problem."""

    def predict(power, cross, delta, decay):
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
            "You multiply the correlation as if it were a power, so the teacher stays. It is the "
            "labels that stay.",
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
            "This is the closed form of another depth.",
        ),
        Wrong(
            "other-scale",
            predict_by(variant, scale=other_scale),
            "Your gain is right but for its scale: what does the task say of the variance?",
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
                "dc-counted",
                predict_by(variant, scale="with dc"),
                "The power of the constant wave is no part of the variance of the pixels.",
            ),
        ]
    return wrongs


def draw_predict(generator, variant):
    """Draw power, label correlations, a recolouring, and a decay that matters."""
    height = 7 + 2 * int(torch.randint(3, (), generator=generator))
    shape = (height, height + 3)
    noise = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    power = 4 * radius(shape).clamp(min=0.5) ** -2 * (0.2 * noise[0]).exp()
    cross = power.sqrt() * noise[1].abs()
    delta = number(generator, 0.5, 0.8)
    if variant["depth"] == 1:
        return power, cross, delta, number(generator, 0.3, 0.6)
    return power, cross, delta, number(generator, 0.3, 0.5) * (shape[0] * shape[1]) ** 0.5


def stderr_by(variant, *, over="seeds", middle=None, paired=True, correct=1, finish=None):
    """Return a function that gives a mean and its error, right unless told otherwise."""
    of_images = middle or variant["images"]

    def stderr(trained, untrained):
        if variant["seeds"] == "columns":
            trained, untrained = trained.T, untrained.T
        if over == "images":
            trained, untrained = trained.T, untrained.T
        if not paired:
            return unpaired(over_images(trained, of_images), over_images(untrained, of_images))
        change = trained - untrained
        values = change.flatten() if over == "all" else over_images(change, of_images)
        mean, spread = values.mean(), values.std(correction=correct)
        error = finish(spread, len(values)) if finish else spread / len(values) ** 0.5
        return float(mean), float(error)

    return stderr


def over_images(values, kind):
    """Summarise the images of each seed, (S,)."""
    return values.mean(1) if kind == "mean" else values.median(1).values


def unpaired(trained, untrained):
    """Return the difference of two means, with the errors of both in it."""
    n = len(trained)
    error = ((trained.var() + untrained.var()) / n).sqrt()
    return float(trained.mean() - untrained.mean()), float(error)


def right_stderr(variant):
    """Write the same with lists."""

    def stderr(trained, untrained):
        change = (trained - untrained).tolist()
        if variant["seeds"] == "columns":
            change = [list(seed) for seed in zip(*change, strict=True)]
        values = []
        for seed in change:
            ordered = sorted(seed)
            middle = ordered[len(ordered) // 2]
            values.append(sum(seed) / len(seed) if variant["images"] == "mean" else middle)
        n = len(values)
        mean = sum(values) / n
        return mean, (sum((v - mean) ** 2 for v in values) / (n * (n - 1))) ** 0.5

    return [stderr]


def wrong_stderrs(variant):
    """List how errors go wrong."""
    other = {"mean": "median", "median": "mean"}[variant["images"]]
    return [
        Wrong(
            "over-images",
            stderr_by(variant, over="images"),
            "Your error is over images, which all networks share. What is drawn anew from run to "
            "run is the seed.",
        ),
        Wrong(
            "all-pooled",
            stderr_by(variant, over="all"),
            "You count every pair of a seed and an image as an independent draw.",
        ),
        Wrong(
            "standard-deviation",
            stderr_by(variant, finish=lambda spread, n: spread),
            "This is the standard deviation of the seeds, which does not shrink with their number.",
        ),
        Wrong(
            "n-for-n-minus-1",
            stderr_by(variant, correct=0),
            "Your variance divides by the number of seeds. Their mean was fitted to them first.",
        ),
        Wrong(
            "divided-by-n",
            stderr_by(variant, finish=lambda spread, n: spread / n),
            "You divide by the number of seeds; errors shrink more slowly than that.",
        ),
        Wrong(
            "variance",
            stderr_by(variant, finish=lambda spread, n: spread**2 / n),
            "This is the square of an error: its unit is not that of a slope.",
        ),
        Wrong(
            "two-errors",
            stderr_by(variant, finish=lambda spread, n: 1.96 * spread / n**0.5),
            "This is half of a 95 % interval. The task asks for one standard error.",
        ),
        Wrong(
            "other-middle",
            stderr_by(variant, middle=other),
            "You summarise the images of a seed otherwise than the task says.",
        ),
        *wrong_pairs(variant),
    ]


def wrong_pairs(variant):
    """List what goes wrong with the control."""
    plain = stderr_by(variant)
    return [
        Wrong(
            "control-ignored",
            lambda trained, untrained: plain(trained, 0 * untrained),
            "You do not use the untrained networks.",
        ),
        Wrong(
            "sign",
            lambda trained, untrained: plain(untrained, trained),
            "You take the trained slope from the untrained one.",
        ),
        Wrong(
            "unpaired",
            stderr_by(variant, paired=False),
            "You take the two groups as independent. Each network has its own start, so take "
            "the change of each.",
        ),
    ]


def draw_stderr(generator, variant):
    """Draw slopes of five seeds on nine images, with starts that the seeds keep."""
    seed = torch.randn(5, 1, generator=generator, dtype=torch.float64)
    image = torch.randn(1, 9, generator=generator, dtype=torch.float64)
    noise = 0.5 * torch.randn(2, 5, 9, generator=generator, dtype=torch.float64)
    start = 0.5 * seed + 0.3 * image + noise[0]
    end = start - 1 + noise[1].exp()
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
    return curves - curves.mean() if reference == "the mean of all" else curves


def right_explained(variant):
    """Write the same with loops."""

    def explained(predicted, measured):
        runs, first = [], 0 if variant["about"] == "its own mean" else 1
        for i in range(first, len(measured)):
            pair = []
            for curves in (predicted, measured):
                own = [float(v) for v in curves[i].log()]
                if first:
                    levels = [float(v) for v in curves[0].log()]
                else:
                    levels = [sum(own) / len(own)] * len(own)
                pair.append([o - level for o, level in zip(own, levels, strict=True)])
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
    other_about = {"its own mean": "the first run", "the first run": "its own mean"}
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
            "You compare the logarithms as they are, so that the level of the curves counts, "
            "which the task leaves free.",
        ),
        Wrong(
            "about-the-mean-of-all",
            explained_by(variant, about="the mean of all"),
            "You subtract one mean of all curves together.",
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
        Wrong(
            "other-reference",
            explained_by(variant, about=other_about[variant["about"]]),
            "You subtract something else from the logarithms than the task says.",
        ),
        Wrong(
            "other-scope",
            explained_by(variant, scope=other_scope),
            "Your average over runs is not that of the task: is there one quotient, or one a run?",
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
        variants=choices(mean=("sizes", "squares"), weights=("rings", "points")),
    ),
    Task(
        "predict", 4, draw_predict, predict_by, wrong_predicts, right_predict,
        variants=choices(depth=(1, 2), scale=("none", "variance")),
    ),
    Task(
        "stderr", 4, draw_stderr, stderr_by, wrong_stderrs, right_stderr,
        variants=choices(seeds=("rows", "columns"), images=("mean", "median")),
    ),
    Task(
        "explained", 3, draw_explained, explained_by, wrong_explaineds, right_explained,
        variants=choices(
            about=("its own mean", "the first run"), scope=("all runs together", "run by run"),
        ),
    ),
]  # fmt: skip
