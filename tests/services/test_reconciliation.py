"""M-Pesa's books beside ours: each receipt once, in its day, and nothing called fine unseen."""

from datetime import date, datetime, timedelta
from itertools import count

import pytest
from sqlalchemy import select, update

from app.models import (
    Decision,
    LineKind,
    MpesaReceipt,
    Notification,
    Payment,
    PaymentState,
    Refund,
    RefundKind,
    RefundState,
    StatementImport,
    StatementLine,
    StatementSource,
    Task,
    TaskStatus,
)
from app.policies import Role
from app.services.receipts import ReceiptFacts
from app.services.receive_money import receive_money
from app.services.reconciliation import (
    MOST_ROWS,
    Report,
    day_span,
    describe,
    file_differences,
    reconcile,
    tell_admins,
    yesterday_span,
)
from app.services.reconciliation.differences import MOST_TASKS
from app.services.statements import LATE_ROWS, Numbers, Span
from app.services.statements.imports import gaps_between, join_spans
from app.utils.clock import EAT
from tests.core import after, ask_to_pay, buy, make_buyer, pay, snapshot
from tests.factories import NOW, make_product, make_user

DAY = date(2026, 11, 22)
TODAY = day_span(DAY)
TOMORROW = NOW + timedelta(days=1)
NUMBERS = Numbers(paid=frozenset({"174379"}), payout="600000")
_numbers = count(1)


@pytest.fixture
def order(session):
    return buy(session, make_buyer(session), (make_product(session, stock=50), 1))


def read(session, span: Span = TODAY, source="file", **fields) -> StatementImport:
    """A complete reading of M-Pesa's books, made the next morning."""
    row = StatementImport(
        **{
            "source": source,
            "covers_from": span.since,
            "covers_to": span.until,
            "created_at": TOMORROW,
            "finished_at": TOMORROW,
            **fields,
        }
    )
    session.add(row)
    session.flush()
    return row


def line(session, reading, receipt="UKM0000PAY", cents=150_000, **fields) -> StatementLine:
    row = StatementLine(
        **{
            "import_id": reading.id,
            "receipt": receipt,
            "kind": LineKind.PAYMENT,
            "amount_cents": cents,
            "transacted_at": after(minutes=1),
            "details": f"Pay Bill {next(_numbers)}",
            "created_at": TOMORROW,
            **fields,
        }
    )
    session.add(row)
    session.flush()
    return row


def money(session, order=None, receipt="UKM0000PAY", cents=150_000, **fields) -> None:
    """Money that M-Pesa's notice told of."""
    facts = {
        "receipt": receipt,
        "amount_cents": cents,
        "source": "c2b",
        "bill_reference": order.number if order else None,
        "transacted_at": after(minutes=1),
        **fields,
    }
    receive_money(session, ReceiptFacts(**facts), after(minutes=1))


def given_back(session, order, **fields) -> Refund:
    payment = session.scalars(select(Payment).where(Payment.order_id == order.id)).first()
    refund = Refund(
        **{
            "kind": RefundKind.REVERSAL,
            "state": RefundState.SUCCEEDED,
            "order_id": order.id,
            "payment_id": payment.id,
            "receipt": payment.mpesa_receipt,
            "amount_cents": payment.amount_cents,
            "reason": "The buyer changed their mind.",
            "requested_by": make_user(session, Role.ADMIN).id,
            "refund_receipt": "UKM0000REV",
            "created_at": after(minutes=30),
            "updated_at": after(minutes=30),
            "finished_at": after(minutes=30),
            **fields,
        }
    )
    session.add(refund)
    session.flush()
    return refund


def compared(session, span: Span = TODAY, now: datetime = TOMORROW, numbers=NUMBERS) -> Report:
    session.flush()
    before = snapshot(session)
    report = reconcile(session, span, numbers, now)
    assert snapshot(session) == before
    return report


def sums(side) -> dict[str, tuple[int, int]]:
    names = ("matched", "missing_here", "missing_there", "different", "awaited", "not_covered")
    found = {name: getattr(side, name) for name in names}
    return {name: (group.count, group.cents) for name, group in found.items() if group.count}


