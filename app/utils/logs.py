"""Logs: one line an event, to stderr, as JSON; nothing in them that should not be read.

Every value passes the same gate on its way out, whoever logged it, the libraries and their
tracebacks included: phone numbers are masked, and tokens, passwords, hashes, the secret part of a
callback address and our own secrets by value are taken out.
"""

import logging
import re
import sys
import time
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, TextIO

import orjson
import structlog
from flask import Flask, Response, g, request
from structlog.contextvars import bind_contextvars, clear_contextvars
from structlog.typing import EventDict, Processor

from app.utils.http import request_id

REDACTED = "[redacted]"
_SECRET_NAME = re.compile(
    r"pass(word|key|wd)|secret|token|authorization|cookie|api_?key|credential|security_?credential",
    re.IGNORECASE,
)
_HARMLESS_NAMES = frozenset({"token_type", "token_kind"})
# Callers choose what is logged, so each of these has to be done in one walk through the text: what
# may repeat is bounded, or given up at once (*+), where a match could begin at every letter.
_PATTERNS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"(/api/pay/(?:c2b/)?[a-z]{1,20}/)[^\s\"'<>?#]+"), r"\1" + REDACTED),
    (re.compile(r"whsec_[\w+/=]+"), REDACTED),
    (re.compile(r"eyJ[\w-]{5,1000}+\.[\w-]{5,}+\.[\w-]*"), REDACTED),
    (re.compile(r"\b(Bearer|Basic)\s+[^\s\"',]+", re.IGNORECASE), r"\1 " + REDACTED),
    (re.compile(r"\b(scrypt|pbkdf2|argon2\w*):[\w:$+/=.-]{1,400}\$[\w+/=$.-]+"), REDACTED),
    (
        re.compile(
            r"((?:password|passkey|passwd|secret|token|api_?key|credential)\w{0,64}+"
            r"[\"']?\s*[=:]\s*[\"']?)([^\s\"',;&}\)]+)",
            re.IGNORECASE,
        ),
        r"\1" + REDACTED,
    ),
    (re.compile(r"(://[^\s:/@]+:)[^\s@/]+@"), r"\1" + REDACTED + "@"),
    (
        re.compile(
            r"(?<![\dA-Za-z])\+?(?:254[ -]?|0)?([17]\d{2})[ -]?(\d{3})[ -]?(\d{3})(?![\dA-Za-z])"
        ),
        lambda match: f"254{match.group(1)[0]}****{match.group(3)}",
    ),
)
_MAY_HIDE = re.compile(r"[\s/_.=:$]|\d{3}")
"""Something of this is in whatever a pattern takes: most words are done after one look."""
_PHONE_NUMBER = re.compile(r"254[17]\d{8}")
_SHORTEST_SECRET = 16
_OURS = "sokoni_handler"


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to whatever sys.stderr is at the moment of writing."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        raise NotImplementedError("It is always stderr.")


def configure_logging(*, level: str, as_json: bool, secrets: Iterable[str] = ()) -> None:
    """Send what structlog and the standard library log through the same processors."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        Scrubber(secrets),
    ]
    render: Processor = (
        structlog.processors.JSONRenderer(serializer=_serialise)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = _Stderr()
    handler.set_name(_OURS)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
            processors=[
                *shared,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _show_what_does_not_print,
                render,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [known for known in root.handlers if known.get_name() != _OURS] + [handler]
    root.setLevel(level)
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # our own lines say what was asked


def _show_what_does_not_print(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """What a caller sent steers no terminal: all but line breaks is shown by its code."""
    return {
        name: _printable(value) if isinstance(value, str) else value
        for name, value in event.items()
    }


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        letter
        if letter.isprintable() or letter in "\n\t"
        else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


class Scrubber:
    """The gate that every log line passes."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = sorted(
            {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}, key=len
        )[::-1]

    def __call__(self, _logger: Any, _method: str, event: EventDict) -> EventDict:
        # What structlog itself put there (the record, the style of its arguments) stays.
        return {
            name: value if name.startswith("_") else self.scrub(value, name)
            for name, value in event.items()
        }

    def scrub(self, value: Any, name: str = "") -> Any:
        if name and name not in _HARMLESS_NAMES and _SECRET_NAME.search(name):
            return REDACTED if value not in (None, "") else value
        if isinstance(value, MutableMapping):
            return {key: self.scrub(item, str(key)) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.scrub(item) for item in value]
        # Nine digits may as well be an amount: only twelve that begin like a phone count as one
        is_number = isinstance(value, int | float) and not _PHONE_NUMBER.fullmatch(str(value))
        if value is None or is_number:
            return value
        return self._text(
            value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        )

    def _text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        if not _MAY_HIDE.search(text):
            return text
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text


def _serialise(event: Any, **_kwargs: Any) -> str:
    return orjson.dumps(event, default=str).decode("utf-8", "replace")


def init_access_log(app: Flask, user_id: Callable[[], int | None]) -> None:
    """One line for each request, and its id on every line that is logged meanwhile.

    ``user_id`` answers who is known to have signed in when the request ends.
    """
    log = structlog.get_logger("sokoni.access")

    def begin() -> None:
        clear_contextvars()
        bind_contextvars(request_id=request_id())
        g.began = time.perf_counter()

    def write_line(response: Response) -> Response:
        began = g.get("began")
        line = {
            "method": request.method,
            "path": request.path,
            "status": response.status_code,
            "duration_ms": round((time.perf_counter() - began) * 1000, 1) if began else None,
            "user_id": user_id(),
            "remote_addr": request.remote_addr,
            "code": g.get("problem_code"),
        }
        log.info("request", **{name: value for name, value in line.items() if value is not None})
        return response

    app.before_request(begin)
    app.after_request(write_line)
    app.teardown_request(lambda _error: clear_contextvars())
