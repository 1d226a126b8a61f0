"""Background work: whether anybody does it, how much waits, whether the doorbell can be rung."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from app.cli.doctor.exam import Check, Exam, Group
from app.cli.doctor.findings import Finding, fault, fine, warning
from app.jobs.queue import build_queue
from app.services.heartbeats import list_heartbeats
from app.services.signs import most_overdue_check_at, oldest_unread_message_at

WORKER_NEVER = fault(
    "worker_never",
    "No worker has ever swept: start one with python manage.py worker, under a supervisor.",
    cause="The worker was never started on this database. Without one lost reports stay lost,"
    " orders do not expire, and refunds wait.",
    cure="`python manage.py worker` as a service of its own, beside the web server.",
)
WORKER_SILENT = fault(
    "worker_silent",
    "No worker has swept for {minutes} minutes (the last was on {host}): start one with python"
    " manage.py worker.",
    cause="The worker died or was stopped, and nothing started it again; or it is stuck.",
    cure="Let a supervisor such as systemd keep it running, and look at its log.",
)
WORKER_CLOCK = fault(
    "worker_clock",
    "The worker on {host} swept {seconds} s in the future: synchronise that machine's clock, or"
    " this one's.",
    cause="The clocks of two machines on one database differ.",
    cure="Time synchronisation on both. `clock` tells whether this machine's is right.",
)
MESSAGES_WAITING = fault(
    "messages_waiting",
    "A message from Safaricom waits unread for {minutes} minutes: see that a worker runs, and look"
    " at its log and at the tasks in the office.",
    cause="Messages are read at once by the web server and else by the worker. One waits because"
    " neither does, or because it cannot be read, which a task says.",
    cure="Start a worker. If one runs, its log says why; the message is kept whole.",
)
CHECKS_OVERDUE = warning(
    "checks_overdue",
    "A payment should have been asked about {minutes} minutes ago: see that a worker runs, and"
    " raise MPESA_QUERIES_PER_SECOND if many wait.",
    cause="No worker, or more open payments than may be asked about at the set rate.",
    cure="Start a worker. For many payments a minute, ask Safaricom for your rate and set it.",
)
QUEUE_UNREACHABLE = warning(
    "queue_unreachable",
    "The queue at QUEUE_URL does not answer ({reason}): work is found by the sweep every"
    " {seconds:g} s instead; mend the queue or its address.",
    cause="Redis, PostgreSQL or the file of the queue cannot be reached.",
    cure="Start it, or correct QUEUE_URL. Nothing is lost meanwhile.",
)
QUEUE_LONG = warning(
    "queue_long",
    "{count} rings wait in the queue: see that a worker runs with the same QUEUE_URL.",
    cause="Nobody takes rings out: no worker runs, or it listens to another queue.",
    cure="Set the same QUEUE_URL for web server and worker.",
)

_SILENCE = timedelta(minutes=5)
_SWEEPS_MISSED = 4
_AHEAD = timedelta(seconds=60)
_UNREAD = timedelta(minutes=2)
_OVERDUE = timedelta(minutes=5)
_LONG_QUEUE = 1000


def look_at_worker(exam: Exam) -> Iterator[Finding]:
    now = exam.work.now()
    with exam.work.database.reading() as session:
        beats = list_heartbeats(session)
    if not beats:
        yield WORKER_NEVER.found()
        return
    last = beats[0]
    patience = max(_SILENCE, timedelta(seconds=exam.config.sweep_seconds * _SWEEPS_MISSED))
    if last.swept_at - now > _AHEAD:
        seconds = round((last.swept_at - now).total_seconds())
        yield WORKER_CLOCK.found(host=last.host, seconds=seconds)
    elif now - last.swept_at > patience:
        yield WORKER_SILENT.found(minutes=_minutes(now - last.swept_at), host=last.host)
    else:
        alive = [beat.host for beat in beats if now - beat.swept_at <= patience]
        yield fine(f"A worker sweeps on {' and on '.join(alive)}.")


def look_at_backlog(exam: Exam) -> Iterator[Finding]:
    now = exam.work.now()
    with exam.work.database.reading() as session:
        unread, overdue = oldest_unread_message_at(session), most_overdue_check_at(session)
    found = []
    if (waited := _waited(unread, now)) > _UNREAD:
        found.append(MESSAGES_WAITING.found(minutes=_minutes(waited)))
    if (waited := _waited(overdue, now)) > _OVERDUE:
        found.append(CHECKS_OVERDUE.found(minutes=_minutes(waited)))
    yield from found or [fine("No message and no payment waits for the worker.")]


def look_at_queue(exam: Exam) -> Iterator[Finding]:
    url = exam.config.queue_url
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        yield fine("The queue's file is made when it is first rung.")
        return
    try:
        queue = build_queue(url)
        try:
            count = queue.pending_count() + queue.scheduled_count()
        finally:
            queue.storage.close()
    except Exception as error:  # noqa: BLE001 - each storage has its own
        reason = exam.quote(error)
        yield QUEUE_UNREACHABLE.found(reason=reason, seconds=exam.config.sweep_seconds)
        return
    if count > _LONG_QUEUE:
        yield QUEUE_LONG.found(count=count)
    else:
        yield fine(f"The queue answers; {count} rings are in it.")


def _waited(since: datetime | None, now: datetime) -> timedelta:
    return timedelta() if since is None else now - since


def _minutes(span: timedelta) -> int:
    return span // timedelta(minutes=1)


CHECKS = (
    Check(
        "worker",
        Group.WORK,
        "whether a worker is sweeping",
        look_at_worker,
        kinds=(WORKER_NEVER, WORKER_SILENT, WORKER_CLOCK),
        needs=("migrations",),
    ),
    Check(
        "backlog",
        Group.WORK,
        "messages and payments that have waited too long",
        look_at_backlog,
        kinds=(MESSAGES_WAITING, CHECKS_OVERDUE),
        needs=("migrations",),
    ),
    Check(
        "queue",
        Group.WORK,
        "whether the doorbell can be rung",
        look_at_queue,
        kinds=(QUEUE_UNREACHABLE, QUEUE_LONG),
    ),
)
