"""Comments on the wire."""

import pytest

from app.policies import Role
from tests.controllers.callers import is_refused
from tests.controllers.sign_in import new_caller, sign_in
from tests.core import ask_to_pay, buy, database_snapshot, pay
from tests.factories import make_comment, make_product, make_user

HOSTILE = "<script>alert(1)</script> {{7*7}} ${7*7} {% x %} \"'"


@pytest.fixture
def seller(app, database):
    return new_caller(app, database, Role.SELLER)


@pytest.fixture
def boots(database, seller):
    with database.transaction() as session:
        return make_product(session, seller[0], name="Boots", sku="B-1")


def test_a_buyers_comment_and_rating_are_there_for_everybody(app, client, database, seller, boots):
    with database.transaction() as session:
        amina = make_user(session, username="amina", picture_url="/media/amina.webp")
        pay(session, ask_to_pay(session, buy(session, amina, (boots, 1))))
    tag = client.get(f"/api/items/{boots.id}").headers["ETag"]
    body = {"item_id": boots.id, "body": f" {HOSTILE}\r\nWarm ", "rating": 4}

    made = client.post("/api/comments", json=body, headers=sign_in(app, amina))

    assert made.status_code == 201
    assert made.get_json() == {
        "id": 1,
        "item_id": boots.id,
        "user": {"id": amina.id, "username": "amina", "picture_url": "/media/amina.webp"},
        "body": f"{HOSTILE}\nWarm",
        "rating": 4,
        "verified_purchase": True,
        "created_at": "2026-11-22T09:00:00Z",
    }
    listed = client.get(f"/api/comments/{boots.id}")
    assert listed.mimetype == "application/json"
    assert listed.get_json() == {
        "data": [made.get_json()],
        "page": {"next": None, "has_more": False},
    }
    product = client.get(f"/products/{boots.id}", headers={"If-None-Match": tag})
    assert product.status_code == 200
    assert product.headers["ETag"] != tag
    shown = product.get_json()
    assert (shown["rating_average"], shown["rating_count"]) == (4.0, 1)
    assert client.get("/products").get_json()["data"] == [shown]
    notice, sale = client.get("/api/notifications", headers=seller[1]).get_json()["data"]
    assert (sale["kind"], sale["product_id"]) == ("sale", None)
    assert (notice["kind"], notice["product_id"]) == ("comment", boots.id)
    assert notice["body"] == f"amina on Boots (4 of 5): {HOSTILE}\nWarm"


def test_comments_come_a_page_at_a_time_and_may_be_kept(client, database, boots):
    with database.transaction() as session:
        author = make_user(session)
        numbers = [make_comment(session, author, boots).id for _ in range(3)]
    address, seen = f"/api/comments/{boots.id}?limit=2&include_total=true", []
    while address:
        response = client.get(address)
        assert response.get_json()["page"]["total"] == 3
        seen += [row["id"] for row in response.get_json()["data"]]
        address = response.headers["Link"].split(">")[0][1:] if "Link" in response.headers else None
    assert seen == numbers[::-1]
    tag = {"If-None-Match": client.get(f"/api/comments/{boots.id}").headers["ETag"]}
    assert client.get(f"/api/comments/{boots.id}", headers=tag).status_code == 304


def test_a_comment_sent_twice_under_one_key_is_made_once(client, seller, boots):
    headers = {**seller[1], "Idempotency-Key": "tap"}
    body = {"item_id": boots.id, "body": "Thank you"}
    first, second = (client.post("/api/comments", json=body, headers=headers) for _ in range(2))

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.data == first.data
    assert second.headers["Idempotent-Replayed"] == "true"
    assert len(client.get(f"/api/comments/{boots.id}").get_json()["data"]) == 1


def test_attack_40_nobody_speaks_for_another_nor_of_what_is_not_there(
    app, client, database, seller, boots
):
    amina, headers = new_caller(app, database, Role.CUSTOMER)
    with database.transaction() as session:
        theirs = make_comment(session, amina, boots).id
        gone = make_product(session, seller[0], deleted_at=boots.created_at).id
    _, stranger = new_caller(app, database, Role.SELLER)
    before = database_snapshot(database)

    def post(**body):
        return client.post("/api/comments", json=body, headers=headers)

    for product_id in (gone, 999, 2**63 - 1):
        refusal = post(item_id=product_id, body="Hm")
        assert is_refused(refusal, 404, "product_not_found")
        assert is_refused(client.get(f"/api/comments/{product_id}"), 404, "product_not_found")
    own_words = {"item_id": boots.id, "body": "Hm"}
    assert is_refused(post(**own_words, user_id=1), 400, "invalid_input", "user_id")
    assert is_refused(post(**own_words, rating=5.5), 400, "invalid_input", "rating")
    assert is_refused(post(item_id=boots.id, body=" "), 400, "invalid_input", "body")
    assert is_refused(client.post("/api/comments", json=own_words), 401, "unauthenticated")
    one = f"/api/comments/{theirs}"
    assert is_refused(client.delete(one, headers=stranger), 403, "not_your_comment")
    assert is_refused(client.delete(one), 401, "unauthenticated")
    assert is_refused(client.delete("/api/comments/999", headers=headers), 404, "comment_not_found")
    for method in ("PUT", "PATCH"):
        response = client.open(one, method=method, json={"body": "Mine"}, headers=headers)
        assert is_refused(response, 405, "method_not_allowed")
        assert {"GET", "DELETE"} <= set(response.headers["Allow"].split(", "))
    assert database_snapshot(database) == before

    assert client.delete(one, headers=headers).status_code == 204
    assert is_refused(client.delete(one, headers=headers), 404, "comment_not_found")


def test_attacks_36_and_41_a_public_list_shows_no_more_for_being_asked(client, database, boots):
    with database.transaction() as session:
        author = make_user(session)
        make_comment(session, author, boots)
    plain = client.get(f"/api/comments/{boots.id}")
    asked = client.get(
        f"/api/comments/{boots.id}?include=user.email&fields=password_hash&user_id=9"
    )

    assert asked.data == plain.data
    for secret in (author.email, author.phone_number, author.password_hash):
        assert secret not in plain.text


def test_both_meanings_of_the_address_are_documented_under_one_name(client):
    paths = client.get("/api/openapi.json").get_json()["paths"]
    found = [path for path in paths if path.startswith("/api/comments/")]

    assert found == ["/api/comments/{item_or_comment_id}"]
    assert {"get", "delete"} <= set(paths[found[0]])
