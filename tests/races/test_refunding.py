"""Many hands at the money of one order: it goes back once, and never more than came."""

from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import select

from app.context import WORK
from app.errors import Conflict
from app.jobs.refunds import check_due_refunds, check_refund, send_refund
from app.models import (
    Account,
    InboxMessage,
    LedgerEvent,
    LedgerEventKind,
    MpesaRequest,
    Order,
    Payment,
    Refund,
    RefundKind,
    RequestKind,
    StockMovement,
)
from app.services.ledger import balances_of
from app.services.move_order import fulfil_order, lock_order
from app.services.receipts import ReceiptFacts, find_receipt
from app.services.receive_money import receive_money
from app.services.refunds import (
    BookedFacts,
    BookedState,
    record_by_hand,
    resolve_unknown,
)
from app.services.unmatched_money import attach_money
from tests.controllers.sign_in import sign_in
from tests.core import after, buy
from tests.factories import NOW, actor_of
from tests.looking import how_many, is_sound
from tests.races.starting_line import posting, tally, together
from tests.refunding import (
    PAID,
    RULES,
    ask_refund,
    did_not_go,
    hear,
    lose,
    make_sale,
    send,
    stray_money,
    went,
)
from tests.safaricom import result_body

WHY = {"reason": "Too small"}


@pytest.fixture
def work(app, database):
    work = app.extensions[WORK]
    return replace(
        work, database=database, config=replace(work.config, mpesa_queries_per_second=1000)
    )


def booked_refunds(database) -> int:
    return how_many(database, LedgerEvent, LedgerEvent.kind == LedgerEventKind.REFUND)


@pytest.mark.fault("F27")
@pytest.mark.parametrize(
    "bodies",
    [[WHY] * 8, [{**WHY, "amount": 900}] * 8, [WHY, {**WHY, "amount": 1}, WHY] * 2],
    ids=["whole", "parts", "mixed"],
)
@pytest.mark.fault("F27")
def test_attack_89_many_refunds_at_once_are_one_and_the_rest_conflict(
    app, database, merchant, sale, bodies
):
    admins = [sign_in(app, sale.admin), sign_in(app, sale.other_admin)]
    path = f"/api/transactions/{sale.payment.id}/refund"
    answers = together(
        [posting(app, path, admins[at % 2], json=body) for at, body in enumerate(bodies)]
    )

    assert tally([status for status, _ in answers]) == {202: 1, 409: len(bodies) - 1}
    refused = [data for status, data in answers if status == 409]
    assert all(b'"code":"refund_under_way"' in data for data in refused)
    assert how_many(database, Refund) == 1
    assert len(merchant.reversals) + len(merchant.payouts) == 1
    assert is_sound(database)


def test_attack_90_one_key_many_times_at_once_gives_back_once(app, database, merchant, sale):
    headers = {**sign_in(app, sale.admin), "Idempotency-Key": "one"}
    path = f"/transactions/{sale.payment.id}/refund"
    answers = together([posting(app, path, headers, json=WHY)] * 12)

    statuses = tally([status for status, _ in answers])
    assert statuses.pop(202) >= 1
    assert set(statuses) <= {409}
    assert len({data for status, data in answers if status == 202}) == 1
    assert (how_many(database, Refund), len(merchant.reversals)) == (1, 1)
    assert is_sound(database)


def test_one_refund_is_sent_once_by_many_senders(database, work, merchant, sale):
    with database.transaction() as session:
        refund = ask_refund(session, sale.admin, sale.payment)

    together([partial(send_refund, work, refund.id)] * 8)

    assert len(merchant.reversals) == 1
    assert how_many(database, MpesaRequest) == 1
    assert is_sound(database)


def test_an_approval_given_twice_at_once_sends_once(app, database, merchant, sale):
    with database.transaction() as session:
        two_needed = replace(RULES, approval_above_shillings=0)
        refund = ask_refund(session, sale.admin, sale.payment, rules=two_needed)
        third = make_sale(session).admin
    path = f"/api/refunds/{refund.id}/approve"
    approvers = [sign_in(app, sale.other_admin), sign_in(app, third)]
    answers = together([posting(app, path, approvers[at % 2]) for at in range(6)])

    assert tally([status for status, _ in answers]) == {200: 1, 409: 5}
    assert len(merchant.reversals) == 1
    assert is_sound(database)


