"""An assignment on disk: its notebook, its tasks, and the rubric of what a person reads."""

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import yaml

from .program import Program
from .task import Task

ROOT = Path(__file__).resolve().parents[1]
# A teacher's own tasks may lie over those of the public repository.
OVERLAY = "COURSEWORK_PRIVATE"


@dataclass(frozen=True)
class Question:
    """A question whose answer a person reads: a list of (points, what they are given for)."""

    name: str
    title: str
    rubric: tuple[tuple[int, str], ...]

    @property
    def points(self) -> int:
        """The most that an answer can get."""
        return sum(points for points, _ in self.rubric)


@dataclass(frozen=True)
class Assignment:
    """What an assignment consists of."""

    name: str
    source: str
    tasks: tuple[Task, ...]
    questions: tuple[Question, ...]
    programs: tuple[Program, ...] = ()

    @property
    def parts(self) -> tuple[Task | Program, ...]:
        """All that the grader gives points for."""
        return (*self.tasks, *self.programs)


def folder_of(name: str) -> Path:
    """Return the folder of an assignment: the teacher's private one, if it is there."""
    private = os.environ.get(OVERLAY)
    places = [Path(private) / name] if private else []
    places.append(ROOT / name)
    return next((place for place in places if (place / "tasks.py").is_file()), places[-1])


def names() -> list[str]:
    """List the assignments."""
    private = os.environ.get(OVERLAY)
    roots = [ROOT, *([Path(private)] if private else [])]
    return sorted({path.parent.name for root in roots for path in root.glob("*/tasks.py")})


def load(name: str) -> Assignment:
    """Load an assignment by name."""
    if name not in names():
        raise ValueError(f"there is no assignment {name!r}; there are {', '.join(names())}")
    folder = folder_of(name)
    module = run_file(folder / "tasks.py", f"tasks_of_{name}")
    source = (folder / f"{name}.md").read_text(encoding="utf-8")
    questions = read_questions(folder / "rubric.yml")
    programs: tuple[Program, ...] = ()
    if (folder / "program.py").is_file():
        programs = tuple(run_file(folder / "program.py", f"program_of_{name}").PROGRAMS)
    return Assignment(name, source, tuple(module.TASKS), questions, programs)


def run_file(path: Path, name: str) -> ModuleType:
    """Import a module that stands in no package."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_questions(path: Path) -> tuple[Question, ...]:
    """Read the questions of a rubric."""
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    return tuple(
        Question(name, each["title"], tuple((row["points"], row["for"]) for row in each["rubric"]))
        for name, each in told.items()
    )
