"""WooCommerce's product export: one row a product or a variation."""

import re
from collections.abc import Mapping

from app.services.catalogue_csv.cells import plain_text
from app.services.catalogue_csv.rows import Line, Skip

_NOT_ESCAPED_COMMA = re.compile(r"(?<!\\),")
_LINE_BREAK = re.compile(r"\\(\\?)n")
_NOT_SOLD = {
    "variable": "A variable product has no price of its own: its variations are imported, each as"
    " a product.",
    "grouped": "A grouped product is only a list of others.",
    "external": "An external product is sold elsewhere.",
}
_INHERITED = ("description", "category", "image_url")


class WooCommerceReader:
    """``ID`` counts in the other shop and is never taken for ours; a variation without a text, a
    category or a picture has those of its product, where that stands above it.
    """

    def __init__(self) -> None:
        self._parents: dict[str, dict[str, str]] = {}
        self._hidden: set[str] = set()

    def read(self, row: int, cells: Mapping[str, str]) -> Line | Skip:
        fields = _fields(cells)
        kinds = [kind.strip().lower() for kind in cells.get("type", "").split(",")]
        is_hidden = cells.get("published", "").strip().lower() not in {"1", "true", ""}
        if "variable" in kinds:
            self._remember(cells, fields, is_hidden=is_hidden)
        if "variation" in kinds:
            parent = cells.get("parent", "").strip()
            is_hidden = is_hidden or parent in self._hidden
            fields = {**self._parents.get(parent, {}), **fields}
        if is_hidden:
            return Skip(row, "It is not published.")
        reason = next((_NOT_SOLD[kind] for kind in kinds if kind in _NOT_SOLD), None)
        return Line(row, fields) if reason is None else Skip(row, reason)

    def _remember(
        self, cells: Mapping[str, str], fields: Mapping[str, str], *, is_hidden: bool
    ) -> None:
        """Variations name their product by its SKU, or by ``id:`` and its id."""
        known = {name: fields[name] for name in _INHERITED if name in fields}
        own_id, sku = cells.get("their_id", "").strip(), cells.get("sku", "").strip()
        for key in (f"id:{own_id}" if own_id else "", sku):
            if key:
                self._parents[key] = known
                if is_hidden:
                    self._hidden.add(key)


def _fields(cells: Mapping[str, str]) -> dict[str, str]:
    """Ours out of theirs. An empty cell says nothing: it must not empty what was set here."""
    fields = {
        name: cells[name].strip()
        for name in ("sku", "name", "price", "low_stock_threshold")
        if name in cells
    }
    fields["description"] = _text(cells.get("description", "")) or _text(
        cells.get("short_description", "")
    )
    fields["category"] = _first(cells.get("category", ""))
    fields["image_url"] = _first(cells.get("image_url", ""))
    fields["stock"] = _stock(cells)
    return {name: value for name, value in fields.items() if value}


def _text(cell: str) -> str:
    r"""Their line breaks are written ``\n``, and a real backslash before an n ``\\n``."""
    return plain_text(_LINE_BREAK.sub(lambda found: r"\n" if found[1] else "\n", cell))


def _first(cell: str) -> str:
    """The first of several, which commas part; ``A > B`` stays a path."""
    return _NOT_ESCAPED_COMMA.split(cell)[0].replace(r"\,", ",").strip()


def _stock(cells: Mapping[str, str]) -> str:
    """Units sold before they came are counted below zero there; here none is left."""
    stock = cells.get("stock", "").strip()
    if stock.startswith("-") or cells.get("in_stock", "").strip() == "0":
        return "0"
    return "" if stock == "parent" else stock
