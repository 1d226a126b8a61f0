"""Simulated time, the jobs that wait for it, and chance."""

import threading
import time
from datetime import timedelta

import pytest

from daraja_simulator.clock import EAT, SimulatedClock
from daraja_simulator.dice import Dice
from daraja_simulator.timetable import Timetable
from tests.simulator.conftest import STARTED_AT


def test_a_stopped_clock_moves_only_by_hand():
    clock = SimulatedClock(0, STARTED_AT)
    assert clock.now() == STARTED_AT
    time.sleep(0.01)
    assert clock.now() == STARTED_AT
    clock.advance(90.5)
    assert clock.now() == STARTED_AT + timedelta(seconds=90.5)


def test_a_clock_runs_as_fast_as_it_is_told():
    clock = SimulatedClock(1000, STARTED_AT)
    before = time.monotonic()
    first = clock.seconds()
    time.sleep(0.02)
    passed = clock.seconds() - first
    assert 20 <= passed <= (time.monotonic() - before) * 1000


def test_a_new_pace_does_not_shift_what_has_passed():
    clock = SimulatedClock(0, STARTED_AT)
    clock.advance(10)
    clock.set_factor(0.001)
    assert clock.factor == 0.001
    assert clock.seconds() == pytest.approx(STARTED_AT.timestamp() + 10, abs=0.01)


def test_time_never_goes_back():
    clock = SimulatedClock(0, STARTED_AT)
    with pytest.raises(ValueError, match="forward only"):
        clock.advance(-1)
    clock.move_to(0)
    assert clock.now() == STARTED_AT


def test_with_real_dates_only_durations_are_simulated():
    clock = SimulatedClock(1000, real_dates=True)
    clock.advance(3600)
    before = time.time()
    began = clock.now()
    assert before <= began.timestamp() <= time.time()
    time.sleep(0.02)
    passed = clock.seconds_since(began)
    assert 20 <= passed <= (time.time() - before) * 1000
    assert clock.at(clock.seconds() + 60_000) > clock.now() + timedelta(seconds=59)


def test_without_them_a_duration_is_what_the_dates_say():
    clock = SimulatedClock(0, STARTED_AT)
    began = clock.now()
    clock.advance(90)
    assert clock.seconds_since(began) == 90


@pytest.mark.parametrize("factor", [-1, 1e9, float("nan"), float("inf")])
def test_a_pace_out_of_bounds_is_refused(factor):
    with pytest.raises(ValueError, match="clock factor"):
        SimulatedClock(factor)


def test_the_clock_starts_at_the_present_in_nairobi():
    now = SimulatedClock().now()
    assert now.tzinfo is EAT
    assert abs(now.timestamp() - time.time()) < 5


def test_real_seconds_shrink_with_the_pace():
    assert SimulatedClock(60).real_seconds(30) == 0.5
    assert SimulatedClock(0).real_seconds(30) == 30


def test_a_sleeper_wakes_when_time_jumps_or_the_end_comes():
    clock = SimulatedClock(0, STARTED_AT)
    stopped = threading.Event()
    sleepers = [
        threading.Thread(target=clock.sleep, args=(seconds, stopped.is_set))
        for seconds in (10, 1000)
    ]
    for sleeper in sleepers:
        sleeper.start()
    clock.advance(10)
    sleepers[0].join(5)
    assert sleepers[1].is_alive()
    stopped.set()
    clock.nudge()
    sleepers[1].join(5)
    assert not any(sleeper.is_alive() for sleeper in sleepers)


def test_a_sleeper_on_a_running_clock_wakes_by_itself():
    clock = SimulatedClock(1000, STARTED_AT)
    clock.sleep(10, lambda: False)
    assert clock.now() >= STARTED_AT + timedelta(seconds=10)


def test_a_jump_stops_at_each_job_on_its_way():
    clock = SimulatedClock(0, STARTED_AT)
    timetable = Timetable(clock)
    seen = []

    def note():
        seen.append((clock.now() - STARTED_AT).total_seconds())
        if len(seen) < 3:
            timetable.add(5, note, "a job")

    timetable.add(5, note, "a job")
    timetable.advance(12)
    assert seen == [5, 10]
    timetable.advance(100)
    assert seen == [5, 10, 15]
    assert clock.now() == STARTED_AT + timedelta(seconds=112)


def test_a_job_that_fails_leaves_the_others_running(caplog):
    timetable = Timetable(SimulatedClock(0, STARTED_AT))
    ran = []
    timetable.add(1, lambda: 1 // 0, "a bad job")
    timetable.add(1, lambda: ran.append(True), "a job")
    timetable.advance(1)
    assert ran == [True]
    assert "A job of the timetable failed" in caplog.text


def test_the_thread_runs_jobs_as_the_clock_runs():
    clock = SimulatedClock(1000, STARTED_AT)
    timetable = Timetable(clock)
    done = threading.Event()
    timetable.start()
    timetable.add(20, done.set, "a job")
    assert done.wait(5)
    timetable.stop()
    assert timetable.stopped


def test_the_thread_notices_a_jump():
    clock = SimulatedClock(0, STARTED_AT)
    timetable = Timetable(clock)
    done = threading.Event()
    timetable.start()
    timetable.add(20, done.set, "a job")
    clock.advance(20)
    assert done.wait(5)
    timetable.stop()


def test_dice_depend_on_what_is_drawn_and_not_on_when():
    first, second = Dice(7), Dice(7)
    draws = [first.named("faults", phone).random() for phone in "ab"]
    assert [second.named("faults", phone).random() for phone in "ba"] == draws[::-1]
    assert Dice(8).named("faults", "a").random() != draws[0]


def test_without_a_seed_each_run_has_its_own():
    assert Dice().seed != Dice().seed


def run(open_shop, seed):
    """What forty pushes lead to under heavy faults, as far as chance decides it."""
    shop = open_shop(seed=seed, duplicate_window_seconds=0)
    shop.post("faults", {"callback_lost": 0.3, "callback_twice": 0.3, "refused": 0.2})
    answers = [shop.push(f"2547123456{number}").status_code for number in range(10, 50)]
    shop.simulator.advance(300)
    return (
        answers,
        sorted(one.callback["CheckoutRequestID"] for one in shop.sink.received),
        [one["receipt"] for one in shop.ledger()],
    )


def test_one_seed_gives_one_run(open_shop, sink):
    first = run(open_shop, 3)
    sink.received.clear()
    assert run(open_shop, 3) == first
    sink.received.clear()
    assert run(open_shop, 4) != first


def test_everything_obeys_the_factor(open_shop):
    shop = open_shop(clock_factor=600)
    started = time.monotonic()
    shop.push_accepted("254712347002")  # 3 s to pay, 3 min late: 0.305 s
    deadline = started + 5
    while not shop.sink.received and time.monotonic() < deadline:
        time.sleep(0.005)
    assert shop.sink.codes == [0]
    assert 0.3 <= time.monotonic() - started < 20
