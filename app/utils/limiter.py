"""How often a caller may do what: Flask-Limiter, with a store that never fails a request.

Only requests that may change something are counted, whatever view a limit stands on; counting
reads would make each of them a write. The counts live where all processes see them. When that store
does not answer, each process counts for itself for a while: a limit that is off by the number of
processes is better than no limit, and than a shop that is closed.

    @auth.post("/register")
    @public
    @limiter.limit(limit_of("register_limit"), key_func=by_address)

    spend("prompt_phone_limit", msisdn)     # where the key is known only inside the view
"""

import hashlib
import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import structlog
from flask import Flask, Response, current_app, g, request
from flask_limiter import ApplicationLimit, Limiter
from limits import RateLimitItem, parse_many
from limits.errors import StorageError
from limits.storage import RedisStorage, Storage
from limits.strategies import STRATEGIES, FixedWindowRateLimiter
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import TooManyRequests

from app.utils.address import subscriber_of
from app.utils.token import BadToken, TokenKind, page_cookie_name, read_token

FALLBACK_SECONDS = 10
REDIS_TIMEOUT_SECONDS = 0.2
_EXTENSION = "sokoni_limits"
_COUNTED = "sokoni_rate_counted"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_ROOT_PREFIX = "root_"
CALLBACK_PATHS = re.compile(r"(?:/api)?/(?:pay/|mpesa/callback)")
"""What Safaricom calls, from few addresses and once for each payment: never turned away."""


Result = TypeVar("Result")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Window:
    """What was counted under one key, and the moment (seconds of the epoch) the count ends."""

    hits: int
    expires_at: float


class Counters(Protocol):
    """A store of counts."""

    def add(self, key: str, amount: int, window_seconds: int) -> Window:
        """Count, and answer with the count after it: exact, whoever else counts."""

    def look(self, key: str) -> Window | None:
        """The count as it stands."""


class MemoryCounters:
    """Counts of this process alone."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: dict[str, Window] = {}
        self._clean_at = 0.0

    def add(self, key: str, amount: int, window_seconds: int) -> Window:
        now = self._clock()
        with self._lock:
            self._clean(now)
            window = self._windows.get(key)
            if window is None or window.expires_at <= now:
                window = Window(0, now + window_seconds)
            self._windows[key] = Window(window.hits + amount, window.expires_at)
            return self._windows[key]

    def look(self, key: str) -> Window | None:
        with self._lock:
            window = self._windows.get(key)
            return window if window and window.expires_at > self._clock() else None

    def _clean(self, now: float) -> None:
        if now >= self._clean_at:
            self._clean_at = now + 60
            self._windows = {k: w for k, w in self._windows.items() if w.expires_at > now}


class RedisCounters:
    """Counts in Redis, which gets a fifth of a second to answer. Raises StorageError."""

    def __init__(self, url: str) -> None:
        self._storage = RedisStorage(
            url,
            wrap_exceptions=True,
            socket_timeout=REDIS_TIMEOUT_SECONDS,
            socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),  # type: ignore[arg-type] # limits names fewer types
        )

    def add(self, key: str, amount: int, window_seconds: int) -> Window:
        hits = self._storage.incr(key, window_seconds, amount=amount)
        return Window(hits, self._storage.get_expiry(key))

    def look(self, key: str) -> Window | None:
        hits = self._storage.get(key)
        return Window(hits, self._storage.get_expiry(key)) if hits else None


_store_failure_listeners: list[Callable[[], None]] = []


def on_store_failure(listener: Callable[[], None]) -> None:
    """Have ``listener`` called, in this process, whenever the store of counts does not answer."""
    _store_failure_listeners[:] = [listener]


class SteadyCounters:
    """Another store, and memory for a while whenever that one does not answer."""

    def __init__(self, store: Counters, clock: Callable[[], float]) -> None:
        self._store = store
        self._memory = MemoryCounters(clock)
        self._rest_until = float("-inf")

    def add(self, key: str, amount: int, window_seconds: int) -> Window:
        return self._ask(lambda counters: counters.add(key, amount, window_seconds))

    def look(self, key: str) -> Window | None:
        return self._ask(lambda counters: counters.look(key))

    def _ask(self, question: Callable[[Counters], Result]) -> Result:
        if time.monotonic() < self._rest_until:
            return question(self._memory)
        try:
            return question(self._store)
        except (StorageError, SQLAlchemyError) as error:
            self._rest_until = time.monotonic() + FALLBACK_SECONDS
            log.warning("rate_limit_store_down", error=str(error)[:200])
            for listener in _store_failure_listeners:
                listener()
            return question(self._memory)


@dataclass(frozen=True, slots=True)
class Limits:
    """One app's limits by name, as in ``240 per minute; 1000 per hour``, and where they count."""

    counters: Counters
    by_name: Mapping[str, str]
    enabled: bool
    clock: Callable[[], float] = field(default=time.time)


