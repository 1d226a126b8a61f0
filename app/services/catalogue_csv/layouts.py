"""Which columns a file has: ours, WooCommerce's or Shopify's, told by the header."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from app.errors import InvalidInput
from app.services.catalogue_csv.cells import unguard_cell
from app.services.catalogue_csv.lines import Record
from app.services.catalogue_csv.rows import Line, RowFault, Skip
from app.services.catalogue_csv.shopify import ShopifyReader
from app.services.catalogue_csv.woocommerce import WooCommerceReader


class CsvFormat(StrEnum):
    SOKONI = "sokoni"
    WOOCOMMERCE = "woocommerce"
    SHOPIFY = "shopify"


_OWN_NAMES = (
    "id",
    "sku",
    "name",
    "description",
    "price",
    "stock",
    "category",
    "low_stock_threshold",
    "image_url",
    "seller",
)

_COLUMNS: dict[CsvFormat, dict[str, tuple[str, ...]]] = {
    CsvFormat.SOKONI: {name: (name.replace("_", " "),) for name in _OWN_NAMES},
    CsvFormat.WOOCOMMERCE: {
        "sku": ("sku",),
        "name": ("name",),
        "description": ("description",),
        "price": ("regular price",),
        "stock": ("stock",),
        "category": ("categories",),
        "low_stock_threshold": ("low stock amount",),
        "image_url": ("images",),
        # What decides about a row without being a field of a product.
        "their_id": ("id",),
        "type": ("type",),
        "parent": ("parent",),
        "published": ("published",),
        "in_stock": ("in stock?",),
        "short_description": ("short description",),
    },
    CsvFormat.SHOPIFY: {
        "sku": ("variant sku", "sku"),
        "name": ("title",),
        "description": ("body (html)", "description"),
        "price": ("variant price", "price"),
        "stock": ("variant inventory qty", "inventory quantity"),
        "category": ("type",),
        "image_url": ("image src", "product image url"),
        "variant_image": ("variant image", "variant image url"),
        "handle": ("handle", "url handle"),
        "published": ("published", "published on online store"),
        "status": ("status",),
        "option1": ("option1 value",),
        "option2": ("option2 value",),
        "option3": ("option3 value",),
    },
}
"""Our name of a column → the names that a header may give it, the older one first."""

_REQUIRED = {
    CsvFormat.WOOCOMMERCE: (("name", "Name"), ("price", "Regular price")),
    CsvFormat.SHOPIFY: (("handle", "Handle"), ("name", "Title"), ("price", "Variant Price")),
}
_WOOCOMMERCE_ALONE = frozenset({"regular price", "in stock?", "is featured?", "short description"})
_HANDLES = frozenset({"handle", "url handle"})

LineReader = Callable[[Record], Line | Skip | RowFault]


@dataclass(frozen=True, slots=True)
class Layout:
    """``places`` says which cell of a row holds a column, by our name for it."""

    format: CsvFormat
    header: tuple[str, ...]
    places: Mapping[str, int]

    @property
    def ignored(self) -> tuple[str, ...]:
        read = frozenset(self.places.values())
        return tuple(name for place, name in enumerate(self.header) if name and place not in read)

    def in_its_words(self, fault: RowFault) -> RowFault:
        """The fault with the file's own name for the column."""
        if fault.column is None or fault.column not in self.places:
            return fault
        return replace(fault, column=self.header[self.places[fault.column]])

    def cells(self, record: Record) -> dict[str, str]:
        """The cells that the row has; those that a spreadsheet left off at its end are missing."""
        return {
            name: unguard_cell(record.cells[place])
            for name, place in self.places.items()
            if place < len(record.cells)
        }


def find_layout(header: tuple[str, ...]) -> Layout:
    """Recognise a header, in any case and order. Raises InvalidInput that names what is missing."""
    names = [re.sub(r"[\s_]+", " ", unguard_cell(name)).strip().casefold() for name in header]
    found = _format_of(frozenset(names))
    places: dict[str, int] = {}
    for column, spellings in _COLUMNS[found].items():
        where = [place for place, name in enumerate(names) if name in spellings]
        if len(where) > 1:
            said = header[where[1]]
            raise _refusal("csv_column_repeated", f"Two columns are called {said}: keep one.")
        if where:
            places[column] = where[0]
    missing = _missing(found, places)
    if missing:
        raise _refusal(
            "csv_column_missing",
            f"The first row must name the columns; {' and '.join(missing)} is not among them.",
            missing_columns=missing,
        )
    return Layout(found, header, places)


def line_reader(layout: Layout) -> LineReader:
    """Reads the rows of one file, in their order: a row of Shopify's leans on those above it."""
    read: Callable[[int, Mapping[str, str]], Line | Skip | RowFault] = {
        CsvFormat.SOKONI: Line,
        CsvFormat.WOOCOMMERCE: WooCommerceReader().read,
        CsvFormat.SHOPIFY: ShopifyReader().read,
    }[layout.format]

    def read_record(record: Record) -> Line | Skip | RowFault:
        if any(cell.strip() for cell in record.cells[len(layout.header) :]):
            return RowFault(
                record.row,
                f"This row has {len(record.cells)} cells and the header {len(layout.header)}."
                ' Put quotation marks (") around a cell that holds the separator.',
            )
        return read(record.row, layout.cells(record))

    return read_record


def _format_of(names: frozenset[str]) -> CsvFormat:
    if names & _HANDLES:
        return CsvFormat.SHOPIFY
    if names & _WOOCOMMERCE_ALONE:
        return CsvFormat.WOOCOMMERCE
    return CsvFormat.SOKONI


def _missing(found: CsvFormat, places: Mapping[str, int]) -> list[str]:
    """A file of ours that names no product is there to change some: id or sku says which."""
    if found is not CsvFormat.SOKONI:
        return [said for name, said in _REQUIRED[found] if name not in places]
    if "name" not in places and ("id" in places or "sku" in places):
        return []
    return [name for name in ("name", "price") if name not in places]


def _refusal(code: str, sentence: str, **extra: list[str]) -> InvalidInput:
    return InvalidInput.field("file", sentence, code=code, **extra)
