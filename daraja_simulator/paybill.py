"""The C2B desk: payments by the menu of a phone, validations, and confirmations."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import islice

from daraja_simulator import results
from daraja_simulator.apis import Api
from daraja_simulator.c2b_outcomes import TABLE, C2bPlan, Order
from daraja_simulator.c2b_request import PaymentRequest, ResponseType
from daraja_simulator.core import Core
from daraja_simulator.delivery import Delivery, Letter, LetterKind
from daraja_simulator.ledger import Kind, Movement
from daraja_simulator.merchants import Merchant
from daraja_simulator.money import book_payment
from daraja_simulator.notices import ACCEPTED, Notice, Verdict, build_notice, read_verdict
from daraja_simulator.payments import Payment, PaymentState
from daraja_simulator.people import name_of
from daraja_simulator.registrations import Registrations

log = logging.getLogger("daraja_simulator")

START_SECONDS = 1.0
BETWEEN_SECONDS = 1.0  # of a confirmation and the callback of the same push

Judge = Callable[[Verdict], None]


class Paybill:
    def __init__(self, core: Core) -> None:
        self._core = core
        self.registrations = Registrations(core)
        self._payments: dict[str, Payment] = {}
        self._counts: Counter[str] = Counter()

    # --- payments by the menu ---

    def payments(self) -> list[Payment]:
        """All there are, oldest first."""
        with self._core.lock:
            return list(self._payments.values())

    def newest(self, count: int) -> list[Payment]:
        with self._core.lock:
            return list(islice(reversed(self._payments.values()), count))

    def find_payment(self, transaction_id: str) -> Payment | None:
        with self._core.lock:
            return self._payments.get(transaction_id)

    def start_payment(self, request: PaymentRequest, seconds: float = START_SECONDS) -> Payment:
        """The customer enters amount and PIN; so many seconds later M-Pesa begins."""
        core, phone = self._core, request.phone
        with core.lock:
            self._counts[phone] += 1
            facts = (phone, self._counts[phone])
            outcome = core.script.take(Api.C2B, TABLE, phone)
            plan = core.script.bend_payment(outcome.plan, core.dice.named("c2b faults", *facts))
            now = core.clock.now()
            dice = core.dice.named("c2b ids", *facts, int(now.timestamp()))
            transaction_id = core.make_receipt(dice, now)
            payment = Payment(
                merchant=request.merchant,
                phone=phone,
                amount=request.amount,
                account=request.account,
                outcome_name=outcome.name,
                plan=self._fit_plan(plan, request),
                transaction_id=transaction_id,
                created_at=now,
            )
            self._payments[transaction_id] = payment
        core.timetable.add(seconds, lambda: self._begin(payment), f"payment {transaction_id}")
        return payment

    def replay(self, payment: Payment, times: int, *, at_once: bool) -> list[Delivery]:
        """Deliver the confirmation of a completed payment again, whatever its plan says."""
        letter = self._letter_of(payment)
        if letter is None:
            raise ValueError("The payment has no confirmation.")
        return self._core.courier.post_and_wait(letter, times, at_once=at_once)

    def reset(self) -> None:
        """Forget payments. Call with the core's lock held."""
        self._payments.clear()
        self._counts.clear()

    # --- what the other desks ask for ---

    def is_asked(self, merchant: Merchant) -> bool:
        """Whether the shop wants to be asked before money moves, and where is known."""
        return (
            self._core.config.external_validation and self.registrations.find(merchant) is not None
        )

    def ask(self, notice: Notice, judge: Judge, *, lost: bool = False) -> None:
        """Post a validation; `judge` is called with the verdict, from another thread."""
        core, registration = self._core, self.registrations.find(notice.merchant)
        if registration is None:
            raise ValueError("Nobody registered to be asked.")
        is_completed = registration.response_type is ResponseType.COMPLETED
        body = build_notice(notice, core.config.phone_shape, registration.version)
        letter = Letter(
            LetterKind.VALIDATION,
            notice.transaction_id,
            notice.merchant.shortcode,
            registration.validation_url,
            body,
        )

        def then(delivery: Delivery) -> None:
            judge(read_verdict(delivery) or Verdict(ACCEPTED if is_completed else ""))

        core.courier.ask(letter, core.config.validation_seconds, then, lost=lost)

    def plan_confirmation(self, movement: Movement) -> C2bPlan:
        """What becomes of the confirmation of a paid push."""
        core, receipt = self._core, movement.receipt
        outcome = core.script.take(Api.C2B, TABLE, movement.party)
        plan = core.script.bend_payment(outcome.plan, core.dice.named("c2b faults", receipt))
        order = plan.confirmation.order or core.config.confirm_express
        if order is Order.BY_CHANCE:
            order = core.dice.named("order", receipt).choice((Order.BEFORE, Order.AFTER))
        return replace(plan, confirmation=replace(plan.confirmation, order=order))

    def letter_about(
        self, movement: Movement, merchant: Merchant, plan: C2bPlan, third_party_id: str = ""
    ) -> Letter | None:
        """The confirmation of money that moved; None where nobody registered to be told."""
        notice = Notice(
            movement.receipt,
            merchant,
            movement.party,
            int(movement.amount),
            movement.account_reference,
            movement.moved_at,
            third_party_id,
            movement.balance_cents,
        )
        return self._confirmation(notice, plan)

    # --- inside ---

    def _fit_plan(self, plan: C2bPlan, request: PaymentRequest) -> C2bPlan:
        if request.amount > self._core.config.maximum_amount:
            return replace(plan, result=results.ABOVE_MAXIMUM, is_forged=False)
        return plan

    def _begin(self, payment: Payment) -> None:
        plan = payment.plan
        if not plan.result.is_success:
            self._finish(payment, PaymentState.FAILED, plan.result.code)
            if plan.is_forged:
                self._forge(payment)
        elif not self._asks(payment):
            self._complete(payment)

    def _asks(self, payment: Payment) -> bool:
        """Ask the shop, if it wants to be; what it says decides, and comes by another thread."""
        with self._core.lock:
            if not self.is_asked(payment.merchant):
                return False
            payment.state = PaymentState.VALIDATING
            self.ask(
                self._notice_of(payment),
                lambda said: self._judge(payment, said),
                lost=payment.plan.is_validation_lost,
            )
            return True

    def _judge(self, payment: Payment, said: Verdict) -> None:
        if said.code == ACCEPTED:
            payment.third_party_id = said.third_party_id
            self._complete(payment)
        elif said.code:
            self._finish(payment, PaymentState.REJECTED, said.code)
        else:
            self._finish(payment, PaymentState.CANCELLED, None)

    def _complete(self, payment: Payment) -> None:
        core, merchant = self._core, payment.merchant
        with core.lock:
            if self._payments.get(payment.transaction_id) is not payment:
                return  # forgotten by a reset while the shop was thinking
            movement = book_payment(
                core,
                Movement(
                    kind=Kind.C2B,
                    receipt=payment.transaction_id,
                    shortcode=merchant.shortcode,
                    cents=payment.amount * 100,
                    party=payment.phone,
                    party_name=str(name_of(payment.phone)),
                    initiated_at=payment.created_at,
                    moved_at=core.clock.now(),
                    receiver=merchant.receiver,
                    account_reference=payment.account,
                ),
            )
            self._finish(payment, PaymentState.COMPLETED, ACCEPTED)
            letter = self.letter_about(movement, merchant, payment.plan, payment.third_party_id)
            payment.confirmation_body = letter.body if letter else None
        if letter is not None:
            core.send(letter, payment.plan.confirmation)

    def _finish(self, payment: Payment, state: PaymentState, code: str | None) -> None:
        with self._core.lock:
            payment.state, payment.result_code = state, code
            payment.ended_at = self._core.clock.now()
        log.info("payment %s ended: %s", payment.transaction_id, state.value)

    def _forge(self, payment: Payment) -> None:
        balance = self._core.ledger.balance_of(payment.merchant.shortcode).utility_cents
        notice = replace(self._notice_of(payment), balance_cents=balance + payment.amount * 100)
        letter = self._confirmation(notice, payment.plan)
        if letter is not None:
            self._core.send(letter, payment.plan.confirmation)

    def _notice_of(self, payment: Payment) -> Notice:
        return Notice(
            payment.transaction_id,
            payment.merchant,
            payment.phone,
            payment.amount,
            payment.account,
            self._core.clock.now(),
        )

    def _confirmation(self, notice: Notice, plan: C2bPlan) -> Letter | None:
        registration = self.registrations.find(notice.merchant)
        if registration is None:
            return None
        shape, disguise = self._core.config.phone_shape, plan.confirmation.disguise
        return Letter(
            LetterKind.CONFIRMATION,
            notice.transaction_id,
            notice.merchant.shortcode,
            registration.confirmation_url,
            build_notice(notice, shape, registration.version, disguise),
        )

    def _letter_of(self, payment: Payment) -> Letter | None:
        registration = self.registrations.find(payment.merchant)
        if registration is None or payment.confirmation_body is None:
            return None
        return Letter(
            LetterKind.CONFIRMATION,
            payment.transaction_id,
            payment.merchant.shortcode,
            registration.confirmation_url,
            payment.confirmation_body,
        )
