"""The page: readable, pressable without a script, and proof against what it shows."""

import re
from decimal import Decimal
from html.parser import HTMLParser

import pytest

from tests.simulator.shop import B2C, REVERSAL, STATUS

WAITS = "254712340000"


class Outline(HTMLParser):
    """The tags with their attributes, and a complaint when they do not nest."""

    VOID = frozenset({"meta", "link", "br", "img", "input"})

    def __init__(self, html):
        super().__init__()
        self.tags, self.stack = [], []
        self.feed(html)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def read_page(shop):
    answer = shop.client.get(shop.url("/"))
    assert answer.status_code == 200
    return answer.text


def test_a_waiting_phone_has_labelled_buttons(shop):
    shop.push_accepted(WAITS, amount=1500)
    html = read_page(shop)
    labels = [one["aria-label"] for one in Outline(html).all("button") if "aria-label" in one]
    assert labels == [
        "Pay KES 1500 from +254 712 340 000",
        "Cancel KES 1500 from +254 712 340 000",
    ]
    assert "60 s left" in html
    assert "KES 1,500" in html


@pytest.mark.parametrize(("button", "code"), [("pay", 0), ("cancel", 1032)])
def test_a_button_is_pressed_by_a_plain_form(shop, button, code):
    shop.push_accepted(WAITS)
    forms = {one["action"] for one in Outline(read_page(shop)).all("form")}
    action = next(one for one in forms if one.endswith(button))
    answer = shop.client.post(shop.url(action))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    shop.simulator.settle()
    assert shop.sink.codes == [code]
    again = shop.client.post(shop.url(action))
    assert again.status_code == 303
    assert shop.sink.codes == [code]


def test_a_press_leaves_the_fate_of_the_callback_as_it_was(shop):
    checkout_id = shop.push_accepted("254712347001")
    shop.client.post(shop.url(f"/prompts/{checkout_id}/pay"))
    shop.simulator.advance(600)
    assert shop.sink.codes == []
    assert len(shop.ledger()) == 1


def test_the_payer_may_pay_what_was_to_be_forged(shop):
    checkout_id = shop.push_accepted("254712347017")
    shop.client.post(shop.url(f"/prompts/{checkout_id}/pay"))
    shop.simulator.settle()
    receipts = [one["receipt"] for one in shop.ledger()]
    assert [shop.sink.received[0].metadata["MpesaReceiptNumber"]] == receipts


def test_unknown_buttons_and_prompts_are_not_found(shop):
    checkout_id = shop.push_accepted(WAITS)
    for path in (f"/prompts/{checkout_id}/dance", "/prompts/unknown/pay"):
        assert shop.client.post(shop.url(path)).status_code == 404


def test_results_and_callbacks_are_shown(shop):
    shop.push_accepted(CallBackURL="http://127.0.0.1:1/cb")
    shop.push_accepted("254712341032")
    shop.push_accepted("254712347001")
    shop.simulator.advance(3)
    html = read_page(shop)
    assert re.search(r'tag failed">not received</span> <code>ConnectionRefusedError', html)
    assert re.search(r'tag paid">received</span> <code>200</code>', html)
    assert re.search(r'tag lost">lost</span>', html)
    for payment in shop.ledger():
        assert payment["receipt"] in html
    Outline(html)


def test_modes_and_faults_are_shown(shop):
    shop.post("callbacks", {"mode": "hold"})
    shop.post("faults", {"answer_lost": 0.25})
    html = read_page(shop)
    assert "held back" in html
    assert "answer lost" in html
    assert "25 %" in html
    assert "stopped" in html


def test_everything_that_came_from_outside_is_escaped(shop):
    evil = "<script>x</"
    shop.push_accepted(
        WAITS,
        AccountReference=evil,
        TransactionDesc="<img src=x>",
        CallBackURL=f'{shop.sink.url}/"><script>alert(1)</script>',
    )
    waiting = read_page(shop)
    shop.simulator.advance(60)
    ended = read_page(shop)
    shop.pay(account=evil)
    paid = read_page(shop)
    for html in (waiting, ended, paid):
        assert "<script>" not in html
        assert "<img" not in html
        assert "&lt;script&gt;x&lt;/" in html
        assert [one for one in Outline(html).all("script") if "src" not in one] == []
    assert "&#34;&gt;&lt;script&gt;alert(1)" in ended


