"""Paying from the M-Pesa menu, and "I have paid", between real processes.

The simulated clock never stands still here: when money moved decides what it may answer.
"""

import re
from dataclasses import dataclass

import httpx2
import pytest
from sqlalchemy import select

from app.models import InboxMessage, MpesaReceipt, PaymentClaim, Task
from app.services.audit import audit
from app.utils.clock import utc_now
from drill.processes import wait_until
from tests.e2e.shop import AMOUNT_SHILLINGS, PASSWORD, Purchase, Shop
from tests.e2e.story import SUCCESS

CANCELLED = "1032"
ANSWER_AND_CALLBACK_LOST = "7020"
CONFIRMATION_FIRST = "7306"
CONFIRMATION_SECOND = "7307"
CONFIRMED_TWICE_AT_ONCE = "7305"
CONFIRMED_WITH_A_HASH = "7309"
VALIDATION_LOST = "7315"
PAID_BOOKS = {"mpesa": 10_000, "customer": 0, "sales": -9_975, "rounding": -25}
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


@pytest.fixture(scope="module")
def shop(make_shop):
    with make_shop("paybill").open(clock_factor=4) as shop:
        yield shop


@pytest.fixture(scope="module")
def lost(shop) -> "Lost":
    """A payment of which no news came by any road, before addresses were registered."""
    purchase = shop.buy(ANSWER_AND_CALLBACK_LOST, name="lost")
    wait_until(lambda: moved(shop, purchase), "the money has moved")
    return Lost(purchase, moved(shop, purchase)[0]["receipt"])


@pytest.fixture(scope="module")
def registered(shop, lost) -> Shop:
    result = shop.manage("payments", "register-urls")
    assert (result.returncode, result.stderr) == (0, "")
    return shop


@dataclass(frozen=True)
class Lost:
    purchase: Purchase
    receipt: str


def moved(shop, purchase) -> list[dict]:
    return [one for one in shop.money_moved() if one["phone"] == purchase.buyer.phone]


def pay_from_menu(shop, purchase, account, amount=AMOUNT_SHILLINGS, phone=None) -> str:
    """As a customer types it; the id of the payment, which is its receipt."""
    wish = {
        "shortcode": "174379",
        "phone": phone or purchase.buyer.phone,
        "amount": str(amount),
        "account": account,
    }
    return shop.simulate("POST", "/payments", wish)["id"]


def end_of(shop, payment_id) -> tuple[str, str | None]:
    ended = ("completed", "rejected", "cancelled", "failed")
    wait_until(
        lambda: shop.simulate("GET", f"/payments/{payment_id}")["state"] in ended,
        f"payment {payment_id} has ended",
    )
    payment = shop.simulate("GET", f"/payments/{payment_id}")
    return payment["state"], payment["result_code"]


def claim(shop, purchase, receipt, person=None) -> httpx2.Response:
    path = f"/api/orders/{purchase.order_id}/paid"
    body = {"mpesa_receipt": receipt}
    return shop.call("POST", path, person or purchase.buyer, json=body)


def claim_states(shop, purchase) -> list[str]:
    path = f"/api/orders/{purchase.order_id}/claims"
    listed = shop.call("GET", path, purchase.buyer).json()["data"]
    return [one["state"] for one in listed]


def receipts_of(shop, purchase) -> list[tuple[str, str]]:
    """(receipt, road) of what is counted for an order."""
    ids = [payment.id for payment in shop.payments_of(purchase.order_id)]
    with shop.reading() as session:
        rows = session.execute(
            select(MpesaReceipt.receipt, MpesaReceipt.source).where(
                MpesaReceipt.payment_id.in_(ids)
            )
        )
        return [tuple(row) for row in rows]


def read_all_messages(shop) -> None:
    wait_until(lambda: not shop.unread_messages(), "the inbox is empty")


def is_sound(shop) -> bool:
    with shop.reading() as session:
        assert audit(session, utc_now()) == []
    return True


