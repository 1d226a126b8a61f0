"""Paying from the M-Pesa menu, and "I have paid", on the page without JavaScript."""

import re

import pytest
from sqlalchemy import select

from app.jobs.check_payment import failure_of
from app.models import Order, Payment, PaymentClaim, Task
from app.services.audit import audit
from app.services.claims import weigh_absence
from app.services.end_order import cancel_order, expire_order
from app.services.fail_payment import fail_payment
from app.services.hold_for_review import hold_for_review
from app.services.receipts import ReceiptFacts
from app.services.receive_money import receive_money
from app.services.records import Matter
from tests.core import (
    after,
    ask_to_pay,
    buy,
    database_snapshot,
    differing_tables,
    make_buyer,
    pay,
    receipt_of,
)
from tests.factories import NOW, actor_of, make_product
from tests.web.browsing import signed_in, words

PHONE = "254700000001"
MASKED = "2547 ***** 001"
RECEIPT = "UKM4X7Q2ZP"
MESSAGE = (
    f"{RECEIPT} Confirmed. Ksh1,500.00 sent to SOKONI SHOP for account K7M2Q9X on 22/11/26 at"
    " 12:00 PM. New M-PESA balance is Ksh2,310.55. Transaction cost, Ksh10.00."
)


@pytest.fixture
def buyer(database):
    with database.transaction() as session:
        return make_buyer(session, phone_number=PHONE)


@pytest.fixture
def browser(app, buyer):
    return signed_in(app, buyer)


@pytest.fixture
def boots(database):
    with database.transaction() as session:
        return make_product(session, price_cents=149_950, stock=9)


@pytest.fixture
def order(database, buyer, boots):
    """KES 1,499.50, for which M-Pesa takes 1,500."""
    with database.transaction() as session:
        return buy(session, buyer, (boots, 1))


def pay_path(order) -> str:
    return f"/my/orders/{order.id}/pay"


def copied(answer) -> list[str]:
    """What the page has to be typed into the menu."""
    return re.findall(r'<b class="copy">([^<]*)</b>', answer.text)


def prompt(database, order, *, failed: str | None = None) -> Payment:
    with database.transaction() as session:
        payment = ask_to_pay(session, order, msisdn=PHONE)
        if failed:
            failure = failure_of(failed, "", source="callback")
            fail_payment(session, payment.id, failure, NOW)
        return payment


def receive(database, amount_cents: int, account: str, *, receipt=RECEIPT, phone=MASKED) -> None:
    facts = ReceiptFacts(receipt, amount_cents, "c2b", account, NOW, phone, "WANJIKU")
    with database.transaction() as session:
        receive_money(session, facts, NOW)


def say(browser, order, text=RECEIPT, **options):
    form = {"mpesa_receipt": text}
    return browser.post(f"/my/orders/{order.id}/paid", form, **options)


def claims(database) -> list[tuple]:
    with database.reading() as session:
        found = select(PaymentClaim.receipt, PaymentClaim.state).order_by(PaymentClaim.id)
        return [tuple(row) for row in session.execute(found)]


def test_the_steps_stand_as_the_menu_shows_them(browser, order):
    page = browser.get(pay_path(order))
    assert copied(page) == ["174379", order.number, "1500"]
    steps = (
        f"Open M-Pesa on any phone: Lipa na M-Pesa → Pay Bill Business no. 174379 Account no."
        f" {order.number} Amount 1500 Enter your M-Pesa PIN and confirm."
    )
    assert "Pay by Paybill instead" in words(page)
    assert steps in words(page)


def test_in_swahili_too(browser, order):
    browser.headers["Accept-Language"] = "sw"
    page = browser.get(pay_path(order))
    assert copied(page) == ["174379", order.number, "1500"]
    for sentence in (
        "Badala yake, lipa kwa Paybill",
        "Namba ya biashara 174379",
        f"Namba ya akaunti {order.number}",
        "Nimelipa",
    ):
        assert sentence in words(page)
    assert "Pay by Paybill" not in words(page)


def test_at_a_till_there_is_no_account_and_the_message_is_to_be_kept(make_app, buyer, order):
    app = make_app(mpesa_shortcode="600001", mpesa_till="600002", mpesa_c2b_shortcode="600002")
    page = signed_in(app, buyer).get(pay_path(order))
    assert copied(page) == ["600002", "1500"]
    shown = words(page)
    assert "Pay by Buy Goods instead" in shown
    assert "Lipa na M-Pesa → Buy Goods and Services Till no. 600002 Amount 1500" in shown
    assert "A till asks for no account number, so keep M-Pesa's message." in shown
    assert "Account no." not in shown


