"""What a visitor narrows a list of products down to."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import marshmallow as ma
from flask import request

from app.error_handlers import invalid_fields
from app.schemas.base import Money, QueryBoolean, Schema
from app.services.list_products import ProductSort
from app.web.language import mark
from app.web.pages import Form, refused_form

NARROWING = ("min_price", "max_price", "in_stock")
SORTS = (
    (ProductSort.CREATED_AT_DESCENDING.value, mark("Newest first")),
    (ProductSort.PRICE.value, mark("Cheapest first")),
    (ProductSort.PRICE_DESCENDING.value, mark("Dearest first")),
    (ProductSort.NAME.value, mark("By name")),
)
_PRICES = ("min_price", "max_price")
_NO_PRICE = {"invalid": mark("Write a price in shillings, like 1500.")}
_AROUND_DIGITS = re.compile(r"[,\s]|ksh", re.IGNORECASE)


class FilterSchema(Schema):
    """Prices that were put in the wrong way round mean what lies between them."""

    min_price = Money(attribute="min_price_cents", error_messages=_NO_PRICE)
    max_price = Money(attribute="max_price_cents", error_messages=_NO_PRICE)
    in_stock = QueryBoolean()
    sort = ma.fields.Enum(ProductSort, by_value=True)

    @ma.post_load
    def _in_order(self, data: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
        lowest, highest = data.get("min_price_cents"), data.get("max_price_cents")
        if lowest is not None and highest is not None and lowest > highest:
            data["min_price_cents"], data["max_price_cents"] = highest, lowest
        return data


@dataclass(frozen=True, slots=True)
class Filters:
    """``wanted`` are arguments of ProductFilter, or None where they make no sense; ``form`` shows
    them, with what is wrong.
    """

    wanted: dict[str, Any] | None
    form: Form
    count: int
    """How many narrow the list down."""

    @property
    def chooses_by_stock(self) -> bool:
        return self.wanted is not None and "in_stock" in self.wanted

    @property
    def status(self) -> int:
        return 200 if self.wanted is not None else 400


def read_filters(names: Sequence[str]) -> Filters:
    """What the address says of these; what is left empty does not matter."""
    asked = {name: _tidy(name, request.args.get(name, "")) for name in names}
    values = {name: value for name, value in asked.items() if value}
    count = sum(name in NARROWING for name in values)
    try:
        return Filters(FilterSchema().load(values), Form(values), count)
    except ma.ValidationError as error:
        return Filters(None, refused_form(invalid_fields(error.messages), values), count)


def narrowed(**changes: str | None) -> str:
    """This address with other parameters; None takes one away. It starts at the first page."""
    asked: dict[str, str | None] = {**request.args.to_dict(), "cursor": None, **changes}
    kept = {name: value for name, value in asked.items() if value is not None}
    return f"{request.path}?{urlencode(kept)}" if kept else request.path


def _tidy(name: str, text: str) -> str:
    """``KSh 1,499`` is a price as people write it."""
    return _AROUND_DIGITS.sub("", text) if name in _PRICES else text.strip()
