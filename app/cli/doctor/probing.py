"""A message of the doctor's own: on record before it is sent, looked for after, then taken away."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.cli.doctor.exam import Exam
from app.services.probes import (
    PROBE_ID,
    Arrival,
    delete_probe,
    find_arrival,
    record_probe,
)
from app.utils.callback_secret import CallbackSecret, callback_token

CALLBACK_PATH = "/api/pay/cb/"


@dataclass(frozen=True, slots=True)
class Probe:
    url: str
    secret: CallbackSecret


@contextmanager
def made_probe(exam: Exam) -> Iterator[Probe]:
    """An address at which the web server writes down how a message arrives."""
    secret = CallbackSecret.new()
    database = exam.work.database
    with database.transaction() as session:
        probe_id = record_probe(session, secret, exam.work.now()).id
    try:
        token = callback_token(PROBE_ID, secret)
        yield Probe(f"{exam.config.public_url}{CALLBACK_PATH}{token}", secret)
    finally:
        with database.transaction() as session:
            delete_probe(session, probe_id)


def look_for(exam: Exam, probe: Probe) -> Arrival | None:
    """How the probe arrived, if it did."""
    with exam.work.database.reading() as session:
        return find_arrival(session, probe.secret)
