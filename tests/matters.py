"""Matters of money as they come about: each kind made by the services that file it."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import (
    InboxSource,
    MoneySource,
    Order,
    Payment,
    PaymentClaim,
    PaymentState,
    Product,
    Refund,
    Task,
    TaskKind,
    User,
)
from app.ports import PushStatus, Verdict
from app.services.apply_callback import report_unreadable
from app.services.confirm_payment import confirm_payment
from app.services.due_payments import note_no_verdict
from app.services.end_order import cancel_order
from app.services.fail_payment import fail_payment
from app.services.inbox import ReceivedMessage, finish_message, report_stuck_message
from app.services.payment_evidence import Failure, Proof
from app.services.receipts import ReceiptFacts
from app.services.receive_money import receive_money
from app.services.records import Matter, file_task
from app.services.settle_payment import settle_payment
from tests.core import SCHEDULE, after, ask_to_pay, buy, make_buyer, pay
from tests.factories import NOW, actor_of, make_product
from tests.inbox import keep_message

TIMED_OUT = Failure("query", PaymentState.FAILED, "1037", "DS timeout", "We could not reach you.")
LIED = PushStatus(Verdict.FAILED, "1032", "Request cancelled by user")


def comes_in(
    session: Session,
    receipt: str,
    cents: int,
    reference: str | None = None,
    *,
    source: str = MoneySource.C2B,
    now: datetime = NOW,
    **facts,
) -> str:
    """M-Pesa reports money; answers what became of it."""
    said = ReceiptFacts(receipt, cents, source, bill_reference=reference, **facts)
    return str(receive_money(session, said, now))


def boots_for(session: Session, cents: int = 150_000, stock: int = 5) -> Product:
    return make_product(session, stock=stock, price_cents=cents)


def new_order(session: Session, *, now: datetime = NOW, **boots) -> Order:
    """An order of one pair of boots at KES 1500."""
    return buy(session, make_buyer(session), (boots_for(session, **boots), 1), now=now)


def unmatched(
    session: Session,
    *,
    receipt: str = "UKC0000001",
    cents: int = 150_000,
    payer_phone: str | None = "254711222333",
) -> Task:
    comes_in(
        session,
        receipt,
        cents,
        "BOOTS",
        payer_phone=payer_phone,
        payer_name="JANE WANJIKU DOE",
        transacted_at=NOW,
    )
    return the_task(session, TaskKind.UNMATCHED_MONEY)


def late(session: Session) -> Task:
    """The buyer called it off, and the money came all the same."""
    order = new_order(session)
    payment = ask_to_pay(session, order)
    cancel_order(session, actor_of_buyer(session, order), order.id, NOW)
    pay(session, payment)
    return the_task(session, TaskKind.LATE_MONEY)


def doubled(session: Session) -> Task:
    order = new_order(session)
    first = ask_to_pay(session, order)
    fail_payment(session, first.id, TIMED_OUT, NOW)
    pay(session, ask_to_pay(session, order, after(minutes=4)), after(minutes=5))
    pay(session, first, after(minutes=6))
    return the_task(session, TaskKind.DOUBLE_PAYMENT)


def over(session: Session) -> Task:
    order = new_order(session)
    comes_in(session, "UKC0000002", 170_000, order.number)
    return the_task(session, TaskKind.OVER_PAYMENT)


def wrong_amount(session: Session) -> Task:
    """KES 1500 was asked for, and the callback speaks of 1000."""
    payment = ask_to_pay(session, new_order(session))
    pay(session, payment, amount_cents=100_000)
    return the_task(session, TaskKind.WRONG_AMOUNT)


def mismatched(session: Session) -> Task:
    payment = ask_to_pay(session, new_order(session))
    pay(session, payment, merchant_request_id="somebody-elses")
    return the_task(session, TaskKind.MISMATCHED_CALLBACK)


def unreadable(session: Session) -> Task:
    payment = ask_to_pay(session, new_order(session))
    message = keep_message(
        session, ReceivedMessage(InboxSource.STK_CALLBACK, b"{", {}, None, payment.id), NOW
    )
    finish_message(message, report_unreadable(session, message, "no JSON", NOW), NOW)
    return the_task(session, TaskKind.UNREADABLE_CALLBACK)


def given_up(session: Session) -> Task:
    """M-Pesa was asked for a whole day, and never said."""
    payment = ask_to_pay(session, new_order(session))
    note_no_verdict(session, payment.id, "4999 being processed", SCHEDULE, after(days=1))
    return the_task(session, TaskKind.UNKNOWN_PAYMENT)


def never_answered(session: Session) -> Task:
    """Nobody knows whether the prompt ever went out."""
    payment = ask_to_pay(session, new_order(session), pushed=False)
    note_no_verdict(session, payment.id, "no answer", SCHEDULE, after(minutes=15))
    return the_task(session, TaskKind.UNKNOWN_PAYMENT)


def found_paid(session: Session) -> Task:
    """A report that did not fit; a query then found the payment paid, and named no receipt."""
    task = mismatched(session)
    proof = Proof("query", "0", "The service request is processed successfully.")
    settle_payment(session, task.payment_id, proof, NOW)
    return task


def disputed(session: Session, order: Order | None = None, now: datetime = NOW) -> Task:
    """A callback said paid, and M-Pesa says that it was not."""
    payment = ask_to_pay(session, order or new_order(session), now)
    assert pay(session, payment, now) == "settled"
    confirm_payment(session, payment.id, LIED, now)
    return the_task(session, TaskKind.DISPUTED_PAYMENT)


def conflicting(session: Session) -> Task:
    """The receipt of another order's payment is reported for this one."""
    paid = ask_to_pay(session, new_order(session))
    pay(session, paid)
    other = ask_to_pay(session, new_order(session))
    pay(session, other, receipt=paid.mpesa_receipt)
    return the_task(session, TaskKind.RECEIPT_CONFLICT)


