"""The doorbell may be lost, doubled or rung for nothing; the worker outlives it all."""

import contextlib
import json
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest
from structlog.testing import capture_logs

from app.jobs import registry
from app.jobs.queue import (
    HueyDoorbell,
    JobRunner,
    JobSerializer,
    build_consumer,
    build_queue,
)
from app.jobs.work import Work
from app.ports import Ports
from drill.processes import wait_until
from tests.postgres import create_database

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["sqlite", "postgresql"])
def queue_url(request, tmp_path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/a/folder/that/is/new/queue.db"
    uri = request.getfixturevalue("postgres_uri")
    worker_id = request.getfixturevalue("worker_id")
    return create_database(uri, f"queue_{worker_id}")


@pytest.fixture
def database_kind() -> str:
    return "sqlite"  # which database the rows are in makes no difference here


@pytest.fixture
def work(database, config, clock, gateway, doorbell) -> Work:
    return Work(database, Ports(clock=clock, gateway=gateway, doorbell=doorbell), config)


class Recorder:
    """A job that remembers its rows and raises for the ones it is told to."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.raises_for: set[int] = set()
        self._changed = threading.Condition()

    def __call__(self, _work: Work, row_id: int) -> None:
        with self._changed:
            self.rows.append(row_id)
            self._changed.notify_all()
        if row_id in self.raises_for:
            raise RuntimeError(f"row {row_id} is bad")

    def wait_for(self, count: int) -> list[int]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.rows) >= count, timeout=15), self.rows
        return sorted(self.rows)


@pytest.fixture
def recorder(monkeypatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(registry, "JOBS", {"look": recorder})
    return recorder


@pytest.fixture
def ring_at():
    """Opens doorbells; they are closed when the test ends."""
    opened = []

    def open_one(queue_url: str, **options) -> HueyDoorbell:
        opened.append(HueyDoorbell(queue_url, **options))
        return opened[-1]

    yield open_one
    for doorbell in opened:
        doorbell.close()


@pytest.fixture
def start_consumer(work):
    """Starts consumers in this process; they are stopped when the test ends."""
    running = []

    def start(queue_url: str) -> None:
        stop_flag = threading.Event()
        consumer = build_consumer(work, build_queue(queue_url), stop_flag)
        for thread in (consumer.scheduler, *(thread for _, thread in consumer.worker_threads)):
            thread.start()
        running.append(consumer)

    yield start
    for consumer in running:
        consumer.stop(graceful=True)
        consumer.huey.storage.close()


class Hangs:
    """Takes connections and closes them, as a Redis that is in trouble; counts them."""

    def __init__(self) -> None:
        self.taken = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.taken += 1
                connection.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@pytest.fixture
def hangs():
    made = Hangs()
    yield made
    made.close()


def test_a_ring_runs_its_job_on_its_row(queue_url, recorder, start_consumer, ring_at):
    start_consumer(queue_url)
    ring_at(queue_url).ring("look", 17)
    assert recorder.wait_for(1) == [17]


def test_a_delayed_ring_runs_later_and_not_before(queue_url, recorder, start_consumer, ring_at):
    start_consumer(queue_url)
    rung_at = time.monotonic()
    ring_at(queue_url).ring("look", 17, delay_seconds=1.5)
    assert recorder.wait_for(1) == [17]
    assert 1.5 <= time.monotonic() - rung_at < 30


def test_rings_are_counted_until_a_worker_hears_them(queue_url, recorder, start_consumer, ring_at):
    doorbell = ring_at(queue_url)
    assert doorbell.waiting() == 0
    for row_id in range(3):
        doorbell.ring("look", row_id)
    assert doorbell.waiting() == 3
    start_consumer(queue_url)
    assert recorder.wait_for(3) == [0, 1, 2]
    assert doorbell.waiting() == 0


def test_of_a_queue_that_is_down_nobody_knows_how_many_wait(ring_at):
    with capture_logs() as logs:
        assert ring_at("redis://127.0.0.1:1/0").waiting() is None
    assert [line["event"] for line in logs] == ["queue_unreadable"]


def test_two_workers_side_by_side_run_each_ring_once(queue_url, recorder, start_consumer, ring_at):
    start_consumer(queue_url)
    start_consumer(queue_url)
    doorbell = ring_at(queue_url)
    for row_id in range(30):
        doorbell.ring("look", row_id)
    assert recorder.wait_for(30) == list(range(30))
    time.sleep(0.5)
    assert len(recorder.rows) == 30


def test_a_job_that_raises_is_logged_and_the_next_one_runs(
    queue_url, recorder, start_consumer, ring_at
):
    recorder.raises_for = {1}
    with capture_logs() as logs:
        start_consumer(queue_url)
        doorbell = ring_at(queue_url)
        doorbell.ring("look", 1)
        recorder.wait_for(1)
        doorbell.ring("look", 2)
        assert recorder.wait_for(2) == [1, 2]
    failures = [(line["job"], line["row_id"]) for line in logs if line["event"] == "job_failed"]
    assert failures == [("look", 1)]


@pytest.mark.fault("F49")
def test_a_queue_that_goes_away_after_a_ring_was_heard_costs_no_worker(
    queue_url, recorder, start_consumer, ring_at, work
):
    """Before and after each job Huey looks into a table of its own."""
    start_consumer(queue_url)
    doorbell = ring_at(queue_url)
    doorbell.ring("look", 0)
    recorder.wait_for(1)
    rings = 3 * work.config.worker_threads
    with capture_logs() as logs:
        rename(queue_url, "kv", "gone")
        for row_id in range(1, rings + 1):
            doorbell.ring("look", row_id)
        wait_until(lambda: len(logs) >= rings, "each ring ends in a warning")
        rename(queue_url, "gone", "kv")
    assert {line["event"] for line in logs} == {"queue_unreadable"}
    doorbell.ring("look", 99)
    assert recorder.wait_for(2) == [0, 99]


def rename(queue_url: str, old: str, new: str) -> None:
    """A table of Huey's, by its name without prefix."""
    if queue_url.startswith("sqlite"):
        file = queue_url.removeprefix("sqlite:///")
        with contextlib.closing(sqlite3.connect(file, timeout=10)) as queue, queue:
            queue.execute(f"ALTER TABLE {old} RENAME TO {new}")
        return
    with psycopg.connect(queue_url.replace("+psycopg", ""), autocommit=True) as queue:
        queue.execute(f"ALTER TABLE sokoni_queue.huey_{old} RENAME TO huey_{new}")


def test_a_ring_for_a_job_that_nobody_knows_is_a_warning(work, recorder):
    with capture_logs() as logs:
        JobRunner(work).run_job("nothing_of_ours", 3)
    assert [(line["event"], line["log_level"]) for line in logs] == [("job_unknown", "warning")]
    assert recorder.rows == []


def test_results_are_not_stored(tmp_path, recorder, start_consumer, ring_at):
    queue_url = f"sqlite:///{tmp_path}/queue.db"
    start_consumer(queue_url)
    ring_at(queue_url).ring("look", 17)
    recorder.wait_for(1)
    time.sleep(0.2)
    with sqlite3.connect(tmp_path / "queue.db") as connection:
        assert connection.execute("SELECT count(*) FROM kv").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM task").fetchone() == (0,)


def test_the_queue_keeps_out_of_the_shops_own_tables(postgres_uri, worker_id, ring_at):
    url = create_database(postgres_uri, f"queue_{worker_id}")
    ring_at(url).ring("look", 1)
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        schemas = connection.execute(
            "SELECT DISTINCT table_schema FROM information_schema.tables"
            " WHERE table_name LIKE 'huey%'"
        ).fetchall()
    assert schemas == [("sokoni_queue",)]


@pytest.mark.parametrize(
    "queue_url",
    [
        "redis://127.0.0.1:1/0",
        "postgresql://nobody@127.0.0.1:1/nothing",
        "sqlite:////proc/no/such/folder/queue.db",
        "carrier-pigeon://coop",
    ],
)
def test_a_doorbell_that_is_down_costs_a_warning_and_little_time(queue_url, ring_at):
    doorbell = ring_at(queue_url)
    started_at = time.monotonic()
    with capture_logs() as logs:
        doorbell.ring("look", 17)
    assert [(line["event"], line["row_id"]) for line in logs] == [("doorbell_unanswered", 17)]
    assert time.monotonic() - started_at < 15


@pytest.mark.fault("F49")
def test_a_doorbell_that_was_not_heard_is_left_alone_for_a_while(hangs, ring_at):
    """Each ring may take seconds there, and a customer waits for it."""
    now = [1000.0]
    doorbell = ring_at(hangs.url, monotonic=lambda: now[0])
    with capture_logs() as logs:
        doorbell.ring("look", 1)
        tries = hangs.taken
        assert tries > 0
        for row_id in range(2, 9):
            doorbell.ring("look", row_id)
        assert hangs.taken == tries
        now[0] += 5
        doorbell.ring("look", 9)
        assert hangs.taken == 2 * tries
        doorbell.ring("look", 10, delay_seconds=1)
        assert hangs.taken == 2 * tries
    assert [line["row_id"] for line in logs] == [1, 9]


@pytest.mark.fault("F49")
def test_one_ring_alone_tries_whether_the_doorbell_is_heard_again(queue_url, hangs, ring_at):
    now = [1000.0]
    doorbell = ring_at(hangs.url, monotonic=lambda: now[0])
    doorbell.ring("look", 1)
    now[0] += 5
    doorbell._queue_url, doorbell._ring = queue_url, None
    doorbell.ring("look", 2)
    doorbell.ring("look", 3)
    assert doorbell.waiting() == 2


def test_a_doorbell_recovers_when_the_queue_does(tmp_path, recorder, start_consumer, ring_at):
    folder = tmp_path / "folder"
    folder.write_text("in the way")
    now = [1000.0]
    doorbell = ring_at(f"sqlite:///{folder}/queue.db", monotonic=lambda: now[0])
    with capture_logs() as logs:
        doorbell.ring("look", 1)
    assert [line["event"] for line in logs] == ["doorbell_unanswered"]
    folder.unlink()
    now[0] += 5
    doorbell.ring("look", 2)
    start_consumer(f"sqlite:///{folder}/queue.db")
    assert recorder.wait_for(1) == [2]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"not json",
        b'["id", "app.jobs.queue.job", null]',
        b'["id", "app.jobs.queue.job", null, ["look"]]',
        b'["id", "app.jobs.queue.job", null, ["look", "1; DROP TABLE"]]',
        b'["id", "app.jobs.queue.job", null, [["look"], 1]]',
        b'{"id": 1}',
        b"cos\nsystem\n(S'touch pwned'\ntR.",  # what a pickle that runs a command looks like
    ],
)
def test_a_message_of_another_shape_is_refused(message):
    with pytest.raises((ValueError, TypeError)):
        JobSerializer().deserialize(message)


