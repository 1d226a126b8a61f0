"""Payments from the M-Pesa menu over HTTP: the shop is asked before and told after."""

import json
from dataclasses import replace

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from app.context import WORK
from app.controllers import inbox
from app.db import Database
from app.models import InboxMessage, MpesaReceipt, Order, OrderStatus, Payment, Task
from app.services.end_order import cancel_order
from tests.controllers.callers import is_refused
from tests.core import ask_to_pay, buy, database_snapshot, differing_tables, make_buyer, pay
from tests.factories import NOW, actor_of, make_product
from tests.looking import is_sound, status_of
from tests.safaricom import notice_body

SUCCESS = {"ResultCode": 0, "ResultDesc": "Success"}
WELCOME = {"ResultCode": "0", "ResultDesc": "Accepted"}
UNKNOWN_ACCOUNT = {"ResultCode": "C2B00012", "ResultDesc": "Rejected"}
TOO_MUCH = {"ResultCode": "C2B00013", "ResultDesc": "Rejected"}
FOREIGN_SHORTCODE = {"ResultCode": "C2B00015", "ResultDesc": "Rejected"}


@pytest.fixture
def buyer(database):
    with database.transaction() as session:
        return make_buyer(session, phone_number="254700000001")


@pytest.fixture
def order(database, buyer):
    """KES 1,499.50, for which M-Pesa asks 1,500."""
    with database.transaction() as session:
        return buy(session, buyer, (make_product(session, price_cents=149_950), 1))


@pytest.fixture
def secret(config):
    return config.mpesa_c2b_secret


def post(client, what: str, secret: str, body: bytes, **options):
    path = f"/api/pay/c2b/{what}/{secret}"
    return client.post(path, data=body, buffered=True, **options)


def messages(database) -> list[InboxMessage]:
    with database.reading() as session:
        return list(session.scalars(select(InboxMessage).order_by(InboxMessage.id)))


def tasks(database) -> list[Task]:
    with database.reading() as session:
        return list(session.scalars(select(Task).order_by(Task.id)))


def test_a_confirmation_is_kept_answered_and_pays_the_order(client, database, secret, order):
    body = notice_body(order.number)
    answer = post(client, "confirm", secret, body, headers={"User-Agent": "Safaricom"})

    assert (answer.status_code, answer.get_json()) == (200, SUCCESS)
    assert status_of(database, order) == "paid"
    with database.reading() as session:
        payment = session.scalars(select(Payment)).one()
        receipt = session.scalars(select(MpesaReceipt)).one()
    assert (payment.kind, payment.status, payment.msisdn) == ("paybill", "succeeded", None)
    assert (payment.amount_cents, payment.mpesa_receipt) == (150_000, "UKM9000001")
    assert (receipt.source, receipt.state, receipt.payment_id) == ("c2b", "matched", payment.id)
    assert (receipt.bill_reference, receipt.payer_phone, receipt.payer_name) == (
        order.number,
        "2547 ***** 001",
        "WANJIKU",
    )
    assert receipt.transacted_at == NOW.replace(second=30)
    [kept] = messages(database)
    assert (kept.source, kept.body, kept.outcome) == ("c2b_confirmation", body, "booked")
    assert (kept.payment_id, kept.headers["user-agent"]) == (payment.id, "Safaricom")
    assert tasks(database) == []
    assert is_sound(database)


def test_a_confirmation_without_an_order_is_counted_and_a_person_is_told(client, database, secret):
    answer = post(client, "confirm", secret, notice_body("RENT 12"))

    assert (answer.status_code, answer.get_json()) == (200, SUCCESS)
    assert [(kept.outcome, kept.payment_id) for kept in messages(database)] == [("unmatched", None)]
    assert [task.kind for task in tasks(database)] == ["unmatched_money"]
    assert is_sound(database)


@pytest.mark.parametrize("what", ["confirm", "validate"])
def test_who_does_not_know_the_secret_finds_nothing_and_is_not_kept(
    client, database, secret, order, what, monkeypatch
):
    before = database_snapshot(database)

    def never(*_args, **_options):
        raise AssertionError("a wrong secret reached the database")

    monkeypatch.setattr(Database, "transaction", never)
    monkeypatch.setattr(Database, "reading", never)
    wrong = (
        secret[:-1],
        secret + "0",
        secret.upper(),
        secret[:-1] + ("0" if secret[-1] != "0" else "1"),
        "%00",
        "é" * 64,
        "x" * 5000,
    )
    for guess in wrong:
        answer = post(client, what, guess, notice_body(order.number))
        assert is_refused(answer, 404, "not_found"), guess
    monkeypatch.undo()
    assert client.get(f"/api/pay/c2b/{what}/{secret}").status_code == 405
    assert client.post(f"/pay/c2b/{what}/{secret}", data=b"{}").status_code == 404
    assert database_snapshot(database) == before


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff\xfe",
        b'{"TransID": ',
        notice_body("K7M2Q9X", amount="0.00"),
        notice_body("K7M2Q9X", amount="free"),
        notice_body("K7M2Q9X", amount="-5"),
        notice_body("K7M2Q9X", TransID=""),
        notice_body("K7M2Q9X", TransID=None),
        notice_body("K7M2Q9X", shortcode=""),
        b'{"a": "' + b"x" * 70_000 + b'"}',
    ],
)
def test_a_confirmation_that_cannot_be_read_is_kept_and_told_to_a_person(
    client, database, secret, body
):
    answer = post(client, "confirm", secret, body)

    assert (answer.status_code, answer.get_json()) == (200, SUCCESS)
    [kept] = messages(database)
    assert (kept.outcome, kept.body) == ("unreadable", body[:65_536])
    assert kept.truncated is (len(body) > 65_536)
    [task] = tasks(database)
    assert (task.kind, task.priority) == ("unreadable_callback", "high")
    assert f"inbox message {kept.id}" in task.description
    assert is_sound(database)