def two_receipts(session: Session) -> Task:
    """One payment was reported twice, each time with another receipt."""
    payment = ask_to_pay(session, new_order(session))
    pay(session, payment)
    pay(session, payment, receipt="UKSECOND01")
    return the_task(session, TaskKind.RECEIPT_CONFLICT)


def different(
    session: Session,
    *,
    booked: int = 150_000,
    said: int = 100_000,
    receipt: str = "UKC0000003",
) -> Task:
    """A person typed one amount, and M-Pesa's books have another."""
    order = new_order(session)
    facts = ReceiptFacts(receipt, booked, MoneySource.PERSON)
    receive_money(session, facts, NOW, order_id=order.id)
    comes_in(session, receipt, said, order.number, source=MoneySource.STATEMENT)
    return the_task(session, TaskKind.STATEMENT_DIFFERENCE)


def claimed(session: Session, *, receipt: str = "UKCLAIM001") -> Task:
    """A customer names a receipt that nobody knows, and M-Pesa cannot be asked about it."""
    order = new_order(session)
    session.add(
        PaymentClaim(
            order_id=order.id,
            user_id=order.user_id,
            receipt=receipt,
            state="with_a_person",
            created_at=NOW,
            updated_at=NOW,
        )
    )
    return filed(session, TaskKind.PAYMENT_CLAIM, order_id=order.id, receipt=receipt)


def refund_of(session: Session, payment: Payment, state: str, cents: int | None = None) -> Refund:
    refund = Refund(
        kind="payout",
        state=state,
        order_id=payment.order_id,
        payment_id=payment.id,
        receipt=payment.mpesa_receipt,
        amount_cents=cents or payment.amount_cents,
        reason="Sent back",
        requested_by=payment.user_id,
        next_check_at=NOW,
        created_at=NOW,
        updated_at=NOW,
    )
    session.add(refund)
    session.flush()
    return refund


def refunding(session: Session, kind: TaskKind, state: str) -> Task:
    """A refund that a person has to look at, of an order that is paid."""
    payment = ask_to_pay(session, new_order(session))
    pay(session, payment)
    session.refresh(payment)
    refund = refund_of(session, payment, state)
    return filed(session, kind, payment=payment, refund_id=refund.id)


def stuck(session: Session, body: bytes = b"{}") -> Task:
    message = keep_message(
        session, ReceivedMessage(InboxSource.UNSIGNED_CALLBACK, body, {}, None), NOW
    )
    report_stuck_message(session, message.id, "RuntimeError('no')", NOW)
    return the_task(session, TaskKind.STUCK_MESSAGE)


def broken(session: Session) -> Task:
    return filed(session, TaskKind.BROKEN_INVARIANT)


def filed(session: Session, kind: TaskKind, **about) -> Task:
    file_task(session, Matter(kind, "Look at it", "It is odd", f"{kind}:1"), NOW, **about)
    return the_task(session, kind)


EVERY_KIND = {
    "unmatched": unmatched,
    "late": late,
    "doubled": doubled,
    "over": over,
    "wrong_amount": wrong_amount,
    "mismatched": mismatched,
    "unreadable": unreadable,
    "given_up": given_up,
    "never_answered": never_answered,
    "disputed": disputed,
    "conflicting": conflicting,
    "two_receipts": two_receipts,
    "different": different,
    "claimed": claimed,
    "refund_approval": lambda session: refunding(
        session, TaskKind.REFUND_APPROVAL, "awaiting_approval"
    ),
    "refund_failed": lambda session: refunding(session, TaskKind.REFUND_FAILED, "failed"),
    "unknown_refund": lambda session: refunding(session, TaskKind.UNKNOWN_REFUND, "unknown"),
    "stuck": stuck,
    "broken": broken,
}
"""Each kind in the shape in which it mostly comes, some in two."""


def the_task(session: Session, kind: TaskKind) -> Task:
    """The latest of its kind."""
    session.flush()
    mine = select(Task).where(Task.kind == kind).order_by(Task.id.desc()).limit(1)
    return session.scalars(mine.execution_options(populate_existing=True)).one()


def order_of(session: Session, task: Task) -> Order:
    order_id = task.order_id or session.get_one(Payment, task.payment_id).order_id
    return session.get_one(Order, order_id, populate_existing=True)


def payment_of(session: Session, task: Task) -> Payment:
    return session.get_one(Payment, task.payment_id, populate_existing=True)


def actor_of_buyer(session: Session, order: Order):
    return actor_of(session.get_one(User, order.user_id))
