"""What the rows of a file are about: products that are there, or new ones."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, and_, or_, select
from sqlalchemy.orm import Session

from app.models import Product, User
from app.policies import Actor, Role
from app.services.catalogue_csv.rows import ProductRow, Seen
from app.services.change_product import ProductChange
from app.services.find_product import BIGGEST_ID
from app.utils.identity import username_key

_COLUMNS = (
    Product.id,
    Product.seller_id,
    Product.sku,
    Product.name,
    Product.description,
    Product.price_cents,
    Product.image_url,
    Product.low_stock_threshold,
    Product.category_id,
    (Product.on_hand - Product.reserved).label("stock"),
)


class Refused(Exception):
    """A row that cannot be saved; ``column`` is at fault. It never leaves this package."""

    def __init__(self, message: str, column: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.column = column


@dataclass(frozen=True, slots=True)
class Target:
    """A row with what it is about: a product that is there, or a new one of a seller."""

    row: ProductRow
    seller_id: int
    there: Row[Any] | None
    change: ProductChange


class Shelf:
    """What there is already of that which some rows name."""

    def __init__(self, session: Session, actor: Actor, rows: Sequence[ProductRow]) -> None:
        self._actor = actor
        self._sellers, self._idle = _find_sellers(session, actor, rows)
        # Two imports of one seller wait for each other here, so that neither makes what the other
        # is making. It does not keep out a buyer's order, which only refers to the seller.
        owners = sorted({*self._sellers.values(), actor.user_id})
        session.execute(
            select(User.id)
            .where(User.id.in_(owners))
            .order_by(User.id)
            .with_for_update(key_share=True)
        )
        found = _find_products(session, owners, rows)
        self._by_id = {product.id: product for product in found}
        self._by_sku = {(product.seller_id, product.sku): product for product in found}

    def match(self, row: ProductRow, seen: Seen) -> Target:
        """Raises Refused for a row that is not the actor's affair, or was had before."""
        seller_id = self._seller_of(row)
        sku = row.change.sku if isinstance(row.change.sku, str) else None
        there = self._by_sku.get((seller_id, sku)) if sku else None
        if row.id is not None:
            there = self._own(row)
            seller_id = there.seller_id
        if there is not None:
            _note(seen.products, there.id, row, "id" if row.id is not None else "sku")
        if sku is not None:
            _note(seen.skus, (seller_id, sku), row, "sku")
        return Target(row, seller_id, there, row.change)

    def _own(self, row: ProductRow) -> Row[Any]:
        there = self._by_id.get(row.id or 0)
        if there is None or not (self._actor.is_admin or there.seller_id == self._actor.user_id):
            raise Refused("None of your products has this id.", "id")
        if row.seller is not None and self._seller_of(row) != there.seller_id:
            raise Refused("A product stays with its seller.", "seller")
        return there

    def _seller_of(self, row: ProductRow) -> int:
        if row.seller is None:
            return self._actor.user_id
        key = username_key(row.seller)
        if not self._actor.is_admin and key != username_key(self._actor.username):
            raise Refused("Only an administrator imports for somebody else.", "seller")
        if key not in self._sellers or (row.id is None and self._sellers[key] in self._idle):
            raise Refused("There is no seller of this name.", "seller")
        return self._sellers[key]


def _note(seen: dict[Any, int], key: object, row: ProductRow, column: str) -> None:
    before = seen.setdefault(key, row.line.row)
    if before != row.line.row:
        raise Refused(f"Row {before} is about the same product: this one was left out.", column)


def _find_sellers(
    session: Session, actor: Actor, rows: Iterable[ProductRow]
) -> tuple[dict[str, int], set[int]]:
    """The accounts that rows name, by the key of their names; and those that get nothing new."""
    if not actor.is_admin:
        return {username_key(actor.username): actor.user_id}, set()
    keys = {username_key(row.seller) for row in rows if row.seller is not None}
    found = session.execute(
        select(User.username_key, User.id, User.role, User.suspended_at).where(
            User.username_key.in_(keys)
        )
    ).all()
    idle = {user.id for user in found if user.role == Role.CUSTOMER or user.suspended_at}
    return {user.username_key: user.id for user in found}, idle


def _find_products(
    session: Session, owners: list[int], rows: Sequence[ProductRow]
) -> Sequence[Row[Any]]:
    ids = {row.id for row in rows if row.id is not None and row.id <= BIGGEST_ID}
    skus = {row.change.sku for row in rows if isinstance(row.change.sku, str)}
    statement: Select[*tuple[Any, ...]] = select(*_COLUMNS).where(
        Product.deleted_at.is_(None),
        or_(Product.id.in_(ids), and_(Product.seller_id.in_(owners), Product.sku.in_(skus))),
    )
    return session.execute(statement).all()
