"""Lists of the office: a form that asks, and what it finds."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import marshmallow as ma
from flask import Response, g, request

from app.error_handlers import invalid_fields
from app.errors import AppError
from app.schemas.base import PlainText, Schema
from app.services.pages import Page
from app.utils.order_number import is_order_number
from app.web.fields import StartOfDay
from app.web.language import gettext, mark
from app.web.pages import Form, next_address, page, refused_form

A_DAY = timedelta(days=1)
_IN_NO_FIELD = frozenset({"status", "stock", "role", "seller", "cursor"})


class Search(Schema):
    """What lists are searched by. What else an address carries does not matter."""

    class Meta:
        unknown = ma.EXCLUDE

    first_day = StartOfDay(load_default=None)
    last_day = StartOfDay(load_default=None)

    @ma.validates_schema
    def _days_in_order(self, data: dict[str, Any], **_kwargs: Any) -> None:
        first, last = data["first_day"], data["last_day"]
        if first and last and last < first:
            raise ma.ValidationError(mark("This day is before the first one."), "last_day")


class OrderNumber(PlainText):
    """An order's number as people type it; its check character finds their slips."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "number": mark("This is no order number. Look at each character again.")
    }

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        if not is_order_number(text):
            raise self.make_error("number", input=value)
        return "".join(text.split()).upper()


def end_of(day: datetime | None) -> datetime | None:
    """The first moment after a day of a form."""
    return None if day is None else day + A_DAY


def look_up(
    schema: ma.Schema,
    find: Callable[[Any], Page[Any]],
    template: str,
    **context: Any,
) -> Response:
    """What a GET form asks for; what is refused is shown in the form, above an empty list."""
    values = {name: text for name, text in request.args.items() if text.strip()}
    try:
        found = find(_loaded(schema, values))
    except AppError as refusal:
        g.problem_code = refusal.code
        form = _refused(refusal, values)
        return page(template, refusal.status, form=form, found=Page([], None), next=None, **context)
    return page(
        template, form=Form(values), found=found, next=next_address(found.next_cursor), **context
    )


def _loaded(schema: ma.Schema, values: Mapping[str, str]) -> Any:
    try:
        return schema.load(values)
    except ma.ValidationError as error:
        raise invalid_fields(error.messages) from error


def _refused(refusal: AppError, values: Mapping[str, str]) -> Form:
    """What no field of the form shows is said above it."""
    form = refused_form(refusal, values)
    unseen = [message for name, message in form.errors.items() if name in _IN_NO_FIELD]
    if not unseen:
        return form
    return Form(form.values, form.errors, gettext(unseen[0]), form.problem_code)
