"""The doorbell and the worker that it wakes.

The work is rows in our own database; a message here says only "look at this row now". It may be
lost, doubled or late: the sweep, on a clock of its own, finds every row that is due. So the worker
goes on working while the queue is down.
"""

import json
import logging
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import structlog
from huey import Huey, PostgresHuey, RedisHuey, SqliteHuey
from huey.consumer import Consumer, ConsumerStopped, ThreadEnvironment, Worker
from huey.registry import Message
from huey.serializer import Serializer
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.retry import Retry

from app.db import POSTGRES_LINE
from app.jobs import registry
from app.jobs.work import Work
from app.services.webhooks.due import IN_FLIGHT_PER_ENDPOINT
from app.utils.lanes import Lanes

SHUTDOWN_SECONDS = 20
"""How long a stopping worker waits for its running jobs; a call to Safaricom takes up to 15."""

_NAME = "sokoni"
_JOB = "job"
_POLL_SECONDS = 0.25
_UNREADABLE_PAUSE_SECONDS = 5
_UNHEARD_PAUSE_SECONDS = 5
_CONNECT_SECONDS = 1
_ANSWER_SECONDS = 3  # above the second that a waiting pop of Redis takes
_POSTGRES_SCHEMA = "sokoni_queue"
_STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Around = Callable[[str, Callable[..., Any]], Callable[..., Any]]
"""Makes of a job, by its name, one with something around it."""

_closing = threading.Lock()

log = structlog.get_logger(__name__)

# Every second, while the queue is down, the scheduler would add its trace to the worker's own.
logging.getLogger("huey").setLevel(logging.WARNING)
logging.getLogger("huey.consumer.Scheduler").setLevel(logging.CRITICAL)


class JobSerializer(Serializer):  # type: ignore[misc] # Huey has no types
    """Messages as JSON: whoever can write to a shared queue must not be able to run code here."""

    def _serialize(self, data: Message) -> bytes:
        eta = data.eta.isoformat() if data.eta else None
        return json.dumps([data.id, data.name, eta, list(data.args)]).encode()

    def _deserialize(self, data: bytes) -> Message:
        """Raises ValueError for anything but what _serialize writes."""
        message_id, name, eta, (job, row_id) = json.loads(bytes(data))
        if not (isinstance(job, str) and isinstance(row_id, int)):
            raise ValueError("A message names a job and a row.")  # noqa: TRY004 - bad data, no bug
        return Message(
            id=str(message_id),
            name=str(name),
            eta=datetime.fromisoformat(eta) if eta else None,
            retries=0,
            retry_delay=0,
            args=(job, row_id),
            kwargs={},
        )


def build_queue(queue_url: str) -> Huey:
    """``sqlite:///file`` on one machine; ``redis://`` or ``postgresql://`` on many.

    Raises what the storage raises when it cannot be reached, and ValueError for another scheme.
    """
    options = {"results": False, "serializer": JobSerializer()}
    if queue_url.startswith("sqlite:///"):
        file = Path(queue_url.removeprefix("sqlite:///"))
        file.parent.mkdir(parents=True, exist_ok=True)
        return SqliteHuey(_NAME, filename=str(file), timeout=3, **options)
    if queue_url.startswith(("redis://", "rediss://", "unix://")):
        return RedisHuey(_NAME, connection_pool=_redis_pool(queue_url), **options)
    if queue_url.startswith(("postgresql://", "postgres://", "postgresql+psycopg://")):
        return _postgres_queue("postgresql://" + queue_url.partition("://")[2], options)
    scheme = queue_url.partition(":")[0]
    raise ValueError(f"QUEUE_URL must start with sqlite:///, redis:// or postgresql://: {scheme}")


def _redis_pool(queue_url: str) -> ConnectionPool:
    """Short timeouts: the doorbell is rung while a customer waits for an answer."""
    return ConnectionPool.from_url(
        queue_url,
        socket_connect_timeout=_CONNECT_SECONDS,
        socket_timeout=_ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 1),
    )


