"""Reading the simulator's books into plain movements."""

from datetime import datetime

import pytest

from drill.evidence import read_movements
from drill.values import Movement, Typed

MOMENT = "2026-11-26T12:00:00+03:00"
ORDERS = {"ABC2345"}


def one(kind, amount=100, account="ABC2345", **ids):
    return {
        "receipt": "UKQ1AAAAAA",
        "kind": kind,
        "amount": amount,
        "phone": "254712345678",
        "account_reference": account,
        "checkout_request_id": None,
        "conversation_id": None,
        "originator_conversation_id": None,
        "linked_receipt": None,
        "moved_at": MOMENT,
        **ids,
    }


def read(document) -> list[Movement]:
    return read_movements([document], ORDERS)


def test_a_prompt_is_known_by_its_receipt_and_its_checkout_id():
    assert read(one("express", checkout_request_id="ws_CO_1")) == [
        Movement(
            receipt="UKQ1AAAAAA",
            cents=10_000,
            order="ABC2345",
            phone="254712345678",
            names=frozenset({"UKQ1AAAAAA", "ws_CO_1"}),
            moved_at=datetime.fromisoformat(MOMENT),
        )
    ]


def test_a_prompt_names_its_order_even_where_the_shop_has_none_of_that_number():
    assert read(one("express", account="XYZ6789"))[0].order == "XYZ6789"


@pytest.mark.parametrize("account", ["ABC2345", "abc2345", " abc 2345 "])
def test_what_a_payer_typed_is_an_order_however_it_was_typed(account):
    assert read(one("c2b", account=account))[0].order == "ABC2345"


@pytest.mark.parametrize("account", ["", "ABC2346", "rent"])
def test_what_a_payer_typed_wrong_is_no_order(account):
    assert read(one("c2b", account=account))[0].order is None


def test_what_a_payer_knows_to_have_typed_right_is_that_order_in_any_spelling():
    typed = {"UKQ1AAAAAA": Typed("ABC2345", is_right=True)}
    (found,) = read_movements([one("c2b", account="order abc-2345!")], ORDERS, typed)
    assert (found.order, found.meant, found.is_from_menu) == ("ABC2345", "ABC2345", True)


def test_what_a_payer_typed_wrong_is_no_order_and_was_meant_for_one():
    typed = {"UKQ1AAAAAA": Typed("XYZ6789", is_right=False)}
    (found,) = read_movements([one("c2b", account="ABC2345")], ORDERS, typed)
    assert (found.order, found.meant) == (None, "XYZ6789")


@pytest.mark.parametrize("kind", ["b2c", "reversal"])
def test_what_goes_out_is_below_zero_and_known_by_its_conversations(kind):
    ids = {"conversation_id": "AG_1", "originator_conversation_id": "ours-1"}
    (found,) = read(one(kind, amount=-100.5, **ids))
    assert (found.cents, found.order) == (-10_050, None)
    assert found.names == {"UKQ1AAAAAA", "AG_1", "ours-1"}


def test_charges_are_left_out():
    assert read(one("charge", amount=-5)) == []


def test_a_reversal_is_known_by_what_it_reverses_too():
    (found,) = read(one("reversal", amount=-100, linked_receipt="UKQ1BBBBBB"))
    assert found.names == {"UKQ1AAAAAA", "reversal of UKQ1BBBBBB"}
