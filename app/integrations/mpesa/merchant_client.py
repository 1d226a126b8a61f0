"""M-Pesa beyond the prompt, over Daraja: money back, money out, questions, a merchant's set-up."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx2

from app.integrations.mpesa import merchant_answers as answers
from app.integrations.mpesa import merchant_asks as asks
from app.integrations.mpesa.authorised import AuthorisedExchange
from app.integrations.mpesa.breaker import Monotonic
from app.integrations.mpesa.credentials import security_credential
from app.integrations.mpesa.errors import (
    MpesaAlreadyRegistered,
    MpesaMisconfigured,
    MpesaUnavailable,
    MpesaUncertain,
)
from app.integrations.mpesa.settings import Initiator, MerchantSettings, MpesaSettings
from app.ports import (
    BalanceAsk,
    Clock,
    PayoutAsk,
    PullPage,
    QrAsk,
    RequestAccepted,
    ReversalAsk,
    StatusAsk,
    TokenStore,
)

REVERSAL_PATH = "/mpesa/reversal/v1/request"
PAYOUT_PATH = "/mpesa/b2c/v3/paymentrequest"
STATUS_PATH = "/mpesa/transactionstatus/v1/query"
BALANCE_PATH = "/mpesa/accountbalance/v1/query"
PULL_PATH = "/pulltransactions/v1/query"
PULL_REGISTRATION_PATH = "/pulltransactions/v1/register"
C2B_REGISTRATION_PATH = "/mpesa/c2b/{version}/registerurl"
C2B_SIMULATION_PATH = "/mpesa/c2b/{version}/simulate"
QR_PATH = "/mpesa/qrcode/v1/generate"

_INITIATOR_SETTINGS = ("MPESA_INITIATOR_NAME", "MPESA_INITIATOR_PASSWORD", "MPESA_CERTIFICATE")
_LARGEST_ANSWER_BYTES = 4 * 1024 * 1024
"""A page of the pull list may hold a thousand payments."""


class MerchantClient:
    """The MerchantGateway that speaks to Safaricom. It may be shared by threads.

    Every call may raise MpesaError; and, before anything is sent, ValueError for an ask that the
    manual forbids. Its circuit breaker is its own: trouble with a list keeps nobody from paying.
    """

    def __init__(
        self,
        settings: MpesaSettings,
        merchant: MerchantSettings,
        tokens: TokenStore,
        clock: Clock,
        transport: httpx2.BaseTransport | None = None,
        *,
        monotonic: Monotonic = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._merchant = merchant
        roomy = replace(settings, max_response_bytes=_LARGEST_ANSWER_BYTES)
        self._exchange = AuthorisedExchange(
            roomy, tokens, clock, transport, monotonic=monotonic, sleep=sleep
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

    def reverse(self, ask: ReversalAsk) -> RequestAccepted:
        """Ask for a payment to be given back. It has no idempotency key: what is uncertain must
        not be sent again before the state of the payment is known.
        """
        initiator = self._require_initiator()
        return self._request(
            REVERSAL_PATH, asks.build_reversal(ask, self._settings.shortcode), initiator
        )

    def pay_out(self, ask: PayoutAsk) -> RequestAccepted:
        """Ask for money to be sent. Daraja, B2C: that its id is a duplicate means that the same
        ask was accepted before.
        """
        initiator, shortcode = self._require_payouts()
        body = asks.build_payout(ask, shortcode)
        answer = self._exchange.post(
            PAYOUT_PATH, lambda: {"InitiatorName": initiator.name} | _signed(initiator, body)
        )
        if answers.says_duplicate(answer):
            return RequestAccepted("", ask.originator_id)
        accepted = answers.read_acknowledgement(answer)
        if accepted is None:
            raise self._exchange.classify(answer)
        return accepted

    def ask_status(self, ask: StatusAsk) -> RequestAccepted:
        """Ask for the state of a transaction."""
        initiator, shortcode = self._require_party(of_payouts=ask.of_payout)
        return self._request(STATUS_PATH, asks.build_status(ask, shortcode), initiator)

    def ask_balance(self, ask: BalanceAsk) -> RequestAccepted:
        """Ask for our balances."""
        initiator, shortcode = self._require_party(of_payouts=ask.of_payouts)
        return self._request(BALANCE_PATH, asks.build_balance(ask, shortcode), initiator)

    def pull(self, start: datetime, end: datetime, offset: int) -> PullPage:
        """One page of the list of payments. Whatever goes wrong, asking again is safe."""
        _require("MPESA_PULL", given=self._merchant.may_pull)
        body = asks.build_pull(start, end, offset, self._merchant.c2b_shortcode)
        with _safe_to_repeat():
            answer = self._exchange.post(PULL_PATH, lambda: body)
            page = answers.read_pull_page(answer)
            if page is None:
                raise self._exchange.classify(answer)
        return page

    def register_pull(self, msisdn: str, callback_url: str) -> None:
        """Ask for the list to be kept, once for all."""
        _require("MPESA_PULL", given=self._merchant.may_pull)
        body = asks.build_pull_registration(msisdn, callback_url, self._merchant.c2b_shortcode)
        answer = self._exchange.post(PULL_REGISTRATION_PATH, lambda: body)
        if not answers.says_pull_registered(answer):
            raise self._exchange.classify(answer)

    def register_c2b_urls(
        self, confirmation_url: str, validation_url: str, *, cancel_when_unreachable: bool
    ) -> None:
        """Say where payments from the menu are reported.

        Raises MpesaAlreadyRegistered where addresses stand already, ours or others: in production
        that is so after the first time.
        """
        body = asks.build_c2b_registration(
            confirmation_url,
            validation_url,
            self._merchant.c2b_shortcode,
            cancel_when_unreachable=cancel_when_unreachable,
        )
        answer = self._exchange.post(self._c2b(C2B_REGISTRATION_PATH), lambda: body)
        if answers.says_zero(answer):
            return
        error = self._exchange.classify(answer)
        if answers.says_registered_already(answer):
            raise MpesaAlreadyRegistered(error.message, code=error.code)
        raise error

    def simulate_c2b(
        self, msisdn: str, amount_shillings: int, bill_reference: str | None = None
    ) -> None:
        """Let a test phone pay from the menu."""
        if not self._merchant.may_simulate:
            raise MpesaMisconfigured("Not sent: with MPESA_ENV=production no payment is simulated")
        body = asks.build_c2b_simulation(
            msisdn, amount_shillings, bill_reference, self._merchant.c2b_shortcode
        )
        answer = self._exchange.post(self._c2b(C2B_SIMULATION_PATH), lambda: body)
        if not answers.says_zero(answer):
            raise self._exchange.classify(answer)

    def make_qr(self, ask: QrAsk) -> bytes:
        """The code as a PNG. Whatever goes wrong, asking again is safe."""
        is_till = self._settings.till is not None
        body = asks.build_qr(ask, self._merchant.c2b_shortcode, is_till=is_till)
        with _safe_to_repeat():
            answer = self._exchange.post(QR_PATH, lambda: body)
            picture = answers.read_qr(answer)
            if picture is None:
                raise self._exchange.classify(answer)
        return picture

    def _request(self, path: str, body: dict[str, Any], initiator: Initiator) -> RequestAccepted:
        answer = self._exchange.post(
            path, lambda: {"Initiator": initiator.name} | _signed(initiator, body)
        )
        accepted = answers.read_acknowledgement(answer)
        if accepted is None:
            raise self._exchange.classify(answer)
        return accepted

    def _require_initiator(self) -> Initiator:
        initiator = self._merchant.initiator
        if initiator is None:
            raise _not_set(*_INITIATOR_SETTINGS)
        return initiator

    def _require_payouts(self) -> tuple[Initiator, str]:
        initiator, shortcode = self._merchant.initiator, self._merchant.b2c_shortcode
        if shortcode is None:
            missing = () if initiator else _INITIATOR_SETTINGS
            raise _not_set("MPESA_B2C_SHORTCODE", *missing)
        return self._require_initiator(), shortcode

    def _require_party(self, *, of_payouts: bool) -> tuple[Initiator, str]:
        if of_payouts:
            return self._require_payouts()
        return self._require_initiator(), self._settings.shortcode

    def _c2b(self, path: str) -> str:
        return path.format(version=self._merchant.c2b_version)


def _signed(initiator: Initiator, body: dict[str, Any]) -> dict[str, Any]:
    """The body with the initiator's credential, which differs each time it is made."""
    try:
        credential = security_credential(initiator.password, initiator.certificate)
    except ValueError as error:
        raise MpesaMisconfigured(
            "Not sent: MPESA_INITIATOR_PASSWORD cannot be encrypted for MPESA_CERTIFICATE"
        ) from error
    return {"SecurityCredential": credential} | body


def _require(*names: str, given: bool) -> None:
    if not given:
        raise _not_set(*names)


def _not_set(*names: str) -> MpesaMisconfigured:
    listed = f"{', '.join(names[:-1])} and {names[-1]} are" if names[1:] else f"{names[0]} is"
    return MpesaMisconfigured(f"Not sent: {listed} not set")


@contextmanager
def _safe_to_repeat() -> Iterator[None]:
    """Nothing happens through a mere question: what is uncertain of it is only unavailable."""
    try:
        yield
    except MpesaUncertain as error:
        raise MpesaUnavailable(error.message, code=error.code) from error
