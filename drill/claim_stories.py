"""Customers who say that they have paid, and name the receipt: theirs, a stranger's, or none."""

import secrets

from drill.buyer import Buyer, Steps
from drill.caller import NoAnswer
from drill.market import Person
from drill.menu_stories import Bill, bill_of, mistype, order_to_pay, send
from drill.shopping import one_of_plenty

NEVER_CONFIRMED = "7301"
_NOT_FOUND = 404
_A_WHILE_SECONDS = (0.2, 3.0)


def says_that_it_is_paid(buyer: Buyer) -> Steps[None]:
    """No news came of a payment from the menu; half of these typed a wrong number as well."""
    dice, phone = buyer.dice, buyer.fated_phone(NEVER_CONFIRMED)
    bill = yield from order_to_pay(buyer, phone)
    if not bill:
        return
    payer = phone if dice.random() < 3 / 4 else buyer.good_phone()  # the shop knows no other
    receipt = yield from _send_somehow(buyer, payer, bill)
    if receipt is None:
        return
    yield dice.uniform(*_A_WHILE_SECONDS)
    yield from claim(buyer, bill, receipt)
    if dice.random() < 1 / 3:  # nothing happens yet, so it is said again
        yield dice.uniform(*_A_WHILE_SECONDS)
        yield from claim(buyer, bill, receipt)


def is_robbed_of_a_receipt(buyer: Buyer) -> Steps[None]:
    """Somebody reads M-Pesa's message over the payer's shoulder, and has ordered the same goods."""
    dice, phone = buyer.dice, buyer.fated_phone(NEVER_CONFIRMED)
    thief = buyer.make_twin(1, _somebody_else(buyer))
    basket = one_of_plenty(buyer)
    thiefs_phone = phone if dice.random() < 1 / 3 else thief.good_phone()
    theirs, own = (yield from thief.order(basket, thiefs_phone)), None
    if theirs:
        own = yield from buyer.order(basket, phone)
    bill, loot = bill_of(own) if own else None, bill_of(theirs) if theirs else None
    if not bill or not loot:
        return
    receipt = yield from _send_somehow(buyer, phone, bill)
    if receipt is None:
        return
    if dice.random() < 1 / 3:
        buyer.world.crowd.also(claim(thief, loot, receipt))
    else:
        yield from claim(thief, loot, receipt)
        yield dice.uniform(*_A_WHILE_SECONDS)
    if dice.random() < 2 / 3:
        yield from claim(buyer, bill, receipt)


def _send_somehow(buyer: Buyer, phone: str, bill: Bill) -> Steps[str | None]:
    """Half of these type a wrong number, and the right one if they are refused for it."""
    receipt = None
    if buyer.dice.random() < 1 / 2:
        wrong = mistype(buyer.dice, bill.number)
        receipt = yield from send(buyer, phone, bill, bill.shillings, wrong)
    if receipt is None:
        receipt = yield from send(buyer, phone, bill, bill.shillings)
    return receipt


def makes_a_receipt_up(buyer: Buyer) -> Steps[None]:
    """One that M-Pesa never gave; and a confirmation of it, at an address that is a guess."""
    bill = yield from order_to_pay(buyer, buyer.good_phone())
    if not bill:
        return
    receipt = "ZZ" + "".join(secrets.choice("ABCDEFGHJKLMNPQ23456789") for _ in range(8))
    _post_forged_confirmation(buyer, bill, receipt)
    yield from claim(buyer, bill, receipt)


def claim(buyer: Buyer, bill: Bill, receipt: str) -> Steps[None]:
    """Typed as it stands in the message, or in small letters with spaces."""
    said = receipt
    if buyer.dice.random() < 1 / 3:
        said = f"{receipt[:4]} {receipt[4:]}".lower()
    path = f"/api/orders/{bill.order_id}/paid"
    answer = yield from buyer.ask(path, {"mpesa_receipt": said})
    if answer is not None and answer.status == 202:  # noqa: PLR2004 - Accepted
        notes = buyer.world.notes
        with notes.lock:
            notes.claims[answer.document["id"]] = (bill.order_id, receipt)


def _somebody_else(buyer: Buyer) -> Person:
    others = [one for one in buyer.world.market.customers if one != buyer.person]
    return buyer.dice.choice(others)


def _post_forged_confirmation(buyer: Buyer, bill: Bill, receipt: str) -> None:
    """Raises RuntimeError where the shop listens at such an address."""
    lie = {
        "TransactionType": "Pay Bill",
        "TransID": receipt,
        "TransTime": "20261126093000",
        "TransAmount": f"{bill.shillings}.00",
        "BusinessShortCode": "174379",
        "BillRefNumber": bill.number,
        "MSISDN": "2547 ***** 678",
        "FirstName": "JANE",
    }
    address = f"/api/pay/c2b/confirm/{secrets.token_hex(32)}"
    try:
        answer = buyer.world.caller.call("POST", address, lie)
    except NoAnswer:
        return
    if answer.status not in {_NOT_FOUND, 503}:
        raise RuntimeError(f"A forged confirmation was answered {answer}")
