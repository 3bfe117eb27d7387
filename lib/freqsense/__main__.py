"""The command line: ``freqsense``, or ``python -m freqsense``."""

import argparse
import io
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn, TextIO

import freqsense
from freqsense import _defaults

__all__ = ["main"]

_USER_ERRORS = (ValueError, TypeError, OSError, ImportError, FloatingPointError)


# What begins with a minus and is a number; before Python 3.14 argparse takes -1e-3 for an option.
_NEGATIVE = re.compile(r"-(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$", re.IGNORECASE)


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._negative_number_matcher = _NEGATIVE

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} ({self.prog} --help says more)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0, 1 if runs failed or are left, or 2 for what the user can mend."""
    with _any_text(sys.stdout), _any_text(sys.stderr), _one_line_warnings(), _modules_from_here():
        try:
            arguments = _read(argv)
            # After they are read: it takes seconds to import torch, and --help needs none.
            from freqsense.cli import commands

            return getattr(commands, arguments.pop("command"))(**arguments) or 0
        except _USER_ERRORS as error:
            for line in str(error).splitlines() or [type(error).__name__]:
                print("error:", " ".join(line.split()), file=sys.stderr)
            return 2
        except KeyboardInterrupt as interrupt:
            print(
                "error:", ": ".join(filter(None, ["interrupted", str(interrupt)])), file=sys.stderr
            )
            return 130


def _read(argv: Sequence[str] | None) -> dict:
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    # argparse takes the files of one place only; options may stand between them.
    if rest and ("paths" not in arguments or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.paths += rest
    return vars(arguments)


@contextmanager
def _any_text(stream: TextIO) -> Iterator[None]:
    """Print what a terminal cannot encode with escapes: that must not cost what has been done."""
    if not isinstance(stream, io.TextIOWrapper):
        yield
        return
    before = stream.errors
    stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        stream.reconfigure(errors=before)


@contextmanager
def _modules_from_here() -> Iterator[None]:
    """Find modules in the folder of the user, as `python -m` does and a console script does not."""
    sys.path.insert(0, "")
    try:
        yield
    finally:
        sys.path.remove("")


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        yield


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print("warning:", " ".join(str(message).split()), file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m freqsense", description=freqsense.__doc__)
    parser.add_argument("--version", action="version", version=f"freqsense {freqsense.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (
        _add_download,
        _add_train,
        _add_measure,
        _add_compare,
        _add_sweep,
        _add_paper,
        _add_report,
    ):
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
        "Measure the frequency sensitivity of a network beside the amplitude of pictures.",
        f"{_NETWORKS} With --model alone, of a network that is trained already, MODEL is left out. "
        f"{_PICTURES}",
    )
    parser.usage = "%(prog)s [MODEL] IMAGES_FOLDER [options]"
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="[MODEL] IMAGES_FOLDER",
        help="weights, a checkpoint or a .pt2; and pictures, or a subfolder of them for each class",
    )
    _add_output(parser, "measurement")
    _add_network(parser)
    _add_pictures(parser)
    _add_method(parser)
    add = parser.add_argument
    add("--until", type=float, metavar="SHARE", help="stop at this standard error of rings: 0.02")
    add(
        "--untrained",
        type=int,
        default=0,
        metavar="N",
        dest="n_untrained",
        help="also measure N untrained networks of the same kind, their BatchNorms settled",
    )
    _add_band(parser)


def _add_compare(commands: argparse._SubParsersAction) -> None:
    parser = _add(
        commands,
        "compare",
        "Measure several networks on the same pictures, in one plot and one table.",
        f"Each NETWORK is a file as for `measure`, a folder or map.npz that `measure` wrote, or "
        f"PACKAGE.MODULE:FUNCTION for a network that is trained already. {_NETWORKS} What is told "
        f"of a network is told of all. IMAGES_FOLDER may be left out if all are measured. "
        f"{_PICTURES}",
    )
    parser.usage = "%(prog)s NETWORK NETWORK ... [IMAGES_FOLDER] [options]"
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="NETWORK ... IMAGES_FOLDER",
        help="networks, or what was measured of them; and pictures, as for `measure`",
    )
    _add_output(parser, "comparison")
    _add_network(parser)
    _add_pictures(parser)
    _add_method(parser)
    _add_band(parser)


_NETWORKS = (
    "MODEL is a checkpoint of `train`; or weights, as torch.save(model.state_dict()) or "
    "safetensors write them, with --architecture and --width or with --model; or, with --trust, an "
    "exported program (.pt2). Nothing is unpickled but tensors."
)
_PICTURES = (
    "Pictures are read in colour, or by their luminance for a network of one channel, with values "
    "from 0 to 1."
)


def _add_output(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--output", metavar="FOLDER", help=f"(./{default}, or {default}-2, ... where that is taken)"
    )
    parser.add_argument("--force", action="store_true", help="replace what is in the folder")


def _add_network(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--architecture", metavar="NAME", help="of this library, for a state_dict")
    kind.add_argument(
        "--model",
        metavar="PACKAGE.MODULE:FUNCTION",
        help="what makes the network, with literal arguments if it takes some: "
        "\"timm:create_model('resnet18')\"; this runs your code",
    )
    add("--width", type=int, help="of --architecture")
    add("--channels", type=int, help="of the network's input, 1 or 3 (3 is tried, then 1)")
    add("--output-key", metavar="KEY", help="name or index of the output, where there are several")
    add(
        "--trust",
        action="store_true",
        help="load a .pt2, though PyTorch may run code that is in it: for files you made or trust",
    )
    _add_device(parser)


def _add_pictures(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--size", type=int, help="crop pictures to squares and shrink them to this side in pixels")
    add("--mean", type=float, nargs="+", help="subtracted from pixels, one or one a channel (0)")
    add("--std", type=float, nargs="+", help="divides them after that, one or one a channel (1)")
    add("--skip-others", action="store_true", help="leave out files that are no pictures")


def _add_method(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--method", default="auto", help="exact, probe, or auto: probe above 50 outputs (auto)")
    add("--n-probes", type=int, default=1, help="of each picture (%(default)s)")
    add("--seed", type=int, default=0, help="of probes and order of pictures (%(default)s)")
    add("--batch-size", type=int, help="pictures at a time (chosen by their size)")


def _add_band(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--fmin", type=float, help="of slopes, in cycles/image (2)")
    add("--fmax", type=float, help="of slopes, in cycles/image (Nyquist of the shorter side)")
    add("--per-pixel", action="store_true", help="draw frequencies in cycles/pixel")


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
