"""What a cell of a catalogue's file may hold, and what is answered to the file."""

import re
from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.models.item import MAX_STOCK
from app.schemas.base import Money, PlainText, QueryBoolean, QueryId, QueryInteger, Schema
from app.schemas.item import LONGEST_URL, WebAddress
from app.services.catalogue_csv import CsvFormat, Line, ProductRow, RowFault
from app.services.change_product import ProductChange

LARGEST_FILE_BYTES = 10 * 1024 * 1024
LONGEST_PATH = 500
_CURRENCY = re.compile(r"^(?:kes|kshs?)\.?\s*|\s*(?:kes|kshs?|/[-=])$", re.IGNORECASE)
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?")
_EXTRA_ZEROS = re.compile(r"(\.[0-9]{2})0+$")
_NO_FRACTION = re.compile(r"\.0+$")
_TOO_LONG = 60
"""No number is written with so many characters; it is refused as it stands."""

_EMPTY_MEANS: dict[str, Any] = {
    "description": "",
    "sku": None,
    "category": None,
    "image_url": None,
    "low_stock_threshold": None,
}
"""What an empty cell makes of a field that may be empty; of any other it says nothing."""


class CellMoney(Money):
    """An amount as spreadsheets and people write it: 1499.5, "1,499.50", "KSh 1,499", "1499/=".

    A comma parts thousands and nothing else: "1499,50" is refused rather than guessed at.
    """

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> int:
        text = _CURRENCY.sub("", value.strip()).strip() if len(value) < _TOO_LONG else value
        return super()._deserialize(_plain_number(text), attr, data, **kwargs)


class CellCount(QueryInteger):
    """A number of units; spreadsheets write 12 also as 12.0 and 1200 as "1,200"."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        text = _plain_number(value.strip() if len(value) < _TOO_LONG else value)
        return super()._deserialize(_NO_FRACTION.sub("", text), attr, data, **kwargs)


def _plain_number(text: str) -> str:
    if _THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    return _EXTRA_ZEROS.sub(r"\1", text)


_UNITS = validate.Range(min=0, max=MAX_STOCK, error="Must be from 0 to {max}.")


class LineSchema(Schema):
    """The cells of one product under our names for them."""

    id = QueryId()
    seller = PlainText(max=254)
    name = PlainText(min=1, max=200)
    price = CellMoney(attribute="price_cents", minimum_cents=1)
    description = PlainText(max=10_000, multiline=True)
    stock = CellCount(validate=_UNITS)
    category = PlainText(max=LONGEST_PATH, allow_none=True)
    image_url = WebAddress(min=1, max=LONGEST_URL, allow_none=True)
    sku = PlainText(min=1, max=64, allow_none=True)
    low_stock_threshold = CellCount(validate=_UNITS, allow_none=True)


_lines = LineSchema()


def read_row(line: Line) -> ProductRow | list[RowFault]:
    """Hold a line against the schema: what it says of a product, or all that is wrong with it."""
    given: dict[str, Any] = {}
    for name, cell in line.cells.items():
        if cell.strip():
            given[name] = cell.strip() if name == "id" else cell
        elif name in _EMPTY_MEANS:
            given[name] = _EMPTY_MEANS[name]
    try:
        loaded = _lines.load(given)
    except ma.ValidationError as error:
        messages: Any = error.messages
        return [RowFault.of(line, str(found[0]), name) for name, found in messages.items()]
    return ProductRow(
        line,
        id=loaded.pop("id", None),
        seller=loaded.pop("seller", None),
        change=ProductChange(**loaded),
    )


class ImportQuery(Schema):
    """How a file is taken in."""

    dry_run = QueryBoolean(
        load_default=False,
        metadata={"description": "Answer as if it were done, and change nothing."},
    )
    create_categories = QueryBoolean(
        load_default=False,
        metadata={"description": "Make categories that are missing; for administrators."},
    )


class ExportQuery(Schema):
    excel = QueryBoolean(
        load_default=False,
        metadata={"description": "Begin with the mark by which Excel knows UTF-8."},
    )


class RowFaultSchema(Schema):
    """Why a row was left out; the row's number is the spreadsheet's, where the header is row 1."""

    row = ma.fields.Integer(required=True, metadata={"example": 12})
    column = ma.fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "As the file itself calls it.", "example": "price"},
    )
    value = ma.fields.String(required=True, allow_none=True, metadata={"example": "abc"})
    message = ma.fields.String(
        required=True, metadata={"example": "Must be an amount in shillings, like 1499.5."}
    )


class RowWarningSchema(Schema):
    """What a person should know of a row that was skipped, or of the whole file."""

    row = ma.fields.Integer(
        required=True, allow_none=True, metadata={"description": "Null: the file.", "example": 4}
    )
    message = ma.fields.String(
        attribute="reason", required=True, metadata={"example": "It is not published."}
    )


class ImportReportSchema(Schema):
    """What became of the file: `rows` is the sum of the five counts after it."""

    format = ma.fields.Enum(CsvFormat, by_value=True, required=True)
    dry_run = ma.fields.Boolean(required=True, metadata={"example": False})
    rows = ma.fields.Integer(required=True, metadata={"example": 120})
    created = ma.fields.Integer(required=True, metadata={"example": 100})
    updated = ma.fields.Integer(required=True, metadata={"example": 10})
    unchanged = ma.fields.Integer(required=True, metadata={"example": 8})
    skipped = ma.fields.Integer(
        required=True, metadata={"description": "No products of their own.", "example": 1}
    )
    failed = ma.fields.Integer(required=True, metadata={"example": 1})
    errors = ma.fields.List(
        ma.fields.Nested(RowFaultSchema),
        required=True,
        metadata={"description": "The first 1,000."},
    )
    warnings = ma.fields.List(
        ma.fields.Nested(RowWarningSchema),
        required=True,
        metadata={"description": "The first 1,000."},
    )
    ignored_columns = ma.fields.List(
        ma.fields.String(), required=True, metadata={"example": ["updated_at"]}
    )
