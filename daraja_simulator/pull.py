"""The Pull desk: what customers paid in the last 48 hours, page by page."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from daraja_simulator.core import Core
from daraja_simulator.ledger import Kind, Movement
from daraja_simulator.merchants import Merchant
from daraja_simulator.pull_request import PullQuery

PAGE_ROWS = 100
_WINDOW = timedelta(hours=48)


class Pull:
    """Registrations stay through a reset, as they do at Safaricom."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._registered: set[Merchant] = set()

    def register(self, merchant: Merchant) -> bool:
        """False if it was registered already, which is fine."""
        with self._core.lock:
            is_new = merchant not in self._registered
            self._registered.add(merchant)
        return is_new

    def is_registered(self, merchant: Merchant) -> bool:
        return merchant in self._registered

    def page(self, query: PullQuery) -> list[dict[str, Any]]:
        """So many rows from the offset on, oldest first; none past the end."""
        rows = list(self._find(query))[query.offset : query.offset + PAGE_ROWS]
        return [_print_row(row, query.merchant) for row in rows]

    def _find(self, query: PullQuery) -> Iterator[Movement]:
        earliest = max(query.start, self._core.clock.now() - _WINDOW)
        for movement in self._core.ledger.movements():
            is_of_customers = movement.is_payment or movement.kind is Kind.REVERSAL
            is_theirs = movement.shortcode == query.merchant.shortcode
            if is_of_customers and is_theirs and earliest <= movement.moved_at <= query.end:
                yield movement


def _print_row(movement: Movement, merchant: Merchant) -> dict[str, Any]:
    """What was undone stands where it stood; the undoing has a row with a negative amount."""
    kind = "c2b-buy-goods" if merchant.till else "c2b-pay-bill"
    is_payment = movement.is_payment
    account = "" if merchant.till else movement.account_reference
    return {
        "transactionId": movement.receipt,
        "trxDate": f"{movement.moved_at:%Y-%m-%d %H:%M:%S}",
        "msisdn": int(movement.party[-9:]),
        "sender": movement.party_name,
        "transactiontype": f"{kind}-debit" if is_payment else f"{kind}-reversal",
        "billreference": account if is_payment else movement.linked,
        "amount": f"{movement.cents / 100:.2f}",
        "organizationname": merchant.name,
    }
