"""Kenyan mobile numbers: many spellings in, one out."""

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


def mask_msisdn(msisdn: str | None) -> str:
    """``254712345678`` → ``2547****678``, for logs and for people who need not know."""
    if msisdn is None:
        return "****"
    return f"{msisdn[:4]}****{msisdn[-3:]}" if len(msisdn) > len("2547678") else "****"
