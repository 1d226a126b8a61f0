"""Which phones show that money is a buyer's, and nobody else's."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Order, Payment, User
from app.utils.phone import fits_msisdn


def is_the_buyers(session: Session, order: Order, payer_phone: str | None) -> bool:
    """Whether what M-Pesa shows of a payer's phone surely fits one of the buyer's, or of this
    order. A phone by which another customer is known too proves nothing: anybody may type it.
    """
    fitting = {
        msisdn for msisdn in _phones_of(session, order) if fits_msisdn(payer_phone, msisdn) is True
    }
    return any(not _is_anothers(session, msisdn, order.user_id) for msisdn in sorted(fitting))


def _phones_of(session: Session, order: Order) -> set[str]:
    account = select(User.phone_number).where(User.id == order.user_id)
    asked = select(Payment.msisdn).where(Payment.order_id == order.id)
    known = [order.phone_number, session.scalar(account), *session.scalars(asked)]
    return {msisdn for msisdn in known if msisdn is not None}


def _is_anothers(session: Session, msisdn: str, user_id: int) -> bool:
    """Whether an account, an order or a payment of somebody else goes by this phone."""
    return any(
        session.scalar(found.limit(1)) is not None
        for found in (
            select(User.id).where(User.phone_number == msisdn, User.id != user_id),
            select(Order.id).where(Order.phone_number == msisdn, Order.user_id != user_id),
            select(Payment.id).where(Payment.msisdn == msisdn, Payment.user_id != user_id),
        )
    )
