from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from app.models import Product, StockMovement
from app.policies import Role
from tests.controllers.sign_in import new_caller
from tests.factories import make_category, make_product

ALIASES = ("/api/items", "/api/products", "/products")
BIGGEST_ID = 2**63 - 1


@pytest.fixture
def seller(app, database):
    return new_caller(app, database, Role.SELLER)


@pytest.fixture
def product(database, seller) -> Product:
    with database.transaction() as session:
        return make_product(session, seller[0], name="Boot", price_cents=149_950, stock=5)


@pytest.fixture
def nothing_changes(database):
    """Called around a refusal: every row of products and movements is as it was."""

    def rows():
        with database.reading() as session:
            return [
                session.execute(select(*model.__table__.columns).order_by(model.id)).all()
                for model in (Product, StockMovement)
            ]

    class Unchanged:
        def __enter__(self):
            self.before = rows()

        def __exit__(self, *raised):
            if raised == (None, None, None):
                assert rows() == self.before

    return Unchanged


def problem(response, status: int, code: str) -> dict:
    """The problem document, after the parts that all of them share are seen to be right."""
    assert response.status_code == status, response.text
    assert response.mimetype == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    body = response.get_json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["request_id"] == response.headers["X-Request-Id"]
    assert "Traceback" not in response.text
    assert "SELECT" not in response.text
    return body


def field_at_fault(response) -> str:
    (error,) = problem(response, 400, "invalid_input")["errors"]
    return error["field"]


# Reading


def test_a_product_has_exactly_these_fields(client, database, seller):
    with database.transaction() as session:
        shoes = make_category(session, "Shoes")
        product = make_product(
            session,
            seller[0],
            name="Boot",
            description="Warm",
            price_cents=149_950,
            stock=5,
            reserved=2,
            sku="B-1",
            image_url="/media/boot.webp",
            category_id=shoes.id,
            low_stock_threshold=3,
        )

    response = client.get(f"/api/items/{product.id}")

    assert response.status_code == 200
    assert response.get_json() == {
        "id": product.id,
        "name": "Boot",
        "price": 1499.5,
        "currency": "KES",
        "description": "Warm",
        "stock": 3,
        "category": shoes.slug,
        "image_url": "/media/boot.webp",
        "rating_average": None,
        "rating_count": 0,
        "seller_id": seller[0].id,
        "sku": "B-1",
        "created_at": "2026-11-22T09:00:00Z",
        "updated_at": "2026-11-22T09:00:00Z",
    }


def test_what_a_product_does_not_have_is_null(client, product):
    body = client.get(f"/api/items/{product.id}").get_json()

    assert (body["category"], body["image_url"], body["sku"]) == (None, None, None)
    assert body["description"] == ""


@pytest.mark.parametrize("made_by", ALIASES)
def test_a_product_made_by_one_name_is_found_by_all(client, seller, made_by):
    made = client.post(made_by, json={"name": "Boot", "price": 10}, headers=seller[1])

    assert made.status_code == 201
    product = made.get_json()
    assert made.headers["Location"] == f"{made_by}/{product['id']}"
    for alias in ALIASES:
        assert client.get(f"{alias}/{product['id']}").get_json() == product
        assert client.get(alias).get_json() == {
            "data": [product],
            "page": {"next": None, "has_more": False},
        }


@pytest.mark.parametrize("alias", ALIASES)
def test_a_slash_at_the_end_is_no_other_place(client, product, alias):
    assert client.get(f"{alias}/").status_code == 200
    assert client.get(f"{alias}/{product.id}/").status_code == 200


@pytest.mark.parametrize("item_id", ["999", str(BIGGEST_ID)])
def test_a_product_that_is_not_there_is_a_404(client, item_id):
    body = problem(client.get(f"/products/{item_id}"), 404, "product_not_found")

    assert body["detail"] == "There is no such product."


@pytest.mark.parametrize(
    "item_id",
    ["0", "-1", "abc", "1.5", "1e3", "' OR 1=1 --", "%00", str(BIGGEST_ID + 1), "9" * 40],
)
def test_an_id_that_is_none_is_a_404(client, item_id):
    problem(client.get(f"/api/items/{item_id}"), 404, "not_found")


def test_a_reader_who_has_the_product_already_gets_a_304(client, product, seller):
    first = client.get(f"/api/items/{product.id}")
    tag = first.headers["ETag"]
    assert tag == f'"{product.id}-1"'
    assert first.headers["Cache-Control"] == "public, no-cache"

    again = client.get(f"/products/{product.id}", headers={"If-None-Match": tag})
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)

    client.patch(f"/api/items/{product.id}", json={"stock": 4}, headers=seller[1])
    changed = client.get(f"/api/items/{product.id}", headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] == f'"{product.id}-2"'


