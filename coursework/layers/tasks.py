"""What a layer does: its norm, what padding mixes, and how sensitive a network is to waves."""

import torch
from grader.pieces import normal
from grader.task import Task, choices
from torch.nn.functional import conv2d, pad

from freqsense.exercises import Wrong

N_OUTPUTS = 3  # of the networks that are probed

OTHER = {
    "layer": "residual", "residual": "layer", "most": "least", "least": "most",
    "zeros": "replicate", "replicate": "zeros", "mixed": "changed", "changed": "mixed",
    "squares": "sizes", "sizes": "squares", "all": "centred", "centred": "all",
    "power": "sensitivity", "sensitivity": "power",
}  # fmt: skip


def middle(k):
    """Return the offset of a layer's kernel of k taps."""
    return (k - 1) // 2


def whole(low, high, generator):
    """Draw a whole number from low to high."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def transfer_matrices(weight, shape, *, anchored=True):
    """Return T(ω) of a layer's weights, (H, W, C_out, C_in)."""
    spectrum = torch.fft.fft2(weight, s=shape).conj()
    if anchored:
        y, x = (
            torch.fft.fftfreq(n, dtype=torch.float64) * middle(k)
            for n, k in zip(shape, weight.shape[-2:], strict=True)
        )
        spectrum = spectrum * torch.exp(-2j * torch.pi * (y[:, None] + x))
    return spectrum.permute(2, 3, 0, 1)


def stretches(matrices):
    """Return the singular values of each matrix."""
    return torch.linalg.svdvals(matrices)


def norm_by(variant, *, block=None, factor=None, of=stretches, pick=None, anchored=True):
    """Return a function that gives a layer's largest or least factor, right unless told."""
    extreme = torch.amax if (factor or variant["factor"]) == "most" else torch.amin

    def norm(weight, shape):
        matrices = transfer_matrices(weight, shape, anchored=anchored)
        if (block or variant["block"]) == "residual":
            matrices = matrices + torch.eye(len(weight))
        values = of(pick(matrices) if pick else matrices)
        return float(extreme(values, tuple(range(values.ndim))))

    return norm


def kernel_norm_by(variant, measure):
    """Return a function that measures the kernel in place of the layer."""

    def norm(weight, shape):
        kernel = weight.clone()
        if variant["block"] == "residual":
            row, column = (middle(k) for k in weight.shape[-2:])
            kernel[..., row, column] += torch.eye(len(weight))
        return float(measure(kernel))

    return norm


def reshaped(variant):
    """Return a function that takes the kernel for a matrix with a row for each channel."""
    extreme = torch.amax if variant["factor"] == "most" else torch.amin
    return kernel_norm_by(variant, lambda kernel: extreme(stretches(kernel.flatten(1)), 0))


def average_norm(variant):
    """Return a function that averages over frequencies."""
    extreme = torch.amax if variant["factor"] == "most" else torch.amin

    def of(matrices):
        return extreme(stretches(matrices), -1).mean((0, 1), keepdim=True)

    return norm_by(variant, of=of)


def layer(weight, x):
    """Apply a layer with circular padding, as PyTorch does, to (N, C, H, W)."""
    height, width = weight.shape[-2:]
    left, top = middle(width), middle(height)
    return conv2d(pad(x, (left, width - 1 - left, top, height - 1 - top), "circular"), weight)


def right_norms(variant):
    """Write the same with the dense matrix, and with eigenvalues of its square."""
    place = -1 if variant["factor"] == "most" else 0

    def dense(weight, shape):
        size = weight.shape[1] * shape[0] * shape[1]
        pixels = torch.eye(size, dtype=weight.dtype).reshape(size, -1, *shape)
        result = layer(weight, pixels) + (pixels if variant["block"] == "residual" else 0)
        return result.flatten(1)

    def by_values(weight, shape):
        return torch.linalg.svdvals(dense(weight, shape)).sort().values[place]

    def by_squares(weight, shape):
        matrix = dense(weight, shape)
        return float(torch.linalg.eigvalsh(matrix @ matrix.T)[place]) ** 0.5

    return [by_values, by_squares]


