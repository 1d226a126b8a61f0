"""The addresses that are told: added, changed, given another secret, taken away."""

from datetime import timedelta

import pytest

from app.errors import Conflict, InvalidInput, NotFound
from app.models import DeliveryState, DisabledReason, WebhookDelivery
from app.policies import Role
from app.services.pages import PageRequest
from app.services.webhooks.endpoints import (
    MOST_ENDPOINTS,
    EndpointChange,
    NewEndpoint,
    change_endpoint,
    create_endpoint,
    find_endpoint,
    list_endpoints,
    remove_endpoint,
    rotate_secret,
)
from app.services.webhooks.event_types import EventType
from app.utils.web_address import CallRules
from tests.core import after, refused
from tests.factories import (
    NOW,
    SECRET_OF_WEBHOOKS,
    actor_of,
    ids,
    make_delivery,
    make_user,
    make_webhook,
)

URL = "https://erp.example.co.ke/hook"
STRICT = CallRules()


@pytest.fixture
def admin(session):
    return make_user(session, Role.ADMIN)


def create(session, admin, url: str = URL, **fields):
    return create_endpoint(session, actor_of(admin), NewEndpoint(url, **fields), STRICT, NOW)


def change(session, endpoint, **fields):
    return change_endpoint(session, endpoint.id, EndpointChange(**fields), STRICT, after(hours=1))


def test_an_endpoint_gets_a_secret_of_its_own(session, admin):
    one = create(session, admin, description="The bookkeeping")
    other = create(session, admin, URL + "2")
    assert (one.url, one.description, one.event_types, one.created_by) == (
        URL,
        "The bookkeeping",
        None,
        admin.id,
    )
    assert one.is_enabled
    assert one.secret.startswith("whsec_")
    assert one.secret != other.secret


def test_types_are_kept_once_each_in_the_order_of_the_documentation(session, admin):
    types = (EventType.TASK_FILED, EventType.ORDER_PAID, EventType.TASK_FILED)
    endpoint = create(session, admin, event_types=types)
    session.expire(endpoint)
    assert find_endpoint(session, endpoint.id).event_types == ["order.paid", "task.filed"]


def test_attack_67_an_address_that_leads_inside_is_neither_added_nor_changed_to(session, admin):
    endpoint = create(session, admin)
    for url in ("https://127.0.0.1/", "http://erp.example.co.ke/", "https://localhost./"):
        with refused(session, InvalidInput, "address_refused") as caught:
            create(session, admin, url)
        assert [error["field"] for error in caught.value.errors] == ["url"]
        with refused(session, InvalidInput, "address_refused"):
            change(session, endpoint, url=url)


def test_an_address_is_there_once_until_it_is_removed(session, admin):
    endpoint, other = create(session, admin), create(session, admin, URL + "2")
    with refused(session, Conflict, "webhook_exists"):
        create(session, admin)
    with refused(session, Conflict, "webhook_exists"):
        change(session, other, url=URL)
    remove_endpoint(session, endpoint.id, NOW)
    assert create(session, admin).id == other.id + 1


def test_there_are_only_so_many(session, admin):
    made = [create(session, admin, f"{URL}{number}") for number in range(MOST_ENDPOINTS)]
    with refused(session, Conflict, "too_many_webhooks"):
        create(session, admin)
    remove_endpoint(session, made[0].id, NOW)
    create(session, admin)


def test_the_named_fields_change_and_the_others_stay(session, admin):
    endpoint = create(session, admin, description="Books", event_types=(EventType.ORDER_PAID,))
    secret = endpoint.secret
    change(session, endpoint, description="Stores")
    assert (endpoint.url, endpoint.description, endpoint.event_types) == (
        URL,
        "Stores",
        ["order.paid"],
    )
    change(session, endpoint, url=URL, event_types=None)
    assert (endpoint.event_types, endpoint.secret, endpoint.updated_at) == (
        None,
        secret,
        after(hours=1),
    )


