"""Who is ready, and who only looks so."""

import sys

import pytest

from drill.processes import wait_until
from drill.supervisor import Post

_SLOW_TO_LEAVE = """
import signal, time
signal.signal(signal.SIGINT, lambda *_: None)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def post(tmp_path):
    command = [sys.executable, "-c", _SLOW_TO_LEAVE]
    post = Post("slow", command, tmp_path, {}, is_ready=lambda program: "ready" in program.log())
    yield post
    post.program.clear_away()


def test_one_that_was_told_to_end_is_not_ready_though_it_still_lives(post):
    """A PostgreSQL that shuts down lives on for a moment, and lets nobody in."""
    wait_until(lambda: post.is_ready, "it is ready")
    told = post.program
    post.kill(2)
    assert told.is_alive()
    assert not post.is_ready

    told.clear_away()
    post.fill()
    wait_until(lambda: post.is_ready, "its successor is ready")
