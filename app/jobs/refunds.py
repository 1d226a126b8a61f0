"""Sending refunds, once each, and asking what became of those whose result has not come."""

from functools import partial

import structlog
from sqlalchemy.orm import Session

from app.integrations.mpesa import scrub_text
from app.jobs.ask_mpesa import Addresses, Sending, send_request
from app.jobs.check_payment import BATCH, LEASE_SECONDS, schedule_of
from app.jobs.query_slot import wait_for_slot
from app.jobs.work import Work
from app.models import Refund, RefundKind, RefundState
from app.ports import (
    GatewayError,
    MerchantGateway,
    PayoutAsk,
    RequestAccepted,
    ReversalAsk,
    StatusAsk,
)
from app.services.leases import claim_due, claim_one
from app.services.refunds import (
    Question,
    RefundSending,
    begin_question,
    begin_sending,
    find_money_request,
    record_sent,
    remind_of_hand,
)
from app.utils.callback_secret import CallbackSecret
from app.utils.failpoints import failpoint
from app.utils.money import CENTS_PER_SHILLING

log = structlog.get_logger()


def send_refund(work: Work, refund_id: int) -> GatewayError | None:
    """Ask Safaricom to give the money back, if the refund is to be sent and never was.

    Answers None where it was sent or may have been, or there is nothing to send, and the refusal
    where surely nothing will go back. If the process dies on the way, the row says how far it came.
    """
    failpoint("after_refund_commit")
    secret = CallbackSecret.new()
    with work.database.transaction() as session:
        sending = begin_sending(session, refund_id, secret, work.now(), lease_seconds=LEASE_SECONDS)
    if sending is None:
        return None
    failpoint("before_refund_send")
    outcome = send_request(
        work,
        sending.request_id,
        secret,
        partial(_ask_for, sending),
        partial(_follow, work, refund_id),
    )
    log.info("refund_sent", refund_id=refund_id, kind=sending.kind, state=outcome.state)
    first_check = work.config.mpesa_query_schedule_seconds[0]
    work.ports.doorbell.ring("check_refund", refund_id, delay_seconds=first_check)
    return outcome.error if outcome.error is not None and outcome.error.certain else None


def check_refund(work: Work, refund_id: int) -> None:
    """Look after one refund if it is due and no other worker is at it."""
    with work.database.transaction() as session:
        claimed = claim_one(session, Refund, refund_id, work.now(), LEASE_SECONDS)
    if claimed:
        _look_after(work, refund_id)


def check_due_refunds(work: Work) -> bool:
    """Look after a batch of the refunds that are due; True where more may be."""
    with work.database.transaction() as session:
        claimed = claim_due(session, Refund, work.now(), limit=BATCH, lease_seconds=LEASE_SECONDS)
    for refund_id in claimed:
        _look_after(work, refund_id)
    return len(claimed) == BATCH


def _look_after(work: Work, refund_id: int) -> None:
    with work.database.reading() as session:
        refund = session.get_one(Refund, refund_id)
        was_begun = find_money_request(session, refund_id) is not None
    if refund.kind == RefundKind.BY_HAND:
        with work.database.transaction() as session:
            remind_of_hand(session, refund_id, work.now())
    elif refund.state == RefundState.CREATED and not was_begun:
        send_refund(work, refund_id)
    elif wait_for_slot(work, Refund, refund_id):
        _ask_about(work, refund_id)


def _ask_about(work: Work, refund_id: int) -> None:
    secret = CallbackSecret.new()
    with work.database.transaction() as session:
        question = begin_question(session, refund_id, secret, schedule_of(work), work.now())
    if question is None:
        return
    outcome = send_request(work, question.request_id, secret, partial(_put, question))
    log.info("refund_asked_about", refund_id=refund_id, state=outcome.state)


def _ask_for(
    sending: RefundSending, gateway: MerchantGateway, addresses: Addresses
) -> RequestAccepted:
    if sending.kind is RefundKind.REVERSAL:
        accepted = gateway.reverse(
            ReversalAsk(
                receipt=sending.receipt,
                amount_cents=sending.amount_cents,
                result_url=addresses.result_url,
                timeout_url=addresses.timeout_url,
                remarks=sending.remarks,
            )
        )
    else:
        accepted = gateway.pay_out(
            PayoutAsk(
                originator_id=sending.originator_id or "",
                msisdn=sending.msisdn or "",
                amount_shillings=sending.amount_cents // CENTS_PER_SHILLING,
                result_url=addresses.result_url,
                timeout_url=addresses.timeout_url,
                remarks=sending.remarks,
            )
        )
    failpoint("after_refund_send")
    return accepted


def _put(question: Question, gateway: MerchantGateway, addresses: Addresses) -> RequestAccepted:
    return gateway.ask_status(
        StatusAsk(
            receipt=question.receipt,
            conversation_id=question.conversation_id,
            result_url=addresses.result_url,
            timeout_url=addresses.timeout_url,
            remarks=question.remarks,
            of_payout=question.of_payout,
        )
    )


def _follow(work: Work, refund_id: int, session: Session, sending: Sending) -> None:
    now = work.now()
    schedule = schedule_of(work)
    record_sent(
        session,
        refund_id,
        sending.state,
        scrub_text(sending.message),
        now,
        next_check_at=schedule.next_check(now, now),
        code=sending.error.code if sending.error else None,
    )
