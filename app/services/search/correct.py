"""Forgiving typing errors: words that find nothing are exchanged for the nearest that do."""

from collections.abc import Iterable

from app.services.search.categories import CategoryBook
from app.services.search.index import Index
from app.services.search.values import Expression, Term
from app.services.search.words import (
    may_be_misspelt,
    mistakes_allowed,
    mistakes_between,
    spellings_of,
)

_MOST_NEIGHBOURS = 200
_MOST_TRIED = 5
_MOST_COUNTED = 100
"""Of two words that are equally near, the one that more products hold is meant."""


def correct(index: Index, book: CategoryBook, words: list[str]) -> list[str] | None:
    """The words with each unknown one corrected; None where nothing can be mended."""
    terms = book.terms_of(words)
    corrected = [
        term.word if _count(index, term, 1) else _nearest(index, book, term) for term in terms
    ]
    known = [word for word in corrected if word is not None]
    return known if len(known) == len(words) and known != words else None


def _nearest(index: Index, book: CategoryBook, term: Term) -> str | None:
    """The word of the catalogue that is meant by one that finds nothing."""
    best: tuple[int, int, str] | None = None
    for mistakes, candidate in _near(index, book, term.word):
        if best is not None and mistakes > best[0]:
            break
        (other,) = book.terms_of([candidate])
        count = _count(index, other, _MOST_COUNTED)
        if count and (best is None or count > best[1]):
            best = (mistakes, count, candidate)
    return best[2] if best else None


def _near(index: Index, book: CategoryBook, word: str) -> list[tuple[int, str]]:
    """(mistakes, word) of those that may be meant, the nearest first."""
    if not may_be_misspelt(word):
        return []
    spellings = spellings_of(word)
    known: Iterable[str] = {
        *index.neighbours(spellings, _MOST_NEIGHBOURS),
        *(other for other in book.words if not spellings.isdisjoint(spellings_of(other))),
    }
    found = [
        (mistakes, other[0] != word[0], abs(len(other) - len(word)), other)
        for other in known
        if 0 < (mistakes := mistakes_between(word, other)) <= mistakes_allowed(word)
    ]
    return [(mistakes, other) for mistakes, _, _, other in sorted(found)[:_MOST_TRIED]]


def _count(index: Index, term: Term, most: int) -> int:
    """How many products a word finds by itself, counted up to ``most``."""
    return sum(len(ids) for ids in index.hits(Expression((term,)), most, most))
