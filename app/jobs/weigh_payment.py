"""Answering Safaricom's question about a payment within a second, whatever the database does."""

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.integrations.mpesa import C2bNotice, UnreadableMessage, read_c2b_notice
from app.jobs.work import Work
from app.services.weigh_payment import Wish, weigh_payment
from app.utils.in_time import InTime

_STATEMENT_SECONDS = 0.6
_in_time = InTime(seconds=0.8, threads=4)

log = structlog.get_logger()


def weigh_in_time(work: Work, body: bytes) -> Wish:
    """Whether the payment that a validation names is welcome. In doubt it is: money wins.

    Daraja, C2B: unless the answer comes within some eight seconds, the payment goes the way that
    was registered. At a till nobody is asked for an account number, so there is none to refuse.
    """
    try:
        notice = read_c2b_notice(body)
    except UnreadableMessage as error:
        log.warning("validation_unreadable", reason=error.reason)
        return Wish.WELCOME
    if notice.shortcode not in work.config.shortcodes:
        return Wish.FOREIGN_SHORTCODE
    if _is_at_till(work, notice):
        return Wish.WELCOME
    try:
        return _in_time.ask(lambda: _look(work, notice), otherwise=Wish.WELCOME)
    except SQLAlchemyError as error:
        log.warning("validation_without_a_look", error=type(error).__name__)
        return Wish.WELCOME


def _is_at_till(work: Work, notice: C2bNotice) -> bool:
    """A till's notices name it, or the store that it belongs to."""
    till, store = work.config.mpesa_till, work.config.mpesa_shortcode
    return till is not None and notice.shortcode in (till, store)


def _look(work: Work, notice: C2bNotice) -> Wish:
    with work.database.reading(statement_seconds=_STATEMENT_SECONDS) as session:
        return weigh_payment(session, notice.bill_reference, notice.amount_cents)