def test_an_approval_beside_a_rejection_ends_one_way(app, database, merchant, sale):
    outcomes = set()
    for _ in range(6):
        with database.transaction() as session:
            one = make_sale(session)
            two_needed = replace(RULES, approval_above_shillings=0)
            refund = ask_refund(session, one.admin, one.payment, rules=two_needed)
        sent_before = len(merchant.reversals)
        other, own = sign_in(app, one.other_admin), sign_in(app, one.admin)
        path = f"/api/refunds/{refund.id}"
        answers = together(
            [
                posting(app, f"{path}/approve", other),
                posting(app, f"{path}/reject", own, json=WHY),
            ]
        )
        assert sorted(status for status, _ in answers) == [200, 409]
        with database.reading() as session:
            state = session.get_one(Refund, refund.id).state
        assert len(merchant.reversals) - sent_before == (1 if state == "pending" else 0)
        outcomes.add(state)
    assert outcomes <= {"pending", "rejected"}
    assert is_sound(database)


@pytest.mark.fault("F27")
def test_f27_a_refund_beside_a_second_payment_never_gives_back_more_than_came(database, sale):
    for _ in range(6):
        with database.transaction() as session:
            one = make_sale(session)
            refund = ask_refund(session, one.admin, one.payment, restock=True)
            send(session, refund)
        double = ReceiptFacts(f"UKM0D{one.order.id:05d}", PAID, "c2b", one.order.number)

        def pay_again(double=double) -> str:
            with database.transaction() as session:
                return str(receive_money(session, double, NOW))

        def give_back(refund=refund) -> str:
            with database.transaction() as session:
                return hear(session, refund, went(f"UKM0R{refund.id:05d}"))

        assert tally(together([pay_again, give_back])) == {"booked": 1, "refunded": 1}
        with database.reading() as session:
            balances = balances_of(session, one.order.id)
            status = session.get_one(Order, one.order.id).status
            payments = (
                session.execute(
                    select(Payment.status)
                    .where(Payment.order_id == one.order.id)
                    .order_by(Payment.id)
                )
                .scalars()
                .all()
            )
            movements = session.scalars(
                select(StockMovement.kind).where(StockMovement.order_id == one.order.id)
            ).all()
        assert balances[Account.MPESA] == PAID
        assert payments == ["refunded", "succeeded"]
        # whichever came first: the sale is undone and the second payment owed, or the second
        # payment keeps the sale and the first goes back as the one too many
        assert (status, balances[Account.REFUNDS_DUE], movements.count("restock")) in (
            ("refunded", -PAID, 1),
            ("paid", 0, 0),
        )
        assert is_sound(database)


def test_a_result_and_the_books_at_the_same_moment_count_once(app, database, sale):
    for _ in range(6):
        with database.transaction() as session:
            one = make_sale(session)
            refund = ask_refund(session, one.admin, one.payment, restock=True)
            send(session, refund)
        receipt = f"UKM0R{refund.id:05d}"
        facts = BookedFacts(BookedState.REVERSED, "Reversed.", "0", NOW, None, one.receipt)

        def result(refund=refund, receipt=receipt) -> str:
            with database.transaction() as session:
                return hear(session, refund, went(receipt))

        def books(refund=refund, facts=facts) -> str:
            with database.transaction() as session:
                return resolve_unknown(session, refund.id, facts, NOW)

        answers = tally(together([result, books]))
        assert answers in (
            {"refunded": 1, "already_refunded": 1},
            {"refunded": 1, "no_verdict": 1},
        )
        with database.reading() as session:
            stored = session.get_one(Refund, refund.id)
            assert (stored.state, stored.refund_receipt) == ("succeeded", receipt)
        assert is_sound(database)
    assert booked_refunds(database) == 6


def test_one_result_fifty_times_at_once_counts_once(app, database, work, merchant, sale):
    with database.transaction() as session:
        refund = ask_refund(session, sale.admin, sale.payment, restock=True)
    send_refund(work, refund.id)
    with database.reading() as session:
        request = session.scalars(select(MpesaRequest)).one()
    path = merchant.reversals[0].result_url.removeprefix("https://shop.example")
    body = result_body(request.conversation_id, request.originator_id, parameters={"Amount": 1500})

    answers = together([posting(app, path, data=body)] * 50)

    assert tally([status for status, _ in answers]) == {200: 50}
    with database.reading() as session:
        assert tally(session.scalars(select(InboxMessage.outcome))) == {
            "refunded": 1,
            "repeated": 49,
        }
    assert booked_refunds(database) == 1
    assert is_sound(database)