def test_disabled_and_enabled_again_it_starts_with_a_clean_slate(session, admin):
    endpoint = make_webhook(session, admin, failing_since=NOW, paused_until=after(days=1))
    change(session, endpoint, enabled=False)
    assert (endpoint.is_enabled, endpoint.disabled_reason, endpoint.disabled_at) == (
        False,
        DisabledReason.BY_ADMIN,
        after(hours=1),
    )
    change(session, endpoint, enabled=True)
    assert endpoint.is_enabled
    assert (endpoint.disabled_reason, endpoint.failing_since, endpoint.paused_until) == (
        None,
        None,
        None,
    )


def test_why_it_was_disabled_first_stays(session, admin):
    endpoint = make_webhook(session, admin, disabled_at=NOW, disabled_reason=DisabledReason.FAILING)
    change(session, endpoint, enabled=False)
    assert (endpoint.disabled_at, endpoint.disabled_reason) == (NOW, DisabledReason.FAILING)


def test_another_address_is_not_blamed_for_what_the_old_one_did(session, admin):
    endpoint = make_webhook(session, admin, failing_since=NOW, paused_until=after(days=1))
    change(session, endpoint, url=endpoint.url)
    assert endpoint.failing_since == NOW
    change(session, endpoint, url=URL)
    assert (endpoint.failing_since, endpoint.paused_until) == (None, None)


def test_a_new_secret_leaves_the_old_one_good_for_a_day(session, admin):
    endpoint = make_webhook(session, admin)
    rotate_secret(session, endpoint.id, NOW)
    first = endpoint.secret
    assert first != SECRET_OF_WEBHOOKS
    assert (endpoint.previous_secret, endpoint.previous_secret_until, endpoint.secret_version) == (
        SECRET_OF_WEBHOOKS,
        NOW + timedelta(hours=24),
        2,
    )
    rotate_secret(session, endpoint.id, after(hours=1), seen_version=2)
    assert (endpoint.previous_secret, endpoint.previous_secret_until) == (first, after(hours=25))


def test_a_secret_is_not_changed_by_who_has_not_seen_the_last_change(session, admin):
    endpoint = make_webhook(session, admin)
    rotate_secret(session, endpoint.id, NOW, seen_version=1)
    with refused(session, Conflict, "secret_changed"):
        rotate_secret(session, endpoint.id, NOW, seen_version=1)


def test_a_removed_endpoint_is_gone_with_its_secrets_and_what_was_on_its_way(session, admin):
    endpoint, other = make_webhook(session, admin), make_webhook(session, admin)
    rotate_secret(session, endpoint.id, NOW)
    waiting = make_delivery(session, endpoint, leased_until=after(minutes=1))
    arrived = make_delivery(
        session, endpoint, state=DeliveryState.DELIVERED, next_attempt_at=None, delivered_at=NOW
    )
    elsewhere = make_delivery(session, other)
    remove_endpoint(session, endpoint.id, after(hours=1))

    assert (endpoint.secret, endpoint.previous_secret, endpoint.removed_at) == (
        None,
        None,
        after(hours=1),
    )
    session.expire_all()
    states = [session.get_one(WebhookDelivery, row.id).state for row in (waiting, arrived)]
    assert states == ["cancelled", "delivered"]
    assert (waiting.next_attempt_at, waiting.leased_until) == (None, None)
    assert session.get_one(WebhookDelivery, elsewhere.id).state == "pending"
    assert ids(list_endpoints(session, PageRequest()).rows) == [other.id]
    for act in (
        lambda: find_endpoint(session, endpoint.id),
        lambda: change(session, endpoint, enabled=True),
        lambda: rotate_secret(session, endpoint.id, NOW),
        lambda: remove_endpoint(session, endpoint.id, NOW),
    ):
        with refused(session, NotFound, "webhook_not_found"):
            act()


def test_endpoints_are_listed_newest_first(session, admin):
    made = [make_webhook(session, admin) for _ in range(3)]
    first = list_endpoints(session, PageRequest(limit=2))
    rest = list_endpoints(session, PageRequest(limit=2, cursor=first.next_cursor))
    assert ids([*first.rows, *rest.rows]) == ids(made)[::-1]