def test_what_stands_in_both_books_matches(session, order):
    money(session, order)
    line(session, read(session))

    report = compared(session)
    assert sums(report.payments) == {"matched": (1, 150_000)}
    assert (report.is_clean, report.differs, report.is_covered, report.gaps) == (
        True,
        False,
        True,
        [],
    )
    assert describe(report) == "Everything matches."


def test_a_payment_in_two_readings_and_its_charge_are_one_payment(session, order):
    money(session, order)
    pulled, file = read(session, source="pull"), read(session)
    line(session, pulled, details="c2b-pay-bill-debit")
    line(session, file)
    line(session, file, cents=-825, kind=LineKind.CHARGE, details="Pay Bill Charge")
    assert sums(compared(session).payments) == {"matched": (1, 150_000)}


def test_what_we_lack_is_missing_here(session, order):
    line(session, read(session), bill_reference="K7M2Q9X")

    report = compared(session)
    assert sums(report.payments) == {"missing_here": (1, 150_000)}
    (row,) = report.payments.missing_here.rows
    assert (row.receipt, row.ours_cents, row.theirs_cents, row.said, row.moved_at) == (
        "UKM0000PAY",
        None,
        150_000,
        "K7M2Q9X",
        after(minutes=1),
    )
    assert row.age(TOMORROW) == timedelta(hours=23, minutes=59)
    assert report.is_clean is False


def test_what_m_pesa_lacks_is_missing_there_with_its_payment_and_owner(session, order):
    money(session, order)
    read(session)
    admin = make_user(session, Role.ADMIN, username="amina")
    file_differences(session, compared(session), TOMORROW)
    session.execute(update(Task).values(assignee_id=admin.id))

    report = compared(session)
    assert sums(report.payments) == {"missing_there": (1, 150_000)}
    (row,) = report.payments.missing_there.rows
    payment = session.scalars(select(Payment)).one()
    task = session.scalars(select(Task)).one()
    assert (row.receipt, row.ours_cents, row.theirs_cents) == ("UKM0000PAY", 150_000, None)
    assert (row.payment_id, row.order_id, row.order_number) == (payment.id, order.id, order.number)
    assert (row.task_id, row.owner) == (task.id, "amina")


def test_two_amounts_are_different(session, order):
    money(session, order)
    line(session, read(session), cents=140_000)

    report = compared(session)
    assert sums(report.payments) == {"different": (1, 140_000)}
    (row,) = report.payments.different.rows
    assert (row.ours_cents, row.theirs_cents) == (150_000, 140_000)


def test_readings_that_contradict_each_other_are_different(session, order):
    money(session, order)
    line(session, read(session))
    line(session, read(session), cents=15_000)
    report = compared(session)
    assert report.payments.different.count == 1
    assert report.payments.different.rows[0].theirs_cents == 15_000


def test_a_time_that_nobody_looked_at_is_not_fine(session, order):
    money(session, order)

    report = compared(session)
    assert sums(report.payments) == {"not_covered": (1, 150_000)}
    assert (report.gaps, report.is_covered, report.differs, report.is_clean) == (
        [TODAY],
        False,
        False,
        False,
    )
    assert describe(report) == "A part of the time is not covered by any book of M-Pesa's."


def test_a_reading_that_was_not_complete_covers_nothing(session, order):
    money(session, order)
    read(session, finished_at=None)
    assert compared(session).gaps == [TODAY]


def test_gaps_are_named_to_the_second(session, order):
    noon = datetime(2026, 11, 22, 12, 0, tzinfo=EAT)
    read(session, Span(TODAY.since - timedelta(hours=3), noon))
    read(session, Span(noon + timedelta(hours=2), noon + timedelta(hours=4)))
    assert compared(session).gaps == [
        Span(noon, noon + timedelta(hours=2)),
        Span(noon + timedelta(hours=4), TODAY.until),
    ]


def test_of_a_day_that_is_not_over_only_what_has_passed_can_be_missing(session, order):
    read(session, Span(TODAY.since, NOW))
    assert compared(session, now=NOW).gaps == []
    assert compared(session, now=NOW + timedelta(minutes=5)).gaps == [
        Span(NOW, NOW + timedelta(minutes=5))
    ]
    assert compared(session, day_span(date(2026, 11, 25)), NOW).gaps == []


