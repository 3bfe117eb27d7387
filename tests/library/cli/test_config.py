"""Declared sweeps: mistakes are named before anything is run."""

import os
import signal
from contextlib import contextmanager

import pytest
from swept import file_size_limit
from terminal import CONFIG

from freqsense.__main__ import main
from freqsense.cli.config import read_sweep
from freqsense.experiments import Sweep

# Nine lists of two, each of which holds the one before it twice.
BOMB = "  a: &a [x, x]\n" + "".join(
    f"  {name}: &{name} [*{before}, *{before}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("weight_decay:", "weight_decai:", "got 'weight_decai'; did you mean 'weight_decay'?"),
        ("description:", "descripton:", "got 'descripton'; did you mean 'description'?"),
        ("grid:", "gird:", "must hold `grid:`"),
        ("grid:", "run: train_and_mesure\ngrid:", "did you mean 'train_and_measure'?"),
        ("conv_actually-2", "conv_actualy-2", "did you mean 'conv_actually-2'?"),
        ('"gaussian_field:0"', "gausian_field:0", "did you mean 'gaussian_field'?"),
        ('"gaussian_field:0"', "gaussian_field", "takes 1 numbers after colons"),
        ("width: 2", "image_filter: none hi_pass:3", "did you mean 'high_pass'?"),
        ("  architecture", "  wave_norm: 8.0\n  architecture", "got 'wave_norm'"),
        ("grid:\n", "run: train_and_attack\ngrid:\n  labels: true\n", "got 'labels'"),
        ("width: 2", "regime: plane", "did you mean 'plain'?"),
        ("width: 2", "schedule: cosin", "did you mean 'cosine'?"),
        ("width: 2", "width: two", "width must be of type int, got 'two'"),
        ("width: 2", "augment: 1", "augment must be True or False, got 1"),
        ("[0.01]", "0,01", "got '0,01': write a decimal number, such as 0.001"),
        ("[0.01]", "[]", "axis weight_decay must be a list of values, not empty"),
        ("width: 2", "seed: 2", "got: the key 'seed' twice"),
        ("  architecture: [conv_actually-2, linear_cnn-2]\n", "", "got none for architecture"),
        ("[0, 1]", "[0, 1", "must be YAML"),
    ],
)
def test_configurations_are_checked_before_any_run(tmp_path, fail, old, new, said):
    config = tmp_path / "c.yaml"
    config.write_text(CONFIG.replace(old, new))
    assert said in fail("sweep", config)
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]


@pytest.mark.parametrize(
    ("axis", "written", "said"),
    [
        (
            "seed",
            "010",
            "type int, got '010': write a decimal number, without zeros before it",
        ),
        ("seed", "-07", "got '-07'"),
        ("seed", "1:30", "got '1:30'"),
        ("seed", "1:30:00.5", "got '1:30:00.5'"),
        ("seed", "0x1F", "got '0x1F'"),
        ("seed", "0b11", "got '0b11'"),
        ("seed", "1_000", "got '1_000'"),
        ("seed", "2001-01-01", "got '2001-01-01'"),
        ("seed", '"3"', "got '3'"),
        ("seed", "!!int 010", "a tag or an alias in line 3"),
        ("seed", "99999999999999999999", "must be between"),
        ("seed", "9" * 5000, "4300 digits"),
        ("seed", "3.0", "must be an integer, got 3.0"),
        ("seed", "", "must be an integer, got None"),
        ("lr", "01.5", "got '01.5'"),
        ("lr", "1_0.5", "got '1_0.5'"),
        ("lr", "1:30.5", "got '1:30.5'"),
        ("lr", "1e400", "must be finite"),
        ("augment", "yes", "must be of type bool, got 'yes': write true or false"),
        ("augment", "off", "got 'off'"),
        ("augment", "[on, y]", "got 'on'"),
        ("data", "no", "got 'no'"),
    ],
)
def test_what_versions_of_yaml_read_differently_is_refused(tmp_path, fail, axis, written, said):
    config = tmp_path / "c.yaml"
    config.write_text(f"\ngrid:\n  {axis}: {written}\n")
    assert said in fail("sweep", config)


@pytest.mark.parametrize(
    ("axis", "written", "value"),
    [
        ("lr", "1e-3", 0.001),
        ("lr", "2.5E+1", 25.0),
        ("lr", ".5", 0.5),
        ("lr", "0.10", 0.1),
        ("seed", "+12", 12),
        ("seed", "0", 0),
        ("augment", "True", True),
        ("augment", "false", False),
    ],
)
def test_plain_numbers_and_flags_are_read(tmp_path, axis, written, value):
    others = "\n".join(line for line in CONFIG.splitlines() if f"{axis}:" not in line)
    (tmp_path / "c.yaml").write_text(f"{others}\n  {axis}: {written}")
    assert read_sweep(tmp_path / "c.yaml", tmp_path).grid[axis] == [value]


