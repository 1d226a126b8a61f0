"""The columns of a statement, found by their names: exports differ in order, number and wording."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

SEPARATORS = (",", ";", "\t")
NEEDED = ("receipt", "completed", "paid_in", "withdrawn")

_UNIT = re.compile(r"\([^)]*\)")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]")
_NAMES = {
    "receiptno": "receipt",
    "receiptnumber": "receipt",
    "receipt": "receipt",
    "completiontime": "completed",
    "completiondate": "completed",
    "details": "details",
    "transactionstatus": "status",
    "status": "status",
    "paidin": "paid_in",
    "withdrawn": "withdrawn",
    "withdraw": "withdrawn",
    "reasontype": "reason",
    "otherpartyinfo": "other_party",
    "oppositeparty": "other_party",
    "linkedtransactionid": "linked",
    "acno": "account",
    "accountno": "account",
    "currency": "currency",
}


class UnreadableLine(ValueError):
    """A line says nothing that we understand; its text is for whoever sent the file."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Where what stands; ``separator`` is what parts the cells of the whole file."""

    separator: str
    places: dict[str, int]

    def cells_of(self, text: str) -> dict[str, str]:
        """The cells of a line by our names, each without the blanks around it; what a line or the
        whole file lacks is empty. Raises UnreadableLine.
        """
        cells = split_line(text, self.separator)
        return {
            name: cells[place].strip() if place < len(cells) else ""
            for name, place in self.places.items()
        }


def find_columns(text: str) -> Columns | None:
    """The columns that this line names, or None if it is no row of headings."""
    for separator in SEPARATORS:
        try:
            cells = split_line(text, separator)
        except UnreadableLine:
            continue
        places = _places_of(cells)
        if all(name in places for name in NEEDED):
            return Columns(separator, places)
    return None


def split_line(text: str, separator: str) -> Sequence[str]:
    """The cells of one line, which ends where the file's line does. Raises UnreadableLine."""
    try:
        return next(csv.reader([text], delimiter=separator, strict=True), [])
    except csv.Error:
        raise UnreadableLine("A quotation mark opens or closes in the wrong place.") from None


def _places_of(cells: Sequence[str]) -> dict[str, int]:
    places: dict[str, int] = {}
    for place, cell in enumerate(cells):
        bare = _NOT_IN_NAMES.sub("", _UNIT.sub("", cell.lower()))
        name = _NAMES.get(bare)
        if name is not None:
            places.setdefault(name, place)
    return places
