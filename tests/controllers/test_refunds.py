"""Money back over HTTP: asked for by an admin, once, and told as it stands."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from app.context import WORK
from app.integrations.mpesa import MpesaMisconfigured, MpesaUnavailable, MpesaUncertain
from app.models import MpesaRequest, Refund, RefundKind
from app.policies import Role
from tests.controllers.callers import is_refused
from tests.controllers.sign_in import new_caller, sign_in
from tests.core import ask_to_pay, buy, database_snapshot
from tests.factories import make_product
from tests.looking import how_many, is_sound
from tests.refunding import ask_refund, lose, make_sale, stray_money
from tests.safaricom import result_body

FIELDS = [
    "id",
    "transaction_id",
    "order_id",
    "amount",
    "status",
    "kind",
    "reason",
    "restock",
    "requested_by",
    "approved_by",
    "mpesa_receipt",
    "refund_receipt",
    "result_code",
    "result_desc",
    "created_at",
    "finished_at",
]
WHY = {"reason": "Too small"}


@pytest.fixture
def admin(app, sale):
    return sign_in(app, sale.admin)


@pytest.fixture
def other_admin(app, sale):
    return sign_in(app, sale.other_admin)


def path_of(sale, prefix="/api") -> str:
    return f"{prefix}/transactions/{sale.payment.id}/refund"


def report(client, database, merchant, sale, **fields) -> None:
    """Safaricom's result comes to the address that it was given."""
    with database.reading() as session:
        request = session.scalars(select(MpesaRequest)).one()
    ids = (request.conversation_id, request.originator_id)
    path = merchant.reversals[-1].result_url.removeprefix("https://shop.example")
    assert client.post(path, data=result_body(*ids, **fields), buffered=True).status_code == 200


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_a_refund_is_on_record_sent_and_told(client, database, merchant, admin, sale, prefix):
    response = client.post(path_of(sale, prefix), json=WHY, headers=admin)

    refund = response.get_json()
    assert (response.status_code, list(refund)) == (202, FIELDS)
    assert response.headers["Location"] == f"/api/refunds/{refund['id']}"
    assert refund == {
        "id": refund["id"],
        "transaction_id": sale.payment.id,
        "order_id": sale.order.id,
        "amount": 1500,
        "status": "pending",
        "kind": "reversal",
        "reason": "Too small",
        "restock": False,
        "requested_by": sale.admin.id,
        "approved_by": None,
        "mpesa_receipt": sale.receipt,
        "refund_receipt": None,
        "result_code": None,
        "result_desc": None,
        "created_at": "2026-11-22T09:00:00Z",
        "finished_at": None,
    }
    assert len(merchant.reversals) == 1
    shown = client.get(f"/api/refunds/{refund['id']}", headers=admin).get_json()
    assert shown == refund
    assert is_sound(database)


def test_what_went_back_shows_on_the_transaction_the_order_and_the_refund(
    app, client, database, merchant, admin, sale
):
    buyer = sign_in(app, sale.buyer)
    refund = client.post(path_of(sale), json=WHY, headers=admin).get_json()
    transaction = f"/api/transactions/{sale.payment.id}"
    assert client.get(transaction, headers=buyer).get_json()["refunded_amount"] == 0
    report(client, database, merchant, sale, parameters={"Amount": 1500.0})

    shown = client.get(transaction, headers=buyer).get_json()
    assert (shown["status"], shown["refunded_amount"]) == ("refunded", 1500)
    (listed,) = client.get("/transactions", headers=buyer).get_json()["data"]
    assert listed == shown
    order = client.get(f"/orders/{sale.order.id}", headers=buyer).get_json()
    assert (order["status"], order["payment_status"], order["amount_paid"]) == (
        "refunded",
        "refunded",
        0,
    )
    told = client.get(f"/api/refunds/{refund['id']}", headers=admin).get_json()
    assert (told["status"], told["refund_receipt"], told["result_code"], told["finished_at"]) == (
        "succeeded",
        "UKM0000R01",
        "0",
        "2026-11-22T09:00:00Z",
    )
    assert is_sound(database)


