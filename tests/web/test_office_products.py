"""Products in the office: written, changed, counted, brought in and taken out as spreadsheets."""

import csv
import io

import pytest
from PIL import Image
from sqlalchemy import select

from app.models import Order, Product
from app.policies import Role
from app.services.audit import audit
from app.services.change_product import ProductChange, change_product
from app.services.place_order import place_order
from tests.core import ORDER_RULES, buy, counts, database_snapshot, make_buyer, wanted
from tests.factories import NOW, actor_of, make_category, make_product, make_user
from tests.web.browsing import Browser, signed_in, words


@pytest.fixture
def users(database):
    with database.transaction() as session:
        return {
            "admin": make_user(session, Role.ADMIN),
            "seller": make_user(session, Role.SELLER, username="wanjiku"),
            "stranger": make_user(session, Role.SELLER),
            "buyer": make_buyer(session),
        }


@pytest.fixture
def people(app, users):
    return {name: signed_in(app, user) for name, user in users.items()}


@pytest.fixture
def boots(database, users):
    """Ten pairs, of which an order holds three."""
    with database.transaction() as session:
        category = make_category(session, "Boots", make_category(session, "Shoes"))
        boots = make_product(
            session,
            users["seller"],
            name="Boots",
            price_cents=149_950,
            sku="B-1",
            description="Two\nlines",
            category=category,
            low_stock_threshold=7,
        )
        buy(session, users["buyer"], (boots, 3))
    return boots


def stored(database, product) -> Product:
    with database.reading() as session:
        return session.get_one(Product, product.id)


def hidden(page, name: str) -> str:
    return page.text.split(f'name="{name}" value="')[1].split('"')[0]


def written(page, **changes) -> dict:
    """The form of the boots as their page shows it, with what the writer changes."""
    slug = page.text.split(" selected>Shoes / Boots")[0].rsplit('value="', 1)[1].split('"')[0]
    return {
        "seen": hidden(page, "seen"),
        "name": "Boots",
        "price": hidden(page, "price"),
        "description": "Two\r\nlines",
        "category": slug,
        "sku": "B-1",
        "low_stock_threshold": "7",
        **changes,
    }


def test_a_seller_sees_their_own_products_and_an_admin_all_with_their_sellers(
    app, people, database, boots
):
    with database.transaction() as session:
        make_product(session, name="Socks", stock=0)
    own = words(people["seller"].get("/office/products"))
    for there in ("Boots", "KSh 1,499.50", "B-1", "To sell: 7 (3 held)", "Little left"):
        assert there in own, there
    assert ("Socks" in own, "wanjiku" in own) == (False, False)
    every = words(people["admin"].get("/office/products"))
    assert ("Boots" in every, "Socks" in every, "wanjiku" in every) == (True, True, True)
    assert "No products here" in words(people["stranger"].get("/office/products"))
    assert people["buyer"].get("/office/products").status_code == 403
    assert Browser(app).get("/office/products").status_code == 303


def test_products_are_found_by_name_sku_category_and_stock(people, users, database, boots):
    with database.transaction() as session:
        make_product(session, users["seller"], name="Wool socks", sku="S-2", stock=0)
        make_product(session, users["stranger"], name="Red hat")

    def found(query: str, name: str = "seller") -> list[str]:
        answer = people[name].get(f"/office/products?{query}")
        assert answer.status_code == 200, query
        return [
            known
            for known in ("Boots", "Wool socks", "Red hat")
            if f"{known}</span></a>" in answer.text
        ]

    assert found("") == found("utm_source=sms") == ["Boots", "Wool socks"]
    assert (
        found("words=SOCKS+wool") == found("words=s-2") == found("stock=sold_out") == ["Wool socks"]
    )
    assert found("words=socks+boots") == found("words=%25") == found("category=nothing") == []
    assert found("category=Shoes") == found("words=b-1") == ["Boots"]
    assert found("stock=low") == ["Boots", "Wool socks"]
    stranger = f"seller={users['stranger'].id}"
    assert found(stranger, "admin") == ["Red hat"]
    assert found(stranger) == ["Boots", "Wool socks"]  # a seller is given no such question
    for wrong in ("stock=much", "words=%00", "seller=x", "cursor=nonsense"):
        answer = people["admin"].get(f"/office/products?{wrong}")
        assert (answer.status_code, 'role="alert"' in answer.text) == (400, True), wrong


