"""How to read the book: what an error bar promises, and the commands that the page names."""

import re

import pytest
from sources import BOOK, ROOT, read
from tolerances import SIGMAS

from freqsense import images, spectra


def fits(alpha, n_fields, n_repeats, size=24):
    profiles = [
        spectra.power_spectrum(
            images.gaussian_field(n_fields, shape=(size, size), alpha=alpha, seed=1000 + seed)
        ).radial()
        for seed in range(n_repeats)
    ]
    return [spectra.fit_power_law(profile, fmin=1, fmax=size // 2) for profile in profiles]


@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.0])
def test_intervals_contain_the_truth_as_often_as_they_say(alpha):
    laws = fits(alpha, 10, 200)
    hits = sum(low <= alpha <= high for low, high in (law.interval() for law in laws))
    assert abs(hits / 200 - 0.95) < SIGMAS * (0.95 * 0.05 / 200) ** 0.5


@pytest.mark.parametrize("alpha", [0.5, 2.5])
def test_four_times_the_fields_halve_the_error(alpha):
    few, many = (sum(law.alpha_stderr for law in fits(alpha, n, 40)) / 40 for n in (10, 40))
    assert few / many == pytest.approx(2, rel=0.05)


def test_the_commands_of_the_page_are_those_of_the_makefile_and_the_readme():
    page, makefile, readme = (
        read(BOOK / "start" / "how-to-read.md"),
        *map(read, (ROOT / "Makefile", ROOT / "README.md")),
    )
    named = set(re.findall(r"`make ([a-z-]+)", page)) | set(
        re.findall(r"^make ([a-z-]+)", page, re.M)
    )
    assert {"book", "test"} <= named
    assert named <= set(re.findall(r"^([a-z][a-z-]*):", makefile, re.M))
    for line in re.findall(r"^python -m pip install .*", page, re.M):
        assert f"{line}\n" in readme