@contextmanager
def seconds(n):
    """Fail rather than wait for ever."""
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("still waiting"))
    signal.alarm(n)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "must hold `grid:` with the axes of a sweep, got nothing"),
        ("# nothing\n---\n", "got nothing"),
        ("grid: [1]", "must hold `grid:`"),
        ("grid:\n\tseed: 1", "must be YAML"),
        ("grid:\n  seed: \0", "must be YAML"),
        ("grid:\n  seed: 1\n---\ngrid:\n  seed: 2", "single document"),
        ("grid:\n  1: 2", "got 1"),
        ("grid:\n  ~: 2", "got None"),
        ("grid:\n  ? [a]\n  : 2", "unhashable key"),
        ("grid:\n  <<: {seed: 1}", "got '<<'"),
        ("grid:\n  seed: &s [*s]", "a tag or an alias in line 2"),
        ("grid:\n  seed: !!python/name:os.system", "a tag or an alias in line 2"),
        ("grid:\n  seed: [[1]]", "a list or mapping in place of a value in line 2"),
        ("grid:\n  seed: " + "[" * 50_000, "a list or mapping in place of a value in line 2"),
        ("- " * 2_000, "a list or mapping in place of a value in line 1"),
        ("grid:\n" + BOMB, "a tag or an alias in line 3"),
        ("#" * 1_100_000, "must have at most 1,000,000 bytes"),
    ],
)
def test_hostile_files_are_refused_in_one_line(tmp_path, fail, content, said):
    config = tmp_path / "c.yaml"
    config.write_text(content)
    with seconds(10):
        assert said in fail("sweep", config)
    assert [path.name for path in tmp_path.iterdir()] == ["c.yaml"]


def test_bytes_that_are_no_text_are_refused(tmp_path, fail):
    config = tmp_path / "c.yaml"
    config.write_bytes(CONFIG.encode("utf-16"))
    assert "must be YAML" in fail("sweep", config)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, fail, make):
    make(tmp_path / "c.yaml")
    with seconds(10):
        assert "CONFIG.yaml must be a file" in fail("sweep", tmp_path / "c.yaml")


def test_a_grid_beyond_memory_is_refused_before_it_is_built(tmp_path, fail):
    config = tmp_path / "c.yaml"
    axis = str(list(range(1, 400)))
    config.write_text(CONFIG.replace("[0, 1]", axis).replace("width: 2", f"width: {axis}"))
    with seconds(20):
        assert "at most 100,000 runs, got 636,804: 2 architecture" in fail("sweep", config)


# What ends a declared sweep


EXACT = """
run: solve_and_measure
grid: {data: "gaussian_field:2", weight_decay: [0, 0.1, 1], depth: 1, size: 8, n_train: 20}
"""


@pytest.fixture
def exact(tmp_path):
    (tmp_path / "exact.yaml").write_text(EXACT)
    return tmp_path / "exact.yaml"


def after_two(monkeypatch, act):
    """Do something as soon as two runs are stored."""
    store, stored = Sweep._store, []

    def do(self, record, values):
        store(self, record, values)
        stored.append(record)
        if len(stored) == 2:
            act(self)

    monkeypatch.setattr(Sweep, "_store", do)


def test_an_interrupted_command_says_what_is_stored_and_goes_on(
    exact, monkeypatch, capsys, succeed
):
    def interrupt(sweep):
        raise KeyboardInterrupt

    after_two(monkeypatch, interrupt)
    assert main(["sweep", str(exact)]) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == (
        f"error: interrupted: 2 of 3 runs are stored in {exact.with_suffix('.runs')}; "
        "the same command goes on"
    )
    assert "3 runs, 3 stored, 0 failed" in succeed("sweep", exact)


def test_runs_that_vanish_are_no_success(exact, monkeypatch, capsys, succeed):
    after_two(monkeypatch, lambda sweep: [path.unlink() for path in sweep.folder.iterdir()])
    assert main(["sweep", str(exact)]) == 1
    said = capsys.readouterr().out
    assert "3 runs, 1 stored, 0 failed" in said and "missing: 2 runs, whose files vanished" in said
    assert "3 runs, 3 stored" in succeed("sweep", exact)


def test_a_full_disk_at_the_end_is_one_line(exact, fail, succeed):
    with file_size_limit(9000):
        said = fail("sweep", exact)
    assert "exact.nc cannot be written" in said and "3 of 3 runs are stored" in said
    assert sorted(path.name for path in exact.parent.iterdir()) == ["exact.runs", "exact.yaml"]
    succeed("sweep", exact)


def test_a_full_disk_meanwhile_is_one_line(exact, fail):
    with file_size_limit(500):
        said = fail("sweep", exact)
    assert "0 of 3 runs are stored" in said and not list(exact.with_suffix(".runs").iterdir())
