"""Whether the process is alive, and whether it can do its work."""

import marshmallow as ma
import structlog
from flask import Response, current_app
from sqlalchemy.exc import SQLAlchemyError

from app import schema_migrations
from app.context import current_work
from app.controllers.blueprint import Blueprint
from app.db import current_database
from app.errors import Unavailable
from app.ports import FileStore, FileStoreError
from app.schemas.base import Schema
from app.security import public
from app.utils.draining import is_draining
from app.utils.json_provider import json_response
from app.utils.lookout import Lookout

health = Blueprint("health", __name__, description="For load balancers and people on call.")
log = structlog.get_logger(__name__)
_RETRY_SECONDS = 5
_LOOK_SECONDS = 1.0
_LOOKOUT = "sokoni_lookout"


class HealthSchema(Schema):
    status = ma.fields.String(required=True, metadata={"example": "ok"})


@health.get("/healthz")
@public
@health.response(200, HealthSchema)
def alive() -> Response:
    """The process answers. It asks nobody else, the database least of all."""
    return json_response({"status": "ok"})


@health.get("/readyz")
@public
@health.response(200, HealthSchema)
def ready() -> Response:
    """The database answers, has the shape that this code expects, and can be written; so can the
    store of pictures. Looked for once a second at the most.

    A 503 names what is not ready, and nothing beyond that: also a server that is about to stop.
    """
    missing = "stopping" if is_draining() else _lookout().see()
    if missing is not None:
        raise Unavailable(
            f"Not ready: {missing}.",
            code="not_ready",
            retry_after_seconds=_RETRY_SECONDS,
            not_ready=missing,
        )
    return json_response({"status": "ready"})


def _lookout() -> Lookout[str | None]:
    """Anybody may ask, nobody who asks is sent away, and a look takes a connection of the shop's
    and a question to the store of pictures: a crowd that asks must not take them from buyers.
    """
    lookout: Lookout[str | None] = current_app.extensions.setdefault(
        _LOOKOUT, Lookout(_first_missing, _LOOK_SECONDS)
    )
    return lookout


def _first_missing() -> str | None:
    database = current_database()
    try:
        migrated = schema_migrations.is_current(database)
    except SQLAlchemyError as error:
        log.warning("database_not_ready", error=str(error)[:300])
        return "database"
    if not migrated:
        return "migrations"
    return None if database.can_be_written() and _answers(current_work().ports.files) else "storage"


def _answers(files: FileStore) -> bool:
    try:
        files.check()
    except FileStoreError as error:
        log.warning("file_store_not_ready", error=str(error))
        return False
    return True
