"""What this book's build adds: fresh outputs, page times, links, one MathJax, no silent pass."""

import os

from . import (
    card,
    check,
    citation,
    docstrings,
    execution,
    explorer,
    freshness,
    gate,
    issue,
    level,
    limits,
    markup,
    mathjax,
    message,
    metatags,
    names,
    plan,
    record,
    redirects,
    search,
    sitemap,
    status,
    terms,
    times,
)


def setup(app):
    """Register the parts with Sphinx; kernels started by the build inherit its environment."""
    # The built page has no kernel behind it, so its sliders must work without one.
    os.environ["FREQSENSE_STATIC"] = "1"
    # Two threads that wait for each other stall when anything else runs on the machine; one is as
    # fast on arrays of this size.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    app.connect("config-inited", freshness.drop_stale_outputs)
    app.connect("config-inited", markup.use_templates)
    app.connect("config-inited", citation.add_version)
    app.connect("builder-inited", mathjax.copy_script)
    app.connect("env-before-read-docs", execution.run_changed_pages)
    app.connect("builder-inited", record.start_record)
    app.connect("doctree-read", record.note_page)
    app.connect("env-purge-doc", record.forget_page)
    app.connect("env-updated", record.name_summing_pages)
    app.connect("env-updated", limits.check_limits)
    app.connect("env-updated", redirects.check_addresses)
    app.connect("html-page-context", redirects.add_moved)
    app.connect("build-finished", redirects.write_moved_pages)
    app.add_directive("message", message.Message)
    app.add_directive("page-card", card.PageCard)
    app.connect("doctree-resolved", card.fill_times)
    app.add_directive("book-times", times.BookTimes)
    app.connect("doctree-resolved", times.fill_table)
    app.add_directive("lecture-plan", plan.LecturePlan)
    app.connect("doctree-resolved", plan.fill_table)
    app.add_directive("build-status", status.BuildStatus)
    app.connect("doctree-resolved", status.fill_table)
    app.add_directive("check", check.Check)
    check.add_nodes(app)
    app.connect("doctree-resolved", level.show_levels)
    app.add_directive("explorer", explorer.ExplorerDirective)
    app.connect("builder-inited", explorer.copy_files)
    app.connect("html-page-context", explorer.load_files)
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", docstrings.convert_docstring)
    app.connect("doctree-resolved", names.link_names)
    app.connect("env-updated", terms.collect_terms)
    app.connect("doctree-resolved", terms.link_terms)
    app.add_search_language(search.EnglishAndGreek)
    app.connect("html-page-context", metatags.add_tags)
    app.connect("html-page-context", citation.add_citation)
    app.connect("build-finished", sitemap.write_sitemap)
    # After the theme has put its functions and buttons into the context.
    app.connect("html-page-context", markup.repair_page, priority=900)
    app.connect("html-page-context", issue.open_form, priority=900)
    app.connect("build-finished", gate.require_executed_notebooks)
    app.connect("build-finished", gate.forget_environment_after_warnings)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
