"""Serve the built book on this machine and open its pages in Chromium, each view once."""

from dataclasses import dataclass, field

import pytest
from built import SITE
from chromium import serve, start_chromium
from playwright.sync_api import sync_playwright


@dataclass
class Visit:
    """An open page and what happened while it loaded."""

    name: str
    width: int
    tab: object
    complaints: list = field(default_factory=list)
    requests: list = field(default_factory=list)


@pytest.fixture(scope="session")
def address():
    """Where the built book is served, on the loopback interface only."""
    if not (SITE / "index.html").exists():
        pytest.fail("the book is not built: run `make book` first", pytrace=False)
    with serve(SITE) as found:
        yield found


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright, start_chromium(playwright) as started:
        yield started


@pytest.fixture(scope="session")
def visits(browser, address):
    """Open a page in a view, in place of the one before, or give back the tab that is open."""
    opened = {}

    def visit(name, width=1280, scheme="light"):
        key = (name, width, scheme)
        if key not in opened:
            for _, left in [opened.popitem() for _ in tuple(opened)]:
                left.tab.close()
            opened[key] = open_page(browser, address, *key)
        return opened[key]

    return visit


def pytest_collection_modifyitems(items):
    """Test one view after another: a tab takes a tenth of a gigabyte, and there are hundreds."""
    items.sort(key=view_of)
    for item in items:
        # Where several processes test, one of them opens all views of a page.
        item.add_marker(pytest.mark.xdist_group(view_of(item)[0] or item.name))


def view_of(item):
    told = item.callspec.params if hasattr(item, "callspec") else {}
    return told.get("name", ""), told.get("width", 1280), told.get("scheme", "light")


def open_page(browser, address, name, width, scheme):
    tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    tab.set_default_timeout(30_000)
    visit = Visit(name, width, tab)
    tab.on("console", lambda m: m.type == "error" and visit.complaints.append(m.text))
    tab.on("pageerror", lambda error: visit.complaints.append(str(error)))
    tab.on("request", lambda request: visit.requests.append(request.url))
    tab.on(
        "response",
        lambda response: (
            response.status >= 400 and visit.complaints.append(f"{response.status} {response.url}")
        ),
    )
    tab.goto(f"{address}{name}.html", wait_until="load")
    tab.evaluate("async () => { if (window.MathJax) await MathJax.startup.promise }")
    return visit
