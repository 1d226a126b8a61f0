"""A list that moves while it is read page by page: no row that stood in it all the time is left
out.
"""

import random
from datetime import timedelta

import pytest

from app.jobs.list_pages import MOST_BEGINNINGS, ListPages
from app.ports import GatewayError, PulledRow, PullPage
from app.services.statements import Place
from tests.factories import NOW


def a_row(number: int) -> PulledRow:
    moment = NOW + timedelta(seconds=number)
    return PulledRow(f"UKM{number:07d}", 100, moment, "", "", "c2b-pay-bill-debit", "")


class MovingList:
    """Safaricom's list: ``moves`` is called before each page, and may change ``rows``."""

    def __init__(self, count: int, page_length: int = 10, moves=lambda _rows: None) -> None:
        self.rows = [a_row(number) for number in range(count)]
        self.page_length, self.moves = page_length, moves
        self.asked: list[int] = []

    def ask(self, offset: int) -> PullPage:
        self.moves(self.rows)
        self.asked.append(offset)
        return PullPage(tuple(self.rows[offset : offset + self.page_length]))


def read(listed: MovingList, place: Place = Place()) -> list[str]:  # noqa: B008 - a frozen value
    """The receipts, as they came."""
    pieces = ListPages(listed.ask, place)
    return [row.receipt for piece in pieces for row in piece.rows]


def receipts(*numbers: int) -> list[str]:
    return [a_row(number).receipt for number in numbers]


def test_a_list_that_stays_is_read_once_and_each_page_shows_the_last_row_of_the_one_before():
    listed = MovingList(25)
    assert read(listed) == receipts(*range(25))
    assert listed.asked == [0, 9, 18, 24]


@pytest.mark.parametrize("count", [0, 1, 2, 9, 10, 11, 19, 20])
@pytest.mark.parametrize("page_length", [1, 2, 10])
def test_no_length_of_a_list_or_its_pages_is_read_otherwise(count, page_length):
    assert read(MovingList(count, page_length)) == receipts(*range(count))


def test_a_reading_goes_on_behind_the_row_that_was_the_last():
    listed = MovingList(25)
    assert read(listed, Place(10, a_row(9).receipt)) == receipts(*range(10, 25))
    assert listed.asked == [9, 18, 24]


def test_rows_that_fall_out_at_the_beginning_make_no_page_skip_others():
    """Each page later three rows are gone: without a look back every page would skip three."""
    gone = []

    def three_are_gone(rows):
        gone.extend(rows[:3])
        del rows[:3]

    listed = MovingList(60, moves=three_are_gone)
    found = read(listed)
    assert set(receipts(*range(60))) - set(found) == set(receipts(0, 1, 2))  # before the first look
    assert found == receipts(*range(3, 60))
    assert len(gone) > 10


def test_a_list_that_moved_by_more_than_a_page_is_begun_anew():
    listed = MovingList(60)
    del listed.rows[:25]
    pieces = list(ListPages(listed.ask, Place(30, a_row(29).receipt)))
    assert [piece.is_anew for piece in pieces] == [True, False, False, False, False]
    assert listed.asked[:3] == [29, 24, 0]
    assert [row.receipt for piece in pieces for row in piece.rows] == receipts(*range(25, 60))


def test_a_list_that_is_another_one_by_now_is_begun_anew():
    """A place far behind its end would look as if everything had been read."""
    listed = MovingList(3)
    assert read(listed, Place(300, "UKMELSEWHR")) == receipts(0, 1, 2)
    assert listed.asked == [299, 0, 2]


def test_rows_that_come_late_are_read_and_none_is_skipped():
    late = iter(range(1_000, 2_000))
    listed = MovingList(40, moves=lambda rows: rows.insert(5, a_row(next(late))))
    assert set(receipts(*range(40))) <= set(read(listed))


def test_a_list_that_is_another_one_at_each_look_is_given_up():
    number = iter(range(0, 100_000, 100))

    def all_are_new(rows):
        first = next(number)
        rows[:] = [a_row(first + one) for one in range(50)]

    listed = MovingList(0, moves=all_are_new)
    with pytest.raises(GatewayError, match="The list changes while it is read"):
        read(listed)
    assert listed.asked == [0, 9, 0] * (MOST_BEGINNINGS + 1)


def test_behind_a_page_with_an_unreadable_row_there_is_no_place():
    pages = {0: PullPage((a_row(0),), unreadable=1), 2: PullPage((a_row(2), a_row(3)))}
    pieces = list(ListPages(lambda offset: pages.get(offset, PullPage((a_row(3),))), Place()))
    assert [piece.place for piece in pieces] == [Place(2), Place(4, a_row(3).receipt)]


@pytest.mark.parametrize("seed", range(40))
def test_however_a_list_moves_nothing_that_stood_in_it_is_left_out(seed):
    chance = random.Random(seed)
    late = iter(range(1_000, 5_000))
    left: set[str] = set()

    def move(rows):
        out = chance.choice([0, 0, 1, 2, 4])
        left.update(row.receipt for row in rows[:out])
        del rows[:out]
        for _ in range(chance.choice([0, 0, 0, 1, 3])):
            rows.insert(chance.randrange(len(rows) // 2, len(rows) + 1), a_row(next(late)))

    listed = MovingList(chance.randrange(1, 120), chance.choice([6, 10, 17]), moves=move)
    stood = {row.receipt for row in listed.rows}
    try:
        found = set(read(listed))
    except GatewayError:
        return  # said, not skipped
    assert stood - left <= found
