"""Pages that everyone can use: by keyboard, by ear, on paper, without JavaScript."""

import pytest
from axe import COLOURS_ONLY, SCROLLING_ONLY, THE_REST, serious_faults
from built import NARROW_DARK, PAGES, WIDE_LIGHT

RUNS = {
    WIDE_LIGHT: [THE_REST, COLOURS_ONLY],
    NARROW_DARK: [COLOURS_ONLY, SCROLLING_ONLY],
}
# What Sphinx adds to the pages that the book's authors wrote.
GENERATED = ["genindex", "prf-prf", "py-modindex", "search"]
# One of each kind: code and sliders, formulas, tables and signatures.
KINDS = ["book/images/waves", "book/theorem/representation-cost", "book/reference/modules/fourier"]


@pytest.mark.parametrize(("width", "scheme"), RUNS)
@pytest.mark.parametrize("name", PAGES + GENERATED)
def test_the_page_is_accessible(visits, name, width, scheme):
    tab = visits(name, width, scheme).tab
    assert tab.evaluate("document.documentElement.dataset.theme") == scheme
    faults = serious_faults(tab, RUNS[width, scheme])
    assert not faults, "\n".join([f"{name}, {width} px, {scheme}:", *faults])


def test_planted_faults_are_found(browser):
    tab = browser.new_page()
    tab.set_content(
        """<html lang="en"><title>Faults</title><main><h1>Faults</h1>
        <p style="color: #999; background: #fff">faint</p>
        <button></button>
        <button aria-label="Toggle">Show the code</button>
        <div role="list"><a href="#">no item</a></div>
        <pre><span class="k">for</span> <span class="k">in</span></pre>
        <pre><span style="color: #999">faint</span></pre>
        <div style="overflow: auto; width: 50px"><svg width="500" height="20"></svg></div></main>
        </html>"""
    )
    found = sorted(fault.split(":")[0] for fault in serious_faults(tab, RUNS[WIDE_LIGHT]))
    assert tab.locator("[style*=visibility]").count() == 0
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
