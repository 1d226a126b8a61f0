""" "I have paid" over HTTP."""

import pytest
from sqlalchemy import select

from app.models import MpesaReceipt, Order, PaymentClaim
from app.policies import Role
from app.services.audit import audit
from app.services.receipts import ReceiptFacts
from app.services.receive_money import receive_money
from tests.controllers.callers import is_refused
from tests.controllers.sign_in import new_caller, sign_in
from tests.core import ask_to_pay, buy, database_snapshot, differing_tables, make_buyer, pay
from tests.core import receipt_of as prompt_receipt
from tests.factories import NOW, make_product

PHONE = "254700000001"
RECEIPT = "UKM9000001"
FIELDS = ["id", "order_id", "mpesa_receipt", "state", "message", "created_at", "updated_at"]


@pytest.fixture
def buyer(app, database):
    with database.transaction() as session:
        user = make_buyer(session, phone_number=PHONE)
    return user, sign_in(app, user)


@pytest.fixture
def boots(database):
    with database.transaction() as session:
        return make_product(session)


@pytest.fixture
def order(database, buyer, boots):
    with database.transaction() as session:
        return buy(session, buyer[0], (boots, 1))


def say(client, order, headers, receipt=RECEIPT, prefix="/api", **options):
    path = f"{prefix}/orders/{order.id}/paid"
    return client.post(path, json={"mpesa_receipt": receipt}, headers=headers, **options)


def money(database, payer_phone: str) -> None:
    facts = ReceiptFacts(RECEIPT, 150_000, "c2b", "SHOES", NOW, payer_phone, "WANJIKU")
    with database.transaction() as session:
        receive_money(session, facts, NOW)


def test_a_claim_is_answered_as_it_stands_and_rings_for_its_question(
    client, database, doorbell, buyer, order
):
    for prefix in ("/api", ""):
        response = say(client, order, buyer[1], prefix=prefix)
        one = response.get_json()
        assert response.status_code == 202
        assert response.headers["Location"] == f"/api/orders/{order.id}/claims"
        assert list(one) == FIELDS
        assert one == {
            "id": 1,
            "order_id": order.id,
            "mpesa_receipt": RECEIPT,
            "state": "open",
            "message": "We are asking M-Pesa about this payment.",
            "created_at": "2026-11-22T09:00:00Z",
            "updated_at": "2026-11-22T09:00:00Z",
        }
    assert doorbell.rings == [("check_claim", 1, 0)] * 2
    listed = client.get(f"/api/orders/{order.id}/claims", headers=buyer[1]).get_json()
    assert listed == {"data": [one], "page": {"next": None, "has_more": False}}


def test_money_of_ones_own_phone_pays_at_once(client, database, buyer, order):
    money(database, "2547 ***** 001")
    response = say(client, order, buyer[1])

    assert (response.status_code, response.get_json()["state"]) == (202, "accepted")
    shown = client.get(f"/api/orders/{order.id}", headers=buyer[1]).get_json()
    assert (shown["status"], shown["amount_paid"]) == ("paid", 1500)
    with database.reading() as session:
        assert audit(session, NOW) == []


@pytest.mark.parametrize("typed", ["ukm9000001", " UKM 900 0001 ", "UkM9000001"])
def test_a_receipt_is_read_as_people_type_it(client, buyer, order, typed):
    assert say(client, order, buyer[1], typed).get_json()["mpesa_receipt"] == RECEIPT


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "   ",
        "UKM",
        "UKM-9000001",
        "<b>UKM9000001</b>",
        "U" * 41,
        "UKM900000é",
        9_000_001,
        None,
        ["UKM9000001"],
        "UKM9000001\x00",
        "'; DROP TABLE orders --",
    ],
)
def test_what_is_no_receipt_is_refused(client, database, buyer, order, typed):
    before = database_snapshot(database)
    assert is_refused(say(client, order, buyer[1], typed), 400, "invalid_input", "mpesa_receipt")
    extra = {"mpesa_receipt": RECEIPT, "amount": 1}
    path = f"/api/orders/{order.id}/paid"
    answer = client.post(path, json=extra, headers=buyer[1])
    assert is_refused(answer, 400, "invalid_input", "amount")
    assert database_snapshot(database) == before


