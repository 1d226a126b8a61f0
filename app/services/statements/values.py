"""How amounts and moments stand in M-Pesa's statements, as exported or saved by a spreadsheet."""

import re
from datetime import UTC, datetime
from enum import StrEnum

from app.models.base import MAX_CENTS
from app.utils.clock import EAT
from app.utils.money import CENTS_PER_SHILLING

_LONGEST = 40
"""No amount and no moment is written with so many characters."""

_CURRENCY = re.compile(r"^(?:kes|kshs?)(?![a-z])\.?\s*|\s*(?:kes|kshs?|/[-=])$", re.IGNORECASE)
_SPACED_THOUSANDS = re.compile(r"(?<=[0-9])[ \u00a0\u202f'\u2019](?=[0-9]{3}(?![0-9]))")
_WITH_POINT = re.compile(
    r"(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.(?![0-9]{3}$)(?P<rest>[0-9]{1,2})0*)?"
)
_WITH_COMMA = re.compile(r"(?P<whole>[0-9]{1,3}(?:\.[0-9]{3})+|[0-9]+),(?P<rest>[0-9]{1,2})")
_TIME = (
    r"(?P<hour>[0-9]{1,2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.[0-9]{1,6})?)?"
    r"(?:\s?(?P<half>[AaPp])\.?[Mm]\.?)?"
)
_YEAR_FIRST = r"(?P<year>[0-9]{4})[-/.](?P<first>[0-9]{1,2})[-/.](?P<second_part>[0-9]{1,2})"
_YEAR_LAST = r"(?P<first>[0-9]{1,2})[-/.](?P<second_part>[0-9]{1,2})[-/.](?P<year>[0-9]{4})"
_ZONE = r"(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?"
_MOMENT_YEAR_FIRST = re.compile(rf"{_YEAR_FIRST}(?:[Tt]|\s+){_TIME}{_ZONE}")
_MOMENT_YEAR_LAST = re.compile(rf"{_YEAR_LAST},?\s+{_TIME}")
_DAY_YEAR_FIRST = re.compile(_YEAR_FIRST)
_DAY_YEAR_LAST = re.compile(_YEAR_LAST)
_FIRST_YEAR = 2007
_LAST_YEAR = 2100
_MONTHS = 12
_NOON = 12
_RECEIPT_MONTHS = "ABCDEFGHIJKL"
_RECEIPT_DAYS = "123456789ABCDEFGHIJKLMNOPQRSTUV"


class DayOrder(StrEnum):
    """Whether 09/10 is the ninth of October, as the portal writes it, or the tenth of September,
    as a spreadsheet with American settings does.
    """

    DAY_FIRST = "day_first"
    MONTH_FIRST = "month_first"


def read_cents(text: str) -> int | None:
    """Exact cents of shillings, below zero too; an empty cell is 0, and None is no amount.

    ``1,053.00``, ``-22779.95``, ``(60.00)``, ``KES 1,053``, and with a comma for the point
    ``1.053,00``. What may mean two things, such as ``1.053``, is no amount.
    """
    bare = text.strip()
    if len(bare) > _LONGEST:
        return None
    if not bare or bare == "-":
        return 0
    in_brackets = bare.startswith("(") and bare.endswith(")")
    bare, is_minus = _without_sign(_CURRENCY.sub("", bare[1:-1] if in_brackets else bare).strip())
    bare = _SPACED_THOUSANDS.sub("", _CURRENCY.sub("", bare).strip())
    found = _WITH_POINT.fullmatch(bare) or _WITH_COMMA.fullmatch(bare)
    if found is None:
        return None
    shillings = int(re.sub(r"[.,]", "", found["whole"]))
    cents = shillings * CENTS_PER_SHILLING + int((found["rest"] or "").ljust(2, "0"))
    if cents > MAX_CENTS:
        return None
    return -cents if in_brackets or is_minus else cents


def _without_sign(text: str) -> tuple[str, bool]:
    if text[:1] in {"-", "\u2212", "+"}:
        return text[1:].strip(), text[0] != "+"
    return text, False


def read_moment(text: str, order: DayOrder = DayOrder.DAY_FIRST) -> datetime | None:
    """``25-09-2026 10:32:37``, ``2026-09-25 10:32``, ``9/25/2026 10:32 AM`` → aware UTC.

    A moment without a zone is Nairobi's. A day without a time is no moment.
    """
    bare = text.strip()
    if len(bare) > _LONGEST:
        return None
    year_first = _MOMENT_YEAR_FIRST.fullmatch(bare)
    found = year_first or _MOMENT_YEAR_LAST.fullmatch(bare)
    if found is None:
        return None
    month_leads = year_first is not None or order is DayOrder.MONTH_FIRST
    zone = found["zone"] if year_first is not None else None
    hour = _hour_of(int(found["hour"]), found["half"])
    if hour is None:
        return None
    clock = f"{hour:02}:{found['minute']}:{found['second'] or '00'}"
    return _moment_of(found, clock, zone, month_leads=month_leads)


def read_day(text: str, order: DayOrder = DayOrder.DAY_FIRST) -> datetime | None:
    """The first moment of a day in Nairobi, as aware UTC: ``25-09-2026``, ``2026-09-25``."""
    bare = text.strip()
    year_first = _DAY_YEAR_FIRST.fullmatch(bare)
    found = year_first or _DAY_YEAR_LAST.fullmatch(bare)
    if found is None:
        return None
    month_leads = year_first is not None or order is DayOrder.MONTH_FIRST
    return _moment_of(found, "00:00:00", None, month_leads=month_leads)


def _hour_of(hour: int, half: str | None) -> int | None:
    if half is None:
        return hour
    if not 1 <= hour <= _NOON:
        return None
    return hour % _NOON + (_NOON if half in "Pp" else 0)


def _moment_of(
    found: re.Match[str], clock: str, zone: str | None, *, month_leads: bool
) -> datetime | None:
    month, day = found["first"], found["second_part"]
    if not month_leads:
        month, day = day, month
    if not _FIRST_YEAR <= int(found["year"]) <= _LAST_YEAR:
        return None
    try:
        moment = datetime.fromisoformat(
            f"{found['year']}-{int(month):02}-{int(day):02}T{clock}{zone or ''}"
        )
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=EAT)).astimezone(UTC)


def day_order_of(moment: str, receipt: str) -> tuple[DayOrder | None, bool]:
    """What one line tells of the order of its file, and whether that is certain.

    A number above 12 is certain. Where both could be months, M-Pesa's receipt hints: its second
    and third characters stand for the month and the day.
    """
    found = _MOMENT_YEAR_LAST.fullmatch(moment.strip()) if len(moment) <= _LONGEST else None
    if found is None:
        return None, False
    first, second = int(found["first"]), int(found["second_part"])
    if first > _MONTHS or second > _MONTHS:
        order = DayOrder.DAY_FIRST if first > _MONTHS else DayOrder.MONTH_FIRST
        return order, (first > _MONTHS) != (second > _MONTHS)
    month, day = _day_of_receipt(receipt)
    if first == second or {month, day} != {first, second}:
        return None, False
    return DayOrder.MONTH_FIRST if first == month else DayOrder.DAY_FIRST, False


def _day_of_receipt(receipt: str) -> tuple[int, int]:
    """(month, day) that a receipt such as ``NLJ7RT61SV`` hints at; zeros where it does not."""
    if len(receipt) != len("NLJ7RT61SV"):
        return 0, 0
    return _RECEIPT_MONTHS.find(receipt[1]) + 1, _RECEIPT_DAYS.find(receipt[2]) + 1
