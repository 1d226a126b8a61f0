"""Questions that tell right settings from wrong ones. None rings a phone or moves money."""

from dataclasses import dataclass, replace
from enum import StrEnum

import httpx2

from app.integrations.mpesa.authorised import fetch_access_token
from app.integrations.mpesa.breaker import CircuitBreaker
from app.integrations.mpesa.client import QUERY_PATH
from app.integrations.mpesa.errors import scrub_text
from app.integrations.mpesa.exchange import Answer, Exchange
from app.integrations.mpesa.messages import describe_error, read_error
from app.integrations.mpesa.passwords import stk_password
from app.integrations.mpesa.refusals import is_busy
from app.integrations.mpesa.settings import MpesaSettings
from app.ports import AccessToken, Clock

NOBODYS_PROMPT = "ws_CO_010120000000000001000000000"
"""A prompt of the first second of 2000 on a phone of nine zeros: there was none."""

_NO_PRODUCT_CODES = frozenset({"401.003.01", "401.001"})
_NO_PRODUCT_TEXT = "no apiproduct match"
_TOKEN_TEXT = "invalid access token"  # noqa: S105 - words of Safaricom's, no token


class PairAnswer(StrEnum):
    """What an answer to a query about nobody's prompt says of our settings.

    OTHER is everything else: that there is no such prompt, above all.
    """

    WRONG_CREDENTIALS = "wrong credentials"
    NO_MERCHANT = "no such merchant"
    NO_PRODUCT = "no product"
    WRONG_MOMENT = "wrong timestamp"
    WRONG_SHORTCODE = "wrong shortcode"
    TOKEN_REFUSED = "token refused"  # noqa: S105 - no token
    BUSY = "busy"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class PairTrial:
    """An answer, what it says, and its own words, scrubbed."""

    answer: PairAnswer
    words: str


class Examiner:
    """Asks Safaricom, each time once and whatever was asked before."""

    def __init__(
        self, settings: MpesaSettings, clock: Clock, transport: httpx2.BaseTransport | None = None
    ) -> None:
        self._settings = settings
        self._clock = clock
        # Whoever examines asks also where others have given up for a while.
        self._exchange = Exchange(settings, CircuitBreaker(failures=1_000), transport)

    def close(self) -> None:
        self._exchange.close()

    def fetch_token(self) -> AccessToken:
        """A new token, which may end the life of the one that others use. Raises MpesaError."""
        return fetch_access_token(self._exchange, self._settings, self._clock)

    def try_pair(self, token: AccessToken) -> PairTrial:
        """Ask about nobody's prompt, signed with our shortcode and passkey. Raises MpesaError."""
        return self._try(token, self._settings)

    def try_wrong_pair(self, token: AccessToken) -> PairTrial:
        """The same with another passkey: only if this is answered otherwise has the first answer
        proven anything. Nobody has said in which order Safaricom looks at a query.
        """
        return self._try(token, replace(self._settings, passkey=self._settings.passkey + "0"))

    def _try(self, token: AccessToken, settings: MpesaSettings) -> PairTrial:
        timestamp, password = stk_password(settings.shortcode, settings.passkey, self._clock())
        body = {
            "BusinessShortCode": int(settings.shortcode),
            "Password": password,
            "Timestamp": timestamp,
            "CheckoutRequestID": NOBODYS_PROMPT,
        }
        return read_trial(self._exchange.post(QUERY_PATH, body, token.value))


def read_trial(answer: Answer) -> PairTrial:
    """Daraja: 500.001.1001 has six meanings, so the words are read."""
    return PairTrial(_read_answer(answer), _words_of(answer))


def _read_answer(answer: Answer) -> PairAnswer:
    code, text = read_error(answer.document)
    said = text.lower()
    if is_busy(answer):
        return PairAnswer.BUSY
    if code in _NO_PRODUCT_CODES or _NO_PRODUCT_TEXT in said:
        return PairAnswer.NO_PRODUCT
    if _TOKEN_TEXT in said:
        return PairAnswer.TOKEN_REFUSED
    for words, meaning in (
        ("wrong credentials", PairAnswer.WRONG_CREDENTIALS),
        ("merchant does not exist", PairAnswer.NO_MERCHANT),
        ("invalid timestamp", PairAnswer.WRONG_MOMENT),
        ("invalid businessshortcode", PairAnswer.WRONG_SHORTCODE),
    ):
        if words in said:
            return meaning
    return PairAnswer.OTHER


def _words_of(answer: Answer) -> str:
    line = describe_error(answer.status, answer.document)
    if answer.trouble:
        return f"{line}: {answer.trouble}"
    if answer.document is not None and not answer.holds_error:
        return scrub_text(f"{line}: {answer.document.get('ResultDesc', '')}")
    return line
