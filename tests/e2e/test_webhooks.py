"""Webhooks between real processes: the shop sends them, the example in examples/ takes them."""

import json
import signal

import pytest
from sqlalchemy import select, update

from app.models import WebhookDelivery
from app.utils.clock import utc_now
from drill.processes import ROOT, free_port, wait_until
from tests.e2e.shop import Person, Shop

_RECEIVER = str(ROOT / "examples" / "webhook_receiver.py")


class Merchant:
    """A merchant's own system, told by one webhook of the shop's."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.port = shop, free_port()
        self.admin: Person = shop.sign_up("admin", shop.phone("5678"))
        shop.promote(self.admin, "admin")
        added = shop.call(
            "POST", "/api/webhooks", self.admin, json={"url": f"http://127.0.0.1:{self.port}/"}
        )
        assert added.status_code == 201, added.text
        self.path = f"/api/webhooks/{added.json()['id']}"
        self.program = shop.start_program(
            "receiver", [_RECEIVER, added.json()["secret"], str(self.port)]
        )
        wait_until(lambda: "listening on" in self.program.log(), "the merchant's system listens")

    def lines(self) -> list[list[str]]:
        """What the receiver printed of each request: an id, a type, and what it says."""
        printed = self.program.log().splitlines()
        return [line.split(" ", 2) for line in printed if line.startswith("evt_")]

    def types(self) -> list[str]:
        return [line[1] for line in self.lines()]

    def send_test(self) -> str:
        """Answers the id of the event."""
        sent = self.shop.call("POST", f"{self.path}/test", self.admin)
        assert sent.status_code == 202, sent.text
        event_id: str = sent.json()["event_id"]
        return event_id


@pytest.fixture(scope="module")
def merchant(make_shop) -> Merchant:
    with make_shop("webhooks", WEBHOOKS_ALLOW_PRIVATE="true") as shop:
        yield Merchant(shop.open(clock_factor=10))


def test_a_sale_is_told_from_the_order_to_the_money_with_signatures_that_hold(merchant):
    shop = merchant.shop
    purchase = shop.buy()
    shop.wait_for_order(purchase, "paid")
    expected = {"order.placed", "payment.pending", "payment.succeeded", "order.paid"}
    wait_until(lambda: expected <= set(merchant.types()), "the merchant knows of the sale")

    told = {line[1]: json.loads(line[2]) for line in merchant.lines() if line[1] in expected}
    assert {data.get("order_id", data["id"]) for data in told.values()} == {purchase.order_id}
    assert told["order.paid"]["amount_paid"] == 100
    assert told["payment.succeeded"]["mpesa_receipt"] in told["order.paid"]["mpesa_receipts"]
    assert purchase.buyer.phone not in merchant.program.log()
    assert "refused" not in merchant.program.log()


def delivery_of(shop: Shop, event_id: str) -> WebhookDelivery:
    with shop.reading() as session:
        return session.scalars(
            select(WebhookDelivery).where(WebhookDelivery.event.has(public_id=event_id))
        ).one()


@pytest.mark.fault("F50")
def test_f50_what_a_worker_sent_before_it_died_is_sent_again_under_the_same_id(merchant):
    shop = merchant.shop
    doomed = shop.restart_worker(SOKONI_FAILPOINT="after_webhook")
    event_id = merchant.send_test()
    assert doomed.wait() == -signal.SIGKILL
    assert [line[1] for line in merchant.lines() if line[0] == event_id] == ["test"]
    left = delivery_of(shop, event_id)
    assert (left.state, left.attempt_count) == ("pending", 0)
    assert left.leased_until > utc_now()

    with shop.database.transaction() as session:  # as if a minute had passed
        session.execute(
            update(WebhookDelivery)
            .where(WebhookDelivery.id == left.id)
            .values(leased_until=utc_now())
        )
    shop.start_worker()
    wait_until(lambda: delivery_of(shop, event_id).state == "delivered", "it has arrived")
    assert [line[1] for line in merchant.lines() if line[0] == event_id] == ["test", "again"]


def test_a_receiver_that_was_away_gets_what_it_missed_when_it_is_back(merchant):
    shop = merchant.shop
    merchant.program.kill()
    event_id = merchant.send_test()
    wait_until(lambda: delivery_of(shop, event_id).attempt_count >= 1, "it was tried in vain")
    found = delivery_of(shop, event_id)
    assert (found.state, found.last_status) == ("pending", None)
    assert found.last_error.startswith("ConnectError")
    changed = shop.call("POST", f"{merchant.path}/rotate-secret", merchant.admin)
    back = shop.start_program("receiver", [_RECEIVER, changed.json()["secret"], str(merchant.port)])
    wait_until(lambda: "listening on" in back.log(), "the merchant's system listens again")
    replayed = shop.call("POST", f"{merchant.path}/deliveries/{found.id}/replay", merchant.admin)
    assert replayed.status_code in {202, 409}, replayed.text  # its own second try may be under way
    wait_until(lambda: f"{event_id} test" in back.log(), "the new secret signs what was missed")


def test_a_worker_that_is_stopped_leaves_nothing_half_sent(merchant):
    shop = merchant.shop
    for _ in range(5):
        merchant.send_test()
    shop.stop_worker()
    with shop.reading() as session:
        leased = session.scalars(
            select(WebhookDelivery.id).where(WebhookDelivery.leased_until.is_not(None))
        ).all()
    assert leased == []
