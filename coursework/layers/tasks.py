"""What a layer does: its norm, what padding mixes, and how sensitive a network is to waves."""

import torch
from grader.pieces import layer, middle, normal, transfer_matrices, whole
from grader.task import Task, choices
from torch.nn.functional import conv2d, pad

from freqsense.exercises import Wrong, messages

N_OUTPUTS = 3  # of the networks that are probed

OTHER = {
    "twice": "residual", "residual": "twice", "all": "centred", "centred": "all",
    "power": "sensitivity", "sensitivity": "power", "images": "probes", "probes": "images",
}  # fmt: skip


def stretches(matrices):
    """Return the singular values of each matrix."""
    return torch.linalg.svdvals(matrices)


def eye_like(matrices):
    """Return unit matrices of the same size."""
    return torch.eye(matrices.shape[-1], dtype=matrices.dtype)


# What a map makes of the transfer matrices of its layer.
BLOCKS = {
    "residual": lambda t: eye_like(t) + t,
    "twice": lambda t: eye_like(t) + t @ t,
    "branch": lambda t: t,
    "branch twice": lambda t: t @ t,
}
BRANCHES = {"residual": "branch", "twice": "branch twice"}


# What is asked of the singular values, over some of their axes.
FACTORS = {
    "most": lambda values, axes: values.amax(axes),
    "least": lambda values, axes: values.amin(axes),
    "condition": lambda values, axes: values.amax(axes) / values.amin(axes),
    "typical": lambda values, axes: values.square().mean(axes).sqrt(),
}


def norm_by(variant, *, block=None, factor=None, of=stretches, pick=None, offset=middle,
            finish=float):  # fmt: skip
    """Return a function that gives a factor of a layer, right unless told otherwise."""
    reduce = FACTORS[factor or variant["factor"]]

    def norm(weight, shape):
        branch = transfer_matrices(weight, shape, offset=offset)
        matrices = BLOCKS[block or variant["block"]](branch)
        values = of(pick(matrices) if pick else matrices)
        return finish(float(reduce(values, tuple(range(values.ndim)))))

    return norm


def kernel_norm_by(variant, measure):
    """Return a function that measures the kernel of the block in place of the block."""

    def norm(weight, shape):
        matrices = BLOCKS[variant["block"]](transfer_matrices(weight, shape))
        return float(measure(torch.fft.ifft2(matrices, dim=(0, 1)).real.permute(2, 3, 0, 1)))

    return norm


def reshaped(variant):
    """Return a function that takes the kernel for a matrix with a row for each channel."""
    reduce = FACTORS[variant["factor"]]
    return kernel_norm_by(variant, lambda kernel: reduce(stretches(kernel.flatten(1)), (0,)))


def average_norm(variant):
    """Return a function that averages over frequencies."""

    def of(matrices):
        each = FACTORS[variant["factor"]](stretches(matrices), (-1,))
        return each.mean((0, 1), keepdim=True)

    # Of one number the largest, the least and the root mean square are itself.
    return norm_by(variant, of=of, factor="most")


def right_norms(variant):
    """Write the same with the dense matrix, and with eigenvalues of its square."""

    def dense(weight, shape):
        size = weight.shape[1] * shape[0] * shape[1]
        pixels = torch.eye(size, dtype=weight.dtype).reshape(size, -1, *shape)
        branch = layer(weight, pixels)
        if variant["block"] == "twice":
            branch = layer(weight, branch)
        return (pixels + branch).flatten(1)

    def number(values):
        """Return what is asked of all singular values, in rising order."""
        return {
            "most": values[-1], "least": values[0], "condition": values[-1] / values[0],
            "typical": ((values**2).sum() / len(values)) ** 0.5,
        }[variant["factor"]]  # fmt: skip

    def by_values(weight, shape):
        return number(torch.linalg.svdvals(dense(weight, shape)).sort().values)

    def by_squares(weight, shape):
        matrix = dense(weight, shape)
        return number(torch.linalg.eigvalsh(matrix @ matrix.T) ** 0.5)

    return [by_values, by_squares]


