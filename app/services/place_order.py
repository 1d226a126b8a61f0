"""An order is placed whole, with its stock held, or not at all."""

from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import Conflict, InvalidInput
from app.models import Order, OrderStatus, Product
from app.policies import Actor
from app.services.hold_stock import (
    HeldProduct,
    find_offers,
    record_hold,
    take_units,
    tell_of_falls,
)
from app.services.records import record_order_event
from app.services.write_order import count_open_orders, show_lines, write_lines, write_order
from app.utils.failpoints import failpoint
from app.utils.money import CENTS_PER_SHILLING, cents_to_wire

MAX_UNITS_OF_A_PRODUCT = 1000


@dataclass(frozen=True, slots=True)
class WantedLine:
    product_id: int
    quantity: int


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a buyer asks for. Prices are the shop's and are not among it."""

    lines: tuple[WantedLine, ...]
    phone_number: str | None = None
    delivery_address: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class OrderRules:
    """How long an order holds its stock, how many may be open, the most that M-Pesa carries."""

    expiry_seconds: int
    max_open_orders: int
    max_amount_shillings: int


@dataclass(frozen=True, slots=True)
class DraftOrder:
    """An order that is written but holds nothing yet. ``offers``: what its lines were made of."""

    order: Order
    ask: OrderRequest
    wanted: Counter[int]
    offers: Mapping[int, HeldProduct]


def place_order(
    session: Session, actor: Actor, ask: OrderRequest, rules: OrderRules, now: datetime
) -> Order:
    """Write the order, with today's names and prices copied in, and hold the stock.

    Lines that name one product are added together. Raises InvalidInput for a product that is not
    for sale or a total that M-Pesa cannot carry, Conflict ``out_of_stock`` with what is left of
    each line that is short, ``too_many_open_orders``, and ``prices_changed`` where somebody changes
    a product at this very moment. Any of them undoes everything. The order comes with its lines.
    """
    draft = draft_order(session, actor, ask, rules, now)
    hold_for(session, draft, now)
    return draft.order


def draft_order(
    session: Session, actor: Actor, ask: OrderRequest, rules: OrderRules, now: datetime
) -> DraftOrder:
    """The first half of place_order: all that keeps no other buyer waiting.

    Raises what place_order does for what can be seen by now. The transaction must not end before
    hold_for() has done the other half.
    """
    _refuse_hoarding(session, actor, rules)
    wanted = Counter[int]()
    for line in ask.lines:
        wanted[line.product_id] += line.quantity
    _refuse_bulk(ask, wanted)
    offers = find_offers(session, list(wanted))
    enough = {key for key, offer in offers.items() if offer.left >= wanted[key]}
    if len(enough) < len(wanted):
        _explain_shortage(session, ask, wanted, enough)
    total_cents = sum(offers[product_id].price_cents * wanted[product_id] for product_id in wanted)
    _refuse_total(total_cents, rules)
    order = write_order(
        session,
        user_id=actor.user_id,
        status=OrderStatus.PENDING,
        total_cents=total_cents,
        phone_number=ask.phone_number,
        delivery_address=ask.delivery_address,
        note=ask.note,
        created_at=now,
        updated_at=now,
        expires_at=now + timedelta(seconds=rules.expiry_seconds),
    )
    show_lines(order, wanted, offers)
    record_order_event(session, order, None, now, actor_id=actor.user_id)
    return DraftOrder(order, ask, wanted, offers)


def hold_for(session: Session, draft: DraftOrder, now: datetime) -> None:
    """The other half of place_order, to be done last: all buyers of these products wait from here
    to the end of the transaction, and of a product that everybody wants that is all that counts.

    What names a product is written when its row is ours: PostgreSQL locks the row for each name,
    by a lock that whoever changes a product may wait for while we wait for them.
    """
    held = take_units(session, draft.wanted)
    failpoint("after_stock_hold")
    if len(held) < len(draft.wanted):
        _explain_shortage(session, draft.ask, draft.wanted, held.keys())
    for product_id, product in held.items():
        offer = draft.offers[product_id]
        if (product.price_cents, product.name) != (offer.price_cents, offer.name):
            raise Conflict(
                f"{offer.name} was changed while the order was being placed. Nothing was ordered:"
                " look at it again, then order.",
                code="prices_changed",
            )
    write_lines(session, draft.order)
    record_hold(session, draft.order.id, draft.wanted, now)
    tell_of_falls(session, draft.wanted, held, now)
    session.flush()


def _refuse_bulk(ask: OrderRequest, wanted: Counter[int]) -> None:
    for at, line in enumerate(ask.lines):
        if wanted[line.product_id] > MAX_UNITS_OF_A_PRODUCT:
            raise InvalidInput.field(
                f"products.{at}.quantity",
                f"An order takes at most {MAX_UNITS_OF_A_PRODUCT} of a product, in all its lines.",
            )


def _refuse_hoarding(session: Session, actor: Actor, rules: OrderRules) -> None:
    open_orders = count_open_orders(session, actor.user_id)
    if open_orders >= rules.max_open_orders:
        raise Conflict(
            f"You have {open_orders} unpaid orders open. Pay or cancel one of them first.",
            code="too_many_open_orders",
        )


def _explain_shortage(
    session: Session, ask: OrderRequest, wanted: Counter[int], there: AbstractSet[int]
) -> None:
    left = {
        row.id: row
        for row in session.execute(
            select(
                Product.id, Product.name, (Product.on_hand - Product.reserved).label("left")
            ).where(Product.id.in_(wanted.keys() - there), Product.deleted_at.is_(None))
        )
    }
    first_line = {line.product_id: at for at, line in reversed(list(enumerate(ask.lines)))}
    unknown = sorted(wanted.keys() - there - left.keys())
    if unknown:
        raise InvalidInput(
            "The order names products that are not for sale.",
            code="unknown_product",
            errors=[
                {
                    "field": f"products.{first_line[product_id]}.product_id",
                    "message": f"There is no product {product_id}.",
                }
                for product_id in unknown
            ],
        )
    short = [
        {
            "product_id": product_id,
            "name": row.name,
            "requested": wanted[product_id],
            "available": row.left,
        }
        for product_id, row in sorted(left.items())
    ]
    raise Conflict(
        "Not enough in stock: "
        + "; ".join(f"{line['name']}, {line['available']} left" for line in short)
        + ". Nothing was ordered.",
        code="out_of_stock",
        errors=[
            {
                "field": f"products.{first_line[product_id]}.quantity",
                "message": f"Only {row.left} of {row.name} left.",
            }
            for product_id, row in sorted(left.items())
        ],
        lines=short,
    )


def _refuse_total(total_cents: int, rules: OrderRules) -> None:
    if total_cents < 1:
        raise InvalidInput.field(
            "products",
            "The order comes to nothing; M-Pesa cannot move KES 0.",
            code="order_is_free",
        )
    if total_cents > rules.max_amount_shillings * CENTS_PER_SHILLING:
        raise InvalidInput.field(
            "products",
            f"The order comes to KES {cents_to_wire(total_cents)}; M-Pesa carries at most"
            f" KES {rules.max_amount_shillings} in one payment. Order less, or in two orders.",
            code="above_mpesa_limit",
        )
