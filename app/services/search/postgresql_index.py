"""The PostgreSQL half: a GIN index, which finds rare words at once but knows no order.

A frequent word is found faster by reading the newest products one after the other. Which of the
two a query is, the newest two thousand products tell.
"""

from collections.abc import Iterator, Sequence

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Text,
    any_,
    bindparam,
    cast,
    literal,
    text,
)
from sqlalchemy.orm import Session

from app.models import Product
from app.services.search.labels import category_label
from app.services.search.values import Expression, Term

_LONGEST_INDEXED = 60  # letters of a word
_SAMPLE = 2_000
_WINDOW = 20_000
_MOST_WINDOWS = 3
_FREQUENT = 40  # among the sample: 2 of 100

_NEWEST = text(
    "SELECT array_agg(product_id) FILTER (WHERE document @@ CAST(:expression AS tsquery)) AS hits,"
    " min(product_id) AS oldest, count(*) AS looked_at"
    " FROM (SELECT product_id, document FROM search_products WHERE product_id < :before"
    " ORDER BY product_id DESC LIMIT :window) AS newest"
)
# Asked for an order, the planner would walk all products from the newest back whenever it takes a
# query for a frequent one; the index then has to be the only way.
_BY_INDEX = text(
    "WITH hits AS MATERIALIZED (SELECT product_id FROM search_products"
    " WHERE document @@ CAST(:expression AS tsquery))"
    " SELECT product_id FROM hits WHERE product_id < :before"
    " ORDER BY product_id DESC LIMIT :most"
)
_WALKING = text("SELECT set_config('enable_seqscan', :allowed, true)")
_NEIGHBOURS = text(
    "SELECT DISTINCT word FROM search_spellings WHERE spelling IN :spellings LIMIT :most"
).bindparams(bindparam("spellings", expanding=True))
_BEYOND_ALL = 2**63 - 1


class PostgresqlIndex:
    def __init__(self, session: Session) -> None:
        self._session = session

    def hits(self, expression: Expression, wanted: int, most: int) -> Iterator[Sequence[int]]:
        query = _query(expression)
        before, window, is_frequent = _BEYOND_ALL, _SAMPLE, True
        windows = 0
        while is_frequent and windows <= _MOST_WINDOWS:
            newest = self._session.execute(
                _NEWEST, {"expression": query, "before": before, "window": window}
            ).one()
            ids = (newest.hits or [])[:most]
            yield from _batches(ids, wanted)
            most -= len(ids)
            if newest.looked_at < window or most <= 0:
                return
            is_frequent = len(ids) * _SAMPLE >= _FREQUENT * window
            before, window, windows = newest.oldest, _WINDOW, windows + 1
        yield from _batches(self._by_index(query, before, most), wanted)

    def neighbours(self, spellings: set[str], most: int) -> Sequence[str]:
        return self._session.scalars(
            _NEIGHBOURS, {"spellings": sorted(spellings), "most": most}
        ).all()

    def among(self, ids: Sequence[int]) -> ColumnElement[bool]:
        listed = "{" + ",".join(map(str, ids)) + "}"
        return Product.id == any_(cast(literal(listed, Text), ARRAY(BigInteger)))

    def _by_index(self, query: str, before: int, most: int) -> Sequence[int]:
        self._session.execute(_WALKING, {"allowed": "off"})
        ids = self._session.scalars(
            _BY_INDEX, {"expression": query, "before": before, "most": most}
        ).all()
        self._session.execute(_WALKING, {"allowed": "on"})  # an error ends the transaction anyway
        return ids


def _batches(ids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (ids[start : start + size] for start in range(0, len(ids), size))


def _query(expression: Expression) -> str:
    parts = [_alternatives(term, in_name=expression.in_name) for term in expression.terms]
    parts += [[_quoted(label) for label in group] for group in expression.labels]
    return " & ".join("(" + " | ".join(dict.fromkeys(part)) + ")" for part in parts)


def _alternatives(term: Term, *, in_name: bool) -> list[str]:
    mark = "=" if in_name else ""
    words = [_quoted(mark + form[:_LONGEST_INDEXED]) for form in term.forms]
    if term.is_prefix:
        words.append(_quoted(mark + term.word[:_LONGEST_INDEXED]) + ":*")
    if not in_name:
        words += [_quoted(category_label(category_id)) for category_id in term.category_ids]
    return words


def _quoted(word: str) -> str:
    """Words hold letters and digits alone; in quotes none of them is an operator."""
    return f"'{word}'"
