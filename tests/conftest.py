import os
from pathlib import Path

import pytest
from hypothesis import settings

# Figures drawn in tests need no screen; set before anything imports matplotlib.
os.environ.setdefault("MPLBACKEND", "Agg")
# Two processes test at once, and threads that wait for each other stall; set before torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples on every run and machine, and no failure because a machine is busy.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def repository():
    """The root of the repository."""
    return Path(__file__).resolve().parent.parent
