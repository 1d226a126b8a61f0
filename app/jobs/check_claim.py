"""Looking into what customers say they have paid: the question to M-Pesa, and what it answers."""

import re
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from app.integrations.mpesa import (
    ApiResult,
    MpesaMisconfigured,
    TransactionFacts,
    UnreadableMessage,
    explain_merchant_result,
    read_transaction_facts,
)
from app.jobs.ask_mpesa import Addresses, Sending, send_request
from app.jobs.heard import Heard, Listener
from app.jobs.work import Work
from app.models import MpesaRequest, PaymentClaim
from app.ports import MerchantGateway, RequestAccepted, StatusAsk
from app.services.claims import (
    StatusFacts,
    find_claims_to_look_at,
    lock_claim,
    look_at_claim,
    note_no_facts,
    note_question_refused,
    weigh_absence,
    weigh_status,
)
from app.services.request_reports import report_refused_settings
from app.utils.callback_secret import CallbackSecret

log = structlog.get_logger()
_NUMBER = re.compile(r"\+?[0-9][0-9*]{4,14}")


def check_claim(work: Work, claim_id: int) -> None:
    """Decide one claim by what is known, or ask M-Pesa about its receipt if that is due."""
    secret = CallbackSecret.new()
    with work.database.transaction() as session:
        question = look_at_claim(session, claim_id, secret, work.now())
    if question is None:
        return

    def ask(merchant: MerchantGateway, addresses: Addresses) -> RequestAccepted:
        return merchant.ask_status(
            StatusAsk(
                receipt=question.receipt,
                conversation_id=None,
                result_url=addresses.result_url,
                timeout_url=addresses.timeout_url,
                remarks=f"Claim {claim_id}",
            )
        )

    def follow(session: Session, sending: Sending) -> None:
        if isinstance(sending.error, MpesaMisconfigured):
            note_question_refused(session, claim_id, sending.message, work.now())

    sending = send_request(work, question.id, secret, ask, follow)
    log.info("claim_asked_about", claim_id=claim_id, request_id=question.id, state=sending.state)


def check_undecided_claims(work: Work) -> None:
    """Look at every claim of which there may be news. One that fails keeps no other waiting."""
    with work.database.reading() as session:
        found = find_claims_to_look_at(session, work.now())
    for claim_id in found:
        try:
            check_claim(work, claim_id)
        except Exception:
            log.exception("claim_left_for_later", claim_id=claim_id)


def _lock(session: Session, request: MpesaRequest) -> None:
    lock_claim(session, _claim_id_of(request))


def _hear(session: Session, work: Work, request: MpesaRequest, result: ApiResult) -> Heard:
    claim, now = session.get_one(PaymentClaim, _claim_id_of(request)), work.now()
    if not result.claims_success:
        return Heard(f"claim_{_hear_refusal(session, claim, result.result_code, now)}")
    try:
        facts = read_transaction_facts(result)
    except UnreadableMessage as error:
        return Heard(f"claim_{note_no_facts(session, claim, error.reason, now)}")
    said = _status_of(facts)
    return Heard(f"claim_{weigh_status(session, claim, said, work.config.shortcodes, now)}")


def _hear_refusal(session: Session, claim: PaymentClaim, code: str, now: datetime) -> str:
    """M-Pesa does not answer the question; what it says instead may pass, or never will."""
    meaning = explain_merchant_result(code)
    if meaning.no_such_receipt:
        return weigh_absence(session, claim, now)
    if meaning.our_fault:
        report_refused_settings(session, meaning.code, meaning.meaning, now)
        return note_no_facts(session, claim, meaning.meaning, now)
    return claim.state


def _stay(_session: Session, _work: Work, _request: MpesaRequest, _reason: str) -> Heard:
    """The claim is looked at again when its time comes."""
    return Heard("kept")


CLAIM_LISTENER = Listener(lock=_lock, heard=_hear, silenced=_stay)


def _claim_id_of(request: MpesaRequest) -> int:
    if request.claim_id is None:
        raise RuntimeError(f"Request {request.id} is about no claim.")
    return request.claim_id


def _status_of(facts: TransactionFacts) -> StatusFacts:
    payer_phone, payer_name = _split_party(facts.debit_party)
    return StatusFacts(
        receipt=facts.receipt,
        is_completed=facts.is_completed,
        is_failed=facts.is_failed,
        is_reversed=facts.is_reversed,
        amount_cents=facts.amount_cents,
        payer_phone=payer_phone,
        payer_name=payer_name,
        credited_number=_split_party(facts.credit_party)[0],
        transacted_at=facts.transacted_at,
    )


def _split_party(party: str) -> tuple[str, str]:
    """``254708374149 - JANE DOE`` → the number, which may be masked, and the name."""
    number, _, name = party.partition(" - ")
    if _NUMBER.fullmatch(number.strip()) is None:
        return "", party.strip()[:120]
    return number.strip(), name.strip()[:120]
