"""One page of a list as its answer."""

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

import marshmallow as ma
from flask import Response, request

from app.services.pages import Page
from app.utils.json_provider import json_response

Dumper = Callable[[Sequence[Any]], list[dict[str, Any]]]
"""Makes rows into what stands on the wire."""


def page_response(
    page: Page[Any], schema: type[ma.Schema] | ma.Schema | Dumper, **extra: Any
) -> Response:
    """``{"data": […], "page": {…}}`` and ``extra`` beside, with a Link header to the next page."""
    dumper = schema() if isinstance(schema, type) else schema
    info: dict[str, Any] = {"next": page.next_cursor, "has_more": page.next_cursor is not None}
    if page.total is not None:
        info["total"] = page.total
    rows = dumper.dump(page.rows, many=True) if isinstance(dumper, ma.Schema) else dumper(page.rows)
    response = json_response({"data": rows, "page": info, **extra})
    if page.next_cursor is not None:
        response.headers["Link"] = f'<{_next_url(page.next_cursor)}>; rel="next"'
    return response


def _next_url(cursor: str) -> str:
    """This list's own address with the next cursor: relative, so that it survives any proxy."""
    query = [(name, value) for name, value in request.args.items(multi=True) if name != "cursor"]
    return f"{request.path}?{urlencode([*query, ('cursor', cursor)])}"
