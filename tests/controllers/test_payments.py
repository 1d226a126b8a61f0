"""M-Pesa over HTTP: asking for money, hearing of it, reading about it."""

import threading
import time
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from app.context import WORK
from app.controllers import inbox, payment_controller
from app.integrations.mpesa import (
    MpesaBusy,
    MpesaMisconfigured,
    MpesaPhoneBusy,
    MpesaRefused,
    MpesaUnavailable,
    MpesaUncertain,
)
from app.models import InboxMessage, Order, Payment
from app.policies import Role
from tests.controllers.callers import is_refused
from tests.controllers.sign_in import new_caller
from tests.core import (
    SECRET,
    after,
    ask_to_pay,
    buy,
    database_snapshot,
    differing_tables,
    make_buyer,
    pay,
    push_ids,
    receipt_of,
)
from tests.factories import make_product
from tests.looking import is_sound
from tests.safaricom import callback_body

FIELDS = [
    "id",
    "order_id",
    "amount",
    "phone_number",
    "mpesa_receipt",
    "status",
    "timestamp",
    "updated_at",
    "checkout_request_id",
    "merchant_request_id",
    "result_code",
    "result_desc",
    "customer_message",
    "kind",
    "refunded_amount",
]
ACCEPTED = {"ResultCode": 0, "ResultDesc": "Accepted"}


@pytest.fixture(autouse=True)
def quick(app):
    work = app.extensions[WORK]
    app.extensions[WORK] = replace(work, config=replace(work.config, mpesa_queries_per_second=1000))


@pytest.fixture
def buyer(app, database):
    return new_caller(app, database, Role.CUSTOMER)


@pytest.fixture
def order(database, buyer):
    with database.transaction() as session:
        return buy(session, buyer[0], (make_product(session, price_cents=149_950), 1))


@pytest.fixture
def payment(database, order):
    with database.transaction() as session:
        return ask_to_pay(session, order)


def stored(database, payment_id: int) -> Payment:
    with database.reading() as session:
        return session.get_one(Payment, payment_id)


def order_status(database, order) -> str:
    with database.reading() as session:
        return session.get_one(Order, order.id).status


def post_callback(client, path: str, body: bytes, **options):
    return client.post(path, data=body, buffered=True, **options)


def secret_path(payment) -> str:
    return f"/api/pay/cb/{payment.id}.{SECRET.value}"


@pytest.mark.parametrize("path", ["/mpesa/stkpush", "/api/mpesa/stkpush"])
def test_a_push_is_answered_with_the_transaction(client, database, gateway, buyer, order, path):
    body = {"order_id": order.id, "phone_number": "+254 700 000 001"}
    response = client.post(path, json=body, headers=buyer[1])

    transaction = response.get_json()
    assert response.status_code == 202
    assert response.headers["Location"] == f"/api/transactions/{transaction['id']}"
    assert list(transaction) == FIELDS
    assert transaction == {
        "id": transaction["id"],
        "order_id": order.id,
        "amount": 1500,
        "phone_number": "254700000001",
        "mpesa_receipt": None,
        "status": "pending",
        "timestamp": "2026-11-22T09:00:00Z",
        "updated_at": "2026-11-22T09:00:00Z",
        "checkout_request_id": "ws_CO_2211202612000000001700000001",
        "merchant_request_id": "7071-4170-a0e4-000000000001",
        "result_code": None,
        "result_desc": None,
        "customer_message": None,
        "kind": "stk_push",
        "refunded_amount": 0,
    }
    assert len(gateway.pushes) == 1
    shown = client.get(f"/transactions/{transaction['id']}", headers=buyer[1])
    assert shown.get_json() == transaction
    assert is_sound(database)


def test_the_phone_defaults_to_the_buyers(client, gateway, buyer, order):
    for body in ({"order_id": order.id}, {"order_id": order.id, "phone_number": None}):
        client.post("/mpesa/stkpush", json=body, headers=buyer[1])

    assert [ask.msisdn for ask in gateway.pushes] == [buyer[0].phone_number]


