"""Which order somebody meant, and which may be meant."""

import pytest

from app.services.end_order import cancel_order
from app.services.find_account import Clue, Suggestion, find_account, suggest_orders
from app.services.receipts import ReceiptFacts
from app.services.settle_payment import settle_payment
from app.utils.order_number import is_order_number
from tests.core import after, ask_to_pay, buy, make_buyer, pay
from tests.deciding import QUERIED_PAID
from tests.factories import NOW, actor_of, make_product


@pytest.fixture
def boots(session):
    return make_product(session, stock=50, price_cents=150_000)


@pytest.fixture
def buyer(session):
    return make_buyer(session, phone_number="254712345678")


@pytest.fixture
def order(session, buyer, boots):
    return buy(session, buyer, (boots, 1), phone_number="254712345678")


def suggest(session, typed, cents, phone, now=NOW, moved_at=None) -> list[Suggestion]:
    facts = ReceiptFacts("UKM0000STR", cents, "c2b", typed, moved_at, phone)
    return suggest_orders(session, facts, now)


def slip(number: str) -> str:
    """The number with its first character wrong."""
    return ("2" if number[0] != "2" else "3") + number[1:]


def test_two_numbers_in_one_text_are_nobodys(session, buyer, boots, order):
    other = buy(session, buyer, (boots, 1))

    assert find_account(session, f"{order.number} {other.number}") is None
    assert find_account(session, f"{order.number} {order.number}") == order.id


def test_a_number_of_no_order_is_none(session, order):
    assert find_account(session, slip(order.number)) is None
    assert find_account(session, None) is None


def slips_of(number: str) -> list[str]:
    return [
        slip(number),
        number[:3] + number[4:],
        number[:3] + "7" + number[3:],
        number[:2] + number[3] + number[2] + number[4:],
        f" {slip(number).lower()} ",
    ]


def test_every_slip_of_the_finger_is_found(session, order):
    for typed in slips_of(order.number):
        if is_order_number(typed):
            continue  # two equal neighbours were swapped, or the slip was another order's number
        found = suggest(session, typed, 100, None, NOW)
        assert Suggestion(order.id, order.number, Clue.NUMBER) in found, typed


def test_the_likeliest_comes_first(session, buyer, boots, order):
    other = buy(session, make_buyer(session), (boots, 1))
    typed = buy(session, make_buyer(session), (boots, 2))

    found = suggest(session, slip(typed.number), 150_000, "2547 ***** 678", NOW)
    assert [(one.order_id, one.clue) for one in found] == [
        (typed.id, Clue.NUMBER),
        (order.id, Clue.AMOUNT_AND_PHONE),
        (other.id, Clue.AMOUNT),
    ]


def test_a_phone_that_was_asked_to_pay_is_one_of_the_orders(session, boots):
    order = buy(session, make_buyer(session), (boots, 1))
    ask_to_pay(session, order, msisdn="254110000999")

    (one,) = suggest(session, None, 150_000, "254110000999", NOW)
    assert one == Suggestion(order.id, order.number, Clue.AMOUNT_AND_PHONE)


def test_old_orders_other_amounts_and_ended_orders_are_not_suggested(session, buyer, boots, order):
    assert suggest(session, "", 149_900, None, NOW) == []
    assert suggest(session, "", 150_000, None, after(days=4)) == []
    cancel_order(session, actor_of(buyer), order.id, NOW)
    assert suggest(session, "", 150_000, None, NOW) == []


def test_no_more_than_a_handful_is_suggested(session, buyer, boots):
    for _ in range(8):
        buy(session, buyer, (boots, 1))

    assert len(suggest(session, "", 150_000, None, NOW)) == 5


@pytest.fixture
def called_paid(session, buyer, boots):
    """An order whose prompt a query called paid: nobody told of a receipt."""
    order = buy(session, buyer, (boots, 1))
    prompt = ask_to_pay(session, order, msisdn="254712345678")
    settle_payment(session, prompt.id, QUERIED_PAID, NOW)
    return order


@pytest.mark.parametrize(
    ("phone", "clue"),
    [
        ("254712345678", Clue.CALLED_PAID_AND_PHONE),
        ("2547 ***** 678", Clue.CALLED_PAID_AND_PHONE),
        (None, Clue.CALLED_PAID),
    ],
)
def test_an_order_that_lacks_nothing_but_its_receipt_is_suggested_as_such(
    session, called_paid, phone, clue
):
    expected = [Suggestion(called_paid.id, called_paid.number, clue)]
    assert suggest(session, None, 150_000, phone) == expected
    assert suggest(session, "RENT", 150_000, phone, moved_at=after(seconds=20)) == expected


def test_it_comes_before_orders_that_merely_wait_for_the_amount(
    session, buyer, boots, order, called_paid
):
    other = buy(session, make_buyer(session), (boots, 1))
    found = suggest(session, None, 150_000, "2547 ***** 678")
    assert [(one.order_id, one.clue) for one in found] == [
        (called_paid.id, Clue.CALLED_PAID_AND_PHONE),
        (order.id, Clue.AMOUNT_AND_PHONE),
        (other.id, Clue.AMOUNT),
    ]
    found = suggest(session, None, 150_000, None)
    assert [one.clue for one in found] == [Clue.CALLED_PAID, Clue.AMOUNT, Clue.AMOUNT]


def test_money_that_cannot_be_the_prompts_does_not_suggest_its_order(session, boots, called_paid):
    assert suggest(session, None, 150_100, None) == []
    assert suggest(session, None, 150_000, "254110000999") == []
    assert suggest(session, None, 150_000, None, moved_at=after(hours=-1)) == []
    assert suggest(session, None, 150_000, None, after(days=4)) == []
    told = buy(session, make_buyer(session), (boots, 1))
    pay(session, ask_to_pay(session, told))  # with a receipt
    assert [one.order_id for one in suggest(session, None, 150_000, None)] == [called_paid.id]
