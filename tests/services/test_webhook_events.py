"""The outbox: what is told of orders, payments and tasks, who wants it, and what it says."""

import json
from datetime import timedelta

import jsonschema_rs
import pytest
from sqlalchemy import event as sql_event
from sqlalchemy import select

from app.controllers.openapi import openapi_document
from app.models import (
    DeliveryState,
    DisabledReason,
    MoneySource,
    OrderStatus,
    PaymentState,
    TaskKind,
    User,
    WebhookDelivery,
    WebhookEvent,
)
from app.policies import Role
from app.services.due_payments import note_no_verdict
from app.services.end_order import cancel_order, expire_order
from app.services.fail_payment import fail_payment
from app.services.move_order import fulfil_order, move_order
from app.services.payment_evidence import Failure, Proof
from app.services.receipts import ReceiptFacts
from app.services.record_push import record_refusal, record_silence
from app.services.records import Matter, file_task, record_payment_event
from app.services.settle_payment import settle_payment
from app.services.unmatched_money import keep_unmatched, record_paybill_payment
from app.services.use_money import use_money
from app.services.webhooks.emit import emit_event
from app.services.webhooks.event_types import OF_ORDER, OF_PAYMENT, TEST, EventType
from tests.core import SCHEDULE, after, ask_to_pay, buy, make_buyer, pay, snapshot
from tests.factories import NOW, actor_of, make_product, make_user, make_webhook

CANCELLED = Failure("callback", PaymentState.CANCELLED, "1032", "Request cancelled", "You refused.")
PHONE = "254711222333"
ADDRESS = "The green gate behind the mosque, Eastleigh"


@pytest.fixture
def endpoint(session):
    return make_webhook(session)


@pytest.fixture
def boots(session):
    return make_product(session, price_cents=149_950)


@pytest.fixture
def order(session, boots):
    buyer = make_buyer(session, phone_number=PHONE)
    return buy(session, buyer, (boots, 1), delivery_address=ADDRESS, note="Call first")


def events(session) -> list[WebhookEvent]:
    return session.scalars(select(WebhookEvent).order_by(WebhookEvent.id)).all()


def types(session) -> list[str]:
    return [event.type for event in events(session)]


def told(session, event_type: str) -> dict:
    """What the last event of this type says."""
    found = [event for event in events(session) if event.type == event_type]
    return json.loads(found[-1].payload)["data"]


def test_an_order_is_told_of_at_each_step_with_its_amounts_as_on_the_api(
    session, endpoint, order, boots
):
    seller = session.get_one(User, boots.seller_id)
    pay(session, ask_to_pay(session, order))
    for status in (OrderStatus.SHIPPED, OrderStatus.DELIVERED):
        fulfil_order(session, actor_of(seller), order.id, status, after(days=1))

    assert types(session) == [
        "order.placed",
        "payment.pending",
        "payment.succeeded",
        "order.paid",
        "order.shipped",
        "order.delivered",
    ]
    assert told(session, "order.placed") == {
        "id": order.id,
        "number": order.number,
        "user_id": order.user_id,
        "status": "pending",
        "previous_status": None,
        "payment_status": "unpaid",
        "total_price": 1499.5,
        "amount_paid": 0,
        "amount_due": 1500,
        "currency": "KES",
        "mpesa_receipts": [],
        "created_at": "2026-11-22T09:00:00Z",
    }
    assert told(session, "order.paid") == {
        **told(session, "order.placed"),
        "status": "paid",
        "previous_status": "pending",
        "payment_status": "paid",
        "amount_paid": 1500,
        "amount_due": 0,
        "mpesa_receipts": ["UKM0000001"],
    }
    assert told(session, "order.delivered") == {
        **told(session, "order.paid"),
        "status": "delivered",
        "previous_status": "shipped",
    }
    assert {event.order_id for event in events(session) if event.type.startswith("order")} == {
        order.id
    }


