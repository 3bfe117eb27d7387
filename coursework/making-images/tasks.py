"""Making images: the gain of a power law, fields, another exponent, the phases of another image."""

import math

import torch
from grader.pieces import number, radius
from grader.task import Task, choices

from freqsense.exercises import Wrong, messages

PIVOT = 4  # cycles/image, where recolouring may change nothing
EXPONENT = {"power": 0.5, "amplitude": 1.0}  # of the gain, for an exponent 1 of the other


def fft2(x):
    """Transform in the unitary convention."""
    return torch.fft.fft2(x, norm="ortho")


def back(xhat):
    """Undo ``fft2`` for what is real in pixels."""
    return torch.fft.ifft2(xhat, norm="ortho").real


def radius_by_sides(shape):
    """Return the length of (ky, kx), each counted along its own side, (H, W)."""
    ky, kx = (n * torch.fft.fftfreq(n, dtype=torch.float64) for n in shape)
    return torch.hypot(ky[:, None], kx[None])


def draw_shape(generator):
    """Draw a rectangle with an odd side, wide or tall."""
    short = 9 + 2 * int(torch.randint(3, (), generator=generator))
    long = short + 4 + int(torch.randint(3, (), generator=generator))
    return (short, long) if torch.rand((), generator=generator) < 0.5 else (long, short)


def unit_power(values):
    """Scale so that the mean of the squares is 1."""
    return values / values.square().mean().sqrt()


def law_of(distance, knee, below, exponent):
    """Return the law of a gain, before it is scaled."""
    if below == "rounded":
        return (knee**2 + distance.square()) ** (-exponent / 2)
    falling = distance.clamp(min=knee) ** -exponent
    return torch.where(distance < knee, 0.0, falling) if below == "off" else falling


def gain_by(variant, *, law=law_of, factor=1.0, distance=radius, dc=False, finish=unit_power):
    """Return a function that makes the gain, right unless told otherwise."""

    def gain(shape, alpha):
        exponent = alpha * factor * EXPONENT[variant["exponent"]]
        values = law(distance(shape), variant["knee"], variant["below"], exponent)
        if not dc:
            values[0, 0] = 0
        return finish(values)

    return gain


def right_gain(variant):
    """Write the same with a loop over points and logarithms."""

    def gain(shape, alpha):
        height, width = shape
        shorter = min(height, width)
        of_power = alpha if variant["exponent"] == "power" else 2 * alpha
        power = torch.zeros(height, width, dtype=torch.float64)
        for row in range(height):
            for column in range(width):
                ky, kx = min(row, height - row) / height, min(column, width - column) / width
                distance, knee = shorter * (ky * ky + kx * kx) ** 0.5, variant["knee"]
                if variant["below"] == "rounded":
                    distance = math.hypot(distance, knee)
                elif variant["below"] == "flat":
                    distance = max(distance, knee)
                if row + column > 0 and distance >= knee:
                    power[row, column] = math.exp(-of_power * math.log(distance))
        return (power * (height * width / power.sum())).sqrt()

    return [gain]


def wrong_gains(variant):
    """List how the gain goes wrong."""
    return [*wrong_laws(variant), *wrong_knees(variant), *wrong_norms(variant)]


def wrong_laws(variant):
    """List what goes wrong with the exponent, and with the unit of the frequency."""
    wanted = variant["exponent"]
    factor = {"power": 2.0, "amplitude": 0.5}[wanted]
    return [
        Wrong(
            "power-or-amplitude",
            gain_by(variant, factor=factor),
            f"Your exponent is off by a factor of two. In this task α belongs to the {wanted}, "
            "and a gain multiplies amplitudes.",
        ),
        Wrong(
            "power-returned",
            gain_by(variant, factor=2.0, finish=lambda values: values / values.mean()),
            "This is the power of the images. What does white noise have to be multiplied by to "
            "get it?",
        ),
        Wrong(
            "sign",
            gain_by(variant, factor=-1.0),
            messages.GAIN_GROWS,
        ),
        Wrong(
            "shifted",
            gain_by(variant, finish=lambda v: torch.fft.fftshift(unit_power(v))),
            "You put the constant wave into the middle of the array; the transform has it first.",
        ),
        Wrong(
            "each-side-by-itself",
            gain_by(variant, distance=radius_by_sides),
            messages.EACH_SIDE_BY_ITSELF,
        ),
        Wrong(
            "longer-side",
            gain_by(variant, distance=lambda shape: radius(shape, max)),
            "Your radius counts periods along the longer side; the task counts along the shorter.",
        ),
    ]


