"""Doing a thing once, however often it is asked for.

A client that saw no answer sends the request again with the same ``Idempotency-Key``. The key is
claimed by an insert in the transaction of the effect itself: neither exists without the other, and
a twin that comes at the same time waits at the unique key (on SQLite at the write lock) and is
then given the first answer, byte for byte.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import Response, request
from sqlalchemy import BigInteger, bindparam, delete, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.asking import Prepared
from app.context import now
from app.db import transaction
from app.errors import Conflict, InvalidInput, Unprocessable
from app.models import IdempotencyKey
from app.models.base import Moment, table_of
from app.security import current_actor
from app.utils.gate import aside
from app.utils.json_provider import to_json
from app.utils.strict_json import JsonFault, parse_json

HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotent-Replayed"
KEPT_FOR = timedelta(hours=24)
LEASE = timedelta(seconds=60)
"""How long work of two transactions may take before another request may finish it."""

_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_LOCK_TIMEOUT = "55P03"
_RETRY_SECONDS = 2

_KEYS = table_of(IdempotencyKey).c
_NOW = bindparam("now", type_=Moment)
_CLAIMED = {
    **{name: bindparam(name) for name in ("user_id", "route", "key", "request_hash", "expires_at")},
    "created_at": _NOW,
}
_NO_ANSWER = {"resource_id": None, "status": None, "body": None, "location": None}
_CLAIM = Prepared(
    lambda into: (
        (row := into(table_of(IdempotencyKey)).values(_CLAIMED))
        .on_conflict_do_update(
            index_elements=["user_id", "route", "key"],
            set_={
                **{name: row.excluded[name] for name in ("request_hash", "created_at")},
                "expires_at": row.excluded.expires_at,
                **_NO_ANSWER,
            },
            where=_KEYS.expires_at <= _NOW,
        )
        .returning(_KEYS.id)
    )
)
_KEEP = Prepared(
    update(table_of(IdempotencyKey))
    .where(_KEYS.id == bindparam("key_id", type_=BigInteger), _KEYS.status.is_(None))
    .values(
        status=bindparam("answer_status"),
        body=bindparam("answer_body"),
        location=bindparam("answer_location"),
    )
    .returning(_KEYS.id)
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered with, and is answered with again.

    ``last`` is done when all else is: others wait from there to the end of the transaction.
    """

    status: int
    body: dict[str, Any]
    location: str | None = None
    last: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """The answer that was given under this key before."""

    status: int
    body: str
    location: str | None

    def response(self) -> Response:
        response = _response(self.status, self.body.encode(), self.location)
        response.headers[REPLAYED_HEADER] = "true"
        return response


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to do the work of one key; ``id`` is None when the request carries no key.

    ``resource_id`` is set when an earlier request began the work and died: finish that one.
    """

    id: int | None
    resource_id: int | None = None


def run_once(handler: Callable[[Session], Answer]) -> Response:
    """Run ``handler`` in one transaction, once for each key of a user and route.

    An AppError leaves nothing behind, the key included, so the request may be mended and sent
    again under the same key.
    """
    with transaction() as session:
        held = claim(session)
        if isinstance(held, Replay):
            return held.response()
        answer = handler(session)
        response = finish(session, held, answer)
        if answer.last is not None:
            answer.last()
        return response


def run_in_phases(
    begin: Callable[[Session], int],
    work: Callable[[int], None],
    answer: Callable[[Session, int], Answer],
) -> Response:
    """For work with the network in its middle: begin (a transaction), work, answer (another).

    ``begin`` puts a row on record and gives its id; ``work`` does what no transaction may hold
    open; ``answer`` says what became of the row. If the process dies on the way, a request with
    the same key is told 409 until the lease ends, and from then on gets ``answer`` alone: what
    ``begin`` recorded is never done twice. When ``work`` raises, the key is free again.
    """
    with transaction() as session:
        held = claim(session)
        if isinstance(held, Replay):
            return held.response()
        resource_id = held.resource_id
        if resource_id is None:
            resource_id = begin(session)
            remember(session, held, resource_id)
            is_new = True
        else:
            is_new = False
    if is_new:
        try:
            with aside():
                work(resource_id)
        except BaseException:
            with transaction() as session:
                release(session, held)
            raise
    with transaction() as session:
        return finish(session, held, answer(session, resource_id))


def claim(session: Session) -> Claim | Replay:
    """Claim this request's key in the caller's transaction.

    Raises InvalidInput for a malformed key, Unprocessable for one that was used for another
    request, Conflict while its first request is still under way.
    """
    key = _key_of_request()
    if key is None:
        return Claim(None)
    moment = now()
    values = {
        "user_id": current_actor().user_id,
        "route": _route(),
        "key": key,
    }
    request_hash = _request_hash()
    row_id = _insert(
        session,
        {
            **values,
            "request_hash": request_hash,
            "now": moment,
            "expires_at": moment + KEPT_FOR,
        },
    )
    if row_id is not None:
        return Claim(row_id)
    mine = [getattr(IdempotencyKey, name) == value for name, value in values.items()]
    # A change of another transaction is locked out until ours ends: a lease is taken over once.
    row = session.scalars(select(IdempotencyKey).where(*mine).with_for_update()).one_or_none()
    if row is None:  # the first request was refused just now, and gave the key up
        raise _in_progress()
    return _read(session, row, request_hash)


def remember(session: Session, held: Claim, resource_id: int) -> None:
    """Say which row the work of a claim is about, so that another request can finish it."""
    if held.id is not None:
        session.execute(
            update(IdempotencyKey)
            .where(IdempotencyKey.id == held.id)
            .values(resource_id=resource_id)
        )


def release(session: Session, held: Claim) -> None:
    """Give a claim up: errors are not kept."""
    if held.id is not None:
        session.execute(
            delete(IdempotencyKey).where(
                IdempotencyKey.id == held.id, IdempotencyKey.status.is_(None)
            )
        )


def finish(session: Session, held: Claim, answer: Answer) -> Response:
    """Keep the answer under the claim, in the caller's transaction, and make it a response.

    Whoever took the work over after the lease may have answered first: then theirs is the answer.
    """
    body = to_json(answer.body)
    if held.id is not None:
        kept = _KEEP.rows(
            session,
            key_id=held.id,
            answer_status=answer.status,
            answer_body=body.decode(),
            answer_location=answer.location,
        )
        row = None if kept else session.get(IdempotencyKey, held.id)
        if row is not None and row.status is not None and row.body is not None:
            return Replay(row.status, row.body, row.location).response()
    return _response(answer.status, body, answer.location)


def _insert(session: Session, values: dict[str, Any]) -> int | None:
    """The row's id, or None if the key is there already. One whose time is over is made anew."""
    try:
        for (row_id,) in _CLAIM.rows(session, **values):
            return int(row_id)
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) == _LOCK_TIMEOUT:
            raise _in_progress() from None
        raise
    return None