def test_an_order_that_ends_unpaid_or_is_paid_back_is_told_of(session, endpoint, boots):
    buyer = make_buyer(session)
    called_off, late, returned = (buy(session, buyer, (boots, 1)) for _ in range(3))
    cancel_order(session, actor_of(buyer), called_off.id, NOW)
    expire_order(session, late.id, after(hours=1))
    pay(session, ask_to_pay(session, returned))
    move_order(session, returned, OrderStatus.REFUNDED, after(hours=2))

    assert types(session)[3:5] == ["order.cancelled", "order.expired"]
    assert types(session)[-1] == "order.refunded"
    assert told(session, "order.cancelled")["status"] == "cancelled"
    assert told(session, "order.expired")["previous_status"] == "pending"
    assert told(session, "order.refunded")["previous_status"] == "paid"


def test_late_money_that_revives_an_order_says_so(session, endpoint, order):
    payment = ask_to_pay(session, order)
    fail_payment(session, payment.id, CANCELLED, NOW)
    expire_order(session, order.id, after(hours=1))
    pay(session, payment, after(hours=2))
    assert types(session)[-2:] == ["payment.succeeded", "order.paid"]
    assert told(session, "payment.succeeded")["previous_status"] == "cancelled"
    assert told(session, "order.paid")["previous_status"] == "expired"


def test_a_payment_is_told_of_when_it_moves_with_its_receipt_and_a_masked_phone(
    session, endpoint, order
):
    payment = ask_to_pay(session, order)
    pay(session, payment)
    assert told(session, "payment.pending") == {
        "id": payment.id,
        "order_id": order.id,
        "order_number": order.number,
        "kind": "stk_push",
        "status": "pending",
        "previous_status": "created",
        "amount": 1500,
        "currency": "KES",
        "phone_number": "2547****333",
        "mpesa_receipt": None,
        "result_code": None,
        "timestamp": "2026-11-22T09:00:00Z",
    }
    assert told(session, "payment.succeeded") == {
        **told(session, "payment.pending"),
        "status": "succeeded",
        "previous_status": "pending",
        "mpesa_receipt": "UKM0000001",
        "result_code": "0",
    }
    assert {event.payment_id for event in events(session) if "payment" in event.type} == {
        payment.id
    }


def test_each_way_in_which_a_payment_ends_without_money_has_its_own_event(session, endpoint, boots):
    def one(**options):
        return ask_to_pay(session, buy(session, make_buyer(session), (boots, 1)), **options)

    refused, silent, lost = one(pushed=False), one(pushed=False), one()
    fail_payment(session, one().id, CANCELLED, NOW)
    record_refusal(session, refused.id, code="400.1", message="Bad", customer_message=None, now=NOW)
    record_silence(session, silent.id, "read timeout", NOW)
    note_no_verdict(session, lost.id, "4999", SCHEDULE, after(minutes=4))

    ends = [name for name in types(session) if name not in {"order.placed", "payment.pending"}]
    assert ends == ["payment.cancelled", "payment.failed", "payment.unknown", "payment.unknown"]
    assert told(session, "payment.cancelled")["result_code"] == "1032"
    assert told(session, "payment.failed")["previous_status"] == "created"
    assert told(session, "payment.unknown")["id"] == lost.id


def test_news_that_moved_nothing_are_not_told(session, endpoint, order):
    payment = ask_to_pay(session, order)
    pay(session, payment)
    before = types(session)
    pay(session, payment)  # the same callback again
    record_payment_event(
        session,
        payment.id,
        from_status=payment.status,
        to_status=payment.status,
        source="query",
        now=NOW,
    )
    assert types(session) == before


def test_a_receipt_that_comes_after_the_money_is_told_of_once(session, endpoint, order):
    payment = ask_to_pay(session, order)
    settle_payment(session, payment.id, Proof("query", "0", "Paid"), NOW)
    assert told(session, "payment.succeeded")["mpesa_receipt"] is None
    for _ in range(2):
        pay(session, payment, after(minutes=1))
    assert types(session)[-2:] == ["order.paid", "payment.receipt_added"]
    assert told(session, "payment.receipt_added")["mpesa_receipt"] == "UKM0000001"