def wrong_norms(variant):
    """List how the norm of a layer goes wrong."""
    residual, most = variant["block"] == "residual", variant["factor"] == "most"
    wrongs = [
        Wrong(
            "reshaped-kernel",
            reshaped(variant),
            "This is a singular value of the kernel written as a matrix. A layer lays it on the "
            "image at every pixel, and the results overlap.",
        ),
        Wrong(
            "entry",
            norm_by(variant, of=torch.abs),
            "This belongs to one channel in and one out. A wave may come in on all channels.",
        ),
        Wrong(
            "frobenius",
            norm_by(variant, of=lambda t: t.abs().square().sum((-2, -1)).sqrt()),
            "You take the root of the sum of squares of each transfer matrix. That is the size "
            "of all its singular values together.",
        ),
        Wrong(
            "dc-only",
            norm_by(variant, pick=lambda t: t[0, 0]),
            "You measure constant images alone. Which frequency is the extreme one?",
        ),
        Wrong(
            "unitary-factor",
            norm_by(variant, of=lambda t: stretches(t) / t[..., 0, 0].numel() ** 0.5),
            "The unitary transform of the kernel is smaller than the transfer matrix, by a factor "
            "that depends on the number of pixels.",
        ),
        Wrong(
            "averaged",
            average_norm(variant),
            "You average over frequencies; the task asks for the extreme one.",
        ),
        Wrong(
            "square",
            norm_by(variant, of=lambda t: stretches(t).square()),
            "This is a factor of power; the task asks for one of length.",
        ),
        Wrong(
            "other-end",
            norm_by(variant, factor=OTHER[variant["factor"]]),
            "This is the "
            + ("least" if most else "largest")
            + " factor, and the task asks for the other end.",
        ),
        Wrong(
            "other-block",
            norm_by(variant, block=OTHER[variant["block"]]),
            "The input itself is " + ("not yet added." if residual else "added, unasked."),
        ),
        Wrong(
            "kernel-length",
            kernel_norm_by(variant, torch.linalg.vector_norm),
            "This is the root of the sum of squared weights, of which no image knows.",
        ),
    ]
    if residual:
        wrongs.append(
            Wrong(
                "anchor-ignored",
                norm_by(variant, anchored=False),
                "The layer's result and its input are added some pixels apart: the offset a is "
                "missing, and here phases matter.",
            )
        )
        wrongs.append(
            Wrong(
                "one-added-outside",
                lambda weight, shape: abs(1 + (1 if most else -1) * norm_by(
                    {"block": "layer", "factor": variant["factor"]})(weight, shape)),
                "You combine 1 with the factor of the branch. Input and branch point in "
                "different directions, so this is only a bound.",
            )
        )  # fmt: skip
    return wrongs


def draw_norm(generator, variant):
    """Draw the weights of a layer with as many channels out as in."""
    channels = whole(2, 3, generator)
    return 0.4 * normal(generator, channels, channels, 4, 3), (whole(5, 6, generator), 5)


def row_matrix(w, n, padding):
    """Return the matrix of a kernel on a row of n pixels."""
    matrix, row = torch.zeros(n, n, dtype=w.dtype), torch.arange(n)
    for q, tap in enumerate(w):
        column = row + q - middle(len(w))
        inside = (column >= 0) & (column < n)
        kept = row[inside] if padding == "zeros" else row
        place = column % n if padding == "circular" else column.clamp(0, n - 1)
        matrix[kept, place[kept]] += tap
    return matrix


def in_waves(matrix):
    """Write a matrix in the basis of waves."""
    waves = torch.fft.ifft(torch.eye(len(matrix), dtype=torch.complex128), norm="ortho")
    return waves.mH @ matrix.to(waves.dtype) @ waves


def leak_by(variant, *, padding=None, measure=None, share=None, basis=in_waves, against="circular"):
    """Return a function that measures what padding does, right unless told otherwise."""

    def leak(w, n):
        padded = row_matrix(w, n, padding or variant["padding"])
        if (measure or variant["measure"]) == "mixed":
            all_ = basis(padded)
            part = all_ - torch.diag(all_.diagonal())
        else:
            all_ = row_matrix(w, n, "circular")
            part = padded - all_
            all_ = all_ if against == "circular" else padded
        return float((share or share_of)(part.abs(), all_.abs()))

    return leak


def share_of(part, all_):
    """Return the share of power."""
    return part.square().sum() / all_.square().sum()


