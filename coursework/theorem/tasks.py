"""The sensitivity theorem: the closed forms, where a network falls silent, and training it."""

import math

import torch
from grader.pieces import number, whole
from grader.task import Task, choices

from freqsense import theory
from freqsense.exercises import Wrong, messages

SIDE = 8  # pixels a side of the images that are trained on
N_IMAGES = 96


def positive(values):
    """Return the positive part."""
    return values.clamp(min=0)


def divided(values, power):
    """Divide by a power, and leave what has none at zero."""
    return torch.where(power > 0, values / power.where(power > 0, 1.0), 0.0)


def ridge(s, gamma, price):
    """Return what depth 1 leaves at a price."""
    return divided(gamma, s + price)


def lasso(s, gamma, price):
    """Return what depth 2 leaves at a price."""
    return divided(positive(gamma - price), s)


def acting(variant, decay):
    """Return the decay of which half multiplies the squares, as in the course."""
    return 2 * variant["penalty"] * decay


def wrong_factor(variant):
    """Return by how much the decay is off where the factor of the penalty is mistaken, and why."""
    if variant["penalty"] == 0.5:
        return 2.0, "Your decay counts twice as much as it should: the penalty has a factor ½."
    return 0.5, (
        "Your decay counts half as much as it should. The course has λ/2 before the sum of "
        "squares; what does this task have?"
    )


def charged(variant, depth, decay):
    """Return the decay of all layers of a depth that acts like their own."""
    return variant["head"] ** (1 / depth) * acting(variant, decay)


def prices_by(variant, *, heads=None, factor=1.0, pixels=None):
    """Return a function for the prices of both depths, right unless told otherwise."""
    heads = heads or {depth: variant["head"] ** (1 / depth) for depth in (1, 2)}
    powers = {1: 0.0, 2: 0.5} | (pixels or {})

    def prices(decay, n_pixels):
        return tuple(
            factor * heads[depth] * acting(variant, decay) / n_pixels ** powers[depth]
            for depth in (1, 2)
        )

    return prices


def closed_form_by(variant, *, prices=None, rules=(ridge, lasso), given=None):
    """Return a function for the sensitivity at both depths, right unless told otherwise."""
    given, prices = given or variant["given"], prices or prices_by(variant)

    def closed_form(s, task, decay, n_pixels):
        gamma, both = task if given == "gamma" else s * task, prices(decay, n_pixels)
        return torch.stack([rule(s, gamma, p) for rule, p in zip(rules, both, strict=True)])

    return closed_form


def right_closed_form(variant):
    """Minimise the problem of each frequency by halving an interval."""

    def slope(r, s, gamma, price, depth):
        """Return half the change of the objective with r."""
        return s * r - gamma + (price * r if depth == 1 else price)

    def least(s, gamma, price, depth):
        low, high = 0.0, 0.0 if s == 0 else gamma / s
        for _ in range(80):
            middle = (low + high) / 2
            ends = slope(middle, s, gamma, price, depth) < 0
            low, high = (middle, high) if ends else (low, middle)
        return low if low > 1e-12 else 0.0

    def closed_form(s, task, decay, n_pixels):
        found = []
        for depth in (1, 2):
            price = charged(variant, depth, decay) / (1 if depth == 1 else math.sqrt(n_pixels))
            for power, asked in zip(s.tolist(), task.tolist(), strict=True):
                gamma = asked if variant["given"] == "gamma" else power * asked
                found.append(least(power, gamma, price, depth))
        return torch.tensor(found, dtype=torch.float64).reshape(2, -1)

    return [closed_form]


