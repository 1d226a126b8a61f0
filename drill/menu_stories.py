"""Customers who pay by themselves: from the M-Pesa menu, with an account number that they type.

Nobody at the shop asked for such money, and half of the time the shop is not even asked whether it
is welcome. Whatever moves has to be found, whichever notice of it is lost.
"""

from dataclasses import dataclass
from random import Random
from typing import Any

from drill.buyer import Buyer, Steps
from drill.shopping import order_something
from drill.values import Typed

_LOOKS = (0.3, 0.6, 1.2, 2.4, 4.0, 6.0)
"""Pauses between two looks for M-Pesa's message; after the last the payer looks no more."""

_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
_MOST_TOO_MUCH_SHILLINGS = 500
_AFTER_THE_END_SECONDS = (0.5, 3.0)
_SOON_SECONDS = (0.0, 2.0)


@dataclass(frozen=True, slots=True)
class Bill:
    """What the shop says is to be typed for an order."""

    order_id: int
    number: str
    shillings: int


def order_to_pay(buyer: Buyer, phone: str) -> Steps[Bill | None]:
    """An order whose buyer is known by this phone."""
    order = yield from order_something(buyer, phone)
    return bill_of(order) if order else None


def bill_of(order: dict[str, Any]) -> Bill | None:
    told = order["pay_by_paybill"]
    return Bill(order["id"], told["account"], int(told["amount"])) if told else None


def send(
    buyer: Buyer, phone: str, bill: Bill, shillings: int, account: str | None = None
) -> Steps[str | None]:
    """Type it into the phone, with the right number unless another is given.

    The receipt of M-Pesa's message, or None where no money went that the payer knows of.
    """
    safaricom, notes = buyer.world.safaricom, buyer.world.notes
    typed = spell(buyer.dice, bill.number) if account is None else account
    receipt = str(safaricom.pay_from_menu(phone, shillings, typed)["id"])
    with notes.lock:
        notes.typed[receipt] = Typed(bill.number, is_right=account is None)
    for pause in _LOOKS:
        yield pause
        state = safaricom.menu_payment(receipt)["state"]
        if state == "completed":
            return receipt
        if state in {"rejected", "cancelled", "failed"}:
            notes.refused(f"payment from the menu {state}")
            return None
    return None


def spell(dice: Random, number: str) -> str:
    """The right number as people type it."""
    at = dice.randint(2, 5)
    head, tail = number[:at], number[at:]
    ways = (number, number.lower(), f"{head} {tail}", f"{head}-{tail}".lower(), f"#{number}")
    return dice.choice((*ways, f"order {number}", f"{number} thanks"))


def mistype(dice: Random, number: str) -> str:
    """A number that no order has: one slip, which the check character tells, or none at all."""
    at = dice.randrange(len(number))
    head, own, tail = number[:at], number[at], number[at + 1 :]
    slip = dice.choice([letter for letter in _LETTERS if letter != own])
    return dice.choice((head + slip + tail, head + slip + tail, head + tail, "rent", "0"))


# --- stories ---


def pays_from_the_menu(buyer: Buyer) -> Steps[None]:
    """The right amount to the right number, in whatever spelling."""
    phone = buyer.good_phone()
    bill = yield from order_to_pay(buyer, phone)
    if bill:
        yield from send(buyer, phone, bill, bill.shillings)


def meets_trouble_at_the_menu(buyer: Buyer) -> Steps[None]:
    """By a phone of which question or confirmation go wrong in one of the known ways."""
    phone = buyer.fated_phone(buyer.dice.choice(buyer.world.fates.menu_troubles))
    bill = yield from order_to_pay(buyer, phone)
    if bill:
        yield from send(buyer, phone, bill, bill.shillings)


def pays_in_parts(buyer: Buyer) -> Steps[None]:
    """Two or three payments; some never send the last, and some of these cancel."""
    dice, phone = buyer.dice, buyer.good_phone()
    bill = yield from order_to_pay(buyer, phone)
    if not bill:
        return
    parts = _split(dice, bill.shillings, dice.randint(2, 3))
    stops_early = dice.random() < 1 / 4
    for part in parts[:-1] if stops_early else parts:
        yield from send(buyer, dice.choice((phone, buyer.good_phone())), bill, part)
        yield dice.uniform(*_SOON_SECONDS)
    if stops_early and dice.random() < 1 / 2:
        yield from buyer.ask(f"/api/orders/{bill.order_id}/cancel", {})


def pays_too_much(buyer: Buyer) -> Steps[None]:
    """Who is refused for it sends what was asked for."""
    phone = buyer.good_phone()
    bill = yield from order_to_pay(buyer, phone)
    if bill:
        too_much = bill.shillings + buyer.dice.randint(1, _MOST_TOO_MUCH_SHILLINGS)
        if (yield from send(buyer, phone, bill, too_much)) is None:
            yield from send(buyer, phone, bill, bill.shillings)


def pays_twice(buyer: Buyer) -> Steps[None]:
    """From the menu twice, or once there and once by a prompt, at times on the same phone."""
    phone = buyer.good_phone()
    bill = yield from order_to_pay(buyer, phone)
    if not bill:
        return
    other = buyer.make_twin(1, buyer.person)
    other_phone = buyer.dice.choice((phone, other.good_phone()))
    if buyer.dice.random() < 1 / 2:
        buyer.world.crowd.also(_push_only(other, bill.order_id, other_phone))
    else:
        buyer.world.crowd.also(_send_only(other, other_phone, bill))
    yield buyer.dice.choice((0.0, buyer.dice.uniform(*_SOON_SECONDS)))
    yield from send(buyer, phone, bill, bill.shillings)


def types_a_wrong_number(buyer: Buyer) -> Steps[None]:
    """Who is refused for it mostly looks again. What is taken stays without an order."""
    phone = buyer.good_phone()
    bill = yield from order_to_pay(buyer, phone)
    if not bill:
        return
    wrong = mistype(buyer.dice, bill.number)
    receipt = yield from send(buyer, phone, bill, bill.shillings, wrong)
    if receipt is None and buyer.dice.random() < 2 / 3:
        yield from send(buyer, phone, bill, bill.shillings)


def pays_a_dead_order(buyer: Buyer) -> Steps[None]:
    """It was cancelled, or its time has just ended, and now its money comes."""
    phone = buyer.good_phone()
    order = yield from order_something(buyer, phone)
    bill = bill_of(order) if order else None
    if order is None or bill is None:
        return
    if buyer.dice.random() < 1 / 2:
        yield from buyer.ask(f"/api/orders/{bill.order_id}/cancel", {})
    else:
        yield buyer.seconds_until(order["expires_at"]) + buyer.dice.uniform(*_AFTER_THE_END_SECONDS)
    yield from send(buyer, phone, bill, bill.shillings)


def _push_only(buyer: Buyer, order_id: int, phone: str) -> Steps[None]:
    yield from buyer.push(order_id, phone)


def _send_only(buyer: Buyer, phone: str, bill: Bill) -> Steps[None]:
    yield from send(buyer, phone, bill, bill.shillings)


def _split(dice: Random, shillings: int, parts: int) -> list[int]:
    """Whole shillings, none of them nothing, that add up."""
    if shillings < parts:
        return [shillings]
    cuts = sorted(dice.sample(range(1, shillings), k=parts - 1))
    return [end - start for start, end in zip([0, *cuts], [*cuts, shillings], strict=True)]
