"""Orders in the office: found, shown to whom they concern, sent, called off."""

import pytest
from sqlalchemy import select, update

from app.models import OrderEvent, Task, TaskKind
from app.policies import Role
from app.services.records import Matter, file_task
from tests.core import ask_to_pay, buy, database_snapshot, make_buyer, pay
from tests.factories import NOW, make_product, make_user
from tests.looking import status_of
from tests.web.browsing import Browser, signed_in, words

PLACE = {"phone_number": "254711222333", "delivery_address": "<i>Moi</i>\nAvenue", "note": "Ring"}


@pytest.fixture
def users(database):
    with database.transaction() as session:
        return {
            "admin": make_user(session, Role.ADMIN),
            "seller": make_user(session, Role.SELLER),
            "stranger": make_user(session, Role.SELLER),
            "buyer": make_buyer(session, email="juma@shop.example", email_key="juma@shop.example"),
        }


@pytest.fixture
def people(app, users):
    return {name: signed_in(app, user) for name, user in users.items()}


@pytest.fixture
def order(database, users):
    """Paid: boots of the seller's, and socks of another's."""
    with database.transaction() as session:
        boots = make_product(session, users["seller"], name="Boots", price_cents=149_950)
        socks = make_product(session, name="Socks", price_cents=20_050)
        order = buy(session, users["buyer"], (boots, 2), (socks, 1), **PLACE)
        pay(session, ask_to_pay(session, order))
    return order


@pytest.fixture
def unpaid(database, users):
    with database.transaction() as session:
        boots = make_product(session, users["seller"], name="Boots")
        return buy(session, users["buyer"], (boots, 1), **PLACE)


def test_a_seller_reads_their_own_lines_and_nothing_of_the_others(people, users, order):
    shown = words(people["seller"].get(f"/office/orders/{order.id}"))
    for there in ("Boots", "Your sum KSh 2,999", "0711 222 333", "<i>Moi</i> Avenue", "Ring"):
        assert there in shown, there
    for absent in ("Socks", "200.50", "3,199.50", users["buyer"].email, "UKM", "Cancel"):
        assert absent not in shown, absent
    assert "<h2>Tasks</h2>" not in people["seller"].page.text
    listed = words(people["seller"].get("/office/orders"))
    assert ("KSh 2,999" in listed, "3,199.50" in listed) == (True, False)


def test_an_admin_reads_all_of_it(people, users, order):
    shown = words(people["admin"].get(f"/office/orders/{order.id}"))
    for there in ("Socks", "In all KSh 3,199.50", "Paid, as the books say KSh 3,200"):
        assert there in shown, there
    assert f"Placed 22 Nov 2026, 12:00 , by {users['buyer'].username}" in shown
    assert ("juma@shop.example" in shown, "UKM0000001" in shown) == (True, True)


def test_whose_orders_are_whose(app, people, order):
    for address in (f"/office/orders/{order.id}", "/office/orders/999999"):
        assert people["stranger"].get(address).status_code == 404
    assert order.number not in people["stranger"].get("/office/orders").text
    assert people["buyer"].get(f"/office/orders/{order.id}").status_code == 403
    assert people["buyer"].get("/office/orders").status_code == 403
    assert Browser(app).get("/office/orders").status_code == 303


def test_an_order_is_sent_and_delivered_and_a_second_click_changes_nothing(people, database, order):
    seller, address = people["seller"], f"/office/orders/{order.id}/fulfil"
    assert "Mark as sent" in seller.get(f"/office/orders/{order.id}").text
    sent = seller.post(address, {"status": "shipped"}, follow=True)
    assert "The order is on its way. The buyer is told." in words(sent)
    assert "Mark as delivered" in sent.text
    before = database_snapshot(database)
    twice = seller.post(address, {"status": "shipped"})
    assert twice.status_code == 409
    assert f"Order {order.number} is shipped; it cannot become shipped now." in words(twice)
    assert database_snapshot(database) == before
    seller.post(address, {"status": "delivered"})
    assert status_of(database, order) == "delivered"
    assert "Mark as" not in seller.get(f"/office/orders/{order.id}").text


def test_what_is_refused_changes_nothing(app, people, database, order, unpaid):
    address = f"/office/orders/{order.id}/fulfil"
    before = database_snapshot(database)
    for name, path, form, status in (
        ("stranger", address, {"status": "shipped"}, 404),
        ("buyer", address, {"status": "shipped"}, 403),
        ("seller", address, {}, 400),
        ("seller", address, {"status": "refunded"}, 400),
        ("seller", address, {"status": "shipped", "price": "1"}, 400),
        ("seller", f"/office/orders/{unpaid.id}/fulfil", {"status": "shipped"}, 409),
        ("seller", f"/office/orders/{unpaid.id}/cancel", {}, 403),
        ("buyer", f"/office/orders/{unpaid.id}/cancel", {}, 403),
        ("admin", f"/office/orders/{order.id}/cancel", {}, 409),
        ("admin", "/office/orders/999999/cancel", {}, 404),
        ("admin", address, {"status": "shipped", "csrf_token": "made up"}, 403),
    ):
        assert people[name].post(path, form).status_code == status, (name, path, form)
    assert Browser(app).post(address, {"status": "shipped"}).status_code == 303
    assert database_snapshot(database) == before