def test_a_fresh_payment_may_still_appear_in_the_list_and_not_in_a_statement(session, order):
    money(session, order)
    hour_later = after(hours=1)
    pulled = read(
        session,
        Span(TODAY.since, hour_later),
        "pull",
        created_at=hour_later,
        finished_at=hour_later,
    )
    assert sums(compared(session, now=hour_later).payments) == {"awaited": (1, 150_000)}
    pulled.created_at = after(minutes=1, seconds=1) + LATE_ROWS
    assert sums(compared(session, now=pulled.created_at).payments) == {
        "missing_there": (1, 150_000)
    }
    pulled.created_at, pulled.source = hour_later, StatementSource.FILE
    assert sums(compared(session, now=hour_later).payments) == {"missing_there": (1, 150_000)}


def test_each_receipt_belongs_to_one_day_that_of_m_pesa(session, order):
    """We heard of it after midnight; it moved a second before."""
    last_second = TODAY.until - timedelta(seconds=1)
    money(session, order, transacted_at=TODAY.until + timedelta(minutes=4))
    read(session, Span(TODAY.since, TODAY.until + timedelta(days=1)))
    line(session, session.scalars(select(StatementImport)).one(), transacted_at=last_second)

    next_day = day_span(date(2026, 11, 23))
    assert sums(compared(session).payments) == {"matched": (1, 150_000)}
    assert sums(compared(session, next_day).payments) == {}
    both = Span(TODAY.since, next_day.until)
    assert sums(compared(session, both).payments) == {"matched": (1, 150_000)}


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(2026, 11, 22, 0, 0, 0, tzinfo=EAT), 22),
        (datetime(2026, 11, 21, 23, 59, 59, tzinfo=EAT), 21),
        (datetime(2026, 11, 22, 23, 59, 59, tzinfo=EAT), 22),
        (datetime(2026, 11, 23, 0, 0, 0, tzinfo=EAT), 23),
    ],
)
def test_a_day_is_nairobis_from_midnight_to_midnight(session, order, moment, day):
    order.created_at = moment - timedelta(days=3)
    line(
        session,
        read(session, Span(moment - timedelta(days=2), moment + timedelta(days=2))),
        transacted_at=moment,
    )
    found = [
        number
        for number in (21, 22, 23)
        if compared(session, day_span(date(2026, 11, number))).payments.missing_here.count
    ]
    assert found == [day]


def test_yesterday_is_the_day_before_in_nairobi():
    late = datetime(2026, 11, 22, 23, 30, tzinfo=EAT)
    assert yesterday_span(late) == day_span(date(2026, 11, 21))
    assert yesterday_span(late + timedelta(minutes=30)) == day_span(DAY)


def test_what_the_shop_was_not_there_for_is_not_missing(session, order):
    line(session, read(session), transacted_at=NOW - timedelta(hours=2))
    assert sums(compared(session).payments) == {}


def test_a_shop_without_an_order_lacks_nothing(session):
    line(session, read(session))
    report = compared(session)
    assert (sums(report.payments), report.is_clean) == ({}, True)


def test_money_without_an_order_matches_and_is_named_beside(session, order):
    money(session)
    line(session, read(session))

    report = compared(session)
    assert sums(report.payments) == {"matched": (1, 150_000)}
    assert (report.unmatched.count, report.unmatched.cents) == (1, 150_000)
    (row,) = report.unmatched.rows
    assert (row.receipt, row.task_id) == ("UKM0000PAY", session.scalars(select(Task.id)).one())
    assert report.is_clean is True


def test_a_payment_whose_receipt_was_never_named_is_missing_there(session, order):
    payment = ask_to_pay(session, order)
    pay(session, payment)
    session.execute(update(Payment).values(mpesa_receipt=None, finished_at=after(minutes=2)))
    session.execute(update(MpesaReceipt).values(amount_cents=0))
    read(session)

    report = compared(session)
    assert sums(report.payments) == {"missing_there": (1, 150_000)}
    (row,) = report.payments.missing_there.rows
    assert (row.receipt, row.payment_id) == (None, payment.id)
    session.execute(update(StatementImport).values(finished_at=None))
    assert sums(compared(session).payments) == {"not_covered": (1, 150_000)}