def test_a_product_is_written_and_what_is_wrong_is_said_at_its_field(people, users, database):
    seller = people["seller"]
    seller.get("/office/products/new")
    form = {
        "name": "Kikoi",
        "price": "KSh 1,250.50",
        "stock": "12",
        "sku": "K-9",
        "description": "",
    }
    before = database_snapshot(database)
    for change, field in (
        ({"name": " "}, "name"),
        ({"price": "0"}, "price"),
        ({"price": "1e9"}, "price"),
        ({"price": "12,5"}, "price"),
        ({"stock": "-1"}, "stock"),
        ({"low_stock_threshold": "few"}, "low_stock_threshold"),
        ({"category": "no-such"}, "category"),
        ({"sku": "x" * 65}, "sku"),
        ({"name": "a\u202eb"}, "name"),
    ):
        refused = seller.post("/office/products/new", {**form, **change})
        assert refused.status_code == 400, change
        assert f'id="e-{field}"' in refused.text or "no such category" in refused.text, change
    for extra in ("seller_id", "id", "version", "image_url"):
        assert seller.post("/office/products/new", {**form, extra: "1"}).status_code == 400, extra
    assert people["buyer"].post("/office/products/new", form).status_code == 403
    assert database_snapshot(database) == before
    made = seller.post("/office/products/new", form, follow=True)
    assert "Your product is for sale." in words(made)
    with database.reading() as session:
        product = session.scalars(select(Product)).one()
    assert (product.name, product.price_cents, product.on_hand) == ("Kikoi", 125_050, 12)
    assert (product.sku, product.category_id, product.seller_id) == (
        "K-9",
        None,
        users["seller"].id,
    )
    before = database_snapshot(database)
    taken = seller.post("/office/products/new", form)
    assert (taken.status_code, "Another product has this SKU." in words(taken)) == (409, True)
    assert database_snapshot(database) == before


def test_a_product_is_changed_as_its_form_stands_though_somebody_buys_meanwhile(
    people, users, database, boots
):
    page = people["seller"].get(f"/office/products/{boots.id}")
    form = written(page)
    assert form["price"] == "1499.50"
    same = people["seller"].post(f"/office/products/{boots.id}", form)
    assert (same.status_code, stored(database, boots).version) == (303, 2)  # only the order's hold
    with database.transaction() as session:
        place_order(session, actor_of(users["buyer"]), wanted((boots.id, 1)), ORDER_RULES, NOW)
    change = {**form, "name": "Gumboots", "price": "1,600", "sku": "", "low_stock_threshold": ""}
    saved = people["seller"].post(f"/office/products/{boots.id}", change, follow=True)
    assert "The product is saved." in words(saved)
    now = stored(database, boots)
    assert (now.name, now.price_cents, now.sku, now.low_stock_threshold) == (
        "Gumboots", 160_000, None, None,
    )  # fmt: skip
    assert (now.description, now.category_id, now.on_hand, now.reserved, now.version) == (
        "Two\nlines", boots.category_id, 10, 4, 4,
    )  # fmt: skip


def test_who_saves_over_anothers_change_is_asked_to_look_and_loses_no_word(
    people, users, database, boots
):
    address = f"/office/products/{boots.id}"
    form = written(people["seller"].get(address), description="My <b>text</b>", price="1,499.5")
    with database.transaction() as session:
        change = ProductChange(name="Rubber boots", low_stock_threshold=0)
        change_product(session, actor_of(users["admin"]), boots.id, change, NOW)
    before = database_snapshot(database)
    refused = people["seller"].post(address, form)
    assert refused.status_code == 412
    shown = words(refused)
    assert "Somebody changed it since you opened it. Your text is kept below" in shown
    assert (
        "differs from yours: Name Rubber boots Description Two lines"
        " Tell me when so few are left 0 Name" in shown
    )
    assert "My &lt;b&gt;text&lt;/b&gt;</textarea>" in refused.text
    assert database_snapshot(database) == before
    again = {**form, "seen": hidden(refused, "seen")}
    assert people["seller"].post(address, again).status_code == 303
    now = stored(database, boots)
    assert (now.name, now.description) == ("Boots", "My <b>text</b>")


