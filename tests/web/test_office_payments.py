"""Payments in the office: found, and shown with all their evidence but no secret."""

import pytest

from app.models import InboxSource, Order
from app.policies import Role
from app.services.inbox import ReceivedMessage, finish_message
from app.utils.order_number import new_order_number
from app.web.office.raw import readable
from tests.core import after, ask_to_pay, buy, make_buyer, pay, receipt_of
from tests.factories import NOW, make_product, make_user
from tests.inbox import keep_message
from tests.web.browsing import Browser, signed_in, words

BODY = b'{"Body":{"stkCallback":{"ResultCode":0,"Amount":1500.00,"Note":"<script>x</script>"}}}'


@pytest.fixture
def admin(app, database):
    with database.transaction() as session:
        user = make_user(session, Role.ADMIN)
    return signed_in(app, user)


@pytest.fixture
def seller(database):
    with database.transaction() as session:
        return make_user(session, Role.SELLER)


@pytest.fixture
def paid(database, seller):
    """A payment of KSh 1,500 from 0711 222 333, with its callback."""
    with database.transaction() as session:
        order = buy(session, make_buyer(session), (make_product(session, seller), 1))
        payment = ask_to_pay(session, order, msisdn="254711222333")
        message = ReceivedMessage(
            source=InboxSource.STK_CALLBACK,
            body=BODY,
            headers={"user-agent": "Daraja"},
            remote_addr="196.201.214.200",
            payment_id=payment.id,
        )
        kept = keep_message(session, message, NOW)
        pay(session, payment)
        finish_message(kept, "settled", NOW)
    return payment


@pytest.fixture
def failed(database, seller):
    with database.transaction() as session:
        order = buy(
            session, make_buyer(session), (make_product(session, seller), 1), now=after(days=1)
        )
        payment = ask_to_pay(session, order, after(days=1))
        payment.status = "failed"
    return payment


def test_only_an_admin_sees_payments(app, admin, seller, paid):
    browser = signed_in(app, seller)
    for address in ("/office/payments", f"/office/payments/{paid.id}", "/office/payments/999999"):
        assert browser.get(address).status_code == 403, address
        assert Browser(app).get(address).status_code == 303, address
    assert admin.get("/office/payments/999999").status_code == 404


def test_payments_are_found_by_what_a_customer_can_name(admin, database, paid, failed):
    def found(query: str) -> set[int]:
        answer = admin.get(f"/office/payments?{query}")
        assert answer.status_code == 200, query
        return {
            payment.id
            for payment in (paid, failed)
            if f'href="/office/payments/{payment.id}"' in answer.text
        }

    with database.reading() as session:
        number = session.get_one(Order, paid.order_id).number
    for query in (
        "status=succeeded",
        f"receipt=+{receipt_of(paid.id).lower()}",
        "phone=0711+222333",
        "phone=%2B254711222333",
        f"number={number.lower()}",
        "last_day=2026-11-22",
    ):
        assert found(query) == {paid.id}, query
    assert found("first_day=2026-11-23&last_day=2026-11-23") == {failed.id}
    assert found("") == found("first_day=2026-11-22") == {paid.id, failed.id}
    assert found("receipt=NOSUCH") == found(f"number={new_order_number()}") == set()


def test_a_wrong_question_is_shown_again_with_what_is_wrong(admin, paid):
    for query, field in (
        ("phone=12345", "phone"),
        ("number=K7M2Q9Y", "number"),
        (f"receipt={'A' * 21}", "receipt"),
        ("receipt=%00", "receipt"),
        ("last_day=2026-13-01", "last_day"),
        ("status=lost", None),
        ("cursor=%FF", None),
    ):
        answer = admin.get(f"/office/payments?{query}")
        assert answer.status_code == 400, query
        assert f'href="/office/payments/{paid.id}"' not in answer.text
        assert f'id="e-{field}"' in answer.text or field is None, query


def test_one_payment_with_its_evidence_and_without_its_secret(admin, paid):
    answer = admin.get(f"/office/payments/{paid.id}")
    shown = words(answer)
    for there in (
        "0711 222 333",
        f"M-Pesa receipt {receipt_of(paid.id)}",
        "yes, M-Pesa named it",
        "Being sent 22 Nov, 12:00:00 , The buyer asked",
        "M-Pesa: money that we hold Payment, 22 Nov, 12:00 KSh 1,500",
        "Owed to the customer in goods Payment, 22 Nov, 12:00 -KSh 1,500",
        "Received 22 Nov 2026, 12:00:00 Read 22 Nov 2026, 12:00:00",
        "196.201.214.200",
        '"Amount": 1500.00',
    ):
        assert there in shown, there
    assert "&lt;script&gt;x&lt;/script&gt;" in answer.text
    assert '<pre class="raw" tabindex="0"' in answer.text
    assert paid.callback_secret_hash not in answer.text
    assert f'href="/office/orders/{paid.order_id}"' in answer.text


def test_a_payment_that_waits_for_a_person_says_so(admin, database, failed):
    with database.transaction() as session:
        session.merge(failed).review_reason = "wrong_amount"
    shown = words(admin.get(f"/office/payments/{failed.id}"))
    assert "a person decides" in shown
    assert "Nothing has come about this payment." in shown
    assert "No money of this payment is in the books." in shown


def test_what_was_sent_is_made_readable_and_nothing_of_it_is_changed():
    deep = b"[" * 20_000 + b"]" * 20_000
    for body, expected in (
        (
            b'{"a":1.00,"a":[1,{}],"b":"x,\\"}"}',
            '{\n  "a": 1.00,\n  "a": [\n    1,\n    {}\n  ],\n  "b": "x,\\"}"\n}',
        ),
        (b"[]", "[]"),
        (b"not json, {", "not json, {"),
        (b"", ""),
        (b'{"a":NaN}', '{\n  "a": NaN\n}'),
        (b"\xff\x00ok", "\\xff\\x00ok"),
        ("\u202egpj".encode(), "\\u202egpj"),
        (b"1" * 5000, "1" * 5000),
        (deep, deep.decode()),
    ):
        assert readable(body) == expected, body[:40]
    nested = readable(b"[" * 500 + b"1," * 5_000 + b"1" + b"]" * 500)
    assert len(nested) < 200_000
