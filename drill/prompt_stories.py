"""Customers who are asked on their phone to pay, and what goes wrong with that."""

import json
import secrets
from typing import Any

from drill.buyer import Buyer, Steps
from drill.caller import NoAnswer
from drill.shopping import one_of_plenty, order_something

FAILS_THEN_SUCCEEDS = "7018"
RUNS_OUT = "0000"
CANCELS = "1032"
RUSH_BUYERS = 24
STORM_COPIES = 50
_NOT_FOUND, _OK = 404, 200
_REFUND_TRIES = 4
_UNTIL_THE_RECEIPT_COMES_SECONDS = 4.0
_LEFT_FOR_THE_PUSH_SECONDS = (0.0, 2.0)


def pays(buyer: Buyer) -> Steps[None]:
    """Orders, is asked to pay, and pays; the simulator's chance does the rest."""
    order = yield from order_something(buyer)
    if order:
        yield from buyer.pay(order["id"], buyer.good_phone())


def meets_trouble(buyer: Buyer) -> Steps[None]:
    """Pays by a phone of which callback, answer or query go wrong in one of the known ways."""
    order = yield from order_something(buyer)
    if order:
        digits = buyer.dice.choice(buyer.world.fates.troubles)
        yield from buyer.pay(order["id"], buyer.fated_phone(digits))


def cannot_pay(buyer: Buyer) -> Steps[None]:
    """No money, a wrong PIN, a phone that is off; half of them try again from another phone."""
    order = yield from order_something(buyer)
    if not order:
        return
    phone = buyer.fated_phone(buyer.dice.choice(buyer.world.fates.failures))
    if buyer.dice.random() < 1 / 2:
        yield from buyer.pay(order["id"], phone)
    else:
        pushed = yield from buyer.push(order["id"], phone)
        if pushed.transaction_id is not None:
            yield from buyer.watch(pushed.transaction_id)


def ignores_the_prompt(buyer: Buyer) -> Steps[None]:
    order = yield from order_something(buyer)
    if order:
        yield from buyer.push(order["id"], buyer.fated_phone(RUNS_OUT))


def walks_away(buyer: Buyer) -> Steps[None]:
    """Never pays: the order holds its stock until its time is up."""
    yield from order_something(buyer)


def pays_in_two_tabs(buyer: Buyer) -> Steps[None]:
    """Two phones are asked at once for one order."""
    order = yield from order_something(buyer)
    if order:
        other = buyer.make_twin(1, buyer.person)
        buyer.world.crowd.also(other.pay(order["id"], other.good_phone()))
        yield from buyer.pay(order["id"], buyer.good_phone())


def taps_twice(buyer: Buyer) -> Steps[None]:
    """One request, with one key, sent twice at the same moment."""
    order = yield from order_something(buyer)
    if order:
        key, phone = f"drill-{buyer.number}-twice", buyer.good_phone()
        other = buyer.make_twin(1, buyer.person)
        buyer.world.crowd.also(other.push(order["id"], phone, key=key))
        pushed = yield from buyer.push(order["id"], phone, key=key)
        if pushed.transaction_id is not None:
            yield from buyer.watch(pushed.transaction_id)


def changes_mind(buyer: Buyer) -> Steps[None]:
    """Cancels the order while the phone rings, or when it has just been paid."""
    order = yield from order_something(buyer)
    if order:
        yield from buyer.push(order["id"], buyer.good_phone())
        yield buyer.dice.uniform(0, 1.5)
        yield from buyer.ask(f"/api/orders/{order['id']}/cancel", {})


def pays_at_the_last_moment(buyer: Buyer) -> Steps[None]:
    """The order's time ends while the payment is under way; half of these fail first."""
    order = yield from order_something(buyer)
    if not order:
        return
    phone = buyer.good_phone()
    if buyer.dice.random() < 1 / 2:
        phone = buyer.fated_phone(FAILS_THEN_SUCCEEDS)
    left = buyer.seconds_until(order["expires_at"])
    yield max(0.0, left - buyer.dice.uniform(*_LEFT_FOR_THE_PUSH_SECONDS))
    yield from buyer.push(order["id"], phone)


def pays_the_same_again(buyer: Buyer) -> Steps[None]:
    """Twice the same amount from one phone: within two minutes M-Pesa refuses the second."""
    phone = buyer.good_phone()
    basket = one_of_plenty(buyer)
    for _ in range(2):
        order = yield from buyer.order(basket)
        if order:
            yield from buyer.pay(order["id"], phone)


def is_reported_fifty_times(buyer: Buyer) -> Steps[None]:
    """Callbacks of one payment, all at once, and again when it is long settled."""
    order = yield from order_something(buyer)
    if not order:
        return
    phone = buyer.good_phone()
    paid = yield from buyer.pay(order["id"], phone)
    prompts = buyer.world.safaricom.prompts(phone)
    if paid and prompts and prompts[-1]["ended_at"]:
        buyer.world.safaricom.replay(prompts[-1]["id"], STORM_COPIES)


