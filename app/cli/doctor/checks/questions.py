"""The initiator: whether Safaricom takes its name and password, and whether results reach us."""

from collections.abc import Callable, Iterator

from app.cli.doctor.checks.prompts import (
    CALLBACK_REFUSED,
    PRODUCT_MISSING,
    explain_refusal,
)
from app.cli.doctor.checks.safaricom import GATEWAY_BUSY
from app.cli.doctor.exam import Check, Exam, Group
from app.cli.doctor.findings import Finding, Kind, fault, fine, skipped, warning
from app.config import SIMULATOR_CERTIFICATE, MpesaEnv
from app.integrations.mpesa import (
    MpesaError,
    certificate_subject,
    explain_merchant_result,
    security_credential,
)
from app.jobs.ask_mpesa import Addresses, send_request
from app.models import MpesaRequest, RequestKind, RequestState
from app.ports import BalanceAsk, MerchantGateway, RequestAccepted, StatusAsk
from app.services.mpesa_requests import NewRequest, record_request
from app.utils.callback_secret import CallbackSecret

UNSEALABLE = fault(
    "initiator_unsealable",
    "MPESA_INITIATOR_PASSWORD cannot be encrypted for MPESA_CERTIFICATE ({reason}): take the"
    " certificate from the portal again, and a password of at most {longest} characters.",
    cause="The password is too long for the certificate's key, or the file is not what it should"
    " be.",
    cure="Download the certificate for your environment from the portal (Getting started), and"
    " keep it as it is.",
)
SIMULATORS_CERTIFICATE = fault(
    "certificate_of_simulator",
    "MPESA_CERTIFICATE is the simulator's: take Safaricom's {env} certificate from the portal.",
    cause="The password is encrypted for a key that Safaricom does not have.",
    cure="Download the certificate for your environment and set MPESA_CERTIFICATE to its path.",
)
STRANGERS_CERTIFICATE = warning(
    "certificate_of_stranger",
    "MPESA_CERTIFICATE is made out to {subject}, not to Safaricom: take the one from the portal.",
    cause="The file is a certificate, but nothing in its subject says Safaricom.",
    cure="Download the certificate for your environment. That it has expired does not matter:"
    " those that Safaricom hands out ended years ago, and it only carries a key.",
)
SANDBOX_CERTIFICATE = warning(
    "certificate_of_sandbox",
    "MPESA_CERTIFICATE is made out to {subject}, which is the sandbox's: take the production"
    " certificate from the portal.",
    cause="The sandbox and production have different certificates.",
    cure="Download the production certificate. If `status` is answered well, all is well.",
)
CREDENTIAL = fault(
    "initiator_credential",
    "Safaricom does not accept the initiator's name or password (result {code}): check"
    " MPESA_INITIATOR_NAME, MPESA_INITIATOR_PASSWORD and MPESA_CERTIFICATE, and do not try often,"
    " for it locks.",
    cause="A wrong name or password, a certificate of the other environment, or a password that"
    " was never set again after the operator was made. Once may be a passing fault of M-Pesa's.",
    cure="In the M-Pesa organisation portal, give the operator a new password, put it into"
    " MPESA_INITIATOR_PASSWORD, and use the certificate of the same environment. Avoid ( ) @ and ."
    " in it.",
)
INITIATOR_UNKNOWN = fault(
    "initiator_unknown",
    "M-Pesa does not know the initiator (result {code}): check MPESA_INITIATOR_NAME.",
    cause="No operator of this name belongs to the shortcode.",
    cure="The name is that of an operator in the M-Pesa organisation portal, with access to the"
    " API.",
)
INITIATOR_LOCKED = fault(
    "initiator_locked",
    "The initiator is locked after wrong passwords (result {code}): unlock it in the M-Pesa"
    " organisation portal, and mend the password first.",
    cause="Several requests with a wrong password.",
    cure="Mend MPESA_INITIATOR_PASSWORD and MPESA_CERTIFICATE, then unlock the operator.",
)
INITIATOR_ROLE = fault(
    "initiator_role",
    "The initiator may not ask for {what} (result {code}): give it the role {role} in the M-Pesa"
    " organisation portal.",
    cause="The operator exists, and lacks the role or belongs to another organisation.",
    cure="An administrator of your organisation gives it the role in the portal.",
)
INITIATOR_REFUSED = fault(
    "initiator_refused",
    "M-Pesa does not let us ask for {what} (result {code}): {meaning}",
    cause="The account, the product or a field is not as M-Pesa wants it.",
    cure="Do what the sentence says. It needs Safaricom in most cases: apisupport@safaricom.co.ke.",
)
ASK_REFUSED = fault(
    "question_refused",
    "Safaricom does not take the question ({words}): do what it says about the field that it"
    " names.",
    cause="The request was refused at once, before the initiator was looked at.",
    cure="The words name a field. Invalid Initiator or SecurityCredential mean the settings of the"
    " initiator; write to us about any other.",
)
ASK_UNCERTAIN = warning(
    "question_uncertain",
    "Nobody knows whether Safaricom has the question ({words}): try again in a minute.",
    cause="The connection broke, or the answer could not be read.",
    cure="Try again.",
)
RESULT_UNCLEAR = warning(
    "result_unclear",
    "The question for {what} was answered with result {code} ({meaning}), which does not tell"
    " whether the initiator is accepted: try again later.",
    cause="M-Pesa is busy, failed inside, or uses a code that nobody has documented.",
    cure="Try again in some minutes.",
)
RESULT_GIVEN_UP = warning(
    "result_given_up",
    "M-Pesa's own queue gave the question up, and said so: try again in some minutes.",
    cause="M-Pesa is overloaded. That the notice arrived shows that its messages reach the shop.",
    cure="Try again.",
)
RESULT_UNHEARD = fault(
    "result_unheard",
    "Safaricom took the question and its result did not come within {seconds} s: refunds would"
    " wait for ever; let Safaricom's POST requests through to /api/pay/.",
    cause="Results are posted once to PUBLIC_URL/api/pay/result/. Your own test got through and"
    " Safaricom's did not: a list of allowed countries or a protection against robots, mostly. In"
    " the sandbox results are lost at times.",
    cure="Let 196.201.212.0/23 and 196.201.214.0/24 in without a challenge, look for the request in"
    " the proxy's log, and try again.",
)

