"""Orders over HTTP: statuses and fields of the contract, and what is refused."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from app.context import WORK
from app.policies import Role
from app.services.audit import audit
from tests.controllers.callers import is_refused
from tests.controllers.sign_in import new_caller
from tests.core import ask_to_pay, buy, database_snapshot, differing_tables, pay
from tests.factories import NOW, make_product

FIELDS = [
    "id",
    "number",
    "user_id",
    "products",
    "total_price",
    "currency",
    "amount_paid",
    "amount_due",
    "status",
    "payment_status",
    "phone_number",
    "delivery_address",
    "note",
    "created_at",
    "updated_at",
    "expires_at",
    "paid_at",
    "pay_by_paybill",
]


@pytest.fixture
def buyer(app, database):
    return new_caller(app, database, Role.CUSTOMER)


@pytest.fixture
def seller(app, database):
    return new_caller(app, database, Role.SELLER)


@pytest.fixture
def boots(database, seller):
    with database.transaction() as session:
        return make_product(session, seller[0], name="Boots", stock=10, price_cents=149_950)


@pytest.fixture
def order(database, buyer, boots):
    with database.transaction() as session:
        return buy(session, buyer[0], (boots, 2))


def is_sound(database, now=NOW) -> bool:
    with database.reading() as session:
        assert audit(session, now) == []
    return True


def cart(*lines: tuple, **fields) -> dict:
    products = [{"product_id": product.id, "quantity": quantity} for product, quantity in lines]
    return {"products": products, **fields}


def test_an_order_is_answered_whole(client, database, doorbell, buyer, boots):
    user, headers = buyer
    body = cart((boots, 2), phone_number="0712 345 678", note="  Blue\r\nplease ")
    response = client.post("/api/orders", json=body, headers=headers)

    order = response.get_json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/api/orders/{order['id']}"
    assert response.headers["Cache-Control"] == "no-store"
    assert list(order) == FIELDS
    assert order == {
        "id": order["id"],
        "number": order["number"],
        "user_id": user.id,
        "products": [
            {
                "product_id": boots.id,
                "name": "Boots",
                "quantity": 2,
                "unit_price": 1499.5,
                "line_total": 2999,
            }
        ],
        "total_price": 2999,
        "currency": "KES",
        "amount_paid": 0,
        "amount_due": 2999,
        "status": "pending",
        "payment_status": "unpaid",
        "phone_number": "254712345678",
        "delivery_address": None,
        "note": "Blue\nplease",
        "created_at": "2026-11-22T09:00:00Z",
        "updated_at": "2026-11-22T09:00:00Z",
        "expires_at": "2026-11-22T09:15:00Z",
        "paid_at": None,
        "pay_by_paybill": {
            "paybill": "174379",
            "till": None,
            "account": order["number"],
            "amount": 2999,
        },
    }
    assert len(order["number"]) == 7
    assert doorbell.rings == []  # its end is found by the sweep
    assert client.get(f"/orders/{order['id']}", headers=headers).get_json() == order
    assert is_sound(database)


def test_the_amount_due_is_shown_in_whole_shillings(client, buyer, boots):
    order = client.post("/orders", json=cart((boots, 1)), headers=buyer[1]).get_json()

    assert (order["total_price"], order["amount_due"]) == (1499.5, 1500)


def test_the_money_of_an_order_is_followed_to_its_end(client, database, buyer, boots, order):
    path, headers = f"/api/orders/{order.id}", buyer[1]

    def shown() -> tuple:
        body = client.get(path, headers=headers).get_json()
        keys = ("status", "payment_status", "amount_paid", "amount_due", "paid_at")
        return tuple(body[key] for key in keys)

    assert shown() == ("pending", "unpaid", 0, 2999, None)
    with database.transaction() as session:
        payment = ask_to_pay(session, order)
    assert shown() == ("pending", "pending", 0, 2999, None)
    with database.transaction() as session:
        pay(session, payment)
    assert shown() == ("paid", "paid", 2999, 0, "2026-11-22T09:00:00Z")


def test_too_little_stock_is_a_conflict_that_names_the_lines(client, database, buyer, boots):
    before = database_snapshot(database)
    response = client.post("/orders", json=cart((boots, 11)), headers=buyer[1])

    assert is_refused(response, 409, "out_of_stock", "products.0.quantity")
    assert response.get_json()["lines"] == [
        {"product_id": boots.id, "name": "Boots", "requested": 11, "available": 10}
    ]
    assert database_snapshot(database) == before


@pytest.mark.parametrize("path", ["/orders", "/api/orders"])
def test_an_anonymous_caller_places_and_sees_nothing(client, database, boots, path):
    before = database_snapshot(database)
    assert is_refused(client.post(path, json=cart((boots, 1))), 401, "unauthenticated")
    assert is_refused(client.get(path), 401, "unauthenticated")
    assert is_refused(client.get(f"{path}/1"), 401, "unauthenticated")
    for step in ("cancel", "fulfil"):
        assert is_refused(client.post(f"{path}/1/{step}", json={}), 401, "unauthenticated")
    assert database_snapshot(database) == before


def refusals(client, database, headers, bodies, field=None) -> bool:
    """Each body, sent as it stands, is a 400 that leaves everything as it was."""
    before = database_snapshot(database)
    for body in bodies:
        response = client.post(
            "/orders", data=body, headers={**headers, "Content-Type": "application/json"}
        )
        problem = response.get_json()
        assert response.status_code == 400, (body[:80], problem)
        if field is not None:
            assert [error["field"] for error in problem["errors"]] == [field], (body, problem)
    assert database_snapshot(database) == before
    return True


def test_attack_43_a_quantity_is_a_whole_number_from_1_to_1000(client, database, buyer, boots):
    values = [
        *("0", "-1", "-0", "1.5", "5.7", "1e3", "1.0", "1001", "null", "[]", "{}", "true"),
        *('"5"', '"1_0"', '"\u0665"', '" 5 "', "100000000000000000"),
    ]
    line = '{{"products": [{{"product_id": {0}, "quantity": {1}}}]}}'
    bodies = [line.format(boots.id, value) for value in values]
    assert refusals(client, database, buyer[1], bodies, "products.0.quantity")
    assert refusals(client, database, buyer[1], [line.format(boots.id, 10**30)])


def test_attack_44_an_order_has_1_to_50_lines(client, database, buyer, boots):
    for number in (0, 51, 10_000):
        body = json.dumps(cart(*[(boots, 1)] * number))
        assert refusals(client, database, buyer[1], [body], "products")


def test_attack_37_38_45_prices_owners_and_states_are_not_the_clients(
    client, database, buyer, boots
):
    before = database_snapshot(database)
    for name in ("price", "total", "total_price", "user_id", "status", "id", "number", "paid_at"):
        response = client.post("/orders", json=cart((boots, 1), **{name: 1}), headers=buyer[1])
        assert is_refused(response, 400, "invalid_input", name)
    for name in ("price", "unit_price", "discount", "shipping", "product", "seller_id"):
        line = {"product_id": boots.id, "quantity": 1, name: -100}
        response = client.post("/orders", json={"products": [line]}, headers=buyer[1])
        assert is_refused(response, 400, "invalid_input", f"products.0.{name}")
    assert database_snapshot(database) == before


def test_attack_46_49_53_what_is_no_json_object_is_refused(client, database, buyer):
    number = '{{"products": [{{"product_id": {0}, "quantity": 1}}]}}'
    bodies = [
        *("null", "[]", '"x"', "1", "{", "", "NaN", '{"products": {}}', '{"products": null}'),
        *(number.format(value) for value in ("NaN", "Infinity", "-Infinity", "1e400", "0", "-1")),
        *(number.format("9" * digits) for digits in (19, 4000, 5000)),
        '{"products": [], "products": []}',
        '{"products": [null]}',
    ]
    assert refusals(client, database, buyer[1], bodies)


def test_attack_50_text_holds_no_nul(client, database, buyer, boots):
    before = database_snapshot(database)
    for name in ("note", "delivery_address", "phone_number"):
        response = client.post(
            "/orders", json=cart((boots, 1), **{name: "a\u0000b"}), headers=buyer[1]
        )
        assert is_refused(response, 400, "invalid_input", name)
    assert database_snapshot(database) == before


def test_attack_34_another_buyers_order_is_not_there(app, client, database, order):
    before = database_snapshot(database)
    for role in (Role.CUSTOMER, Role.SELLER):
        _, headers = new_caller(app, database, role)
        before = database_snapshot(database)
        missing = client.get("/orders/999999", headers=headers).get_json()
        there = client.get(f"/orders/{order.id}", headers=headers)
        assert is_refused(there, 404, "order_not_found")
        assert there.get_json()["detail"] == missing["detail"]
        response = client.post(f"/orders/{order.id}/cancel", headers=headers)
        assert is_refused(response, 404, "order_not_found")
        assert client.get("/orders", headers=headers).get_json()["data"] == []
    fulfil = client.post(f"/orders/{order.id}/fulfil", json={"status": "shipped"}, headers=headers)
    assert is_refused(fulfil, 404, "order_not_found")
    assert database_snapshot(database) == before


@pytest.mark.parametrize("bad", ["0", "-1", "1.0", "x", "9" * 30, "\u0665"])
def test_an_id_that_is_none_is_not_found(client, buyer, bad):
    assert client.get(f"/orders/{bad}", headers=buyer[1]).status_code == 404


def test_a_buyer_cancels_once(client, database, buyer, boots, order):
    path = f"/api/orders/{order.id}/cancel"
    response = client.post(path, headers=buyer[1])

    assert (response.status_code, response.get_json()["status"]) == (200, "cancelled")
    assert response.get_json()["amount_due"] == 0
    before = database_snapshot(database)
    assert is_refused(client.post(path, headers=buyer[1]), 409, "order_not_cancellable")
    assert database_snapshot(database) == before
    assert is_sound(database)


def test_who_fulfils_and_who_does_not(app, client, database, buyer, seller, order):
    path = f"/orders/{order.id}/fulfil"
    shipped = {"status": "shipped"}
    before = database_snapshot(database)
    assert is_refused(client.post(path, json=shipped, headers=buyer[1]), 403, "forbidden")
    unpaid = client.post(path, json=shipped, headers=seller[1])
    assert is_refused(unpaid, 409, "order_not_fulfillable")
    for body in ({}, {"status": "paid"}, {"status": "refunded"}, {"status": None}):
        response = client.post(path, json=body, headers=seller[1])
        assert is_refused(response, 400, "invalid_input", "status")
    assert is_refused(
        client.post(f"/orders/{order.id}/cancel", headers=seller[1]), 403, "forbidden"
    )
    assert database_snapshot(database) == before

    with database.transaction() as session:
        pay(session, ask_to_pay(session, order))
    assert client.post(path, json=shipped, headers=seller[1]).get_json()["status"] == "shipped"
    _, admin = new_caller(app, database, Role.ADMIN)
    delivered = client.post(path, json={"status": "delivered"}, headers=admin)
    assert (delivered.status_code, delivered.get_json()["status"]) == (200, "delivered")
    assert is_sound(database)


def test_each_sees_their_own_orders_sellers_those_with_their_goods_admins_all(
    app, client, database, buyer, seller, order
):
    with database.transaction() as session:
        bought_by_seller = buy(session, seller[0], (make_product(session), 1))
    _, admin = new_caller(app, database, Role.ADMIN)

    def seen(headers, query="") -> list[int]:
        return [
            row["id"] for row in client.get(f"/orders{query}", headers=headers).get_json()["data"]
        ]

    assert seen(buyer[1]) == [order.id]
    assert seen(seller[1]) == [bought_by_seller.id, order.id]
    assert seen(admin) == [bought_by_seller.id, order.id]
    assert seen(buyer[1], f"?user_id={seller[0].id}") == [order.id]  # attack 36


def test_the_list_is_filtered_by_status_and_moments(client, database, clock, buyer, boots, order):
    user, headers = buyer
    with database.transaction() as session:
        later = buy(session, user, (boots, 1), now=NOW + timedelta(hours=1))
        pay(session, ask_to_pay(session, later, NOW + timedelta(hours=1)))

    def seen(query: str) -> list[int]:
        body = client.get(f"/api/orders?{query}", headers=headers).get_json()
        return [row["id"] for row in body["data"]]

    assert seen("") == [later.id, order.id]
    assert seen("status=paid") == [later.id]
    assert seen("status=expired") == []
    assert seen("created_after=2026-11-22T09:30:00Z") == [later.id]
    assert seen("created_before=2026-11-22T12:30:00%2B03:00") == [order.id]
    assert seen("created_after=2026-11-22T09:00:00Z&created_before=2026-11-22T10:00:00Z") == []
    for query in ("status=Paid", "created_after=yesterday", "limit=0", "limit=101", "cursor=x"):
        response = client.get(f"/orders?{query}", headers=headers)
        assert is_refused(response, 400, "invalid_input", query.partition("=")[0])


def test_pages_follow_one_another_and_a_new_order_makes_nobody_see_one_twice(
    client, database, buyer, boots
):
    user, headers = buyer
    with database.transaction() as session:
        placed = [buy(session, user, (boots, 1)).id for _ in range(5)]
    first = client.get("/orders?limit=2&include_total=true", headers=headers)
    page = first.get_json()["page"]
    assert (page["has_more"], page["total"]) == (True, 5)
    assert first.headers["Link"].startswith("</orders?limit=2&include_total=true&cursor=")
    with database.transaction() as session:
        buy(session, user, (boots, 1))

    seen = [row["id"] for row in first.get_json()["data"]]
    while page["next"] is not None:
        body = client.get(f"/api/orders?limit=2&cursor={page['next']}", headers=headers).get_json()
        seen += [row["id"] for row in body["data"]]
        page = body["page"]
    assert seen == placed[::-1]
    assert page == {"next": None, "has_more": False}


def test_attack_90_a_key_gives_the_first_answer_again_byte_for_byte(
    client, database, buyer, seller, boots
):
    headers = {**buyer[1], "Idempotency-Key": "cart 17"}
    first = client.post("/orders", json=cart((boots, 1)), headers=headers)
    once = database_snapshot(database)
    again = client.post("/api/orders", json=cart((boots, 1)), headers=headers)

    assert (again.status_code, again.data) == (201, first.data)
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    other = client.post("/orders", json=cart((boots, 2)), headers=headers)
    assert is_refused(other, 422, "idempotency_key_reused")
    for key in ("", "k" * 256, "a\tb", "é"):
        bad = client.post(
            "/orders", json=cart((boots, 1)), headers={**buyer[1], "Idempotency-Key": key}
        )
        assert is_refused(bad, 400, "invalid_input", "Idempotency-Key")
    assert database_snapshot(database) == once

    own = client.post(
        "/orders", json=cart((boots, 1)), headers={**seller[1], "Idempotency-Key": "cart 17"}
    )
    assert own.status_code == 201
    assert own.get_json()["id"] != first.get_json()["id"]


def test_a_refused_order_leaves_its_key_free(client, database, buyer, boots):
    headers = {**buyer[1], "Idempotency-Key": "k"}
    before = database_snapshot(database)
    refused = client.post("/orders", json=cart((boots, 11)), headers=headers)
    assert is_refused(refused, 409, "out_of_stock", "products.0.quantity")
    assert database_snapshot(database) == before

    assert client.post("/orders", json=cart((boots, 1)), headers=headers).status_code == 201


def test_cancelling_twice_with_one_key_is_cancelling_once(client, database, buyer, order):
    headers = {**buyer[1], "Idempotency-Key": "c"}
    first = client.post(f"/orders/{order.id}/cancel", headers=headers)
    once = database_snapshot(database)
    again = client.post(f"/orders/{order.id}/cancel", headers=headers)

    assert (again.status_code, again.data) == (200, first.data)
    assert database_snapshot(database) == once


def test_attack_91_the_cap_on_open_orders_is_the_settings(app, client, database, buyer, boots):
    work = app.extensions[WORK]
    app.extensions[WORK] = replace(work, config=replace(work.config, max_open_orders=1))
    assert client.post("/orders", json=cart((boots, 1)), headers=buyer[1]).status_code == 201
    before = database_snapshot(database)
    response = client.post("/orders", json=cart((boots, 1)), headers=buyer[1])

    assert is_refused(response, 409, "too_many_open_orders")
    assert database_snapshot(database) == before


def test_an_order_touches_the_tables_of_orders_and_stock_alone(client, database, buyer, boots):
    before = database_snapshot(database)
    client.post("/orders", json=cart((boots, 1)), headers=buyer[1])

    assert differing_tables(before, database_snapshot(database)) == {
        "orders",
        "order_lines",
        "order_events",
        "products",
        "reservations",
        "stock_movements",
    }
