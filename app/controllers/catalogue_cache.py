"""Answers about the catalogue that are kept as bytes, and sent for as long as they are true.

    @items.get("/items")
    @public
    @kept_while_true
    @items.arguments(…)

An answer is kept under its whole address, and may depend on nothing else: not on who asks, nor on
any header. What it shows is told by ``shows``.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from flask import Response, request
from werkzeug.datastructures import Headers

from app.controllers.entity_tags import REVALIDATE
from app.ready_answers import kept_answer
from app.services.kept_catalogue import Kept

View = TypeVar("View", bound=Callable[..., Any])

_SHOWN = "sokoni_shown"


def shows(response: Response, products: frozenset[int], *, follows_stock: bool = False) -> Response:
    """Note what an answer shows: it stands until one of these products is changed, any product
    moves to another list or, if it ``follows_stock``, until any product is changed.
    """
    vars(response)[_SHOWN] = (products, follows_stock)
    return response


def kept_while_true(view: View) -> View:
    """Send what the view would make of the catalogue now, without making it anew each time."""

    @wraps(view)
    def kept_view(*args: Any, **kwargs: Any) -> Response:
        def build() -> Kept:
            return _keep(view(*args, **kwargs), len(address[0]) + len(address[1]))

        address = (request.environ["PATH_INFO"], request.environ.get("QUERY_STRING", ""))
        body, headers = kept_answer(address, build).content
        response = Response(body, headers=Headers(headers))
        if "HTTP_IF_NONE_MATCH" in request.environ:
            response.make_conditional(request)
        return response

    return kept_view  # type: ignore[return-value]  # it takes what the view takes


def _keep(response: Response, key_bytes: int) -> Kept:
    products, follows_stock = vars(response)[_SHOWN]
    response.add_etag()
    response.headers["Cache-Control"] = REVALIDATE
    body = response.get_data()
    headers = [
        (name, value) for name, value in response.headers if name.lower() != "content-length"
    ]
    size = len(body) + key_bytes + sum(len(name) + len(value) for name, value in headers)
    return Kept((body, headers), size, products, follows_stock)
