"""A whole purchase on a phone: from the shelves to the receipt, and what goes wrong on the way."""

import re

import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from app.models import Order, Payment
from drill.processes import wait_until
from tests.e2e.shop import PRICE

ORDER_AND_PAY = re.compile("Order and pay")


@pytest.fixture(scope="module")
def kiondo(shop):
    """A product of which there is enough for everybody."""
    product_id = shop.offer(stock=1000)
    return product_id, shop.call("GET", f"/api/items/{product_id}").json()["name"]


@pytest.fixture
def buyer(shop):
    return shop.sign_up("buyer", shop.phone("5678"))


def put_in_basket(visitor, kiondo):
    """From the home page, as somebody does who saw it there."""
    product_id, name = kiondo
    visitor.go("/")
    visitor.page.locator(f"main a[href='/p/{product_id}']").click()
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text(name)
    visitor.page.get_by_role("button", name="Add to basket").click()
    visitor.page.get_by_role("link", name=re.compile("Basket")).click()
    visitor.page.get_by_role("link", name="Go to checkout").click()


def order_with(visitor, phone):
    visitor.page.get_by_label("M-Pesa phone number").fill(phone)
    visitor.page.get_by_role("button", name=ORDER_AND_PAY).click()
    visitor.page.wait_for_url("**/pay")


def order_of(shop, visitor):
    order_id = int(visitor.path.split("/")[3])
    with shop.database.reading() as session:
        return session.get_one(Order, order_id)


def attempts_of(shop, order):
    with shop.database.reading() as session:
        return session.scalars(
            select(Payment.status).where(Payment.order_id == order.id).order_by(Payment.id)
        ).all()


def test_a_guest_fills_a_basket_signs_in_on_the_way_and_pays(visit, shop, kiondo, buyer):
    visitor = visit()
    put_in_basket(visitor, kiondo)
    assert visitor.path == "/login?next=/checkout"
    visitor.page.get_by_label("Phone number, e-mail or username").fill(buyer.username)
    visitor.page.get_by_label("Password").fill("Correct horse 12")
    visitor.page.locator("main").get_by_role("button", name="Sign in").click()
    visitor.page.wait_for_url("**/checkout")
    visitor.reads(kiondo[1])
    expect(visitor.page.get_by_label("M-Pesa phone number")).to_have_value(
        re.compile(f"{buyer.phone[-3:]}$")
    )
    visitor.page.get_by_label("Where shall we bring it?").fill("Kenyatta Avenue 5, Nairobi")
    visitor.page.get_by_role("button", name=ORDER_AND_PAY).click()
    visitor.page.wait_for_url("**/pay")
    visitor.reads("Paid. Thank you!")
    order = order_of(shop, visitor)
    assert (order.status, order.total_cents) == ("paid", round(PRICE * 100))
    visitor.has_no_serious_fault()
    visitor.page.get_by_role("link", name="Receipt").click()
    visitor.reads(order.number)
    visitor.reads("Kenyatta Avenue 5, Nairobi")
    visitor.has_no_serious_fault()
    visitor.go("/basket")
    visitor.reads("Your basket is empty")


FAILURES = [
    ("1032", "The M-Pesa prompt was cancelled or not answered in time."),
    ("2001", "The M-Pesa PIN was not correct."),
    ("0001", "Your M-Pesa balance is too low for this payment."),
]


def test_after_three_failures_the_next_try_pays_the_same_order(visit, shop, kiondo, buyer):
    visitor = visit(buyer)
    put_in_basket(visitor, kiondo)
    order_with(visitor, shop.phone(FAILURES[0][0]))
    order = order_of(shop, visitor)
    for number, (_, sentence) in enumerate(FAILURES):
        visitor.reads(sentence)
        visitor.reads("No money was taken.")
        visitor.has_no_serious_fault()
        coming = shop.phone(FAILURES[number + 1][0] if number < 2 else "5678")
        visitor.page.get_by_label("M-Pesa phone number").fill(coming)
        visitor.page.get_by_role("button", name=re.compile("Try again")).click()
    visitor.reads("Paid. Thank you!")
    assert order_of(shop, visitor).id == order.id
    assert attempts_of(shop, order) == ["cancelled", "failed", "failed", "succeeded"]


def test_while_the_phone_rings_nothing_else_is_offered(visit, shop, kiondo, buyer):
    visitor = visit(buyer)
    put_in_basket(visitor, kiondo)
    phone = shop.phone("0000")  # waits for a person
    order_with(visitor, phone)
    visitor.reads("Look at your phone")
    visitor.reads("KSh\u00a034")  # whole shillings
    visitor.has_no_serious_fault()
    expect(visitor.page.locator("main").get_by_role("button")).to_have_count(0)
    prompt = wait_until(lambda: shop.prompts(phone), "the prompt is out")[0]
    shop.simulate("POST", f"/prompts/{prompt['checkout_request_id']}/pay")
    visitor.reads("Paid. Thank you!")  # the page has asked by itself


def test_a_whole_purchase_without_javascript(visit, shop, kiondo, buyer):
    visitor = visit(scripts=False)
    visitor.sign_in(buyer)
    put_in_basket(visitor, kiondo)
    order_with(visitor, shop.phone("1032"))
    order = order_of(shop, visitor)
    wait_until(lambda: attempts_of(shop, order) == ["cancelled"], "the prompt is cancelled")
    visitor.page.reload()
    visitor.reads("The M-Pesa prompt was cancelled or not answered in time.")
    visitor.page.get_by_label("M-Pesa phone number").fill(shop.phone("5678"))
    visitor.page.get_by_role("button", name=re.compile("Try again")).click()
    wait_until(lambda: order_of(shop, visitor).status == "paid", "the order is paid")
    visitor.page.reload()
    visitor.reads("Paid. Thank you!")


def test_what_is_sold_out_meanwhile_is_said_and_nothing_is_ordered(visit, shop, buyer):
    product_id = shop.offer(stock=1)
    name = shop.call("GET", f"/api/items/{product_id}").json()["name"]
    visitor = visit(buyer)
    put_in_basket(visitor, (product_id, name))
    faster = shop.sign_up("faster", shop.phone("5678"))
    shop.order(faster, product_id, 1)
    visitor.page.get_by_role("button", name=ORDER_AND_PAY).click()
    visitor.reads("Sold out; you asked for 1.")
    visitor.has_no_serious_fault()
    with shop.database.reading() as session:
        assert session.scalars(select(Order).where(Order.user_id == buyer.id)).all() == []


def test_attack_64_markup_in_a_comment_is_text(visit, shop, kiondo, buyer):
    product_id, _ = kiondo
    nasty = "<script>document.title='owned'</script><img src=x onerror=alert(1)> {{7*7}}"
    visitor = visit(buyer)
    dialogs = []
    visitor.page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    visitor.go(f"/p/{product_id}")
    visitor.page.get_by_label("Your comment").fill(nasty)
    visitor.page.get_by_label("4 out of 5 stars").check(force=True)
    visitor.page.get_by_role("button", name="Publish").click()
    expect(visitor.page.locator(".comments")).to_contain_text(nasty)
    assert visitor.page.locator(".comments script, .comments img[src='x']").count() == 0
    assert "owned" not in visitor.page.title()
    assert dialogs == []
    visitor.has_no_serious_fault()
