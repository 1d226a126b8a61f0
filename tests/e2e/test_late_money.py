"""Money that comes when the order no longer waits for it."""

from dataclasses import dataclass, field

import pytest

from drill.processes import wait_until
from tests.e2e.shop import QUANTITY, STOCK, Facts, Purchase
from tests.e2e.story import FAILS_FIRST, SUCCESS

BUSY_PHONE_PAYS_SECONDS = 3
UNREACHABLE_SECONDS = 26
SECOND_RESULT_SECONDS = 30
REFUND_DUE = {"mpesa": 10_000, "refunds_due": -10_000}


@dataclass
class LateMoney:
    """A failure is reported, the order goes another way, and then the money shows up."""

    purchases: dict[str, Purchase]
    between: dict[str, Facts] = field(default_factory=dict)
    facts: dict[str, Facts] = field(default_factory=dict)


@pytest.fixture(scope="module")
def late(story) -> LateMoney:
    shop = story.shop
    late = LateMoney(
        {
            "expired": shop.buy(FAILS_FIRST, name="expired"),
            "sold out": shop.buy(FAILS_FIRST, name="soldout", stock=QUANTITY),
            "paid twice": shop.buy(FAILS_FIRST, name="twice"),
            "cancelled": shop.buy(SUCCESS, name="cancelled"),
        }
    )
    cancelled = late.purchases["cancelled"]
    answer = shop.call("POST", f"/api/orders/{cancelled.order_id}/cancel", cancelled.buyer)
    assert answer.status_code == 200, answer.text
    late.between["cancelled"] = shop.facts(cancelled)

    shop.advance(UNREACHABLE_SECONDS + 1)
    for name in ("expired", "sold out", "paid twice"):
        shop.wait_for_transaction(late.purchases[name], "failed")
    for name in ("expired", "sold out"):
        shop.let_time_run_out(late.purchases[name])
    for name in ("expired", "sold out"):
        shop.wait_for_order(late.purchases[name], "expired")
        late.between[name] = shop.facts(late.purchases[name])
    other = buy_what_is_left(shop, late.purchases["sold out"].product_id)
    second = pay_again(shop, late.purchases["paid twice"])
    shop.advance(BUSY_PHONE_PAYS_SECONDS)
    shop.wait_for_order(other, "paid")
    shop.wait_for_order(second, "paid")

    shop.advance(SECOND_RESULT_SECONDS)
    for purchase in late.purchases.values():
        shop.wait_for_transaction(purchase, "succeeded")
    wait_until(lambda: not shop.unread_messages(), "the inbox is empty")
    late.facts = {name: shop.facts(purchase) for name, purchase in late.purchases.items()}
    return late


def buy_what_is_left(shop, product_id) -> Purchase:
    buyer = shop.sign_up("quicker", shop.phone(SUCCESS))
    purchase = Purchase("quicker", buyer, product_id, shop.order(buyer, product_id))
    assert shop.push(purchase).status_code == 202
    return purchase


def pay_again(shop, first) -> Purchase:
    """The same order, from another phone."""
    second = Purchase("second try", first.buyer, first.product_id, first.order_id)
    answer = shop.push(second, more={"phone_number": shop.phone(SUCCESS)})
    assert answer.status_code == 202, answer.text
    return second


@pytest.mark.fault("F17")
def test_attack_83_late_money_takes_the_stock_again_if_it_is_there(late):
    between, facts = late.between["expired"], late.facts["expired"]
    assert between.order["status"] == "expired"
    assert (between.available, between.on_hand, between.reserved) == (STOCK, STOCK, 0)
    assert facts.transaction["mpesa_receipt"] is not None
    assert (facts.order["status"], facts.order["payment_status"]) == ("paid", "paid")
    assert (facts.available, facts.on_hand, facts.reserved) == (2, 2, 0)
    assert facts.reservation == "consumed"
    assert facts.ledger == {"mpesa": 10_000, "customer": 0, "sales": -9_975, "rounding": -25}
    assert facts.tasks == []
    assert facts.notifications == ["payment_failed", "order_expired", "order_paid"]


@pytest.mark.fault("F18")
def test_late_money_for_what_is_sold_out_is_owed_back(late):
    between, facts = late.between["sold out"], late.facts["sold out"]
    assert (between.available, between.on_hand, between.reserved) == (QUANTITY, QUANTITY, 0)
    assert facts.transaction["status"] == "succeeded"
    assert (facts.order["status"], facts.order["payment_status"]) == ("expired", "refund_due")
    assert (facts.available, facts.on_hand, facts.reserved) == (0, 0, 0)
    assert facts.reservation == "released"
    assert facts.ledger == REFUND_DUE
    assert facts.tasks == ["late_money"]
    assert facts.notifications == ["payment_failed", "order_expired", "refund_due"]


def test_attack_83_money_for_a_cancelled_order_is_owed_back(late):
    between, facts = late.between["cancelled"], late.facts["cancelled"]
    assert between.order["status"] == "cancelled"
    assert between.transaction["status"] == "pending"
    assert (between.available, between.on_hand, between.reserved) == (STOCK, STOCK, 0)
    assert facts.transaction["status"] == "succeeded"
    assert (facts.order["status"], facts.order["payment_status"]) == ("cancelled", "refund_due")
    assert (facts.available, facts.on_hand, facts.reserved) == (STOCK, STOCK, 0)
    assert facts.ledger == REFUND_DUE
    assert facts.tasks == ["late_money"]
    assert facts.notifications == ["order_cancelled", "refund_due"]


@pytest.mark.fault("F23")
def test_an_order_that_was_paid_twice_is_delivered_once_and_owed_once(late):
    facts = late.facts["paid twice"]
    assert facts.transaction["status"] == "succeeded"
    assert (facts.order["status"], facts.order["payment_status"]) == ("paid", "refund_due")
    assert facts.order["amount_paid"] == 200
    assert (facts.available, facts.on_hand, facts.reserved) == (2, 2, 0)
    assert facts.ledger == {
        "mpesa": 20_000,
        "customer": 0,
        "sales": -9_975,
        "rounding": -25,
        "refunds_due": -10_000,
    }
    assert facts.tasks == ["double_payment"]
    assert facts.notifications == ["payment_failed", "order_paid", "refund_due"]


def test_every_late_shilling_is_in_the_books_once(story, late):
    story.shop.check_books(unbooked=story.unbooked, disputed=story.disputed, by_command=True)
