"""The library by task: every snippet runs and does what it says, every name is there."""

import importlib
import re
import sys
import tomllib

import matplotlib.pyplot as plt
import pytest
import torch
from PIL import Image
from sources import BOOK, PAGES, ROOT, read, sections
from tolerances import ATOL
from torch import nn

import freqsense
from freqsense import filters, fourier, images, notebook

PAGE = BOOK / "reference" / "library.md"
TASKS = {name: text for name, text in sections(read(PAGE)).items() if "```python" in text}
MODULES = [name for name in freqsense.__all__ if not name.startswith("_")]

# What each snippet must have found, known without it.
CHECKS = {}


def of(task):
    def keep(check):
        CHECKS[task] = check
        return check

    return keep


@of("The spectrum of my images")
def spectrum(names):
    low, high = names["law"].interval()
    assert low < 2.0 < high  # of the fields in the folder
    assert names["spectrum"].n_images == 24


@of("Are my frequencies uncorrelated?")
def stationary(names):
    assert abs(names["share"]) < 0.02  # Gaussian fields are stationary


@of("Images to try things on")
def made_images(names):
    assert names["patches"].shape == (800, 3, 32, 32) and len(set(names["labels"].tolist())) == 8
    assert names["fields"].shape == (100, 1, 32, 32) and names["leaves"].shape == (4, 1, 32, 32)


@of("Another spectrum for the same images")
def filtered(names):
    sizes = [fourier.fft2(names[key]).abs() for key in ("patches", "steeper", "outlines")]
    radius = fourier.radial_frequency((32, 32))
    torch.testing.assert_close(
        sizes[1], sizes[0] * radius.clamp(min=1).rsqrt().float(), atol=1e-4, rtol=1e-4
    )
    assert sizes[2][..., radius < 4].max() < 1e-4 < sizes[2].max()


@of("The sensitivity of my network")
def measured(names):
    told = fourier.fft2(names["network"].model[1].weight.view(10, 3, 32, 32)).abs()
    torch.testing.assert_close(
        names["found"].values, told.square().sum(0).sqrt().double(), atol=1e-5, rtol=1e-4
    )
    assert abs(names["line"].slope) < 0.1  # white weights


@of("Is it more than an untrained one?")
def beside_untrained(names):
    found, change = names["found"], names["change"]
    assert found.untrained.shape == (3, 17)
    assert abs(change.slope) < 4 * change.stderr  # weights as they are drawn: no change


@of("Several networks compared")
def compared(names):
    first, second = names["table"]
    assert [first["name"], second["name"]] == ["depth 1", "depth 2"]
    assert first["minus_first"] == 0 and second["minus_first"] is not None


@of("Does a network follow its images?")
def responded(names):
    assert names["found"].response == pytest.approx(-0.5, abs=0.06)  # many images, no decay


@of("What one layer does")
def one_layer(names):
    wave = fourier.fourier_mode((32, 32), 2, 5).to(torch.complex64)
    parts = torch.zeros(2, 3, 32, 32)
    parts[:, 1] = torch.stack([wave.real, wave.imag])
    with torch.no_grad():
        real, imaginary = names["layer"](parts) - names["layer"](torch.zeros(1, 3, 32, 32))
    passed = torch.complex(real, imaginary)  # (16, 32, 32)
    told = names["transfer"][2, 5, :, 1, None, None].to(wave.dtype) * wave
    torch.testing.assert_close(passed, told.detach(), atol=ATOL[torch.float32], rtol=0)
    assert (names["gains"][..., :-1] >= names["gains"][..., 1:]).all()


@of("The theorem's prediction")
def predicted(names):
    power, cross = names["power"], names["cross"]
    kappa = 0.1 / 16  # λ / √D
    r = ((cross.abs() - kappa).clamp(min=0) / power).where(power > 0, 0)
    torch.testing.assert_close(names["predicted"], r, atol=1e-10, rtol=1e-6)


@of("Train and measure")
def trained(names):
    loss = names["history"].loss
    assert loss[-1] < loss[0]
    assert names["found"].n_images == 100 and (names["found"].values > 0).all()


@of("Run a sweep")
def swept(names):
    assert names["slopes"].sizes == {**names["slopes"].sizes, "seed": 2}
    assert float(names["error"].squeeze()) > 0


@of("Attack")
def attacked(names):
    sizes = (names["attacked"] - names["task"].test_images).flatten(1).norm(dim=1)
    torch.testing.assert_close(sizes, torch.ones_like(sizes), atol=1e-3, rtol=0)


