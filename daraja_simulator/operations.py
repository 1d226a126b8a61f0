"""What M-Pesa does about a service request: judge it, move the money, look things up."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from daraja_simulator import results
from daraja_simulator.apis import Api
from daraja_simulator.core import Core
from daraja_simulator.initiators import Seal, check_seal
from daraja_simulator.ledger import Kind, Movement
from daraja_simulator.merchants import Merchant
from daraja_simulator.money import CENTS, book_payout
from daraja_simulator.people import is_phone, name_of
from daraja_simulator.results import Result
from daraja_simulator.services import Service

_LEAST_PAYOUT_CENTS = 10 * CENTS


@dataclass(frozen=True, slots=True)
class Found:
    """What a transaction status tells about: money that moved, or a payout that failed."""

    movement: Movement | None = None
    failed: Service | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """How it ended: with money that moved, or with what was asked about."""

    result: Result
    movement: Movement | None = None
    found: Found | None = None


# Finds what a conversation id, or whatever else may stand for one, belongs to.
Finder = Callable[[Merchant, str], Found | None]


def execute(core: Core, service: Service, find: Finder) -> Done:
    """Call with the core's lock held, once."""
    ask, forced = service.ask, service.plan.result
    merchant = core.config.find_receiver(ask.shortcode)
    if forced is results.ALREADY_REVERSED and merchant is not None:
        _reverse(core, service, merchant, by_portal=True)  # if there is anything to reverse
    if forced is not None:
        return Done(forced)
    service.seal = check_seal(core.config, ask.initiator, ask.credential)
    if service.seal is not Seal.GOOD:
        return Done(results.WRONG_INITIATOR)
    if merchant is None:
        return Done(results.NOT_IN_ORGANISATION)
    if ask.api is Api.STATUS:
        return _look_up(core, service, merchant, find)
    operation = _OPERATIONS.get(ask.api)
    if operation is None:
        return Done(results.SUCCESS)  # a balance is read when it is printed
    return operation(core, service, merchant)


def _pay_out(core: Core, service: Service, merchant: Merchant) -> Done:
    ask = service.ask
    if ask.amount_cents < _LEAST_PAYOUT_CENTS:
        return Done(results.BELOW_MINIMUM)
    if ask.amount_cents > core.config.maximum_amount * CENTS:
        return Done(results.ABOVE_MAXIMUM)
    if not _can_spend(core, merchant, ask.amount_cents, core.config.payout_charge * CENTS):
        return Done(results.POOR)
    movement = _outgoing(core, service, merchant, Kind.B2C, ask.receiver)
    return Done(results.SUCCESS, book_payout(core, movement))


def _reverse(core: Core, service: Service, merchant: Merchant, *, by_portal: bool = False) -> Done:
    """Give a customer's payment back, whole. What is not ours to reverse is not known to us."""
    ask, original = service.ask, core.ledger.find(service.ask.receipt)
    if original is None or not original.is_payment or original.shortcode != merchant.shortcode:
        return Done(results.NOT_REVERSIBLE)
    if core.ledger.reversal_of(original.receipt) is not None:
        return Done(results.ALREADY_REVERSED)
    if ask.amount_cents != original.cents:
        return Done(results.INVALID_PARAMETER)
    if not _can_spend(core, merchant, original.cents):
        return Done(results.POOR)
    movement = _outgoing(core, service, merchant, Kind.REVERSAL, original.party, original.receipt)
    if by_portal:
        movement = replace(movement, conversation_id=None, originator_conversation_id=None)
    return Done(results.SUCCESS, core.ledger.record(movement))


def _transfer(core: Core, service: Service, merchant: Merchant) -> Done:
    """To another business, whose account grows if it is one of ours."""
    ask = service.ask
    if ask.amount_cents > core.config.maximum_amount * CENTS:
        return Done(results.ABOVE_MAXIMUM)
    if not _can_spend(core, merchant, ask.amount_cents):
        return Done(results.POOR)
    sent = _outgoing(core, service, merchant, Kind.B2B, ask.receiver)
    other = core.config.find_receiver(ask.receiver)
    if other is None or other is merchant:
        return Done(results.SUCCESS, core.ledger.record(sent))
    return Done(results.SUCCESS, core.ledger.record(sent, _incoming(sent, merchant, other)))


def _look_up(core: Core, service: Service, merchant: Merchant, find: Finder) -> Done:
    ask, found = service.ask, None
    movement = core.ledger.find(ask.receipt)
    if movement is not None and movement.shortcode == merchant.shortcode:
        found = Found(movement)
    elif ask.conversation_id:
        found = find(merchant, ask.conversation_id)
    return Done(results.SUCCESS, found=found) if found else Done(results.NO_RECEIPT)


def _can_spend(core: Core, merchant: Merchant, cents: int, charge_cents: int = 0) -> bool:
    return core.ledger.balance_of(merchant.shortcode).utility_cents >= cents + charge_cents


def _outgoing(
    core: Core,
    service: Service,
    merchant: Merchant,
    kind: Kind,
    party: str,
    linked: str | None = None,
) -> Movement:
    now = core.clock.now()
    dice = core.dice.named("receipt", service.conversation_id)
    return Movement(
        kind=kind,
        receipt=core.make_receipt(dice, now),
        shortcode=merchant.shortcode,
        cents=-service.ask.amount_cents,
        party=party,
        party_name=name_of_party(core, party),
        initiated_at=service.created_at,
        moved_at=now,
        receiver=merchant.receiver,
        account_reference=service.ask.account,
        conversation_id=service.conversation_id,
        originator_conversation_id=service.originator_id,
        linked=linked,
    )


def _incoming(sent: Movement, sender: Merchant, receiver: Merchant) -> Movement:
    return Movement(
        kind=Kind.B2B,
        receipt=sent.receipt,
        shortcode=receiver.shortcode,
        cents=-sent.cents,
        party=sender.shortcode,
        party_name=sender.name,
        initiated_at=sent.initiated_at,
        moved_at=sent.moved_at,
        receiver=receiver.receiver,
        account_reference=sent.account_reference,
    )


def name_of_party(core: Core, party: str) -> str:
    """Of a phone's owner, or of a business."""
    merchant = core.config.find_receiver(party)
    if merchant is not None:
        return merchant.name
    return str(name_of(party)) if is_phone(party) else f"SIMULATED BUSINESS {party[-3:]}"


_OPERATIONS: dict[Api, Callable[[Core, Service, Merchant], Done]] = {
    Api.B2C: _pay_out,
    Api.REVERSAL: _reverse,
    Api.B2B: _transfer,
}
