"""Rate limits: who is counted, what they are told, and what happens when nobody can count."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from flask_limiter.util import get_qualified_name
from limits.errors import StorageError
from sqlalchemy import text

from app.controllers.rate_counters import DatabaseCounters
from app.models import RateCounter
from app.utils.limiter import MemoryCounters, RedisCounters, SteadyCounters, Window, limiter, spend
from tests.controllers.probe import add_probe
from tests.controllers.sign_in import new_caller


@pytest.fixture
def make_app(make_app):
    def make(**settings):
        limits = {
            "rate_limits_enabled": True,
            "write_limit": "3 per minute",
            "prompt_user_limit": "2 per minute; 3 per hour",
        }
        return make_app(_add_views, **(limits | settings))

    return make


def _add_views(app) -> None:
    add_probe(app)

    @app.post("/api/spend/<who>")
    def spend_one(who):
        spend("prompt_user_limit", who)
        return {"who": who}


def write(client, **options):
    return client.post("/api/probe", json={}, **options)


def test_writes_are_counted_and_the_fourth_is_refused(make_app):
    client = make_app().test_client()
    answers = [write(client) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["RateLimit"] for answer in answers] == [
        '"3-per-60s";r=2;t=60',
        '"3-per-60s";r=1;t=60',
        '"3-per-60s";r=0;t=60',
        '"3-per-60s";r=0;t=60',
    ]
    assert answers[0].headers["RateLimit-Policy"] == '"3-per-60s";q=3;w=60'
    assert "Retry-After" not in answers[0].headers
    assert answers[3].headers["Retry-After"] == "60"
    assert answers[3].mimetype == "application/problem+json"
    assert answers[3].json["code"] == "rate_limited"


def test_the_count_ends_with_its_window(make_app, clock):
    client = make_app().test_client()
    for _ in range(4):
        refused = write(client)
    clock.advance(seconds=int(refused.headers["Retry-After"]))
    assert write(client).headers["RateLimit"] == '"3-per-60s";r=2;t=60'


def test_reads_are_not_counted(make_app, database):
    client = make_app().test_client()
    for _ in range(10):
        response = client.get("/api/probe")
        assert response.status_code == 200
        assert "RateLimit" not in response.headers
    with database.reading() as session:
        assert session.query(RateCounter).count() == 0


def test_no_limit_stands_on_a_view_that_reads(app):
    """There it would count nothing, and nobody would notice."""
    limited = {
        get_qualified_name(app.view_functions[rule.endpoint]): rule.methods
        for rule in app.url_map.iter_rules()
        if get_qualified_name(app.view_functions[rule.endpoint]) in limiter._marked_for_limiting
    }
    assert len(limited) >= 2
    assert {name for name, methods in limited.items() if methods & {"GET", "HEAD"}} == set()


def test_two_processes_share_one_count(make_app):
    first, second = make_app().test_client(), make_app().test_client()
    statuses = [write(client).status_code for client in (first, second, first, second)]
    assert statuses == [200, 200, 200, 429]


def test_every_spelling_of_an_address_counts_together(make_app):
    client = make_app().test_client()
    for path in ("/api/probe", "/api/probe/", "//api/probe"):
        response = client.post("/", json={}, environ_overrides={"PATH_INFO": path})
        assert response.status_code == 200
    assert write(client).status_code == 429


def test_users_behind_one_address_are_counted_apart(make_app, database):
    app = make_app()
    client = app.test_client()
    _, amina = new_caller(app, database, "customer")
    _, brian = new_caller(app, database, "customer")
    for _ in range(3):
        assert write(client, headers=amina).status_code == 200
    assert write(client, headers=amina).status_code == 429
    assert write(client, headers=brian).status_code == 200


def test_a_made_up_token_is_counted_with_its_address(make_app):
    client = make_app().test_client()
    statuses = [
        write(client, headers={"Authorization": f"Bearer a.b.c{number}"}).status_code
        for number in range(4)
    ]
    assert statuses == [200, 200, 200, 429]


def test_a_made_up_forwarded_address_starts_no_new_count(make_app):
    client = make_app().test_client()
    statuses = [
        write(client, headers={"X-Forwarded-For": f"10.0.0.{number}"}).status_code
        for number in range(30)
    ]
    assert statuses == [200] * 3 + [429] * 27


def test_behind_one_proxy_a_made_up_address_in_front_starts_no_new_count(make_app):
    client = make_app(trusted_proxy_count=1).test_client()
    statuses = [
        write(client, headers={"X-Forwarded-For": f"10.0.0.{number}, 41.90.1.2"}).status_code
        for number in range(30)
    ]
    assert statuses == [200] * 3 + [429] * 27


def test_the_addresses_of_one_ipv6_network_count_together(make_app):
    client = make_app().test_client()
    statuses = [
        write(client, environ_overrides={"REMOTE_ADDR": f"2001:db8:1:2::{number}"}).status_code
        for number in range(4)
    ]
    assert statuses == [200, 200, 200, 429]
    other = write(client, environ_overrides={"REMOTE_ADDR": "2001:db8:1:3::1"})
    assert other.status_code == 200


def test_callbacks_are_never_turned_away(make_app):
    client = make_app().test_client()
    statuses = {client.post("/mpesa/callback", data=b"{}").status_code for _ in range(10)}
    assert statuses == {200}


def test_limits_that_are_off_count_nothing(make_app, database):
    client = make_app(rate_limits_enabled=False).test_client()
    assert {write(client).status_code for _ in range(10)} == {200}
    assert client.post("/api/spend/amina").status_code == 200
    with database.reading() as session:
        assert session.query(RateCounter).count() == 0


def test_a_limit_may_be_spent_under_a_key_of_ones_own(make_app, clock):
    client = make_app(write_limit="100 per minute").test_client()
    assert [client.post("/api/spend/amina").status_code for _ in range(3)] == [200, 200, 429]
    assert client.post("/api/spend/brian").status_code == 200
    clock.advance(seconds=61)
    # What the minute refused was not counted in the hour.
    refused = client.post("/api/spend/amina")
    assert refused.status_code == 200
    assert '"3-per-3600s";r=0;t=3539' in refused.headers["RateLimit"]
    assert client.post("/api/spend/amina").headers["Retry-After"] == "3539"


def test_no_key_tells_the_store_who_it_is_about(make_app, database):
    make_app().test_client().post("/api/spend/254712345678")
    with database.reading() as session:
        keys = [row.key for row in session.query(RateCounter)]
    assert len(keys) == 3
    assert all(len(key) == 64 and "254712345678" not in key for key in keys)


def test_counting_in_the_database_is_exact_for_many_at_once(database, clock):
    counters = DatabaseCounters(lambda: database, lambda: clock().timestamp())
    with ThreadPoolExecutor(16) as pool:
        hits = list(pool.map(lambda _: counters.add("one", 1, 60).hits, range(100)))
    assert sorted(hits) == list(range(1, 101))


@pytest.mark.parametrize("kind", ["database", "memory"])
def test_a_window_ends_at_its_moment_and_not_before(database, clock, kind):
    seconds = lambda: clock().timestamp()  # noqa: E731
    counters = (
        MemoryCounters(seconds) if kind == "memory" else DatabaseCounters(lambda: database, seconds)
    )
    start = seconds()
    assert counters.look("a") is None
    assert counters.add("a", 2, 60) == Window(2, start + 60)
    clock.advance(seconds=59)
    assert counters.add("a", 1, 60) == Window(3, start + 60)
    clock.advance(seconds=1)
    assert counters.look("a") is None
    assert counters.add("a", 1, 60) == Window(1, start + 120)


def test_counts_that_are_over_are_cleaned_away(database, clock):
    counters = DatabaseCounters(lambda: database, lambda: clock().timestamp())
    counters.add("old", 1, 60)
    clock.advance(seconds=30)
    counters.add("new", 1, 60)
    clock.advance(seconds=30)
    counters.clean()
    with database.reading() as session:
        assert [row.key for row in session.query(RateCounter)] == ["new"]


def test_counting_inside_a_transaction_is_a_mistake_that_shows(database, clock):
    counters = SteadyCounters(DatabaseCounters(lambda: database, lambda: 0.0), lambda: 0.0)
    with database.transaction(), pytest.raises(RuntimeError, match="not inside one"):
        counters.add("a", 1, 60)


@pytest.mark.fault("F49")
def test_when_the_store_fails_the_process_counts_for_itself(make_app, database):
    client = make_app().test_client()
    assert write(client).headers["RateLimit"] == '"3-per-60s";r=2;t=60'
    with database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE rate_counters RENAME TO away"))
    try:
        statuses = [write(client).status_code for _ in range(4)]
    finally:
        with database.engine.begin() as connection:
            connection.execute(text("ALTER TABLE away RENAME TO rate_counters"))
    assert statuses == [200, 200, 200, 429]


@pytest.mark.fault("F49")
def test_a_redis_that_is_gone_neither_fails_nor_lifts_the_limit(make_app):
    client = make_app(rate_limit_storage_url="redis://127.0.0.1:1/0").test_client()
    assert [write(client).status_code for _ in range(4)] == [200, 200, 200, 429]


def test_redis_says_that_it_is_gone_within_its_time():
    with pytest.raises(StorageError):
        RedisCounters("redis://127.0.0.1:1/0").add("a", 1, 60)


def test_a_store_that_is_back_is_asked_again(monkeypatch):
    class Store(MemoryCounters):
        broken = True

        def add(self, key, amount, window_seconds):
            if self.broken:
                raise StorageError(OSError("gone"))
            return super().add(key, amount, window_seconds)

    moment = 1000.0
    monkeypatch.setattr("app.utils.limiter.time.monotonic", lambda: moment)
    store = Store(lambda: 0.0)
    counters = SteadyCounters(store, lambda: 0.0)
    assert counters.add("a", 1, 60).hits == 1
    store.broken = False
    assert counters.add("a", 1, 60).hits == 2
    assert store.look("a") is None
    moment += 10
    assert counters.add("a", 1, 60).hits == 1
    assert store.look("a") == Window(1, 60.0)
