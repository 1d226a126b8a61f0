"""What a person may do about a matter of money: each kind, as it may stand."""

from itertools import product

import pytest

from app.models import MONEY_TASKS, PaymentState, ReceiptState, RefundState, TaskKind
from app.services.exceptions import Action, Situation, allowed_actions

K, P, R = TaskKind, PaymentState, ReceiptState

HELD = {"payment": P.UNKNOWN, "is_held": True}
ASKED = {"payment": P.PENDING}
PAID = {"payment": P.SUCCEEDED, "has_receipt": True, "names_receipt": True, "receipt": R.MATCHED}
BY_ITSELF = {**PAID, "is_prompt": False}
FOUND_PAID = {"payment": P.SUCCEEDED}

TABLE = [
    # money without an order
    (K.UNMATCHED_MONEY, {"receipt": R.UNMATCHED}, "attach refund dismiss"),
    (K.UNMATCHED_MONEY, {"receipt": R.UNMATCHED, "refund_under_way": True}, ""),
    (K.UNMATCHED_MONEY, {"receipt": R.MATCHED}, "dismiss"),
    # what is owed back
    (K.LATE_MONEY, {**PAID, "owed_cents": 1}, "refund"),
    (K.LATE_MONEY, {**FOUND_PAID, "owed_cents": 1}, "receipt"),
    (K.LATE_MONEY, {"owed_cents": 1}, "refund"),
    (K.LATE_MONEY, PAID, "dismiss"),
    (K.DOUBLE_PAYMENT, {**PAID, "owed_cents": 1}, "refund"),
    (K.DOUBLE_PAYMENT, {**PAID, "refund_under_way": True}, "dismiss"),
    (K.OVER_PAYMENT, {**PAID, "owed_cents": 1, "refund_under_way": True}, "refund"),
    (K.OVER_PAYMENT, {**PAID}, "dismiss"),
    # nobody but a person says how it ended
    (K.WRONG_AMOUNT, HELD, "paid not_paid"),
    (K.WRONG_AMOUNT, {"payment": P.FAILED}, "paid not_paid"),
    (K.WRONG_AMOUNT, PAID, "dismiss"),
    (K.WRONG_AMOUNT, {**PAID, "receipt": None}, "paid dismiss"),
    (K.UNKNOWN_PAYMENT, HELD, "paid not_paid"),
    (K.UNKNOWN_PAYMENT, {"payment": P.UNKNOWN}, "paid"),
    (K.UNKNOWN_PAYMENT, {"payment": P.FAILED}, "paid not_paid"),
    (K.UNKNOWN_PAYMENT, FOUND_PAID, "receipt dismiss"),
    (K.UNKNOWN_PAYMENT, {**PAID, "receipt": None}, "dismiss"),
    (K.RECEIPT_CONFLICT, HELD, "paid not_paid"),
    (K.RECEIPT_CONFLICT, {"payment": P.CANCELLED, "is_held": False}, "paid not_paid"),
    (K.RECEIPT_CONFLICT, PAID, "dismiss"),
    (K.RECEIPT_CONFLICT, {**PAID, "receipt": None}, "paid dismiss"),
    (K.RECEIPT_CONFLICT, {**PAID, "payment": P.REFUNDED, "receipt": None}, "paid dismiss"),
    # reports that moved nothing
    (K.MISMATCHED_CALLBACK, ASKED, "paid dismiss"),
    (K.MISMATCHED_CALLBACK, FOUND_PAID, "receipt dismiss"),
    (K.MISMATCHED_CALLBACK, PAID, "dismiss"),
    (K.UNREADABLE_CALLBACK, HELD, "paid dismiss"),
    (K.UNREADABLE_CALLBACK, {"payment": P.FAILED}, "paid dismiss"),
    (K.UNREADABLE_CALLBACK, {"payment": P.REFUNDED, "has_receipt": True}, "dismiss"),
    # doubts
    (K.DISPUTED_PAYMENT, PAID, "is_there not_there"),
    (K.DISPUTED_PAYMENT, {**PAID, "is_proved": True}, "is_there"),
    (K.DISPUTED_PAYMENT, {**PAID, "refund_under_way": True}, "is_there"),
    (K.DISPUTED_PAYMENT, {**PAID, "payment": P.REFUNDED}, "is_there not_there"),
    (K.DISPUTED_PAYMENT, {"payment": P.FAILED}, "dismiss"),
    (K.STATEMENT_DIFFERENCE, PAID, "not_there dismiss"),
    (K.STATEMENT_DIFFERENCE, {**PAID, "is_proved": True}, "dismiss"),
    (K.STATEMENT_DIFFERENCE, {**BY_ITSELF, "is_proved": True}, "correct dismiss"),
    (K.STATEMENT_DIFFERENCE, {**BY_ITSELF, "refund_under_way": True}, "dismiss"),
    (K.STATEMENT_DIFFERENCE, {**BY_ITSELF, "payment": P.REFUNDED}, "not_there dismiss"),
    (K.STATEMENT_DIFFERENCE, FOUND_PAID, "receipt not_there dismiss"),
    (K.STATEMENT_DIFFERENCE, {}, "dismiss"),
    # what customers say
    (K.PAYMENT_CLAIM, {"claim_is_open": True}, "paid not_paid"),
    (K.PAYMENT_CLAIM, {"claim_is_open": True, "receipt": R.UNMATCHED}, "paid not_paid"),
    (K.PAYMENT_CLAIM, {}, "dismiss"),
    # refunds have actions of their own
    (K.REFUND_APPROVAL, {**PAID, "refund": RefundState.AWAITING_APPROVAL}, ""),
    (K.REFUND_APPROVAL, {**PAID, "refund": RefundState.REJECTED}, "dismiss"),
    (K.REFUND_FAILED, {**PAID, "refund": RefundState.FAILED, "owed_cents": 1}, "refund"),
    (K.REFUND_FAILED, {**PAID, "refund": RefundState.FAILED}, "dismiss"),
    (K.UNKNOWN_REFUND, {**PAID, "refund": RefundState.UNKNOWN}, ""),
    (K.UNKNOWN_REFUND, {**PAID, "refund": RefundState.SUCCEEDED}, "dismiss"),
    # the rest
    (K.STUCK_MESSAGE, {"message_waits": True}, "retry dismiss"),
    (K.STUCK_MESSAGE, {}, "dismiss"),
    (K.BROKEN_INVARIANT, {}, "dismiss"),
]


