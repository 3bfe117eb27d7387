"""Robustness: errors under waves, noise bands and attacks, and training that changes them."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm.auto import tqdm

from freqsense._checks import (
    as_choice,
    as_classes,
    as_flag,
    as_image_shape,
    as_images,
    as_integer,
    as_labels,
    as_positive,
    check_signs,
    seeded_generator,
    sides,
)
from freqsense._evaluation import (
    CUT_OFF,
    as_batch_size,
    as_outputs,
    check_callable,
    check_own_outputs,
    eval_mode,
    fitting_batch,
)
from freqsense._moments import Moments
from freqsense._scale import binary_scales
from freqsense.filters import band_pass, low_pass
from freqsense.fourier import (
    RadialProfile,
    fft2,
    fourier_mode,
    frequencies,
    radial_average,
    radial_mask,
    rings,
)
from freqsense.spectra import PowerSpectrum, power_spectrum

__all__ = [
    "NORMS",
    "HeatMap",
    "adversarial",
    "band_noise",
    "band_penalty",
    "error_rate",
    "fourier_heat_map",
    "gaussian_noise",
    "low_pass_augment",
    "perturbation_spectrum",
    "pgd",
]

NORMS = ("l2", "linf")

# Images of noise filtered at a time, which bounds the memory.
_CHUNK_IMAGES = 256

# Steps of an attack add up to so many radii, which reaches the sphere from anywhere inside.
_REACH = 2.5


@dataclass(frozen=True)
class HeatMap:
    """Share of images misclassified when a wave of each frequency is added to them.

    errors : (H, W) share, float64, in the order of :func:`.fft2`; the same at ω and -ω
    clean_error : share without any wave
    n_images : number of images
    norm : L2 norm of the wave over all channels, in pixel units
    ring_stderr : (R,) standard error of the ring means over images, which allows for all
        frequencies being tried on the same images; NaN for a single image
    """

    errors: Tensor
    clean_error: float
    n_images: int
    norm: float
    ring_stderr: Tensor

    @property
    def stderr(self) -> Tensor:
        """Binomial standard error (H, W) of each share."""
        return (self.errors * (1 - self.errors) / self.n_images).sqrt()

    def radial(self) -> RadialProfile:
        """Average over rings (definition ``def-radial-average``): mean (R,).

        The standard error is over images where there are several, and from the scatter over the
        ring for a single image.
        """
        profile = radial_average(self.errors)
        if self.n_images > 1:
            profile = replace(profile, sem=self.ring_stderr.clone(), sem_over="images")
        return profile


def fourier_heat_map(
    model: Callable[[Tensor], Tensor],
    images: Tensor | np.ndarray,
    labels: Tensor | np.ndarray,
    *,
    norm: float,
    batch_size: int | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    progress: bool = False,
) -> HeatMap:
    r"""Measure the error of a classifier under a wave of each frequency.

    .. math:: E(\omega) = \frac1N \sum_{i=1}^{N} \Bigl[\, \text{class of }
        \Bigl(x_{i,c} + \tfrac{v}{\sqrt C}\, r_{i,c}\, u_\omega\Bigr)_{c=1}^{C}
        \ne y_i \Bigr], \qquad
        u_\omega[p] = D^{-1/2} \bigl( \cos (2\pi\, \omega \cdot p / n)
        + \sin (2\pi\, \omega \cdot p / n) \bigr)

    Definition ``def-fourier-heat-map`` of the book: r are random signs, drawn anew for each image,
    channel and frequency, and v is ``norm``, the L2 norm of what is added to all C channels
    together (the paper states that of each channel, which is v/√C). Both ±ω lie along the one real
    direction u, of norm 1: it is tried once, at the one of the two that comes first, and copied.
    Nothing is clipped.

    For a linear network with one output, of C = 1, and expected over the signs (proposition
    ``prop-heat-map-linear``), with margins m = y f(x):

    .. math:: \mathbb E\, E(\omega) = \tfrac12 \Pr\bigl(m \le a(\omega)\bigr)
        + \tfrac12 \Pr\bigl(m \le -a(\omega)\bigr), \qquad
        a(\omega) = v\, |\operatorname{Re} B(\omega) + \operatorname{Im} B(\omega)|
        \le v \sqrt2\, |B(\omega)|

    Hence the expected error at ω depends on B(ω) through a(ω) alone. Of the images classified right
    without the wave it never falls as a(ω) grows, and tends to ½; of those classified wrong it
    never rises, and tends to ½ too. The phase of B counts, since that of the wave is fixed; where
    B is real, as for a kernel that is even about pixel (0, 0), a(ω) = v \|B(ω)\|.

    A module runs in eval mode, and is left in the state it was found in.

    Parameters
    ----------
    model : maps (N, C, H, W) to (N, K); an ``nn.Module``, or any function.
    images : (N, C, H, W). Cast to the dtype of the model's weights.
    labels : classes (N,) for K >= 2; -1 and +1, (N,) or (N, 1), for K = 1. An output of 0 counts as
        wrong.
    norm : v > 0, in pixel units.
    batch_size : images at a time; None takes 256, and fewer where they are large: 32 of
        3 x 224 x 224.
    seed : of the signs, which do not depend on ``batch_size``; the global random state is left
        alone.
    device : where to compute; None computes where the model is.
    progress : show a bar.

    Returns
    -------
    HeatMap

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, the labels do not fit the images or the outputs, or the
        outputs are not a real, finite (N, K).

    Source
    ------
    Yin et al. (2019), arXiv 1906.08988; the phase of the waves is that of the authors' code.

    Examples
    --------
    >>> import torch
    >>> from freqsense import robustness
    >>> def mean_of_pixels(x):                      # listens to DC alone
    ...     return x.mean((1, 2, 3))[:, None]
    >>> x, y = torch.ones(100, 1, 2, 2), torch.ones(100)
    >>> result = robustness.fourier_heat_map(mean_of_pixels, x, y, norm=3.0)
    >>> result.errors[0, 0] > 0.3, result.errors[0, 1].item(), result.clean_error
    (tensor(True), 0.0, 0.0)
    """
    norm = as_positive(norm, "norm")
    batch_size = as_batch_size(batch_size)
    generator = seeded_generator(seed)
    as_flag(progress, "progress")
    with _ready(model, images, labels, device) as (x, y):
        batch_size = batch_size or fitting_batch(x, gradients=False)
        n, channels = x.shape[:2]
        shape = sides(x)
        ring = rings(shape)
        clean = _misclassified(model, x.split(batch_size), y, batch_size)
        errors = torch.zeros(math.prod(shape), dtype=torch.float64)
        by_ring = torch.zeros(n, len(ring.count) + 1, dtype=torch.float64)
        for index in tqdm(ring.half.nonzero().flatten().tolist(), disable=not progress):
            wave = norm / math.sqrt(channels) * _real_wave(shape, index).to(x)
            signs = torch.randint(2, (n, channels, 1, 1), generator=generator) * 2 - 1
            parts = zip(x.split(batch_size), signs.to(x).split(batch_size), strict=True)
            wrong = _misclassified(model, (p + r * wave for p, r in parts), y, batch_size)
            pair = {index, int(ring.mirror[index])}
            errors[list(pair)] = wrong.mean()
            by_ring[:, ring.bins[index]] += len(pair) * wrong
    shares = Moments()
    shares.add(by_ring[:, :-1] / ring.n_points)
    errors = errors.reshape(shape)
    return HeatMap(errors, clean.mean().item(), n, norm, shares.standard_error())


def error_rate(
    model: Callable[[Tensor], Tensor],
    images: Tensor | np.ndarray,
    labels: Tensor | np.ndarray,
    *,
    batch_size: int | None = None,
    device: str | torch.device | None = None,
) -> float:
    r"""Share of images that a classifier gets wrong, whatever was done to them before.

    .. math:: \frac1N \sum_{n=1}^{N} [\, \text{class of } x_n \ne y_n ]

    Equation ``eq-error-rate`` of the book. Its standard error is √(E (1 - E) / N).

    Parameters
    ----------
    model, images, labels, batch_size, device : as for :func:`fourier_heat_map`.

    Returns
    -------
    float between 0 and 1.

    Raises
    ------
    TypeError, ValueError
        As :func:`fourier_heat_map`.

    Examples
    --------
    >>> import torch
    >>> from freqsense import robustness
    >>> x = torch.tensor([1.0, 2.0, 3.0, -4.0]).reshape(4, 1, 1, 1)
    >>> robustness.error_rate(lambda x: x.flatten(1), x, torch.ones(4))
    0.25
    """
    batch_size = as_batch_size(batch_size)
    with _ready(model, images, labels, device) as (x, y):
        batch_size = batch_size or fitting_batch(x, gradients=False)
        return _misclassified(model, x.split(batch_size), y, batch_size).mean().item()


def band_noise(
    n: int, *, shape: tuple[int, int, int], low: float, high: float, norm: float, seed: int = 0
) -> Tensor:
    r"""Draw Gaussian noise that lives in one ring of frequencies, all of it of one norm.

    .. math:: \eta = v\, \frac{z_B}{\|z_B\|}, \qquad
        \hat z_B(\omega) = [\,r_\mathrm{low} \le |\omega| < r_\mathrm{high}\,]\; \hat z(\omega),
        \quad z \text{ white}

    Equation ``eq-band-noise`` of the book: uniform on the sphere of radius v among the images of
    the band, so that bands of any width are compared at one norm.

    Parameters
    ----------
    n : number of images.
    shape : (C, H, W), or (H, W) for one channel.
    low, high : edges in cycles/image along the shorter side, 0 <= low < high, high may be infinite.
    norm : v > 0, the L2 norm of each image over all channels, in pixel units.
    seed : of the noise; the global random state is left alone.

    Returns
    -------
    float32 tensor (n, C, H, W), to be added to images.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or the grid has no frequency in the ring.

    Source
    ------
    Compare Yin et al. (2019), arXiv 1906.08988.

    Examples
    --------
    >>> from freqsense import robustness, spectra
    >>> noise = robustness.band_noise(5, shape=(3, 16, 16), low=4, high=6, norm=2.0)
    >>> noise.flatten(1).norm(dim=1).round(decimals=4).tolist()
    [2.0, 2.0, 2.0, 2.0, 2.0]
    >>> spectra.power_spectrum(noise).radial().mean[0].gt(1e-9).nonzero().flatten().tolist()
    [4, 5, 6]
    """
    n, norm = as_integer(n, "n", 1), as_positive(norm, "norm")
    shape = as_image_shape(shape)
    if not radial_mask(shape[1:], low, high).any():
        raise ValueError(f"no frequency of a grid {shape[1:]} has {low} <= |ω| < {high}")
    generator = seeded_generator(seed)
    noise = torch.empty(n, *shape)
    for chunk in noise.split(_CHUNK_IMAGES):
        white = torch.randn(chunk.shape, generator=generator, dtype=torch.float64)
        band = band_pass(white, low, high)
        chunk.copy_(norm * band / _l2(band))
    return noise


def pgd(
    model: Callable[[Tensor], Tensor],
    images: Tensor | np.ndarray,
    labels: Tensor | np.ndarray,
    *,
    radius: float,
    norm: str = "l2",
    steps: int = 20,
    random_start: bool = True,
    seed: int = 0,
    batch_size: int | None = None,
    device: str | torch.device | None = None,
) -> Tensor:
    r"""Perturb images to raise the loss, by projected gradient ascent.

    .. math:: \delta_{t+1} = \Pi_{\|\delta\| \le \rho} \Bigl( \delta_t + \eta\,
        \operatorname*{arg\,max}_{\|d\| \le 1}
        \bigl\langle d, \nabla_x \ell(f(x + \delta_t), y) \bigr\rangle \Bigr)

    Equation ``eq-pgd`` of the book: the step is along ∇ℓ/\|∇ℓ\| for L2, along the signs of ∇ℓ for
    L∞. The loss ℓ is the cross-entropy, for one output the logistic loss. Either is softplus(h),
    with h the log-sum-exp of the other outputs less that of the right class (h = -y f for one
    output). Steps see the direction alone, so h is climbed: its gradient does not vanish where the
    loss saturates.

    For a linear network with one output (proposition ``prop-pgd-linear``) the L2 perturbation is
    in closed form, and its power spectrum is the squared sensitivity, scaled:

    .. math:: \delta = -y \rho\, \frac{\nabla f}{\|\nabla f\|}, \qquad
        |\hat\delta_c(\omega)|^2 = \rho^2\,
        \frac{|B_c(\omega)|^2}{\sum_{c', \omega'} |B_{c'}(\omega')|^2}

    Without a random start it is reached exactly as soon as the steps add up to the radius. From a
    random start each step on the sphere shrinks the tangent of the angle by ρ cos θ / (ρ cos θ
    + η): near the end by 1 / (1 + η/ρ).

    Nothing is clipped to [0, 1]: images are taken to be standardised, without a range of their
    own. A module runs in eval mode, and is left in the state it was found in, gradients included.

    Parameters
    ----------
    model : maps (N, C, H, W) to (N, K); an ``nn.Module``, or any differentiable function.
    images : (N, C, H, W). Cast to the dtype of the model's weights meanwhile.
    labels : as for :func:`fourier_heat_map`.
    radius : ρ > 0, largest norm of the perturbation over all channels, in pixel units.
    norm : ``"l2"`` or ``"linf"``.
    steps : number of steps, each of the length η = 2.5 ρ / steps.
    random_start : begin at a uniform point of the ball, not at its centre.
    seed : of the start, which does not depend on ``batch_size``; the global random state is left
        alone.
    batch_size : images at a time; None takes 256, and fewer where they are large: 8 of
        3 x 224 x 224.
    device : where to compute; None computes where the model is.

    Returns
    -------
    tensor (N, C, H, W), perturbed images of the dtype and on the device of ``images``.

    Raises
    ------
    TypeError, ValueError
        As :func:`fourier_heat_map`, or if the output of an image does not depend on it or depends
        on others of its batch, or has a NaN or infinite gradient.

    Source
    ------
    Madry et al. (2018), arXiv 1706.06083.

    Examples
    --------
    >>> import torch
    >>> from freqsense import robustness
    >>> def mean_of_pixels(x):
    ...     return x.mean((1, 2, 3))[:, None]
    >>> x, y = torch.ones(1, 1, 2, 2), torch.ones(1)
    >>> adversarial = robustness.pgd(mean_of_pixels, x, y, radius=4.0, random_start=False)
    >>> adversarial.flatten().tolist()
    [-1.0, -1.0, -1.0, -1.0]
    """
    radius, norm = as_positive(radius, "radius"), as_choice(norm, "norm", NORMS)
    steps = as_integer(steps, "steps", 1)
    step = _REACH * radius / steps
    seed, batch_size = as_integer(seed, "seed", 0), as_batch_size(batch_size)
    as_flag(random_start, "random_start")
    with _ready(model, images, labels, device) as (x, y):
        if len(x) > 1:
            check_own_outputs(model, x)
        batch_size = batch_size or fitting_batch(x, gradients=True)
        start = _random_start(x.shape, norm, seed) * radius if random_start else torch.zeros(1)
        deltas = []
        for part, target, delta in zip(
            *(each.split(batch_size) for each in (x, y, start.expand(x.shape))), strict=True
        ):
            delta = delta.to(part.device, torch.promote_types(part.dtype, torch.float32))
            for _ in range(steps):
                gradient = _gradient(model, (part + delta).to(part.dtype), target).to(delta)
                delta = _project(delta + step * _steepest(gradient, norm), radius, norm)
            deltas.append(delta)
    images = as_images(images)
    return images + torch.cat(deltas).to(images)


def perturbation_spectrum(
    images: Tensor | np.ndarray, perturbed: Tensor | np.ndarray
) -> PowerSpectrum:
    r"""Power spectrum of what was added to images, DC included.

    .. math:: P_c(\omega) = \frac1N \sum_{n=1}^{N} |\hat\delta_{n,c}(\omega)|^2, \qquad
        \delta_n = x'_n - x_n

    Equation ``eq-perturbation-spectrum`` of the book. Its sum over channels and frequencies is the
    mean squared L2 norm of the perturbations.

    Parameters
    ----------
    images, perturbed : (N, C, H, W) each.

    Returns
    -------
    PowerSpectrum
        ``values`` (C, H, W), in squared pixel units.

    Raises
    ------
    TypeError, ValueError
        If the images are not two real, finite stacks of one shape.

    Examples
    --------
    >>> import torch
    >>> from freqsense import robustness
    >>> x = torch.rand(3, 1, 2, 2, dtype=torch.float64)
    >>> robustness.perturbation_spectrum(x, x + 1).values[0].round(decimals=9).tolist()
    [[4.0, 0.0], [0.0, 0.0]]
    """
    images, perturbed = as_images(images), as_images(perturbed, "perturbed")
    if images.shape != perturbed.shape:
        expected, got = tuple(images.shape), tuple(perturbed.shape)
        raise ValueError(f"perturbed must have the shape of images {expected}, got {got}")
    return power_spectrum(perturbed.to(images.device) - images, center=False)


def gaussian_noise(std: float) -> Callable[[Tensor, Tensor, torch.Generator], Tensor]:
    r"""Augment by white Gaussian noise, for ``training.train(..., augment=gaussian_noise(0.1))``.

    .. math:: x'_n = x_n + \sigma z_n, \qquad z_n \sim \mathcal N(0, I)

    Equation ``eq-gaussian-augmentation`` of the book.

    Parameters
    ----------
    std : σ > 0 of each pixel.

    Returns
    -------
    function of images (N, C, H, W), labels and a generator on the CPU, to images.

    Raises
    ------
    TypeError, ValueError
        If σ is not positive.

    Source
    ------
    Yin et al. (2019), arXiv 1906.08988.

    Examples
    --------
    >>> import torch
    >>> from freqsense import robustness
    >>> augment = robustness.gaussian_noise(0.5)
    >>> generator = torch.Generator().manual_seed(0)
    >>> round(augment(torch.zeros(100, 1, 8, 8), torch.zeros(100), generator).std().item(), 1)
    0.5
    """
    std = as_positive(std, "std")

    def augment(images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        return images + std * torch.randn(images.shape, generator=generator).to(images)

    return augment


def low_pass_augment(radius: float) -> Callable[[Tensor, Tensor, torch.Generator], Tensor]:
    r"""Train on images without their high frequencies, by :func:`.low_pass`.

    .. math:: \hat x'_n(\omega) = [\,|\omega| < r\,]\; \hat x_n(\omega)

    Equation ``eq-low-pass`` of the book.

    Parameters
    ----------
    radius : cut-off in cycles/image along the shorter side, above 0.

    Returns
    -------
    function of images (N, C, H, W), labels and a generator on the CPU, to images.

    Raises
    ------
    TypeError, ValueError
        If the radius is not positive.

    Examples
    --------
    >>> import torch
    >>> from freqsense import robustness
    >>> wave = torch.cos(2 * torch.pi * 3 * torch.arange(16) / 16).expand(1, 1, 16, 16)
    >>> blurred = robustness.low_pass_augment(3)(wave, torch.zeros(1), torch.Generator())
    >>> bool(blurred.abs().max() < 1e-6)
    True
    """
    radius = as_positive(radius, "radius")

    def augment(images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        return low_pass(images, radius)

    return augment


def adversarial(
    model: Callable[[Tensor], Tensor], *, radius: float, norm: str = "l2", steps: int = 10
) -> Callable[[Tensor, Tensor, torch.Generator], Tensor]:
    r"""Train on adversarial images, by :func:`pgd` on the model as it is at each step.

    .. math:: \min_w \frac1N \sum_n \max_{\|\delta_n\| \le \rho} \ell(f_w(x_n + \delta_n), y_n)

    Equation ``eq-adversarial-training`` of the book. The attack sees the model in eval mode and
    leaves it in the mode it was found in.

    Parameters
    ----------
    model : the network that is trained.
    radius, norm, steps : as for :func:`pgd`, from a random start.

    Returns
    -------
    function of images (N, C, H, W), labels and a generator on the CPU, to images.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Source
    ------
    Madry et al. (2018), arXiv 1706.06083.

    Examples
    --------
    >>> import torch
    >>> from freqsense import models, robustness
    >>> model = models.linear_cnn(2, width=2, shape=(4, 4))
    >>> augment = robustness.adversarial(model, radius=0.5)
    >>> x = torch.zeros(3, 1, 4, 4)
    >>> moved = augment(x, torch.ones(3), torch.Generator().manual_seed(0))
    >>> moved.flatten(1).norm(dim=1).round(decimals=4).tolist()
    [0.5, 0.5, 0.5]
    """
    check_callable(model)
    radius, norm = as_positive(radius, "radius"), as_choice(norm, "norm", NORMS)
    steps = as_integer(steps, "steps", 1)

    def augment(images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        seed = int(torch.randint(2**62, (), generator=generator))
        return pgd(
            model,
            images,
            labels,
            radius=radius,
            norm=norm,
            steps=steps,
            seed=seed,
            batch_size=max(len(images), 1),
        )

    return augment


def band_penalty(strength: float, *, low: float, high: float) -> Callable[[Tensor, Tensor], Tensor]:
    r"""Penalise sensitivity in one ring of frequencies, for ``training.train(..., penalty=...)``.

    .. math:: \frac{\mu}{N} \sum_{n=1}^{N} \sum_c
        \sum_{r_\mathrm{low} \le |\omega| < r_\mathrm{high}}
        \bigl| \mathcal F(\nabla_x\, z_n^\top f(x_n))_c(\omega) \bigr|^2

    Equation ``eq-band-penalty`` of the book: z are random signs, one for each output, so that
    each step takes one backward pass more whatever K. The mean over them is μ times the sum of
    the squared sensitivity over the band (theorem ``thm-probe``); for K = 1 there is nothing
    random in it. The signs come from torch's global generator, which :func:`.train` seeds.

    Parameters
    ----------
    strength : μ > 0.
    low, high : edges in cycles/image along the shorter side, 0 <= low < high, high may be infinite.

    Returns
    -------
    function of images (N, C, H, W) that require gradients and outputs (N, K) computed from them,
    to a scalar that can be differentiated by the weights. It raises ValueError if the outputs do
    not depend on the images, or if the grid has no frequency in the ring.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Source
    ------
    Krishnamachari, Ng and Foo (2022), arXiv 2301.13514, regularise the frequencies of the input
    gradient of the loss; this is the plain energy of that of the outputs. The probe is
    Hutchinson's (1990), doi:10.1080/03610919008812866.

    Examples
    --------
    >>> import torch
    >>> from freqsense import robustness
    >>> x = torch.zeros(5, 1, 4, 4, requires_grad=True)
    >>> outputs = 3 * x.mean((1, 2, 3))[:, None]            # a gradient of 3 / 16 everywhere: DC
    >>> robustness.band_penalty(2.0, low=0, high=1)(x, outputs).item()      # 2 (4 * 3 / 16)²
    1.125
    >>> robustness.band_penalty(2.0, low=1, high=9)(x, outputs).item()
    0.0
    """
    strength = as_positive(strength, "strength")
    radial_mask((1, 1), low, high)  # says what is wrong with the edges

    def penalty(images: Tensor, outputs: Tensor) -> Tensor:
        if not (isinstance(images, Tensor) and images.requires_grad):
            raise ValueError("images must require gradients, got images that do not")
        as_outputs(outputs, len(images))
        mask = radial_mask(sides(images), low, high).to(images)
        if not mask.any():
            raise ValueError(f"no frequency of a grid {(*mask.shape,)} has {low} <= |ω| < {high}")
        signs = (torch.randint(2, outputs.shape) * 2 - 1).to(outputs)
        gradient = _differentiate((signs * outputs).sum(), images, create_graph=True)
        xhat = torch.view_as_real(fft2(gradient))  # (N, C, H, W, 2)
        return strength * (xhat.square().sum(-1) * mask).sum() / len(images)

    return penalty


@contextmanager
def _ready(
    model: Callable, images: object, labels: object, device: str | torch.device | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Check images and labels against a model at rest; yield them where and as it computes."""
    check_callable(model)
    images = as_images(images)  # (N, C, H, W)
    labels = as_labels(labels, len(images))
    # What is copied outside of inference_mode can have a gradient.
    with eval_mode(model, device) as (device, dtype), torch.inference_mode(False):
        x = images.to(device, dtype or images.dtype)
        with torch.no_grad():
            n_outputs = _finite_outputs(model, x[:1]).shape[1]
        targets = _as_targets(labels, n_outputs).to(x.device)
        yield x, targets.to(x.dtype) if n_outputs == 1 else targets