OTHER_FACTOR = {
    "most": "This is the largest factor, and the task asks for another number.",
    "least": "This is the least factor, and the task asks for another number.",
    "condition": "This is the largest factor over the least, and the task asks for another number.",
    "typical": "This is the root mean square of all factors, and the task asks for another number.",
}


def wrong_norms(variant):
    """List how a factor of a layer goes wrong."""
    factor = variant["factor"]
    wrongs = [
        Wrong(
            "entry",
            norm_by(variant, of=torch.abs),
            messages.ENTRY,
        ),
        Wrong(
            "frobenius",
            norm_by(variant, of=lambda t: t.abs().square().sum((-2, -1)).sqrt()),
            messages.FROBENIUS,
        ),
        Wrong(
            "dc-only",
            norm_by(variant, pick=lambda t: t[0, 0]),
            "You measure constant images alone. The task speaks of all images.",
        ),
        Wrong(
            "averaged",
            average_norm(variant),
            "You take the plain mean over frequencies; power adds up as squares."
            if factor == "typical"
            else "You average over frequencies; the task asks for the extremes among them.",
        ),
        Wrong(
            "square",
            norm_by(variant, finish=lambda number: number**2),
            "This belongs to power; the task asks for lengths.",
        ),
        Wrong(
            "other-block",
            norm_by(variant, block=OTHER[variant["block"]]),
            "How often is the layer applied in the branch? The task says something else.",
        ),
        Wrong(
            "input-not-added",
            norm_by(variant, block=BRANCHES[variant["block"]]),
            "The input itself is not yet added.",
        ),
        Wrong(
            "eigenvalues",
            norm_by(variant, of=lambda t: torch.linalg.eigvals(t).abs()),
            "These are sizes of eigenvalues. The image that is stretched most need not be an "
            "eigenvector, nor come out as a multiple of itself.",
        ),
    ]
    wrongs += [
        Wrong(f"other-{other}", norm_by(variant, factor=other), told)
        for other, told in OTHER_FACTOR.items()
        if other != factor
    ]
    return wrongs + wrong_scales(variant) + wrong_blocks(variant)


def wrong_scales(variant):
    """List what goes wrong with some numbers alone: a ratio shows no factor, a mean no overlap."""
    wrongs = []
    if variant["factor"] != "condition":
        wrongs.append(
            Wrong(
                "unitary-factor",
                norm_by(variant, of=lambda t: stretches(t) / t[..., 0, 0].numel() ** 0.5),
                "The unitary transform of the kernel is smaller than the transfer matrix, by a "
                "factor that depends on the number of pixels.",
            )
        )
    if variant["factor"] != "typical":
        wrongs += [
            Wrong(
                "reshaped-kernel",
                reshaped(variant),
                messages.RESHAPED_KERNEL,
            ),
            Wrong(
                "kernel-length",
                kernel_norm_by(variant, torch.linalg.vector_norm),
                "This is the root of the sum of squared weights, of which no single image knows.",
            ),
        ]
    return wrongs


def wrong_blocks(variant):
    """List how the input of a block is added wrongly."""
    alone = norm_by({**variant, "block": BRANCHES[variant["block"]]})
    sign = -1 if variant["factor"] == "least" else 1
    return [
        Wrong(
            "anchor-ignored",
            norm_by(variant, offset=lambda k: 0),
            "The layer's result and its input are added some pixels apart: the offset a is "
            "missing, and here phases matter.",
        ),
        Wrong(
            "one-added-outside",
            lambda weight, shape: abs(1 + sign * alone(weight, shape)),
            "You combine 1 with the number of the branch alone. Input and branch point in "
            "different directions, and have to be added before anything is measured.",
        ),
    ]


