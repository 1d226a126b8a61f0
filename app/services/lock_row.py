"""One row, as it is now, for ourselves until the transaction ends."""

from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import MpesaRequest, Order, Payment, PaymentClaim, Refund, WebhookEndpoint

Row = TypeVar("Row", MpesaRequest, Order, Payment, PaymentClaim, Refund, WebhookEndpoint)


def lock_row(session: Session, model: type[Row], row_id: int) -> Row | None:
    """A second hand waits here, and then sees what the first has made of it.

    Its key is not locked: a new row that names this one, written by a hand that holds something
    else already, must not have to wait.
    """
    return session.scalar(
        select(model)
        .where(model.id == row_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
