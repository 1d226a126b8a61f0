"""Buying in a browser without JavaScript: from the basket to the receipt, and what goes wrong."""

import re
from dataclasses import replace

import pytest
from sqlalchemy import select

from app.integrations.mpesa import RESULT_CODES, MpesaRefused, MpesaUncertain
from app.jobs.check_payment import failure_of
from app.models import Basket, Order, OrderStatus, Payment, Product
from app.policies import Role
from app.services.apply_callback import apply_callback
from app.services.audit import audit
from app.services.end_order import cancel_order, expire_order
from app.services.fail_payment import fail_payment
from app.services.move_order import fulfil_order
from app.web.buying.pay_news import WAYS_OUT, NextStep
from tests.core import (
    ORDER_RULES,
    after,
    ask_to_pay,
    buy,
    counts,
    database_snapshot,
    differing_tables,
    make_buyer,
    paid_claim,
    pay,
    receipt_of,
)
from tests.factories import NOW, PASSWORD, actor_of, make_product, make_user
from tests.races.starting_line import tally, together
from tests.web.browsing import Browser, signed_in, words

PHONE = "254700000001"
TRY_AGAIN = "Try again: pay"


@pytest.fixture
def boots(database):
    with database.transaction() as session:
        return make_product(session, stock=5, price_cents=149_950, name="Gum boots")


@pytest.fixture
def buyer(database):
    with database.transaction() as session:
        return make_buyer(session, phone_number=PHONE)


@pytest.fixture
def browser(app, buyer):
    return signed_in(app, buyer)


@pytest.fixture
def order(database, buyer, boots):
    with database.transaction() as session:
        return buy(session, buyer, (boots, 2), phone_number=PHONE)


def put(browser, product, quantity=1):
    form = {"product_id": str(product.id), "quantity": str(quantity)}
    return browser.post("/basket/add", form, follow=True)


def checkout_form(browser, **fields) -> dict[str, str]:
    """The checkout form as it stands on its page, with what the buyer types."""
    text = browser.get("/checkout").text
    hidden = dict(re.findall(r'name="(version|total_cents)" value="(\d+)"', text))
    return {**hidden, "phone_number": "0700 000 001", **fields}


def only(database, model):
    with database.reading() as session:
        return session.scalars(select(model)).one()


def status_of(database, order) -> str:
    with database.reading() as session:
        return session.get_one(Order, order.id).status


def pay_path(order_or_id) -> str:
    return f"/my/orders/{getattr(order_or_id, 'id', order_or_id)}/pay"


def polls(answer) -> str | None:
    """How often the page asks for news, if it does."""
    found = re.search(r'hx-trigger="every (\w+)"', answer.text)
    return found[1] if found else None


def report_paid(database, payment_id: int, now=NOW) -> None:
    with database.transaction() as session:
        payment = session.get_one(Payment, payment_id)
        claim = paid_claim(
            payment,
            merchant_request_id=payment.merchant_request_id,
            checkout_request_id=payment.checkout_request_id,
        )
        assert apply_callback(session, payment_id, claim, now) == "settled"


def report_failed(database, payment_id: int, code: str, now=NOW) -> None:
    with database.transaction() as session:
        fail_payment(session, payment_id, failure_of(code, "", source="callback"), now)


