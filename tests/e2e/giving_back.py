"""Every row of the simulator's table of requests at once: each gives the money of a purchase back,
whole by a reversal and in part by a payout.

The simulated clock stands still and is moved in steps, as in the story of payments.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx2
from sqlalchemy import func, or_, select, update

from app.models import (
    InboxMessage,
    MpesaRequest,
    Notification,
    Refund,
    RefundEvent,
    RefundKind,
    Task,
)
from app.utils.clock import utc_now
from daraja_simulator.service_outcomes import TABLE
from daraja_simulator.table import ShopEnd
from drill.processes import wait_until
from tests.e2e.shop import Person, Purchase, Shop
from tests.e2e.story import SUCCESS, spread

PAYER_ANSWERS_SECONDS = 3
RESULT_COMES_SECONDS = 6
PART_SHILLINGS = 40
PART_CENTS = 4_000

WAYS = {RefundKind.REVERSAL: "reversal", RefundKind.PAYOUT: "b2c"}
"""What the simulator calls them."""

ROWS = {one.name: one for one in TABLE.rows}
OF_REVERSALS = ("already_reversed", "unknown_receipt")
"""Rows that no phone brings about: they are forced."""

OF_QUESTIONS = "receipt_not_found"
SILENT = (
    "ack_lost",
    "ack_and_result_lost",
    "html_502_accepted",
    "html_502_refused",
    "silence_then_accepted",
    "never_heard",
    "internal_error_accepted",
    "internal_error_refused",
)
"""Five in a row would open the circuit breaker of the web server."""

FORGED = "result_forged"
"""Believed for the secret of its address; the confirmation contradicts it."""

_AT_ONCE = 6


@dataclass(frozen=True)
class Case:
    way: RefundKind
    row: str

    def __str__(self) -> str:
        return f"{self.way}-{self.row}"

    @property
    def end(self) -> str:
        """The state that it has to come to."""
        if self.row == FORGED:
            return "succeeded"
        ends = {ShopEnd.DONE: "succeeded", ShopEnd.FAILED: "failed", ShopEnd.UNKNOWN: "unknown"}
        return ends[ROWS[self.row].shop_ends]


CASES = [
    Case(way, row)
    for way in WAYS
    for row in ROWS
    if row != OF_QUESTIONS and (way is RefundKind.REVERSAL or row not in OF_REVERSALS)
]


@dataclass(frozen=True)
class Returned:
    """All that can be known of one refund, in the API and in the database."""

    document: dict[str, Any]
    states: list[str]
    details: list[str]
    doubted_for: str
    """Why nobody knew at first what became of it; empty where somebody always did."""
    found_by: str
    """What told first that the money went back: its result, or a question that came before."""
    tasks: list[str]
    notifications: int
    inbox: list[str | None]
    sent: int
    ledger: dict[str, int]


@dataclass
class Tale:
    shop: Shop
    admin: Person
    purchases: dict[Case, Purchase] = field(default_factory=dict)
    answers: dict[Case, httpx2.Response] = field(default_factory=dict)
    refunds: dict[Case, int] = field(default_factory=dict)
    returned: dict[Case, Returned] = field(default_factory=dict)
    requests: list[dict[str, Any]] = field(default_factory=list)
    movements: list[dict[str, Any]] = field(default_factory=list)

    def moved(self, case: Case) -> list[dict[str, Any]]:
        """What went back to this phone, as Safaricom knows."""
        phone = self.purchases[case].buyer.phone
        return [one for one in self.movements if one["phone"] == phone and one["amount"] < 0]


def new_admin(shop: Shop) -> Person:
    admin = shop.sign_up("admin", f"254198{shop.phone('')[-4:]}00")
    shop.promote(admin, "admin")
    return admin


def tell_tale(shop: Shop) -> Tale:
    tale = Tale(shop, new_admin(shop))
    silent = [case for case in CASES if case.row in SILENT]
    cases = list(spread(silent, [case for case in CASES if case not in silent], every=4))
    shop.seller()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        bought = pool.map(lambda case: _buy(shop, case), cases)
        tale.purchases = dict(zip(cases, bought, strict=True))
        shop.advance(PAYER_ANSWERS_SECONDS)
        for purchase in tale.purchases.values():
            shop.wait_for_transaction(purchase, "succeeded")
        answers = pool.map(lambda case: _give_back(tale, case), cases)
        tale.answers = dict(zip(cases, answers, strict=True))
        for case, answer in tale.answers.items():
            body = answer.json()
            tale.refunds[case] = body.get("refund_id", body.get("id"))
        _let_it_end(tale)
        tale.requests = shop.simulate("GET", "/requests?limit=10000")["requests"]
        tale.movements = shop.simulate("GET", "/ledger?limit=10000")["movements"]
        returned = pool.map(lambda case: _look_at(tale, case), cases)
        tale.returned = dict(zip(cases, returned, strict=True))
    return tale


def _buy(shop: Shop, case: Case) -> Purchase:
    return shop.buy(ROWS[case.row].digits or SUCCESS, name=f"{case.way[0]}-{case.row}")


def _give_back(tale: Tale, case: Case) -> httpx2.Response:
    purchase = tale.purchases[case]
    if case.row in OF_REVERSALS:
        force_next(tale.shop, case, purchase)
    return ask_for_refund(tale.shop, tale.admin, purchase, case.way)


def force_next(shop: Shop, case: Case, purchase: Purchase) -> None:
    wish = {"api": WAYS[case.way], "outcome": case.row, "phone": purchase.buyer.phone}
    shop.simulate("POST", "/next", wish)


def ask_for_refund(
    shop: Shop, admin: Person, purchase: Purchase, way: RefundKind, *, url: str = ""
) -> httpx2.Response:
    """The whole by a reversal, a part by a payout."""
    ask: dict[str, Any] = {"reason": "Too small", "method": way}
    ask |= {"restock": True} if way is RefundKind.REVERSAL else {"amount": PART_SHILLINGS}
    path = f"/api/transactions/{purchase.transaction_id}/refund"
    return shop.call("POST", path, admin, url=url, json=ask)


def _let_it_end(tale: Tale) -> None:
    """Results come, the worker asks about the rest, and at last gives up what nobody can know."""
    shop = tale.shop
    lasting = {tale.refunds[case] for case in CASES if case.end == "unknown"}
    let_time_pass(shop, lambda: _open_refunds(tale) <= lasting, "every refund but a few is over")
    let_time_pass(shop, lambda: _asked_twice(shop, lasting), "nobody knows of the others")
    hasten_confirmations(shop)
    let_time_pass(shop, lambda: not _planned(shop, "succeeded"), "every success was confirmed")
    shop.restart_worker(MPESA_GIVE_UP_AFTER_SECONDS="0.1")
    let_time_pass(shop, lambda: not _planned(shop, "unknown"), "a person has what nobody knows")
    let_time_pass(shop, lambda: not shop.unread_messages(), "the inbox is empty")


def let_time_pass(shop: Shop, condition: Any, what: str) -> None:
    def holds() -> bool:
        shop.advance(RESULT_COMES_SECONDS)
        return bool(condition())

    wait_until(holds, what)


def hasten_confirmations(shop: Shop) -> None:
    """As if the minute were over after which a success is held against M-Pesa's books."""
    with shop.database.transaction() as session:
        session.execute(
            update(Refund)
            .where(Refund.state == "succeeded", Refund.next_check_at.is_not(None))
            .values(next_check_at=utc_now())
        )


