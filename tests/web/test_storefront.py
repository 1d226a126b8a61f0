"""The storefront: what everybody sees, what may be said, and that nobody's text is markup."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from sqlalchemy import event, select

import app as shop_package
from app.cli.demo.catalogue import PRODUCTS
from app.models import Comment, Order, OrderStatus, Product
from app.policies import Role
from app.services.categories import CategoryNode
from app.services.category_paths import path_to_category
from app.services.comments import NewComment, add_comment
from app.web.storefront.structured_data import structured_data
from tests.core import buy, database_snapshot, make_buyer
from tests.factories import NOW, actor_of, make_category, make_product, make_user
from tests.web.browsing import Browser, signed_in, words

SCRIPT = '<script>alert("x")</script>'
STATIC = Path(shop_package.__file__).parent / "web" / "static"
HTMX = {"HX-Request": "true"}
_CARD = re.compile(r'<article class="card">\s*<a href="/p/(\d+)">')
_DATA = re.compile(r'<script type="application/ld\+json">(.*?)</script>', re.DOTALL)


def cards(answer) -> list[int]:
    return [int(found) for found in _CARD.findall(answer.text)]


@pytest.fixture
def shop(database):
    """Clothing with shoes below it, and three products; the newest has the highest id."""
    with database.transaction() as session:
        seller = make_user(session, Role.SELLER, username="njeri")
        clothing = make_category(session, "Clothing")
        shoes = make_category(session, "Shoes", clothing)
        make_category(session, "Food")
        boots = make_product(
            session, seller, name="Boots", price_cents=250_000, category_id=shoes.id, stock=3
        )
        sandals = make_product(
            session, seller, name="Sandals", price_cents=90_050, category_id=shoes.id, stock=0
        )
        shawl = make_product(session, seller, name="Shawl", category_id=clothing.id, stock=50)
    return {
        "seller": seller,
        "clothing": clothing,
        "shoes": shoes,
        "boots": boots,
        "sandals": sandals,
        "shawl": shawl,
    }


@pytest.fixture
def buyer(database):
    with database.transaction() as session:
        return make_buyer(session, username="amina")


def test_the_front_door_shows_what_is_new_and_where_things_are(app, shop):
    answer = Browser(app).get("/")
    assert answer.status_code == 200
    assert cards(answer) == [shop["shawl"].id, shop["sandals"].id, shop["boots"].id]
    assert f'href="/c/{shop["clothing"].slug}">Clothing</a>' in answer.text
    assert f'href="/c/{shop["shoes"].slug}"' not in answer.text
    assert "Sold out Sandals KSh 900.50" in words(answer)
    assert "Only 3 left Boots KSh 2,500" in words(answer)


def test_an_empty_shop_says_so(app):
    answer = Browser(app).get("/")
    assert (answer.status_code, cards(answer)) == (200, [])
    assert "Nothing is for sale yet." in words(answer)


def test_more_is_shown_by_cursor_and_htmx_gets_the_cards_alone(app, database):
    with database.transaction() as session:
        seller = make_user(session, Role.SELLER)
        made = [make_product(session, seller).id for _ in range(27)]
    browser = Browser(app)
    first = browser.get("/")
    more = re.search(r'rel="next" href="([^"]+)"', first.text)[1]
    second = browser.get(more)
    fragment = browser.client.get(more, headers=HTMX)
    assert cards(first) + cards(second) == made[::-1]
    assert (len(cards(first)), cards(fragment)) == (24, cards(second))
    assert "<html" in second.text
    assert ("<html" not in fragment.text, "HX-Request" in fragment.headers["Vary"]) == (True, True)
    assert 'rel="next"' not in second.text
    wrong = browser.get("/?cursor=nonsense")
    assert (wrong.status_code, wrong.mimetype) == (400, "text/html")


def test_a_category_holds_what_lies_below_it(app, shop):
    browser = Browser(app)
    clothing = browser.get(f"/c/{shop['clothing'].slug}")
    assert cards(clothing) == [shop["shawl"].id, shop["sandals"].id, shop["boots"].id]
    assert f'href="/c/{shop["shoes"].slug}">Shoes</a>' in clothing.text
    shoes = browser.get(f"/c/{shop['shoes'].slug}")
    assert cards(shoes) == [shop["sandals"].id, shop["boots"].id]
    crumbs = shoes.text.partition('class="crumbs"')[2].partition("</nav>")[0]
    assert re.findall(r"(?:href=\"([^\"]+)\"|aria-current=\"page\")>([^<]+)", crumbs) == [
        ("/", "Home"),
        (f"/c/{shop['clothing'].slug}", "Clothing"),
        ("", "Shoes"),
    ]
    assert browser.get("/c/no-such-category").status_code == 404


def test_a_list_is_sorted_and_filtered_as_the_form_says(app, shop):
    browser = Browser(app)
    boots, sandals, shawl = (shop[name].id for name in ("boots", "sandals", "shawl"))
    for query, expected in {
        "sort=price": [sandals, shawl, boots],
        "sort=-price": [boots, shawl, sandals],
        "sort=name&min_price=&max_price=": [boots, sandals, shawl],
        "min_price=KSh 1,000": [shawl, boots],
        "min_price=2000&max_price=1000": [shawl],
        "in_stock=true": [shawl, boots],
        "utm_source=friend&seller_id=x": [shawl, sandals, boots],
        "max_price=1": [],
    }.items():
        answer = browser.get(f"/c/{shop['clothing'].slug}?{query}")
        assert (query, answer.status_code, cards(answer)) == (query, 200, expected)
    assert "Nothing here is like that." in words(answer)
    for query, field in {"min_price=cheap": "min_price", "sort=id;--": "sort"}.items():
        answer = browser.get(f"/c/{shop['clothing'].slug}?{query}")
        assert (query, answer.status_code, cards(answer)) == (query, 400, [])
        assert '<details class="filters" open>' in answer.text
        assert "Nothing here is like that." not in words(answer)
        assert f'name="{field}"' in answer.text.partition('class="field wrong"')[2][:400]


def test_a_search_says_what_it_looked_for_and_what_there_is(app, shop):
    browser = Browser(app)
    found = browser.get("/search?query=boots")
    assert (found.status_code, cards(found)) == (200, [shop["boots"].id])
    assert 'name="query" maxlength="200" value="boots"' in found.text
    mended = browser.get("/search?query=bootss")
    assert cards(mended) == [shop["boots"].id]
    assert "Results for “boots”" in words(mended)
    assert "Nothing was found for “bootss”" in words(mended)
    both = browser.get("/search?query=s")
    narrower = re.findall(r'href="(/search\?[^"]+)"', both.text)
    assert {
        f"/search?query=s&amp;category={shop['clothing'].slug}",
        "/search?query=s&amp;min_price=500&amp;max_price=999.99",
        "/search?query=s&amp;in_stock=true",
    } <= set(narrower)
    cheap = browser.get("/search?query=s&min_price=500&max_price=999.99")
    assert cards(cheap) == [shop["sandals"].id]
    assert 'href="/search?query=s" aria-current="true"' in cheap.text


def test_a_search_for_nothing_or_nonsense_is_a_page(app, shop):
    browser = Browser(app)
    for query, said in {
        "": "Type a word or two",
        "query=%20%00": "Type a word or two",
        "query=zebra": "Nothing found for “zebra”.",
        'query="%20AND%20(NEAR*%25': "Nothing found",
        "query=boots&category=nowhere": "Nothing here is like that.",
        "query=%F0%9F%91%9F'--": "Nothing found",
        "query=" + "x" * 3000: "Nothing found",
    }.items():
        answer = browser.get(f"/search?{query}")
        assert (query[:40], answer.status_code, cards(answer)) == (query[:40], 200, [])
        assert said in words(answer)
    assert browser.get("/search?query=boots&min_price=x").status_code == 400
    assert browser.get("/search?query=boots&cursor=x").status_code == 400
    hostile = browser.get("/search", query_string={"query": SCRIPT})
    assert SCRIPT not in hostile.text
    assert "&lt;script&gt;" in hostile.text


def test_while_one_types_a_few_links_are_offered(app, database, shop):
    with database.transaction() as session:
        for number in range(8):
            make_product(session, shop["seller"], name=f"Shirt {number}", image_url="/static/s.svg")
    client = Browser(app).client
    offered = client.get("/search/suggest?query=shi", headers=HTMX)
    assert len(re.findall(r'<a href="/p/\d+"', offered.text)) == 6
    assert 'src="/static/s.svg"' in offered.text
    assert 'href="/search?query=shi"' in offered.text
    for nothing in ("", "query=", "query=zzz", "query=%00*"):
        answer = client.get(f"/search/suggest?{nothing}", headers=HTMX)
        assert (answer.status_code, answer.data) == (200, b"")
    typed = client.get("/search/suggest?query=shi")
    assert (typed.status_code, typed.headers["Location"]) == (303, "/search?query=shi")


def test_a_product_page_says_what_one_wants_to_know(app, database, shop):
    with database.transaction() as session:
        boots = session.get_one(Product, shop["boots"].id)
        boots.description = "Leather.\nBrown.\n\nWaterproof."
        boots.image_url = "/media/products/" + "a" * 32 + "/640.webp"
    answer = Browser(app).get(f"/p/{boots.id}")
    said = words(answer)
    for part in ("KSh 2,500", "Only 3 left", "Sold by njeri", "More in Shoes"):
        assert part in said
    assert "<p>Leather.<br>Brown.</p><p>Waterproof.</p>" in answer.text
    assert f"/{'a' * 32}/320.webp 320w, " in answer.text
    assert '<meta name="description" content="Leather. Brown. Waterproof.">' in answer.text
    assert f'<link rel="canonical" href="https://shop.example/p/{boots.id}">' in answer.text
    assert '<meta property="og:title" content="Boots">' in answer.text
    form = answer.text.partition('action="/basket/add"')[2].partition("</form>")[0]
    assert f'name="product_id" value="{boots.id}"' in form
    assert 'name="quantity" value="1" min="1" max="3"' in form
    assert cards(answer) == [shop["sandals"].id]
    gone = Browser(app).get(f"/p/{shop['sandals'].id}")
    assert "Sold out" in words(gone)
    assert "/basket/add" not in gone.text
    assert Browser(app).get("/p/999999").status_code == 404


def test_attack_64_nobodys_text_is_markup(app, database, shop, buyer):
    with database.transaction() as session:
        product = session.get_one(Product, shop["boots"].id)
        product.name = f"</title>{SCRIPT}"
        product.description = f"</script>{SCRIPT} {{{{7*7}}}}"
        product.image_url = 'https://evil.example/x.png"onerror="alert(1)'
        add_comment(session, actor_of(buyer), NewComment(product.id, f"{SCRIPT}\n<b>b</b>", 5), NOW)
    for path in (f"/p/{product.id}", "/", f"/c/{shop['shoes'].slug}", "/search?query=script"):
        answer = Browser(app).get(path)
        assert (path, "alert(" in answer.text) == (path, True)
        assert (path, "<script>" in answer.text, "evil.example" in answer.text) == (
            path,
            False,
            False,
        )
    answer = Browser(app).get(f"/p/{product.id}")
    assert "{{7*7}}" in answer.text
    assert "&lt;b&gt;b&lt;/b&gt;" in answer.text
    data = json.loads(_DATA.search(answer.text)[1])
    assert (data["name"], data["offers"]["price"]) == (product.name, 2500)
    assert "image" not in data


def test_structured_data_says_whether_it_can_be_bought_and_how_it_is_rated():
    product = Product(
        id=7, name="Boots", description="", price_cents=149_950, on_hand=2, reserved=2,
        rating_sum=9, rating_count=2, sku="B-1",
    )  # fmt: skip
    data = structured_data(product, "https://shop.example/p/7", "https://shop.example/a.webp")
    assert data["offers"] == {
        "@type": "Offer",
        "price": 1499.5,
        "priceCurrency": "KES",
        "availability": "https://schema.org/OutOfStock",
        "url": "https://shop.example/p/7",
    }
    assert data["aggregateRating"]["ratingValue"] == 4.5
    assert ("description" in data, data["sku"], data["image"]) == (
        False,
        "B-1",
        "https://shop.example/a.webp",
    )


def test_who_is_signed_in_comments_and_may_take_it_back(app, database, shop, buyer):
    path = f"/p/{shop['boots'].id}"
    with database.transaction() as session:
        order = buy(session, buyer, (session.get_one(Product, shop["boots"].id), 1))
        session.get_one(Order, order.id).status = OrderStatus.PAID
    browser = signed_in(app, buyer)
    browser.get(path)
    answer = browser.post(f"{path}/comments", {"body": "Dry feet.\r\nWarm.", "rating": "4"})
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{path}#comments")
    page = browser.get(path)
    assert "Thank you for your comment." in words(page)
    assert "amina Bought it here" in words(page)
    assert "4 out of 5 stars" in words(page)
    assert "Dry feet.<br>Warm." in page.text
    browser.post(f"{path}/comments", {"body": "And a question?", "rating": ""}, follow=True)
    with database.reading() as session:
        said = session.scalars(select(Comment).order_by(Comment.id)).all()
    assert [(one.body, one.rating) for one in said] == [
        ("Dry feet.\nWarm.", 4),
        ("And a question?", None),
    ]
    gone = browser.post(f"{path}/comments/{said[0].id}/delete", follow=True)
    assert "The comment is gone." in words(gone)
    assert "Dry feet" not in gone.text
    with database.reading() as session:
        left = session.scalars(select(Comment.id)).all()
        assert (left, session.get_one(Product, shop["boots"].id).rating_count) == ([said[1].id], 0)


def test_a_refused_comment_is_shown_again_with_what_is_wrong(app, database, shop, buyer):
    path = f"/p/{shop['boots'].id}"
    browser = signed_in(app, buyer)
    browser.get(path)
    before = database_snapshot(database)
    for form, fault in (
        ({"body": "  ", "rating": "5"}, "Write something first."),
        ({"body": "y" * 2001}, "Must have at most 2000 characters."),
        ({"body": "Kept", "rating": "6"}, "Must be 1 to 5."),
        ({"body": "Kept", "rating": "4.5"}, "Must be a whole number."),
    ):
        answer = browser.post(f"{path}/comments", form)
        assert (form, answer.status_code, fault in words(answer)) == (form, 400, True)
    assert ">\nKept</textarea>" in answer.text
    assert browser.post("/p/999999/comments", {"body": "Lost"}).status_code == 404
    assert database_snapshot(database) == before


def test_strangers_neither_comment_nor_take_comments_away(app, database, shop, buyer):
    path = f"/p/{shop['boots'].id}"
    with database.transaction() as session:
        said = add_comment(session, actor_of(buyer), NewComment(shop["boots"].id, "Good"), NOW)
        other, rival = make_buyer(session), make_user(session, Role.SELLER)
        delete = f"{path}/comments/{said.comment.id}/delete"
    anonymous, stranger, rival = Browser(app), signed_in(app, other), signed_in(app, rival)
    author, seller = signed_in(app, buyer), signed_in(app, shop["seller"])
    for browser in (anonymous, stranger, rival):
        assert delete not in browser.get(path).text
    assert f'href="/login?next=/p/{shop["boots"].id}%23say"' in anonymous.get(path).text
    before = database_snapshot(database)
    answers = {
        "anonymous comments": anonymous.post(f"{path}/comments", {"body": "x"}).status_code,
        "anonymous deletes": anonymous.post(delete).status_code,
        "stranger": stranger.post(delete).status_code,
        "rival": rival.post(delete).status_code,
        "no token": stranger.client.post(f"{path}/comments", data={"body": "x"}).status_code,
        "another product's": author.post(
            f"/p/{shop['shawl'].id}/comments/{said.comment.id}/delete"
        ).status_code,
        "by reading": stranger.get(delete).status_code,
    }
    assert answers == {
        "anonymous comments": 303,
        "anonymous deletes": 303,
        "stranger": 403,
        "rival": 403,
        "no token": 403,
        "another product's": 404,
        "by reading": 405,
    }
    assert database_snapshot(database) == before
    assert delete in seller.get(path).text
    assert seller.post(delete).status_code == 303


def test_comments_come_newest_first_and_more_on_request(app, database, shop, buyer):
    with database.transaction() as session:
        for number in range(12):
            add_comment(
                session, actor_of(buyer), NewComment(shop["boots"].id, f"Word {number:02d}."), NOW
            )
    browser = Browser(app)
    first = browser.get(f"/p/{shop['boots'].id}")
    numbers = [f"Word {number:02d}." for number in range(11, -1, -1)]
    assert re.findall(r"Word \d\d\.", first.text) == numbers[:10]
    more = re.search(r'hx-get="([^"]+)"', first.text.partition('class="comments"')[2])[1]
    fragment = browser.client.get(more, headers=HTMX)
    assert re.findall(r"Word \d\d\.", fragment.text) == numbers[10:]
    assert "<html" not in fragment.text
    assert re.findall(r"Word \d\d\.", browser.get(more).text) == numbers[10:]


def test_pages_ask_as_little_of_a_full_shop_as_of_an_empty_one(app, database, shop, buyer):
    asked = []

    def count(_connection, _cursor, statement, *_rest):
        if not statement.startswith("BEGIN"):
            asked.append(statement)

    def statements(path) -> int:
        asked.clear()
        assert Browser(app).get(path).status_code == 200
        return len(asked)

    paths = ("/", f"/c/{shop['clothing'].slug}", f"/p/{shop['boots'].id}", "/search?query=boots")
    event.listen(database.engine, "before_cursor_execute", count)
    try:
        few = [statements(path) for path in paths]
        with database.transaction() as session:
            for number in range(20):
                make_product(
                    session, shop["seller"], name=f"Boots {number}", category_id=shop["shoes"].id
                )
                add_comment(session, actor_of(buyer), NewComment(shop["boots"].id, "Good", 4), NOW)
        many = [statements(path) for path in paths]
    finally:
        event.remove(database.engine, "before_cursor_execute", count)
    assert few == many
    assert few[:3] == [2, 3, 7]  # what a search asks is the business of the index


def test_every_demo_product_has_a_small_drawing_that_asks_for_nothing_else():
    for product in PRODUCTS:
        drawing = (STATIC / "demo" / f"{product.picture}.svg").read_bytes()
        assert (product.sku, len(drawing) <= 2048) == (product.sku, True)
        root = ET.fromstring(drawing)
        assert root.get("viewBox") == "0 0 200 200"
        for element in root.iter():
            kind = element.tag.rpartition("}")[2]
            assert kind in {"svg", "path", "circle", "ellipse", "rect", "g", "clipPath"}
            assert not {"href", "style", "onload"} & set(element.keys())
        assert product.image_url == f"/static/demo/{product.picture}.svg"
    assert len({product.picture for product in PRODUCTS}) == len(PRODUCTS)


def test_a_path_leads_from_the_top_down():
    shoes = CategoryNode(2, "Shoes", "shoes", 1)
    tops = [CategoryNode(3, "Food", "food", None), CategoryNode(1, "Wear", "wear", None, [shoes])]
    assert [node.slug for node in path_to_category(tops, "shoes")] == ["wear", "shoes"]
    assert [node.slug for node in path_to_category(tops, "food")] == ["food"]