def test_a_guest_fills_a_basket_signs_in_orders_pays_and_prints_the_receipt(
    app, database, gateway, doorbell, buyer, boots
):
    browser = Browser(app)
    assert "Your basket is empty" in words(browser.get("/basket"))
    assert "sokoni_basket" not in str(browser.page.headers)
    shown = put(browser, boots, 2)
    assert "In your basket: Gum boots" in words(shown)
    assert "KSh\xa02,999" in shown.text
    assert '<span class="sr">2 in the basket</span>' in shown.text

    sent = browser.get("/checkout")
    assert (sent.status_code, sent.headers["Location"]) == (303, "/login?next=/checkout")
    browser.get(sent.headers["Location"])
    form = {"name": buyer.username, "password": PASSWORD, "next": "/checkout"}
    checkout = browser.post("/login", form, follow=True)
    assert browser.client.get_cookie("__Host-sokoni_basket") is None
    assert only(database, Basket).user_id == buyer.id
    assert 'value="0700000001"' in checkout.text
    assert "2 × Gum boots" in words(checkout)  # noqa: RUF001 - as shown

    form = checkout_form(browser, delivery_address="Moi Avenue 12\nNairobi", note="")
    page = browser.post("/checkout", form, follow=True)
    payment = only(database, Payment)
    assert [(ask.amount_shillings, ask.msisdn) for ask in gateway.pushes] == [(2999, PHONE)]
    assert [job for job, *_ in doorbell.rings if "order" in job] == []
    assert "Look at your phone" in words(page)
    assert "KSh\xa02,999" in page.text
    assert "0700 000 001" in words(page)
    assert (polls(page), "noscript" in page.text) == ("2s", True)

    before = database_snapshot(database)
    for again in (browser.post("/checkout", form), browser.post("/checkout", form)):
        assert (again.status_code, again.headers["Location"]) == (303, pay_path(payment.order_id))
    assert (len(gateway.pushes), database_snapshot(database)) == (1, before)

    report_paid(database, payment.id)
    page = browser.get(pay_path(payment.order_id))
    assert "Paid. Thank you!" in words(page)
    assert receipt_of(payment.id) in words(page)
    assert (polls(page), "noscript" in page.text) == (None, False)
    shown = words(browser.get(f"/my/orders/{payment.order_id}"))
    for sentence in ("Placed", "Moi Avenue 12", "07** *** 001", receipt_of(payment.id)):
        assert sentence in shown
    assert PHONE[3:] not in shown.replace(" ", "")
    receipt = words(browser.get(f"/my/orders/{payment.order_id}/receipt"))
    for sentence in ("Gum boots", receipt_of(payment.id), "Paid by M-Pesa: KSh 2,999"):
        assert sentence in receipt
    assert only(database, Order).number in words(browser.get("/my/orders"))
    with database.reading() as session:
        assert counts(session, boots) == (3, 0)
        assert audit(session, NOW) == []


def test_two_tabs_that_put_in_the_first_thing_fill_one_basket(app, database, boots):
    browser = Browser(app)
    browser.get("/login")
    form = {"product_id": str(boots.id)}
    for _ in range(2):
        browser.post("/basket/add", form)
        browser.client.delete_cookie("__Host-sokoni_basket", path="/")
    put(browser, boots)
    cookie = browser.client.get_cookie("__Host-sokoni_basket")
    assert (cookie.http_only, cookie.secure, cookie.same_site) == (True, True, "Lax")
    assert cookie.value not in only(database, Basket).token_hash
    assert '<span class="sr">3 in the basket</span>' in browser.get("/basket").text
    browser.client.set_cookie("__Host-sokoni_basket", "not-a-token")
    assert "Your basket is empty" in words(browser.get("/basket"))


def test_the_basket_says_what_changed_and_is_mended_by_hand(database, browser, boots):
    with database.transaction() as session:
        socks, gone = make_product(session, name="Socks"), make_product(session, name="Kanga")
    for product, quantity in ((boots, 5), (socks, 1), (gone, 1)):
        put(browser, product, quantity)
    with database.transaction() as session:
        session.get_one(Product, boots.id).on_hand = 2
        session.get_one(Product, socks.id).price_cents = 160_000
        session.get_one(Product, gone.id).deleted_at = NOW

    shown = words(browser.get("/basket"))
    for sentence in (
        "Only 2 left; you asked for 5.",
        "The price has changed: it was KSh 1,500, it is KSh 1,600.",
        "Kanga No longer for sale. Take it out to go on.",
        "Some of this cannot be had as you asked.",
    ):
        assert sentence in shown
    assert "Go to checkout" not in shown.replace("then go to checkout", "")
    sent = browser.get("/checkout")
    assert (sent.status_code, sent.headers["Location"]) == (303, "/basket")

    browser.post("/basket/change", {"product_id": str(boots.id), "quantity": "2"})
    shown = browser.post(
        "/basket/change", {"product_id": str(gone.id), "quantity": "0"}, follow=True
    )
    assert "Taken out: Kanga" in words(shown)
    assert "Go to checkout" in words(shown)