def wrong_closed_forms(variant):
    """List how the closed forms go wrong."""
    confused = {"gamma": "teacher", "teacher": "gamma"}[variant["given"]]
    off, why = wrong_factor(variant)
    return [
        Wrong(
            "other-depth",
            lambda *of: closed_form_by(variant)(*of).flip(0),
            "Your rows have changed places: the first belongs to depth 1.",
        ),
        Wrong(
            "penalty-factor", closed_form_by(variant, prices=prices_by(variant, factor=off)), why
        ),
        Wrong(
            "no-decay",
            closed_form_by(variant, prices=lambda *_: (0.0, 0.0)),
            "This is the teacher: your answer does not depend on the decay.",
        ),
        Wrong(
            "correlation-or-teacher",
            closed_form_by(variant, given=confused),
            {
                "gamma": "You take γ for the teacher: the power is in it already.",
                "teacher": "You take |b*| for the correlation γ. What lies between the two?",
            }[variant["given"]],
        ),
        Wrong(
            "amplitude",
            lambda s, *rest: closed_form_by(variant)(s.sqrt(), *rest),
            "You take s for an amplitude. It is a power already.",
        ),
        Wrong(
            "frequencies-counted",
            lambda s, task, decay, _: closed_form_by(variant)(s, task, decay, s.numel()),
            "D is the number of pixels of an image, which is handed to you; you count the "
            "frequencies that you were asked about.",
        ),
        *wrong_ridges(variant),
        *wrong_lassos(variant),
        *wrong_shares(variant),
    ]


def wrong_ridges(variant):
    """List how the formula of depth 1 goes wrong."""

    def of_pixels(power):
        return closed_form_by(variant, prices=prices_by(variant, pixels={1: power}))

    return [
        Wrong(
            "price-of-depth-2",
            of_pixels(0.5),
            "Your price at depth 1 has the power of D that belongs to depth 2.",
        ),
        Wrong(
            "decay-per-pixel",
            of_pixels(1.0),
            "You divide the decay by D at depth 1. How does the cost of depth 1 depend on D?",
        ),
        Wrong(
            "clipped",
            closed_form_by(variant, rules=(lambda s, g, p: ridge(s, positive(g - p), p), lasso)),
            "You shrink twice: at depth 1 the decay weakens every frequency, and takes nothing off "
            "the correlation.",
        ),
        Wrong(
            "lasso-twice",
            closed_form_by(variant, rules=(lasso, lasso)),
            "Your formula of depth 1 silences frequencies. Depth 1 shrinks them all.",
        ),
    ]


def wrong_lassos(variant):
    """List how the formula of depth 2 goes wrong."""
    rules = {
        "not-clipped": (
            lambda s, g, p: divided(g - p, s),
            messages.NEGATIVE_SENSITIVITY,
        ),
        "size-of-negative": (
            lambda s, g, p: divided((g - p).abs(), s),
            messages.SIZE_OF_NEGATIVE,
        ),
        "ridge-twice": (
            ridge,
            "Your formula of depth 2 shrinks every frequency and silences none. Depth 2 cuts off.",
        ),
        "price-off-the-teacher": (
            lambda s, g, p: positive(divided(g, s) - p),
            messages.PRICE_OFF_THE_TEACHER,
        ),
        "not-divided": (
            lambda s, g, p: positive(g - p),
            "At depth 2 this is what is left of the correlation. From a correlation to a "
            "sensitivity one step is missing.",
        ),
    }
    return [
        Wrong(
            "price-without-pixels",
            closed_form_by(variant, prices=prices_by(variant, pixels={2: 0.0})),
            "κ is not λ at depth 2: the number of pixels is missing.",
        ),
        Wrong(
            "per-pixel",
            closed_form_by(variant, prices=prices_by(variant, pixels={2: 1.0})),
            "You divide the decay by D at depth 2. How does the representation cost of depth L "
            "depend on D?",
        ),
        *(
            Wrong(name, closed_form_by(variant, rules=(ridge, rule)), message)
            for name, (rule, message) in rules.items()
        ),
    ]


