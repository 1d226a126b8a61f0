"""The organisation statement that M-Pesa's portal exports, read one line at a time.

Each line of the file stands for itself, so that one that is broken takes no other with it. Neither
a long line nor a long file takes more memory than a short one.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import BinaryIO

from app.errors import InvalidInput
from app.models import LineKind
from app.services.statements.columns import Columns, UnreadableLine, find_columns
from app.services.statements.details import (
    account_of,
    conversation_of,
    kind_of,
    party_of,
    receipt_in,
)
from app.services.statements.lines import BookLine, LineFault, PassedOver
from app.services.statements.preamble import Preamble
from app.services.statements.values import DayOrder, day_order_of, read_cents, read_moment

LONGEST_LINE = 8 * 1024
MOST_HEADING_LINES = 60

Entry = BookLine | LineFault | PassedOver

_MARK = "\ufeff"
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"%PDF")
_WIDE_TEXT = (b"\xff\xfe", b"\xfe\xff")
_USUAL_RECEIPT = re.compile(r"[A-Z0-9]{10}")
_UNSTORABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")
_SHILLINGS = frozenset({"", "KES", "KSH", "KSHS"})
_HEADING = "completion"
_COMPLETED = "completed"
_CLOCKS_DIFFER = timedelta(hours=1)
_LONGEST_DETAILS = 200
_LONGEST_PARTY = 120
_LONGEST_REFERENCE = 40
_LONGEST_PHONE = 64


class StatementFile:
    """A file that can be read more than once. Raises InvalidInput where it is no such statement."""

    def __init__(self, file: BinaryIO, name: str | None, most_lines: int) -> None:
        self._file = file
        self._most_lines = most_lines
        self._refuse_other_kinds()
        self._header_line, self._columns, headings = self._find_header()
        self.line_count, self._order = self._look_through()
        self.preamble = Preamble()
        for text in headings:
            self.preamble.hear(text, self._order)
        self.preamble.hear_name(name)

    def entries(self, now: datetime) -> Iterator[Entry]:
        """Every line below the headings that holds anything."""
        for number, text in self._lines():
            if number > self._header_line and (text is None or text.strip(' \r\n,;\t"')):
                yield self._read(number, text, now)

    def _read(self, number: int, text: str | None, now: datetime) -> Entry:
        if text is None:
            return LineFault(number, "The line is too long.")
        try:
            cells = self._columns.cells_of(text)
        except UnreadableLine as fault:
            return LineFault(number, str(fault))
        if cells["completed"].lower().startswith(_HEADING):
            return PassedOver(number)  # headings once more, as on a new page
        if not cells["completed"]:
            if _USUAL_RECEIPT.fullmatch(cells["receipt"].upper()):
                return LineFault(number, "It has no completion time.")
            return PassedOver(number)  # a total
        return _read_movement(number, cells, self._order, now)

    def _refuse_other_kinds(self) -> None:
        self._file.seek(0)
        beginning = self._file.read(4)
        if not beginning:
            raise _refusal("statement_empty", "The file is empty.")
        if beginning.startswith(_WORKBOOKS):
            raise _refusal(
                "statement_not_csv",
                "This is a workbook or a PDF. Open it in Excel, save it as “CSV UTF-8”, and choose"
                " that file.",
            )
        if beginning.startswith(_WIDE_TEXT):
            raise _refusal(
                "statement_not_csv", "This is “Unicode text”. In Excel, save it as “CSV UTF-8”."
            )

    def _find_header(self) -> tuple[int, Columns, list[str]]:
        headings: list[str] = []
        for number, text in self._lines():
            if text is None or number > MOST_HEADING_LINES:
                break
            columns = find_columns(text)
            if columns is not None:
                return number, columns, headings
            headings.append(text)
        raise _refusal(
            "statement_without_columns",
            "This is no statement of M-Pesa's organisation portal: no line names the columns"
            " Receipt No., Completion Time, Paid In and Withdrawn.",
        )

    def _look_through(self) -> tuple[int, DayOrder]:
        """How many lines there are, and in which order their days are written."""
        certain: set[DayOrder] = set()
        hinted: set[DayOrder] = set()
        count = 0
        for number, text in self._lines():
            if number <= self._header_line:
                continue
            count += 1
            if count > self._most_lines:
                maximum = self._most_lines
                raise _refusal(
                    "statement_too_long",
                    f"The file has more than {maximum:,} lines: export a shorter period.",
                )
            order, is_certain = self._order_told_by(text)
            if order is not None:
                (certain if is_certain else hinted).add(order)
        if len(certain) > 1:
            raise _refusal(
                "statement_dates_mixed",
                "The days are written in two ways, as 25/09/2026 and as 09/25/2026. Export the"
                " statement anew and do not change its dates.",
            )
        told = certain or hinted
        return count, told.pop() if len(told) == 1 else DayOrder.DAY_FIRST

    def _order_told_by(self, text: str | None) -> tuple[DayOrder | None, bool]:
        try:
            cells = self._columns.cells_of(text or "")
        except UnreadableLine:
            return None, False
        return day_order_of(cells["completed"], cells["receipt"])

    def _lines(self) -> Iterator[tuple[int, str | None]]:
        """Every line of the file with its number; None for one that is too long to be any."""
        self._file.seek(0)
        number = 0
        while raw := self._file.readline(LONGEST_LINE):
            number += 1
            is_whole = len(raw) < LONGEST_LINE or raw.endswith(b"\n")
            while not raw.endswith(b"\n") and (rest := self._file.readline(LONGEST_LINE)):
                raw = rest
            yield number, _decode(raw, is_first=number == 1) if is_whole else None


def _decode(raw: bytes, *, is_first: bool) -> str:
    """UTF-8, or what Excel writes on Windows: every byte of that means something."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    return text.removeprefix(_MARK) if is_first else text


