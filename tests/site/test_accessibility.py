"""Pages that everyone can use: by keyboard, by ear, on paper, without JavaScript."""

from importlib.resources import files

import pytest
from built import PAGES

AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
# A page differs between the themes in its colours alone, and between widths in what scrolls; a
# full run takes seconds on a long page.
RULES = {
    (1280, "light"): None,
    (1280, "dark"): ["color-contrast", "link-in-text-block"],
    (360, "light"): ["scrollable-region-focusable"],
}
# What is inside a formula has the colour of the text around it, and a kind of token looks the same
# wherever it stands: laying them aside, with no change of layout, halves the time.
FIND = """async rules => {
    const formulas = [...document.querySelectorAll('mjx-container svg, mjx-assistive-mml')];
    const insides = formulas.map(formula => [...formula.childNodes]);
    formulas.forEach(formula => formula.replaceChildren());
    const seen = new Set();
    const repeated = [...document.querySelectorAll('.highlight pre span[class]')].filter(token => {
        const kind = token.parentElement.className + '/' + token.className;
        return seen.has(kind) || !seen.add(kind);
    });
    repeated.forEach(token => { token.style.visibility = 'hidden' });
    const options = {resultTypes: ['violations'], preload: false};
    if (rules) options.runOnly = rules;
    else options.rules = {region: {enabled: false}, 'label-content-name-mismatch': {enabled: true}};
    const {violations} = await axe.run(document, options);
    formulas.forEach((formula, index) => formula.replaceChildren(...insides[index]));
    repeated.forEach(token => { token.style.visibility = '' });
    return violations.filter(({impact}) => ['serious', 'critical'].includes(impact)).flatMap(
        ({id, nodes}) => nodes.map(node => `${id}: ${node.html.slice(0, 160)} at ${node.target}`));
}"""
# What Sphinx adds to the pages that the book's authors wrote.
GENERATED = ["genindex", "prf-prf", "py-modindex", "search"]
# One of each kind: code and sliders, formulas, tables and signatures.
KINDS = ["book/images/waves", "book/theorem/representation-cost", "book/reference/modules/fourier"]


def serious_faults(tab, rules=None):
    """Run axe-core, by all its rules or by some, and list what it calls serious or critical."""
    tab.evaluate(AXE)
    return tab.evaluate(FIND, rules)


@pytest.mark.parametrize(("width", "scheme"), RULES)
@pytest.mark.parametrize("name", PAGES + GENERATED)
def test_the_page_is_accessible(visits, name, width, scheme):
    tab = visits(name, width, scheme).tab
    assert tab.evaluate("document.documentElement.dataset.theme") == scheme
    faults = serious_faults(tab, RULES[width, scheme])
    assert not faults, "\n".join([f"{name}, {width} px, {scheme}:", *faults])


def test_planted_faults_are_found(browser):
    tab = browser.new_page()
    tab.set_content(
        """<html lang="en"><title>Faults</title><main><h1>Faults</h1>
        <p style="color: #999; background: #fff">faint</p>
        <button></button>
        <button aria-label="Toggle">Show the code</button>
        <div role="list"><a href="#">no item</a></div>
        <div class="highlight"><pre><span class="k" style="color: #999">for</span></pre></div>
        <div style="overflow: auto; width: 50px"><svg width="500" height="20"></svg></div></main>
        </html>"""
    )
    found = sorted(fault.split(":")[0] for fault in serious_faults(tab))
    tab.close()
    assert found == [
        "aria-required-children",
        "button-name",
        "color-contrast",
        "color-contrast",
        "label-content-name-mismatch",
        "scrollable-region-focusable",
    ]


@pytest.mark.parametrize("name", KINDS)
def test_nothing_is_lost_without_javascript(browser, address, name):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{address}{name}.html", wait_until="load")
    blocks = tab.locator("article").locator("p, li, pre, td, dt, figure, figure img")
    hidden = blocks.evaluate_all(
        """found => found.filter(e => !e.closest('details:not([open]), .onlyprint')
            && !(e.getBoundingClientRect().height > 1 && e.checkVisibility()))
            .map(e => e.outerHTML.slice(0, 160))"""
    )
    assert blocks.count() > 20
    assert hidden == []
    context.close()


@pytest.mark.parametrize("name", KINDS)
def test_paper_shows_what_is_folded_and_no_buttons(browser, address, name):
    tab = browser.new_page(color_scheme="dark")
    tab.goto(f"{address}{name}.html", wait_until="load")
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    folded = tab.locator("article details:not([open]), article .toggle-hidden").count()
    screen_only = tab.locator("button:visible, input:visible, .bd-sidebar:visible").count()
    assert (folded, screen_only) == (0, 0)
    assert tab.evaluate("document.documentElement.dataset.theme") == "light"
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"
    tab.close()
