"""An order is placed whole, with its stock held, or not at all."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, bindparam, func, select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from app.asking import Prepared, PreparedRows, Row, is_sqlite, let_know
from app.errors import Conflict, InvalidInput
from app.models import Order, OrderLine, OrderStatus, Product, User
from app.policies import Actor
from app.services.hold_stock import HeldProduct, record_hold, take_units, tell_of_falls
from app.services.records import record_order_event
from app.utils.failpoints import failpoint
from app.utils.money import CENTS_PER_SHILLING, cents_to_wire
from app.utils.order_number import new_order_number

MAX_UNITS_OF_A_PRODUCT = 1000

_BUYER = bindparam("user_id", type_=BigInteger)
# key_share: rows that merely name the user, such as a stock movement, are not kept waiting
_LOCK_BUYER = Prepared(
    select(User.__table__.c.id).where(User.__table__.c.id == _BUYER).with_for_update(key_share=True)
)
_ORDER = Order.__table__.c
_COUNT_OPEN = Prepared(
    select(func.count())
    .select_from(Order.__table__)
    .where(_ORDER.user_id == _BUYER, _ORDER.status == OrderStatus.PENDING)
)
_WRITTEN = (
    *("number", "user_id", "status", "total_cents", "phone_number", "delivery_address", "note"),
    *("created_at", "updated_at", "expires_at"),
)
_WRITE_ORDER = Prepared(
    lambda into: (
        into(Order.__table__)
        .values({column: bindparam(column) for column in _WRITTEN})
        .on_conflict_do_nothing(index_elements=["number"])
        .returning(_ORDER.id)
    )
)
_LINE = (
    *("order_id", "product_id", "seller_id", "position", "product_name", "quantity"),
    "unit_price_cents",
)
_WRITE_LINES = PreparedRows(OrderLine.__table__, *_LINE)


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


def place_order(
    session: Session, actor: Actor, ask: OrderRequest, rules: OrderRules, now: datetime
) -> Order:
    """Hold the stock and write the order, with today's names and prices copied in.

    Lines that name one product are added together. Raises InvalidInput for a product that is not
    for sale or a total that M-Pesa cannot carry, Conflict ``out_of_stock`` with what is left of
    each line that is short, and Conflict ``too_many_open_orders``. Any of them undoes everything.
    The order comes with its lines.
    """
    _refuse_hoarding(session, actor, rules)
    wanted = Counter[int]()
    for line in ask.lines:
        wanted[line.product_id] += line.quantity
    _refuse_bulk(ask, wanted)
    held = take_units(session, wanted)
    failpoint("after_stock_hold")
    if len(held) < len(wanted):
        _explain_shortage(session, ask, wanted, held)
    total_cents = sum(held[product_id].price_cents * wanted[product_id] for product_id in wanted)
    _refuse_total(total_cents, rules)
    order = _write_order(
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
    _write_lines(session, order, wanted, held)
    record_hold(session, order.id, wanted, now)
    tell_of_falls(session, wanted, held, now)
    record_order_event(session, order, None, now, actor_id=actor.user_id)
    return order


def _refuse_bulk(ask: OrderRequest, wanted: Counter[int]) -> None:
    for at, line in enumerate(ask.lines):
        if wanted[line.product_id] > MAX_UNITS_OF_A_PRODUCT:
            raise InvalidInput.field(
                f"products.{at}.quantity",
                f"An order takes at most {MAX_UNITS_OF_A_PRODUCT} of a product, in all its lines.",
            )


def _refuse_hoarding(session: Session, actor: Actor, rules: OrderRules) -> None:
    # the buyer's own row is locked, so that two orders side by side are counted one by one; on
    # SQLite whoever writes is alone anyway
    if not is_sqlite(session):
        _LOCK_BUYER.rows(session, user_id=actor.user_id)
    ((open_orders,),) = _COUNT_OPEN.rows(session, user_id=actor.user_id)
    if open_orders >= rules.max_open_orders:
        raise Conflict(
            f"You have {open_orders} unpaid orders open. Pay or cancel one of them first.",
            code="too_many_open_orders",
        )


def _explain_shortage(
    session: Session, ask: OrderRequest, wanted: Counter[int], held: dict[int, HeldProduct]
) -> None:
    left = {
        row.id: row
        for row in session.execute(
            select(
                Product.id, Product.name, (Product.on_hand - Product.reserved).label("left")
            ).where(Product.id.in_(wanted.keys() - held.keys()), Product.deleted_at.is_(None))
        )
    }
    first_line = {line.product_id: at for at, line in reversed(list(enumerate(ask.lines)))}
    unknown = sorted(wanted.keys() - held.keys() - left.keys())
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


def _write_order(session: Session, **values: Any) -> Order:
    """Under a number that is not taken yet."""
    written: Sequence[Row] = ()
    while not written:
        values["number"] = new_order_number()
        written = _WRITE_ORDER.rows(session, **values)
    ((order_id,),) = written
    return let_know(session, Order(id=order_id, paid_at=None, **values))


def _write_lines(
    session: Session, order: Order, wanted: Counter[int], held: dict[int, HeldProduct]
) -> None:
    lines = [
        {
            "order_id": order.id,
            "product_id": product_id,
            "seller_id": held[product_id].seller_id,
            "position": position,
            "product_name": held[product_id].name,
            "quantity": wanted[product_id],
            "unit_price_cents": held[product_id].price_cents,
        }
        for position, product_id in enumerate(wanted)
    ]
    _WRITE_LINES.put(session, lines)
    set_committed_value(order, "lines", [OrderLine(**line) for line in lines])