def wrong_shares(variant):
    """List what goes wrong because the head pays more than the kernel."""
    head = variant["head"]

    def paying(first, second):
        return closed_form_by(variant, prices=prices_by(variant, heads={1: first, 2: second}))

    return [
        Wrong(
            "head-like-kernel",
            paying(1, 1),
            f"You charge all weights with λ. Those of the head pay {head} times as much.",
        ),
        Wrong(
            "head-of-depth-1",
            paying(1, head**0.5),
            "Which weights has a network of depth 1, and what do they pay?",
        ),
        Wrong(
            "kernel-of-depth-2",
            paying(head, 1),
            "At depth 2 you charge both layers with λ. The head pays more.",
        ),
        Wrong(
            "kernel-like-head",
            paying(head, head),
            f"At depth 2 you charge both layers with {head} λ. The kernel pays λ.",
        ),
        Wrong(
            "mean-of-decays",
            paying(head, (1 + head) / 2),
            "At depth 2 you charge both layers with the mean of their decays. The layer that pays "
            "less can grow, and the other shrink.",
        ),
    ]


def draw_closed_form(generator, variant):
    """Draw powers of some frequencies, one zero and one large, and what is asked for there."""
    s = 3 * torch.rand(9, generator=generator, dtype=torch.float64) + 0.2
    teacher = torch.rand(9, generator=generator, dtype=torch.float64) + 0.2
    none, much = torch.randperm(9, generator=generator)[:2]
    # Else a price that is far too large leaves nothing, whatever the reason.
    s[none], s[much] = 0, 40 * s[much]
    n_pixels = whole(generator, 6, 12) * whole(generator, 6, 12)
    # So that about every third frequency is silent at depth 2.
    price = float((s * teacher).quantile(0.3)) * math.sqrt(n_pixels)
    task = s * teacher if variant["given"] == "gamma" else teacher
    return s, task, price / charged(variant, 2, 1.0), n_pixels


def fall_of_power(variant, alpha):
    """Return the exponent with which the power falls."""
    return {"power": alpha, "amplitude": 2 * alpha}[variant["exponent"]]


def fall_of_teacher(variant):
    """Return the exponent with which the teacher falls."""
    return {"white": 0, "falling": 1}[variant["teacher"]]


def root_of_pixels(decays, n):
    """Return the price of a frequency at depth 2, for n pixels a side."""
    return decays / n


def correlation_of(power, teacher):
    """Return what a wave has to do with the targets."""
    return power * teacher


