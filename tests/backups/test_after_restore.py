"""A restored shop has forgotten what it sent. No shilling goes out twice for that."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from structlog.testing import capture_logs

from app.errors import AppError, Conflict
from app.jobs.build import Work
from app.jobs.import_statement import import_statement
from app.jobs.pull_statements import pull_statements
from app.jobs.refunds import check_due_refunds, send_refund
from app.jobs.registry import sweep
from app.jobs.rules import mpesa_numbers
from app.models import (
    LoginSession,
    MpesaRequest,
    Order,
    Payment,
    Refund,
    RefundEvent,
    RefundKind,
    RefundState,
    RequestKind,
    Restore,
    Task,
    TaskKind,
    WebhookDelivery,
    WebhookEvent,
)
from app.ports import PulledRow
from app.services.audit import audit
from app.services.refunds import (
    approve_refund,
    begin_sending,
    record_by_hand,
    record_not_gone,
    refunds_are_held,
    reject_refund,
)
from app.services.restores import find_forgotten, held_restores, release_refunds
from app.utils.callback_secret import CallbackSecret
from tests.core import after, ask_to_pay, buy, database_snapshot, make_buyer, refused
from tests.factories import NOW, actor_of, make_delivery, make_product, make_webhook
from tests.jobs.test_refunds import asked, state_answer
from tests.refunding import (
    PAID,
    RULES,
    ask_refund,
    begin,
    did_not_go,
    hear,
    lose,
    make_sale,
    open_tasks,
    refund_whole,
    send,
    steps,
)
from tests.statements import classic, file_of, paid_out, preamble, reversed_

pytestmark = [pytest.mark.fault("F48"), pytest.mark.usefixtures("logs")]
RESTORED_AT = after(hours=6)
CAREFUL = replace(RULES, approval_above_shillings=100)


@pytest.fixture
def logs():
    with capture_logs() as logs:
        yield logs


@pytest.fixture
def world(config, ports, merchant, clock):
    """Makes a worker for any database; Safaricom is the same one for all."""
    config = replace(
        config,
        mpesa_queries_per_second=1000,
        mpesa_pull=False,
        mpesa_initiator_name="amina",
        mpesa_initiator_password="secret",
        mpesa_certificate=b"certificate",
        mpesa_b2c_shortcode="174379",
    )

    def work_on(database, now=NOW) -> Work:
        clock.now = now
        return Work(database, ports, config)

    return work_on


@pytest.fixture
def sold(database):
    with database.transaction() as session:
        return make_sale(session)


def sent_cents(merchant) -> int:
    """What Safaricom was asked to give back, by every shop that ever was."""
    paid_out_cents = sum(ask.amount_shillings * 100 for ask in merchant.payouts)
    return sum(ask.amount_cents for ask in merchant.reversals) + paid_out_cents


def let_days_pass(work: Work, days: int = 3) -> None:
    """A worker that sweeps on and on, and looks at everything whenever it is due."""
    moment = work.ports.clock()
    for hour in range(0, 24 * days, 2):
        work.ports.clock.now = moment + timedelta(hours=hour)
        sweep(work)


def ask_again(database, sale, now, **ask) -> str:
    """Somebody who does not remember asks for the same refund; answers what became of it."""
    try:
        with database.transaction() as session:
            payment = session.get_one(Payment, sale.payment.id)
            ask_refund(session, sale.admin, payment, now=now, **ask)
    except AppError as error:
        return error.code
    return "asked"


NOT_SENT = ("awaiting_approval", "created")
SENT = ("begun", "pending", "unknown")
WAYS = ((RefundKind.REVERSAL, {}), (RefundKind.PAYOUT, {"amount_cents": 50_000}))


def put(session, sale, stage: str, ask: dict) -> Refund:
    """A refund as it stands when the backup is made."""
    careful = stage == "awaiting_approval"
    refund = ask_refund(
        session, sale.admin, sale.payment, rules=CAREFUL if careful else RULES, **ask
    )
    if stage == "begun":
        begin(session, refund)
    elif stage == "pending":
        send(session, refund)
    elif stage == "unknown":
        lose(session, refund)
    return refund


def go_on(work: Work, refund_id: int, stage: str, sale) -> None:
    """What the shop did after the backup: the money goes."""
    if stage == "awaiting_approval":
        with work.database.transaction() as session:
            approve_refund(session, actor_of(sale.other_admin), refund_id, RULES, NOW)
    assert send_refund(work, refund_id) is None


@pytest.mark.parametrize(("kind", "ask"), WAYS)
@pytest.mark.parametrize("stage", NOT_SENT)
def test_what_was_sent_after_the_backup_is_never_sent_again(
    database, place, world, merchant, sold, keep, stage, kind, ask
):
    with database.transaction() as session:
        refund_id = put(session, sold, stage, ask).id
    path = keep()
    go_on(world(database), refund_id, stage, sold)
    cents = sent_cents(merchant)
    assert cents == ask.get("amount_cents", PAID)

    restored = place.restore(path, RESTORED_AT)
    assert restored.precautions.doubtful_refunds == 1
    assert restored.findings == []
    work = world(place.database, RESTORED_AT)
    let_days_pass(work)
    assert ask_again(place.database, sold, work.now(), **ask) == "refund_under_way"
    assert sent_cents(merchant) == cents
    with place.database.reading() as session:
        refund = session.get_one(Refund, refund_id)
        assert (refund.state, refund.kind) == ("unknown", kind)
        assert steps(session, refund)[-1] == (stage, "unknown", "restore")
        assert TaskKind.UNKNOWN_REFUND in open_tasks(session)
        assert TaskKind.REFUND_APPROVAL not in open_tasks(session)
        assert audit(session, work.now()) == []

    # A person releases refunds, whatever is known: this one still is not sent.
    with place.database.transaction() as session:
        release_refunds(session, mpesa_numbers(work.config), work.now(), although="I looked.")
    let_days_pass(work)
    assert sent_cents(merchant) == cents
    with place.database.transaction() as session:
        assert begin_sending(session, refund_id, CallbackSecret.new(), NOW, lease_seconds=1) is None
        with pytest.raises(Conflict):
            approve_refund(session, actor_of(sold.other_admin), refund_id, RULES, NOW)


@pytest.mark.parametrize(("kind", "ask"), WAYS)
def test_the_database_itself_allows_a_doubtful_refund_no_sending(
    database, place, sold, keep, kind, ask
):
    with database.transaction() as session:
        refund_id = put(session, sold, "created", ask).id
    place.restore(keep(), RESTORED_AT)
    with place.database.reading() as session:
        (request,) = session.scalars(select(MpesaRequest)).all()
        assert (request.kind, request.refund_id, request.state) == (kind, refund_id, "unknown")
        row = {
            column.name: getattr(request, column.name)
            for column in MpesaRequest.__table__.columns
            if column.name != "id"
        }
    with (
        pytest.raises(Exception, match=r"one_sending_per_refund|mpesa_requests\.refund_id"),
        place.database.transaction() as session,
    ):
        session.add(MpesaRequest(**row))


@pytest.mark.parametrize(("kind", "ask"), WAYS)
@pytest.mark.parametrize("stage", SENT)
def test_what_was_sent_before_the_backup_is_asked_about_at_once(
    database, place, world, merchant, sold, keep, stage, kind, ask
):
    with database.transaction() as session:
        refund_id = put(session, sold, stage, ask).id
        session.get_one(Refund, refund_id).next_check_at = after(days=9)
    restored = place.restore(keep(), RESTORED_AT)
    assert restored.precautions.doubtful_refunds == 0
    assert restored.precautions.asked_refunds == 1

    work = world(place.database, RESTORED_AT)
    check_due_refunds(work)
    with place.database.reading() as session:
        kinds = session.scalars(
            select(MpesaRequest.kind)
            .where(MpesaRequest.refund_id == refund_id)
            .order_by(MpesaRequest.id)
        ).all()
        assert session.get_one(Refund, refund_id).state == RefundState.UNKNOWN
    assert kinds == [kind, RequestKind.STATUS]
    assert len(merchant.status_asks) == 1
    let_days_pass(work)
    assert sent_cents(merchant) == 0


def test_a_reversal_that_went_is_found_by_asking(database, place, world, merchant, sold, keep):
    with database.transaction() as session:
        refund_id = put(session, sold, "created", {}).id
    path = keep()
    go_on(world(database), refund_id, "created", sold)
    place.restore(path, RESTORED_AT)
    work = world(place.database, RESTORED_AT)
    check_due_refunds(work)
    (question,) = merchant.status_asks
    assert question.receipt == sold.receipt
    answer = state_answer(work, asked(place.database, refund_id), "Reversed", sold.receipt)
    assert answer == "refunded"
    with place.database.reading() as session:
        refund = session.get_one(Refund, refund_id)
        assert refund.state == RefundState.SUCCEEDED
        assert audit(session, work.now()) == []
        assert TaskKind.UNKNOWN_REFUND not in open_tasks(session)
    let_days_pass(work)
    assert sent_cents(merchant) == PAID


def test_a_reversal_that_m_pesa_does_not_show_is_a_persons_all_the_same(
    database, place, world, merchant, sold, keep
):
    """It may lie in M-Pesa's queue: that nothing is there proves nothing."""
    with database.transaction() as session:
        refund_id = put(session, sold, "created", {}).id
    place.restore(keep(), RESTORED_AT)
    work = world(place.database, RESTORED_AT)
    check_due_refunds(work)
    answer = state_answer(work, asked(place.database, refund_id), "Completed", sold.receipt)
    assert answer == "no_verdict"
    with place.database.reading() as session:
        assert session.get_one(Refund, refund_id).state == RefundState.UNKNOWN