def _read_movement(number: int, cells: dict[str, str], order: DayOrder, now: datetime) -> Entry:
    receipt = receipt_in(cells["receipt"])
    if receipt is None:
        return LineFault(number, "It has no receipt.")
    try:
        if not _is_completed(cells):
            return PassedOver(number)
        moment = _moment_of(cells, order, now)
        amount_cents = _amount_of(cells)
    except UnreadableLine as fault:
        return LineFault(number, str(fault))
    if not amount_cents:
        return PassedOver(number)
    return _line_of(number, receipt, amount_cents, moment, cells)


def _is_completed(cells: dict[str, str]) -> bool:
    """What failed, was cancelled or is under way moved no money. Raises UnreadableLine."""
    status = cells.get("status", _COMPLETED).lower()
    if not status:
        raise UnreadableLine("It does not say whether it was completed.")
    return status == _COMPLETED


def _moment_of(cells: dict[str, str], order: DayOrder, now: datetime) -> datetime:
    """Raises UnreadableLine."""
    moment = read_moment(cells["completed"], order)
    if moment is None:
        raise UnreadableLine("Its completion time cannot be read.")
    if moment > now + _CLOCKS_DIFFER:
        raise UnreadableLine("Its completion time lies in the future.")
    return moment


def _amount_of(cells: dict[str, str]) -> int:
    """Cents, below zero for what was withdrawn: some exports write that with a minus, some without.

    Raises UnreadableLine.
    """
    if cells.get("currency", "").upper() not in _SHILLINGS:
        raise UnreadableLine("It is not in Kenyan shillings.")
    paid_in, withdrawn = read_cents(cells["paid_in"]), read_cents(cells["withdrawn"])
    if paid_in is None or paid_in < 0 or withdrawn is None:
        raise UnreadableLine("Its amount cannot be read.")
    if paid_in and withdrawn:
        raise UnreadableLine("It has an amount paid in and one withdrawn.")
    return paid_in or -abs(withdrawn)


def _line_of(
    number: int, receipt: str, amount_cents: int, moment: datetime, cells: dict[str, str]
) -> BookLine:
    details, other = cells.get("details", ""), cells.get("other_party", "")
    kind = kind_of(details, cells.get("reason", ""), amount_cents)
    party = party_of(other, details)
    account = cells.get("account") or account_of(details)
    return BookLine(
        number=number,
        receipt=receipt,
        kind=kind,
        amount_cents=amount_cents,
        transacted_at=moment,
        details=_clean(details, _LONGEST_DETAILS),
        linked_receipt=receipt_in(cells.get("linked")),
        bill_reference=_clean(account, _LONGEST_REFERENCE) or None,
        other_party=_clean(other, _LONGEST_PARTY) or None,
        payer_phone=_clean(party.number or "", _LONGEST_PHONE) or None,
        payer_name=_clean(party.name or "", _LONGEST_PARTY) or None,
        conversation_id=conversation_of(details) if kind is LineKind.PAYOUT else None,
    )


def _clean(text: str, longest: int) -> str:
    """What every database can store."""
    return _UNSTORABLE.sub(" ", text).strip()[:longest]


def _refusal(code: str, sentence: str) -> InvalidInput:
    return InvalidInput.field("file", sentence, code=code)
