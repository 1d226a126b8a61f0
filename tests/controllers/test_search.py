import pytest

from app.models import Task
from app.policies import Role
from tests.controllers.callers import is_refused
from tests.controllers.sign_in import new_caller
from tests.core import database_snapshot
from tests.factories import NOW, make_category, make_product

PROBES = (
    *('"', 'red"', "*", "AND", "red AND", "NEAR(", "NEAR(red shoe, 2)", "nosuch:red", "-red", "("),
    *("+", ".", "@", "''", "'", "(" * 500, "name:red", "{name document}:red", "^red", "red*", "^"),
    *("a &", "!", "(a", "\\", "a:Z", "a:*", "'a' & 'b", "<->", "a <2> b", "|", "&", "a\\'b", ":*"),
    *("%", "_", "%" * 50, "\U0001f600", "tea \U0001f600\u200d\U0001f525", "\u202e", "\ufeff", "�"),
    *("\n\t ", "\x01", "' OR 1=1 --", "'; DROP TABLE products; --", "$$", "${x}", "{{7*7}}", "%s"),
    *("red shoe " * 1200, "x" * 10_000, "é" * 10_000, "\U0001f600" * 2500, '"' * 10_000),
    *("नमस्ते दुनिया", "ไทย", "\u0301", "a\u0301\u0302", "İ", "ß", "ǆ", "\U00010400", "\uffff"),
    *("\ue000s1", "\ue000c0", "=boot", "C1", "0", "-1", "1e5", "1.5", "NULL", "true"),
)


@pytest.fixture
def seller(app, database):
    return new_caller(app, database, Role.SELLER)


@pytest.fixture
def boots(database, seller):
    """Three products that a search for boots finds, and one that it does not."""
    with database.transaction() as session:
        shoes = make_category(session, "Shoes")
        make_product(session, seller[0], name="Hat", price_cents=100)
        return [
            make_product(
                session,
                seller[0],
                name="Boot",
                price_cents=price,
                category_id=shoes.id,
                stock=stock,
            )
            for price, stock in ((149_950, 5), (20_000, 0), (60_000, 1))
        ]


def test_a_search_answers_with_scored_products_facets_and_pages(client, boots):
    response = client.get("/api/search", query_string={"query": "boots", "limit": 2})

    body = response.get_json()
    assert response.status_code == 200
    assert [set(hit) for hit in body["data"]] == [{"type", "score", "item"}] * 2
    assert [(hit["type"], hit["score"]) for hit in body["data"]] == [("item", 0.91)] * 2
    for hit, product in zip(body["data"], boots[:0:-1], strict=True):
        assert hit["item"] == client.get(f"/api/items/{product.id}").get_json()
    slug = body["data"][0]["item"]["category"]
    assert body["corrected"] is None
    assert body["facets"] == {
        "counted": 3,
        "capped": False,
        "categories": [{"slug": slug, "name": "Shoes", "count": 3}],
        "price": [
            {"from": 0, "to": 500, "count": 1},
            {"from": 500, "to": 1000, "count": 1},
            {"from": 1000, "to": 2500, "count": 1},
        ],
        "in_stock": {"true": 2, "false": 1},
    }
    assert body["page"]["has_more"] is True
    link = response.headers["Link"].split(">")[0][1:]
    assert link == f"/api/search?query=boots&limit=2&cursor={body['page']['next']}"

    last = client.get(link + "&include_total=true").get_json()
    assert [hit["item"]["id"] for hit in last["data"]] == [boots[0].id]
    assert last["page"] == {"next": None, "has_more": False, "total": 3}


def test_a_corrected_query_is_named_and_filters_are_taken(client, boots):
    def found(**query):
        body = client.get("/api/search", query_string=query).get_json()
        return body["corrected"], [hit["item"]["id"] for hit in body["data"]]

    ids = [product.id for product in boots]
    assert found(query="boott") == ("boot", ids[::-1])
    assert found(query="boot", min_price="200", max_price="600.00") == (None, [ids[2], ids[1]])
    assert found(query="boot", in_stock="false", category="Shoes") == (None, [ids[1]])
    assert found(query="boot", category="", seller_id=999) == (None, [])


def test_a_reader_who_has_the_answer_already_gets_a_304_unless_it_is_their_own(
    client, boots, seller
):
    first = client.get("/api/search?query=boot")
    assert first.headers["Cache-Control"] == "public, no-cache"
    tag = {"If-None-Match": first.headers["ETag"]}
    again = client.get("/api/search?query=boot", headers=tag)
    assert (again.status_code, again.data) == (304, b"")
    client.delete(f"/api/items/{boots[0].id}", headers=seller[1])
    assert client.get("/api/search?query=boot", headers=tag).status_code == 200

    own = client.get("/api/search?query=boot", headers=seller[1])
    assert own.headers["Cache-Control"] == "no-store"
    assert "ETag" not in own.headers


def test_tasks_are_found_by_their_people_alone(app, client, database, boots):
    owner, owners = new_caller(app, database, Role.CUSTOMER)
    _, strangers = new_caller(app, database, Role.SELLER)
    with database.transaction() as session:
        task = Task(title="Boot", owner_id=owner.id, created_at=NOW, updated_at=NOW)
        session.add(task)

    def found(headers, **more):
        query = {"query": "boot", **more}
        body = client.get("/api/search", query_string=query, headers=headers).get_json()
        return [(hit["type"], hit[hit["type"]]["id"]) for hit in body["data"]]

    items = [("item", product.id) for product in boots[::-1]]
    assert found(owners) == [*items, ("task", task.id)]
    assert found(owners, type="tasks") == [("task", task.id)]
    assert found(owners, type="items") == found(strangers) == found({}) == items
    assert found(strangers, type="tasks") == []
    anonymous = client.get("/api/search?query=boot&type=tasks")
    assert is_refused(anonymous, 401, "unauthenticated")
    bad = client.get("/api/search?query=boot", headers={"Authorization": "Bearer nonsense"})
    assert is_refused(bad, 401, "invalid_token")


def test_attacks_59_60_61_whatever_is_typed_is_text(client, database, boots):
    before = database_snapshot(database)
    for probe in PROBES:
        response = client.get("/api/search", query_string={"query": probe})
        if not probe.strip():
            assert is_refused(response, 400, "invalid_input", "query"), probe
            continue
        assert response.status_code == 200, (probe[:40], response.text)
        found = [hit["item"]["name"] for hit in response.get_json()["data"]]
        assert found == (["Boot"] * 3 if probe == "=boot" else []), probe[:40]
    assert database_snapshot(database) == before


def test_a_search_that_makes_no_sense_is_a_400_that_names_the_field(client):
    for query, field in (
        ("", "query"),
        ("query=", "query"),
        ("query=%20%09", "query"),
        ("query=boot%00", "query"),
        ("query=" + "a" * 20_001, "query"),
        ("query=a&query=b", "query"),
        ("query=a&type=users", "type"),
        ("query=a&type=", "type"),
        ("query=a&min_price=5&max_price=4", "min_price"),
        ("query=a&max_price=NaN", "max_price"),
        ("query=a&in_stock=maybe", "in_stock"),
        ("query=a&seller_id=0", "seller_id"),
        ("query=a&category=%00", "category"),
        ("query=a&limit=0", "limit"),
        ("query=a&limit=101", "limit"),
        ("query=a&cursor=junk", "cursor"),
    ):
        assert is_refused(client.get(f"/api/search?{query}"), 400, "invalid_input", field), query
