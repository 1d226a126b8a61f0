"""What all desks of the gateway share: time, chance, money, the script, and the post."""

import itertools
import threading
from datetime import datetime
from random import Random

from daraja_simulator import wire
from daraja_simulator.clock import SimulatedClock
from daraja_simulator.config import SimulatorConfig
from daraja_simulator.courier import Courier
from daraja_simulator.delivery import Letter
from daraja_simulator.dice import Dice
from daraja_simulator.ledger import Ledger
from daraja_simulator.posting import Posting
from daraja_simulator.script import Script
from daraja_simulator.timetable import Timetable

_CENTS = 100


class Core:
    """One lock guards every desk's state; nothing is posted while it is held."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.clock = SimulatedClock(
            config.clock_factor, config.start_at, real_dates=config.real_dates
        )
        self.started_at = self.clock.now()
        self.timetable = Timetable(self.clock)
        self.courier = Courier(self.clock, config.delivery_timeout_seconds)
        self.dice = Dice(config.seed)
        self.ledger = Ledger(config.utility_balance * _CENTS)
        self.script = Script()
        self.lock = threading.RLock()
        self._request_numbers = itertools.count()
        self._receipts: set[str] = set()

    def make_request_id(self) -> str:
        return wire.make_request_id(self.dice.named("request", next(self._request_numbers)))

    def make_receipt(self, dice: Random, now: datetime) -> str:
        """One that was never given before. Call with the lock held."""
        receipt = wire.make_receipt(dice, now)
        while receipt in self._receipts:
            receipt = wire.make_receipt(dice, now)
        self._receipts.add(receipt)
        return receipt

    def reset(self) -> None:
        """Forget money, receipts and the script. Call with the lock held."""
        self.timetable.clear()
        self.script.clear()
        self.ledger.clear()
        self._receipts.clear()

    def send(self, letter: Letter, posting: Posting) -> None:
        """Post it now or later, as often as it is to be posted; do not wait."""
        if not posting.copies:
            self.courier.lose(letter)
        elif posting.delay_seconds:
            what = f"{letter.kind.value} {letter.reference}"
            self.timetable.add(posting.delay_seconds, lambda: self._post(letter, posting), what)
        else:
            self._post(letter, posting)

    def _post(self, letter: Letter, posting: Posting) -> None:
        self.courier.post(letter, posting.copies, at_once=posting.at_once)
