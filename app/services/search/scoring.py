"""How well something found answers a query: one number from 0 to 1, the same on both databases.

A word counts most in a name, less in a SKU or as the name of its category, least in a description;
whole words before other forms of them, and those before beginnings. Names that hold little else,
and that begin with what was asked for, stand first.
"""

from collections.abc import Sequence

from app.services.search.values import Term

_WHOLE, _OTHER_FORM, _BEGINNING = 1.0, 0.9, 0.8
_SKU = 0.9
_CATEGORY = 0.5
_DESCRIPTION = 0.25
_WORDS_SHARE, _COVERAGE_SHARE, _START_SHARE = 0.8, 0.1, 0.1
SCALE = 10_000
"""Scores are whole numbers of so many parts inside, so that equal ones are equal."""


def score(
    terms: Sequence[Term],
    name: Sequence[str],
    code: Sequence[str] = (),
    category_id: int | None = None,
) -> int:
    """The score of what the index has found: a word that stands nowhere else is described."""
    if list(code) == [term.word for term in terms]:
        return SCALE  # somebody has typed the whole SKU
    value = sum(_value(term, name, code, category_id) for term in terms) / len(terms)
    covered = sum(any(likeness(term, (word,)) for term in terms) for word in name)
    total = (
        _WORDS_SHARE * value
        + _COVERAGE_SHARE * (covered / len(name) if name else 0)
        + _START_SHARE * likeness(terms[0], name[:1])
    )
    return round(total * SCALE)


def likeness(term: Term, words: Sequence[str]) -> float:
    """1 where a word stands as it is, less for another form of it or its beginning; 0 for none."""
    if term.word in words:
        return _WHOLE
    if any(form in words for form in term.forms):
        return _OTHER_FORM
    if term.is_prefix and any(word.startswith(term.word) for word in words):
        return _BEGINNING
    return 0.0


def _value(term: Term, name: Sequence[str], code: Sequence[str], category_id: int | None) -> float:
    in_category = _CATEGORY if category_id in term.category_ids else 0.0
    best = max(likeness(term, name), _SKU * likeness(term, code), in_category)
    return best or _DESCRIPTION