def test_an_acknowledgement_beside_its_result_leaves_the_result(database, work, merchant, sale):
    for _ in range(4):
        with database.transaction() as session:
            one = make_sale(session)
            refund = ask_refund(session, one.admin, one.payment)

        def report(_name, ask, refund=refund) -> None:
            """The result is processed while the acknowledgement is written down."""
            with database.transaction() as session:
                hear(session, refund, went(f"UKM0R{refund.id:05d}"))

        merchant.on_call = report
        together([partial(send_refund, work, refund.id), partial(check_refund, work, refund.id)])
        with database.reading() as session:
            assert session.get_one(Refund, refund.id).state == "succeeded"
    assert is_sound(database)


def test_two_workers_look_after_each_due_refund_once(database, work, merchant, clock):
    refund_ids = []
    for _ in range(12):
        with database.transaction() as session:
            one = make_sale(session)
            refund = ask_refund(session, one.admin, one.payment)
            lose(session, refund)
            refund_ids.append(refund.id)
    clock.advance(seconds=31)

    together([partial(check_due_refunds, work)] * 4)

    assert len(merchant.status_asks) == 12
    assert how_many(database, MpesaRequest, MpesaRequest.kind == RequestKind.STATUS) == 12
    assert is_sound(database, clock())


def test_goods_and_their_money_never_leave_together(database, sale):
    outcomes = set()
    for _ in range(8):
        with database.transaction() as session:
            one = make_sale(session)

        def refund(one=one) -> str:
            with database.transaction() as session:
                return ask_refund(session, one.admin, one.payment).state

        def ship(one=one) -> str:
            with database.transaction() as session:
                return fulfil_order(
                    session, actor_of(one.admin), one.order.id, "shipped", NOW
                ).status

        answers = tally(together([refund, ship]))
        # what was sent before may be refunded; what is going back is never sent
        assert answers in (
            {"created": 1, "shipped": 1},
            {"created": 1, "refund_under_way": 1},
        )
        outcomes.add(frozenset(answers))
    assert outcomes
    assert is_sound(database)


def test_stray_money_goes_back_or_finds_its_order_but_not_both(database, sale):
    for number in range(4):
        with database.transaction() as session:
            receipt = stray_money(session, f"UKM0STRAY{number}")
            order = buy(session, sale.buyer, (sale.boots, 1), now=after(hours=number))

        def refund(receipt=receipt) -> str:
            with database.transaction() as session:
                return ask_refund(session, sale.admin, receipt).state

        def attach(receipt=receipt, order=order) -> str:
            with database.transaction() as session:
                locked = lock_order(session, order.id)
                row = find_receipt(session, receipt)
                if row.state != "unmatched":
                    raise Conflict("Too late.", code="not_unmatched")
                attach_money(session, row, locked, NOW, actor_id=sale.admin.id)
                return "attached"

        answers = tally(together([refund, attach]))
        assert answers in (
            {"created": 1, "refund_under_way": 1},
            {"attached": 1, "receipt_has_an_order": 1},
        )
        assert is_sound(database)


def test_two_admins_note_one_receipt_for_two_refunds_and_one_is_refused(database):
    for number in range(4):
        with database.transaction() as session:
            sales = [make_sale(session), make_sale(session)]
            refunds = [
                ask_refund(session, one.admin, one.payment, method=RefundKind.BY_HAND)
                for one in sales
            ]

        def note(refund, admin, number=number) -> str:
            with database.transaction() as session:
                record_by_hand(session, actor_of(admin), refund.id, f"UKM0HAND{number:02d}", NOW)
                return "noted"

        answers = together(
            [partial(note, refund, one.admin) for refund, one in zip(refunds, sales, strict=True)]
        )
        assert tally(answers) == {"noted": 1, "refund_does_not_fit": 1}
        assert is_sound(database)


def test_a_failure_beside_a_success_lets_money_win(database):
    for _ in range(4):
        with database.transaction() as session:
            one = make_sale(session)
            refund = ask_refund(session, one.admin, one.payment)
            send(session, refund)

        def fail(refund=refund) -> str:
            with database.transaction() as session:
                return hear(session, refund, did_not_go())

        def succeed(refund=refund) -> str:
            with database.transaction() as session:
                return hear(session, refund, went(f"UKM0R{refund.id:05d}"))

        assert tally(together([fail, succeed])) in (
            {"failed": 1, "refunded": 1},
            {"already_final": 1, "refunded": 1},
        )
        with database.reading() as session:
            assert session.get_one(Refund, refund.id).state == "succeeded"
    assert is_sound(database)
