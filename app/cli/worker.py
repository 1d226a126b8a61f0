"""The worker: jobs when the doorbell rings, and the sweep on its own clock."""

import click

from app.cli.context import load_config, opened_work, start_logging
from app.traces import start_tracing


@click.command
def command() -> None:
    """Do background work until stopped by SIGTERM or SIGINT. Any number may run."""
    from app.jobs.queue import run_worker

    tracing = start_tracing(load_config())
    with opened_work(tracing) as work:
        start_logging(work.config, work.config.log_level)
        run_worker(work, tracing.around_job if tracing else None)
