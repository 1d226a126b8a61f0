"""Cells that a spreadsheet would take for formulas, and markup that is to be plain text."""

import re
from html import unescape

# Full-width forms too: spreadsheets of East Asian languages read them as the plain ones.
_FORMULA = re.compile("'*[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20]")
_GUARDED = re.compile("'+[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20]")
# "size < 5" is no tag: one begins with a letter. No ">" may be far away, so this stays linear.
_TAG = re.compile(r"<(?P<end>/?)(?P<name>[A-Za-z][A-Za-z0-9]*+|!)[^<>]*+>")
_SPACES = re.compile(r"[^\S\n]+")
_GAPS = re.compile(r"\n{3,}")
_HIDDEN = frozenset({"script", "style"})
_BLOCKS = frozenset(
    "p div ul ol table tr h1 h2 h3 h4 h5 h6 section article blockquote pre".split()  # noqa: SIM905 - a list of words reads better
)


def guard_cell(text: str) -> str:
    """Put ``'`` before what a spreadsheet would run. Apostrophes that stand before such a
    character get one more, so that ``unguard_cell`` gives every text back as it was.
    """
    return f"'{text}" if _FORMULA.match(text) else text


def unguard_cell(text: str) -> str:
    return text[1:] if _GUARDED.match(text) else text


def plain_text(markup: str) -> str:
    """What a reader of this HTML would see: no tags, paragraphs and list items on their own lines.

    In one pass, so that the time grows with the length whatever the markup is like.
    """
    parts: list[str] = []
    hidden: str | None = None
    place = 0
    for tag in _TAG.finditer(markup):
        name = tag["name"].lower()
        if hidden is None:
            parts += (markup[place : tag.start()], _break_of(name, ends=bool(tag["end"])))
            hidden = name if name in _HIDDEN and not tag["end"] else None
        elif name == hidden and tag["end"]:
            hidden = None
        place = tag.end()
    if hidden is None:
        parts.append(markup[place:])
    text = _SPACES.sub(" ", unescape("".join(parts)).replace("\r\n", "\n").replace("\r", "\n"))
    lines = "\n".join(line.strip() for line in text.split("\n"))
    return _GAPS.sub("\n\n", lines).strip()


def _break_of(name: str, *, ends: bool) -> str:
    if name == "br":
        return "\n"
    if name == "li":
        return "" if ends else "\n- "
    return "\n" if name in _BLOCKS else ""
