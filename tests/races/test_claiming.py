"""One receipt that many name at once, beside the news of its money."""

from dataclasses import replace

import pytest
from sqlalchemy import func, select

from app.context import WORK
from app.jobs.check_claim import check_claim, check_undecided_claims
from app.models import LedgerEntry, MpesaReceipt, Order, PaymentClaim, ReceiptState, User
from app.services.claims import ClaimRequest, claim_payment
from app.services.move_order import lock_order
from app.services.receipts import ReceiptFacts, find_receipt
from app.services.receive_money import receive_money
from app.services.unmatched_money import attach_money
from tests.core import buy, make_buyer
from tests.factories import NOW, actor_of, make_product, make_user
from tests.looking import is_sound
from tests.races.starting_line import tally, together
from tests.safaricom import notice_body

ROUNDS = 6


@pytest.fixture
def work(app, database):
    work = app.extensions[WORK]
    app.extensions[WORK] = replace(work, database=database)
    return app.extensions[WORK]


@pytest.fixture
def orders(database):
    """Of KES 1,500 each, of as many buyers."""
    with database.transaction() as session:
        boots = make_product(session, stock=100)
        return [
            buy(session, make_buyer(session, phone_number=phone_of(number)), (boots, 1))
            for number in range(ROUNDS)
        ]


def phone_of(number: int) -> str:
    return f"254722000{number:03d}"


def masked(number: int) -> str:
    return f"2547 ***** {number:03d}"


def claiming(database, order, receipt):
    def claim() -> str:
        with database.transaction() as session:
            actor = actor_of(session.get_one(User, order.user_id))
            ask = ClaimRequest(order.id, receipt, can_ask=True)
            return str(claim_payment(session, actor, ask, NOW).state)

    return claim


def claims(database, receipt) -> list[str]:
    with database.reading() as session:
        mine = PaymentClaim.receipt == receipt
        return sorted(session.scalars(select(PaymentClaim.state).where(mine)))


def held_cents(database) -> int:
    with database.reading() as session:
        total = select(func.sum(LedgerEntry.amount_cents))
        return int(session.scalar(total.where(LedgerEntry.account == "mpesa")) or 0)


def paid_orders(database) -> int:
    with database.reading() as session:
        paid = select(func.count()).select_from(Order).where(Order.status == "paid")
        return session.scalar(paid)


def receive(database, receipt, payer_phone) -> None:
    facts = ReceiptFacts(receipt, 150_000, "c2b", "SHOES", NOW, payer_phone, None)
    with database.transaction() as session:
        receive_money(session, facts, NOW)


def test_many_customers_name_one_receipt_at_once_and_one_claim_is_looked_into(database, orders):
    for number in range(ROUNDS):
        receipt = f"UKM{number:07d}"
        answers = together([claiming(database, order, receipt) for order in orders])
        assert tally(answers) == {"open": 1, "refused": ROUNDS - 1}
        assert claims(database, receipt) == ["open", *["refused"] * (ROUNDS - 1)]


def test_one_customer_names_one_receipt_many_times_at_once(database, orders):
    answers = together([claiming(database, orders[0], "UKM0000001")] * 6)
    assert tally(answers) == {"open": 6}
    assert claims(database, "UKM0000001") == ["open"]


def test_known_money_is_used_once_though_many_claim_it(database, orders):
    for number, order in enumerate(orders):
        receipt = f"UKM{number:07d}"
        receive(database, receipt, masked(number))
        answers = tally(together([claiming(database, one, receipt) for one in orders]))
        assert answers.pop("accepted", 0) + answers.pop("with_a_person", 0) >= 1
        assert set(answers) <= {"refused", "receipt_counted"}
        with database.reading() as session:
            row = session.get_one(MpesaReceipt, receipt)
            if row.state == ReceiptState.MATCHED:
                assert session.get_one(Order, order.id).status == "paid"
    assert held_cents(database) == 150_000 * ROUNDS
    assert is_sound(database)


def test_a_claim_beside_the_confirmation_of_its_money_counts_it_once(
    app, database, work, config, orders
):
    for number, order in enumerate(orders):
        receipt = f"UKM{number:07d}"
        path = f"/api/pay/c2b/confirm/{config.mpesa_c2b_secret}"
        body = notice_body("SHOES", receipt=receipt, phone=masked(number))

        def confirm(path=path, body=body) -> str:
            return str(app.test_client().post(path, data=body, buffered=True).status_code)

        answers = tally(together([claiming(database, order, receipt), confirm]))
        assert answers.pop("200") == 1
        assert set(answers) <= {"open", "accepted"}
        check_undecided_claims(work)
        assert claims(database, receipt) == ["accepted"]
    assert (paid_orders(database), held_cents(database)) == (ROUNDS, 150_000 * ROUNDS)
    assert is_sound(database)


def test_a_claim_beside_a_person_who_attaches_its_money_elsewhere(database, work, orders):
    with database.transaction() as session:
        admin = make_user(session, "admin")
    for number in range(0, ROUNDS, 2):
        order, other = orders[number], orders[number + 1]
        receipt = f"UKM{number:07d}"
        receive(database, receipt, masked(number))

        def attach(receipt=receipt, other=other) -> str:
            with database.transaction() as session:
                locked = lock_order(session, other.id)
                row = find_receipt(session, receipt)
                if row.state != ReceiptState.UNMATCHED:
                    return "too late"
                attach_money(session, row, locked, NOW, actor_id=admin.id)
            return "attached"

        answers = tally(together([claiming(database, order, receipt), attach]))
        assert answers in (
            {"accepted": 1, "too late": 1},
            {"receipt_counted": 1, "attached": 1},
        )
        assert is_sound(database)
    assert held_cents(database) == 150_000 * ROUNDS // 2


def test_many_workers_ask_about_a_claim_once(database, work, merchant, orders):
    for number, order in enumerate(orders):
        claiming(database, order, f"UKM{number:07d}")()
    ids = list(range(1, ROUNDS + 1))

    together([lambda: check_undecided_claims(work)] * 3 + [lambda: check_claim(work, ids[0])])

    asked = sorted(ask.receipt for ask in merchant.status_asks)
    assert asked == [f"UKM{number:07d}" for number in range(ROUNDS)]