@pytest.mark.parametrize(
    ("typed", "shown"),
    [("K7M2Q9", "K7M2Q9"), ("0711 222 333", "2547****333"), (None, None)],
)
def test_money_without_an_order_is_told_of_without_a_phone(session, endpoint, typed, shown):
    facts = ReceiptFacts(
        "UKM0000009",
        150_050,
        MoneySource.C2B,
        bill_reference=typed,
        transacted_at=NOW,
        payer_phone=PHONE,
        payer_name="Wanjiku Kamau",
    )
    assert [keep_unmatched(session, facts, NOW) for _ in range(2)] == [True, False]
    assert types(session) == ["money.unmatched", "task.filed"]
    assert told(session, "money.unmatched") == {
        "mpesa_receipt": "UKM0000009",
        "amount": 1500.5,
        "currency": "KES",
        "account_number": shown,
        "transacted_at": "2026-11-22T09:00:00Z",
    }
    assert told(session, "task.filed")["mpesa_receipt"] == "UKM0000009"


def test_money_that_came_by_itself_for_an_order_is_a_payment_like_any_other(
    session, endpoint, order
):
    facts = ReceiptFacts("UKM0000009", 150_000, MoneySource.C2B, payer_phone="2547****333")
    use_money(session, order, record_paybill_payment(session, order, facts, NOW), NOW)
    assert types(session) == ["order.placed", "payment.succeeded", "order.paid"]
    payment = told(session, "payment.succeeded")
    assert (payment["kind"], payment["previous_status"]) == ("paybill", None)
    assert (payment["mpesa_receipt"], payment["phone_number"]) == ("UKM0000009", None)


def test_a_task_that_the_shop_files_is_told_of_once_without_what_it_describes(
    session, endpoint, order
):
    payment = ask_to_pay(session, order)
    matter = Matter(TaskKind.LATE_MONEY, "Give it back", f"It came from {PHONE}", "late:1")
    assert [file_task(session, matter, NOW, payment=payment) for _ in range(2)] == [True, False]
    assert types(session)[-2:] == ["payment.pending", "task.filed"]
    assert told(session, "task.filed") == {
        "id": 1,
        "kind": "late_money",
        "title": "Give it back",
        "priority": "high",
        "order_id": order.id,
        "payment_id": payment.id,
        "refund_id": None,
        "mpesa_receipt": None,
        "created_at": "2026-11-22T09:00:00Z",
    }


def test_no_event_holds_a_whole_phone_or_where_a_buyer_lives(session, endpoint, order):
    payment = ask_to_pay(session, order)
    pay(session, payment)
    everything = "".join(event.payload for event in events(session))
    for secret in (PHONE, "0711222333", "711222333", ADDRESS, "Call first", "@", "secret"):
        assert secret not in everything
    assert payment.callback_secret_hash not in everything


def test_every_event_is_the_shape_that_is_documented(app, session, endpoint, order, boots):
    pay(session, ask_to_pay(session, order))
    expire_order(session, buy(session, make_buyer(session), (boots, 1)).id, after(hours=1))
    keep_unmatched(session, ReceiptFacts("UKM0000009", 5_000, MoneySource.C2B), NOW)
    with app.app_context():
        document = openapi_document(app)
    assert set(document["webhooks"]) == {*EventType, TEST}
    seen = set()
    for event in events(session):
        payload = json.loads(event.payload)
        assert list(payload) == ["type", "timestamp", "data"]
        body = document["webhooks"][event.type]["post"]["requestBody"]["content"]
        media = body["application/json"]
        schema = {**media["schema"], "components": document["components"]}
        jsonschema_rs.validator_for(schema).validate(payload)
        assert payload.keys() == media["example"].keys()
        assert payload["data"].keys() == media["example"]["data"].keys()
        seen.add(event.type)
    assert seen == {
        "order.placed",
        "payment.pending",
        "payment.succeeded",
        "order.paid",
        "order.expired",
        "money.unmatched",
        "task.filed",
    }


def test_the_examples_of_all_types_are_the_shape_that_is_documented(app):
    with app.app_context():
        document = openapi_document(app)
    for name, item in document["webhooks"].items():
        media = item["post"]["requestBody"]["content"]["application/json"]
        schema = {**media["schema"], "components": document["components"]}
        jsonschema_rs.validator_for(schema).validate(media["example"])
        assert media["example"]["type"] == name