def test_the_page_asks_nothing_of_other_hosts(shop):
    shop.push_accepted(WAITS)
    answer = shop.client.get(shop.url("/"))
    addresses = [
        one.get(name)
        for _, one in Outline(answer.text).tags
        for name in ("src", "href", "action")
        if one.get(name)
    ]
    assert addresses
    assert all(one.startswith("/") and not one.startswith("//") for one in addresses)
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none';")
    for address in (one for one in addresses if one.startswith("/static")):
        body = shop.client.get(shop.url(address))
        assert body.status_code == 200
        assert "http://" not in body.text.replace("http://www.w3.org/2000/svg", "")


def test_the_page_reads_without_a_script(shop):
    html = read_page(shop)
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in html
    assert '<html lang="en">' in html
    assert '<meta name="viewport"' in html
    assert html.count("<h1") == 1
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'aria-labelledby="([^"]+)"', html)) <= set(ids)
    assert "callback_twice_at_once" in html
    assert "POST /__sim/next" in html


# --- a customer to play ---

FORM = {"shortcode": "174379", "account": "ORDER-1", "amount": "250", "phone": "0712 345 678"}


def test_a_person_plays_a_customer_who_pays_by_paybill(shop):
    shop.register_accepted()
    (action,) = {one["action"] for one in Outline(read_page(shop)).all("form")}
    answer = shop.client.post(shop.url(action), data=FORM)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/#paid")
    shop.simulator.settle()
    (payment,) = shop.ledger()
    assert (payment["phone"], payment["amount"]) == ("254712345678", 250)
    assert [one["TransID"] for one in shop.confirmations] == [payment["receipt"]]
    html = read_page(shop)
    assert 'tag completed">completed</span>' in html
    assert html.count(payment["receipt"]) >= 3  # the payment, the money, what was posted
    Outline(html)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"amount": "0"}, "The amount is in whole shillings, one or more."),
        ({"phone": "12"}, "That is no Kenyan mobile number."),
        ({"account": " "}, "An account of 1 to 20 characters goes with a paybill."),
        ({"shortcode": "1"}, "No merchant has that paybill or till."),
    ],
)
def test_what_a_person_got_wrong_is_said_and_what_they_typed_stays(shop, changes, sentence):
    typed = FORM | {"account": "<ORDER>"} | changes
    answer = shop.client.post(shop.url("/payments"), data=typed)
    assert answer.status_code == 400
    assert f'<p role="alert" class="alert">{sentence}</p>' in answer.text
    for name in ("amount", "phone"):
        assert f'value="{typed[name]}"' in answer.text
    assert "<ORDER>" not in answer.text
    Outline(answer.text)
    assert shop.get("payments") == {"payments": []}


def test_every_field_has_a_label(shop):
    html = read_page(shop)
    for name in ("shortcode", "account", "amount", "phone"):
        label = re.search(rf"<label>([^<]+)\s*<(input|select) name=\"{name}\"", html)
        assert label is not None
        assert label[1].strip()


def test_refunds_going_out_are_shown_with_the_money(open_shop):
    shop = open_shop(payout_charge=15, charge_percent=Decimal(1))
    original = shop.pay(amount=70)["id"]
    shop.result_of(REVERSAL, TransactionID=original, Amount=70)
    shop.result_of(B2C, Amount=30)
    shop.result_of(B2C, OriginatorConversationID="refund-2", Amount=200_000)
    shop.ask_accepted(STATUS, TransactionID=original)
    html = read_page(shop)
    assert f"of {original}</small>" in html
    assert html.count("<small>reversed</small>") == 1  # the charge for it is not
    assert re.search(r'tag failed">failed</span> <code>1</code>', html)
    assert 'tag waiting">waiting</span>' in html
    for amount in ("70.00", "-70.00", "-30.00", "-15.00", "-0.70"):
        assert f">{amount}</td>" in html
    Outline(html)


def test_where_the_shop_is_told_is_shown(shop):
    assert "no address registered" in read_page(shop)
    shop.register_accepted()
    assert f"{shop.sink.url}/c2b/confirm" in read_page(shop)


def test_a_drill_does_not_make_the_page_long(open_shop):
    shop = open_shop(duplicate_window_seconds=0)
    for number in range(40):
        shop.push_accepted(f"254712{number:02}0000")
    html = read_page(shop)
    assert "40 prompts wait for an answer; these are the newest." in html
    assert html.count('<li class="phone">') == 30
    assert "<title>(40)" in html
