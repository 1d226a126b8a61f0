"""The statement of an organisation's utility account, as M-Pesa's portal exports it."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from daraja_simulator.core import Core
from daraja_simulator.ledger import Kind, Movement
from daraja_simulator.merchants import Merchant
from daraja_simulator.people import hide_middle, is_phone

_MOMENT = "%d-%m-%Y %H:%M:%S"
_SLASHED = "%d/%m/%Y %H:%M:%S"

COLUMNS = (
    "Receipt No.",
    "Completion Time",
    "Initiation Time",
    "Details",
    "Transaction Status",
    "Paid In",
    "Withdrawn",
    "Balance",
    "Balance Confirmed",
    "Reason Type",
    "Other Party Info",
    "Linked Transaction ID",
    "A/C No.",
)
NEW_COLUMNS = (
    "Receipt No",
    "Completion Time",
    "Details",
    "Transaction Status",
    "Paid In (KSHs)",
    "Withdrawn (KSHs)",
    "Balance (KSHs)",
)

# What each movement is called, to a paybill and to a till.
_REASONS = {
    Kind.EXPRESS: ("Pay Bill Online", "Merchant Payment Online"),
    Kind.C2B: ("Pay Bill", "Merchant Payment"),
    Kind.B2C: ("Business Payment", "Business Payment"),
    Kind.B2B: ("Business Pay Bill", "Business Pay Bill"),
    Kind.REVERSAL: ("Pay Utility Reversal", "Pay Merchant Reversal"),
}
_CHARGES = {
    Kind.EXPRESS: ("Pay Bill Charge", "Pay merchant Charge"),
    Kind.C2B: ("Pay Bill Charge", "Pay merchant Charge"),
    Kind.B2C: ("Business Payment Charge", "Business Payment Charge"),
}


class Layout(StrEnum):
    """The portal has had two: with lines about the account first, and without."""

    CLASSIC = "classic"
    NEW = "new"


def print_statement(
    core: Core, merchant: Merchant, start: datetime, end: datetime, layout: Layout
) -> str:
    """The newest line first, as the portal has it; lines end as those of a spreadsheet do."""
    moved = [one for one in core.ledger.movements() if one.shortcode == merchant.shortcode]
    before = [one for one in moved if one.moved_at < start]
    within = [one for one in moved if start <= one.moved_at <= end]
    opening = core.ledger.balance_of(merchant.shortcode).opening_cents
    opening += sum(one.cents for one in before)
    newest_first = within[::-1]
    written = io.StringIO()
    writer = csv.writer(written)
    if layout is Layout.NEW:
        writer.writerow(NEW_COLUMNS)
        writer.writerows(_new_row(one, merchant) for one in newest_first)
    else:
        printed_at = core.clock.now()
        writer.writerows(_preamble(merchant, (start, end), printed_at, opening, within))
        writer.writerow(COLUMNS)
        writer.writerows(_row(one, merchant) for one in newest_first)
    return written.getvalue()


def _preamble(
    merchant: Merchant,
    period: tuple[datetime, datetime],
    printed_at: datetime,
    opening: int,
    within: Sequence[Movement],
) -> Iterable[Sequence[str]]:
    paid_in = sum(one.cents for one in within if one.cents > 0)
    withdrawn = sum(one.cents for one in within if one.cents < 0)
    closing = opening + paid_in + withdrawn
    start, end = (f"{moment:{_MOMENT}}" for moment in period)
    report = ("Organization:", merchant.name, "Date of Report:", f"{printed_at:{_MOMENT}}")
    return (
        ("Account Holder:", merchant.name),
        ("Short Code:", merchant.receiver),
        ("Account:", "Utility Account"),
        ("Time Period:", "From", start, "To", end),
        ("Operator:", "Simulator", *report),
        (
            *("Opening Balance:", _money(opening), "Closing Balance:", _money(closing)),
            *("Available Balance:", _money(closing)),
            *("Total Paid In:", _money(paid_in), "Total Withdrawn:", _money(withdrawn)),
        ),
    )


def _row(movement: Movement, merchant: Merchant) -> Sequence[str]:
    cents, is_charge = movement.cents, movement.kind is Kind.CHARGE
    return (
        movement.receipt,
        f"{movement.moved_at:{_MOMENT}}",
        f"{movement.initiated_at:{_MOMENT}}",
        _details(movement, merchant),
        "Completed",
        _money(cents) if cents > 0 else "",
        _money(cents) if cents < 0 else "",
        _money(movement.balance_cents),
        "true",
        _reason(movement, merchant),
        "" if is_charge else _other_party(movement),
        movement.linked or "",
        "" if is_charge or merchant.till else movement.account_reference,
    )


def _new_row(movement: Movement, merchant: Merchant) -> Sequence[str]:
    cents = movement.cents
    return (
        movement.receipt,
        f"{movement.moved_at:{_SLASHED}}",
        _details(movement, merchant),
        "Completed",
        _grouped(max(cents, 0)),
        _grouped(min(cents, 0)),
        _grouped(movement.balance_cents),
    )


def _reason(movement: Movement, merchant: Merchant) -> str:
    if movement.charged_for is not None:
        return _CHARGES[movement.charged_for][bool(merchant.till)]
    return _REASONS[movement.kind][bool(merchant.till)]


def _details(movement: Movement, merchant: Merchant) -> str:
    reason, party = _reason(movement, merchant), _other_party(movement)
    match movement.kind:
        case Kind.EXPRESS | Kind.C2B:
            account = "" if merchant.till else f" Acc. {movement.account_reference}"
            return f"{reason} from {party}{account}"
        case Kind.B2C:
            return (
                f"{reason} to {party} via API. "
                f"Original conversation ID is {movement.originator_conversation_id}."
            )
        case Kind.B2B:
            return f"{reason} {'to' if movement.cents < 0 else 'by'} {party}"
        case _:
            return reason


def _other_party(movement: Movement) -> str:
    number = hide_middle(movement.party) if is_phone(movement.party) else movement.party
    return f"{number} - {movement.party_name}"


def _money(cents: int) -> str:
    return f"{Decimal(cents).scaleb(-2):f}"


def _grouped(cents: int) -> str:
    return f"{Decimal(cents).scaleb(-2):,f}"