@pytest.mark.parametrize("kind", [RefundKind.REVERSAL, RefundKind.PAYOUT])
def test_a_refund_of_which_no_row_is_left_is_not_sent_anew(
    database, place, world, merchant, sold, keep, kind
):
    """Asked for and sent after the backup, and asked for again by somebody who finds it missing."""
    ask = {"amount_cents": 50_000} if kind is RefundKind.PAYOUT else {}
    path = keep()
    with database.transaction() as session:
        lost_id = ask_refund(session, sold.admin, sold.payment, **ask).id
    go_on(world(database), lost_id, "created", sold)
    cents = sent_cents(merchant)

    place.restore(path, RESTORED_AT)
    work = world(place.database, RESTORED_AT)
    before = database_snapshot(place.database)
    assert ask_again(place.database, sold, work.now(), **ask) == "refunds_held"
    assert database_snapshot(place.database) == before
    let_days_pass(work)
    assert sent_cents(merchant) == cents


def test_a_refund_that_failed_and_was_asked_for_anew_after_the_backup_is_not_sent_anew(
    database, place, world, merchant, sold, keep
):
    with database.transaction() as session:
        failed = ask_refund(session, sold.admin, sold.payment)
        send(session, failed)
        assert hear(session, failed, did_not_go()) == "failed"
    path = keep()
    with database.transaction() as session:
        anew = ask_refund(session, sold.admin, sold.payment, now=after(hours=1)).id
    go_on(world(database), anew, "created", sold)
    place.restore(path, RESTORED_AT)
    assert ask_again(place.database, sold, RESTORED_AT) == "refunds_held"
    let_days_pass(world(place.database, RESTORED_AT))
    assert sent_cents(merchant) == PAID


