"""The built book as a reader meets it: wide and narrow, light and dark, with a keyboard."""

import json
import re
from urllib.parse import quote, unquote, urlparse

import pytest
from built import CORE, NOTEBOOKS, PAGES, REPOSITORY, ROOT, SITE, VISITS

# The theme logs these two on every page; neither does harm.
KNOWN_COMPLAINTS = (
    "Identifier 'THEBE_JS_URL' has already been declared",
    "Got invalid theme mode",
)
PAGE_BYTES = 2_000_000
CORE_BYTES = 1_000_000
SCREEN = 768
PAGE_SECONDS = 90

each_page = pytest.mark.parametrize("name", PAGES)
each_core_page = pytest.mark.parametrize("name", CORE)
each_notebook = pytest.mark.parametrize("name", NOTEBOOKS)
each_visit = pytest.mark.parametrize(("name", "width", "scheme"), VISITS)


def html(name):
    return (SITE / f"{name}.html").read_text(encoding="utf-8")


def article(name):
    """The part of the page that the book's authors wrote."""
    text = html(name)
    return text[text.index("<article") : text.index("</article>")]


# In every view


@each_visit
def test_the_browser_has_nothing_to_complain_about(visits, name, width, scheme):
    complaints = visits(name, width, scheme).complaints
    assert [c for c in complaints if not any(known in c for known in KNOWN_COMPLAINTS)] == []


@each_visit
def test_the_page_asks_nothing_of_another_server(visits, address, name, width, scheme):
    requests = visits(name, width, scheme).requests
    assert [url for url in requests if not url.startswith((address, "data:", "blob:"))] == []


@each_visit
def test_every_picture_is_there_and_described(visits, name, width, scheme):
    pictures = visits(name, width, scheme).tab.evaluate(
        """async () => {
            const found = [...document.querySelectorAll('article img')];
            for (const img of found) { img.loading = 'eager'; await img.decode().catch(() => 0) }
            return found.map(img => [img.src.slice(0, 80), img.naturalWidth, img.alt])
        }"""
    )
    assert [p for p in pictures if not (p[1] > 0 and p[2].strip())] == []


@each_visit
def test_every_formula_is_typeset(visits, name, width, scheme):
    typeset, faults, raw = visits(name, width, scheme).tab.evaluate(
        r"""() => {
            const text = [...document.querySelectorAll('article .math, article figcaption')];
            return [
                document.querySelectorAll('article .math mjx-container').length,
                [...document.querySelectorAll('article [data-mjx-error]')].map(e => e.outerHTML),
                text.map(e => e.innerText).filter(t => /\\[(\[]|\\[)\]]/.test(t)),
            ]
        }"""
    )
    written = len(re.findall(r'class="(?:[^"]* )?math notranslate', article(name)))
    assert (typeset, faults, raw) == (written, [], [])


@each_visit
def test_the_page_is_no_wider_than_the_screen(visits, name, width, scheme):
    total, wide = visits(name, width, scheme).tab.evaluate(
        """width => {
            const scrolls = e => e && (getComputedStyle(e).overflowX !== 'visible'
                                       || scrolls(e.parentElement));
            const wide = [...document.querySelectorAll('article *')].filter(
                e => e.getBoundingClientRect().right > width + 1 && !scrolls(e.parentElement));
            return [document.documentElement.scrollWidth,
                    wide.slice(0, 5).map(e => e.outerHTML.slice(0, 160))];
        }""",
        width,
    )
    assert total <= width, wide


@each_visit
def test_hints_and_solutions_are_folded(visits, name, width, scheme):
    folded, total, opened = visits(name, width, scheme).tab.evaluate(
        """() => [
            document.querySelectorAll('article .admonition.dropdown.toggle-hidden').length,
            document.querySelectorAll('article .admonition.dropdown').length,
            document.querySelectorAll('article details.sd-dropdown[open]').length,
        ]"""
    )
    assert (folded, opened) == (total, 0)
    solutions = re.findall(r'<div class="solution([^"]*)"', article(name))
    assert all("dropdown" in classes for classes in solutions)


