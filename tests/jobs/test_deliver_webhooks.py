"""Webhooks on their way: sent outside of transactions, once unless somebody died, none starved."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import select
from standardwebhooks import Webhook

from app.jobs.deliver_webhooks import LEASE_SECONDS, deliver_due_webhooks, deliver_webhooks
from app.jobs.registry import sweep
from app.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint, WebhookEvent
from app.ports import NoWebhooks, WebhookAnswer, WebhookRequest
from app.services.webhooks.due import IN_FLIGHT_PER_ENDPOINT, claim_delivery
from app.services.webhooks.emit import JOB
from app.services.webhooks.endpoints import EndpointChange, change_endpoint, remove_endpoint
from app.utils.web_address import CallRules
from tests.core import ask_to_pay, buy, database_snapshot, make_buyer, pay
from tests.factories import NOW, SECRET_OF_WEBHOOKS, make_delivery, make_product, make_webhook

BROKEN = WebhookAnswer(status=500, duration_ms=7, text="Oops")


@pytest.fixture
def endpoint(database) -> WebhookEndpoint:
    with database.transaction() as session:
        return make_webhook(session)


def add_delivery(database, endpoint, **fields) -> WebhookDelivery:
    with database.transaction() as session:
        return make_delivery(session, session.get_one(WebhookEndpoint, endpoint.id), **fields)


def stored(database, delivery) -> WebhookDelivery:
    with database.reading() as session:
        return session.get_one(WebhookDelivery, delivery.id)


def ids_sent(webhooks) -> list[str]:
    return [request.headers["webhook-id"] for request in webhooks.sent]


def test_what_is_sent_is_the_outbox_row_signed_at_the_moment_of_sending(
    work, database, webhooks, clock, endpoint
):
    delivery = add_delivery(database, endpoint)
    clock.now = datetime.now(UTC)  # the library goes by the real clock
    deliver_webhooks(work, endpoint.id)

    (request,) = webhooks.sent
    assert (request.url, request.body.decode()) == (endpoint.url, delivery.event.payload)
    verified = Webhook(SECRET_OF_WEBHOOKS).verify(request.body, dict(request.headers))
    assert verified == json.loads(delivery.event.payload)
    assert request.headers["webhook-timestamp"] == str(int(clock.now.timestamp()))
    kept = stored(database, delivery)
    assert (kept.state, kept.last_status, kept.delivered_at) == ("delivered", 204, clock.now)


def test_run_again_nothing_is_sent_again(work, database, webhooks, endpoint):
    for _ in range(3):
        add_delivery(database, endpoint)
    deliver_webhooks(work, endpoint.id)
    sweep(work)  # what it does once a day is done
    once = database_snapshot(database)
    deliver_webhooks(work, endpoint.id)
    deliver_due_webhooks(work)
    sweep(work)
    assert len(webhooks.sent) == 3
    assert database_snapshot(database) == once


def test_the_sweep_finds_what_no_bell_announced(work, database, webhooks, endpoint):
    delivery = add_delivery(database, endpoint)
    sweep(work)
    assert ids_sent(webhooks) == [delivery.event.public_id]


def test_a_sale_is_announced_with_its_commit_and_told_from_beginning_to_end(
    work, database, webhooks, endpoint, doorbell
):
    database.bell = doorbell.ring
    with database.transaction() as session:
        pay(
            session,
            ask_to_pay(session, buy(session, make_buyer(session), (make_product(session), 1))),
        )
    assert doorbell.rings == [(JOB, endpoint.id, 0)]
    deliver_webhooks(work, endpoint.id)
    assert [json.loads(request.body)["type"] for request in webhooks.sent] == [
        "order.placed",
        "payment.pending",
        "payment.succeeded",
        "order.paid",
    ]


def test_a_failure_is_sent_again_when_its_time_has_come_under_the_same_id(
    work, database, webhooks, clock, doorbell, endpoint
):
    delivery = add_delivery(database, endpoint)
    webhooks.answers[endpoint.url] = BROKEN
    deliver_webhooks(work, endpoint.id)
    due = stored(database, delivery).next_attempt_at
    assert 5 <= (due - NOW).total_seconds() <= 5.5
    assert doorbell.rings == [(JOB, endpoint.id, (due - NOW).total_seconds())]
    deliver_webhooks(work, endpoint.id)
    assert len(webhooks.sent) == 1
    clock.now = due
    deliver_webhooks(work, endpoint.id)
    assert 300 <= (stored(database, delivery).next_attempt_at - due).total_seconds() <= 330
    assert len(doorbell.rings) == 1  # what is far off is the sweep's
    del webhooks.answers[endpoint.url]
    clock.advance(seconds=330)
    deliver_due_webhooks(work)
    assert ids_sent(webhooks) == [delivery.event.public_id] * 3
    assert len({request.headers["webhook-timestamp"] for request in webhooks.sent}) == 3
    assert stored(database, delivery).state == "delivered"
    with database.reading() as session:
        statuses = session.scalars(select(WebhookAttempt.status).order_by(WebhookAttempt.id)).all()
    assert statuses == [500, 500, 204]


def test_an_endpoint_that_fails_keeps_none_of_the_others_waiting(
    work, database, webhooks, endpoint
):
    with database.transaction() as session:
        good = make_webhook(session)
    for _ in range(30):
        add_delivery(database, endpoint)
    webhooks.answers[endpoint.url] = WebhookAnswer(status=503, duration_ms=5)
    last = add_delivery(database, good)
    deliver_due_webhooks(work)
    assert stored(database, last).state == "delivered"
    assert [request.url for request in webhooks.sent] == [endpoint.url, good.url]


def test_each_endpoint_has_a_lane_of_its_own(work, database, endpoint):
    lanes = []
    beside = replace(work.ports, run_beside=lambda lane, _step: lanes.append(lane))
    with database.transaction() as session:
        other = make_webhook(session)
    for one in (endpoint, endpoint, other):
        add_delivery(database, one)
    deliver_due_webhooks(replace(work, ports=beside))
    assert lanes == [f"webhook-{endpoint.id}", f"webhook-{other.id}"]


@pytest.mark.fault("F50")
def test_a_worker_that_died_after_sending_is_followed_by_one_that_sends_the_same_again(
    work, database, webhooks, clock, endpoint
):
    """F50: the receiver has it, we do not know that, and it is told apart by its id."""
    delivery = add_delivery(database, endpoint)

    class Killed(BaseException):
        pass

    def die(_request: WebhookRequest) -> None:
        raise Killed

    webhooks.on_send = die
    with pytest.raises(Killed):
        deliver_webhooks(work, endpoint.id)
    webhooks.on_send = None
    assert stored(database, delivery).attempt_count == 0
    deliver_due_webhooks(work)
    assert len(webhooks.sent) == 1  # the lease holds
    clock.advance(seconds=LEASE_SECONDS)
    deliver_due_webhooks(work)
    first, second = webhooks.sent
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert stored(database, delivery).state == "delivered"


def test_a_bug_on_the_way_is_logged_and_leaves_the_row_to_its_lease(
    work, database, webhooks, clock, endpoint, logs
):
    delivery = add_delivery(database, endpoint)

    def burst(_request: WebhookRequest) -> None:
        raise KeyError("a bug")

    webhooks.on_send = burst
    deliver_due_webhooks(work)
    assert [line["event"] for line in logs] == ["webhook_stuck"]
    kept = stored(database, delivery)
    assert (kept.state, kept.attempt_count) == ("pending", 0)
    webhooks.on_send = None
    clock.advance(seconds=LEASE_SECONDS)
    deliver_due_webhooks(work)
    assert stored(database, delivery).state == "delivered"


def test_a_second_worker_sends_what_the_first_has_not_claimed(work, database, webhooks, endpoint):
    """While one is sending, another comes along: it takes the next one, not the same."""
    made = [add_delivery(database, endpoint) for _ in range(4)]
    seen = []

    def another_worker(_request: WebhookRequest) -> None:
        if not seen:
            seen.append("once")
            deliver_webhooks(work, endpoint.id)

    webhooks.on_send = another_worker
    deliver_webhooks(work, endpoint.id)
    assert sorted(ids_sent(webhooks)) == sorted(row.event.public_id for row in made)


def test_an_endpoint_that_is_removed_or_disabled_meanwhile_gets_no_more(
    work, database, webhooks, clock, endpoint
):
    with database.transaction() as session:
        other = make_webhook(session)
    for one in (endpoint, endpoint, other, other):
        add_delivery(database, one)

    def close(request: WebhookRequest) -> None:
        with database.transaction() as session:
            if request.url == endpoint.url:
                remove_endpoint(session, endpoint.id, clock())
            else:
                change = EndpointChange(enabled=False)
                change_endpoint(session, other.id, change, CallRules(), clock())

    webhooks.on_send = close
    deliver_due_webhooks(work)
    assert [request.url for request in webhooks.sent] == [endpoint.url, other.url]
    with database.reading() as session:
        states = session.scalars(select(WebhookDelivery.state).order_by(WebhookDelivery.id)).all()
    assert states == ["cancelled", "cancelled", "delivered", "pending"]


def test_no_more_than_allowed_are_under_way_to_one_endpoint(work, database, clock, endpoint):
    for _ in range(IN_FLIGHT_PER_ENDPOINT + 2):
        add_delivery(database, endpoint)
    with database.transaction() as session:
        for _ in range(IN_FLIGHT_PER_ENDPOINT):
            assert claim_delivery(session, endpoint.id, clock(), LEASE_SECONDS) is not None
    before = database_snapshot(database)
    deliver_due_webhooks(work)
    assert database_snapshot(database) == before


def test_a_process_without_the_port_sends_nothing_and_says_so(work, database, endpoint):
    delivery = add_delivery(database, endpoint)
    deliver_webhooks(replace(work, ports=replace(work.ports, webhooks=NoWebhooks())), endpoint.id)
    assert stored(database, delivery).last_error == "Nothing can be sent from here."


def test_a_bell_for_an_endpoint_that_is_not_there_does_nothing(work, database, webhooks):
    before = database_snapshot(database)
    deliver_webhooks(work, 99_999)
    assert (webhooks.sent, database_snapshot(database)) == ([], before)


def test_the_secret_and_the_body_reach_no_log(work, database, webhooks, endpoint, logs):
    delivery = add_delivery(database, endpoint)
    deliver_webhooks(work, endpoint.id)
    said = json.dumps(logs, default=str)
    assert delivery.event.public_id in said
    for hidden in (SECRET_OF_WEBHOOKS, delivery.event.payload, endpoint.url):
        assert hidden not in said


def test_old_events_go_with_the_other_things_that_have_served_their_time(
    work, database, clock, endpoint
):
    add_delivery(database, endpoint)
    sweep(work)
    clock.advance(days=90)
    sweep(work)
    with database.reading() as session:
        for model in (WebhookEvent, WebhookDelivery, WebhookAttempt):
            assert session.scalars(select(model)).all() == [], model
