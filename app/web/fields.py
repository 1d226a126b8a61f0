"""Fields of forms: what a browser sends is text."""

from datetime import UTC, date, datetime, time
from typing import Any

import marshmallow as ma

from app.web.formats import NAIROBI


class EndOfDay(ma.fields.Field[datetime]):
    """A day of a date field; inside, the last second of it in Nairobi."""

    default_error_messages = {"invalid": "Must be a day, like 2026-11-30."}  # noqa: RUF012 - marshmallow's own way

    def _deserialize(self, value: Any, attr: Any, data: Any, **_kwargs: Any) -> datetime:  # noqa: ARG002 - marshmallow's signature
        return _at(self, value, time(23, 59, 59))


class StartOfDay(ma.fields.Field[datetime]):
    """A day of a date field; inside, the first moment of it in Nairobi."""

    default_error_messages = {"invalid": "Must be a day, like 2026-11-30."}  # noqa: RUF012 - likewise

    def _deserialize(self, value: Any, attr: Any, data: Any, **_kwargs: Any) -> datetime:  # noqa: ARG002 - likewise
        return _at(self, value, time())


def _at(field: ma.fields.Field[datetime], value: Any, moment: time) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(value), moment, NAIROBI).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise field.make_error("invalid", input=value) from None
