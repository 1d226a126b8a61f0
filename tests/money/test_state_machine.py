"""Orders, prompts, paybill money, refunds, clocks and crashes in any order: the invariants hold.

Hypothesis drives the real services. Beside them stands what is true at M-Pesa: which money really
moved. After every step the audit finds nothing and no money is booked that never moved; in the end,
when all news has come at last, every shilling that moved is in the books once.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import event, func, select

from app.errors import AppError
from app.models import (
    Account,
    LedgerEntry,
    MpesaReceipt,
    Order,
    OrderStatus,
    Payment,
    PaymentKind,
    PaymentState,
    Product,
    ReceiptState,
    Refund,
    RefundState,
    User,
)
from app.policies import Role
from app.ports import PushStatus, Verdict
from app.services.apply_callback import apply_callback
from app.services.audit import AuditLimits, audit
from app.services.confirm_payment import confirm_payment
from app.services.due_payments import end_check, note_no_verdict
from app.services.end_order import cancel_order, expire_order
from app.services.fail_payment import fail_payment
from app.services.move_order import fulfil_order
from app.services.payment_evidence import Failure, Proof, Settlement, lock_payment
from app.services.read_orders import due_shillings, money_of
from app.services.receipts import ReceiptFacts, find_receipt
from app.services.receive_money import receive_money
from app.services.record_push import record_acceptance, record_refusal, record_silence
from app.services.refund_money import give_money_back, refunded_cents_of
from app.services.request_payment import PaymentRequest, PaymentRules, request_payment
from app.services.settle_payment import settle_payment
from app.services.unmatched_money import attach_money, dismiss_money
from app.utils.callback_secret import CallbackSecret
from app.utils.money import CENTS_PER_SHILLING
from tests.core import SCHEDULE, buy, failed_claim, paid_claim, push_ids
from tests.factories import NOW, actor_of, make_product, make_user

RULES = PaymentRules(
    max_amount_shillings=250_000,
    prompts_per_phone_10_minutes=100,
    prompts_per_phone_day=1000,
    first_check_seconds=30,
)
MINUTES = (1, 5, 20, 70, 1500)
LIMITS = AuditLimits(open_payment_seconds=90_000)
UNSWEPT = AuditLimits(open_payment_seconds=90_000 + MINUTES[-1] * 60)
"""When the clock has moved on, and nobody has yet looked at what became due meanwhile."""
FAILURE = Failure("callback", PaymentState.CANCELLED, "1032", "Request cancelled by user", "No.")
PROOF = Proof("query", "0", "The service request is processed successfully.")
EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "6"))
STEPS = int(os.environ.get("MACHINE_STEPS", "30"))

picks = st.integers(0, 9)
crashes = st.none() | st.integers(1, 60)


class Crash(Exception):
    """The process died here."""


@dataclass
class Moved:
    """Money that really moved at M-Pesa, whatever anybody says."""

    receipt: str
    cents: int
    typed: str | None
    phone: str
    moved_at: datetime
    prompt_id: int | None = None


class Shop(RuleBasedStateMachine):
    def __init__(self, database) -> None:
        super().__init__()
        self.database = database
        self.session = database._sessions()
        self.session.connection(execution_options={"sqlite_begin": "IMMEDIATE"})
        self.now = NOW
        self.moved: dict[str, Moved] = {}
        self.given_back = 0
        self.reached: set[int] = set()
        self.ended: dict[int, str] = {}
        self.refunds = 0
        self.limits = LIMITS

    def teardown(self) -> None:
        try:
            self._tell_everything()
        finally:
            self.session.rollback()
            self.session.close()

    # --- how a step is taken ---

    @contextmanager
    def _dying_at(self, statement: int | None) -> Iterator[None]:
        """The process dies as it is about to send its n-th statement."""
        left = [statement]

        def count(*_: object) -> None:
            if left[0] is not None:
                left[0] -= 1
                if left[0] == 0:
                    raise Crash

        event.listen(self.database.engine, "before_cursor_execute", count)
        try:
            yield
        finally:
            event.remove(self.database.engine, "before_cursor_execute", count)

    def _do(self, act: Callable[[], object], crash: int | None = None) -> object:
        """One transaction; if it dies in the middle it is rolled back, and done again."""
        if crash is not None:
            try:
                with self.session.begin_nested(), self._dying_at(crash):
                    act()
                    self.session.flush()
                    self._die()  # before the commit at the latest
            except (Crash, AppError):
                self.session.expire_all()
            self._holds()
        try:
            with self.session.begin_nested():
                answer = act()
                self.session.flush()
        except AppError as refusal:
            answer = refusal
        self.session.expire_all()
        return answer

    @staticmethod
    def _die() -> None:
        raise Crash

    def _pick(self, model: type, pick: int, *conditions) -> object | None:
        rows = self.session.scalars(select(model).where(*conditions).order_by(model.id)).all()
        return rows[-1 - pick % len(rows)] if rows else None

    # --- the steps ---

    @initialize(stock=st.integers(3, 6))
    def open(self, stock: int) -> None:
        self.admin = actor_of(make_user(self.session, Role.ADMIN))
        self.buyers = [make_user(self.session, phone_number=f"25471234567{n}") for n in range(2)]
        self.products = [
            make_product(self.session, stock=stock, price_cents=cents) for cents in (99_975, 50_000)
        ]

    @rule(buyer=picks, product=picks, units=st.integers(1, 3), crash=crashes)
    def order(self, buyer: int, product: int, units: int, crash: int | None) -> None:
        who = self.buyers[buyer % 2]
        what = self.products[product % 2]
        self._do(lambda: buy(self.session, who, (what, units), now=self.now), crash)

    @rule(pick=picks, push=st.sampled_from(["accepted", "lost", "refused", "died"]), crash=crashes)
    def ask_to_pay(self, pick: int, push: str, crash: int | None) -> None:
        order = self._pick(Order, pick)
        if order is None:
            return
        actor = actor_of(self.session.get_one(User, order.user_id))
        ask = PaymentRequest(order.id, f"2547{99 + len(self.ended):08d}")
        asked = self._do(
            lambda: (
                request_payment(self.session, actor, ask, CallbackSecret("s"), RULES, self.now).id
            ),
            crash,
        )
        if not isinstance(asked, int):
            return
        if push in ("accepted", "lost"):
            self.reached.add(asked)
        if push == "accepted":
            self._do(
                lambda: record_acceptance(self.session, asked, *push_ids(asked), self.now), crash
            )
        elif push == "lost":
            self._do(lambda: record_silence(self.session, asked, "No answer", self.now))
        elif push == "refused":
            self._do(
                lambda: record_refusal(
                    self.session,
                    asked,
                    code="500.003.02",
                    message="System is busy",
                    customer_message="Later.",
                    now=self.now,
                )
            )

    def _unanswered(self) -> list[int]:
        return sorted(self.reached - self.ended.keys())

    @precondition(lambda self: self._unanswered())
    @rule(pick=picks, pays=st.booleans())
    def the_payer_answers(self, pick: int, pays: bool) -> None:
        waiting = self._unanswered()
        prompt = self.session.get_one(Payment, waiting[-1 - pick % len(waiting)])
        self.ended[prompt.id] = "paid" if pays else "failed"
        if pays:
            number = self.session.get_one(Order, prompt.order_id).number
            self._move(prompt.amount_cents, number, prompt.msisdn or "", prompt.id)

    def _move(
        self, cents: int, typed: str | None, phone: str, prompt_id: int | None = None
    ) -> None:
        receipt = f"UKM{len(self.moved):07d}"
        self.moved[receipt] = Moved(receipt, cents, typed, phone, self.now, prompt_id)

    @rule(
        pick=picks,
        part=st.sampled_from(["due", "half", "more"]),
        typed=st.sampled_from(["right", "right", "wrong", "none"]),
    )
    def somebody_pays_by_paybill(self, pick: int, part: str, typed: str) -> None:
        order = self._pick(Order, pick)
        if order is None:
            return
        due = due_shillings(order, money_of(self.session, [order.id])[order.id]) or 100
        shillings = {"due": due, "half": max(1, due // 2), "more": due + 70}[part]
        number = {"right": order.number.lower(), "wrong": "RENT", "none": None}[typed]
        phone = self.buyers[pick % 2].phone_number
        self._move(shillings * CENTS_PER_SHILLING, number, phone or "")

    @precondition(lambda self: self.ended)
    @rule(pick=picks, crash=crashes)
    def a_callback_comes(self, pick: int, crash: int | None) -> None:
        prompt_id = sorted(self.ended)[-1 - pick % len(self.ended)]
        prompt = self.session.get_one(Payment, prompt_id)
        claim = failed_claim(prompt, FAILURE)
        if self.ended[prompt_id] == "paid":
            money = next(one for one in self.moved.values() if one.prompt_id == prompt_id)
            claim = paid_claim(prompt, receipt=money.receipt)
        self._do(lambda: apply_callback(self.session, prompt_id, claim, self.now), crash)

    @precondition(lambda self: self.ended)
    @rule(pick=picks, crash=crashes)
    def a_callback_lies_about_the_amount(self, pick: int, crash: int | None) -> None:
        prompt_id = sorted(self.ended)[-1 - pick % len(self.ended)]
        prompt = self.session.get_one(Payment, prompt_id)
        claim = paid_claim(
            prompt, amount_cents=prompt.amount_cents + 100, receipt=f"LIE{prompt_id:07d}"
        )
        self._do(lambda: apply_callback(self.session, prompt_id, claim, self.now), crash)

    @rule(pick=picks, crash=crashes)
    def a_query_is_answered(self, pick: int, crash: int | None) -> None:
        """As the reconciler asks: what is due, and has an id to ask by."""
        prompt = self._pick(
            Payment, pick, Payment.kind == PaymentKind.STK_PUSH, Payment.next_check_at.is_not(None)
        )
        if prompt is not None:
            self._do(lambda: self._hear_query(prompt.id), crash)

    def _hear_query(self, prompt_id: int) -> None:
        prompt = self.session.get_one(Payment, prompt_id)
        end = self.ended.get(prompt_id) if prompt.checkout_request_id else None
        verdict = {"paid": Verdict.PAID, "failed": Verdict.FAILED, None: Verdict.NONE}[end]
        status = PushStatus(verdict, "0" if end == "paid" else "1032", "")
        if prompt.status == PaymentState.SUCCEEDED:
            confirm_payment(self.session, prompt_id, status, self.now)
        elif verdict is Verdict.NONE:
            note_no_verdict(self.session, prompt_id, "4999", SCHEDULE, self.now)
        else:
            outcome = (
                settle_payment(self.session, prompt_id, PROOF, self.now)
                if verdict is Verdict.PAID
                else fail_payment(self.session, prompt_id, FAILURE, self.now)
            )
            end_check(self.session, prompt_id, self.now)
            if outcome is Settlement.ALREADY_FINAL:
                confirm_payment(self.session, prompt_id, status, self.now)

    @precondition(lambda self: self.moved)
    @rule(
        pick=picks,
        road=st.sampled_from(["c2b", "pull", "statement"]),
        shown=st.sampled_from(["masked", "whole", "nothing"]),
        crash=crashes,
    )
    def money_is_reported(self, pick: int, road: str, shown: str, crash: int | None) -> None:
        money = list(self.moved.values())[-1 - pick % len(self.moved)]
        self._do(lambda: self._report(money, road, shown), crash)

    def _report(self, money: Moved, road: str, shown: str) -> None:
        phones = {"masked": f"2547 ***** {money.phone[-3:]}", "whole": money.phone, "nothing": None}
        facts = ReceiptFacts(
            receipt=money.receipt,
            amount_cents=money.cents,
            source=road,
            bill_reference=None if road == "statement" else money.typed,
            transacted_at=money.moved_at,
            payer_phone=phones[shown],
        )
        receive_money(self.session, facts, self.now)

    @rule(pick=picks, crash=crashes)
    def cancel(self, pick: int, crash: int | None) -> None:
        order = self._pick(Order, pick, Order.status == OrderStatus.PENDING)
        if order is not None:
            self._do(lambda: cancel_order(self.session, self.admin, order.id, self.now), crash)

    @rule(minutes=st.sampled_from(MINUTES), crash=crashes)
    def time_passes(self, minutes: int, crash: int | None) -> None:
        self.now += timedelta(minutes=minutes)
        self.limits = UNSWEPT
        for order_id in self.session.scalars(select(Order.id).order_by(Order.id)).all():
            self._do(partial(expire_order, self.session, order_id, self.now), crash)
        due = select(Payment.id).where(Payment.next_check_at <= self.now)
        for prompt_id in self.session.scalars(due.order_by(Payment.id)).all():
            self._do(partial(self._hear_query, prompt_id))
        self.limits = LIMITS

    @rule(pick=picks, crash=crashes)
    def send(self, pick: int, crash: int | None) -> None:
        order = self._pick(Order, pick, Order.status == OrderStatus.PAID)
        if order is not None:
            shipped = OrderStatus.SHIPPED
            self._do(
                lambda: fulfil_order(self.session, self.admin, order.id, shipped, self.now), crash
            )

    def _stray(self) -> str | None:
        return self.session.scalars(
            select(MpesaReceipt.receipt)
            .where(MpesaReceipt.state == ReceiptState.UNMATCHED)
            .order_by(MpesaReceipt.receipt)
        ).first()

    @rule(pick=picks, attach=st.booleans(), crash=crashes)
    def an_admin_decides_on_stray_money(self, pick: int, attach: bool, crash: int | None) -> None:
        receipt, order = self._stray(), self._pick(Order, pick)
        if receipt is None or order is None:
            return

        def decide() -> None:
            row = find_receipt(self.session, receipt)
            if attach:
                attach_money(self.session, row, order, self.now, actor_id=self.admin.user_id)
            else:
                dismiss_money(self.session, row, "Rent", self.now, actor_id=self.admin.user_id)

        self._do(decide, crash)

    @rule(pick=picks, whole=st.booleans(), restock=st.booleans(), crash=crashes)
    def money_goes_back(self, pick: int, whole: bool, restock: bool, crash: int | None) -> None:
        payment = self._pick(
            Payment,
            pick,
            Payment.status == PaymentState.SUCCEEDED,
            Payment.mpesa_receipt.is_not(None),
        )
        if payment is None:
            return
        left = payment.amount_cents - refunded_cents_of(self.session, payment.mpesa_receipt)
        cents = left if whole else min(left, 1_000)
        self.refunds += 1
        self._do(lambda: self._refund(payment.id, cents, restock), crash)
        self.given_back += cents

    def _refund(self, payment_id: int, cents: int, restock: bool) -> None:
        order, payment = lock_payment(self.session, payment_id)
        refund = Refund(
            kind="payout",
            state=RefundState.SUCCEEDED,
            order_id=order.id,
            payment_id=payment.id,
            receipt=payment.mpesa_receipt,
            amount_cents=cents,
            reason="A wish",
            restock=restock,
            requested_by=self.admin.user_id,
            created_at=self.now,
            updated_at=self.now,
        )
        self.session.add(refund)
        self.session.flush()
        give_money_back(self.session, refund, order, payment, self.now)

    # --- what holds after every step ---

    @invariant()
    def _holds(self) -> None:
        assert audit(self.session, self.now, self.limits) == []
        for row in self.session.scalars(select(MpesaReceipt)):
            assert self.moved[row.receipt].cents == row.amount_cents, row.receipt
        paid_without_receipt = select(Payment.id).where(
            Payment.status == PaymentState.SUCCEEDED, Payment.mpesa_receipt.is_(None)
        )
        for payment_id in self.session.scalars(paid_without_receipt):
            assert self.ended[payment_id] == "paid", payment_id
        for product in self.session.scalars(select(Product)):
            assert product.on_hand >= product.reserved >= 0

    def _tell_everything(self) -> None:
        """Everything that moved is told at last, by M-Pesa's own list."""
        for money in self.moved.values():
            self._do(partial(self._report, money, "pull", "masked"))
        self._holds()
        held = self.session.scalar(
            select(func.coalesce(func.sum(LedgerEntry.amount_cents), 0)).where(
                LedgerEntry.account == Account.MPESA
            )
        )
        assert held == sum(one.cents for one in self.moved.values()) - self.given_back
        assert set(self.session.scalars(select(MpesaReceipt.receipt))) == set(self.moved)


@pytest.mark.timeout(3600)
def test_whatever_happens_in_whatever_order_every_shilling_is_explained(database):
    run_state_machine_as_test(
        lambda: Shop(database),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
