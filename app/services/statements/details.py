"""What the free text of a statement's line says: what moved, from whom, for which account."""

import re
from dataclasses import dataclass

from app.models import LineKind

_HEAD = re.compile(r"\s+(?:from|to|by|via|received from)\s+|\s+-\s+", re.IGNORECASE)
_OWN_ACCOUNTS = re.compile(
    r"\baccount$|\bsettle(?:ment)?\b|\bwithdraw(?:al)?\b.*\bfunds\b|\bmmf\b|\bfloat\b"
    r"|\breal time\b|\bfunds received\b|\bmove funds\b",
    re.IGNORECASE,
)
_OWN_ACCOUNTS_REASON = re.compile(r"\baccount to\b|\bsettlement\b|\bto bank\b", re.IGNORECASE)
_PAYOUT = re.compile(r"\b(?:business|salary|promotion) payment\b|\bb2c\b", re.IGNORECASE)
_CHARGE = re.compile(r"\bcharges?\b|\btariff\b", re.IGNORECASE)
_REVERSAL = re.compile(r"\breversal\b|\breversed?\b", re.IGNORECASE)
_PARTY = re.compile(
    r"(?:^|\b(?:from|by|to)\s+)(?P<number>[0-9*+][0-9*\s]{3,18}?)\s*(?:-\s*(?P<name>.*?))?"
    r"(?:\s+Acc\.|\s+via\s|$)",
    re.IGNORECASE,
)
_ACCOUNT = re.compile(r"\bAcc\.\s*(?P<account>.*?)(?:\s+via\s+.*)?$", re.IGNORECASE)
_RECEIPT = re.compile(r"[A-Z0-9]{6,20}")
_CONVERSATION = re.compile(
    r"\boriginal conversation id is\s+(?P<id>[A-Za-z0-9_.-]{4,100}?)\.?(?:\s|$)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Party:
    """Who stands on the other side: a phone (whole or masked) or a shortcode, and a name."""

    number: str | None = None
    name: str | None = None


def kind_of(details: str, reason: str, amount_cents: int) -> LineKind:
    """What moved. The first words of the details decide, before any name that a person chose; a
    charge has the reason of the payment that it belongs to.

    Money in of a kind that nobody knows is a payment: a person then looks whose it is.
    """
    head = _HEAD.split(details, maxsplit=1)[0]
    if _CHARGE.search(head):
        return LineKind.CHARGE
    if _REVERSAL.search(head) or _REVERSAL.search(reason):
        return LineKind.REVERSAL
    if _OWN_ACCOUNTS.search(head) or _OWN_ACCOUNTS_REASON.search(reason):
        return LineKind.TRANSFER
    if amount_cents > 0:
        return LineKind.PAYMENT
    if _PAYOUT.search(head) or _PAYOUT.search(reason):
        return LineKind.PAYOUT
    return LineKind.CHARGE if _CHARGE.search(reason) else LineKind.OTHER


def kind_of_pulled(kind: str, amount_cents: int) -> LineKind:
    """The same for a row of Safaricom's list: ``c2b-pay-bill-debit``, ``c2b-buy-goods-debit``. What
    it would call a payment and shows below zero is the undoing of one.
    """
    words = kind.lower().replace("-", " ").replace("_", " ")
    if _REVERSAL.search(words):
        return LineKind.REVERSAL
    if "settlement" in words or "organization" in words:
        return LineKind.TRANSFER
    if "b2c" in words:
        return LineKind.PAYOUT
    if _CHARGE.search(words):
        return LineKind.CHARGE
    return LineKind.PAYMENT if amount_cents > 0 else LineKind.REVERSAL


def party_of(other_party: str, details: str) -> Party:
    """``25470****111 - ALICE **** EXAMPLE``, in its own column or somewhere in the details."""
    for text in (other_party, details):
        found = _PARTY.search(text.strip())
        if found is not None:
            name = " ".join(word for word in (found["name"] or "").split() if word.strip("*"))
            return Party("".join(found["number"].split()), name or None)
    return Party()


def account_of(details: str) -> str:
    """What the payer typed as account number, where it stands in the details alone."""
    found = _ACCOUNT.search(details)
    return found["account"].strip() if found is not None else ""


def conversation_of(details: str) -> str | None:
    """The conversation of the request that sent a payout, where the details name it."""
    found = _CONVERSATION.search(details)
    return found["id"] if found is not None else None


def receipt_in(text: str | None) -> str | None:
    """A receipt in capitals, where the text is one and nothing else."""
    bare = (text or "").strip().removeprefix("'").upper()
    return bare if _RECEIPT.fullmatch(bare) else None
