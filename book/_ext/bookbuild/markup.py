"""What others write into our pages, and a keyboard or a screen reader stumbles over, put right."""

from pathlib import Path

# The same parts as the theme's of these names, with a name that speaks what they show.
TEMPLATES = Path(__file__).parent / "templates"

BODY_REPAIRS = {
    # MyST-NB's label hides from speech what the summary shows: "Show code cell source".
    '<summary aria-label="Toggle hidden content">': "<summary>",
    # Docutils makes a list of the bibliography; the items of a list need the role of one.
    'role="doc-biblioentry"': 'role="listitem"',
}


def use_templates(app, config):
    """Let Sphinx look for templates here before it looks in the theme."""
    config.templates_path.insert(0, str(TEMPLATES))


def repair_page(app, pagename, templatename, context, doctree):
    """Repair the text of a page and the table of contents beside it."""
    if "body" in context:
        context["body"] = repair_body(context["body"])
    if "generate_toctree_html" in context:
        generate = context["generate_toctree_html"]
        context["generate_toctree_html"] = lambda *args, **kwargs: name_arrows(
            generate(*args, **kwargs)
        )


def repair_body(html):
    """Replace what is at fault; a page that shows such code has it with ``&quot;`` or ``&lt;``.

    >>> repair_body('<summary aria-label="Toggle hidden content"><p>Show</p></summary>')
    '<summary><p>Show</p></summary>'
    """
    for fault, repaired in BODY_REPAIRS.items():
        html = html.replace(fault, repaired)
    return html


def name_arrows(toctree):
    """Name each arrow that unfolds pages after the page that they stand under.

    >>> from bs4 import BeautifulSoup
    >>> toctree = BeautifulSoup("<a>Waves</a><details><summary></summary></details>", "html.parser")
    >>> name_arrows(toctree).summary["aria-label"]
    'Pages under Waves'
    """
    for arrow in toctree.select("a + details > summary"):
        page = arrow.parent.find_previous_sibling("a")
        arrow["aria-label"] = f"Pages under {page.get_text(strip=True)}"
    return toctree