def test_attack_87_the_amount_is_never_the_clients(client, database, gateway, buyer, order):
    before = database_snapshot(database)
    for name in ("amount", "price", "status", "mpesa_receipt", "user_id"):
        body = {"order_id": order.id, name: 1}
        response = client.post("/mpesa/stkpush", json=body, headers=buyer[1])
        assert is_refused(response, 400, "invalid_input", name)
    for body, field in (
        ({}, "order_id"),
        ({"order_id": "1"}, "order_id"),
        ({"order_id": 0}, "order_id"),
        ({"order_id": True}, "order_id"),
        ({"order_id": order.id, "phone_number": "+1 202 555 0100"}, "phone_number"),
        ({"order_id": order.id, "phone_number": 712345678}, "phone_number"),
    ):
        response = client.post("/mpesa/stkpush", json=body, headers=buyer[1])
        assert is_refused(response, 400, "invalid_input", field)
    assert gateway.pushes == []
    assert database_snapshot(database) == before


def test_attack_87_only_the_buyer_pays_and_only_a_pending_order(
    app, client, database, gateway, order
):
    _, stranger = new_caller(app, database, Role.CUSTOMER)
    _, admin = new_caller(app, database, Role.ADMIN)
    before = database_snapshot(database)
    body = {"order_id": order.id}
    assert is_refused(client.post("/mpesa/stkpush", json=body), 401, "unauthenticated")
    refused = client.post("/mpesa/stkpush", json=body, headers=stranger)
    assert is_refused(refused, 404, "order_not_found")
    assert is_refused(client.post("/mpesa/stkpush", json=body, headers=admin), 403, "forbidden")
    assert gateway.pushes == []
    assert database_snapshot(database) == before


def test_attack_88_a_second_tap_is_told_of_the_first_attempt(
    client, database, gateway, buyer, order
):
    first = client.post("/mpesa/stkpush", json={"order_id": order.id}, headers=buyer[1])
    before = database_snapshot(database)
    second = client.post("/mpesa/stkpush", json={"order_id": order.id}, headers=buyer[1])

    assert is_refused(second, 409, "payment_in_progress")
    assert second.get_json()["transaction_id"] == first.get_json()["id"]
    assert len(gateway.pushes) == 1
    assert database_snapshot(database) == before


def test_attack_86_a_busy_phone_and_a_phone_asked_too_often(client, database, clock, buyer, order):
    phone = "0700000001"
    with database.transaction() as session:
        other = buy(session, make_buyer(session), (make_product(session), 1))
        ask_to_pay(session, other, msisdn="254700000001")
    body = {"order_id": order.id, "phone_number": phone}
    busy = client.post("/mpesa/stkpush", json=body, headers=buyer[1])
    assert is_refused(busy, 409, "phone_busy")
    assert busy.headers["Retry-After"] == "60"

    clock.advance(minutes=3)
    for _ in range(2):
        with database.transaction() as session:
            other = buy(session, make_buyer(session), (make_product(session), 1))
            unpaid = ask_to_pay(session, other, clock.now, msisdn="254700000001")
            unpaid.status = "failed"
    limited = client.post("/mpesa/stkpush", json=body, headers=buyer[1])
    assert is_refused(limited, 429, "too_many_prompts")
    assert limited.headers["Retry-After"] == "421"


