"""What can go wrong between us and Safaricom, split by the one question that matters: was it sent?

A message is fit for a log: Safaricom echoes the access token in its error texts and the payer's
number in its request ids, so every text that came from there passes ``scrub_text``.
"""

import re

from app.ports import GatewayError

_LONGEST_TEXT = 200
_LONGEST_READ = 2000
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
_ECHOED_TOKEN = re.compile(r"(?i)(invalid access token\s*[-:]\s*)(?!invalid )\S+")
_CHECKOUT_ID = re.compile(r"ws_CO_\w+")
_OPAQUE = re.compile(r"(?=[A-Za-z_+/=-]*[0-9])[A-Za-z0-9_+/=-]{20,}")
_LONG_NUMBER = re.compile(r"[0-9]{9,}")


def scrub_text(text: str) -> str:
    """A text from outside, short, printable, with no token and no whole phone number.

    An answer may be a megabyte of letters; what is too far back to be shown is not looked at.
    """
    text = _UNPRINTABLE.sub(" ", text[:_LONGEST_READ])
    text = _ECHOED_TOKEN.sub(r"\1[hidden]", text)
    text = _CHECKOUT_ID.sub("ws_CO_[hidden]", text)
    text = _OPAQUE.sub("[hidden]", text)
    text = _LONG_NUMBER.sub("[number]", text)
    return text.strip()[:_LONGEST_TEXT]


class MpesaError(GatewayError):
    """The root of the tree; what is raised is always one of the leaves below."""

    certain_by_kind = False
    default_customer_message = "We could not reach M-Pesa. Please try again in a few minutes."

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        customer_message: str | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(
            message,
            certain=self.certain_by_kind,
            code=code,
            customer_message=customer_message or self.default_customer_message,
            retry_after_seconds=retry_after_seconds,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.message!r}, code={self.code!r})"


class MpesaRefused(MpesaError):
    """Safaricom read the request and refused it: no prompt was sent, no money is on its way."""

    certain_by_kind = True
    default_customer_message = (
        "M-Pesa did not accept this request and no money was taken. "
        "Please try again, or choose another way to pay."
    )


class MpesaTokenRefused(MpesaRefused):
    """The access token was not accepted. The client fetches another and tries once more."""


class MpesaAlreadyRegistered(MpesaRefused):
    """Addresses stand for this shortcode already; in production only the portal deletes them."""


class MpesaUnavailable(MpesaError):
    """Nothing was sent: no connection, no access token, or we have stopped trying for a while."""

    certain_by_kind = True
    default_customer_message = (
        "M-Pesa does not answer at the moment and no money was taken. "
        "Please try again in a few minutes."
    )


class MpesaBusy(MpesaError):
    """Turned away for load, over our rate or over our quota: nothing was done."""

    certain_by_kind = True
    default_customer_message = (
        "M-Pesa is very busy and no money was taken. Please wait a minute, then try again."
    )


class MpesaPhoneBusy(MpesaError):
    """Another M-Pesa session is open on that phone: no prompt was sent."""

    certain_by_kind = True
    default_customer_message = (
        "Another M-Pesa request is open on this phone. "
        "Finish or close it, wait a minute, then try again."
    )


class MpesaMisconfigured(MpesaError):
    """Our keys, passkey, shortcode, initiator or products are wrong or not set: somebody of ours
    must act.
    """

    certain_by_kind = True
    default_customer_message = (
        "M-Pesa payments are not available at the moment and no money was taken. "
        "This is our fault, not yours: please try later or contact us."
    )


class MpesaUncertain(MpesaError):
    """The request may have been carried out. Nothing may be sent again before that is known."""

    certain_by_kind = False
    default_customer_message = (
        "We are waiting for news from M-Pesa. If a prompt appears on your phone you can enter "
        "your PIN; please do not start a second payment until we know the outcome."
    )