AT_THE_KNEE = {
    "flat": "Below the knee your gain is flat. The task wants something else of these waves.",
    "off": "Below the knee your gain is zero. The task keeps these waves.",
    "rounded": "Your gain has no sharp knee: it bends little by little, and the task wants a law "
    "that changes at the knee.",
}


def wrong_knees(variant):
    """List what goes wrong at the knee and below it."""
    other = {2.5: 3.5, 3.5: 2.5}[variant["knee"]]
    wrongs = [
        Wrong(
            "no-knee",
            gain_by(variant, law=lambda d, knee, below, e: d.clamp(min=1e-9) ** -e),
            "Your law has no knee: it goes on to the lowest waves, which come out too strong.",
        ),
        Wrong(
            "other-knee",
            gain_by({**variant, "knee": other}),
            f"The knee of your gain is at {other} cycles/image, and that of the task elsewhere.",
        ),
        *[
            Wrong(f"below-{below}", gain_by({**variant, "below": below}), message)
            for below, message in AT_THE_KNEE.items()
            if below != variant["below"]
        ],
    ]
    if variant["below"] == "rounded":
        wrongs.append(
            Wrong(
                "lengths-added",
                gain_by(variant, law=lambda d, knee, below, e: (knee + d) ** -e),
                "You add the knee and the frequency. The task adds their squares.",
            )
        )
    # Where waves below the knee are off, so is the constant one; and none has 2.5 cycles/pixel.
    return wrongs if variant["below"] == "off" else [*wrongs, *wrong_lowest(variant)]


def wrong_lowest(variant):
    """List what goes wrong with the lowest waves where they are kept."""
    return [
        Wrong(
            "dc-kept",
            gain_by(variant, dc=True),
            "The constant wave has a gain. What does the task want there?",
        ),
        Wrong(
            "cycles-per-pixel",
            gain_by(variant, distance=lambda shape: radius(shape) / min(shape)),
            "Your gain is all but flat: you count cycles/pixel, of which no wave has as many as "
            "the knee.",
        ),
    ]


def wrong_norms(variant):
    """List what goes wrong with the scale of the gain."""
    return [
        Wrong(
            "sum-of-squares",
            gain_by(variant, finish=lambda values: values / values.square().sum().sqrt()),
            "The sum of your squares is 1, so the fields would be faint: which of the sums in "
            "Parseval's identity must be D for a variance of 1?",
        ),
        Wrong(
            "zeros-not-counted",
            gain_by(variant, finish=lambda v: v / v[v > 0].square().mean().sqrt()),
            "You take the mean over the frequencies that are on. The variance is a mean over all "
            "pixels, of which there are as many as frequencies.",
        ),
        Wrong(
            "mean-size",
            gain_by(variant, finish=lambda values: values / values.mean()),
            "The mean of your gains is 1. What has to be 1 is a mean of powers.",
        ),
        Wrong(
            "not-scaled",
            gain_by(variant, finish=lambda values: values),
            "The law is right but for its scale: white noise of variance 1 would not keep its "
            "variance.",
        ),
    ]


def draw_gain(generator, variant):
    """Draw a shape and an exponent."""
    return draw_shape(generator), number(generator, 1.2, 2.8)


def coefficients(noise, kind):
    """Return the coefficients of white noise, before the gain."""
    return fft2(noise) if kind == "pixels" else torch.complex(noise[0], noise[1])


