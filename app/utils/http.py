"""What every answer carries, whoever made it: security headers, a request id."""

import re
from collections.abc import Mapping
from secrets import token_hex
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import BadRequest

from app.utils.draining import is_draining

API_SEGMENTS = frozenset(
    {
        "api",
        "users",
        "products",
        "orders",
        "mpesa",
        "transactions",
        "healthz",
        "readyz",
        "metrics",
    }
)
"""First path segments that belong to programs: their errors are JSON."""

REQUEST_ID_HEADER = "X-Request-Id"
API_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self';"
    " font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'; manifest-src 'self'"
)
HSTS = "max-age=31536000; includeSubDomains"
_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::[0-9]{1,5})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


def init_http(app: Flask, *, https: bool, trusted_hosts: frozenset[str]) -> None:
    """Give each request its id and each answer its headers; refuse what no honest client sends."""

    def refuse_other_hosts() -> None:
        if hostname(request.environ.get("HTTP_HOST", "")) not in trusted_hosts:
            g.close_connection = True
            raise BadRequest("This is not the host of this shop. Correct the Host header.")

    # Not Werkzeug's TRUSTED_HOSTS: it cuts its entries at the first colon, so [::1] never matches.
    app.before_request(refuse_other_hosts)
    app.before_request(_refuse_doubtful_lengths)
    app.before_request(_refuse_what_is_no_text)
    app.after_request(_add_headers)
    if https:
        app.after_request(_add_hsts)


def request_id() -> str:
    """This request's id: the caller's if it is sane, otherwise a new one."""
    if "request_id" not in g:
        g.request_id = id_of_request(request.environ)
    return str(g.request_id)


def id_of_request(environ: Mapping[str, Any]) -> str:
    """The caller's id, if it may stand in our logs and answers; otherwise a new one."""
    given: str = environ.get("HTTP_X_REQUEST_ID", "")
    return given if _SANE_REQUEST_ID.fullmatch(given) else token_hex(16)


def route_asked_for() -> tuple[str, str]:
    """The template of this request's route, and its method: whoever asks chooses the path, and may
    not choose what we count and trace by.
    """
    rule, method = request.url_rule, request.method
    return (
        rule.rule if rule is not None else "elsewhere",
        method if method in _METHODS else "other",
    )


def wants_problem() -> bool:
    """True where errors are for programs, False where they are for people."""
    return is_for_programs(request.path)


def is_for_programs(path: str) -> bool:
    return path.lstrip("/").partition("/")[0] in API_SEGMENTS


def hostname(host: str) -> str:
    """The name in a Host header, without its port; empty for what is not a host."""
    match = _HOST.fullmatch(host)
    return match.group(1).lower() if match else ""


def _refuse_doubtful_lengths() -> None:
    """A body whose length two servers read differently is how one request is smuggled inside
    another.
    """
    coding = request.environ.get("HTTP_TRANSFER_ENCODING")
    if not coding:
        return
    # WSGI allows a server to give an absent length as an empty one.
    if request.environ.get("CONTENT_LENGTH"):
        g.close_connection = True
        raise BadRequest("Send Content-Length or Transfer-Encoding, not both.")
    if coding.strip().lower() != "chunked":
        g.close_connection = True
        raise BadRequest("Of transfer encodings, send chunked, once, or none.")


def _refuse_what_is_no_text() -> None:
    """Werkzeug reads the bytes of a query as UTF-8 and answers others with a 500, and some servers
    let them through, and line breaks with them.
    """
    try:
        is_text = not _CONTROL.search(request.query_string.decode())
    except UnicodeDecodeError:
        is_text = False
    if not is_text:
        raise BadRequest("The address holds bytes that are no text. Write them with % codes.")


def _add_headers(response: Response) -> Response:
    headers = response.headers
    is_page = response.mimetype == "text/html"
    headers.setdefault("Content-Security-Policy", PAGE_POLICY if is_page else API_POLICY)
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer" if not is_page else "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["X-Frame-Options"] = "DENY"
    headers[REQUEST_ID_HEADER] = request_id()
    if response.status_code >= 400 or "Cache-Control" not in headers:  # noqa: PLR2004 - the first error status
        headers["Cache-Control"] = "no-store"
    if g.get("close_connection") or is_draining():
        headers["Connection"] = "close"
    return response


def _add_hsts(response: Response) -> Response:
    response.headers["Strict-Transport-Security"] = HSTS
    return response
