"""Giving money back from the command line."""

import pytest
from sqlalchemy import select

from app.models import Refund
from app.policies import Role
from app.services.audit import audit
from app.utils.clock import utc_now
from tests.core import database_snapshot
from tests.factories import make_user
from tests.refunding import make_sale


@pytest.fixture
def sale(shop):
    """A paid order; one of its two admins may not sign in any more."""
    with shop.transaction() as session:
        sale = make_sale(session)
        sale.other_admin.suspended_at = utc_now()
    return sale


def refunds(shop) -> list[Refund]:
    with shop.reading() as session:
        assert audit(session, utc_now()) == []
        return list(session.scalars(select(Refund).order_by(Refund.id)))


def test_what_was_done_in_the_portal_is_noted_at_once(manage, shop, sale):
    result = manage(
        *("payments", "refund", str(sale.payment.id), "--reason", "Too small"),
        *("--by-hand", "ukm0000r09", "--restock"),
    )
    assert (result.exit_code, result.stdout) == (
        0,
        "refund 1: succeeded, KES 1500 by by_hand as UKM0000R09: Too small\n",
    )
    (refund,) = refunds(shop)
    assert (refund.requested_by, refund.restock, refund.refund_receipt) == (
        sale.admin.id,
        True,
        "UKM0000R09",
    )
    shown = manage("payments", "show", str(sale.payment.id)).stdout.splitlines()
    assert shown[0] == f"payment {sale.payment.id}: refunded"
    assert "refund 1: succeeded, KES 1500 by by_hand as UKM0000R09: Too small" in shown


def test_a_part_is_refunded_and_what_m_pesa_does_not_take_fails(manage, shop, sale):
    """Nobody listens where this shop's Safaricom should be."""
    result = manage(
        *("payments", "refund", str(sale.payment.id)),
        *("--reason", "A scratch", "--amount", "500.00"),
    )
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Refund 1 failed, nothing went back: Not sent: ConnectError")
    (refund,) = refunds(shop)
    assert (refund.kind, refund.amount_cents, refund.state) == ("payout", 50_000, "failed")


def test_a_large_sum_waits_for_another_admin_though_it_was_done_by_hand(
    manage, shop, sale, monkeypatch
):
    monkeypatch.setenv("REFUND_APPROVAL_ABOVE_SHILLINGS", "1000")
    result = manage(
        *("payments", "refund", str(sale.payment.id)),
        *("--reason", "Too small", "--by-hand", "UKM0000R09"),
    )
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "refund 1: awaiting_approval, KES 1500 by by_hand: Too small",
        "Another admin has to approve it: see the office.",
    ]
    (refund,) = refunds(shop)
    assert refund.refund_receipt is None


def test_of_several_admins_one_is_named(manage, shop, sale):
    with shop.transaction() as session:
        other = make_user(session, Role.ADMIN, username="Njeri")
    begun = ("payments", "refund", str(sale.payment.id), "--reason", "Too small")
    hand = ("--by-hand", "UKM0000R09")
    before = database_snapshot(shop)
    unnamed = manage(*begun, *hand)
    assert (unnamed.exit_code, unnamed.stderr) == (
        1,
        "Say in whose name, with --as: there are several admins, or none.\n",
    )
    for name in ("nobody", sale.other_admin.username, sale.buyer.username):
        wrong = manage(*begun, *hand, "--as", name)
        assert (wrong.exit_code, wrong.stderr) == (1, f"There is no admin {name}.\n")
    assert database_snapshot(shop) == before

    assert manage(*begun, *hand, "--as", "njeri").exit_code == 0
    assert refunds(shop)[0].requested_by == other.id


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (("--amount", "1501", "--reason", "x"), 1, "At most KES 1500 of this payment can go back."),
        (("--amount", "1.234", "--reason", "x"), 2, "Must be an amount in shillings"),
        (("--amount", "0", "--reason", "x"), 2, "Must be at least 0.01."),
        ((), 2, "Missing option '--reason'"),
        (("--by-hand", "?", "--reason", "x"), 1, "Must be M-Pesa's receipt"),
    ],
)
def test_what_cannot_be_is_one_line_and_changes_nothing(
    manage, shop, sale, arguments, exit_code, words
):
    before = database_snapshot(shop)
    result = manage("payments", "refund", str(sale.payment.id), *arguments)
    assert (result.exit_code, words in result.stderr) == (exit_code, True), result.stderr
    assert database_snapshot(shop) == before


def test_a_payment_that_is_not_there_is_said_so(manage, shop, sale):
    result = manage("payments", "refund", "999", "--reason", "x")
    assert (result.exit_code, result.stderr) == (1, "There is no such transaction.\n")
