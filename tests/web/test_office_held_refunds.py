"""Refunds that are held since a restore: an admin sees it, and lets them go."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from app.context import WORK
from app.jobs.rules import mpesa_numbers
from app.models import LineKind, Refund, Restore, StatementLine, StatementSource, Task
from app.policies import Role
from app.services.refunds import refunds_are_held
from app.services.restores import record_restore, take_precautions
from app.services.statements import NewImport, Span, Tally, begin_import, end_import
from tests.core import database_snapshot
from tests.factories import NOW, make_user
from tests.refunding import ask_refund
from tests.web.browsing import signed_in, words

MADE_AT = NOW - timedelta(hours=2)
RELEASE = "/office/refunds/release"


@pytest.fixture
def admin(app, sale):
    return signed_in(app, sale.admin)


@pytest.fixture
def restored(database, sale):
    """The shop is restored; a refund waits that somebody asked for a moment before it was held."""
    with database.transaction() as session:
        restore = record_restore(session, "sokoni.zip", MADE_AT, NOW)
        take_precautions(session, restore, NOW)
        restore.refunds_released_at = NOW
        session.flush()
        refund = ask_refund(session, sale.admin, session.merge(sale.payment))
        refund.next_check_at = NOW + timedelta(minutes=10)
        restore.refunds_released_at = None
    return refund.id


@pytest.fixture
def read_statements(app, database):
    """What each number that money leaves from shows of that time was brought in."""
    numbers = mpesa_numbers(app.extensions[WORK].config)

    def read(*lines: StatementLine) -> None:
        span = Span(MADE_AT - timedelta(hours=1), NOW + timedelta(hours=1))
        for shortcode in {None, numbers.payout_apart}:
            with database.transaction() as session:
                new = NewImport(StatementSource.FILE, span, shortcode=shortcode)
                made = begin_import(session, new, NOW)
                for line in lines if shortcode is None else ():
                    line.import_id = made.id
                    session.add(line)
                end_import(session, made.id, Tally(), NOW, is_complete=True)

    return read


def restore_of(database) -> Restore:
    with database.reading() as session:
        return session.scalars(select(Restore)).one()


def test_where_nothing_is_held_nothing_is_said(admin, database):
    assert "Refunds are held" not in words(admin.get("/office/refunds"))
    before = database_snapshot(database)
    refused = admin.post(RELEASE)
    assert (refused.status_code, "No refund is held." in words(refused)) == (409, True)
    assert database_snapshot(database) == before


def test_the_page_says_since_when_and_why_and_what_is_not_known(
    app, sale, restored, read_statements
):
    admin = signed_in(app, sale.admin)
    shown = words(admin.get("/office/refunds"))
    for there in (
        "Refunds are held",
        "No refund is sent since 22 Nov 2026, 12:00 : the shop was restored from a backup",
        "what it gave back between 22 Nov 2026, 09:50 and 22 Nov 2026, 12:15 . What it sent then",
        "No statement was read that covers 22 Nov 2026, 09:50 to 22 Nov 2026, 12:15 .",
        "Only when M-Pesa's statement of that time was compared with the refunds here",
        "Why, although not everything is known",
    ):
        assert there in shown, there
    reversal = StatementLine(
        receipt="UKM0000REV",
        linked_receipt="UKM000GONE",
        kind=LineKind.REVERSAL,
        amount_cents=-50_000,
        transacted_at=NOW - timedelta(hours=1),
        created_at=NOW,
    )
    read_statements(reversal)
    shown = words(admin.get("/office/refunds"))
    assert "No statement was read" not in shown
    assert "UKM0000REV of UKM000GONE went out, and is no refund here KSh 500" in shown


def test_they_stay_held_while_something_is_not_known_and_nobody_says_why(
    app, database, sale, restored
):
    admin = signed_in(app, sale.admin)
    admin.get("/office/refunds")
    before = database_snapshot(database)
    for form in ({}, {"although": " "}):
        refused = admin.post(RELEASE, form)
        assert refused.status_code == 409
        assert "Not everything is known that went out since the backup" in words(refused)
    assert admin.post(RELEASE, {"although": "x" * 501}).status_code == 400
    assert database_snapshot(database) == before


def test_an_admin_lets_them_go_when_the_statement_was_read_and_it_is_on_record(
    app, database, sale, restored, read_statements
):
    read_statements()
    admin = signed_in(app, sale.admin)
    page = admin.get("/office/refunds")
    assert "all that went out on it is a refund here" in words(page)
    assert 'name="although"' not in page.text
    shown = admin.post(RELEASE, follow=True)
    assert "Refunds are sent again: 1 waits for it." in words(shown)
    assert "Refunds are held" not in words(shown)
    kept = restore_of(database)
    assert (kept.refunds_released_at, kept.released_by) == (NOW, sale.admin.id)
    with database.reading() as session:
        assert refunds_are_held(session) is False
        assert session.get_one(Refund, restored).next_check_at == NOW
        task = session.scalars(select(Task).where(Task.dedupe_key == f"restored:{kept.id}")).one()
        assert task.status == "done"


def test_an_admin_may_say_why_they_go_although_not_all_is_known(app, database, sale, restored):
    admin = signed_in(app, sale.admin)
    answer = admin.post(RELEASE, {"although": "Nothing was paid out that day."})
    assert answer.status_code == 303
    kept = restore_of(database)
    assert (kept.released_by, kept.release_reason) == (
        sale.admin.id,
        "Nothing was paid out that day.",
    )


def test_nobody_else_lets_them_go(app, database, sale, restored):
    with database.transaction() as session:
        seller = make_user(session, Role.SELLER)
    for person in (seller, sale.buyer):
        browser = signed_in(app, person)
        assert browser.post(RELEASE, {"although": "Please"}).status_code == 403
    foreign = signed_in(app, sale.admin).client.post(RELEASE, data={"although": "Please"})
    assert foreign.status_code == 403
    assert restore_of(database).refunds_released_at is None


def test_in_swahili(app, sale, restored):
    admin = signed_in(app, sale.admin)
    admin.headers = {"Accept-Language": "sw"}
    page = admin.get("/office/refunds")
    assert "Marejesho yamezuiliwa" in words(page)