def _as_targets(labels: Tensor, n_outputs: int) -> Tensor:
    """Signs (N,) for a single output, classes (N,) below K for K of them."""
    if n_outputs > 1:
        return as_classes(labels, n_outputs)
    if labels.numel() != len(labels):
        expected, got = f"({len(labels)},)", tuple(labels.shape)
        raise ValueError(f"labels must have shape {expected} for one output, got {got}")
    check_signs(labels, "for a model of one output")
    return labels.reshape(-1)


def _finite_outputs(model: Callable, x: Tensor) -> Tensor:
    """Outputs (n, K) of the model, checked."""
    outputs = as_outputs(model(x.clone()), len(x))  # a model may write into its input
    if not torch.isfinite(outputs).all():
        raise ValueError("model has a NaN or infinite output on these images")
    return outputs


@torch.no_grad()
def _misclassified(model: Callable, parts: Iterable[Tensor], y: Tensor, batch_size: int) -> Tensor:
    """1.0 for each image that is classified wrong and 0.0 for the others, (N,) on the CPU."""
    wrong = []
    for part, target in zip(parts, y.split(batch_size), strict=True):
        outputs = _finite_outputs(model, part)  # (n, K)
        if outputs.shape[1] == 1:
            wrong.append(outputs[:, 0] * target <= 0)
        else:
            wrong.append(outputs.argmax(1) != target)
    return torch.cat(wrong).double().cpu()