def test_a_part_leaves_the_order_paid(app, client, database, merchant, admin, sale):
    body = {**WHY, "amount": "500.00", "method": "by_hand"}
    refund = client.post(path_of(sale), json=body, headers=admin).get_json()
    assert (refund["amount"], refund["kind"], refund["status"]) == (500, "by_hand", "created")
    noted = client.post(
        f"/api/refunds/{refund['id']}/complete",
        json={"refund_receipt": "ukm0000r09"},
        headers=admin,
    )
    assert (noted.status_code, noted.get_json()["status"]) == (200, "succeeded")
    assert noted.get_json()["refund_receipt"] == "UKM0000R09"

    order = client.get(f"/orders/{sale.order.id}", headers=admin).get_json()
    assert (order["status"], order["payment_status"], order["amount_paid"]) == (
        "paid",
        "paid",
        1000,
    )
    shown = client.get(f"/transactions/{sale.payment.id}", headers=admin).get_json()
    assert (shown["status"], shown["refunded_amount"]) == ("succeeded", 500)
    assert is_sound(database)


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.SELLER])
def test_attack_89_nobody_but_an_admin_learns_or_does_anything(
    app, client, database, merchant, sale, role
):
    _, stranger = new_caller(app, database, role)
    buyer, seller = sign_in(app, sale.buyer), sign_in(app, seller_of(database, sale))
    with database.transaction() as session:
        refund = ask_refund(session, sale.admin, sale.payment)
    before = database_snapshot(database)
    for headers in (stranger, buyer, seller):
        for method, path, body in (
            ("POST", path_of(sale), WHY),
            ("POST", "/api/transactions/999999/refund", WHY),
            ("POST", f"/api/receipts/{sale.receipt}/refund", WHY),
            ("GET", "/api/refunds", None),
            ("GET", f"/api/refunds/{refund.id}", None),
            ("POST", f"/api/refunds/{refund.id}/approve", None),
            ("POST", f"/api/refunds/{refund.id}/complete", {"refund_receipt": "UKM0000R09"}),
        ):
            response = client.open(path, method=method, json=body, headers=headers)
            assert is_refused(response, 403, "forbidden")
    assert is_refused(client.post(path_of(sale), json=WHY), 401, "unauthenticated")
    assert merchant.reversals == []
    assert database_snapshot(database) == before


def seller_of(database, sale):
    with database.reading() as session:
        return session.get_one(type(sale.buyer), sale.boots.seller_id)


def test_attack_89_what_cannot_go_back_is_refused(client, database, merchant, admin, sale):
    with database.transaction() as session:
        order = buy(session, sale.buyer, (make_product(session), 1))
        unpaid = ask_to_pay(session, order)
    before = database_snapshot(database)
    unpaid_path = f"/transactions/{unpaid.id}/refund"
    too_much = client.post(path_of(sale), json={**WHY, "amount": 1500.01}, headers=admin)
    assert is_refused(too_much, 409, "refund_exceeds_payment")
    assert too_much.get_json()["refundable"] == 1500
    refused = client.post(unpaid_path, json=WHY, headers=admin)
    assert is_refused(refused, 409, "not_refundable")
    missing = client.post("/transactions/999999/refund", json=WHY, headers=admin)
    assert is_refused(missing, 404, "transaction_not_found")
    assert (merchant.reversals, merchant.payouts) == ([], [])
    assert database_snapshot(database) == before

    first = client.post(path_of(sale), json=WHY, headers=admin).get_json()
    before = database_snapshot(database)
    second = client.post(path_of(sale), json=WHY, headers=admin)
    assert is_refused(second, 409, "refund_under_way")
    assert second.get_json()["refund_id"] == first["id"]
    assert database_snapshot(database) == before


BAD_BODIES = (
    ({}, "reason"),
    ({"reason": ""}, "reason"),
    ({"reason": "  "}, "reason"),
    ({"reason": "x" * 301}, "reason"),
    ({"reason": 5}, "reason"),
    ({**WHY, "amount": 0}, "amount"),
    ({**WHY, "amount": -1}, "amount"),
    ({**WHY, "amount": 1.001}, "amount"),
    ({**WHY, "amount": "NaN"}, "amount"),
    ({**WHY, "amount": True}, "amount"),
    ({**WHY, "method": "cash"}, "method"),
    ({**WHY, "restock": "yes"}, "restock"),
    ({**WHY, "requested_by": 1}, "requested_by"),
    ({**WHY, "msisdn": "254700000001"}, "msisdn"),
    ({**WHY, "status": "succeeded"}, "status"),
)


