"""Every way in which a payer, a phone or M-Pesa itself ends a prompt, from order to books."""

import pytest

from app.integrations.mpesa import explain
from daraja_simulator.outcomes import OUTCOMES
from tests.e2e.shop import AMOUNT_SHILLINGS, STOCK
from tests.e2e.story import SUCCESS

# digits of the phone: the result code that the callback brings
ENDS = {
    "0000": "1037",  # nobody presses anything, and the prompt's life is over
    "0001": "1",
    "0002": "2",
    "0003": "3",
    "0004": "4",
    "0008": "8",
    "0017": "17",
    "0026": "26",
    "1001": "1001",
    "1019": "1019",
    "1025": "1025",
    "1031": "1031",
    "1032": "1032",
    "1036": "1036",
    "1037": "1037",
    "2001": "2001",
    "2006": "2006",
    "2028": "2028",
    "2029": "2029",
    "5003": "SFC_IC0003",
    "5555": "5555",
    "8006": "8006",
    "9999": "9999",
}
OUR_FAULT = {"0008", "2028", "5003"}
"""Codes that say that our own set-up is wrong: a person is told."""


def test_every_result_code_of_the_simulator_has_a_case(story):
    served = {digits for digits in story.outcomes if not digits.startswith("7")}
    assert served == {*ENDS, SUCCESS}
    assert set(story.outcomes) == {one.digits for one in OUTCOMES} | {SUCCESS}


def test_a_payer_who_pays_gets_the_order(story):
    facts = story.facts[SUCCESS]
    assert facts.transaction["status"] == "succeeded"
    assert facts.transaction["result_code"] == "0"
    assert facts.transaction["customer_message"] == "Paid. Thank you."
    assert facts.transaction["amount"] == AMOUNT_SHILLINGS
    assert facts.payment["amount_verified"] is True
    assert facts.order["status"] == "paid"
    assert facts.order["payment_status"] == "paid"
    assert (facts.order["amount_paid"], facts.order["amount_due"]) == (AMOUNT_SHILLINGS, 0)
    assert (facts.available, facts.on_hand, facts.reserved) == (2, 2, 0)
    assert facts.reservation == "consumed"
    assert facts.ledger == {"mpesa": 10_000, "customer": 0, "sales": -9_975, "rounding": -25}
    assert (facts.tasks, facts.notifications) == ([], ["order_paid"])


def test_the_receipt_is_the_one_that_safaricom_gave(story):
    facts = story.facts[SUCCESS]
    (movement,) = [
        one
        for one in story.shop.money_moved()
        if one["phone"] == story.purchases[SUCCESS].buyer.phone
    ]
    assert facts.transaction["mpesa_receipt"] == movement["receipt"]
    assert facts.order["number"] == movement["account_reference"]
    assert movement["amount"] == AMOUNT_SHILLINGS


@pytest.mark.parametrize("digits", ENDS)
def test_a_prompt_that_brings_no_money_leaves_the_order_open_and_says_why(story, digits):
    facts, code = story.facts[digits], ENDS[digits]
    assert story.purchases[digits].push.status_code == 202
    assert facts.transaction["status"] == ("cancelled" if code == "1032" else "failed")
    assert facts.transaction["result_code"] == code
    assert facts.transaction["result_desc"] != ""
    assert facts.transaction["customer_message"] == explain(code).customer_message
    assert facts.transaction["mpesa_receipt"] is None
    assert (facts.order["status"], facts.order["payment_status"]) == ("pending", "unpaid")
    assert (facts.order["amount_paid"], facts.order["amount_due"]) == (0, AMOUNT_SHILLINGS)
    assert (facts.available, facts.on_hand, facts.reserved) == (2, STOCK, 3)
    assert facts.reservation == "active"
    assert facts.ledger == {}
    assert facts.tasks == (["mpesa_configuration"] if digits in OUR_FAULT else [])
    assert facts.notifications == ["payment_failed"]


@pytest.mark.parametrize("digits", [*ENDS, SUCCESS])
def test_each_phone_was_rung_once(story, digits):
    assert len(story.shop.prompts(story.purchases[digits].buyer.phone)) == 1


@pytest.mark.parametrize("digits", [one for one in ENDS if one != "0000"])
def test_the_shop_ends_as_the_simulator_says_a_correct_one_does(story, digits):
    assert story.facts[digits].transaction["status"] == story.outcomes[digits]["shop_ends"]