def test_a_refund_by_hand_may_be_noted_while_others_are_held(database, place, sold, keep):
    place.restore(keep(), RESTORED_AT)
    with place.database.transaction() as session:
        payment = session.get_one(Payment, sold.payment.id)
        refund = ask_refund(session, sold.admin, payment, method=RefundKind.BY_HAND)
        record_by_hand(session, actor_of(sold.admin), refund.id, "UKM0000OUT", RESTORED_AT)
        assert refund.state == RefundState.SUCCEEDED
    with place.database.reading() as session:
        assert audit(session, RESTORED_AT) == []


def test_a_refund_by_hand_that_was_still_to_be_done_may_have_been_done(
    database, place, world, sold, keep
):
    with database.transaction() as session:
        refund_id = ask_refund(session, sold.admin, sold.payment, method=RefundKind.BY_HAND).id
    place.restore(keep(), RESTORED_AT)
    let_days_pass(world(place.database, RESTORED_AT))
    with place.database.transaction() as session:
        refund = session.get_one(Refund, refund_id)
        assert (refund.state, refund.next_check_at) == ("unknown", None)
        assert session.scalars(select(MpesaRequest)).all() == []
        record_not_gone(session, actor_of(sold.admin), refund_id, "Not there.", RESTORED_AT)
        with pytest.raises(Conflict):
            reject_refund(session, actor_of(sold.admin), refund_id, "No", RESTORED_AT)
        assert refund.state == RefundState.FAILED


