"""A worker's sign of life, for whoever asks whether any is at work."""

import socket

from app.jobs.work import Work
from app.services.heartbeats import note_sweep


def note_heartbeat(work: Work) -> None:
    """Say that this machine's worker sweeps now."""
    with work.database.transaction() as session:
        note_sweep(session, socket.gethostname(), work.now())
