"""Heartbeats of workers, probes of the doctor: rows that cost little and go away again."""

import pytest
from sqlalchemy import select

from app.models import DoctorProbe, WorkerHeartbeat
from app.services.heartbeats import forget_old_heartbeats, list_heartbeats, note_sweep
from app.services.probes import (
    Arrival,
    delete_old_probes,
    delete_probe,
    find_arrival,
    is_probe,
    note_arrival,
    record_probe,
)
from app.utils.callback_secret import CallbackSecret
from tests.core import SECRET, after, snapshot
from tests.factories import NOW

ARRIVAL = Arrival("102.22.1.9", "198.51.100.77, 102.22.1.9", "a" * 64)
OTHER = CallbackSecret("another-secret-than-the-one-of-the-tests")


def test_a_host_has_one_row_however_many_workers_sweep_on_it(session):
    note_sweep(session, "duka-1", NOW)
    note_sweep(session, "duka-2", after(seconds=5))
    note_sweep(session, "duka-1", after(seconds=9))
    assert [(beat.host, beat.swept_at) for beat in list_heartbeats(session)] == [
        ("duka-1", after(seconds=9)),
        ("duka-2", after(seconds=5)),
    ]
    note_sweep(session, "h" * 300, NOW)
    note_sweep(session, "h" * 300, after(seconds=1))
    assert [len(beat.host) for beat in list_heartbeats(session)] == [6, 6, 255]


def test_machines_that_are_gone_are_forgotten_after_a_week(session):
    note_sweep(session, "gone", after(days=-7, seconds=-1))
    note_sweep(session, "away", after(days=-7))
    forget_old_heartbeats(session, NOW)
    assert session.scalars(select(WorkerHeartbeat.host)).all() == ["away"]


def test_a_probe_is_filled_in_by_who_knows_its_secret(session):
    probe = record_probe(session, SECRET, NOW)
    assert find_arrival(session, SECRET) is None
    assert is_probe(session, SECRET, after(seconds=1)) is True
    note_arrival(session, SECRET, ARRIVAL, after(seconds=2))
    session.expire_all()
    assert find_arrival(session, SECRET) == ARRIVAL
    assert (probe.heard_at, probe.secret_hash) == (after(seconds=2), SECRET.hash)
    again = Arrival("196.201.214.200", None, "b" * 64)
    note_arrival(session, SECRET, again, after(seconds=3))
    session.expire_all()
    assert find_arrival(session, SECRET) == again
    delete_probe(session, probe.id)
    assert (find_arrival(session, SECRET), is_probe(session, SECRET, NOW)) == (None, False)


def test_another_secret_is_no_probe_and_changes_nothing(session):
    record_probe(session, SECRET, NOW)
    before = snapshot(session)
    assert is_probe(session, OTHER, NOW) is False
    note_arrival(session, OTHER, ARRIVAL, NOW)
    assert (find_arrival(session, OTHER), snapshot(session)) == (None, before)


def test_a_probe_lives_a_quarter_of_an_hour(session):
    record_probe(session, SECRET, NOW)
    assert is_probe(session, SECRET, after(minutes=14, seconds=59)) is True
    assert is_probe(session, SECRET, after(minutes=15)) is False
    record_probe(session, OTHER, after(seconds=1))
    delete_old_probes(session, after(minutes=15))
    assert session.scalars(select(DoctorProbe.secret_hash)).all() == [OTHER.hash]


@pytest.mark.parametrize(("header", "kept"), [("", None), ("x" * 400, "x" * 300)])
def test_a_header_is_kept_as_far_as_there_is_room(session, header, kept):
    record_probe(session, SECRET, NOW)
    note_arrival(session, SECRET, Arrival(None, header, "a" * 64), after(seconds=1))
    assert session.scalar(select(DoctorProbe.forwarded_for)) == kept
