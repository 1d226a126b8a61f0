"""The end of a drill: all that is still to happen happens, and people read M-Pesa's list."""

import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import ColumnElement, exists, select, update

from app.models import (
    LIVE_REFUNDS,
    LIVE_STATES,
    ClaimState,
    InboxMessage,
    Order,
    OrderStatus,
    Payment,
    PaymentClaim,
    Refund,
    RefundKind,
    RefundState,
)
from app.utils.clock import utc_now
from drill.buyer import Notes
from drill.evidence import Told
from drill.examine import examine
from drill.stage import Stage

_STEP_SECONDS = 30.0
_MOST_STEPS = 200
"""Steps of simulated time, while the simulator still has something due."""

_MOST_READINGS = 5
_POLL_SECONDS = 0.5
_LOOK_SECONDS = 3.0

Say = Callable[[str, float], None]
"""Told what is going on, and which share of it is done."""


class Settling:
    """``told`` is what the drill knows in the end; ``unread`` why the list was not read whole."""

    def __init__(self, stage: Stage, notes: Notes, units: dict[int, int], say: Say) -> None:
        self.told = Told()
        self.unread: str | None = None
        self._stage = stage
        self._options = stage.options
        self._notes = notes
        self._units = units
        self._say = say

    def run(self) -> None:
        """Wait until nothing is left to happen, or all patience is at its end."""
        stage = self._stage
        self._wait(lambda: stage.is_up, "waiting for what was killed")
        if self._options.hurry:
            self._end_leases()
        self._pass_time()
        self._wait(self._is_quiet, "waiting until nothing is open")
        self._pass_time()  # refunds may have been sent meanwhile
        settled_at = self._find_last_moment() + stage.list_settles_seconds
        self._wait(lambda: time.time() > settled_at, "letting M-Pesa's list settle")
        self.unread = self._read_list()
        self._wait(self._are_claims_decided, "waiting until claims are decided", _LOOK_SECONDS)
        self._wait(self._is_quiet, "waiting until nothing is open")
        self.told = self._ask_simulator()
        self._wait(self._is_explained, "waiting for what is planned", _LOOK_SECONDS)

    def _wait(self, condition: Callable[[], bool], what: str, every: float = _POLL_SECONDS) -> None:
        """Until the condition comes true, or patience ends."""
        began, patience = time.monotonic(), self._options.patience_seconds
        while not condition():
            passed = time.monotonic() - began
            if passed > patience:
                return
            self._say(f"{what}, {passed:.0f} s", 1.0)
            time.sleep(every)

    def _read_list(self) -> str | None:
        """Why it was not read whole in the end: an access token may be refused a few times."""
        why: str | None = "never tried"
        for _ in range(_MOST_READINGS):
            if (why := self._stage.office.fetch_list()) is None:
                break
        return why

    def _pass_time(self) -> None:
        safaricom = self._stage.safaricom
        for _ in range(_MOST_STEPS):
            left = safaricom.count_to_come()
            if not left:
                break
            self._say(f"letting simulated time pass, {left} to come", 1.0)
            safaricom.advance(_STEP_SECONDS)

    def _end_leases(self) -> None:
        """As if the minute were over for which a dead worker keeps a payment to itself."""
        now = utc_now()
        with self._stage.database.transaction() as session:
            for table in (Payment, Refund):
                session.execute(
                    update(table).where(table.leased_until > now).values(leased_until=now)
                )

    def _ask_simulator(self) -> Told:
        safaricom, notes = self._stage.safaricom, self._notes
        return Told(
            moved=safaricom.movements(),
            prompts=Counter(one["phone"] for one in safaricom.prompts()),
            prompts_asked=notes.prompts_asked,
            orders=notes.orders,
            transactions=notes.transactions,
            claims=notes.claims,
            typed=notes.typed,
            units=self._units,
        )

    def _find_last_moment(self) -> float:
        """When money last moved; what is younger than the list's settling the shop passes over."""
        moments = [one["moved_at"] for one in self._stage.safaricom.movements()]
        return max((datetime.fromisoformat(one).timestamp() for one in moments), default=0.0)

    def _is_quiet(self) -> bool:
        """No attempt is looked at any more, no message waits, no order outlives its time."""
        now = utc_now()
        open_attempt = exists().where(
            Payment.status.in_(LIVE_STATES), Payment.next_check_at.is_not(None)
        )
        open_refund = exists().where(
            Refund.state.in_(LIVE_REFUNDS),
            Refund.kind != RefundKind.BY_HAND,
            Refund.next_check_at.is_not(None),
        )
        unread = exists().where(InboxMessage.processed_at.is_(None))
        live = exists().where(Payment.order_id == Order.id, Payment.status.in_(LIVE_STATES))
        overdue = exists().where(
            Order.status == OrderStatus.PENDING, Order.expires_at <= now, ~live
        )
        with self._stage.database.reading() as session:
            return not session.scalar(select(open_attempt | open_refund | unread | overdue))

    def _are_claims_decided(self) -> bool:
        return not self._asks_again(PaymentClaim, PaymentClaim.state == ClaimState.OPEN)

    def _asks_again(
        self, table: type[PaymentClaim] | type[Refund], waiting: ColumnElement[bool]
    ) -> bool:
        """An answer may be lost, and the shop asks again after minutes: they are over as soon as
        all that was to come has come. False where nothing waits.
        """
        self._pass_time()
        with self._stage.database.transaction() as session:
            session.execute(update(table).where(waiting).values(next_check_at=utc_now()))
            return bool(session.scalar(select(exists().where(waiting))))

    def _is_explained(self) -> bool:
        """Nothing is wrong, or no look is planned that could still explain it."""
        with self._stage.database.reading(may_pause=True) as session:
            if all(check.holds for check in examine(session, self.told, utc_now()).checks):
                return True
            planned = exists().where(Payment.next_check_at.is_not(None))
            planned_too = exists().where(Refund.next_check_at.is_not(None))
            is_over = not session.scalar(select(planned | planned_too))
        self._asks_again(
            Refund, (Refund.state == RefundState.SUCCEEDED) & Refund.next_check_at.is_not(None)
        )
        return is_over
