"""The jobs by name, as the doorbell calls them, and the sweep that finds what no bell announced.

Every job may run twice, or beside itself, and ends as if it had run once.
"""

from collections.abc import Callable, Mapping

from app.jobs.work import Work

Job = Callable[[Work, int], None]

JOBS: Mapping[str, Job] = {}


def sweep(work: Work) -> None:
    """Do all work that is due, whoever should have done it."""
