"""Link each term of the glossary where a page first uses it, with what it means as its title."""

import re
from dataclasses import dataclass
from itertools import groupby

from docutils import nodes
from sphinx import addnodes
from sphinx.util.nodes import make_refnode

from .latex import spoken

CLASS = "term-link"
# Pages that list things; the rest of the glossary's own page is its definitions.
UNLINKED = re.compile(r".*reference/(?:modules/.*|bibliography|library|status|whats-new)")
# In another sense, these stand in sentences about anything.
ORDINARY = {"dependence", "following", "undoing", "exponent", "exponents"}
# Turns in which a word that is a term has another sense.
OTHER_SENSES = re.compile(
    r"\b(?:a|to the) power\b(?! (?:spectrum|law))|\bpowers\b|\bpower of (?:two|2)\b|\bWindows\b"
    r"|\b[Yy]our teachers?\b|\bRestart the kernel\b|\b(?:no|fresh|live|Jupyter) kernels?\b"
    r"|\bkernels? of covariances?\b|\bunder control\b"
    r"|\bmargins? (?:as|so) wide\b|\b(?:frequency|linear|its) responses?\b|\bresponses? (?:at|to)\b"
)
# What a text is part of: that a link inside would break, or that speaks of something else.
CLOSED = (
    nodes.reference, nodes.title, nodes.literal, nodes.literal_block, nodes.math, nodes.math_block,
    nodes.raw, nodes.strong, nodes.rubric, nodes.citation, nodes.footnote, nodes.footnote_reference,
    nodes.comment, addnodes.glossary, addnodes.desc,
)  # fmt: skip
CLOSED_CLASSES = {"cell_input", "cell_output", "page-card", "check", "pasted-text"}
CLOSED_TAGS = {"check"}
REFERENCE = "\ufffc"


@dataclass(frozen=True)
class Term:
    """Where a term stands in the glossary, and the first sentence there."""

    docname: str
    node_id: str
    meaning: str


def collect_terms(app, env):
    """Read the glossary before pages are written; a change of it makes links of all pages old."""
    places = {name for _, _, kind, name, _, _ in env.get_domain("std").get_objects()
              if kind == "term"}  # fmt: skip
    terms = {}
    for docname in sorted(places):
        for glossary in env.get_doctree(docname).findall(addnodes.glossary):
            for item in glossary.findall(nodes.definition_list_item):
                terms |= terms_of(item, docname)
    changed = terms != getattr(env, "glossary_terms", {})
    env.glossary_terms = terms
    return sorted(env.found_docs) if changed else []


def terms_of(item, docname):
    """Map every spelling of an entry of the glossary, in small letters, to its term."""
    meaning = first_sentence(next(item.findall(nodes.definition)))
    found = {}
    for name in item.findall(nodes.term):
        term = Term(docname, name["ids"][0], meaning)
        found |= dict.fromkeys(spellings(name.astext()), term)
    return found


def spellings(name):
    """A term as it is sought: its name, the name in brackets behind it, and both in the plural.

    >>> sorted(spellings("fast Fourier transform (FFT)"))
    ['fast fourier transform', 'fast fourier transforms', 'fft', 'ffts']
    >>> sorted(spellings("power spectrum")), sorted(spellings("frequency"))
    (['power spectra', 'power spectrum'], ['frequencies', 'frequency'])
    """
    names = re.fullmatch(r"(.*?)(?: \((.*)\))?", name.lower()).groups()
    return {each for name in names if name for each in (name, plural(name))}


def plural(name):
    """The plural of a term.

    >>> [plural(name) for name in ("wave", "circulant matrix", "patch", "local minimum", "torus")]
    ['waves', 'circulant matrices', 'patches', 'local minima', 'tori']
    """
    for ending, plural_ending in {
        "matrix": "matrices", "um": "a", "us": "i", "is": "es", "ss": "sses", "s": "s",
        "ch": "ches", "sh": "shes", "ay": "ays", "ey": "eys", "y": "ies",
    }.items():  # fmt: skip
        if name.endswith(ending):
            return name.removesuffix(ending) + plural_ending
    return f"{name}s"


