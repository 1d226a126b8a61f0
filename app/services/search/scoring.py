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


class Scorer:
    """Scores by the terms of one query; what a word is worth is remembered, because words recur."""

    def __init__(self, terms: tuple[Term, ...]) -> None:
        self._terms = terms
        self._asked = [term.word for term in terms]
        self._worths: dict[str, tuple[float, ...]] = {}

    def score(
        self, name: Sequence[str], code: Sequence[str] = (), category_id: int | None = None
    ) -> int:
        """The score of what the index has found: a word that is seen nowhere is described."""
        if code == self._asked:
            return SCALE  # somebody has typed the whole SKU
        in_name = [self.worths(word) for word in name]
        in_code = [self.worths(word) for word in code]
        value = 0.0
        for place, term in enumerate(self._terms):
            best = max((worths[place] for worths in in_name), default=0.0)
            if best < _WHOLE:
                coded = max((worths[place] for worths in in_code), default=0.0)
                shelved = _CATEGORY if category_id in term.category_ids else 0.0
                best = max(best, _SKU * coded, shelved) or _DESCRIPTION
            value += best
        covered = sum(map(any, in_name)) / len(in_name) if in_name else 0.0
        start = in_name[0][0] if in_name else 0.0
        total = (
            _WORDS_SHARE * value / len(self._terms)
            + _COVERAGE_SHARE * covered
            + _START_SHARE * start
        )
        return round(total * SCALE)

    def worths(self, word: str) -> tuple[float, ...]:
        """What a word is worth to each term; 0 where it is another word."""
        worths = self._worths.get(word)
        if worths is None:
            worths = self._worths[word] = tuple(_worth(term, word) for term in self._terms)
        return worths


def _worth(term: Term, word: str) -> float:
    if word == term.word:
        return _WHOLE
    if word in term.forms:
        return _OTHER_FORM
    return _BEGINNING if term.is_prefix and word.startswith(term.word) else 0.0