class _AppStorage(Storage):
    """What Flask-Limiter counts in: the counters of the app that answers the request."""

    STORAGE_SCHEME = ["sokoni"]  # noqa: RUF012 - the library's own way

    @property
    def base_exceptions(self) -> type[Exception]:
        return StorageError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        return _limits().counters.add(_short(key), amount, expiry).hits

    def get(self, key: str) -> int:
        window = _limits().counters.look(_short(key))
        return window.hits if window else 0

    def get_expiry(self, key: str) -> float:
        window = _limits().counters.look(_short(key))
        return window.expires_at if window else _limits().clock()

    def check(self) -> bool:
        return True

    def reset(self) -> None:
        raise NotImplementedError("Counts end by themselves.")

    def clear(self, key: str) -> None:
        raise NotImplementedError("Counts end by themselves.")


class _FixedWindow(FixedWindowRateLimiter):
    """The library's strategy, which also remembers what it counted, for the headers."""

    def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        return _count(item, identifiers, cost).hits <= item.amount


STRATEGIES["sokoni"] = _FixedWindow


def init_limiter(app: Flask, limits: Limits) -> None:
    """Let an app count. The limits' names are those of the settings."""
    app.extensions[_EXTENSION] = limits
    limiter.init_app(app)
    app.after_request(_add_headers)


def limit_of(name: str) -> Callable[[], str]:
    """The limit that a setting holds, read when a request comes."""
    return lambda: _limits().by_name[name]


def by_address() -> str:
    """The caller's address; of IPv6 the half that a network is given, or one caller has 2^64."""
    return f"address:{subscriber_of(request.remote_addr) or 'unknown'}"


def by_user() -> str:
    """The user whom a good token names, otherwise the address: in Kenya thousands of phones share
    one. Whether the token still stands is for the guard to say.
    """
    header = request.headers.get("Authorization", "")
    cookie = request.cookies.get(page_cookie_name(), "")
    try:
        if header.startswith("Bearer "):
            return f"user:{read_token(header.removeprefix('Bearer '), TokenKind.ACCESS).user_id}"
        if cookie:
            return f"user:{read_token(cookie, TokenKind.PAGE).user_id}"
    except BadToken:
        return by_address()
    return by_address()


def spend(name: str, *identity: object) -> None:
    """Count once against a limit under a key of one's own, outside any transaction.

    Raises TooManyRequests, with Retry-After, when the limit is spent.
    """
    limits = _limits()
    if not limits.enabled:
        return
    for item in parse_many(limits.by_name[name]):
        window = _count(item, (name, *[str(part) for part in identity]), 1)
        if window.hits > item.amount:
            raise TooManyRequests


def _limits() -> Limits:
    limits: Limits = current_app.extensions[_EXTENSION]
    return limits


def _short(key: str) -> str:
    """Keys hold addresses, names and phones; the store need not know them."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _count(item: RateLimitItem, identifiers: tuple[str, ...], amount: int) -> Window:
    key = _short(item.key_for(*identifiers))
    window = _limits().counters.add(key, amount, item.get_expiry())
    _counted()[item, identifiers] = window
    return window


def _counted() -> dict[tuple[RateLimitItem, tuple[str, ...]], Window]:
    """What this request was counted against so far."""
    counted: dict[tuple[RateLimitItem, tuple[str, ...]], Window] = g.setdefault(_COUNTED, {})
    return counted


def _add_headers(response: Response) -> Response:
    """RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers), from the counts that
    this request made: nothing is asked again.
    """
    windows = [(item, window) for (item, _), window in _counted().items()]
    if not windows:
        return response
    now = _limits().clock()
    response.headers["RateLimit-Policy"] = ", ".join(
        f'"{_policy(item)}";q={item.amount};w={item.get_expiry()}' for item, _ in windows
    )
    response.headers["RateLimit"] = ", ".join(
        f'"{_policy(item)}";r={max(0, item.amount - window.hits)}'
        f";t={max(0, round(window.expires_at - now))}"
        for item, window in windows
    )
    if response.status_code == TooManyRequests.code and "Retry-After" not in response.headers:
        spent = [window.expires_at - now for item, window in windows if window.hits > item.amount]
        response.headers["Retry-After"] = str(max(1, math.ceil(max(spent, default=60.0))))
    return response


def _policy(item: RateLimitItem) -> str:
    return f"{item.amount}-per-{item.get_expiry()}s"


def _is_not_counted() -> bool:
    return bool(CALLBACK_PATHS.match(request.path))


def _identify() -> str:
    """A view is one view under each of its addresses."""
    return (request.endpoint or "").removeprefix(_ROOT_PREFIX)


limiter = Limiter(
    by_user,
    application_limits=[
        ApplicationLimit(limit_of("write_limit"), key_function=by_user, exempt_when=_is_not_counted)
    ],
    storage_uri="sokoni://",
    strategy="sokoni",
    headers_enabled=False,
    request_identifier=_identify,
)


@limiter.request_filter
def _nothing_counts() -> bool:
    """Asked before the limits are gathered, which would take a tenth of the time of a read."""
    return request.method in _SAFE_METHODS or not _limits().enabled
