"""Exercises of the part on convolution in frequency."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from freqsense import layers
from freqsense.exercises import messages
from freqsense.exercises._draws import normal, rectangle, whole
from freqsense.exercises.exercise import Exercise, Wrong

Map = Callable[[Tensor], Tensor]
OfRow = Callable[[Tensor, int, int], Tensor]


def same(values: Tensor) -> Tensor:
    """Return what is given."""
    return values


def draw_row(generator: Generator) -> tuple[Tensor, int, int]:
    """Draw a kernel, an offset that is not in its middle, and the length of an odd row."""
    taps = whole(generator, 5, 7)
    return normal(generator, taps), whole(generator, 1, 2), 2 * whole(generator, 4, 6) + 1


# The matrix of a convolution


def circulant_by(
    *, sign: int = 1, offset: Callable[[int], int] = lambda a: a, around: bool = True,
    flipped: bool = False, finish: Map = same,
) -> OfRow:  # fmt: skip
    """Return a function that writes the matrix of a kernel, right unless told otherwise."""

    def circulant(w: Tensor, a: int, n: int) -> Tensor:
        matrix, row = torch.zeros(n, n, dtype=w.dtype), torch.arange(n)
        for q, tap in enumerate(w.flip(0) if flipped else w):
            column = row + sign * (q - offset(a))
            kept = row if around else row[(column >= 0) & (column < n)]
            matrix[kept, column[kept] % n] += tap
        return finish(matrix)

    return circulant


def circulant_by_shifts(w: Tensor, a: int, n: int) -> Tensor:
    """Add up shifts, each with its tap."""
    unit, total = torch.eye(n, dtype=w.dtype), torch.zeros(n, n, dtype=w.dtype)
    for q, tap in enumerate(w):
        total = total + tap * unit.roll(q - a, 1)
    return total


def circulant_by_waves(w: Tensor, a: int, n: int) -> Tensor:
    """Multiply waves by their eigenvalues."""
    waves = torch.fft.ifft(torch.eye(n, dtype=torch.complex128), norm="ortho")
    return ((waves * transfer_by()(w, a, n)) @ waves.mH).real


CIRCULANT = Exercise(
    "ex-ct-circulant",
    draw_row,
    circulant_by(),
    [
        Wrong("transposed", circulant_by(finish=torch.t), messages.TRANSPOSED),
        Wrong("flipped", circulant_by(flipped=True), messages.FLIPPED),
        Wrong(
            "no-offset",
            circulant_by(offset=lambda a: 0),
            "The kernel begins at the pixel itself: the offset a is missing.",
        ),
        Wrong(
            "offset-added",
            circulant_by(offset=lambda a: -a),
            "The offset moves the kernel the wrong way.",
        ),
        Wrong("late", circulant_by(offset=lambda a: a + 1), messages.LATE),
        Wrong("zero-border", circulant_by(around=False), messages.ZERO_BORDER),
        Wrong(
            "one-row",
            lambda w, a, n: circulant_by()(w, a, n)[0],
            "This is the first row. The matrix has one for each pixel of the result.",
        ),
    ],
    [circulant_by_shifts, circulant_by_waves],
)


# The transfer function of a row of taps


def transfer_by(
    *, sign: int = 1, offset: Callable[[int], int] = lambda a: a, finish: Map = same,
) -> OfRow:  # fmt: skip
    """Return a function that gives a transfer function, right unless told otherwise."""

    def transfer(w: Tensor, a: int, n: int) -> Tensor:
        place = torch.arange(len(w), dtype=torch.float64) - offset(a)
        angle = sign * 2 * torch.pi * torch.outer(torch.arange(n).double(), place) / n
        return finish(torch.polar(torch.ones_like(angle), angle) @ w.to(torch.complex128))

    return transfer


def transfer_by_fft(w: Tensor, a: int, n: int) -> Tensor:
    """Transform the kernel, laid on a row with its offset at 0."""
    row = torch.zeros(n, dtype=w.dtype)
    row[: len(w)] = w
    return torch.fft.fft(row.roll(-a)).conj()


def transfer_by_eigenvalues(w: Tensor, a: int, n: int) -> Tensor:
    """Send each wave through the matrix and look at its first pixel."""
    waves = torch.fft.ifft(torch.eye(n, dtype=torch.complex128), norm="ortho")
    return (circulant_by_shifts(w, a, n).to(waves.dtype) @ waves)[0] / waves[0]


TRANSFER = Exercise(
    "ex-ct-transfer",
    draw_row,
    transfer_by(),
    [
        Wrong("conjugate", transfer_by(sign=-1), messages.CONJUGATED),
        Wrong("no-offset", transfer_by(offset=lambda a: 0), messages.NO_OFFSET),
        Wrong(
            "offset-backwards",
            transfer_by(offset=lambda a: -a),
            "The phase that belongs to the offset turns the wrong way.",
        ),
        Wrong(
            "unitary-factor",
            transfer_by(finish=lambda t: t / len(t) ** 0.5),
            messages.UNITARY_TRANSFER,
        ),
        Wrong("real-part", transfer_by(finish=torch.real), messages.REAL_PART_OF_TRANSFER),
        Wrong("modulus", transfer_by(finish=torch.abs), messages.SIZE_OF_TRANSFER),
        Wrong(
            "order",
            transfer_by(finish=torch.fft.fftshift),
            "The values are right and stand in another order of frequencies: k = 0 comes first.",
        ),
    ],
    [transfer_by_fft, transfer_by_eigenvalues],
)  # fmt: skip


# Two layers in one


def full(w1: Tensor, w2: Tensor) -> Tensor:
    """Convolve two rows of taps, without flip."""
    result = torch.zeros(len(w1) + len(w2) - 1, dtype=w1.dtype)
    for q, tap in enumerate(w1):
        result[q : q + len(w2)] += tap * w2
    return result


def full_by_fft(w1: Tensor, w2: Tensor) -> Tensor:
    """Multiply polynomials through their values on the circle."""
    n = len(w1) + len(w2) - 1
    return torch.fft.irfft(torch.fft.rfft(w1, n) * torch.fft.rfft(w2, n), n)


def full_by_layer(w1: Tensor, w2: Tensor) -> Tensor:
    """Lay the one kernel on the other, turned round, with room at both ends."""
    return torch.nn.functional.conv1d(w1[None, None], w2.flip(0)[None, None], padding=len(w2) - 1)[
        0, 0
    ]


def circular(w1: Tensor, w2: Tensor) -> Tensor:
    """Convolve on a circle as long as the longer kernel."""
    n = max(len(w1), len(w2))
    return torch.fft.irfft(torch.fft.rfft(w1, n) * torch.fft.rfft(w2, n), n)


def padded(w: Tensor, n: int) -> Tensor:
    """Append zeros up to n taps."""
    return torch.nn.functional.pad(w, (0, n - len(w)))


def draw_kernels(generator: Generator) -> tuple[Tensor, Tensor]:
    """Draw two kernels of different lengths."""
    return normal(generator, whole(generator, 2, 3)), normal(generator, whole(generator, 4, 5))


COMPOSE = Exercise(
    "ex-ct-compose",
    draw_kernels,
    full,
    [
        Wrong(
            "correlated",
            lambda w1, w2: full(w1, w2.flip(0)),
            "One of the two kernels is turned round. Which power of the exponential does the "
            "product of two taps belong to?",
        ),
        Wrong(
            "other-correlated",
            lambda w1, w2: full(w1.flip(0), w2),
            "One of the two kernels is turned round, the first. Do both layers not lay their "
            "kernels on as they are?",
        ),
        Wrong(
            "reversed",
            lambda w1, w2: full(w1, w2).flip(0),
            "The taps are right and come in reverse order.",
        ),
        Wrong(
            "circular",
            circular,
            "Your kernel is as long as the longer one, and its end has wrapped round to its "
            "beginning. How far do two layers together look?",
        ),
        Wrong(
            "cut",
            lambda w1, w2: full(w1, w2)[: len(w2)],
            "The last taps are missing. How far do two layers together look?",
        ),
        Wrong(
            "middle-only",
            lambda w1, w2: full(w1, w2)[len(w1) - 1 : len(w2)],
            "You keep only the places where the kernels overlap in full. How far do two layers "
            "together look?",
        ),
        Wrong(
            "added",
            lambda w1, w2: padded(w1, len(w1) + len(w2) - 1) + padded(w2, len(w1) + len(w2) - 1),
            "You add the kernels, as two branches would be. These layers stand in a row.",
        ),
        Wrong(
            "entrywise",
            lambda w1, w2: padded(w1, len(w2)) * w2,
            "You multiply tap by tap. What is multiplied frequency by frequency is another thing.",
        ),
    ],
    [full_by_fft, full_by_layer],
)


# Overlap and add


def overlap_by(
    *, room: bool = True, add: bool = True, step: int = 0, last: bool = True,
    kernel: Map = same, cut: Callable[[int, int], int] = lambda n, k: n + k - 1,
) -> Callable[[Tensor, Tensor, int], Tensor]:  # fmt: skip
    """Return a function that convolves by blocks, right unless told otherwise."""

    def overlap_add(x: Tensor, w: Tensor, m: int) -> Tensor:
        b = m - len(w) + 1
        length = m if room else b
        spectrum = torch.fft.rfft(kernel(w), n=length)
        total = torch.zeros(len(x) + len(w) - 1 + m, dtype=x.dtype)
        for start in range(0, len(x) if last else len(x) - b + 1, b):
            block = torch.fft.rfft(x[start : start + b + step], n=length)
            part = torch.fft.irfft(block * spectrum, n=length)
            there = total[start : start + length]
            there.copy_(there + part if add else part)
        return total[: cut(len(x), len(w))]

    return overlap_add


def linear(x: Tensor, w: Tensor, m: int) -> Tensor:
    """Convolve the whole row tap by tap."""
    return full(w, x)


def whole_row(x: Tensor, w: Tensor, m: int) -> Tensor:
    """Convolve the whole row by one FFT."""
    return full_by_fft(x, w)


def draw_blocks(generator: Generator) -> tuple[Tensor, Tensor, int]:
    """Draw a row that is no multiple of the block, a kernel, and the length of the FFTs."""
    taps, block = whole(generator, 3, 5), whole(generator, 4, 6)
    n = block * whole(generator, 3, 4) + whole(generator, 1, block - 1)
    return normal(generator, n), normal(generator, taps), block + taps - 1


OVERLAP = Exercise(
    "ex-fc-overlap",
    draw_blocks,
    linear,
    [
        Wrong(
            "written-over",
            overlap_by(add=False),
            "Where blocks overlap, yours writes over what the one before has left.",
        ),
        Wrong(
            "no-room",
            overlap_by(room=False),
            "Your FFTs are as long as a block, so its tail wraps round onto its head. How long is "
            "a block after the convolution?",
        ),
        Wrong(
            "too-long-blocks",
            overlap_by(step=1),
            "Neighbouring blocks share a pixel, which counts twice.",
        ),
        Wrong(
            "last-block-missing",
            overlap_by(last=False),
            "The end of the row is missing: its last block is shorter than the others.",
        ),
        Wrong(
            "turned-round",
            overlap_by(kernel=lambda w: w.flip(0)),
            "Your kernel is turned round: this is a correlation. What does a product of "
            "transforms compute?",
        ),
        Wrong(
            "cut-to-row",
            overlap_by(cut=lambda n, k: n),
            "Your result is as long as the row. The linear convolution is longer.",
        ),
        Wrong(
            "margin-kept",
            overlap_by(cut=lambda n, k: n + k),
            "One pixel too many: how long is a row after a convolution with k taps?",
        ),
    ],
    [overlap_by(), whole_row],
)


# How far each wave is stretched


def layer_of(weight: Tensor) -> layers.CircularConv2d:
    """Return the layer of a weight (C_out, C_in, kh, kw)."""
    c_out, c_in, *size = weight.shape
    layer = layers.CircularConv2d(c_in, c_out, (size[0], size[1]), bias=False)
    layer.weight.data = weight
    return layer


def transfers(weight: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return T(ω) up to a phase, (H, W, C_out, C_in)."""
    return torch.fft.fft2(weight, s=shape).conj().permute(2, 3, 0, 1)


