"""Messages that the doctor sends to our own address, to see how they arrive."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.models import DoctorProbe
from app.utils.callback_secret import CallbackSecret

PROBE_ID = 0
"""Stands in a callback's address where a payment's id does; payments begin with 1."""

_LIFE = timedelta(minutes=15)
_LONGEST_HEADER = 300


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as it arrived: who was taken for its sender, by which header, and its body."""

    remote_addr: str | None
    forwarded_for: str | None
    body_hash: str


def record_probe(session: Session, secret: CallbackSecret, now: datetime) -> DoctorProbe:
    """Put a probe on record; send nothing."""
    probe = DoctorProbe(secret_hash=secret.hash, made_at=now)
    session.add(probe)
    session.flush()
    return probe


def is_probe(session: Session, secret: CallbackSecret, now: datetime) -> bool:
    """Whether the doctor has made a probe with this secret just now."""
    known = select(DoctorProbe.id).where(
        DoctorProbe.secret_hash == secret.hash, DoctorProbe.made_at > now - _LIFE
    )
    return session.scalar(known) is not None


def note_arrival(session: Session, secret: CallbackSecret, arrival: Arrival, now: datetime) -> None:
    """Write down how the probe arrived; the last arrival counts."""
    session.execute(
        update(DoctorProbe)
        .where(DoctorProbe.secret_hash == secret.hash)
        .values(
            heard_at=now,
            remote_addr=arrival.remote_addr,
            forwarded_for=(arrival.forwarded_for or "")[:_LONGEST_HEADER] or None,
            body_hash=arrival.body_hash,
        )
        .execution_options(synchronize_session=False)
    )


def find_arrival(session: Session, secret: CallbackSecret) -> Arrival | None:
    """How the probe with this secret arrived last; None if it did not."""
    probe = session.scalar(select(DoctorProbe).where(DoctorProbe.secret_hash == secret.hash))
    if probe is None or probe.body_hash is None:
        return None
    return Arrival(probe.remote_addr, probe.forwarded_for, probe.body_hash)


def delete_probe(session: Session, probe_id: int) -> None:
    session.execute(delete(DoctorProbe).where(DoctorProbe.id == probe_id))


def delete_old_probes(session: Session, now: datetime) -> None:
    """What a doctor left behind that was interrupted."""
    session.execute(delete(DoctorProbe).where(DoctorProbe.made_at <= now - _LIFE))