def test_lines_that_nobody_could_read_are_not_fine(session, order):
    read(session, unreadable_count=3)
    report = compared(session)
    assert (report.unreadable, report.is_covered, report.is_clean) == (3, False, False)
    assert describe(report) == "Lines that could not be read: 3."


def test_a_refund_is_found_by_its_receipt_or_by_what_it_undid(session, order):
    money(session, order)
    reading = read(session)
    line(session, reading)
    refund = given_back(session, order)
    undone = line(
        session,
        reading,
        "UKM0000REV",
        -150_000,
        kind=LineKind.REVERSAL,
        linked_receipt="UKM0000PAY",
    )
    assert sums(compared(session).refunds) == {"matched": (1, 150_000)}
    refund.refund_receipt = None
    assert sums(compared(session).refunds) == {"matched": (1, 150_000)}
    undone.linked_receipt = None
    assert sums(compared(session).refunds) == {
        "missing_here": (1, 150_000),
        "missing_there": (1, 150_000),
    }
    refund.refund_receipt = "UKM0000REV"
    assert sums(compared(session).refunds) == {"matched": (1, 150_000)}


def test_a_refund_that_the_statement_lacks_is_missing_there(session, order):
    money(session, order)
    line(session, read(session))
    refund = given_back(session, order)
    report = compared(session)
    assert sums(report.refunds) == {"missing_there": (1, 150_000)}
    assert report.refunds.missing_there.rows[0].refund_id == refund.id


def test_m_pesas_list_says_nothing_of_refunds(session, order):
    money(session, order)
    line(session, read(session, source="pull"))
    given_back(session, order)

    report = compared(session)
    assert sums(report.refunds) == {"not_covered": (1, 150_000)}
    assert (report.differs, report.is_covered) == (False, False)
    assert describe(report) == "Refunds that could not be compared: 1."


def test_a_refund_of_another_amount_is_different(session, order):
    money(session, order)
    reading = read(session)
    line(session, reading)
    line(session, reading, "UKM0000REV", -50_000, kind=LineKind.REVERSAL)
    given_back(session, order)
    report = compared(session)
    assert sums(report.refunds) == {"different": (1, 150_000)}
    assert report.refunds.different.rows[0].theirs_cents == 50_000


def test_a_payout_is_looked_for_on_the_books_of_the_number_that_pays_out(session, order):
    money(session, order)
    line(session, read(session, shortcode="174379"))
    given_back(session, order, kind=RefundKind.PAYOUT)
    assert sums(compared(session).refunds) == {"not_covered": (1, 150_000)}

    payouts = read(session, shortcode="600000")
    assert sums(compared(session).refunds) == {"missing_there": (1, 150_000)}
    line(session, payouts, "UKM0000REV", -150_000, kind=LineKind.PAYOUT)
    assert sums(compared(session).refunds) == {"matched": (1, 150_000)}
    one = Numbers(paid=frozenset({"174379"}), payout="174379")
    assert sums(compared(session, numbers=one).refunds) == {"matched": (1, 150_000)}


def test_the_books_of_the_number_that_pays_out_cover_no_payment(session, order):
    money(session, order)
    read(session, shortcode="600000")
    report = compared(session)
    assert (sums(report.payments), report.gaps) == ({"not_covered": (1, 150_000)}, [TODAY])


def test_a_reversal_that_nobody_here_asked_for_is_missing_here(session, order):
    money(session, order)
    reading = read(session)
    line(session, reading)
    for source in ("a", "b"):  # in two readings, and once
        line(
            session,
            reading,
            "UKM0000REV",
            -150_000,
            kind=LineKind.REVERSAL,
            linked_receipt="UKM0000PAY",
            details=source,
        )
    failed = given_back(session, order, state=RefundState.FAILED, refund_receipt=None)

    report = compared(session)
    assert sums(report.refunds) == {"missing_here": (1, 150_000)}
    (row,) = report.refunds.missing_here.rows
    assert (row.receipt, row.said, row.refund_id) == ("UKM0000REV", "UKM0000PAY", failed.id)
    assert row.payment_id is not None
    assert (row.order_id, row.order_number) == (order.id, order.number)


