"""The STK desk: takes pushes, rings phones, moves the money of who pays, owes callbacks."""

import logging
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from daraja_simulator import results, wire
from daraja_simulator.apis import Api
from daraja_simulator.c2b_outcomes import C2bPlan, Order
from daraja_simulator.callbacks import build_callback
from daraja_simulator.core import Core
from daraja_simulator.delivery import Delivery, Letter, LetterKind
from daraja_simulator.ledger import Kind, Movement
from daraja_simulator.merchants import Merchant
from daraja_simulator.money import CENTS, book_payment
from daraja_simulator.notices import ACCEPTED, Notice, Verdict
from daraja_simulator.outcomes import SECOND_RESULT_SECONDS, TABLE, Answer, Outcome, Plan
from daraja_simulator.paybill import BETWEEN_SECONDS, Paybill
from daraja_simulator.people import name_of
from daraja_simulator.posting import Posting
from daraja_simulator.prompt_book import PromptBook
from daraja_simulator.prompts import Prompt
from daraja_simulator.push_request import PushRequest
from daraja_simulator.results import Result
from daraja_simulator.wire import Refused

log = logging.getLogger("daraja_simulator")

_PAIRING_SECONDS = 1.0  # M-Pesa refuses a wrong pairing before any phone rings


class Express:
    def __init__(self, core: Core, paybill: Paybill) -> None:
        self._core = core
        self._paybill = paybill
        self.book = PromptBook()
        self._on_phone: dict[str, Prompt] = {}
        self._push_counts: Counter[str] = Counter()
        self._token_rejected: set[str] = set()

    # --- what happens to a prompt ---

    def take_push(self, push: PushRequest, merchant: Merchant) -> Prompt:
        """Ring the phone, or raise Refused: then nothing rings and no money will move."""
        core = self._core
        with core.lock:
            if push.phone in self._on_phone:
                raise Refused(wire.SUBSCRIBER_LOCKED)
            self._push_counts[push.phone] += 1
            facts = (push.phone, self._push_counts[push.phone])
            outcome = core.script.take(Api.EXPRESS, TABLE, push.phone)
            plan = core.script.bend_push(outcome.plan, core.dice.named("faults", *facts))
            if plan.refusal:
                raise Refused(plan.refusal)
            if plan.rejects_token_once and self._rejects_token(push.phone):
                raise Refused(wire.INVALID_TOKEN)
            plan = self._fit_plan(plan, push, merchant)
            prompt = self._make_prompt(push, merchant, outcome, plan)
            self.book.enter(prompt)
            self._on_phone[push.phone] = prompt
            if plan.answer is not Answer.AFTER_CALLBACK:
                core.timetable.add(
                    self._seconds_until_end(plan),
                    lambda: self._end_as_planned(prompt),
                    f"end of prompt {prompt.checkout_request_id}",
                )
            return prompt

    def end_prompt(self, prompt: Prompt, plan: Plan) -> bool:
        """End it now, by that plan; false if it had ended already, or was forgotten by a reset."""
        with self._core.lock:
            if prompt.result is not None or prompt.is_ending or not self._is_known(prompt):
                return False
            prompt.plan = plan
            if self._asks_first(prompt):
                self._ask(prompt)
                return True
            self._conclude(prompt, plan.result)
        self._after_end(prompt, plan)
        return True

    def end_before_answering(self, prompt: Prompt) -> None:
        """End it and have its callback delivered before this returns.

        The shop is not asked whether it wants the money: it still waits for this very answer.
        """
        with self._core.lock:
            if prompt.result is not None:
                return  # a person was quicker, and the callback is on its way
            self._conclude(prompt, prompt.plan.result)
        self._confirm(prompt)
        letter, plan = self._letter_of(prompt), prompt.plan.callback
        if plan.copies:
            self._core.courier.post_and_wait(letter, plan.copies, at_once=plan.at_once)
        else:
            self._core.courier.lose(letter)

    def tell_after_query(self, prompt: Prompt) -> None:
        """A query has told the end: a callback that waited for this may go."""
        with self._core.lock:
            is_owed, prompt.is_callback_owed = prompt.is_callback_owed, False
        if is_owed:
            self._core.send(self._letter_of(prompt), replace(prompt.plan.callback, delay_seconds=1))

    def replay(self, prompt: Prompt, times: int, *, at_once: bool) -> list[Delivery]:
        """Deliver the callback of an ended prompt again, whatever its plan says."""
        return self._core.courier.post_and_wait(self._letter_of(prompt), times, at_once=at_once)

    def reset(self) -> None:
        """Forget prompts. Call with the core's lock held."""
        self.book.clear()
        self._on_phone.clear()
        self._push_counts.clear()
        self._token_rejected.clear()

    # --- inside ---

    def _rejects_token(self, phone: str) -> bool:
        """Every other push, so that the retry passes and the next payment meets it again."""
        if phone in self._token_rejected:
            self._token_rejected.remove(phone)
            return False
        self._token_rejected.add(phone)
        return True

    def _fit_plan(self, plan: Plan, push: PushRequest, merchant: Merchant) -> Plan:
        """What the merchant got wrong ends the prompt, whatever the payer would have done."""
        result: Result | None = None
        if push.transaction_type is not merchant.transaction_type:
            result = results.NOT_PERMITTED
        elif push.receiver != merchant.receiver:
            result = results.UNKNOWN_PARTY
        elif push.is_over_long:
            result = results.NOT_SENT
        elif push.amount > self._core.config.maximum_amount:
            result = results.ABOVE_MAXIMUM
        if result is None:
            return plan
        return replace(plan, result=result, end_seconds=_PAIRING_SECONDS, waits=False, then=None)

    def _seconds_until_end(self, plan: Plan) -> float:
        config = self._core.config
        if plan.waits:
            return config.prompt_seconds
        return config.answer_seconds if plan.end_seconds is None else plan.end_seconds

    def _make_prompt(
        self, push: PushRequest, merchant: Merchant, outcome: Outcome, plan: Plan
    ) -> Prompt:
        now = self._core.clock.now()
        how_manieth = self._push_counts[push.phone]
        dice = self._core.dice.named("ids", push.phone, how_manieth, int(now.timestamp()))
        checkout_request_id = wire.make_checkout_id(dice, now, push.phone)
        while self.book.find(checkout_request_id) is not None:
            checkout_request_id = wire.make_checkout_id(dice, now, push.phone)
        return Prompt(
            merchant=merchant,
            push=push,
            outcome_name=outcome.name,
            plan=plan,
            how_manieth=how_manieth,
            merchant_request_id=wire.make_request_id(dice),
            checkout_request_id=checkout_request_id,
            created_at=now,
            expires_at=now + timedelta(seconds=self._seconds_until_end(plan)),
        )

    def _end_as_planned(self, prompt: Prompt) -> None:
        self.end_prompt(prompt, prompt.plan)  # it may have ended by a person's hand: no matter

    def _is_known(self, prompt: Prompt) -> bool:
        return self.book.find(prompt.checkout_request_id) is prompt

    def _asks_first(self, prompt: Prompt) -> bool:
        is_paying = prompt.plan.result.is_success and not self._is_duplicate(prompt.push)
        asks = self._core.config.validate_express and self._paybill.is_asked(prompt.merchant)
        return asks and is_paying

    def _ask(self, prompt: Prompt) -> None:
        """Ask the shop whether it wants the money; the prompt ends when that is known."""
        prompt.is_ending = True
        now = self._core.clock.now()
        prompt.receipt = self._core.make_receipt(self._dice_of(prompt, prompt.plan.result), now)
        push = prompt.push
        notice = Notice(
            prompt.receipt,
            prompt.merchant,
            push.phone,
            push.amount,
            _account_of(prompt),
            now,
        )
        self._paybill.ask(notice, lambda said: self._judge(prompt, said))

    def _judge(self, prompt: Prompt, said: Verdict) -> None:
        plan = prompt.plan
        with self._core.lock:
            if not self._is_known(prompt):
                return
            if said.code != ACCEPTED:
                plan = replace(plan, result=results.refused_by_shop(said.code), then=None)
                prompt.plan, prompt.receipt = plan, None
            self._conclude(prompt, plan.result)
        self._after_end(prompt, plan, said.third_party_id)

    def _after_end(self, prompt: Prompt, plan: Plan, third_party_id: str = "") -> None:
        second = plan.then
        if second is not None:
            self._core.timetable.add(
                SECOND_RESULT_SECONDS,
                lambda: self._second_end(prompt, second),
                f"second end of prompt {prompt.checkout_request_id}",
            )
        self._tell(prompt, third_party_id)

    def _second_end(self, prompt: Prompt, result: Result) -> None:
        with self._core.lock:
            if not self._is_known(prompt):
                return
            self._conclude(prompt, result)
        self._tell(prompt)

    def _conclude(self, prompt: Prompt, result: Result) -> None:
        """Set the result, move the money of a success, free the phone, print the callback."""
        push, now = prompt.push, self._core.clock.now()
        if result.is_success and self._is_duplicate(push):
            result = results.DUPLICATE
        dice = self._dice_of(prompt, result)
        if result.is_success:
            prompt.receipt = prompt.receipt or self._core.make_receipt(dice, now)
            prompt.movement = book_payment(self._core, _movement(prompt, prompt.receipt, now))
        prompt.result, prompt.ended_at = result, now
        prompt.callback_body = build_callback(prompt, dice, now)
        self.book.note_end(prompt)
        if self._on_phone.get(push.phone) is prompt:
            del self._on_phone[push.phone]
        log.info("prompt %s ended: %s", prompt.checkout_request_id, result.code)

    def _dice_of(self, prompt: Prompt, result: Result) -> Random:
        facts = (prompt.checkout_request_id, prompt.merchant_request_id, result.code)
        return self._core.dice.named("end", *facts)

    def _is_duplicate(self, push: PushRequest) -> bool:
        """Judged when the payer would pay, against the last money of that phone and amount."""
        last = self._core.ledger.last_of(push.phone, push.amount)
        if last is None:
            return False
        passed = self._core.clock.seconds_since(last.moved_at)
        return passed < self._core.config.duplicate_window_seconds

    def _letter_of(self, prompt: Prompt) -> Letter:
        if prompt.callback_body is None:
            raise ValueError("A prompt that still waits has no callback.")
        return Letter(
            LetterKind.CALLBACK,
            prompt.checkout_request_id,
            prompt.merchant.shortcode,
            prompt.push.callback_url,
            prompt.callback_body,
        )

    def _tell(self, prompt: Prompt, third_party_id: str = "") -> None:
        """The callback, and for money the confirmation too: which is first, the plan knows."""
        order = self._confirm(prompt, third_party_id)
        posting: Posting = prompt.plan.callback
        if order is Order.BEFORE:
            posting = replace(posting, delay_seconds=posting.delay_seconds + BETWEEN_SECONDS)
        if prompt.plan.callback.after_query and posting.copies:
            prompt.is_callback_owed = True
        else:
            self._core.send(self._letter_of(prompt), posting)

    def _confirm(self, prompt: Prompt, third_party_id: str = "") -> Order:
        """Send the C2B confirmation of a push that was paid; when it comes about the callback."""
        movement = prompt.movement
        if movement is None:
            return Order.NEVER
        plan: C2bPlan = self._paybill.plan_confirmation(movement)
        order = plan.confirmation.order or Order.NEVER
        if order is Order.NEVER:
            return order
        letter = self._paybill.letter_about(movement, prompt.merchant, plan, third_party_id)
        if letter is None:
            return Order.NEVER
        posting = plan.confirmation
        if order is Order.AFTER:
            posting = replace(posting, delay_seconds=posting.delay_seconds + BETWEEN_SECONDS)
        self._core.send(letter, posting)
        return order


def _account_of(prompt: Prompt) -> str:
    return "" if prompt.merchant.till else prompt.push.account_reference


def _movement(prompt: Prompt, receipt: str, now: datetime) -> Movement:
    push = prompt.push
    return Movement(
        kind=Kind.EXPRESS,
        receipt=receipt,
        shortcode=prompt.merchant.shortcode,
        cents=push.amount * CENTS,
        party=push.phone,
        party_name=str(name_of(push.phone)),
        initiated_at=prompt.created_at,
        moved_at=now,
        receiver=push.receiver,
        account_reference=push.account_reference,
        merchant_request_id=prompt.merchant_request_id,
        checkout_request_id=prompt.checkout_request_id,
    )
