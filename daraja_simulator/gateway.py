"""Safaricom's side of the counter: the desks, what every call passes, and the passing of time."""

import threading
import time
from collections import deque

from daraja_simulator import wire
from daraja_simulator.apis import Api
from daraja_simulator.clock import SimulatedClock
from daraja_simulator.config import C2bVersion, RateAnswer, SimulatorConfig
from daraja_simulator.core import Core
from daraja_simulator.courier import Courier
from daraja_simulator.dice import Dice
from daraja_simulator.express import Express
from daraja_simulator.ledger import Ledger
from daraja_simulator.merchants import Merchant
from daraja_simulator.paybill import Paybill
from daraja_simulator.pull import Pull
from daraja_simulator.push_request import Credentials
from daraja_simulator.script import Script
from daraja_simulator.service_desk import ServiceDesk
from daraja_simulator.timetable import Timetable
from daraja_simulator.tokens import TokenStore
from daraja_simulator.wire import Refused


class Gateway:
    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.core = Core(config)
        self.paybill = Paybill(self.core)
        self.express = Express(self.core, self.paybill)
        self.services = ServiceDesk(self.core, self.express)
        self.pull = Pull(self.core)
        self.tokens = TokenStore(
            self.clock, config.token_seconds, new_kills_old=config.new_token_kills_old
        )
        self._recent_requests: deque[float] = deque()

    @property
    def clock(self) -> SimulatedClock:
        return self.core.clock

    @property
    def timetable(self) -> Timetable:
        return self.core.timetable

    @property
    def courier(self) -> Courier:
        return self.core.courier

    @property
    def dice(self) -> Dice:
        return self.core.dice

    @property
    def ledger(self) -> Ledger:
        return self.core.ledger

    @property
    def script(self) -> Script:
        return self.core.script

    @property
    def lock(self) -> "threading.RLock":
        return self.core.lock

    # --- what every call passes ---

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

    def check_product(self, api: Api, version: str | None = None) -> None:
        """Raises Refused when the app was not given that product, or not in that version."""
        chosen = self.config.c2b_version
        is_other = api is Api.C2B and chosen is not C2bVersion.BOTH and version != chosen
        if api in self.config.missing_products or is_other:
            raise Refused(wire.PULL_WITHOUT_PRODUCT if api is Api.PULL else wire.NO_PRODUCT)

    def identify(self, credentials: Credentials) -> Merchant:
        """Raises Refused for an unknown merchant or a password that does not match."""
        merchant = self.config.find_merchant(credentials.shortcode)
        if merchant is None:
            raise Refused(wire.NO_MERCHANT)
        if credentials.password != merchant.password_at(credentials.timestamp):
            raise Refused(wire.WRONG_PASSWORD)
        return merchant

    # --- the passing of time ---

    def reset(self) -> None:
        """Forget prompts, payments, requests, money, deliveries and the script.

        Tokens, registrations and the clock stay.
        """
        with self.lock:
            self.core.reset()
            self.express.reset()
            self.paybill.reset()
            self.services.reset()
        self.courier.clear()

    def advance(self, seconds: float, timeout_seconds: float) -> bool:
        """Let simulated time pass, and have each letter on the way answered before it goes on.

        False if, after so many real seconds, one was still on its way; time has passed anyhow.
        """
        deadline = time.monotonic() + timeout_seconds
        self.courier.wait_until_idle(timeout_seconds)

        def wait() -> None:
            self.courier.wait_until_idle(deadline - time.monotonic())

        self.timetable.advance(seconds, wait)
        return self.courier.wait_until_idle(deadline - time.monotonic())
