"""The button that reports a fault: it opens the form for pages, with the page filled in."""

from urllib.parse import urlencode

from .metatags import address_of

FORM = "page.yml"
BUTTON = "source-issues-button"


def open_form(app, pagename, templatename, context, doctree):
    """Let the theme's button open the form rather than an empty issue."""
    for button in buttons_of(context.get("header_buttons", ())):
        if button.get("label") == BUTTON and "/issues/new?" in button["url"]:
            asked = urlencode({"template": FORM, "page": address_of(app, pagename)})
            button["url"] = f"{button['url'].split('?')[0]}?{asked}"


def buttons_of(buttons):
    """Yield every button, those of groups too."""
    for button in buttons:
        yield from buttons_of(button["buttons"]) if button.get("type") == "group" else [button]
