"""A kept message is read and acted on, once, whoever does it and however often."""

import json
from dataclasses import replace

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from app.jobs import hear_callback
from app.jobs.process_message import process_backlog, process_message, process_waiting_messages
from app.jobs.registry import sweep
from app.models import InboxMessage, InboxSource, Order, Payment, Task
from app.services.inbox import ReceivedMessage
from tests.core import (
    ask_to_pay,
    buy,
    database_snapshot,
    differing_tables,
    make_buyer,
    push_ids,
)
from tests.factories import make_product
from tests.inbox import keep_message
from tests.looking import is_sound
from tests.safaricom import callback_body

pytestmark = pytest.mark.usefixtures("logs")


@pytest.fixture
def order(database):
    with database.transaction() as session:
        return buy(session, make_buyer(session), (make_product(session), 1))


@pytest.fixture
def payment(database, order):
    with database.transaction() as session:
        return ask_to_pay(session, order)


def keep(database, clock, body: bytes, payment_id: int | None, headers=None) -> int:
    signed = payment_id is not None
    message = ReceivedMessage(
        source=InboxSource.STK_CALLBACK if signed else InboxSource.UNSIGNED_CALLBACK,
        body=body,
        headers=headers or {},
        remote_addr="196.201.214.200",
        payment_id=payment_id,
    )
    with database.transaction() as session:
        return keep_message(session, message, clock()).id


def outcome(database, message_id: int) -> str | None:
    with database.reading() as session:
        return session.get_one(InboxMessage, message_id).outcome


def status(database, payment) -> str:
    with database.reading() as session:
        return session.get_one(Payment, payment.id).status


def tasks(database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(Task.kind).order_by(Task.id)))


def test_a_signed_success_pays_the_order_and_twice_equals_once(
    work, database, clock, gateway, order, payment
):
    message = keep(database, clock, callback_body(*push_ids(payment.id)), payment.id)
    process_message(work, message)
    once = database_snapshot(database)

    assert (outcome(database, message), status(database, payment)) == ("settled", "succeeded")
    process_message(work, message)
    process_message(work, 999_999)
    assert database_snapshot(database) == once
    assert gateway.queries == []
    assert is_sound(database, clock())


@pytest.mark.parametrize(
    ("code", "ended"),
    [(1032, "cancelled"), ("1032", "cancelled"), (1037, "failed"), (77, "failed")],
)
def test_a_signed_failure_ends_the_payment(work, database, clock, payment, code, ended):
    body = callback_body(*push_ids(payment.id), code=code, ResultDesc="whatever")
    process_message(work, keep(database, clock, body, payment.id))

    assert status(database, payment) == ended
    assert is_sound(database, clock())


def test_attack_78_numbers_are_compared_by_value_and_texts_are_no_amounts(
    work, database, clock, gateway, order, payment
):
    for amount, expected in (("1500", "incomplete"), (1500.001, "incomplete"), (1500.0, "settled")):
        body = callback_body(*push_ids(payment.id), amount=amount)
        message = keep(database, clock, body, payment.id)
        process_message(work, message)
        assert outcome(database, message) == expected
    assert len(gateway.queries) == 2
    assert is_sound(database, clock())


@pytest.mark.parametrize(
    "headers", [{}, {"businessshortcode": "174379"}, {"user-agent": "anything"}]
)
def test_the_shortcode_header_is_ours_or_missing(work, database, clock, payment, headers):
    body = callback_body(*push_ids(payment.id))
    message = keep(database, clock, body, payment.id, headers)
    process_message(work, message)

    assert outcome(database, message) == "settled"


def test_a_till_is_also_ours_and_another_shortcode_is_not(work, database, clock, gateway, payment):
    with_till = replace(work, config=replace(work.config, mpesa_till="555555"))
    body = callback_body(*push_ids(payment.id))
    foreign = keep(database, clock, body, payment.id, {"businessshortcode": "999999"})
    process_message(with_till, foreign)
    assert (outcome(database, foreign), status(database, payment)) == ("mismatched", "pending")
    assert gateway.queries == [push_ids(payment.id)[1]]

    own = keep(database, clock, body, payment.id, {"businessshortcode": "555555"})
    process_message(with_till, own)
    assert outcome(database, own) == "settled"


def test_a_mismatch_has_the_query_decide_at_once(work, database, clock, gateway, payment):
    gateway.says(push_ids(payment.id)[1], "0")
    body = callback_body("0-0-0", push_ids(payment.id)[1])
    message = keep(database, clock, body, payment.id)
    process_message(work, message)

    assert outcome(database, message) == "mismatched"
    assert status(database, payment) == "succeeded"
    assert tasks(database) == ["mismatched_callback"]
    assert is_sound(database, clock())


