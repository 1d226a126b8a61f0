"""What a view may ask of the app that it runs in."""

from dataclasses import replace
from datetime import datetime

from flask import current_app

from app.config import Config
from app.db import current_database
from app.jobs.work import Work

WORK = "sokoni_work"
GATE = "sokoni_gate"
METER = "sokoni_meter"


def current_work() -> Work:
    """What jobs are given: the app's own database, ports and settings."""
    work: Work = current_app.extensions[WORK]
    return replace(work, database=current_database())


def current_config() -> Config:
    work: Work = current_app.extensions[WORK]
    return work.config


def now() -> datetime:
    """The present moment by the app's clock: aware, UTC."""
    work: Work = current_app.extensions[WORK]
    return work.now()