def exact(field):
    """Scale each field so that the mean of its squared pixels is 1."""
    return field / field.square().mean((-2, -1), keepdim=True).sqrt()


def unit_peak(field):
    """Scale each field so that its largest pixel has the size 1."""
    return field / field.abs().amax((-2, -1), keepdim=True)


SCALED = {"on average": lambda field: field, "variance": exact, "peak": unit_peak}


def field_by(variant, *, change=None, gain_of=None, leave=back, finish=None):
    """Return a function that makes fields, right unless told otherwise."""

    def field(given, noise):
        gain = given if variant["given"] == "gain" else given.sqrt()
        start = coefficients(noise, variant["noise"])
        start = change(start, noise) if change else start
        made = leave((gain_of(gain) if gain_of else gain) * start)
        return (finish or SCALED[variant["spread"]])(made)

    return field


def waves(n):
    """Return the matrix whose columns are the unit waves of a side, (n, n)."""
    steps = torch.arange(n, dtype=torch.float64)
    angle = 2 * torch.pi * torch.outer(steps, steps) / n
    return torch.complex(angle.cos(), angle.sin()) / n**0.5


def right_field(variant):
    """Write the same with matrices of waves."""

    def field(given, noise):
        height, width = given.shape
        gain = given ** (1.0 if variant["given"] == "gain" else 0.5)
        rows, columns = waves(height), waves(width)
        if variant["noise"] == "pixels":
            fields = [
                rows @ (gain * (rows.conj() @ each.to(rows) @ columns.conj())) @ columns
                for each in noise
            ]
        else:
            fields = [rows @ (gain * (noise[0] + 1j * noise[1])) @ columns]
        fields = [each.real for each in fields]
        if variant["spread"] == "variance":
            fields = [each * (each.numel() ** 0.5 / float(each.norm())) for each in fields]
        if variant["spread"] == "peak":
            fields = [each / max(float(each.max()), -float(each.min())) for each in fields]
        return torch.stack(fields) if variant["noise"] == "pixels" else fields[0]

    return [field]


def draw_again(start, noise):
    """Draw other noise, with a seed of one's own."""
    again = torch.randn(noise.shape, generator=torch.Generator().manual_seed(0), dtype=noise.dtype)
    return fft2(again) if start.shape == noise.shape else torch.complex(again[0], again[1])


def wrong_fields(variant):
    """List how fields go wrong."""
    return [*wrong_noises(variant), *wrong_gains_of_fields(variant), *wrong_scales(variant)]


def wrong_noises(variant):
    """List what is done wrongly to the noise."""
    if variant["noise"] == "pixels":
        other = Wrong(
            "pixels-for-coefficients",
            field_by(variant, change=lambda start, noise: noise),
            messages.PIXELS_FOR_COEFFICIENTS,
        )
    else:
        other = Wrong(
            "coefficients-for-pixels",
            field_by(variant, change=lambda start, noise: fft2(noise)),
            "You use the noise as two images. Here it holds the coefficients of the waves.",
        )
    return [
        other,
        Wrong(
            "seed-inside",
            field_by(variant, change=draw_again),
            "Your function draws noise of its own with a fixed seed, so all fields are the same. "
            "Use the noise that it is given.",
        ),
        Wrong(
            "phases-only",
            field_by(variant, change=lambda start, noise: start / start.abs()),
            messages.PHASES_ONLY,
        ),
    ]


def wrong_gains_of_fields(variant):
    """List what is done wrongly with the gain, and on the way back."""
    return [
        Wrong(
            "gain-shifted",
            field_by(variant, gain_of=torch.fft.fftshift),
            messages.GAIN_SHIFTED,
        ),
        *wrong_squares(variant),
        Wrong(
            "modulus",
            field_by(variant, leave=lambda y: torch.fft.ifft2(y, norm="ortho").abs()),
            "Your field has no negative pixel: you take the modulus on the way back.",
        ),
        Wrong(
            "real-part-too-early",
            field_by(variant, change=lambda start, noise: start.real.to(start)),
            "You take the real part of the coefficients, which throws half of the power away. "
            "What has to be real is the image.",
        ),
    ]


