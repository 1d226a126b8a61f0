"""Telling a seller that little is left."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from app.services.records import notify


@dataclass(frozen=True, slots=True)
class Fall:
    """A product of which fewer can be bought than before."""

    product_id: int
    seller_id: int
    name: str
    threshold: int | None
    before: int
    left: int


def tell_low_stock(session: Session, fall: Fall, now: datetime) -> None:
    """Tell the seller when a fall reaches the product's threshold: once, not at every unit below.

    The counts come from the statement that changed them, under the lock of the product's row, so
    that of many buyers at once exactly one crosses the line. No statement is sent otherwise.
    """
    if fall.threshold is None or not fall.left <= fall.threshold < fall.before:
        return
    notify(
        session,
        fall.seller_id,
        "low_stock",
        title="Little is left of your product" if fall.left else "Your product is sold out",
        body=f"{fall.name}: {fall.left} can still be bought.",
        now=now,
        product_id=fall.product_id,
    )