def _real_wave(shape: tuple[int, int], index: int) -> Tensor:
    """Real direction (H, W) of norm 1 at a flat index of the grid: cosine plus sine."""
    ky, kx = (int(k.flatten()[index]) for k in frequencies(shape))
    mode = fourier_mode(shape, ky, kx)
    return mode.real + mode.imag


def _l2(x: Tensor) -> Tensor:
    """L2 norm of each image over all channels, (n, 1, 1, 1)."""
    scale = binary_scales(x, (1, 2, 3))
    return torch.linalg.vector_norm(x / scale, dim=(1, 2, 3), keepdim=True) * scale


def _random_start(shape: torch.Size, norm: str, seed: int) -> Tensor:
    """Uniform points (N, C, H, W) of the unit ball."""
    generator = torch.Generator().manual_seed(seed)
    if norm == "linf":
        return torch.rand(shape, generator=generator) * 2 - 1
    normal = torch.randn(shape, generator=generator)
    share = torch.rand(shape[0], 1, 1, 1, generator=generator)
    return normal / _l2(normal) * share ** (1 / math.prod(shape[1:]))


def _gradient(model: Callable, x: Tensor, y: Tensor) -> Tensor:
    """Gradient (n, C, H, W) along which the loss of each image rises."""
    leaf = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        gradient = _differentiate(-_margin(_finite_outputs(model, leaf), y).sum(), leaf)
    if not torch.isfinite(gradient).all():
        raise ValueError("model has a NaN or infinite gradient on these images")
    return gradient


