"""The theorem's prediction and its convex program against a general solver at the same gap."""

import cvxpy
import torch
from timing import median_seconds, print_row, time_pair

from freqsense import fourier, images, theory

WEIGHT_DECAY = 0.2
RELATIVE_GAP = 1e-8  # what Clarabel aims at unless told otherwise


def real_task():
    """800 colour patches of 12x12 pixels from two photographs, standardised; labels -1 and +1."""
    stack, labels = images.photo_patches(
        "train", n_per_class=400, size=24, classes=["astronaut", "motorcycle"]
    )
    stack = torch.nn.functional.avg_pool2d(stack.double(), 2)
    stack = stack - stack.mean(0)
    return stack / stack.std(), labels.double() * 2 - 1


def group_lasso(x, y):
    """The same program for cvxpy, in the real Fourier basis where its groups are smallest."""
    n, n_channels, *shape = x.shape
    ring = fourier.rings(tuple(shape))
    xhat = fourier.fft2(x).flatten(2)
    outputs, penalty = 0, 0
    for omega in ring.half.nonzero().flatten().tolist():
        single = ring.mirror[omega] == omega
        scale = 1.0 if single else 2**0.5
        parts = [xhat[..., omega].real] + ([] if single else [-xhat[..., omega].imag])
        group = cvxpy.Variable(len(parts) * n_channels)
        outputs = outputs + (scale * torch.cat(parts, 1)).numpy() @ group
        penalty = penalty + scale * cvxpy.norm(group)
    kappa = WEIGHT_DECAY / fourier.radial_frequency(tuple(shape)).numel() ** 0.5
    misfit = cvxpy.sum_squares(y.numpy() - outputs) / (2 * n)
    return cvxpy.Problem(cvxpy.Minimize(misfit + kappa * penalty))


def bench_solve():
    """Depth 2, one output, squared loss: wall time, and Clarabel's own time without cvxpy's."""
    x, y = real_task()
    problem, inside = group_lasso(x, y), []

    def ours():
        return theory.solve(x, y, weight_decay=WEIGHT_DECAY, depth=2, tolerance=RELATIVE_GAP)

    def theirs():
        problem.solve(solver=cvxpy.CLARABEL, tol_gap_rel=RELATIVE_GAP, tol_gap_abs=RELATIVE_GAP)
        inside.append(problem.solver_stats.solve_time)

    mine, _, ratio = time_pair(ours, theirs, rounds=5)
    name = "solve, 800 images of 3x12x12, "
    print_row(name + "cvxpy / ours", f"{1 / ratio:.0f}x", "at least 20x")
    alone = sorted(inside)[len(inside) // 2]
    print_row(name + "Clarabel alone / ours", f"{alone / mine:.0f}x", "")
    difference = problem.value / ours().objective - 1
    print_row("their objective / ours, minus 1", f"{difference:.1e}", "below 1e-8 in size")


def bench_predict():
    """Three maps of 224x224 at once."""
    radius = fourier.radial_frequency((224, 224)).clamp(min=1)
    power = (1e4 * radius**-2).expand(3, -1, -1)
    cross = power * torch.rand(3, 224, 224, generator=torch.Generator().manual_seed(0))
    for depth in (1, 2, 3, 4):
        seconds = median_seconds(
            lambda depth=depth: theory.predict_sensitivity(
                power, cross, weight_decay=10.0, depth=depth
            )
        )
        name = f"predict_sensitivity of 3x224x224, depth {depth}"
        print_row(name, f"{seconds * 1e3:.1f} ms", "under 50 ms")


if __name__ == "__main__":
    bench_predict()
    bench_solve()
