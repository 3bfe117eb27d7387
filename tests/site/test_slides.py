"""Slides of the built book, opened as files: complete, legible, and with nothing from elsewhere."""

import io
import re
from dataclasses import dataclass, field

import pytest
import slides
from axe import COLOURS_ONLY, THE_REST, serious_faults
from built import ADDRESS, CORE, ROOT, SITE
from pypdf import PdfReader

FIRST = CORE[0]
VIEW = {"width": 1280, "height": 720}
READY = "window.Reveal && Reveal.isReady()"
# Every slide with all of its steps, as far as it does not fit; a pixel may be lost in rounding.
OVERFLOWS = """() => Reveal.getSlides().flatMap((section, number) => {
    Reveal.slide(number, 0, 99);
    const slide = section.querySelector(".slide"), body = slide.querySelector(".body");
    const over = (box) => box.scrollHeight > box.clientHeight + 1
        || box.scrollWidth > box.clientWidth + 1;
    const {width, height} = slide.getBoundingClientRect();
    return over(slide) || over(body) || width !== 1280 || height !== 720
        ? [`${number + 1}: ${slide.querySelector("h1, h2").textContent}`] : [];
})"""
# The height of what is painted: a picture keeps its shape within its box.
PICTURES = """() => Reveal.getSlides().flatMap((section, number) => {
    if (section.dataset.kind !== "figure") return [];
    Reveal.slide(number);
    const found = [...section.querySelectorAll(".body :is(img, svg[role=img])")];
    return [found.map((each) => {
        const box = each.getBoundingClientRect();
        const size = each.naturalWidth === undefined ? each.viewBox.baseVal
            : {width: each.naturalWidth, height: each.naturalHeight};
        const scale = Math.min(box.width / size.width, box.height / size.height);
        return {words: each.alt ?? each.getAttribute("aria-label"),
                width: size.width * scale, height: size.height * scale};
    })];
})"""
SEEN = "each => getComputedStyle(each).visibility === 'visible'"


@dataclass
class Opened:
    """A deck that is open, and what happened while it was opened and used."""

    tab: object
    complaints: list = field(default_factory=list)
    requests: list = field(default_factory=list)


def open_deck(browser, path):
    opened = Opened(browser.new_page(viewport=VIEW))
    opened.tab.set_default_timeout(30_000)
    opened.tab.on("console", lambda m: opened.complaints.append(m.text))
    opened.tab.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.tab.on("requestfailed", lambda request: opened.complaints.append(request.url))
    opened.tab.on("request", lambda request: opened.requests.append(request.url))
    opened.tab.goto(path.as_uri())
    opened.tab.wait_for_function(READY)
    return opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    into = tmp_path_factory.mktemp("slides")
    slides.write_decks(ROOT, SITE, into)
    return into


@pytest.fixture(scope="module")
def decks(browser, folder):
    """Open a deck in place of the one before, or give back the one that is open."""
    opened = {}

    def deck(name):
        if name not in opened:
            for _, left in [opened.popitem() for _ in tuple(opened)]:
                left.tab.close()
            opened[name] = open_deck(browser, folder / file_of(name))
        return opened[name]

    return deck


def file_of(name):
    return name.removeprefix("book/").replace("/", "-") + ".html"


def count(tab, kind):
    return tab.locator(f".slides > [data-kind={kind}]").count()


def test_every_core_page_has_a_deck_and_the_list_leads_to_it(folder):
    listed = re.findall(r'<a href="([^"]+)"', (folder / "index.html").read_text("utf-8"))
    assert listed == [file_of(name) for name in CORE]
    assert {path.name for path in folder.glob("*.html")} == {"index.html", *listed}


@pytest.mark.parametrize("name", CORE)
def test_a_deck_has_what_its_page_has(decks, name):
    tab = decks(name).tab
    html = (SITE / f"{name}.html").read_text("utf-8")
    article = html[html.index("<article") :]
    # What is folded on the page is for those who want it.
    unfolded = re.sub("<details.*?</details>", "", article, flags=re.S)
    assert count(tab, "figure") == len(re.findall("<figcaption", unfolded)) > 0
    assert count(tab, "check") == len(re.findall('<div class="check"', article)) > 0
    assert count(tab, "exercise") == len(re.findall('<div class="exercise ', article)) > 0
    stated = re.findall(r'<div class="proof \w+ admonition" id="', unfolded)
    assert count(tab, "statement") == len(stated)
    assert count(tab, "message") == count(tab, "objectives") == count(tab, "summary") == 1
    assert tab.locator("[data-kind=source] a").get_attribute("href") == f"{ADDRESS}{name}.html"


