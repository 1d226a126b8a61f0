"""Letting refunds go again after a restore."""

import click
from sqlalchemy.orm import Session

from app.cli import Failure
from app.cli.context import opened_database
from app.services.restores import Forgotten, find_forgotten, held_restores, release_refunds
from app.services.statements import Numbers, Span
from app.utils.clock import EAT, utc_now
from app.utils.money import cents_to_wire

_MOST_SHOWN = 50


@click.command("release-refunds")
@click.option("--although", help="Why they may go, though not everything is known.")
def release(although: str | None) -> None:
    """Send refunds again after a restore.

    M-Pesa's statement has to be imported for the time that the shop forgot, and each reversal and
    payout on it has to be a refund here; what is not is listed, and the exit code is 1.
    """
    from app.cli.context import load_config
    from app.jobs.rules import mpesa_numbers

    numbers = mpesa_numbers(load_config())
    with opened_database() as database:
        with database.reading() as session:
            is_clear = _show_forgotten(session, numbers)
        if not is_clear and although is None:
            raise Failure(
                "Refunds stay held. Import the statement of that time, and note what went out as"
                " refunds made by hand (payments refund --by-hand, or in the office); or say"
                " --although why they may go."
            )
        with database.transaction() as session:
            waiting = release_refunds(session, numbers, utc_now(), although=although)
    click.echo(f"Refunds are sent again: {waiting} wait for it.")


def _show_forgotten(session: Session, numbers: Numbers) -> bool:
    """Whether nothing is left to be known."""
    found = [find_forgotten(session, restore, numbers) for restore in held_restores(session)]
    for forgotten in found:
        _show(forgotten)
    return all(forgotten.is_clear for forgotten in found)


def _show(forgotten: Forgotten) -> None:
    for gap in forgotten.gaps:
        click.echo(f"No statement was read that covers {_words(gap)}.")
    for line in forgotten.lines[:_MOST_SHOWN]:
        of = f" of {line.linked_receipt}" if line.linked_receipt else ""
        to = f" to {line.other_party}" if line.other_party else ""
        moment = line.transacted_at.astimezone(EAT)
        click.echo(
            f"{moment:%Y-%m-%d %H:%M}  {line.receipt}  {line.kind}{of}{to}:"
            f" KES {cents_to_wire(-line.amount_cents)}, and no refund here"
        )
    if len(forgotten.lines) > _MOST_SHOWN:
        click.echo(f"... {len(forgotten.lines)} in all")


def _words(span: Span) -> str:
    since, until = span.since.astimezone(EAT), span.until.astimezone(EAT)
    return f"{since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} (Nairobi)"
