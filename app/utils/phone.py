"""Kenyan mobile numbers: many spellings in, one out."""

import hashlib
import re

_MSISDN = re.compile(r"(?:\+?254|0)?([17][0-9]{8})")
_DECORATION = re.compile(r"[ \-().]")
_LONGEST_SPELLING = 24


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


_HASH = re.compile(r"[0-9a-fA-F]{64}")
_MASKED = re.compile(r"[0-9*]{9,15}")
_FEWEST_DIGITS_SHOWN = 4


def fits_msisdn(shown: str | None, msisdn: str) -> bool | None:
    """Whether what M-Pesa shows of a payer's phone can be this one; None where it says nothing.

    It may be whole, its SHA-256 in hexadecimal, or masked: ``2547 ***** 678``, ``25470****678``.
    How many digits a mask hides is not promised, so only those on both sides are compared.
    """
    bare = re.sub(_DECORATION, "", shown or "")
    if _HASH.fullmatch(bare):
        return hashlib.sha256(msisdn.encode()).hexdigest() == bare.lower()
    if _MSISDN.fullmatch(bare):
        return normalise_msisdn(bare) == msisdn
    if not _MASKED.fullmatch(bare) or "*" not in bare:
        return None
    head, tail = bare.partition("*")[0], bare.rpartition("*")[2]
    if len(head) + len(tail) < _FEWEST_DIGITS_SHOWN:
        return None
    if head.startswith("0"):
        head = "254" + head[1:]
    return msisdn.startswith(head) and msisdn.endswith(tail)
