"""The one table of tolerances: how far two computations of the same thing may lie apart."""

import torch

# Absolute and relative, for quantities of order one. An identity is tested in float64.
ATOL = {torch.float32: 1e-5, torch.float64: 1e-10}

# A sampling error may exceed this many standard errors once in 15,000 tests of fixed seed.
SIGMAS = 4.0
