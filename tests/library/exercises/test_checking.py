"""What ``check`` prints, for what readers hand to it; and what the pages say of it."""

import ast
import math
import re

import numpy as np
import pytest
import torch
from sources import PAGES, directives, read

from freqsense import fourier
from freqsense.exercises import EXERCISES, RIGHT, check
from freqsense.exercises.checking import CHANGED, NOTHING, find_exercise, generator_of
from freqsense.exercises.verdict import NEARLY


def told(capsys, function, name="ex-dft-inverse"):
    check(name, function)
    return capsys.readouterr().out.rstrip("\n")


def unfinished(xhat): ...


def raising(xhat):
    return xhat @ torch.zeros(2, 2)


def changing(xhat):
    result = fourier.ifft2(xhat)
    xhat.zero_()
    return result


def changing_and_wrong(xhat):
    return xhat.zero_()


def sometimes(xhat):
    return fourier.ifft2(xhat) if xhat.shape[0] == 7 else None


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (fourier.ifft2, RIGHT),
        (lambda xhat: fourier.ifft2(xhat).numpy(), RIGHT),
        (lambda xhat: fourier.ifft2(xhat).requires_grad_(), RIGHT),
        (lambda xhat: fourier.ifft2(xhat.to(torch.complex64)), RIGHT),
        (lambda xhat: (1 + 1e-4) * fourier.ifft2(xhat), NEARLY),
        (unfinished, NOTHING),
        (changing, CHANGED),
        (changing_and_wrong, "It differs on 3 of 3 inputs: the numbers differ."),
        (lambda xhat: fourier.ifft2(xhat).tolist(),
         "It differs on 3 of 3 inputs: expected numbers, got a list."),
        (lambda xhat: "x", "It differs on 3 of 3 inputs: expected numbers, got a str."),
        (lambda xhat: fourier.ifft2(xhat) / 0,
         "It differs on 3 of 3 inputs: some of the numbers are not finite."),
        (lambda: 1, "It stopped: TypeError: <lambda>() takes 0 positional arguments but 1 was "
         "given"),
    ],
)  # fmt: skip
def test_what_is_said_of_an_answer(capsys, function, said):
    assert told(capsys, function).replace("test_what_is_said_of_an_answer.<locals>.", "") == said


def test_an_error_is_quoted(capsys):
    assert re.match(r"It stopped: RuntimeError: \S", told(capsys, raising))


def test_an_answer_that_is_lacking_now_and_then_is_told(capsys):
    assert re.match(r"It differs on [12] of 3 inputs: expected numbers, got nothing\.$",
                    told(capsys, sometimes))  # fmt: skip


def test_complex_results_of_real_questions(capsys):
    def hybrid(x, z):
        return fourier.ifft2(torch.polar(fourier.fft2(x).abs(), fourier.fft2(z).angle()))

    assert told(capsys, hybrid, "ex-phases-swap") == RIGHT  # the imaginary part is rounding
    assert "got complex ones" in told(capsys, lambda x, z: hybrid(x, z) + 1j, "ex-phases-swap")


def test_a_misconception_is_told_and_the_answer_is_not(capsys):
    for name, exercise in EXERCISES.items():
        for wrong in exercise.wrong:
            assert told(capsys, wrong.function, name) == wrong.message
        assert told(capsys, exercise.reference, name) == RIGHT
        assert told(capsys, exercise.right[0], name) == RIGHT


def test_the_inputs_are_the_same_each_time():
    drawn = [torch.randn(3, generator=generator_of("ex-dft-inverse", 0)) for _ in range(2)]
    assert torch.equal(*drawn)
    other = torch.randn(3, generator=generator_of("ex-dft-inverse", 1))
    assert not np.allclose(drawn[0], other)


def test_an_unknown_label_is_told_the_nearest():
    with pytest.raises(ValueError, match="expected one of ex-.*, got 'ex-dft-invers'; did you"):
        check("ex-dft-invers", fourier.ifft2)
    with pytest.raises(ValueError, match=r"got 3$"):
        find_exercise(3)


def test_what_is_no_function_is_refused():
    with pytest.raises(TypeError, match=r"as in check\('ex-dft-inverse', f\), got a Tensor"):
        check("ex-dft-inverse", torch.zeros(2))


def test_exercises_and_pages_name_each_other():
    """Each label is an exercise of a page that checks it, unfinished and solved."""
    asked = []
    for page in PAGES:
        text = read(page)
        labels = {d.options.get("label") for d in directives(text) if "exercise" in d.name}
        named = re.findall(r'exercises\.check\(\s*"([\w-]+)"', text)
        assert set(named) <= labels, page
        assert all(named.count(name) == 2 for name in named), page
        asked += set(named)
    assert sorted(asked) == sorted(EXERCISES)


CELL = re.compile(r"^```\{code-cell\} ipython3\n(?::.*\n)*(.*?)^```$", re.M | re.S)


def starter_and_solution(label):
    """The code of an exercise and of its solution, from the page that holds them."""
    (text,) = [read(page) for page in PAGES if f":label: {label}\n" in read(page)]
    asked, solved = text.split(f":label: {label}\n", 1)[1].split(f"{{solution-start}} {label}\n")
    parts = asked.split("{exercise-end}")[0], solved.split("{solution-end}")[0]
    return ["\n".join(CELL.findall(part)) for part in parts]


def run(function, code):
    """Define one function of a page, beside what its page imports."""
    (source,) = [ast.unparse(each) for each in ast.parse(code).body
                 if isinstance(each, ast.FunctionDef) and each.name == function]  # fmt: skip
    names = {"torch": torch, "math": math, "fourier": fourier}
    exec(source, names)
    return names[function]


@pytest.mark.parametrize("label", EXERCISES)
def test_the_starter_of_a_page_is_unfinished_and_its_solution_right(capsys, label):
    starter, solution = starter_and_solution(label)
    (signature,) = re.findall(r"^def (\w+\(.*?\)):", starter, re.M | re.S)
    assert f"def {signature}:" in solution
    name = signature.split("(")[0]
    for code, said in ((starter, NOTHING), (solution, RIGHT)):
        assert f'exercises.check("{label}", {name})' in code
        assert told(capsys, run(name, code), label) == said
