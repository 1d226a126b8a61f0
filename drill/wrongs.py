"""Rows of the shop's database that must not be there, whatever was killed."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import String, and_, cast, exists, func, literal, or_, select
from sqlalchemy.orm import Session

from app.models import (
    LIVE_REFUNDS,
    LIVE_STATES,
    ClaimState,
    InboxMessage,
    Order,
    OrderLine,
    OrderStatus,
    Payment,
    PaymentClaim,
    Product,
    Refund,
    RefundState,
    Task,
    TaskKind,
    TaskStatus,
)
from drill.evidence import Told
from drill.values import Movement, What

_SOLD = (OrderStatus.PAID, OrderStatus.SHIPPED, OrderStatus.DELIVERED, OrderStatus.REFUNDED)


@dataclass(frozen=True, slots=True)
class Row:
    """One row that is not as it should be."""

    subject: str
    detail: str


def find_open_attempts(session: Session) -> list[Row]:
    """Payments and refunds that are not final, and of which no person was told."""
    told_of_payments = select(Task.payment_id).where(Task.payment_id.is_not(None))
    payments = session.execute(
        select(Payment.id, Payment.status, Payment.next_check_at)
        .where(Payment.status.in_(LIVE_STATES), Payment.id.not_in(told_of_payments))
        .order_by(Payment.id)
    )
    told_of_refunds = select(Task.refund_id).where(Task.refund_id.is_not(None))
    refunds = session.execute(
        select(Refund.id, Refund.state.label("status"), Refund.next_check_at)
        .where(Refund.state.in_(LIVE_REFUNDS), Refund.id.not_in(told_of_refunds))
        .order_by(Refund.id)
    )
    return [
        Row(f"{what} {row.id}", f"is {row.status}, next looked at {row.next_check_at}")
        for what, rows in ((What.PAYMENT, payments), (What.REFUND, refunds))
        for row in rows
    ]


def find_unread_messages(session: Session) -> list[Row]:
    rows = session.execute(
        select(InboxMessage.id, InboxMessage.error)
        .where(InboxMessage.processed_at.is_(None))
        .order_by(InboxMessage.id)
    )
    return [Row(f"inbox message {row.id}", row.error or "waits to be read") for row in rows]


def find_overdue_orders(session: Session, now: datetime) -> list[Row]:
    """Orders whose time is up, that nobody pays, and that still hold their stock."""
    live = select(Payment.order_id).where(Payment.status.in_(LIVE_STATES))
    rows = session.execute(
        select(Order.id, Order.expires_at)
        .where(Order.status == OrderStatus.PENDING, Order.expires_at <= now, Order.id.not_in(live))
        .order_by(Order.id)
    )
    return [Row(f"order {row.id}", f"was to expire at {row.expires_at}") for row in rows]


def find_wrong_stock(
    session: Session, units: Mapping[int, int]
) -> tuple[list[Row], int, list[Row]]:
    """Oversold products, by how many units in all, and products that lost or won units.

    What was there in the beginning is what the drill itself put on the shelf. Goods of an order
    whose money went back are gone, unless its refund put them back.
    """
    restocked = select(Refund.order_id).where(
        Refund.restock, Refund.state == RefundState.SUCCEEDED, Refund.order_id.is_not(None)
    )
    promised = or_(Order.status.in_(_SOLD), Order.status == OrderStatus.PENDING)
    counted = session.execute(
        select(OrderLine.product_id, Order.status, func.sum(OrderLine.quantity).label("units"))
        .join(Order, and_(Order.id == OrderLine.order_id, promised))
        .where(or_(Order.status != OrderStatus.REFUNDED, Order.id.not_in(restocked)))
        .group_by(OrderLine.product_id, Order.status)
    ).all()
    sold, held = Counter[int](), Counter[int]()
    for row in counted:
        (held if row.status == OrderStatus.PENDING else sold)[row.product_id] += row.units
    oversold, units_oversold, strange = [], 0, []
    for product in session.scalars(select(Product).order_by(Product.id)):
        began = units.get(product.id)
        if began is None:
            continue
        over = sold[product.id] + held[product.id] - began
        if over > 0:
            units_oversold += over
            oversold.append(
                Row(f"product {product.id}", f"had {began}, promised {began + over} units")
            )
        left = began - sold[product.id]
        if (product.on_hand, product.reserved) != (left, held[product.id]):
            strange.append(
                Row(
                    f"product {product.id}",
                    f"has {product.on_hand} of which {product.reserved} are held, but its orders"
                    f" leave {left} of which {held[product.id]} are held",
                )
            )
    return oversold, units_oversold, strange


def find_forgotten(session: Session, told: Told) -> list[Row]:
    """What the shop acknowledged to a buyer and does not have."""
    orders = {row.id: row.note for row in session.execute(select(Order.id, Order.note))}
    payments = {
        row.id: row.order_id for row in session.execute(select(Payment.id, Payment.order_id))
    }
    return [
        *(
            Row(f"order {order_id}", f"was acknowledged as {note!r}")
            for order_id, note in told.orders.items()
            if orders.get(order_id) != note
        ),
        *(
            Row(f"payment {payment_id}", f"was acknowledged for order {order_id}")
            for payment_id, order_id in told.transactions.items()
            if payments.get(payment_id) != order_id
        ),
        *_find_forgotten_claims(session, told),
    ]


def _find_forgotten_claims(session: Session, told: Told) -> list[Row]:
    claims = {
        row.id: (row.order_id, row.receipt)
        for row in session.execute(
            select(PaymentClaim.id, PaymentClaim.order_id, PaymentClaim.receipt)
        )
    }
    return [
        Row(f"claim {claim_id}", f"of {receipt} was acknowledged for order {order_id}")
        for claim_id, (order_id, receipt) in told.claims.items()
        if claims.get(claim_id) != (order_id, receipt)
    ]


def find_undecided_claims(session: Session) -> list[Row]:
    """Claims that are neither granted nor refused, and that no person has a task about."""
    key = literal(f"{TaskKind.PAYMENT_CLAIM}:") + cast(PaymentClaim.id, String)
    told = exists().where(Task.dedupe_key == key, Task.status != TaskStatus.DONE)
    has_a_person = and_(PaymentClaim.state == ClaimState.WITH_A_PERSON, told)
    rows = session.execute(
        select(PaymentClaim.id, PaymentClaim.state, PaymentClaim.receipt)
        .where(PaymentClaim.state.not_in([ClaimState.ACCEPTED, ClaimState.REFUSED]), ~has_a_person)
        .order_by(PaymentClaim.id)
    )
    return [Row(f"claim {row.id}", f"of {row.receipt} is {row.state}") for row in rows]


def find_stolen_receipts(session: Session, movements: Iterable[Movement]) -> list[Row]:
    """Claims that were granted for another order than the one whose buyer had paid."""
    rightful = {one.receipt: one.order or one.meant for one in movements}
    granted = session.execute(
        select(PaymentClaim.id, PaymentClaim.receipt, Order.number)
        .join(Order, Order.id == PaymentClaim.order_id)
        .where(PaymentClaim.state == ClaimState.ACCEPTED)
        .order_by(PaymentClaim.id)
    )
    return [
        Row(f"claim {row.id}", f"gave {row.receipt} to order {row.number}")
        for row in granted
        if rightful.get(row.receipt) != row.number
    ]


def find_doubled_orders(session: Session) -> list[Row]:
    """Each request to order carries a note of its own; repeated, it must make no second order."""
    rows = session.execute(
        select(Order.note, func.count().label("times"))
        .where(Order.note.is_not(None))
        .group_by(Order.note)
        .having(func.count() > 1)
    )
    return [Row(row.note, f"was ordered {row.times} times") for row in rows]


def find_pestered_phones(told: Told) -> list[Row]:
    """Phones that were rung more often than anybody asked for."""
    return [
        Row(
            f"phone {phone}",
            f"was rung {times} times for {told.prompts_asked.get(phone, 0)} wishes",
        )
        for phone, times in sorted(told.prompts.items())
        if times > told.prompts_asked.get(phone, 0)
    ]
