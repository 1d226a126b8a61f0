"""Each defence of money and stock earns its place: with it a story ends well, without it badly.

A story is an ordinary test. Its switch takes one defence away, and then the story has to fail:
with an assertion, or with the error of the next defence behind it, which the table names. A defence
whose story passes without it would be none, or would be one that nothing holds us to.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import select, text, true, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from app.controllers import idempotency
from app.errors import Conflict
from app.integrations.mpesa import MpesaUncertain
from app.jobs import check_payment as check_job
from app.jobs import hear_callback, registry
from app.jobs import process_message as message_job
from app.jobs import push as push_job
from app.jobs.work import Work
from app.models import (
    Account,
    InboxMessage,
    InboxSource,
    LedgerEntry,
    MpesaReceipt,
    Order,
    Pace,
    Payment,
    PaymentState,
    Product,
    Task,
)
from app.policies import Role
from app.ports import PushStatus, Verdict
from app.services import (
    answered_prompts,
    apply_callback,
    due_payments,
    end_order,
    find_account,
    hold_stock,
    move_order,
    place_order,
    read_orders,
    receipts,
    receive_money,
    request_payment,
    sell_stock,
    settle_payment,
    use_money,
)
from app.services.audit import audit
from app.services.confirm_payment import confirm_payment
from app.services.end_order import cancel_order, expire_order
from app.services.fail_payment import fail_payment
from app.services.inbox import ReceivedMessage, is_secret_of_payment
from app.services.move_order import fulfil_order
from app.services.payment_evidence import Failure, Proof
from app.services.receipts import ReceiptFacts
from app.services.record_push import record_refusal
from app.services.sell_stock import release_stock
from app.utils.callback_secret import CallbackSecret
from tests.controllers.callers import caller
from tests.core import (
    after,
    ask_to_pay,
    books,
    buy,
    counts,
    is_clean,
    make_buyer,
    paid_claim,
    pay,
    push_ids,
    receipt_of,
    task_kinds,
)
from tests.factories import NOW, actor_of, make_product, make_user
from tests.inbox import keep_message
from tests.races.starting_line import tally, together
from tests.safaricom import callback_body

TOTAL = 150_000
FAILED = Failure("query", PaymentState.FAILED, "1037", "DS timeout", "We could not reach you.")
QUERIED = Proof("query", "0", "Done")


@dataclass
class Stage:
    """A shop with one product, and one buyer with an order for one unit of it."""

    work: Work
    session: Any
    boots: Product
    buyer: Any
    order: Order
    settings: Any

    @property
    def gateway(self) -> Any:
        return self.work.ports.gateway


Switch = Callable[[Any, pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Defence:
    story: Callable[[Any], None]
    take_away: Switch
    next_line: tuple[type[Exception], ...] = ()
    """What stands behind it and says no in its place."""


@pytest.fixture
def stage(session, config, database, clock, gateway, doorbell, ports):
    boots = make_product(session, name="Boots", stock=5, price_cents=TOTAL)
    buyer = make_buyer(session, phone_number="254712345678")
    work = Work(database, ports, replace(config, mpesa_queries_per_second=1000))
    return Stage(work, session, boots, buyer, buy(session, buyer, (boots, 1)), config)


def replaced(module: Any, name: str, value: Any) -> Switch:
    """Another value under a name of the shop; ``sorted`` stands in for Python's own."""

    def take_away(at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, name, value, raising=name != "sorted")

    return take_away


