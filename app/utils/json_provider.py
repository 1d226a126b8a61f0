"""JSON out, by orjson: ten times faster than the standard library, and it never writes NaN."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import orjson
from flask.json.provider import JSONProvider
from flask.wrappers import Response

from app.utils.clock import rfc3339
from app.utils.strict_json import parse_json

_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME


def to_json(value: Any) -> bytes:
    """Plain values, moments (RFC 3339) and decimals as JSON bytes."""
    return orjson.dumps(value, default=_plain, option=_OPTIONS)


def json_response(value: Any, status: int = 200, mimetype: str = "application/json") -> Response:
    return Response(to_json(value), status, mimetype=mimetype)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise TypeError(f"{type(value).__name__} has no place in a JSON answer.")


class OrjsonProvider(JSONProvider):
    """What Flask, flask-smorest and the views write and read JSON with."""

    def dumps(self, obj: Any, **_kwargs: Any) -> str:
        return to_json(obj).decode()

    def loads(self, s: str | bytes, **_kwargs: Any) -> Any:
        return parse_json(s if isinstance(s, bytes) else s.encode(), fraction=float)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        return json_response(self._prepare_response_obj(args, kwargs))
