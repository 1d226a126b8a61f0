"""Reading what a call of the control API brings along. Everything here may raise BadRequest."""

from typing import Any, TypeVar

from flask import request
from werkzeug.exceptions import BadRequest

_MOST_COPIES = 1000
_HIGHEST = 1_000_000_000

T = TypeVar("T")


def read_object() -> dict[str, Any]:
    """The body as an object; no body is an empty one, whatever its content type."""
    if not request.get_data():
        return {}
    body = request.get_json(force=True)
    if not isinstance(body, dict):
        raise BadRequest("The body is a JSON object.")
    return body


def read_flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise BadRequest(f"{name} is true or false.")
    return value


def read_copies(body: dict[str, Any], name: str, default: int) -> int:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST_COPIES:
        raise BadRequest(f"{name} is a whole number from 1 to {_MOST_COPIES}.")
    return value


def read_number(body: dict[str, Any], name: str) -> float:
    value = body[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _HIGHEST:
        raise BadRequest(f"{name} is a number from 0 to {_HIGHEST}.")
    return float(value)


def is_chosen(name: str, value: str | None) -> bool:
    """Whether the query string leaves that filter out, or asks for this value."""
    wanted = request.args.get(name)
    return wanted in {None, "", value}


def take_newest(found: list[T]) -> list[T]:
    """As many of the last as `?limit=` says, in the order they have."""
    text = request.args.get("limit")
    if not text:
        return found
    if not (text.isascii() and text.isdigit()):
        raise BadRequest("limit is a whole number.")
    limit = int(text)
    return found[-limit:] if limit else []