def test_other_money_that_went_out_is_the_merchants_own_affair(session, order):
    reading = read(session)
    for kind in (LineKind.PAYOUT, LineKind.TRANSFER, LineKind.CHARGE, LineKind.OTHER):
        line(session, reading, f"UKM{kind:7.7}".upper(), -10_000, kind=kind)
    report = compared(session)
    assert (sums(report.payments), sums(report.refunds), report.is_clean) == ({}, {}, True)


def test_a_long_list_is_counted_whole_and_named_in_part(session, order):
    reading = read(session)
    for number in range(MOST_ROWS + 1):
        line(session, reading, f"UKM{number:07d}", 100)
    group = compared(session).payments.missing_here
    assert (group.count, group.cents, len(group.rows)) == (MOST_ROWS + 1, 20_100, MOST_ROWS)


def filed(session) -> list[tuple[str, str]]:
    return [
        (task.dedupe_key, task.status)
        for task in session.scalars(
            select(Task).where(Task.kind == "statement_difference").order_by(Task.id)
        )
    ]


def test_each_difference_is_filed_once(session, order):
    money(session, order)
    money(session, order, "UKM0000DIF")
    reading = read(session)
    line(session, reading, "UKM0000DIF", 140_000)
    line(session, reading, "UKM0000UND", -9_900, kind=LineKind.REVERSAL)
    report = compared(session)
    assert file_differences(session, report, TOMORROW) == 3
    once = snapshot(session)
    assert file_differences(session, compared(session), TOMORROW) == 0
    assert snapshot(session) == once

    assert filed(session) == [
        ("missing_there:UKM0000PAY", "todo"),
        ("difference:UKM0000DIF:140000", "todo"),
        ("reversed:UKM0000UND", "todo"),
    ]
    task = session.scalars(select(Task).where(Task.receipt == "UKM0000PAY")).one()
    payment = session.scalars(select(Payment).where(Payment.mpesa_receipt == "UKM0000PAY")).one()
    assert (task.payment_id, task.order_id, task.title) == (
        payment.id,
        order.id,
        "KES 1500 (receipt UKM0000PAY) is not on M-Pesa's books",
    )


def test_a_difference_that_the_reading_itself_told_of_is_not_filed_again(session, order):
    money(session, order)
    line(session, read(session), cents=140_000)
    money(session, order, cents=140_000, source="statement")
    file_differences(session, compared(session), TOMORROW)
    assert filed(session) == [("difference:UKM0000PAY:140000", "todo")]


def test_what_is_still_fresh_is_not_filed(session, order):
    money(session, order)
    read(session)
    soon = after(minutes=1) + LATE_ROWS
    assert file_differences(session, compared(session, now=soon), soon) == 0
    later = soon + timedelta(seconds=1)
    assert file_differences(session, compared(session, now=later), later) == 1


def test_what_appears_later_solves_its_task_by_itself(session, order):
    money(session, order)
    reading = read(session)
    refund = given_back(session, order)
    file_differences(session, compared(session), TOMORROW)
    assert filed(session) == [
        ("missing_there:UKM0000PAY", "todo"),
        (f"refund_missing_there:{refund.id}", "todo"),
    ]
    line(session, reading)
    line(session, reading, "UKM0000REV", -150_000, kind=LineKind.REVERSAL)
    file_differences(session, compared(session), TOMORROW)

    assert [status for _, status in filed(session)] == ["done", "done"]
    decided = session.execute(select(Decision.action, Decision.reason, Decision.actor_id)).all()
    assert [tuple(one) for one in decided] == [
        ("found", "It stands on M-Pesa's books now.", None)
    ] * 2


def test_a_payment_without_a_receipt_is_solved_when_it_gets_one_that_is_there(session, order):
    payment = ask_to_pay(session, order)
    pay(session, payment)
    receipt = payment.mpesa_receipt
    session.execute(update(Payment).values(mpesa_receipt=None, finished_at=after(minutes=2)))
    session.execute(update(MpesaReceipt).values(amount_cents=0))
    reading = read(session)
    file_differences(session, compared(session), TOMORROW)
    assert filed(session) == [(f"missing_there:{payment.id}", "todo")]
    session.expire_all()
    session.execute(update(Payment).values(mpesa_receipt=receipt))
    session.execute(update(MpesaReceipt).values(amount_cents=150_000))
    line(session, reading, receipt)
    file_differences(session, compared(session), TOMORROW)
    assert [status for _, status in filed(session)] == ["done"]