def draw_norm(generator, variant):
    """Draw the weights of a layer with as many channels out as in."""
    channels = whole(generator, 2, 3)
    return 0.4 * normal(generator, channels, channels, 4, 3), (whole(generator, 5, 6), 5)


# The pixel that stands in for one outside of the row.
INSIDE = {
    "replicate": lambda place, n: place.clamp(0, n - 1),
    "reflect": lambda place, n: (n - 1) - ((n - 1) - place.abs()).abs(),
    "circular": lambda place, n: place % n,
    "zeros": lambda place, n: place % n,  # and is left out
}


def row_matrix(w, n, padding, offset=middle):
    """Return the matrix of a kernel on a row of n pixels."""
    matrix, row = torch.zeros(n, n, dtype=w.dtype), torch.arange(n)
    for q, tap in enumerate(w):
        column = row + q - offset(len(w))
        inside = (column >= 0) & (column < n)
        kept = row[inside] if padding == "zeros" else row
        matrix[kept, INSIDE[padding](column, n)[kept]] += tap
    return matrix


def in_waves(matrix):
    """Write a matrix in the basis of waves."""
    waves = torch.fft.ifft(torch.eye(len(matrix), dtype=torch.complex128), norm="ortho")
    return waves.mH @ matrix.to(waves.dtype) @ waves


def leak_by(variant, *, padding=None, measure=None, share=None, basis=in_waves, offset=middle,
            against="circular"):  # fmt: skip
    """Return a function that measures what padding does, right unless told otherwise."""
    measure = measure or variant["measure"]

    def leak(w, n):
        padded = row_matrix(w, n, padding or variant["padding"], offset)
        if measure == "changed":
            circular = row_matrix(w, n, "circular", offset)
            part, all_ = padded - circular, circular if against == "circular" else padded
        else:
            all_ = basis(padded)
            part = all_ - torch.diag(all_.diagonal())
        return float((share or SHARES[measure])(part.abs(), all_.abs()))

    return leak


def share_of(part, all_):
    """Return the share of power."""
    return part.square().sum() / all_.square().sum()


def shares_of_waves(part, all_):
    """Return the share of power for each wave that goes in."""
    return part.square().sum(0) / all_.square().sum(0)


SHARES = {
    "mixed": share_of, "changed": share_of,
    "worst": lambda part, all_: shares_of_waves(part, all_).max(),
}  # fmt: skip
POWERS = {
    "mixed": lambda part, all_: part.square().sum(),
    "changed": lambda part, all_: part.square().sum(),
    "worst": lambda part, all_: part.square().sum(0).max(),
}  # fmt: skip


def right_leaks(variant):
    """Write the same with waves that are sent through the layer, one by one."""

    def through(w, rows, mode):
        left = middle(len(w))
        mode = "constant" if mode == "zeros" else mode
        padded = pad(rows[:, None, None], (left, len(w) - 1 - left, 0, 0), mode=mode)
        return conv2d(padded, w[None, None, None])[:, 0, 0]

    def leak(w, n):
        moved, total = [], []
        for frequency in range(n):
            angle = 2 * torch.pi * frequency * torch.arange(n, dtype=torch.float64) / n
            wave = torch.stack([angle.cos(), angle.sin()]) / n**0.5
            result = torch.complex(*through(w, wave, variant["padding"]))
            circular = torch.complex(*through(w, wave, "circular"))
            if variant["measure"] == "changed":
                moved.append(float((result - circular).abs().square().sum()))
                total.append(float(circular.abs().square().sum()))
            else:
                power = torch.fft.fft(result, norm="ortho").abs().square()
                moved.append(float(power.sum() - power[frequency]))
                total.append(float(power.sum()))
        if variant["measure"] == "worst":
            return max(m / t for m, t in zip(moved, total, strict=True))
        return sum(moved) / sum(total)

    return [leak]


