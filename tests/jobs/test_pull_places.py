"""A reading of Safaricom's list that is broken off is gone on with: page by page it comes to its
end, however often it is.
"""

from datetime import timedelta

import pytest
from sqlalchemy import select

from app.integrations.mpesa import MpesaUnavailable
from app.jobs import pull_statements as job
from app.jobs.pull_statements import (
    LEASE_SECONDS,
    LONGEST_WINDOW,
    REACH,
    pull_statements,
    pull_when_due,
)
from app.models import MpesaReceipt, StatementImport, StatementLine
from app.ports import PulledRow
from app.services.statements import LATE_ROWS, pulled_until
from tests.core import buy, make_buyer
from tests.factories import NOW, make_product
from tests.looking import how_many, is_sound, status_of
from tests.safaricom import listed_row

SETTLING = timedelta(minutes=5)
FIRST_WINDOW = (NOW + timedelta(hours=1) - REACH, NOW + timedelta(hours=1) - SETTLING)


class Dies(BaseException):
    """The process is killed."""


def rows(count: int) -> list[PulledRow]:
    return [listed_row(f"UKM{number:07d}") for number in range(count)]


@pytest.fixture
def order(database):
    with database.transaction() as session:
        return buy(session, make_buyer(session), (make_product(session), 1))


@pytest.fixture(autouse=True)
def later(clock, order):
    """An hour after the order: its payment is due in the list."""
    clock.advance(hours=1)
    return clock


@pytest.fixture
def dying(monkeypatch):
    """Let the job die at a place, at its n-th visit."""

    def arm(name: str, visit: int) -> None:
        visits = iter(range(1, 1_000))

        def failpoint(here: str) -> None:
            if here == name and next(visits) == visit:
                raise Dies

        monkeypatch.setattr(job, "failpoint", failpoint)

    return arm


def imports(database) -> list[StatementImport]:
    with database.reading() as session:
        return list(session.scalars(select(StatementImport).order_by(StatementImport.id)))


def offsets(merchant) -> list[int]:
    return [offset for _, _, offset in merchant.pulls]


def fail_at(merchant, offset: int) -> None:
    def fail(name, ask):
        if name == "pull" and ask[2] == offset:
            raise MpesaUnavailable("M-Pesa does not answer")

    merchant.on_call = fail


@pytest.mark.parametrize("page", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["before_place_noted", "after_place_noted"])
def test_a_pull_that_is_killed_between_pages_goes_on_with_the_page_where_it_stopped(
    work, database, merchant, order, dying, name, page
):
    merchant.page_length = 3
    merchant.listed = [*rows(8), listed_row("UKM0000PUL", order.number)]
    dying(name, page)
    with pytest.raises(Dies):
        pull_statements(work)
    dying("", 0)
    asked = len(merchant.pulls)
    window, *tails = pull_statements(work)

    noted = page if name == "after_place_noted" else page - 1
    first = merchant.pulls[asked]
    assert first == (*FIRST_WINDOW, 2 * noted)  # each page brings two rows beside a known one
    assert (window.is_complete, window.tally.lines) == (True, 9)
    assert [(tail.is_complete, tail.span.since) for tail in tails] == (
        [(True, window.span.until - LATE_ROWS)] if noted else []
    )
    assert status_of(database, order) == "paid"
    assert (how_many(database, StatementLine), how_many(database, MpesaReceipt)) == (9, 9)
    broken, whole, *_ = imports(database)
    assert (broken.finished_at, whole.finished_at, whole.row_count) == (None, work.now(), 9)
    assert (whole.covers_from, whole.covers_to) == FIRST_WINDOW
    assert is_sound(database, work.now())


def test_a_pull_that_is_killed_at_each_of_its_pages_comes_to_its_end(
    work, database, merchant, dying
):
    """Where it began anew each time, it would never see the second page."""
    merchant.page_length = 3
    merchant.listed = rows(20)
    runs = 0
    while pulled_until_of(database) is None:
        dying("after_place_noted", 1)
        runs += 1
        assert runs < 20
        try:
            pull_statements(work)
        except Dies:
            continue
    assert runs == 11
    assert offsets(merchant)[:11] == [*range(0, 20, 2), 19]
    assert how_many(database, StatementLine) == 20
    assert is_sound(database, work.now())


def pulled_until_of(database):
    with database.reading() as session:
        return pulled_until(session)


def test_an_error_on_a_page_is_gone_on_with_and_what_came_late_is_seen(
    work, database, merchant, order, later
):
    merchant.page_length = 3
    merchant.listed = rows(8)
    fail_at(merchant, 4)
    (window,) = pull_statements(work)
    assert (window.problem, window.tally.lines) == ("M-Pesa does not answer", 5)
    (broken,) = imports(database)
    assert (broken.finished_at, broken.place, broken.place_receipt, broken.row_count) == (
        None,
        5,
        "UKM0000004",
        5,
    )

    merchant.on_call = None
    merchant.listed.insert(0, listed_row("UKM0000LAT", order.number))  # before the place
    later.advance(minutes=10)
    window, tail = pull_statements(work)
    assert (window.is_complete, (window.span.since, window.span.until)) == (True, FIRST_WINDOW)
    assert merchant.pulls[3] == (*FIRST_WINDOW, 4)
    assert tail.span.since == window.span.until - LATE_ROWS
    assert tail.span.until == later() - SETTLING
    assert status_of(database, order) == "paid"
    assert how_many(database, StatementLine) == 9
    assert is_sound(database, later())