def test_a_refund_that_slips_by_is_held_when_it_is_sent(
    database, place, world, merchant, sold, keep
):
    """The last guard: whoever put it there, begin_sending sends nothing meanwhile."""
    place.restore(keep(), RESTORED_AT)
    with place.database.transaction() as session:
        (restore,) = held_restores(session)
        restore.refunds_released_at = RESTORED_AT
        session.flush()
        payment = session.get_one(Payment, sold.payment.id)
        refund_id = ask_refund(session, sold.admin, payment, now=RESTORED_AT).id
        restore.refunds_released_at = None
    work = world(place.database, RESTORED_AT)
    for _ in range(3):
        assert send_refund(work, refund_id) is None
    let_days_pass(work, days=1)
    assert sent_cents(merchant) == 0
    with place.database.reading() as session:
        refund = session.get_one(Refund, refund_id)
        assert refund.state == RefundState.CREATED
        assert refund.result_desc.startswith("It waits: the shop was restored from a backup")
        told = select(RefundEvent).where(RefundEvent.source == "restore")
        assert len(session.scalars(told).all()) == 1

    with place.database.transaction() as session:
        waiting = release_refunds(
            session, mpesa_numbers(work.config), work.now(), although="I looked."
        )
        assert waiting == 1
        assert refunds_are_held(session) is False
    check_due_refunds(work)
    assert sent_cents(merchant) == PAID
    with place.database.reading() as session:
        refund = session.get_one(Refund, refund_id)
        assert (refund.state, refund.result_desc) == ("pending", None)


# Letting them go again


STATEMENT_AT = after(hours=30)


def bring(work: Work, admin, *rows: dict) -> None:
    import_statement(
        work,
        actor_of(admin),
        file_of(classic(*rows, above=preamble(last="23-11-2026", reported="23-11-2026 18:00:00"))),
        "statement.csv",
    )


def test_refunds_stay_held_until_m_pesas_statement_of_the_lost_time_was_read(
    database, place, world, merchant, sold, keep
):
    path = keep()
    with database.transaction() as session:
        lost_id = ask_refund(session, sold.admin, sold.payment).id
    go_on(world(database), lost_id, "created", sold)
    place.restore(path, RESTORED_AT)
    work = world(place.database, STATEMENT_AT)
    numbers = mpesa_numbers(work.config)

    with place.database.transaction() as session:
        (restore,) = held_restores(session)
        forgotten = find_forgotten(session, restore, numbers)
        assert [(gap.since, gap.until) for gap in forgotten.gaps] == [
            (NOW - timedelta(minutes=10), RESTORED_AT + timedelta(minutes=15))
        ]
        with refused(session, Conflict, "refunds_stay_held"):
            release_refunds(session, numbers, STATEMENT_AT)

    bring(work, sold.admin, reversed_("UKM0000REV", sold.receipt))
    with place.database.transaction() as session:
        (restore,) = held_restores(session)
        forgotten = find_forgotten(session, restore, numbers)
        assert forgotten.gaps == []
        assert [line.receipt for line in forgotten.lines] == ["UKM0000REV"]
        with refused(session, Conflict, "refunds_stay_held"):
            release_refunds(session, numbers, STATEMENT_AT)

    with place.database.transaction() as session:
        payment = session.get_one(Payment, sold.payment.id)
        noted = ask_refund(session, sold.admin, payment, method=RefundKind.BY_HAND)
        record_by_hand(session, actor_of(sold.admin), noted.id, "UKM0000REV", STATEMENT_AT)
    with place.database.transaction() as session:
        assert release_refunds(session, numbers, STATEMENT_AT, actor_id=sold.admin.id) == 0
        (restore,) = session.scalars(select(Restore)).all()
        assert (restore.refunds_released_at, restore.released_by) == (STATEMENT_AT, sold.admin.id)
        task = session.scalars(select(Task).where(Task.dedupe_key == f"restored:{restore.id}"))
        assert task.one().status == "done"
        with refused(session, Conflict, "refunds_not_held"):
            release_refunds(session, numbers, STATEMENT_AT)
    assert ask_again(place.database, sold, STATEMENT_AT) == "already_refunded"
    assert sent_cents(merchant) == PAID


