"""The figures: who may read them, and that they are right."""

import re

import pytest

from app.context import GATE
from app.controllers.metrics_controller import _Gathered
from app.db import EXTENSION, Database
from app.jobs.build import pool_limit
from app.utils.gate import Rank
from app.utils.places import INTAKE_PLACES
from tests.controllers.callers import caller, is_refused
from tests.factories import make_product

TOKEN = "a-token-of-thirty-two-characters-or-more"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
DIRECT = {"REMOTE_ADDR": "10.1.2.3"}


@pytest.fixture(autouse=True)
def forget():
    _Gathered._kept.clear()
    yield
    _Gathered._kept.clear()


@pytest.fixture
def counting(make_app):
    """A shop that counts; what other tests made it count was counted by the same."""
    return make_app(metrics_token=TOKEN, metrics_addresses=("10.0.0.0/8", "::1"))


def figures(client) -> dict[str, float]:
    answer = client.get("/metrics", headers=HEADERS)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    found = {}
    for line in answer.text.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


def risen(before: dict[str, float], now: dict[str, float]) -> dict[str, float]:
    """What counts events and has counted some since, by how much."""
    counters = re.compile(r"sokoni_\w+(_total|_count)(\{|$)")
    return {
        name: value - before.get(name, 0)
        for name, value in now.items()
        if counters.match(name) and value != before.get(name, 0)
    }


def test_where_nobody_may_read_them_nothing_is_there_and_nothing_counted(app, client):
    assert is_refused(client.get("/metrics", headers=HEADERS), 404, "not_found")
    assert "sokoni_meter" not in app.extensions


@pytest.mark.parametrize(
    ("headers", "environ", "status"),
    [
        (HEADERS, {}, 200),
        ({"Authorization": "Bearer another-token-of-thirty-two-characters"}, {}, 404),
        ({"Authorization": TOKEN}, {}, 404),
        ({}, {}, 404),
        ({}, DIRECT, 200),
        ({}, {"REMOTE_ADDR": "11.1.2.3"}, 404),
        ({}, {"REMOTE_ADDR": "::1"}, 200),
        ({}, {"REMOTE_ADDR": "10.1.2.3.4"}, 404),
        ({"X-Forwarded-For": "10.1.2.3"}, {"REMOTE_ADDR": "127.0.0.1"}, 404),
        ({"X-Forwarded-For": "8.8.8.8"}, DIRECT, 404),
        ({"Forwarded": "for=8.8.8.8"}, DIRECT, 404),
        ({"Authorization": "Bearer wrong"}, DIRECT, 404),
    ],
)
def test_who_may_read_them(counting, headers, environ, status):
    answer = counting.test_client().get("/metrics", headers=headers, environ_overrides=environ)
    assert answer.status_code == status


def test_behind_a_proxy_the_address_that_counts_is_the_proxys_and_it_is_let_in_by_no_address(
    make_app,
):
    client = make_app(metrics_addresses=("10.0.0.0/8",), trusted_proxy_count=1).test_client()
    through = client.get(
        "/metrics", headers={"X-Forwarded-For": "10.9.9.9"}, environ_overrides=DIRECT
    )
    assert through.status_code == 404
    assert client.get("/metrics", environ_overrides=DIRECT).status_code == 200


def test_requests_are_counted_by_the_template_of_their_route(counting, database):
    client = counting.test_client()
    with database.transaction() as session:
        product = make_product(session)
    before = figures(client)
    for path in (f"/api/items/{product.id}", "/api/items/999", "/api/items/998", "/no/such/page"):
        client.get(path)
    client.open("/api/items", method="BREW")
    found = risen(before, figures(client))

    def timed(route: str, method: str, status: str) -> str:
        labels = f'method="{method}",route="{route}",status="{status}"'
        return f"sokoni_http_request_seconds_count{{{labels}}}"

    assert found == {
        timed("/api/items/<id:item_id>", "GET", "2xx"): 1,
        timed("/api/items/<id:item_id>", "GET", "4xx"): 2,
        timed("elsewhere", "GET", "4xx"): 1,
        timed("elsewhere", "other", "4xx"): 1,
        timed("/metrics", "GET", "2xx"): 1,
        'sokoni_catalogue_looks_total{outcome="miss"}': 3,
        'sokoni_refusals_total{code="not_found"}': 1,
        'sokoni_refusals_total{code="product_not_found"}': 2,
        'sokoni_refusals_total{code="method_not_allowed"}': 1,
    }


