"""Processes that live and die together, with small programs in the place of the shop's."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.cli import children

ROOT = Path(__file__).resolve().parents[2]

LAUNCHER = """
import os, sys
from app.cli import children
from app.cli.children import Child, Family, GaveUp, Stopped, environment_with, python

children.FIRST_PAUSE_SECONDS = 0.01
children.STOP_SECONDS = 1.0
folder, *programs = sys.argv[1:]
environment = environment_with({root!r})
environment["FOLDER"] = folder
try:
    with Family(lambda line: print(line, flush=True)) as family:
        for number, program in enumerate(programs, start=1):
            family.start(Child("child %d" % number, python("-c", program), environment))
        count = len(programs)
        family.wait_until(lambda: len(os.listdir(folder)) >= count, 10, "last child")
        print("ready", flush=True)
        family.watch()
except Stopped:
    print("stopped", flush=True)
except GaveUp as error:
    print("gave up:", error, flush=True)
    sys.exit(1)
"""
NOTE = "import os, signal, sys, time; open(os.environ['FOLDER'] + '/%d' % os.getpid(), 'w'); "
SLEEPS = NOTE + "time.sleep(60)"
IGNORES_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPS
HAS_A_CHILD = (
    "import subprocess, sys, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    f"subprocess.Popen([sys.executable, '-c', {IGNORES_TERM!r}]); " + SLEEPS
)


@pytest.fixture
def pids(tmp_path):
    folder = tmp_path / "pids"
    folder.mkdir()
    return folder


@pytest.fixture
def launch(pids):
    """Starts a launcher of these programs; nothing of it is left after the test."""
    started = []

    def start(*programs):
        process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER.format(root=str(ROOT)), str(pids), *programs],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
    for pid in noted(pids):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def noted(folder) -> list[int]:
    return sorted(int(path.name) for path in folder.iterdir())


def is_alive(pid: int) -> bool:
    """Running, not merely waiting for its parent to notice that it ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_until(condition, seconds=10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_line(process, line) -> None:
    for found in process.stdout:
        if found.rstrip() == line:
            return
    pytest.fail(f"the launcher ended without saying {line!r}")


pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads /proc to see who is alive"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_launcher_stops_all_of_them(launch, pids, number):
    process = launch(SLEEPS, SLEEPS, SLEEPS)
    wait_for_line(process, "ready")
    alive = noted(pids)
    assert [is_alive(pid) for pid in alive] == [True] * 3
    process.send_signal(number)
    assert process.wait(timeout=5) == 0
    assert process.stdout.read() == "stopped\n"
    assert [is_alive(pid) for pid in alive] == [False] * 3


def test_whoever_ignores_the_request_is_stopped_all_the_same(launch, pids):
    process = launch(IGNORES_TERM, SLEEPS)
    wait_for_line(process, "ready")
    signalled_at = time.monotonic()
    process.terminate()
    assert process.wait(timeout=5) == 0
    assert time.monotonic() - signalled_at < 20
    assert [is_alive(pid) for pid in noted(pids)] == [False] * 2


def test_what_a_child_has_started_ends_with_it(launch, pids):
    process = launch(HAS_A_CHILD)
    wait_for_line(process, "ready")
    wait_until(lambda: len(noted(pids)) == 2)
    process.terminate()
    assert process.wait(timeout=5) == 0
    assert [is_alive(pid) for pid in noted(pids)] == [False] * 2


def test_no_child_outlives_a_launcher_that_was_killed(launch, pids):
    process = launch(SLEEPS, SLEEPS)
    wait_for_line(process, "ready")
    process.kill()
    process.wait()
    wait_until(lambda: not any(is_alive(pid) for pid in noted(pids)), seconds=3)


def test_a_child_that_dies_is_reported_in_one_line_and_started_again(launch, pids):
    process = launch(SLEEPS, SLEEPS)
    wait_for_line(process, "ready")
    victim, other = noted(pids)
    os.kill(victim, signal.SIGKILL)
    line = process.stdout.readline()
    assert line in {
        "The child 1 ended by SIGKILL; it starts again in 0.01 s.\n",
        "The child 2 ended by SIGKILL; it starts again in 0.01 s.\n",
    }
    wait_until(lambda: len(noted(pids)) == 3)
    (new,) = set(noted(pids)) - {victim, other}
    assert is_alive(new)
    assert is_alive(other)


def test_a_child_that_keeps_dying_ends_everything_with_an_error(launch, pids):
    process = launch(SLEEPS, NOTE + "time.sleep(0.6); sys.exit(3)")
    wait_for_line(process, "ready")
    assert process.wait(timeout=20) == 1
    lines = process.stdout.read().splitlines()
    assert len(lines) == children.MOST_DEATHS
    assert lines[-1] == "gave up: The child 2 ended with exit code 3, 5 times in a minute."
    assert not any(is_alive(pid) for pid in noted(pids))


def test_a_child_that_dies_while_starting_ends_everything_with_an_error(launch, pids):
    process = launch("import sys; sys.exit(3)", SLEEPS)
    assert process.wait(timeout=10) == 1
    assert (
        process.stdout.read() == "gave up: The child 1 ended with exit code 3 while it started.\n"
    )
    assert not any(is_alive(pid) for pid in noted(pids))
