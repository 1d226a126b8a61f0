"""The portal's statement brought in: what was lost is found, and nothing is counted twice."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select

from app.errors import Forbidden, InvalidInput
from app.jobs.expire_orders import expire_due_orders
from app.jobs.import_statement import BATCH, import_statement
from app.models import (
    MpesaReceipt,
    Payment,
    StatementImport,
    StatementLine,
    Task,
)
from app.policies import Role
from app.services.receipts import ReceiptFacts
from app.services.receive_money import receive_money
from app.services.statements.lines import MOST_LISTED
from app.utils.clock import EAT
from tests.core import (
    after,
    ask_to_pay,
    buy,
    database_snapshot,
    make_buyer,
    pay,
    receipt_of,
    task_kinds,
)
from tests.factories import NOW, actor_of, make_product, make_user
from tests.looking import how_many, is_sound, status_of
from tests.statements import (
    charged,
    classic,
    file_of,
    new_layout,
    paid,
    preamble,
    reversed_,
    swept,
)


@pytest.fixture
def clock(clock):
    """The morning after: the statement of the day before was exported at seven in Nairobi."""
    clock.now = datetime(2026, 11, 23, 8, 0, tzinfo=EAT)
    return clock


@pytest.fixture
def admin(database):
    with database.transaction() as session:
        return actor_of(make_user(session, Role.ADMIN))


@pytest.fixture
def order(database):
    with database.transaction() as session:
        return buy(session, make_buyer(session), (make_product(session, stock=9), 1))


@pytest.fixture
def bring(work, admin):
    """Brings a statement in, as an admin does."""

    def run(content: bytes, name="statement.csv", **options):
        return import_statement(work, admin, file_of(content), name, **options)

    return run


def test_money_that_was_lost_is_found_on_the_statement(database, clock, admin, order, bring):
    report = bring(classic(swept(), charged(), paid(account=order.number)))
    made, tally = report.statement, report.tally

    assert status_of(database, order) == "paid"
    assert (made.source, made.file_name, made.shortcode, made.actor_id) == (
        "file",
        "statement.csv",
        "174379",
        admin.user_id,
    )
    assert made.covers_from == datetime(2026, 11, 22, tzinfo=EAT)
    assert made.covers_to == datetime(2026, 11, 23, tzinfo=EAT)
    assert (made.row_count, made.fresh_count, made.different_count, made.unreadable_count) == (
        3,
        3,
        0,
        0,
    )
    assert made.finished_at == clock()
    assert (tally.payments, tally.recovered, tally.recovered_cents) == (1, 1, 150_000)
    with database.reading() as session:
        receipt = session.scalars(select(MpesaReceipt)).one()
        kinds = session.execute(select(StatementLine.kind, StatementLine.amount_cents)).all()
    assert (receipt.source, receipt.transacted_at, receipt.payer_phone, receipt.payer_name) == (
        "statement",
        after(minutes=1),
        "2547****678",
        "WANJIKU MWANGI",
    )
    assert sorted(map(tuple, kinds)) == [
        ("charge", -825),
        ("payment", 150_000),
        ("transfer", -2_000_000),
    ]
    assert is_sound(database, clock())


def test_the_same_statement_once_more_changes_nothing(database, order, bring):
    content = classic(
        swept(), charged(), paid(account=order.number), paid("UKM0000STR"), reversed_("UKM0000RV1")
    )
    first = bring(content)
    once = database_snapshot(database)
    second = bring(content)

    assert database_snapshot(database) == once
    assert second.statement.id == first.statement.id
    assert (second.tally.lines, second.tally.fresh, second.tally.recovered) == (5, 0, 0)


def test_a_longer_statement_is_a_reading_of_its_own(database, clock, order, bring):
    bring(classic(paid(account=order.number)))
    clock.advance(days=1)
    longer = preamble(last="23-11-2026", reported="24-11-2026 07:00:00")
    report = bring(classic(paid("UKN0000002"), paid(account=order.number), above=longer))

    assert how_many(database, StatementImport) == 2
    assert (report.tally.lines, report.tally.fresh) == (2, 1)


def test_both_layouts_of_one_day_are_the_same_payments(database, clock, order, bring):
    bring(classic(paid(account=order.number), charged()))
    report = bring(new_layout(paid(account=order.number), charged()))

    assert (report.tally.recovered, report.tally.unmatched) == (0, 0)
    assert how_many(database, MpesaReceipt) == 1
    assert is_sound(database, clock())


def test_money_without_an_order_waits_for_a_person(database, clock, order, bring):
    report = bring(classic(paid(account="CHAMA")))
    assert (report.tally.unmatched, report.tally.unmatched_cents) == (1, 150_000)
    with database.reading() as session:
        task = session.scalars(select(Task)).one()
    assert (task.kind, task.receipt, "CHAMA" in task.description) == (
        "unmatched_money",
        "UKM0000PAY",
        True,
    )
    assert is_sound(database, clock())


def test_a_line_settles_the_prompt_that_it_answers(database, clock, order, bring):
    with database.transaction() as session:
        payment = ask_to_pay(session, order)
        masked = f"{payment.msisdn[:4]}****{payment.msisdn[-3:]} - WANJIKU"
    bring(classic(paid(account=order.number, **{"Other Party Info": masked})))

    with database.reading() as session:
        kept = session.get_one(Payment, payment.id)
        assert (kept.status, kept.mpesa_receipt) == ("succeeded", "UKM0000PAY")
        assert session.scalar(select(func.count()).select_from(Payment)) == 1
    assert is_sound(database, clock())


def test_a_line_completes_what_is_known_of_a_receipt(database, order, bring):
    with database.transaction() as session:
        payment = ask_to_pay(session, order)
        pay(session, payment)
    report = bring(classic(paid(receipt_of(payment.id), account=order.number)))

    assert report.tally.recovered == 0
    with database.reading() as session:
        row = session.scalars(select(MpesaReceipt)).one()
    assert (row.source, row.transacted_at, row.payer_name) == (
        "callback",
        after(minutes=1),
        "WANJIKU MWANGI",
    )


def test_another_amount_is_for_a_person_and_moves_nothing(database, clock, order, bring):
    with database.transaction() as session:
        facts = ReceiptFacts("UKM0000PAY", 150_000, "c2b", order.number, after(minutes=1))
        receive_money(session, facts, after(minutes=1))
    report = bring(classic(paid(account=order.number, amount="1400.00")))

    assert (report.tally.different, report.statement.different_count) == (1, 1)
    with database.reading() as session:
        assert task_kinds(session) == ["statement_difference"]
        assert session.scalars(select(MpesaReceipt.amount_cents)).all() == [150_000]
    assert is_sound(database, clock())


def test_what_the_statement_lacks_of_ours_becomes_a_task(database, clock, order, bring):
    with database.transaction() as session:
        facts = ReceiptFacts("UKM0000GON", 150_000, "c2b", order.number, after(minutes=1))
        receive_money(session, facts, after(minutes=1))
    bring(classic(paid("UKM0000STR")))
    with database.reading() as session:
        missing = session.scalars(select(Task).where(Task.kind == "statement_difference")).one()
    assert missing.dedupe_key == "missing_there:UKM0000GON"
    assert is_sound(database, clock())


def test_lines_that_cannot_be_read_are_named_and_the_rest_is_taken(database, order, bring):
    report = bring(
        classic(paid("UKM0000BAD", at="tomorrow"), paid(account=order.number), paid(amount="x"))
    )
    assert status_of(database, order) == "paid"
    assert [(fault.number, fault.message) for fault in report.tally.faults] == [
        (8, "Its completion time cannot be read."),
        (10, "Its amount cannot be read."),
    ]
    assert (report.statement.unreadable_count, report.statement.row_count) == (2, 1)


def test_of_many_lines_that_cannot_be_read_the_first_thousand_are_named(order, bring):
    bad = [paid(f"UKM{number:07d}", at="never") for number in range(MOST_LISTED + 5)]
    report = bring(classic(*bad))
    assert (report.tally.unreadable, len(report.tally.faults)) == (MOST_LISTED + 5, MOST_LISTED)


def test_money_from_before_the_first_order_is_kept_as_a_line_and_no_more(
    database, clock, order, bring
):
    early = preamble(first="01-11-2026")
    report = bring(classic(paid("UKA0000001", at="01-11-2026 10:00:00"), above=early))
    assert (report.tally.earlier, report.tally.unmatched) == (1, 0)
    assert (how_many(database, StatementLine), how_many(database, MpesaReceipt)) == (1, 0)
    assert is_sound(database, clock())


REFUSED = [
    (b"sku,name,price\n", "statement_without_columns"),
    (classic(paid(), above=preamble(shortcode="999999")), "statement_of_another"),
    (classic(paid(), above=preamble(account="Working Account")), "statement_of_other_account"),
    (classic(above=[]), "statement_covers_nothing"),
    (classic(above=preamble(first="24-11-2026", last="24-11-2026")), "statement_covers_nothing"),
    (classic(*[paid()] * 4), "statement_too_long"),
]


@pytest.mark.parametrize(("content", "code"), REFUSED)
def test_what_is_no_statement_of_this_shop_changes_nothing(database, order, bring, content, code):
    before = database_snapshot(database)
    with pytest.raises(InvalidInput) as caught:
        bring(content, most_lines=3)
    assert caught.value.code == code
    assert database_snapshot(database) == before


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.SELLER])
def test_only_admins_import_statements(work, database, order, role):
    with database.transaction() as session:
        actor = actor_of(make_user(session, role))
    before = database_snapshot(database)
    with pytest.raises(Forbidden):
        import_statement(work, actor, file_of(classic(paid())))
    assert database_snapshot(database) == before


def test_progress_is_told_batch_by_batch(order, bring):
    done = []
    lines = [swept(f"UKM{number:07d}") for number in range(BATCH + 3)]
    bring(classic(*lines), on_progress=done.append)
    assert done == [BATCH, 3]


class Dies(BaseException):
    """The process is killed."""


class _Dying:
    def __init__(self, database, transaction) -> None:
        self.reading, self.transaction = database.reading, transaction


@pytest.mark.parametrize("at", range(1, 7))
def test_wherever_an_import_dies_the_next_one_does_the_rest_once(
    work, admin, database, clock, order, at
):
    content = classic(charged(), paid(account=order.number), paid("UKM0000STR"))
    calls = iter(range(1, 1_000))

    def die_sometimes():
        if next(calls) == at:
            raise Dies
        return database.transaction()

    dying = replace(work, database=_Dying(database, die_sometimes))
    with pytest.raises(Dies):
        import_statement(dying, admin, file_of(content))
    import_statement(work, admin, file_of(content))
    once = database_snapshot(database)
    import_statement(work, admin, file_of(content))

    assert database_snapshot(database) == once
    assert status_of(database, order) == "paid"
    assert (how_many(database, StatementLine), how_many(database, MpesaReceipt)) == (3, 2)
    assert is_sound(database, clock())


@pytest.mark.fault("F48")
def test_a_backup_of_an_hour_ago_gets_its_payments_back_from_the_statement(
    work, admin, database, clock, order, bring
):
    """The database is as it was when the order waited: the callback of its payment is forgotten,
    and so is a whole order that was placed and paid since.
    """
    assert status_of(database, order) == "pending"
    statement = classic(
        paid("UKM0000002", account="K7M2Q9X", at="22-11-2026 12:40:00"),
        paid("UKM0000001", account=order.number, at="22-11-2026 12:20:00"),
    )
    report = bring(statement)

    assert (report.tally.recovered, report.tally.unmatched) == (1, 1)
    assert status_of(database, order) == "paid"
    with database.reading() as session:
        lost = session.scalars(select(Task)).one()
    assert (lost.kind, lost.receipt, "K7M2Q9X" in lost.description) == (
        "unmatched_money",
        "UKM0000002",
        True,
    )
    assert is_sound(database, clock())


def test_an_order_that_has_ended_keeps_its_truth_and_the_money_is_owed_back(
    work, database, clock, bring
):
    with database.transaction() as session:
        boots = make_product(session, stock=1)
        order = buy(session, make_buyer(session), (boots, 1))
    expire_due_orders(work)
    with database.transaction() as session:
        other = buy(session, make_buyer(session), (boots, 1), now=clock())
        pay(session, ask_to_pay(session, other, clock()), clock())
    bring(classic(paid(account=order.number)))

    assert status_of(database, order) == "expired"
    with database.reading() as session:
        assert "late_money" in task_kinds(session)
    assert is_sound(database, clock())


def test_a_statement_from_the_future_covers_no_more_than_has_been(database, clock, order, bring):
    clock.now = NOW + timedelta(hours=1)
    report = bring(classic(paid(account=order.number)))
    assert report.statement.covers_to == NOW + timedelta(hours=1)