def _read(session: Session, row: IdempotencyKey, request_hash: str) -> Claim | Replay:
    if row.request_hash != request_hash:
        raise Unprocessable(
            "This Idempotency-Key was used for another request. Take a new key for a new request."
        )
    if row.status is not None and row.body is not None:
        return Replay(row.status, row.body, row.location)
    if now() < row.created_at + LEASE:
        raise _in_progress()
    row.created_at = now()  # the lease begins anew for whoever finishes the work
    session.flush()
    return Claim(row.id, row.resource_id)


def _in_progress() -> Conflict:
    return Conflict(
        "The first request with this Idempotency-Key is still under way. Ask again in a moment.",
        code="idempotency_in_progress",
        retry_after_seconds=_RETRY_SECONDS,
    )


def _key_of_request() -> str | None:
    key = request.headers.get(HEADER)
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidInput.field(HEADER, "Must be 1 to 255 printable ASCII characters.")
    return key


def _route() -> str:
    """The method and the route's template, the same under each of the route's names."""
    template = request.url_rule.rule if request.url_rule else request.path
    if not template.startswith("/api/"):
        template = f"/api{template}"
    return f"{request.method} {template}".replace(" /api/products", " /api/items")


def _request_hash() -> str:
    body = request.get_data(cache=True)
    try:
        canonical = json.dumps(parse_json(body), sort_keys=True, default=str).encode()
    except JsonFault:
        canonical = body
    arguments = json.dumps(request.view_args or {}, sort_keys=True, default=str).encode()
    return hashlib.sha256(b"\0".join([_route().encode(), arguments, canonical])).hexdigest()


def _response(status: int, body: bytes, location: str | None) -> Response:
    response = Response(body, status, mimetype="application/json")
    if location is not None:
        response.headers["Location"] = location
    return response
