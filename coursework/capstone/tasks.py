"""The capstone: measuring a network whose answer is known, and the change that training made."""

import math

import torch
from grader.pieces import squares
from grader.task import Task, choices
from torch.nn.functional import conv2d, pad

from freqsense.exercises import Wrong

SIDE, RINGS = 16, 9


def logits_of(x, kernel, head, scale):
    """Run the network of the task: circular convolution, ReLU, mean over pixels, a matrix."""
    wrapped = pad(x, (1, 1, 1, 1), mode="circular")
    return scale * conv2d(wrapped, kernel).relu().mean((-2, -1)) @ head.T  # (N, K)


def gradients_of(x, outputs):
    """Return the gradient of each output at each image, (K, N, C, H, W)."""
    parts = [torch.autograd.grad(o.sum(), x, retain_graph=True)[0] for o in outputs.unbind(1)]
    return torch.stack(parts)


def ring_means(values, rule="nearest", shifted=False):
    """Average a map (H, W) over rings of the radius in cycles/image, (R,)."""
    k = SIDE * torch.fft.fftfreq(SIDE, dtype=torch.float64)
    distance = torch.hypot(k[:, None], k[None])
    ring = torch.floor(distance + (0.5 if rule == "nearest" else 0.0))
    ring = torch.fft.fftshift(ring) if shifted else ring
    return torch.stack([values[ring == number].mean() for number in range(RINGS)])


MEANS = {"sum": torch.sum, "mean": torch.mean}


def over_images(power, kind):
    """Average over images, (K, N, C, H, W) to (K, C, H, W): squares, or sizes that are squared."""
    return power.mean(1) if kind == "squares" else power.sqrt().mean(1).square()


def measure_by(
    variant, *, answer=None, outputs=None, channels=None, images=None, gather=over_images, of=None,
    factor=1.0, before=None, rings=ring_means, scaled=True,
):  # fmt: skip
    """Return a function that measures, right unless told otherwise."""
    answer, kind = answer or variant["answer"], images or variant["images"]
    outputs = MEANS[outputs or variant["outputs"]]
    channels = MEANS[channels or variant["channels"]]

    def measure(images, kernel, head, scale):
        x = images.clone().requires_grad_()
        found = logits_of(x, kernel, head, scale if scaled else 1.0)
        gradients = gradients_of(x, of(found) if of else found)
        power = factor * gather(squares(gradients), kind)
        power = channels(outputs(power, 0), 0)  # (H, W)
        if before:
            return before(rings(before(power, "in")), "out", answer)
        profile = rings(power)
        return profile.sqrt() if answer == "amplitude" else profile

    return measure


def right_measure(variant):
    """Write the same with a loop over images and the gradient worked out by hand."""

    def measure(images, kernel, head, scale):
        power = 2 if variant["images"] == "squares" else 1
        total = torch.zeros(len(head), *images.shape[1:], dtype=torch.float64)
        for image in images:
            wrapped = pad(image[None], (1, 1, 1, 1), mode="circular")
            open_ = (conv2d(wrapped, kernel)[0] > 0).double()  # (M, H, W)
            for k, row in enumerate(head):
                through = scale * row[:, None, None] * open_ / SIDE**2
                back = torch.zeros_like(image)
                for dy in range(3):
                    for dx in range(3):
                        moved = through.roll((dy - 1, dx - 1), (1, 2))
                        back += (kernel[:, :, dy, dx, None, None] * moved[:, None]).sum(0)
                total[k] += (torch.fft.fft2(back).abs() / SIDE) ** power / len(images)
        total = (total ** (2 / power)).sum((0, 1))
        total /= 1 if variant["outputs"] == "sum" else len(head)
        total /= 1 if variant["channels"] == "sum" else images.shape[1]
        profile = ring_means(total)
        return profile if variant["answer"] == "power" else profile**0.5

    return [measure]


def sum_over_images(power, kind):
    """Add up over images in the place of a mean."""
    n = power.shape[1]
    return over_images(power, kind) * (n if kind == "squares" else n**2)


def sizes_of_rings(values, stage, answer=None):
    """Average amplitudes over rings in the place of squares."""
    if stage == "in":
        return values.sqrt()
    return values if answer == "amplitude" else values.square()


