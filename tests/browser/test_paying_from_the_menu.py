"""Paying from the M-Pesa menu beside an open page, and naming a payment without JavaScript."""

import pytest
from playwright.sync_api import expect

from drill.processes import wait_until
from tests.browser.conftest import DESK, PHONE

PATIENCE_MILLISECONDS = 60_000
"""The page asks every ten seconds."""

VALIDATION_LOST = "7315"


@pytest.fixture(scope="module")
def registered(shop):
    result = shop.manage("payments", "register-urls")
    assert (result.returncode, result.stderr) == (0, "")
    return shop


def pay_from_menu(shop, phone: str, typed: list[str]) -> str:
    paybill, account, amount = typed
    wish = {"shortcode": paybill, "phone": phone, "account": account, "amount": amount}
    return shop.simulate("POST", "/payments", wish)["id"]


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_a_tap_marks_what_is_to_be_typed_and_the_open_page_sees_the_money(visit, registered, size):
    shop = registered
    purchase = shop.prepare()
    visitor = visit(purchase.buyer, size=size)
    visitor.go(f"/my/orders/{purchase.order_id}/pay")
    visitor.reads("Pay by Paybill instead")
    visitor.has_no_serious_fault()

    copied = visitor.page.locator(".copy")
    typed = []
    for number in range(copied.count()):
        copied.nth(number).click()
        typed.append(visitor.page.evaluate("getSelection().toString()"))
    assert typed == ["174379", shop.read_order(purchase)["number"], "100"]
    visitor.page.get_by_text("I have paid").click()
    visitor.has_no_serious_fault()

    pay_from_menu(shop, purchase.buyer.phone, [typed[0], typed[1].lower(), "60"])
    main = visitor.page.locator("main")
    expect(main).to_contain_text("A part is paid", timeout=PATIENCE_MILLISECONDS)
    visitor.has_no_serious_fault()
    assert copied.nth(2).inner_text() == "40"
    pay_from_menu(shop, purchase.buyer.phone, [*typed[:2], "40"])
    expect(main).to_contain_text("Paid. Thank you!", timeout=PATIENCE_MILLISECONDS)


def test_a_payment_with_a_slip_is_named_without_javascript(visit, registered):
    shop = registered
    purchase = shop.prepare(VALIDATION_LOST)
    receipt = pay_from_menu(shop, purchase.buyer.phone, ["174379", "SHOES", "100"])
    wait_until(
        lambda: shop.simulate("GET", f"/payments/{receipt}")["state"] == "completed",
        "the money has moved",
    )
    visitor = visit(purchase.buyer, scripts=False)
    visitor.go(f"/my/orders/{purchase.order_id}/pay")
    visitor.page.get_by_text("I have paid").click()
    code = visitor.page.get_by_label("M-Pesa's message or its code")
    code.fill("I paid at noon")
    visitor.page.get_by_role("button", name="Look for my payment").click()
    visitor.reads("Write the code from M-Pesa's message")
    code.fill(f"{receipt} Confirmed. Ksh100.00 sent to DUKA LA AMINA for account SHOES")
    visitor.page.get_by_role("button", name="Look for my payment").click()

    def is_paid() -> bool:
        return shop.read_order(purchase)["status"] == "paid"

    wait_until(is_paid, "the order is paid")
    visitor.page.reload()
    visitor.reads("Paid. Thank you!")
    visitor.reads(receipt)
