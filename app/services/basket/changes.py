"""Putting things into a basket, taking them out, and what became of baskets nobody came back to."""

from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.errors import Conflict, InvalidInput, NotFound
from app.models import Basket, BasketLine, Product
from app.policies import Actor
from app.services.basket.owners import (
    MAX_BASKET_LINES,
    BasketOwner,
    find_locked_basket,
    lines_of,
    lock_basket,
    mark_changed,
)
from app.services.find_product import find_product, products_for_sale
from app.services.own_orders import find_own_order
from app.services.place_order import MAX_UNITS_OF_A_PRODUCT, WantedLine

_GUESTS_COME_BACK_WITHIN = timedelta(days=30)


def add_to_basket(
    session: Session, owner: BasketOwner, wanted: WantedLine, now: datetime
) -> Product:
    """Put more of a product into the basket; nothing of it is held.

    More than is there now may be asked for: the basket says so. Raises NotFound, Conflict
    ``out_of_stock`` where nothing at all is left and ``basket_full``, InvalidInput for too many.
    """
    product = find_product(session, wanted.product_id)
    if product.available == 0:
        raise Conflict(f"{product.name} is sold out.", code="out_of_stock")
    basket = lock_basket(session, owner, now)
    lines = lines_of(session, basket)
    line = lines.get(product.id)
    quantity = wanted.quantity + (line.quantity if line else 0)
    if quantity > MAX_UNITS_OF_A_PRODUCT:
        raise InvalidInput.field("quantity", f"At most {MAX_UNITS_OF_A_PRODUCT} of a product.")
    if line is None and len(lines) >= MAX_BASKET_LINES:
        raise Conflict(
            f"A basket holds {MAX_BASKET_LINES} different products. Order these first, or take"
            " something out.",
            code="basket_full",
        )
    _put(session, basket, line, product, quantity, now)
    mark_changed(basket, now)
    session.flush()
    return product


def set_quantity(session: Session, owner: BasketOwner, wanted: WantedLine, now: datetime) -> str:
    """Have so many of a product in the basket; 0 takes it out, and twice is once.

    Answers the product's name. Raises NotFound for what is not in the basket.
    """
    name = session.scalar(select(Product.name).where(Product.id == wanted.product_id))
    basket = find_locked_basket(session, owner)
    line = lines_of(session, basket).get(wanted.product_id) if basket is not None else None
    if basket is None or line is None:
        if wanted.quantity == 0 and name is not None:
            return name
        raise NotFound("That product is not in your basket any more.", code="not_in_basket")
    product = session.get_one(Product, line.product_id)
    if wanted.quantity == 0:
        session.delete(line)
    else:
        _put(session, basket, line, product, wanted.quantity, now)
    mark_changed(basket, now)
    session.flush()
    return product.name


def fill_from_order(session: Session, actor: Actor, order_id: int, now: datetime) -> list[str]:
    """Put what an order of one's own named into the basket again, at today's prices.

    Answers the names of what is not for sale any more or found no room.
    """
    order = find_own_order(session, actor, order_id).order
    basket = lock_basket(session, BasketOwner(user_id=actor.user_id), now)
    lines = lines_of(session, basket)
    for_sale = {
        product.id: product
        for product in session.scalars(
            products_for_sale().where(Product.id.in_([line.product_id for line in order.lines]))
        )
    }
    left_out = []
    for ordered in order.lines:
        product, line = for_sale.get(ordered.product_id), lines.get(ordered.product_id)
        if product is None or (line is None and len(lines) >= MAX_BASKET_LINES):
            left_out.append(ordered.product_name)
            continue
        quantity = max(ordered.quantity, line.quantity if line else 0)
        lines[product.id] = _put(session, basket, line, product, quantity, now)
    mark_changed(basket, now)
    session.flush()
    return left_out


def delete_old_guest_baskets(session: Session, now: datetime) -> None:
    """Forget what guests left behind a month ago; the lines go with their basket."""
    session.execute(
        delete(Basket).where(
            Basket.user_id.is_(None), Basket.updated_at <= now - _GUESTS_COME_BACK_WITHIN
        )
    )


def _put(
    session: Session,
    basket: Basket,
    line: BasketLine | None,
    product: Product,
    quantity: int,
    now: datetime,
) -> BasketLine:
    """Give a product its line; whoever touches a line has seen today's price."""
    if line is None:
        line = BasketLine(basket_id=basket.id, product_id=product.id, created_at=now)
        session.add(line)
    line.quantity = quantity
    line.price_cents = product.price_cents
    return line
