"""Who bears money that was booked and is not there. Plain arithmetic: nothing here is stored."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.models import Account, OrderStatus


@dataclass(frozen=True, slots=True)
class Missing:
    """What the accounts of an order change by, in cents; together that is zero."""

    entries: Mapping[Account, int]
    undoes_sale: bool

    @property
    def loss_cents(self) -> int:
        return self.entries.get(Account.LOSSES, 0)


def split_missing(
    status: OrderStatus, total_cents: int, balances: Mapping[Account, int], cents: int
) -> Missing:
    """Where ``cents`` that are not there are taken from.

    An order whose goods are still in the shop, and that the rest does not pay, was never sold: all
    is undone, and what did come is owed back. Otherwise it is first what we believed to owe, then
    what waited for the rest of the money; what goods have left for, or money went back for, is
    lost.
    """
    covered = balances[Account.MPESA] - cents + balances[Account.REFUNDS] + balances[Account.LOSSES]
    if status == OrderStatus.PAID and covered < total_cents:
        return Missing(_undo_sale(balances, cents), undoes_sale=True)
    entries, left = {Account.MPESA: -cents}, cents
    for account in (Account.REFUNDS_DUE, Account.CUSTOMER):
        part = min(left, max(0, -balances[account]))
        if part:
            entries[account] = part
            left -= part
    if left:
        entries[Account.LOSSES] = left
    return Missing(entries, undoes_sale=False)


def _undo_sale(balances: Mapping[Account, int], cents: int) -> dict[Account, int]:
    came = balances[Account.MPESA] - cents + balances[Account.LOSSES]
    wanted = dict.fromkeys(balances, 0)
    wanted[Account.MPESA] = balances[Account.MPESA] - cents
    wanted[Account.REFUNDS_DUE] = -max(0, came)
    wanted[Account.LOSSES] = balances[Account.LOSSES] + max(0, -came)
    changes = {account: wanted[account] - balances[account] for account in balances}
    return {account: change for account, change in changes.items() if change}
