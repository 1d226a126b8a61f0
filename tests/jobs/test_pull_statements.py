"""Safaricom's list, fetched in windows: nothing is skipped silently, and nothing counted twice."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from sqlalchemy import func, select

from app.config import MpesaEnv
from app.integrations.mpesa import MpesaUnavailable
from app.jobs.expire_orders import expire_due_orders
from app.jobs.list_pages import MOST_PAGES
from app.jobs.pull_statements import (
    AGAIN_AFTER_TROUBLE,
    BATCH,
    LEASE_SECONDS,
    LONGEST_WINDOW,
    PULL_PACE,
    REACH,
    pull_statements,
    pull_when_due,
    register_for_list,
)
from app.jobs.rules import mpesa_numbers
from app.models import (
    Account,
    MpesaReceipt,
    Pace,
    Payment,
    Refund,
    StatementImport,
    StatementLine,
    Task,
)
from app.ports import PulledRow, PullPage
from app.services.due_payments import note_no_verdict
from app.services.receipts import ReceiptFacts
from app.services.receive_money import receive_money
from app.services.reconciliation import reconcile
from app.services.statements import LATE_ROWS, Span
from app.utils.clock import EAT
from app.utils.phone import mask_msisdn
from tests.core import (
    SCHEDULE,
    after,
    ask_to_pay,
    books,
    buy,
    database_snapshot,
    differing_tables,
    make_buyer,
    pay,
    payment_steps,
    task_kinds,
)
from tests.factories import NOW, make_product
from tests.looking import how_many, is_sound, status_of
from tests.refunding import PAID, bring_to, make_sale
from tests.safaricom import listed_row

HOUR = timedelta(hours=1)
SETTLING = timedelta(minutes=5)


def row(order=None, receipt="UKM0000PUL", **fields) -> PulledRow:
    """A row of the list: KES 1500 for an order, a minute after it was placed."""
    number = order.number if order else ""
    return listed_row(receipt, number, **{"msisdn": "2547 ***** 678", **fields})


@pytest.fixture
def order(database):
    with database.transaction() as session:
        return buy(session, make_buyer(session), (make_product(session), 1))


@pytest.fixture
def later(clock):
    """An hour after the order: its payment is due in the list."""
    clock.advance(hours=1)
    return clock


def imports(database) -> list[StatementImport]:
    with database.reading() as session:
        return list(session.scalars(select(StatementImport).order_by(StatementImport.id)))


def next_pull(database):
    with database.reading() as session:
        return session.get_one(Pace, PULL_PACE).next_at


def test_money_that_no_message_told_of_is_found_in_the_list(work, database, merchant, order, later):
    merchant.listed = [row(order)]
    (window,) = pull_statements(work)

    assert status_of(database, order) == "paid"
    assert (window.is_complete, window.tally.lines, window.tally.fresh) == (True, 1, 1)
    assert (window.tally.recovered, window.tally.recovered_cents) == (1, 150_000)
    (made,) = imports(database)
    assert (made.source, made.row_count, made.fresh_count, made.finished_at) == (
        "pull",
        1,
        1,
        later(),
    )
    assert (made.covers_from, made.covers_to) == (later() - REACH, later() - SETTLING)
    assert made.shortcode == work.config.mpesa_c2b_shortcode
    with database.reading() as session:
        line = session.scalars(select(StatementLine)).one()
        receipt = session.scalars(select(MpesaReceipt)).one()
    assert (line.receipt, line.kind, line.amount_cents, line.bill_reference, line.other_party) == (
        "UKM0000PUL",
        "payment",
        150_000,
        order.number,
        "2547 ***** 678 - WANJIKU",
    )
    assert (receipt.source, receipt.state, receipt.payer_name) == ("pull", "matched", "WANJIKU")
    assert is_sound(database, later())


def test_a_list_that_is_read_twice_counts_once(work, database, merchant, order, later):
    merchant.listed = [row(order), row(None, "UKM0000STR", bill_reference="CHAMA")]
    pull_statements(work)
    once = database_snapshot(database)
    pull_statements(work)

    assert differing_tables(once, database_snapshot(database)) == {"statement_imports"}
    assert [(one.row_count, one.fresh_count) for one in imports(database)] == [(2, 2), (2, 0)]
    with database.reading() as session:
        assert task_kinds(session) == ["unmatched_money"]
    assert is_sound(database, later())


def test_the_first_run_goes_back_47_hours_and_the_next_ones_a_while_before_the_last(
    work, merchant, clock
):
    pull_statements(work)
    clock.advance(hours=1)
    pull_statements(work)

    first, second = merchant.pulls
    assert first == (NOW - REACH, NOW - SETTLING, 0)
    assert second == (NOW - SETTLING - LATE_ROWS, NOW + HOUR - SETTLING, 0)


def test_every_page_is_read_until_one_is_empty(work, database, merchant, order, later):
    merchant.listed = [row(None, f"UKM{number:07d}") for number in range(5)]
    pages = []
    pull_statements(work, on_page=lambda window: pages.append(window.tally.lines))

    assert [offset for _, _, offset in merchant.pulls] == [0, 1, 2, 3, 4]
    assert pages == [2, 3, 4, 5]
    assert how_many(database, StatementLine) == 5


def test_a_big_page_is_taken_in_batches(work, database, merchant, order, later):
    merchant.page_length = 1_000
    merchant.listed = [row(None, f"UKM{number:07d}") for number in range(BATCH + 50)]
    (window,) = pull_statements(work)
    assert (window.tally.fresh, window.tally.unmatched) == (BATCH + 50, BATCH + 50)
    assert how_many(database, StatementLine) == BATCH + 50


def test_a_list_that_gives_the_same_page_for_every_offset_is_read_once(
    work, database, merchant, order, later
):
    page = PullPage((row(order),))
    merchant.pull = lambda _since, _until, offset: merchant.pulls.append(offset) or page
    (window,) = pull_statements(work)
    assert (window.is_complete, merchant.pulls, window.tally.lines) == (True, [0, 1, 2], 1)


def test_a_list_without_an_end_is_left_open(work, database, merchant, order, later, monkeypatch):
    monkeypatch.setattr("app.jobs.list_pages.MOST_PAGES", 3)
    assert MOST_PAGES >= 1_000

    def pull(_since, _until, offset):
        return PullPage((row(None, f"UKM{offset:07d}"),))

    merchant.pull = pull
    (window,) = pull_statements(work)
    assert window.problem == "The list has no end."
    assert imports(database)[0].finished_at is None


def test_a_page_that_fails_leaves_the_window_open_and_what_was_read_counted(
    work, database, merchant, order, later
):
    merchant.listed = [row(order), row(None, "UKM0000002"), row(None, "UKM0000003")]

    def fail_on_the_second_page(name, _ask):
        if name == "pull" and merchant.pulls[-1][2] == 1:
            raise MpesaUnavailable("M-Pesa does not answer")

    merchant.on_call = fail_on_the_second_page
    (window,) = pull_statements(work)

    assert (window.problem, window.tally.lines) == ("M-Pesa does not answer", 2)
    assert status_of(database, order) == "paid"
    (opened,) = imports(database)
    assert (opened.finished_at, opened.row_count) == (None, 2)
    merchant.on_call = None
    later.advance(hours=1)
    pull_statements(work)

    assert how_many(database, StatementLine) == 3
    assert imports(database)[1].finished_at == later()
    assert is_sound(database, later())


def test_a_window_that_failed_is_begun_again_where_the_last_complete_one_ended(
    work, merchant, clock
):
    pull_statements(work)
    merchant.errors["pull"] = MpesaUnavailable("down")
    for _ in range(3):
        clock.advance(hours=1)
        pull_statements(work)
    del merchant.errors["pull"]
    clock.advance(hours=1)
    pull_statements(work)

    assert merchant.pulls[-1] == (
        NOW - SETTLING - LATE_ROWS,
        NOW + 4 * HOUR - SETTLING,
        0,
    )


def test_after_a_long_absence_windows_follow_one_another_without_a_gap(
    work, database, merchant, clock
):
    pull_statements(work)
    clock.advance(days=5)
    windows = pull_statements(work)

    assert windows[0].span.since == NOW - SETTLING - LATE_ROWS
    assert windows[-1].span.until == clock() - SETTLING
    assert all(window.span.until - window.span.since <= LONGEST_WINDOW for window in windows)
    for before, behind in pairwise(windows):
        assert before.span.until == behind.span.since
    assert len(windows) == 3


def test_a_window_out_of_reach_is_passed_over_loudly(work, database, merchant, order, clock):
    """Safaricom keeps 48 hours: an old window that fails must not keep the new ones from coming."""
    pull_statements(work)
    clock.advance(days=4)

    def forget_what_is_old(name, ask):
        if name == "pull" and ask[1] <= clock() - LONGEST_WINDOW:
            raise MpesaUnavailable("No such range")

    merchant.on_call = forget_what_is_old
    windows = pull_statements(work)

    assert [window.is_complete for window in windows] == [False, True, True]
    with database.reading() as session:
        (task,) = session.scalars(select(Task))
    assert (task.kind, task.title) == (
        "statement_difference",
        "M-Pesa's list was not read for a while: import the statement",
    )
    assert "2026-11-22 05:55 to 2026-11-24 05:55 (Nairobi): No such range." in task.description
    unfinished = [one for one in imports(database) if one.finished_at is None]
    assert [one.covers_from for one in unfinished] == [windows[0].span.since]


def test_a_row_that_cannot_be_read_leaves_the_window_open_and_tells_a_person_once(
    work, database, merchant, order, later
):
    merchant.listed = [row(order), None, None]
    (window,) = pull_statements(work)
    pull_statements(work)

    assert window.problem == "2 rows could not be read"
    assert status_of(database, order) == "paid"
    assert [one.finished_at for one in imports(database)] == [None, None]
    with database.reading() as session:
        (task,) = session.scalars(select(Task))
    assert task.title == "2 rows of M-Pesa's list cannot be read"


@pytest.mark.parametrize("env", [MpesaEnv.SIMULATOR, MpesaEnv.PRODUCTION])
def test_an_empty_list_of_a_time_in_which_money_came_is_not_believed(
    work, database, merchant, order, later, env
):
    """A shortcode that is not registered is answered as if nobody had paid."""
    with database.transaction() as session:
        pay(session, ask_to_pay(session, order))
        session.scalars(select(MpesaReceipt)).one().transacted_at = after(minutes=1)
    work = replace(work, config=replace(work.config, mpesa_env=env))
    (window,) = pull_statements(work)
    pull_statements(work)

    assert window.problem == "the list is empty, though payments came"
    assert [one.finished_at for one in imports(database)] == [None, None]
    with database.reading() as session:
        (task,) = session.scalars(select(Task))
    assert (task.kind, "register-pull" in task.description) == ("mpesa_configuration", True)
    assert ("simulator" in task.description) is (env is MpesaEnv.SIMULATOR)


def test_a_quiet_time_is_covered(work, database, merchant, clock):
    (window,) = pull_statements(work)
    assert (window.is_complete, window.tally.lines) == (True, 0)
    assert imports(database)[0].finished_at == NOW


def test_money_from_before_the_first_order_is_kept_as_a_line_and_no_more(
    work, database, merchant, order, later
):
    merchant.listed = [row(None, transacted_at=NOW - timedelta(hours=2))]
    (window,) = pull_statements(work)

    assert (window.tally.earlier, window.tally.unmatched) == (1, 0)
    assert (how_many(database, StatementLine), how_many(database, MpesaReceipt)) == (1, 0)


def test_what_is_no_payment_is_kept_and_not_counted(work, database, merchant, order, later):
    merchant.listed = [
        row(None, "UKM0000SWP", kind="merchant-to-organization-settlement"),
        row(None, "UKM0000REV", kind="c2b-pay-bill-reversal", bill_reference="UKM0000PAY"),
        row(None, "UKM0000NEG", kind="c2b-pay-bill-reversal", amount_cents=-5_000),
    ]
    pull_statements(work)

    with database.reading() as session:
        found = session.execute(
            select(
                StatementLine.receipt,
                StatementLine.kind,
                StatementLine.amount_cents,
                StatementLine.linked_receipt,
            ).order_by(StatementLine.id)
        ).all()
    assert sorted(map(tuple, found)) == [
        ("UKM0000NEG", "reversal", -5_000, None),
        ("UKM0000REV", "reversal", -150_000, "UKM0000PAY"),
        ("UKM0000SWP", "transfer", -150_000, None),
    ]
    assert how_many(database, MpesaReceipt) == 0


@pytest.mark.parametrize("kind", ["c2b-pay-bill-debit", "c2b-pay-bill-reversal"])
def test_the_undoing_of_a_payment_proves_the_refund_that_nobody_knew_the_end_of(
    work, database, merchant, clock, kind
):
    with database.transaction() as session:
        sale = make_sale(session)
        refund = bring_to(session, sale, "unknown")
    clock.advance(hours=1)
    merchant.listed = [
        row(None, "UKM0000REV", kind=kind, amount_cents=-PAID, bill_reference=sale.receipt),
        row(None, "UKM0000OTH", kind=kind, amount_cents=-2_000, bill_reference="UKM0000XXX"),
    ]
    for _ in range(2):
        (window,) = pull_statements(work)
        assert (window.problem, window.tally.unreadable, window.tally.reversals) == ("", 0, 2)

    with database.reading() as session:
        kept = session.get_one(Refund, refund.id)
        assert (kept.state, kept.refund_receipt) == ("succeeded", "UKM0000REV")
        made = reconcile(
            session, Span(NOW - HOUR, clock() + HOUR), mpesa_numbers(work.config), clock()
        )
        assert [line.receipt for line in made.refunds.missing_here.rows] == ["UKM0000OTH"]
        assert made.refunds.matched.count == 1
    assert is_sound(database, clock())


def test_a_moment_behind_the_end_of_the_window_was_nairobis_called_utc(
    work, database, merchant, order, later
):
    told = after(minutes=30)
    wrong = told + EAT.utcoffset(None)
    merchant.pull = lambda _since, _until, offset: PullPage(
        (row(order, transacted_at=wrong),) if offset == 0 else ()
    )
    pull_statements(work)
    with database.reading() as session:
        assert session.scalars(select(StatementLine.transacted_at)).all() == [told]
        assert session.scalars(select(MpesaReceipt.transacted_at)).all() == [told]


def test_another_amount_for_a_known_receipt_is_for_a_person(work, database, merchant, order, later):
    with database.transaction() as session:
        facts = ReceiptFacts("UKM0000PUL", 140_000, "c2b", order.number, after(minutes=1))
        receive_money(session, facts, after(minutes=1))
    merchant.listed = [row(order)]
    (window,) = pull_statements(work)
    pull_statements(work)

    assert (window.tally.different, window.is_complete) == (1, True)
    assert imports(database)[0].different_count == 1
    with database.reading() as session:
        assert task_kinds(session) == ["statement_difference"]
        assert session.scalars(select(MpesaReceipt.amount_cents)).all() == [140_000]


def test_a_fault_of_ours_in_one_row_keeps_no_other_from_being_counted(
    work, database, merchant, order, later, fault_in_booking, logs
):
    merchant.listed = [row(None, "UKM0000BAD"), row(order)]
    with fault_in_booking("UKM0000BAD"):
        (window,) = pull_statements(work)

    assert window.problem == "1 payments could not be booked"
    assert status_of(database, order) == "paid"
    assert [entry["receipt"] for entry in logs if entry["event"] == "line_not_booked"] == [
        "UKM0000BAD"
    ]
    (window,) = pull_statements(work)
    assert (window.is_complete, window.tally.unmatched) == (True, 1)
    assert is_sound(database, later())


class Dies(BaseException):
    """The process is killed."""


@pytest.mark.parametrize("at", range(1, 8))
def test_wherever_a_pull_dies_the_next_one_counts_the_rest_once(
    work, database, merchant, order, later, monkeypatch, at
):
    merchant.listed = [row(order), row(None, "UKM0000002"), row(None, "UKM0000003")]
    calls = iter(range(1, 1_000))
    real = database.transaction

    def die_sometimes():
        if next(calls) == at:
            raise Dies
        return real()

    dying = replace(work, database=_Dying(database, die_sometimes))
    with pytest.raises(Dies):
        pull_statements(dying)
    pull_statements(work)
    once = database_snapshot(database)
    pull_statements(work)

    assert differing_tables(once, database_snapshot(database)) == {"statement_imports"}
    assert status_of(database, order) == "paid"
    assert (how_many(database, StatementLine), how_many(database, MpesaReceipt)) == (3, 3)
    assert is_sound(database, later())


class _Dying:
    def __init__(self, database, transaction) -> None:
        self.reading, self.transaction = database.reading, transaction


def test_the_sweep_pulls_once_an_hour(work, database, merchant, clock):
    pull_when_due(work)
    pull_when_due(work)
    assert len(merchant.pulls) == 1
    assert next_pull(database) == NOW + HOUR
    clock.advance(minutes=59)
    pull_when_due(work)
    assert len(merchant.pulls) == 1
    clock.advance(minutes=1)
    pull_when_due(work)
    assert len(merchant.pulls) == 2


def test_after_trouble_the_sweep_comes_back_sooner(work, database, merchant, clock):
    merchant.errors["pull"] = MpesaUnavailable("down")
    pull_when_due(work)
    assert next_pull(database) == NOW + AGAIN_AFTER_TROUBLE


def test_a_shop_may_pull_oftener_and_nearer_to_the_present(work, database, merchant, clock):
    often = replace(work.config, mpesa_pull_every_seconds=90.0, mpesa_pull_settling_seconds=15.0)
    work = replace(work, config=often)
    pull_when_due(work)
    assert merchant.pulls[0][1] == NOW - timedelta(seconds=15)
    assert next_pull(database) == NOW + timedelta(seconds=90)
    clock.advance(seconds=90)
    merchant.errors["pull"] = MpesaUnavailable("down")
    pull_when_due(work)
    assert next_pull(database) == NOW + timedelta(seconds=180)


def test_a_worker_that_dies_in_a_pull_loses_its_turn_when_the_lease_is_over(
    work, database, merchant, clock
):
    merchant.errors["pull"] = Dies()
    with pytest.raises(Dies):
        pull_when_due(work)
    del merchant.errors["pull"]
    pull_when_due(work)
    assert len(merchant.pulls) == 1
    clock.advance(seconds=LEASE_SECONDS)
    pull_when_due(work)
    assert len(merchant.pulls) == 2


def test_every_page_keeps_the_lease(work, database, merchant, order, later):
    merchant.listed = [row(None, f"UKM{number:07d}") for number in range(4)]
    leases = []

    def a_slow_page(_name, _ask):
        later.advance(minutes=9)
        leases.append(next_pull(database))

    merchant.on_call = a_slow_page
    pull_when_due(work)
    assert len(leases) == 4
    assert [lease > later.now - timedelta(hours=1) for lease in leases] == [True] * 4
    assert leases == sorted(set(leases))


def test_a_shop_that_may_not_pull_asks_for_nothing(work, database, merchant):
    pull_when_due(replace(work, config=replace(work.config, mpesa_pull=False)))
    assert merchant.pulls == []
    assert how_many(database, Pace) == 0


def test_registering_names_the_phone_and_an_address_of_ours(work, merchant):
    register_for_list(work, "254708374149")
    secret = work.config.mpesa_c2b_secret
    address = f"https://shop.example/api/pay/c2b/confirm/{secret}"
    assert merchant.pull_registrations == [("254708374149", address)]


@pytest.mark.fault("F14")
def test_a_push_whose_answer_and_callback_are_lost_is_found_by_its_account_number(
    work, database, merchant, order, clock
):
    with database.transaction() as session:
        payment = ask_to_pay(session, order, pushed=False)
    clock.advance(seconds=60)
    with database.transaction() as session:
        note_no_verdict(session, payment.id, "no answer", SCHEDULE, clock())
        assert session.get_one(Payment, payment.id).status == "unknown"
    clock.advance(hours=1)
    merchant.listed = [row(order, msisdn=mask_msisdn(payment.msisdn))]
    pull_when_due(work)

    assert status_of(database, order) == "paid"
    with database.reading() as session:
        kept = session.get_one(Payment, payment.id)
        assert (kept.status, kept.mpesa_receipt) == ("succeeded", "UKM0000PUL")
        assert payment_steps(session, payment)[-1] == ("unknown", "succeeded", "pull")
        assert session.scalar(select(func.count()).select_from(Payment)) == 1
    assert is_sound(database, clock())


@pytest.mark.fault("F14")
def test_the_same_for_an_order_that_has_ended_is_a_refund_that_is_due(
    work, database, merchant, clock
):
    with database.transaction() as session:
        boots = make_product(session, stock=1)
        lost = buy(session, make_buyer(session), (boots, 1))
        payment = ask_to_pay(session, lost, pushed=False)
    clock.advance(seconds=901)
    with database.transaction() as session:
        note_no_verdict(session, payment.id, "no answer", SCHEDULE, clock())
    expire_due_orders(work)
    with database.transaction() as session:
        other = buy(session, make_buyer(session), (boots, 1), now=clock())
        pay(session, ask_to_pay(session, other, clock()), clock())
    clock.advance(hours=1)
    merchant.listed = [row(lost, msisdn=mask_msisdn(payment.msisdn))]
    pull_when_due(work)

    assert status_of(database, lost) == "expired"
    with database.reading() as session:
        found = select(Payment.kind, Payment.status).where(Payment.order_id == lost.id)
        assert [tuple(one) for one in session.execute(found.order_by(Payment.id))] == [
            ("stk_push", "failed"),  # it was let go; the money is a payment of its own
            ("paybill", "succeeded"),
        ]
        assert books(session, lost) == [
            ("payment", Account.MPESA, 150_000),
            ("payment", Account.REFUNDS_DUE, -150_000),
        ]
        assert "late_money" in task_kinds(session)
    assert is_sound(database, clock())