def test_a_reversal_on_the_statement_ends_the_doubt_about_its_refund(
    database, place, world, merchant, sold, keep
):
    with database.transaction() as session:
        refund_id = put(session, sold, "awaiting_approval", {}).id
    path = keep()
    go_on(world(database), refund_id, "awaiting_approval", sold)
    place.restore(path, RESTORED_AT)
    work = world(place.database, STATEMENT_AT)
    bring(work, sold.admin, reversed_("UKM0000REV", sold.receipt))
    with place.database.transaction() as session:
        refund = session.get_one(Refund, refund_id)
        assert (refund.state, refund.refund_receipt) == ("succeeded", "UKM0000REV")
        assert release_refunds(session, mpesa_numbers(work.config), STATEMENT_AT) == 0
    with place.database.reading() as session:
        assert audit(session, STATEMENT_AT) == []
    assert sent_cents(merchant) == PAID


def test_a_payout_on_the_statement_waits_for_a_person_who_says_which_it_is(
    database, place, world, merchant, sold, keep
):
    """Its conversation is one that nobody here knows any more."""
    with database.transaction() as session:
        refund_id = put(session, sold, "created", {"amount_cents": 50_000}).id
    path = keep()
    go_on(world(database), refund_id, "created", sold)
    place.restore(path, RESTORED_AT)
    work = world(place.database, STATEMENT_AT)
    numbers = mpesa_numbers(work.config)
    (ask,) = merchant.payouts
    bring(work, sold.admin, paid_out("UKM0000OUT", ask.originator_id))
    with place.database.transaction() as session:
        assert session.get_one(Refund, refund_id).state == RefundState.UNKNOWN
        with refused(session, Conflict, "refunds_stay_held"):
            release_refunds(session, numbers, STATEMENT_AT)
        record_by_hand(session, actor_of(sold.admin), refund_id, "UKM0000OUT", STATEMENT_AT)
        assert release_refunds(session, numbers, STATEMENT_AT) == 0
    let_days_pass(work)
    assert sent_cents(merchant) == 50_000
    with place.database.reading() as session:
        assert audit(session, STATEMENT_AT) == []


def test_a_statement_of_one_number_says_nothing_of_the_other(database, place, world, sold, keep):
    place.restore(keep(), RESTORED_AT)
    work = world(place.database, STATEMENT_AT)
    work = replace(work, config=replace(work.config, mpesa_b2c_shortcode="600000"))
    numbers = mpesa_numbers(work.config)
    bring(work, sold.admin, reversed_("UKM0000REV", "UKM000OTHER", amount="-5.00"))
    with place.database.transaction() as session:
        (restore,) = held_restores(session)
        assert len(find_forgotten(session, restore, numbers).gaps) == 1
        with refused(session, Conflict, "refunds_stay_held"):
            release_refunds(session, numbers, STATEMENT_AT)
        # a person may decide, and what he says is kept
        release_refunds(session, numbers, STATEMENT_AT, although="Nothing was paid out that day.")
        (restore,) = session.scalars(select(Restore)).all()
        assert restore.release_reason == "Nothing was paid out that day."


# The other precautions


def test_open_prompts_are_asked_about_at_once_and_none_is_sent_again(
    database, place, world, gateway, keep
):
    with database.transaction() as session:
        shop = make_product(session, stock=9)
        pushed = ask_to_pay(session, buy(session, make_buyer(session), (shop, 1)))
        unsent = ask_to_pay(session, buy(session, make_buyer(session), (shop, 1)), pushed=False)
        for payment in (pushed, unsent):
            payment.next_check_at = after(days=9)
        ids = pushed.id, unsent.id
    restored = place.restore(keep(), RESTORED_AT)
    assert restored.precautions.asked_payments == 2
    with place.database.reading() as session:
        due = session.scalars(select(Payment.next_check_at)).all()
    assert due == [RESTORED_AT, RESTORED_AT]
    let_days_pass(world(place.database, RESTORED_AT))
    assert gateway.pushes == []
    assert gateway.queries[0] == f"ws_CO_{ids[0]}"


