"""The list of pages for machines that search the web."""

from pathlib import Path
from xml.sax.saxutils import escape

from .metatags import address_of

SITEMAP = """\
<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
{urls}
</urlset>
"""


def write_sitemap(app, exception):
    """Write every page of the table of contents, also those that this build left as they were."""
    if exception is not None or app.builder.format != "html" or not app.config.html_baseurl:
        return
    pages = sorted(app.config.external_site_map)
    urls = [f"<url><loc>{escape(address_of(app, page))}</loc></url>" for page in pages]
    text = SITEMAP.format(urls="\n".join(urls))
    (Path(app.outdir) / "sitemap.xml").write_text(text, encoding="utf-8")
