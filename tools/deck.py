"""Turn a built page of the book into slides, for slides.py."""

import re
from copy import copy
from dataclasses import dataclass, field

from bs4 import BeautifulSoup
from bs4.element import NavigableString
from markupsafe import Markup, escape
from twins import ROOT  # noqa: F401 -- makes the build extension importable

from bookbuild.check import VERDICTS  # isort: skip

# What becomes a slide, in the order of the page, unless it is folded or belongs to something else.
SHOWN = "figure, .proof, div.math[id], table"
ELSEWHERE = "details, .solution, .exercise, .check, .proof, figure"
LETTERS = "ABCDEFGH"
# Both of a check come with the same step.
STEP = Markup(' class="{} fragment" data-fragment-index="0"')
SENTENCE = r"(?<=[.!?]) "
LONG = 110  # letters of a headline, beyond which it ends at its colon
FULL = 900  # letters of a table, beyond which it goes on on another slide


@dataclass
class Slide:
    """A slide: what stands above, what is seen below, and what the speaker reads."""

    kind: str
    title: Markup
    body: Markup
    notes: Markup = Markup()


@dataclass
class Deck:
    """What a page gives to its slides."""

    title: Markup
    mathjax: Markup
    message: Markup
    objectives: Markup
    needs: Markup
    summary: Markup
    slides: list = field(default_factory=list)
    pictures: list = field(default_factory=list)  # their addresses, from the page


def read_deck(name, html):
    """Read what a page gives to its slides."""
    soup = BeautifulSoup(html, "html.parser")
    parts = {
        "title": soup.select_one("article h1"),
        "message": soup.select_one("article .message p:not(.admonition-title)"),
        "list of objectives": soup.select_one("article .page-card ul"),
        "summary": soup.select_one("article #summary ul"),
        "settings of MathJax": re.search(r"<script>(window\.MathJax = .*?)</script>", html, re.S),
    }
    if missing := [part for part, found in parts.items() if not found]:
        raise SystemExit(f"{name} as built has no {', no '.join(missing)}: run `make book` anew")
    title, message, objectives, summary, mathjax = parts.values()
    needs = Markup().join(outside(each) for each in objectives.find_next_siblings("p"))
    deck = Deck(
        title=inside(title), mathjax=Markup(mathjax[1]), message=inside(message),
        objectives=outside(objectives), needs=needs, summary=outside(summary),
    )  # fmt: skip
    fill(deck, soup.article)
    return deck


def fill(deck, article):
    """Make the slides of a deck: figures and statements, then checks, then exercises."""
    for image in article.select("figure img:not([src^='data:'])"):
        deck.pictures.append(image["src"])
        image["src"] = "figures/" + image["src"].rsplit("/", 1)[1]
    for element in article.select(SHOWN):
        if not element.find_parent(is_elsewhere):
            deck.slides += shown_slides(element)
    deck.slides += map(check_slide, article.select(".check"))
    deck.slides += map(exercise_slide, article.select(".exercise"))


def is_elsewhere(element):
    """Say whether what an element holds is no slide of its own."""
    return element.css.match(ELSEWHERE)


# One slide


def shown_slides(element):
    """Make slides of a figure, a table, an equation or a statement."""
    if element.name == "figure":
        return [figure_slide(element)]
    if element.name == "table":
        return table_slides(element)
    if is_equation(element):
        # Those that follow another at once are on its slide.
        return [] if is_equation(element.find_previous_sibling()) else [equation_slide(element)]
    # A proof has no kind, as a theorem has.
    return [] if element["class"] == ["proof", "admonition"] else [statement_slide(element)]


def figure_slide(figure):
    """Make a slide of a figure; its caption and the words for its picture are the notes."""
    picture = clean(figure)
    caption = picture.figcaption.extract()
    alone = [each.get("alt") or each.get("aria-label") for each in picture.select("img, svg")]
    notes = [outside(each) for each in caption.find_all("p")]
    notes += [Markup("<p>Seen: {}</p>").format(alt) for alt in alone]
    title = headline(caption.select_one(".caption-text"))
    return Slide("figure", title, inside(picture), Markup().join(notes))


def statement_slide(statement):
    """Make a slide of a definition or a theorem."""
    body = clean(statement)
    title = body.select_one(".admonition-title").extract()
    return Slide("statement", inside(title), inside(body))