NOBODYS_RECEIPT = "ZZZ0000000"
"""A receipt begins with its year, month and day; Z is no month."""

_ANSWER_SECONDS = 45
_LOOK_EVERY_SECONDS = 0.5
_STATUS_ROLE = "Transaction Status query ORG API"
_BALANCE_ROLE = "Balance Query ORG API"
_BY_CODE: dict[str, Kind] = {
    "2001": CREDENTIAL,
    "18": CREDENTIAL,
    "20": INITIATOR_UNKNOWN,
    "8006": INITIATOR_LOCKED,
    "21": INITIATOR_ROLE,
    "TP40153": INITIATOR_ROLE,
}
_SANDBOX_NAMES = ("apicrypt.safaricom.co.ke", "sandbox.safaricom.co.ke")
_LONGEST_PASSWORD = 245

Ask = Callable[[MerchantGateway, Addresses], RequestAccepted]


def look_at_initiator(exam: Exam) -> Iterator[Finding]:
    config = exam.config
    password, certificate = config.mpesa_initiator_password, config.mpesa_certificate
    if not (config.mpesa_initiator_name and password and certificate):
        yield skipped("no initiator is set: refunds through M-Pesa and questions are switched off.")
        return
    try:
        security_credential(password, certificate)
        subject = certificate_subject(certificate)
    except ValueError as error:
        yield UNSEALABLE.found(reason=exam.quote(error), longest=_LONGEST_PASSWORD)
        return
    simulated = config.mpesa_env is MpesaEnv.SIMULATOR
    if not simulated and certificate == SIMULATOR_CERTIFICATE.read_bytes():
        yield SIMULATORS_CERTIFICATE.found(env=config.mpesa_env)
    elif not simulated and "safaricom" not in subject.lower():
        yield STRANGERS_CERTIFICATE.found(subject=exam.quote(subject))
    elif config.is_production and any(name in subject for name in _SANDBOX_NAMES):
        yield SANDBOX_CERTIFICATE.found(subject=exam.quote(subject))
    else:
        yield fine(
            f"{config.mpesa_initiator_name}'s password can be encrypted for the certificate, whose"
            " dates do not matter."
        )