def test_a_reader_who_has_the_list_already_gets_a_304(client, product, seller):
    tag = client.get("/api/items").headers["ETag"]
    assert tag.startswith('"')

    again = client.get("/api/items", headers={"If-None-Match": tag})
    assert (again.status_code, again.data) == (304, b"")

    client.patch(f"/api/items/{product.id}", json={"name": "Hat"}, headers=seller[1])
    assert client.get("/api/items", headers={"If-None-Match": tag}).status_code == 200


def test_pages_follow_one_another(client, database, seller):
    with database.transaction() as session:
        ids = [make_product(session, seller[0]).id for _ in range(5)]

    seen, address = [], "/products?limit=2&include_total=true"
    while address:
        response = client.get(address)
        body = response.get_json()
        assert body["page"]["total"] == 5
        seen += [row["id"] for row in body["data"]]
        link = response.headers.get("Link")
        assert body["page"]["has_more"] is (link is not None)
        address = link.split(">")[0][1:] if link else None
        if address:
            assert address.endswith(f"cursor={body['page']['next']}")

    assert seen == ids[::-1]


def test_the_catalogue_is_filtered_and_sorted(client, database, seller):
    with database.transaction() as session:
        clothes = make_category(session, "Clothes")
        shoes = make_category(session, "Shoes", clothes)
        owner = seller[0]
        boot = make_product(session, owner, name="Boot", price_cents=300, category_id=shoes.id)
        coat = make_product(session, owner, name="Coat", price_cents=200, category_id=clothes.id)
        held = make_product(session, name="Held hat", price_cents=100, stock=1, reserved=1)

    def names(query: str) -> list[str]:
        response = client.get(f"/api/items?{query}")
        assert response.status_code == 200
        return [row["name"] for row in response.get_json()["data"]]

    assert names("") == ["Held hat", "Coat", "Boot"]
    assert names("sort=name") == ["Boot", "Coat", "Held hat"]
    assert names("sort=-price") == ["Boot", "Coat", "Held hat"]
    assert names("sort=price&category=clothes") == []
    assert names(f"sort=price&category={clothes.slug}") == ["Coat", "Boot"]
    assert names("category=Shoes") == ["Boot"]
    assert names("min_price=2&max_price=2.00") == ["Coat"]
    assert names("in_stock=true&sort=name") == ["Boot", "Coat"]
    assert names("in_stock=false") == ["Held hat"]
    assert names(f"seller_id={held.seller_id}") == ["Held hat"]
    assert names("q=HAT+held") == ["Held hat"]
    assert names("q=%25") == []
    assert names("category=&q=") == ["Held hat", "Coat", "Boot"]
    assert {boot.id, coat.id, held.id} == {1, 2, 3}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("sort=id", "sort"),
        ("sort=price%20desc", "sort"),
        ("sort=name;DROP TABLE products", "sort"),
        ("sort=--price", "sort"),
        ("sort=", "sort"),
        ("min_price=5&max_price=4", "min_price"),
        ("min_price=-1", "min_price"),
        ("min_price=NaN", "min_price"),
        ("max_price=1e400", "max_price"),
        ("max_price=Infinity", "max_price"),
        ("max_price=1.005", "max_price"),
        ("max_price=12345678901", "max_price"),
        ("in_stock=maybe", "in_stock"),
        ("seller_id=1_0", "seller_id"),
        ("seller_id=0", "seller_id"),
        (f"seller_id={BIGGEST_ID + 1}", "seller_id"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=5.7", "limit"),
        ("cursor=junk", "cursor"),
        ("cursor=WyItY3JlYXRlZF9hdCwtaWQiLDEsMV0", "cursor"),
        # ["-lower,-id","\ud800",1]: half a surrogate pair, which no driver can send
        ("sort=-name&cursor=WyItbG93ZXIsLWlkIiwiXHVkODAwIiwxXQ", "cursor"),
        ("q=%00", "q"),
        ("q=" + "a" * 201, "q"),
        ("q=" + "+".join("abcdefghijk"), "q"),
        ("category=%00", "category"),
        ("sort=name&sort=price", "sort"),
    ],
)
def test_a_filter_that_makes_no_sense_is_a_400_that_names_it(client, product, query, field):
    """Lines 46, 50, 55 and 58."""
    assert field_at_fault(client.get(f"/api/items?{query}")) == field