def test_only_the_buyer_claims(app, client, database, boots, order):
    before = None
    for role, status in ((Role.CUSTOMER, 404), (Role.SELLER, 404), (Role.ADMIN, 403)):
        _, headers = new_caller(app, database, role)
        before = database_snapshot(database)
        code = "order_not_found" if status == 404 else "forbidden"
        assert is_refused(say(client, order, headers), status, code)
        assert database_snapshot(database) == before
    assert is_refused(say(client, order, {}), 401, "unauthenticated")
    assert database_snapshot(database) == before


def test_counted_money_is_a_conflict_that_names_nobody(client, database, buyer, boots, order):
    with database.transaction() as session:
        other = buy(session, make_buyer(session, username="otieno"), (boots, 1))
        prompt = ask_to_pay(session, other)
        pay(session, prompt)
    before = database_snapshot(database)
    response = say(client, order, buyer[1], prompt_receipt(prompt.id))

    assert is_refused(response, 409, "receipt_counted")
    problem = response.get_json()
    assert problem["detail"] == (
        "This M-Pesa payment is counted already. If that cannot be, tell the shop."
    )
    for secret in ("otieno", other.number, str(prompt.amount_cents)):
        assert secret not in response.text
    assert set(problem) == {"type", "title", "status", "detail", "code", "errors", "request_id"}
    assert database_snapshot(database) == before


def test_attack_a_strangers_receipt_is_not_to_be_had(app, client, database, boots):
    """A thief who has read the message over a shoulder, and knows the payer's number."""
    money(database, PHONE)
    thief, headers = new_caller(app, database, Role.CUSTOMER)
    with database.transaction() as session:
        make_buyer(session, phone_number=PHONE)
        theft = buy(session, thief, (boots, 1), phone_number=PHONE)
    response = say(client, theft, headers)

    assert (response.status_code, response.get_json()["state"]) == (202, "with_a_person")
    assert PHONE not in response.text
    with database.reading() as session:
        assert session.get_one(Order, theft.id).status == "pending"
        assert session.get_one(MpesaReceipt, RECEIPT).state == "unmatched"


def test_without_an_initiator_a_person_looks_at_once(make_app, database, doorbell, buyer, order):
    app = make_app(mpesa_initiator_name=None)
    headers = sign_in(app, buyer[0])
    response = say(app.test_client(), order, headers)
    assert (response.status_code, response.get_json()["state"]) == (202, "with_a_person")


def test_few_receipts_may_be_named(make_app, database, buyer, order):
    app = make_app(rate_limits_enabled=True, payment_claim_limit="2 per day")
    client, headers = app.test_client(), sign_in(app, buyer[0])
    for number in (1, 2):
        assert say(client, order, headers, f"UKM900000{number}").status_code == 202
    before = database_snapshot(database)
    refused = say(client, order, headers, "UKM9000003")

    assert is_refused(refused, 429, "rate_limited")
    assert int(refused.headers["Retry-After"]) > 3600
    assert differing_tables(before, database_snapshot(database)) == {"rate_counters"}


def test_one_key_claims_once_and_is_answered_the_same_again(client, database, buyer, order):
    headers = {**buyer[1], "Idempotency-Key": "a-claim"}
    first, second = say(client, order, headers), say(client, order, headers)
    assert first.data == second.data
    assert second.headers["Idempotent-Replayed"] == "true"
    with database.reading() as session:
        assert len(session.scalars(select(PaymentClaim)).all()) == 1


def test_claims_are_listed_in_pages_for_their_buyer_and_admins(app, client, database, buyer, order):
    for number in range(3):
        say(client, order, buyer[1], f"UKM900000{number}")
    _, admin = new_caller(app, database, Role.ADMIN)
    path = f"/api/orders/{order.id}/claims"
    for headers in (buyer[1], admin):
        first = client.get(f"{path}?limit=2", headers=headers).get_json()
        assert [one["mpesa_receipt"] for one in first["data"]] == ["UKM9000002", "UKM9000001"]
        rest = client.get(f"{path}?cursor={first['page']['next']}", headers=headers).get_json()
        assert [one["mpesa_receipt"] for one in rest["data"]] == ["UKM9000000"]
    _, stranger = new_caller(app, database, Role.SELLER)
    assert is_refused(client.get(path, headers=stranger), 404, "order_not_found")
    assert is_refused(client.get(path), 401, "unauthenticated")