@pytest.mark.parametrize("code", ["1037", "1032", "2001", "2028", "4", "5555"])
def test_after_every_failure_another_way_is_offered(database, browser, order, code):
    prompt(database, order, failed=code)
    page = browser.get(pay_path(order))
    assert copied(page) == ["174379", order.number, "1500"]
    assert "I have paid" in words(page)


def test_while_a_prompt_is_out_or_its_fate_unknown_the_page_says_to_wait(
    database, clock, browser, order
):
    payment = prompt(database, order)
    seen = [browser.get(pay_path(order))]
    clock.advance(seconds=61)
    seen.append(browser.get(pay_path(order)))
    with database.transaction() as session:
        session.get_one(Payment, payment.id).status = "unknown"
    seen.append(browser.get(pay_path(order)))
    with database.transaction() as session:
        matter = Matter("wrong_amount", "?", "?", "wrong")
        hold_for_review(
            session, session.get_one(Payment, payment.id), "wrong_amount", matter, clock()
        )
    seen.append(browser.get(pay_path(order)))

    for page in seen:
        assert copied(page) == []
        assert 'name="phone_number"' not in page.text
        assert "instead" not in words(page)
    for page in seen[1:]:
        assert "o not pay again" in words(page)
    assert [("I have paid" in words(page)) for page in seen] == [False, True, True, False]


def test_a_part_that_came_is_shown_with_what_is_left(database, browser, order):
    receive(database, 100_050, order.number)
    page = browser.get(pay_path(order))
    shown = words(page)
    assert "A part is paid" in shown
    assert "Received so far KSh 1,000.50 Left to pay KSh 499" in shown
    assert copied(page) == ["174379", order.number, "499"]
    assert "Pay KSh 499 with M-Pesa" in shown
    assert "did not go through" not in shown

    prompt(database, order)
    live = words(browser.get(pay_path(order)))
    assert "Look at your phone" in live
    assert "KSh 499" in live


def test_after_a_part_a_prompt_that_failed_is_told_with_both_sums(database, browser, order):
    receive(database, 100_050, order.number)
    prompt(database, order, failed="1037")
    shown = words(browser.get(pay_path(order)))
    assert "This payment did not go through" in shown
    assert "Received so far KSh 1,000.50 Left to pay KSh 499" in shown
    assert "Try again: pay KSh 499" in shown


def test_the_page_sees_by_itself_what_came_from_the_menu(database, browser, order):
    fragment = {"HX-Request": "true"}
    page = browser.get(pay_path(order))
    address = re.search(r'hx-get="(/my[^"]+)" hx-trigger="every 10s"', page.text)[1]
    assert "noscript" not in page.text  # a reload would take away what is typed
    assert browser.client.get(address, headers=fragment).status_code == 204

    receive(database, 50_000, order.number)
    part = browser.client.get(address, headers=fragment)
    assert "A part is paid" in words(part)
    address = re.search(r'hx-get="(/my[^"]+)"', part.text)[1]
    receive(database, 100_000, order.number, receipt="UKM9000002")
    assert "Paid. Thank you!" in words(browser.client.get(address, headers=fragment))


def test_an_order_that_is_over_offers_no_way_to_pay_but_asks_for_what_was_paid(
    database, clock, browser, buyer, boots, order
):
    with database.transaction() as session:
        cancelled = buy(session, buyer, (boots, 1))
        cancel_order(session, actor_of(buyer), cancelled.id, NOW)
    clock.now = order.expires_at
    pages = [browser.get(pay_path(cancelled)), browser.get(pay_path(order))]
    with database.transaction() as session:
        assert expire_order(session, order.id, clock()) is True
    pages.append(browser.get(pay_path(order)))
    for page in pages:
        assert copied(page) == []
        assert "I have paid" in words(page)
    assert "I have paid" in words(browser.get(f"/my/orders/{order.id}"))


def test_a_paid_order_asks_for_nothing(database, browser, order):
    receive(database, 150_000, order.number)
    page = browser.get(pay_path(order))
    assert copied(page) == []
    assert "I have paid" not in words(page)


def test_who_has_paid_names_the_code_and_the_page_follows(database, doorbell, browser, order):
    page = say(browser, order, follow=True)
    assert claims(database) == [(RECEIPT, "open")]
    assert doorbell.rings == [("check_claim", 1, 0)]
    shown = words(page)
    assert "We are looking for your payment Do not pay again before we know." in shown
    assert f"Being looked for {RECEIPT} We are asking M-Pesa about this payment." in shown
    assert copied(page) == []
    assert "Pay all the same Only if M-Pesa did not charge you for this order." in shown
    assert "Name another payment" in shown

    address = re.search(r'hx-get="(/my[^"]+)"', page.text)[1]
    with database.transaction() as session:
        weigh_absence(session, session.get_one(PaymentClaim, 1), NOW)
    told = browser.client.get(address, headers={"HX-Request": "true"})
    assert f"Not found {RECEIPT} M-Pesa knows no payment to us with this code." in words(told)
    assert copied(told) == ["174379", order.number, "1500"]


