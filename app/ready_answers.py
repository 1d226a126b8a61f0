"""What is kept, sent before Flask is entered.

    kept = kept_answer(key, build)          # in a view, instead of current_catalogue().get(…)

Flask's way through a request (routing, hooks, its objects) costs several times what it takes to
send what is kept. So an answer that is asked for again is kept once more as it went out, with all
its headers, and sent from there. Nothing is made here: the answer is Flask's own. What differs
between two who ask the same is done anew: whether the catalogue has changed is asked, the request
gets its id, its line in the log and its count.

A request that carries anything by which its answer may differ, other than what is in its key, goes
on to Flask as if nothing stood before it. So does one for which nothing is ready. See
docs/decisions/0025-answers-before-flask.md.
"""

import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flask import request
from werkzeug.http import http_date

from app.context import current_catalogue
from app.services.kept_catalogue import Kept, KeptCatalogue
from app.utils.draining import is_draining
from app.utils.http import REQUEST_ID_HEADER, hostname, id_of_request, route_asked_for
from app.utils.logs import AccessLog, RequestLine, milliseconds_since

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]

NOT_UNDERSTOOD = frozenset(
    {
        "HTTP_AUTHORIZATION",
        "HTTP_COOKIE",
        "HTTP_HX_REQUEST",
        "HTTP_IF_MATCH",
        "HTTP_IF_MODIFIED_SINCE",
        "HTTP_IF_RANGE",
        "HTTP_IF_UNMODIFIED_SINCE",
        "HTTP_RANGE",
        "HTTP_TRANSFER_ENCODING",
        "HTTP_UPGRADE",
    }
)
"""Who sends one of these is answered by Flask."""

UNDERSTOOD = frozenset(
    {
        "HTTP_ACCEPT_ENCODING",
        "HTTP_ACCEPT_LANGUAGE",
        "HTTP_CONNECTION",  # beside an Upgrade alone
        "HTTP_HOST",
        "HTTP_IF_NONE_MATCH",
        "HTTP_X_REQUEST_ID",
    }
)
"""What else Flask's way reads. A test holds that it reads nothing beside these two sets."""

_METHODS = frozenset({"GET", "HEAD"})
_VARIES_BY = frozenset({"accept-encoding", "accept-language", "cookie", "hx-request"})
_ANEW = frozenset({"connection", "date", REQUEST_ID_HEADER.lower()})
_LONGEST_CODING, _LONGEST_LANGUAGE, _LONGEST_TAG = 100, 300, 100
_OK, _NOT_MODIFIED = 200, 304
_NOTE = "sokoni.ready_answers"


def kept_answer(key: Hashable, build: Callable[[], Kept]) -> Kept:
    """What is kept for this request, as KeptCatalogue.get() says it; the answer will be ready for
    who asks next, if it was kept before. Of what is asked for once nothing more is kept.

    The answer may depend on the address, the language and the method alone. Raises what the
    database raises.
    """
    note: _Note | None = request.environ.get(_NOTE)
    if note is not None and note.error is not None:
        raise note.error  # asking again would only make them wait twice
    built = False

    def build_and_note() -> Kept:
        nonlocal built
        built = True
        return build()

    kept = current_catalogue().get(key, build_and_note)
    if note is not None and not built:
        note.kept, note.path, note.route = kept, request.path, route_asked_for()[0]
    return kept


@dataclass(slots=True)
class _Note:
    """What is learned of a request while Flask answers it."""

    error: Exception | None = None
    kept: Kept | None = None
    path: str = ""
    route: str = ""
    status: str = ""
    headers: list[tuple[str, str]] | None = None


@dataclass(frozen=True, slots=True)
class _Answer:
    """As it goes out, but for what is done anew each time."""

    status_line: str
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    is_dated: bool
    route: str
    path: str
    path_shown: str | None