def _postgres_queue(dsn: str, options: dict[str, Any]) -> Huey:
    """In a schema of its own, so that the queue may share the shop's database."""
    line = {**POSTGRES_LINE, "connect_timeout": _CONNECT_SECONDS}
    with psycopg.connect(dsn, autocommit=True, **line) as connection:
        # Two that start together would both find the tables missing; one of them waits here.
        connection.execute("SELECT pg_advisory_lock(hashtext(%s))", [_POSTGRES_SCHEMA])
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_POSTGRES_SCHEMA}")
        return PostgresHuey(
            _NAME,
            dsn=dsn,
            **line,
            options=f"-c search_path={_POSTGRES_SCHEMA} -c statement_timeout=5000",
            **options,
        )


class HueyDoorbell:
    """Rings through the queue at ``queue_url``, which is opened at the first ring.

    A queue that is down costs a warning: the sweep will find the row. One that swallows what it is
    sent costs seconds each time, so after a ring that was not heard it is left alone for a while,
    and then one ring tries whether it is heard again.
    """

    def __init__(self, queue_url: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._queue_url = queue_url
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._ring: Any = None
        self._rest_until = float("-inf")
        self._is_heard = True

    def ring(self, job: str, row_id: int, *, delay_seconds: float = 0) -> None:
        if self._rests():
            return
        try:
            ring = self._open()
            if delay_seconds > 0:
                ring.schedule((job, row_id), delay=delay_seconds)
            else:
                ring(job, row_id)
        except Exception as error:  # noqa: BLE001 - each storage has its own; none is worth a sale
            self._note(is_heard=False)
            log.warning("doorbell_unanswered", job=job, row_id=row_id, error=str(error)[:200])
        else:
            self._note(is_heard=True)

    def waiting(self) -> int | None:
        try:
            found: int = self._open().huey.pending_count()
        except Exception as error:  # noqa: BLE001 - each storage has its own
            log.warning("queue_unreadable", error=str(error)[:200])
            return None
        return found

    def close(self) -> None:
        """Let go of the queue; the next ring opens it again."""
        with self._lock:
            if self._ring is not None:
                self._ring.huey.storage.close()
                self._ring = None

    def _rests(self) -> bool:
        with self._lock:
            now = self._monotonic()
            if not self._is_heard and now >= self._rest_until:
                self._rest_until = now + _UNHEARD_PAUSE_SECONDS  # of others: this one tries
                return False
            return now < self._rest_until

    def _note(self, *, is_heard: bool) -> None:
        with self._lock:
            self._is_heard = is_heard
            pause = 0 if is_heard else _UNHEARD_PAUSE_SECONDS
            self._rest_until = self._monotonic() + pause

    def _open(self) -> Any:
        with self._lock:
            if self._ring is None:
                self._ring = build_queue(self._queue_url).task(name=_JOB)(_left_to_the_worker)
            return self._ring


def _left_to_the_worker(_job: str, _row_id: int) -> None:
    """What the ringing side calls the task; only the worker's own is ever run."""
    raise RuntimeError("A job is run by the worker alone.")


class JobRunner:
    """Does one job at a time for each thread that calls it, and outlives whatever a job raises."""

    def __init__(self, work: Work, around: Around | None = None) -> None:
        """``around`` is put around each job by its name, and around the sweep."""
        self._work = work
        self._jobs: Mapping[str, registry.Job] = registry.JOBS
        self._sweep: Callable[[Work], bool] = registry.sweep
        if around is not None:
            self._jobs = {name: around(name, job) for name, job in registry.JOBS.items()}
            self._sweep = around("sweep", registry.sweep)

    def run_job(self, job: str, row_id: int) -> None:
        run = self._jobs.get(job)
        if run is None:
            log.warning("job_unknown", job=job, row_id=row_id)
            return
        try:
            run(self._work, row_id)
        except Exception:
            log.exception("job_failed", job=job, row_id=row_id)

    def sweep(self) -> bool:
        """True where more may be due at once."""
        try:
            return self._sweep(self._work)
        except Exception:
            log.exception("sweep_failed")
            return False

    def sweep_until(self, stop_flag: threading.Event, every_seconds: float) -> None:
        """Sweep at once, then again and again, until told to stop."""
        while True:
            is_more = self.sweep()
            if stop_flag.wait(0 if is_more else every_seconds):
                return


class _QueueWorker(Worker):  # type: ignore[misc] # Huey has no types
    """Asks a queue that is down again in a while, and says so once each time."""

    def loop(self, now: datetime | None = None) -> None:
        try:
            task = self.huey.dequeue()
        except Exception as error:  # noqa: BLE001 - each storage has its own
            log.warning("queue_unreadable", error=str(error)[:200])
            self.stop_flag.wait(_UNREADABLE_PAUSE_SECONDS)
            return
        if task is not None:
            self.delay = self.default_delay
            self._execute(task, now)
        elif not self.huey.storage.blocking:
            self.sleep()

    def _execute(self, task: Any, now: datetime | None) -> None:
        """Jobs raise nothing; but before and after one Huey asks a queue that may be gone."""
        try:
            self.huey.execute(task, now)
        except Exception as error:  # noqa: BLE001 - each storage has its own
            log.warning("queue_unreadable", error=str(error)[:200])

    def shutdown(self) -> None:
        """Close the connection that this thread has for itself."""
        super().shutdown()
        with _closing:  # Huey's close() looks first and closes then
            self.huey.storage.close()


class _Threads(ThreadEnvironment):  # type: ignore[misc] # Huey has no types
    """Threads that stop by a flag of ours."""

    def __init__(self, stop_flag: threading.Event) -> None:
        super().__init__()
        self._stop_flag = stop_flag

    def get_stop_flag(self) -> threading.Event:
        return self._stop_flag


class JobConsumer(Consumer):  # type: ignore[misc] # Huey has no types
    """Huey's consumer, with every stopping signal graceful: a running job is finished first."""

    worker_class = _QueueWorker

    def __init__(self, queue: Huey, threads: int, stop_flag: threading.Event) -> None:
        self._our_stop_flag = stop_flag
        super().__init__(
            queue,
            workers=threads,
            periodic=False,
            initial_delay=0.05,
            max_delay=_POLL_SECONDS,
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        self._signal_actions = dict.fromkeys(_STOPPING_SIGNALS, (False, True))

    def loop(self, health_check_ts: float | None = None) -> float | None:
        """A turn of Huey's own loop, which drops what runs when only our flag says stop: so it is
        after a signal that came between the start of the first job and Huey's listening to signals.
        """
        try:
            next_check: float | None = super().loop(health_check_ts)
        except ConsumerStopped:
            if self._signum is None:
                self.stop(graceful=True)
            raise
        return next_check

    def get_environment(self, _worker_type: str) -> ThreadEnvironment:
        return _Threads(self._our_stop_flag)


def build_consumer(
    work: Work, queue: Huey, stop_flag: threading.Event, around: Around | None = None
) -> JobConsumer:
    """The threads that answer the doorbell; not yet started."""
    runner = JobRunner(work, around)

    def answer(job: str, row_id: int) -> None:
        runner.run_job(job, row_id)

    queue.task(name=_JOB)(answer)
    return JobConsumer(queue, work.config.worker_threads, stop_flag)


def run_worker(work: Work, around: Around | None = None) -> None:
    """Answer the doorbell and sweep, until SIGTERM or SIGINT; then finish what is running.

    Any number of workers may do this side by side.
    """
    stop_flag = threading.Event()
    for number in _STOPPING_SIGNALS:
        signal.signal(number, lambda *_: stop_flag.set())
    lanes = Lanes(IN_FLIGHT_PER_ENDPOINT)
    work = replace(work, ports=replace(work.ports, run_beside=lanes))
    sweeper = threading.Thread(
        target=JobRunner(work, around).sweep_until,
        args=(stop_flag, work.config.sweep_seconds),
        name="Sweeper",
        daemon=True,
    )
    sweeper.start()
    log.info("worker_started", threads=work.config.worker_threads)
    queue = _open_patiently(work.config.queue_url, stop_flag)
    if queue is not None:
        build_consumer(work, queue, stop_flag, around).run()
    sweeper.join(SHUTDOWN_SECONDS)
    lanes.close(SHUTDOWN_SECONDS)
    log.info("worker_stopped")


def _open_patiently(queue_url: str, stop_flag: threading.Event) -> Huey | None:
    """The queue, once it can be reached; None if the worker was told to stop before that."""
    while not stop_flag.is_set():
        try:
            return build_queue(queue_url)
        except ValueError:
            raise
        except Exception as error:  # noqa: BLE001 - each storage has its own
            log.warning("queue_unreachable", error=str(error)[:200])
            stop_flag.wait(_UNREADABLE_PAUSE_SECONDS)
    return None