def every(*switches: Switch) -> Switch:
    def take_away(at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        for switch in switches:
            switch(at, monkeypatch)

    return take_away


# --- the stories ---


def the_same_callback_twice(at: Stage) -> None:
    prompt = ask_to_pay(at.session, at.order)
    assert [pay(at.session, prompt), pay(at.session, prompt)] == ["settled", "already_settled"]
    assert is_clean(at.session)


def a_receipt_of_another_payment(at: Stage) -> None:
    first = ask_to_pay(at.session, at.order)
    pay(at.session, first)
    other = ask_to_pay(at.session, buy(at.session, at.buyer, (at.boots, 1)), after(minutes=5))
    answer = pay(at.session, other, after(minutes=6), receipt=receipt_of(first.id))
    assert answer == "receipt_conflict"
    assert is_clean(at.session)


def a_callback_with_a_wrong_secret(at: Stage) -> None:
    prompt = ask_to_pay(at.session, at.order)
    assert not is_secret_of_payment(at.session, prompt.id, CallbackSecret("guessed"))


def a_callback_for_one_shilling(at: Stage) -> None:
    prompt = ask_to_pay(at.session, at.order)
    assert pay(at.session, prompt, amount_cents=100) == "held_for_review"
    assert at.order.status == "pending"


def a_callback_with_other_ids(at: Stage) -> None:
    prompt = ask_to_pay(at.session, at.order)
    assert pay(at.session, prompt, checkout_request_id="ws_CO_somebody") == "mismatched"
    assert at.order.status == "pending"


def a_forged_success_is_found_out_before_the_goods_leave(at: Stage) -> None:
    prompt = ask_to_pay(at.session, at.order)
    pay(at.session, prompt)
    at.session.refresh(prompt)
    assert prompt.next_check_at == after(seconds=5)
    answer = PushStatus(Verdict.FAILED, "1032", "Request cancelled by user")
    confirm_payment(at.session, prompt.id, answer, after(seconds=5))
    admin = actor_of(make_user(at.session, Role.ADMIN))
    with pytest.raises(Conflict, match="disputes the payment"):
        fulfil_order(at.session, admin, at.order.id, "shipped", NOW)


def late_money_for_an_expired_order(at: Stage) -> None:
    prompt = ask_to_pay(at.session, at.order)
    fail_payment(at.session, prompt.id, FAILED, NOW)
    expire_order(at.session, at.order.id, after(minutes=15))
    pay(at.session, prompt, after(minutes=20))
    assert at.order.status == "paid"
    assert counts(at.session, at.boots) == (4, 0)
    assert is_clean(at.session, after(minutes=20))


def late_money_for_what_is_sold_out(at: Stage) -> None:
    prompt = ask_to_pay(at.session, at.order)
    fail_payment(at.session, prompt.id, FAILED, NOW)
    expire_order(at.session, at.order.id, after(minutes=15))
    buy(at.session, make_buyer(at.session), (at.boots, 5))
    pay(at.session, prompt, after(minutes=20))
    assert (at.order.status, task_kinds(at.session)) == ("expired", ["late_money"])
    assert counts(at.session, at.boots) == (5, 5)
    assert is_clean(at.session, after(minutes=20))


def an_order_whose_prompt_is_out_does_not_expire(at: Stage) -> None:
    ask_to_pay(at.session, at.order)
    assert expire_order(at.session, at.order.id, after(hours=1)) is False
    assert at.order.status == "pending"


def money_wins_over_a_failure(at: Stage) -> None:
    prompt = ask_to_pay(at.session, at.order)
    fail_payment(at.session, prompt.id, FAILED, NOW)
    pay(at.session, prompt)
    assert at.order.status == "paid"


def a_second_prompt_while_one_is_out(at: Stage) -> None:
    ask_to_pay(at.session, at.order)
    with pytest.raises(Conflict) as caught:
        ask_to_pay(at.session, at.order, after(minutes=4), msisdn="254799000111")
    assert caught.value.code == "payment_in_progress"


def two_orders_that_ring_one_phone(at: Stage) -> None:
    ask_to_pay(at.session, at.order, msisdn="254799000111")
    other = buy(at.session, at.buyer, (at.boots, 1))
    with pytest.raises(Conflict) as caught:
        ask_to_pay(at.session, other, msisdn="254799000111")
    assert caught.value.code == "phone_busy"


def a_prompt_that_was_paid_in_part_asks_for_the_rest(at: Stage) -> None:
    facts = ReceiptFacts("UKM0PART01", 40_000, "c2b", at.order.number)
    receive_money.receive_money(at.session, facts, NOW)
    assert ask_to_pay(at.session, at.order).amount_cents == 110_000


def an_account_number_with_a_slip(at: Stage) -> None:
    number = at.order.number
    wrong = ("2" if number[0] != "2" else "3") + number[1:]
    facts = ReceiptFacts("UKM0000PAY", TOTAL, "c2b", wrong)
    assert receive_money.receive_money(at.session, facts, NOW) == "unmatched"
    assert at.order.status == "pending"


def a_confirmation_that_repeats_a_callback(at: Stage) -> None:
    prompt = ask_to_pay(at.session, at.order)
    pay(at.session, prompt)
    facts = ReceiptFacts(receipt_of(prompt.id), TOTAL, "c2b", at.order.number)
    assert receive_money.receive_money(at.session, facts, after(minutes=1)) == "known"
    assert is_clean(at.session)


def a_friend_pays_by_paybill_while_the_prompt_is_out(at: Stage) -> None:
    prompt = ask_to_pay(at.session, at.order)
    facts = ReceiptFacts("UKM0000PAY", TOTAL, "c2b", at.order.number, payer_phone="2541 ***** 999")
    receive_money.receive_money(at.session, facts, NOW)
    pay(at.session, prompt, after(minutes=1))
    held = select(LedgerEntry.amount_cents).where(LedgerEntry.account == Account.MPESA)
    assert sum(at.session.scalars(held)) == 2 * TOTAL


def part_payments_of_an_order_that_expires(at: Stage) -> None:
    facts = ReceiptFacts("UKM0PART01", 40_000, "c2b", at.order.number)
    receive_money.receive_money(at.session, facts, NOW)
    expire_order(at.session, at.order.id, after(hours=1))
    assert is_clean(at.session, after(hours=1))


def too_much_is_owed_back(at: Stage) -> None:
    facts = ReceiptFacts("UKM0000PAY", TOTAL + 20_000, "c2b", at.order.number)
    receive_money.receive_money(at.session, facts, NOW)
    assert books(at.session, at.order)[-1] == ("sale", Account.REFUNDS_DUE, -20_000)


def stock_is_given_back_once(at: Stage) -> None:
    cancel_order(at.session, actor_of(at.buyer), at.order.id, NOW)
    release_stock(at.session, at.order.id, NOW)
    assert counts(at.session, at.boots) == (5, 0)


def the_books_are_never_rewritten(at: Stage) -> None:
    pay(at.session, ask_to_pay(at.session, at.order))
    with pytest.raises(DBAPIError, match="append-only"), at.session.begin_nested():
        at.session.execute(update(LedgerEntry).values(amount_cents=0))


def what_nobody_knows_goes_to_a_person(at: Stage) -> None:
    prompt = ask_to_pay(at.session, at.order)
    now = after(days=1)
    due_payments.note_no_verdict(at.session, prompt.id, "4999", check_job.schedule_of(at.work), now)
    assert task_kinds(at.session) == ["unknown_payment"]
    assert is_clean(at.session, after(hours=26))


def _let_histories_be_rewritten(at: Stage, _monkeypatch: pytest.MonkeyPatch) -> None:
    if at.session.get_bind().dialect.name == "sqlite":
        at.session.execute(text("DROP TRIGGER ledger_entries_no_update"))
    else:
        name = "ledger_entries_append_only"
        at.session.execute(text(f"ALTER TABLE ledger_entries DISABLE TRIGGER {name}"))


DEFENCES: dict[str, Defence] = {
    "state guard of a settlement": Defence(
        the_same_callback_twice,
        replaced(settle_payment, "_MAY_SUCCEED", tuple(PaymentState)),
        (IntegrityError,),
    ),
    "one receipt, one payment": Defence(
        a_receipt_of_another_payment,
        replaced(settle_payment, "judge_receipt", lambda *_: receipts.Standing.OURS),
        (RuntimeError,),
    ),
    "secret in the callback's address": Defence(
        a_callback_with_a_wrong_secret,
        replaced(CallbackSecret, "matches", lambda *_: True),
    ),
    "amount of a callback": Defence(
        a_callback_for_one_shilling, replaced(apply_callback, "_amount_fits", lambda *_: True)
    ),
    "ids of a callback": Defence(
        a_callback_with_other_ids, replaced(apply_callback, "_find_mismatch", lambda *_: None)
    ),
    "query back after a callback": Defence(
        a_forged_success_is_found_out_before_the_goods_leave,
        replaced(apply_callback, "CONFIRM_AFTER", after(days=999) - NOW),
    ),
    "late money takes the stock again": Defence(
        late_money_for_an_expired_order, replaced(use_money, "_revive", lambda *_: False)
    ),
    "late money never oversells": Defence(
        late_money_for_what_is_sold_out,
        replaced(sell_stock, "_all_there", lambda *_, **__: True),
        (IntegrityError,),
    ),
    "expiry waits for a prompt": Defence(
        an_order_whose_prompt_is_out_does_not_expire,
        replaced(end_order, "live_attempt_of", lambda _: Payment.id < 0),
    ),
    "money wins": Defence(
        money_wins_over_a_failure,
        replaced(settle_payment, "_MAY_SUCCEED", ("created", "pending", "unknown")),
    ),
    "one live prompt an order": Defence(
        a_second_prompt_while_one_is_out,
        replaced(request_payment, "live_attempt_of", lambda _: Payment.id < 0),
        (IntegrityError,),
    ),
    "one prompt a phone": Defence(
        two_orders_that_ring_one_phone,
        replaced(request_payment, "_refuse_harassment", lambda *_: None),
    ),
    "the ledger says what is due": Defence(
        a_prompt_that_was_paid_in_part_asks_for_the_rest,
        replaced(
            request_payment,
            "money_of",
            lambda _, ids: dict.fromkeys(ids, read_orders.OrderMoney()),
        ),
    ),
    "no account is guessed": Defence(
        an_account_number_with_a_slip,
        replaced(
            receive_money,
            "find_account",
            lambda session, typed: (
                find_account.suggest_orders(
                    session, ReceiptFacts("UKM0000STR", TOTAL, "c2b", typed), NOW
                )[0].order_id
            ),
        ),
    ),
    "one register for all roads": Defence(
        a_confirmation_that_repeats_a_callback,
        replaced(receive_money, "find_receipt", lambda *_: None),
        (IntegrityError,),
    ),
    "whose money answers a prompt": Defence(
        a_friend_pays_by_paybill_while_the_prompt_is_out,
        replaced(answered_prompts, "_may_answer", lambda *_: True),
    ),
    "part payments are set aside": Defence(
        part_payments_of_an_order_that_expires,
        replaced(end_order, "set_money_aside", lambda *_: None),
    ),
    "what is too much is owed back": Defence(
        too_much_is_owed_back,
        replaced(use_money, "book_sale", lambda *_: 0),
    ),
    "stock is given back once": Defence(
        stock_is_given_back_once,
        replaced(sell_stock, "_end", lambda session, *_: [(session.scalar(select(Product.id)), 1)]),
        (IntegrityError,),
    ),
    "histories are append-only": Defence(
        the_books_are_never_rewritten,
        _let_histories_be_rewritten,
    ),
    "a person after a day": Defence(
        what_nobody_knows_goes_to_a_person,
        replaced(due_payments, "_hand_over", lambda *_: None),
    ),
}


@pytest.mark.parametrize("name", DEFENCES)
def test_the_story_ends_well(stage, name):
    DEFENCES[name].story(stage)


@pytest.mark.parametrize("name", DEFENCES)
def test_without_the_defence_it_does_not(stage, monkeypatch, name):
    ends_badly(DEFENCES[name], stage, monkeypatch)


def ends_badly(defence: Defence, at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    defence.take_away(at, monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception, *defence.next_line)):
        defence.story(at)


# --- stories of several transactions: jobs, and requests over HTTP ---


@dataclass
class Shop:
    """The same shop, committed, with its jobs and its web client."""

    work: Work
    client: Any
    buyer: Any
    headers: dict[str, str]
    boots_id: int
    order_id: int

    def reading(self) -> Any:
        return self.work.database.reading()

    def ask_to_pay(self) -> int:
        """A prompt that is out."""
        with self.work.database.transaction() as session:
            return ask_to_pay(session, session.get_one(Order, self.order_id)).id

    def status(self) -> str:
        with self.reading() as session:
            return session.get_one(Order, self.order_id).status

    def payment(self, payment_id: int) -> Payment:
        with self.reading() as session:
            return session.get_one(Payment, payment_id)

    def hear(self, source: InboxSource, body: bytes, payment_id: int | None) -> int:
        message = ReceivedMessage(source, body, {}, None, payment_id)
        with self.work.database.transaction() as session:
            return keep_message(session, message, self.work.now()).id


@pytest.fixture
def shop(database, app, client, work, clock):
    clock.now = NOW
    buyer, headers = caller(client, database)
    with database.transaction() as session:
        boots = make_product(session, stock=5, price_cents=TOTAL)
        order = buy(session, buyer, (boots, 1))
    return Shop(work, client, buyer, headers, boots.id, order.id)


@pytest.fixture
def work(config, database, ports):
    return Work(database, ports, replace(config, mpesa_queries_per_second=1000))


def a_callback_that_never_comes(at: Shop) -> None:
    payment_id = at.ask_to_pay()
    at.work.ports.gateway.says(push_ids(payment_id)[1], "0")
    at.work.ports.clock.advance(seconds=31)
    registry.sweep(at.work)
    assert at.status() == "paid"


def a_worker_that_died_before_it_read_a_callback(at: Shop) -> None:
    payment_id = at.ask_to_pay()
    body = callback_body(*push_ids(payment_id))
    at.hear(InboxSource.STK_CALLBACK, body, payment_id)
    at.work.ports.clock.advance(seconds=3)
    registry.sweep(at.work)
    assert at.status() == "paid"


def an_order_that_nobody_pays_expires(at: Shop) -> None:
    at.work.ports.clock.advance(minutes=16)
    registry.sweep(at.work)
    assert at.status() == "expired"


def a_query_without_a_verdict(at: Shop) -> None:
    payment_id = at.ask_to_pay()
    at.work.ports.clock.advance(seconds=31)
    registry.sweep(at.work)
    assert at.payment(payment_id).status == "pending"


def a_push_whose_answer_is_lost(at: Shop) -> None:
    at.work.ports.gateway.push_error = MpesaUncertain("No answer: ReadTimeout")
    ask = {"order_id": at.order_id}
    at.client.post("/api/mpesa/stkpush", headers=at.headers, json=ask)
    at.work.ports.gateway.push_error = None
    at.client.post("/api/mpesa/stkpush", headers=at.headers, json=ask)
    assert len(at.work.ports.gateway.pushes) == 1


def a_process_that_dies_at_the_push(at: Shop) -> None:
    """What was asked is on record before Safaricom hears of it."""

    def die(_ask: object) -> None:
        with at.reading() as session:
            on_record.extend(session.scalars(select(Payment.status)))

    on_record: list[str] = []
    at.work.ports.gateway.on_push = die
    ask = {"order_id": at.order_id}
    at.client.post("/api/mpesa/stkpush", headers=at.headers, json=ask)
    assert on_record == ["created"]


def an_unsigned_claim_of_success(at: Shop) -> None:
    payment_id = at.ask_to_pay()
    body = callback_body(*push_ids(payment_id))
    message_id = at.hear(InboxSource.UNSIGNED_CALLBACK, body, None)
    message_job.process_message(at.work, message_id)
    assert at.status() == "pending"


def one_key_twice(at: Shop) -> None:
    ask = {"products": [{"product_id": at.boots_id, "quantity": 1}]}
    headers = {**at.headers, "Idempotency-Key": "tap"}
    for _ in range(2):
        at.client.post("/api/orders", headers=headers, json=ask)
    with at.reading() as session:
        assert len(session.scalars(select(Order.id)).all()) == 2  # one was there before


def a_message_that_cannot_be_read_now_is_not_lost(at: Shop) -> None:
    payment_id = at.ask_to_pay()
    message_id = at.hear(InboxSource.STK_CALLBACK, b"{", payment_id)
    message_job.process_message(at.work, message_id)
    with at.reading() as session:
        assert session.get_one(InboxMessage, message_id).body == b"{"
        assert session.scalars(select(Task.kind)).all() == ["unreadable_callback"]


def somebody_elses_order(at: Shop) -> None:
    _, stranger = caller(at.client, at.work.database)
    answer = at.client.post("/api/mpesa/stkpush", headers=stranger, json={"order_id": at.order_id})
    assert answer.status_code == 404


def _no_verdict_is_failure(at: Shop, _monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = at.work.ports.gateway
    answer = PushStatus(Verdict.FAILED, "4999", "The transaction is still under processing")
    gateway.query = lambda _id: answer


def _failed_on_silence(session: Any, payment_id: int, message: str, now: Any) -> None:
    record_refusal(session, payment_id, code=None, message=message, customer_message=None, now=now)


def _believe_unsigned(session: Any, checkout_request_id: str, now: Any) -> int:
    found = select(Payment).where(Payment.checkout_request_id == checkout_request_id)
    payment = session.scalars(found).one()
    apply_callback.apply_callback(session, payment.id, paid_claim(payment), now)
    return int(payment.id)


def _without_sweep_of(name: str) -> Switch:
    parts = tuple(part for part in registry._SWEEPS if part.__name__ != name)
    assert len(parts) == len(registry._SWEEPS) - 1, name
    return replaced(registry, "_SWEEPS", parts)


DEFENCES_OF_MANY_STEPS: dict[str, Defence] = {
    "reconciler": Defence(a_callback_that_never_comes, _without_sweep_of("check_due_payments")),
    "sweep of the inbox": Defence(
        a_worker_that_died_before_it_read_a_callback,
        _without_sweep_of("process_waiting_messages"),
    ),
    "expiry": Defence(an_order_that_nobody_pays_expires, _without_sweep_of("expire_due_orders")),
    "three-valued query": Defence(a_query_without_a_verdict, _no_verdict_is_failure),
    "a lost answer is unknown, not failed": Defence(
        a_push_whose_answer_is_lost, replaced(push_job, "record_silence", _failed_on_silence)
    ),
    "unsigned callbacks prove nothing": Defence(
        an_unsigned_claim_of_success,
        replaced(hear_callback, "weigh_unsigned_claim", _believe_unsigned),
    ),
    "idempotency keys": Defence(
        one_key_twice,
        replaced(idempotency, "claim", lambda _session: idempotency.Claim(None)),
    ),
    "a person is told of what nobody can read": Defence(
        a_message_that_cannot_be_read_now_is_not_lost,
        replaced(hear_callback, "report_unreadable", lambda *_: "unreadable"),
    ),
    "orders are scoped to their buyer": Defence(
        somebody_elses_order, replaced(move_order, "visible_orders", lambda _actor: true())
    ),
}


@pytest.mark.parametrize("name", DEFENCES_OF_MANY_STEPS)
def test_a_story_of_many_steps_ends_well(shop, name):
    DEFENCES_OF_MANY_STEPS[name].story(shop)


@pytest.mark.parametrize("name", DEFENCES_OF_MANY_STEPS)
def test_without_the_defence_a_story_of_many_steps_does_not(shop, monkeypatch, name):
    ends_badly(DEFENCES_OF_MANY_STEPS[name], shop, monkeypatch)


def test_a_prompt_is_on_record_before_the_network_is_used(shop):
    a_process_that_dies_at_the_push(shop)


# --- races, on the database that locks rows ---


@dataclass
class Crowd:
    """Many buyers at once."""

    database: Any


@pytest.fixture
def crowd(database, database_kind):
    if database_kind == "sqlite":
        pytest.skip("SQLite lets one writer in at a time: nothing to race for")
    return Crowd(database)


def _placing(database: Any, buyer: Any, lines: list[tuple[Product, int]]) -> Callable[[], str]:
    def place() -> str:
        with database.transaction() as session:
            buy(session, buyer, *lines)
        return "placed"

    return place


def buyers_of_the_last_units(at: Crowd) -> None:
    with at.database.transaction() as session:
        boots = make_product(session, stock=3)
        buyers = [make_buyer(session) for _ in range(16)]
    answers = together([_placing(at.database, buyer, [(boots, 1)]) for buyer in buyers])
    assert tally(answers) == {"placed": 3, "out_of_stock": 13}


def baskets_in_opposite_order(at: Crowd) -> None:
    with at.database.transaction() as session:
        products = [make_product(session, stock=1000) for _ in range(4)]
        buyers = [make_buyer(session) for _ in range(16)]
    forth = [(product, 1) for product in products]
    for _ in range(6):
        answers = together(
            [
                _placing(at.database, buyer, forth if number % 2 else forth[::-1])
                for number, buyer in enumerate(buyers)
            ]
        )
        assert tally(answers) == {"placed": 16}


def one_callback_many_times_at_once(at: Crowd) -> None:
    with at.database.transaction() as session:
        order = buy(session, make_buyer(session), (make_product(session), 1))
        prompt = ask_to_pay(session, order)

    def settle() -> str:
        with at.database.transaction() as session:
            return pay(session, session.get_one(Payment, prompt.id))

    answers = tally(together([settle] * 12))
    assert answers == {"settled": 1, "already_settled": 11}


def one_phone_for_many_orders_at_once(at: Crowd) -> None:
    with at.database.transaction() as session:
        boots = make_product(session, stock=50)
        orders = [buy(session, make_buyer(session), (boots, 1)) for _ in range(8)]

    def ask(order: Order) -> Callable[[], str]:
        def run() -> str:
            with at.database.transaction() as session:
                ask_to_pay(session, order, msisdn="254799000111")
            return "rung"

        return run

    answers = tally(together([ask(order) for order in orders]))
    assert answers == {"rung": 1, "phone_busy": 7}


def one_receipt_by_two_roads_at_once(at: Crowd) -> None:
    with at.database.transaction() as session:
        order = buy(session, make_buyer(session), (make_product(session, price_cents=TOTAL), 1))
    facts = ReceiptFacts("UKM0000PAY", TOTAL, "c2b", order.number)

    def hear() -> str:
        with at.database.transaction() as session:
            return str(receive_money.receive_money(session, facts, NOW))

    assert tally(together([hear] * 8)) == {"booked": 1, "known": 7}
    with at.database.reading() as session:
        assert audit(session, NOW) == []
        assert session.scalars(select(MpesaReceipt.receipt)).all() == ["UKM0000PAY"]


def _take_what_was_seen(session: Any, wanted: Any) -> dict[int, Any]:
    """Read the stock, think about it, then write: what the conditional UPDATE is there against."""
    taken = {}
    for product_id in sorted(wanted):
        row = session.execute(select(*hold_stock.STANDING).where(Product.id == product_id)).one()
        time.sleep(0.05)
        if row.left >= wanted[product_id]:
            session.execute(
                update(Product)
                .where(Product.id == product_id)
                .values(reserved=Product.reserved + wanted[product_id])
            )
            taken[product_id] = hold_stock.HeldProduct(*row)
    return taken


def _lock_nothing(session: Any, payment_id: int) -> tuple[Order, Payment]:
    payment = session.get_one(Payment, payment_id)
    order = session.get_one(Order, payment.order_id)
    time.sleep(0.05)
    return order, payment


def _no_turns(_session: Any, name: str, now: Any) -> Pace:
    time.sleep(0.05)
    return Pace(name=name, next_at=now)


def _lock_no_order(session: Any, order_id: int) -> Order:
    order = session.get_one(Order, order_id)
    time.sleep(0.05)
    return order


DEFENCES_IN_A_CROWD: dict[str, Defence] = {
    "conditional UPDATE of stock": Defence(
        buyers_of_the_last_units, replaced(place_order, "take_units", _take_what_was_seen)
    ),
    "lock order of products": Defence(
        baskets_in_opposite_order, replaced(hold_stock, "sorted", list)
    ),
    "lock of the order": Defence(
        one_callback_many_times_at_once,
        every(
            replaced(apply_callback, "lock_payment", _lock_nothing),
            replaced(settle_payment, "lock_payment", _lock_nothing),
        ),
    ),
    "turns at a phone": Defence(
        one_phone_for_many_orders_at_once, replaced(request_payment, "lock_pace", _no_turns)
    ),
    "lock of the order of paybill money": Defence(
        one_receipt_by_two_roads_at_once, replaced(receive_money, "lock_order", _lock_no_order)
    ),
}


@pytest.mark.parametrize("name", DEFENCES_IN_A_CROWD)
def test_a_crowd_is_served_rightly(crowd, name):
    DEFENCES_IN_A_CROWD[name].story(crowd)


@pytest.mark.parametrize("name", DEFENCES_IN_A_CROWD)
def test_without_the_defence_a_crowd_is_not(crowd, monkeypatch, name):
    ends_badly(DEFENCES_IN_A_CROWD[name], crowd, monkeypatch)
