"""What a view may ask of the app that it runs in."""

from dataclasses import replace
from datetime import datetime

from flask import current_app

from app.config import Config
from app.db import current_database
from app.jobs.work import Work
from app.services.kept_catalogue import KeptCatalogue

WORK = "sokoni_work"
CATALOGUE = "sokoni_catalogue"
GATE = "sokoni_gate"
METER = "sokoni_meter"
TRACING = "sokoni_tracing"


def current_work() -> Work:
    """What jobs are given: the app's own database, ports and settings."""
    work: Work = current_app.extensions[WORK]
    return replace(work, database=current_database())


def current_config() -> Config:
    work: Work = current_app.extensions[WORK]
    return work.config


def current_catalogue() -> KeptCatalogue:
    """The answers that this process keeps of its catalogue."""
    kept: KeptCatalogue = current_app.extensions[CATALOGUE]
    return kept


def now() -> datetime:
    """The present moment by the app's clock: aware, UTC."""
    work: Work = current_app.extensions[WORK]
    return work.now()
