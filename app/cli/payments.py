"""Payments: what became of them."""

import click

from app.cli.context import opened_work
from app.cli.statements import import_file, pull, register_pull, report
from app.jobs.check_payment import check_payment
from app.jobs.work import Work
from app.models import InboxMessage, Payment
from app.services.payment_history import make_checks_due, read_payment_history
from app.utils.clock import rfc3339
from app.utils.money import cents_to_wire
from app.utils.phone import mask_msisdn


@click.group
def command() -> None:
    """Ask Safaricom about payments; read its books; show all that is known of one payment."""


for _statement_command in (import_file, pull, register_pull, report):
    command.add_command(_statement_command)


@command.command
@click.argument("payment_id", type=int, required=False)
def reconcile(payment_id: int | None) -> None:
    """Ask Safaricom now about every open payment, or about PAYMENT_ID alone."""
    with opened_work() as work:
        if payment_id is not None:
            _state_of(work, payment_id)  # there is one, or the command ends here
        with work.database.transaction() as session:
            due = make_checks_due(session, work.now(), payment_id)
        for found in due:
            before = _state_of(work, found)
            check_payment(work, found)
            after = _state_of(work, found)
            news = "no news" if before == after else f"{before} -> {after}"
            click.echo(f"payment {found}: {news}")
        click.echo(f"Asked about {len(due)} open payments.")


@command.command
@click.argument("payment_id", type=int)
def show(payment_id: int) -> None:
    """Show PAYMENT_ID with its order, every step it took, and what Safaricom posted."""
    with opened_work() as work, work.database.reading() as session:
        history = read_payment_history(session, payment_id)
    payment, order = history.payment, history.order
    click.echo(f"payment {payment.id}: {payment.status}")
    for name, value in _facts(payment):
        if value is not None:
            click.echo(f"  {name:<20} {value}")
    total = cents_to_wire(order.total_cents)
    click.echo(f"order {order.number} (id {order.id}): {order.status}, KES {total}")
    for event in history.events:
        step = f"{event.from_status or '-'} -> {event.to_status}"
        detail = f": {event.detail}" if event.detail else ""
        click.echo(f"  {rfc3339(event.created_at)}  {step:<24} by {event.source}{detail}")
    for message in history.messages:
        click.echo(f"  {_message_line(message)}")


def _facts(payment: Payment) -> list[tuple[str, object]]:
    return [
        ("amount", f"KES {cents_to_wire(payment.amount_cents)}"),
        ("phone", mask_msisdn(payment.msisdn)),
        ("receipt", payment.mpesa_receipt),
        ("amount verified", payment.amount_verified),
        ("merchant request", payment.merchant_request_id),
        ("checkout request", payment.checkout_request_id),
        ("result", payment.result_code),
        ("result text", payment.result_desc),
        ("waits for a person", payment.review_reason),
        ("made", rfc3339(payment.created_at)),
        ("next check", rfc3339(payment.next_check_at) if payment.next_check_at else None),
        ("finished", rfc3339(payment.finished_at) if payment.finished_at else None),
    ]


def _message_line(message: InboxMessage) -> str:
    received = rfc3339(message.received_at)
    sender = message.remote_addr or "an unknown address"
    what = f"{message.source} of {len(message.body)} bytes from {sender}"
    return f"{received}  inbox {message.id}: {what}: {message.outcome or 'not processed yet'}"


def _state_of(work: Work, payment_id: int) -> str:
    """Raises NotFound."""
    with work.database.reading() as session:
        return read_payment_history(session, payment_id).payment.status