def test_a_broken_message_does_not_stop_the_worker(tmp_path, recorder, start_consumer, ring_at):
    queue_url = f"sqlite:///{tmp_path}/queue.db"
    queue = build_queue(queue_url)
    queue.storage.enqueue(b"\x80\x04not ours")
    with capture_logs() as logs:
        ring_at(queue_url).ring("look", 17)
        start_consumer(queue_url)
        assert recorder.wait_for(1) == [17]
    assert "queue_unreadable" in [line["event"] for line in logs]


def test_the_sweep_runs_at_once_and_again_whatever_it_raises(work, monkeypatch):
    moments = []
    stop_flag = threading.Event()

    def sweep(_work):
        moments.append(time.monotonic())
        if len(moments) == 3:
            stop_flag.set()
        raise RuntimeError("this sweep fails")

    monkeypatch.setattr(registry, "sweep", sweep)
    started_at = time.monotonic()
    with capture_logs() as logs:
        JobRunner(work).sweep_until(stop_flag, 0.1)
    assert len(moments) == 3
    assert moments[0] - started_at < 0.1
    assert moments[2] - moments[0] >= 0.2
    assert [line["event"] for line in logs] == ["sweep_failed"] * 3


def test_a_sweep_that_left_work_is_followed_by_the_next_without_a_pause(work, monkeypatch):
    stop_flag = threading.Event()
    left = iter([True, True, False])

    def sweep(_work):
        is_more = next(left)
        if not is_more:
            stop_flag.set()
        return is_more

    monkeypatch.setattr(registry, "sweep", sweep)
    JobRunner(work).sweep_until(stop_flag, every_seconds=3600)
    assert next(left, "all were made") == "all were made"


