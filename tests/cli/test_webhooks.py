"""Webhooks from the command line."""

import json

from app.jobs.queue import build_queue
from app.models import DeliveryState, DisabledReason, WebhookDelivery
from app.services.webhooks.emit import keep_event
from app.services.webhooks.event_types import EventType
from tests.core import after, database_snapshot
from tests.factories import NOW, make_delivery, make_webhook

DONE = {"state": DeliveryState.DELIVERED, "next_attempt_at": None}


def test_webhooks_are_listed_with_how_they_stand(manage, shop):
    assert manage("webhooks", "list").stdout == "There are no webhooks.\n"
    with shop.transaction() as session:
        make_webhook(session, url="https://erp.example.co.ke/a")
        make_webhook(
            session,
            url="https://erp.example.co.ke/b",
            event_types=["order.paid"],
            failing_since=NOW,
        )
        make_webhook(
            session,
            url="https://erp.example.co.ke/c",
            disabled_at=NOW,
            disabled_reason=DisabledReason.GONE,
        )
        make_webhook(session, secret=None, removed_at=NOW)
    result = manage("webhooks", "list")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "3  disabled (gone) since 2026-11-22T09:00:00Z  https://erp.example.co.ke/c  everything",
        "2  failing since 2026-11-22T09:00:00Z  https://erp.example.co.ke/b  order.paid",
        "1  enabled  https://erp.example.co.ke/a  everything",
    ]
    assert "whsec_" not in result.stdout


def test_what_was_missed_is_put_on_its_way_and_the_worker_is_rung(manage, shop, home):
    with shop.transaction() as session:
        endpoint = make_webhook(session)
        arrived = make_delivery(session, endpoint, **DONE)
        keep_event(session, EventType.ORDER_PAID, {"id": 1}, after(hours=1))
    result = manage("webhooks", "replay", "1", "--since", "2026-11-22T09:00:00Z")
    assert (result.exit_code, result.stdout) == (0, "On their way: 1.\n")
    result = manage("webhooks", "replay", "1", "--delivery", str(arrived.id))
    assert (result.exit_code, result.stdout) == (0, "On their way: 1.\n")
    since = ("--since", "2026-11-22T12:00:00+03:00", "--include-delivered")
    assert manage("webhooks", "replay", "1", *since).stdout == "On their way: 2.\n"
    with shop.reading() as session:
        assert session.get_one(WebhookDelivery, arrived.id).state == "pending"
    queue = build_queue(f"sqlite:///{home}/queue.db")
    assert json.loads(queue.storage.dequeue())[3] == ["deliver_webhooks", endpoint.id]
    queue.storage.close()


def test_what_makes_no_sense_is_refused_in_one_line_and_changes_nothing(manage, shop):
    with shop.transaction() as session:
        make_webhook(session, disabled_at=NOW, disabled_reason=DisabledReason.BY_ADMIN)
    before = database_snapshot(shop)
    since = ("--since", "2026-11-22")
    for arguments, exit_code, words in (
        (("1",), 2, "Say either --delivery or --since."),
        (("1", *since, "--delivery", "1"), 2, "Say either --delivery or --since."),
        (("1", "--since", "yesterday"), 2, "Write the moment like 2026-11-22T09:30:00Z."),
        (("1", *since), 1, "This webhook is disabled. Enable it first, then send."),
        (("77", *since), 1, "There is no such webhook."),
    ):
        result = manage("webhooks", "replay", *arguments)
        assert (result.exit_code, result.stdout, result.stderr) == (exit_code, "", words + "\n")
    assert database_snapshot(shop) == before
