"""Who works, what waits, where is counted and stored, and who can sign in."""

from dataclasses import replace
from datetime import timedelta

import pytest
from limits.errors import StorageError

from app.cli.demo.people import ACCOUNTS_FILE, DEMO_DOMAIN
from app.cli.doctor.checks import stores
from app.jobs.queue import HueyDoorbell
from app.models import InboxSource
from app.policies import Role
from app.services.heartbeats import note_sweep
from app.services.inbox import ReceivedMessage, finish_message
from app.services.restores import record_restore
from app.utils.limiter import MemoryCounters
from tests.cli.doctor.conftest import codes, failed, look, only_line, passed
from tests.core import ask_to_pay, buy, make_buyer
from tests.factories import NOW, make_product, make_user
from tests.inbox import keep_message

# --- the worker ---


def sweep(database, host, **ago) -> None:
    with database.transaction() as session:
        note_sweep(session, host, NOW - timedelta(**ago))


def test_a_shop_whose_worker_was_never_started_is_told_so(make_exam, live):
    assert only_line(make_exam(live), "worker") == (
        "worker_never",
        "No worker has ever swept: start one with python manage.py worker, under a supervisor.",
    )


def test_workers_that_sweep_are_named(make_exam, live, database):
    sweep(database, "duka-1", minutes=5)
    sweep(database, "duka-2", seconds=3)
    sweep(database, "duka-3", days=2)
    assert only_line(make_exam(live), "worker") == (
        "ok",
        "A worker sweeps on duka-2 and on duka-1.",
    )


def test_a_worker_that_fell_silent_is_named_with_its_host(make_exam, live, database):
    sweep(database, "duka-1", minutes=47, seconds=12)
    assert only_line(make_exam(live), "worker") == (
        "worker_silent",
        (
            "No worker has swept for 47 minutes (the last was on duka-1): start one with python"
            " manage.py worker."
        ),
    )
    slow = replace(live, sweep_seconds=900)
    assert codes(make_exam(slow), "worker") == ["ok"]


def test_a_worker_from_the_future_has_another_clock(make_exam, live, database):
    sweep(database, "duka-1", seconds=-60)
    assert codes(make_exam(live), "worker") == ["ok"]
    sweep(database, "duka-1", seconds=-61)
    code, sentence = only_line(make_exam(live), "worker")
    assert (code, "on duka-1 swept 61 s in the future" in sentence) == ("worker_clock", True)


def test_what_waits_too_long_is_named(make_exam, live, database, clock):
    assert codes(make_exam(live), "backlog") == ["ok"]
    with database.transaction() as session:
        order = buy(session, make_buyer(session), (make_product(session), 1))
        ask_to_pay(session, order)  # to be asked about in half a minute
        message = keep_message(
            session, ReceivedMessage(InboxSource.API_RESULT, b"{}", {}, None), NOW
        )
    clock.advance(minutes=2)
    assert codes(make_exam(live), "backlog") == ["ok"]
    clock.advance(minutes=4)
    report = look(make_exam(live), "backlog")
    assert [(line.code, line.level) for line in report.lines] == [
        ("messages_waiting", "fault"),
        ("checks_overdue", "warning"),
    ]
    assert "waits unread for 6 minutes" in report.lines[0].sentence
    assert "asked about 5 minutes ago" in report.lines[1].sentence
    with database.transaction() as session:
        finish_message(session.merge(message), "kept", clock())
    assert codes(make_exam(live), "backlog") == ["checks_overdue"]


# --- the queue ---