def _open_refunds(tale: Tale) -> set[int]:
    still_open = select(Refund.id).where(Refund.state.in_(("created", "pending", "unknown")))
    with tale.shop.reading() as session:
        return set(session.scalars(still_open)) & set(tale.refunds.values())


def _asked_twice(shop: Shop, refund_ids: set[int]) -> bool:
    others = select(Refund.id).where(
        Refund.id.in_(refund_ids), or_(Refund.state != "unknown", Refund.check_count < 2)
    )
    with shop.reading() as session:
        return session.scalars(others).first() is None


def _planned(shop: Shop, state: str) -> bool:
    looks = select(Refund.id).where(Refund.state == state, Refund.next_check_at.is_not(None))
    with shop.reading() as session:
        return session.scalars(looks).first() is not None


def _look_at(tale: Tale, case: Case) -> Returned:
    shop, refund_id, purchase = tale.shop, tale.refunds[case], tale.purchases[case]
    answer = shop.call("GET", f"/api/refunds/{refund_id}", tale.admin)
    assert answer.status_code == 200, answer.text
    with shop.reading() as session:
        steps = session.scalars(
            select(RefundEvent).where(RefundEvent.refund_id == refund_id).order_by(RefundEvent.id)
        ).all()
        tasks = session.scalars(
            select(Task.kind).where(Task.refund_id == refund_id).order_by(Task.id)
        ).all()
        inbox = session.scalars(
            select(InboxMessage.outcome)
            .join(MpesaRequest, MpesaRequest.id == InboxMessage.request_id)
            .where(MpesaRequest.refund_id == refund_id, MpesaRequest.kind != "status")
            .order_by(InboxMessage.id)
        ).all()
        told = session.scalar(
            select(func.count()).where(
                Notification.user_id == purchase.buyer.id, Notification.kind == "refunded"
            )
        )
    return Returned(
        document=answer.json(),
        states=[step.to_state for step in steps if step.from_state != step.to_state],
        details=[step.detail or "" for step in steps],
        doubted_for=next((step.detail or "" for step in steps if step.to_state == "unknown"), ""),
        found_by=next((step.source for step in steps if step.to_state == "succeeded"), ""),
        tasks=list(tasks),
        notifications=told or 0,
        inbox=list(inbox),
        sent=sum(_is_of(one, case, purchase, tale) for one in tale.requests),
        ledger=shop.ledger_of(purchase.order_id),
    )


def _is_of(request: dict[str, Any], case: Case, purchase: Purchase, tale: Tale) -> bool:
    """Whether Safaricom took this request to give the money of a purchase back."""
    if request["api"] != WAYS[case.way]:
        return False
    if case.way is RefundKind.PAYOUT:
        return bool(request["receiver"] == purchase.buyer.phone)
    paid = [one for one in tale.movements if one["phone"] == purchase.buyer.phone]
    return bool(request["transaction_id"] == paid[0]["receipt"])