@pytest.mark.parametrize(("kind", "facts", "expected"), TABLE)
def test_what_may_be_done(kind, facts, expected):
    actions = allowed_actions(Situation(kind, **facts))
    assert " ".join(actions) == f"{expected} note".strip()
    assert allowed_actions(Situation(kind, is_open=False, **facts)) == ()


def test_the_table_speaks_of_every_kind_and_of_every_action():
    assert {row[0] for row in TABLE} == set(MONEY_TASKS)
    assert {word for row in TABLE for word in row[2].split()} | {"note"} == set(Action)


def test_nothing_that_is_undecided_can_be_closed_by_a_word():
    """Whatever the facts: a payment without an end, and money that is owed, are not dismissed."""
    for kind, payment, held, receipt, owed, leaving in product(
        MONEY_TASKS, [None, *P], (True, False), [None, *R], (0, 1), (True, False)
    ):
        found = Situation(
            kind,
            payment=payment,
            is_held=held,
            receipt=receipt,
            owed_cents=owed,
            refund_under_way=leaving,
        )
        if Action.DISMISS not in allowed_actions(found):
            continue
        if kind in {K.LATE_MONEY, K.DOUBLE_PAYMENT, K.OVER_PAYMENT, K.REFUND_FAILED}:
            assert owed == 0
        if kind in {K.WRONG_AMOUNT, K.UNKNOWN_PAYMENT, K.RECEIPT_CONFLICT}:
            assert payment in {None, P.SUCCEEDED, P.REFUNDED}
        if kind == K.DISPUTED_PAYMENT:
            assert payment not in {P.SUCCEEDED, P.REFUNDED}