def right_leaks(variant):
    """Write the same with waves that are sent through the layer, one by one."""

    def through(w, rows, mode):
        left = middle(len(w))
        mode = "constant" if mode == "zeros" else mode
        padded = pad(rows[:, None, None], (left, len(w) - 1 - left, 0, 0), mode=mode)
        return conv2d(padded, w[None, None, None])[:, 0, 0]

    def leak(w, n):
        moved = total = 0.0
        for frequency in range(n):
            angle = 2 * torch.pi * frequency * torch.arange(n, dtype=torch.float64) / n
            wave = torch.stack([angle.cos(), angle.sin()]) / n**0.5
            result = torch.complex(*through(w, wave, variant["padding"]))
            circular = torch.complex(*through(w, wave, "circular"))
            if variant["measure"] == "changed":
                moved += float((result - circular).abs().square().sum())
                total += float(circular.abs().square().sum())
            else:
                power = torch.fft.fft(result, norm="ortho").abs().square()
                moved += float(power.sum() - power[frequency])
                total += float(power.sum())
        return moved / total

    return [leak]


def wrong_leaks(variant):
    """List how the share that padding moves goes wrong."""
    mixed = variant["measure"] == "mixed"
    wrongs = [
        Wrong(
            "circular",
            lambda w, n: 0.0,
            "Nothing moves at all: a circular convolution was compared with itself. Where does "
            "your padding enter?",
        ),
        Wrong(
            "root",
            leak_by(variant, share=lambda part, all_: share_of(part, all_).sqrt()),
            "This is a share of amplitude. Which power of it adds up to 1?",
        ),
        Wrong(
            "sizes",
            leak_by(variant, share=lambda part, all_: part.sum() / all_.sum()),
            "You add sizes; power is made of squares.",
        ),
        Wrong(
            "not-divided",
            leak_by(variant, share=lambda part, all_: part.square().sum()),
            "A kernel twice as large gives four times your result: a share is divided by the "
            "total.",
        ),
        Wrong(
            "per-wave",
            leak_by(variant, share=lambda part, all_: part.square().sum() / len(part)),
            "This is the mean over waves, still not divided by the power that comes out.",
        ),
        Wrong(
            "other-padding",
            leak_by(variant, padding=OTHER[variant["padding"]]),
            "What stands beyond the border is not what the task puts there.",
        ),
        Wrong(
            "other-measure",
            leak_by(variant, measure=OTHER[variant["measure"]]),
            "You compare with circular padding. The task asks which power has left its frequency, "
            "and a layer may change a wave's size without mixing."
            if mixed
            else "You ask which power has left its frequency. The task compares with circular "
            "padding.",
        ),
        Wrong(
            "rest",
            leak_by(variant, share=lambda part, all_: 1 - share_of(part, all_)),
            "This is the share that stays.",
        ),
    ]
    if mixed:
        wrongs += [
            Wrong(
                "by-what-stays",
                leak_by(variant, share=lambda part, all_: part.square().sum()
                        / all_.diagonal().square().sum()),
                "You divide by the power that stays; the total is both.",
            ),
            Wrong(
                "in-pixels",
                leak_by(variant, basis=lambda matrix: matrix),
                "Off the diagonal of the matrix in pixels stand the kernel's other taps. In which "
                "basis is a convolution diagonal?",
            ),
        ]  # fmt: skip
    else:
        wrongs.append(
            Wrong(
                "other-total",
                leak_by(variant, against="padded"),
                "You divide by the power of the padded layer's result; the task divides by that "
                "of the circular one.",
            )
        )
    return wrongs


def draw_leak(generator, variant):
    """Draw a kernel and a row."""
    return normal(generator, whole(3, 6, generator)), whole(8, 11, generator)


def network(weights, x, *, training=False):
    """Return the outputs of the network of the notebook, (N, K), for images (N, H, W)."""
    W1, mean, spread, W2 = weights
    hidden = x.flatten(1) @ W1.T
    if training:
        mean, spread = hidden.mean(0), hidden.std(0, correction=0)
    return torch.tanh((hidden - mean) / spread) @ W2.T


def pull(weights, x, cotangent, *, training=False):
    """Return the gradient of the outputs weighted by ``cotangent`` (N, K), over pixels."""
    x = x.clone().requires_grad_()
    outputs = network(weights, x, training=training)
    return torch.autograd.grad((cotangent * outputs).sum(), x)[0]