def test_a_window_is_complete_only_when_its_last_page_was_read(work, database, merchant):
    merchant.page_length = 3
    merchant.listed = rows(8)
    for at in (2, 4, 6, 7):
        fail_at(merchant, at)
        (window,) = pull_statements(work)
        assert (window.is_complete, offsets(merchant)[-1]) == (False, at)
        assert pulled_until_of(database) is None
    merchant.on_call = None
    window, _ = pull_statements(work)
    assert window.is_complete
    assert offsets(merchant) == [0, 2, 2, 4, 4, 6, 6, 7, 7, 0, 2, 4, 6, 7]
    assert pulled_until_of(database) == FIRST_WINDOW[1]


def test_an_old_place_is_worth_nothing_and_the_list_is_read_from_what_is_due(
    work, database, merchant, later
):
    merchant.page_length = 3
    merchant.listed = rows(8)
    fail_at(merchant, 4)
    pull_statements(work)
    merchant.on_call = None
    later.now = FIRST_WINDOW[0] + LONGEST_WINDOW + timedelta(seconds=1)
    (window,) = pull_statements(work)
    assert merchant.pulls[3] == (later() - REACH, later() - SETTLING, 0)
    assert (window.is_complete, window.tally.lines) == (True, 8)


def test_a_list_that_forgot_its_rows_is_read_from_its_beginning(work, database, merchant, order):
    """As a simulator does that was started anew: behind the place is nothing, but not for having
    been read.
    """
    merchant.page_length = 3
    merchant.listed = rows(8)
    fail_at(merchant, 6)
    pull_statements(work)
    merchant.on_call = None
    merchant.listed = [listed_row("UKM0000PUL", order.number), listed_row("UKM0000002")]
    window, _ = pull_statements(work)
    assert (window.is_complete, window.tally.lines) == (True, 2)
    assert status_of(database, order) == "paid"
    assert imports(database)[1].row_count == 2


def test_rows_that_left_the_list_meanwhile_let_none_be_skipped(work, database, merchant):
    merchant.page_length = 3
    merchant.listed = rows(12)
    fail_at(merchant, 6)
    pull_statements(work)
    del merchant.listed[:2]
    merchant.on_call = None
    pull_statements(work)
    assert how_many(database, StatementLine) == 12


def test_behind_a_row_that_cannot_be_read_no_place_is_noted(work, database, merchant):
    merchant.page_length = 3
    merchant.listed = [*rows(4), None, *rows(9)[4:]]
    fail_at(merchant, 5)
    pull_statements(work)
    assert [(one.place, one.finished_at) for one in imports(database)] == [(3, None)]
    merchant.on_call = None
    asked = len(merchant.pulls)
    (window,) = pull_statements(work)
    assert offsets(merchant)[asked] == 2
    assert window.problem == "1 rows could not be read"
    # it was read to its end: what comes now is not to wait until somebody has mended the row
    merchant.listed.append(listed_row("UKM0000NEW"))
    (window,) = pull_statements(work)
    assert (merchant.pulls[-1][1], window.tally.fresh) == (work.now() - SETTLING, 1)
    assert [one.finished_at for one in imports(database)] == [None] * 3


def test_behind_a_payment_that_could_not_be_booked_no_place_is_noted(
    work, database, merchant, fault_in_booking
):
    merchant.page_length = 3
    merchant.listed = rows(8)
    fail_at(merchant, 6)
    with fault_in_booking("UKM0000003"):
        pull_statements(work)
    merchant.on_call = None
    pull_statements(work)
    assert how_many(database, MpesaReceipt) == 8
    assert is_sound(database, work.now())


def test_what_somebody_asks_for_by_hand_is_read_from_there_whatever_was_noted(
    work, database, merchant
):
    merchant.page_length = 3
    merchant.listed = rows(8)
    fail_at(merchant, 4)
    pull_statements(work)
    merchant.on_call = None
    since = NOW - timedelta(hours=3)
    pull_statements(work, since)
    assert merchant.pulls[3] == (since, FIRST_WINDOW[1], 0)


def test_a_place_from_before_a_complete_reading_is_over(work, database, merchant, later):
    merchant.page_length = 3
    merchant.listed = rows(8)
    fail_at(merchant, 4)
    pull_statements(work)
    merchant.on_call = None
    pull_statements(work, NOW - timedelta(hours=10))
    later.advance(hours=1)
    asked = len(merchant.pulls)
    pull_statements(work)
    assert merchant.pulls[asked] == (FIRST_WINDOW[1] - LATE_ROWS, later() - SETTLING, 0)


def test_the_worker_goes_on_when_the_lease_of_one_that_was_killed_is_over(
    work, database, merchant, later, dying
):
    merchant.page_length = 3
    merchant.listed = rows(8)
    dying("after_place_noted", 2)
    with pytest.raises(Dies):
        pull_when_due(work)
    dying("", 0)
    pull_when_due(work)
    assert offsets(merchant) == [0, 2]
    later.advance(seconds=LEASE_SECONDS)
    pull_when_due(work)
    assert offsets(merchant)[:5] == [0, 2, 4, 6, 7]
    assert how_many(database, StatementLine) == 8


def test_a_second_reading_that_begins_beside_another_disturbs_none(work, database, merchant):
    merchant.page_length = 3
    merchant.listed = rows(9)
    inner = []

    def read_beside(name, ask):
        if name == "pull" and ask[2] == 4 and not inner:
            inner.append(None)
            inner.extend(pull_statements(work))

    merchant.on_call = read_beside
    (outer,) = pull_statements(work)
    assert outer.is_complete
    assert [window.is_complete for window in inner[1:]] == [True, True]
    assert offsets(merchant)[:4] == [0, 2, 4, 4]
    assert how_many(database, StatementLine) == 9
    assert [one.row_count for one in imports(database)] == [9, 9, 9]
    assert is_sound(database, work.now())
