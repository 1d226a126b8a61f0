from sqlalchemy import select

from app.jobs.expire_orders import expire_due_orders, expire_order
from app.models import Order
from app.services.audit import audit
from tests.core import after, ask_to_pay, buy, counts, database_snapshot, make_buyer
from tests.factories import NOW, make_product


def test_orders_expire_when_their_time_is_up_except_those_that_may_yet_be_paid(
    work, database, clock
):
    with database.transaction() as session:
        boots = make_product(session, stock=9)
        buyer = make_buyer(session)
        lapsed, asked, fresh = (
            buy(session, buyer, (boots, 1), now=now) for now in (NOW, NOW, after(seconds=1))
        )
        ask_to_pay(session, asked)
    clock.now = after(minutes=15)
    expire_due_orders(work)
    once = database_snapshot(database)

    with database.reading() as session:
        assert dict(session.execute(select(Order.id, Order.status)).all()) == {
            lapsed.id: "expired",
            asked.id: "pending",
            fresh.id: "pending",
        }
        assert counts(session, boots) == (9, 2)
        assert audit(session, clock()) == []
    expire_due_orders(work)
    expire_order(work, lapsed.id)
    expire_order(work, asked.id)
    expire_order(work, fresh.id)
    assert database_snapshot(database) == once

    clock.advance(seconds=1)
    expire_order(work, fresh.id)
    with database.reading() as session:
        assert session.get_one(Order, fresh.id).status == "expired"
