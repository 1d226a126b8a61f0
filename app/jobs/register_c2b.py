"""Telling Safaricom where payments from the M-Pesa menu are asked about and reported."""

from dataclasses import dataclass, field

from app.config import Config
from app.jobs.work import Work

CONFIRMATION_PATH = "/api/pay/c2b/confirm/"
VALIDATION_PATH = "/api/pay/c2b/validate/"
_LETTERS_SHOWN = 4


@dataclass(frozen=True, slots=True)
class C2bAddresses:
    """Both end in the secret that makes a notice credible; ``shown`` has them without it."""

    confirmation_url: str = field(repr=False)
    validation_url: str = field(repr=False)
    shown: tuple[str, str]


def c2b_addresses(config: Config) -> C2bAddresses:
    secret = config.mpesa_c2b_secret
    confirmation = config.public_url + CONFIRMATION_PATH
    validation = config.public_url + VALIDATION_PATH
    hidden = f"{secret[:_LETTERS_SHOWN]}…"
    return C2bAddresses(
        confirmation + secret, validation + secret, (confirmation + hidden, validation + hidden)
    )


def register_c2b(work: Work, *, cancel_when_unreachable: bool) -> None:
    """Register the addresses of this shop. In production that works once for a shortcode.

    Raises GatewayError; MpesaAlreadyRegistered where addresses stand already, ours or others.
    """
    addresses = c2b_addresses(work.config)
    work.ports.merchant.register_c2b_urls(
        addresses.confirmation_url,
        addresses.validation_url,
        cancel_when_unreachable=cancel_when_unreachable,
    )
