"""What Safaricom reports: how many reports can be kept, and how soon an order is paid.

Keeping: each is stored and answered; the ceiling stores the same row by the driver alone. Then the
same while ten times as many readers ask as there is room for: readers are sent away, reports are
not. Paying: reports come one after the other while four buyers order without a pause, and the
database is watched for each order to be paid. What is told is the time from sending the report.
"""

import http.client
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import select

from app.cli.children import python
from app.models import Order, OrderStatus, Payment
from app.services.audit import audit
from app.utils.clock import utc_now
from bench.crowd import Crowd, gather
from bench.load import Request, drive
from bench.options import FEW
from bench.prompts import Prompt, send_prompts
from bench.run import Bench, Side, said
from bench.shop import Shop
from bench.table import Line, at_least
from drill.environment import MANAGE
from drill.processes import Program, wait_until

_OWN = {"MAX_OPEN_ORDERS": "100000000", "WRITE_LIMIT": "1000000 per minute"}
_SHED = {"WEB_QUEUE": "4", "WEB_QUEUE_SECONDS": "0.05", "CATALOGUE_CACHE_BYTES": "0"}
_GOAL = 0.50
_KEPT, _PAID = 300, 200
_EVERY_SECONDS = 0.05
_LOOK_SECONDS = 0.002
_MEDIAN_MS, _LATE_MS = 100.0, 1_000.0
_READERS = 80
_OF_TIME = {"I7", "I8"}
"""What is wrong because nobody has seen to it for a while: in a database that was kept, all is."""

_ORDERING = 4


def measure(bench: Bench) -> Iterator[Line]:
    for kind in bench.options.databases:
        with bench.shop(kind, FEW, purpose="callbacks", **_OWN) as shop:
            yield from _paying(bench, shop, crowd := gather(shop))
            _check_books(shop)
            yield _intake(bench, shop, send_prompts(shop, crowd, _KEPT))
        with bench.shop(kind, FEW, purpose="callbacks", **_OWN, **_SHED) as shop:
            yield _beside_readers(bench, shop, send_prompts(shop, gather(shop), _KEPT))


def _intake(bench: Bench, shop: Shop, prompts: Sequence[Prompt]) -> Line:
    duel = bench.duel(
        Side.of(shop, *[prompt.report() for prompt in prompts]),
        Side.of(shop, *[prompt.report(bare=True) for prompt in prompts]),
    )
    return Line(
        f"a callback kept and answered, {shop.kind}",
        duel.ours_said,
        f"the driver: {duel.ceiling_said}",
        *at_least(duel.ratio, _GOAL),
    )


def _beside_readers(bench: Bench, shop: Shop, prompts: Sequence[Prompt]) -> Line:
    """Raises for a callback that was not answered 200; of readers some have to be sent away."""
    seconds = bench.options.seconds
    readers = threading.Thread(target=_read, args=(shop, seconds + 1, away := []))
    readers.start()
    reports = [prompt.report() for prompt in prompts]
    load = bench.drive(Side.of(shop, *reports), seconds, bench.options.connections)
    readers.join()
    return Line(
        f"the same while readers are sent away, {shop.kind}",
        said(load),
        f"{sum(away):,} readers sent away",
        None,
        "none refused",
        bool(sum(away)),
    )


def _read(shop: Shop, seconds: float, away: list[int]) -> None:
    load = drive(shop.port, [Request("/api/items")], seconds, _READERS, own=True)
    away.append(load.failed)


@dataclass(slots=True)
class _Watch:
    """When each report was sent, and its order seen to be paid; in seconds."""

    sent: dict[int, float] = field(default_factory=dict)
    paid: dict[int, float] = field(default_factory=dict)

    def waits_ms(self) -> list[float]:
        return sorted((self.paid[key] - at) * 1e3 for key, at in self.sent.items())


def _paying(bench: Bench, shop: Shop, crowd: Crowd) -> Iterator[Line]:
    prompts = send_prompts(shop, crowd, _PAID)
    orders = [*crowd.spread()]
    with _worker(shop):
        watch = _Watch()
        seconds = _PAID * _EVERY_SECONDS + 1
        buyers = threading.Thread(
            target=lambda: bench.drive(Side.of(shop, *orders), seconds, _ORDERING)
        )
        looking = threading.Thread(target=_look, args=(shop, prompts, watch))
        buyers.start()
        looking.start()
        _send(shop, prompts, watch)
        looking.join()
        buyers.join()
    waits = watch.waits_ms()
    for what, at, goal in (
        ("p50", waits[len(waits) // 2], _MEDIAN_MS),
        ("p99", waits[len(waits) * 99 // 100], _LATE_MS),
    ):
        yield Line(
            f"from a callback to paid while orders come in, {what}, {shop.kind}",
            f"{at:,.0f} ms",
            "-",
            None,
            f"≤ {goal:,.0f} ms",
            at <= goal,
        )


def _send(shop: Shop, prompts: Sequence[Prompt], watch: _Watch) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=60)
    due = time.perf_counter()
    for prompt in prompts:
        time.sleep(max(0.0, due - time.perf_counter()))
        due += _EVERY_SECONDS
        report = prompt.report()
        watch.sent[prompt.payment_id] = time.perf_counter()
        connection.request(report.method, report.path, report.body, report.headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"A callback was answered {answer.status}.")
    connection.close()


def _look(shop: Shop, prompts: Sequence[Prompt], watch: _Watch) -> None:
    waiting = {prompt.payment_id for prompt in prompts}
    paid = select(Payment.id).join(Order, Order.id == Payment.order_id)
    while waiting:
        with shop.database.reading() as session:
            found = session.scalars(
                paid.where(Payment.id >= min(waiting), Order.status == OrderStatus.PAID)
            ).all()
        now = time.perf_counter()
        watch.paid |= dict.fromkeys(waiting.intersection(found), now)
        waiting.difference_update(found)
        time.sleep(_LOOK_SECONDS)


@contextmanager
def _worker(shop: Shop) -> Iterator[None]:
    folder = shop.program.log_file.parent
    program = Program("worker", python(MANAGE, "worker"), folder, shop.environment)
    try:
        wait_until(lambda: "worker_started" in program.log(), "the worker has started")
        yield
    finally:
        program.clear_away()


def _check_books(shop: Shop) -> None:
    with shop.database.reading() as session:
        found = audit(session, utc_now())
    findings = [finding for finding in found if finding.invariant not in _OF_TIME]
    if findings:
        raise RuntimeError(f"The books do not add up: {findings[:5]}")