WORKER = """
import sys, time, json
from dataclasses import replace
from app.config import Config
from app.jobs import registry
from app.jobs.build import build_work
from app.jobs.queue import JobConsumer, run_worker

folder, queue_url, listens_after = sys.argv[1:]
listen = JobConsumer._set_signal_handlers

def listen_late(consumer):
    time.sleep(float(listens_after))
    listen(consumer)

JobConsumer._set_signal_handlers = listen_late

def note(text):
    with open(folder + "/notes", "a") as file:
        file.write(text + "\\n")

def slow(work, row_id):
    note("began %d" % row_id)
    time.sleep(1)
    note("ended %d" % row_id)

registry.JOBS = {"slow": slow}
registry.sweep = lambda work: note("swept")
work = build_work(Config.from_environment({
    "SECRET_KEY": "test-secret-0123456789-abcdefghijklmnopqrstuvwxyz",
    "JWT_SECRET_KEY": "test-jwt-secret-9876543210-zyxwvutsrqponmlkjihgf",
    "DATABASE_URL": "sqlite:///" + folder + "/sokoni.db",
    "QUEUE_URL": queue_url,
    "SWEEP_SECONDS": "0.2",
}))
run_worker(work)
"""


@pytest.fixture
def worker_process(tmp_path):
    """Starts real workers; ``notes()`` is what their jobs and sweeps wrote down."""
    started = []

    def start(queue_url, *, listens_after=0.0):
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path), queue_url, str(listens_after)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def notes(folder) -> list[str]:
    path = folder / "notes"
    return path.read_text().splitlines() if path.exists() else []