REFUSALS = {
    "refused": (MpesaRefused("Bad Request", code="400"), 502, "payment_network_refused", None),
    "misconfigured": (MpesaMisconfigured("keys"), 502, "payment_network_refused", None),
    "phone busy": (MpesaPhoneBusy("busy", retry_after_seconds=60), 409, "phone_busy", "60"),
    "phone busy, no time": (MpesaPhoneBusy("busy"), 409, "phone_busy", "60"),
    "busy": (MpesaBusy("rate", retry_after_seconds=7), 503, "payment_network_unavailable", "7"),
    "down": (MpesaUnavailable("down"), 502, "payment_network_refused", None),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_push_that_surely_failed_says_so_and_may_be_tried_again(
    client, database, gateway, buyer, order, case
):
    error, status, code, retry_after = REFUSALS[case]
    gateway.push_error = error
    headers = {**buyer[1], "Idempotency-Key": "k"}
    response = client.post("/mpesa/stkpush", json={"order_id": order.id}, headers=headers)

    assert is_refused(response, status, code)
    problem = response.get_json()
    assert problem["detail"] == error.customer_message
    assert response.headers.get("Retry-After") == retry_after
    assert stored(database, problem["transaction_id"]).status == "failed"
    assert is_sound(database)

    gateway.push_error = None
    again = client.post("/mpesa/stkpush", json={"order_id": order.id}, headers=headers)
    assert (again.status_code, again.get_json()["status"]) == (202, "pending")


def test_a_push_without_an_answer_is_a_202_that_says_what_to_do(
    client, database, gateway, buyer, order
):
    gateway.push_error = MpesaUncertain("read timeout")
    response = client.post("/mpesa/stkpush", json={"order_id": order.id}, headers=buyer[1])

    assert (response.status_code, response.get_json()["status"]) == (202, "unknown")
    assert "Do not pay twice" in response.get_json()["customer_message"]
    again = client.post("/mpesa/stkpush", json={"order_id": order.id}, headers=buyer[1])
    assert is_refused(again, 409, "payment_in_progress")
    assert len(gateway.pushes) == 1


def test_attack_90_a_push_repeated_with_its_key_rings_once(client, database, gateway, buyer, order):
    headers = {**buyer[1], "Idempotency-Key": "pay"}
    first = client.post("/mpesa/stkpush", json={"order_id": order.id}, headers=headers)
    once = database_snapshot(database)
    again = client.post("/api/mpesa/stkpush", json={"order_id": order.id}, headers=headers)

    assert (again.status_code, again.data) == (202, first.data)
    assert again.headers["Idempotent-Replayed"] == "true"
    other = {"order_id": order.id, "phone_number": "0700000009"}
    reused = client.post("/mpesa/stkpush", json=other, headers=headers)
    assert is_refused(reused, 422, "idempotency_key_reused")
    assert len(gateway.pushes) == 1
    assert database_snapshot(database) == once


def test_a_callback_is_answered_200_and_pays_the_order(client, database, order, payment):
    response = post_callback(client, secret_path(payment), callback_body(*push_ids(payment.id)))

    assert (response.status_code, response.get_json()) == (200, ACCEPTED)
    assert order_status(database, order) == "paid"
    assert stored(database, payment.id).mpesa_receipt == "UKM0000001"
    assert is_sound(database)


def test_attack_76_77_a_wrong_secret_is_a_404_that_stores_nothing(client, database, payment):
    before = database_snapshot(database)
    good = f"{payment.id}.{SECRET.value}"
    for token in (
        good[:-1],
        good + "x",
        f"{payment.id + 1}.{SECRET.value}",
        f"{payment.id}.",
        f".{SECRET.value}",
        str(payment.id),
        f"-{good}",
        f"{payment.id}.{SECRET.hash}",
        f"{'9' * 30}.{SECRET.value}",
        "%00.x",
        "é.x",
    ):
        response = post_callback(
            client, f"/api/pay/cb/{token}", callback_body(*push_ids(payment.id))
        )
        assert (response.status_code, response.get_json()["code"]) == (404, "not_found"), token
    assert client.get(secret_path(payment)).status_code == 405
    assert post_callback(client, f"/pay/cb/{good}", b"{}").status_code == 404
    assert database_snapshot(database) == before


@pytest.mark.parametrize("path", ["/mpesa/callback", "/api/mpesa/callback"])
def test_an_unsigned_callback_is_kept_and_proves_nothing(
    client, database, gateway, order, payment, path
):
    response = post_callback(client, path, callback_body(*push_ids(payment.id)))

    assert (response.status_code, response.get_json()) == (200, ACCEPTED)
    assert order_status(database, order) == "pending"
    assert gateway.queries == [push_ids(payment.id)[1]]
    gateway.says(push_ids(payment.id)[1], "0", "Done")
    post_callback(client, path, callback_body(*push_ids(payment.id)))
    assert order_status(database, order) == "paid"
    assert is_sound(database)


def test_attack_84_any_body_is_kept_and_answered_200(client, database, payment):
    bodies = [b"", b"{", b"\xff\x00", b"null", b"a=1&b=2", b"[" * 2000, b"x" * 900_000]
    for body in bodies:
        for path in ("/mpesa/callback", secret_path(payment)):
            response = post_callback(
                client, path, body, headers={"Content-Type": "text/xml", "User-Agent": "S"}
            )
            assert (response.status_code, response.get_json()) == (200, ACCEPTED)
    with database.reading() as session:
        kept = session.scalars(select(InboxMessage).order_by(InboxMessage.id)).all()
        assert [message.body for message in kept[::2]] == [body[:65_536] for body in bodies]
        assert [message.truncated for message in kept[::2]] == [False] * 6 + [True]
        assert kept[0].headers == {"content-type": "text/xml", "user-agent": "S"}
        assert {message.outcome for message in kept} == {"unreadable"}
    too_large = post_callback(client, "/mpesa/callback", b"x" * (1024 * 1024 + 1))
    assert too_large.status_code == 413
    assert stored(database, payment.id).status == "pending"
    assert is_sound(database)


def test_attack_85_a_forged_sender_proves_nothing(client, database, order, payment):
    response = post_callback(
        client,
        "/mpesa/callback",
        callback_body(*push_ids(payment.id)),
        headers={"X-Forwarded-For": "196.201.214.200"},
    )
    assert response.status_code == 200
    assert order_status(database, order) == "pending"
    with database.reading() as session:
        kept = session.scalars(select(InboxMessage)).one()
        assert (kept.remote_addr, kept.headers["x-forwarded-for"]) == (
            "127.0.0.1",
            "196.201.214.200",
        )


def test_a_sender_whose_address_is_no_address_is_kept_all_the_same(client, database, payment):
    response = post_callback(
        client, secret_path(payment), b"{}", environ_base={"REMOTE_ADDR": "x" * 300}
    )
    assert response.status_code == 200
    with database.reading() as session:
        assert session.scalars(select(InboxMessage.remote_addr)).one() == "x" * 45


def test_a_callback_that_cannot_be_processed_now_is_left_to_the_worker(
    client, database, doorbell, payment, monkeypatch
):
    def burst(*_args) -> None:
        raise RuntimeError("the database went away")

    monkeypatch.setattr(inbox, "process_message", burst)
    response = post_callback(client, secret_path(payment), callback_body(*push_ids(payment.id)))

    assert (response.status_code, response.get_json()) == (200, ACCEPTED)
    with database.reading() as session:
        message = session.scalars(select(InboxMessage)).one()
    assert message.processed_at is None
    assert doorbell.rings == [("process_message", message.id, 0)]


def test_a_burst_of_callbacks_is_left_to_the_worker_with_one_ring(
    make_app, ports, database, doorbell, payment, monkeypatch
):
    monkeypatch.setattr(inbox, "_rung_at", float("-inf"))
    monkeypatch.setattr(inbox, "RING_EVERY_SECONDS", 60.0)
    app = make_app()
    app.extensions[WORK] = replace(
        app.extensions[WORK], ports=replace(ports, run_soon=lambda _read: False)
    )
    client, body = app.test_client(), callback_body(*push_ids(payment.id))
    answers = [post_callback(client, secret_path(payment), body) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3
    with database.reading() as session:
        kept = session.scalars(select(InboxMessage.id).order_by(InboxMessage.id)).all()
    assert len(kept) == 3
    assert doorbell.rings == [("process_backlog", kept[0], 0)]


def test_attack_80_83_callbacks_out_of_order_and_twice_leave_the_money_where_it_is(
    client, database, order, payment
):
    success = callback_body(*push_ids(payment.id))
    failure = callback_body(*push_ids(payment.id), code=1032)
    for body, expected in (
        (failure, "cancelled"),
        (success, "succeeded"),
        (failure, "succeeded"),
        (success, "succeeded"),
    ):
        assert post_callback(client, secret_path(payment), body).status_code == 200
        assert stored(database, payment.id).status == expected
    assert order_status(database, order) == "paid"
    assert is_sound(database)


def test_attack_34_36_each_sees_their_own_transactions_and_admins_all(
    app, client, database, buyer, order, payment
):
    stranger, strange = new_caller(app, database, Role.CUSTOMER)
    _, admin = new_caller(app, database, Role.ADMIN)
    _, seller = new_caller(app, database, Role.SELLER)
    path = f"/transactions/{payment.id}"
    for headers in (strange, seller):
        assert is_refused(client.get(path, headers=headers), 404, "transaction_not_found")
        assert is_refused(
            client.get(f"{path}?wait=1", headers=headers), 404, "transaction_not_found"
        )
    assert client.get(path, headers=admin).get_json()["id"] == payment.id
    assert is_refused(client.get(path), 401, "unauthenticated")
    assert is_refused(client.get("/transactions"), 401, "unauthenticated")

    def seen(headers) -> list[int]:
        query = f"?user_id={buyer[0].id}&order_id={order.id}"
        answer = client.get(f"/api/transactions{query}", headers=headers).get_json()
        return [row["id"] for row in answer["data"]]

    assert (seen(buyer[1]), seen(admin), seen(strange)) == ([payment.id], [payment.id], [])
    assert stranger.id != buyer[0].id


def test_transactions_are_filtered_and_paged(client, database, buyer, order, payment):
    user, headers = buyer
    with database.transaction() as session:
        pay(session, payment)
        boots = make_product(session, stock=9)
        others = []
        for minute in (10, 20):
            bought = buy(session, user, (boots, 1), now=after(minutes=minute))
            others.append(
                ask_to_pay(session, bought, after(minutes=minute), msisdn=f"2547000000{minute}").id
            )

    def seen(query: str) -> list[int]:
        answer = client.get(f"/transactions?{query}", headers=headers).get_json()
        return [row["id"] for row in answer["data"]]

    everything = [*others[::-1], payment.id]
    receipt = receipt_of(payment.id)
    assert seen("") == everything
    assert seen("status=succeeded") == [payment.id]
    assert seen("status=pending") == others[::-1]
    assert seen(f"order_id={order.id}") == [payment.id]
    assert seen(f"mpesa_receipt={receipt.lower()}") == [payment.id]
    assert seen("mpesa_receipt=NOPE") == []
    assert seen("phone_number=0700000020") == [others[1]]
    assert seen("created_after=2026-11-22T09:10:00Z") == [others[1]]
    assert seen("created_before=2026-11-22T09:20:00Z") == [others[0], payment.id]
    for query in ("status=paid", "order_id=0", "phone_number=1", "created_after=1", "limit=x"):
        response = client.get(f"/transactions?{query}", headers=headers)
        assert is_refused(response, 400, "invalid_input", query.partition("=")[0])

    page = client.get("/transactions?limit=2&include_total=true", headers=headers).get_json()
    assert page["page"]["total"] == 3
    rest = seen(f"limit=2&cursor={page['page']['next']}")
    assert [row["id"] for row in page["data"]] + rest == everything


def test_a_reader_may_wait_until_the_transaction_is_final(
    client, database, buyer, payment, monkeypatch
):
    monkeypatch.setattr(payment_controller, "_POLL_SECONDS", 0.02)
    path = f"/transactions/{payment.id}?wait=20"

    def settle() -> None:
        time.sleep(0.2)
        with database.transaction() as session:
            pay(session, payment)

    thread = threading.Thread(target=settle)
    thread.start()
    started = time.monotonic()
    waited = client.get(path, headers=buyer[1]).get_json()
    took = time.monotonic() - started
    thread.join()

    assert waited["status"] == "succeeded"
    assert 0.15 < took < 10
    started = time.monotonic()
    assert client.get(path, headers=buyer[1]).get_json() == waited
    assert time.monotonic() - started < 20


def test_waiting_ends_when_it_is_over_and_only_so_many_wait(client, buyer, payment, monkeypatch):
    monkeypatch.setattr(payment_controller, "_POLL_SECONDS", 0.02)
    path = f"/transactions/{payment.id}?wait="
    assert client.get(f"{path}1", headers=buyer[1]).get_json()["status"] == "pending"

    monkeypatch.setattr(payment_controller, "_waiters", threading.BoundedSemaphore(1))
    payment_controller._waiters.acquire()
    started = time.monotonic()
    assert client.get(f"{path}25", headers=buyer[1]).get_json()["status"] == "pending"
    assert time.monotonic() - started < 20
    for wait in ("26", "-1", "x", "1.5"):
        response = client.get(f"{path}{wait}", headers=buyer[1])
        assert is_refused(response, 400, "invalid_input", "wait")


def test_a_flood_of_unsigned_garbage_fills_the_inbox_and_nothing_else(client, database, payment):
    before = database_snapshot(database)
    for number in range(10):
        post_callback(client, "/mpesa/callback", callback_body("m", f"ws_CO_guess{number}"))

    assert differing_tables(before, database_snapshot(database)) == {"callback_inbox"}
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(InboxMessage)) == 10