class Page:
    """A browser without a window, signed in as a buyer."""

    def __init__(self, shop: Shop, purchase: Purchase) -> None:
        self.http = httpx2.Client(
            base_url=shop.web_url,
            trust_env=False,
            follow_redirects=True,
            limits=httpx2.Limits(max_keepalive_connections=0),
        )
        login = self.http.get("/login")
        form = {
            "csrf_token": _TOKEN.search(login.text)[1],
            "name": purchase.buyer.username,
            "password": PASSWORD,
        }
        headers = {"Sec-Fetch-Site": "same-origin"}
        assert self.http.post("/login", data=form, headers=headers).status_code == 200
        self.path = f"/my/orders/{purchase.order_id}/pay"

    def read(self) -> str:
        page = self.http.get(self.path)
        assert page.status_code == 200
        return page.text

    def to_type(self) -> list[str]:
        """What the page says has to be typed into the menu."""
        return re.findall(r'<b class="copy">([^<]*)</b>', self.read())


def test_all_news_were_lost_and_who_has_paid_says_so(shop, lost):
    """First: nothing is registered yet, so that no confirmation brings the news."""
    purchase = lost.purchase
    assert shop.read_order(purchase)["status"] == "pending"
    assert shop.payment_status(purchase) in {"created", "pending", "unknown"}
    answer = claim(shop, purchase, lost.receipt.lower())
    assert (answer.status_code, answer.json()["state"]) == (202, "open")

    shop.wait_for_order(purchase, "paid")
    wait_until(lambda: claim_states(shop, purchase) == ["accepted"], "the claim is accepted")
    assert shop.payment_status(purchase) == "succeeded"
    assert receipts_of(shop, purchase) == [(lost.receipt, "status")]
    assert shop.ledger_of(purchase.order_id) == PAID_BOOKS
    assert shop.tasks_of(purchase.order_id) == []
    again = claim(shop, purchase, lost.receipt)
    assert (again.status_code, again.json()["code"]) == (409, "receipt_counted")
    assert is_sound(shop)


def test_a_code_that_mpesa_does_not_know_is_refused(shop, lost):
    purchase = shop.prepare(SUCCESS, name="typo")
    assert claim(shop, purchase, "UKM0000000").status_code == 202
    wait_until(lambda: claim_states(shop, purchase) == ["refused"], "the claim is refused")
    assert shop.read_order(purchase)["status"] == "pending"
    assert is_sound(shop)


def test_a_strangers_receipt_pays_nothing(shop, lost):
    """Known to M-Pesa and to nobody here: it is counted, and a person finds out whose it is."""
    victim = shop.buy(ANSWER_AND_CALLBACK_LOST, name="victim")
    wait_until(lambda: moved(shop, victim), "the victim's money has moved")
    receipt = moved(shop, victim)[0]["receipt"]
    thief = shop.prepare(SUCCESS, name="thief")
    assert claim(shop, thief, receipt).status_code == 202
    wait_until(lambda: claim_states(shop, thief) != ["open"], "the claim is weighed")

    # M-Pesa's answer fits the victim's own prompt, by phone, amount and minute
    assert claim_states(shop, thief) == ["refused"]
    assert shop.read_order(thief)["status"] == "pending"
    shop.wait_for_order(victim, "paid")
    assert receipts_of(shop, victim) == [(receipt, "status")]
    assert is_sound(shop)


def test_a_failed_prompt_is_paid_from_the_menu_with_what_the_page_shows(registered):
    shop = registered
    purchase = shop.prepare(CANCELLED, name="failed")
    page = Page(shop, purchase)
    number = shop.read_order(purchase)["number"]
    assert shop.push(purchase).status_code == 202
    assert page.to_type() == []
    shop.wait_for_transaction(purchase, "cancelled")

    paybill, account, amount = page.to_type()
    assert (paybill, account, amount) == ("174379", number, str(AMOUNT_SHILLINGS))
    assert shop.read_order(purchase)["pay_by_paybill"] == {
        "paybill": paybill,
        "till": None,
        "account": account,
        "amount": AMOUNT_SHILLINGS,
    }
    receipt = pay_from_menu(shop, purchase, account, amount)
    assert end_of(shop, receipt) == ("completed", "0")
    shop.wait_for_order(purchase, "paid")
    assert "Paid. Thank you!" in page.read()
    assert receipts_of(shop, purchase) == [(receipt, "c2b")]
    assert shop.ledger_of(purchase.order_id) == PAID_BOOKS
    assert is_sound(shop)


