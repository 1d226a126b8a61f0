"""The SQLite half: FTS5, which walks from the newest hit back and stops when told to."""

import json
from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, bindparam, func, select, text
from sqlalchemy.orm import Session

from app.models import Product
from app.services.search.labels import category_label
from app.services.search.values import Expression, Term

_MOST_COMPLETIONS = 50
_HIGHEST = "\U0010ffff"

# A prefix would make FTS5 read all that it finds before the first hit: 1.7 s for "s*" among a
# million products. The words that begin so are asked for instead. Those that were seen first are
# mostly those that are seen most.
_COMPLETIONS = text(
    "SELECT word FROM search_words WHERE word >= :prefix AND word < :behind ORDER BY id LIMIT :most"
)
_HITS = {
    in_name: text(
        f"SELECT rowid FROM {table} WHERE {table} MATCH :expression AND rowid < :before"  # noqa: S608 - our own names
        " ORDER BY rowid DESC LIMIT :most"
    )
    for in_name, table in ((True, "search_names"), (False, "search_texts"))
}
_NEIGHBOURS = text(
    "SELECT DISTINCT word FROM search_spellings WHERE spelling IN :spellings LIMIT :most"
).bindparams(bindparam("spellings", expanding=True))
_BEYOND_ALL = 2**63 - 1


class SqliteIndex:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._completions: dict[str, tuple[str, ...]] = {}

    def hits(self, expression: Expression, wanted: int, most: int) -> Iterator[Sequence[int]]:
        statement = _HITS[expression.in_name]
        match = self._match(expression)
        before, limit = _BEYOND_ALL, min(wanted, most)
        while limit > 0:
            ids = self._session.scalars(
                statement, {"expression": match, "before": before, "most": limit}
            ).all()
            if not ids:
                return
            yield ids
            if len(ids) < limit:
                return
            most -= len(ids)
            before, limit = ids[-1], min(2 * limit, most)

    def neighbours(self, spellings: set[str], most: int) -> Sequence[str]:
        return self._session.scalars(
            _NEIGHBOURS, {"spellings": sorted(spellings), "most": most}
        ).all()

    def among(self, ids: Sequence[int]) -> ColumnElement[bool]:
        listed = func.json_each(json.dumps(list(ids))).table_valued("value")
        return Product.id.in_(select(listed.c.value))

    def _match(self, expression: Expression) -> str:
        parts = [self._alternatives(term, expression) for term in expression.terms]
        parts += expression.labels
        # Words hold letters and digits alone; in quotes none of them is an operator.
        return " AND ".join(
            "(" + " OR ".join(f'"{word}"' for word in dict.fromkeys(part)) + ")" for part in parts
        )

    def _alternatives(self, term: Term, expression: Expression) -> list[str]:
        words = list(term.forms)
        if term.is_prefix:
            words += self._words_that_begin(term.word)
        if not expression.in_name:
            words += [category_label(category_id) for category_id in term.category_ids]
        return words

    def _words_that_begin(self, prefix: str) -> tuple[str, ...]:
        if prefix not in self._completions:
            found = self._session.scalars(
                _COMPLETIONS,
                {"prefix": prefix, "behind": prefix + _HIGHEST, "most": _MOST_COMPLETIONS},
            )
            self._completions[prefix] = tuple(found)
        return self._completions[prefix]
