"""Convolution in frequency: circulant matrices, transfer functions, layers in a row, an inverse."""

import torch
from grader.pieces import normal
from grader.task import Task, choices
from torch.nn.functional import conv2d, pad

from freqsense.exercises import Wrong

# The sign of q in the place p + q - a that the tap q looks at.
SIGN = {"correlation": 1, "convolution": -1}
OTHER = {
    "correlation": "convolution", "convolution": "correlation", "last": "middle",
    "middle": "last", "from zero": "rising", "rising": "from zero", "applied": "adjoint",
    "adjoint": "applied",
}  # fmt: skip


def middle(k):
    """Return the offset of a layer's kernel of k taps."""
    return (k - 1) // 2


def offset_of(k, anchor):
    """Return the number of the tap that meets the pixel itself."""
    return middle(k) if anchor == "middle" else k - 1


def whole(low, high, generator):
    """Draw a whole number from low to high."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def circulant_by(variant, *, anchor=None, moved=0, flipped=False, transposed=False, around=True):
    """Return a function that writes the matrix of a kernel, right unless told otherwise."""

    def circulant(w, n):
        offset = offset_of(len(w), anchor or variant["anchor"]) + moved
        matrix, row = torch.zeros(n, n, dtype=w.dtype), torch.arange(n)
        for q, tap in enumerate(w.flip(0) if flipped else w):
            column = row + SIGN[variant["kind"]] * (q - offset)
            kept = row if around else row[(column >= 0) & (column < n)]
            matrix[kept, column[kept] % n] += tap
        return matrix.T if transposed else matrix

    return circulant


def right_circulants(variant):
    """Write the same as a sum of shifts, and with the matrix of all waves."""

    def by_shifts(w, n):
        offset = offset_of(len(w), variant["anchor"])
        shifts = [(offset - q) * SIGN[variant["kind"]] for q in range(len(w))]
        unit = torch.eye(n, dtype=w.dtype)
        return sum(tap * unit.roll(shift, 0) for tap, shift in zip(w, shifts, strict=True))

    def by_waves(w, n):
        offset = offset_of(len(w), variant["anchor"])
        waves = torch.fft.ifft(torch.eye(n, dtype=torch.complex128), norm="ortho")
        turns = torch.outer(torch.arange(n).double(), torch.arange(len(w)) - offset) / n
        gain = torch.exp(2j * torch.pi * SIGN[variant["kind"]] * turns) @ w.to(waves.dtype)
        return ((waves * gain) @ waves.mH).real

    return [by_shifts, by_waves]


def wrong_circulants(variant):
    """List how the matrix of a kernel goes wrong."""
    return [
        Wrong(
            "transposed",
            circulant_by(variant, transposed=True),
            "Rows and columns have changed places, which turns a correlation into a convolution "
            "and back. Rows are pixels of the result.",
        ),
        Wrong(
            "flipped",
            circulant_by(variant, flipped=True),
            "You turn the kernel round. The first tap looks where the last one should.",
        ),
        Wrong(
            "other-anchor",
            circulant_by(variant, anchor=OTHER[variant["anchor"]]),
            "Your result is that of the task, moved by some pixels: your offset a is another.",
        ),
        Wrong(
            "anchor-one-late",
            circulant_by(variant, moved=1),
            "Moved by one pixel: your offset is larger by one. An even number of taps has two "
            "in the middle, and Python counts from 0.",
        ),
        Wrong(
            "anchor-one-early",
            circulant_by(variant, moved=-1),
            "Moved by one pixel: your offset is smaller by one.",
        ),
        Wrong(
            "zero-border",
            circulant_by(variant, around=False),
            "What leaves on one side must come in on the other. Your matrix has nothing in its "
            "corners.",
        ),
    ]


def draw_circulant(generator, variant):
    """Draw a kernel with an even number of taps, on which all offsets differ."""
    return normal(generator, 2 * whole(3, 4, generator)), whole(9, 12, generator)


def transfer_by(variant, *, kind=None, order=None, anchor=1, finish=None, shift=None, late=0):
    """Return a function that gives a kernel's transfer function, right unless told otherwise."""

    def transfer(w, n):
        place = torch.arange(len(w)) - anchor * middle(len(w) + late)
        angle = SIGN[kind or variant["kind"]] * 2 * torch.pi / n
        result = torch.exp(1j * angle * torch.outer(torch.arange(n).double(), place.double()))
        result = result @ w.to(result.dtype)
        if (order or variant["order"]) == "rising":
            result = (shift or torch.fft.fftshift)(result)
        return finish(result) if finish else result

    return transfer