def test_a_body_that_is_wrong_says_where(client, database, merchant, admin, sale):
    before = database_snapshot(database)
    for body, field in BAD_BODIES:
        response = client.post(path_of(sale), json=body, headers=admin)
        assert is_refused(response, 400, "invalid_input", field)
    assert (merchant.reversals, database_snapshot(database)) == ([], before)


def test_a_key_gives_back_once_and_the_first_answer_again(client, database, merchant, admin, sale):
    headers = {**admin, "Idempotency-Key": "refund-1"}
    first = client.post(path_of(sale), json=WHY, headers=headers)
    again = client.post(path_of(sale, ""), json=WHY, headers=headers)
    assert (again.status_code, again.data) == (202, first.data)
    assert again.headers["Idempotent-Replayed"] == "true"
    other = client.post(path_of(sale), json={"reason": "Else"}, headers=headers)
    assert is_refused(other, 422, "idempotency_key_reused")
    assert (len(merchant.reversals), how_many(database, Refund)) == (1, 1)


REFUSALS = {
    "no connection": (
        MpesaUnavailable("Not sent: no connection", retry_after_seconds=30),
        503,
        "payment_network_unavailable",
    ),
    "wrong settings": (
        MpesaMisconfigured("Not sent: MPESA_INITIATOR_NAME is not set"),
        502,
        "payment_network_refused",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refund_that_surely_was_not_taken_says_so_and_may_be_tried_again(
    client, database, merchant, admin, sale, case
):
    error, status, code = REFUSALS[case]
    merchant.errors["reverse"] = error
    headers = {**admin, "Idempotency-Key": "k"}
    response = client.post(path_of(sale), json=WHY, headers=headers)
    assert is_refused(response, status, code)
    problem = response.get_json()
    assert error.message in problem["detail"]
    failed = client.get(f"/api/refunds/{problem['refund_id']}", headers=admin).get_json()
    assert failed["status"] == "failed"
    assert is_sound(database)

    merchant.errors.clear()
    again = client.post(path_of(sale), json=WHY, headers=headers)
    assert (again.status_code, again.get_json()["status"]) == (202, "pending")


def test_f28_a_refund_without_an_answer_is_a_202_that_says_unknown(
    client, database, merchant, admin, sale
):
    merchant.errors["reverse"] = MpesaUncertain("read timeout")
    response = client.post(path_of(sale), json=WHY, headers=admin)

    assert (response.status_code, response.get_json()["status"]) == (202, "unknown")
    refused = client.post(path_of(sale), json=WHY, headers=admin)
    assert is_refused(refused, 409, "refund_under_way")
    assert len(merchant.reversals) == 1
    assert is_sound(database)


def make_two_needed(app) -> None:
    work = app.extensions[WORK]
    config = replace(work.config, refund_approval_above_shillings=1000)
    app.extensions[WORK] = replace(work, config=config)


def test_above_the_limit_another_admin_approves_and_only_then_it_is_sent(
    app, client, database, merchant, admin, other_admin, sale
):
    make_two_needed(app)
    refund = client.post(path_of(sale), json=WHY, headers=admin).get_json()
    assert (refund["status"], merchant.reversals) == ("awaiting_approval", [])
    path = f"/api/refunds/{refund['id']}/approve"
    before = database_snapshot(database)
    assert is_refused(client.post(path, headers=admin), 403, "own_refund")
    assert database_snapshot(database) == before

    approved = client.post(path, headers=other_admin)
    assert approved.status_code == 200
    assert (approved.get_json()["status"], approved.get_json()["approved_by"]) == (
        "pending",
        sale.other_admin.id,
    )
    assert len(merchant.reversals) == 1
    again = client.post(path, headers=other_admin)
    assert is_refused(again, 409, "refund_not_awaiting_approval")
    assert is_sound(database)


def test_who_asked_or_another_calls_it_off(app, client, database, merchant, admin, sale):
    make_two_needed(app)
    refund = client.post(path_of(sale), json=WHY, headers=admin).get_json()
    path = f"/api/refunds/{refund['id']}/reject"
    assert is_refused(client.post(path, json={}, headers=admin), 400, "invalid_input", "reason")
    rejected = client.post(path, json={"reason": "Worn"}, headers=admin)

    assert (rejected.status_code, rejected.get_json()["status"]) == (200, "rejected")
    assert rejected.get_json()["result_desc"] == "Worn"
    assert is_refused(client.post(path, json=WHY, headers=admin), 409, "refund_not_rejectable")
    assert merchant.reversals == []
    assert is_sound(database)


def test_what_nobody_knew_is_ended_by_a_person(client, database, admin, sale):
    with database.transaction() as session:
        refund = ask_refund(session, sale.admin, sale.payment)
        lose(session, refund)
    path = f"/api/refunds/{refund.id}"
    ended = client.post(f"{path}/fail", json={"reason": "Not there"}, headers=admin)
    assert (ended.status_code, ended.get_json()["status"]) == (200, "failed")
    assert is_refused(
        client.post(f"{path}/fail", json=WHY, headers=admin), 409, "refund_not_unknown"
    )
    wrong = client.post(f"{path}/complete", json={"refund_receipt": sale.receipt}, headers=admin)
    assert is_refused(wrong, 400, "invalid_input", "refund_receipt")
    noted = client.post(f"{path}/complete", json={"refund_receipt": "UKM0000R09"}, headers=admin)
    assert noted.get_json()["status"] == "succeeded"
    assert is_sound(database)


def test_money_without_an_order_goes_back_by_its_receipt(client, database, merchant, admin, sale):
    with database.transaction() as session:
        receipt = stray_money(session)
    response = client.post(f"/api/receipts/{receipt.lower()}/refund", json=WHY, headers=admin)

    refund = response.get_json()
    assert (response.status_code, refund["transaction_id"], refund["order_id"]) == (202, None, None)
    assert (refund["mpesa_receipt"], refund["amount"]) == (receipt, 700)
    assert [ask.receipt for ask in merchant.reversals] == [receipt]
    owned = client.post(f"/api/receipts/{sale.receipt}/refund", json=WHY, headers=admin)
    assert is_refused(owned, 409, "receipt_has_an_order")
    assert owned.get_json()["transaction_id"] == sale.payment.id
    missing = client.post("/api/receipts/NOSUCH/refund", json=WHY, headers=admin)
    assert is_refused(missing, 404, "receipt_not_found")
    assert client.post(f"/receipts/{receipt}/refund", json=WHY, headers=admin).status_code == 404


def test_refunds_are_listed_newest_first_and_filtered(client, database, admin, sale):
    with database.transaction() as session:
        other = make_sale(session)
        first = ask_refund(session, sale.admin, sale.payment)
        second = ask_refund(session, sale.admin, other.payment, method=RefundKind.BY_HAND)
        lose(session, first)
    both = [second.id, first.id]
    for query, expected in (
        ("", both),
        ("?status=unknown", [first.id]),
        ("?status=created", [second.id]),
        (f"?order_id={sale.order.id}", [first.id]),
        (f"?transaction_id={other.payment.id}", [second.id]),
        (f"?mpesa_receipt={sale.receipt.lower()}", [first.id]),
        ("?created_after=2026-11-22T08:59:59Z", both),
        ("?created_before=2026-11-22T09:00:00Z", []),
    ):
        listed = client.get(f"/api/refunds{query}", headers=admin).get_json()
        assert [row["id"] for row in listed["data"]] == expected, query
    page = client.get("/api/refunds?limit=1&include_total=true", headers=admin).get_json()
    assert (page["page"]["total"], page["page"]["has_more"]) == (2, True)
    rest = client.get(f"/api/refunds?limit=1&cursor={page['page']['next']}", headers=admin)
    assert [row["id"] for row in rest.get_json()["data"]] == [first.id]
    wrong = client.get("/api/refunds?status=gone", headers=admin)
    assert is_refused(wrong, 400, "invalid_input", "status")
    assert is_refused(client.get("/api/refunds/999", headers=admin), 404, "refund_not_found")


def test_a_refund_under_way_keeps_the_seller_from_sending(app, client, database, admin, sale):
    client.post(path_of(sale), json=WHY, headers=admin)
    seller = sign_in(app, seller_of(database, sale))
    path = f"/orders/{sale.order.id}/fulfil"
    before = database_snapshot(database)
    refused = client.post(path, json={"status": "shipped"}, headers=seller)
    assert is_refused(refused, 409, "refund_under_way")
    assert database_snapshot(database) == before