@pytest.mark.parametrize("name", CORE)
def test_no_slide_overflows(decks, name):
    assert decks(name).tab.evaluate(OVERFLOWS) == []


@pytest.mark.parametrize("name", CORE)
def test_figures_are_seen_large_and_said_in_words(decks, name):
    figures = decks(name).tab.evaluate(PICTURES)
    assert figures
    for pictures in figures:
        assert all(picture["words"].strip() for picture in pictures)
        area = sum(picture["width"] * picture["height"] for picture in pictures)
        assert area > 1280 * 720 / 4


@pytest.mark.parametrize("name", CORE)
def test_formulas_are_set(decks, name):
    tab = decks(name).tab
    formulas = tab.locator(".slides .math").count()
    assert tab.locator(".slides .math mjx-container svg").count() >= formulas
    assert tab.locator("mjx-merror, [data-mml-node=merror]").count() == 0
    assert not re.search(r"\\[(\[]", tab.locator(".slides").inner_text())


@pytest.mark.parametrize("name", CORE)
def test_the_answer_is_hidden_until_a_step_forward(decks, name):
    tab = decks(name).tab
    kinds = tab.evaluate("Reveal.getSlides().map(each => each.dataset.kind)")
    for number in [place for place, kind in enumerate(kinds) if kind == "check"]:
        tab.evaluate("number => Reveal.slide(number, 0, -1)", number)
        because = tab.locator("section.present .because")
        right = tab.locator("section.present li.right")
        ink = right.evaluate("each => getComputedStyle(each).color")
        assert not because.evaluate(SEEN)
        assert ink == tab.locator("section.present li:not(.right)").first.evaluate(
            "each => getComputedStyle(each).color"
        )
        tab.keyboard.press("ArrowRight")
        assert because.evaluate(SEEN)
        assert right.evaluate("each => getComputedStyle(each, '::after').content") == '" ✓"'


@pytest.mark.parametrize("name", CORE)
def test_nothing_is_asked_for_beyond_the_folder(decks, folder, name):
    opened = decks(name)
    outside = [each for each in opened.requests if not each.startswith(("data:", folder.as_uri()))]
    assert len(opened.requests) > 10 and outside == []
    assert opened.complaints == []


@pytest.mark.parametrize("name", CORE)
def test_a_deck_is_accessible(decks, name):
    tab = decks(name).tab
    # Colours are judged where they are seen: a check with its answer.
    tab.evaluate(
        "Reveal.slide(Reveal.getSlides().findIndex(s => s.dataset.kind === 'check'), 0, 99)"
    )
    assert serious_faults(tab, [THE_REST, COLOURS_ONLY]) == []


def test_a_slider_moves_its_picture_and_lets_the_arrow_keys_go(decks):
    tab = decks(FIRST).tab
    tab.evaluate("Reveal.slide(Reveal.getSlides().findIndex(s => s.querySelector('[type=range]')))")
    slider = tab.locator("section.present [type=range]")
    before = tab.locator("section.present img").get_attribute("alt")
    number = tab.evaluate("Reveal.getIndices().h")
    box = slider.bounding_box()
    tab.mouse.click(box["x"] + box["width"] - 5, box["y"] + box["height"] / 2)
    assert tab.locator("section.present img").get_attribute("alt") != before
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("Reveal.getIndices().h") == number + 1


def test_a_deck_prints_a_sheet_for_each_step(browser, folder):
    tab = browser.new_page(viewport=VIEW)
    tab.goto(f"{(folder / file_of(FIRST)).as_uri()}?print-pdf")
    tab.wait_for_function(READY)
    tab.wait_for_selector(".pdf-page")
    steps = tab.locator(".pdf-page").count()
    printed = PdfReader(io.BytesIO(tab.pdf(prefer_css_page_size=True, print_background=True)))
    tab.close()
    assert len(printed.pages) == steps
    assert {(int(p.mediabox.width), int(p.mediabox.height)) for p in printed.pages} == {(960, 540)}
    texts = [page.extract_text() for page in printed.pages]
    assert all(text.strip() for text in texts)
    assert sum("Right." in text for text in texts) == sum("Which answer?" in t for t in texts) / 2