@pytest.mark.parametrize("query", ["user_id=1", "include=seller", "fields=password_hash"])
def test_what_is_no_filter_shows_nothing_more(client, product, query):
    """Line 36: unknown parameters are ignored and no field is added."""
    assert client.get(f"/api/items?{query}").get_json() == client.get("/api/items").get_json()


@pytest.mark.parametrize(
    "text", ["'; DROP TABLE products; --", '" OR 1=1', "%' UNION SELECT 1--", "{{7*7}}", "%", "\\"]
)
def test_text_of_other_languages_is_data_in_every_filter(client, product, text):
    """Lines 58, 59 and 63."""
    for name in ("q", "category"):
        response = client.get("/products", query_string={name: text})
        assert response.get_json() == {"data": [], "page": {"next": None, "has_more": False}}
    assert client.get(f"/products/{product.id}").status_code == 200


# Offering


def test_a_seller_offers_a_product(client, database, seller):
    with database.transaction() as session:
        slug = make_category(session, "Shoes").slug

    response = client.post(
        "/api/items",
        json={
            "name": "  Boot ",
            "price": "1499.50",
            "description": "Warm.\r\nDry.",
            "stock": 4,
            "category": "Shoes",
            "image_url": "https://shop.example/boot.webp",
            "sku": "B-1",
            "low_stock_threshold": 2,
        },
        headers=seller[1],
    )

    assert response.status_code == 201
    assert response.headers["Location"] == "/api/items/1"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.get_json() == {
        "id": 1,
        "name": "Boot",
        "price": 1499.5,
        "currency": "KES",
        "description": "Warm.\nDry.",
        "stock": 4,
        "category": slug,
        "image_url": "https://shop.example/boot.webp",
        "rating_average": None,
        "rating_count": 0,
        "seller_id": seller[0].id,
        "sku": "B-1",
        "created_at": "2026-11-22T09:00:00Z",
        "updated_at": "2026-11-22T09:00:00Z",
    }
    assert client.get("/products/1").get_json() == response.get_json()


def test_the_same_key_makes_one_product(client, database, seller):
    headers = seller[1] | {"Idempotency-Key": "boot-1"}
    offer = {"name": "Boot", "price": 10, "stock": 3}

    first = client.post("/api/items", json=offer, headers=headers)
    second = client.post("/products", json=offer, headers=headers)

    assert (second.status_code, second.data) == (201, first.data)
    assert second.headers["Idempotent-Replayed"] == "true"
    assert second.headers["Location"] == first.headers["Location"]
    with database.reading() as session:
        assert len(session.scalars(select(Product)).all()) == 1
        assert len(session.scalars(select(StockMovement)).all()) == 1

    other = client.post("/api/items", json=offer | {"price": 11}, headers=headers)
    problem(other, 422, "idempotency_key_reused")


def test_a_taken_sku_is_a_409(client, seller, nothing_changes):
    offer = {"name": "Boot", "price": 10, "stock": 3, "sku": "B-1"}
    assert client.post("/api/items", json=offer, headers=seller[1]).status_code == 201

    with nothing_changes():
        response = client.post("/api/items", json=offer, headers=seller[1])

    body = problem(response, 409, "sku_taken")
    assert body["errors"] == [{"field": "sku", "message": "Another product has this SKU."}]


CHANGES = (
    ("PUT", "/api/items/1", {"name": "Hat"}),
    ("PATCH", "/products/1", {"name": "Hat"}),
    ("DELETE", "/api/products/1", None),
)
OFFER = ("POST", "/api/items", {"name": "Hat", "price": 1})


def test_nobody_who_is_not_signed_in_changes_the_catalogue(client, product, nothing_changes):
    for method, path, body in (OFFER, *CHANGES):
        with nothing_changes():
            response = client.open(path, method=method, json=body)

        problem(response, 401, "unauthenticated")
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="sokoni"'


def test_no_customer_changes_the_catalogue(app, client, database, product, nothing_changes):
    _, customer = new_caller(app, database, Role.CUSTOMER)

    for method, path, body in (OFFER, *CHANGES):
        with nothing_changes():
            response = client.open(path, method=method, json=body, headers=customer)

        problem(response, 403, "forbidden")


def test_attack_35_no_seller_changes_the_products_of_another(
    app, client, database, product, nothing_changes
):
    """Line 35."""
    _, stranger = new_caller(app, database, Role.SELLER)

    for method, path, body in CHANGES:
        with nothing_changes():
            response = client.open(path, method=method, json=body, headers=stranger)

        problem(response, 403, "not_your_product")


