"""Giving money back while answers and results are lost, doubled, forged or late, and while the
shop is killed; held against what Safaricom's side knows.
"""

import signal
from dataclasses import dataclass, field

import httpx2
import pytest
from sqlalchemy import select, update

from app.models import MpesaRequest, Order, Refund, RefundKind
from app.services.audit import audit
from app.utils.clock import utc_now
from drill.processes import wait_until
from tests.e2e.giving_back import (
    CASES,
    FORGED,
    PART_CENTS,
    PAYER_ANSWERS_SECONDS,
    SILENT,
    Case,
    Returned,
    Tale,
    ask_for_refund,
    force_next,
    let_time_pass,
    new_admin,
    tell_tale,
)
from tests.e2e.shop import AMOUNT_CENTS, QUANTITY, STOCK, Person, Purchase, Shop

PAID = {"mpesa": 10_000, "customer": 0, "sales": -9_975, "rounding": -25}
REVERSED = {**PAID, "mpesa": 0, "refunds": 9_975, "rounding": 0}
PARTLY_BACK = {**PAID, "mpesa": 6_000, "refunds": 4_000}
GONE = {RefundKind.REVERSAL: REVERSED, RefundKind.PAYOUT: PARTLY_BACK}
CENTS = {RefundKind.REVERSAL: AMOUNT_CENTS, RefundKind.PAYOUT: PART_CENTS}

TOLD = {
    "result_malformed": ["unreadable_callback"],
    "result_of_another": ["mismatched_callback"],
}
"""Of what a person is told although the money went back, by the simulator's row."""

REFUSED_AT_ONCE = {"system_busy", "spike_arrest", "quota"}
NOT_SENT = {*REFUSED_AT_ONCE, "never_heard", "html_502_refused", "internal_error_refused"}
"""Of these Safaricom's side has no request."""


@pytest.fixture(scope="module")
def tale(make_shop) -> Tale:
    with make_shop("refunds").open() as shop:
        yield tell_tale(shop)


def of(*ends: str) -> list:
    return [pytest.param(case, id=str(case)) for case in CASES if case.end in ends]


@pytest.mark.parametrize("case", of("succeeded", "failed", "unknown"))
def test_a_refund_ends_as_the_money_did(tale, case):
    returned = tale.returned[case]
    assert returned.document["status"] == case.end
    assert returned.states[0] == "created"
    assert returned.states[-1] == case.end


@pytest.mark.fault("F28")
@pytest.mark.parametrize("case", of("succeeded", "failed", "unknown"))
def test_nothing_is_sent_twice(tale, case):
    assert tale.returned[case].sent == (0 if case.row in NOT_SENT else 1)
    assert len(tale.moved(case)) <= 1


@pytest.mark.parametrize("case", of("succeeded", "failed", "unknown"))
def test_the_admin_is_told_at_once_what_is_known(tale, case):
    answer = tale.answers[case]
    if case.row in REFUSED_AT_ONCE:
        assert answer.status_code in (502, 503)
        return
    assert answer.status_code == 202
    if case.row in SILENT:
        assert answer.json()["status"] == "unknown"
    elif case.row == "result_before_ack":
        assert answer.json()["status"] in ("pending", "succeeded")
    else:
        assert answer.json()["status"] == "pending"


@pytest.mark.fault("F28")
@pytest.mark.parametrize("case", [one for one in of("succeeded") if FORGED not in one.id])
def test_what_went_back_is_booked_once(tale, case):
    returned = tale.returned[case]
    (moved,) = tale.moved(case)
    assert -moved["amount"] * 100 == CENTS[case.way]
    assert returned.ledger == GONE[case.way]
    assert returned.notifications == 1
    assert returned.document["refund_receipt"] in (None, moved["receipt"])
    assert returned.tasks == told_of(case, returned)


def told_of(case: Case, returned: Returned) -> list[str]:
    """That somebody else gave it back is news, unless our own request may have done it."""
    if case.row == "already_reversed":
        is_anothers = returned.doubted_for.startswith("R000001: ")
        return ["statement_difference"] if is_anothers else []
    return TOLD.get(case.row, [])


@pytest.mark.parametrize("case", of("failed", "unknown"))
def test_what_did_not_go_back_is_not_booked_and_a_person_is_told(tale, case):
    returned = tale.returned[case]
    assert tale.moved(case) == []
    assert returned.ledger == PAID
    assert returned.notifications == 0
    assert returned.tasks[0] == {"failed": "refund_failed", "unknown": "unknown_refund"}[case.end]
    assert returned.document["refund_receipt"] is None


