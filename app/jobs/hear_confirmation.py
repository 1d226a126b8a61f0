"""Safaricom's notice of money that came to our paybill or till: from the menu, or by a prompt."""

from sqlalchemy.orm import Session

from app.integrations.mpesa import C2bNotice, UnreadableMessage, read_c2b_notice
from app.jobs.heard import Heard
from app.jobs.work import Work
from app.models import InboxMessage, MoneySource
from app.services.confirmations import (
    link_to_payment,
    report_foreign_confirmation,
    report_unreadable_confirmation,
)
from app.services.receipts import ReceiptFacts
from app.services.receive_money import receive_money


def hear_confirmation(session: Session, work: Work, message: InboxMessage) -> Heard:
    """Count the money that a kept confirmation tells of.

    Its address carries a secret that Safaricom alone was given. What cannot be read, or names
    another number than ours, is told to a person: no second notice will come.
    """
    now = work.now()
    try:
        notice = read_c2b_notice(message.body)
    except UnreadableMessage as error:
        return Heard(report_unreadable_confirmation(session, message, error.reason, now))
    if notice.shortcode not in work.config.shortcodes:
        return Heard(report_foreign_confirmation(session, message, notice.shortcode, now))
    reception = receive_money(session, _facts_of(notice), now)
    link_to_payment(session, message, notice.receipt)
    return Heard(reception)


def _facts_of(notice: C2bNotice) -> ReceiptFacts:
    return ReceiptFacts(
        receipt=notice.receipt,
        amount_cents=notice.amount_cents,
        source=MoneySource.C2B,
        bill_reference=notice.bill_reference or None,
        transacted_at=notice.transacted_at,
        payer_phone=notice.msisdn or None,
        payer_name=notice.payer_name or None,
    )
