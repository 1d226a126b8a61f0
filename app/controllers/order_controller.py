"""Orders: a buyer places, reads and cancels them, a seller fulfils them."""

from typing import Any

from flask import Response
from sqlalchemy.orm import Session

from app.context import current_config, current_work, now
from app.controllers.blueprint import Blueprint
from app.controllers.idempotency import Answer, run_once
from app.controllers.paging import page_response
from app.db import reading
from app.jobs.rules import order_rules
from app.models import OrderStatus
from app.policies import Role
from app.schemas.base import page_of
from app.schemas.claim import ClaimQuery, ClaimRequestSchema, ClaimSchema
from app.schemas.order import FulfilSchema, OrderQuery, OrderSchema, PlaceOrderSchema
from app.schemas.problem import ProblemSchema
from app.security import current_actor, require_role, require_user
from app.services.claims import ClaimRequest, claim_payment, list_claims
from app.services.end_order import cancel_order
from app.services.move_order import fulfil_order
from app.services.pages import PageRequest
from app.services.place_order import OrderRequest, draft_order, hold_for
from app.services.read_orders import find_order, list_orders, view_placed
from app.utils.failpoints import failpoint
from app.utils.limiter import spend

orders = Blueprint("orders", __name__, description="Orders, from placed to delivered.")

_ORDER = OrderSchema()
"""Making a schema takes longer than writing an order with it."""


@orders.post("/orders")
@require_user
@orders.arguments(PlaceOrderSchema)
@orders.response(201, OrderSchema)
def create_order(ask: OrderRequest) -> Response:
    """Place an order: all of it, with its stock held, or nothing.

    The stock is held until `expires_at`; pay before that. Send an `Idempotency-Key`, so that a
    second try after a lost answer orders nothing twice.
    """

    def place(session: Session) -> Answer:
        draft = draft_order(session, current_actor(), ask, order_rules(current_config()), now())
        body = dict(_ORDER.dump(view_placed(draft.order)))
        location = f"/api/orders/{draft.order.id}"
        return Answer(201, body, location, last=lambda: hold_for(session, draft, now()))

    response = run_once(place)
    failpoint("after_order_commit")
    return response


@orders.get("/orders")
@require_user
@orders.arguments(OrderQuery, location="query")
@orders.response(200, page_of(OrderSchema))
def get_orders(query: dict[str, Any]) -> Response:
    """Your orders; a seller's also those with their products; an admin's all. Newest first."""
    with reading() as session:
        page = list_orders(session, current_actor(), **query)
    return page_response(page, OrderSchema)


@orders.get("/orders/<id:order_id>")
@require_user
@orders.response(200, OrderSchema)
def get_order(order_id: int) -> Any:
    """One order, for its buyer, the sellers of its lines, and admins."""
    with reading() as session:
        return find_order(session, current_actor(), order_id)


@orders.post("/orders/<id:order_id>/cancel")
@require_user
@orders.response(200, OrderSchema)
@orders.alt_response(403, schema=ProblemSchema)
def post_cancel(order_id: int) -> Response:
    """Cancel an unpaid order; its stock goes back on sale."""

    def cancel(session: Session) -> Answer:
        cancel_order(session, current_actor(), order_id, now())
        return _answer(session, order_id)

    return run_once(cancel)


@orders.post("/orders/<id:order_id>/paid")
@require_user
@orders.arguments(ClaimRequestSchema)
@orders.response(202, ClaimSchema)
@orders.alt_response(403, schema=ProblemSchema)
@orders.alt_response(429, schema=ProblemSchema)
def post_paid(receipt: str, order_id: int) -> Response:
    """Say that you have paid, and name the receipt of M-Pesa's message.

    `state` says how it stands: `open` while M-Pesa is asked, then `accepted` or `refused`, or
    `with_a_person`. Follow it at `/api/orders/<id>/claims`. Money that is counted already, for
    whomever, is a 409.
    """
    spend("payment_claim_limit", current_actor().user_id)
    ask = ClaimRequest(order_id, receipt, can_ask=current_config().can_ask_status)
    filed: list[int] = []

    def file(session: Session) -> Answer:
        claim = claim_payment(session, current_actor(), ask, now())
        filed.append(claim.id)
        return Answer(202, dict(ClaimSchema().dump(claim)), f"/api/orders/{order_id}/claims")

    response = run_once(file)
    for claim_id in filed:
        current_work().ports.doorbell.ring("check_claim", claim_id)
    return response


@orders.get("/orders/<id:order_id>/claims")
@require_user
@orders.arguments(ClaimQuery, location="query")
@orders.response(200, page_of(ClaimSchema))
def get_claims(page: PageRequest, order_id: int) -> Response:
    """What you said to have paid for an order, and what became of it. Newest first."""
    with reading() as session:
        found = list_claims(session, current_actor(), order_id, page)
    return page_response(found, ClaimSchema)


@orders.post("/orders/<id:order_id>/fulfil")
@require_role(Role.SELLER, Role.ADMIN)
@orders.arguments(FulfilSchema)
@orders.response(200, OrderSchema)
def post_fulfil(to: OrderStatus, order_id: int) -> Response:
    """Mark a paid order shipped, or a shipped one delivered."""

    def fulfil(session: Session) -> Answer:
        fulfil_order(session, current_actor(), order_id, to, now())
        return _answer(session, order_id)

    return run_once(fulfil)


def _answer(session: Session, order_id: int) -> Answer:
    view = find_order(session, current_actor(), order_id)
    return Answer(200, dict(_ORDER.dump(view)))