def test_a_disputed_payment_is_said_and_ships_nothing(people, database, order):
    with database.transaction() as session:
        matter = Matter(TaskKind.DISPUTED_PAYMENT, "Look at it", "They disagree", "disputed:1")
        file_task(session, matter, NOW)
        session.execute(update(Task).values(order_id=order.id))
    before = database_snapshot(database)
    shown = people["seller"].get(f"/office/orders/{order.id}")
    assert ("M-Pesa disputes" in words(shown), "Mark as sent" in shown.text) == (True, False)
    refused = people["seller"].post(f"/office/orders/{order.id}/fulfil", {"status": "shipped"})
    assert refused.status_code == 409
    assert f"M-Pesa disputes the payment of order {order.number}." in words(refused)
    assert "Look at it" in words(people["admin"].get(f"/office/orders/{order.id}"))
    assert database_snapshot(database) == before


def test_an_admin_calls_an_unpaid_order_off_once(people, users, database, unpaid):
    admin, address = people["admin"], f"/office/orders/{unpaid.id}/cancel"
    assert "Yes, cancel it" in admin.get(f"/office/orders/{unpaid.id}").text
    answer = admin.post(address, follow=True)
    assert "The order is cancelled" in words(answer)
    with database.reading() as session:
        last = session.scalars(select(OrderEvent).order_by(OrderEvent.id.desc())).first()
    assert (last.to_status, last.actor_id) == ("cancelled", users["admin"].id)
    before = database_snapshot(database)
    twice = admin.post(address)
    assert (twice.status_code, "can no longer be cancelled" in words(twice)) == (409, True)
    assert database_snapshot(database) == before


def test_orders_are_found_by_what_a_customer_can_name(people, order, unpaid):
    def numbers(query: str, name: str = "admin") -> set[str]:
        answer = people[name].get(f"/office/orders?{query}")
        assert answer.status_code == 200, query
        return {own.number for own in (order, unpaid) if f">{own.number}</a>" in answer.text}

    both = {order.number, unpaid.number}
    spaced = f"{order.number[:3].lower()}+{order.number[3:]}"
    assert numbers("") == numbers("utm_source=sms") == both
    assert numbers("status=paid") == numbers(f"number={spaced}") == {order.number}
    assert numbers("buyer=0711+222+333") == numbers("buyer=JUMA@shop.example") == both
    assert numbers("buyer=0799000000") == set()
    assert numbers("first_day=2026-11-22&last_day=2026-11-22") == both
    assert numbers("last_day=2026-11-21") == numbers("first_day=2026-11-23") == set()
    assert numbers("buyer=0799000000", name="seller") == both  # a seller is given no such question


def test_a_wrong_question_is_shown_again_with_what_is_wrong(people, order):
    for query, field in (
        ("number=K7M2Q9Y", "number"),
        ("number=%00", "number"),
        (f"number={'9' * 5000}", "number"),
        ("buyer=juma", "buyer"),
        ("first_day=yesterday", "first_day"),
        ("first_day=0001-01-01", "first_day"),
        ("first_day=2026-11-22&last_day=2026-11-21", "last_day"),
        ("status=lost", None),
        ("cursor=nonsense", None),
    ):
        answer = people["admin"].get(f"/office/orders?{query}")
        assert answer.status_code == 400, query
        assert order.number not in answer.text
        assert f'id="e-{field}"' in answer.text or field is None, query
        assert 'role="alert"' in answer.text, query
    assert people["admin"].get("/office/orders?last_day=9999-12-31").status_code == 200


def test_a_long_list_goes_on_from_page_to_page(people, users, database):
    with database.transaction() as session:
        boots = make_product(session, users["seller"], stock=50)
        made = [buy(session, users["buyer"], (boots, 1)).number for _ in range(20)] + [
            buy(session, make_buyer(session), (boots, 1)).number
        ]
    first = people["seller"].get("/office/orders?status=pending")
    assert [number for number in made if number in first.text] == made[1:]
    onward = first.text.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert onward.startswith("/office/orders?status=pending&cursor=")
    rest = people["seller"].get(onward)
    assert [number for number in made if number in rest.text] == made[:1]
    assert 'rel="next"' not in rest.text
