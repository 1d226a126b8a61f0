"""Which phones show that money is a buyer's, and nobody else's."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import Order, Payment, User
from app.services.payment_evidence import CLOCKS_DIFFER
from app.services.receipts import ReceiptFacts
from app.utils.phone import fits_msisdn


def is_the_buyers(session: Session, order: Order, facts: ReceiptFacts) -> bool:
    """Whether what M-Pesa shows of a payer's phone surely fits one of the buyer's, or of this
    order, which was known as theirs before the money moved.

    A phone by which another customer is known too proves nothing, and no phone does that was named
    only after the money had come: whoever has read the message of a stranger may type the number.
    """
    fitting = {
        msisdn
        for msisdn in _phones_known_by_then(session, order, facts)
        if fits_msisdn(facts.payer_phone, msisdn) is True
    }
    return any(not _is_anothers(session, msisdn, order.user_id) for msisdn in sorted(fitting))


def _phones_known_by_then(session: Session, order: Order, facts: ReceiptFacts) -> set[str]:
    """A profile that was changed since is none that was known by then."""
    if facts.transacted_at is None:
        return set()
    latest = facts.transacted_at + CLOCKS_DIFFER
    account = select(User.phone_number).where(User.id == order.user_id, User.updated_at <= latest)
    asked = select(Payment.msisdn).where(Payment.order_id == order.id, Payment.created_at <= latest)
    known = [session.scalar(account), *session.scalars(asked)]
    if order.created_at <= latest:
        known.append(order.phone_number)
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