def test_a_confirmation_for_anothers_number_moves_nothing(client, database, secret, order):
    post(client, "confirm", secret, notice_body(order.number, shortcode="600123"))

    assert [kept.outcome for kept in messages(database)] == ["foreign"]
    assert status_of(database, order) == "pending"
    [task] = tasks(database)
    assert task.kind == "mismatched_callback"
    assert "600123" in task.description
    with database.reading() as session:
        assert session.scalars(select(MpesaReceipt)).all() == []
    assert is_sound(database)


def test_the_store_the_till_and_the_number_of_the_menu_are_ours(make_app, database, secret):
    app = make_app(mpesa_shortcode="600001", mpesa_till="600002", mpesa_c2b_shortcode="600003")
    client = app.test_client()
    for number in (1, 2, 3):
        body = notice_body(shortcode=f"60000{number}", receipt=f"UKM900000{number}")
        post(client, "confirm", secret, body)

    assert [kept.outcome for kept in messages(database)] == ["unmatched"] * 3
    assert is_sound(database)


def test_a_confirmation_is_never_turned_away_for_coming_often(make_app, database, secret, order):
    client = make_app(rate_limits_enabled=True, write_limit="1 per hour").test_client()
    body = notice_body(order.number)
    answers = [post(client, "confirm", secret, body) for _ in range(4)]
    asked = [post(client, "validate", secret, body) for _ in range(4)]

    assert [answer.status_code for answer in (*answers, *asked)] == [200] * 8
    assert [kept.outcome for kept in messages(database)] == ["booked", "known", "known", "known"]
    assert is_sound(database)


def test_a_confirmation_that_cannot_be_processed_now_is_left_to_the_worker(
    client, database, doorbell, secret, order, monkeypatch
):
    def burst(*_args) -> None:
        raise RuntimeError("the database went away")

    monkeypatch.setattr(inbox, "process_message", burst)
    answer = post(client, "confirm", secret, notice_body(order.number))

    assert (answer.status_code, answer.get_json()) == (200, SUCCESS)
    [kept] = messages(database)
    assert kept.processed_at is None
    assert doorbell.rings == [("process_message", kept.id, 0)]


def test_a_part_and_all_that_is_due_are_welcome_and_more_is_not(client, database, secret, order):
    before = database_snapshot(database)
    for amount, said in (
        ("1.00", WELCOME),
        ("1499.00", WELCOME),
        ("1499.50", WELCOME),
        ("1500.00", WELCOME),
        ("1500.01", TOO_MUCH),
        ("1501.00", TOO_MUCH),
        ("250000", TOO_MUCH),
    ):
        answer = post(client, "validate", secret, notice_body(order.number, amount=amount))
        assert (answer.status_code, answer.get_json()) == (200, said), amount
    assert database_snapshot(database) == before


def test_what_came_already_makes_less_welcome(client, database, secret, order):
    post(client, "confirm", secret, notice_body(order.number, amount="1000.00"))
    for amount, said in (("500.00", WELCOME), ("501.00", TOO_MUCH)):
        answer = post(client, "validate", secret, notice_body(order.number, amount=amount))
        assert answer.get_json() == said, amount
    assert is_sound(database)


def test_what_a_prompt_asks_for_is_welcome_until_it_would_be_too_much(
    client, database, secret, order
):
    with database.transaction() as session:
        payment = ask_to_pay(session, order)
    assert payment.amount_cents == 150_000
    asked = notice_body(order.number, amount="1500.00")
    assert post(client, "validate", secret, asked).get_json() == WELCOME

    beside = notice_body(order.number, amount="200.00", receipt="UKM9000002")
    post(client, "confirm", secret, beside)
    assert post(client, "validate", secret, asked).get_json() == TOO_MUCH
    assert is_sound(database)


