"""All processes share one token, and one of them at a time fetches a new one."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from sqlalchemy import select

from app.jobs.shared_token import SharedTokenStore, token_name
from app.models import SharedToken
from app.ports import AccessToken
from tests.factories import NOW

TOKEN = AccessToken("first-token", NOW + timedelta(hours=1))
OTHER = AccessToken("second-token", NOW + timedelta(hours=2))


@pytest.fixture
def store(database, clock) -> SharedTokenStore:
    return SharedTokenStore(database, "one key", clock)


def test_there_is_no_token_before_one_is_written(store):
    assert store.read() is None


def test_a_token_is_read_as_it_was_written_by_whoever_reads(store, database, clock):
    store.write(TOKEN)
    assert SharedTokenStore(database, "one key", clock).read() == TOKEN
    store.write(OTHER)
    assert store.read() == OTHER


def test_keys_do_not_share_tokens(store, database, clock):
    store.write(TOKEN)
    other = SharedTokenStore(database, "another key", clock)
    assert other.read() is None
    assert other.claim(10) is True


def test_one_claim_holds_until_it_runs_out(store, clock):
    assert store.claim(10) is True
    assert store.claim(10) is False
    clock.advance(seconds=9.9)
    assert store.claim(10) is False
    clock.advance(seconds=0.1)
    assert store.claim(10) is True
    assert store.claim(10) is False


def test_writing_ends_the_claim(store):
    store.claim(10)
    store.write(TOKEN)
    assert store.claim(10) is True


def test_a_claim_leaves_the_token_readable(store):
    store.write(TOKEN)
    store.claim(10)
    assert store.read() == TOKEN


def test_only_the_token_that_is_named_is_dropped(store):
    store.write(TOKEN)
    store.drop("some-other-token")
    assert store.read() == TOKEN
    store.drop("first-token")
    assert store.read() is None


def test_dropping_does_not_end_a_claim(store):
    store.write(TOKEN)
    store.claim(10)
    store.drop("first-token")
    assert store.claim(10) is False


def test_of_many_that_claim_at_once_one_wins(store):
    together = Barrier(16)

    def claim(_):
        together.wait()
        return store.claim(10)

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(claim, range(16)))
    assert won.count(True) == 1


def test_the_consumer_key_is_not_written_down(database, clock):
    name = token_name("https://api.safaricom.co.ke", "the-consumer-key")
    SharedTokenStore(database, name, clock).write(TOKEN)
    with database.reading() as session:
        row = session.scalars(select(SharedToken)).one()
    assert "the-consumer-key" not in row.name
    assert row.name != token_name("https://sandbox.safaricom.co.ke", "the-consumer-key")
