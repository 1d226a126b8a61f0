"""The gate alone: who gets a place, who waits, who is sent away."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.utils.gate import ASIDE_PLACES, Gate, Rank, rank_of
from app.utils.places import threads_for
from drill.processes import wait_until

PATIENT_SECONDS = 60.0


@pytest.fixture
def pool():
    with ThreadPoolExecutor(16) as made:
        yield made


def test_as_many_as_there_are_places_enter_and_with_no_queue_nobody_waits():
    gate = Gate(2, 0, PATIENT_SECONDS)
    assert [gate.enter(Rank.READER), gate.enter(Rank.WRITER), gate.enter(Rank.WRITER)] == [
        True,
        True,
        False,
    ]
    assert (gate.busy, gate.waiting) == (2, 0)
    gate.leave(Rank.READER)
    assert gate.enter(Rank.READER) is True


class Line:
    """Watches how many wait."""

    def __init__(self) -> None:
        self.most = self.length = 0

    def lines_up(self) -> None:
        self.length += 1
        self.most = max(self.most, self.length)

    def leaves_line(self) -> None:
        self.length -= 1


def test_who_waits_is_told_of_until_called_or_tired_of_it(pool):
    gate = Gate(1, 4, PATIENT_SECONDS)
    gate.watcher = line = Line()
    gate.enter(Rank.WRITER)
    assert line.most == 0
    called = pool.submit(gate.enter, Rank.WRITER)
    wait_until(lambda: line.length == 1, "one waits")
    gate.leave(Rank.WRITER)
    assert called.result() is True
    assert line.length == 0
    gate.longest_wait_seconds = 0.01
    assert gate.enter(Rank.READER) is False
    assert (line.most, line.length) == (1, 0)


def test_readers_are_sent_away_while_writers_may_still_wait(pool):
    gate = Gate(1, 4, PATIENT_SECONDS)
    assert gate.enter(Rank.WRITER)
    waiting = [pool.submit(gate.enter, Rank.READER) for _ in range(2)]
    wait_until(lambda: gate.waiting == 2, "two readers wait")
    assert gate.enter(Rank.READER) is False
    waiting += [pool.submit(gate.enter, Rank.WRITER) for _ in range(2)]
    wait_until(lambda: gate.waiting == 4, "two writers wait as well")
    assert gate.enter(Rank.WRITER) is False
    for rank in (Rank.WRITER,) * 3 + (Rank.READER,):
        gate.leave(rank)
    assert [one.result() for one in waiting] == [True] * 4
    assert (gate.busy, gate.waiting) == (1, 0)


def test_a_free_place_goes_to_the_writer_who_has_waited_longest(pool):
    gate = Gate(1, 10, PATIENT_SECONDS)
    gate.enter(Rank.WRITER)
    came = []

    def wait(name: str, rank: Rank) -> None:
        assert gate.enter(rank)
        came.append(name)

    lines = [("first reader", Rank.READER), ("first", Rank.WRITER), ("second", Rank.WRITER)]
    for number, (name, rank) in enumerate(lines, 1):
        pool.submit(wait, name, rank)
        wait_until(lambda number=number: gate.waiting == number, f"the {name} waits")
    for number, (_, rank) in enumerate([("", Rank.WRITER), *lines[1:]], 1):
        gate.leave(rank)
        wait_until(lambda number=number: len(came) == number, "the next has come in")
    assert came == ["first", "second", "first reader"]


def test_writers_leave_one_place_to_the_readers_and_take_no_other_from_each_other(pool):
    gate = Gate(3, 8, PATIENT_SECONDS)
    assert [gate.enter(Rank.WRITER) for _ in range(2)] == [True, True]
    waiting = [pool.submit(gate.enter, Rank.WRITER) for _ in range(8)]
    wait_until(lambda: gate.waiting == 8, "eight writers wait, and the line is full")
    for _ in range(5):
        assert gate.enter(Rank.READER) is True
        assert (gate.busy, gate.waiting) == (3, 8)
        assert gate.enter(Rank.READER) is False
        gate.leave(Rank.READER)
        assert (gate.busy, gate.waiting) == (2, 8)
    for left in range(7, -1, -1):
        gate.leave(Rank.WRITER)
        assert (gate.busy, gate.waiting) == (2, left)
    assert [one.result() for one in waiting] == [True] * 8


def test_readers_may_have_every_place_while_nobody_writes():
    gate = Gate(3, 0, PATIENT_SECONDS)
    assert [gate.enter(Rank.READER) for _ in range(4)] == [True, True, True, False]


def test_a_writer_who_comes_back_to_a_full_house_takes_no_place_beyond_its_own(pool):
    gate = Gate(2, 4, PATIENT_SECONDS)
    gate.enter(Rank.WRITER)
    gate.step_aside(Rank.WRITER)
    assert [gate.enter(Rank.WRITER), gate.enter(Rank.READER)] == [True, True]
    gate.step_back(Rank.WRITER)
    waiting = pool.submit(gate.enter, Rank.WRITER)
    wait_until(lambda: gate.waiting == 1, "another writer waits")
    gate.leave(Rank.WRITER)
    gate.leave(Rank.READER)
    assert (gate.busy, gate.waiting) == (1, 1)
    assert gate.enter(Rank.READER) is True
    gate.leave(Rank.WRITER)
    assert waiting.result() is True
    assert gate.busy == 2


def test_who_has_waited_too_long_is_sent_away_and_leaves_no_trace():
    gate = Gate(1, 4, 0.001)
    gate.enter(Rank.READER)
    assert gate.enter(Rank.WRITER) is False
    assert (gate.busy, gate.waiting) == (1, 0)
    gate.leave(Rank.READER)
    assert gate.busy == 0


def test_who_steps_aside_makes_room_and_comes_back_beyond_the_places(pool):
    gate = Gate(1, 4, PATIENT_SECONDS)
    gate.enter(Rank.WRITER)
    other = pool.submit(gate.enter, Rank.READER)
    wait_until(lambda: gate.waiting == 1, "a reader waits")
    assert gate.step_aside(Rank.WRITER) is True
    assert other.result() is True
    gate.step_back(Rank.WRITER)
    assert (gate.busy, gate.aside) == (2, 0)
    last = pool.submit(gate.enter, Rank.WRITER)
    wait_until(lambda: gate.waiting == 1, "a writer waits")
    gate.leave(Rank.WRITER)
    assert (gate.busy, gate.waiting) == (1, 1)  # one beyond the places has gone, no more
    gate.leave(Rank.READER)
    assert last.result() is True


def test_only_so_many_step_aside():
    gate = Gate(ASIDE_PLACES + 2, 0, PATIENT_SECONDS)
    for _ in range(ASIDE_PLACES + 1):
        gate.enter(Rank.WRITER)
    stepped = [gate.step_aside(Rank.WRITER) for _ in range(ASIDE_PLACES + 1)]
    assert stepped == [True] * ASIDE_PLACES + [False]
    assert (gate.busy, gate.aside) == (1, ASIDE_PLACES)


def test_places_are_neither_lost_nor_made_when_hundreds_come_at_once(pool):
    gate, most, lock = Gate(3, 6, 0.002), [0], threading.Lock()

    def come(number: int) -> bool:
        rank = Rank.READER if number % 2 else Rank.WRITER
        if not gate.enter(rank):
            return False
        with lock:
            most[0] = max(most[0], gate.busy)
        gate.leave(rank)
        return True

    served = sum(pool.map(come, range(3000)))
    assert served > 0
    assert most[0] <= 3
    assert (gate.busy, gate.waiting) == (0, 0)
    assert [gate.enter(Rank.READER) for _ in range(3)] == [True] * 3


@pytest.mark.parametrize(
    ("method", "path", "rank"),
    [
        ("GET", "/", Rank.READER),
        ("HEAD", "/api/items", Rank.READER),
        ("GET", "/api/pay/cb/1.x", Rank.READER),
        ("POST", "/api/orders", Rank.WRITER),
        ("DELETE", "/api/items/1", Rank.WRITER),
        ("POST", "/api/pay/cb/1.x", Rank.REPORT),
        ("POST", "/mpesa/callback", Rank.REPORT),
        ("POST", "/api/mpesa/callback", Rank.REPORT),
        ("POST", "/api/mpesa/stkpush", Rank.WRITER),
        ("GET", "/healthz", Rank.PROBE),
        ("GET", "/readyz", Rank.PROBE),
        ("GET", "/metrics", Rank.PROBE),
        ("GET", "/healthz/more", Rank.READER),
    ],
)
def test_who_is_sent_away_before_whom(method, path, rank):
    assert rank_of(method, path) is rank


def test_a_thread_is_left_for_sending_away_however_many_wait():
    assert threads_for(8, 32) == 64
