"""Webhooks, for admins: which systems are told of what, what was sent to them, what came back."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import marshmallow as ma
from flask import Response
from werkzeug.wrappers import Response as AnyResponse

from app.context import current_config, current_work, now
from app.db import reading, transaction
from app.jobs.rules import call_rules
from app.jobs.webhook_addresses import require_callable
from app.models import DeliveryState, WebhookEndpoint
from app.policies import Role
from app.schemas.base import PlainText, QueryBoolean, QueryInteger, Schema
from app.schemas.webhook import LONGEST_DESCRIPTION
from app.security import current_actor
from app.services.pages import MAX_LIMIT, PageRequest
from app.services.webhooks.deliveries import list_deliveries, read_delivery
from app.services.webhooks.endpoints import (
    EndpointChange,
    NewEndpoint,
    change_endpoint,
    create_endpoint,
    find_endpoint,
    list_endpoints,
    remove_endpoint,
    rotate_secret,
)
from app.services.webhooks.event_types import EventType
from app.services.webhooks.replay import replay_delivery, replay_since, send_test
from app.utils.web_address import LONGEST_ADDRESS
from app.web.fields import StartOfDay
from app.web.language import gettext, mark, ngettext
from app.web.office.blueprint import office
from app.web.office.raw import readable
from app.web.office.words import DELIVERY_WORDS, DISABLED_WORDS, EVENT_WORDS
from app.web.pages import Form, asked_page, asked_word, done, next_address, page, submit
from app.web.visitors import role_page

CHIPS = (
    ("", mark("All")),
    (DeliveryState.PENDING, mark("Waiting")),
    (DeliveryState.DELIVERED, mark("Arrived")),
    (DeliveryState.FAILED, mark("Given up")),
)
ALL, SOME = "all", "some"
_WORDS: dict[str, Any] = {
    "delivery_words": DELIVERY_WORDS,
    "disabled_words": DISABLED_WORDS,
    "event_words": EVENT_WORDS,
}


class _EndpointFields(Schema):
    """An address as people write it down; each type of event is a box to tick."""

    url = PlainText(min=1, max=LONGEST_ADDRESS, required=True)
    description = PlainText(max=LONGEST_DESCRIPTION, load_default="")
    which = ma.fields.String(
        required=True, validate=ma.validate.OneOf([ALL, SOME], error=mark("Choose one of these."))
    )

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> NewEndpoint:
        ticked = tuple(kind for kind in EventType if data[kind.name])
        if data["which"] == SOME and not ticked:
            raise ma.ValidationError(mark("Tick at least one."), "which")
        types = ticked if data["which"] == SOME else None
        return NewEndpoint(data["url"], data["description"], types)


EndpointForm = _EndpointFields.from_dict(
    {kind.name: QueryBoolean(data_key=kind.value, load_default=False) for kind in EventType}
)


class StateForm(Schema):
    enabled = QueryBoolean(required=True)


class SecretForm(Schema):
    """``seen_version``: which secret the page showed; sent again, it is another one by then."""

    seen_version = QueryInteger(required=True)


class ReplayForm(Schema):
    since = StartOfDay(required=True)
    include_delivered = QueryBoolean(load_default=False)


@office.get("/office/webhooks")
@role_page(Role.ADMIN)
def webhooks() -> AnyResponse:
    """Every address that is told what happens."""
    with reading() as session:
        found = list_endpoints(session, PageRequest(limit=MAX_LIMIT)).rows
    return page("office/webhooks.html", endpoints=found, **_WORDS)


@office.get("/office/webhooks/new")
@role_page(Role.ADMIN)
def new_webhook() -> AnyResponse:
    """Where an address is written down."""
    return _new_page(Form({"which": ALL}))


@office.post("/office/webhooks/new")
@role_page(Role.ADMIN)
def add_webhook() -> AnyResponse:
    """Add an address, and show its secret, once."""

    def act(new: NewEndpoint) -> AnyResponse:
        require_callable(current_work(), new.url)
        with transaction() as session:
            rules = call_rules(current_config())
            endpoint = create_endpoint(session, current_actor(), new, rules, now())
        return _secret_page(endpoint)

    return submit(EndpointForm(), act, lambda form: _new_page(form).get_data(as_text=True))


@office.get("/office/webhooks/<id:webhook_id>")
@role_page(Role.ADMIN)
def webhook(webhook_id: int) -> AnyResponse:
    """One address, what was sent there, and what can be done with it."""
    return _webhook_page(webhook_id)


@office.post("/office/webhooks/<id:webhook_id>")
@role_page(Role.ADMIN)
def save_webhook(webhook_id: int) -> AnyResponse:
    """Another address, other types, other words."""

    def act(wanted: NewEndpoint) -> AnyResponse:
        require_callable(current_work(), wanted.url)
        change = EndpointChange(wanted.url, wanted.description, wanted.event_types)
        return _change(webhook_id, change, gettext("The webhook is saved."))

    return submit(EndpointForm(), act, partial(_again, webhook_id))


@office.post("/office/webhooks/<id:webhook_id>/state")
@role_page(Role.ADMIN)
def switch_webhook(webhook_id: int) -> AnyResponse:
    """Send nothing there any more, or go on."""

    def act(data: dict[str, Any]) -> AnyResponse:
        message = gettext("Nothing is sent there any more. What happens is kept.")
        if data["enabled"]:
            message = gettext("It is enabled. Send it what it missed, if it is to have that.")
        return _change(webhook_id, EndpointChange(enabled=data["enabled"]), message)

    return submit(StateForm(), act, partial(_again, webhook_id))


@office.post("/office/webhooks/<id:webhook_id>/secret")
@role_page(Role.ADMIN)
def change_secret(webhook_id: int) -> AnyResponse:
    """Make a new secret, and show it, once."""

    def act(data: dict[str, Any]) -> AnyResponse:
        with transaction() as session:
            endpoint = rotate_secret(session, webhook_id, now(), **data)
        return _secret_page(endpoint)

    return submit(SecretForm(), act, partial(_again, webhook_id))


@office.post("/office/webhooks/<id:webhook_id>/test")
@role_page(Role.ADMIN)
def test_webhook(webhook_id: int) -> AnyResponse:
    """Send a test there."""

    def act(_nothing: dict[str, Any]) -> AnyResponse:
        with transaction() as session:
            send_test(session, current_actor(), webhook_id, now())
        return _sent(webhook_id, gettext("A test is on its way. Load this page again to see it."))

    return submit(Schema(), act, partial(_again, webhook_id))


@office.post("/office/webhooks/<id:webhook_id>/replay")
@role_page(Role.ADMIN)
def replay_webhook(webhook_id: int) -> AnyResponse:
    """Send what was missed since a day."""

    def act(data: dict[str, Any]) -> AnyResponse:
        with transaction() as session:
            count = replay_since(session, webhook_id, now=now(), **data)
        message = ngettext(
            "%(num)s event is on its way.", "%(num)s events are on their way.", count
        )
        return _sent(webhook_id, message % {"num": count})

    return submit(ReplayForm(), act, partial(_again, webhook_id))


@office.post("/office/webhooks/<id:webhook_id>/delete")
@role_page(Role.ADMIN)
def remove_webhook(webhook_id: int) -> AnyResponse:
    """Take an address away."""
    with transaction() as session:
        remove_endpoint(session, webhook_id, now())
    return done(gettext("The webhook is removed."), "office.webhooks")


@office.get("/office/webhooks/<id:webhook_id>/deliveries/<id:delivery_id>")
@role_page(Role.ADMIN)
def delivery(webhook_id: int, delivery_id: int) -> AnyResponse:
    """What was sent, and each answer to it."""
    return _delivery_page(webhook_id, delivery_id, Form())


@office.post("/office/webhooks/<id:webhook_id>/deliveries/<id:delivery_id>/replay")
@role_page(Role.ADMIN)
def replay(webhook_id: int, delivery_id: int) -> AnyResponse:
    """Send one again."""

    def act(_nothing: dict[str, Any]) -> AnyResponse:
        with transaction() as session:
            replay_delivery(session, webhook_id, delivery_id, now())
        message = gettext("It is on its way again. Load this page again to see it.")
        return done(message, "office.delivery", webhook_id=webhook_id, delivery_id=delivery_id)

    def again(form: Form) -> str:
        return _delivery_page(webhook_id, delivery_id, form).get_data(as_text=True)

    return submit(Schema(), act, again)


def _change(webhook_id: int, change: EndpointChange, message: str) -> AnyResponse:
    with transaction() as session:
        change_endpoint(session, webhook_id, change, call_rules(current_config()), now())
    return _sent(webhook_id, message)


def _sent(webhook_id: int, message: str) -> AnyResponse:
    return done(message, "office.webhook", webhook_id=webhook_id)


def _again(webhook_id: int, form: Form) -> str:
    return _webhook_page(webhook_id, form).get_data(as_text=True)


def _new_page(form: Form) -> Response:
    return page("office/webhook_new.html", form=form, types=list(EventType), **_WORDS)


def _secret_page(endpoint: WebhookEndpoint) -> Response:
    return page("office/webhook_secret.html", endpoint=endpoint)


def _webhook_page(webhook_id: int, form: Form | None = None) -> Response:
    state = asked_word("state", [state.value for state in DeliveryState])
    with reading() as session:
        endpoint = find_endpoint(session, webhook_id)
        wanted = DeliveryState(state) if state else None
        found = list_deliveries(session, webhook_id, wanted, asked_page())
    values: Mapping[str, Any] = {
        "url": endpoint.url,
        "description": endpoint.description,
        "which": ALL if endpoint.event_types is None else SOME,
        **dict.fromkeys(endpoint.event_types or (), "true"),
    }
    return page(
        "office/webhook.html",
        endpoint=endpoint,
        found=found,
        next=next_address(found.next_cursor),
        form=_with_values(form, values) if form else Form(values),
        shown=Form({"state": state or ""}),
        chips=CHIPS,
        types=list(EventType),
        **_WORDS,
    )


def _with_values(form: Form, values: Mapping[str, Any]) -> Form:
    """What was sent is shown again; the other forms of the page say nothing of the endpoint."""
    if "which" in form.values:
        return form
    return Form({**values, **form.values}, form.errors, form.problem, form.problem_code)


def _delivery_page(webhook_id: int, delivery_id: int, form: Form) -> Response:
    with reading() as session:
        endpoint = find_endpoint(session, webhook_id)
        file = read_delivery(session, webhook_id, delivery_id)
    return page(
        "office/webhook_delivery.html",
        endpoint=endpoint,
        file=file,
        form=form,
        body=readable(file.delivery.event.payload.encode()),
        **_WORDS,
    )
