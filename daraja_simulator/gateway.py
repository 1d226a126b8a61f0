"""Safaricom's side of the counter: takes pushes, rings phones, moves money, owes callbacks."""

import itertools
import logging
import threading
import time
from collections import Counter, deque
from dataclasses import replace
from datetime import datetime, timedelta

from daraja_simulator import results, wire
from daraja_simulator.callbacks import build_callback
from daraja_simulator.clock import SimulatedClock
from daraja_simulator.config import RateAnswer, SimulatorConfig
from daraja_simulator.delivery import Courier, Delivery, Letter
from daraja_simulator.dice import Dice
from daraja_simulator.ledger import Ledger, Movement
from daraja_simulator.merchants import Merchant
from daraja_simulator.outcomes import SECOND_RESULT_SECONDS, Answer, Outcome, Plan
from daraja_simulator.prompts import Prompt
from daraja_simulator.push_request import Credentials, PushRequest
from daraja_simulator.results import Result
from daraja_simulator.script import Script
from daraja_simulator.timetable import Timetable
from daraja_simulator.tokens import TokenStore
from daraja_simulator.wire import Refused

log = logging.getLogger("daraja_simulator")

_PAIRING_SECONDS = 1.0  # M-Pesa refuses a wrong pairing before any phone rings


class Gateway:
    """Holds all state. One lock guards prompts and script; nothing is posted while it is held."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.clock = SimulatedClock(config.clock_factor, config.start_at)
        self.timetable = Timetable(self.clock)
        self.courier = Courier(self.clock, config.delivery_timeout_seconds)
        self.dice = Dice(config.seed)
        self.ledger = Ledger()
        self.tokens = TokenStore(
            self.clock, config.token_seconds, new_kills_old=config.new_token_kills_old
        )
        self.script = Script()
        self.lock = threading.RLock()
        self._prompts: dict[str, Prompt] = {}
        self._on_phone: dict[str, Prompt] = {}
        self._push_counts: Counter[str] = Counter()
        self._token_rejected: set[str] = set()
        self._recent_requests: deque[float] = deque()
        self._request_numbers = itertools.count()

    # --- what every call passes ---

    def make_request_id(self) -> str:
        return wire.make_request_id(self.dice.named("request", next(self._request_numbers)))

    def check_rate(self) -> None:
        """Raises Refused when more calls came in the last simulated second than are allowed."""
        limit = self.config.requests_per_second
        if limit is None:
            return
        with self.lock:
            now = self.clock.seconds()
            while self._recent_requests and self._recent_requests[0] <= now - 1:
                self._recent_requests.popleft()
            if len(self._recent_requests) >= limit:
                is_apigee = self.config.rate_answer is RateAnswer.APIGEE
                raise Refused(wire.APIGEE_SPIKE_ARREST if is_apigee else wire.SPIKE_ARREST)
            self._recent_requests.append(now)

    def identify(self, credentials: Credentials) -> Merchant:
        """Raises Refused for an unknown merchant or a password that does not match."""
        merchant = self.config.find_merchant(credentials.shortcode)
        if merchant is None:
            raise Refused(wire.NO_MERCHANT)
        if credentials.password != merchant.password_at(credentials.timestamp):
            raise Refused(wire.WRONG_PASSWORD)
        return merchant

    # --- prompts ---

    def prompts(self) -> list[Prompt]:
        """All there are, oldest first."""
        with self.lock:
            return list(self._prompts.values())

    def find_prompt(self, checkout_request_id: str) -> Prompt | None:
        with self.lock:
            return self._prompts.get(checkout_request_id)

    def take_push(self, push: PushRequest, merchant: Merchant) -> Prompt:
        """Ring the phone, or raise Refused: then nothing rings and no money will move."""
        with self.lock:
            if push.phone in self._on_phone:
                raise Refused(wire.SUBSCRIBER_LOCKED)
            self._push_counts[push.phone] += 1
            facts = (push.phone, self._push_counts[push.phone])
            outcome = self.script.take(push.phone)
            plan = self.script.bend(outcome.plan, self.dice.named("faults", *facts))
            if plan.refusal:
                raise Refused(plan.refusal)
            if plan.rejects_token_once and self._rejects_token(push.phone):
                raise Refused(wire.INVALID_TOKEN)
            plan = self._fit_plan(plan, push, merchant)
            prompt = self._make_prompt(push, merchant, outcome, plan)
            self._prompts[prompt.checkout_request_id] = prompt
            self._on_phone[push.phone] = prompt
            if plan.answer is not Answer.AFTER_CALLBACK:
                self.timetable.add(
                    self._seconds_until_end(plan), lambda: self._end_as_planned(prompt)
                )
            return prompt

    def end_prompt(self, prompt: Prompt, plan: Plan) -> bool:
        """End it now, by that plan; false if it had ended already, or was forgotten by a reset."""
        with self.lock:
            if prompt.result is not None or not self._is_known(prompt):
                return False
            prompt.plan = plan
            self._conclude(prompt, plan.result)
        second = plan.then
        if second is not None:
            self.timetable.add(SECOND_RESULT_SECONDS, lambda: self._second_end(prompt, second))
        self._send_callback(prompt)
        return True

    def end_before_answering(self, prompt: Prompt) -> None:
        """End it and have its callback delivered before this returns."""
        with self.lock:
            if prompt.result is not None:
                return  # a person was quicker, and the callback is on its way
            self._conclude(prompt, prompt.plan.result)
        letter, plan = self._letter_of(prompt), prompt.plan.callback
        if plan.copies:
            self.courier.post_and_wait(letter, plan.copies, at_once=plan.at_once)
        else:
            self.courier.lose(letter)

    def tell_after_query(self, prompt: Prompt) -> None:
        """A query has told the end: a callback that waited for this may go."""
        with self.lock:
            is_owed, prompt.is_callback_owed = prompt.is_callback_owed, False
        if is_owed:
            self.timetable.add(1, lambda: self._post(prompt))

    def replay(self, prompt: Prompt, times: int, *, at_once: bool) -> list[Delivery]:
        """Deliver the callback of an ended prompt again, whatever its plan says."""
        return self.courier.post_and_wait(self._letter_of(prompt), times, at_once=at_once)

    def reset(self) -> None:
        """Forget prompts, money, deliveries and the script; tokens and the clock stay."""
        with self.lock:
            self.timetable.clear()
            self._prompts.clear()
            self._on_phone.clear()
            self._push_counts.clear()
            self._token_rejected.clear()
            self.script.clear()
            self.ledger.clear()
        self.courier.clear()

    def advance(self, seconds: float, timeout_seconds: float) -> bool:
        """Let simulated time pass, and have each callback on the way answered before it goes on.

        False if, after so many real seconds, one was still on its way; time has passed anyhow.
        """
        deadline = time.monotonic() + timeout_seconds
        self.courier.wait_until_idle(timeout_seconds)

        def wait() -> None:
            self.courier.wait_until_idle(deadline - time.monotonic())

        self.timetable.advance(seconds, wait)
        return self.courier.wait_until_idle(deadline - time.monotonic())

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
        elif push.amount > self.config.maximum_amount:
            result = results.ABOVE_MAXIMUM
        if result is None:
            return plan
        return replace(plan, result=result, end_seconds=_PAIRING_SECONDS, waits=False, then=None)

    def _seconds_until_end(self, plan: Plan) -> float:
        if plan.waits:
            return self.config.prompt_seconds
        return self.config.answer_seconds if plan.end_seconds is None else plan.end_seconds

    def _make_prompt(
        self, push: PushRequest, merchant: Merchant, outcome: Outcome, plan: Plan
    ) -> Prompt:
        now = self.clock.now()
        how_manieth = self._push_counts[push.phone]
        dice = self.dice.named("ids", push.phone, how_manieth, int(now.timestamp()))
        checkout_request_id = wire.make_checkout_id(dice, now, push.phone)
        while checkout_request_id in self._prompts:
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

    def _schedule_end(self, prompt: Prompt) -> None:
        seconds = self._seconds_until_end(prompt.plan)
        self.timetable.add(seconds, lambda: self._end_as_planned(prompt))

    def _end_as_planned(self, prompt: Prompt) -> None:
        self.end_prompt(prompt, prompt.plan)  # it may have ended by a person's hand: no matter

    def _is_known(self, prompt: Prompt) -> bool:
        return self._prompts.get(prompt.checkout_request_id) is prompt

    def _second_end(self, prompt: Prompt, result: Result) -> None:
        with self.lock:
            if not self._is_known(prompt):
                return
            self._conclude(prompt, result)
        self._send_callback(prompt)

    def _conclude(self, prompt: Prompt, result: Result) -> None:
        """Set the result, move the money of a success, free the phone, print the callback."""
        push, now = prompt.push, self.clock.now()
        if result.is_success and self._is_duplicate(push):
            result = results.DUPLICATE
        facts = (prompt.checkout_request_id, prompt.merchant_request_id, result.code)
        dice = self.dice.named("end", *facts)
        if result.is_success:
            prompt.receipt = wire.make_receipt(dice, now)
            while self.ledger.has(prompt.receipt):
                prompt.receipt = wire.make_receipt(dice, now)
            self.ledger.record(_movement(prompt, prompt.receipt, now))
        prompt.result, prompt.ended_at = result, now
        prompt.callback_body = build_callback(prompt, dice, now)
        if self._on_phone.get(push.phone) is prompt:
            del self._on_phone[push.phone]
        log.info("prompt %s ended: %s", prompt.checkout_request_id, result.code)

    def _is_duplicate(self, push: PushRequest) -> bool:
        """Judged when the payer would pay, against the last money of that phone and amount."""
        last = self.ledger.last_of(push.phone, push.amount)
        if last is None:
            return False
        passed = (self.clock.now() - last.moved_at).total_seconds()
        return passed < self.config.duplicate_window_seconds

    def _letter_of(self, prompt: Prompt) -> Letter:
        if prompt.callback_body is None:
            raise ValueError("A prompt that still waits has no callback.")
        return Letter(
            prompt.checkout_request_id,
            prompt.merchant.shortcode,
            prompt.push.callback_url,
            prompt.callback_body,
        )

    def _send_callback(self, prompt: Prompt) -> None:
        plan = prompt.plan.callback
        if not plan.copies:
            self.courier.lose(self._letter_of(prompt))
        elif plan.after_query:
            prompt.is_callback_owed = True
        elif plan.delay_seconds:
            self.timetable.add(plan.delay_seconds, lambda: self._post(prompt))
        else:
            self._post(prompt)

    def _post(self, prompt: Prompt) -> None:
        plan = prompt.plan.callback
        self.courier.post(self._letter_of(prompt), plan.copies, at_once=plan.at_once)


def _movement(prompt: Prompt, receipt: str, now: datetime) -> Movement:
    return Movement(
        receipt=receipt,
        amount=prompt.push.amount,
        phone=prompt.push.phone,
        shortcode=prompt.merchant.shortcode,
        receiver=prompt.push.receiver,
        account_reference=prompt.push.account_reference,
        merchant_request_id=prompt.merchant_request_id,
        checkout_request_id=prompt.checkout_request_id,
        moved_at=now,
    )