@each_notebook
def test_every_slider_moves_with_the_keyboard(visits, name):
    tab = visits(name).tab
    for slider in tab.locator(".freqsense-slider input[type=range]").all():
        box = slider.locator("xpath=ancestor::*[contains(@class, 'freqsense-slider')]")
        image = box.locator("img")
        before = image.get_attribute("src"), slider.get_attribute("aria-valuetext")
        slider.focus()
        at_end = slider.input_value() == slider.get_attribute("max")
        tab.keyboard.press("ArrowLeft" if at_end else "ArrowRight")
        after = image.get_attribute("src"), slider.get_attribute("aria-valuetext")
        assert before[0] != after[0], "the picture stays"
        assert before[1] != after[1], "a screen reader is told nothing"
        assert image.evaluate("async img => { await img.decode(); return img.naturalWidth }") > 0


# Once a page


@each_page
def test_every_picture_is_part_of_a_numbered_figure(visits, name):
    unnumbered = visits(name).tab.evaluate(
        r"""() => [...document.querySelectorAll('article img')].filter(img => {
            const number = img.closest('figure')?.querySelector('figcaption .caption-number');
            return !/Figure \d+/.test(number?.textContent ?? '')
        }).map(img => img.alt || img.src.slice(0, 80))"""
    )
    assert unnumbered == []


@each_page
def test_every_number_from_the_code_is_in_the_sentence(name):
    assert "pasted-text" not in re.sub(r'<span class="pasted-text">[^<]+</span>', "", article(name))


@each_notebook
def test_the_card_says_how_long_the_page_takes(name):
    card = re.search(
        r'<p class="page-times">(?:Core|About) \d+ minutes?.*?\.'
        r" The code ran in (?:under )?(\d+) s when this page was built\.</p>",
        article(name),
    )
    assert card
    assert int(card.group(1)) <= PAGE_SECONDS


@each_notebook
def test_the_launch_buttons_open_this_page_as_a_notebook(name):
    path = urlparse(REPOSITORY["url"]).path.strip("/")
    branch = REPOSITORY["branch"]
    links = set(re.findall(r'href="([^"]+)"', html(name)))
    assert f"https://mybinder.org/v2/gh/{path}/{branch}?urlpath=lab/tree/{name}.ipynb" in links, (
        "Binder"
    )
    assert f"https://colab.research.google.com/github/{path}/blob/{branch}/{name}.ipynb" in links
    assert (ROOT / f"{name}.ipynb").exists(), "run `make notebooks`"
    download = [link for link in links if "_sources/" in link and link.endswith(".ipynb")]
    assert len(download) == 1
    assert ((SITE / name).parent / unquote(download[0])).resolve().exists()


@each_page
def test_the_page_is_small_enough_for_a_slow_connection(name):
    pictures = set(re.findall(r'<img[^>]* src="([^":]+)"', article(name)))
    files = [((SITE / name).parent / picture).resolve() for picture in pictures]
    total = len(html(name).encode()) + sum(file.stat().st_size for file in files)
    assert total <= PAGE_BYTES, f"{total / 1e6:.1f} MB"


# Core pages


@each_core_page
def test_the_first_figure_is_on_the_first_or_second_screen(visits, name):
    top = visits(name).tab.evaluate(
        "() => document.querySelector('article figure').getBoundingClientRect().top + scrollY"
    )
    assert top < 2 * SCREEN, f"it starts {top / SCREEN:.1f} screens down"


@each_core_page
def test_the_text_of_a_core_page_comes_quickly(name):
    assert len(html(name).encode()) <= CORE_BYTES


@each_core_page
def test_one_key_or_click_answers_a_check(visits, name):
    tab = visits(name).tab
    for check in tab.locator(".check").all():
        answers = check.locator("details.answer")
        answers.nth(0).locator("summary").focus()
        tab.keyboard.press("Enter")
        answers.nth(1).locator("summary").click()
        assert answers.evaluate_all("all => all.map(each => each.open)")[:2] == [False, True]
        words = answers.locator("p").evaluate_all("all => all.map(each => each.textContent)")
        assert sum(text.startswith("Right.") for text in words) == 1
        answers.evaluate_all("all => all.forEach(each => each.open = false)")


