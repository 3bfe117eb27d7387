"""Write the one-click checks of the pages as quizzes for a learning platform.

Run by ``make quizzes``. Out of ``book/checks.yaml`` come, in ``_build/quizzes``, one file of Moodle
XML, with a category for each page, and one QTI 2.1 content package, for Canvas and others, with a
test for each page. The same checks give the same bytes on every run and machine.
"""

import argparse
import io
import posixpath
import re
import xml.etree.ElementTree as ET
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import yaml
from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser
from twins import ROOT, files_of

CHECKS = "book/checks.yaml"
MOODLE = "freqsense-moodle.xml"
QTI = "freqsense-qti21.zip"
IMSCP = "http://www.imsglobal.org/xsd/imscp_v1p1"
IMSQTI = "http://www.imsglobal.org/xsd/imsqti_v2p1"
IDENTIFIER = re.compile(r"[a-z][a-z0-9-]*")
ROLE = re.compile(r"\{[a-z][\w:.-]*\}")
# Roles that lead to a place in the book; without a text of their own the page's title stands there.
LINKS = {"ref", "numref", "eq", "prf:ref"}
SPANS = {"em": "em", "strong": "strong"}


@dataclass
class Quiz:
    """The checks of a page, where it stands in the book, and its number there."""

    page: str
    part: str
    number: str
    title: str = ""
    checks: list = field(default_factory=list)

    @property
    def name(self):
        """Name the quiz in a package: no two pages share it."""
        return "quiz-" + self.page.replace("/", "-")


# Reading


def read_quizzes(root=ROOT):
    """Read the checks of every page, in the order of the book, and refuse what is wrong in them."""
    asked = read_yaml(root / CHECKS)
    if not isinstance(asked, dict) or not asked:
        raise SystemExit(f"{CHECKS}: pages and their checks are expected, `page: [check, ...]`")
    quizzes = [quiz for quiz in list_pages(root) if quiz.page in asked]
    unknown = asked.keys() - {quiz.page for quiz in quizzes}
    if unknown:
        raise SystemExit(f"{CHECKS}: not in _toc.yml: {', '.join(sorted(map(str, unknown)))}")
    seen = set()
    for quiz in quizzes:
        if not isinstance(asked[quiz.page], list) or not asked[quiz.page]:
            raise SystemExit(f"{CHECKS}: {quiz.page}: a list of checks is expected")
        for check in asked[quiz.page]:
            fault = find_fault(check, seen)
            if fault:
                raise SystemExit(f"{CHECKS}: {quiz.page}: {fault}")
            seen.add(check["id"])
        quiz.checks = asked[quiz.page]
        quiz.title = read_title(root, f"book/{quiz.page}")
    return quizzes


