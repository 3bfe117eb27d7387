"""What a page says of itself where somebody shares its address: title, message, picture."""

import re
from html import escape

from docutils import nodes

from .latex import spoken

IMAGE = "_static/overview.png"
IMAGE_ALT = (
    "Power against frequency: grey falling curves, one a photograph, and their mean, which "
    "follows a straight line."
)
LENGTH = 300


def add_tags(app, pagename, templatename, context, doctree):
    """Add the tags to the head of a page that an author wrote."""
    if doctree is None or not app.config.html_baseurl:
        return
    description = shorten(describe(doctree))
    tags = {
        "og:type": "article",
        "og:site_name": app.config.html_title,
        "og:title": spoken(app.env.titles[pagename]),
        "og:url": address_of(app, pagename),
        "og:image": app.config.html_baseurl + IMAGE,
        "og:image:alt": IMAGE_ALT,
        "og:description": description,
    }
    named = {"description": description, "twitter:card": "summary_large_image"}
    lines = [f'<meta property="{key}" content="{escape(text)}">' for key, text in tags.items()]
    lines += [f'<meta name="{key}" content="{escape(text)}">' for key, text in named.items()]
    context["metatags"] = context.get("metatags", "") + "\n".join(lines) + "\n"


def address_of(app, pagename):
    """The address of a page once it is published."""
    return (app.config.html_baseurl or "") + app.builder.get_target_uri(pagename)


def describe(doctree):
    """The message of a page, or its first paragraph."""
    paragraphs = list(doctree.findall(nodes.paragraph))
    for paragraph in paragraphs:
        if "message" in paragraph.parent.get("classes", ()):
            return spoken(paragraph)
    text = (each for each in paragraphs if isinstance(each.parent, nodes.section))
    return next(map(spoken, text), "")


def shorten(text, length=LENGTH):
    """Cut a text after a word.

    >>> shorten("Networks listen   where photographs are loud.", 20)
    'Networks listen …'
    """
    text = " ".join(text.split())
    if len(text) <= length:
        return text
    return re.sub(r"\s+\S*$", "", text[: length - 1]) + " …"