@pytest.mark.parametrize("way", CENTS)
def test_a_forged_success_is_found_out(tale, way):
    """Whoever knows the address can say so; the money is asked for by its receipt, and is not
    there.
    """
    returned = tale.returned[Case(way, FORGED)]
    assert tale.moved(Case(way, FORGED)) == []
    assert returned.tasks == ["unknown_refund"]
    assert returned.details[-1].startswith("contradicted: ")


@pytest.mark.parametrize("way", CENTS)
@pytest.mark.parametrize(
    ("row", "times"),
    [("success", 1), ("result_twice", 2), ("result_five_times", 5), ("result_twice_at_once", 2)],
)
def test_a_result_that_comes_again_changes_nothing(tale, way, row, times):
    returned = tale.returned[Case(way, row)]
    first = "refunded" if returned.found_by == "result" else "already_refunded"
    assert sorted(returned.inbox) == sorted([first] + ["repeated"] * (times - 1))


@pytest.mark.parametrize("way", CENTS)
def test_every_success_that_was_reported_is_held_against_m_pesas_books(tale, way):
    returned = tale.returned[Case(way, "success")]
    is_reported = returned.found_by == "result"
    assert is_reported == returned.details[-1].startswith("confirmed: ")


@pytest.mark.parametrize("way", CENTS)
@pytest.mark.parametrize("row", ["ack_and_result_lost", "result_lost", "queue_timeout_done"])
def test_what_nobody_told_of_is_found_in_m_pesas_books(tale, way, row):
    returned = tale.returned[Case(way, row)]
    assert "unknown" in returned.states
    assert "refunded" not in returned.inbox


def test_goods_come_back_with_their_whole_money(tale):
    for case in CASES:
        purchase = tale.purchases[case]
        is_undone = case.way is RefundKind.REVERSAL and case.end == "succeeded"
        facts = tale.shop.facts(purchase)
        assert facts.order["status"] == ("refunded" if is_undone else "paid"), case
        assert facts.on_hand == (STOCK if is_undone else STOCK - QUANTITY), case
        assert facts.reserved == 0
        back = CENTS[case.way] // 100 if case.end == "succeeded" else 0
        assert facts.transaction["refunded_amount"] == back, case


def test_the_books_and_safaricoms_agree_purchase_by_purchase(tale):
    assert_books_agree(
        tale.shop,
        tale.purchases.values(),
        forged=[tale.purchases[case] for case in CASES if case.row == FORGED],
    )


def assert_books_agree(shop, purchases, *, forged=()) -> None:
    movements = shop.simulate("GET", "/ledger?limit=10000")["movements"]
    for purchase in purchases:
        moved = sum(one["amount"] for one in movements if one["phone"] == purchase.buyer.phone)
        booked = shop.ledger_of(purchase.order_id)["mpesa"]
        assert (booked == moved * 100) is (purchase not in forged), purchase.name
    with shop.reading() as session:
        assert audit(session, utc_now()) == []
    command = shop.manage("audit")
    assert (command.returncode, command.stderr) == (0, "")


def test_what_failed_may_be_given_back_another_time(tale):
    """Money is in the account by now, and M-Pesa does it."""
    shop, case = tale.shop, Case(RefundKind.REVERSAL, "insufficient_funds")
    purchase = tale.purchases[case]
    force_next(shop, Case(case.way, "success"), purchase)
    again = ask_for_refund(shop, tale.admin, purchase, case.way)
    assert again.status_code == 202
    assert again.json()["id"] != tale.refunds[case]
    let_time_pass(shop, lambda: state_of(shop, again.json()["id"]) == "succeeded", "it goes back")
    assert shop.ledger_of(purchase.order_id) == REVERSED
    assert_books_agree(shop, [purchase])


def state_of(shop, refund_id) -> str:
    with shop.reading() as session:
        return session.get_one(Refund, refund_id).state


# --- killed ---

POINTS = ("after_refund_commit", "before_refund_send", "after_refund_send")


@dataclass
class Killed:
    """A refund whose web server died at a point, right after that and in the end."""

    purchase: Purchase
    exit_code: int = 0
    refund_id: int = 0
    state: str = ""
    request: str | None = None
    end: str = ""


@dataclass
class Wreck:
    shop: Shop
    admin: Person
    killed: dict[tuple[RefundKind, str], Killed] = field(default_factory=dict)


DEATHS = [(way, point) for way in CENTS for point in POINTS]