def first_silent_by(
    variant, *, factor=1.0, price=root_of_pixels, edge="silent", shift=0, cap=True,
    of=correlation_of,
):  # fmt: skip
    """Return a function that finds the first silent ring, right unless told otherwise."""

    def first_silent(alpha, teacher, decays, n):
        rings = torch.arange(1, 4 * n + 1, dtype=torch.float64)
        power = rings ** -(factor * fall_of_power(variant, alpha))
        gamma = of(power, teacher * rings ** -fall_of_teacher(variant))
        threshold = price(acting(variant, decays), n)[:, None]
        margin = 1 + 1e-9 if edge == "silent" else 1 - 1e-9
        silent = gamma <= threshold * margin  # (M, R)
        first = torch.where(silent.any(1), 1 + silent.int().argmax(1), len(rings) + 1)
        return (first.clamp(max=n // 2 + 1) if cap else first) + shift

    return first_silent


def right_first_silent(variant):
    """Write the same with the radius up to which the network listens."""

    def first_silent(alpha, teacher, decays, n):
        exponent = fall_of_power(variant, alpha) + fall_of_teacher(variant)
        found = []
        for decay in acting(variant, decays).tolist():
            reach = (teacher * n / decay) ** (1 / exponent)
            found.append(min(max(math.ceil(reach * (1 - 1e-10)), 1), n // 2 + 1))
        return torch.tensor(found)

    return [first_silent]


def wrong_first_silents(variant):
    """List how the first silent ring goes wrong."""
    wanted, (off, why) = variant["exponent"], wrong_factor(variant)
    other = {"white": "falling", "falling": "white"}[variant["teacher"]]
    return [
        Wrong(
            "power-or-amplitude",
            first_silent_by(variant, factor={"power": 0.5, "amplitude": 2.0}[wanted]),
            "The power of your images falls with half or twice the exponent it should: α belongs "
            f"to their {wanted}.",
        ),
        Wrong(
            "last-heard",
            first_silent_by(variant, shift=-1),
            "This is the ring before: the last one that the network listens to, or rings counted "
            "from zero.",
        ),
        Wrong(
            "one-too-far",
            first_silent_by(variant, shift=1),
            "You are one ring too far: the ring before yours is silent already.",
        ),
        Wrong(
            "edge-heard",
            first_silent_by(variant, edge="heard"),
            "What is the sensitivity where the correlation is exactly the price?",
        ),
        Wrong(
            "pixels-forgotten",
            first_silent_by(variant, price=lambda decays, n: decays),
            "Your price is that of a single pixel. At depth 2 it depends on the number of pixels.",
        ),
        Wrong(
            "per-pixel",
            first_silent_by(variant, price=lambda decays, n: decays / n**2),
            "You divide the decay by D = n². Which power of D does depth 2 ask for?",
        ),
        Wrong(
            "root-of-side",
            first_silent_by(variant, price=lambda decays, n: decays / math.sqrt(n)),
            "You take n for the number of pixels. It is the number of pixels along one side.",
        ),
        Wrong(
            "beyond-the-last-ring",
            first_silent_by(variant, cap=False),
            "Some of your rings do not exist in an image of this size. What does the task want "
            "there?",
        ),
        Wrong(
            "teacher-forgotten",
            first_silent_by(variant, of=lambda power, teacher: power),
            "You compare the power with the price. It is the correlation that has to pay it.",
        ),
        Wrong(
            "teacher-divides",
            first_silent_by(variant, of=lambda power, teacher: power / teacher),
            "A task that asks for more is heard further, and yours is heard less far.",
        ),
        Wrong("penalty-factor", first_silent_by(variant, price=lambda d, n: off * d / n), why),
        Wrong(
            "other-teacher",
            first_silent_by({**variant, "teacher": other}),
            {
                "white": "Your teacher falls with the radius; that of the task is the same "
                "everywhere.",
                "falling": "Your teacher is the same everywhere; that of the task falls with the "
                "radius, beside the power.",
            }[variant["teacher"]],
        ),
    ]


def draw_first_silent(generator, variant):
    """Draw decays: one that silences all rings, one that none, some between, one on an edge."""
    n = 4 * whole(generator, 8, 12)
    alpha, teacher = number(generator, 1.2, 1.6), number(generator, 2.0, 4.0)
    exponent = fall_of_power(variant, alpha) + fall_of_teacher(variant)
    rings = [0.7, 0.8 * n, *(whole(generator, 2, n // 2 - 2) + 0.5 for _ in range(5))]
    rings.append(whole(generator, 3, n // 2 - 2))
    decays = torch.tensor([teacher * n * ring**-exponent for ring in rings], dtype=torch.float64)
    decays /= acting(variant, 1.0)
    return alpha, teacher, decays[torch.randperm(len(rings), generator=generator)], n


def least_squares_map(x, y):
    """Return the sizes of the map that costs nothing, (H, W)."""
    return solved(x, y, 0.0, depth=1)


def solved(x, y, decay, depth=2):
    """Return the sizes of the map that the convex program finds, (H, W)."""
    found = theory.solve(x[:, None], y, weight_decay=decay, depth=depth, tolerance=1e-9)
    return found.B[..., 0, 0].abs()


def of_the_mean(variant, decay):
    """Return the decay beside half of the mean square that acts like this one."""
    return acting(variant, decay) / {"mean": 1, "sum": N_IMAGES}[variant["loss"]]


def shared(variant, decay):
    """Return the decay of both layers, beside half of the mean square, that acts like theirs."""
    return math.sqrt(variant["head"]) * of_the_mean(variant, decay)


def train_by(variant, factor=1.0):
    """Return the convex program in the place of a training, at a multiple of the decay."""

    def train(x, y, decay, seed):
        return solved(x, y, factor * shared(variant, decay))

    return train


def moments(x, y):
    """Return the covariance of the pixels, (D, D), and their correlation with the targets, (D,)."""
    flat = x.flatten(1)
    return flat.T @ flat / len(x), flat.T @ y / len(x)


def pull(weights, covariance, correlation):
    """Return the sizes of the map of two layers, and how its loss changes with each."""
    kernel, head = (torch.fft.fft2(each, norm="ortho") for each in weights)
    # Pixel weights of the whole network, then their gradient, handed back to both layers.
    total = torch.fft.ifft2(kernel * head, norm="ortho").real * SIDE
    gradient = (covariance @ total.flatten() - correlation).reshape(SIDE, SIDE)
    error = torch.fft.fft2(gradient, norm="ortho") * SIDE
    pulls = [torch.fft.ifft2(error * other.conj(), norm="ortho").real for other in (head, kernel)]
    return SIDE * (kernel * head).abs(), pulls


def start(seed):
    """Draw the first weights of both layers."""
    own = torch.Generator().manual_seed(seed)
    return list(torch.randn(2, SIDE, SIDE, generator=own, dtype=torch.float64) / SIDE)


def unconverged_by(variant, steps=30, rate=0.1):
    """Return a training that stops too early."""
    head = math.sqrt(variant["head"])

    def train(x, y, decay, seed):
        weights, known = start(seed), moments(x, y)
        for _ in range(steps):
            _, pulls = pull(weights, *known)
            both = (shared(variant, decay) / head, shared(variant, decay) * head)
            weights = [w - rate * (p + d * w) for w, p, d in zip(weights, pulls, both, strict=True)]
        return pull(weights, *known)[0]

    return train


def decoupled_by(variant, steps=80, rate=0.02):
    """Return a training with Adam that shrinks weights beside its gradient steps."""

    def train(x, y, decay, seed):
        weights, known = torch.stack(start(seed)), moments(x, y)
        decays = decay * torch.tensor([1.0, variant["head"]], dtype=x.dtype)[:, None, None]
        first, second = torch.zeros_like(weights), torch.zeros_like(weights)
        for step in range(1, steps + 1):
            pulls = torch.stack(pull(list(weights), *known)[1])
            first, second = 0.9 * first + 0.1 * pulls, 0.999 * second + 0.001 * pulls**2
            move = first / (1 - 0.9**step) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
            weights = weights - rate * (move + decays * weights)
        return pull(list(weights), *known)[0]

    return train


def right_train(variant):
    """Train by solving for one size of layers after the other: ridge, with what it cost before."""

    def train(x, y, decay, seed):
        covariance, correlation = moments(x, y)
        price = shared(variant, decay) / SIDE
        waves = torch.fft.fft2(torch.eye(SIDE**2, dtype=x.dtype).reshape(-1, SIDE, SIDE))
        waves = waves.flatten(1).T / SIDE  # (D, D)
        size = torch.ones(SIDE**2, dtype=x.dtype)
        for _ in range(200):
            # The penalty |B| touches B²/(2 size) from below, where the size is that of before.
            penalty = (waves.mH @ (waves / size.clamp(min=1e-9)[:, None])).real
            pixels = torch.linalg.solve(covariance + price * penalty, correlation)
            size = (waves @ pixels.to(waves.dtype)).abs()
        return size.reshape(SIDE, SIDE)

    return [train]


def wrong_trains(variant):
    """List how training goes wrong."""
    off, why = wrong_factor(variant)
    # A loss that is twice that of the task has the decay count half as much.
    halves = {
        0.5: "Your decay counts half as much as it should: the loss has a factor ½ too.",
        1: "Your decay counts twice as much as it should: compare the factors before loss and "
        "penalty with those of the task.",
    }
    several = {
        "mean": "Your loss is the sum over images; the task takes their mean, beside which the "
        "decay counts more.",
        "sum": "Your loss is the mean over images; the task takes their sum, beside which the "
        "decay counts less.",
    }
    return [
        Wrong(
            "decay-without-price",
            lambda x, y, decay, seed: least_squares_map(x, y),
            "This is what training without any decay finds. If one layer alone pays, it shrinks "
            "and the other grows, for nothing; and a decoupled decay (AdamW) is no part of the "
            "objective.",
        ),
        Wrong(
            "decoupled-decay",
            decoupled_by(variant),
            "Your optimiser shrinks the weights beside its gradient steps. Put the decay into the "
            "objective.",
        ),
        Wrong(
            "unconverged",
            unconverged_by(variant),
            "Your training has not come to rest: its first steps are all that it has done.",
        ),
        Wrong("penalty-factor", train_by(variant, off), why),
        Wrong("other-half", train_by(variant, 1 / off), halves[variant["penalty"]]),
        Wrong(
            "sum-or-mean",
            train_by(variant, {"mean": 1 / N_IMAGES, "sum": N_IMAGES}[variant["loss"]]),
            several[variant["loss"]],
        ),
        Wrong(
            "transform-not-unitary",
            train_by(variant, SIDE),
            "Your decay acts on the transfer function of the convolution. The task sums the "
            "squares of the kernel's pixels.",
        ),
        Wrong(
            "depth-1",
            lambda x, y, decay, seed: solved(x, y, shared(variant, decay), depth=1),
            "This is a network of one layer. No frequency is silent in it.",
        ),
        *wrong_heads(variant),
    ]


def wrong_heads(variant):
    """List what goes wrong because the head pays more than the kernel."""
    head, paid = variant["head"], math.sqrt(variant["head"])
    return [
        Wrong(
            "head-like-kernel",
            train_by(variant, 1 / paid),
            f"You charge both layers with λ. The head pays {head} times as much.",
        ),
        Wrong(
            "kernel-like-head",
            train_by(variant, paid),
            f"You charge both layers with {head} λ. The kernel pays λ.",
        ),
        Wrong(
            "mean-of-decays",
            train_by(variant, (1 + head) / 2 / paid),
            "You charge both layers with the mean of their decays. Train them with their own.",
        ),
    ]


def draw_train(generator, variant):
    """Draw few images, whose frequencies depend on each other, and targets with noise."""
    ky, kx = (SIDE * torch.fft.fftfreq(SIDE, dtype=torch.float64) for _ in range(2))
    gain = 1 / torch.hypot(ky[:, None], kx[None]).clamp(min=1)
    white = torch.randn(N_IMAGES, SIDE, SIDE, generator=generator, dtype=torch.float64)
    x = torch.fft.ifft2(torch.fft.fft2(white) * gain).real
    teacher = torch.randn(SIDE, SIDE, generator=generator, dtype=torch.float64) / SIDE
    noise = torch.randn(N_IMAGES, generator=generator, dtype=torch.float64)
    y = (x * teacher).sum((1, 2)) + 0.3 * noise
    decay = number(generator, 0.05, 0.08) / shared(variant, 1.0)
    return x, y, decay, whole(generator, 0, 99)


TASKS = [
    Task(
        "closed_form", 5, draw_closed_form, closed_form_by, wrong_closed_forms, right_closed_form,
        variants=choices(head=(4, 9), given=("gamma", "teacher"), penalty=(0.5, 1)),
    ),
    Task(
        "first_silent", 3, draw_first_silent, first_silent_by, wrong_first_silents,
        right_first_silent,
        variants=choices(
            exponent=("power", "amplitude"), teacher=("white", "falling"), penalty=(0.5, 1)
        ),
    ),
    Task(
        "train", 4, draw_train, train_by, wrong_trains, right_train,
        variants=choices(head=(9, 25), loss=("mean", "sum"), penalty=(0.5, 1)),
        n_cases=2, rtol=1e-2, seconds=60,
    ),
]  # fmt: skip
