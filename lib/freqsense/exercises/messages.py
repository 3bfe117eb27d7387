"""What is told of misconceptions that several exercises share."""

__all__ = [
    "ADDED_OUTPUTS",
    "ALL_OF_THE_OTHER",
    "AMPLITUDE",
    "ANGLE_OF_A_MODULUS",
    "BATCH_MEAN",
    "CONJUGATED",
    "CONJUGATED_PHASES",
    "CORNERS_KEPT",
    "DC_IN_THE_MIDDLE",
    "DIVIDED_BY_N",
    "EACH_SIDE_BY_ITSELF",
    "ENTRY",
    "FIRST_OUTPUTS_ADDED",
    "FLIPPED",
    "FREQUENCIES_SHIFTED",
    "FROBENIUS",
    "GAIN_GROWS",
    "GAIN_SHIFTED",
    "GAIN_SQUARED",
    "GRADIENTS_CANCEL",
    "HALF_A_RING",
    "IMAGES_CANCEL",
    "LAST_RING_MISSING",
    "LATE",
    "LONGER_SIDE",
    "MEAN_OF_SIZES",
    "MEAN_OVER_OUTPUTS",
    "MODULUS_ON_THE_WAY_BACK",
    "NEGATIVE_SENSITIVITY",
    "NOT_DIVIDED",
    "NOT_UNITARY",
    "NO_OFFSET",
    "N_FOR_N_MINUS_1",
    "ONE_RING_TOO_MANY",
    "PER_PIXEL",
    "PHASES_ADDED",
    "PHASES_ONLY",
    "PIXELS_FOR_COEFFICIENTS",
    "PRICE_OFF_THE_TEACHER",
    "PRICE_WITHOUT_PIXELS",
    "PRODUCT_OF_AMPLITUDES",
    "QUADRANT",
    "REAL_PART_OF_TRANSFER",
    "RESHAPED_KERNEL",
    "ROLES",
    "SHIFTED",
    "SIZE_OF_TRANSFER",
    "SIZE_OF_NEGATIVE",
    "SLOPE_FOR_EXPONENT",
    "SQUARE_OF_SENSITIVITY",
    "STANDARD_DEVIATION",
    "SUM_OVER_IMAGES",
    "TRANSPOSED",
    "UNITARY_TRANSFER",
    "VARIANCE_FOR_ERROR",
    "ZERO_BORDER",
]

# Power and rings

AMPLITUDE = "This is an amplitude: its square is the power."
MEAN_OF_SIZES = "You average sizes and square afterwards; power is the mean of squares."
IMAGES_CANCEL = "You average the images first, and their waves cancel. Measure each, then average."
SUM_OVER_IMAGES = "Twice as many images must not have twice the power: take the mean over images."
NOT_UNITARY = (
    "The transform of this course is unitary: compare the sum of your power with the sum of "
    "squared pixels."
)
SHIFTED = "You take the middle of the array for the constant wave; here it stands in the corner."
HALF_A_RING = (
    "Your rings begin half a cycle away from those that are asked for. In which ring does a wave "
    "of radius 1.6 lie?"
)
CORNERS_KEPT = (
    "The last ring holds the corners of the plane too. Waves beyond the last ring belong to no "
    "ring."
)
LONGER_SIDE = "Your radius counts periods along the longer side; it should be the shorter."
EACH_SIDE_BY_ITSELF = (
    "On rectangles your radius counts the periods along each side by itself. Waves of equal "
    "length in pixels must have equal radius."
)

# Exponents

SLOPE_FOR_EXPONENT = "This is the slope. What falls has a negative slope and a positive exponent."
LAST_RING_MISSING = "The range of the fit ends one ring too early: fmax belongs to it."
ONE_RING_TOO_MANY = "The range of the fit ends one ring too late: fmax is the last ring."
FREQUENCIES_SHIFTED = (
    "The entry k of the profile belongs to k cycles/image, and you took k + 1 (or the fit starts "
    "to count at 1)."
)

# Fields and phases

