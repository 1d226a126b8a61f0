"""The first step of a payment: the wish to pay goes on record before anything is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.errors import Conflict, Forbidden, InvalidInput, TooManyRequests
from app.models import (
    LIVE_STATES,
    Order,
    OrderStatus,
    Payment,
    PaymentKind,
    PaymentState,
    User,
)
from app.policies import Actor, may_pay_for
from app.services.move_order import live_attempt_of, lock_visible_order
from app.services.paces import lock_pace
from app.services.read_orders import due_shillings, money_of
from app.services.records import record_payment_event
from app.utils.callback_secret import CallbackSecret
from app.utils.money import CENTS_PER_SHILLING

PROMPT_ENDS_AFTER = timedelta(minutes=3)
"""By then no phone shows the prompt any more, whatever became of it."""

PHONE_PACE = "phone:"


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """What the payer asks for; the amount is the order's, never theirs."""

    order_id: int
    msisdn: str | None = None


@dataclass(frozen=True, slots=True)
class PaymentRules:
    """The most that M-Pesa carries, how often one phone may be rung, when to look first."""

    max_amount_shillings: int
    prompts_per_phone_10_minutes: int
    prompts_per_phone_day: int
    first_check_seconds: float


def request_payment(
    session: Session,
    actor: Actor,
    ask: PaymentRequest,
    secret: CallbackSecret,
    rules: PaymentRules,
    now: datetime,
) -> Payment:
    """Put the wish to pay on record; send nothing.

    Raises NotFound if the order is missing or not the actor's to see, Forbidden if it is somebody
    else's to pay, Conflict if it awaits no payment or a prompt is still out for it or its phone,
    InvalidInput without a phone, TooManyRequests when that phone was rung too often.
    """
    order = lock_visible_order(session, actor, ask.order_id)  # a second tap waits here
    if not may_pay_for(actor, order):
        raise Forbidden("Only its buyer pays for an order.")
    _refuse_unpayable(session, order, now)
    msisdn = ask.msisdn or order.phone_number or _phone_of(session, actor)
    _refuse_harassment(session, msisdn, rules, now)
    shillings = due_shillings(order, money_of(session, [order.id])[order.id])
    if shillings > rules.max_amount_shillings:
        raise Conflict(
            f"M-Pesa carries at most KES {rules.max_amount_shillings} in one payment.",
            code="above_mpesa_limit",
        )
    payment = Payment(
        order_id=order.id,
        user_id=actor.user_id,
        kind=PaymentKind.STK_PUSH,
        status=PaymentState.CREATED,
        amount_cents=shillings * CENTS_PER_SHILLING,
        msisdn=msisdn,
        callback_secret_hash=secret.hash,
        next_check_at=now + timedelta(seconds=rules.first_check_seconds),
        created_at=now,
        updated_at=now,
    )
    session.add(payment)
    session.flush()  # assigns payment.id, which the callback address carries
    record_payment_event(
        session,
        payment.id,
        from_status=None,
        to_status=PaymentState.CREATED,
        source="request",
        now=now,
    )
    session.flush()
    return payment


def _refuse_unpayable(session: Session, order: Order, now: datetime) -> None:
    if order.status != OrderStatus.PENDING:
        raise Conflict(
            f"Order {order.number} is {order.status} and awaits no payment.",
            code="order_not_payable",
        )
    live = session.scalar(select(Payment.id).where(live_attempt_of(order.id)))
    if live is not None:
        raise Conflict(
            "A payment for this order is still under way: look at the phone, or wait a moment.",
            code="payment_in_progress",
            transaction_id=live,
        )
    if order.expires_at <= now:
        raise Conflict(
            f"Order {order.number} has expired. Please order again.", code="order_not_payable"
        )


def _phone_of(session: Session, actor: Actor) -> str:
    msisdn = session.scalar(select(User.phone_number).where(User.id == actor.user_id))
    if msisdn is None:
        raise InvalidInput.field(
            "phone_number", "Say which phone is to pay: your profile has no phone number."
        )
    return msisdn


def _refuse_harassment(session: Session, msisdn: str, rules: PaymentRules, now: datetime) -> None:
    """One prompt at a time for a phone, and few that it did not pay, whoever asks for them.

    The phone is ours until the transaction ends: of two orders that ring it, one waits here.
    """
    lock_pace(session, f"{PHONE_PACE}{msisdn}", now).next_at = now + PROMPT_ENDS_AFTER
    asked = session.execute(
        select(Payment.status, Payment.created_at).where(
            Payment.msisdn == msisdn,
            Payment.created_at > now - timedelta(days=1),
            Payment.status.not_in([PaymentState.SUCCEEDED, PaymentState.REFUNDED]),
            # one that was surely refused rang nobody
            Payment.sent_at.is_not(None) | Payment.status.in_(LIVE_STATES),
        )
    ).all()
    ringing = [
        row.created_at
        for row in asked
        if row.status in (PaymentState.CREATED, PaymentState.PENDING)
        and row.created_at > now - PROMPT_ENDS_AFTER
    ]
    if ringing:
        raise Conflict(
            "Another payment prompt is on this phone. Answer it first, or wait a minute.",
            code="phone_busy",
            retry_after_seconds=60,
        )
    unpaid = sorted(row.created_at for row in asked)
    for limit, window in (
        (rules.prompts_per_phone_10_minutes, timedelta(minutes=10)),
        (rules.prompts_per_phone_day, timedelta(days=1)),
    ):
        _refuse_beyond(unpaid, limit, window, now)


def _refuse_beyond(
    unpaid: Sequence[datetime], limit: int, window: timedelta, now: datetime
) -> None:
    recent = [moment for moment in unpaid if moment > now - window]
    if len(recent) >= limit:
        free_at = recent[-limit] + window
        raise TooManyRequests(
            "This phone was asked too often without paying. Wait before asking it again.",
            code="too_many_prompts",
            retry_after_seconds=max(1, int((free_at - now).total_seconds()) + 1),
        )