def test_what_a_stranger_sends_is_refused_before_it_is_read(app, people, database, boots):
    before = database_snapshot(database)
    for path in ("", "/stock", "/image", "/image/delete", "/delete"):
        address = f"/office/products/{boots.id}{path}"
        for name in ("stranger", "buyer"):
            assert people[name].post(address, {}).status_code == 403, (name, path)
        assert people["seller"].post(f"/office/products/99999{path}", {}).status_code == 404, path
        assert Browser(app).post(address, {}).status_code == 303
    for path in ("", "/stock"):
        assert people["stranger"].get(f"/office/products/{boots.id}{path}").status_code == 403
    assert database_snapshot(database) == before


def test_a_product_is_deleted_after_a_second_thought(people, database, boots):
    address = f"/office/products/{boots.id}"
    assert "Yes, delete it" in people["seller"].get(address).text
    gone = people["seller"].post(f"{address}/delete", follow=True)
    assert "The product is out of the shop." in words(gone)
    assert stored(database, boots).deleted_at is not None
    assert people["seller"].get(address).status_code == 404
    assert people["seller"].post(f"{address}/delete").status_code == 404


def test_a_picture_is_shown_and_taken_off_and_a_bad_file_changes_nothing(people, database, boots):
    address, seller = f"/office/products/{boots.id}", people["seller"]
    before = database_snapshot(database)
    for content, status in ((b"", 400), (b"<svg/>", 415), (b"x" * (6 * 1024 * 1024 + 1), 413)):
        seller.get(address)
        refused = seller.post(f"{address}/image", {"picture": (io.BytesIO(content), "a.jpg")})
        assert refused.status_code == status
        assert 'role="alert"' in refused.text
    assert database_snapshot(database) == before
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "green").save(file, "PNG")
    file.seek(0)
    shown = seller.post(f"{address}/image", {"picture": (file, "boots.png")}, follow=True)
    assert "The picture is shown." in words(shown)
    url = stored(database, boots).image_url
    assert url.startswith("/media/")
    assert url.rsplit("/", 1)[0] in shown.text
    seller.post(f"{address}/image/delete")
    assert stored(database, boots).image_url is None


def test_stock_comes_and_goes_with_its_reason_and_each_step_is_listed(people, database, boots):
    address, seller = f"/office/products/{boots.id}/stock", people["seller"]

    def send(reason, quantity, **more):
        form = {"reason": reason, "quantity": quantity, **more}
        seen = hidden(seller.get(address), "seen_change_id")
        return seller.post(address, {"seen_change_id": seen, **form}, follow=True)

    assert "The stock is changed." in words(send("received", "1,000"))
    shown = words(send("damaged", "2"))
    for there in ("On the shelf 1008", "Held for orders 3", "Can be bought 1005"):
        assert there in shown, there
    assert "Damaged -2 0 you" in shown
    assert "New goods came in +1000 0 you" in shown
    with database.reading() as session:
        assert audit(session, NOW) == []
        order = session.scalars(select(Order)).one()
    assert f"Held for an order 0 +3 {order.number}" in shown
    assert f'href="/office/orders/{order.id}"' in seller.page.text
    assert "Damaged -2 0 wanjiku" in words(people["admin"].get(address))


