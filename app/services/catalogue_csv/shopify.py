"""Shopify's product export: several rows of one handle are a product's variants and pictures."""

from collections.abc import Mapping

from app.services.catalogue_csv.cells import plain_text
from app.services.catalogue_csv.rows import Line, RowFault, Skip

_ONLY_VARIANT = "default title"
_OPTIONS = ("option1", "option2", "option3")
_SAID_BY_VARIANTS = ("price", "sku", "stock", *_OPTIONS)


class ShopifyReader:
    """The first row of a handle tells of the product, each row with a price of one variant."""

    def __init__(self) -> None:
        self._handle = ""
        self._product: dict[str, str] = {}
        self._unpublished: str | None = None

    def read(self, row: int, cells: Mapping[str, str]) -> Line | Skip | RowFault:
        handle = cells.get("handle", "").strip()
        if cells.get("name", "").strip():
            self._begin(handle, cells)
        elif not handle or handle != self._handle:
            message = "No row above it has this handle and a title."
            return RowFault(row, message, "handle", handle[:100])
        elif not any(cells.get(name, "").strip() for name in _SAID_BY_VARIANTS):
            return Skip(row)  # one more picture
        if self._unpublished is not None:
            return Skip(row, self._unpublished)
        return Line(row, self._variant(cells))

    def _begin(self, handle: str, cells: Mapping[str, str]) -> None:
        self._handle = handle
        self._product = {
            "name": cells["name"].strip(),
            "description": plain_text(cells.get("description", "")),
            "category": cells.get("category", "").strip(),
            "image_url": cells.get("image_url", "").strip(),
        }
        status = cells.get("status", "").strip().lower()
        published = cells.get("published", "").strip().lower()
        self._unpublished = None
        if status in {"draft", "archived"}:
            self._unpublished = f"Its status is {status}."
        elif published == "false":
            self._unpublished = "It is not published."

    def _variant(self, cells: Mapping[str, str]) -> dict[str, str]:
        """An empty cell says nothing: it must not empty what was set here."""
        options = [cells.get(option, "").strip() for option in _OPTIONS]
        named = " / ".join(word for word in options if word and word.lower() != _ONLY_VARIANT)
        name = self._product["name"]
        stock = cells.get("stock", "").strip()
        fields = {
            **self._product,
            "name": f"{name} – {named}" if named else name,  # noqa: RUF001 - a dash of its own
            "sku": cells.get("sku", "").strip(),
            "price": cells.get("price", "").strip(),
            "stock": "0" if stock.startswith("-") else stock,  # oversold there: none is left
            "image_url": cells.get("variant_image", "").strip() or self._product["image_url"],
        }
        return {field: value for field, value in fields.items() if value}