@pytest.fixture
def queue_url(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/queue.db"


def test_a_queue_is_counted_and_none_is_made(make_exam, live, queue_url, tmp_path, monkeypatch):
    exam = make_exam(replace(live, queue_url=queue_url))
    assert only_line(exam, "queue") == ("ok", "The queue's file is made when it is first rung.")
    assert not (tmp_path / "queue.db").exists()
    doorbell = HueyDoorbell(queue_url)
    doorbell.ring("look", 1)
    doorbell.ring("look", 2, delay_seconds=60)
    doorbell.close()
    assert only_line(exam, "queue") == ("ok", "The queue answers; 2 rings are in it.")
    monkeypatch.setattr("app.cli.doctor.checks.work._LONG_QUEUE", 1)
    assert codes(exam, "queue") == ["queue_long"]


@pytest.mark.parametrize(
    "url", ["redis://:word-of-redis@127.0.0.1:1/0", "postgresql://shop:word-of-pg@127.0.0.1:1/x"]
)
def test_a_queue_that_is_down_is_a_warning_without_its_password(make_exam, live, url):
    (line,) = look(make_exam(replace(live, queue_url=url)), "queue").lines
    assert (line.code, line.level) == ("queue_unreachable", "warning")
    assert "found by the sweep every 15 s" in line.sentence
    assert "word-of" not in line.sentence


# --- limits, pictures, accounts ---


def test_limits_in_the_database_are_counted_for_all(make_exam, live):
    exam = make_exam(live)
    assert codes(failed(exam, "migrations"), "limits") == ["skipped"]
    assert codes(passed(exam, "migrations"), "limits") == ["ok"]


def test_limits_that_are_off_or_of_one_process_alone_are_named(make_exam, live, laptop):
    in_memory = replace(live, rate_limit_storage_url="memory://")
    report = look(make_exam(in_memory), "limits")
    assert [(line.code, line.level) for line in report.lines] == [("limits_alone", "fault")]
    on_laptop = replace(laptop, rate_limit_storage_url="memory://", rate_limits_enabled=False)
    report = look(make_exam(on_laptop), "limits")
    assert [(line.code, line.level) for line in report.lines] == [
        ("limits_off", "warning"),
        ("limits_alone", "warning"),
    ]


def test_a_store_of_limits_that_is_down_or_forgets_is_named(make_exam, live, monkeypatch):
    redis = replace(live, rate_limit_storage_url="redis://:word-of-redis@127.0.0.1:1/0")
    code, sentence = only_line(make_exam(redis), "limits")
    assert (code, "word-of-redis" in sentence) == ("limits_unreachable", False)
    monkeypatch.setattr(stores, "RedisCounters", lambda _url: MemoryCounters(lambda: 0.0))
    assert codes(make_exam(redis), "limits") == ["limits_forgotten"]
    shared = MemoryCounters(lambda: 0.0)
    monkeypatch.setattr(stores, "RedisCounters", lambda _url: shared)
    assert codes(make_exam(redis), "limits") == ["ok"]

    def burst(_url):
        raise StorageError(ValueError("as Redis says"))

    monkeypatch.setattr(stores, "RedisCounters", burst)
    assert codes(make_exam(redis), "limits") == ["limits_unreachable"]


def test_pictures_that_cannot_be_stored_are_named(make_exam, live, laptop, files):
    assert codes(make_exam(live), "files") == ["ok"]
    files.is_down = True
    code, sentence = only_line(make_exam(live), "files")
    assert (code, "(The store is down.)" in sentence) == ("files_unwritable", True)
    for config, level in ((live, "fault"), (laptop, "warning")):
        (line,) = look(make_exam(replace(config, media_url="memory://")), "files").lines
        assert (line.code, line.level) == ("files_in_memory", level)


def test_an_office_without_an_admin_is_named(make_exam, live, database):
    with database.transaction() as session:
        make_user(session, Role.SELLER)
        make_user(session, Role.ADMIN, suspended_at=NOW)
    code, sentence = only_line(make_exam(live), "accounts")
    assert (code, "users create NAME ADDRESS --role admin" in sentence) == ("admin_missing", True)
    with database.transaction() as session:
        make_user(session, Role.ADMIN, username="amina")
    assert only_line(make_exam(live), "accounts") == ("ok", "An admin can sign in.")


def test_the_demo_shops_people_have_no_place_in_production(make_exam, live, laptop, database, home):
    with database.transaction() as session:
        make_user(session, Role.ADMIN, username="amina", email=f"amina@{DEMO_DOMAIN}")
        make_user(session, username="gone", email=f"gone@{DEMO_DOMAIN}", suspended_at=NOW)
        make_user(session, username="real", email="real@my-sokoni.example")
    (home / ACCOUNTS_FILE).parent.mkdir()
    (home / ACCOUNTS_FILE).write_text("admin  amina  a-password\n")
    report = look(make_exam(live), "accounts")
    assert [(line.code, line.level) for line in report.lines] == [
        ("demo_accounts", "fault"),
        ("demo_file", "fault"),
        ("ok", "ok"),
    ]
    assert "(amina)" in report.lines[0].sentence
    assert "instance/demo-accounts.txt still holds" in report.lines[1].sentence
    assert codes(make_exam(laptop), "accounts") == ["ok"]


# --- refunds that are held ---


def test_refunds_that_are_held_since_a_restore_are_named(make_exam, live, database):
    assert only_line(make_exam(live), "refunds") == ("ok", "Refunds are not held.")
    with database.transaction() as session:
        restore = record_restore(session, "sokoni.zip", NOW - timedelta(hours=2), NOW)
    report = look(make_exam(live), "refunds")
    assert [(line.code, line.level) for line in report.lines] == [("refunds_held", "warning")]
    assert report.lines[0].sentence == (
        "No refund is sent since the shop was restored at 2026-11-22 12:00 (Nairobi) from the"
        " backup of 2026-11-22 10:00: import M-Pesa's statement of the time between, then run"
        " python manage.py payments release-refunds."
    )
    with database.transaction() as session:
        session.merge(restore).refunds_released_at = NOW
    assert codes(make_exam(live), "refunds") == ["ok"]