def test_every_state_that_can_be_reached_has_its_type():
    assert set(OF_ORDER) == set(OrderStatus)
    assert set(OF_PAYMENT) == set(PaymentState) - {PaymentState.CREATED}


def test_a_payload_is_one_line_of_json_with_its_own_letters(session, endpoint):
    emit_event(session, EventType.TASK_FILED, lambda: {"title": "Kahawa Ñ ☕"}, NOW)
    (event,) = events(session)
    assert event.payload == (
        '{"type":"task.filed","timestamp":"2026-11-22T09:00:00Z","data":{"title":"Kahawa Ñ ☕"}}'
    )
    assert event.public_id.startswith("evt_")
    assert "." not in event.public_id
    assert len(event.public_id) == 36


def test_only_those_who_want_a_type_are_told_and_each_once(session, boots):
    everything = make_webhook(session)
    orders = make_webhook(session, event_types=["order.placed", "order.paid"])
    payments = make_webhook(session, event_types=["payment.succeeded"])
    removed = make_webhook(session, secret=None, removed_at=NOW)
    pay(session, ask_to_pay(session, buy(session, make_buyer(session), (boots, 1))))

    def sent(endpoint) -> list[str]:
        rows = (
            select(WebhookEvent.type)
            .join(WebhookDelivery, WebhookDelivery.event_id == WebhookEvent.id)
            .where(WebhookDelivery.endpoint_id == endpoint.id)
        )
        return list(session.scalars(rows.order_by(WebhookDelivery.id)))

    assert sent(everything) == [
        "order.placed",
        "payment.pending",
        "payment.succeeded",
        "order.paid",
    ]
    assert sent(orders) == ["order.placed", "order.paid"]
    assert sent(payments) == ["payment.succeeded"]
    assert sent(removed) == []
    delivery = session.scalars(select(WebhookDelivery)).first()
    assert (delivery.state, delivery.next_attempt_at, delivery.attempt_count) == (
        DeliveryState.PENDING,
        NOW,
        0,
    )


def test_what_a_disabled_endpoint_misses_is_kept_and_not_sent(session, boots):
    make_webhook(session, disabled_at=NOW, disabled_reason=DisabledReason.FAILING)
    buy(session, make_buyer(session), (boots, 1))
    assert types(session) == ["order.placed"]
    assert session.scalars(select(WebhookDelivery)).all() == []


def test_what_nobody_wants_is_neither_gathered_nor_kept(session, boots):
    buyer = make_buyer(session)
    make_webhook(session, event_types=["task.filed"])

    def burst():
        raise AssertionError("the data was gathered")

    emit_event(session, EventType.ORDER_PAID, burst, NOW)
    buy(session, buyer, (boots, 1))
    assert events(session) == []


def test_without_any_endpoint_a_step_costs_one_query(database, session, boots):
    buyer = make_buyer(session)
    order = buy(session, buyer, (boots, 1))
    asked = []

    def note(_connection, _cursor, statement, *_rest) -> None:
        if "webhook" in statement:
            asked.append(statement)

    sql_event.listen(database.engine, "before_cursor_execute", note)
    try:
        cancel_order(session, actor_of(buyer), order.id, NOW)
    finally:
        sql_event.remove(database.engine, "before_cursor_execute", note)
    assert len(asked) == 1
    assert asked[0].startswith("SELECT webhook_endpoints")


def test_an_event_and_what_it_tells_of_are_both_there_or_neither(database):
    rung = []
    database.bell = lambda *ring: rung.append(ring)
    with database.transaction() as session:
        endpoint = make_webhook(session, make_user(session, Role.ADMIN))
        boots, buyer = make_product(session), make_buyer(session)
        before = snapshot(session)
    with pytest.raises(ZeroDivisionError), database.transaction() as session:
        buy(session, buyer, (boots, 1))
        assert types(session) == ["order.placed"]
        raise ZeroDivisionError
    with database.reading() as session:
        assert snapshot(session) == before
    assert rung == []
    with database.transaction() as session:
        for hour in range(2):
            buy(session, buyer, (boots, 1), now=NOW + timedelta(hours=hour))
    assert rung == [("deliver_webhooks", endpoint.id)]
    with database.reading() as session:
        assert types(session) == ["order.placed", "order.placed"]