def test_what_a_basket_refuses_is_said_on_its_page(app, database, browser, boots):
    put(browser, boots)
    with database.transaction() as session:
        sold_out = make_product(session, stock=0, name="Kiondo")
    before = database_snapshot(database)
    for path, product_id, quantity, status, sentence in (
        ("add", sold_out.id, "1", 409, "Something has been sold meanwhile."),
        ("add", 999_999, "1", 404, "There is no such product."),
        ("add", boots.id, "0", 400, "Must be from 1 to 1000."),
        ("add", boots.id, "1000", 400, "At most 1000 of a product."),
        ("add", "boots", "1", 400, "Must be a whole number."),
        ("change", boots.id, "many", 400, "Must be a whole number."),
        ("change", boots.id, "1001", 400, "Must be from 0 to 1000."),
        ("change", boots.id, "", 400, "Say how many."),
        ("change", sold_out.id, "1", 404, "That product is not in your basket any more."),
    ):
        form = {"product_id": str(product_id), "quantity": quantity}
        answer = browser.post(f"/basket/{path}", form)
        assert (answer.status_code, sentence in words(answer)) == (status, True), words(answer)
        assert database_snapshot(database) == before
    guest = Browser(app).post("/basket/change", {"product_id": str(boots.id), "quantity": "0"})
    assert guest.status_code == 404
    assert "__Host-sokoni_basket" not in str(guest.headers)
    assert database_snapshot(database) == before


def test_a_checkout_that_is_refused_orders_nothing_and_says_why(database, gateway, browser, boots):
    put(browser, boots, 3)
    form = checkout_form(browser)

    def is_refused(status: int, sentence: str, **fields) -> bool:
        before = database_snapshot(database)
        answer = browser.post("/checkout", {**form, **fields})
        assert (answer.status_code, sentence in words(answer)) == (status, True), words(answer)
        assert (gateway.pushes, database_snapshot(database)) == ([], before)
        return True

    assert is_refused(400, "Not a Kenyan mobile number", phone_number="12")
    assert is_refused(400, "Say which phone is to pay.", phone_number=" ")
    assert is_refused(400, "Must have at most 500 characters.", delivery_address="x" * 501)
    assert is_refused(400, "Must be a whole number.", version="1.0")
    assert is_refused(409, "A price has changed since this page was made.", total_cents="1")
    with database.transaction() as session:
        session.get_one(Product, boots.id).on_hand = 1
    assert is_refused(409, "Only 1 left; you asked for 3.")
    with database.transaction() as session:
        session.get_one(Product, boots.id).deleted_at = NOW
    assert is_refused(400, "No longer for sale.")
    browser.post("/basket/change", {"product_id": str(boots.id), "quantity": "0"})
    assert is_refused(409, "Your basket is empty.")
    with database.transaction() as session:
        session.get_one(Product, boots.id).deleted_at = None
    put(browser, boots)
    assert is_refused(409, "Your basket has changed since this page was made.")


@pytest.mark.parametrize("database_kind", ["postgresql"])
def test_one_checkout_form_sent_eight_times_at_once_is_one_order_and_one_prompt(
    app, database, gateway, browser, boots
):
    put(browser, boots, 2)
    form = {"csrf_token": browser._token, **checkout_form(browser)}
    cookies = [(c.key, c.value) for c in browser.client._cookies.values()]

    def send():
        client = app.test_client()
        for name, value in cookies:
            client.set_cookie(name, value)
        answer = client.post("/checkout", data=form, headers={"Sec-Fetch-Site": "same-origin"})
        return answer.status_code, answer.headers.get("Location")

    answers = together([send] * 8)
    order = only(database, Order)
    assert tally(answers) == {(303, pay_path(order)): 8}
    assert len(gateway.pushes) == 1
    with database.reading() as session:
        assert counts(session, boots) == (5, 2)
        assert audit(session, NOW) == []


