"""Orders that wait for money, each with a prompt out, and what Safaricom reports of them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from app.models import Payment, PaymentState
from app.policies import Actor, Role
from app.services.place_order import OrderRequest, OrderRules, WantedLine, place_order
from app.utils.callback_secret import CallbackSecret, callback_token
from app.utils.clock import utc_now
from bench.ceilings.bare import PREFIX
from bench.crowd import Crowd
from bench.load import Request
from bench.shop import Shop

_RULES = OrderRules(expiry_seconds=86_400, max_open_orders=1_000_000, max_amount_shillings=250_000)


def merchant_request_id(payment_id: int) -> str:
    """Safaricom's id of a prompt, as long as theirs are."""
    return f"7071-4170-a0e4-{payment_id:012d}"


def checkout_request_id(payment_id: int) -> str:
    """Its other one."""
    return f"ws_CO_22112026120000{payment_id:012d}"


@dataclass(frozen=True, slots=True)
class Prompt:
    payment_id: int
    token: str
    amount_cents: int

    def report(self, *, bare: bool = False) -> Request:
        """That it was paid. ``bare``: to the driver alone, which asks for no secret."""
        path = f"{PREFIX}/callbacks/{self.payment_id}" if bare else f"/api/pay/cb/{self.token}"
        return Request(path, "POST", {"Content-Type": "application/json"}, self._body())

    def _body(self) -> str:
        items = [
            {"Name": "Amount", "Value": self.amount_cents / 100},
            {"Name": "MpesaReceiptNumber", "Value": f"SKB{self.payment_id:07d}"},
            {"Name": "TransactionDate", "Value": 20261122120000},
            {"Name": "PhoneNumber", "Value": 254712000001},
        ]
        told = {
            "MerchantRequestID": merchant_request_id(self.payment_id),
            "CheckoutRequestID": checkout_request_id(self.payment_id),
            "ResultCode": 0,
            "ResultDesc": "The service request is processed successfully.",
            "CallbackMetadata": {"Item": items},
        }
        return json.dumps({"Body": {"stkCallback": told}})


def send_prompts(shop: Shop, crowd: Crowd, count: int) -> Sequence[Prompt]:
    """As if so many buyers had ordered and been asked for their PIN."""
    with shop.database.transaction() as session:
        prompts = []
        for number in range(count):
            now = utc_now()
            buyer = Actor(crowd.buyers[number % len(crowd.buyers)].user_id, Role.CUSTOMER, "buyer")
            ask = OrderRequest((WantedLine(crowd.products[number % len(crowd.products)], 1),))
            order = place_order(session, buyer, ask, _RULES, now)
            secret = CallbackSecret.new()
            payment = Payment(
                order_id=order.id,
                user_id=order.user_id,
                status=PaymentState.PENDING,
                msisdn="254712000001",
                amount_cents=order.total_cents,
                callback_secret_hash=secret.hash,
                created_at=now,
                updated_at=now,
            )
            session.add(payment)
            session.flush()
            token = callback_token(payment.id, secret)
            prompts.append(Prompt(payment.id, token, order.total_cents))
    return prompts
