"""Whoever reads after a change was committed reads the change, in whatever process either is."""

from multiprocessing import get_context

import pytest
from sqlalchemy import text

from app.services.place_order import place_order
from tests.core import ORDER_RULES, make_buyer, wanted
from tests.factories import NOW, actor_of, make_product, make_user
from tests.races.readers_and_writers import read, write

WRITES = 150


@pytest.mark.parametrize("database_kind", ["postgresql", "sqlite"])
def test_no_reader_of_any_process_sees_what_was_replaced_before_it_asked(database):
    with database.transaction() as session:
        seller = make_user(session, "seller")
        products = [make_product(session, seller, price_cents=0, stock=0).id for _ in range(2)]
    url = database.url.render_as_string(hide_password=False)
    world = get_context("spawn")
    said = {product_id: world.Value("q", 0) for product_id in products}
    is_over, stale, count = world.Value("b", 0), world.Value("q", 0), world.Value("q", 0)
    readers = [
        world.Process(target=read, args=(url, said, is_over, stale, count)) for _ in range(2)
    ]
    writers = [
        world.Process(target=write, args=(url, product_id, known, WRITES))
        for product_id, known in said.items()
    ]
    for process in (*readers, *writers):
        process.start()
    try:
        for process in writers:
            process.join(90)
        is_over.value = 1
        for process in readers:
            process.join(90)
        assert [process.exitcode for process in (*readers, *writers)] == [0, 0, 0, 0]
    finally:
        for process in (*readers, *writers):
            process.kill()
            process.join()
    assert {known.value for known in said.values()} == {WRITES}
    assert stale.value == 0
    assert count.value >= 2 * 3 * 3  # each thread of each reader looked at least once at all


def test_an_order_waits_for_no_order_of_another_product(database):
    """Both are placed and neither is committed: with one row for all changes, one would wait."""
    with database.transaction() as session:
        boots, hat = make_product(session, stock=5), make_product(session, stock=5)
        buyers = [make_buyer(session) for _ in range(2)]
    with database._sessions() as first, database._sessions() as second:
        second.execute(text("SET lock_timeout = '200ms'"))
        for session, buyer, product in ((first, buyers[0], boots), (second, buyers[1], hat)):
            place_order(session, actor_of(buyer), wanted((product, 1)), ORDER_RULES, NOW)
            session.flush()
        waits = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        assert second.execute(text(waits)).scalar_one() == 0
        second.commit()
        first.commit()
