"""The command line: ``freqsense``, or ``python -m freqsense``."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

import freqsense
from freqsense import _defaults

__all__ = ["main"]

_USER_ERRORS = (ValueError, TypeError, OSError, ImportError, FloatingPointError)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} ({self.prog} --help says more)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0, 1 if runs failed or are left, or 2 for what the user can mend."""
    try:
        arguments = vars(_parser().parse_args(argv))
        # After the arguments are read: it takes seconds to import torch, and --help needs none.
        from freqsense.cli import commands

        return getattr(commands, arguments.pop("command"))(**arguments) or 0
    except _USER_ERRORS as error:
        print("error:", " ".join(str(error).split()) or type(error).__name__, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m freqsense", description=freqsense.__doc__)
    parser.add_argument("--version", action="version", version=f"freqsense {freqsense.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_add_download, _add_train, _add_measure, _add_sweep, _add_paper, _add_report):
        add(commands)
    return parser


def _add_download(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "download", "Fetch a data set, unless it is there already.")
    parser.add_argument("name", metavar="NAME", help="cifar10, imagenette-160 or imagenette-320")
    parser.add_argument("--root", metavar="FOLDER", help="where to; the user's cache by default")


def _add_train(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "train", "Train a network and write a checkpoint for `measure`.")
    parser.add_argument(
        "--architecture", required=True, metavar="NAME", help="such as resnet-20 or conv_actually-4"
    )
    parser.add_argument(
        "--data", required=True, help="photographs, cifar10, imagenette, gaussian_field:ALPHA, ..."
    )
    parser.add_argument("--output", required=True, metavar="FILE.pt", help="the checkpoint")
    add = parser.add_argument
    add("--width", type=int, default=_defaults.WIDTH, help="of the first layer (%(default)s)")
    add("--size", type=int, default=_defaults.SIZE, help="side of images in pixels (%(default)s)")
    add("--n-train", type=int, default=_defaults.N_TRAIN, help="images to train on (%(default)s)")
    add("--n-test", type=int, default=_defaults.N_TEST, help="images to test on (%(default)s)")
    add("--epochs", type=int, default=_defaults.EPOCHS, help="(%(default)s)")
    add("--lr", type=float, default=_defaults.LR, help="learning rate (%(default)s)")
    add("--weight-decay", type=float, default=0.0, help="L2 decay of all weights (%(default)s)")
    add("--optimizer", default=_defaults.OPTIMIZER, help="adam or sgd (%(default)s)")
    schedules = "constant, cosine or one_cycle (%(default)s)"
    add("--schedule", default=_defaults.SCHEDULE, help=schedules)
    add("--augment", action="store_true", help="train on random flips and crops")
    add("--seed", type=int, default=0, help="of made images, weights and order (%(default)s)")
    _add_device(parser)


def _add_measure(commands: argparse._SubParsersAction) -> None:
    parser = _add(
        commands,
        "measure",
        "Measure the frequency sensitivity of a network beside the power of pictures.",
        "MODEL is a checkpoint of `train`; or a file of torch.save(model.state_dict()), with "
        "--architecture and --width or with --model; or, with --trust, an exported program (.pt2). "
        "Nothing is unpickled from a .pt file but tensors. Pictures are read in colour, or by "
        "their luminance for a network of one channel, with values from 0 to 1.",
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="a file, .pt or .pt2")
    add("images", metavar="IMAGES_FOLDER", help="pictures, or a subfolder of them for each class")
    add("--output", metavar="FOLDER", default="measurement", help="(./%(default)s)")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--architecture", metavar="NAME", help="of this library, for a state_dict")
    kind.add_argument(
        "--model",
        dest="factory",
        metavar="PACKAGE.MODULE:FUNCTION",
        help="your own function without arguments that makes the network; this runs your code",
    )
    add("--width", type=int, help="of --architecture")
    add("--size", type=int, help="crop pictures to squares and shrink them to this side in pixels")
    add("--mean", type=float, nargs="+", help="subtracted from pixels, one or one a channel (0)")
    add("--std", type=float, nargs="+", help="divides them after that, one or one a channel (1)")
    add("--method", default="exact", help="exact or probe, which is faster for many outputs")
    add("--batch-size", type=int, default=128, help="pictures at a time (%(default)s)")
    add(
        "--trust",
        action="store_true",
        help="load a .pt2, though PyTorch may run code that is in it: for files you made or trust",
    )
    _add_device(parser)


def _add_sweep(commands: argparse._SubParsersAction) -> None:
    parser = _add(
        commands,
        "sweep",
        "Do the runs of a grid that are not stored yet; 1 is returned if some fail.",
        "CONFIG.yaml holds `grid`, with a value or a list of values for each parameter of a run; "
        "`run` if that is not train_and_measure; and a `description` for readers.",
    )
    parser.add_argument("config", metavar="CONFIG.yaml")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (1)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of Dask: tcp://127.0.0.1:8786, say")
    parser.add_argument("--folder", metavar="RUNS", help="of stored runs (CONFIG.runs)")
    parser.add_argument("--output", metavar="RESULT.nc", help="all of them together (CONFIG.nc)")
    parser.add_argument("--retry-failures", action="store_true", help="do failed runs again")


def _add_paper(commands: argparse._SubParsersAction) -> None:
    parser = _add(
        commands,
        "paper",
        "Train the paper's networks, as wide and for as long as some minutes allow; 1 is returned "
        "if some fail or are left.",
        "The first call times the networks and makes a plan; each later one with the same folder "
        "goes on with that plan. On a GPU networks are trained in bfloat16.",
    )
    add = parser.add_argument
    add("--minutes", type=float, required=True, metavar="M", help="for all of it")
    add("--data", default="cifar10", help="cifar10, cifar10:RECORDS or cifar10_jpeg (%(default)s)")
    add("--width", type=int, default=64, help="of networks, at most (%(default)s)")
    add("--workers", type=int, default=1, metavar="N", help="processes, which share GPUs (1)")
    add("--folder", metavar="RUNS", default="paper.runs", help="of plan and runs (%(default)s)")
    record = parser.add_mutually_exclusive_group()
    record.add_argument("--output", metavar="RESULT.nc", help="all runs together (RUNS.nc)")
    record.add_argument(
        "--no-record", dest="record", action="store_false", help="only run; needs no netCDF4"
    )
    add("--retry-failures", action="store_true", help="do failed runs again")


def _add_report(commands: argparse._SubParsersAction) -> None:
    parser = _add(commands, "report", "Make one page, report.html, of the result of a sweep.")
    parser.add_argument("result", metavar="RESULT.nc")
    parser.add_argument("--output", metavar="FOLDER", help="for report.html (RESULT.report)")


def _add(
    commands: argparse._SubParsersAction, name: str, summary: str, more: str | None = None
) -> argparse.ArgumentParser:
    return commands.add_parser(name, help=summary, description=summary, epilog=more)


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", help="where to compute: cpu, cuda, ... (a GPU if there is one)")


if __name__ == "__main__":
    sys.exit(main())
