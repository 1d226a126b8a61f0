import pytest
from sqlalchemy import select

from app.models import Category, Product
from app.policies import Role
from tests.controllers.sign_in import new_caller
from tests.factories import make_category, make_product


@pytest.fixture
def admin(app, database) -> dict[str, str]:
    return new_caller(app, database, Role.ADMIN)[1]


@pytest.fixture
def nothing_changes(database):
    """Called around a refusal: every row of categories and products is as it was."""

    def rows():
        with database.reading() as session:
            return [
                session.execute(select(*model.__table__.columns).order_by(model.id)).all()
                for model in (Category, Product)
            ]

    class Unchanged:
        def __enter__(self):
            self.before = rows()

        def __exit__(self, *raised):
            if raised == (None, None, None):
                assert rows() == self.before

    return Unchanged


def add(client, admin, **fields) -> dict:
    response = client.post("/api/categories", json=fields, headers=admin)
    assert response.status_code == 201, response.text
    return response.get_json()


def problem(response, status: int, code: str) -> dict:
    assert response.status_code == status, response.text
    assert response.mimetype == "application/problem+json"
    body = response.get_json()
    assert (body["status"], body["code"]) == (status, code)
    return body


def test_the_tree_is_read_by_anyone(client, admin):
    clothes = add(client, admin, name="Clothes")
    shoes = add(client, admin, name="Shoes", parent_id=clothes["id"])
    tools = add(client, admin, name="Tools", slug="hardware")

    response = client.get("/api/categories")

    assert response.status_code == 200
    assert response.get_json() == {
        "data": [
            {
                "id": clothes["id"],
                "name": "Clothes",
                "slug": "clothes",
                "parent_id": None,
                "children": [
                    {
                        "id": shoes["id"],
                        "name": "Shoes",
                        "slug": "shoes",
                        "parent_id": clothes["id"],
                        "children": [],
                    }
                ],
            },
            {
                "id": tools["id"],
                "name": "Tools",
                "slug": "hardware",
                "parent_id": None,
                "children": [],
            },
        ],
        "page": {"next": None, "has_more": False},
    }


def test_one_category_is_read_with_what_is_below_it(client, admin):
    clothes = add(client, admin, name="Clothes")
    shoes = add(client, admin, name="Shoes", parent_id=clothes["id"])

    assert client.get(f"/api/categories/{clothes['id']}").get_json() == clothes | {
        "children": [shoes]
    }
    assert client.get(f"/api/categories/{shoes['id']}").get_json() == shoes


def test_a_reader_who_has_the_tree_already_gets_a_304(client, admin):
    category = add(client, admin, name="Clothes")
    paths = ("/api/categories", f"/api/categories/{category['id']}")
    tags = {path: client.get(path).headers["ETag"] for path in paths}

    for path in paths:
        again = client.get(path, headers={"If-None-Match": tags[path]})
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["Cache-Control"] == "public, no-cache"

    changed = client.patch(paths[1], json={"name": "Garments"}, headers=admin)
    assert changed.status_code == 200
    for path in paths:
        assert client.get(path, headers={"If-None-Match": tags[path]}).status_code == 200


def test_an_added_category_is_at_its_location(client, admin):
    response = client.post("/api/categories", json={"name": "Clothes"}, headers=admin)

    assert response.status_code == 201
    assert client.get(response.headers["Location"]).get_json() == response.get_json()


def test_the_same_key_adds_one_category(client, database, admin):
    headers = admin | {"Idempotency-Key": "clothes"}

    first = client.post("/api/categories", json={"name": "Clothes"}, headers=headers)
    second = client.post("/api/categories", json={"name": "Clothes"}, headers=headers)

    assert (second.status_code, second.data) == (201, first.data)
    assert second.headers["Idempotent-Replayed"] == "true"
    with database.reading() as session:
        assert len(session.scalars(select(Category)).all()) == 1


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_the_named_fields_of_a_category_change(client, admin, method):
    clothes = add(client, admin, name="Clothes")
    shoes = add(client, admin, name="Shoes")

    response = client.open(
        f"/api/categories/{shoes['id']}",
        method=method,
        json={"parent_id": clothes["id"], "slug": "footwear"},
        headers=admin,
    )

    assert response.status_code == 200
    assert response.get_json() == shoes | {"parent_id": clothes["id"], "slug": "footwear"}


def test_a_new_slug_is_seen_on_products_that_a_reader_has_already(client, database, admin):
    with database.transaction() as session:
        shoes = make_category(session, "Shoes")
        product = make_product(session, category_id=shoes.id)
    path = f"/products/{product.id}"
    tag = client.get(path).headers["ETag"]

    client.put(f"/api/categories/{shoes.id}", json={"slug": "footwear"}, headers=admin)

    again = client.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.get_json()["category"]) == (200, "footwear")


