"""A short drill on each database: all its zeros, and that each of them can be something else."""

import pytest
from sqlalchemy import delete, insert, select, text, update

from app.models import (
    Account,
    ClaimState,
    LedgerEntry,
    LedgerEvent,
    Order,
    OrderLine,
    OrderStatus,
    Payment,
    PaymentClaim,
    PaymentKind,
    PaymentState,
    Product,
    Task,
    TaskKind,
    TaskStatus,
)
from app.utils.clock import utc_now
from drill.disturbances import DISTURBANCES
from drill.stories import STORIES

pytestmark = pytest.mark.timeout(300)  # the first test waits for the whole drill

ZEROS = (
    "payments lost",
    "payments counted twice",
    "shillings unexplained",
    "units oversold",
    "shelves that do not add up",
    "open attempts",
    "claims undecided",
    "receipts given to another",
    "messages unread",
    "orders not let go in time",
    "acknowledged and forgotten",
    "orders made twice",
    "phones rung too often",
    "audit findings",
    "answers of 500",
    "processes that died unkilled",
    "stories that broke off",
    "disturbances that failed",
    "lists not read whole",
)


def test_the_drill_looks_for_nothing_else(drill):
    assert tuple(check.name for check in drill.report.checks) == ZEROS


@pytest.mark.parametrize("name", ZEROS)
def test_the_drill_finds_none(drill, name):
    check = next(one for one in drill.report.checks if one.name == name)
    assert (check.amount, list(check.rows)) == (0, []), drill.report.to_text()


def test_every_story_was_told_and_every_disturbance_came_once(drill):
    report = drill.report
    assert set(report.stories) == {story.name for story in STORIES}
    expected = {one.name for one in DISTURBANCES if one.only in {None, report.database}}
    assert report.disturbances == dict.fromkeys(expected, 1)


def test_all_money_that_moved_is_in_the_books_or_with_a_person(drill):
    report = drill.report
    assert report.moved.times > 30
    assert report.booked.times + report.held.times == report.moved.times
    assert report.booked.cents + report.held.cents == report.moved.cents
    assert 0 < report.settle_p50_seconds <= report.settle_p99_seconds


# --- each zero can be something else ---


@pytest.fixture
def session(drill):
    """The finished drill's database without its guards; what is done to it is thrown away."""
    database = drill.stage.database
    with database._sessions() as session:
        session.connection(execution_options={"sqlite_begin": "IMMEDIATE"})
        if database.is_sqlite:
            for table in ("ledger_entries", "ledger_events"):
                for verb in ("update", "delete"):
                    session.execute(text(f"DROP TRIGGER {table}_no_{verb}"))
            session.execute(text("PRAGMA ignore_check_constraints = ON"))
            session.execute(text("PRAGMA defer_foreign_keys = ON"))
        else:
            session.execute(text("SET LOCAL session_replication_role = replica"))
        yield session
        session.rollback()


def broken(drill, session) -> dict[str, list[str]]:
    """What does not hold any more, by name, with the rows that it names."""
    session.flush()
    session.expire_all()
    checks = drill.examine(session).checks
    return {one.name: [row.subject for row in one.rows] for one in checks if not one.holds}


@pytest.fixture
def sale(drill, session):
    """A prompt that bought its order, with its event, its receipt at M-Pesa and its order."""
    matched = {
        booking.event_id: movement
        for movement, booking in drill.examine(session).comparison.matched
    }
    row = session.execute(
        select(Payment, LedgerEvent, Order)
        .join(LedgerEvent, LedgerEvent.payment_id == Payment.id)
        .join(Order, Order.id == Payment.order_id)
        .where(
            Order.status == OrderStatus.PAID,
            Payment.kind == PaymentKind.STK_PUSH,
            Payment.mpesa_receipt.is_not(None),
        )
        .order_by(Payment.id)
        .limit(1)
    ).one()
    return (*row, matched[row.LedgerEvent.id])


def test_what_nobody_touched_holds(drill, session):
    assert broken(drill, session) == {}


def test_a_payment_that_is_taken_out_of_the_ledger_is_lost(drill, session, sale):
    _, event, order, movement = sale
    session.execute(delete(LedgerEntry).where(LedgerEntry.event_id == event.id))
    session.execute(delete(LedgerEvent).where(LedgerEvent.id == event.id))
    found = broken(drill, session)
    assert found["payments lost"] == [movement.receipt]
    assert found["shillings unexplained"] == [f"order {order.number}"]
    assert f"I1 order {order.id}" in found["audit findings"]


