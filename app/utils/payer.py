"""How a payer is shown to people who need not know who they are."""

import re

from app.utils.phone import mask_msisdn, normalise_msisdn

_HASH = re.compile(r"[0-9a-fA-F]{64}")
_DIGITS = re.compile(r"\+?\d{9,15}")
_SHOWN_OF_HASH = 8


def mask_payer_phone(shown: str | None) -> str | None:
    """A whole number is masked, a hash cut short; what M-Pesa masked itself stays as it came."""
    if shown is None:
        return None
    if _HASH.fullmatch(shown):
        return f"{shown[:_SHOWN_OF_HASH]}…"
    return _DIGITS.sub(lambda found: _masked(found[0]), shown)


def mask_payer_name(shown: str | None) -> str | None:
    """``JANE WANJIKU DOE`` → ``JANE W. D.``: enough to ask the right person."""
    if shown is None:
        return None
    first, *others = _DIGITS.sub(lambda found: _masked(found[0]), shown).split() or [""]
    return " ".join([first, *[_initial(word) for word in others]])


def _masked(digits: str) -> str:
    try:
        return mask_msisdn(normalise_msisdn(digits))
    except ValueError:
        return mask_msisdn(digits)


def _initial(word: str) -> str:
    return f"{word[0]}." if word.isalpha() else word
