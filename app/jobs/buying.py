"""Buying from a basket: what an order and a prompt need beyond one transaction."""

from app.jobs.push import push_now
from app.jobs.rules import order_rules, payment_rules
from app.jobs.work import Work
from app.policies import Actor
from app.ports import GatewayError
from app.services.basket import CheckOut, Placed, check_out
from app.services.own_orders import find_own_order
from app.services.request_payment import PaymentRequest, request_payment
from app.utils.callback_secret import CallbackSecret
from app.utils.failpoints import failpoint
from app.utils.gate import aside


def order_basket(work: Work, actor: Actor, ask: CheckOut) -> Placed:
    """Turn the basket into an order, once. Raises as check_out does."""
    with work.database.transaction() as session:
        placed = check_out(session, actor, ask, order_rules(work.config), work.now())
    failpoint("after_order_commit")
    return placed


def ask_phone(work: Work, actor: Actor, ask: PaymentRequest) -> GatewayError | None:
    """Have a phone asked to pay for an order of one's own; answers why surely no prompt went out.

    Raises NotFound for somebody else's order, and otherwise as request_payment does.
    """
    secret = CallbackSecret.new()
    with work.database.transaction() as session:
        find_own_order(session, actor, ask.order_id)
        payment = request_payment(
            session, actor, ask, secret, payment_rules(work.config), work.now()
        )
    with aside():
        return push_now(work, payment.id, secret)