def nested(document) -> bytes:
    return json.dumps({"Body": {"stkCallback": document}}).encode()


IDS = {"MerchantRequestID": "a", "CheckoutRequestID": "b"}
UNREADABLE = {
    "nothing": b"",
    "no JSON": b"<Envelope/>",
    "no body": b"{}",
    "a list": b"[1, 2]",
    "null": b"null",
    "binary": b"\xff\xfe\x00\x00",
    "cut": callback_body("a", "b")[:-30],
    "NaN": b'{"Body": NaN}',
    "deep": b"[" * 5000 + b"]" * 5000,
    "no ids": nested({"ResultCode": 0}),
    "no result": nested(IDS),
    "a result that is a list": nested({**IDS, "ResultCode": [0]}),
    "ids that are numbers": nested({"MerchantRequestID": 1, "CheckoutRequestID": 2}),
    "an id that no column holds": nested(
        {"MerchantRequestID": "m", "CheckoutRequestID": "c" * 101, "ResultCode": 0}
    ),
    "half a surrogate": b'{"Body": {"stkCallback": {"ResultDesc": "\\ud800"}}}',
    "64 kB and more": callback_body("a", "b", Padding="x" * 70_000),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_attack_84_what_cannot_be_read_is_kept_and_the_query_decides(
    work, database, clock, gateway, payment, case
):
    before = database_snapshot(database)
    signed = keep(database, clock, UNREADABLE[case], payment.id)
    unsigned = keep(database, clock, UNREADABLE[case], None)
    process_message(work, signed)
    process_message(work, unsigned)

    assert (outcome(database, signed), outcome(database, unsigned)) == ("unreadable", "unreadable")
    assert status(database, payment) == "pending"
    assert gateway.queries == [push_ids(payment.id)[1]]
    assert tasks(database) == ["unreadable_callback"]
    assert differing_tables(before, database_snapshot(database)) == {
        "callback_inbox",
        "payments",
        "payment_events",
        "tasks",
        "paces",
    }
    assert is_sound(database, clock())


ODD_ITEMS = {
    "a dict": {"Item": {"Name": "Amount", "Value": 1500}},
    "missing": None,
    "ten thousand": {"Item": [{"Name": "X", "Value": 1}] * 1000},
    "two amounts": {
        "Item": [
            {"Name": "Amount", "Value": 1500},
            {"Name": "Amount", "Value": 1},
            {"Name": "MpesaReceiptNumber", "Value": "UKM0000001"},
        ]
    },
}


@pytest.mark.parametrize("case", ODD_ITEMS)
def test_attack_84_a_success_with_odd_metadata_proves_nothing(
    work, database, clock, gateway, payment, case
):
    ids = dict(zip(("MerchantRequestID", "CheckoutRequestID"), push_ids(payment.id), strict=True))
    body = nested({**ids, "ResultCode": 0, "CallbackMetadata": ODD_ITEMS[case]})
    message = keep(database, clock, body, payment.id)
    process_message(work, message)

    assert outcome(database, message) == "incomplete"
    assert status(database, payment) == "pending"
    assert len(gateway.queries) == 1


def test_attack_77_an_unsigned_success_proves_nothing_until_the_query_says_so(
    work, database, clock, gateway, order, payment
):
    body = callback_body(*push_ids(payment.id))
    first = keep(database, clock, body, None)
    process_message(work, first)
    assert (outcome(database, first), status(database, payment)) == ("queried", "pending")
    assert len(gateway.queries) == 1

    gateway.says(push_ids(payment.id)[1], "0", "Done")
    process_message(work, keep(database, clock, body, None))
    with database.reading() as session:
        kept = session.get_one(Payment, payment.id)
        assert (kept.status, kept.mpesa_receipt, kept.amount_verified) == (
            "succeeded",
            None,
            False,
        )
        assert session.get_one(Order, order.id).status == "paid"
    assert is_sound(database, clock())


def test_an_unsigned_failure_ends_nothing_by_itself(work, database, clock, gateway, payment):
    body = callback_body(*push_ids(payment.id), code=1032)
    process_message(work, keep(database, clock, body, None))

    assert status(database, payment) == "pending"


def test_a_flood_of_unsigned_garbage_asks_nobody_and_moves_nothing(
    work, database, clock, gateway, payment
):
    before = database_snapshot(database)
    for number in range(20):
        body = callback_body("x", f"ws_CO_guess{number}") if number % 2 else b"garbage"
        process_message(work, keep(database, clock, body, None))

    assert gateway.queries == []
    assert differing_tables(before, database_snapshot(database)) == {"callback_inbox"}
    with database.reading() as session:
        assert set(session.scalars(select(InboxMessage.outcome))) == {"unmatched", "unreadable"}


def test_a_callback_with_the_ids_of_another_prompt_is_told_to_a_person_and_blocks_nobody(
    work, database, clock, payment, logs
):
    """The database refuses one id on two payments; the message behind it is processed all the
    same.
    """
    with database.transaction() as session:
        other = buy(session, make_buyer(session), (make_product(session), 1))
        silent = ask_to_pay(session, other, pushed=False)
    stuck = keep(database, clock, callback_body(*push_ids(payment.id)), silent.id)
    sound = keep(database, clock, callback_body(*push_ids(payment.id)), payment.id)
    clock.advance(seconds=3)
    process_waiting_messages(work)

    assert (outcome(database, stuck), outcome(database, sound)) == (None, "settled")
    assert tasks(database) == ["stuck_message"]
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["message_stuck"]
    clock.advance(hours=1)
    assert is_sound(database, clock())


def test_a_message_that_meets_a_bug_is_told_tried_again_and_processed_when_it_is_mended(
    work, database, clock, payment, monkeypatch
):
    message = keep(database, clock, callback_body(*push_ids(payment.id)), payment.id)

    def burst(*_args) -> None:
        raise KeyError("a bug")

    before = database_snapshot(database)
    with monkeypatch.context() as broken:
        broken.setattr(hear_callback, "apply_callback", burst)
        for _ in range(3):
            process_message(work, message)
    assert differing_tables(before, database_snapshot(database)) == {"callback_inbox", "tasks"}
    with database.reading() as session:
        kept = session.get_one(InboxMessage, message)
        assert (kept.attempts, kept.error, kept.processed_at) == (3, "KeyError('a bug')", None)
    assert tasks(database) == ["stuck_message"]

    clock.advance(seconds=3)
    sweep(work)
    assert (outcome(database, message), status(database, payment)) == ("settled", "succeeded")
    assert is_sound(database, clock())


def test_a_database_that_stutters_is_no_fault_of_the_message(
    work, database, clock, payment, monkeypatch
):
    """Nobody is told, nothing is counted, and the messages behind it are processed all the same."""
    first = keep(database, clock, callback_body(*push_ids(payment.id)), payment.id)
    second = keep(database, clock, b"garbage", None)
    before = database_snapshot(database)

    def stutter(*_args) -> None:
        raise OperationalError("COMMIT", {}, Exception("server closed the connection"))

    with monkeypatch.context() as broken:
        broken.setattr(hear_callback, "apply_callback", stutter)
        with pytest.raises(OperationalError):
            process_message(work, first)
        assert database_snapshot(database) == before
        clock.advance(seconds=3)
        process_waiting_messages(work)
    assert (outcome(database, first), outcome(database, second)) == (None, "unreadable")

    process_waiting_messages(work)
    assert outcome(database, first) == "settled"
    assert tasks(database) == []


def test_a_bell_for_a_backlog_has_all_of_it_read_and_each_message_tried_once(
    work, database, clock, payment, doorbell, monkeypatch
):
    body = callback_body(*push_ids(payment.id))
    tried, hear = [], hear_callback.read_stk_callback

    def remember(body: bytes):
        tried.append(body)
        if body == b"{}":
            raise KeyError("a reader's own mistake")
        return hear(body)

    monkeypatch.setattr(hear_callback, "read_stk_callback", remember)
    broken = keep(database, clock, b"{}", payment.id)
    young = [keep(database, clock, body, payment.id) for _ in range(2)]
    process_backlog(work, young[0])

    assert tried == [b"{}", body, body]
    assert outcome(database, broken) is None
    assert [outcome(database, one) for one in young] == ["settled", "already_settled"]
    assert doorbell.rings == []


def test_after_a_good_many_messages_the_bell_is_rung_again(
    work, database, clock, payment, doorbell, monkeypatch
):
    monkeypatch.setattr("app.jobs.process_message._MOST_PER_BELL", 2)
    kept = [keep(database, clock, b"x", payment.id) for _ in range(2)]
    process_backlog(work, kept[1])

    assert [outcome(database, one) for one in kept] == ["unreadable"] * 2
    assert ("process_backlog", kept[1], 0) in doorbell.rings