def test_refusals_replays_and_those_sent_away_are_counted(counting, database):
    client = counting.test_client()
    with database.transaction() as session:
        product = make_product(session, stock=1)
    _, headers = caller(client, database)
    headers = {**headers, "Idempotency-Key": "once"}
    before = figures(client)
    ask = {"products": [{"product_id": product.id, "quantity": 1}]}
    answers = [client.post("/api/orders", json=ask, headers=headers) for _ in range(3)]
    assert [one.status_code for one in answers] == [201] * 3
    other = {**headers, "Idempotency-Key": "twice"}
    assert client.post("/api/orders", json=ask, headers=other).status_code == 409
    gate = counting.extensions[GATE]
    places, gate.places, gate.queue = (gate.places, gate.queue), 0, 0
    try:
        assert client.get("/").status_code == 503
        assert client.post("/api/orders", json=ask).status_code == 503
        now = figures(client)
    finally:
        gate.places, gate.queue = places
    found = risen(before, now)
    assert found["sokoni_idempotent_replays_total"] == 2
    assert found['sokoni_refusals_total{code="out_of_stock"}'] == 1
    assert found['sokoni_http_sent_away_total{rank="reader"}'] == 1
    assert found['sokoni_http_sent_away_total{rank="writer"}'] == 1
    assert now["sokoni_http_in_flight"] == 0


def test_a_store_of_limits_that_is_down_is_counted(make_app):
    client = make_app(
        metrics_token=TOKEN, rate_limits_enabled=True, rate_limit_storage_url="redis://127.0.0.1:1"
    ).test_client()
    before = figures(client)
    for _ in range(3):  # the first notices, the others are spared the question
        client.post("/api/login", json={"username": "amina", "password": "wrong"})
    assert risen(before, figures(client))["sokoni_limit_store_failures_total"] == 1


def test_the_state_of_the_work_is_shown_and_read_at_most_every_few_seconds(counting, database):
    client = counting.test_client()
    first = figures(client)
    assert first["sokoni_database_up"] == 1
    assert first['sokoni_attempts_open{status="unknown"}'] == 0
    assert first['sokoni_refunds_open{status="awaiting_approval"}'] == 0
    assert first["sokoni_inbox_unread"] == 0
    assert first["sokoni_queue_waiting"] == 0
    asked = []
    watched = counting.extensions[EXTENSION]
    reading = watched.reading
    watched.reading = lambda: asked.append(1) or reading()
    try:
        assert figures(client)["sokoni_inbox_unread"] == 0
    finally:
        del watched.reading
    assert asked == []


def test_rings_that_no_worker_has_heard_are_shown_where_the_queue_answers(counting, ports):
    client = counting.test_client()
    ports.doorbell.ring("look", 1)
    assert figures(client)["sokoni_queue_waiting"] == 1
    _Gathered._kept.clear()
    ports.doorbell.is_down = True
    found = figures(client)
    assert "sokoni_queue_waiting" not in found
    assert found["sokoni_inbox_unread"] == 0


def test_without_the_database_the_rest_is_still_shown(counting, database):
    gone = Database("postgresql+psycopg://nobody:secretword@127.0.0.1:1/none")
    counting.extensions[EXTENSION] = gone
    found = figures(counting.test_client())
    counting.extensions[EXTENSION] = database
    gone.dispose()
    assert found["sokoni_database_up"] == 0
    assert "sokoni_inbox_unread" not in found
    assert found["sokoni_http_in_flight"] == 0


def test_connections_in_use_are_counted_by_pool(config, database, database_url, ports):
    from dataclasses import replace

    from app import create_app
    from app.db import reserved_connections

    app = create_app(replace(config, metrics_token=TOKEN), ports)
    own, client = app.extensions[EXTENSION], app.test_client()
    name = "sokoni_database_connections_in_use"
    with own.engine.connect(), reserved_connections(), own.reading() as session:
        session.connection()
        found = figures(client)
    assert found[f'{name}{{pool="reserve"}}'] == 1
    assert found[f'{name}{{pool="main"}}'] == 1
    limit = "sokoni_database_connections_limit"
    assert found[f'{limit}{{pool="main"}}'] == pool_limit(config)
    assert found[f'{limit}{{pool="reserve"}}'] == INTAKE_PLACES
    later = figures(client)
    assert later[f'{name}{{pool="reserve"}}'] == 0
    assert later[f'{name}{{pool="main"}}'] == 0
    own.dispose()


def test_the_lines_before_the_gate_are_there_before_anybody_is_sent_away(counting):
    found = figures(counting.test_client())
    assert {
        f'sokoni_http_sent_away_total{{rank="{rank.value}"}}' for rank in (Rank.READER, Rank.WRITER)
    } <= set(found)
