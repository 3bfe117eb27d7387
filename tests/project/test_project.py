"""The files around the book and the library agree with one another."""

import hashlib
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
import torch
import yaml
from bookbuild.mathjax import find_script
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from PIL import Image

import freqsense

WORKFLOWS = ["tests", "book", "weekly", "linkcheck"]
PYTHONS = ["3.11", "3.12", "3.13"]
SYSTEMS = [
    {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
    {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
]
MATHJAX_SHA256 = "a4354ff94fd868aea0cc6eaaa79a57fda0588646fc46ee3700a349ee0a11cbe6"


@pytest.fixture(scope="session")
def text(repository):
    return lambda name: (repository / name).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def project(text):
    return tomllib.loads(text("pyproject.toml"))["project"]


@pytest.fixture(scope="session")
def url(text):
    """Where the project lives, as _config.yml has it."""
    return yaml.safe_load(text("_config.yml"))["repository"]["url"]


@pytest.fixture(scope="session")
def workflows(text):
    return {name: yaml.safe_load(text(f".github/workflows/{name}.yml")) for name in WORKFLOWS}


@pytest.fixture(scope="session")
def targets(text):
    return set(re.findall(r"^([a-z][a-z-]*):", text("Makefile"), re.M))


def environments():
    return [system | {"python_version": python} for system in SYSTEMS for python in PYTHONS]


def locked(text, environment):
    """The versions that the lock installs in one environment."""
    lines = [line.split("#")[0].strip() for line in text("requirements.txt").splitlines()]
    pins = [Requirement(line) for line in lines if line]
    environment = environment | {"python_full_version": environment["python_version"] + ".9"}
    chosen = [pin for pin in pins if pin.marker is None or pin.marker.evaluate(environment)]
    names = [canonicalize_name(pin.name) for pin in chosen]
    assert len(names) == len(set(names)), "two versions of one package"
    return {
        name: str(pin.specifier).removeprefix("==") for name, pin in zip(names, chosen, strict=True)
    }


# The lock


@pytest.mark.parametrize("environment", environments(), ids=lambda e: "-".join(e.values()))
def test_the_lock_has_every_dependency_within_its_range(text, project, environment):
    versions = locked(text, environment)
    extras = project["optional-dependencies"]
    ranges = [Requirement(line) for line in project["dependencies"] + extras["dev"]]
    own = [extra for needed in ranges if needed.name == project["name"] for extra in needed.extras]
    ranges += [Requirement(line) for extra in own for line in extras[extra]]
    for needed in (needed for needed in ranges if needed.name != project["name"]):
        version = versions.get(canonicalize_name(needed.name))
        assert version, f"{needed.name} is not in the lock: run `make lock`"
        assert needed.specifier.contains(Version(version)), f"{needed} but {version} in the lock"


def test_the_lock_installs_anywhere_with_plain_pip(text):
    lines = [line for line in text("requirements.txt").splitlines() if not line.startswith("#")]
    assert all(re.match(r"[a-z0-9.-]+==[\w.!+]+( ;.*)?", line) for line in lines)
    assert not re.search(r"://|--(index|extra|find|hash)", "\n".join(lines))
    assert not re.search(r"^(nvidia|cuda|triton)", "\n".join(lines), re.M)


def test_the_lock_is_for_the_python_versions_that_the_workflows_test(project, workflows):
    oldest = project["requires-python"].removeprefix(">=")
    jobs = workflows["tests"]["jobs"]
    for job in ("unix", "windows"):
        assert jobs[job]["strategy"]["matrix"]["python"] == [oldest, PYTHONS[-1]]
    named = {c.split(" :: ")[-1] for c in project["classifiers"] if "Python :: 3." in c}
    assert named == set(PYTHONS)
    systems = jobs["unix"]["strategy"]["matrix"]["os"] + [jobs["windows"]["runs-on"]]
    assert {system.split("-")[0] for system in systems} == {"ubuntu", "macos", "windows"}


# The names of things


def test_every_file_gives_the_same_address(text, project, url):
    assert project["urls"]["Repository"] == url
    assert project["urls"]["Issues"] == f"{url}/issues"
    owner, name = url.split("/")[-2:]
    documentation = f"https://{owner}.github.io/{name}/"
    assert project["urls"]["Documentation"] == documentation
    assert yaml.safe_load(text("_config.yml"))["html"]["baseurl"] == documentation
    assert yaml.safe_load(text("CITATION.cff"))["repository-code"] == url
    assert f"git clone {url}\n" in text("README.md")
    assert f"{url}/actions/workflows/tests.yml/badge.svg" in text("README.md")
    owner = url.rsplit("/", 1)[0]
    for name in ["README.md", "CONTRIBUTING.md", "pyproject.toml", "CITATION.cff", "CHANGELOG.md"]:
        for found in re.findall(r"https://github\.com/[\w-]+/[\w.-]+", text(name)):
            assert found == url, f"{name} names {found}, whose owner is not {owner}"


def test_every_file_gives_the_same_version_title_and_authors(text, project):
    citation = yaml.safe_load(text("CITATION.cff"))
    config = yaml.safe_load(text("_config.yml"))
    assert citation["version"] == project["version"] == freqsense.__version__
    assert citation["title"] == config["title"]
    assert text("README.md").startswith(f"# {config['title']}\n")
    author = project["authors"][0]["name"]
    assert citation["authors"] == [{"name": author}]
    assert config["author"] == author
    assert author in text("LICENSE")


def test_what_is_new_is_the_changelog_with_this_version_or_what_comes_next(text, project):
    assert "```{include} ../../CHANGELOG.md\n" in text("book/reference/whats-new.md")
    assert "- file: book/reference/whats-new\n" in text("_toc.yml")
    titles = re.findall(r"^## (.*)$", text("CHANGELOG.md"), re.M)
    assert titles[0] == "Unreleased" or titles[0].split()[0] == project["version"]


def test_the_form_about_a_page_asks_what_is_needed_to_find_the_fault(text, url):
    form = yaml.safe_load(text(".github/ISSUE_TEMPLATE/page.yml"))
    required = {e["id"] for e in form["body"] if e.get("validations", {}).get("required")}
    assert required == {"page", "cell", "platform", "expected", "seen"}
    choices = yaml.safe_load(text(".github/ISSUE_TEMPLATE/config.yml"))
    assert all(link["url"].startswith(f"{url}/") for link in choices["contact_links"])


def test_the_paper_is_cited_wherever_one_looks(text):
    for name in ["README.md", "CITATION.cff", "book/references.bib"]:
        assert "2210.01257" in text(name)


def test_the_licences_are_those_that_the_readme_names(text):
    assert text("LICENSE").startswith("MIT License")
    assert text("LICENSE-text").startswith("Attribution 4.0 International")
    assert "Section 8 -- Interpretation" in text("LICENSE-text")
    assert set(yaml.safe_load(text("CITATION.cff"))["license"]) == {"MIT", "CC-BY-4.0"}


def test_the_readme_names_only_files_that_exist(text, repository, project, url):
    documentation = project["urls"]["Documentation"]
    raw = url.replace("//github.com", "//raw.githubusercontent.com") + "/main/"
    for name in ["README.md", "CONTRIBUTING.md"]:
        links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text(name))
        links += re.findall(rf"\]\({re.escape(url)}/blob/main/([^)#]+)\)", text(name))
        links += re.findall(rf"\]\({re.escape(raw)}([^)#]+)\)", text(name))
        pages = re.findall(rf"\]\({re.escape(documentation)}([^)#]+)\.html\)", text(name))
        links += [f"{page}.md" for page in pages]
        assert [link for link in links if not (repository / link).exists()] == []
        assert links or name != "README.md"


def test_the_readmes_numbers_have_been_measured(text):
    assert not re.search(r"MEASURE_|OVERVIEW_", text("README.md"))


def readmes_examples(text):
    return re.findall(r"```python\n(.*?)```", text("README.md"), re.S)


def test_the_readmes_example_runs(text):
    example, _ = readmes_examples(text)
    names = {}
    exec(example, names)
    assert abs(names["law"].alpha - 2) < 4 * names["law"].alpha_stderr


def test_the_readmes_network_is_measured(text, tmp_path, monkeypatch, capsys):
    _, example = readmes_examples(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mymodule.py").write_text(
        "from torch import nn\n"
        "def build():\n"
        "    return nn.Sequential(nn.Conv2d(3, 2, 5, 8), nn.AdaptiveAvgPool2d(2), nn.Flatten())\n"
    )
    import mymodule

    torch.save(mymodule.build().state_dict(), "weights.pt")
    (tmp_path / "pictures").mkdir()
    for index in range(3):
        Image.effect_noise((224, 224), 50).convert("RGB").save(f"pictures/{index}.png")
    exec(example, {})
    assert "'n_images': 3" in capsys.readouterr().out


def test_mathjax_is_the_released_file(text):
    config = yaml.safe_load(text("_config.yml"))["sphinx"]["config"]
    script = find_script(config["mathjax_path"])
    assert script.name == "tex-svg-full.js"
    assert hashlib.sha256(script.read_bytes()).hexdigest() == MATHJAX_SHA256


def test_no_file_names_a_place_on_somebodys_machine(repository):
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=repository, capture_output=True, text=True, check=False,
    ).stdout.split("\n")  # fmt: skip
    place = re.compile(rb"(?<![\w./~:-])/(?:home|root|Users|work|tmp)/\w")
    found = [
        name
        for name in names
        if name and (repository / name).is_file()
        if place.search((repository / name).read_bytes())
    ]
    assert found == []