def test_an_order_stands_when_no_prompt_could_be_sent(app, database, gateway, browser, boots):
    put(browser, boots)
    gateway.push_error = MpesaRefused("Bad Request - Invalid PhoneNumber", code="400.002.02")
    page = browser.post("/checkout", checkout_form(browser), follow=True)
    assert "This payment did not go through" in words(page)
    assert words(page).count("o money was taken") == 1
    assert TRY_AGAIN in words(page)

    with database.transaction() as session:  # another order rings the same phone
        other = make_buyer(session)
        ask_to_pay(session, buy(session, other, (boots, 1)), msisdn=PHONE)
    put(browser, boots)
    page = browser.post("/checkout", checkout_form(browser), follow=True)
    assert "Another payment prompt is on this phone." in words(page)
    assert "Pay KSh 1,500 with M-Pesa" in words(page)
    assert len(gateway.pushes) == 1
    refused = browser.post(pay_path(3), {"phone_number": "0700000001"})
    assert (refused.status_code, refused.headers["Retry-After"]) == (409, "60")


def test_every_result_code_is_told_in_words_with_a_way_on(database, clock, browser, buyer):
    rules = replace(ORDER_RULES, max_open_orders=100)
    way_out = {NextStep.OTHER_PHONE: "Another M-Pesa phone number", NextStep.ASK_THE_SHOP: "shop"}
    with database.transaction() as session:
        product = make_product(session, stock=500)
        tries = {}
        for number, code in enumerate(["2999", *RESULT_CODES]):
            order = buy(session, buyer, (product, 1), rules=rules)
            tries[code] = ask_to_pay(session, order, msisdn=f"2547000001{number:02d}")
    for code, payment in tries.items():
        report_failed(database, payment.id, code)
        answer = browser.get(pay_path(payment.order_id))
        shown = words(answer)
        failure = failure_of(code, "", source="callback")
        assert failure.customer_message in shown, code
        assert shown.lower().count("no money was taken") == 1, code
        assert "Paid" not in shown.replace("Paid by M-Pesa. Prices", ""), code
        assert polls(answer) == "10s"  # money may come from the M-Pesa menu
        may_retry = code not in RESULT_CODES or RESULT_CODES[code].retry
        assert (TRY_AGAIN in shown) is may_retry, code
        assert (code in WAYS_OUT) is not may_retry
        if not may_retry:
            step, advice = WAYS_OUT[code]
            assert advice in shown
            assert way_out[step] in shown
            assert ('name="phone_number"' in answer.text) is (step is NextStep.OTHER_PHONE)


def test_a_second_try_is_one_tap_and_a_second_tap_shows_the_running_one(
    database, gateway, browser, order
):
    page = browser.get(pay_path(order))
    assert "Not paid yet" in words(page)
    assert 'value="0700000001"' in page.text
    for _ in range(2):
        page = browser.post(pay_path(order), {"phone_number": "0700000001"}, follow=True)
        assert "Look at your phone" in words(page)
    assert len(gateway.pushes) == 1
    report_failed(database, 1, "1032")
    page = browser.get(pay_path(order))
    assert "The M-Pesa prompt was cancelled or not answered in time." in words(page)
    page = browser.post(pay_path(order), {"phone_number": "0711 222 333"}, follow=True)
    assert "0711 222 333" in words(page)
    assert [ask.msisdn for ask in gateway.pushes] == [PHONE, "254711222333"]

    report_paid(database, 2)
    assert "Paid. Thank you!" in words(browser.get(pay_path(order)))
    before = database_snapshot(database)
    again = browser.post(pay_path(order), {"phone_number": "0711222333"}, follow=True)
    assert "Paid. Thank you!" in words(again)
    assert (len(gateway.pushes), database_snapshot(database)) == (2, before)