@pytest.mark.parametrize("end", ["paid", "cancelled", "expired"])
def test_an_order_that_waits_for_nothing_takes_nothing(client, database, secret, buyer, order, end):
    with database.transaction() as session:
        if end == "paid":
            pay(session, ask_to_pay(session, order))
        elif end == "cancelled":
            cancel_order(session, actor_of(buyer), order.id, NOW)
        else:
            session.get_one(Order, order.id).status = OrderStatus.EXPIRED
    before = database_snapshot(database)
    answer = post(client, "validate", secret, notice_body(order.number))

    assert answer.get_json() == UNKNOWN_ACCOUNT
    assert database_snapshot(database) == before


def test_an_account_is_known_however_it_is_typed_and_never_guessed(client, secret, order):
    number = order.number
    for typed, said in (
        (number.lower(), WELCOME),
        (f" {number[:3]} {number[3:]} ", WELCOME),
        (f"{number[:3]}-{number[3:]}", WELCOME),
        (f"Order {number}", WELCOME),
        ("", UNKNOWN_ACCOUNT),
        ("AAAAAAA", UNKNOWN_ACCOUNT),
        (number[:-1], UNKNOWN_ACCOUNT),
        (("2" if number[0] != "2" else "3") + number[1:], UNKNOWN_ACCOUNT),
        ("<b>K7M2Q9X</b>", UNKNOWN_ACCOUNT),
        ("' OR 1=1 --", UNKNOWN_ACCOUNT),
        ("%", UNKNOWN_ACCOUNT),
        ("9" * 40, UNKNOWN_ACCOUNT),
    ):
        answer = post(client, "validate", secret, notice_body(typed))
        assert answer.get_json() == said, typed


def test_a_number_that_is_not_ours_takes_nothing(client, secret, order):
    answer = post(client, "validate", secret, notice_body(order.number, shortcode="600123"))
    assert answer.get_json() == FOREIGN_SHORTCODE


def test_at_a_till_nobody_types_an_account(make_app, secret):
    app = make_app(mpesa_shortcode="600001", mpesa_till="600002", mpesa_c2b_shortcode="600002")
    client = app.test_client()
    for shortcode in ("600001", "600002"):
        answer = post(client, "validate", secret, notice_body("", shortcode=shortcode))
        assert answer.get_json() == WELCOME
    answer = post(client, "validate", secret, notice_body("", shortcode="600003"))
    assert answer.get_json() == FOREIGN_SHORTCODE


@pytest.mark.parametrize("body", [b"", b"{", b"[]", notice_body("K7M2Q9X", amount="?")])
def test_a_question_that_cannot_be_read_is_answered_with_yes(client, database, secret, body):
    before = database_snapshot(database)
    answer = post(client, "validate", secret, body)

    assert (answer.status_code, answer.get_json()) == (200, WELCOME)
    assert database_snapshot(database) == before


def test_money_is_welcome_while_the_database_is_down(app, client, secret, tmp_path, order):
    nowhere = Database(f"sqlite:///{tmp_path}/no/such/folder/sokoni.db")
    with pytest.raises(OperationalError), nowhere.reading() as session:
        session.execute(text("SELECT 1"))
    work = app.extensions[WORK]
    app.extensions["sokoni_database"] = nowhere
    app.extensions[WORK] = replace(work, database=nowhere)
    answer = post(client, "validate", secret, notice_body("AAAAAAA"))

    assert (answer.status_code, answer.get_json()) == (200, WELCOME)


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_money_is_welcome_while_the_database_keeps_everybody_waiting(
    client, database, secret, order
):
    """The table is let go only after the answer: whoever waits for it does not come back."""
    with database.engine.connect() as other:
        other.execute(text("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE"))
        answer = post(client, "validate", secret, notice_body("AAAAAAA"))
        assert json.loads(answer.data) == WELCOME
        other.rollback()
    answer = post(client, "validate", secret, notice_body("AAAAAAA"))
    assert answer.get_json() == UNKNOWN_ACCOUNT


def test_neither_address_is_shown_in_the_log(client, secret, order, capsys):
    for what in ("confirm", "validate"):
        post(client, what, secret, notice_body(order.number, phone="254700000001"))
        post(client, what, "0123456789abcdef0123456789abcdef", b"{}")
    log = capsys.readouterr().err

    assert secret not in log
    assert "0123456789abcdef" not in log
    assert "254700000001" not in log
    assert log.count('"path":"/api/pay/c2b/confirm/[redacted]"') == 2
    assert log.count('"path":"/api/pay/c2b/validate/[redacted]"') == 2


def test_only_a_message_and_what_it_means_are_written(client, database, secret, order):
    before = database_snapshot(database)
    post(client, "confirm", secret, notice_body(order.number))

    assert differing_tables(before, database_snapshot(database)) == {
        "callback_inbox",
        "ledger_entries",
        "ledger_events",
        "mpesa_receipts",
        "notifications",
        "order_events",
        "orders",
        "payment_events",
        "payments",
        "products",
        "reservations",
        "stock_movements",
    }