def ask_status(exam: Exam) -> Iterator[Finding]:
    """Ask for a receipt that cannot exist: who is told so was accepted, and was reached."""
    if (reason := _why_not_asked(exam)) is not None:
        yield skipped(reason)
        return
    yield _ask(
        exam,
        NewRequest(RequestKind.STATUS, receipt=NOBODYS_RECEIPT),
        lambda gateway, to: gateway.ask_status(
            StatusAsk(NOBODYS_RECEIPT, None, to.result_url, to.timeout_url, "Doctor")
        ),
        what="the status of transactions",
        role=_STATUS_ROLE,
    )


def ask_balance(exam: Exam) -> Iterator[Finding]:
    if (reason := _why_not_asked(exam)) is not None:
        yield skipped(reason)
    elif not exam.wishes.balance:
        yield skipped("not asked for; --balance shows whether the initiator may see balances.")
    else:
        yield _ask(
            exam,
            NewRequest(RequestKind.BALANCE),
            lambda gateway, to: gateway.ask_balance(
                BalanceAsk(to.result_url, to.timeout_url, "Doctor")
            ),
            what="balances",
            role=_BALANCE_ROLE,
        )


def _why_not_asked(exam: Exam) -> str | None:
    if not exam.config.can_ask_status:
        return "no initiator is set."
    return None if exam.known.token is not None else "there is no access token."


def _ask(exam: Exam, new: NewRequest, ask: Ask, *, what: str, role: str) -> Finding:
    """On record, sent, answered: the way of every request that is answered later."""
    secret = CallbackSecret.new()
    with exam.work.database.transaction() as session:
        request_id = record_request(session, new, secret, exam.work.now()).id
    sending = send_request(exam.work, request_id, secret, ask)
    if isinstance(sending.error, MpesaError):
        return explain_refusal(exam, sending.error, ASK_REFUSED, ASK_UNCERTAIN, f"for {what}")
    if sending.error is not None:
        return ASK_REFUSED.found(words=exam.quote(sending.message))
    exam.say(f"Safaricom has the question for {what}; its result may take {_ANSWER_SECONDS} s.")
    answered = exam.wait_for(
        lambda: _find_answer(exam, request_id), seconds=_ANSWER_SECONDS, every=_LOOK_EVERY_SECONDS
    )
    if answered is None:
        return RESULT_UNHEARD.found(seconds=_ANSWER_SECONDS)
    return _judge(answered, what, role)


def _find_answer(exam: Exam, request_id: int) -> MpesaRequest | None:
    with exam.work.database.reading() as session:
        request = session.get_one(MpesaRequest, request_id)
    has_news = request.state in {RequestState.ANSWERED, RequestState.UNKNOWN}
    return request if has_news else None


def _judge(request: MpesaRequest, what: str, role: str) -> Finding:
    if request.state == RequestState.UNKNOWN:
        return RESULT_GIVEN_UP.found()
    code = request.result_code or ""
    if code == "0":
        return _accepted(what)
    result = explain_merchant_result(code)
    if result.no_such_receipt:
        return _accepted(what)
    facts = {"code": code, "what": what, "role": role, "meaning": result.meaning}
    if code in _BY_CODE:
        return _BY_CODE[code].found(**facts)
    return (INITIATOR_REFUSED if result.our_fault else RESULT_UNCLEAR).found(**facts)


def _accepted(what: str) -> Finding:
    return fine(f"The initiator may ask for {what}, and Safaricom's results reach this shop.")


_ASK_KINDS = (
    *dict.fromkeys(_BY_CODE.values()),
    INITIATOR_REFUSED,
    RESULT_UNHEARD,
    RESULT_UNCLEAR,
    RESULT_GIVEN_UP,
    PRODUCT_MISSING,
    CALLBACK_REFUSED,
    ASK_REFUSED,
    ASK_UNCERTAIN,
    GATEWAY_BUSY,
)
CHECKS = (
    Check(
        "initiator",
        Group.BEYOND,
        "the initiator's password and Safaricom's certificate",
        look_at_initiator,
        kinds=(UNSEALABLE, SIMULATORS_CERTIFICATE, STRANGERS_CERTIFICATE, SANDBOX_CERTIFICATE),
    ),
    Check(
        "status",
        Group.BEYOND,
        "whether Safaricom takes the initiator and its results arrive",
        ask_status,
        kinds=_ASK_KINDS,
        needs=("initiator", "token_store", "arrival"),
        limit_seconds=90,
    ),
    Check(
        "balance",
        Group.BEYOND,
        "whether the initiator may see balances (only with --balance)",
        ask_balance,
        kinds=_ASK_KINDS,
        needs=("status",),
        limit_seconds=90,
    ),
)
