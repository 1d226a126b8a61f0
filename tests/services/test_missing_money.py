"""Who bears money that is not there: arithmetic alone, over every mix of what an order may hold."""

from itertools import product

import pytest

from app.models import Account, OrderStatus
from app.services.missing_money import split_missing

A, S = Account, OrderStatus
TOTAL = 149_950


def books(**cents: int) -> dict[Account, int]:
    return {account: cents.get(account.value, 0) for account in Account}


SOLD = books(mpesa=150_000, sales=-149_950, rounding=-50)


@pytest.mark.parametrize(
    ("status", "before", "missing", "entries", "undoes"),
    [
        # all of it was forged, and the goods are still here
        (
            S.PAID,
            SOLD,
            150_000,
            {A.MPESA: -150_000, A.SALES: 149_950, A.ROUNDING: 50},
            True,
        ),
        # a part of it was real: that is owed back
        (
            S.PAID,
            SOLD,
            100_000,
            {A.MPESA: -100_000, A.SALES: 149_950, A.ROUNDING: 50, A.REFUNDS_DUE: -50_000},
            True,
        ),
        # another payment pays for the order
        (
            S.PAID,
            books(mpesa=300_000, sales=-149_950, rounding=-50, refunds_due=-150_000),
            150_000,
            {A.MPESA: -150_000, A.REFUNDS_DUE: 150_000},
            False,
        ),
        # the cents of the last shilling are no reason to call an order off
        (S.PAID, SOLD, 50, {A.MPESA: -50, A.LOSSES: 50}, False),
        (
            S.PAID,
            SOLD,
            51,
            {A.MPESA: -51, A.SALES: 149_950, A.ROUNDING: 50, A.REFUNDS_DUE: -149_949},
            True,
        ),
        # the goods have left
        (S.SHIPPED, SOLD, 150_000, {A.MPESA: -150_000, A.LOSSES: 150_000}, False),
        (
            S.DELIVERED,
            books(mpesa=170_000, sales=-149_950, rounding=-50, refunds_due=-20_000),
            170_000,
            {A.MPESA: -170_000, A.REFUNDS_DUE: 20_000, A.LOSSES: 150_000},
            False,
        ),
        # a part was paid, and the rest is waited for
        (
            S.PENDING,
            books(mpesa=50_000, customer=-50_000),
            50_000,
            {A.MPESA: -50_000, A.CUSTOMER: 50_000},
            False,
        ),
        # it was to be sent back
        (
            S.CANCELLED,
            books(mpesa=150_000, refunds_due=-150_000),
            150_000,
            {A.MPESA: -150_000, A.REFUNDS_DUE: 150_000},
            False,
        ),
        # it was sent back
        (
            S.REFUNDED,
            books(sales=-149_950, rounding=-50, refunds=149_950, mpesa=50),
            150_000,
            {A.MPESA: -150_000, A.LOSSES: 150_000},
            False,
        ),
        (
            S.PAID,
            books(mpesa=100_000, sales=-149_950, rounding=-50, refunds=50_000),
            150_000,
            {
                A.MPESA: -150_000,
                A.SALES: 149_950,
                A.ROUNDING: 50,
                A.REFUNDS: -50_000,
                A.LOSSES: 50_000,
            },
            True,
        ),
    ],
)
def test_where_missing_money_is_taken_from(status, before, missing, entries, undoes):
    found = split_missing(status, TOTAL, before, missing)
    assert (dict(found.entries), found.undoes_sale) == (entries, undoes)
    assert found.loss_cents == entries.get(A.LOSSES, 0)


def test_every_split_adds_up_and_turns_no_debt_into_a_claim():
    steps = (0, 1, 50, 149_950, 150_000)
    for status, customer, due, lost, missing in product(S, steps, steps, steps, (1, *steps[2:])):
        is_sold = status in {S.PAID, S.SHIPPED, S.DELIVERED}
        sold = {"sales": -TOTAL, "rounding": -50} if is_sold else {}
        held = books(customer=0 if is_sold else -customer, refunds_due=-due, losses=lost, **sold)
        held[A.MPESA] = -sum(held.values())
        found = split_missing(status, TOTAL, held, missing)
        after = {account: held[account] + found.entries.get(account, 0) for account in Account}

        assert sum(found.entries.values()) == 0
        assert after[A.MPESA] == held[A.MPESA] - missing
        assert after[A.CUSTOMER] <= 0
        assert after[A.REFUNDS_DUE] <= 0
        assert after[A.LOSSES] >= lost
        if found.undoes_sale:
            assert status == S.PAID
            assert after[A.SALES] == after[A.ROUNDING] == after[A.REFUNDS] == after[A.CUSTOMER] == 0
        elif is_sold:
            covered = after[A.MPESA] + after[A.REFUNDS] + after[A.LOSSES]
            assert covered >= TOTAL