def wrong_measures(variant):
    """List how a measurement goes wrong."""
    answer = {"amplitude": "power", "power": "amplitude"}[variant["answer"]]
    other = {"sum": "mean", "mean": "sum", "squares": "sizes", "sizes": "squares"}
    wanted = {"amplitude": "an amplitude", "power": "a power"}[variant["answer"]]
    return [
        Wrong(
            "power-or-amplitude",
            measure_by(variant, answer=answer),
            f"Double the logits: what happens to your numbers, and what to {wanted}?",
        ),
        Wrong(
            "outputs",
            measure_by(variant, outputs=other[variant["outputs"]]),
            f"You take the {other[variant['outputs']]} over outputs, and the task the "
            f"{variant['outputs']}.",
        ),
        Wrong(
            "channels",
            measure_by(variant, channels=other[variant["channels"]]),
            f"You take the {other[variant['channels']]} over the channels of the images, and the "
            f"task the {variant['channels']}.",
        ),
        Wrong(
            "sum-over-images",
            measure_by(variant, gather=sum_over_images),
            "Twice the same images must not change a sensitivity: take the mean over images.",
        ),
        Wrong(
            f"mean-of-{other[variant['images']]}",
            measure_by(variant, images=other[variant["images"]]),
            {
                "squares": "You average sizes over images and square afterwards; the task averages "
                "squares.",
                "sizes": "You average squares over images; the task averages sizes and squares "
                "their mean.",
            }[variant["images"]],
        ),
        Wrong(
            "batch-mean",
            measure_by(variant, of=lambda logits: logits / len(logits)),
            "You differentiate the mean over a batch, so that each gradient is divided by the "
            "number of images.",
        ),
        Wrong(
            "one-direction",
            measure_by(variant, of=lambda logits: logits.sum(1, keepdim=True)),
            "You differentiate the sum of the outputs, in which they cancel. Each has a gradient "
            "of its own.",
        ),
        Wrong(
            "probabilities",
            measure_by(variant, of=lambda logits: logits.softmax(1)),
            "This is the sensitivity of the class probabilities; the task asks for the logits.",
        ),
        Wrong(
            "not-unitary",
            measure_by(variant, factor=float(SIDE**2)),
            "Your transform is not unitary: compare the sum over frequencies with the sum over "
            "pixels.",
        ),
        Wrong(
            "scale-forgotten",
            measure_by(variant, scaled=False),
            "Your network does not multiply its logits by the scale.",
        ),
        Wrong(
            "sizes-over-rings",
            measure_by(variant, before=sizes_of_rings),
            "You average amplitudes within a ring; the task averages squares.",
        ),
        Wrong(
            "half-a-ring",
            measure_by(variant, rings=lambda values: ring_means(values, rule="below")),
            "Your rings begin half a cycle away from those of the task.",
        ),
        Wrong(
            "shifted",
            measure_by(variant, rings=lambda values: ring_means(values, shifted=True)),
            "You take the middle of the array for the constant wave.",
        ),
    ]


