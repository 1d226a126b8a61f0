"""Every page: no serious fault by axe, and no wider than a phone's window or a desk's."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from app.models import Order, Task, User
from app.utils.clock import EAT
from tests.browser.conftest import DESK, PHONE
from tests.factories import make_delivery, make_webhook
from tests.matters import unmatched

WRONG_AMOUNT = "7014"
"""The callback to this phone names another amount than was asked for."""

ANYONE = (
    "/",
    "/c/shoes",
    "/search?query=kiondo",
    "/search?query=kiondoo&min_price=x",
    "/search?query=nothing+like+it",
    "/p/{product}",
    "/basket",
    "/login",
    "/register",
    "/no/such/page",
    "/docs",
)
CUSTOMER = (
    "/my/orders",
    "/my/orders/{order}",
    "/my/orders/{order}/pay",
    "/my/orders/{order}/receipt",
    "/account",
    "/account/notifications",
    "/account/tasks",
    "/account/tasks/{task}",
    "/office",
)
OFFICE = (
    "/office",
    "/office/orders",
    "/office/orders?created_after=nonsense",
    "/office/orders/{order}",
    "/office/payments",
    "/office/payments/{payment}",
    "/office/reconciliation",
    "/office/reconciliation?first_day={yesterday}&last_day={tomorrow}",
    "/office/reconciliation?first_day=nonsense",
    "/office/products",
    "/office/products/new",
    "/office/products/{product}",
    "/office/products/{product}/stock",
    "/office/products/import",
    "/office/users",
    "/office/users/{user}",
    "/office/exceptions",
    "/office/exceptions/{money}",
    "/office/exceptions/{money}/attach?order_number={number}",
    "/office/exceptions/{wrong}",
    "/office/tasks",
    "/office/tasks/{task}",
    "/office/webhooks",
    "/office/webhooks/new",
    "/office/webhooks/{webhook}",
    "/office/webhooks/{webhook}/deliveries/{delivery}",
)


@pytest.fixture(scope="module")
def things(shop):
    """One of each thing, and an admin to look at them."""
    admin = shop.sign_up("admin", shop.phone("5678"))
    shop.promote(admin, "admin")
    category = {"name": "Shoes"}
    assert shop.call("POST", "/api/categories", admin, json=category).status_code == 201
    purchase = shop.buy()
    shop.wait_for_order(purchase, "paid")
    buyer = purchase.buyer
    comment = {"item_id": purchase.product_id, "body": "Strong and fair.", "rating": 4}
    assert shop.call("POST", "/api/comments", buyer, json=comment).status_code == 201
    task = shop.call("POST", "/api/tasks", buyer, json={"title": "Fetch it", "priority": "high"})
    bring_in_another_amount(shop, admin)
    today = datetime.now(EAT).date()
    wrong = shop.buy(WRONG_AMOUNT)
    shop.wait_for_transaction(wrong, "unknown")
    with shop.database.transaction() as session:
        money = unmatched(session)
        number = session.get_one(Order, purchase.order_id).number
        matter = select(Task.id).where(Task.payment_id == wrong.transaction_id)
        wrong_id = session.scalars(matter).one()
        webhook = make_webhook(session, session.get_one(User, admin.id))
        delivery = make_delivery(session, webhook, last_error="ConnectTimeout: timed out")
    return {
        "admin": admin,
        "customer": buyer,
        "names": {
            "product": purchase.product_id,
            "order": purchase.order_id,
            "payment": purchase.transaction_id,
            "task": task.json()["id"],
            "user": buyer.id,
            "webhook": webhook.id,
            "delivery": delivery.id,
            "yesterday": today - timedelta(days=1),
            "tomorrow": today + timedelta(days=1),
            "money": money.id,
            "number": number,
            "wrong": wrong_id,
        },
    }


def bring_in_another_amount(shop, admin):
    """A statement that says KES 90 of the KES 100 that were paid: there is a row to look at."""
    exported = shop.http.get(f"{shop.simulator_url}/__sim/statement.csv").text
    changed = exported.replace(",100.00,", ",90.00,")
    assert changed != exported
    files = {"file": ("statement.csv", changed.encode())}
    answer = shop.call("POST", "/api/statements", admin, files=files)
    assert (answer.status_code, answer.json()["different"]) == (200, 1), answer.text


@pytest.mark.parametrize(
    ("who", "paths"), [(None, ANYONE), ("customer", CUSTOMER), ("admin", OFFICE)]
)
def test_no_page_shuts_anybody_out(visit, things, who, paths):
    visitor = visit(things[who] if who else None)
    for path in paths:
        visitor.go(path.format(**things["names"]))
        visitor.has_no_serious_fault()
        visitor.page.set_viewport_size(DESK)
        visitor.fits_the_window()
        visitor.page.set_viewport_size(PHONE)