def wrong_squares(variant):
    """List how gain and power are mistaken for each other."""
    if variant["given"] == "power":
        return [
            Wrong(
                "power-as-a-gain",
                field_by(variant, gain_of=torch.square),
                "You multiply coefficients by the power that they are to have. A coefficient is "
                "an amplitude.",
            )
        ]
    return [
        Wrong(
            "gain-squared",
            field_by(variant, gain_of=torch.square),
            messages.GAIN_SQUARED,
        ),
        Wrong(
            "gain-as-a-power",
            field_by(variant, gain_of=torch.sqrt),
            "You take the root of the gain, as if it were a power. It multiplies as it is.",
        ),
    ]


def wrong_scales(variant):
    """List how the scale of fields goes wrong."""
    wrongs = {"on average": wrong_transforms, "variance": wrong_spreads, "peak": wrong_peaks}
    told = {
        "on average": "Your fields are not scaled. This term wants something of each one.",
        "variance": "You scale each field so that the mean of its squares is 1. This term wants "
        "something else.",
        "peak": "You scale each field by its largest pixel. This term wants something else.",
    }
    return [
        *[
            Wrong(
                f"spread-{each.replace(' ', '-')}", field_by({**variant, "spread": each}), message
            )
            for each, message in told.items()
            if each != variant["spread"]
        ],
        *wrongs[variant["spread"]](variant),
    ]


def wrong_spreads(variant):
    """List how the variance of a field goes wrong."""
    return [
        Wrong(
            "unbiased",
            field_by(variant, finish=lambda x: x / x.std((-2, -1), keepdim=True)),
            "Nearly: your variance divides by one less than the number of pixels, as torch.std "
            "does unless told not to.",
        ),
        Wrong(
            "divided-by-the-variance",
            field_by(variant, finish=lambda x: x / x.square().mean((-2, -1), keepdim=True)),
            "You divide by the variance; what is divided then has the variance one over it.",
        ),
    ]


def wrong_peaks(variant):
    """List how the largest pixel of a field goes wrong."""
    return [
        Wrong(
            "largest-without-sign",
            field_by(variant, finish=lambda x: x / x.amax((-2, -1), keepdim=True)),
            "You divide by the brightest pixel. The darkest may lie farther from zero.",
        ),
        Wrong(
            "range",
            field_by(
                variant,
                finish=lambda x: x / (x.amax((-2, -1)) - x.amin((-2, -1)))[..., None, None],
            ),
            "You divide by the distance of the brightest pixel from the darkest.",
        ),
    ]


def wrong_transforms(variant):
    """List how the scale goes wrong where nothing is scaled in the end."""
    wrongs = [
        Wrong(
            "variance-d",
            field_by(variant, finish=lambda x: x * x.shape[-2] ** 0.5 * x.shape[-1] ** 0.5),
            "Your variance is about D: one of the two transforms is not unitary.",
        ),
        Wrong(
            "one-over-d",
            field_by(variant, finish=lambda x: x / (x.shape[-2] * x.shape[-1]) ** 0.5),
            "Your variance is about 1/D: one of the two transforms is not unitary.",
        ),
    ]
    if variant["noise"] == "waves":
        wrongs.append(
            Wrong(
                "half-the-power",
                field_by(variant, finish=lambda field: field / 2**0.5),
                "Your variance is a half: you made the coefficients of mean power 1, and then the "
                "real part took half of it away.",
            )
        )
    return wrongs


def draw_field(generator, variant):
    """Draw the gain of a power law, and noise."""
    shape = draw_shape(generator)
    gain = radius(shape).clamp(min=0.5) ** -number(generator, 0.5, 1.5)
    gain[0, 0] = 0
    gain = unit_power(gain)
    given = gain if variant["given"] == "gain" else gain.square()
    return given, torch.randn(2, *shape, generator=generator, dtype=torch.float64)


