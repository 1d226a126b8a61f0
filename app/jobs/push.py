"""Sending one prompt: the network between two transactions, never inside one."""

from sqlalchemy import select

from app.integrations.mpesa import MpesaMisconfigured
from app.jobs.work import Work
from app.models import Order, Payment
from app.ports import GatewayError, PushRequest
from app.services.record_push import (
    record_acceptance,
    record_refusal,
    record_silence,
    report_misconfiguration,
)
from app.utils.callback_secret import CallbackSecret, callback_token
from app.utils.failpoints import failpoint
from app.utils.money import CENTS_PER_SHILLING

CALLBACK_PATH = "/api/pay/cb/"
PROMPT_DESCRIPTION = "Shop order"


def push_now(work: Work, payment_id: int, secret: CallbackSecret) -> GatewayError | None:
    """Ask for the prompt that the payment on record stands for, once.

    Answers None when a prompt is out or may be out, and the refusal when surely none is. Whatever
    happens, if only a crash, the row is there and the reconciler finishes it.
    """
    failpoint("before_push")
    try:
        accepted = work.ports.gateway.push(_read_request(work, payment_id, secret))
    except GatewayError as error:
        return _record_error(work, payment_id, error)
    failpoint("after_push")
    with work.database.transaction() as session:
        record_acceptance(
            session,
            payment_id,
            accepted.merchant_request_id,
            accepted.checkout_request_id,
            work.now(),
        )
    first_check = work.config.mpesa_query_schedule_seconds[0]
    work.ports.doorbell.ring("check_payment", payment_id, delay_seconds=first_check)
    return None


def _read_request(work: Work, payment_id: int, secret: CallbackSecret) -> PushRequest:
    with work.database.reading() as session:
        payment, number = session.execute(
            select(Payment, Order.number)
            .join(Order, Order.id == Payment.order_id)
            .where(Payment.id == payment_id)
        ).one()
    return PushRequest(
        amount_shillings=payment.amount_cents // CENTS_PER_SHILLING,
        msisdn=payment.prompted_msisdn,
        callback_url=work.config.public_url + CALLBACK_PATH + callback_token(payment_id, secret),
        account_reference=number,
        description=PROMPT_DESCRIPTION,
    )


def _record_error(work: Work, payment_id: int, error: GatewayError) -> GatewayError | None:
    now = work.now()
    with work.database.transaction() as session:
        if not error.certain:
            record_silence(session, payment_id, error.message, now)
            return None
        record_refusal(
            session,
            payment_id,
            code=error.code,
            message=error.message,
            customer_message=error.customer_message,
            now=now,
        )
        if isinstance(error, MpesaMisconfigured):
            report_misconfiguration(session, payment_id, error.code or "", error.message, now)
    return error
