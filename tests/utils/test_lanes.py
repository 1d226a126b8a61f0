"""Lanes: nobody waits for another's, few at a time in each, nothing that was called for is lost."""

import threading

import pytest

from app.utils.lanes import Lanes

PATIENCE = 20


@pytest.fixture
def lanes():
    made = Lanes(2)
    yield made
    made.close(PATIENCE)


class Steps:
    """A step that waits at a gate, and answers what it is told to."""

    def __init__(self, *answers: bool) -> None:
        self.answers = list(answers)
        self.gate = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)
        self.count = 0
        self._lock = threading.Lock()

    def __call__(self) -> bool:
        with self._lock:
            self.count += 1
        self.begun.release()
        assert self.gate.acquire(timeout=PATIENCE)
        with self._lock:
            return self.answers.pop(0) if self.answers else False

    def has_begun(self) -> bool:
        return self.begun.acquire(timeout=PATIENCE)


def test_a_step_is_repeated_until_it_says_that_nothing_is_left(lanes):
    answers, done = [True, True, False], threading.Event()

    def step() -> bool:
        answer = answers.pop(0)
        if not answers:
            done.set()
        return answer

    lanes("shop", step)
    assert done.wait(PATIENCE)
    lanes.close(PATIENCE)
    assert answers == []


def test_a_lane_that_hangs_keeps_no_other_waiting(lanes):
    slow, quick = Steps(), threading.Event()
    lanes("slow", slow)
    assert slow.has_begun()
    for lane in ("one", "two", "three"):
        quick.clear()
        lanes(lane, lambda: quick.set() or False)
        assert quick.wait(PATIENCE)
    slow.gate.release()


def test_in_a_lane_only_so_many_run_at_a_time_and_who_comes_too_early_is_not_forgotten(lanes):
    steps = Steps()
    for _ in range(5):
        lanes("shop", steps)
    assert steps.has_begun()
    assert steps.has_begun()
    assert steps.count == 2
    steps.gate.release()  # the first to end takes up the call that found no place
    assert steps.has_begun()
    assert steps.count == 3
    for _ in range(2):
        steps.gate.release()
    lanes.close(PATIENCE)
    assert steps.count == 3


def test_a_lane_is_free_again_after_a_step_that_raises(monkeypatch):
    raised = threading.Semaphore(0)
    monkeypatch.setattr(threading, "excepthook", lambda _arguments: raised.release())
    lanes, done = Lanes(1), threading.Event()

    def burst() -> bool:
        raise KeyError("a bug")

    for _ in range(3):
        lanes("shop", burst)
        assert raised.acquire(timeout=PATIENCE)
    lanes("shop", lambda: done.set() or False)
    assert done.wait(PATIENCE)
    lanes.close(PATIENCE)


def test_closed_lanes_finish_the_step_and_begin_no_other():
    lanes, steps = Lanes(1), Steps(True, True)
    lanes("shop", steps)
    assert steps.has_begun()
    closing = threading.Thread(target=lanes.close, args=(PATIENCE,))
    closing.start()
    assert lanes._closing.wait(PATIENCE)
    steps.gate.release()
    closing.join(PATIENCE)
    lanes("shop", steps)
    lanes("other", steps)
    assert (closing.is_alive(), steps.count) == (False, 1)
