"""Pages that are kept serve everybody: they hold nothing of a visitor, and nothing that is over."""

import pytest
from sqlalchemy import text

from app.context import CATALOGUE
from app.policies import Role
from tests.core import make_buyer
from tests.factories import make_category, make_product, make_user
from tests.web.browsing import Browser, signed_in, words


@pytest.fixture
def shop(database):
    with database.transaction() as session:
        seller = make_user(session, Role.SELLER, username="njeri")
        shoes = make_category(session, "Shoes")
        boots = make_product(session, seller, name="Boots", stock=9, category_id=shoes.id)
        make_product(session, seller, name="Hat", stock=9)
        buyer = make_buyer(session, username="amina")
    return {"seller": seller, "buyer": buyer, "boots": boots, "shoes": f"/c/{shoes.slug}"}


@pytest.fixture
def kept(app):
    return app.extensions[CATALOGUE]


def header_of(answer) -> str:
    return answer.text.partition('<nav class="top-nav"')[2].partition("</nav>")[0]


@pytest.mark.parametrize("place", ["/", "shoes"])
def test_one_page_is_made_for_many_visitors_and_each_sees_what_is_theirs(app, kept, shop, place):
    path = shop.get(place, place)
    stranger, other = Browser(app), Browser(app)
    seller, buyer = signed_in(app, shop["seller"]), signed_in(app, shop["buyer"])
    pages = [browser.get(path) for browser in (seller, stranger, buyer, other, seller)]
    assert (kept.counts.misses, kept.counts.hits) == (1, 4)
    assert [answer.status_code for answer in pages] == [200] * 5
    assert ["/office" in header_of(answer) for answer in pages] == [True, False, False, False, True]
    assert ["/login" in header_of(answer) for answer in pages] == [False, True, False, True, False]
    assert {answer.headers["Cache-Control"] for answer in pages} == {"private, no-cache"}
    assert all({"Cookie", "Accept-Language", "HX-Request"} <= set(a.vary) for a in pages)


def test_each_visitor_gets_a_token_of_their_own_that_opens_the_form(app, kept, shop):
    browsers = [Browser(app) for _ in range(3)]
    for browser in browsers:
        browser.get("/login")
        browser._token = ""
        browser.get("/")
    assert len({browser._token for browser in browsers}) == 3
    for browser in browsers:
        answer = browser.post("/language", {"language": "sw", "next": "/"})
        assert answer.status_code == 303
        assert '<html lang="sw">' in browser.get("/").text
    assert kept.counts.misses == 2  # one of each language


def test_nothing_of_the_visitor_who_came_first_is_kept(app, kept, shop):
    first = signed_in(app, shop["buyer"])
    first.post("/basket/add", {"product_id": shop["boots"].id, "quantity": "2"})
    with first.client.session_transaction() as session:
        session["_flashes"] = [("done", "A word for amina alone.")]
    shown = first.get("/")
    assert "A word for amina alone." in words(shown)
    assert "A word for amina alone." not in words(first.get("/"))
    (entry,) = [one for key, one in kept._entries.items() if key[0] == "en"]
    pieces = b"".join(piece for piece in entry.content if isinstance(piece, bytes))
    cookies = {cookie.value for cookie in first.client._cookies.values()}
    assert cookies
    for secret in (first._token, "amina", "/account", "in the basket", *cookies):
        assert secret.encode() not in pieces
    assert "in the basket" not in words(Browser(app).get("/"))


def test_a_guest_sees_how_many_things_are_in_their_basket(app, shop):
    guest = Browser(app)
    guest.get("/")
    guest.post("/basket/add", {"product_id": shop["boots"].id, "quantity": "2"})
    assert "2 in the basket" in words(guest.get("/"))
    assert "in the basket" not in words(Browser(app).get("/"))


def test_what_is_changed_is_seen_at_once_by_who_saw_the_page_before(app, database, shop):
    browser = Browser(app)
    for path in ("/", shop["shoes"], f"{shop['shoes']}?in_stock=true"):
        assert "Boots" in words(browser.get(path))
    with database.transaction() as session:
        session.execute(text("UPDATE products SET reserved = 6 WHERE name = 'Boots'"))
    for path in ("/", shop["shoes"]):
        assert "Only 3 left Boots" in words(browser.get(path))
    with database.transaction() as session:
        session.execute(text("UPDATE products SET reserved = 9 WHERE name = 'Boots'"))
    assert "Sold out Boots" in words(browser.get("/"))
    assert "Boots" not in words(browser.get(f"{shop['shoes']}?in_stock=true"))
    with database.transaction() as session:
        session.execute(text("UPDATE categories SET name = 'Footwear'"))
    assert "Footwear" in words(browser.get("/"))


def test_what_is_wrong_with_a_question_is_told_and_not_kept(app, kept, shop):
    browser = Browser(app)
    for _ in range(2):
        assert browser.get(f"{shop['shoes']}?min_price=cheap").status_code == 400
        assert browser.get("/c/no-such-shelf").status_code == 404
    assert kept.counts.entries == 0


def test_a_product_cannot_be_named_so_that_it_tears_the_page(app, database, shop):
    with database.transaction() as session:
        make_product(session, name="<token>{{ form_token() }}<" + "0" * 32 + ":token>")
    browser = Browser(app)
    browser.get("/login")
    for _ in range(2):
        assert browser.get("/").text.count(browser._token) == 1