@of("Waves and noise")
def disturbed(names):
    noise = names["noise"]
    torch.testing.assert_close(
        noise.flatten(1).norm(dim=1), torch.full((50,), 2.0, dtype=noise.dtype), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(filters.band_pass(noise, 1, 3), noise, atol=1e-5, rtol=0)


@of("Draw")
def drawn(names):
    curve, map_ = names["axes"]
    _, labels = curve.get_legend_handles_labels()
    assert labels[0] == "power" and labels[1].startswith("α = ")
    assert map_.has_data()


@of("Put a slider over a figure")
def slid(names):
    assert isinstance(notebook.frame_slider(names["draw"], [0.0], label="α"), notebook.FrameSlider)


@pytest.fixture
def belongings(tmp_path, monkeypatch):
    """A folder with what a reader has: pictures, a module, its weights."""
    (tmp_path / "pictures").mkdir()
    fields = images.gaussian_field(24, shape=(64, 64), alpha=2.0)[:, 0]
    for number, field in enumerate(0.5 + 0.1 * fields / fields.std()):
        grey = (field.clamp(0, 1) * 255).round().byte().numpy()
        Image.fromarray(grey).convert("RGB").save(tmp_path / "pictures" / f"{number}.png")
    module = "from torch import nn\n\ndef make():\n"
    module += "    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10))\n"
    (tmp_path / "my_network.py").write_text(module, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_network", raising=False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(nn.Linear(3 * 32 * 32, 10).state_dict(prefix="1."), tmp_path / "weights.pt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FREQSENSE_STATIC", "1")


@pytest.mark.parametrize("task", TASKS)
def test_a_snippet_runs_and_finds_what_is_known(task, belongings):
    (snippet,) = re.findall(r"```python\n(.*?)```", TASKS[task], re.S)
    names = {}
    exec(snippet, names)
    CHECKS[task](names)
    plt.close("all")
    lines = [line for line in snippet.splitlines() if line.strip()]
    assert len(lines) <= 10


def test_every_check_belongs_to_a_snippet():
    assert set(CHECKS) == set(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_a_task_names_two_to_five_functions_that_exist(task):
    listed = re.findall(r"`([\w.]+)`", TASKS[task].strip().splitlines()[0])
    assert 2 <= len(listed) <= 5
    for name in listed:
        module, member = name.split(".")
        assert member in importlib.import_module(f"freqsense.{module}").__all__


def test_every_name_that_the_page_writes_as_code_exists():
    written = re.findall(rf"`((?:{'|'.join(MODULES)})\.[\w.]+)", read(PAGE))
    assert len(set(written)) > 40
    for name in set(written):
        module, member = name.split(".")[:2]
        assert hasattr(importlib.import_module(f"freqsense.{module}"), member), name


def test_the_table_of_modules_holds_every_public_name_and_no_other():
    rows = dict(re.findall(r"^\| \[(\w+)\]\(modules/\1\.md\) \| (.*) \|$", read(PAGE), re.M))
    assert set(rows) == set(MODULES)
    for name, row in rows.items():
        module = importlib.import_module(f"freqsense.{name}")
        assert re.findall(rf"`{name}\.(\w+)`", row) == list(module.__all__), name


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_a_page_that_describes_its_names(name):
    page = BOOK / "reference" / "modules" / f"{name}.md"
    assert page in PAGES
    assert f".. automodule:: freqsense.{name}\n" in read(page)
    members = re.search(r":members:(.*)", read(page)).group(1).replace(" ", "")
    module = importlib.import_module(f"freqsense.{name}")
    callables = {member for member in module.__all__ if callable(getattr(module, member))}
    assert not members or set(members.split(",")) == callables
    (source,) = re.findall(r"source is `([^`]+)`", read(page))
    assert (ROOT / source).exists()


def test_the_extras_are_those_that_can_be_installed():
    project = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]
    listed = re.findall(r"^\| `(\w+)` \|", read(PAGE), re.M)
    assert set(listed) == set(project["optional-dependencies"]) - {"dev"}


def test_the_page_can_be_read_unbuilt():
    text = read(PAGE)
    assert "{eval-rst}" not in text and not re.search(r"\{[\w:]+\}`", text)
    for target in re.findall(r"\]\(([^)#]+\.md)\)", text):
        assert (PAGE.parent / target).exists(), target
