"""The same bytes as another address sends, from a constant, with the same headers."""

from functools import partial

from flask import Blueprint, Flask, Response, current_app, request
from werkzeug.datastructures import Headers
from werkzeug.test import Client

from app.security import public

constant = Blueprint("bench_constant", __name__)

_OF_THE_SERVER = {
    *("content-length", "x-request-id", "date", "server", "connection"),
    *("content-security-policy", "x-content-type-options", "referrer-policy"),
    *("cross-origin-opener-policy", "x-frame-options", "content-encoding"),
}
"""What every answer of the app gets anyway."""
_kept: dict[str, tuple[bytes, int, str, Headers]] = {}


@constant.get("/constant/")
@constant.get("/constant/<path:address>")
@public
def same_bytes(address: str = "") -> Response:
    """Asked once of the view itself, by a request of this process's own."""
    key = f"/{address}?{request.query_string.decode()}"
    kept = _kept.get(key)
    if kept is None:
        kept = _kept[key] = _ask(key)
    body, status, mimetype, headers = kept
    response = Response(body, status, mimetype=mimetype)
    response.headers.extend(headers)
    return response


def _ask(address: str) -> tuple[bytes, int, str, Headers]:
    """Behind the gate, where this request has a place already."""
    asked = {
        name: value
        for name, value in request.headers.items()
        if name.lower() not in {"accept-encoding", "content-length", "content-type"}
    }
    app = current_app._get_current_object()  # noqa: SLF001 - as Flask says to
    client = Client(partial(Flask.wsgi_app, app), Response, use_cookies=False)
    answer = client.get(address, headers=asked)
    kept = Headers(
        (name, value)
        for name, value in answer.headers.items()
        if name.lower() not in {*_OF_THE_SERVER, "content-type", "set-cookie"}
    )
    return answer.get_data(), answer.status_code, answer.mimetype, kept