def test_an_order_is_paid_in_two_parts(registered):
    shop = registered
    purchase = shop.prepare(SUCCESS, name="parts")
    page = Page(shop, purchase)
    number = shop.read_order(purchase)["number"]
    pay_from_menu(shop, purchase, number.lower(), 60)
    wait_until(lambda: shop.read_order(purchase)["amount_paid"] == 60, "a part has come")
    assert page.to_type() == ["174379", number, "40"]
    assert shop.push(purchase).status_code == 202
    shop.wait_for_order(purchase, "paid")
    read_all_messages(shop)
    assert shop.ledger_of(purchase.order_id) == PAID_BOOKS
    assert is_sound(shop)


@pytest.mark.parametrize(
    ("amount", "account", "code"),
    [
        (AMOUNT_SHILLINGS, "NOSUCH1", "C2B00012"),
        (AMOUNT_SHILLINGS, "", "C2B00012"),
        (AMOUNT_SHILLINGS + 1, None, "C2B00013"),
    ],
)
def test_what_is_surely_wrong_is_refused_before_the_money_moves(registered, amount, account, code):
    shop = registered
    purchase = shop.prepare(SUCCESS, name="wrong")
    number = shop.read_order(purchase)["number"]
    typed = number if account is None else account or "?"
    assert end_of(shop, pay_from_menu(shop, purchase, typed, amount)) == ("rejected", code)
    assert moved(shop, purchase) == []
    assert shop.read_order(purchase)["amount_paid"] == 0


def test_what_comes_all_the_same_is_counted_and_a_person_is_told(registered):
    shop = registered
    purchase = shop.prepare(VALIDATION_LOST, name="slip")
    number = shop.read_order(purchase)["number"]
    slip = number[:2] + ("A" if number[2] != "A" else "B") + number[3:]
    receipt = pay_from_menu(shop, purchase, slip)
    assert end_of(shop, receipt) == ("completed", "0")

    def task() -> Task | None:
        with shop.reading() as session:
            return session.scalar(select(Task).where(Task.receipt == receipt))

    wait_until(task, "a person is told")
    assert task().kind == "unmatched_money"
    assert f"It may be meant for {number}" in task().description
    assert shop.read_order(purchase)["amount_paid"] == 0

    answer = claim(shop, purchase, receipt)  # the phone is the buyer's, and the amount fits
    assert (answer.status_code, answer.json()["state"]) == (202, "accepted")
    assert shop.read_order(purchase)["status"] == "paid"
    assert shop.ledger_of(purchase.order_id) == PAID_BOOKS
    assert is_sound(shop)


@pytest.mark.parametrize(
    "digits",
    [CONFIRMATION_FIRST, CONFIRMATION_SECOND, CONFIRMED_TWICE_AT_ONCE, CONFIRMED_WITH_A_HASH],
)
def test_a_prompt_that_is_told_of_by_both_roads_counts_once(registered, digits):
    shop = registered
    purchase = shop.buy(digits, name=digits)
    shop.wait_for_order(purchase, "paid")

    def heard() -> list[str]:
        with shop.reading() as session:
            mine = InboxMessage.payment_id == purchase.transaction_id
            return sorted(session.scalars(select(InboxMessage.source).where(mine)))

    wait_until(
        lambda: {"c2b_confirmation", "stk_callback"} <= set(heard()), "both roads have told of it"
    )
    read_all_messages(shop)
    assert len(receipts_of(shop, purchase)) == 1
    assert shop.ledger_of(purchase.order_id) == PAID_BOOKS
    assert shop.tasks_of(purchase.order_id) == []
    assert is_sound(shop)


def test_every_shilling_that_moved_is_counted_once(registered):
    """Last: Safaricom's ledger and our register agree, receipt by receipt."""
    shop = registered
    read_all_messages(shop)
    theirs = {one["receipt"]: one["amount"] * 100 for one in shop.money_moved()}
    with shop.reading() as session:
        rows = session.execute(select(MpesaReceipt.receipt, MpesaReceipt.amount_cents))
        ours = {row.receipt: row.amount_cents for row in rows}
        undecided = PaymentClaim.state.in_(["open", "with_a_person"])
        assert session.scalars(select(PaymentClaim.id).where(undecided)).all() == []
    assert ours == theirs
    audited = shop.manage("audit")
    assert (audited.returncode, audited.stderr) == (0, "")
