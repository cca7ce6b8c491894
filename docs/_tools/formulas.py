r"""Formulas as MathML, made when the site is built: browsers draw it, no script is needed.

Formulas stand in pages as $...$ and $$...$$. A formula that cannot be read ends the build. The
font, STIX Two Math, goes along with just the characters that the pages use.
"""

import html
import re
from importlib.metadata import files as files_of
from pathlib import Path
from unicodedata import normalize
from xml.etree import ElementTree

from fontTools import subset
from math_core import LatexError, LatexToMathML
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

_FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">'
    r"(?:\\\((?P<inline>.*?)\\\)|\\\[(?P<block>.*?)\\\])</(?P=tag)>(?P<after>[,.;:!?)]*)",
    re.DOTALL,
)
_RELATIONS = set("=<>≤≥≈≠→←∈\u223c")
_PRIMES = ("\u2032", "\u2033", "\u2034")
_ENTITY = re.compile(r"&(?!lt;|gt;|amp;)\w+;")  # one that XML does not know
_converter = LatexToMathML(fancy_error=False, annotation=False)
_used = {"√"}  # drawn around what is inside it, and so in no text


def on_page_content(content: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace the formulas of a page."""

    def mathml(found: re.Match[str]) -> str:
        block = found["block"] is not None
        tex = " ".join(html.unescape(found["block"] if block else found["inline"]).split())
        try:
            made = _converter.convert_with_local_state(tex, displaystyle=block)
        except LatexError as error:
            raise PluginError(f"{page.file.src_uri}: the formula {tex!r}: {error}") from error
        _used.update(html.unescape(re.sub("<[^>]*>", "", made)))
        formula = ElementTree.fromstring(_ENTITY.sub(lambda named: html.unescape(named[0]), made))
        for element in list(formula.iter()):
            _set_prime(element)
        if block:
            return f'<div class="formula">{_markup(formula)}</div>{found["after"]}'
        *first, last = map(_markup, _broken(formula))
        return "<wbr>".join([*first, f'<span class="formula">{last}{found["after"]}</span>'])

    return _FORMULA.sub(mathml, content)


def _markup(formula: ElementTree.Element) -> str:
    return ElementTree.tostring(formula, "unicode")


def _set_prime(element: ElementTree.Element) -> None:
    """A prime is drawn high already: as a superscript it would be small and far off."""
    if element.tag in ("msup", "msubsup") and element[-1].text in _PRIMES:
        base, prime = element[0], element[-1]
        prime.attrib.update(lspace="0", rspace="0")
        primed = ElementTree.Element("mrow")
        primed.extend([base, prime])
        element.remove(prime)
        element[0] = primed
        element.tag = "mrow" if element.tag == "msup" else "msub"


def _broken(formula: ElementTree.Element) -> list[ElementTree.Element]:
    """A formula in a line as several, so that the line can break after a relation."""
    parts = [ElementTree.Element("math")]
    for element in formula:
        parts[-1].append(element)
        if element.tag == "mo" and element.text in _RELATIONS:
            parts.append(ElementTree.Element("math"))
    return [part for part in parts if len(part)]


def on_post_build(*, config: MkDocsConfig) -> None:
    """Write the font beside the pages."""
    options = subset.Options(
        flavor="woff",
        layout_features=["*"],
        name_IDs=["*"],  # who made it, and its licence, stay in the file
        notdef_outline=True,
    )
    font = subset.load_font(_font(), options)
    subsetter = subset.Subsetter(options)
    # browsers set single letters in italics, which are characters of their own
    codes = (0x210E, *range(0x1D434, 0x1D468), *range(0x1D6E2, 0x1D71C))
    italic = {chr(code) for code in codes if normalize("NFKC", chr(code)) in _used}
    subsetter.populate(text="".join(sorted(_used | italic)))
    subsetter.subset(font)
    subset.save_font(font, Path(config.site_dir, "assets", "STIXTwoMath.woff"), options)


def _font() -> Path:
    """The whole font, which the distribution of ziamath holds."""
    return next(
        Path(str(path.locate()))
        for path in files_of("ziamath") or ()
        if path.name == "STIXTwoMath-Regular.ttf"
    )
