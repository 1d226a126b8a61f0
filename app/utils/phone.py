"""Kenyan mobile numbers: many spellings in, one out."""

import hashlib
import re

_MSISDN = re.compile(r"(?:\+?254|0)?([17][0-9]{8})")
_DECORATION = re.compile(r"[ \-().]")
_LONGEST_SPELLING = 24
_HASH = re.compile(r"[0-9a-fA-F]{64}")
_MASK = re.compile(r"\+?([0-9]*)[*xX#]+([0-9]*)")
_COUNTRY = "254"
_BARE_DIGITS = 9
_FEWEST_TELLING_DIGITS = 4
"""Of those after the country's; Safaricom's own mask leaves as many."""


def normalise_msisdn(text: str) -> str:
    """``0712 345 678``, ``+254712345678``, ``712345678`` → ``254712345678``.

    Raises ValueError for anything that is not a Kenyan mobile number: a foreign number is never
    cut down to a stranger's Kenyan one.
    """
    bare = _DECORATION.sub("", text) if len(text) <= _LONGEST_SPELLING else ""
    match = _MSISDN.fullmatch(bare)
    if match is None:
        raise ValueError("Not a Kenyan mobile number. Write it like 0712345678 or 254712345678.")
    return "254" + match.group(1)


def whole_msisdn(shown: str | None) -> str | None:
    """The payer's number where M-Pesa shows it whole; None for a masked one and for a hash."""
    try:
        return normalise_msisdn(shown or "")
    except ValueError:
        return None


def mask_msisdn(msisdn: str | None) -> str:
    """``254712345678`` → ``2547****678``, for logs and for people who need not know."""
    if msisdn is None:
        return "****"
    return f"{msisdn[:4]}****{msisdn[-3:]}" if len(msisdn) > len("2547678") else "****"


def fits_msisdn(shown: str | None, msisdn: str) -> bool | None:
    """Whether what M-Pesa shows of a payer fits ``2547XXXXXXXX``; None if it does not tell.

    Daraja shows the plain number, its SHA-256 in hexadecimal, or a mask like ``2547 ***** 126``.
    How many digits a mask hides is not promised, so only those on both sides are compared. A
    number that fits a mask is not thereby the payer's; one that does not fit is not.
    """
    bare = re.sub(r"\s", "", shown or "")
    if _HASH.fullmatch(bare):
        return hashlib.sha256(msisdn.encode()).hexdigest() == bare.lower()
    if mask := _MASK.fullmatch(bare):
        return _fits_mask(msisdn, bare, *mask.groups())
    whole = whole_msisdn(bare)
    return None if whole is None else whole == msisdn


def _fits_mask(msisdn: str, masked: str, head: str, tail: str) -> bool | None:
    if head.startswith("0"):
        head = _COUNTRY + head[1:]
    elif head and not head.startswith(_COUNTRY):
        if len(masked) != _BARE_DIGITS:
            return None
        head = _COUNTRY + head
    if len(head) + len(tail) >= len(msisdn):
        return None
    if not (msisdn.startswith(head) and msisdn.endswith(tail)):
        return False
    telling = len(head.removeprefix(_COUNTRY)) + len(tail)
    return True if telling >= _FEWEST_TELLING_DIGITS else None
