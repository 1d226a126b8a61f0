"""Every error becomes one shape: application/problem+json for programs, a small page for people.

Flask, flask-smorest, webargs, the limiter and our services each raise their own; what leaves is
RFC 9457 with a stable ``code``, and with the headers (Allow, Retry-After, …) that belong to it.
"""

import re
from typing import Any, cast

import marshmallow as ma
import structlog
from flask import Flask, Response, g, render_template, request
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from app.errors import AppError, InvalidInput, Unauthenticated, Unavailable
from app.utils.http import request_id, wants_problem
from app.utils.json_provider import to_json

PROBLEM_JSON = "application/problem+json"
BODY = "body"
"""The field that an error names when it is about the whole body."""

_LONGEST_CAUSE = 300
_RETRY_SECONDS = 2
_INTERNAL = "This is our fault, not yours. Try again; if it stays, tell us the request_id."

# status → title, code, and what to do when the framework itself does not say.
_FRAMEWORK: dict[int, tuple[str, str, str | None]] = {
    400: ("Bad request", "bad_request", None),
    403: ("Not allowed", "forbidden", None),
    404: ("Not found", "not_found", "There is nothing at this address. See /docs for what is."),
    405: ("Method not allowed", "method_not_allowed", "Use one of the methods in Allow."),
    406: ("Not acceptable", "not_acceptable", None),
    408: ("Request timeout", "request_timeout", None),
    411: ("Length required", "length_required", None),
    412: ("Changed meanwhile", "precondition_failed", None),
    413: ("Body too large", "body_too_large", "Send a smaller body."),
    414: ("Address too long", "uri_too_long", None),
    415: ("Unsupported media type", "unsupported_media_type", None),
    422: ("Unprocessable", "unprocessable", None),
    429: ("Too many requests", "rate_limited", "Wait as long as Retry-After says, then go on."),
    431: ("Headers too large", "headers_too_large", None),
    501: ("Not implemented", "not_implemented", None),
}
_PASSING_SQLITE = re.compile(
    r"locked|busy|disk i/o|unable to open|is full|interrupted", re.IGNORECASE
)
_PASSING_SQLSTATES = ("08", "40", "53", "55P03", "57", "58")

log = structlog.get_logger(__name__)


def init_error_handlers(app: Flask) -> None:
    app.register_error_handler(AppError, _on_app_error)
    app.register_error_handler(HTTPException, _on_http_exception)
    app.register_error_handler(ma.ValidationError, _on_validation_error)
    app.register_error_handler(DBAPIError, _on_database_error)
    app.register_error_handler(PoolTimeout, _on_database_error)
    app.register_error_handler(Exception, _on_bug)


def invalid_fields(messages: Any) -> InvalidInput:
    """Marshmallow's nested messages as one refusal with dotted field names."""
    errors = [
        {"field": ".".join(path) or BODY, "message": message}
        for path, message in _flat(messages, ())
    ]
    first = errors[0]
    detail = f"{first['field']}: {first['message']}"
    if len(errors) > 1:
        detail = f"Correct {len(errors)} fields. The first: {detail}"
    return InvalidInput(detail, errors=errors)


def _flat(messages: Any, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
    if isinstance(messages, dict):
        return [
            found
            for key, value in messages.items()
            for found in _flat(value, path if key == "_schema" else (*path, str(key)[:100]))
        ]
    if isinstance(messages, list):
        return [found for value in messages for found in _flat(value, path)]
    return [(path, str(messages))]


def _on_app_error(error: AppError) -> Response:
    if error.status >= 500:  # noqa: PLR2004 - the first server error
        cause = error.__cause__
        log.warning(
            "unavailable",
            code=error.code,
            detail=error.detail,
            # in one line: while a database is down each request says so
            cause=f"{type(cause).__name__}: {str(cause)[:_LONGEST_CAUSE]}" if cause else None,
        )
    headers = {}
    wait = error.retry_after_seconds
    if wait is None and isinstance(error, Unavailable):
        wait = _RETRY_SECONDS
    if wait is not None:
        headers["Retry-After"] = str(wait)
    if isinstance(error, Unauthenticated):
        invalid = ', error="invalid_token"' if error.code == "invalid_token" else ""
        headers["WWW-Authenticate"] = f'Bearer realm="sokoni"{invalid}'
    return _answer(
        status=error.status,
        title=error.title,
        code=error.code,
        detail=error.detail,
        errors=error.errors,
        extra=error.extra,
        headers=headers,
    )


def _on_validation_error(error: ma.ValidationError) -> Response:
    return _on_app_error(invalid_fields(error.messages))


def _on_http_exception(error: HTTPException) -> Response:
    status = error.code or 500
    if error.response is not None or status < 400:  # noqa: PLR2004 - not an error
        return cast("Response", Response.force_type(error.get_response(), request.environ))
    if status == 500:  # noqa: PLR2004 - abort(500) is a bug like any other
        return _on_bug(error)
    headers = {
        name: value
        for name, value in error.get_headers(request.environ)
        if name.lower() not in {"content-type", "content-length"}
    }
    title, code, advice = _FRAMEWORK.get(status, (error.name, f"http_{status}", None))
    return _answer(
        status=status,
        title=title,
        code=code,
        detail=advice or error.description or error.name,
        headers=headers,
    )


def _on_database_error(error: DBAPIError | PoolTimeout) -> Response:
    """A database that is busy, restarting or out of reach is a 503; the rest is a bug."""
    if not _is_passing(error):
        return _on_bug(error)
    again = " What is sent again with the same Idempotency-Key is done once."
    refusal = Unavailable(
        "The shop is busy or its database is restarting. Try again in a moment."
        + (again if wants_problem() else ""),
        code="database_unavailable",
        retry_after_seconds=_RETRY_SECONDS,
    )
    refusal.__cause__ = error
    return _on_app_error(refusal)


def _is_passing(error: DBAPIError | PoolTimeout) -> bool:
    if isinstance(error, PoolTimeout) or error.connection_invalidated:
        return True
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    sqlstate = getattr(error.orig, "sqlstate", None)
    if sqlstate is not None:
        return str(sqlstate).startswith(_PASSING_SQLSTATES)
    if type(error.orig).__module__.startswith("sqlite3"):
        return bool(_PASSING_SQLITE.search(str(error.orig)))
    return True  # PostgreSQL says nothing when the connection itself is gone


def _on_bug(error: Exception) -> Response:
    log.error("bug", exc_info=error)
    return _answer(status=500, title="Something went wrong", code="internal", detail=_INTERNAL)


def _answer(
    *,
    status: int,
    title: str,
    code: str,
    detail: str,
    errors: list[dict[str, str]] | None = None,
    extra: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    g.problem_code = code
    problem = {
        **(extra or {}),
        "type": f"/docs#error-{status}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "errors": errors or [],
        "request_id": request_id(),
    }
    if wants_problem():
        response = Response(to_json(problem), status, mimetype=PROBLEM_JSON)
    else:
        response = Response(render_template("error.html", problem=problem), status)
    response.headers.update(headers or {})
    return response
