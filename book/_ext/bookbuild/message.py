"""``{message}``: what a page says, in one sentence, before anything else."""

from docutils import nodes
from sphinx.util.docutils import SphinxDirective


class Message(SphinxDirective):
    """``{message}``: its content, one paragraph, in a box at the top of a page."""

    has_content = True

    def run(self):
        """Return the box."""
        self.assert_has_content()
        box = nodes.admonition(classes=["message"])
        box += nodes.title("", "The message")
        self.state.nested_parse(self.content, self.content_offset, box)
        if len(box) != 2 or not isinstance(box[1], nodes.paragraph):
            raise self.error("the message of a page must be one paragraph")
        self.set_source_info(box)
        return [box]