def test_so_many_at_once_are_one_matter(session, order):
    session.execute(update(Payment).values(status=PaymentState.FAILED))
    for number in range(MOST_TASKS + 1):
        money(session, None, f"UKM{number:07d}")
    read(session)
    assert file_differences(session, compared(session), TOMORROW) == 1
    ((key, _),) = filed(session)
    assert key == "differences:2026-11-22:2026-11-23"
    assert file_differences(session, compared(session), TOMORROW) == 0


def told(session) -> list[tuple[int, str, str]]:
    rows = select(Notification).where(Notification.kind == "reconciliation")
    found = session.scalars(rows.order_by(Notification.id))
    return [(one.user_id, one.title, one.body) for one in found]


def test_admins_are_told_what_is_not_clear(session, order):
    amina, omar = make_user(session, Role.ADMIN), make_user(session, Role.ADMIN)
    make_user(session, Role.ADMIN, suspended_at=NOW)
    make_user(session, Role.SELLER)
    money(session, order)
    line(session, read(session), "UKM0000OTH", 9_900)

    assert tell_admins(session, compared(session), TOMORROW) == 2
    body = (
        "Payments on M-Pesa's books and not on ours: 1. Payments on our books and not on M-Pesa's:"
        " 1. See the report in the office."
    )
    title = "M-Pesa's books of 2026-11-22 are not clear"
    assert told(session) == [(amina.id, title, body), (omar.id, title, body)]


def test_nobody_is_told_of_a_clean_day_or_of_a_shop_that_has_no_money(session, order):
    make_user(session, Role.ADMIN)
    assert tell_admins(session, compared(session), TOMORROW) == 0  # not covered, and nothing there
    read(session)
    assert tell_admins(session, compared(session), TOMORROW) == 0
    assert told(session) == []


def test_a_day_that_nobody_looked_at_is_told_where_there_was_money_or_a_reading_before(
    session, order
):
    make_user(session, Role.ADMIN)
    money(session, order)
    assert tell_admins(session, compared(session), TOMORROW) == 1
    read(session)
    tomorrow = day_span(date(2026, 11, 23))
    after_it = compared(session, tomorrow, tomorrow.until)
    assert tell_admins(session, after_it, tomorrow.until) == 1


def test_a_task_that_is_done_owns_nothing(session, order):
    money(session, order)
    read(session)
    file_differences(session, compared(session), TOMORROW)
    session.execute(update(Task).values(status=TaskStatus.DONE))
    (row,) = compared(session).payments.missing_there.rows
    assert (row.task_id, row.owner) == (None, None)


def span(first: int, last: int) -> Span:
    return Span(after(hours=first), after(hours=last))


@pytest.mark.parametrize(
    ("spans", "joined", "gaps"),
    [
        ([], [], [(0, 10)]),
        ([(0, 10)], [(0, 10)], []),
        ([(-5, 20)], [(-5, 20)], []),
        ([(0, 4), (4, 10)], [(0, 10)], []),
        ([(5, 10), (0, 5)], [(0, 10)], []),
        ([(0, 4), (2, 3)], [(0, 4)], [(4, 10)]),
        ([(2, 3), (5, 6)], [(2, 3), (5, 6)], [(0, 2), (3, 5), (6, 10)]),
        ([(-2, -1), (11, 12)], [(-2, -1), (11, 12)], [(0, 10)]),
        ([(-2, 1), (9, 12)], [(-2, 1), (9, 12)], [(1, 9)]),
    ],
)
def test_spans_are_joined_and_what_lies_between_them_is_a_gap(spans, joined, gaps):
    given = [span(*one) for one in spans]
    assert join_spans(given) == [span(*one) for one in joined]
    assert gaps_between(given, span(0, 10)) == [span(*one) for one in gaps]
