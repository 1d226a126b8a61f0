"""Views for tests of the edge: each does one thing, and counts what it did in a real table."""

import flask
import marshmallow as ma
from sqlalchemy import select

from app.context import now
from app.controllers.blueprint import Blueprint
from app.controllers.idempotency import Answer, run_in_phases, run_once
from app.errors import BadGateway, Conflict, Unavailable
from app.models import Category
from app.schemas.base import (
    Money,
    Phone,
    PlainText,
    Schema,
    StrictBoolean,
    StrictInteger,
    Timestamp,
)
from app.security import public, require_user
from app.utils.json_provider import json_response


class LineSchema(Schema):
    quantity = StrictInteger(required=True)


class ProbeSchema(Schema):
    count = StrictInteger()
    flag = StrictBoolean()
    price = Money()
    phone = Phone()
    at = Timestamp()
    name = PlainText(max=10, min=1)
    text = PlainText(max=20, multiline=True)
    products = ma.fields.List(ma.fields.Nested(LineSchema))


class QuerySchema(Schema):
    word = ma.fields.String(load_default=None)


def add_probe(app: flask.Flask) -> None:  # noqa: C901 - many views, each of two lines
    """Give an app, before its first request, the views that these tests call."""
    probe = Blueprint("probe", "probe")

    @probe.post("/probe")
    @public
    @probe.arguments(ProbeSchema)
    def read_body(body):
        return json_response({"read": {name: str(value) for name, value in body.items()}})

    @probe.get("/probe")
    @public
    @probe.arguments(QuerySchema, location="query")
    def read_query(query):
        return json_response(query)

    @probe.get("/probe/bug")
    @public
    def fail():
        raise ZeroDivisionError("secret detail 254712345678")

    @probe.post("/probe/once")
    @require_user
    def once():
        return run_once(lambda session: _make(session, "Once"))

    @probe.post("/probe/once/<int:number>")
    @require_user
    def once_with_number(number):
        return run_once(lambda session: _make(session, f"Number {number}"))

    @probe.post("/orders/probe")
    @require_user
    def once_aliased():
        return run_once(lambda session: _make(session, "Aliased"))

    @probe.post("/probe/refused")
    @require_user
    def refused():
        def work(session):
            _make(session, "Refused")
            raise Conflict("Not now.", code="not_now")

        return run_once(work)

    @probe.post("/probe/phases")
    @require_user
    def phases():
        calls = app.extensions["probe_calls"]

        def begin(session):
            return _make(session, "Phases").body["id"]

        def work(row_id):
            calls.append(row_id)
            if app.extensions.get("probe_fault"):
                raise app.extensions["probe_fault"]

        def answer(session, row_id):
            return Answer(202, {"id": row_id}, f"/api/probe/{row_id}")

        return run_in_phases(begin, work, answer)

    @probe.post("/probe/gateway")
    @public
    def gateway():
        raise BadGateway("The network refused.", payment_id=7)

    @probe.post("/probe/unavailable")
    @public
    def unavailable():
        raise Unavailable("Later.")

    app.extensions["probe_calls"] = []
    app.register_blueprint(probe, url_prefix="/api")
    app.register_blueprint(probe, name="root_probe", at_root=True)


def _make(session, name):
    category = Category(
        name=name,
        slug=f"{name}-{len(session.scalars(select(Category.id)).all())}",
        created_at=now(),
        updated_at=now(),
    )
    session.add(category)
    session.flush()
    return Answer(201, {"id": category.id, "name": name}, f"/api/probe/{category.id}")


def categories_of(database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(Category.name).order_by(Category.id)))
