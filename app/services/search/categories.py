"""The categories as the search needs them: by a word of their name, each with all below it."""

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Category
from app.services.search.values import Term
from app.services.search.words import forms_of, words_of

_SHORTEST_BEGINNING = 3
"""Of a category's name, while it is being typed."""


class CategoryBook:
    """All categories, read once a search: there are hundreds at most."""

    def __init__(self, session: Session) -> None:
        rows = session.execute(
            select(Category.id, Category.parent_id, Category.slug, Category.name)
        ).all()
        self.names = {row.id: (row.slug, row.name) for row in rows}
        self._below: defaultdict[int, list[int]] = defaultdict(list)
        self._by_word: defaultdict[str, list[int]] = defaultdict(list)
        for row in rows:
            if row.parent_id is not None:
                self._below[row.parent_id].append(row.id)
            for word in words_of(row.name):
                self._by_word[word].append(row.id)

    @property
    def words(self) -> Iterable[str]:
        return self._by_word.keys()

    def terms_of(self, words: list[str]) -> tuple[Term, ...]:
        """What the words of a query stand for; the last one may not be finished."""
        return tuple(
            self._term(word, is_prefix=place == len(words))
            for place, word in enumerate(words, start=1)
        )

    def _term(self, word: str, *, is_prefix: bool) -> Term:
        forms = forms_of(word)
        named = {one for form in forms for one in self._by_word.get(form, ())}
        if is_prefix and len(word) >= _SHORTEST_BEGINNING:
            for known, ids in self._by_word.items():
                if known.startswith(word):
                    named.update(ids)
        return Term(word, forms, is_prefix, tuple(sorted(self._with_all_below(named))))

    def _with_all_below(self, ids: set[int]) -> set[int]:
        found, fresh = set(ids), list(ids)
        while fresh:
            below = [one for one in self._below[fresh.pop()] if one not in found]
            found.update(below)
            fresh.extend(below)
        return found
