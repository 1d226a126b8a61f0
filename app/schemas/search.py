"""A search on the wire: what is asked, and what was found."""

from collections.abc import Sequence
from typing import Any

import marshmallow as ma

from app.schemas.base import (
    ListQuery,
    Money,
    PlainText,
    QueryBoolean,
    QueryId,
    Schema,
    page_of,
)
from app.schemas.item import LONGEST_CATEGORY, ProductSchema
from app.schemas.product_rows import product_on_wire
from app.schemas.task import TaskSchema
from app.services.product_rows import ProductRow
from app.services.search import MOST_RANKED, Found, SearchAsk, SearchKind

LONGEST_QUERY = 20_000
"""Whatever is pasted into a search box; of it the first words are looked for."""


class SearchText(ma.fields.String):
    """Any text that holds more than spaces. What is no word separates words."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "empty": "Say what to look for.",
        "nul": "Holds a character that cannot be looked for.",
        "long": f"Must have at most {LONGEST_QUERY} characters.",
    }

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs).strip()
        if not text:
            raise self.make_error("empty")
        if "\0" in text:
            raise self.make_error("nul")
        if len(text) > LONGEST_QUERY:
            raise self.make_error("long")
        return text


class SearchQuery(ListQuery):
    """What may be asked. The filters are about products alone."""

    query = SearchText(
        required=True,
        error_messages={"required": "Say what to look for."},
        metadata={
            "description": "Words that must all be found in a product's name, description, SKU or"
            " category; of a last word the beginning will do. The first eight are looked for.",
            "example": "shoe",
            "minLength": 1,
        },
    )
    type = ma.fields.Enum(
        SearchKind,
        by_value=True,
        attribute="kind",
        metadata={"description": "Only products, or only tasks. Tasks need a token."},
    )
    category = PlainText(
        max=LONGEST_CATEGORY,
        metadata={"description": "A slug or a name; what lies below it counts in."},
    )
    min_price = Money(attribute="min_price_cents", metadata={"type": "number", "example": 100})
    max_price = Money(attribute="max_price_cents", metadata={"type": "number", "example": 5000})
    in_stock = QueryBoolean(metadata={"description": "Only what can, or cannot, be bought now."})
    seller_id = QueryId()

    @ma.post_load
    def _ask(self, data: dict[str, Any], **_kwargs: Any) -> SearchAsk:
        data["category"] = data.get("category") or None  # an empty box of a form asks for nothing
        lowest, highest = data.get("min_price_cents"), data.get("max_price_cents")
        if lowest is not None and highest is not None and lowest > highest:
            raise ma.ValidationError("Must not be above max_price.", "min_price")
        return SearchAsk(**data)


class SearchHitSchema(Schema):
    """Something that was found: an `item` or a `task`, as its `type` says."""

    type = ma.fields.String(required=True, metadata={"enum": ["item", "task"], "example": "item"})
    score = ma.fields.Float(
        required=True,
        metadata={"description": "From 0 to 1; a page's best stands first.", "example": 0.95},
    )
    item = ma.fields.Nested(ProductSchema)
    task = ma.fields.Nested(TaskSchema)


class CategoryCountSchema(Schema):
    slug = ma.fields.String(required=True, metadata={"example": "shoes"})
    name = ma.fields.String(required=True, metadata={"example": "Shoes"})
    count = ma.fields.Integer(required=True)


class PriceCountSchema(Schema):
    """`from` counts in, `to` does not; a `to` of null has no upper end."""

    to = Money(attribute="below_cents", required=True, allow_none=True, metadata={"type": "number"})
    count = ma.fields.Integer(required=True)

    class Meta(Schema.Meta):
        include = {  # noqa: RUF012 - `from` is no name in Python
            "from": Money(attribute="from_cents", required=True, metadata={"type": "number"})
        }


class StockCountSchema(Schema):
    """How many each value of the filter `in_stock` would leave."""

    class Meta(Schema.Meta):
        include = {  # noqa: RUF012 - marshmallow's own way
            "true": ma.fields.Integer(attribute="in_stock", required=True),
            "false": ma.fields.Integer(attribute="sold_out", required=True),
        }


class FacetsSchema(Schema):
    """What the products that were found are like."""

    counted = ma.fields.Integer(
        required=True,
        metadata={"description": f"Products counted; {MOST_RANKED + 1} stands for more."},
    )
    capped = ma.fields.Boolean(attribute="is_capped", required=True)
    categories = ma.fields.List(ma.fields.Nested(CategoryCountSchema), required=True)
    price = ma.fields.List(ma.fields.Nested(PriceCountSchema), attribute="prices", required=True)
    in_stock = ma.fields.Nested(StockCountSchema, attribute="stock", required=True)


SearchPageSchema = page_of(
    SearchHitSchema,
    facets=ma.fields.Nested(FacetsSchema, required=True),
    corrected=ma.fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "What was looked for instead, where the query itself found nothing.",
            "example": None,
        },
    ),
)


_task = TaskSchema()


def hits_on_wire(hits: Sequence[tuple[Found, float]]) -> list[dict[str, Any]]:
    """What SearchHitSchema says of each, written out."""
    return [
        {"type": "item", "score": score, "item": product_on_wire(found)}
        if isinstance(found, ProductRow)
        else {"type": "task", "score": score, "task": _task.dump(found)}
        for found, score in hits
    ]
