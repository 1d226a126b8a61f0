"""The products that are ranked: the newest hits, those of a name before all others."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from app.models import Product
from app.services.categories import categories_within
from app.services.search.index import MOST_LOOKED_AT, Index
from app.services.search.scoring import Scorer
from app.services.search.values import Expression, PriceRange, SearchAsk, Term
from app.services.search.words import words_of


class Candidate(NamedTuple):
    """A product that matches, with what it is ranked and counted by."""

    product_id: int
    score: int
    category_id: int | None
    price_cents: int
    is_in_stock: bool


def find_candidates(
    session: Session,
    index: Index,
    ask: SearchAsk,
    terms: tuple[Term, ...],
    *,
    most: int,
    only_names: bool = False,
) -> list[Candidate]:
    """At most ``most`` of them.

    Ranking every hit of a frequent word would take half a second among a million products. First
    come the newest whose name holds all words, then the newest that hold them anywhere.
    """
    category_ids = None
    if ask.category is not None:
        within = categories_within(ask.category)
        category_ids = tuple(session.scalars(select(within.c.id).order_by(within.c.id)))
    prices = None
    if ask.min_price_cents is not None or ask.max_price_cents is not None:
        prices = PriceRange(ask.min_price_cents, ask.max_price_cents)
    conditions = _conditions(ask)
    scorer = Scorer(terms)
    found: dict[int, Candidate] = {}
    for in_name in (True,) if only_names else (True, False):
        expression = Expression(terms, category_ids, ask.seller_id, prices, in_name=in_name)
        if not all(expression.labels):
            break  # nothing lies there
        for ids in index.hits(expression, most, MOST_LOOKED_AT):
            fresh = [product_id for product_id in ids if product_id not in found]
            if not fresh:
                continue
            missing = most - len(found)
            for candidate in _load(session, [index.among(fresh), *conditions], scorer, missing):
                found[candidate.product_id] = candidate
            if len(found) == most:
                return list(found.values())
    return list(found.values())


def _conditions(ask: SearchAsk) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [Product.deleted_at.is_(None)]
    if ask.min_price_cents is not None:
        conditions.append(Product.price_cents >= ask.min_price_cents)
    if ask.max_price_cents is not None:
        conditions.append(Product.price_cents <= ask.max_price_cents)
    if ask.in_stock is not None:
        is_there = Product.on_hand > Product.reserved
        conditions.append(is_there if ask.in_stock else ~is_there)
    return conditions


def _load(
    session: Session, conditions: Sequence[ColumnElement[bool]], scorer: Scorer, most: int
) -> list[Candidate]:
    rows = session.execute(
        select(
            Product.id,
            Product.name,
            Product.sku,
            Product.category_id,
            Product.price_cents,
            Product.on_hand > Product.reserved,
        )
        .where(*conditions)
        .order_by(Product.id.desc())
        .limit(most)
    )
    return [
        Candidate(
            product_id,
            scorer.score(words_of(name), words_of(sku or ""), category_id),
            category_id,
            price_cents,
            bool(is_in_stock),
        )
        for product_id, name, sku, category_id, price_cents, is_in_stock in rows
    ]
