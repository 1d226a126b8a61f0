"""One look for many who ask."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.utils.lookout import Lookout


class Sight:
    """Something that changes, and counts who looks."""

    def __init__(self) -> None:
        self.looks = 0
        self.now = 100.0
        self.shows: str | Exception = "clear"
        self.may_end = threading.Event()
        self.may_end.set()
        self.begun = threading.Event()

    def __call__(self) -> str:
        self.looks += 1
        self.begun.set()
        assert self.may_end.wait(10)
        if isinstance(self.shows, Exception):
            raise self.shows
        return self.shows


@pytest.fixture
def sight():
    return Sight()


@pytest.fixture
def lookout(sight):
    return Lookout(sight, 1.0, monotonic=lambda: sight.now)


def test_within_its_time_what_was_seen_is_told_again(sight, lookout):
    assert lookout.see() == "clear"
    sight.shows = "fog"
    sight.now += 0.99
    assert (lookout.see(), sight.looks) == ("clear", 1)
    sight.now += 0.01
    assert (lookout.see(), sight.looks) == ("fog", 2)


def test_who_asks_while_another_looks_is_told_what_was_seen_last(sight, lookout):
    lookout.see()
    sight.now += 2
    sight.shows = "fog"
    sight.may_end.clear()
    sight.begun.clear()
    with ThreadPoolExecutor(1) as pool:
        looker = pool.submit(lookout.see)
        assert sight.begun.wait(10)
        assert [lookout.see() for _ in range(5)] == ["clear"] * 5
        sight.may_end.set()
        assert looker.result(10) == "fog"
    assert (lookout.see(), sight.looks) == ("fog", 2)


def test_at_first_all_wait_for_one_look(sight, lookout):
    sight.may_end.clear()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(lookout.see) for _ in range(8)]
        assert sight.begun.wait(10)
        sight.may_end.set()
        assert [one.result(10) for one in asked] == ["clear"] * 8
    assert sight.looks == 1


def test_a_look_that_fails_is_told_to_who_looked_and_made_again(sight, lookout):
    sight.shows = OSError("blind")
    with pytest.raises(OSError, match="blind"):
        lookout.see()
    sight.shows = "clear"
    assert (lookout.see(), sight.looks) == ("clear", 2)