# The commands


def runs(workflow):
    """Every line that a workflow's jobs run."""
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    return [line for step in steps for line in step.get("run", "").splitlines()]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_asks_for_little_and_ends(workflows, name):
    workflow = workflows[name]
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["cancel-in-progress"] is True
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 60
        for step in job["steps"]:
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step.get("uses", "actions/none@v1"))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_calls_targets_that_exist(workflows, targets, name):
    called = [line.split()[1] for line in runs(workflows[name]) if line.startswith("make ")]
    assert set(called) <= targets


def test_ci_calls_the_two_commands_and_opens_the_pages(text, workflows, targets):
    called = re.findall(r"make ([a-z-]+)", text(".ci/run"))
    assert {"book", "test", "site-test"} <= set(called) <= targets
    assert {"make book", "make site-test"} <= set(runs(workflows["book"]))
    assert "make test" in runs(workflows["tests"])


def test_windows_runs_the_lines_that_the_readme_gives(text, workflows):
    lines = runs({"jobs": {"windows": workflows["tests"]["jobs"]["windows"]}})
    blocks = re.findall(r"```\n(.*?)```", text("README.md"), re.S)
    (windows,) = [block for block in blocks if "Activate.ps1" in block.split("\n", 2)[1]]
    assert sorted(lines) == sorted(windows.splitlines())


