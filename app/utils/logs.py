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
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TextIO

import orjson
import structlog
from flask import Flask, Response, g, request
from structlog.contextvars import bind_contextvars, bound_contextvars, clear_contextvars
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
_OUR_ID = re.compile(r"[0-9a-f]{32}")
_PHONE_NUMBER = re.compile(r"254[17]\d{8}")
_SHORTEST_SECRET = 16
_OURS = "sokoni_handler"
_ACCESS = "sokoni.access"
_ADDRESSES = 4096

_add_moment = structlog.processors.TimeStamper(fmt="iso", utc=True)


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to whatever sys.stderr is at the moment of writing."""

    def __init__(self, scrubber: "Scrubber", *, as_json: bool) -> None:
        logging.Handler.__init__(self)
        self.scrubber = scrubber
        self.as_json = as_json
        self.address = lru_cache(_ADDRESSES)(scrubber.shown)
        """A caller's address as a line shows it; most callers come again."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        raise NotImplementedError("It is always stderr.")

    def write(self, line: str) -> None:
        """As emit(), for what is a line already."""
        with self.lock or nullcontext():
            try:
                self.stream.write(line + self.terminator)
                self.flush()
            except OSError:  # nobody reads any more: no reason to refuse a request
                return


def configure_logging(*, level: str, as_json: bool, secrets: Iterable[str] = ()) -> None:
    """Send what structlog and the standard library log through the same processors."""
    scrubber = Scrubber(secrets)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_moment,
        structlog.processors.format_exc_info,
        scrubber,
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
    handler = _Stderr(scrubber, as_json=as_json)
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

    def shown(self, text: str) -> str:
        """A text as it stands in a line."""
        return _printable(self._text(text))

    def shown_id(self, request_id: str) -> str:
        """As shown(); of an id like ours no pattern takes anything."""
        if _OUR_ID.fullmatch(request_id):
            return self._without_secrets(request_id)
        return self.shown(request_id)

    def _without_secrets(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return text

    def _text(self, text: str) -> str:
        text = self._without_secrets(text)
        if not _MAY_HIDE.search(text):
            return text
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text


def _serialise(event: Any, **_kwargs: Any) -> str:
    return orjson.dumps(event, default=str).decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class RequestLine:
    """What the log says of a request, as it came; what is None is left out."""

    method: str
    path: str
    status: int
    duration_ms: float | None
    remote_addr: str | None
    request_id: str
    user_id: int | None = None
    code: str | None = None


class AccessLog:
    """Writes one line for each request.

    It is most of what is logged, so it goes the shortest way: as JSON, straight to our handler.
    Where anybody else wants to hear of it, and for people, it goes as all other lines do, and what
    is written is the same.
    """

    def __init__(self) -> None:
        self._log = structlog.get_logger(_ACCESS)
        self._logger = logging.getLogger(_ACCESS)
        self._root = logging.getLogger()

    def shown(self, path: str) -> str | None:
        """A path as its line will show it, for who writes it many times; None where the short way
        is not open.
        """
        handler = self._short_way()
        return None if handler is None else handler.scrubber.shown(path)

    def write(self, line: RequestLine, path_shown: str | None = None) -> None:
        """``path_shown``: of the path, what shown() answered before."""
        if not self._logger.isEnabledFor(logging.INFO):
            return
        handler = self._short_way()
        if handler is None:
            self._write_as_others(line)
            return
        scrubber = handler.scrubber
        event = _known(
            {
                "method": scrubber.shown(line.method) if path_shown is None else line.method,
                "path": scrubber.shown(line.path) if path_shown is None else path_shown,
                "status": line.status,
                "duration_ms": line.duration_ms,
                "user_id": scrubber.scrub(line.user_id),
                "remote_addr": line.remote_addr and handler.address(line.remote_addr),
                "code": line.code,
                "event": "request",
                "request_id": scrubber.shown_id(line.request_id),
                "level": "info",
                "logger": _ACCESS,
            }
        )
        handler.write(_serialise(_add_moment(None, "info", event)))

    def _write_as_others(self, line: RequestLine) -> None:
        event = {
            "method": line.method,
            "path": line.path,
            "status": line.status,
            "duration_ms": line.duration_ms,
            "user_id": line.user_id,
            "remote_addr": line.remote_addr,
            "code": line.code,
        }
        with bound_contextvars(request_id=line.request_id):
            self._log.info("request", **_known(event))

    def _short_way(self) -> _Stderr | None:
        """Our handler, if it is the only one that would hear of it, and writes JSON."""
        handlers = self._root.handlers
        handler = handlers[0] if len(handlers) == 1 else None
        if not isinstance(handler, _Stderr) or not handler.as_json:
            return None
        return handler


def _known(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if value is not None}


def init_access_log(app: Flask, user_id: Callable[[], int | None]) -> AccessLog:
    """One line for each request, and its id on every line that is logged meanwhile.

    ``user_id`` answers who is known to have signed in when the request ends.
    """
    log = AccessLog()

    def begin() -> None:
        clear_contextvars()
        bind_contextvars(request_id=request_id())
        g.began = time.perf_counter()

    def write_line(response: Response) -> Response:
        began = g.get("began")
        log.write(
            RequestLine(
                request.method,
                request.path,
                response.status_code,
                milliseconds_since(began) if began else None,
                request.remote_addr,
                request_id(),
                user_id(),
                g.get("problem_code"),
            )
        )
        return response

    app.before_request(begin)
    app.after_request(write_line)
    app.teardown_request(lambda _error: clear_contextvars())
    return log


def milliseconds_since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)
