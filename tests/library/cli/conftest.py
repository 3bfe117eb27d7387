"""Commands that are run, and a user's own files: made once."""

import sys

import pytest
import torch
from terminal import CONFIG, SIDE, python, write_pictures

from freqsense.__main__ import main
from freqsense.images import gaussian_field

# A user's own module: what a file of theirs would hold.
OWN_MODULE = """
from torch import nn

def make():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 16 * 16, 5)
    )

def make_grey():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 14 * 14, 2))

def make_nothing():
    return 3
"""


@pytest.fixture
def fail(capsys):
    """Run a command that must fail, without a traceback, and return its one line."""

    def run(*argv):
        assert main([str(argument) for argument in argv]) == 2
        captured = capsys.readouterr()
        bars, error, said = captured.err.partition("error: ")
        assert error and said.count("\n") == 1 and captured.out == ""
        assert all("/s" in line for line in bars.splitlines() if line.strip()), bars
        return error + said.rstrip()

    return run


@pytest.fixture
def succeed(capsys):
    def run(*argv):
        code = main([str(argument) for argument in argv])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return captured.out

    return run


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Forty pictures whose power falls as f^-2, in two subfolders."""
    folder = tmp_path_factory.mktemp("pictures")
    write_pictures(folder, gaussian_field(40, shape=(SIDE, SIDE), alpha=2.0), n_classes=2)
    return folder


@pytest.fixture(scope="session")
def own(tmp_path_factory):
    """A module of the user's, and a file of the weights of its network."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "their_networks.py").write_text(OWN_MODULE)
    sys.path.insert(0, str(folder))
    from their_networks import make

    torch.manual_seed(3)
    model = make().eval()
    torch.save(model.state_dict(), folder / "weights.pt")
    yield folder, model
    sys.path.remove(str(folder))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "network.pt"
    small = ["--size", "16", "--n-train", "100", "--n-test", "50", "--epochs", "2", "--seed", "4"]
    argv = ["train", "--architecture", "conv_actually-2", "--data", "photographs", "--width", "3"]
    assert main([*argv, *small, "--weight-decay", "0.01", "--output", str(path)]) == 0
    return path


@pytest.fixture(scope="session")
def swept(tmp_path_factory):
    """A sweep done by the command, in a process of its own."""
    config = tmp_path_factory.mktemp("sweep") / "tiny.yaml"
    config.write_text(CONFIG)
    done = python("-m", "freqsense", "sweep", config.name, cwd=config.parent)
    assert done.returncode == 0, done.stderr
    return config, done.stdout
