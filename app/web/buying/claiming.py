"""Naming a payment that the shop has not seen, within the limits that every road to it keeps."""

from werkzeug.exceptions import TooManyRequests as Spent

from app.context import current_config, current_work, now
from app.db import transaction
from app.errors import TooManyRequests
from app.security import current_actor
from app.services.claims import ClaimRequest, claim_payment
from app.utils.limiter import spend


def start_claim(order_id: int, receipt: str) -> None:
    """Have a payment looked for; the page reads from the claim's row what becomes of it.

    Raises as claim_payment does.
    """
    actor = current_actor()
    try:
        spend("payment_claim_limit", actor.user_id)
    except Spent as error:
        raise TooManyRequests(
            "You have named many payments in a short time. Wait a while, or tell the shop.",
            code="too_many_claims",
        ) from error
    ask = ClaimRequest(order_id, receipt, can_ask=current_config().can_ask_status)
    with transaction() as session:
        claim_id = claim_payment(session, actor, ask, now()).id
    current_work().ports.doorbell.ring("check_claim", claim_id)
