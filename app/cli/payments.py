"""Payments: what became of them, and giving them back."""

import click
import marshmallow as ma
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.cli import Failure
from app.cli.context import opened_work
from app.cli.release_refunds import release
from app.cli.statements import import_file, pull, register_pull, report
from app.integrations.mpesa import MpesaAlreadyRegistered
from app.jobs.check_payment import check_payment
from app.jobs.refunds import send_refund
from app.jobs.register_c2b import c2b_addresses, register_c2b
from app.jobs.rules import refund_rules
from app.jobs.work import Work
from app.models import InboxMessage, Payment, Refund, RefundKind, RefundState, User
from app.policies import Actor, Role
from app.ports import GatewayError
from app.schemas.base import Money
from app.services.payment_history import make_checks_due, read_payment_history
from app.services.refunds import (
    RefundRequest,
    record_by_hand,
    refunds_of_receipts,
    request_refund,
)
from app.utils.clock import rfc3339
from app.utils.identity import email_key, username_key
from app.utils.money import cents_to_wire
from app.utils.phone import mask_msisdn


@click.group
def command() -> None:
    """Ask Safaricom about payments, read its books, say where to report, give money back."""


for _book_command in (import_file, pull, register_pull, release, report):
    command.add_command(_book_command)


class Shillings(click.ParamType[int]):
    """An amount as people write it; inside, whole cents."""

    name = "shillings"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        try:
            return int(Money(minimum_cents=1).deserialize(value))
        except ma.ValidationError as error:
            self.fail(str(error.messages[0]), param, ctx)


@command.command
@click.argument("payment_id", type=int)
@click.option("--reason", required=True, help="Why; the other admins and the books keep it.")
@click.option("--amount", "cents", type=Shillings(), help="How much; all that is left by default.")
@click.option("--by-hand", "receipt", help="It was done in M-Pesa's portal, with this receipt.")
@click.option("--restock", is_flag=True, help="The goods go back on the shelf.")
@click.option("--as", "name", help="In whose name: an admin's; needed where there are several.")
def refund(
    payment_id: int,
    reason: str,
    cents: int | None,
    receipt: str | None,
    *,
    restock: bool,
    name: str | None,
) -> None:
    """Give PAYMENT_ID back, whole or in part.

    Above REFUND_APPROVAL_ABOVE_SHILLINGS it then waits for another admin, in the office.
    """
    method = RefundKind.BY_HAND if receipt is not None else None
    ask = RefundRequest(reason, cents, method, restock)
    with opened_work() as work:
        with work.database.transaction() as session:
            admin = _find_admin(session, name)
            rules = refund_rules(work.config)
            made = request_refund(session, admin, payment_id, ask, rules, work.now())
            if receipt is not None and made.state == RefundState.CREATED:
                record_by_hand(session, admin, made.id, receipt, work.now())
        refusal = send_refund(work, made.id)
        if refusal is not None:
            raise Failure(f"Refund {made.id} failed, nothing went back: {refusal.message}")
        with work.database.reading() as session:
            made = session.get_one(Refund, made.id)
    click.echo(_refund_line(made))
    if made.state == RefundState.AWAITING_APPROVAL:
        click.echo("Another admin has to approve it: see the office.")


def _find_admin(session: Session, name: str | None) -> Actor:
    """Who gives the money back: the one admin that there is, or the one that is named."""
    admins = session.scalars(
        select(User).where(User.role == Role.ADMIN, User.suspended_at.is_(None)).order_by(User.id)
    ).all()
    if name is not None:
        named = (username_key(name), email_key(name))
        admins = [one for one in admins if one.username_key in named or one.email_key in named]
        if not admins:
            raise Failure(f"There is no admin {name}.")
    if len(admins) != 1:
        raise Failure("Say in whose name, with --as: there are several admins, or none.")
    return Actor(admins[0].id, Role.ADMIN, admins[0].username)


def _refund_line(refund: Refund) -> str:
    amount = f"KES {cents_to_wire(refund.amount_cents)}"
    done = f" as {refund.refund_receipt}" if refund.refund_receipt else ""
    return f"refund {refund.id}: {refund.state}, {amount} by {refund.kind}{done}: {refund.reason}"


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
    """Show PAYMENT_ID with its order, its refunds, every step, and what Safaricom posted."""
    with opened_work() as work, work.database.reading() as session:
        history = read_payment_history(session, payment_id)
        refunds = refunds_of_receipts(session, [history.payment.mpesa_receipt or ""])
    payment, order = history.payment, history.order
    click.echo(f"payment {payment.id}: {payment.status}")
    for name, value in _facts(payment):
        if value is not None:
            click.echo(f"  {name:<20} {value}")
    total = cents_to_wire(order.total_cents)
    click.echo(f"order {order.number} (id {order.id}): {order.status}, KES {total}")
    for one in refunds:
        click.echo(_refund_line(one))
    for event in history.events:
        step = f"{event.from_status or '-'} -> {event.to_status}"
        detail = f": {event.detail}" if event.detail else ""
        click.echo(f"  {rfc3339(event.created_at)}  {step:<24} by {event.source}{detail}")
    for message in history.messages:
        click.echo(f"  {_message_line(message)}")


@command.command("register-urls")
@click.option(
    "--cancel-when-unreachable",
    is_flag=True,
    help="Have M-Pesa refuse a payment when the shop does not answer its question in time."
    " Without this it is taken, and the shop finds its order.",
)
def register_urls(*, cancel_when_unreachable: bool) -> None:
    """Tell Safaricom where to report payments that customers start in their M-Pesa menu.

    In production this works once for a shortcode.
    """
    with opened_work() as work:
        number = work.config.mpesa_c2b_shortcode
        confirmation, validation = c2b_addresses(work.config).shown
        click.echo(f"Payments to {number} are to be reported to")
        click.echo(f"  {confirmation}\nand asked about before at\n  {validation}")
        try:
            register_c2b(work, cancel_when_unreachable=cancel_when_unreachable)
        except MpesaAlreadyRegistered as error:
            raise Failure(
                f"Safaricom has addresses for {number} already, and takes others only after these"
                " were deleted in its developer portal (Self Service > URL Management). If they"
                " are the ones above, all is well."
            ) from error
        except GatewayError as error:
            code = f" ({error.code})" if error.code else ""
            raise Failure(f"Safaricom did not take them: {error.message}{code}") from error
    click.echo("Registered.")


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