def exponent_of_gain(variant, delta):
    """Return the exponent that the gain of a wave has."""
    return delta * EXPONENT[variant["exponent"]] * (1 if variant["delta"] == "rises" else -1)


def recolor_by(variant, *, factor=1.0, distance=radius, change=fft2, dc=None):
    """Return a function that recolours, right unless told otherwise."""

    def recolor(x, delta):
        distances = distance(x.shape)
        distances[0, 0] = 1
        gain = (distances / PIVOT) ** (factor * exponent_of_gain(variant, delta))
        before, mean = x - x.mean(), x.mean()
        after = back(gain * change(before))
        scale = {
            "variance": before.norm() / after.norm(),
            "pivot": torch.ones(()),
            "strongest": 1 / gain.flatten()[1:].max(),
            "weakest": 1 / gain.flatten()[1:].min(),
            "one cycle": PIVOT ** (factor * exponent_of_gain(variant, delta)),
        }[variant["keeps"]]
        return scale * after + (dc(mean, scale, gain) if dc else mean)

    return recolor


def right_recolor(variant):
    """Write the same wave by wave."""

    def recolor(x, delta):
        height, width = x.shape
        shorter = min(height, width)
        p, q = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        power = delta / 2 if variant["exponent"] == "power" else delta
        power = power if variant["delta"] == "rises" else -power
        strongest = 0.0
        result = torch.zeros(height, width, dtype=torch.float64)
        for row in range(height):
            for column in range(width):
                if row == column == 0:
                    continue
                ky, kx = min(row, height - row) / height, min(column, width - column) / width
                distance = shorter * (ky * ky + kx * kx) ** 0.5
                angle = 2 * torch.pi * (row * p.double() / height + column * q.double() / width)
                even, odd = (x * angle.cos()).mean(), (x * angle.sin()).mean()
                gain = (distance / PIVOT) ** power
                strongest = max(strongest, gain)
                result += gain * (even * angle.cos() + odd * angle.sin())
        if variant["keeps"] == "variance":
            result = result * (x.var() / result.var()).sqrt()
        if variant["keeps"] == "strongest":
            result = result / strongest
        return result + x.mean()

    return [recolor]


def wrong_recolors(variant):
    """List how recolouring goes wrong."""
    wanted = variant["exponent"]
    return [
        Wrong(
            "sign",
            recolor_by(variant, factor=-1.0),
            "You go the other way: are fine waves stronger or weaker for a positive δ?",
        ),
        Wrong(
            "double",
            recolor_by(variant, factor=2.0),
            f"Your exponent is twice as large as it should be: δ belongs to the {wanted}.",
        ),
        Wrong(
            "half",
            recolor_by(variant, factor=0.5),
            f"Your exponent is half as large as it should be: δ belongs to the {wanted}.",
        ),
        Wrong(
            "dc-lost",
            recolor_by(variant, dc=lambda mean, scale, gain: 0 * mean),
            "The mean of your image is zero. What becomes of the constant wave?",
        ),
        Wrong(
            "phases-lost",
            recolor_by(variant, change=lambda x: fft2(x).abs()),
            "You lose the phases: multiply the coefficients, not their sizes.",
        ),
        Wrong(
            "each-side-by-itself",
            recolor_by(variant, distance=radius_by_sides),
            "On rectangles your radius counts the periods along each side by itself.",
        ),
        Wrong(
            "gain-shifted",
            recolor_by(variant, distance=radius_shifted),
            messages.GAIN_SHIFTED,
        ),
        *wrong_kept(variant),
    ]


def radius_shifted(shape):
    """Return radii with the constant wave in the middle, without a zero."""
    distances = radius(shape)
    distances[0, 0] = 1
    return torch.fft.fftshift(distances)


KEPT = {
    "variance": "You keep the variance of the pixels, which may change in this term.",
    "pivot": f"You keep waves of {PIVOT} cycles/image. This term keeps something else.",
    "strongest": "You make the largest factor 1. This term keeps something else.",
    "one cycle": "You keep what has one cycle/image, as the library does; this term keeps "
    "something else.",
}


