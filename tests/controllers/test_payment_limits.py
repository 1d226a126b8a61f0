"""How often prompts may be asked for, and how much unproven mail is taken in."""

from dataclasses import replace

import pytest
from sqlalchemy import func, select

from app.models import InboxMessage, Payment
from tests.controllers.sign_in import sign_in
from tests.core import buy, database_snapshot, make_buyer
from tests.factories import make_product


@pytest.fixture
def config(config):
    return replace(
        config,
        rate_limits_enabled=True,
        prompt_user_limit="2 per 10 minutes",
        unsigned_callback_limit="3 per minute",
    )


def _count(database, model) -> int:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(model))


def test_attack_86_one_user_cannot_ring_many_phones(app, client, database, gateway):
    with database.transaction() as session:
        buyer = make_buyer(session)
        product = make_product(session)
        orders = [buy(session, buyer, (product, 1)).id for _ in range(3)]
    headers = sign_in(app, buyer)
    asks = [
        {"order_id": order, "phone_number": f"071200000{number}"}
        for number, order in enumerate(orders)
    ]
    answers = [client.post("/mpesa/stkpush", json=ask, headers=headers) for ask in asks]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 600
    assert answers[2].mimetype == "application/problem+json"
    assert len(gateway.pushes) == _count(database, Payment) == 2


def test_unproven_callbacks_from_one_address_are_stored_up_to_a_limit(client, database):
    statuses = [client.post(path, json={}).status_code for path in ["/mpesa/callback"] * 3]
    assert statuses == [200, 200, 200]
    before = database_snapshot(database)
    refused = client.post("/api/mpesa/callback", json={})
    assert refused.status_code == 429
    assert _count(database, InboxMessage) == 3
    now = database_snapshot(database)
    assert {name for name in before if before[name] != now[name]} <= {"rate_counters"}
