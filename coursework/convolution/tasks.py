"""Convolution in frequency: circulant matrices, transfer functions, layers in a row, an inverse."""

import torch
from grader.pieces import layer, middle, normal, phases, transfer_matrices, whole
from grader.task import Task, choices

from freqsense.exercises import Wrong, messages

# The sign of q in the place p + q - a that the tap q looks at.
SIGN = {"correlation": 1, "convolution": -1}
OTHER = {
    "correlation": "convolution", "convolution": "correlation", "eps": "eps squared",
    "eps squared": "eps",
}  # fmt: skip


# The number of the tap that meets the pixel itself.
OFFSETS = {
    "first": lambda k: 0, "middle": middle, "later middle": lambda k: k // 2,
    "last": lambda k: k - 1,
}  # fmt: skip


def circulant_by(variant, *, anchor=None, moved=0, flipped=False, transposed=False, around=True):
    """Return a function that writes the matrix of a kernel, right unless told otherwise."""

    def circulant(w, n):
        offset = OFFSETS[anchor or variant["anchor"]](len(w)) + moved
        matrix, row = torch.zeros(n, n, dtype=w.dtype), torch.arange(n)
        for q, tap in enumerate(w.flip(0) if flipped else w):
            column = row + SIGN[variant["kind"]] * (q - offset)
            kept = row if around else row[(column >= 0) & (column < n)]
            matrix[kept, column[kept] % n] += tap
        return matrix.T if transposed else matrix

    return circulant


def right_circulants(variant):
    """Write the same as a sum of shifts, and with the matrix of all waves."""
    offset_of, sign = OFFSETS[variant["anchor"]], SIGN[variant["kind"]]

    def by_shifts(w, n):
        shifts = [(offset_of(len(w)) - q) * sign for q in range(len(w))]
        unit = torch.eye(n, dtype=w.dtype)
        return sum(tap * unit.roll(shift, 0) for tap, shift in zip(w, shifts, strict=True))

    def by_waves(w, n):
        waves = torch.fft.ifft(torch.eye(n, dtype=torch.complex128), norm="ortho")
        turns = torch.outer(torch.arange(n).double(), torch.arange(len(w)) - offset_of(len(w)))
        gain = torch.exp(2j * torch.pi * sign * turns / n) @ w.to(waves.dtype)
        return ((waves * gain) @ waves.mH).real

    return [by_shifts, by_waves]


OTHER_ANCHOR = {
    "first": "the first tap meets the pixel itself.",
    "middle": "a middle tap meets the pixel itself, of two in the middle the earlier one.",
    "later middle": "a middle tap meets the pixel itself, of two in the middle the later one.",
    "last": "the last tap meets the pixel itself.",
}


def wrong_circulants(variant):
    """List how the matrix of a kernel goes wrong."""
    anchor = variant["anchor"]
    wrongs = [
        Wrong(
            "transposed",
            circulant_by(variant, transposed=True),
            messages.TRANSPOSED,
        ),
        Wrong(
            "flipped",
            circulant_by(variant, flipped=True),
            messages.FLIPPED,
        ),
        Wrong(
            "zero-border",
            circulant_by(variant, around=False),
            messages.ZERO_BORDER,
        ),
    ]
    wrongs += [
        Wrong(
            f"anchor-{other.replace(' ', '-')}",
            circulant_by(variant, anchor=other),
            "Your result is that of the task, moved by some pixels: in yours " + told,
        )
        for other, told in OTHER_ANCHOR.items()
        if other != anchor
    ]
    # For an even number of taps the two in the middle are neighbours.
    if anchor != "middle":
        wrongs.append(
            Wrong(
                "anchor-one-late",
                circulant_by(variant, moved=1),
                "Moved by one pixel: your offset is larger by one. Python counts from 0.",
            )
        )
    if anchor != "later middle":
        wrongs.append(
            Wrong(
                "anchor-one-early",
                circulant_by(variant, moved=-1),
                "Moved by one pixel: your offset is smaller by one.",
            )
        )
    return wrongs


