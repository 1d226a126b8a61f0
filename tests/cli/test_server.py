"""What Granian is made to do when it is told to stop."""

import os
import signal
import subprocess
import sys

import pytest

from app.cli.server import Server
from app.utils.draining import end_draining, is_draining
from drill.processes import ROOT, wait_until

SLEEPER = """
import signal, sys, threading
from app.cli import server

told, ready = threading.Event(), threading.Event()
if sys.argv[1] == "woken":
    server._wake_for_signals()
signal.signal(signal.SIGTERM, lambda *_: told.set())
threading.Thread(target=ready.wait, daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # another thread has to take it
print("waits", flush=True)
told.wait()
print("told", flush=True)
"""


def test_a_main_thread_that_sleeps_hears_of_a_signal_that_another_thread_was_given():
    sleeper = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, "woken"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
    )
    try:
        assert sleeper.stdout.readline() == "waits\n"
        sleeper.send_signal(signal.SIGTERM)
        assert sleeper.stdout.readline() == "told\n"
        assert sleeper.wait() == 0
    finally:
        sleeper.kill()
        sleeper.communicate()


@pytest.fixture
def server():
    made = Server("app.wsgi:application", drain_seconds=3600)
    yield made
    made._cut_short.set()
    made._has_heard.set()
    end_draining()


def test_readiness_goes_first_and_a_second_signal_cuts_the_draining_short(server):
    assert is_draining() is False
    server.signal_handler_interrupt(signal.SIGTERM, None)
    assert is_draining() is True
    assert server.interrupt_signal is False
    server.signal_handler_interrupt(signal.SIGTERM, None)
    wait_until(server.main_loop_interrupt.is_set, "it stops")
    assert server.interrupt_signal is True


def test_what_granian_forgets_while_it_replaces_a_worker_it_is_told_again(server):
    server._drain_seconds = 0
    server.signal_handler_interrupt(signal.SIGTERM, None)
    for _ in range(3):
        wait_until(server.main_loop_interrupt.is_set, "it is told")
        server.main_loop_interrupt.clear()
