"""What teachers and students read: marks as CSV, a feedback page each, answers to be read."""

import csv
import html
import re
from collections import Counter

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 sans-serif; margin: 2rem auto; max-width: 48rem; padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ border-bottom: 1px solid #bbb; padding: .4rem; text-align: left; vertical-align: top; }}
pre {{ background: #f3f3f3; overflow-x: auto; padding: .6rem; white-space: pre-wrap; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""
NO_ANSWER = "(no answer found)"


def write_page(path, title, body):
    """Write one HTML page; ``body`` is HTML already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(PAGE.format(title=html.escape(title), body=body), encoding="utf-8")


def table(head, rows):
    """Return an HTML table of texts."""
    cells = [[html.escape(str(cell)) for cell in row] for row in rows]
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in cells)
    return f"<table><tr>{top}</tr>{lines}</table>"


def write_feedback(folder, assignment, submission, marks, cell_errors, read):
    """Write what one student is told."""
    total, of = sum(mark.points for mark in marks), sum(mark.of for mark in marks)
    rows = [(mark.task, f"{mark.points} of {mark.of}", mark.message) for mark in marks]
    for question in assignment.questions:
        points, comment = read[question.name].get(submission.student, ("not read yet", ""))
        rows.append((question.title, f"{points} of {question.points}", comment))
    body = f"<h1>{html.escape(assignment.name)}: {html.escape(submission.student)}</h1>"
    body += f"<p>{total} of {of} points for functions; a person reads the other answers.</p>"
    body += table(("task", "points", "what was seen"), rows)
    if submission.notes:
        body += "".join(f"<p>{html.escape(note)}.</p>" for note in submission.notes)
    if cell_errors:
        told = [(f"{number + 1}", error) for number, error in sorted(cell_errors.items())]
        body += "<h2>Cells that stopped</h2>" + table(("code cell", "error"), told)
    write_page(folder / f"{file_name(submission.student)}.html", assignment.name, body)


def file_name(student):
    """Make a name of a student's that any disk takes."""
    return re.sub(r"[^\w.-]+", "_", student)[:100]


def write_grades(path, assignment, graded, read):
    """Write one row a student: points a task, those that a person has given, their sum."""
    names = [task.name for task in assignment.tasks]
    questions = [question.name for question in assignment.questions]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["student", *names, *questions, "total", "note"])
        for submission, marks, _ in graded:
            points = [mark.points for mark in marks]
            given = [read[name].get(submission.student, ("", ""))[0] for name in questions]
            total = sum(points) + sum(each for each in given if each != "")
            row = [submission.student, *points, *given, total, submission.problem or ""]
            writer.writerow([guard(cell) for cell in row])


def read_questions(folder, assignment, term, graded):
    """Return what a person has filled in: of each question, points and comment by student."""
    return {
        question.name: read_question(folder / f"{question.name}.csv", question, term, graded)
        for question in assignment.questions
    }


def read_question(path, question, term, graded):
    """Return points and comment of the students whose row holds a number."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = {row[0]: row[1:] for row in list(csv.reader(file))[1:] if row}
    found = {}
    for submission, _, _ in graded:
        *cells, comment = rows.get(code_of(term, question, submission), ["", ""])
        numbers = [as_points(cell, path) for cell in cells if cell.strip()]
        if numbers:
            found[submission.student] = (sum(numbers), comment)
    return found


def as_points(cell, path):
    """Read the points that a person has written into a cell."""
    try:
        points = float(cell.replace(",", "."))
    except ValueError:
        raise ValueError(f"{path}: expected points, got {cell!r}") from None
    return int(points) if points == int(points) else points


def guard(cell):
    """Keep a spreadsheet from taking a student's name for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@" and cell else cell


def write_class_report(path, tasks, graded):
    """Write how often each misconception was met."""
    counts = Counter(
        (mark.task, mark.misconception or ("right" if mark.points else "something else"))
        for _, marks, _ in graded
        for mark in marks
    )
    rows = [
        (task.name, what, n, f"{n / max(1, len(graded)):.0%}")
        for task in tasks
        for (name, what), n in counts.most_common()
        if name == task.name
    ]
    body = f"<h1>{len(graded)} submissions</h1>" + table(
        ("task", "seen", "students", "share"), rows
    )
    write_page(path, "Class report", body)


def answer_to(question, submission):
    """Find a student's answer to a question: what follows its mark in a cell of text."""
    mark = f"**Answer {question.name}:**"
    found = [text.split(mark, 1)[1].strip() for text in submission.text if mark in text]
    return next(filter(None, found), NO_ANSWER)


def write_questions(folder, assignment, term, graded):
    """Write a page of anonymous answers a question, and a CSV to fill in beside it."""
    for question in assignment.questions:
        coded = sorted(
            (code_of(term, question, submission), submission) for submission, _, _ in graded
        )
        body = f"<h1>{html.escape(question.title)}</h1>" + table(("points", "for"), question.rubric)
        for code, submission in coded:
            body += f"<h2>{code}</h2><pre>{html.escape(answer_to(question, submission))}</pre>"
        write_page(folder / f"{question.name}.html", question.title, body)
        fill_up(folder / f"{question.name}.csv", question, [code for code, _ in coded])


def code_of(term, question, submission):
    """Return the code under which an answer is read: the order of codes tells no name."""
    return f"{term.number(question.name, submission.student) % 16**8:08x}"


def fill_up(path, question, codes):
    """Write the CSV of a question; what a person has written into it stays."""
    head = [
        "code",
        *(f"{points}: {for_what[:40]}" for points, for_what in question.rubric),
        "comment",
    ]
    kept = {}
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            kept = {row[0]: row for row in list(csv.reader(file))[1:] if row}
    blank = [""] * (len(head) - 1)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        # A row of somebody whose file is gone today stays too.
        for code in [*codes, *(code for code in kept if code not in codes)]:
            writer.writerow(kept.get(code, [code, *blank]))
