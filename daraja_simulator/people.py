"""Who owns a phone: an invented name, the same for the same phone in every run."""

from dataclasses import dataclass
from zlib import crc32

_FIRST = ("AMINA", "BARAKA", "CHEBET", "DAUDI", "ESTHER", "FATUMA", "GITHINJI", "HALIMA", "JUMA")
_MIDDLE = ("", "MUTHONI", "", "KIPRONO", "WANJIRU", "", "ACHIENG")
_PHONE_LENGTH = 12
_LAST = ("OTIENO", "WEKESA", "KAMAU", "NJERI", "MUTUA", "KARIUKI", "AUMA", "HASSAN", "KORIR")


@dataclass(frozen=True, slots=True)
class Name:
    first: str
    middle: str
    last: str

    def __str__(self) -> str:
        return " ".join(part for part in (self.first, self.middle, self.last) if part)


def name_of(phone: str) -> Name:
    number = crc32(phone.encode())
    return Name(
        _FIRST[number % len(_FIRST)],
        _MIDDLE[number // 11 % len(_MIDDLE)],
        _LAST[number // 101 % len(_LAST)],
    )


def is_phone(party: str) -> bool:
    """A shortcode is shorter."""
    return len(party) == _PHONE_LENGTH


def hide_middle(phone: str) -> str:
    """As the portal prints a phone: 25471****678."""
    return f"{phone[:5]}****{phone[-3:]}"
