"""What every schema is made of: fields that take exactly what the documentation says.

marshmallow's own fields are generous: ``Integer`` reads 5.7 as 5, ``Boolean`` reads "on" as True,
``String`` keeps NUL, which PostgreSQL cannot store. These are not.
"""

# ruff: noqa: ARG002 - marshmallow names the arguments of _serialize and _deserialize
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import marshmallow as ma
from marshmallow import validate

from app.models.base import MAX_CENTS
from app.services.pages import DEFAULT_LIMIT, MAX_LIMIT, PageRequest
from app.utils.clock import rfc3339
from app.utils.money import CENTS_PER_SHILLING, cents_to_wire
from app.utils.phone import normalise_msisdn

MAX_ID = 2**63 - 1
_MONEY = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,2})?")
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_RFC3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d{2}:?\d{2})"
)
_WORDS_TRUE = frozenset({"true", "1", "yes"})
_WORDS_FALSE = frozenset({"false", "0", "no"})


class Schema(ma.Schema):
    """Refuses unknown fields by name and keeps the order in which its fields are written."""

    class Meta:
        unknown = ma.RAISE

    error_messages = {  # noqa: RUF012 - marshmallow's own way
        "unknown": "There is no such field.",
        "type": "Send a JSON object.",
    }


class StrictInteger(ma.fields.Integer):
    """A JSON whole number: not "5", not 5.0, not true."""

    default_error_messages = {"invalid": "Must be a whole number."}  # noqa: RUF012 - likewise

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if type(value) is not int or abs(value) > MAX_ID:
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class QueryInteger(ma.fields.Integer):
    """A whole number in a query string: ASCII digits alone, of a size that a database holds."""

    default_error_messages = {"invalid": "Must be a whole number."}  # noqa: RUF012 - likewise

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, str) or not _INTEGER.fullmatch(value):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class StrictBoolean(ma.fields.Boolean):
    """true or false, and nothing that looks like them."""

    default_error_messages = {"invalid": "Must be true or false."}  # noqa: RUF012 - likewise

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if value is True or value is False:
            return value
        raise self.make_error("invalid", input=value)


class QueryBoolean(ma.fields.Boolean):
    """true or false in a query string; also 1, 0, yes and no."""

    default_error_messages = {"invalid": "Must be true or false."}  # noqa: RUF012 - likewise

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        word = value.lower() if isinstance(value, str) else ""
        if word in _WORDS_TRUE:
            return True
        if word in _WORDS_FALSE:
            return False
        raise self.make_error("invalid", input=value)


class PositiveId(StrictInteger):
    """The id of a row."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("validate", validate.Range(min=1, max=MAX_ID, error="Must be an id."))
        super().__init__(**kwargs)


class QueryId(QueryInteger):
    """The id of a row in a query string."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("validate", validate.Range(min=1, max=MAX_ID, error="Must be an id."))
        super().__init__(**kwargs)