def first_sentence(definition):
    """Write the first sentence of a definition as plain text, without numbers of statements."""
    paragraph = next(definition.findall(nodes.paragraph)).deepcopy()
    for place in list(paragraph.findall(addnodes.pending_xref)):
        if place["reftype"] != "term":
            place.replace_self(nodes.Text(REFERENCE))
    text = " ".join(spoken(paragraph).split())
    text = re.sub(rf" \([^()]*{REFERENCE}[^()]*\)", "", text).replace(REFERENCE, "")
    return re.split(r"(?<=[^.]\.) (?=[A-Z$])", text)[0]


def link_terms(app, doctree, docname):
    """Make a link of the first use of each term on a page."""
    terms = getattr(app.env, "glossary_terms", {})
    places = {term.docname for term in terms.values()}
    sought = {name for name in terms if name not in ORDINARY}
    if not sought or docname in places or UNLINKED.fullmatch(docname):
        return
    pattern = pattern_of(sought)
    met = met_already(app, doctree, docname, terms)
    for text in list(open_texts(doctree)):
        parts = split_text(app, docname, text, pattern, terms, met)
        text.parent.replace(text, parts)


def pattern_of(names):
    """Match any of the names as whole words, the longest first."""
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    words = (r"\s+".join(map(re.escape, name.split())) for name in longest_first)
    return re.compile(rf"(?<![\w.-])(?:{'|'.join(words)})(?![\w-]|\.\w)", re.IGNORECASE)


def met_already(app, doctree, docname, terms):
    """Find links to the glossary that an author wrote, and give them what ours have."""
    by_place = {
        app.builder.get_relative_uri(docname, term.docname) + f"#{term.node_id}": term
        for term in terms.values()
    }
    met = set()
    for reference in doctree.findall(nodes.reference):
        if term := by_place.get(reference.get("refuri")):
            if term not in met:
                reference["classes"].append(CLASS)
                reference["reftitle"] = term.meaning
            met.add(term)
    return met


def open_texts(node, within=False):
    """Yield the texts of paragraphs and captions in which a term may become a link."""
    join_texts(node)
    for child in node.children:
        if isinstance(child, nodes.Text):
            if within:
                yield child
        elif not is_closed(child):
            prose = isinstance(child, (nodes.paragraph, nodes.caption))
            yield from open_texts(child, within or prose)


def join_texts(node):
    """Make one text of neighbours: a parser begins a new one with each line."""
    joined = []
    for is_text, group in groupby(node.children, lambda child: isinstance(child, nodes.Text)):
        children = list(group)
        joined += [nodes.Text("".join(children))] if is_text else children
    node[:] = joined


def is_closed(node):
    """Tell whether no link to the glossary belongs into a node."""
    return (
        isinstance(node, CLOSED)
        or node.tagname in CLOSED_TAGS
        or not CLOSED_CLASSES.isdisjoint(node.get("classes", ()))
    )


def split_text(app, docname, text, pattern, terms, met):
    """Cut a text at the terms that are met for the first time, and link those."""
    parts, position, source = [], 0, text.astext()
    others = [other.span() for other in OTHER_SENSES.finditer(source)]
    for match in pattern.finditer(source):
        if any(start <= match.start() < end for start, end in others):
            continue
        term = terms[" ".join(match[0].lower().split())]
        if term in met or term in defined_beside(text, terms):
            continue
        met.add(term)
        link = make_refnode(
            app.builder, docname, term.docname, term.node_id, nodes.inline("", match[0]),
            term.meaning,
        )  # fmt: skip
        link["classes"].append(CLASS)
        parts += [nodes.Text(source[position : match.start()]), link]
        position = match.end()
    return [part for part in [*parts, nodes.Text(source[position:])] if part.astext()]


def defined_beside(text, terms):
    """Find the terms in bold in the paragraph of a text: it defines them."""
    paragraph = text.parent
    while not isinstance(paragraph, (nodes.paragraph, nodes.caption)):
        paragraph = paragraph.parent
    bold = (" ".join(each.astext().lower().split()) for each in paragraph.findall(nodes.strong))
    return {terms[name] for name in bold if name in terms}
