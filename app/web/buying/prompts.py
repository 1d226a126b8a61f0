"""Having a phone asked to pay, within the limits that every road to a prompt keeps."""

from werkzeug.exceptions import TooManyRequests as Spent

from app.context import current_work
from app.errors import TooManyRequests
from app.jobs.buying import ask_phone
from app.security import current_actor
from app.services.request_payment import PaymentRequest
from app.utils.limiter import spend


def start_prompt(order_id: int, msisdn: str | None) -> None:
    """Ask the phone; what M-Pesa says to that stands in the payment's row, and the page reads it
    from there. Raises as request_payment does.
    """
    actor = current_actor()
    try:
        spend("prompt_user_limit", actor.user_id)
    except Spent as error:
        raise TooManyRequests(
            "You asked for many payments in a short time. Wait a few minutes, then try again.",
            code="too_many_prompts",
        ) from error
    ask_phone(current_work(), actor, PaymentRequest(order_id, msisdn))