def wrong_kept(variant):
    """List how that goes wrong which has to be kept."""
    wrongs = [
        Wrong(f"keeps-{keeps.replace(' ', '-')}", recolor_by({**variant, "keeps": keeps}), message)
        for keeps, message in KEPT.items()
        if keeps != variant["keeps"]
    ]
    if variant["keeps"] == "variance":
        return [
            *wrongs,
            Wrong(
                "dc-scaled",
                recolor_by(variant, dc=lambda mean, scale, gain: scale * mean),
                "You scale the mean along with all that varies. The mean must stay as it is.",
            ),
            Wrong("sum-of-squares", recolor_keeping_squares(variant), KEPT_SQUARES),
        ]
    wrongs.append(
        Wrong(
            "dc-multiplied",
            recolor_by(variant, dc=lambda mean, scale, gain: scale * gain[0, 0] * mean),
            "The constant wave is multiplied too. It has no place on a power law, and stays.",
        )
    )
    if variant["keeps"] == "pivot":
        cycles_per_pixel = Wrong(
            "cycles-per-pixel",
            recolor_by(variant, distance=lambda shape: radius(shape) / min(shape)),
            "Your radius is in cycles/pixel and that of the pivot in cycles/image.",
        )
        return [*wrongs, cycles_per_pixel]
    weakest = Wrong(
        "weakest",
        recolor_by({**variant, "keeps": "weakest"}),
        "You make the smallest factor 1, so that waves get stronger.",
    )
    return [*wrongs, weakest]


KEPT_SQUARES = (
    "You keep the sum of squared pixels, in which the mean has its part. Keep mean and variance, "
    "each by itself."
)


def recolor_keeping_squares(variant):
    """Return a function that scales the whole image to the length that it had."""
    plain = recolor_by({**variant, "keeps": "one cycle"})

    def recolor(x, delta):
        y = plain(x, delta)
        return y * (x.norm() / y.norm())

    return recolor


def draw_recolor(generator, variant):
    """Draw an image with a mean, and an exponent that is neither 0 nor 1."""
    shape = draw_shape(generator)
    smooth = radius(shape).clamp(min=1) ** -0.5
    x = back(smooth * fft2(torch.randn(shape, generator=generator, dtype=torch.float64)))
    sign = 1 if torch.rand((), generator=generator) < 0.5 else -1
    return x - x.mean() + 1.5, sign * number(generator, 0.6, 0.9)


def swap_by(variant, *, phase_of=torch.angle, join=None, leave=back):
    """Return a function that swaps phases, right unless told otherwise."""

    def swap_phases(a, b, radius_of_band):
        first, second = (a, b) if variant["amplitude"] == "a" else (b, a)
        own, other = fft2(first), fft2(second)
        hybrid = join(own, other) if join else torch.polar(own.abs(), phase_of(other))
        inside = radius(a.shape) < radius_of_band
        band = {"below": inside, "from": ~inside, "all": inside | ~inside}[variant["band"]]
        rest = {"amplitudes": own, "phases": other, "nothing": torch.zeros_like(own)}
        return leave(torch.where(band, hybrid, rest[variant["rest"]]))

    return swap_phases


def right_swap(variant):
    """Write the same with quotients, wave by wave."""
    share = {"amplitudes": (1, 0), "phases": (0, 1), "nothing": (0, 0)}[variant["rest"]]

    def swap_phases(a, b, radius_of_band):
        first, second = (a, b) if variant["amplitude"] == "a" else (b, a)
        own, other = fft2(first), fft2(second)
        made = share[0] * own + share[1] * other
        height, width = a.shape
        for row in range(height):
            for column in range(width):
                ky, kx = min(row, height - row) / height, min(column, width - column) / width
                low = min(height, width) * (ky * ky + kx * kx) ** 0.5 < radius_of_band
                if low == (variant["band"] == "below"):
                    turn = other[row, column] / other[row, column].abs()
                    made[row, column] = own[row, column].abs() * turn
        return back(made)

    return [swap_phases]


