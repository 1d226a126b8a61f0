"""Saving some rows of a file in the caller's transaction: each for itself, all or nothing of it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.errors import AppError
from app.policies import Actor
from app.services.catalogue_csv.categories import CategoryBook
from app.services.catalogue_csv.match_rows import Refused, Shelf, Target
from app.services.catalogue_csv.rows import ProductRow, Result, RowFault, Seen
from app.services.change_product import ProductChange, change_product, change_products
from app.services.create_product import NewProduct, Offer, create_product, create_products
from app.utils.unset import UNSET

_NEEDED = {"name": "name", "price_cents": "price"}
"""What a new product cannot do without, and the columns that say it."""


def save_rows(
    session: Session,
    actor: Actor,
    rows: Sequence[ProductRow],
    seen: Seen,
    now: datetime,
    *,
    category_maker: Actor | None = None,
) -> list[Result | RowFault]:
    """Create or change the products that ``rows`` describe; one answer for each row, in order.

    A row with an id changes that product, one with a SKU the product of its seller that has it, and
    any other makes a new one. What a row says that is so already changes nothing. A row that is
    refused leaves nothing behind but, perhaps, a category that was made for it. ``seen`` grows:
    a product that two rows name is only changed by the first.

    Locks are taken in one order, whatever the order of the file: sellers, categories, products.
    """
    shelf = Shelf(session, actor, rows)
    book = CategoryBook(session, now, category_maker)
    answers: dict[int, Result | RowFault] = {}
    targets: list[Target] = []
    for row in rows:
        try:
            targets.append(_with_news_alone(book, shelf.match(row, seen)))
        except Refused as error:
            answers[row.line.row] = RowFault.of(row.line, error.message, error.column)
        except AppError as error:
            answers[row.line.row] = _fault(row, error)
    book.hold()
    for target in targets:
        answers[target.row.line.row] = Result.UNCHANGED
    answers |= _change(session, actor, [target for target in targets if target.there], now)
    answers |= _create(session, actor, [target for target in targets if not target.there], now)
    return [answers[row.line.row] for row in rows]


def _with_news_alone(book: CategoryBook, target: Target) -> Target:
    """The category as its id, and without what is so already. Raises AppError."""
    said = _said(target.change)
    if isinstance(target.change.category, str):
        said["category"] = book.find(target.change.category)
    if target.there is not None:
        there = target.there
        said = {
            name: value
            for name, value in said.items()
            if getattr(there, "category_id" if name == "category" else name) != value
        }
    return replace(target, change=ProductChange(**said))


def _said(change: ProductChange) -> dict[str, Any]:
    return {
        name: value
        for name in ProductChange.__dataclass_fields__
        if (value := getattr(change, name)) is not UNSET
    }


def _change(
    session: Session, actor: Actor, targets: Sequence[Target], now: datetime
) -> dict[int, Result | RowFault]:
    """All at once, which is many times faster; or, if one is refused, one after the other."""
    changed = {
        target.there.id: target
        for target in targets
        if target.there is not None and _said(target.change)
    }
    if not changed:
        return {}
    try:
        with session.begin_nested():
            changes = {product_id: target.change for product_id, target in changed.items()}
            change_products(session, actor, changes, now)
    except AppError:
        return {
            target.row.line.row: _change_one(session, actor, product_id, target, now)
            for product_id, target in sorted(changed.items())  # locked in this order everywhere
        }
    return {target.row.line.row: Result.UPDATED for target in changed.values()}


def _change_one(
    session: Session, actor: Actor, product_id: int, target: Target, now: datetime
) -> Result | RowFault:
    try:
        with session.begin_nested():
            change_product(session, actor, product_id, target.change, now)
    except AppError as error:
        return _fault(target.row, error)
    return Result.UPDATED


def _create(
    session: Session, actor: Actor, targets: Sequence[Target], now: datetime
) -> dict[int, Result | RowFault]:
    """All at once, which is many times faster; or, if one is refused, one after the other."""
    answers: dict[int, Result | RowFault] = {}
    offers: dict[int, tuple[Target, Offer]] = {}
    for target in targets:
        said = _said(target.change)
        row = target.row.line.row
        missing = next((column for name, column in _NEEDED.items() if name not in said), None)
        if missing is None:
            offers[row] = target, Offer(NewProduct(**said), target.seller_id)
        else:
            sentence = f"No product is there to change, and a new one needs a {missing}."
            answers[row] = RowFault.of(target.row.line, sentence, missing)
    if not offers:
        return answers
    try:
        with session.begin_nested():
            create_products(session, actor, [offer for _, offer in offers.values()], now)
    except AppError:
        for row, (target, offer) in offers.items():
            answers[row] = _create_one(session, actor, target.row, offer, now)
    else:
        answers |= dict.fromkeys(offers, Result.CREATED)
    return answers


def _create_one(
    session: Session, actor: Actor, row: ProductRow, offer: Offer, now: datetime
) -> Result | RowFault:
    try:
        with session.begin_nested():
            create_product(session, actor, offer.new, now, seller_id=offer.seller_id)
    except AppError as error:
        return _fault(row, error)
    return Result.CREATED


def _fault(row: ProductRow, error: AppError) -> RowFault:
    if not error.errors:
        return RowFault.of(row.line, error.detail)
    first = error.errors[0]
    return RowFault.of(row.line, first["message"], first["field"])
