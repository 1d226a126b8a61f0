"""Products on the wire. Items and products are one thing under two names."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import marshmallow as ma
from marshmallow import validate

from app.models.item import MAX_STOCK
from app.schemas.base import (
    ListQuery,
    Money,
    PlainText,
    PositiveId,
    QueryBoolean,
    QueryId,
    Schema,
    StrictInteger,
    Timestamp,
    take_page,
)
from app.services.change_product import ProductChange
from app.services.create_product import NewProduct
from app.services.list_products import ProductFilter, ProductSort
from app.services.pages import PageRequest
from app.utils.money import CURRENCY

LONGEST_CATEGORY = 100
LONGEST_URL = 2048
LONGEST_QUERY = 200
MOST_WORDS = 10
_ALLOWED_IN_URL = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/?#[]@!$&'()*+,;=%"
)


class CategoryReference(ma.fields.Field[str | int]):
    """A category by its slug or its name; a JSON number is its id."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._id = PositiveId()
        self._word = PlainText(min=1, max=LONGEST_CATEGORY)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_kwargs: Any) -> str | int:
        kind: ma.fields.Field[Any] = self._id if type(value) is int else self._word
        reference: str | int = kind.deserialize(value, attr, data)
        return reference


class WebAddress(PlainText):
    """An http or https address, or a path on this site. It is shown, and never fetched by us."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "address": "Must be an address that starts with https:// or http://, or a path here."
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        address = super()._deserialize(value, attr, data, **kwargs)
        if not self._is_address(address):
            raise self.make_error("address", input=value)
        return address

    def _is_address(self, address: str) -> bool:
        if not _ALLOWED_IN_URL.issuperset(address):
            return False
        try:
            parts = urlsplit(address)
            host, _port = parts.hostname, parts.port
        except ValueError:
            return False
        if parts.scheme in {"http", "https"}:
            return bool(host) and parts.username is None
        return not parts.scheme and not parts.netloc and address.startswith("/")


_STOCK_RANGE = validate.Range(min=0, max=MAX_STOCK, error="Must be from 0 to {max}.")
_NAME = {"description": "What people read.", "example": "Trail running shoe"}
_PRICE = {
    "description": "In KES, above zero, with at most two decimals.",
    "type": "number",
    "minimum": 0.01,
    "example": 1499.5,
}
_DESCRIPTION = {"description": "Plain text.", "example": "Light, with a deep tread."}
_STOCK = {"description": "How many can be bought now.", "example": 12}
_CATEGORY = {
    "description": "The category's slug. Accepted as its slug, its name or its id (a number).",
    "type": ["string", "integer"],
}
_IMAGE_URL = {
    "description": "Where a picture of it is.",
    "example": "https://shop.example/media/shoe.webp",
}
_SKU = {"description": "The seller's own code, once in their shop.", "example": "SHOE-42"}
_THRESHOLD = {
    "description": "Tell the seller when no more than this many can be bought. Null: never.",
    "example": 3,
}

_RATING = {
    "description": "From 1 to 5 with one decimal; the latest of each user. Null: none yet.",
    "example": 4.3,
}


class ProductSchema(Schema):
    """A product as everybody sees it."""

    id = ma.fields.Integer(required=True, metadata={"example": 7})
    name = ma.fields.String(required=True, metadata=_NAME)
    price = Money(attribute="price_cents", required=True, metadata=_PRICE)
    currency = ma.fields.Constant(
        CURRENCY,
        required=True,
        metadata={"type": "string", "enum": [CURRENCY], "example": CURRENCY},
    )
    description = ma.fields.String(required=True, metadata=_DESCRIPTION)
    stock = ma.fields.Integer(attribute="available", required=True, metadata=_STOCK)
    category = ma.fields.String(
        attribute="category.slug",
        dump_default=None,
        required=True,
        allow_none=True,
        metadata={"description": "The slug of its category.", "example": "shoes"},
    )
    image_url = ma.fields.String(required=True, allow_none=True, metadata=_IMAGE_URL)
    rating_average = ma.fields.Float(required=True, allow_none=True, metadata=_RATING)
    rating_count = ma.fields.Integer(required=True, metadata={"example": 12})
    seller_id = ma.fields.Integer(required=True, metadata={"example": 2})
    sku = ma.fields.String(required=True, allow_none=True, metadata=_SKU)
    created_at = Timestamp(required=True, metadata={"format": "date-time", "type": "string"})
    updated_at = Timestamp(required=True, metadata={"format": "date-time", "type": "string"})


class NewProductSchema(Schema):
    name = PlainText(min=1, max=200, required=True, metadata=_NAME)
    price = Money(attribute="price_cents", minimum_cents=1, required=True, metadata=_PRICE)
    description = PlainText(max=10_000, multiline=True, metadata=_DESCRIPTION)
    stock = StrictInteger(validate=_STOCK_RANGE, metadata=_STOCK)
    category = CategoryReference(allow_none=True, metadata=_CATEGORY)
    image_url = WebAddress(min=1, max=LONGEST_URL, allow_none=True, metadata=_IMAGE_URL)
    sku = PlainText(min=1, max=64, allow_none=True, metadata=_SKU)
    low_stock_threshold = StrictInteger(validate=_STOCK_RANGE, allow_none=True, metadata=_THRESHOLD)

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> NewProduct:
        return NewProduct(**data)


class ProductChangeSchema(Schema):
    """Any of the fields; the others stay as they are."""

    name = PlainText(min=1, max=200, metadata=_NAME)
    price = Money(attribute="price_cents", minimum_cents=1, metadata=_PRICE)
    description = PlainText(max=10_000, multiline=True, metadata=_DESCRIPTION)
    stock = StrictInteger(
        validate=_STOCK_RANGE,
        metadata={
            "description": "How many can be bought from now on; what orders hold comes on top.",
            "example": 12,
        },
    )
    category = CategoryReference(allow_none=True, metadata=_CATEGORY)
    image_url = WebAddress(min=1, max=LONGEST_URL, allow_none=True, metadata=_IMAGE_URL)
    sku = PlainText(min=1, max=64, allow_none=True, metadata=_SKU)
    low_stock_threshold = StrictInteger(validate=_STOCK_RANGE, allow_none=True, metadata=_THRESHOLD)

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> ProductChange:
        return ProductChange(**data)


@dataclass(frozen=True, slots=True)
class WantedProducts:
    """Which products, and which page of them."""

    filter: ProductFilter
    page: PageRequest


class ProductQuery(ListQuery):
    """What a list of products may be asked for."""

    category = PlainText(
        max=LONGEST_CATEGORY,
        metadata={"description": "A slug or a name; what lies below it counts in."},
    )
    q = PlainText(
        max=LONGEST_QUERY,
        metadata={"description": "Words that all stand in its name, description or SKU."},
    )
    min_price = Money(attribute="min_price_cents", metadata={"type": "number", "example": 100})
    max_price = Money(attribute="max_price_cents", metadata={"type": "number", "example": 5000})
    in_stock = QueryBoolean(metadata={"description": "Only what can, or cannot, be bought now."})
    seller_id = QueryId()
    sort = ma.fields.Enum(
        ProductSort,
        by_value=True,
        metadata={"description": "`-` in front: from the end. Newest first when left out."},
    )

    @ma.post_load
    def _wanted(self, data: dict[str, Any], **_kwargs: Any) -> WantedProducts:
        page = take_page(data)
        data["category"] = data.get("category") or None  # an empty box of a form asks for nothing
        words = tuple(data.pop("q", "").split())
        if len(words) > MOST_WORDS:
            raise ma.ValidationError(f"Search for at most {MOST_WORDS} words.", "q")
        lowest, highest = data.get("min_price_cents"), data.get("max_price_cents")
        if lowest is not None and highest is not None and lowest > highest:
            raise ma.ValidationError("Must not be above max_price.", "min_price")
        return WantedProducts(ProductFilter(words=words, **data), page)