# The book


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("book/start/dft.html", "book/images/dft.html"),
        ("book/start/notation.html#tab-notation", "book/reference/notation.html#tab-notation"),
    ],
)
def test_an_old_address_leads_to_the_new_one(browser, address, old, new):
    tab = browser.new_page()
    tab.goto(f"{address}{old}", wait_until="load")
    tab.wait_for_url(f"{address}{new}")
    tab.close()


def test_a_link_to_something_that_moved_leads_to_where_it_is(browser, address):
    moved = [(name, found) for name in CORE if (found := moved_anchors(name))]
    assert len(moved) > 10
    for name, anchors in moved:
        anchor, target = next(iter(anchors.items()))
        tab = browser.new_page()
        tab.goto(f"{address}{name}.html#{anchor}", wait_until="domcontentloaded")
        tab.wait_for_url(re.compile(re.escape(target.removeprefix("../")) + "$"))
        assert tab.locator(f"[id='{anchor}']").count() == 1
        tab.close()


def moved_anchors(name):
    found = re.search(r'id="moved">([^<]*)<', html(name))
    return json.loads(found[1]) if found else {}


def test_no_link_inside_the_book_is_dead():
    dead = set()
    for name in PAGES:
        for link in re.findall(r'href="([^"#]+)(?:#[^"]*)?"', html(name)):
            if not urlparse(link).scheme and not link.startswith("//"):
                target = (SITE / name).parent / unquote(link.split("?")[0])
                if not target.resolve().exists():
                    dead.add((name, link))
    assert dead == set()


def test_the_pages_of_the_library_link_to_the_equations_that_they_name():
    pages = [article(name) for name in PAGES if "/modules/" in name]
    assert not any(re.search(r">(?:def|thm|prop|eq|fig|tab)-[a-z-]+<", page) for page in pages)
    assert sum(len(re.findall(r'href="[^"]+#(?:equation-|def-|thm-)', page)) for page in pages) > 50


def test_the_library_by_task_links_to_what_it_names():
    page = article("book/reference/library")
    assert len(set(re.findall(r'href="modules/[^"]+#(freqsense\.[^"]+)"', page))) > 100


def test_every_notebook_runs_alone_within_its_budget():
    rows = re.findall(r"<tr.*?</tr>", article("book/reference/status"), re.S)
    cells = [
        [re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<p>(.*?)</p>", row)] for row in rows
    ]
    measured = [row for row in cells[1:] if row[-1]]
    assert len(measured) >= len(set(NOTEBOOKS) & set(CORE))
    assert [row for row in measured if int(row[-2]) > PAGE_SECONDS or int(row[-1]) > 1500] == []


def test_the_book_has_its_sliders():
    sliders = sum(article(name).count('type="range"') for name in PAGES)
    assert sliders >= 2


def test_the_first_address_leads_to_the_landing_page(browser, address):
    tab = browser.new_page()
    tab.goto(address, wait_until="load")
    tab.wait_for_url(f"{address}{PAGES[0]}.html")
    tab.close()


@pytest.mark.parametrize(
    ("query", "written"),
    [
        ("λ", r"\\lambda|λ"),
        ("lambda", r"lambda|λ"),
        ("Α", r"\\alpha|α"),  # the capital
        ("|ω|", r"\\omega|ω"),
        ("omega", r"omega|ω"),
        ("epsilon", r"epsilon|ε"),
    ],
)
def test_the_search_finds_greek_letters_by_sign_and_by_name(browser, address, query, written):
    tab = browser.new_page()
    tab.goto(f"{address}search.html?q={quote(query)}", wait_until="load")
    tab.wait_for_selector("#search-results li a")
    links = tab.locator("#search-results li > a").all()
    names = {urlparse(link.get_attribute("href")).path.removesuffix(".html") for link in links}
    assert names & set(PAGES)
    assert [name for name in names & set(PAGES) if not re.search(written, html(name))] == []
    tab.close()


def test_the_search_finds_a_word_of_the_book(browser, address):
    tab = browser.new_page()
    tab.goto(f"{address}search.html?q=spectrum", wait_until="load")
    tab.wait_for_selector("#search-results li a")
    tab.close()