def test_the_readmes_lines_without_make_are_those_of_the_makefile(text):
    makefile = re.sub(r"\$\(BIN\)/", "", text("Makefile"))
    for line in [
        "python -m pip install -r requirements.txt",
        "python -m pip install --no-deps --no-build-isolation -e .",
        "jupyter-book build . -W -n --keep-going",
        "python -m pytest --numprocesses auto --dist loadfile",
    ]:
        assert f"\t{line}\n" in makefile
        assert text("README.md").count(f"{line}\n") == 2


def test_the_makefile_names_its_targets_in_its_help(repository, targets):
    make = shutil.which("make")
    if make is None:
        pytest.skip("there is no make here")
    shown = subprocess.run(
        [make, "help"], cwd=repository, capture_output=True, text=True, check=True
    ).stdout
    assert set(re.findall(r"^  make ([a-z-]+)", shown, re.M)) == targets


def test_pre_commit_checks_with_the_locked_ruff(text):
    repositories = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"]
    hooks = {repository["repo"]: repository["rev"] for repository in repositories}
    ruff = hooks["https://github.com/astral-sh/ruff-pre-commit"].removeprefix("v")
    assert f"\nruff=={ruff} " in text("requirements.txt")
    assert any("actionlint" in repo for repo in hooks)


# Binder


def test_binder_installs_what_the_library_needs_and_no_cuda(text, project):
    binder = yaml.safe_load(text("binder/environment.yml"))
    assert binder["channels"] == ["conda-forge"]
    renamed = {"pytorch-cpu": "torch", "matplotlib-base": "matplotlib"}
    there = {}
    for line in binder["dependencies"]:
        name, bounds = re.fullmatch(r"([\w-]+)(.*)", line).groups()
        there[renamed.get(name, name)] = bounds
    extras = project["optional-dependencies"]
    lines = project["dependencies"] + [
        line
        for name in ("photographs", "downloads", "sweeps", "programs", "notebook")
        for line in extras[name]
    ]
    needed = {r.name: str(r.specifier) for r in map(Requirement, lines)}
    for name, bounds in needed.items():
        assert sorted(there[name].split(",")) == sorted(bounds.split(",")), name
    assert there["python"].lstrip("=") in PYTHONS


def test_binder_brings_the_network_of_the_page_about_imagenet(text, project):
    for line in project["optional-dependencies"]["imagenet"]:
        assert f'"{line}"' in text("binder/postBuild")


@pytest.mark.parametrize("name", ["binder/postBuild", "binder/start", ".ci/run"])
def test_a_script_stops_at_its_first_error_and_can_be_run(text, repository, name):
    assert text(name).startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text(name)
    bash = shutil.which("bash")
    if bash is not None:
        subprocess.run([bash, "-n", str(repository / name)], check=True)


def test_binder_starts_what_it_is_given_with_few_threads(repository):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash here")
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"]
    code = f"import os; print(*(os.environ[name] for name in {names}))"
    command = [bash, str(repository / "binder" / "start"), sys.executable, "-c", code]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert all(1 <= int(number) <= 2 for number in shown.split())
