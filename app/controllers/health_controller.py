"""Whether the process is alive, and whether it can do its work."""

import flask
from flask import Response

from app import schema_migrations
from app.db import current_database
from app.errors import Unavailable
from app.security import public
from app.utils.json_provider import json_response

health = flask.Blueprint("health", __name__)


@health.get("/healthz")
@public
def alive() -> Response:
    """The process answers. It asks nobody else, the database least of all."""
    return json_response({"status": "ok"})


@health.get("/readyz")
@public
def ready() -> Response:
    """The database answers and has the shape that this code expects."""
    try:
        migrated = schema_migrations.is_current(current_database())
    except Exception as error:
        raise Unavailable("Not ready: database.", code="not_ready") from error
    if not migrated:
        raise Unavailable("Not ready: migrations.", code="not_ready")
    return json_response({"status": "ready"})
