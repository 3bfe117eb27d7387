"""What is published: a wheel and a source archive that hold all that the library reads."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile

import pytest
from packaged import build
from packaging.requirements import Requirement

# Files beside the code that the library, or a type checker, reads.
DATA = [
    "__init__.pyi",
    "cli/report.html",
    "freqsense.mplstyle",
    "images/photographs.toml",
    "py.typed",
]


@pytest.fixture(scope="module")
def built(repository, tmp_path_factory):
    """Wheel and source archive, built from a copy of the sources that git would publish."""
    return build(repository, tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("sources"))


def test_both_hold_every_module_and_what_it_reads(built, repository):
    library = repository / "lib" / "freqsense"
    modules = [p.relative_to(library).as_posix() for p in library.rglob("*.py")]
    wheel, source = built
    in_wheel = set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(source) as archive:
        in_source = {name.partition("/")[2] for name in archive.getnames()}
    for name in modules + DATA:
        assert f"freqsense/{name}" in in_wheel
        assert f"lib/freqsense/{name}" in in_source
    assert not [name for name in in_wheel if name.startswith(("tests", "book", "results"))]


def test_the_wheel_asks_for_little_and_names_its_extras(built):
    metadata = zipfile.ZipFile(built[0]).read("freqsense-0.1.0.dist-info/METADATA").decode()
    asked = [Requirement(line) for line in re.findall(r"^Requires-Dist: (.*)$", metadata, re.M)]
    core = {needed.name for needed in asked if needed.marker is None}
    assert core == {"numpy", "torch", "scipy", "matplotlib", "pillow", "tqdm", "lazy-loader"}
    extras = set(re.findall(r"^Provides-Extra: (.*)$", metadata, re.M))
    assert extras >= {
        "photographs",
        "sweeps",
        "cluster",
        "notebook",
        "downloads",
        "programs",
        "all",
    }
    # On its page the description stands alone: a relative link would lead nowhere.
    description = metadata.partition("\n\n")[2]
    assert "](book/" not in description and "](LICENSE" not in description
    assert "Project-URL: Documentation, https://" in metadata


def test_the_installed_wheel_passes_its_doctests(built, tmp_path):
    target = tmp_path / "site"
    with zipfile.ZipFile(built[0]) as archive:
        archive.extractall(target)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--doctest-modules", "-q", "-p", "no:cacheprovider",
         "-o", "doctest_optionflags=NORMALIZE_WHITESPACE ELLIPSIS", target / "freqsense"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(target)},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-3000:]
    script = "import freqsense; print(freqsense.__file__)"
    where = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(target)},
    ).stdout  # fmt: skip
    assert where.startswith(str(target))
