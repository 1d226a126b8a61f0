"""Threads that come when there is work: as many as are needed, up to a number."""

import threading

from daraja_simulator.crew import Crew

PATIENCE_SECONDS = 5


def test_each_job_that_finds_nobody_idle_gets_a_thread():
    crew, together = Crew(8), threading.Barrier(8, timeout=PATIENCE_SECONDS)
    done = threading.Semaphore(0)
    for _ in range(8):
        crew.submit(lambda: (together.wait(), done.release()))
    for _ in range(8):
        assert done.acquire(timeout=PATIENCE_SECONDS)


def test_above_the_number_jobs_wait_and_none_is_lost():
    crew, gate, done = Crew(2), threading.Event(), threading.Semaphore(0)
    running, most, lock = 0, 0, threading.Lock()

    def job():
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        gate.wait(PATIENCE_SECONDS)
        with lock:
            running -= 1
        done.release()

    for _ in range(50):
        crew.submit(job)
    gate.set()
    for _ in range(50):
        assert done.acquire(timeout=PATIENCE_SECONDS)
    assert most <= 2


def test_a_job_that_fails_takes_no_thread_with_it(caplog):
    crew, done = Crew(1), threading.Event()
    crew.submit(lambda: 1 // 0)
    crew.submit(done.set)
    assert done.wait(PATIENCE_SECONDS)
    assert "A job of the crew failed" in caplog.text


def test_threads_that_were_idle_too_long_are_replaced(monkeypatch):
    monkeypatch.setattr("daraja_simulator.crew._LINGER_SECONDS", 0.0)
    crew = Crew(1)
    for _ in range(20):
        done = threading.Event()
        crew.submit(done.set)
        assert done.wait(PATIENCE_SECONDS)