def read_yaml(path):
    """Read a file that must be there and be YAML."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SystemExit(f"{path} is not there") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SystemExit(f"{path} is not YAML: {error}") from None


def list_pages(root):
    """List the pages of the book in its order, with the numbers that the book gives them."""
    pages, chapter = [], 0
    for part in read_yaml(root / "_toc.yml")["parts"]:
        for each in part["chapters"]:
            chapter += bool(part.get("numbered"))
            for place, name in enumerate(files_of([each])):
                number = f"{chapter}.{place}".removesuffix(".0") if part.get("numbered") else ""
                page = name.removeprefix("book/")
                pages.append(Quiz(page, part["caption"], number))
    return pages


def read_title(root, name):
    """Read the title of a page as it is written there."""
    path = root / f"{name}.md"
    found = path.exists() and re.search(r"^# (.+)$", path.read_text(encoding="utf-8"), re.M)
    if not found:
        raise SystemExit(f"{name}.md has no title, or is not there")
    return found[1].strip()


def find_fault(check, seen):
    """Say what is wrong with a check, or nothing.

    >>> answers = [{"text": "a", "right": True, "because": "b"}, {"text": "c", "because": "d"}]
    >>> find_fault({"id": "one", "question": "?", "answers": answers}, set())
    >>> find_fault({"id": "one", "question": "?", "answers": answers[1:] * 2}, set())
    "'one' has 0 right answers, not one"
    """
    if not isinstance(check, dict) or not isinstance(check.get("id"), str):
        return f"a check without an id: {check!r:.80}"
    name, answers = check["id"], check.get("answers")
    if not IDENTIFIER.fullmatch(name):
        return f"{name!r} is no id: small letters, digits and hyphens, a letter first"
    if name in seen:
        return f"two checks are named {name!r}"
    fault = wrong_keys(check, {"id", "question", "answers"}, {"question"})
    if fault:
        return f"{name!r} {fault}"
    if not isinstance(answers, list) or len(answers) < 2:
        return f"{name!r} needs a list of two answers or more"
    for number, given in enumerate(answers, 1):
        fault = wrong_keys(given, {"text", "right", "because"}, {"text", "because"})
        if fault is None and not isinstance(given.get("right", False), bool):
            fault = "has a `right` that is neither true nor false"
        if fault:
            return f"answer {number} of {name!r} {fault}"
    right = sum(given.get("right", False) for given in answers)
    if right != 1:
        return f"{name!r} has {right} right answers, not one"
    if len({given["text"] for given in answers}) < len(answers):
        return f"{name!r} has the same answer twice"
    return None


def wrong_keys(entry, allowed, texts):
    """Say which key of an entry is unknown, or which text is missing, or nothing."""
    if not isinstance(entry, dict):
        return f"is {entry!r:.80}, not a mapping"
    unknown = sorted(map(str, entry.keys() - allowed))
    if unknown:
        return f"has an unknown key: {', '.join(unknown)}"
    for key in sorted(texts):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            return f"has no text in `{key}` (text with a colon needs quotes)"
    return None


# From MyST to HTML


class Writer:
    """Writes lines of MyST as HTML, with formulas as MathJax reads them on both platforms."""

    def __init__(self, root=ROOT):
        self.root = root
        extensions = read_yaml(root / "_config.yml")["parse"]["myst_enable_extensions"]
        parser = create_md_parser(MdParserConfig(enable_extensions=set(extensions)), RendererHTML)
        # Kept apart, an escaped dollar is not mistaken for a formula that does not end.
        self.parse = parser.disable("text_join").parseInline

    def fill(self, element, text, where):
        """Write a line of MyST into an element; ``where`` it is written, for links and faults."""
        place = [element]
        (line,) = self.parse(text.strip())
        for token in line.children:
            kind, _, end = token.type.rpartition("_")
            if token.type == "link_open" and re.match("https?:", token.attrs["href"]):
                place.append(ET.SubElement(place[-1], "a", href=token.attrs["href"]))
            elif token.type in ("link_open", "link_close"):
                if place[-1].tag == "a":
                    place.pop()
            elif kind in SPANS and end == "open":
                place.append(ET.SubElement(place[-1], SPANS[kind]))
            elif kind in SPANS and end == "close":
                place.pop()
            elif token.type == "code_inline":
                ET.SubElement(place[-1], "code").text = token.content
            else:
                append(place[-1], self.words(token, where))

    def words(self, token, where):
        """Write a piece of a line that is neither emphasis nor code nor an outer link."""
        match token.type:
            case "text":
                if "$" in token.content:
                    fail(where, f"a formula does not end in {token.content!r}")
                if ROLE.search(token.content):
                    fail(where, f"{ROLE.search(token.content)[0]} without its backticks")
                return token.content
            case "text_special":
                return token.content
            case "softbreak" | "hardbreak":
                return " "
            case "math_inline":
                return rf"\({token.content.strip()}\)"
            case "myst_role":
                return self.role(token.meta["name"], token.content, where)
        return fail(where, f"{token.type} cannot be written in a quiz: {token.content!r}")

    def role(self, name, content, where):
        """Write a role: its own text, or the title of the page that it leads to."""
        own = re.fullmatch(r"(.+?)\s*<([^<>]+)>", content, re.S)
        if name == "math":
            return rf"\({content.strip()}\)"
        if name == "term" or (own and name in LINKS | {"doc"}):
            return own[1].replace("%s", "").strip() if own else content
        if name == "doc":
            folder = posixpath.dirname(f"book/{where.page}")
            page = posixpath.normpath(posixpath.join("/", folder, content.removesuffix(".md")))
            return self.plain(read_title(self.root, page.lstrip("/")), where)
        if name in LINKS:
            return self.plain(self.title_at(content, where), where)
        return fail(where, f"the role {{{name}}} cannot be written in a quiz")

    def title_at(self, label, where):
        """Find the title of the page that a label is on."""
        here = re.escape(label)
        mark = re.compile(
            rf"^\({here}\)=|^:(?:name|label): +{here}$|\$\$ *\({here}\)$|\{{#{here}[ }}]", re.M
        )
        for quiz in list_pages(self.root):
            path = self.root / "book" / f"{quiz.page}.md"
            if path.exists() and mark.search(path.read_text(encoding="utf-8")):
                return read_title(self.root, f"book/{quiz.page}")
        return fail(where, f"no page has the label {label!r}")

    def plain(self, text, where):
        """Write a line of MyST as text without any mark-up."""
        element = ET.Element("p")
        self.fill(element, text, where)
        return "".join(element.itertext())

    def html(self, text, where):
        """Write a line of MyST as one paragraph of HTML."""
        element = ET.Element("p")
        self.fill(element, text, where)
        return ET.tostring(element, encoding="unicode")


def append(element, text):
    """Append text at the end of what an element holds."""
    if len(element):
        element[-1].tail = (element[-1].tail or "") + text
    else:
        element.text = (element.text or "") + text


def fail(where, fault):
    """Stop at a line that cannot be written."""
    raise SystemExit(f"{CHECKS}: {where.page}: {where.check!r}: {fault}")


def serialise(root):
    """Return the bytes of an XML file."""
    return ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def child(parent, tag, text=None, **attributes):
    """Add an element with this text to another."""
    element = ET.SubElement(parent, tag, attributes)
    element.text = text
    return element


# Moodle


def moodle_xml(quizzes, writer):
    """Write every check as Moodle XML, the checks of a page in a category of its own."""
    root = ET.Element("quiz")
    parts = list(dict.fromkeys(quiz.part for quiz in quizzes))
    for quiz in quizzes:
        where = SimpleNamespace(page=quiz.page, check="title")
        # Moodle sorts categories by name, so each begins with its place; a slash in it is doubled.
        page = " ".join([*padded(quiz.number), writer.plain(quiz.title, where)])
        part = f"{parts.index(quiz.part) + 1} {quiz.part}"
        names = [name.replace("/", "//") for name in ("freqsense", part, page)]
        question = child(root, "question", type="category")
        child(child(question, "category"), "text", "/".join(["$course$", "top", *names]))
        for check in quiz.checks:
            add_moodle_question(
                root, check, SimpleNamespace(page=quiz.page, check=check["id"]), writer
            )
    ET.indent(root)
    return serialise(root)


def padded(number):
    """Write a page's number so that sorting by letters keeps the order.

    >>> padded("2.1"), padded("")
    (['02.01'], [])
    """
    return [".".join(f"{int(each):02}" for each in number.split("."))] if number else []


def add_moodle_question(root, check, where, writer):
    """Add one question of Moodle XML."""
    question = child(root, "question", type="multichoice")
    child(child(question, "name"), "text", check["id"])
    text = writer.html(check["question"], where)
    child(child(question, "questiontext", format="html"), "text", text)
    settings = {
        "defaultgrade": "1", "penalty": "0.3333333", "hidden": "0", "idnumber": check["id"],
        "single": "true", "shuffleanswers": "true", "answernumbering": "none",
        "showstandardinstruction": "0",
    }  # fmt: skip
    for name, value in settings.items():
        child(question, name, value)
    for given in check["answers"]:
        fraction = "100" if given.get("right") else "0"
        answer = child(question, "answer", fraction=fraction, format="html")
        child(answer, "text", writer.html(given["text"], where))
        feedback = child(answer, "feedback", format="html")
        child(feedback, "text", writer.html(given["because"], where))


# QTI


def qti_files(quizzes, writer):
    """Map the names of the files of a QTI 2.1 package to what they hold, the manifest first."""
    manifest = ET.Element("manifest", xmlns=IMSCP, identifier="freqsense-quizzes")
    metadata = child(manifest, "metadata")
    child(metadata, "schema", "QTIv2.1 Package")
    child(metadata, "schemaversion", "1.0.0")
    child(manifest, "organizations")
    resources = child(manifest, "resources")
    files = {}
    for quiz in quizzes:
        href = f"tests/{quiz.name}.xml"
        files[href] = assessment_test(quiz, writer)
        test = add_resource(resources, quiz.name, "imsqti_test_xmlv2p1", href)
        for check in quiz.checks:
            where = SimpleNamespace(page=quiz.page, check=check["id"])
            href = f"items/{check['id']}.xml"
            files[href] = assessment_item(check, where, writer)
            add_resource(resources, f"item-{check['id']}", "imsqti_item_xmlv2p1", href)
            child(test, "dependency", identifierref=f"item-{check['id']}")
    ET.indent(manifest)
    return {"imsmanifest.xml": serialise(manifest)} | files


def add_resource(resources, name, kind, href):
    """Add a file to the manifest."""
    resource = child(resources, "resource", identifier=name, type=kind, href=href)
    child(resource, "file", href=href)
    return resource


def assessment_test(quiz, writer):
    """Write the test that holds the checks of a page."""
    where = SimpleNamespace(page=quiz.page, check="title")
    title = f"{quiz.number} {writer.plain(quiz.title, where)}".strip()
    root = ET.Element("assessmentTest", xmlns=IMSQTI, identifier=quiz.name, title=title)
    child(root, "outcomeDeclaration", identifier="SCORE", cardinality="single", baseType="float")
    modes = {"navigationMode": "nonlinear", "submissionMode": "individual"}
    part = child(root, "testPart", identifier="checks", **modes)
    child(part, "itemSessionControl", maxAttempts="0", showFeedback="true")
    # A section that is shown becomes, in Canvas, a question without answers.
    section = child(part, "assessmentSection", identifier="page", title=title, visible="false")
    for check in quiz.checks:
        href = f"../items/{check['id']}.xml"
        child(section, "assessmentItemRef", identifier=check["id"], href=href)
    total = child(child(root, "outcomeProcessing"), "setOutcomeValue", identifier="SCORE")
    child(child(total, "sum"), "testVariables", variableIdentifier="SCORE")
    ET.indent(root)
    return serialise(root)


def assessment_item(check, where, writer):
    """Write one check as an item of QTI.

    What is worth saying of a choice is in a form that Canvas, too, puts beside that choice: a
    condition for each choice adds the name of its feedback to those to be shown.
    """
    name = check["id"]
    root = ET.Element(
        "assessmentItem",
        {"xmlns": IMSQTI, "identifier": name, "title": name, "adaptive": "false"}
        | {"timeDependent": "false"},
    )
    kind = {"baseType": "identifier"}
    response = child(
        root, "responseDeclaration", identifier="RESPONSE", cardinality="single", **kind
    )
    correct = child(response, "correctResponse")
    score = child(
        root, "outcomeDeclaration", identifier="SCORE", cardinality="single", baseType="float"
    )
    child(child(score, "defaultValue"), "value", "0")
    child(root, "outcomeDeclaration", identifier="FEEDBACK", cardinality="multiple", **kind)
    settings = {"responseIdentifier": "RESPONSE", "shuffle": "true", "maxChoices": "1"}
    interaction = child(child(root, "itemBody"), "choiceInteraction", **settings)
    processing = child(root, "responseProcessing")
    lines = [(child(interaction, "prompt"), check["question"])]
    for number, given in enumerate(check["answers"], 1):
        choice, feedback = f"answer-{number}", f"because-{number}"
        right = given.get("right", False)
        if right:
            child(correct, "value", choice)
        lines.append((child(interaction, "simpleChoice", identifier=choice), given["text"]))
        condition = child(child(processing, "responseCondition"), "responseIf")
        match = child(condition, "match")
        child(match, "variable", identifier="RESPONSE")
        child(match, "baseValue", choice, **kind)
        scored = child(condition, "setOutcomeValue", identifier="SCORE")
        child(scored, "baseValue", str(int(right)), baseType="float")
        shown = child(child(condition, "setOutcomeValue", identifier="FEEDBACK"), "multiple")
        child(shown, "variable", identifier="FEEDBACK")
        child(shown, "baseValue", feedback, **kind)
        outcome = {"outcomeIdentifier": "FEEDBACK", "showHide": "show", "identifier": feedback}
        lines.append((child(child(root, "modalFeedback", **outcome), "p"), given["because"]))
    # Before there is text: between words, an indent would be a space.
    ET.indent(root)
    for element, text in lines:
        writer.fill(element, text, where)
    return serialise(root)


def pack(files):
    """Return a zip file that depends on nothing but what it holds."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3
            info.external_attr = 0o644 << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return packed.getvalue()


def export(root, into):
    """Write both files; nothing is written where a check is wrong."""
    quizzes, writer = read_quizzes(root), Writer(root)
    written = {MOODLE: moodle_xml(quizzes, writer), QTI: pack(qti_files(quizzes, writer))}
    into.mkdir(parents=True, exist_ok=True)
    for name, content in written.items():
        (into / name).write_bytes(content)
    return quizzes


def main(arguments=None):
    """Export the checks of the book and say where they are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=ROOT, help="the folder of the book")
    parser.add_argument("--into", type=Path, help="default: _build/quizzes in it")
    given = parser.parse_args(arguments)
    into = given.into or given.root / "_build" / "quizzes"
    quizzes = export(given.root, into)
    count = sum(len(quiz.checks) for quiz in quizzes)
    print(f"{count} checks of {len(quizzes)} pages: {into / MOODLE}, {into / QTI}")


if __name__ == "__main__":
    main()