class ReadyAnswers:
    """The layer, as WSGI: around Flask, and inside all that may refuse a request or names who
    sent it.
    """

    def __init__(
        self,
        app: WsgiApp,
        kept: Callable[[], KeptCatalogue],
        log: AccessLog,
        trusted_hosts: frozenset[str],
        language_of: Callable[[str], str],
    ) -> None:
        self.count: Callable[[str, str, int, float], None] | None = None
        """Is told of each answer: its route, method and status, and how many seconds it took."""
        self._app = app
        self._kept = kept
        self._log = log
        self._trusted_hosts = trusted_hosts
        self._language_of = language_of

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        key = self._key(environ)
        if key is None:
            return self._app(environ, start_response)
        began = time.perf_counter()
        try:
            found = self._kept().find(key)
        except Exception as error:  # noqa: BLE001 - Flask's way raises it, and knows how to tell it
            return self._learn(key, environ, start_response, _Note(error))
        if found is None:
            return self._learn(key, environ, start_response, _Note())
        return self._send(found.content, environ, start_response, began)

    def _key(self, environ: Environ) -> Hashable:
        """All by which the answers to two requests may differ; None for one that is not
        understood.
        """
        method, asked = environ["REQUEST_METHOD"], environ.get
        if method not in _METHODS or not environ.keys().isdisjoint(NOT_UNDERSTOOD):
            return None
        if asked("SCRIPT_NAME") or asked("CONTENT_LENGTH"):
            return None
        if hostname(asked("HTTP_HOST", "")) not in self._trusted_hosts:
            return None
        coding, tag = asked("HTTP_ACCEPT_ENCODING", ""), asked("HTTP_IF_NONE_MATCH", "")
        languages = asked("HTTP_ACCEPT_LANGUAGE", "")
        if len(coding) > _LONGEST_CODING or len(tag) > _LONGEST_TAG:
            return None
        if len(languages) > _LONGEST_LANGUAGE:
            return None
        language = self._language_of(languages)
        path, query = asked("PATH_INFO", ""), asked("QUERY_STRING", "")
        return (_NOTE, method, path, query, tag, language, coding)

    def _send(
        self, answer: _Answer, environ: Environ, start_response: StartResponse, began: float
    ) -> list[bytes]:
        request_id = id_of_request(environ)
        headers = [*answer.headers, (REQUEST_ID_HEADER, request_id)]
        if answer.is_dated:
            headers.append(("Date", _date(int(time.time()))))
        if is_draining():
            headers.append(("Connection", "close"))
        method = environ["REQUEST_METHOD"]
        line = RequestLine(
            method,
            answer.path,
            answer.status,
            milliseconds_since(began),
            environ.get("REMOTE_ADDR"),
            request_id,
        )
        self._log.write(line, answer.path_shown)
        if self.count is not None:
            self.count(answer.route, method, answer.status, time.perf_counter() - began)
        start_response(answer.status_line, headers)
        return [answer.body]

    def _learn(
        self, key: Hashable, environ: Environ, start_response: StartResponse, note: _Note
    ) -> Iterable[bytes]:
        """Let Flask answer, and keep what it answers if it has noted that it may be kept."""

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            note.status, note.headers = status, headers
            return start_response(status, headers, *error)

        environ[_NOTE] = note
        pieces = self._app(environ, start)
        if note.kept is None:
            return pieces
        body = _read(pieces)
        answer = self._answer(note, body)
        if _is_for_everybody(answer, environ.get("HTTP_IF_NONE_MATCH", "")):
            size = len(body) + sum(len(name) + len(value) for name, value in answer.headers)
            self._kept().keep_beside(note.kept, key, answer, size)
        return [body]

    def _answer(self, note: _Note, body: bytes) -> _Answer:
        told = note.headers or []
        return _Answer(
            note.status,
            int(note.status.partition(" ")[0]),
            [(name, value) for name, value in told if name.lower() not in _ANEW],
            body,
            any(name.lower() == "date" for name, _ in told),
            note.route,
            note.path,
            self._log.shown(note.path),
        )


def _is_for_everybody(answer: _Answer, tag: str) -> bool:
    """Nothing in it is one visitor's, and it differs by nothing that is not in its key.

    A tag is good in the key if it is the answer's own: of others there are too many.
    """
    found = {name.lower(): value for name, value in answer.headers}
    varies_by = {name.strip().lower() for name in found.get("vary", "").split(",") if name}
    if "set-cookie" in found or not varies_by <= _VARIES_BY:
        return False
    if tag:
        return answer.status == _NOT_MODIFIED and found.get("etag") == tag
    return answer.status == _OK


@lru_cache(1)
def _date(second: int) -> str:
    return http_date(second)


def _read(pieces: Iterable[bytes]) -> bytes:
    try:
        return b"".join(pieces)
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()