def test_the_page_asks_for_news_while_there_may_be_some(database, clock, browser, order):
    with database.transaction() as session:
        payment = ask_to_pay(session, order, pushed=False)
    fragment = {"HX-Request": "true"}

    def news(path: str):
        return browser.client.get(path, headers=fragment)

    def next_path(answer) -> str:
        return re.search(r'hx-get="(/my[^"]+)"', answer.text)[1]

    asking = browser.get(pay_path(order))
    assert "Asking M-Pesa to ring your phone" in words(asking)
    assert news(next_path(asking)).status_code == 204
    with database.transaction() as session:
        session.get_one(Payment, payment.id).status = "pending"
    look = news(next_path(asking))
    assert ("Look at your phone" in words(look), polls(look)) == (True, "2s")
    assert "<html" not in look.text
    clock.advance(seconds=61)
    waiting = news(next_path(look))
    assert "Do not pay again before we know." in words(waiting)
    assert (polls(waiting), TRY_AGAIN in words(waiting)) == ("10s", False)
    with database.transaction() as session:
        session.get_one(Payment, payment.id).status = "unknown"
    unknown = news(next_path(waiting))
    assert "Still no answer from M-Pesa Do not pay again" in words(unknown)
    assert news(next_path(unknown)).status_code == 204
    with database.transaction() as session:
        session.get_one(Payment, payment.id).review_reason = "wrong_amount"
    review = news(next_path(unknown))
    assert "A person is looking into your payment" in words(review)
    assert (polls(review), 'name="phone_number"' in review.text) == (None, False)
    whole = browser.get(f"{pay_path(order)}/status")
    assert (whole.status_code, whole.headers["Location"]) == (303, pay_path(order))


def test_a_push_whose_answer_was_lost_is_not_offered_again(database, gateway, browser, order):
    gateway.push_error = MpesaUncertain("timed out")
    page = browser.post(pay_path(order), {"phone_number": "0700000001"}, follow=True)
    assert "If your phone shows a prompt, enter your PIN" in words(page)
    assert (TRY_AGAIN in words(page), 'name="phone_number"' in page.text) == (False, False)
    assert "No money was taken" not in words(page)


def test_an_order_that_ended_unpaid_says_so_and_fills_the_basket_again(
    database, clock, browser, buyer, order
):
    with database.transaction() as session:
        cancelled = buy(session, buyer, (session.get_one(Product, 1), 1))
        cancel_order(session, actor_of(buyer), cancelled.id, NOW)
    clock.now = order.expires_at
    for swept in (False, True):
        if swept:
            with database.transaction() as session:
                assert expire_order(session, order.id, clock.now) is True
        page = browser.get(pay_path(order))
        assert "The time for this order is over" in words(page)
        assert ('name="phone_number"' in page.text, polls(page)) == (False, None)
    assert "This order is cancelled" in words(browser.get(pay_path(cancelled)))
    before = database_snapshot(database)
    browser.post(pay_path(order), {"phone_number": "0700000001"})
    assert browser.page.headers["Location"] == pay_path(order)
    assert database_snapshot(database) == before

    basket = browser.post(f"/my/orders/{order.id}/again", follow=True)
    assert "Gum boots" in words(basket)
    assert (
        'name="quantity" inputmode="numeric" min="1" max="1000" required value="2"' in basket.text
    )


def test_late_money_is_told_as_it_is(database, clock, browser, buyer, boots):
    late = after(minutes=20)
    with database.transaction() as session:
        kept, called_off = (buy(session, buyer, (boots, 1)) for _ in range(2))
        payments = [
            ask_to_pay(session, order, msisdn=f"25470000001{at}")
            for at, order in enumerate((kept, called_off))
        ]
        cancel_order(session, actor_of(buyer), called_off.id, NOW)
    clock.now = late
    page = browser.get(pay_path(called_off))
    assert "If a prompt is still on your phone, press cancel there." in words(page)
    assert polls(page) == "10s"
    report_failed(database, payments[0].id, "1037")
    with database.transaction() as session:
        assert expire_order(session, kept.id, late) is True
        for payment in payments:
            assert pay(session, session.get_one(Payment, payment.id), late) == "settled"

    page = words(browser.get(pay_path(kept)))
    assert "Paid. Thank you! Your payment came after the time was over" in page
    page = words(browser.get(pay_path(called_off)))
    assert "Your money came too late for this order" in page
    assert "We owe you KSh 1,500." in page
    assert "Paid. Thank you" not in page
    assert "We owe you KSh 1,500." in words(browser.get(f"/my/orders/{called_off.id}"))
    assert browser.get(f"/my/orders/{called_off.id}/receipt").status_code == 404