GAIN_GROWS = "Your gain grows with the frequency, so fine waves would be the strong ones."
GAIN_SHIFTED = "Gain and coefficients do not stand in the same order: where is the constant wave?"
GAIN_SQUARED = "You apply the gain twice. Gains multiply amplitudes, and power by their squares."
PIXELS_FOR_COEFFICIENTS = (
    "You use the noise as coefficients of waves, and taking the real part throws half of the "
    "power away. This noise has its values at pixels."
)
PHASES_ONLY = (
    "You keep only the phases of the noise, so that the power of each field follows the law "
    "without any scatter. A Gaussian field scatters."
)
MODULUS_ON_THE_WAY_BACK = "Your image has no negative pixel: you take the modulus on the way back."
ROLES = "The two images have changed their roles: which of them gives the amplitudes?"
ANGLE_OF_A_MODULUS = "All your phases are zero: you take the angle of a size, which has none."
QUADRANT = (
    "Your phases lie within a quarter turn of zero: a quotient forgets the signs of its two parts."
)
CONJUGATED_PHASES = (
    "Your phases have the wrong sign: the image that gives them comes out turned about."
)
PHASES_ADDED = "You add the phases of both images. The new ones replace the old."
ALL_OF_THE_OTHER = "You take the amplitudes along with the phases."
PRODUCT_OF_AMPLITUDES = (
    "Your amplitudes are products: divide by one before you multiply by the other."
)

# Convolutions and layers

TRANSPOSED = (
    "This is the transpose. Either rows and columns have changed places (rows are pixels of the "
    "result), or correlation and convolution have."
)
FLIPPED = "You turn the kernel round. The first tap looks where the last one should."
LATE = "Moved by one pixel: your offset is larger by one."
ZERO_BORDER = (
    "What leaves on one side must come in on the other. Your matrix has nothing in its corners."
)
NO_OFFSET = "The sizes are right, the phases are those of a kernel whose offset a is 0."
CONJUGATED = (
    "This is the conjugate. Is the kernel laid on the row as it is, or turned round, and which "
    "sign does that give the exponent?"
)
UNITARY_TRANSFER = (
    "This is the kernel's unitary transform. An eigenvalue has one factor more: what is the "
    "result for a constant row and taps that add up to 1?"
)
REAL_PART_OF_TRANSFER = "Only the real part is left, and with it you lose how far crests move."
SIZE_OF_TRANSFER = "This is the gain. Wanted is the number itself, phase included."
RESHAPED_KERNEL = (
    "This comes from the singular values of the kernel written as a matrix. A layer lays it on the "
    "image at every pixel, and the results overlap."
)
ENTRY = "This belongs to one channel in and one out. A wave may come in on all channels."
FROBENIUS = (
    "You take the root of the sum of squares of each transfer matrix. That is the size of all its "
    "singular values together."
)

# Sensitivity

MEAN_OVER_OUTPUTS = "You divide by the number of outputs. Twice the outputs may move twice as much."
BATCH_MEAN = (
    "Your result falls with the number of images: a mean over the batch was taken before the "
    "gradient."
)
GRADIENTS_CANCEL = "You average gradients over images first, and they cancel."
SQUARE_OF_SENSITIVITY = "This is the square of the sensitivity."
ADDED_OUTPUTS = "You add the sizes of all outputs; outputs add up as squares."
FIRST_OUTPUTS_ADDED = (
    "You take one gradient of the sum of all outputs, in which they cancel. Each output has its "
    "own."
)
DC_IN_THE_MIDDLE = "The values are right and stand in other places: the constant wave comes first."

# The closed forms

PRICE_WITHOUT_PIXELS = "κ is not λ here: the number of pixels is missing."
PER_PIXEL = "You divide the decay by D. How does the representation cost of depth L depend on D?"
NEGATIVE_SENSITIVITY = (
    "Some of your sensitivities are negative. Where does the minimum over r ≥ 0 lie then?"
)
SIZE_OF_NEGATIVE = "Frequencies that should be silent have the size of a negative number."
PRICE_OFF_THE_TEACHER = (
    "You take the whole price off the size of the teacher. It comes off the correlation; off the "
    "teacher it depends on the power."
)
NOT_DIVIDED = (
    "This is what is left of the correlation. From a correlation to a sensitivity one step is "
    "missing."
)

# Errors over seeds

STANDARD_DEVIATION = (
    "This is the standard deviation of the seeds, which does not shrink with their number."
)
N_FOR_N_MINUS_1 = (
    "Your variance divides by the number of seeds. Their mean was fitted to them first."
)
DIVIDED_BY_N = "You divide by the number of seeds; errors shrink more slowly than that."
VARIANCE_FOR_ERROR = "This is the square of an error: its unit is not that of a slope."