class Money(ma.fields.Field[int]):
    """Shillings on the wire, a JSON number or a numeric string; whole cents inside."""

    default_error_messages = {  # noqa: RUF012 - likewise
        "invalid": "Must be an amount in shillings, like 1499.5: at most two decimals and ten"
        " digits before them, not negative.",
        "minimum": "Must be at least {minimum}.",
    }

    def __init__(self, *, minimum_cents: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.minimum_cents = minimum_cents

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        return None if value is None else cents_to_wire(value)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> int:
        cents = self._cents(value)
        if cents < self.minimum_cents:
            raise self.make_error("minimum", minimum=cents_to_wire(self.minimum_cents))
        return cents

    def _cents(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
            raise self.make_error("invalid", input=value)
        if isinstance(value, str) and not _MONEY.fullmatch(value):
            raise self.make_error("invalid", input=value)
        try:
            amount = Decimal(str(value))
        except InvalidOperation:
            raise self.make_error("invalid", input=value) from None
        # Bounds first: a huge exponent must not be multiplied out.
        if not amount.is_finite() or not 0 <= amount <= Decimal(MAX_CENTS) / CENTS_PER_SHILLING:
            raise self.make_error("invalid", input=value)
        cents = amount * CENTS_PER_SHILLING
        if cents != cents.to_integral_value() or (amount.is_signed() and amount == 0):
            raise self.make_error("invalid", input=value)
        return int(cents)


class PlainText(ma.fields.String):
    """Text that is data: trimmed, composed (NFC), with no control or formatting characters.

    ``multiline`` allows line breaks and tabs, and makes every line break a single newline. The
    lengths are counted after that.
    """

    default_error_messages = {  # noqa: RUF012 - likewise
        "invalid": "Must be text.",
        "characters": "Holds a character that cannot be printed.",
        "short": "Must have at least {minimum} characters.",
        "empty": "Must not be empty.",
        "long": "Must have at most {maximum} characters.",
    }

    def __init__(
        self,
        *,
        max: int,  # noqa: A002 - PlainText(max=80) reads as words
        min: int = 0,  # noqa: A002 - likewise
        multiline: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.maximum = max
        self.minimum = min
        self.multiline = multiline
        # Documentation reads lengths from validators; the check itself is below, after trimming.
        self.metadata = {"maxLength": max, **({"minLength": min} if min else {}), **self.metadata}

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, str):
            raise self.make_error("invalid", input=value)
        text = value
        if self.multiline:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        text = unicodedata.normalize("NFC", text.strip())
        if not all(self._is_fine(character) for character in text):
            raise self.make_error("characters", input=value)
        if len(text) < self.minimum:
            raise self.make_error("short" if text else "empty", minimum=self.minimum)
        if len(text) > self.maximum:
            raise self.make_error("long", maximum=self.maximum)
        return text

    def _is_fine(self, character: str) -> bool:
        if character in "\n\t":
            return self.multiline
        if character == "\u200d":  # joins emoji, and letters of some scripts
            return True
        return unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


class Phone(ma.fields.String):
    """A Kenyan mobile number as people write it; ``254…`` inside."""

    default_error_messages = {"invalid": "Must be text, like 0712345678."}  # noqa: RUF012 - likewise

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, str):
            raise self.make_error("invalid", input=value)
        try:
            return normalise_msisdn(value.strip())
        except ValueError as error:
            raise ma.ValidationError(str(error)) from None


class Timestamp(ma.fields.Field[datetime]):
    """RFC 3339 with its zone; UTC inside, and ``Z`` outside."""

    default_error_messages = {  # noqa: RUF012 - likewise
        "invalid": "Must be a moment with its zone, like 2026-11-22T09:30:00Z."
    }

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        return None if value is None else rfc3339(value)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> datetime:
        if not isinstance(value, str) or not value.isascii():
            raise self.make_error("invalid", input=value)
        # In a query string, the plus of "+03:00" arrives as a space unless it was escaped.
        text = re.sub(r" (?=\d{2}:?\d{2}$)", "+", value)
        if not _RFC3339.fullmatch(text):
            raise self.make_error("invalid", input=value)
        try:
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            raise self.make_error("invalid", input=value) from None


class ListQuery(Schema):
    """The query string of a list; filters are added by inheriting.

    A subclass' ``post_load`` calls ``take_page(data)`` and makes its own query value.
    """

    limit = QueryInteger(
        load_default=DEFAULT_LIMIT,
        validate=validate.Range(min=1, max=MAX_LIMIT, error=f"Must be from 1 to {MAX_LIMIT}."),
        metadata={"description": "How many rows to answer with."},
    )
    cursor = ma.fields.String(
        load_default=None,
        metadata={"description": "`page.next` of the page before; leave it out for the first."},
    )
    include_total = QueryBoolean(
        load_default=False,
        metadata={"description": "Also count the whole list, as `page.total`."},
    )


def take_page(data: dict[str, Any]) -> PageRequest:
    """Take the paging parameters out of a loaded ListQuery."""
    return PageRequest(
        limit=data.pop("limit"),
        cursor=data.pop("cursor"),
        include_total=data.pop("include_total"),
    )


class PageInfo(Schema):
    """Where a page stands in its list."""

    next = ma.fields.String(
        allow_none=True,
        metadata={"description": "The cursor of the next page; null on the last."},
    )
    has_more = ma.fields.Boolean()
    total = ma.fields.Integer(metadata={"description": "Only when it was asked for."})


_pages: dict[type[ma.Schema], type[ma.Schema]] = {}


def page_of(row: type[ma.Schema], **extra: ma.fields.Field[Any]) -> type[ma.Schema]:
    """The documented schema of a list: ``{"data": [row, …], "page": {…}}`` and ``extra``."""
    if row not in _pages:
        fields: Mapping[str, Any] = {
            "data": ma.fields.List(ma.fields.Nested(row), required=True),
            "page": ma.fields.Nested(PageInfo, required=True),
            **extra,
        }
        name = row.__name__.removesuffix("Schema") + "ListSchema"
        _pages[row] = type(name, (Schema,), dict(fields))
    return _pages[row]