def test_an_administrator_changes_every_product(app, client, database, product):
    _, admin = new_caller(app, database, Role.ADMIN)

    statuses = [
        client.open(path, method=method, json=body, headers=admin).status_code
        for method, path, body in (OFFER, *CHANGES)
    ]

    assert statuses == [201, 200, 200, 204]


FAULTY = {
    "name": [
        None,
        "",
        "   ",
        5,
        ["Boot"],
        "a\x00b",
        "a\u202eb",
        "a\nb",
        "x" * 201,
    ],
    "price": [
        None,
        0,
        "0.00",
        -1,
        -0.0,
        1.005,
        12345678901,
        "1e3",
        "1_0",
        "\u0665",
        " 5",
        True,
        [],
        {},
    ],
    "description": [
        None,
        "a\x00b",
        "x" * 10_001,
    ],
    "stock": [
        -1,
        1.5,
        5.7,
        "5",
        "1_0",
        "\u0665",
        True,
        None,
        [],
        {},
        1_000_000_001,
    ],
    "category": [
        "no-such-category",
        999,
        0,
        -1,
        True,
        1.0,
        "",
        {"slug": "shoes"},
        "a\x00b",
    ],
    "image_url": [
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example/x.png",
        "/\\evil.example",
        "https://",
        "https://user:secret@shop.example/x.png",
        "https://shop.example:port/x.png",
        'https://shop.example/"onerror=alert(1)',
        "boot.png",
        "https://shop.example/" + "x" * 2048,
    ],
    "sku": [
        "",
        7,
        "x" * 65,
    ],
    "low_stock_threshold": [
        -1,
        "3",
    ],
}


@pytest.mark.parametrize("field", FAULTY)
def test_a_faulty_field_is_named_and_nothing_is_made_or_changed(
    client, seller, product, nothing_changes, field
):
    """Lines 37, 43, 46, 50 and 64."""
    path = f"/api/items/{product.id}"
    with nothing_changes():
        for value in FAULTY[field]:
            offer = {"name": "Hat", "price": 1, field: value}
            made = client.post("/api/items", json=offer, headers=seller[1])
            assert field_at_fault(made) == field, value
            changed = client.put(path, json={field: value}, headers=seller[1])
            assert field_at_fault(changed) == field, value


def test_three_decimals_are_not_rounded_into_a_price(client, seller, nothing_changes):
    with nothing_changes():
        response = client.post(
            "/api/items", json={"name": "Boot", "price": "19.999"}, headers=seller[1]
        )

    assert field_at_fault(response) == "price"


FOREIGN = (
    "id",
    "seller_id",
    "user_id",
    "status",
    "total",
    "discount",
    "shipping",
    "created_at",
    "updated_at",
    "deleted_at",
    "version",
    "on_hand",
    "reserved",
    "price_cents",
    "currency",
    "category_id",
    "is_admin",
    "role",
    "__class__",
)


def test_attack_37_no_field_beyond_the_named_ones_is_taken(
    client, seller, product, nothing_changes
):
    """Lines 37 and 45."""
    path = f"/products/{product.id}"
    with nothing_changes():
        for field in FOREIGN:
            offer = {"name": "Hat", "price": 1, field: 1}
            made = client.post("/api/items", json=offer, headers=seller[1])
            assert field_at_fault(made) == field
            changed = client.patch(path, json={field: 1}, headers=seller[1])
            assert field_at_fault(changed) == field


def test_attack_38_nothing_nested_is_taken(client, seller, product, nothing_changes):
    """Line 38."""
    with nothing_changes():
        response = client.put(
            f"/api/items/{product.id}",
            json={"seller": {"role": "admin"}},
            headers=seller[1],
        )

    assert field_at_fault(response) == "seller"


@pytest.mark.parametrize(
    "price", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 5000, "1e-400"]
)
def test_a_number_that_is_none_is_no_price(client, seller, product, nothing_changes, price):
    """Lines 46 and 49."""
    body = f'{{"name": "Hat", "price": {price}}}'

    with nothing_changes():
        response = client.post(
            "/api/items", data=body, content_type="application/json", headers=seller[1]
        )

    assert response.status_code == 400
    assert response.mimetype == "application/problem+json"


