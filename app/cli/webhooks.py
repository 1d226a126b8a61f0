"""Webhooks: who is told, and telling again."""

from datetime import UTC, datetime

import click

from app.cli import BadInput
from app.cli.context import opened_database, opened_work
from app.models import WebhookEndpoint
from app.services.pages import MAX_LIMIT, PageRequest
from app.services.webhooks.endpoints import list_endpoints
from app.services.webhooks.replay import replay_delivery, replay_since
from app.utils.clock import rfc3339


@click.group
def command() -> None:
    """List the addresses that are told what happens; send them again what they missed."""


@command.command("list")
def list_them() -> None:
    """List every webhook with what it is sent and how it stands."""
    with opened_database() as database, database.reading() as session:
        found = list_endpoints(session, PageRequest(limit=MAX_LIMIT)).rows
    for endpoint in found:
        types = "everything" if endpoint.event_types is None else ", ".join(endpoint.event_types)
        click.echo(f"{endpoint.id}  {_state_of(endpoint)}  {endpoint.url}  {types}")
    if not found:
        click.echo("There are no webhooks.")


@command.command
@click.argument("webhook_id", type=int)
@click.option("--delivery", "delivery_id", type=int, help="Send this one alone.")
@click.option("--since", help="Send what did not arrive since then, like 2026-11-22T09:30:00Z.")
@click.option("--include-delivered", is_flag=True, help="With --since: also what did arrive.")
def replay(
    webhook_id: int, delivery_id: int | None, since: str | None, *, include_delivered: bool
) -> None:
    """Send WEBHOOK_ID again one delivery, or everything since a moment. The worker sends it."""
    if (delivery_id is None) == (since is None):
        raise BadInput("Say either --delivery or --since.")
    moment = _moment_of(since) if since is not None else None
    with opened_work() as work, work.database.transaction() as session:
        if moment is None:
            replay_delivery(session, webhook_id, delivery_id or 0, work.now())
            count = 1
        else:
            count = replay_since(
                session, webhook_id, moment, work.now(), include_delivered=include_delivered
            )
    click.echo(f"On their way: {count}.")


def _state_of(endpoint: WebhookEndpoint) -> str:
    if endpoint.disabled_at is not None:
        return f"disabled ({endpoint.disabled_reason}) since {rfc3339(endpoint.disabled_at)}"
    if endpoint.failing_since is not None:
        return f"failing since {rfc3339(endpoint.failing_since)}"
    return "enabled"


def _moment_of(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput("Write the moment like 2026-11-22T09:30:00Z.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