@pytest.fixture(scope="module")
def wreck(make_shop) -> Wreck:
    with make_shop("refund_deaths").open() as shop:
        wreck = Wreck(shop, new_admin(shop))
        for way, point in DEATHS:
            wreck.killed[way, point] = Killed(shop.buy(name=f"{way}-{point}"))
        shop.advance(PAYER_ANSWERS_SECONDS)
        for killed in wreck.killed.values():
            shop.wait_for_transaction(killed.purchase, "succeeded")
        shop.stop_worker()
        for way in CENTS:
            kill(wreck, way)
        recover(wreck)
        yield wreck


def kill(wreck: Wreck, way: RefundKind) -> None:
    shop = wreck.shop
    doomed = shop.start_doomed_webs(dict.fromkeys(POINTS, shop.web_url))
    for point in POINTS:
        killed = wreck.killed[way, point]
        with pytest.raises(httpx2.TransportError):
            ask_for_refund(shop, wreck.admin, killed.purchase, way, url=doomed[point].url)
        killed.exit_code = doomed[point].wait_for_death()
        with shop.reading() as session:
            refund = session.scalars(
                select(Refund).where(Refund.order_id == killed.purchase.order_id)
            ).one()
            killed.refund_id, killed.state = refund.id, refund.state
            killed.request = session.scalars(
                select(MpesaRequest.state).where(MpesaRequest.refund_id == refund.id)
            ).one_or_none()


def recover(wreck: Wreck) -> None:
    """As if the minute were over for which the dead kept their rows to themselves."""
    shop = wreck.shop
    with shop.database.transaction() as session:
        session.execute(update(Refund).values(leased_until=None, next_check_at=utc_now()))
    shop.start_worker()
    never_sent = [one.refund_id for (_, point), one in wreck.killed.items() if "before" in point]
    settled = [one.refund_id for one in wreck.killed.values() if one.refund_id not in never_sent]

    def are_over() -> bool:
        return {state_of(shop, one) for one in settled} == {"succeeded"} and {
            state_of(shop, one) for one in never_sent
        } == {"unknown"}

    let_time_pass(shop, are_over, "the sweep has finished what the dead began")
    wait_until(lambda: not shop.unread_messages(), "the inbox is empty")
    for killed in wreck.killed.values():
        killed.end = state_of(shop, killed.refund_id)


@pytest.mark.parametrize(("way", "point"), DEATHS)
def test_the_process_died_by_sigkill_at_the_named_point(wreck, way, point):
    assert wreck.killed[way, point].exit_code == -signal.SIGKILL


@pytest.mark.parametrize("way", CENTS)
@pytest.mark.parametrize(
    ("point", "request_state", "end", "sent"),
    [
        # nobody had begun to send it: the sweep does
        ("after_refund_commit", None, "succeeded", 1),
        # it may have been sent: nobody does, and M-Pesa never heard of it
        ("before_refund_send", "created", "unknown", 0),
        # it was sent, and its result finds the row
        ("after_refund_send", "created", "succeeded", 1),
    ],
)
def test_a_refund_survives_whoever_sends_it(wreck, way, point, request_state, end, sent):
    killed = wreck.killed[way, point]
    assert (killed.state, killed.request) == ("created", request_state)
    assert killed.end == end
    moved = [
        one
        for one in wreck.shop.simulate("GET", "/ledger?limit=10000")["movements"]
        if one["phone"] == killed.purchase.buyer.phone and one["amount"] < 0
    ]
    assert len(moved) == sent
    ledger = wreck.shop.ledger_of(killed.purchase.order_id)
    assert ledger == (GONE[way] if sent else PAID)


def test_the_order_waits_while_nobody_knows(wreck):
    """Its money may be on its way back: nothing is sent, and nothing more is given back."""
    killed = wreck.killed[RefundKind.REVERSAL, "before_refund_send"]
    shop, purchase = wreck.shop, killed.purchase
    again = ask_for_refund(shop, wreck.admin, purchase, RefundKind.REVERSAL)
    assert (again.status_code, again.json()["code"]) == (409, "refund_under_way")
    path = f"/api/orders/{purchase.order_id}/fulfil"
    shipped = shop.call("POST", path, shop.seller(), json={"status": "shipped"})
    with shop.reading() as session:
        assert session.get_one(Order, purchase.order_id).status == "paid"
    assert (shipped.status_code, shipped.json()["code"]) == (409, "refund_under_way")


def test_the_books_of_the_wreck_agree_with_safaricoms(wreck):
    assert_books_agree(wreck.shop, [one.purchase for one in wreck.killed.values()])
