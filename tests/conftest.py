import os
from pathlib import Path

import pytest
from hypothesis import settings

# Figures drawn in tests need no screen; set before anything imports matplotlib.
os.environ.setdefault("MPLBACKEND", "Agg")

# The same examples on every run and machine, and no failure because a machine is busy.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def repository():
    """The root of the repository."""
    return Path(__file__).resolve().parent.parent
