"""The library's layout: arrows point one way, underscores mean helpers, modules have tests."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import freqsense

LIBRARY = Path(freqsense.__file__).parent

# Each line may import from the lines above it, and from its own.
ORDER = [
    {"_checks", "_defaults", "_extras", "_files", "_lines", "_memory", "_scale", "_weights"},
    {"fourier", "_evaluation"},
    {"_moments"},
    {"spectra", "layers", "sensitivity", "datasets"},
    {"filters", "images", "models", "theory", "training"},
    {"robustness", "checkpoints", "notebook", "exercises"},
    {"measurement"},
    {"plotting"},
    {"experiments"},
    {"cli"},
    {"__main__"},
]
# Former names, which forward and are imported by nothing here.
FORMER = {"book", "widgets"}


def files():
    return sorted(LIBRARY.rglob("*.py"))


def dotted(file):
    """Name of a file as it is imported: ``theory.program``; the package itself is ''."""
    parts = file.relative_to(LIBRARY).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {dotted(file) for file in files()}


def public_files():
    parts = ((file, file.relative_to(LIBRARY).parts) for file in files())
    return [f for f, names in parts if not any(name.startswith("_") for name in names)]


def imported(file):
    """Modules of this library that a file imports, wherever in it: ``theory.program``, ..."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "freqsense":
            place = node.module.removeprefix("freqsense").removeprefix(".")
            names = {".".join(filter(None, [place, alias.name])) for alias in node.names}
            found |= {name for name in names if name in MODULES} or {place}
    return found - {""}


def test_no_import_runs_upwards():
    rank = {name: line for line, names in enumerate(ORDER) for name in names}
    assert {dotted(file).split(".")[0] for file in files()} == {"", *rank, *FORMER}
    upwards = [
        (dotted(file), name)
        for file in files()
        if (own := dotted(file).split(".")[0]) in rank
        for name in imported(file)
        if rank[name.split(".")[0]] > rank[own]
    ]
    assert upwards == []


def test_no_two_modules_import_each_other():
    graph = {dotted(file): imported(file) for file in files() if file.name != "__init__.py"}

    def reach(name, seen):
        for other in graph.get(name, set()) - seen:
            seen |= {other} | reach(other, seen | {other})
        return seen

    assert [name for name in graph if name in reach(name, set())] == []


def test_a_helper_of_one_package_is_used_by_that_package_alone():
    """A file such as ``theory._proximal``; helpers of the whole library lie at its top."""
    strangers = [
        (dotted(file), name)
        for file in files()
        for name in imported(file)
        if "._" in name and name.split(".")[0] != dotted(file).split(".")[0]
    ]
    assert strangers == []


@pytest.mark.parametrize("file", public_files(), ids=dotted)
def test_a_public_file_says_what_is_public_and_an_underscore_what_is_not(file):
    if file == LIBRARY / "cli" / "__init__.py":
        pytest.skip("imports nothing, so that --help needs no torch")
    module = importlib.import_module(f"freqsense.{dotted(file)}")
    listed = module.__all__
    assert len(set(listed)) == len(listed) and all(hasattr(module, name) for name in listed)
    defined = {
        node.name
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    assert {name for name in defined if not name.startswith("_")} <= set(listed)
    assert not any(name.startswith("_") for name in listed)


def test_every_public_module_has_its_test(repository):
    lacking = []
    for file in public_files():
        if file.name == "__init__.py" or dotted(file) in FORMER:
            continue
        name = file.relative_to(LIBRARY)
        test = repository / "tests" / "library" / name.parent / f"test_{name.name}"
        lacking += [] if test.exists() else [test.name]
    assert lacking == []


def test_pages_and_benchmarks_import_no_helper(repository):
    sources = [*(repository / "book").rglob("*.md"), *(repository / "benchmarks").glob("*.py")]
    assert sources
    for source in [*sources, repository / "README.md"]:
        text = source.read_text(encoding="utf-8")
        found = re.findall(
            r"(?:from|import) freqsense\.?[\w.]*\b_(?!_)\w+|freqsense import _(?!_)", text
        )
        assert found == [], source.name


# The package itself


def test_importing_the_package_imports_no_torch():
    script = (
        "import sys, freqsense\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
        "assert 'spectra' in dir(freqsense) and 'freqsense.spectra' not in sys.modules\n"
        "assert freqsense.spectra.power_spectrum.__name__ == 'power_spectrum'\n"
        "assert 'freqsense.theory' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_every_public_module_is_an_attribute_of_the_package():
    tops = {dotted(file).split(".")[0] for file in public_files()}
    assert set(freqsense.__all__) == tops - FORMER - {"", "cli"}
    for name in freqsense.__all__:
        assert getattr(freqsense, name) is importlib.import_module(f"freqsense.{name}")


def test_an_unknown_name_is_told_the_nearest():
    with pytest.raises(AttributeError, match="has no 'spectrum', it has .* mean 'spectra'"):
        _ = freqsense.spectrum
    with pytest.raises(AttributeError, match="has no 'xyzzy', it has checkpoints, .*training$"):
        _ = freqsense.xyzzy
    with pytest.raises(ImportError, match="cannot import name 'spectrum'"):
        from freqsense import spectrum  # noqa: F401


@pytest.mark.parametrize(
    "name",
    [
        "fourier.fft2",
        "images.photo_patches",
        "images.photographs",
        "images.PHOTOGRAPHS",
        "models.linear_cnn",
        "theory.solve",
        "theory.NotConvergedError",
        "training.train",
        "training.minimize",
        "experiments.Sweep",
        "notebook.glue",
        "widgets.explore",
        "book.glue",
    ],
)
def test_public_names_keep_their_import_paths(name):
    """Also where a file of the package has the name of what it holds."""
    module, _, attribute = name.partition(".")
    found = getattr(importlib.import_module(f"freqsense.{module}"), attribute)
    assert callable(found) or isinstance(found, dict)
