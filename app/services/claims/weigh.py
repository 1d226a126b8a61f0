"""What M-Pesa's answer about a receipt does to the claim that made us ask.

The caller has locked the claim's order, then the claim.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.models import UNDECIDED_CLAIMS, MoneySource, Order, PaymentClaim, ReceiptState
from app.services.claims.end import Doubt, accept_claim, hand_claim_over, refuse_claim
from app.services.claims.register import (
    find_doubt_of_payer,
    find_told,
    is_counted_for,
    judge_by_register,
)
from app.services.claims.said import NOT_COMPLETED, NOT_FOUND, NOT_OURS, SENT_BACK
from app.services.receipts import ReceiptFacts
from app.services.receive_money import receive_money


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """What M-Pesa's books say of one transaction. Numbers are empty where they cannot be read.

    What is neither completed nor failed nor sent back may still become any of them.
    """

    receipt: str | None
    is_completed: bool
    is_failed: bool
    is_reversed: bool
    amount_cents: int | None
    payer_phone: str
    payer_name: str
    credited_number: str
    transacted_at: datetime | None


def weigh_status(
    session: Session,
    claim: PaymentClaim,
    said: StatusFacts,
    shortcodes: Collection[str],
    now: datetime,
) -> str:
    """Decide a claim by M-Pesa's own books; answers the state that it is in then.

    Money that is ours is counted whoever claims it: for the claim's order if the payer's phone is
    surely its buyer's, else without an order, and a person is told who claims it.
    """
    if claim.state not in UNDECIDED_CLAIMS:
        return claim.state
    order = session.get_one(Order, claim.order_id)
    row = find_told(session, claim.receipt)
    if row is not None and row.state != ReceiptState.UNMATCHED:
        judge_by_register(session, order, claim, row, now)
    elif said.is_reversed:
        refuse_claim(session, claim, SENT_BACK, now)
    elif said.is_failed:
        refuse_claim(session, claim, NOT_COMPLETED, now)
    elif not said.is_completed:
        pass  # it is asked about again
    elif said.credited_number and said.credited_number not in shortcodes:
        refuse_claim(session, claim, NOT_OURS, now)
    elif (doubt := _find_gap(claim, said)) is not None:
        hand_claim_over(session, claim, doubt, now)
    else:
        _count(session, order, claim, said, now)
    return claim.state


def weigh_absence(session: Session, claim: PaymentClaim, now: datetime) -> str:
    """M-Pesa knows no such receipt, or not as ours; answers the claim's state.

    Where another road has told of the receipt meanwhile, the register decides instead.
    """
    if claim.state in UNDECIDED_CLAIMS and find_told(session, claim.receipt) is None:
        refuse_claim(session, claim, NOT_FOUND, now)
    return claim.state


def note_no_facts(session: Session, claim: PaymentClaim, reason: str, now: datetime) -> str:
    """An answer came that nobody can read: a person does; answers the claim's state."""
    if claim.state in UNDECIDED_CLAIMS:
        doubt = Doubt(description=f"M-Pesa's answer about it could not be read ({reason}).")
        hand_claim_over(session, claim, doubt, now)
    return claim.state


def _find_gap(claim: PaymentClaim, said: StatusFacts) -> Doubt | None:
    if said.receipt != claim.receipt:
        return Doubt(description="M-Pesa answered about another receipt, or about none.")
    if not said.credited_number:
        return Doubt(description="M-Pesa does not say to whose number the money went.")
    if said.amount_cents is None:
        return Doubt(description="M-Pesa does not say how much it was.")
    return None


def _count(
    session: Session, order: Order, claim: PaymentClaim, said: StatusFacts, now: datetime
) -> None:
    facts = ReceiptFacts(
        receipt=claim.receipt,
        amount_cents=said.amount_cents or 0,
        source=MoneySource.STATUS,
        transacted_at=said.transacted_at,
        payer_phone=said.payer_phone or None,
        payer_name=said.payer_name or None,
    )
    doubt = find_doubt_of_payer(session, order, facts, now)
    receive_money(session, facts, now, order_id=order.id if doubt is None else None)
    row = find_told(session, claim.receipt)
    if row is None:
        raise RuntimeError(f"Receipt {claim.receipt} was counted and is not there.")
    if row.state == ReceiptState.UNMATCHED or row.amount_cents != facts.amount_cents:
        unsure = Doubt(description="It was counted with another amount before.")
        hand_claim_over(session, claim, doubt or unsure, now)
    elif is_counted_for(session, row, order):
        accept_claim(session, claim, now)
    else:
        judge_by_register(session, order, claim, row, now)
