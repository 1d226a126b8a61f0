"""Which delivery is next, what an attempt makes of it, and sending again."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from app.errors import Conflict, NotFound
from app.models import (
    DeliveryState,
    DisabledReason,
    Task,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
)
from app.policies import Role
from app.ports import WebhookAnswer
from app.services.pages import PageRequest
from app.services.webhooks.deliveries import (
    EventFilter,
    delete_old_events,
    list_deliveries,
    list_events,
    read_delivery,
)
from app.services.webhooks.due import (
    IN_FLIGHT_PER_ENDPOINT,
    claim_delivery,
    endpoints_with_due_deliveries,
)
from app.services.webhooks.emit import keep_event
from app.services.webhooks.endpoints import rotate_secret
from app.services.webhooks.event_types import EventType
from app.services.webhooks.outcome import RETRY_AFTER_SECONDS, record_outcome
from app.services.webhooks.replay import replay_delivery, replay_since, send_test
from tests.core import after, refused, snapshot
from tests.factories import (
    NOW,
    SECRET_OF_WEBHOOKS,
    actor_of,
    ids,
    make_delivery,
    make_user,
    make_webhook,
)

LEASE = 60
OK = WebhookAnswer(status=204, duration_ms=12)
BROKEN = WebhookAnswer(status=500, duration_ms=30, text="Oops")
SILENT = WebhookAnswer(status=None, duration_ms=15_000, error="ReadTimeout: ")


@pytest.fixture
def endpoint(session):
    return make_webhook(session)


def claim(session, endpoint, now=NOW):
    return claim_delivery(session, endpoint.id, now, LEASE)


def attempt(session, endpoint, answer, now=NOW):
    """Claim what is next and record what came back; answers when it is sent again."""
    return record_outcome(session, claim(session, endpoint, now), answer, now)


def fail_to_the_end(session, endpoint, delivery, answer=BROKEN, now=NOW):
    """Every attempt of the schedule; answers the moment of the last one."""
    while delivery.next_attempt_at is not None:
        now = max(now, delivery.next_attempt_at, endpoint.paused_until or now)
        attempt(session, endpoint, answer, now)
    return now


def attempts(session, delivery) -> list[tuple]:
    rows = select(WebhookAttempt).where(WebhookAttempt.delivery_id == delivery.id)
    return [
        (row.status, row.error, row.answer, row.duration_ms)
        for row in session.scalars(rows.order_by(WebhookAttempt.id))
    ]


# --- which is next ---


def test_what_is_claimed_is_all_that_sending_takes(session, endpoint):
    delivery = make_delivery(session, endpoint)
    claimed = claim(session, endpoint)
    assert (claimed.delivery_id, claimed.url, claimed.secrets) == (
        delivery.id,
        endpoint.url,
        (SECRET_OF_WEBHOOKS,),
    )
    assert (claimed.event_id, claimed.payload) == (delivery.event.public_id, delivery.event.payload)
    assert SECRET_OF_WEBHOOKS not in repr(claimed)
    assert claim(session, endpoint) is None


def test_a_lease_keeps_others_off_until_it_ends(session, endpoint):
    delivery = make_delivery(session, endpoint)
    first = claim(session, endpoint)
    assert claim(session, endpoint, after(seconds=LEASE - 1)) is None
    again = claim(session, endpoint, after(seconds=LEASE))
    assert (again.delivery_id, again.event_id) == (delivery.id, first.event_id)
    assert again.leased_until == after(seconds=2 * LEASE)


def test_what_has_been_due_longest_goes_first(session, endpoint):
    late = make_delivery(session, endpoint, next_attempt_at=after(seconds=-1))
    later = make_delivery(session, endpoint)
    latest = make_delivery(session, endpoint)
    make_delivery(session, endpoint, next_attempt_at=after(seconds=1))
    order = []
    while claimed := claim(session, endpoint):
        order.append(claimed.delivery_id)
        record_outcome(session, claimed, OK, NOW)
    assert order == [late.id, later.id, latest.id]


def test_only_so_many_are_under_way_to_one_endpoint_and_others_go_on(session, endpoint):
    other = make_webhook(session)
    for _ in range(IN_FLIGHT_PER_ENDPOINT + 1):
        make_delivery(session, endpoint)
    make_delivery(session, other)
    claimed = [claim(session, endpoint) for _ in range(IN_FLIGHT_PER_ENDPOINT)]
    assert None not in claimed
    assert claim(session, endpoint) is None
    assert claim(session, other) is not None
    record_outcome(session, claimed[0], OK, NOW)
    assert claim(session, endpoint) is not None


def test_nothing_is_claimed_where_nothing_may_be_sent(session):
    closed = [
        make_webhook(session, disabled_at=NOW, disabled_reason=DisabledReason.BY_ADMIN),
        make_webhook(session, secret=None, removed_at=NOW),
        make_webhook(session, paused_until=after(seconds=1)),
        make_webhook(session),
    ]
    for endpoint in closed[:3]:
        make_delivery(session, endpoint)
    assert endpoints_with_due_deliveries(session, NOW) == []
    assert [claim(session, endpoint) for endpoint in closed] == [None] * 4
    assert claim_delivery(session, 99_999, NOW, LEASE) is None
    assert endpoints_with_due_deliveries(session, after(seconds=1)) == [closed[2].id]
    assert claim(session, closed[2], after(seconds=1)) is not None


def test_endpoints_with_something_due_are_found_each_once(session, endpoint):
    other = make_webhook(session)
    for one in (other, endpoint, endpoint):
        make_delivery(session, one)
    make_delivery(session, make_webhook(session), next_attempt_at=after(hours=1))
    assert endpoints_with_due_deliveries(session, NOW) == [endpoint.id, other.id]
    claim(session, other)
    assert endpoints_with_due_deliveries(session, NOW) == [endpoint.id]


def test_for_a_day_after_a_change_both_secrets_sign(session, endpoint):
    make_delivery(session, endpoint)
    rotate_secret(session, endpoint.id, NOW)
    both = (endpoint.secret, SECRET_OF_WEBHOOKS)
    assert claim(session, endpoint, after(hours=23, minutes=59)).secrets == both
    assert claim(session, endpoint, after(hours=24, minutes=1)).secrets == (endpoint.secret,)


# --- what an attempt makes of it ---


def test_a_delivery_that_arrives_is_done(session, endpoint):
    endpoint.failing_since = after(hours=-1)
    delivery = make_delivery(session, endpoint)
    assert attempt(session, endpoint, OK, after(seconds=1)) is None
    assert (delivery.state, delivery.delivered_at, delivery.next_attempt_at) == (
        DeliveryState.DELIVERED,
        after(seconds=1),
        None,
    )
    assert (delivery.last_status, delivery.last_duration_ms, delivery.attempt_count) == (204, 12, 1)
    assert delivery.leased_until is None
    assert (endpoint.last_success_at, endpoint.failing_since) == (after(seconds=1), None)
    assert attempts(session, delivery) == [(204, None, None, 12)]


def test_a_failure_is_tried_again_on_the_published_schedule_and_then_given_up(session, endpoint):
    delivery = make_delivery(session, endpoint)
    waits = []
    now = NOW
    while delivery.next_attempt_at is not None:
        now = delivery.next_attempt_at
        again_at = attempt(session, endpoint, BROKEN, now)
        waits.append((again_at - now).total_seconds() if again_at else None)

    published = [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert list(RETRY_AFTER_SECONDS) == published
    for wait, seconds in zip(waits, published, strict=False):
        assert seconds <= wait <= seconds * 1.1
    assert waits[-1] is None
    assert (delivery.state, delivery.attempt_count, delivery.last_status) == (
        DeliveryState.FAILED,
        10,
        500,
    )
    assert attempts(session, delivery) == [(500, None, "Oops", 30)] * 10


def test_why_nothing_came_back_is_kept(session, endpoint):
    delivery = make_delivery(session, endpoint)
    attempt(session, endpoint, SILENT)
    assert (delivery.last_status, delivery.last_error) == (None, "ReadTimeout: ")
    assert endpoint.failing_since == NOW


def test_a_receiver_that_says_when_to_come_back_is_left_alone_until_then(session, endpoint):
    delivery, other = make_delivery(session, endpoint), make_delivery(session, endpoint)
    busy = WebhookAnswer(status=503, duration_ms=5, retry_after_seconds=1000)
    assert attempt(session, endpoint, busy) == after(seconds=1000)
    assert endpoint.paused_until == after(seconds=1000)
    assert claim(session, endpoint, after(seconds=999)) is None
    assert other.attempt_count == 0
    assert claim(session, endpoint, after(seconds=1000)).delivery_id == other.id
    assert delivery.attempt_count == 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_receiver_under_load_gets_a_pause_and_a_good_answer_ends_it(session, endpoint, status):
    make_delivery(session, endpoint)
    make_delivery(session, endpoint)
    one, two = claim(session, endpoint), claim(session, endpoint)
    record_outcome(session, one, WebhookAnswer(status=status, duration_ms=5), NOW)
    assert endpoint.paused_until == after(seconds=30)
    record_outcome(session, two, OK, NOW)
    assert endpoint.paused_until is None


def test_nobody_makes_us_wait_longer_than_a_day_or_come_back_sooner(session, endpoint):
    make_delivery(session, endpoint)
    for seconds in (10**9, 0):
        asked = WebhookAnswer(status=429, duration_ms=5, retry_after_seconds=seconds)
        now = after(days=2) if seconds == 0 else NOW
        again_at = attempt(session, endpoint, asked, now)
        wait = (again_at - now).total_seconds()
        assert 300 <= wait <= 330 if seconds == 0 else wait == 86_400


def test_an_answer_of_410_disables_at_once_and_an_admin_is_told(session, endpoint):
    other = make_webhook(session)
    delivery, waiting = make_delivery(session, endpoint), make_delivery(session, endpoint)
    attempt(session, endpoint, WebhookAnswer(status=410, duration_ms=5))

    assert (delivery.state, waiting.state) == (DeliveryState.FAILED, DeliveryState.PENDING)
    assert (endpoint.disabled_at, endpoint.disabled_reason) == (NOW, DisabledReason.GONE)
    assert claim(session, endpoint) is None
    task = session.scalars(select(Task)).one()
    assert (task.kind, task.title) == ("webhook_failing", f"Webhook {endpoint.id} is disabled")
    assert endpoint.url in task.description
    assert "410 Gone" in task.description
    told = select(WebhookDelivery.endpoint_id).join(WebhookEvent)
    filed = told.where(WebhookEvent.type == EventType.TASK_FILED)
    assert session.scalars(filed).all() == [other.id]  # not the one that is closed


def test_an_endpoint_where_nothing_arrived_for_days_is_disabled_and_an_admin_told_once(
    session, endpoint
):
    delivery, twin = make_delivery(session, endpoint), make_delivery(session, endpoint)
    last = fail_to_the_end(session, endpoint, delivery)
    assert timedelta(hours=75, minutes=35) < last - NOW < timedelta(hours=84)
    assert (endpoint.disabled_at, endpoint.disabled_reason) == (last, DisabledReason.FAILING)
    assert twin.state == DeliveryState.PENDING
    (task,) = session.scalars(select(Task))
    assert "Nothing has arrived there since 2026-11-22 09:00 UTC." in task.description


def test_an_endpoint_that_takes_anything_meanwhile_stays_enabled(session, endpoint):
    delivery = make_delivery(session, endpoint)
    for _ in range(9):
        now = max(delivery.next_attempt_at, NOW)
        attempt(session, endpoint, BROKEN, now)
    make_delivery(session, endpoint, next_attempt_at=now)
    attempt(session, endpoint, OK, now)
    fail_to_the_end(session, endpoint, delivery)
    assert delivery.state == DeliveryState.FAILED
    assert endpoint.is_enabled
    assert session.scalars(select(Task)).all() == []


def test_an_endpoint_that_was_just_enabled_gets_its_days_again(session, endpoint):
    delivery = make_delivery(session, endpoint, attempt_count=9)
    attempt(session, endpoint, BROKEN)
    assert delivery.state == DeliveryState.FAILED
    assert endpoint.is_enabled


def test_who_comes_back_after_the_lease_adds_an_attempt_and_moves_nothing(session, endpoint):
    delivery = make_delivery(session, endpoint)
    slow = claim(session, endpoint)
    quick = claim(session, endpoint, after(seconds=LEASE))
    record_outcome(session, slow, BROKEN, after(seconds=LEASE + 1))
    assert (delivery.attempt_count, delivery.leased_until) == (0, quick.leased_until)
    assert endpoint.failing_since is None
    assert len(attempts(session, delivery)) == 1


def test_an_arrival_counts_whoever_brings_the_news_and_stays(session, endpoint):
    delivery = make_delivery(session, endpoint)
    slow = claim(session, endpoint)
    quick = claim(session, endpoint, after(seconds=LEASE))
    assert record_outcome(session, slow, OK, after(seconds=LEASE + 1)) is None
    assert delivery.state == DeliveryState.DELIVERED
    record_outcome(session, quick, BROKEN, after(seconds=LEASE + 2))
    assert (delivery.state, delivery.last_status, delivery.attempt_count) == (
        DeliveryState.DELIVERED,
        204,
        1,
    )


def test_what_was_cancelled_on_its_way_stays_cancelled(session, endpoint):
    delivery = make_delivery(session, endpoint)
    claimed = claim(session, endpoint)
    delivery.state, delivery.next_attempt_at = DeliveryState.CANCELLED, None
    for answer in (OK, BROKEN):
        record_outcome(session, claimed, answer, NOW)
        assert delivery.state == DeliveryState.CANCELLED


# --- sending again ---


def test_a_test_tells_of_nothing_and_goes_to_one_endpoint_alone(session, endpoint):
    make_webhook(session)
    endpoint.paused_until = after(hours=1)
    admin = make_user(session, Role.ADMIN)
    delivery = send_test(session, actor_of(admin), endpoint.id, NOW)
    assert (delivery.event.type, delivery.endpoint_id, delivery.state) == (
        "test",
        endpoint.id,
        "pending",
    )
    assert delivery.event.payload == (
        '{"type":"test","timestamp":"2026-11-22T09:00:00Z","data":{"message":"It works",'
        f'"webhook_id":{endpoint.id},"user_id":{admin.id}}}}}'
    )
    assert session.scalars(select(WebhookDelivery.id)).all() == [delivery.id]
    assert claim(session, endpoint) is not None


@pytest.mark.parametrize("state", [DeliveryState.DELIVERED, DeliveryState.FAILED, "pending"])
def test_a_delivery_is_sent_again_under_the_same_id_on_the_whole_schedule(session, endpoint, state):
    due = after(hours=5) if state == "pending" else None
    delivery = make_delivery(
        session, endpoint, state=state, next_attempt_at=due, attempt_count=10, delivered_at=NOW
    )
    event_id = delivery.event.public_id
    again = replay_delivery(session, endpoint.id, delivery.id, after(hours=1))
    assert (again.state, again.attempt_count, again.next_attempt_at, again.delivered_at) == (
        "pending",
        0,
        after(hours=1),
        None,
    )
    assert claim(session, endpoint, after(hours=1)).event_id == event_id


def test_a_delivery_that_is_being_sent_is_not_sent_beside_itself(session, endpoint):
    delivery = make_delivery(session, endpoint)
    claim(session, endpoint)
    with refused(session, Conflict, "delivery_under_way"):
        replay_delivery(session, endpoint.id, delivery.id, NOW)
    assert replay_delivery(session, endpoint.id, delivery.id, after(seconds=LEASE)) is delivery


def test_nothing_is_sent_again_to_a_disabled_endpoint_or_to_another_ones(session, endpoint):
    delivery = make_delivery(session, endpoint)
    closed = make_webhook(session, disabled_at=NOW, disabled_reason=DisabledReason.BY_ADMIN)
    admin = actor_of(make_user(session, Role.ADMIN))
    for act in (
        lambda: send_test(session, admin, closed.id, NOW),
        lambda: replay_delivery(session, closed.id, delivery.id, NOW),
        lambda: replay_since(session, closed.id, NOW, NOW),
    ):
        with refused(session, Conflict, "webhook_disabled"):
            act()
    with refused(session, NotFound, "delivery_not_found"):
        replay_delivery(session, make_webhook(session).id, delivery.id, NOW)
    for act in (
        lambda: send_test(session, admin, 99_999, NOW),
        lambda: replay_since(session, 99_999, NOW, NOW),
    ):
        with refused(session, NotFound, "webhook_not_found"):
            act()


def states_of(session, *deliveries) -> list[tuple]:
    session.expire_all()
    rows = [session.get_one(WebhookDelivery, delivery.id) for delivery in deliveries]
    return [(row.state, row.attempt_count, row.next_attempt_at) for row in rows]


def test_everything_since_a_moment_is_sent_that_has_not_arrived(session, endpoint):
    done = {"state": DeliveryState.DELIVERED, "next_attempt_at": None, "attempt_count": 1}
    lost = {"state": DeliveryState.FAILED, "next_attempt_at": None, "attempt_count": 10}
    old = make_delivery(session, endpoint, created_at=after(hours=-1), **lost)
    failed, arrived = (
        make_delivery(session, endpoint, **lost),
        make_delivery(session, endpoint, **done),
    )
    waiting = make_delivery(session, endpoint, next_attempt_at=after(hours=9), attempt_count=5)
    sending = make_delivery(session, endpoint, leased_until=after(hours=2))
    missed = keep_event(session, EventType.ORDER_PAID, {"id": 1}, after(minutes=1))
    keep_event(session, "test", {}, NOW)
    now = after(hours=1)

    assert replay_since(session, endpoint.id, NOW, now) == 3
    assert states_of(session, old, failed, arrived, waiting, sending) == [
        ("failed", 10, None),
        ("pending", 0, now),
        ("delivered", 1, None),
        ("pending", 0, now),
        ("pending", 0, NOW),
    ]
    rows = select(WebhookDelivery).where(WebhookDelivery.event_id == missed.id)
    made = session.scalars(rows).one()
    assert (made.state, made.next_attempt_at, made.attempt_count) == ("pending", now, 0)
    assert (made.created_at, made.updated_at) == (now, now)


def test_what_arrived_is_sent_again_where_that_is_asked_for(session, endpoint):
    done = {"state": DeliveryState.DELIVERED, "next_attempt_at": None, "delivered_at": NOW}
    made = [make_delivery(session, endpoint, **done) for _ in range(3)]
    assert replay_since(session, endpoint.id, NOW, NOW) == 0
    assert replay_since(session, endpoint.id, NOW, NOW, include_delivered=True) == 3
    assert states_of(session, *made) == [("pending", 0, NOW)] * 3


def test_an_endpoint_gets_again_only_the_types_that_it_wants_now(session):
    endpoint = make_webhook(session, event_types=["order.paid"])
    for kind in (EventType.ORDER_PAID, EventType.ORDER_PLACED, EventType.TASK_FILED):
        keep_event(session, kind, {}, NOW)
    assert replay_since(session, endpoint.id, NOW, NOW) == 1
    sent = select(WebhookEvent.type).join(WebhookDelivery)
    assert session.scalars(sent).all() == ["order.paid"]
    assert replay_since(session, endpoint.id, after(seconds=1), NOW) == 0


# --- looking, and forgetting ---


def test_deliveries_are_listed_newest_first_with_their_events(session, endpoint):
    make_delivery(session, make_webhook(session))
    made = [make_delivery(session, endpoint) for _ in range(3)]
    made[1].state, made[1].next_attempt_at = DeliveryState.FAILED, None
    session.flush()
    found = list_deliveries(session, endpoint.id, None, PageRequest(limit=2))
    assert ids(found.rows) == [made[2].id, made[1].id]
    assert [row.event.type for row in found.rows] == ["order.paid"] * 2
    failed = list_deliveries(session, endpoint.id, DeliveryState.FAILED, PageRequest())
    assert ids(failed.rows) == [made[1].id]


def test_one_delivery_is_read_with_its_attempts_latest_first(session, endpoint):
    delivery = make_delivery(session, endpoint)
    attempt(session, endpoint, BROKEN)
    attempt(session, endpoint, OK, after(seconds=6))
    file = read_delivery(session, endpoint.id, delivery.id)
    assert file.delivery.event.payload.startswith('{"type":"order.paid"')
    assert [one.status for one in file.attempts] == [204, 500]


def test_events_are_found_by_what_they_are_about(session, endpoint):
    one = make_delivery(session, endpoint).event
    two = make_delivery(session, endpoint, created_at=after(hours=1)).event
    other = keep_event(session, EventType.TASK_FILED, {}, after(hours=2))

    def found(**wanted) -> list[int]:
        return ids(list_events(session, EventFilter(**wanted), PageRequest()).rows)

    assert found() == [other.id, two.id, one.id]
    assert found(type="order.paid") == [two.id, one.id]
    assert found(created_after=NOW, created_before=after(hours=2)) == [two.id]
    assert found(order_id=1) == found(payment_id=1) == []


def test_after_three_months_what_is_done_is_forgotten_and_what_waits_is_not(session, endpoint):
    done = {"state": DeliveryState.DELIVERED, "next_attempt_at": None}
    old, waiting, young = (
        make_delivery(session, endpoint, **done),
        make_delivery(session, endpoint, next_attempt_at=after(days=100)),
        make_delivery(session, endpoint, created_at=after(seconds=1), **done),
    )
    for delivery in (old, waiting, young):
        session.add(
            WebhookAttempt(delivery_id=delivery.id, status=500, duration_ms=1, created_at=NOW)
        )
    keep_event(session, EventType.TASK_FILED, {}, NOW)
    make_delivery(session, make_webhook(session, secret=None, removed_at=NOW))
    kept = {delivery.id: delivery.event_id for delivery in (waiting, young)}
    before = snapshot(session)
    delete_old_events(session, after(days=90, seconds=-1))
    assert snapshot(session) == before
    delete_old_events(session, after(days=90))

    def left(column) -> list[int]:
        return list(session.scalars(select(column).order_by(column)))

    assert left(WebhookDelivery.id) == list(kept)
    assert left(WebhookEvent.id) == list(kept.values())
    assert left(WebhookAttempt.delivery_id) == list(kept)
    assert left(WebhookEndpoint.id)[0] == endpoint.id
