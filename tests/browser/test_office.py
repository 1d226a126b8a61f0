"""What is done in the office every day, in Chromium, by a seller and by an admin."""

import io
import re

import pytest
from PIL import Image
from playwright.sync_api import expect
from sqlalchemy import select

from app.models import Order, Product, User
from tests.browser.conftest import DESK

WRONG_AMOUNT = "7014"
"""The callback to this phone names another amount than was asked for."""


@pytest.fixture(scope="module")
def seller(shop):
    seller = shop.sign_up("office-seller", shop.phone("5678"))
    shop.promote(seller, "seller")
    return seller


@pytest.fixture(scope="module")
def admin(shop):
    admin = shop.sign_up("office-admin", shop.phone("5678"))
    shop.promote(admin, "admin")
    return admin


def press(visitor, name):
    visitor.page.locator("main").get_by_role("button", name=name, exact=True).click()


def picture():
    image = io.BytesIO()
    Image.new("RGB", (800, 600), "#a82f16").save(image, "JPEG")
    return {"name": "kiondo.jpg", "mimeType": "image/jpeg", "buffer": image.getvalue()}


def product_named(shop, name):
    with shop.database.reading() as session:
        return session.scalars(select(Product).where(Product.name == name)).one()


def test_a_seller_puts_something_up_for_sale_on_a_phone(visit, shop, seller):
    visitor = visit(seller)
    visitor.page.get_by_role("link", name="Office").click()
    visitor.page.locator("main").get_by_role("link", name="Products", exact=True).click()
    visitor.page.get_by_role("link", name="Add a product").click()
    visitor.page.get_by_label("Name", exact=True).fill("Kiondo wa mwanzo")
    visitor.page.get_by_label("Price in shillings").fill("1 shilling")
    press(visitor, "Put it up for sale")
    visitor.reads("Must be an amount in shillings")
    visitor.page.get_by_label("Price in shillings").fill("1,499.50")
    press(visitor, "Put it up for sale")
    visitor.page.wait_for_url(re.compile(r"/office/products/\d+$"))
    visitor.page.get_by_label("Choose a picture").set_input_files(picture())
    press(visitor, "Show this picture")
    made = product_named(shop, "Kiondo wa mwanzo")
    assert (made.price_cents, made.seller_id, made.on_hand) == (149_950, seller.id, 0)
    assert made.image_url.startswith("/media/")
    visitor.go(f"/office/products/{made.id}/stock")
    visitor.page.get_by_label("What happened").select_option(index=0)
    visitor.page.get_by_label("How many").fill("12")
    press(visitor, "Change the stock")
    visitor.reads("+12")
    assert product_named(shop, "Kiondo wa mwanzo").on_hand == 12
    guest = visit()
    guest.go(f"/p/{made.id}")
    guest.reads("KSh\u00a01,499.50")
    shown = guest.page.locator("main img").first
    expect(shown).to_be_visible()
    assert shown.evaluate("image => image.complete && image.naturalWidth > 0")


def test_a_paid_order_is_sent_and_delivered_once(visit, shop, admin):
    purchase = shop.buy()
    shop.wait_for_order(purchase, "paid")
    visitor = visit(admin, size=DESK)
    visitor.go(f"/office/orders/{purchase.order_id}")
    press(visitor, "Mark as sent")
    shop.wait_for_order(purchase, "shipped")
    press(visitor, "Mark as delivered")
    shop.wait_for_order(purchase, "delivered")
    with shop.database.reading() as session:
        assert session.get_one(Order, purchase.order_id).status == "delivered"
    buyer = visit(purchase.buyer)
    buyer.go(f"/my/orders/{purchase.order_id}")
    buyer.reads("Delivered")


def test_an_admin_finds_a_payment_by_its_receipt_and_reads_what_safaricom_said(visit, shop, admin):
    purchase = shop.buy()
    shop.wait_for_order(purchase, "paid")
    receipt = shop.transaction(purchase)["mpesa_receipt"]
    visitor = visit(admin, size=DESK)
    visitor.go("/office/payments")
    visitor.page.locator("main summary").first.click()
    visitor.page.get_by_label("M-Pesa receipt").fill(receipt)
    visitor.page.get_by_label("M-Pesa receipt").press("Enter")
    visitor.page.locator("main table").get_by_role("link").first.click()
    visitor.page.wait_for_url(f"**/office/payments/{purchase.transaction_id}")
    visitor.reads(receipt)
    expect(visitor.page.locator("main pre").first).to_contain_text("CheckoutRequestID")


def test_an_admin_decides_about_money_on_a_phone(visit, shop, admin):
    purchase = shop.buy(WRONG_AMOUNT)
    shop.wait_for_transaction(purchase, "unknown")
    visitor = visit(admin)
    visitor.go("/office")
    visitor.page.get_by_role("link", name=re.compile("to decide$")).first.click()
    number = shop.read_order(purchase)["number"]
    visitor.page.locator("li.panel", has_text=number).get_by_role("link").first.click()
    visitor.reads("M-Pesa reported another amount than was asked for")
    visitor.page.get_by_text("It was paid").first.click()
    form = visitor.page.locator("#paid")
    form.get_by_label("Where you saw it").fill("On the statement of today.")
    form.get_by_label("M-Pesa receipt").fill("UK-1")
    press(visitor, "It was paid")
    visitor.reads("This is no M-Pesa receipt.")
    expect(form.get_by_label("Where you saw it")).to_have_value("On the statement of today.")
    form.get_by_label("M-Pesa receipt").fill("ukperson01")
    press(visitor, "It was paid")
    visitor.reads("The money is counted.")
    shop.wait_for_order(purchase, "paid")
    assert shop.transaction(purchase)["mpesa_receipt"] == "UKPERSON01"
    buyer = visit(purchase.buyer)
    buyer.go("/account/notifications")
    buyer.reads(f"Order {number} is paid")


def test_an_admin_makes_a_seller_of_a_customer(visit, shop, admin):
    customer = shop.sign_up("becomes-seller", shop.phone("5678"))
    visitor = visit(admin)
    visitor.go(f"/office/users/{customer.id}")
    visitor.page.get_by_label("What they may do").select_option("seller")
    press(visitor, "Give this role")
    with shop.database.reading() as session:
        assert session.get_one(User, customer.id).role == "seller"


def test_a_seller_is_not_shown_the_shops_money_nor_its_people(visit, shop, seller):
    visitor = visit(seller)
    visitor.go("/office")
    names = visitor.page.locator("main nav").first.inner_text()
    assert "Payments" not in names
    assert "Users" not in names
    for closed in ("/office/payments", "/office/users"):
        visitor.go(closed)
        visitor.reads("Your account does not have the role that this page needs.")