def wait_for_note(folder, note, count=1) -> None:
    deadline = time.monotonic() + 15
    while notes(folder).count(note) < count:
        assert time.monotonic() < deadline, notes(folder)
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_worker_stops_soon_after_a_signal(tmp_path, worker_process, number):
    process = worker_process(f"sqlite:///{tmp_path}/queue.db")
    wait_for_note(tmp_path, "swept", 3)
    signalled_at = time.monotonic()
    process.send_signal(number)
    assert process.wait(timeout=15) == 0, process.stderr.read()
    assert time.monotonic() - signalled_at < 10


@pytest.mark.parametrize("listens_after", [0, 0.7], ids=["", "told before Huey listens"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_running_job_is_finished_before_the_worker_stops(
    tmp_path, worker_process, number, ring_at, listens_after
):
    queue_url = f"sqlite:///{tmp_path}/queue.db"
    process = worker_process(queue_url, listens_after=listens_after)
    ring_at(queue_url).ring("slow", 17)
    wait_for_note(tmp_path, "began 17")
    process.send_signal(number)
    assert process.wait(timeout=10) == 0, process.stderr.read()
    assert notes(tmp_path).count("ended 17") == 1


def test_the_sweep_goes_on_while_the_queue_is_down(tmp_path, worker_process):
    process = worker_process("redis://127.0.0.1:1/0")
    wait_for_note(tmp_path, "swept", 5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0, process.stderr.read()


def test_a_worker_whose_queue_cannot_be_opened_sweeps_and_stops_when_told(tmp_path, worker_process):
    process = worker_process("postgresql://nobody@127.0.0.1:1/nothing")
    wait_for_note(tmp_path, "swept", 5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0, process.stderr.read()


def test_a_message_is_readable_by_whoever_looks_into_the_queue(tmp_path, ring_at):
    queue_url = f"sqlite:///{tmp_path}/queue.db"
    ring_at(queue_url).ring("look", 17)
    with sqlite3.connect(tmp_path / "queue.db") as connection:
        (data,) = connection.execute("SELECT data FROM task").fetchone()
    message_id, name, eta, arguments = json.loads(data)
    assert (name, eta, arguments) == ("app.jobs.queue.job", None, ["look", 17])
    assert isinstance(message_id, str)
