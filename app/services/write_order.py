"""Writing down what was ordered: a new order with its lines, and how many its buyer has open."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, bindparam, func, select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from app.asking import Prepared, PreparedRows, Row, is_sqlite, let_know
from app.models import Order, OrderLine, OrderStatus, User
from app.models.base import table_of
from app.services.hold_stock import HeldProduct
from app.utils.order_number import new_order_number

_BUYER = bindparam("user_id", type_=BigInteger)
# key_share: rows that merely name the user, such as a stock movement, are not kept waiting
_LOCK_BUYER = Prepared(
    select(table_of(User).c.id).where(table_of(User).c.id == _BUYER).with_for_update(key_share=True)
)
_ORDER = table_of(Order).c
_COUNT_OPEN = Prepared(
    select(func.count())
    .select_from(table_of(Order))
    .where(_ORDER.user_id == _BUYER, _ORDER.status == OrderStatus.PENDING)
)
_WRITTEN = (
    *("number", "user_id", "status", "total_cents", "phone_number", "delivery_address", "note"),
    *("created_at", "updated_at", "expires_at"),
)
_WRITE_ORDER = Prepared(
    lambda into: (
        into(table_of(Order))
        .values({column: bindparam(column) for column in _WRITTEN})
        .on_conflict_do_nothing(index_elements=["number"])
        .returning(_ORDER.id)
    )
)
_LINE = (
    *("order_id", "product_id", "seller_id", "position", "product_name", "quantity"),
    "unit_price_cents",
)
_WRITE_LINES = PreparedRows(table_of(OrderLine), *_LINE)


def count_open_orders(session: Session, user_id: int) -> int:
    """The buyer's own row is locked, so that two orders side by side are counted one by one; on
    SQLite whoever writes is alone anyway.
    """
    if not is_sqlite(session):
        _LOCK_BUYER.rows(session, user_id=user_id)
    ((count,),) = _COUNT_OPEN.rows(session, user_id=user_id)
    return int(count)


def write_order(session: Session, **values: Any) -> Order:
    """Under a number that is not taken yet."""
    written: Sequence[Row] = ()
    while not written:
        values["number"] = new_order_number()
        written = _WRITE_ORDER.rows(session, **values)
    ((order_id,),) = written
    return let_know(session, Order(id=order_id, paid_at=None, **values))


def show_lines(order: Order, wanted: Mapping[int, int], offers: Mapping[int, HeldProduct]) -> None:
    """Let the order hold its lines, as the products are called and priced, still unwritten."""
    lines = [
        OrderLine(
            order_id=order.id,
            product_id=product_id,
            seller_id=offers[product_id].seller_id,
            position=position,
            product_name=offers[product_id].name,
            quantity=wanted[product_id],
            unit_price_cents=offers[product_id].price_cents,
        )
        for position, product_id in enumerate(wanted)
    ]
    set_committed_value(order, "lines", lines)


def write_lines(session: Session, order: Order) -> None:
    """Write what show_lines() showed."""
    _WRITE_LINES.put(
        session, [{column: getattr(line, column) for column in _LINE} for line in order.lines]
    )