def gradients(weights, x, *, training=False):
    """Return the gradients of all outputs, (N, K, H, W)."""
    units = torch.eye(len(weights[-1]), dtype=x.dtype)
    parts = [pull(weights, x, unit.expand(len(x), -1), training=training) for unit in units]
    return torch.stack(parts, 1)


def sizes(images):
    """Return the sizes of waves in the unitary convention."""
    return torch.fft.fft2(images, norm="ortho").abs()


def sensitivity_by(
    variant, *, average=None, outputs=None, training=False, before=None, finish=None
):
    """Return a function that measures sensitivity, right unless told otherwise."""

    def sensitivity(weights, x):
        parts = gradients(weights, x, training=training)
        if (outputs or variant["outputs"]) == "centred":
            parts = parts - parts.mean(1, keepdim=True)
        size = sizes(before(parts) if before else parts)  # (N, K, H, W)
        if (average or variant["average"]) == "squares":
            power = size.square().mean(0)
        else:
            power = size.mean(0).square()
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
            for k, row in enumerate(jacobian):
                total[k].append(torch.fft.fft2(row.reshape(image.shape)).abs())
        squares = 0
        for each in total:
            if variant["average"] == "squares":
                squares = squares + sum(size**2 for size in each) / len(each)
            else:
                squares = squares + (sum(each) / len(each)) ** 2
        return (squares / squares.numel()) ** 0.5

    return [sensitivity]