def test_unpaid_orders_wait_a_day_longer_for_money_that_may_have_come(database, place, keep):
    with database.transaction() as session:
        order_id = buy(session, make_buyer(session), (make_product(session), 1)).id
    restored = place.restore(keep(), RESTORED_AT)
    assert restored.precautions.waiting_orders == 1
    with place.database.reading() as session:
        order = session.get_one(Order, order_id)
        assert (order.status, order.expires_at) == ("pending", RESTORED_AT + timedelta(days=1))


def test_everybody_is_signed_out(database, place, keep, sold):
    with database.transaction() as session:
        for number, revoked_at in enumerate((None, after(minutes=-1))):
            session.add(
                LoginSession(
                    id=f"{number}" * 32,
                    user_id=sold.buyer.id,
                    refresh_jti="jti",
                    created_at=NOW,
                    expires_at=after(days=30),
                    revoked_at=revoked_at,
                    revoked_reason="signed_out" if revoked_at else None,
                )
            )
    restored = place.restore(keep(), RESTORED_AT)
    assert restored.precautions.ended_sessions == 1
    with place.database.reading() as session:
        found = session.execute(
            select(LoginSession.revoked_at, LoginSession.revoked_reason).order_by(LoginSession.id)
        ).all()
    assert [tuple(row) for row in found] == [
        (RESTORED_AT, "restored_from_backup"),
        (after(minutes=-1), "signed_out"),
    ]


def test_what_waits_to_be_told_is_told_under_the_same_id(database, place, world, webhooks, keep):
    with database.transaction() as session:
        delivery = make_delivery(session, make_webhook(session))
        delivery.next_attempt_at = NOW
        before = public_id_of(session, delivery)
    place.restore(keep(), RESTORED_AT)
    with place.database.reading() as session:
        found = session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.id)).first()
        assert (found.state, found.next_attempt_at) == ("pending", NOW)
        assert public_id_of(session, found) == before


def public_id_of(session, delivery) -> str:
    return session.get_one(WebhookEvent, delivery.event_id).public_id


def test_m_pesas_list_is_read_from_the_backup_on_even_if_it_never_was_before(
    database, place, world, merchant, keep
):
    place.restore(keep(), RESTORED_AT)
    work = world(place.database, after(days=5))
    pull_statements(work)
    since, until, _offset = merchant.pulls[0]
    assert since == NOW - timedelta(hours=6)
    assert until == since + timedelta(hours=48)


def test_money_that_came_after_the_backup_is_found_on_m_pesas_list(
    database, place, world, merchant, keep
):
    with database.transaction() as session:
        order = buy(session, make_buyer(session), (make_product(session), 1))
        order_id, number, cents = order.id, order.number, order.total_cents
    place.restore(keep(), RESTORED_AT)
    merchant.listed.append(
        PulledRow(
            receipt="UKM0000NEW",
            amount_cents=cents,
            transacted_at=after(hours=1),
            msisdn="254712345678",
            bill_reference=number,
            kind="Pay Bill Online",
            sender="WANJIKU",
        )
    )
    work = world(place.database, RESTORED_AT)
    sweep(work)
    pull_statements(work)
    with place.database.reading() as session:
        assert session.get_one(Order, order_id).status == "paid"
        assert audit(session, work.now()) == []


def test_a_move_holds_nothing(database, place, world, merchant, sold, keep):
    with database.transaction() as session:
        put(session, sold, "created", {})
        session.execute(update(Payment).values(next_check_at=None))
    restored = place.restore(keep(), RESTORED_AT, moved=True)
    assert restored.precautions is None
    with place.database.reading() as session:
        assert refunds_are_held(session) is False
    check_due_refunds(world(place.database, RESTORED_AT))
    assert sent_cents(merchant) == PAID


def test_a_refund_that_is_over_stays_as_it_is(database, place, sold, keep):
    with database.transaction() as session:
        refund_whole(session, sold)
    before = database_snapshot(database)
    restored = place.restore(keep(), RESTORED_AT)
    assert restored.precautions.doubtful_refunds == 0
    rows = place.rows()
    for name in ("refund_events", "ledger_events", "ledger_entries", "mpesa_receipts"):
        assert rows[name] == before[name]