def right_transfers(variant):
    """Write the same with the FFT of the padded kernel, and as eigenvalues on waves."""

    def by_fft(w, n):
        padded = torch.zeros(n, dtype=w.dtype)
        padded[: len(w)] = w
        spectrum = torch.fft.fft(padded.roll(-middle(len(w))))
        spectrum = spectrum.conj() if variant["kind"] == "correlation" else spectrum
        return torch.fft.fftshift(spectrum) if variant["order"] == "rising" else spectrum

    def by_eigenvalues(w, n):
        matrix = circulant_by({"kind": variant["kind"], "anchor": "middle"})(w, n)
        start = -(n // 2) if variant["order"] == "rising" else 0
        waves = torch.outer(torch.arange(n), torch.arange(start, start + n)).double() / n
        waves = torch.exp(2j * torch.pi * waves)
        return (matrix.to(waves.dtype) @ waves)[0] / waves[0]

    return [by_fft, by_eigenvalues]


def wrong_transfers(variant):
    """List how transfer functions go wrong."""
    wrongs = [
        Wrong(
            "conjugate",
            transfer_by(variant, kind=OTHER[variant["kind"]]),
            "This is the conjugate. Which of convolution and correlation does the task define, "
            "and which sign does that give the exponent?",
        ),
        Wrong(
            "anchor-ignored",
            transfer_by(variant, anchor=0),
            "The sizes are right, the phases are those of a kernel whose offset a is 0.",
        ),
        Wrong(
            "anchor-late",
            transfer_by(variant, late=1),
            "Right for an odd number of taps. An even number has two in the middle, and you take "
            "the second.",
        ),
        Wrong(
            "anchor-backwards",
            transfer_by(variant, anchor=-1),
            "The phase that belongs to the offset turns the wrong way.",
        ),
        Wrong(
            "unitary-factor",
            transfer_by(variant, finish=lambda t: t / len(t) ** 0.5),
            "This is the kernel's unitary transform. An eigenvalue has one factor more: what is "
            "the result for a constant row and taps that add up to 1?",
        ),
        Wrong(
            "real-part",
            transfer_by(variant, finish=lambda t: t.real),
            "Only the real part is left, and with it you lose how far crests move.",
        ),
        Wrong(
            "modulus",
            transfer_by(variant, finish=torch.abs),
            "This is the gain. The task wants the number itself, phase included.",
        ),
        Wrong(
            "order",
            transfer_by(variant, order=OTHER[variant["order"]]),
            "The values are right and stand in another order of frequencies.",
        ),
    ]
    if variant["order"] == "rising":
        wrongs.append(
            Wrong(
                "shifted-back",
                transfer_by(variant, shift=torch.fft.ifftshift),
                "For an even row this is right, for an odd one the frequencies are off by one: "
                "there are two functions that shift.",
            )
        )
    return wrongs


def draw_transfer(generator, variant):
    """Draw a kernel and an odd row, on which the two ways to shift differ."""
    return normal(generator, whole(4, 7, generator)), 2 * whole(4, 6, generator) + 1


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


def compose_by(variant, *, combine=None, anchored=True, divide=None, second=None, finish=None):
    """Return a function that composes two layers, right unless told otherwise."""

    def compose(W1, W2, shape):
        first, last = (transfer_matrices(w, shape, anchored=anchored) for w in (W1, W2))
        last = last.mH if (second or variant["second"]) == "adjoint" else last
        result = combine(first, last) if combine else last @ first
        result = finish(result) if finish else result
        return result / divide(shape) if divide else result

    return compose


def layer(weight, x):
    """Apply a layer with circular padding, as PyTorch does, to (N, C, H, W)."""
    height, width = weight.shape[-2:]
    left, top = middle(width), middle(height)
    return conv2d(pad(x, (left, width - 1 - left, top, height - 1 - top), "circular"), weight)


def right_composes(variant):
    """Write the same as the transform of what single pixels give, back through autograd."""

    def by_pixels(W1, W2, shape):
        channels = W1.shape[1]
        pixels = torch.zeros(channels, channels, *shape, dtype=W1.dtype)
        pixels[range(channels), range(channels), 0, 0] = 1
        between = layer(W1, pixels)
        if variant["second"] == "applied":
            result = layer(W2, between)
        else:
            inputs = torch.zeros(channels, W2.shape[1], *shape, dtype=W1.dtype, requires_grad=True)
            (result,) = torch.autograd.grad(layer(W2, inputs), inputs, between)
        return torch.fft.fft2(result).permute(2, 3, 1, 0)

    def by_sums(W1, W2, shape):
        matrices = []
        for weight in (W1, W2):
            total = 0
            for y in range(weight.shape[2]):
                for x in range(weight.shape[3]):
                    ky = torch.arange(shape[0]).double() * (y - middle(weight.shape[2])) / shape[0]
                    kx = torch.arange(shape[1]).double() * (x - middle(weight.shape[3])) / shape[1]
                    wave = torch.exp(2j * torch.pi * (ky[:, None] + kx))
                    total = total + wave[..., None, None] * weight[:, :, y, x]
            matrices.append(total)
        rule = "hwom,hwmc->hwoc" if variant["second"] == "applied" else "hwmo,hwmc->hwoc"
        last = matrices[1] if variant["second"] == "applied" else matrices[1].conj()
        return torch.einsum(rule, last, matrices[0])

    return [by_pixels, by_sums]


def wrong_composes(variant):
    """List how layers in a row go wrong."""
    adjoint = variant["second"] == "adjoint"
    return [
        Wrong(
            "order",
            compose_by(variant, combine=lambda first, last: first @ last),
            "The matrices are multiplied in the wrong order: which one meets the image first?",
        ),
        Wrong(
            "entrywise",
            compose_by(variant, combine=lambda first, last: first * last),
            "You multiply entry by entry. At each frequency stand matrices, which mix channels.",
        ),
        Wrong(
            "transposed",
            compose_by(variant, combine=lambda first, last: last.mT @ first),
            "You conjugate the second layer and leave its channels where they were: which of "
            "them does it take in when it runs backwards?"
            if adjoint
            else "The channels of the second layer have changed places: its matrix has one row "
            "for each channel that comes out of it.",
        ),
        Wrong(
            "second-conjugated",
            compose_by(variant, combine=lambda first, last: last.conj() @ first),
            "The phases of the second layer turn the wrong way: "
            + ("a transpose alone is not an adjoint." if adjoint else "where does that conjugate "
               "come from?"),
        ),
        Wrong(
            "conjugate",
            compose_by(variant, finish=torch.conj),
            "Everything is conjugated: the layers are correlations, not convolutions.",
        ),
        Wrong(
            "adjoint" if not adjoint else "not-adjoint",
            compose_by(variant, second=OTHER[variant["second"]]),
            "You run the second layer backwards, and the task applies it."
            if not adjoint
            else "You apply the second layer, and the task runs it backwards.",
        ),
        Wrong(
            "anchor-ignored",
            compose_by(variant, anchored=False),
            "The sizes are those of layers whose kernels begin at the pixel itself: the offset a "
            "is missing.",
        ),
        Wrong(
            "unitary-factor",
            compose_by(variant, divide=lambda shape: shape[0] * shape[1]),
            "The scale is that of two unitary transforms: each transfer matrix has a factor that "
            "such a transform lacks.",
        ),
        Wrong(
            "added",
            compose_by(variant, combine=lambda first, last: first + last),
            "You add the two layers, as two branches would be. These stand in a row.",
        ),
    ]  # fmt: skip


def draw_compose(generator, variant):
    """Draw two layers of as many channels everywhere, so that each order has a result."""
    channels = whole(2, 3, generator)
    weights = [normal(generator, channels, channels, *size) for size in ((4, 3), (2, 5))]
    return *weights, (whole(5, 6, generator), 7)


def undo_by(variant, *, inverse=None, weight=None, mean=None, anchored=True):
    """Return a function that undoes a filter, right unless told otherwise."""

    def undo(w, y, eps):
        gain = transfer_matrices(w[None, None], tuple(y.shape), anchored=anchored)[..., 0, 0]
        power = eps if (weight or variant["weight"]) == "eps" else eps**2
        penalty = torch.full(y.shape, power, dtype=y.dtype)
        if (mean or variant["mean"]) == "free":
            penalty[0, 0] = 0
        found = (inverse or wiener)(gain, penalty)
        return torch.fft.ifft2(found * torch.fft.fft2(y)).real

    return undo


def wiener(gain, penalty):
    """Return the factor of each wave."""
    return gain.conj() / (gain.abs().square() + penalty)


def right_undos(variant):
    """Write the same as a linear system over pixels, and with a solver of least squares."""

    def parts(w, y, eps):
        pixels = torch.eye(y.numel(), dtype=y.dtype).reshape(-1, 1, *y.shape)
        matrix = layer(w[None, None], pixels).flatten(1).T
        keep = torch.eye(y.numel(), dtype=y.dtype)
        if variant["mean"] == "free":
            keep = keep - 1 / y.numel()
        return matrix, keep, eps if variant["weight"] == "eps" else eps**2

    def by_pixels(w, y, eps):
        matrix, keep, weight = parts(w, y, eps)
        left = matrix.T @ matrix + weight * keep
        return torch.linalg.solve(left, matrix.T @ y.flatten()).reshape(y.shape)

    def by_least_squares(w, y, eps):
        matrix, keep, weight = parts(w, y, eps)
        stacked = torch.cat([matrix, weight**0.5 * keep])
        wanted = torch.cat([y.flatten(), torch.zeros(y.numel(), dtype=y.dtype)])
        return torch.linalg.lstsq(stacked, wanted[:, None]).solution.reshape(y.shape)

    return [by_pixels, by_least_squares]


def wrong_undos(variant):
    """List how an inverse goes wrong."""
    weights = {"eps": "eps squared", "eps squared": "eps"}
    means = {"free": "held", "held": "free"}
    return [
        Wrong(
            "plain-inverse",
            undo_by(variant, inverse=lambda gain, penalty: 1 / gain),
            "You divide by the transfer function and ignore the penalty: what does that do to "
            "the noise in a wave whose gain is small?",
        ),
        Wrong(
            "conjugate-forgotten",
            undo_by(variant, inverse=lambda gain, penalty: wiener(gain.conj(), penalty)),
            "The crests are moved twice as far in place of back: a conjugate is missing, or the "
            "filter is taken for its mirror image.",
        ),
        Wrong(
            "other-weight",
            undo_by(variant, weight=weights[variant["weight"]]),
            "The penalty has another weight than the task gives it: is eps squared in it?",
        ),
        Wrong(
            "other-mean",
            undo_by(variant, mean=means[variant["mean"]]),
            "All waves are right but the constant one: does the penalty apply to it?",
        ),
        Wrong(
            "anchor-ignored",
            undo_by(variant, anchored=False),
            "The picture is right and stands some pixels away: the offset a is missing.",
        ),
        Wrong(
            "penalty-beside-the-gain",
            undo_by(variant, inverse=lambda gain, penalty: 1 / (gain + penalty)),
            "You add the penalty to the transfer function, which is complex. Set the derivative "
            "of the objective to zero and see where the penalty enters.",
        ),
        Wrong(
            "phase-kept",
            undo_by(variant, inverse=lambda gain, penalty: wiener(gain.abs(), penalty)),
            "The sizes of the waves are right, and their crests stay where the filter has moved "
            "them.",
        ),
        Wrong(
            "penalty-without-squares",
            undo_by(
                variant,
                inverse=lambda gain, penalty: gain.conj() / gain.abs() / (gain.abs() + penalty),
            ),
            "The gain enters the denominator without a square.",
        ),
    ]


def draw_undo(generator, variant):
    """Draw a filter that leans to one side, a filtered image and a weight."""
    w = 0.3 * normal(generator, 3, 4)
    w[1, 1] += 2.0
    y = 1 + normal(generator, 6, 7)
    return w, y, 0.3 + 0.3 * float(torch.rand((), generator=generator))


TASKS = [
    Task(
        "circulant", 4, draw_circulant, circulant_by, wrong_circulants, right_circulants,
        variants=choices(kind=("correlation", "convolution"), anchor=("middle", "last")),
    ),
    Task(
        "transfer", 4, draw_transfer, transfer_by, wrong_transfers, right_transfers,
        variants=choices(kind=("correlation", "convolution"), order=("from zero", "rising")),
        # Even and odd kernels should both occur.
        n_cases=6,
    ),
    Task(
        "compose", 4, draw_compose, compose_by, wrong_composes, right_composes,
        variants=choices(second=("applied", "adjoint")),
    ),
    Task(
        "undo", 4, draw_undo, undo_by, wrong_undos, right_undos,
        variants=choices(weight=("eps", "eps squared"), mean=("held", "free")),
    ),
]  # fmt: skip