def test_a_first_prompt_that_is_paid_after_all_makes_the_second_one_needless(
    database, browser, order
):
    with database.transaction() as session:
        first = ask_to_pay(session, order)
    report_failed(database, first.id, "1037")
    with database.transaction() as session:
        second = ask_to_pay(session, order, after(minutes=1), msisdn="254711000001")
        assert pay(session, session.get_one(Payment, first.id)) == "settled"
    page = words(browser.get(pay_path(order)))
    assert "If a prompt is still on your phone, press cancel there: this order is paid." in page
    assert receipt_of(first.id) in page
    report_paid(database, second.id, after(minutes=2))
    page = words(browser.get(pay_path(order)))
    assert "You paid more than once. We owe you KSh 2,999 and will send it back." in page


def test_an_order_is_called_off_once_and_only_before_it_is_paid(database, browser, order):
    path = f"/my/orders/{order.id}"
    assert "Yes, cancel the order" in words(browser.get(path))
    shown = browser.post(f"{path}/cancel", follow=True)
    assert "The order is cancelled." in words(shown)
    assert "Yes, cancel the order" not in words(shown)
    before = database_snapshot(database)
    again = browser.post(f"{path}/cancel")
    assert again.status_code == 409
    assert "This order can no longer be cancelled." in words(again)
    assert database_snapshot(database) == before
    assert status_of(database, order) == OrderStatus.CANCELLED


def test_the_steps_of_an_order_show_how_far_it_is(database, browser, order, boots):
    def current() -> str:
        text = browser.get(f"/my/orders/{order.id}").text
        return re.search(r'aria-current="step"><b>(\w+)</b>', text)[1]

    assert current() == "Placed"
    with database.transaction() as session:
        pay(session, ask_to_pay(session, order))
    assert current() == "Paid"
    for step, name in ((OrderStatus.SHIPPED, "Sent"), (OrderStatus.DELIVERED, "Delivered")):
        with database.transaction() as session:
            admin = actor_of(make_user(session, Role.ADMIN))
            fulfil_order(session, admin, order.id, step, NOW)
        assert current() == name
    assert "Receipt" in words(browser.page)


def test_somebody_elses_order_is_not_there_for_anyone(app, database, gateway, order, boots):
    with database.transaction() as session:
        ask_to_pay(session, order)
        others = [
            make_buyer(session),
            make_user(session, Role.ADMIN),
            session.get_one(type(make_buyer(session)), boots.seller_id),
        ]
    path = f"/my/orders/{order.id}"
    for other in others:
        browser = signed_in(app, other)
        before = database_snapshot(database)
        for tail in ("", "/pay", "/receipt"):
            assert browser.get(path + tail).status_code == 404, tail
        assert (
            browser.client.get(f"{path}/pay/status", headers={"HX-Request": "true"}).status_code
            == 404
        )
        for tail in ("/pay", "/cancel", "/again"):
            assert browser.post(path + tail, {"phone_number": "0700000001"}).status_code == 404
        assert "No orders yet" in words(browser.get("/my/orders"))
        assert differing_tables(before, database_snapshot(database)) == set()
    assert gateway.pushes == []


def test_who_is_not_signed_in_is_sent_to_sign_in_and_foreign_forms_change_nothing(
    app, database, browser, order, boots
):
    guest = Browser(app)
    for path in ("/checkout", "/my/orders", f"/my/orders/{order.id}", pay_path(order)):
        answer = guest.get(path)
        assert (answer.status_code, answer.headers["Location"]) == (303, f"/login?next={path}")
    put(browser, boots)
    before = database_snapshot(database)
    for path in (
        "/basket/add",
        "/basket/change",
        "/checkout",
        pay_path(order),
        f"/my/orders/{order.id}/cancel",
        f"/my/orders/{order.id}/again",
    ):
        form = {"product_id": str(boots.id), "quantity": "0", **checkout_form(browser)}
        forged = browser.client.post(path, data=form)
        assert forged.status_code == 403, path
    assert database_snapshot(database) == before