def test_what_orders_hold_is_not_taken_away_and_a_second_click_counts_once(people, database, boots):
    address, seller = f"/office/products/{boots.id}/stock", people["seller"]
    seen = hidden(seller.get(address), "seen_change_id")
    before = database_snapshot(database)
    for form, status, said in (
        ({"reason": "lost", "quantity": "8"}, 409, "You can take away at most 7: 3 of the 10"),
        ({"reason": "found", "quantity": "1,000,000,000"}, 409, "A shelf holds at most"),
        ({"reason": "lost", "quantity": "0"}, 400, "Write how many, at least 1."),
        ({"reason": "lost", "quantity": "-3"}, 400, "Write how many, at least 1."),
        ({"reason": "lost", "quantity": "1.5"}, 400, "Must be a whole number."),
        ({"reason": "eaten", "quantity": "1"}, 400, "Please correct"),
        ({"reason": "lost", "quantity": ""}, 400, "Please correct"),
        ({"reason": "lost", "quantity": "1", "actor_id": "1"}, 400, "Please correct"),
        ({"reason": "lost", "quantity": "1", "seen_change_id": "0"}, 409, "Somebody changed"),
    ):
        refused = seller.post(address, {"seen_change_id": seen, **form})
        assert (refused.status_code, said in words(refused)) == (status, True), form
    assert database_snapshot(database) == before
    form = {"seen_change_id": seen, "reason": "lost", "quantity": "7"}
    assert seller.post(address, form).status_code == 303
    received = {"seen_change_id": seen, "reason": "received", "quantity": "5"}
    before = database_snapshot(database)
    assert seller.post(address, received).status_code == 409
    assert database_snapshot(database) == before
    with database.reading() as session:
        assert counts(session, boots) == (3, 3)


FILE = b"sku,name,price,stock\nB-1,Boots,1600,7\nN-1,New hat,500,4\nN-2,,abc,1\n"
NO_CATEGORY = b"sku,name,price,category\nH-1,Hat,500,Headwear\n"


def test_a_spreadsheet_is_checked_and_then_brought_in(people, users, database, boots):
    seller, address = people["seller"], "/office/products/import"
    seller.get(address)

    def send(step, content=FILE, **more):
        return seller.post(address, {"step": step, "file": (io.BytesIO(content), "a.csv"), **more})

    before = database_snapshot(database)
    checked = send("check")
    shown = words(checked)
    assert checked.status_code == 200
    assert "1 row would be left out. Nothing is changed yet." in shown
    assert "New products 1 Changed products 1 Stay as they are 0 Left out 1" in shown
    assert "4 price abc Must be an amount in shillings" in shown
    assert "Make categories that are missing" not in shown
    for content, status in ((b"", 400), (b"a,b\n1,2\n", 400), (b"\xff\xfe\x00", 400)):
        refused = send("import", content)
        assert (refused.status_code, 'role="alert"' in refused.text) == (status, True), content
    assert database_snapshot(database) == before
    done = words(seller.get(send("import").headers["Location"]))
    assert "New: 1. Changed: 1. As they were: 0. Rows left out: 1." in done
    with database.reading() as session:
        names = session.execute(select(Product.name, Product.price_cents, Product.seller_id)).all()
    assert sorted(map(tuple, names)) == [
        ("Boots", 160_000, users["seller"].id),
        ("New hat", 50_000, users["seller"].id),
    ]
    before = database_snapshot(database)
    send("import")
    assert database_snapshot(database) == before
    assert people["buyer"].post(address, {"step": "import"}).status_code == 403


def test_only_an_admin_has_categories_made_by_a_file(people, database):
    def send(name, step):
        people[name].get("/office/products/import")
        form = {"step": step, "create_categories": "true"}
        file = (io.BytesIO(NO_CATEGORY), "a.csv")
        return people[name].post("/office/products/import", {**form, "file": file})

    before = database_snapshot(database)
    refused = words(send("seller", "check"))
    assert "2 category Headwear There is no category “Headwear”. Bring products in" in refused
    send("seller", "import")
    assert database_snapshot(database) == before
    send("admin", "import")
    assert "Headwear" in people["admin"].get("/office/products/new").text


def test_the_export_holds_ones_own_products(people, database, boots):
    with database.transaction() as session:
        make_product(session, name="=Socks")
    answer = people["seller"].get("/office/products/export.csv")
    assert answer.mimetype == "text/csv"
    assert answer.headers["Cache-Control"] == "no-store"
    own = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["name"], row["price"], row["stock"]) for row in own] == [("Boots", "1499.50", "7")]
    every = people["admin"].get("/office/products/export.csv?excel=true").get_data()
    assert every.startswith(b"\xef\xbb\xbf")
    assert b'"\'=Socks"' in every
    assert people["buyer"].get("/office/products/export.csv").status_code == 403
