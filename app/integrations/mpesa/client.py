"""M-Pesa Express over Daraja: ask for a prompt, ask what became of it."""

import re
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx2

from app.integrations.mpesa.authorised import AuthorisedExchange
from app.integrations.mpesa.breaker import Monotonic
from app.integrations.mpesa.errors import MpesaBusy, MpesaError, scrub_text
from app.integrations.mpesa.exchange import Answer
from app.integrations.mpesa.fields import is_identifier
from app.integrations.mpesa.messages import read_stk_query
from app.integrations.mpesa.passwords import stk_password
from app.integrations.mpesa.refusals import is_busy
from app.integrations.mpesa.settings import MpesaSettings
from app.ports import Clock, PushAccepted, PushRequest, PushStatus, TokenStore, Verdict

PUSH_PATH = "/mpesa/stkpush/v1/processrequest"
QUERY_PATH = "/mpesa/stkpushquery/v1/query"

_REFERENCE = re.compile(r"[A-Za-z0-9 -]{1,12}")
_DESCRIPTION = re.compile(r"[A-Za-z0-9 -]{1,13}")
_MSISDN = re.compile(r"254[17][0-9]{8}")


class DarajaClient:
    """The PaymentGateway that speaks to Safaricom. It may be shared by threads.

    A push is sent once. The one exception is a push that was refused for its access token: that
    refusal is certain, so it is sent again, once, with another token.
    """

    def __init__(
        self,
        settings: MpesaSettings,
        tokens: TokenStore,
        clock: Clock,
        transport: httpx2.BaseTransport | None = None,
        *,
        monotonic: Monotonic = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._monotonic = monotonic
        self._queries_rest_until = float("-inf")
        self._exchange = AuthorisedExchange(
            settings, tokens, clock, transport, monotonic=monotonic, sleep=sleep
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open. The client cannot be used after."""
        self._exchange.close()

    def push(self, ask: PushRequest) -> PushAccepted:
        """Ask for one prompt.

        Raises MpesaError; and, before anything is sent, ValueError for an ask that Safaricom's
        manual forbids. Daraja, M-Pesa Express: ``ResponseCode`` 0 means that the prompt was
        queued, no more.
        """
        _check(ask)
        answer = self._exchange.post(PUSH_PATH, lambda: self._build_push(ask))
        accepted = _read_acceptance(answer)
        if accepted is not None:
            return accepted
        raise self._exchange.classify(answer)

    def query(self, checkout_request_id: str) -> PushStatus:
        """Ask what became of a prompt. Whatever goes wrong on the way is no verdict.

        After the gateway asked us to slow down, no query is sent for a minute.
        """
        if self._monotonic() < self._queries_rest_until:
            return PushStatus(Verdict.NONE, None, "Not asked: the gateway wants us to slow down")
        try:
            answer = self._exchange.post(QUERY_PATH, lambda: self._build_query(checkout_request_id))
        except MpesaError as error:
            self._rest_if_busy(error)
            return PushStatus(Verdict.NONE, None, error.message)
        if is_busy(answer):
            self._rest_if_busy(self._exchange.classify(answer))
        return read_stk_query(answer.status, answer.document, checkout_request_id)

    def _rest_if_busy(self, error: MpesaError) -> None:
        if isinstance(error, MpesaBusy):
            pause_seconds = error.retry_after_seconds or self._settings.rate_pause_seconds
            self._queries_rest_until = self._monotonic() + pause_seconds

    def _build_push(self, ask: PushRequest) -> dict[str, Any]:
        till = self._settings.till
        return {
            **self._sign(),
            "TransactionType": "CustomerBuyGoodsOnline" if till else "CustomerPayBillOnline",
            "Amount": ask.amount_shillings,
            "PartyA": int(ask.msisdn),
            "PartyB": int(till or self._settings.shortcode),
            "PhoneNumber": int(ask.msisdn),
            "CallBackURL": ask.callback_url,
            "AccountReference": ask.account_reference,
            "TransactionDesc": ask.description,
        }

    def _build_query(self, checkout_request_id: str) -> dict[str, Any]:
        return {**self._sign(), "CheckoutRequestID": checkout_request_id}

    def _sign(self) -> dict[str, Any]:
        """The three fields that go together in every request of M-Pesa Express."""
        settings = self._settings
        timestamp, password = stk_password(settings.shortcode, settings.passkey, self._clock())
        return {
            "BusinessShortCode": int(settings.shortcode),
            "Password": password,
            "Timestamp": timestamp,
        }


def _read_acceptance(answer: Answer) -> PushAccepted | None:
    """The acceptance, or None unless every sign of it is there."""
    document = answer.document
    if document is None or not answer.is_success or answer.holds_error:
        return None
    code, checkout_id = document.get("ResponseCode"), document.get("CheckoutRequestID")
    if isinstance(code, bool) or not isinstance(code, str | int) or str(code) != "0":
        return None
    if not is_identifier(checkout_id):
        return None
    merchant_id, message = document.get("MerchantRequestID"), document.get("CustomerMessage")
    return PushAccepted(
        merchant_request_id=merchant_id if is_identifier(merchant_id) else "",
        checkout_request_id=checkout_id,
        customer_message=scrub_text(message) if isinstance(message, str) else "",
    )


def _check(ask: PushRequest) -> None:
    """Raise ValueError for what Safaricom's manual forbids.

    Daraja, M-Pesa Express: whole shillings from 1, AccountReference up to 12 characters,
    TransactionDesc 1 to 13. Characters beyond letters, digits, space and hyphen have made prompts
    fail without a word.
    """
    amount = ask.amount_shillings
    if isinstance(amount, bool) or not isinstance(amount, int) or amount < 1:
        raise ValueError("amount_shillings must be a whole number from 1")
    if not _MSISDN.fullmatch(ask.msisdn):
        raise ValueError("msisdn must be like 254712345678")
    if not _REFERENCE.fullmatch(ask.account_reference):
        raise ValueError("account_reference must be 1 to 12 letters, digits, spaces or hyphens")
    if not _DESCRIPTION.fullmatch(ask.description):
        raise ValueError("description must be 1 to 13 letters, digits, spaces or hyphens")
    url = urlsplit(ask.callback_url)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise ValueError("callback_url must be an absolute web address")
