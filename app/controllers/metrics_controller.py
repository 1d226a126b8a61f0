"""What Prometheus reads, for those who were let in."""

import hmac
import ipaddress
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog
from flask import Response, current_app, request
from sqlalchemy.exc import SQLAlchemyError

from app.config import Config
from app.context import METER, current_config, current_work, now
from app.controllers.blueprint import Blueprint
from app.db import Database, current_database
from app.errors import NotFound
from app.ports import Doorbell
from app.schemas.problem import ProblemSchema
from app.security import public
from app.services.figures.operations import Operations, Pile, read_operations

CACHE_SECONDS = 5.0
QUANTILES = (0.5, 0.9, 0.99)
Gauges = Mapping[str, tuple[str, str, Mapping[str, float]]]

operations = Blueprint("operations", __name__, description="For who watches over the shop.")
log = structlog.get_logger(__name__)


@operations.get("/metrics")
@public
@operations.response(200, content_type="text/plain")
@operations.alt_response(404, schema=ProblemSchema)
def show_metrics() -> Response:
    """What Prometheus collects. To everybody who is not let in by `METRICS_TOKEN` or
    `METRICS_ADDRESSES` there is nothing here.
    """
    meter = current_app.extensions.get(METER)
    if meter is None or not _is_let_in(current_config()):
        raise NotFound("There is nothing at this address.")
    body = meter.expose(_Gathered(current_database(), current_work().ports.doorbell, now()))
    return Response(body, content_type="text/plain; version=0.0.4; charset=utf-8")


def _is_let_in(config: Config) -> bool:
    header = request.headers.get("Authorization", "")
    if config.metrics_token is not None and header.startswith("Bearer "):
        given = header.removeprefix("Bearer ").encode("utf-8", "replace")
        if hmac.compare_digest(given, config.metrics_token.encode()):
            return True
        log.warning("metrics_with_wrong_token", remote_addr=request.remote_addr)
        return False
    return _comes_directly_from(config.metrics_addresses)


def _comes_directly_from(networks: Sequence[str]) -> bool:
    """Not through a proxy: behind one, everybody on the internet has its address."""
    environ = request.environ
    if environ.get("HTTP_X_FORWARDED_FOR") or environ.get("HTTP_FORWARDED"):
        return False
    before = environ.get("werkzeug.proxy_fix.orig") or environ
    try:
        address = ipaddress.ip_address(before.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    return any(address in ipaddress.ip_network(network) for network in networks)


class _Gathered:
    """The state of the work, read at most every few seconds however often it is asked for."""

    _lock = threading.Lock()
    _kept: dict[Database, tuple[float, Gauges]] = {}  # noqa: RUF012 - one for the process

    def __init__(self, database: Database, doorbell: Doorbell, moment: datetime) -> None:
        self._database = database
        self._doorbell = doorbell
        self._moment = moment

    def gauges(self) -> Gauges:
        try:
            return {**_UP, **self._read()}
        except SQLAlchemyError as error:
            log.warning("metrics_without_database", error=str(error)[:200])
            return _DOWN

    def _read(self) -> Gauges:
        with self._lock:
            kept = self._kept.get(self._database)
            if kept is None or time.monotonic() >= kept[0]:
                with self._database.reading() as session:
                    state = read_operations(session, self._moment)
                found = {**gauges_of(state), **_queue(self._doorbell.waiting())}
                kept = (time.monotonic() + CACHE_SECONDS, found)
                self._kept.clear()
                self._kept[self._database] = kept
            return kept[1]


def _queue(waiting: int | None) -> Gauges:
    """Nothing where the queue does not answer: a count of none would say that all is well."""
    if waiting is None:
        return {}
    what = "Messages to the worker that it has not yet taken from the queue."
    return {"sokoni_queue_waiting": (what, "", {"": float(waiting)})}


_IS_UP = ("Whether the database answered.", "")
_UP: Gauges = {"sokoni_database_up": (*_IS_UP, {"": 1.0})}
_DOWN: Gauges = {"sokoni_database_up": (*_IS_UP, {"": 0.0})}


def gauges_of(found: Operations) -> Gauges:
    """By name: what it is, its label, its values."""
    return {
        **_piles("sokoni_attempts", "Payments without an end", found.attempts),
        **_piles("sokoni_refunds", "Refunds without an end", found.refunds),
        "sokoni_payments_last_hour": (
            "Payments begun within the hour, by what has become of them.",
            "status",
            {status: float(count) for status, count in found.payments_last_hour.items()},
        ),
        "sokoni_settle_seconds_last_hour": (
            "From hearing of money to having it in the books, of the last hour's payments.",
            "quantile",
            _quantiles(found.settle_seconds),
        ),
        "sokoni_settled_last_hour": (
            "Payments that came into the books after a report within the hour.",
            "",
            {"": float(len(found.settle_seconds))},
        ),
        **_pile("sokoni_inbox_unread", "Reports that nobody has read", found.inbox),
        **_pile("sokoni_money_tasks_open", "Matters of money for a person", found.money_tasks),
        **_pile("sokoni_webhooks_due", "Webhooks that should have been sent", found.webhooks),
        "sokoni_worker_last_sweep_seconds": (
            "How long ago the worker of a host last looked for work.",
            "host",
            found.swept_seconds_ago,
        ),
    }


def _piles(name: str, what: str, piles: Mapping[str, Pile]) -> Gauges:
    return {
        f"{name}_open": (
            f"{what}, by status.",
            "status",
            {status: float(pile.count) for status, pile in piles.items()},
        ),
        f"{name}_oldest_seconds": (
            f"{what}: how long the first has been open, by status.",
            "status",
            {status: pile.oldest_seconds for status, pile in piles.items()},
        ),
    }


def _pile(name: str, what: str, pile: Pile) -> Gauges:
    return {
        name: (f"{what}.", "", {"": float(pile.count)}),
        f"{name}_oldest_seconds": (
            f"{what}: how long the first has waited.",
            "",
            {"": pile.oldest_seconds},
        ),
    }


def _quantiles(times: Sequence[float]) -> Mapping[str, float]:
    if not times:
        return {}
    return {str(one): times[min(len(times) - 1, int(len(times) * one))] for one in QUANTILES}