def draw_measure(generator, variant):
    """Draw images and the weights of a network."""

    def noise(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    scale = 1 + 2 * float(torch.rand((), generator=generator, dtype=torch.float64))
    return noise(8, 2, SIDE, SIDE) + 0.3, noise(4, 2, 3, 3), 9 * noise(3, 4), scale


def spread(values):
    """Return the standard error of a mean."""
    return values.std() / math.sqrt(len(values))


def tell(change, error, told):
    """Return the two numbers that a variant asks for."""
    half = 1.96 * error
    return {
        "error": (change, error), "half-width": (change, half),
        "interval": (change - half, change + half), "ratio": (change, change / error),
    }[told]  # fmt: skip


def change_by(
    variant, *, starts=None, error=spread, sign=1.0, told=None, add=torch.hypot, finish=float
):
    """Return a function for the change that training made, right unless told otherwise."""
    starts, told = starts or variant["starts"], told or variant["told"]

    def change(trained, untrained):
        difference = sign * float(trained.mean() - untrained.mean())
        if starts == "the same":
            found = error(trained - untrained)
        else:
            found = add(error(trained), error(untrained))
        return tell(difference, finish(found), told)

    return change


def right_change(variant):
    """Write the same with sums of plain numbers."""

    def variance(values):
        middle = sum(values) / len(values)
        return sum((value - middle) ** 2 for value in values) / (len(values) - 1)

    def change(trained, untrained):
        after, before = trained.tolist(), untrained.tolist()
        n = len(after)
        difference = sum(after) / n - sum(before) / n
        if variant["starts"] == "the same":
            square = variance([a - b for a, b in zip(after, before, strict=True)]) / n
        else:
            square = (variance(after) + variance(before)) / n
        if variant["told"] == "interval":
            return [difference + width * square**0.5 for width in (-1.96, 1.96)]
        if variant["told"] == "ratio":
            return [difference, difference / square**0.5]
        return [difference, (1.96 if variant["told"] == "half-width" else 1) * square**0.5]

    return [change]


TOLD = {
    "error": "the change and its standard error",
    "half-width": "the change and 1.96 standard errors",
    "interval": "the two ends of the 95 % interval",
    "ratio": "the change and its ratio to the standard error",
}


def wrong_changes(variant):
    """List how a change and its error go wrong."""
    other = {"the same": "others", "others": "the same"}[variant["starts"]]

    def of_trained(trained, untrained):
        difference = float(trained.mean() - untrained.mean())
        return tell(difference, float(spread(trained)), variant["told"])

    def without_control(trained, untrained):
        return tell(float(trained.mean()), float(spread(trained)), variant["told"])

    return [
        Wrong(
            "pairs",
            change_by(variant, starts=other),
            {
                "the same": "You take the two lists as independent, but each network is compared "
                "with itself: what scatters is its own change.",
                "others": "You compare the lists seed by seed, but their networks have nothing to "
                "do with each other: both lists scatter.",
            }[variant["starts"]],
        ),
        Wrong(
            "sign",
            change_by(variant, sign=-1.0),
            "The change is what training added: trained minus untrained.",
        ),
        Wrong(
            "scatter-for-error",
            change_by(variant, error=torch.std),
            "This is the scatter of single networks. More seeds must make the error of a mean "
            "smaller.",
        ),
        Wrong(
            "divided-by-n",
            change_by(variant, error=lambda v: v.std() / len(v)),
            "You divide by the number of seeds; the error of a mean falls with its root.",
        ),
        Wrong(
            "biased",
            change_by(variant, error=lambda v: v.std(correction=0) / math.sqrt(len(v))),
            "With few seeds it matters: the mean was taken from the same numbers, so one of them "
            "is used up.",
        ),
        Wrong(
            "variance",
            change_by(variant, finish=lambda found: float(found**2)),
            "You take the square of the error for the error: its unit is not that of a slope.",
        ),
        Wrong(
            "error-of-trained-alone",
            of_trained,
            "The untrained networks scatter too, and your error leaves that out.",
        ),
        Wrong(
            "errors-added",
            change_by(variant, starts="others", add=torch.add),
            "You add the two errors. Errors that know nothing of each other add in squares.",
        ),
        Wrong(
            "without-control",
            without_control,
            "This is the slope of the trained networks alone; what would it be without training?",
        ),
        *(
            Wrong(
                f"told-as-{told}",
                change_by(variant, told=told),
                f"You return {what}; the task asks for {TOLD[variant['told']]}.",
            )
            for told, what in TOLD.items()
            if told != variant["told"]
        ),
    ]


def draw_change(generator, variant):
    """Draw slopes of networks by seed, which remember their start a little."""
    n = 3 + int(torch.randint(4, (), generator=generator))
    before = 0.2 + 0.1 * torch.randn(n, generator=generator, dtype=torch.float64)
    noise = 0.1 * torch.randn(n, generator=generator, dtype=torch.float64)
    return 0.5 * before - 0.8 + noise, before


TASKS = [
    Task(
        "measure", 4, draw_measure, measure_by, wrong_measures, right_measure,
        variants=choices(
            answer=("amplitude", "power"), outputs=("sum", "mean"), channels=("sum", "mean"),
            images=("squares", "sizes"),
        ),
        n_cases=2, seconds=60,
    ),
    Task(
        "change", 4, draw_change, change_by, wrong_changes, right_change,
        variants=choices(
            starts=("the same", "others"), told=("error", "half-width", "interval", "ratio"),
        ),
    ),
]  # fmt: skip