def draw_circulant(generator, variant):
    """Draw a kernel with an even number of taps, on which all offsets differ."""
    return normal(generator, 2 * whole(generator, 3, 4)), whole(generator, 9, 12)


ORDERS = {
    "from zero": lambda values: values,
    "rising": torch.fft.fftshift,
    "half": lambda values: values[: len(values) // 2 + 1],
}


def transfer_by(variant, *, kind=None, offset=None, finish=None, order=None):
    """Return a function that gives a kernel's transfer function, right unless told otherwise."""

    def transfer(w, n):
        place = torch.arange(len(w)) - (offset or OFFSETS[variant["anchor"]])(len(w))
        angle = SIGN[kind or variant["kind"]] * 2 * torch.pi / n
        result = torch.exp(1j * angle * torch.outer(torch.arange(n).double(), place.double()))
        result = result @ w.to(result.dtype)
        return (order or ORDERS[variant["order"]])(finish(result) if finish else result)

    return transfer


def right_transfers(variant):
    """Write the same with the FFT of the padded kernel, and as eigenvalues on waves."""

    def by_fft(w, n):
        padded = torch.zeros(n, dtype=w.dtype)
        padded[: len(w)] = w
        spectrum = torch.fft.fft(padded.roll(-OFFSETS[variant["anchor"]](len(w))))
        spectrum = spectrum.conj() if variant["kind"] == "correlation" else spectrum
        return ORDERS[variant["order"]](spectrum)

    def by_eigenvalues(w, n):
        matrix = circulant_by(variant)(w, n)
        first, end = {"from zero": (0, n), "rising": (-(n // 2), (n + 1) // 2),
                      "half": (0, n // 2 + 1)}[variant["order"]]  # fmt: skip
        waves = torch.outer(torch.arange(n), torch.arange(first, end)).double() / n
        waves = torch.exp(2j * torch.pi * waves)
        return (matrix.to(waves.dtype) @ waves)[0] / waves[0]

    return [by_fft, by_eigenvalues]


OTHER_ORDER = {
    "from zero": "The values are right. They stand in the order of `torch.fft`, all of them, and "
    "the task names other frequencies.",
    "rising": "The values are right. They begin at the lowest negative frequency, and the task "
    "begins elsewhere.",
    "half": "The values are right, and those of the negative frequencies are missing.",
}


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
            "unitary-factor",
            transfer_by(variant, finish=lambda t: t / len(t) ** 0.5),
            messages.UNITARY_TRANSFER,
        ),
        Wrong(
            "real-part",
            transfer_by(variant, finish=lambda t: t.real),
            messages.REAL_PART_OF_TRANSFER,
        ),
        Wrong(
            "modulus",
            transfer_by(variant, finish=torch.abs),
            "This is the gain. The task wants the number itself, phase included.",
        ),
    ]
    wrongs += [
        Wrong(f"order-{name.replace(' ', '-')}", transfer_by(variant, order=ORDERS[name]), told)
        for name, told in OTHER_ORDER.items()
        if name != variant["order"]
    ]
    return wrongs + wrong_anchors(variant) + wrong_ends(variant)


def wrong_anchors(variant):
    """List what is taken for the offset of a kernel."""
    right = OFFSETS[variant["anchor"]]
    wrongs = [
        Wrong(
            "anchor-ignored",
            transfer_by(variant, offset=OFFSETS["first"]),
            messages.NO_OFFSET,
        ),
        Wrong(
            "anchor-backwards",
            transfer_by(variant, offset=lambda k: -right(k)),
            "The phase that belongs to the offset turns the wrong way.",
        ),
    ]
    if variant["anchor"] == "last":
        return [
            *wrongs,
            Wrong(
                "anchor-middle",
                transfer_by(variant, offset=middle),
                "The sizes are right, the phases are those of a kernel whose middle tap meets "
                "the pixel itself.",
            ),
        ]
    return [
        *wrongs,
        Wrong(
            "anchor-last",
            transfer_by(variant, offset=OFFSETS["last"]),
            "The sizes are right, the phases are those of a kernel whose last tap meets the "
            "pixel itself.",
        ),
        Wrong(
            "anchor-late",
            transfer_by(variant, offset=OFFSETS["later middle"]),
            "Right for an odd number of taps. An even number has two in the middle, and you take "
            "the second.",
        ),
    ]


def wrong_ends(variant):
    """List how the first or the last frequency is missed, where that can happen."""
    if variant["order"] == "rising":
        return [
            Wrong(
                "shifted-back",
                transfer_by(variant, order=torch.fft.ifftshift),
                "For an even row this is right, for an odd one the frequencies are off by one: "
                "there are two functions that shift.",
            )
        ]
    if variant["order"] == "half":
        return [
            Wrong(
                "last-missing",
                transfer_by(variant, order=lambda values: values[: len(values) // 2]),
                "The last frequency of the list in the task is missing.",
            )
        ]
    return []


def draw_transfer(generator, variant):
    """Draw a kernel and an odd row, on which the two ways to shift differ."""
    return normal(generator, whole(generator, 4, 7)), 2 * whole(generator, 4, 6) + 1


# What a step makes of its layer's transfer matrices.
STEPS = {"layer": lambda t: t, "transpose": lambda t: t.mH}
ORDERS_2D = {"from zero": lambda t: t, "rising": lambda t: torch.fft.fftshift(t, (0, 1))}


def apply_second(first, second):
    """Return the matrices of two steps, one after the other."""
    return second @ first


def compose_by(variant, *, first=None, second=None, combine=apply_second, offset=middle,
               finish=None, order=None):  # fmt: skip
    """Return a function that composes two steps, right unless told otherwise."""
    turns = first or STEPS[variant["first"]], second or STEPS[variant["second"]]

    def compose(W1, W2, shape):
        matrices = (transfer_matrices(w, shape, offset=offset) for w in (W1, W2))
        result = combine(*(turn(each) for turn, each in zip(turns, matrices, strict=True)))
        return (order or ORDERS_2D[variant["order"]])(finish(result) if finish else result)

    return compose


def backwards(weight, images):
    """Apply the transpose of a layer, as backpropagation does, to (N, C_out, H, W)."""
    sizes = len(images), weight.shape[1], *images.shape[2:]
    inputs = torch.zeros(sizes, dtype=images.dtype, requires_grad=True)
    return torch.autograd.grad(layer(weight, inputs), inputs, images)[0]


def right_composes(variant):
    """Write the same as the transform of what single pixels give, and with sums over taps."""
    ways = variant["first"], variant["second"]

    def by_pixels(W1, W2, shape):
        channels = W1.shape[1 if ways[0] == "layer" else 0]
        images = torch.zeros(channels, channels, *shape, dtype=W1.dtype)
        images[range(channels), range(channels), 0, 0] = 1
        for way, weight in zip(ways, (W1, W2), strict=True):
            images = (layer if way == "layer" else backwards)(weight, images)
        return ORDERS_2D[variant["order"]](torch.fft.fft2(images).permute(2, 3, 1, 0))

    def by_sums(W1, W2, shape):
        start = (n // 2 if variant["order"] == "rising" else 0 for n in shape)
        ky, kx = (torch.arange(n).double() - s for n, s in zip(shape, start, strict=True))
        result = torch.eye(W1.shape[1 if ways[0] == "layer" else 0], dtype=torch.complex128)
        for way, weight in zip(ways, (W1, W2), strict=True):
            total = 0
            for y in range(weight.shape[2]):
                for x in range(weight.shape[3]):
                    turns = (y - middle(weight.shape[2])) * ky[:, None] / shape[0]
                    turns = turns + (x - middle(weight.shape[3])) * kx / shape[1]
                    wave = torch.exp((2j if way == "layer" else -2j) * torch.pi * turns)
                    tap = weight[:, :, y, x] if way == "layer" else weight[:, :, y, x].T
                    total = total + wave[..., None, None] * tap
            result = (total[..., None] * result[..., None, :, :]).sum(-2)
        return result

    return [by_pixels, by_sums]


def wrong_composes(variant):
    """List how two steps go wrong."""
    wrongs = [
        Wrong(
            "order",
            compose_by(variant, combine=torch.matmul),
            "The matrices are multiplied in the wrong order: which one meets the image first?",
        ),
        Wrong(
            "entrywise",
            compose_by(variant, combine=torch.mul),
            "You multiply entry by entry. At each frequency stand matrices, which mix channels.",
        ),
        Wrong(
            "conjugate",
            compose_by(variant, finish=torch.conj),
            "Everything is conjugated: the layers are correlations, not convolutions.",
        ),
        Wrong(
            "anchor-ignored",
            compose_by(variant, offset=OFFSETS["first"]),
            "The sizes are those of layers whose kernels begin at the pixel itself: the offset a "
            "is missing.",
        ),
        Wrong(
            "anchor-late",
            compose_by(variant, offset=OFFSETS["later middle"]),
            "Right for kernels of odd sides. An even side has two taps in the middle, and you "
            "take the later one.",
        ),
        Wrong(
            "unitary-factor",
            compose_by(variant, finish=lambda t: t / t[..., 0, 0].numel()),
            "The scale is that of two unitary transforms: each transfer matrix has a factor that "
            "such a transform lacks.",
        ),
        Wrong(
            "added",
            compose_by(variant, combine=torch.add),
            "You add the two steps, as two branches would be. These stand in a row.",
        ),
    ]
    steps = [wrong for name in ("first", "second") for wrong in wrong_steps(variant, name)]
    if variant["first"] == variant["second"] == "layer":
        wrongs.append(
            Wrong(
                "one-long-kernel",
                one_long_kernel(variant),
                "You give the kernel of both steps together one offset. Each layer has its own, "
                "and for even sides the two add up to something else.",
            )
        )
    return wrongs + steps + wrong_places(variant)


def one_long_kernel(variant):
    """Return a function that puts the offset of a layer on the kernel of both steps together."""
    begun = compose_by({**variant, "order": "from zero"}, offset=OFFSETS["first"])

    def compose(W1, W2, shape):
        sizes = [a + b - 1 for a, b in zip(W1.shape[-2:], W2.shape[-2:], strict=True)]
        result = begun(W1, W2, shape) * phases(sizes, shape)[..., None, None]
        return ORDERS_2D[variant["order"]](result)

    return compose


def wrong_steps(variant, name):
    """List how one of the steps goes wrong, by what is done to the matrices of its layer."""
    if variant[name] == "layer":
        told = {
            "backwards": f"You run the {name} step backwards, and the task applies its layer.",
            "transposed": f"The channels of the {name} layer have changed places: its matrix has "
            "one row for each channel that comes out of it.",
            "conjugated": f"The phases of the {name} layer turn the wrong way: where does that "
            "conjugate come from?",
        }
    else:
        told = {
            "forwards": f"You apply the layer of the {name} step, and the task runs it backwards.",
            "transposed": f"The channels of the {name} step are right, and its phases turn the "
            "wrong way: a transpose over all pixels does more than one over channels.",
            "conjugated": f"You conjugate the {name} layer and leave its channels where they "
            "were: which of them does it take in when it runs backwards?",
        }
    turns = (
        STEPS["transpose" if variant[name] == "layer" else "layer"],
        lambda t: t.mT,
        torch.conj,
    )
    return [
        Wrong(f"{name}-{what}", compose_by(variant, **{name: turn}), message)
        for (what, message), turn in zip(told.items(), turns, strict=True)
    ]


def wrong_places(variant):
    """List how the frequencies come to stand in other places."""
    if variant["order"] == "from zero":
        return [
            Wrong(
                "centred",
                compose_by(variant, order=ORDERS_2D["rising"]),
                "The matrices are right and stand in other places: where does the task put the "
                "constant wave?",
            )
        ]
    return [
        Wrong(
            "from-zero",
            compose_by(variant, order=ORDERS_2D["from zero"]),
            "The matrices are right and stand in other places: where does the task put the "
            "constant wave?",
        ),
        Wrong(
            "shifted-back",
            compose_by(variant, order=lambda t: torch.fft.ifftshift(t, (0, 1))),
            "On an axis with an odd number of pixels the frequencies are off by one: there are "
            "two functions that shift.",
        ),
    ]


def draw_compose(generator, variant):
    """Draw two layers of as many channels everywhere, so that each order has a result."""
    channels = whole(generator, 2, 3)
    # One even height shows who takes the later of two middle taps: of two even ones the errors
    # cancel where one step runs backwards. Two even widths show one offset for both kernels.
    weights = [normal(generator, channels, channels, *size) for size in ((4, 2), (3, 4))]
    return *weights, (2 * whole(generator, 3, 4), 7)


def steepness(shape):
    """Return what two neighbours on each axis differ by, squared, for each wave of size 1."""
    ky, kx = (torch.arange(n).double() / n for n in shape)
    return 4 * (torch.pi * ky[:, None]).sin() ** 2 + 4 * (torch.pi * kx).sin() ** 2


def not_constant(shape):
    """Return 0 for the constant wave and 1 for all others."""
    return (steepness(shape) > 0).double()


def all_alike(shape):
    """Return 1 for each wave."""
    return torch.ones(shape, dtype=torch.float64)


# For each penalty what a wave costs, and whether the costs count from the wave that was seen.
PENALTIES = {
    "size": (all_alike, 0), "contrast": (not_constant, 0), "steepness": (steepness, 0),
    "change": (all_alike, 1),
}  # fmt: skip


def undo_by(variant, *, inverse=None, weight=None, penalty=None, offset=middle):
    """Return a function that undoes a filter, right unless told otherwise."""
    cost, seen = penalty or PENALTIES[variant["penalty"]]

    def undo(w, y, eps):
        gain = transfer_matrices(w[None, None], tuple(y.shape), offset=offset)[..., 0, 0]
        power = eps if (weight or variant["weight"]) == "eps" else eps**2
        costs = power * cost(y.shape)
        found = (inverse or wiener)(gain, costs, seen * costs)
        return torch.fft.ifft2(found * torch.fft.fft2(y)).real

    return undo


def wiener(gain, costs, pull):
    """Return the factor of each wave."""
    return (gain.conj() + pull) / (gain.abs().square() + costs)


def right_undos(variant):
    """Write the same as a linear system over pixels, and with a solver of least squares."""

    def parts(w, y, eps):
        pixels = torch.eye(y.numel(), dtype=y.dtype).reshape(-1, 1, *y.shape)
        matrix = layer(w[None, None], pixels).flatten(1).T
        kept = {
            "contrast": pixels - 1 / y.numel(),
            "steepness": torch.cat([pixels - pixels.roll(1, 2), pixels - pixels.roll(1, 3)], 1),
        }.get(variant["penalty"], pixels)
        kept = kept.flatten(1).T * (eps**0.5 if variant["weight"] == "eps" else eps)
        wanted = kept @ y.flatten() * (variant["penalty"] == "change")
        return torch.cat([matrix, kept]), torch.cat([y.flatten(), wanted])

    def by_pixels(w, y, eps):
        matrix, wanted = parts(w, y, eps)
        return torch.linalg.solve(matrix.T @ matrix, matrix.T @ wanted).reshape(y.shape)

    def by_least_squares(w, y, eps):
        matrix, wanted = parts(w, y, eps)
        return torch.linalg.lstsq(matrix, wanted[:, None]).solution.reshape(y.shape)

    return [by_pixels, by_least_squares]


OTHER_PENALTY = {
    "size": "In yours each wave costs its own power, the constant one too.",
    "contrast": "In yours the constant wave costs nothing, and each other one its own power.",
    "steepness": "In yours a wave costs what neighbouring pixels differ by.",
    "change": "In yours a wave costs how far it lies from the one that was seen.",
}


def wrong_undos(variant):
    """List how an inverse goes wrong."""
    wrongs = [
        Wrong(
            "plain-inverse",
            undo_by(variant, inverse=lambda gain, costs, pull: 1 / gain),
            "You divide by the transfer function and ignore the penalty: what does that do to "
            "the noise in a wave whose gain is small?",
        ),
        Wrong(
            "conjugate-forgotten",
            undo_by(variant, inverse=lambda gain, costs, pull: wiener(gain.conj(), costs, pull)),
            "The crests are moved farther on in place of back: a conjugate is missing, or the "
            "filter is taken for its mirror image.",
        ),
        Wrong(
            "other-weight",
            undo_by(variant, weight=OTHER[variant["weight"]]),
            "The penalty has another weight than the task gives it: is eps squared in it?",
        ),
        Wrong(
            "anchor-ignored",
            undo_by(variant, offset=OFFSETS["first"]),
            "You undo a filter whose kernel begins at the pixel itself: the offset a is missing.",
        ),
        Wrong(
            "penalty-beside-the-gain",
            undo_by(variant, inverse=lambda gain, costs, pull: (1 + pull) / (gain + costs)),
            "You add the penalty to the transfer function, which is complex. Set the derivative "
            "of the objective to zero and see where the penalty enters.",
        ),
        Wrong(
            "phase-kept",
            undo_by(variant, inverse=lambda gain, costs, pull: wiener(gain.abs(), costs, pull)),
            "Only the gain is undone: the crests stay where the filter has moved them.",
        ),
        Wrong(
            "penalty-without-squares",
            undo_by(
                variant,
                inverse=lambda gain, costs, pull: (
                    (gain.conj() / gain.abs() + pull) / (gain.abs() + costs)
                ),
            ),
            "The gain enters the denominator without a square.",
        ),
    ]
    wrongs += [
        Wrong(
            f"penalty-{other}",
            undo_by(variant, penalty=PENALTIES[other]),
            f"The penalty is another than that of the task. {told}",
        )
        for other, told in OTHER_PENALTY.items()
        if other != variant["penalty"]
    ]
    if variant["penalty"] == "steepness":
        wrongs += [
            Wrong(
                "half-the-angle",
                undo_by(variant, penalty=(lambda shape: steepness(shape) / 4, 0)),
                "A wave costs four times what you take: by how much do a crest and the trough "
                "beside it differ?",
            ),
            Wrong(
                "along-rows-only",
                undo_by(variant, penalty=(lambda shape: steepness((1, shape[1])), 0)),
                "You compare neighbours along a row; the task compares those in a column too.",
            ),
        ]
    return wrongs


def draw_undo(generator, variant):
    """Draw a filter that leans to one side, a filtered image and a weight."""
    w = 0.3 * normal(generator, 3, 4)
    w[1, 1] += 2.0
    y = 1 + normal(generator, 6, 7)
    return w, y, 0.3 + 0.3 * float(torch.rand((), generator=generator))


TASKS = [
    Task(
        "circulant", 4, draw_circulant, circulant_by, wrong_circulants, right_circulants,
        variants=choices(kind=tuple(SIGN), anchor=tuple(OFFSETS)),
    ),
    Task(
        "transfer", 4, draw_transfer, transfer_by, wrong_transfers, right_transfers,
        variants=choices(kind=tuple(SIGN), anchor=("middle", "last"), order=tuple(ORDERS)),
        # Even and odd kernels should both occur.
        n_cases=6,
    ),
    Task(
        "compose", 4, draw_compose, compose_by, wrong_composes, right_composes,
        variants=choices(first=tuple(STEPS), second=tuple(STEPS), order=tuple(ORDERS_2D)),
    ),
    Task(
        "undo", 4, draw_undo, undo_by, wrong_undos, right_undos,
        variants=choices(weight=("eps", "eps squared"), penalty=tuple(PENALTIES)),
    ),
]  # fmt: skip
