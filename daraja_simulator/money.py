"""Booking what moves, with the charge that goes with it where one is configured."""

from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal

from daraja_simulator.core import Core
from daraja_simulator.ledger import Kind, Movement

CENTS = 100


def book_payment(core: Core, movement: Movement) -> Movement:
    """Book what a customer paid; the movement with its balance, before the charge."""
    percent = core.config.charge_percent
    cents = int((movement.cents * percent / 100).quantize(Decimal(1), ROUND_HALF_UP))
    return _book(core, movement, cents)


def book_payout(core: Core, movement: Movement) -> Movement:
    """Book what the merchant sends out; it pays for that what the configuration says."""
    return _book(core, movement, core.config.payout_charge * CENTS)


def _book(core: Core, movement: Movement, charge_cents: int) -> Movement:
    if not charge_cents:
        return core.ledger.record(movement)
    charge = replace(
        movement, kind=Kind.CHARGE, cents=-charge_cents, charged_for=movement.kind, linked=None
    )
    return core.ledger.record(movement, charge)