def is_robbed(buyer: Buyer) -> Steps[None]:
    """The payer cancels, and somebody posts that the payer has paid, in each way one can."""
    order = yield from order_something(buyer)
    if not order:
        return
    phone = buyer.fated_phone(CANCELS)
    pushed = yield from buyer.push(order["id"], phone)
    if pushed.transaction_id is None:
        return
    yield from buyer.watch(pushed.transaction_id)
    for prompt in buyer.world.safaricom.prompts(phone)[-1:]:
        lie = _success_of(prompt, prompt["amount"])
        guess = f"/api/pay/cb/{pushed.transaction_id}.{secrets.token_urlsafe(32)}"
        _post_lie(buyer, guess, lie, _NOT_FOUND)
        _post_lie(buyer, "/api/mpesa/callback", lie, _OK)
        if buyer.dice.random() < 1 / 2:  # the secret has leaked, but not the amount
            address = "/api/pay/cb/" + prompt["callback_url"].rpartition("/")[2]
            _post_lie(buyer, address, _success_of(prompt, prompt["amount"] + 1), _OK)


def gets_the_money_back(buyer: Buyer) -> Steps[None]:
    """Pays, sends the goods back, and is refunded, whole or in part; half meet trouble in that."""
    order = yield from order_something(buyer)
    if not order:
        return
    phone = buyer.good_phone()
    if buyer.dice.random() < 1 / 2:
        phone = buyer.fated_phone(buyer.dice.choice(buyer.world.fates.refund_troubles))
    transaction_id = yield from buyer.pay(order["id"], phone)
    if transaction_id is None:
        return
    ask: dict[str, Any] = {"reason": "Too small"}
    if buyer.dice.random() < 1 / 3:
        ask["amount"] = max(10, int(order["total_price"] / 2))
    elif buyer.dice.random() < 1 / 2:
        ask["restock"] = True
    clerks = [buyer.make_twin(n, admin) for n, admin in enumerate(buyer.world.market.admins, 1)]
    if buyer.dice.random() < 1 / 4:  # both at once: one of them is refused
        buyer.world.crowd.also(_refund(clerks[1], transaction_id, ask, clerks[0]))
    yield from _refund(clerks[0], transaction_id, ask, clerks[1])


def _refund(clerk: Buyer, transaction_id: int, ask: dict[str, Any], other: Buyer) -> Steps[None]:
    """Above a limit, the other clerk has to approve."""
    for _ in range(_REFUND_TRIES):
        answer = yield from clerk.ask(f"/api/transactions/{transaction_id}/refund", ask)
        if answer is None or answer.code != "receipt_unknown":
            break
        yield _UNTIL_THE_RECEIPT_COMES_SECONDS
    if answer is not None and answer.document.get("status") == "awaiting_approval":
        yield from other.ask(f"/api/refunds/{answer.document['id']}/approve", {})


def rush(buyer: Buyer) -> Steps[None]:
    """Many want the last few units of one product at the same moment."""
    crowd, product_id = buyer.world.crowd, buyer.world.market.hot.pop()
    for twin in range(1, RUSH_BUYERS + 1):
        crowd.also(_buy_one(buyer.make_twin(twin), product_id))
    yield 0.0


def _buy_one(buyer: Buyer, product_id: int) -> Steps[None]:
    order = yield from buyer.order({product_id: 1})
    if order:
        yield from buyer.pay(order["id"], buyer.good_phone())


def _success_of(prompt: dict[str, Any], amount: int) -> dict[str, Any]:
    items = {
        "Amount": float(amount),
        "MpesaReceiptNumber": "".join(secrets.choice("ABCDEFGHJKLMNPQ") for _ in range(10)),
        "TransactionDate": 20261126093000,
        "PhoneNumber": int(prompt["phone"]),
    }
    callback = {
        "MerchantRequestID": prompt["merchant_request_id"],
        "CheckoutRequestID": prompt["checkout_request_id"],
        "ResultCode": 0,
        "ResultDesc": "The service request is processed successfully.",
        "CallbackMetadata": {"Item": [{"Name": k, "Value": v} for k, v in items.items()]},
    }
    return {"Body": {"stkCallback": callback}}


def _post_lie(buyer: Buyer, address: str, lie: dict[str, Any], expected: int) -> None:
    """Raises RuntimeError where the shop does not answer such a lie as it should."""
    try:
        answer = buyer.world.caller.call("POST", address, lie)
    except NoAnswer:
        return
    if answer.status not in {expected, 503}:
        raise RuntimeError(f"A forged callback was answered {answer}: {json.dumps(lie)}")