def wrong_sensitivities(variant):
    """List how sensitivity goes wrong."""
    squares, centred = variant["average"] == "squares", variant["outputs"] == "centred"
    wrongs = [
        Wrong(
            "not-unitary",
            sensitivity_by(variant, before=lambda g: g * g[0, 0].numel() ** 0.5),
            "Your transform is not the unitary one: the sum of squares over frequencies is not "
            "that over pixels.",
        ),
        Wrong(
            "other-average",
            sensitivity_by(variant, average=OTHER[variant["average"]]),
            "You average sizes over images where the task averages squares."
            if squares
            else "You average squares over images where the task averages sizes.",
        ),
        Wrong(
            "mean-over-outputs",
            sensitivity_by(variant, finish=lambda power: power.mean(0).sqrt()),
            "You divide by the number of outputs. Twice the outputs may move twice as much.",
        ),
        Wrong(
            "batch-mean",
            sensitivity_by(variant, before=lambda g: g / len(g)),
            "Your result falls with the number of images: a mean over the batch was taken before "
            "the gradient.",
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
            "This is the square of the sensitivity.",
        ),
        Wrong(
            "images-first",
            sensitivity_by(variant, before=lambda g: g.mean(0, keepdim=True)),
            "You average gradients over images first, and they cancel.",
        ),
        Wrong(
            "sizes-added",
            sensitivity_by(variant, finish=lambda power: power.sqrt().sum(0)),
            "You add the sizes of all outputs; outputs add up as squares.",
        ),
        Wrong(
            "dc-in-the-middle",
            sensitivity_by(variant, finish=lambda p: torch.fft.fftshift(p.sum(0).sqrt())),
            "The values are right and stand in other places: the constant wave comes first.",
        ),
        Wrong(
            "other-outputs",
            sensitivity_by(variant, outputs=OTHER[variant["outputs"]]),
            "A number added to all outputs alike still counts in your result. Remove their mean."
            if centred
            else "You remove the mean of the outputs, which the task keeps.",
        ),
    ]
    if not centred:
        wrongs.append(
            Wrong(
                "outputs-first",
                sensitivity_by(variant, before=lambda g: g.sum(1, keepdim=True)),
                "You take one gradient of the sum of all outputs, in which they cancel. Each "
                "output has its own.",
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
    weights = draw_network(generator, whole(3, 4, generator))
    return weights, normal(generator, whole(4, 6, generator), 4, 5)


def probe_by(
    variant, *, result=None, choose=None, training=False, before=None, change=None, error=None
):
    """Return a function that probes sensitivity, right unless told otherwise."""

    def probe(weights, x, signs):
        signs = choose(signs) if choose else signs
        parts = [pull(weights, x, z.expand(len(x), -1), training=training) for z in signs]
        parts = torch.stack(parts)  # (m, N, H, W)
        size = sizes(before(parts) if before else parts)
        power = change(size) if change else size.square()
        mean, doubt = power.mean((0, 1)), (error or error_of)(power)
        if (result or variant["result"]) == "power":
            return mean, doubt
        return mean.sqrt(), doubt / (2 * mean.sqrt())

    return probe


def error_of(power):
    """Return the standard error over images of power (m, N, H, W)."""
    each = power.mean(0)
    return each.std(0) / len(each) ** 0.5


def error_over_probes(power):
    """Return what the error would be if all probes were independent."""
    all_ = power.flatten(0, 1)
    return all_.std(0) / len(all_) ** 0.5


def root_power(size):
    """Return numbers whose mean is the square of the mean size."""
    return size * size.mean((0, 1))


def right_probes(variant):
    """Write the same with derivatives by hand and loops."""

    def probe(weights, x, signs):
        W1, mean, spread, W2 = weights
        each = []
        for n, image in enumerate(x):
            bend = 1 - torch.tanh((W1 @ image.flatten() - mean) / spread) ** 2
            jacobian = W2 @ torch.diag(bend / spread) @ W1  # (K, H W)
            seen = [(z[n] @ jacobian).reshape(image.shape) for z in signs]
            waves = [torch.fft.fft2(s).abs() ** 2 / image.numel() for s in seen]
            each.append(sum(waves) / len(waves))
        average = sum(each) / len(each)
        spread_ = sum((e - average) ** 2 for e in each) / (len(each) - 1)
        error = (spread_ / len(each)) ** 0.5
        if variant["result"] == "power":
            return average, error
        return average**0.5, error / average**0.5 / 2

    return [probe]


def wrong_probes(variant):
    """List how probes go wrong."""
    power = variant["result"] == "power"
    return [
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
            "Your result falls with the number of images: a mean over the batch was taken before "
            "the gradient.",
        ),
        Wrong(
            "probes-first",
            probe_by(variant, before=lambda g: g.mean(0, keepdim=True)),
            "You average the probes of an image before you square, and the outputs cancel.",
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
            "other-result",
            probe_by(variant, result=OTHER[variant["result"]]),
            "You return the sensitivity; the task asks for its square."
            if power
            else "You return the square; the task asks for the sensitivity.",
        ),
        Wrong(
            "error-over-probes",
            probe_by(variant, error=error_over_probes),
            "The estimate is right. Its error takes all probes for independent, and probes of one "
            "image share that image.",
        ),
        Wrong(
            "spread",
            probe_by(variant, error=lambda p: p.mean(0).std(0)),
            "The estimate is right. Beside it stands the scatter of single images, not the error "
            "of their mean.",
        ),
        Wrong(
            "n-for-n-minus-one",
            probe_by(variant, error=lambda p: p.mean(0).std(0, correction=0) / p.shape[1] ** 0.5),
            "The estimate is right. The scatter of a sample about its own mean is divided by one "
            "less than its number.",
        ),
    ] + ([] if power else [
        Wrong(
            "error-of-the-square",
            lambda *arguments: (probe_by(variant)(*arguments)[0],
                                probe_by({"result": "power"})(*arguments)[1]),
            "The estimate is right, and its error is that of its square: by how much does a root "
            "move?",
        )
    ])  # fmt: skip


def draw_probe(generator, variant):
    """Draw a network, images, and the signs of their probes."""
    weights, n_images = draw_network(generator, N_OUTPUTS), whole(4, 6, generator)
    signs = torch.randint(2, (4, n_images, N_OUTPUTS), generator=generator) * 2.0 - 1
    return weights, normal(generator, n_images, 4, 5), signs.double()


TASKS = [
    Task(
        "norm", 4, draw_norm, norm_by, wrong_norms, right_norms,
        variants=choices(block=("layer", "residual"), factor=("most", "least")),
    ),
    Task(
        "leak", 4, draw_leak, leak_by, wrong_leaks, right_leaks,
        variants=choices(padding=("zeros", "replicate"), measure=("mixed", "changed")),
    ),
    Task(
        "sensitivity", 4, draw_sensitivity, sensitivity_by, wrong_sensitivities,
        right_sensitivities,
        variants=choices(average=("squares", "sizes"), outputs=("all", "centred")),
        seconds=60,
    ),
    Task(
        "probe", 4, draw_probe, probe_by, wrong_probes, right_probes,
        variants=choices(result=("power", "sensitivity")), seconds=60,
    ),
]  # fmt: skip