@pytest.mark.parametrize(
    "text",
    [
        MESSAGE,
        MESSAGE.lower(),
        f"  {RECEIPT} ",
        RECEIPT.lower(),
        "UKM 4X7 Q2ZP",
        f"The code is {RECEIPT}, thanks",
        f"{RECEIPT}.",
    ],
)
def test_the_whole_message_may_be_pasted(database, browser, order, text):
    assert say(browser, order, text).status_code == 303
    assert claims(database) == [(RECEIPT, "open")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Paste M-Pesa's message, or type its code."),
        ("I paid at noon", "Write the code from M-Pesa's message"),
        ("<script>alert(1)</script>", "Write the code from M-Pesa's message"),
        ("UKM", "Write the code from M-Pesa's message"),
        ("x" * 601, "Must have at most 600 characters."),
    ],
)
def test_what_is_no_code_is_corrected_where_it_was_typed(database, browser, order, text, said):
    before = database_snapshot(database)
    page = say(browser, order, text)
    assert page.status_code == 400
    assert said in words(page)
    assert '<details class="claim" open>' in page.text
    assert "<script>alert" not in page.text
    assert 'value="0700000001"' in page.text  # the other form stands as it did
    assert database_snapshot(database) == before


def test_money_of_ones_own_that_is_known_pays_at_once(database, browser, order):
    receive(database, 150_000, "SHOES")
    page = say(browser, order, follow=True)
    assert "Paid. Thank you!" in words(page)
    assert RECEIPT in words(page)
    with database.reading() as session:
        assert audit(session, NOW) == []


def test_a_doubt_is_with_a_person_and_the_page_says_so(database, browser, order):
    receive(database, 150_000, "SHOES", phone="2547 ***** 777")
    shown = words(say(browser, order, follow=True))
    assert "We are looking for your payment" in shown
    assert f"With a person {RECEIPT} A person at the shop is looking for this payment." in shown
    with database.reading() as session:
        kinds = list(session.scalars(select(Task.kind).order_by(Task.id)))
    assert kinds == ["unmatched_money", "payment_claim"]


def test_money_that_is_counted_is_refused_and_names_nobody(database, browser, boots, order):
    with database.transaction() as session:
        other = buy(session, make_buyer(session, username="otieno"), (boots, 1))
        payment = ask_to_pay(session, other)
        pay(session, payment)
    before = database_snapshot(database)
    page = say(browser, order, receipt_of(payment.id))
    assert page.status_code == 409
    assert "This M-Pesa payment is counted already. If that cannot be, tell the shop." in words(
        page
    )
    assert "otieno" not in page.text
    assert other.number not in page.text
    assert database_snapshot(database) == before


def test_somebody_elses_order_is_not_there(app, database, order):
    with database.transaction() as session:
        stranger = make_buyer(session)
    thief = signed_in(app, stranger)
    before = database_snapshot(database)
    assert say(thief, order).status_code == 404
    assert database_snapshot(database) == before


def test_few_payments_may_be_named(make_app, database, buyer, order):
    app = make_app(rate_limits_enabled=True, payment_claim_limit="1 per day")
    browser = signed_in(app, buyer)
    assert say(browser, order).status_code == 303
    before = database_snapshot(database)
    page = say(browser, order, "UKM4X7Q2ZQ")
    assert page.status_code == 429
    assert "You have named many payments in a short time." in words(page)
    assert differing_tables(before, database_snapshot(database)) <= {"rate_counters"}


def test_while_a_payment_is_looked_for_it_is_not_in_the_way_of_a_prompt(
    database, gateway, browser, order
):
    say(browser, order)
    page = browser.post(pay_path(order), {"phone_number": "0700000001"}, follow=True)
    assert "Look at your phone" in words(page)
    assert len(gateway.pushes) == 1


def test_a_claim_outlives_its_order(database, clock, browser, order):
    """Late money buys it if everything is still there."""
    say(browser, order)
    clock.now = after(hours=1)
    with database.transaction() as session:
        assert expire_order(session, order.id, clock()) is True
    page = browser.get(pay_path(order))
    assert "The time for this order is over" in words(page)
    assert f"Being looked for {RECEIPT}" in words(page)
    assert "Pay all the same" not in words(page)
    receive(database, 150_000, order.number)
    with database.reading() as session:
        assert session.get_one(Order, order.id).status == "paid"
    assert "Paid. Thank you!" in words(browser.get(pay_path(order)))


def test_without_an_initiator_a_person_looks_at_once(make_app, database, buyer, order):
    app = make_app(mpesa_initiator_name=None)
    shown = words(say(signed_in(app, buyer), order, follow=True))
    assert f"With a person {RECEIPT}" in shown
