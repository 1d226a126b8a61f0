"""What a person says of a payment after a look at M-Pesa's statement."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.models import (
    LIVE_STATES,
    MoneySource,
    MpesaReceipt,
    Order,
    OrderStatus,
    Payment,
    PaymentKind,
    PaymentState,
    ReceiptState,
    Task,
    TaskKind,
)
from app.policies import Actor
from app.services.correct_money import record_decision_on
from app.services.exceptions.actions import REPORTS, Action
from app.services.exceptions.claims import accept_claim, refuse_claim
from app.services.exceptions.known_receipts import amount_on_record, refuse_taken, taken
from app.services.exceptions.take_up import about_payment, close, note, take_up
from app.services.hold_for_review import COUNTED_APART, DECIDED, REVIEW_TASKS
from app.services.payment_evidence import Proof, Settlement
from app.services.receipts import ReceiptFacts
from app.services.receive_money import Reception, receive_money
from app.services.records import solve_tasks, tell_unpaid
from app.services.settle_payment import settle_payment
from app.services.use_money import PART_PAID_GRACE
from app.utils.money import cents_to_wire

NOT_PAID_MESSAGE = (
    "We looked into it and found no money of this payment. You can pay again. If you were charged,"
    " keep the M-Pesa message and tell the shop: we will find it."
)
COUNTED_APART_MESSAGE = "Your money was another amount than we had asked for. It is counted."


@dataclass(frozen=True, slots=True)
class PaidWord:
    """What the statement shows. Without an amount it is what is on record of the receipt, or what
    was asked for.
    """

    receipt: str
    reason: str
    amount_cents: int | None = None


def say_paid(session: Session, actor: Actor, task_id: int, word: PaidWord, now: datetime) -> None:
    """A person has seen the money in M-Pesa's books: it counts, once.

    Raises NotFound, Forbidden, InvalidInput where nothing says how much it was, and Conflict:
    ``already_decided``, ``receipt_taken`` by other money, ``receipt_amount_differs`` from what
    M-Pesa reported, ``refund_under_way``, ``not_possible_now``.
    """
    case = take_up(session, actor, task_id, Action.PAID, receipt=word.receipt)
    if case.order is None:
        raise RuntimeError(f"Task {task_id} is about no order.")
    cents = amount_on_record(case, word.amount_cents)
    refuse_taken(session, case.row, case.order, cents)
    said = f"Receipt {word.receipt}, KES {cents_to_wire(cents)}. {word.reason}"
    close(session, actor, case, Action.PAID, said, now)
    if case.situation.kind == TaskKind.PAYMENT_CLAIM:
        accept_claim(session, case, now)
    facts = ReceiptFacts(word.receipt, cents, MoneySource.PERSON)
    if case.payment is None or case.payment.status not in _OPEN_TO_MONEY:
        _receive(session, case.order, facts, now)
    elif _is_its_own(case.payment, case.row, cents):
        _settle(session, case.payment, facts, now)
    else:
        _count_apart(session, actor, case.payment, facts, now)
        _receive(session, case.order, facts, now)


def say_not_paid(session: Session, actor: Actor, task_id: int, reason: str, now: datetime) -> None:
    """A person has looked and found no money: the payment failed, or the claim is refused.

    The order may be paid again, and gets the time for that. M-Pesa is asked once more: should it
    say paid after all, money wins. Raises NotFound, Forbidden, and Conflict: ``already_decided``,
    ``payment_not_held``, ``not_possible_now``.
    """
    case = take_up(session, actor, task_id, Action.NOT_PAID)
    close(session, actor, case, Action.NOT_PAID, reason, now)
    if case.situation.kind == TaskKind.PAYMENT_CLAIM:
        refuse_claim(session, case, now)
        return
    found = about_payment(case)
    _fail(session, found.payment, reason, now)
    _solve_reviews(session, actor, found.payment, "A person found that it was not paid.", now)
    if found.order.status == OrderStatus.PENDING:
        found.order.expires_at = max(found.order.expires_at, now + PART_PAID_GRACE)
        found.order.updated_at = now
    tell_unpaid(session, found.order, NOT_PAID_MESSAGE, now)
    session.flush()


def give_receipt(
    session: Session, actor: Actor, task_id: int, word: PaidWord, now: datetime
) -> None:
    """The receipt of a payment that a query found paid; nothing is counted by it.

    The task ends if all that it was about is a report that nobody could use. Raises as say_paid.
    """
    case = take_up(session, actor, task_id, Action.RECEIPT, receipt=word.receipt)
    payment = about_payment(case).payment
    if case.row is not None and case.row.state != ReceiptState.UNMATCHED:
        raise taken(word.receipt)
    refuse_taken(session, case.row, about_payment(case).order, payment.amount_cents)
    said = f"Receipt {word.receipt}. {word.reason}"
    finish = close if case.situation.kind in REPORTS else note
    finish(session, actor, case, Action.RECEIPT, said, now)
    facts = ReceiptFacts(word.receipt, payment.amount_cents, MoneySource.PERSON)
    _settle(session, payment, facts, now)


_OPEN_TO_MONEY = (*LIVE_STATES, PaymentState.FAILED, PaymentState.CANCELLED)


def _is_its_own(payment: Payment, row: MpesaReceipt | None, cents: int) -> bool:
    """The very money that was asked for; else it is a payment of its own on the same order."""
    if payment.kind != PaymentKind.STK_PUSH or payment.review_reason in DECIDED:
        return False
    had_its_end = row is not None and row.state in (
        ReceiptState.DISMISSED,
        ReceiptState.WRITTEN_OFF,
    )
    return cents == payment.amount_cents and not had_its_end


def _settle(session: Session, payment: Payment, facts: ReceiptFacts, now: datetime) -> None:
    proof = Proof(
        source=facts.source,
        result_code="0",
        result_desc="A person found it in M-Pesa's books.",
        receipt=facts.receipt,
        amount_verified=True,
        decides_review=True,
    )
    outcome = settle_payment(session, payment.id, proof, now)
    if outcome is Settlement.RECEIPT_CONFLICT:
        raise taken(facts.receipt)
    if outcome not in (Settlement.SETTLED, Settlement.ALREADY_SETTLED):
        raise RuntimeError(f"Payment {payment.id} did not take {facts.receipt}: {outcome}.")


def _receive(session: Session, order: Order, facts: ReceiptFacts, now: datetime) -> None:
    outcome = receive_money(session, facts, now, order_id=order.id)
    if outcome in (Reception.UNMATCHED, Reception.DIFFERENT):
        raise RuntimeError(f"Receipt {facts.receipt} was not counted: {outcome}.")


def _count_apart(
    session: Session, actor: Actor, payment: Payment, facts: ReceiptFacts, now: datetime
) -> None:
    """Another amount came than was asked for: the prompt ends, its money stands by itself."""
    before = payment.status
    if before in LIVE_STATES:
        payment.status = PaymentState.FAILED
        payment.finished_at = now
    if payment.review_reason not in DECIDED:
        payment.review_reason = COUNTED_APART
        payment.customer_message = COUNTED_APART_MESSAGE
    payment.next_check_at = payment.leased_until = None
    payment.updated_at = now
    amount = f"KES {cents_to_wire(facts.amount_cents)}"
    detail = f"its money is {amount} (receipt {facts.receipt}), counted by itself"
    record_decision_on(session, payment, before, detail, now)
    _solve_reviews(session, actor, payment, "A person found its money.", now)


def _fail(session: Session, payment: Payment, reason: str, now: datetime) -> None:
    before = payment.status
    if before in LIVE_STATES:
        payment.status = PaymentState.FAILED
        payment.finished_at = now
        payment.customer_message = NOT_PAID_MESSAGE
    if payment.review_reason not in DECIDED:
        payment.review_reason = None
        payment.next_check_at = now if payment.checkout_request_id is not None else None
    payment.leased_until = None
    payment.updated_at = now
    record_decision_on(session, payment, before, f"not paid: {reason}", now)


def _solve_reviews(
    session: Session, actor: Actor, payment: Payment, reason: str, now: datetime
) -> None:
    mine = (Task.payment_id == payment.id) & Task.kind.in_(REVIEW_TASKS)
    solve_tasks(session, mine, "settled", reason, now, actor_id=actor.user_id)