def table_slides(table):
    """Make a slide of a table, or several, each with its head, of a long one."""
    whole = clean(table)
    caption = whole.caption and whole.caption.extract()
    title = headline(caption.select_one(".caption-text")) if caption else section_title(table)
    rows = [row.extract() for row in whole.select("tbody tr")]
    count = -(-sum(len(row.get_text()) for row in rows) // FULL)
    size = -(-len(rows) // count)
    slides = []
    for number in range(count):
        part = copy(whole)
        part.tbody.extend(rows[number * size : (number + 1) * size])
        place = f" ({number + 1} of {count})" if count > 1 else ""
        slides.append(Slide("table", title + place, outside(part)))
    return slides


def is_equation(element):
    """Say whether an element is a numbered equation."""
    return element is not None and element.css.match("div.math[id]")


def equation_slide(equation):
    """Make a slide of numbered equations in a row, with the sentences around them."""
    row = [equation]
    while is_equation(row[-1].find_next_sibling()):
        row.append(row[-1].find_next_sibling())
    _, before = split_paragraph(equation.find_previous_sibling())
    ending, _ = split_paragraph(row[-1].find_next_sibling())
    parts = [paragraph(before), *map(outside, row), paragraph(ending)]
    return Slide("equation", section_title(equation), Markup().join(parts))


def split_paragraph(element):
    """Split a paragraph into what ends the sentence of the equation above it, and the rest."""
    if element is None or element.name != "p":
        return [], []
    above = element.find_previous_sibling()
    small = element.get_text()[0].islower()
    ends = small and above is not None and above.css.match("div.math")
    return sentences(element)[:ends], sentences(element)[ends:]


def check_slide(check):
    """Make a slide of a check; the next step marks the right answer and says why."""
    question, answers = check.find("p"), check.select("details.answer")
    is_right = [answer.p.strong.get_text() == VERDICTS[True] for answer in answers]
    marks = [STEP.format("right custom") if right else "" for right in is_right]
    choices = [
        Markup("<li{}>{}</li>").format(mark, inside(answer.summary))
        for mark, answer in zip(marks, answers, strict=True)
    ]
    reasons = [inside(answer.p) for answer in answers]
    because = Markup("<p{}>{}</p>").format(STEP.format("because"), reasons[is_right.index(True)])
    notes = [Markup("<p>{}. {}</p>").format(*each) for each in zip(LETTERS, reasons, strict=False)]
    body = Markup("<p>{}</p><ol>{}</ol>").format(inside(question), Markup().join(choices)) + because
    return Slide("check", Markup("Which answer?"), body, Markup().join(notes))


def exercise_slide(exercise):
    """Make a slide of an exercise; a hint, if there is one, is the next step."""
    hints = [inside(each) for each in exercise.select(".sd-summary-content")]
    body = clean(exercise)
    title = body.select_one(".admonition-title").extract()
    hint = Markup().join(
        Markup('<div class="hint fragment"><strong>Hint.</strong> {}</div>').format(each)
        for each in hints
    )
    return Slide("exercise", inside(title), inside(body) + hint)


# Text


def section_title(element):
    """Return the title of the section that an element is in."""
    title = clean(element.find_parent("section").find(["h1", "h2", "h3"]))
    for number in title.select(".section-number"):
        number.decompose()
    return inside(title)


def headline(text):
    """Shorten a caption to the first sentence that says what is seen."""
    words, marks = mask(text)
    bracket = re.compile(r"\s*\([^()]*\)")
    while bracket.search(words):
        words = bracket.sub("", words)
    clauses = re.split(f"{SENTENCE}|; ", words)
    first = next(each for each in clauses if not each.startswith("Move ")).rstrip(".")
    if len(first) > LONG:
        first = first.split(": ")[0]
    return unmask(first, marks)


def sentences(text):
    """List the sentences of a paragraph."""
    words, marks = mask(text)
    return [unmask(each, marks) for each in re.split(SENTENCE, words)]


def paragraph(parts):
    """Join sentences to a paragraph, or none of them to nothing."""
    return Markup("<p>{}</p>").format(Markup(" ").join(parts)) if parts else Markup()


def mask(text):
    """Write a line with one sign for each formula and link, and list what these stand for."""
    marks, words = [], ""
    for node in clean(text).contents:
        if isinstance(node, NavigableString):
            words += node
        else:
            words += chr(0xE000 + len(marks))
            marks.append(Markup(node))
    return " ".join(words.split()), marks


def unmask(words, marks):
    """Put back what signs stand for."""
    return Markup(re.sub("[\ue000-\uf8ff]", lambda m: marks[ord(m[0]) - 0xE000], escape(words)))


def clean(element):
    """Copy an element without links, names and what only a page needs."""
    copied = copy(element)
    for each in copied.select(".headerlink, .sd-dropdown, noscript"):
        each.decompose()
    for link in copied.find_all("a"):
        link.unwrap()
    for each in [copied, *copied.find_all(True)]:
        each.attrs.pop("id", None)
        # To reveal.js, a section is a slide.
        each.name = "div" if each.name == "section" else each.name
    return copied


def inside(element):
    """Write what an element holds."""
    return Markup(clean(element).decode_contents().strip())


def outside(element):
    """Write an element."""
    return Markup(clean(element))