def test_another_amount_in_the_ledger_is_unexplained(drill, session, sale):
    _, event, order, movement = sale
    session.execute(
        update(LedgerEntry)
        .where(LedgerEntry.event_id == event.id, LedgerEntry.account == Account.MPESA)
        .values(amount_cents=LedgerEntry.amount_cents + 100)
    )
    found = broken(drill, session)
    assert found["shillings unexplained"] == [
        f"{movement.receipt} (wrong amount)",
        f"order {order.number}",
    ]
    assert f"I1 ledger event {event.id}" in found["audit findings"]


def test_a_payment_that_is_booked_again_is_counted_twice(drill, session, sale):
    payment, _, order, movement = sale
    now = utc_now()
    again = session.execute(
        insert(LedgerEvent)
        .values(
            kind="payment",
            reference="again",
            order_id=order.id,
            payment_id=payment.id,
            created_at=now,
        )
        .returning(LedgerEvent.id)
    ).scalar_one()
    for account, sign in ((Account.MPESA, 1), (Account.CUSTOMER, -1)):
        session.add(
            LedgerEntry(
                event_id=again,
                order_id=order.id,
                account=account,
                amount_cents=sign * payment.amount_cents,
                created_at=now,
            )
        )
    found = broken(drill, session)
    assert found["payments counted twice"] == [movement.receipt]
    assert found["shillings unexplained"] == [f"order {order.number}"]


def test_a_payment_of_another_order_is_unexplained_on_both(drill, session, sale):
    _, event, order, movement = sale
    other = session.scalars(select(Order).where(Order.id != order.id).limit(1)).one()
    for table, column in ((LedgerEvent, LedgerEvent.id), (LedgerEntry, LedgerEntry.event_id)):
        session.execute(update(table).where(column == event.id).values(order_id=other.id))
    found = broken(drill, session)
    assert found["shillings unexplained"] == [
        f"{movement.receipt} (wrong order)",
        *(f"order {number}" for number in sorted((order.number, other.number))),
    ]


def test_money_in_no_book_is_explained_by_its_task_and_lost_without(drill, session, sale):
    payment, event, _, movement = sale
    session.execute(delete(LedgerEntry).where(LedgerEntry.event_id == event.id))
    session.execute(delete(LedgerEvent).where(LedgerEvent.id == event.id))
    payment.status = PaymentState.UNKNOWN
    now = utc_now()
    task = Task(
        kind=TaskKind.UNKNOWN_PAYMENT,
        title="Look on the statement",
        payment_id=payment.id,
        created_at=now,
        updated_at=now,
    )
    session.add(task)
    found = broken(drill, session)
    assert not {"payments lost", "shillings unexplained", "open attempts"} & set(found)
    assert movement in drill.examine(session).comparison.held

    session.execute(delete(Task).where(Task.id == task.id))
    found = broken(drill, session)
    assert found["payments lost"] == [movement.receipt]
    assert found["open attempts"] == [f"payment {payment.id}"]


@pytest.fixture
def stray(drill, session):
    """Money without an order: its movement, and its booking."""
    comparison = drill.examine(session).comparison
    return next((moved, ours) for moved, ours in comparison.matched if ours in comparison.placeless)


def test_money_without_an_order_is_unexplained_once_its_task_is_done(drill, session, stray):
    movement, _ = stray
    session.execute(
        update(Task)
        .where(Task.receipt == movement.receipt, Task.kind == TaskKind.UNMATCHED_MONEY)
        .values(status=TaskStatus.DONE)
    )
    found = broken(drill, session)
    assert found["shillings unexplained"] == [f"{movement.receipt} (nobody's, and no task)"]
    assert f"I6 receipt {movement.receipt}" in found["audit findings"]


def test_money_without_an_order_that_is_given_to_a_strangers_order_is_unexplained(
    drill, session, stray
):
    movement, booking = stray
    other = session.scalars(
        select(Order).where(Order.number != movement.meant).order_by(Order.id).limit(1)
    ).one()
    for table, column in ((LedgerEvent, LedgerEvent.id), (LedgerEntry, LedgerEntry.event_id)):
        session.execute(update(table).where(column == booking.event_id).values(order_id=other.id))
    found = broken(drill, session)
    assert found["shillings unexplained"][0] == f"{movement.receipt} (wrong order)"