OTHER_PADDING = {
    "zeros": "Beyond the border stands nothing in yours, and the task puts something there.",
    "replicate": "Beyond the border stands the nearest pixel in yours, and the task puts "
    "something else there.",
    "reflect": "Beyond the border stands a mirror image in yours, and the task puts something "
    "else there.",
}
OTHER_MEASURE = {
    "mixed": "You ask which part of the power of all waves together has left its frequency, and "
    "the task asks something else.",
    "worst": "You take the wave that loses the largest share, and the task asks something else.",
    "changed": "You compare with circular padding. The task asks which power has left its "
    "frequency, and a layer may change a wave's size without mixing.",
}


def wrong_leaks(variant):
    """List how the share that padding moves goes wrong."""
    right = SHARES[variant["measure"]]
    wrongs = [
        Wrong(
            "circular",
            lambda w, n: 0.0,
            "Nothing moves at all: a circular convolution was compared with itself. Where does "
            "your padding enter?",
        ),
        Wrong(
            "root",
            leak_by(variant, share=lambda part, all_: right(part, all_).sqrt()),
            "This is a share of amplitude. Which power of it adds up to 1?",
        ),
        Wrong(
            "sizes",
            leak_by(variant, share=lambda part, all_: right(part.sqrt(), all_.sqrt())),
            "You add sizes; power is made of squares.",
        ),
        Wrong(
            "not-divided",
            leak_by(variant, share=POWERS[variant["measure"]]),
            "A kernel twice as large gives four times your result: a share is divided by the "
            "total.",
        ),
        Wrong(
            "rest",
            leak_by(variant, share=lambda part, all_: 1 - right(part, all_)),
            "This is 1 minus the share that the task asks for.",
        ),
        Wrong(
            "anchor-late",
            leak_by(variant, offset=lambda k: k // 2),
            "Right for an odd number of taps. An even number has two in the middle, and you take "
            "the later one.",
        ),
    ]
    wrongs += [
        Wrong(f"padding-{other}", leak_by(variant, padding=other), told)
        for other, told in OTHER_PADDING.items()
        if other != variant["padding"]
    ]
    wrongs += [
        Wrong(f"measure-{other}", leak_by(variant, measure=other), told)
        for other, told in OTHER_MEASURE.items()
        if other != variant["measure"]
    ]
    return wrongs + wrong_totals(variant)


def wrong_totals(variant):
    """List how the total goes wrong that the share is of."""
    measure = variant["measure"]
    per_pixel = Wrong(
        "per-pixel",
        leak_by(variant, share=lambda part, all_: part.square().sum() / len(part)),
        "You divide by the number of pixels, or of waves; the task divides by a power.",
    )
    if measure == "changed":
        other_total = Wrong(
            "other-total",
            leak_by(variant, against="padded"),
            "You divide by the power of the padded layer's result; the task divides by that of "
            "the circular one.",
        )
        return [per_pixel, other_total]
    wrongs = [
        Wrong(
            "mean-of-shares",
            leak_by(variant, share=lambda part, all_: shares_of_waves(part, all_).mean()),
            "You average the shares of all waves, and the task does something else with them.",
        ),
        Wrong(
            "by-what-stays",
            leak_by(variant, share=lambda part, all_: SHARES[measure](part, all_.diagonal()[None])),
            "You divide by the power that stays; the total is both.",
        ),
        Wrong(
            "in-pixels",
            leak_by(variant, basis=lambda matrix: matrix),
            "Off the diagonal of the matrix in pixels stand the kernel's other taps. In which "
            "basis is a convolution diagonal?",
        ),
    ]
    return [*wrongs, per_pixel] if measure == "mixed" else wrongs


def draw_leak(generator, variant):
    """Draw a kernel with an even number of taps, of which two stand in the middle, and a row."""
    return normal(generator, 2 * whole(generator, 2, 3)), whole(generator, 8, 11)


def network(weights, x, *, training=False):
    """Return the outputs of the network of the notebook, (N, K), for images (N, H, W)."""
    W1, mean, spread, W2 = weights
    hidden = x.flatten(1) @ W1.T
    if training:
        mean, spread = hidden.mean(0), hidden.std(0, correction=0)
    return torch.tanh((hidden - mean) / spread) @ W2.T


# What is measured of the outputs (N, K).
OUTPUTS = {
    "all": lambda f: f,
    "centred": lambda f: f - f.mean(1, keepdim=True),
    "log-probabilities": lambda f: f.log_softmax(1),
}


def pull(weights, x, cotangent, *, training=False, of=OUTPUTS["all"]):
    """Return the gradient of the outputs weighted by ``cotangent`` (N, K), over pixels."""
    x = x.clone().requires_grad_()
    outputs = of(network(weights, x, training=training))
    return torch.autograd.grad((cotangent * outputs).sum(), x)[0]


def gradients(weights, x, **settings):
    """Return the gradients of all outputs, (N, K, H, W)."""
    units = torch.eye(len(weights[-1]), dtype=x.dtype)
    return torch.stack([pull(weights, x, unit.expand(len(x), -1), **settings) for unit in units], 1)


def sizes(images):
    """Return the sizes of waves in the unitary convention."""
    return torch.fft.fft2(images, norm="ortho").abs()


# What becomes of the sizes of the waves of N images, as a square.
AVERAGES = {
    "squares": lambda size: size.square().mean(0),
    "sizes": lambda size: size.mean(0).square(),
    "largest": lambda size: size.square().amax(0),
}


def sensitivity_by(
    variant, *, average=None, outputs=None, training=False, before=None, finish=None
):
    """Return a function that measures sensitivity, right unless told otherwise."""
    average, of = average or AVERAGES[variant["average"]], outputs or OUTPUTS[variant["outputs"]]

    def sensitivity(weights, x):
        parts = gradients(weights, x, training=training, of=of)
        power = average(sizes(before(parts) if before else parts))  # (K, H, W)
        return finish(power) if finish else power.sum(0).sqrt()

    return sensitivity


def right_sensitivities(variant):
    """Write the same with derivatives by hand and loops."""

    def sensitivity(weights, x):
        W1, mean, spread, W2 = weights
        total = [[] for _ in W2]
        for image in x:
            bend = 1 - torch.tanh((W1 @ image.flatten() - mean) / spread) ** 2
            jacobian = W2 @ torch.diag(bend / spread) @ W1  # (K, H W)
            if variant["outputs"] == "centred":
                jacobian = jacobian - jacobian.sum(0) / len(jacobian)
            elif variant["outputs"] == "log-probabilities":
                shares = torch.exp(W2 @ torch.tanh((W1 @ image.flatten() - mean) / spread))
                jacobian = jacobian - (shares / shares.sum()) @ jacobian
            for k, row in enumerate(jacobian):
                total[k].append(torch.fft.fft2(row.reshape(image.shape)).abs())
        squares = 0
        for each in total:
            if variant["average"] == "squares":
                squares = squares + sum(size**2 for size in each) / len(each)
            elif variant["average"] == "sizes":
                squares = squares + (sum(each) / len(each)) ** 2
            else:
                squares = squares + torch.stack(each).max(0).values ** 2
        return (squares / squares.numel()) ** 0.5

    return [sensitivity]


def mean_of_roots(variant):
    """Return a function that averages the sensitivities of single images."""
    alone = sensitivity_by(variant)
    return lambda weights, x: torch.stack([alone(weights, image[None]) for image in x]).mean(0)


OTHER_AVERAGE = {
    "squares": "You average squares over images, and the task does something else with them.",
    "sizes": "You average sizes over images, and the task does something else with them.",
    "largest": "You take the largest of all images, and the task does something else with them.",
}
OTHER_OUTPUTS = {
    "all": "A number added to all outputs alike still counts in your result. You measure the "
    "outputs as they are; the task changes them first.",
    "centred": "You remove the mean of the outputs, and the task does not.",
    "log-probabilities": "You take the logarithms of probabilities, and the task does not.",
}


def wrong_sensitivities(variant):
    """List how sensitivity goes wrong."""
    wrongs = [
        Wrong(
            "not-unitary",
            sensitivity_by(variant, before=lambda g: g * g[0, 0].numel() ** 0.5),
            "Your transform is not the unitary one: the sum of squares over frequencies is not "
            "that over pixels.",
        ),
        Wrong(
            "mean-over-outputs",
            sensitivity_by(variant, finish=lambda power: power.mean(0).sqrt()),
            messages.MEAN_OVER_OUTPUTS,
        ),
        Wrong(
            "batch-mean",
            sensitivity_by(variant, before=lambda g: g / len(g)),
            messages.BATCH_MEAN,
        ),
        Wrong(
            "training-mode",
            sensitivity_by(variant, training=True),
            "The network was in training mode, where each image changes the mean and the spread "
            "that all others are divided by.",
        ),
        Wrong(
            "square",
            sensitivity_by(variant, finish=lambda power: power.sum(0)),
            messages.SQUARE_OF_SENSITIVITY,
        ),
        Wrong(
            "images-first",
            sensitivity_by(variant, before=lambda g: g.mean(0, keepdim=True)),
            messages.GRADIENTS_CANCEL,
        ),
        Wrong(
            "mean-of-roots",
            mean_of_roots(variant),
            "You take the root for each image, and then the mean. Which comes first in the task, "
            "images or outputs?",
        ),
        Wrong(
            "sizes-added",
            sensitivity_by(variant, finish=lambda power: power.sqrt().sum(0)),
            messages.ADDED_OUTPUTS,
        ),
        Wrong(
            "dc-in-the-middle",
            sensitivity_by(variant, finish=lambda p: torch.fft.fftshift(p.sum(0).sqrt())),
            messages.DC_IN_THE_MIDDLE,
        ),
    ]
    wrongs += [
        Wrong(f"average-{other}", sensitivity_by(variant, average=AVERAGES[other]), told)
        for other, told in OTHER_AVERAGE.items()
        if other != variant["average"]
    ]
    wrongs += [
        Wrong(f"outputs-{other}", sensitivity_by(variant, outputs=OUTPUTS[other]), told)
        for other, told in OTHER_OUTPUTS.items()
        if other != variant["outputs"]
    ]
    return wrongs + wrong_outputs(variant)


def wrong_outputs(variant):
    """List what can go wrong with some averages and some outputs alone."""
    wrongs = []
    if variant["average"] == "largest":
        wrongs.append(
            Wrong(
                "largest-of-the-sums",
                sensitivity_by(
                    variant, average=torch.square, finish=lambda p: p.sum(1).amax(0).sqrt()
                ),
                "You look for the largest image after adding over outputs. In the task each "
                "output has an image of its own.",
            )
        )
    if variant["outputs"] == "log-probabilities":
        wrongs.append(
            Wrong(
                "probabilities",
                sensitivity_by(variant, outputs=lambda f: f.softmax(1)),
                "You measure the probabilities, and the task their logarithms.",
            )
        )
    # The sum of centred outputs is zero, and so is its gradient.
    if variant["outputs"] != "centred":
        wrongs.append(
            Wrong(
                "outputs-first",
                sensitivity_by(variant, before=lambda g: g.sum(1, keepdim=True)),
                messages.FIRST_OUTPUTS_ADDED,
            )
        )
    return wrongs


def draw_network(generator, n_outputs):
    """Draw the arrays of a network for images of 4 × 5 pixels."""
    return (
        normal(generator, 5, 20),
        normal(generator, 5),
        3 + 2 * torch.rand(5, generator=generator, dtype=torch.float64),
        normal(generator, n_outputs, 5),
    )


def draw_sensitivity(generator, variant):
    """Draw a network and images."""
    weights = draw_network(generator, whole(generator, 3, 4))
    return weights, normal(generator, whole(generator, 4, 6), 4, 5)


def standard_error(each):
    """Return the standard error of a mean over the first axis."""
    return each.std(0) / len(each) ** 0.5


# The errors of the mean of power (m, N, H, W): between images, and between probes of the same.
ERRORS = {
    "images": lambda power: standard_error(power.mean(0)),
    "probes": lambda power: standard_error(power.mean(1)),
}


def probe_by(
    variant, *, result=None, outputs=None, choose=None, training=False, before=None, change=None,
    error=None,
):  # fmt: skip
    """Return a function that probes sensitivity, right unless told otherwise."""
    of, error = OUTPUTS[outputs or variant["outputs"]], error or ERRORS[variant["error"]]

    def probe(weights, x, signs):
        signs = choose(signs) if choose else signs
        parts = [pull(weights, x, z.expand(len(x), -1), training=training, of=of) for z in signs]
        parts = torch.stack(parts)  # (m, N, H, W)
        size = sizes(before(parts) if before else parts)
        power = change(size) if change else size.square()
        mean, doubt = power.mean((0, 1)), error(power)
        if (result or variant["result"]) == "power":
            return mean, doubt
        return mean.sqrt(), doubt / (2 * mean.sqrt())

    return probe


def root_power(size):
    """Return numbers whose mean is the square of the mean size."""
    return size * size.mean((0, 1))


def right_probes(variant):
    """Write the same with derivatives by hand and loops."""

    def probe(weights, x, signs):
        W1, mean, spread, W2 = weights
        power = torch.zeros(*signs.shape[:2], *x.shape[1:], dtype=x.dtype)
        for n, image in enumerate(x):
            bend = 1 - torch.tanh((W1 @ image.flatten() - mean) / spread) ** 2
            jacobian = W2 @ torch.diag(bend / spread) @ W1  # (K, H W)
            if variant["outputs"] == "centred":
                jacobian = jacobian - jacobian.sum(0) / len(jacobian)
            for m, z in enumerate(signs):
                wave = torch.fft.fft2((z[n] @ jacobian).reshape(image.shape))
                power[m, n] = wave.abs() ** 2 / image.numel()
        each = power.mean(0 if variant["error"] == "images" else 1)
        average = sum(each) / len(each)
        scatter = sum((e - average) ** 2 for e in each) / (len(each) - 1)
        error = (scatter / len(each)) ** 0.5
        if variant["result"] == "power":
            return average, error
        return average**0.5, error / average**0.5 / 2

    return [probe]


def wrong_probes(variant):
    """List how probes go wrong."""
    power, centred = variant["result"] == "power", variant["outputs"] == "centred"
    wrongs = [
        Wrong(
            "one-sign-for-all",
            probe_by(variant, choose=lambda signs: signs[:, :1]),
            "All images are probed with the signs of the first. Each has its own row of signs.",
        ),
        Wrong(
            "divided-by-outputs",
            probe_by(variant, change=lambda size: size.square() / N_OUTPUTS),
            "You divide by the number of outputs. The mean over signs is the sum already.",
        ),
        Wrong(
            "batch-mean",
            probe_by(variant, before=lambda g: g / g.shape[1]),
            messages.BATCH_MEAN,
        ),
        Wrong(
            "mean-of-sizes",
            probe_by(variant, change=root_power),
            "You average sizes. What the probe gives without bias is the mean of squares.",
        ),
        Wrong(
            "not-unitary",
            probe_by(variant, before=lambda g: g * g[0, 0].numel() ** 0.5),
            "Your transform is not the unitary one.",
        ),
        Wrong(
            "training-mode",
            probe_by(variant, training=True),
            "The network was in training mode.",
        ),
        Wrong(
            "other-outputs",
            probe_by(variant, outputs=OTHER[variant["outputs"]]),
            "The mean of the outputs still counts in your result; the task removes it."
            if centred
            else "You remove the mean of the outputs, which the task keeps.",
        ),
        Wrong(
            "other-result",
            probe_by(variant, result=OTHER[variant["result"]]),
            "You return roots; the task asks for the square."
            if power
            else "You return the square; the task asks for its root.",
        ),
    ]
    return wrongs + wrong_errors(variant)


def wrong_errors(variant):
    """List how the error of an estimate goes wrong."""
    over_images = variant["error"] == "images"
    axis, single = (0, "images") if over_images else (1, "probes")
    wrongs = [
        # Along the other axis nothing would be left to take an error of.
        Wrong(
            "gradients-first",
            probe_by(variant, before=lambda g: g.mean(axis, keepdim=True)),
            "You average the probes of an image before you square, and the outputs cancel."
            if over_images
            else "You average gradients over images before you square, and they cancel.",
        ),
        Wrong(
            "other-error",
            probe_by(variant, error=ERRORS[OTHER[variant["error"]]]),
            "The estimate is right. Its error is that for these very images, with other signs; "
            "the task wants that for other images."
            if over_images
            else "The estimate is right. Its error is that for other images; the task keeps the "
            "images and draws other signs.",
        ),
        Wrong(
            "error-over-all",
            probe_by(variant, error=lambda power: standard_error(power.flatten(0, 1))),
            "The estimate is right. Its error takes all probes for independent, and probes of one "
            "image share that image.",
        ),
        Wrong(
            "spread",
            probe_by(variant, error=lambda power: power.mean(axis).std(0)),
            f"The estimate is right. Beside it stands the scatter of single {single}, not the "
            "error of their mean.",
        ),
        Wrong(
            "n-for-n-minus-one",
            probe_by(
                variant,
                error=lambda power: (
                    ERRORS[variant["error"]](power) * (1 - 1 / power.shape[1 - axis]) ** 0.5
                ),
            ),
            "The estimate is right. The scatter of a sample about its own mean is divided by one "
            "less than its number.",
        ),
    ]
    if variant["result"] == "sensitivity":
        square = probe_by({**variant, "result": "power"})
        wrongs.append(
            Wrong(
                "error-of-the-square",
                lambda *given: (probe_by(variant)(*given)[0], square(*given)[1]),
                "The estimate is right, and its error is that of its square: by how much does a "
                "root move?",
            )
        )
    return wrongs


def draw_probe(generator, variant):
    """Draw a network, images, and the signs of their probes."""
    weights, n_images = draw_network(generator, N_OUTPUTS), whole(generator, 4, 6)
    signs = torch.randint(2, (4, n_images, N_OUTPUTS), generator=generator) * 2.0 - 1
    return weights, normal(generator, n_images, 4, 5), signs.double()


TASKS = [
    Task(
        "norm", 4, draw_norm, norm_by, wrong_norms, right_norms,
        variants=choices(block=tuple(BRANCHES), factor=tuple(FACTORS)),
    ),
    Task(
        "leak", 4, draw_leak, leak_by, wrong_leaks, right_leaks,
        variants=choices(padding=tuple(OTHER_PADDING), measure=tuple(SHARES)),
    ),
    Task(
        "sensitivity", 4, draw_sensitivity, sensitivity_by, wrong_sensitivities,
        right_sensitivities,
        variants=choices(average=tuple(AVERAGES), outputs=tuple(OUTPUTS)), seconds=60,
    ),
    Task(
        "probe", 4, draw_probe, probe_by, wrong_probes, right_probes,
        variants=choices(
            result=("power", "sensitivity"), outputs=("all", "centred"), error=tuple(ERRORS)
        ),
        seconds=60,
    ),
]  # fmt: skip
