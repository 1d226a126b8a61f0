"""From what somebody typed to a page of ranked results."""

from collections.abc import Sequence
from typing import cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import Unauthenticated
from app.models import Product, Task
from app.policies import Actor
from app.services.product_rows import ProductRow, find_product_rows
from app.services.search.candidates import Candidate, find_candidates
from app.services.search.categories import CategoryBook
from app.services.search.correct import correct
from app.services.search.cursors import Place, read_cursor, write_cursor
from app.services.search.facets import facets_of
from app.services.search.index import Index, index_of
from app.services.search.scoring import SCALE
from app.services.search.tasks import find_tasks
from app.services.search.values import (
    MOST_WORDS,
    Found,
    SearchAsk,
    SearchKind,
    SearchResult,
    Suggestion,
    Term,
)
from app.services.search.words import words_of

_ITEM, _TASK = 0, 1
_MOST_SUGGESTED_FROM = 200


def search_products(session: Session, ask: SearchAsk) -> SearchResult[ProductRow]:
    """Products alone, whoever asks."""
    found = search(session, None, ask)
    return cast("SearchResult[ProductRow]", found)


def search(session: Session, actor: Actor | None, ask: SearchAsk) -> SearchResult[Found]:
    """One page of products, and of the actor's tasks, ranked together.

    Words that find nothing are corrected. While pages are read the catalogue may change: what is
    new shows up if its place lies ahead, what is gone is left out, and nothing comes twice unless
    its own place moved. Raises Unauthenticated when nobody asks for tasks, InvalidInput for a
    cursor of another search.
    """
    if ask.kind is SearchKind.TASKS and actor is None:
        raise Unauthenticated("Sign in to search your tasks.")
    after = read_cursor(ask)
    words = words_of(ask.query)[:MOST_WORDS]
    if not words:
        return SearchResult([])
    index, book = index_of(session), CategoryBook(session)
    corrected = None
    items, tasks = _find(session, index, actor, ask, book.terms_of(words))
    if not items and not tasks and ask.kind is not SearchKind.TASKS:
        corrected = correct(index, book, words)
        if corrected is not None:
            items, tasks = _find(session, index, actor, ask, book.terms_of(corrected))
    places = sorted(
        [Place(SCALE - one.score, _ITEM, -one.product_id) for one in items]
        + [Place(SCALE - score, _TASK, -task_id) for task_id, score in tasks.items()]
    )
    ahead = places if after is None else [place for place in places if place > after]
    page = ahead[: ask.limit]
    return SearchResult(
        rows=_rows(session, page),
        facets=facets_of(items, book, ask.most_ranked),
        corrected=" ".join(corrected) if corrected else None,
        next_cursor=write_cursor(ask, page[-1]) if len(ahead) > len(page) else None,
        total=min(len(places), ask.most_ranked + 1),
    )


def suggest(session: Session, text: str, limit: int = 8) -> list[Suggestion]:
    """Products whose name or SKU holds what was typed so far, the best first; nothing is
    corrected, and each name comes once.
    """
    words = words_of(text)[:MOST_WORDS]
    if not words:
        return []
    candidates = find_candidates(
        session,
        index_of(session),
        SearchAsk(text),
        CategoryBook(session).terms_of(words),
        most=_MOST_SUGGESTED_FROM,
        only_names=True,
    )
    best = sorted(candidates, key=lambda one: (-one.score, -one.product_id))[: 2 * limit]
    ids = [one.product_id for one in best]
    names = {
        row.id: row.name
        for row in session.execute(select(Product.id, Product.name).where(Product.id.in_(ids)))
    }
    first = {names[product_id]: product_id for product_id in reversed(ids)}
    return [
        Suggestion(product_id, names[product_id])
        for product_id in ids
        if first[names[product_id]] == product_id
    ][:limit]


def _find(
    session: Session,
    index: Index,
    actor: Actor | None,
    ask: SearchAsk,
    terms: tuple[Term, ...],
) -> tuple[list[Candidate], dict[int, int]]:
    items = []
    if ask.kind is not SearchKind.TASKS:
        # One more than are ranked tells that there would be others.
        items = find_candidates(session, index, ask, terms, most=ask.most_ranked + 1)
    if actor is None or ask.kind is SearchKind.ITEMS:
        return items, {}
    return items, find_tasks(session, actor, terms)


def _rows(session: Session, page: Sequence[Place]) -> list[tuple[Found, float]]:
    """What stands at these places, loaded in two statements."""
    ids = {kind: [-one.newest_first for one in page if one.kind == kind] for kind in (_ITEM, _TASK)}
    loaded: dict[tuple[int, int], Found] = {}
    if ids[_ITEM]:
        products = find_product_rows(session, ids[_ITEM])
        loaded.update({(_ITEM, product.id): product for product in products})
    if ids[_TASK]:
        tasks = session.scalars(select(Task).where(Task.id.in_(ids[_TASK])))
        loaded.update({(_TASK, task.id): task for task in tasks})
    return [
        (loaded[key], (SCALE - one.worse_by) / SCALE)
        for one in page
        if (key := (one.kind, -one.newest_first)) in loaded
    ]