@pytest.mark.parametrize(
    "body", ['{"name":"Hat","price":1,"price":2}', "null", "[]", '"x"', "1", "{", "[" * 3000]
)
def test_a_body_that_is_no_plain_object_is_a_400(client, seller, nothing_changes, body):
    """Lines 47, 48 and 53."""
    with nothing_changes():
        response = client.post(
            "/api/items", data=body, content_type="application/json", headers=seller[1]
        )

    assert response.status_code == 400
    assert response.mimetype == "application/problem+json"


# Changing


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_only_the_named_fields_change(client, clock, seller, product, method):
    before = client.get(f"/api/items/{product.id}").get_json()
    clock.advance(minutes=5)

    response = client.open(
        f"/api/items/{product.id}",
        method=method,
        json={"price": 12.25, "stock": 9},
        headers=seller[1],
    )

    assert response.status_code == 200
    assert response.headers["ETag"] == f'"{product.id}-2"'
    assert response.get_json() == before | {
        "price": 12.25,
        "stock": 9,
        "updated_at": "2026-11-22T09:05:00Z",
    }
    assert client.get(f"/api/items/{product.id}").get_json() == response.get_json()


def test_a_category_that_was_read_can_be_sent_back(client, database, seller):
    with database.transaction() as session:
        shoes = make_category(session, "Shoes")
        product = make_product(session, seller[0], category_id=shoes.id)
    read = client.get(f"/api/items/{product.id}").get_json()

    response = client.put(
        f"/api/items/{product.id}", json={"category": read["category"]}, headers=seller[1]
    )

    assert response.get_json() == read
    assert response.headers["ETag"] == f'"{product.id}-1"'


@pytest.mark.parametrize("matching", ['"{id}-1"', '"0-0", "{id}-1"', "*"])
def test_a_change_of_the_version_that_was_read_is_made(client, seller, product, matching):
    headers = seller[1] | {"If-Match": matching.format(id=product.id)}

    response = client.put(f"/api/items/{product.id}", json={"stock": 1}, headers=headers)

    assert (response.status_code, response.get_json()["stock"]) == (200, 1)


@pytest.mark.parametrize(
    "other", ['"{id}-2"', 'W/"{id}-1"', '"1{id}-1"', '"junk"', "junk", '"{id}-99999999999999"']
)
def test_a_change_of_another_version_is_a_412(client, seller, product, nothing_changes, other):
    headers = seller[1] | {"If-Match": other.format(id=product.id)}

    with nothing_changes():
        changed = client.put(f"/api/items/{product.id}", json={"stock": 1}, headers=headers)
        deleted = client.delete(f"/api/items/{product.id}", headers=headers)

    problem(changed, 412, "precondition_failed")
    problem(deleted, 412, "precondition_failed")


def test_of_two_who_change_what_both_have_read_one_is_told(client, app, seller, product):
    tag = client.get(f"/api/items/{product.id}").headers["ETag"]

    def change(number):
        return app.test_client().put(
            f"/api/items/{product.id}",
            json={"name": f"Name {number}"},
            headers=seller[1] | {"If-Match": tag},
        )

    with ThreadPoolExecutor(4) as pool:
        statuses = sorted(response.status_code for response in pool.map(change, range(4)))

    assert statuses == [200, 412, 412, 412]


@pytest.mark.parametrize(("body", "status"), [("{}", 200), ("", 400), ("null", 400), ("[]", 400)])
def test_a_change_of_nothing_changes_nothing(
    client, seller, product, nothing_changes, body, status
):
    with nothing_changes():
        response = client.patch(
            f"/api/items/{product.id}",
            data=body,
            content_type="application/json",
            headers=seller[1],
        )

    assert response.status_code == status


# Deleting


def test_a_deleted_product_is_a_404_for_everyone(app, client, database, seller, product):
    _, admin = new_caller(app, database, Role.ADMIN)
    path = f"/api/items/{product.id}"

    response = client.delete(path, headers=seller[1])

    assert (response.status_code, response.data) == (204, b"")
    assert client.get("/products").get_json()["data"] == []
    for headers in ({}, seller[1], admin):
        problem(client.get(path, headers=headers), 404, "product_not_found")
    for headers in (seller[1], admin):
        problem(client.delete(path, headers=headers), 404, "product_not_found")
        problem(client.put(path, json={"stock": 1}, headers=headers), 404, "product_not_found")


def test_a_wrong_method_is_told_the_right_ones(client, product):
    response = client.post(f"/products/{product.id}", json={})

    problem(response, 405, "method_not_allowed")
    allowed = set(response.headers["Allow"].split(", "))
    assert allowed == {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "PUT"}
