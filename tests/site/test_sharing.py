"""What a page says of itself to those who cite it, share its address, or mend it."""

import re
from html import unescape
from urllib.parse import parse_qs, urlparse

import pytest
from built import ADDRESS, PAGES, REPOSITORY, SITE

import freqsense

each_page = pytest.mark.parametrize("name", PAGES)


def html(name):
    return (SITE / f"{name}.html").read_text(encoding="utf-8")


def words(markup):
    """The text of a piece of HTML."""
    return unescape(re.sub(r"<[^>]+>", "", markup))


@each_page
def test_the_page_says_how_it_is_cited(name):
    text = html(name)
    block = words(text[text.index('<details class="cite-page">') :].split("</details>")[0])
    assert block.count(f"{ADDRESS}{name}.html") == 2
    assert block.count(f"ersion {freqsense.__version__}") == 2
    assert re.search(r"^@(?:book|incollection)\{freqsense", block, re.M)
    assert "https://arxiv.org/abs/2210.01257" in block


@each_page
def test_the_head_of_the_page_says_what_it_is_about(name):
    head, body = html(name).split("</head>")
    tags = dict(re.findall(r'<meta (?:property|name)="([^"]+)" content="([^"]*)"', head))
    assert tags["og:title"]
    assert tags["og:url"] == f"{ADDRESS}{name}.html"
    assert f'<link rel="canonical" href="{tags["og:url"]}"' in head
    assert (SITE / tags["og:image"].removeprefix(ADDRESS)).exists()
    assert tags["description"] == tags["og:description"]
    description = unescape(tags["description"]).removesuffix(" …")
    assert not re.search(r"[\\{}$]", description)
    message = re.search(r'class="message [^"]*">.*?</p>\s*<p>(.*?)</p>', body, re.S)
    if message and "math" not in message[1]:
        assert description in " ".join(words(message[1]).split())


@each_page
def test_buttons_lead_to_the_source_of_the_page_and_to_the_form_about_it(name):
    links = set(re.findall(r'href="([^"]+)"', html(name)))
    assert f"{REPOSITORY['url']}/edit/{REPOSITORY['branch']}/{name}.md" in links
    (issue,) = [unescape(link) for link in links if "/issues/new" in link]
    asked = parse_qs(urlparse(issue).query)
    assert asked == {"template": ["page.yml"], "page": [f"{ADDRESS}{name}.html"]}
    assert f"Version {freqsense.__version__}." in html(name).split("</article>")[1]


def test_the_citation_can_be_copied(browser, address):
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    tab = context.new_page()
    tab.goto(f"{address}{PAGES[1]}.html", wait_until="load")
    tab.locator(".cite-page summary").click()
    block = tab.locator(".cite-page .highlight")
    block.hover()
    block.locator("button").click()
    copied = tab.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("@incollection{") and "@article{godfrey2022frequency," in copied
    context.close()


def test_the_sitemap_names_every_page():
    found = re.findall(r"<loc>([^<]+)</loc>", (SITE / "sitemap.xml").read_text("utf-8"))
    assert sorted(found) == sorted(f"{ADDRESS}{name}.html" for name in PAGES)