BEYOND = {
    "amplitudes": "Outside of the band your waves are those of the image that gives amplitudes.",
    "phases": "Outside of the band your waves are those of the image that gives phases.",
    "nothing": "Outside of the band your image has no waves.",
}


def wrong_swaps(variant):
    """List how swapping phases goes wrong."""
    amplitude = {"a": "b", "b": "a"}[variant["amplitude"]]
    band = {"below": "from", "from": "below"}[variant["band"]]
    return [
        Wrong(
            "roles",
            swap_by({**variant, "amplitude": amplitude}),
            messages.ROLES,
        ),
        Wrong(
            "other-band",
            swap_by({**variant, "band": band}),
            "Your band is the other half of the plane: are the hybrid's waves those below the "
            "radius, or the others?",
        ),
        Wrong(
            "everywhere",
            swap_by({**variant, "band": "all"}),
            "You make a hybrid at all frequencies. The task makes it in a band only.",
        ),
        *[
            Wrong(
                f"rest-{rest}",
                swap_by({**variant, "rest": rest}),
                f"{told} The task wants something else there.",
            )
            for rest, told in BEYOND.items()
            if rest != variant["rest"]
        ],
        Wrong(
            "angle-of-a-modulus",
            swap_by(variant, phase_of=lambda other: other.abs().angle()),
            "All your phases are zero in the band: you take the angle of a size, which has none.",
        ),
        Wrong(
            "arctan-without-quadrant",
            swap_by(variant, phase_of=lambda other: torch.atan(other.imag / other.real)),
            messages.QUADRANT,
        ),
        Wrong(
            "conjugate",
            swap_by(variant, phase_of=lambda other: -other.angle()),
            messages.CONJUGATED_PHASES,
        ),
        Wrong(
            "phases-added",
            swap_by(variant, join=lambda own, other: own * torch.exp(1j * other.angle())),
            messages.PHASES_ADDED,
        ),
        Wrong(
            "all-of-the-other",
            swap_by(variant, join=lambda own, other: other),
            "In the band you take the amplitudes along with the phases.",
        ),
        Wrong(
            "product-of-amplitudes",
            swap_by(variant, join=lambda own, other: own.abs() * other),
            "In the band your amplitudes are products: divide by one before you multiply by the "
            "other.",
        ),
        Wrong(
            "modulus",
            swap_by(variant, leave=lambda y: torch.fft.ifft2(y, norm="ortho").abs()),
            messages.MODULUS_ON_THE_WAY_BACK,
        ),
    ]


def draw_swap(generator, variant):
    """Draw two images of positive mean with negative pixels, and a radius between the waves."""
    shape = draw_shape(generator)
    a, b = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    return a - a.mean() + 0.5, b - b.mean() + 0.3, number(generator, 2.1, 3.4)


TASKS = [
    Task(
        "gain", 4, draw_gain, gain_by, wrong_gains, right_gain,
        variants=choices(
            exponent=("power", "amplitude"), knee=(2.5, 3.5), below=tuple(AT_THE_KNEE)
        ),
    ),
    Task(
        "field", 4, draw_field, field_by, wrong_fields, right_field,
        variants=choices(
            given=("gain", "power"), noise=("pixels", "waves"), spread=tuple(SCALED)
        ),
    ),
    Task(
        "recolor", 4, draw_recolor, recolor_by, wrong_recolors, right_recolor,
        variants=choices(
            exponent=("amplitude", "power"), delta=("rises", "falls"),
            keeps=("variance", "pivot", "strongest"),
        ),
    ),
    Task(
        "swap_phases", 4, draw_swap, swap_by, wrong_swaps, right_swap,
        variants=choices(amplitude=("a", "b"), band=("below", "from"), rest=tuple(BEYOND)),
    ),
]  # fmt: skip