def test_a_taken_slug_is_a_409(client, admin, nothing_changes):
    add(client, admin, name="Shoes")
    hats = add(client, admin, name="Hats")

    with nothing_changes():
        added = client.post("/api/categories", json={"name": "SHOES"}, headers=admin)
        changed = client.put(f"/api/categories/{hats['id']}", json={"slug": "shoes"}, headers=admin)

    for response in (added, changed):
        assert problem(response, 409, "slug_taken")["errors"][0]["field"] == "slug"


def test_a_category_in_use_is_not_deleted(client, database, admin, nothing_changes):
    with database.transaction() as session:
        shoes = make_category(session, "Shoes")
        make_category(session, "Boots", shoes)
        make_product(session, category_id=shoes.id)

    with nothing_changes():
        response = client.delete(f"/api/categories/{shoes.id}", headers=admin)

    body = problem(response, 409, "category_in_use")
    assert (body["children"], body["products"]) == (1, 1)


def test_a_deleted_category_is_a_404(client, admin):
    path = f"/api/categories/{add(client, admin, name='Shoes')['id']}"

    response = client.delete(path, headers=admin)

    assert (response.status_code, response.data) == (204, b"")
    problem(client.get(path), 404, "category_not_found")
    problem(client.put(path, json={"name": "Hats"}, headers=admin), 404, "category_not_found")
    problem(client.delete(path, headers=admin), 404, "category_not_found")
    assert client.get("/api/categories").get_json()["data"] == []


def test_a_category_that_is_not_there_is_a_404(client):
    problem(client.get("/api/categories/999"), 404, "category_not_found")


@pytest.mark.parametrize("category_id", ["0", "-1", "shoes", str(2**63), "9" * 40])
def test_what_is_no_id_is_a_404(client, category_id):
    problem(client.get(f"/api/categories/{category_id}"), 404, "not_found")


def test_only_an_administrator_changes_categories(app, client, database, admin, nothing_changes):
    path = f"/api/categories/{add(client, admin, name='Shoes')['id']}"
    callers = {role: new_caller(app, database, role)[1] for role in (Role.CUSTOMER, Role.SELLER)}
    attempts = (
        ("POST", "/api/categories", {"name": "Hats"}),
        ("PUT", path, {"name": "Hats"}),
        ("PATCH", path, {"name": "Hats"}),
        ("DELETE", path, None),
    )

    for method, address, body in attempts:
        with nothing_changes():
            anonymous = client.open(address, method=method, json=body)
            refused = [
                client.open(address, method=method, json=body, headers=headers)
                for headers in callers.values()
            ]

        problem(anonymous, 401, "unauthenticated")
        for response in refused:
            problem(response, 403, "forbidden")


FAULTY = {
    "name": [None, "", "  ", 5, "x" * 81, "a\x00b", "a\u202eb", []],
    "slug": [None, "", "Shoes", "a b", "-a", "a-", "a--b", "ä", "a\n", "a\x00", "x" * 101, 5],
    "parent_id": [0, -1, 999, 2**63, "1", 1.0, True, [], {}],
}


@pytest.mark.parametrize("field", FAULTY)
def test_a_faulty_field_is_named_and_nothing_changes(client, admin, nothing_changes, field):
    """Lines 43, 50 and 58."""
    path = f"/api/categories/{add(client, admin, name='Shoes')['id']}"
    with nothing_changes():
        for value in FAULTY[field]:
            new = {"name": "Hats", field: value}
            added = client.post("/api/categories", json=new, headers=admin)
            changed = client.put(path, json={field: value}, headers=admin)
            for response in (added, changed):
                body = problem(response, 400, "invalid_input")
                assert [error["field"] for error in body["errors"]] == [field], value


def test_no_field_beyond_the_named_ones_is_taken(client, admin, nothing_changes):
    """Lines 37 and 38."""
    path = f"/api/categories/{add(client, admin, name='Shoes')['id']}"
    with nothing_changes():
        for field in ("id", "position", "children", "created_at", "updated_at", "parent"):
            new = {"name": "Hats", field: 1}
            added = client.post("/api/categories", json=new, headers=admin)
            changed = client.patch(path, json={field: 1}, headers=admin)
            for response in (added, changed):
                body = problem(response, 400, "invalid_input")
                assert [error["field"] for error in body["errors"]] == [field]


def test_a_category_is_not_moved_below_itself(client, admin, nothing_changes):
    top = add(client, admin, name="Clothes")
    below = add(client, admin, name="Shoes", parent_id=top["id"])

    with nothing_changes():
        response = client.put(
            f"/api/categories/{top['id']}", json={"parent_id": below["id"]}, headers=admin
        )

    body = problem(response, 400, "invalid_input")
    assert body["errors"] == [
        {"field": "parent_id", "message": "A category cannot lie below itself."}
    ]
