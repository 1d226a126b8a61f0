"""How a claim ends, or goes to a person. The caller has locked its order, then the claim."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import (
    ClaimState,
    MpesaReceipt,
    MpesaRequest,
    Order,
    PaymentClaim,
    Task,
    TaskKind,
    User,
)
from app.services.claims.said import ACCEPTED, WITH_A_PERSON
from app.services.move_order import lock_with_order
from app.services.mpesa_requests import expire_requests
from app.services.records import Matter, file_task, notify, solve_tasks
from app.utils.money import cents_to_wire
from app.utils.phone import mask_msisdn, whole_msisdn


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a person has to decide, as that person is told."""

    description: str


def lock_claim(session: Session, claim_id: int) -> tuple[Order, PaymentClaim]:
    """The claim's order, then the claim, both as they are now and locked until the end."""
    return lock_with_order(session, PaymentClaim, claim_id)


def accept_claim(session: Session, claim: PaymentClaim, now: datetime) -> None:
    """The money is used for the claim's order."""
    _end(session, claim, ClaimState.ACCEPTED, ACCEPTED, now)


def refuse_claim(session: Session, claim: PaymentClaim, message: str, now: datetime) -> None:
    """No money was found that could be used for the claim's order; its buyer is told why."""
    _end(session, claim, ClaimState.REFUSED, message, now)
    number = session.scalar(select(Order.number).where(Order.id == claim.order_id))
    notify(
        session,
        claim.user_id,
        "claim_refused",
        title=f"We did not find your payment for order {number}",
        body=message,
        now=now,
        order_id=claim.order_id,
    )
    session.flush()


def hand_claim_over(session: Session, claim: PaymentClaim, doubt: Doubt, now: datetime) -> None:
    """A person decides, with all that is known; once for each claim."""
    claim.state, claim.message = ClaimState.WITH_A_PERSON, WITH_A_PERSON
    claim.next_check_at, claim.updated_at = None, now
    session.flush()
    file_claim_task(session, claim, doubt, now)


def file_claim_task(session: Session, claim: PaymentClaim, doubt: Doubt, now: datetime) -> None:
    """Tell a person who claims what, and what is known of the receipt."""
    order = session.get_one(Order, claim.order_id)
    row = session.get(MpesaReceipt, claim.receipt)
    matter = Matter(
        kind=TaskKind.PAYMENT_CLAIM,
        title=f"The buyer of order {order.number} says that receipt {claim.receipt} pays it",
        description=" ".join(
            (_describe_buyer(session, order), _describe_receipt(row), doubt.description)
        ),
        dedupe_key=task_key(claim),
    )
    file_task(session, matter, now, order_id=order.id, receipt=claim.receipt)
    session.flush()


def task_key(claim: PaymentClaim) -> str:
    return f"{TaskKind.PAYMENT_CLAIM}:{claim.id}"


def _end(
    session: Session, claim: PaymentClaim, state: ClaimState, message: str, now: datetime
) -> None:
    claim.state, claim.message = state, message
    claim.next_check_at, claim.updated_at = None, now
    session.flush()
    mine = Task.dedupe_key == task_key(claim)
    solve_tasks(session, mine, f"claim_{state}", message, now)
    asked = select(MpesaRequest.id).where(MpesaRequest.claim_id == claim.id)
    expire_requests(session, session.scalars(asked).all())
    session.flush()


def _describe_buyer(session: Session, order: Order) -> str:
    buyer = session.get_one(User, order.user_id)
    phone = mask_msisdn(order.phone_number or buyer.phone_number)
    return (
        f"{buyer.username} (phone {phone}) wants order {order.number}, which is {order.status} and"
        f" costs KES {cents_to_wire(order.total_cents)}, to be paid with it."
    )


def _describe_receipt(row: MpesaReceipt | None) -> str:
    if row is None:
        return "No road has told us of this receipt yet."
    moved = f", {row.transacted_at:%Y-%m-%d %H:%M} UTC" if row.transacted_at else ""
    typed = f", account {row.bill_reference!r}" if row.bill_reference else ", no account"
    payer = f", from {_shown(row.payer_phone)}" if row.payer_phone else ", from an unknown phone"
    return (
        f"The receipt is KES {cents_to_wire(row.amount_cents)}{payer}{typed}{moved}; it is"
        f" {row.state} here."
    )


def _shown(phone: str) -> str:
    """What M-Pesa shows of a phone, but never the whole number."""
    whole = whole_msisdn(phone)
    return mask_msisdn(whole) if whole else phone[:20]