def test_money_from_the_menu_that_is_in_no_book_is_lost(drill, session):
    comparison = drill.examine(session).comparison
    movement, booking = next(pair for pair in comparison.matched if pair[0].is_from_menu)
    session.execute(delete(LedgerEntry).where(LedgerEntry.event_id == booking.event_id))
    session.execute(delete(LedgerEvent).where(LedgerEvent.id == booking.event_id))
    session.execute(delete(Task).where(Task.receipt == movement.receipt))
    assert broken(drill, session)["payments lost"] == [movement.receipt]


def test_a_claim_that_nobody_decides_is_named(drill, session):
    claim = session.scalars(select(PaymentClaim).order_by(PaymentClaim.id).limit(1)).one()
    session.execute(delete(Task).where(Task.kind == TaskKind.PAYMENT_CLAIM))
    for state in (ClaimState.OPEN, ClaimState.WITH_A_PERSON):
        claim.state = state
        assert f"claim {claim.id}" in broken(drill, session)["claims undecided"]
    claim.state = ClaimState.REFUSED
    assert f"claim {claim.id}" not in broken(drill, session).get("claims undecided", [])


def test_a_claim_that_is_granted_for_a_strangers_money_is_named(drill, session):
    claim = session.scalars(
        select(PaymentClaim)
        .where(PaymentClaim.state == ClaimState.REFUSED)
        .order_by(PaymentClaim.id)
        .limit(1)
    ).one()
    claim.state, claim.receipt = ClaimState.ACCEPTED, _receipt_of_another(drill, session, claim)
    assert broken(drill, session)["receipts given to another"] == [f"claim {claim.id}"]


def _receipt_of_another(drill, session, claim) -> str:
    own = session.get_one(Order, claim.order_id).number
    movements = drill.examine(session).movements
    return next(one.receipt for one in movements if one.cents > 0 and one.meant not in {None, own})


def test_a_claim_that_was_acknowledged_and_is_gone_is_named(drill, session):
    claim_id = next(iter(drill.told.claims))
    session.execute(update(PaymentClaim).where(PaymentClaim.id == claim_id).values(receipt="GONE"))
    assert broken(drill, session)["acknowledged and forgotten"] == [f"claim {claim_id}"]


def test_a_payment_that_is_open_again_is_named(drill, session, sale):
    payment, *_ = sale
    session.execute(
        update(Payment).where(Payment.id == payment.id).values(status=PaymentState.PENDING)
    )
    assert broken(drill, session)["open attempts"] == [f"payment {payment.id}"]


def test_more_units_than_there_were_are_oversold(drill, session):
    line = session.scalars(
        select(OrderLine)
        .join(Order, Order.id == OrderLine.order_id)
        .where(Order.status == OrderStatus.PAID)
        .limit(1)
    ).one()
    session.execute(update(OrderLine).where(OrderLine.id == line.id).values(quantity=2_000_000))
    found = broken(drill, session)
    assert found["units oversold"] == [f"product {line.product_id}"]
    assert found["shelves that do not add up"] == [f"product {line.product_id}"]


def test_a_unit_that_is_missing_from_its_shelf_is_named(drill, session):
    product_id = session.scalars(select(Product.id).order_by(Product.id).limit(1)).one()
    session.execute(
        update(Product).where(Product.id == product_id).values(on_hand=Product.on_hand - 1)
    )
    found = broken(drill, session)
    assert found["shelves that do not add up"] == [f"product {product_id}"]
    assert "units oversold" not in found


def test_an_order_that_is_kept_beyond_its_time_is_named(drill, session):
    order_id = session.scalars(
        select(Order.id).where(Order.status == OrderStatus.EXPIRED).limit(1)
    ).one()
    session.execute(update(Order).where(Order.id == order_id).values(status=OrderStatus.PENDING))
    assert broken(drill, session)["orders not let go in time"] == [f"order {order_id}"]


def test_an_order_that_was_acknowledged_and_is_gone_is_named(drill, session):
    order_id = next(iter(drill.told.orders))
    session.execute(update(Order).where(Order.id == order_id).values(note="another"))
    assert broken(drill, session)["acknowledged and forgotten"] == [f"order {order_id}"]


def test_a_request_that_made_two_orders_is_named(drill, session):
    first, second = session.scalars(
        select(Order).where(Order.note.is_not(None)).order_by(Order.id).limit(2)
    ).all()
    note = first.note
    session.execute(update(Order).where(Order.id == second.id).values(note=note))
    assert broken(drill, session)["orders made twice"] == [note]
