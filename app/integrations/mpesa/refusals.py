"""Which error an answer of the gateway is, and whether the request was certainly not carried out.

Daraja: one code has many meanings (500.001.1001 has six), so texts are read too. A
4xx and the few refusals that are named here were not carried out. For every other 5xx, and for
anything unreadable, nobody promises that.
"""

from http import HTTPStatus

from app.integrations.mpesa.errors import (
    MpesaBusy,
    MpesaError,
    MpesaMisconfigured,
    MpesaPhoneBusy,
    MpesaRefused,
    MpesaTokenRefused,
    MpesaUnavailable,
    MpesaUncertain,
    scrub_text,
)
from app.integrations.mpesa.exchange import Answer
from app.integrations.mpesa.fields import text_of
from app.integrations.mpesa.messages import describe_error, read_error

_TOKEN_CODES = frozenset({"404.001.03", "401.002.01", "401.003.01", "400.003.01", "401.001"})
_TOKEN_TEXTS = ("invalid access token", "access token expired")
_BUSY_TEXTS = ("system is busy", "spike arrest", "quota violation", "rate limit quota")
_BUSY_FAULTS = ("policies.ratelimit.",)
_PHONE_BUSY_TEXT = "unable to lock subscriber"
_MISCONFIGURED_TEXTS = ("wrong credentials", "merchant does not exist", "no apiproduct match")
_OUR_FIELDS = ("invalid initiator", "invalid securitycredential")
_WRONG_PATH_CODES = frozenset({"404.001.01", "404.002.01"})
_REQUEST_IDS = ("CheckoutRequestID", "ConversationID", "OriginatorConversationID")
_NO_PRODUCT_CODES = frozenset({"401.003.01", "401.001"})
_TOLD = ("ResponseCode", "ResponseDescription", "ResponseMessage")
_PHONE_PAUSE_SECONDS = 60
_LONGEST_PAUSE_SECONDS = 3600

_PHONE_MESSAGE = (
    "M-Pesa did not accept this phone number. "
    "Check that it is a Safaricom number with M-Pesa, then try again."
)
_AMOUNT_MESSAGE = "M-Pesa did not accept this amount. Please choose another way to pay."


def classify_refusal(answer: Answer, *, pause_seconds: int) -> MpesaError:
    """The error that an API call's answer stands for; ``pause_seconds`` if it names no pause."""
    code, text = read_error(answer.document)
    kind = _find_kind(answer, code, text.lower())
    return kind(
        _describe(answer),
        code=code,
        customer_message=_message_for_field(text.lower()) if kind is MpesaRefused else None,
        retry_after_seconds=_find_pause(kind, answer, pause_seconds),
    )


def _find_kind(answer: Answer, code: str | None, text: str) -> type[MpesaError]:
    certain = answer.is_refusal or _is_refusal_code(code)
    names_request = any(name in (answer.document or {}) for name in _REQUEST_IDS)
    if names_request and not answer.is_refusal:
        return MpesaUncertain  # an error beside the id of a request contradicts itself
    if is_busy(answer):
        return MpesaBusy
    if code in _TOKEN_CODES or (certain and _mentions(text, _TOKEN_TEXTS)):
        return MpesaTokenRefused
    if _PHONE_BUSY_TEXT in text:
        return MpesaPhoneBusy
    names_ours = certain and _mentions(text, _OUR_FIELDS)
    if names_ours or code in _WRONG_PATH_CODES or _mentions(text, _MISCONFIGURED_TEXTS):
        return MpesaMisconfigured
    return MpesaRefused if certain else MpesaUncertain


def _find_pause(kind: type[MpesaError], answer: Answer, pause_seconds: int) -> int | None:
    if kind is MpesaBusy:
        return _read_pause(answer.retry_after, pause_seconds)
    return _PHONE_PAUSE_SECONDS if kind is MpesaPhoneBusy else None


def classify_token_refusal(answer: Answer, *, pause_seconds: int) -> MpesaError:
    """The error that the token call's answer stands for. Nothing was sent yet, so all are certain.

    Daraja, Authorization: wrong keys answer 400.008.01, 401, or a 400 with an empty body.
    """
    code, _ = read_error(answer.document)
    message = f"No access token: {_describe(answer)}"
    pause = _read_pause(answer.retry_after, pause_seconds)
    if is_busy(answer):
        return MpesaBusy(message, code=code, retry_after_seconds=pause)
    wrong_keys = answer.status == HTTPStatus.BAD_REQUEST and (answer.empty or code is not None)
    if wrong_keys or answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND}:
        return MpesaMisconfigured(message, code=code)
    if code is not None and code.startswith(("400.008.", "401.")):
        return MpesaMisconfigured(message, code=code)
    return MpesaUnavailable(message, code=code, retry_after_seconds=pause)


def classify_second_token_refusal(error: MpesaError) -> MpesaError:
    """What it means when a token that was just fetched is not accepted either.

    Daraja: 401.003.01 and 401.001 then say that the product is not on our app.
    """
    message = f"A fresh access token was refused: {error.message}"
    if error.code in _NO_PRODUCT_CODES:
        return MpesaMisconfigured(message, code=error.code)
    return MpesaUnavailable(message, code=error.code)


def is_busy(answer: Answer) -> bool:
    """Whether the gateway asks us to slow down, in any of its ways."""
    code, text = read_error(answer.document)
    return (
        answer.status == HTTPStatus.TOO_MANY_REQUESTS
        or (code or "").startswith(_BUSY_FAULTS)
        or _mentions(text.lower(), _BUSY_TEXTS)
    )


def _mentions(text: str, known: tuple[str, ...]) -> bool:
    return any(part in text for part in known)


def _describe(answer: Answer) -> str:
    line = describe_error(answer.status, answer.document)
    if answer.trouble:
        return f"{line}: {answer.trouble}"
    if answer.document is None or answer.holds_error:
        return line
    told = (answer.document.get(name) for name in _TOLD)
    return scrub_text(": ".join([line, *filter(None, map(text_of, told))]))


def _is_refusal_code(code: str | None) -> bool:
    """400.002.02 and its like say the same whatever status they travel with."""
    return code is not None and code[:1] == "4" and code[3:4] == "." and not code.startswith("408")


def _message_for_field(lowered: str) -> str | None:
    """What the payer can mend, if the refusal names it."""
    if "invalid phonenumber" in lowered or "invalid partya" in lowered:
        return _PHONE_MESSAGE
    return _AMOUNT_MESSAGE if "invalid amount" in lowered else None


def _read_pause(retry_after: str | None, default_seconds: int) -> int:
    if retry_after is None or not (retry_after.isascii() and retry_after.isdigit()):
        return default_seconds
    return min(int(retry_after[:6]), _LONGEST_PAUSE_SECONDS)
