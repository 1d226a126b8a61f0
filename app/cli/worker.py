"""The worker: jobs when the doorbell rings, and the sweep on its own clock."""

import click

from app.cli.context import opened_work, start_logging


@click.command
def command() -> None:
    """Do background work until stopped by SIGTERM or SIGINT. Any number may run."""
    from app.jobs.queue import run_worker

    with opened_work() as work:
        start_logging(work.config, work.config.log_level)
        run_worker(work)