def stretch_by(
    *, of: Map = lambda t: torch.linalg.svdvals(t)[..., 0], finish: Map = same,
) -> Callable[[Tensor, tuple[int, int]], Tensor]:  # fmt: skip
    """Return a function that gives the largest factor of each wave, right unless told."""

    def stretch(weight: Tensor, shape: tuple[int, int]) -> Tensor:
        return finish(of(transfers(weight, shape)))

    return stretch


def library_stretch(weight: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return the largest singular value of each frequency."""
    return layers.singular_values(layer_of(weight), shape)[..., 0]


def stretch_by_eigenvalues(weight: Tensor, shape: tuple[int, int]) -> Tensor:
    """Take the root of the largest eigenvalue of T* T."""
    matrices = transfers(weight, shape)
    return torch.linalg.eigvalsh(matrices.mH @ matrices)[..., -1].sqrt()


def draw_layer(generator: Generator) -> tuple[Tensor, tuple[int, int]]:
    """Draw the weight of a layer of more than one channel, and the shape of its images."""
    channels = whole(generator, 2, 3)
    return 0.4 * normal(generator, channels + 1, channels, 4, 3), rectangle(generator)


STRETCH = Exercise(
    "ex-layer-stretch",
    draw_layer,
    library_stretch,
    [
        Wrong(
            "reshaped-kernel",
            lambda weight, shape: torch.linalg.svdvals(weight.flatten(1))[0].expand(shape),
            messages.RESHAPED_KERNEL,
        ),
        Wrong("entry", stretch_by(of=lambda t: t.abs().amax((-2, -1))), messages.ENTRY),
        Wrong(
            "frobenius",
            stretch_by(of=lambda t: t.abs().square().sum((-2, -1)).sqrt()),
            messages.FROBENIUS,
        ),
        Wrong(
            "unitary-factor",
            stretch_by(finish=lambda s: s / s.numel() ** 0.5),
            "The unitary transform of the kernel is smaller than the transfer matrix, by a factor "
            "that depends on the number of pixels.",
        ),
        Wrong(
            "square",
            stretch_by(finish=torch.square),
            "This is a factor of power; a factor of length is asked for.",
        ),
        Wrong(
            "least",
            stretch_by(of=lambda t: torch.linalg.svdvals(t)[..., -1]),
            "This is the least factor of each wave.",
        ),
        Wrong("dc-in-the-middle", stretch_by(finish=torch.fft.fftshift),
              messages.DC_IN_THE_MIDDLE),
        Wrong(
            "grey-only",
            stretch_by(of=lambda t: t.sum(-1).norm(dim=-1) / t.shape[-1] ** 0.5),
            "You send the same wave into all channels. Which mixture of channels is stretched "
            "most?",
        ),
    ],
    [stretch_by(), stretch_by_eigenvalues],
)  # fmt: skip


EXERCISES: dict[str, Exercise] = {
    each.name: each for each in (CIRCULANT, TRANSFER, COMPOSE, OVERLAP, STRETCH)
}