def _margin(outputs: Tensor, y: Tensor) -> Tensor:
    """How far the right class is ahead of the others (n,): softplus of its negative is the loss."""
    if outputs.shape[1] == 1:
        return y * outputs[:, 0]
    right = functional.one_hot(y, outputs.shape[1]).bool()
    others = outputs.masked_fill(right, -torch.inf)
    return outputs.gather(1, y[:, None])[:, 0] - others.logsumexp(1)


def _differentiate(value: Tensor, images: Tensor, *, create_graph: bool = False) -> Tensor:
    gradient = None
    if value.requires_grad:
        (gradient,) = torch.autograd.grad(
            value, images, create_graph=create_graph, allow_unused=True
        )
    if gradient is None:
        raise ValueError(CUT_OFF)
    return gradient


def _steepest(gradient: Tensor, norm: str) -> Tensor:
    """Direction of norm 1 along which the loss rises most; 0 where the gradient is."""
    if norm == "linf":
        return gradient.sign()
    gradient = gradient / binary_scales(gradient, (1, 2, 3))
    size = _l2(gradient)
    return gradient / torch.where(size > 0, size, 1.0)


def _project(delta: Tensor, radius: float, norm: str) -> Tensor:
    """Nearest point of the ball."""
    if norm == "linf":
        return delta.clamp(-radius, radius)
    return delta * (radius / _l2(delta)).clamp(max=1)
