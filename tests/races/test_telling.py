"""Many workers and one outbox: each event is sent once, and nobody is kept from buying."""

from collections import Counter
from dataclasses import replace
from threading import Lock, Semaphore

import pytest
from sqlalchemy import func, select

from app.jobs.deliver_webhooks import deliver_webhooks
from app.jobs.work import Work
from app.models import WebhookDelivery, WebhookEndpoint
from app.ports import WebhookAnswer
from app.services.end_order import cancel_order
from app.services.webhooks.due import IN_FLIGHT_PER_ENDPOINT
from app.services.webhooks.endpoints import EndpointChange, change_endpoint, remove_endpoint
from app.services.webhooks.replay import replay_since
from app.utils.web_address import CallRules
from tests.core import buy, make_buyer
from tests.factories import NOW, actor_of, make_delivery, make_product, make_webhook
from tests.races.starting_line import tally, together


@pytest.fixture(params=["postgresql", "sqlite"])
def database_kind(request) -> str:
    """A claim locks rows on the one and is a conditional UPDATE on the other."""
    return request.param


@pytest.fixture
def work(database, ports, config) -> Work:
    return Work(database, ports, config)


class Counting:
    """A receiver that counts how many are with it at a time."""

    def __init__(self) -> None:
        self.most = self.now = 0
        self.sent = Counter()
        self._lock, self._pause = Lock(), Semaphore(0)

    def check(self, url: str) -> None:
        raise AssertionError(url)

    def send(self, request) -> WebhookAnswer:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.sent[request.headers["webhook-id"]] += 1
        self._pause.acquire(timeout=0.01)  # let the others come
        with self._lock:
            self.now -= 1
        return WebhookAnswer(status=200, duration_ms=1)


def test_workers_side_by_side_send_each_event_once_and_few_at_a_time(database, work):
    receiver = Counting()
    work = replace(work, ports=replace(work.ports, webhooks=receiver))
    with database.transaction() as session:
        endpoint = make_webhook(session)
        for _ in range(24):
            make_delivery(session, endpoint)

    def worker() -> str:
        for _ in range(24):  # who finds enough under way leaves, and comes again
            deliver_webhooks(work, endpoint.id)
        return "done"

    assert tally(together([worker] * 6)) == {"done": 6}
    assert len(receiver.sent) == 24
    assert set(receiver.sent.values()) == {1}
    assert receiver.most <= IN_FLIGHT_PER_ENDPOINT
    with database.reading() as session:
        states = select(WebhookDelivery.state, func.count()).group_by(WebhookDelivery.state)
        assert [tuple(row) for row in session.execute(states)] == [("delivered", 24)]


def test_who_orders_waits_for_nobody_who_sends_changes_or_removes_a_webhook(database, work):
    with database.transaction() as session:
        endpoints = [make_webhook(session) for _ in range(2)]
        boots = make_product(session, stock=100)
        buyers = [make_buyer(session) for _ in range(8)]

    def order(buyer):
        def run() -> str:
            with database.transaction() as session:
                placed = buy(session, buyer, (boots, 1))
            with database.transaction() as session:
                cancel_order(session, actor_of(buyer), placed.id, NOW)
            return "ordered"

        return run

    def send() -> str:
        for endpoint in endpoints * 3:
            deliver_webhooks(work, endpoint.id)
        return "sent"

    def change() -> str:
        with database.transaction() as session:
            again = EndpointChange(description="Other words")
            change_endpoint(session, endpoints[0].id, again, CallRules(), NOW)
        return "changed"

    def remove() -> str:
        with database.transaction() as session:
            remove_endpoint(session, endpoints[1].id, NOW)
        return "removed"

    hands = [*map(order, buyers), send, send, change, remove]
    assert tally(together(hands)) == {"ordered": 8, "sent": 2, "changed": 1, "removed": 1}
    deliver_webhooks(work, endpoints[0].id)
    with database.reading() as session:
        told = select(func.count()).where(WebhookDelivery.endpoint_id == endpoints[0].id)
        arrived = told.where(WebhookDelivery.state == "delivered")
        assert (session.scalar(told), session.scalar(arrived)) == (16, 16)


def test_two_who_replay_the_same_make_each_delivery_once(database):
    with database.transaction() as session:
        endpoint = make_webhook(session)
        other = make_webhook(session)
        for _ in range(5):
            make_delivery(session, other)

    def replay() -> int:
        with database.transaction() as session:
            return replay_since(session, endpoint.id, NOW, NOW)

    assert tally(together([replay] * 4)) == {5: 4}
    with database.reading() as session:
        made = select(func.count()).where(WebhookDelivery.endpoint_id == endpoint.id)
        assert session.scalar(made) == 5
        assert session.get_one(WebhookEndpoint, endpoint.id).is_enabled
