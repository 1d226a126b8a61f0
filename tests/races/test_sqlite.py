"""SQLite has one writer at a time: nothing is lost, and nobody is told that it is locked."""

import sqlite3

import pytest
from sqlalchemy import func, select, text, update

from app.models import Order, Payment, Product
from app.services.audit import audit
from app.services.due_payments import reserve_query_slot
from app.services.place_order import place_order
from tests.core import ORDER_RULES, ask_to_pay, buy, counts, make_buyer, pay, wanted
from tests.factories import NOW, actor_of, make_product
from tests.races.starting_line import tally, together
from tests.races.test_paying import SHORT


@pytest.fixture(params=["sqlite"])
def database_kind(request) -> str:
    return request.param


@pytest.mark.fault("F40")
def test_16_writers_lose_no_write_and_see_no_lock(database):
    with database.transaction() as session:
        boots = make_product(session, stock=100)

    def write() -> str:
        for _ in range(5):
            with database.transaction() as session:
                # reads first: a transaction that is not IMMEDIATE could then not turn writer
                version = session.scalar(select(Product.version).where(Product.id == boots.id))
                session.execute(update(Product).values(version=version + 1))
        return "written"

    assert tally(together([write] * 16)) == {"written": 16}
    with database.reading() as session:
        assert session.get_one(Product, boots.id).version == 81


@pytest.mark.fault("F31")
def test_16_buyers_for_the_last_5_units_buy_exactly_5(database):
    with database.transaction() as session:
        boots = make_product(session, stock=5)
        buyers = [make_buyer(session) for _ in range(16)]

    def placing(buyer):
        def place() -> str:
            with database.transaction() as session:
                place_order(session, actor_of(buyer), wanted((boots, 1)), ORDER_RULES, NOW)
            return "placed"

        return place

    assert tally(together([placing(buyer) for buyer in buyers])) == {
        "placed": 5,
        "out_of_stock": 11,
    }
    with database.reading() as session:
        assert counts(session, boots) == (5, 5)
        assert session.scalar(select(func.count()).select_from(Order)) == 5
        assert audit(session, NOW) == []


@pytest.mark.fault("F16")
def test_16_callbacks_at_once_count_once(database):
    with database.transaction() as session:
        order = buy(session, make_buyer(session), (make_product(session), 1))
        payment = ask_to_pay(session, order)

    def settle() -> str:
        with database.transaction() as session:
            return pay(session, session.get_one(Payment, payment.id))

    assert tally(together([settle] * 16)) == {"settled": 1, "already_settled": 15}
    with database.reading() as session:
        assert audit(session, NOW) == []


def test_16_workers_get_a_slot_each(database):
    def reserve():
        with database.transaction() as session:
            return reserve_query_slot(session, NOW, 100, SHORT)[0]

    assert len(set(together([reserve] * 16))) == 16


def test_readers_go_on_while_a_writer_writes(database):
    with database.transaction() as session:
        boots = make_product(session, stock=3)
    with database.transaction() as writing:
        writing.execute(update(Product).values(on_hand=9))

        def read() -> int:
            with database.reading() as session:
                return session.get_one(Product, boots.id).on_hand

        assert together([read] * 4) == [3, 3, 3, 3]


@pytest.mark.fault("F40")
def test_a_writer_that_waits_too_long_is_told_that_the_file_is_locked(database):
    with database.transaction():

        def write() -> None:
            with database.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA busy_timeout = 50")
                connection.connection.dbapi_connection.execute("BEGIN IMMEDIATE")

        (answer,) = together([write])
    assert isinstance(answer, sqlite3.OperationalError)
    assert "locked" in str(answer)
    with database.transaction() as session:
        session.execute(text("SELECT 1"))
