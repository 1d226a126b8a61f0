"""What goes wrong on the way: callbacks, answers to pushes, answers to queries."""

from dataclasses import dataclass

import pytest

from app.integrations.mpesa import explain
from tests.e2e.shop import AMOUNT_SHILLINGS, STOCK
from tests.e2e.story import SUCCESS

PAID_BOOKS = {"mpesa": 10_000, "customer": 0, "sales": -9_975, "rounding": -25}


@dataclass(frozen=True)
class End:
    """How a row ends. ``messages`` is how many callbacks came in.

    ``answer`` is the status, or the problem's code, with which the push is answered; where two
    stand, a callback races with the answer.
    """

    status: str
    messages: int
    result_code: str | None = None
    has_receipt: bool = False
    push: int = 202
    answer: str = "pending"
    tasks: tuple[str, ...] = ()
    notifications: tuple[str, ...] = ()
    review_reason: str | None = None


def paid(messages: int = 1, *, has_receipt: bool = True, **more: object) -> End:
    notifications = more.pop("notifications", ("order_paid",))
    return End("succeeded", messages, "0", has_receipt, notifications=notifications, **more)


def paid_by_query(messages: int = 0, **more: object) -> End:
    """Without a receipt, as no query tells one, and so with an amount that nobody verified."""
    return paid(messages, has_receipt=False, **more)


def refused(push: int, answer: str, code: str) -> End:
    """Surely no prompt went out: the buyer is told at once and may try again."""
    return End("failed", 0, code, push=push, answer=answer)


def let_go() -> End:
    """Nobody ever said a word, so after a while the buyer may try again and a person looks."""
    return End(
        "failed",
        0,
        answer="unknown",
        tasks=("unknown_payment",),
        notifications=("payment_failed",),
    )


ENDS = {
    "7001": paid_by_query(),  # the callback is lost
    "7002": paid(),  # three minutes late, after a query has settled it: it adds the receipt
    "7003": paid(2),
    "7004": paid(5),
    "7005": paid(2),  # both at once
    "7006": paid(answer="pending or succeeded"),  # the callback overtakes the answer to the push
    "7007": paid(),  # it waits for the query
    "7008": paid_by_query(1, tasks=("unreadable_callback",)),
    "7009": paid(),  # a string for a result code
    "7010": paid(),  # Balance without a value
    "7011": paid(),
    "7012": paid(),  # shuffled
    "7013": paid(),  # the phone is masked
    "7014": End("unknown", 1, tasks=("wrong_amount",), review_reason="wrong_amount"),
    "7015": paid_by_query(1, tasks=("mismatched_callback",)),
    "7016": paid_by_query(1, tasks=("mismatched_callback",)),
    # Who forges it knows the secret of the address; a query contradicts, and a person is told.
    "7017": paid(tasks=("disputed_payment",)),
    "7018": paid(2, notifications=("payment_failed", "order_paid")),
    "7019": paid(answer="unknown"),  # the answer to the push is lost
    "7020": let_go(),  # and the callback too
    "7021": paid(answer="unknown"),  # HTML 502, yet accepted
    "7022": let_go(),  # HTML 502, and not accepted: the two cannot be told apart
    "7023": paid(answer="unknown"),  # silence
    "7024": refused(503, "payment_network_unavailable", "500.003.02"),  # with HTTP 200
    "7025": paid(),  # the access token was refused, and replaced
    "7026": paid(),
    "7027": paid(),
    "7028": End("cancelled", 1, "1032", answer="unknown", notifications=("payment_failed",)),
    "7101": refused(409, "phone_busy", "500.001.1001"),
    "7102": refused(503, "payment_network_unavailable", "500.003.02"),
    "7103": refused(503, "payment_network_unavailable", "500.003.02"),
    "7104": refused(503, "payment_network_unavailable", "policies.ratelimit.SpikeArrestViolation"),
    "7105": refused(503, "payment_network_unavailable", "500.003.03"),
    "7106": paid(answer="unknown"),  # an internal error, yet accepted
    "7107": refused(502, "payment_network_refused", "400.002.02"),
    "7201": paid_by_query(),
    "7202": paid_by_query(),
    "7203": paid_by_query(),
    "7204": End("unknown", 0, tasks=("unknown_payment",)),
    "7205": End("unknown", 0, tasks=("unknown_payment",)),
    "7206": paid_by_query(),
}


def test_every_fault_of_the_simulator_has_a_case(story):
    assert set(ENDS) == {digits for digits in story.outcomes if digits.startswith("7")}


@pytest.mark.parametrize("digits", ENDS)
def test_the_push_is_answered_by_what_is_known(story, digits):
    push, end = story.purchases[digits].push, ENDS[digits]
    assert push.status_code == end.push
    document = push.json()
    if end.push == 202:
        assert document["status"] in end.answer.split(" or ")
        assert push.headers["Location"] == f"/api/transactions/{document['id']}"
    else:
        assert push.headers["Content-Type"] == "application/problem+json"
        assert document["code"] == end.answer
        assert ("Retry-After" in push.headers) is (end.push != 502)


@pytest.mark.fault("F9", "F10", "F15", "F20")
@pytest.mark.parametrize("digits", ENDS)
def test_the_transaction_ends_in_the_right_state(story, digits):
    facts, end = story.facts[digits], ENDS[digits]
    assert facts.transaction["status"] == end.status
    assert facts.transaction["result_code"] == end.result_code
    assert (facts.transaction["mpesa_receipt"] is not None) is end.has_receipt
    assert facts.payment["amount_verified"] is end.has_receipt
    assert facts.payment["review_reason"] == end.review_reason
    assert facts.payment["next_check_at"] is None
    assert facts.tasks == list(end.tasks)
    assert facts.notifications == list(end.notifications)
    assert len(facts.inbox) == end.messages
    assert None not in facts.inbox


@pytest.mark.parametrize("digits", ENDS)
def test_order_stock_and_books_follow_the_money(story, digits):
    facts, end = story.facts[digits], ENDS[digits]
    shelf = (facts.available, facts.on_hand, facts.reserved)
    if end.status == "succeeded":
        assert (facts.order["status"], facts.order["payment_status"]) == ("paid", "paid")
        assert (facts.order["amount_paid"], facts.order["amount_due"]) == (AMOUNT_SHILLINGS, 0)
        assert (*shelf, facts.reservation) == (2, 2, 0, "consumed")
        assert facts.ledger == PAID_BOOKS
    else:
        waits = "pending" if end.status == "unknown" else "unpaid"
        assert (facts.order["status"], facts.order["payment_status"]) == ("pending", waits)
        assert (facts.order["amount_paid"], facts.order["amount_due"]) == (0, AMOUNT_SHILLINGS)
        assert (*shelf, facts.reservation) == (2, STOCK, 3, "active")
        assert facts.ledger == {}


@pytest.mark.fault("F9", "F10")
@pytest.mark.parametrize("digits", [one for one in ENDS if one != "7025"])
def test_no_phone_is_rung_twice(story, digits):
    refuses = ENDS[digits].push != 202 or digits == "7022"
    rung = len(story.shop.prompts(story.purchases[digits].buyer.phone))
    assert rung == (0 if refuses else 1)


@pytest.mark.fault("F13")
def test_a_refused_access_token_costs_no_second_prompt(story):
    assert len(story.shop.prompts(story.purchases["7025"].buyer.phone)) == 1


@pytest.mark.parametrize("digits", ["7003", "7004", "7005"])
def test_a_callback_counts_once_however_often_it_comes(story, digits):
    outcomes = sorted(story.facts[digits].inbox)
    assert outcomes == ["already_settled"] * (len(outcomes) - 1) + ["settled"]


@pytest.mark.parametrize(
    ("digits", "outcome"),
    [
        ("7008", "unreadable"),
        ("7014", "held_for_review"),
        ("7015", "mismatched"),
        ("7016", "mismatched"),
    ],
)
def test_a_callback_that_does_not_fit_moves_nothing(story, digits, outcome):
    assert story.facts[digits].inbox == [outcome]


def test_every_callback_is_answered_with_200_within_a_second(story):
    ours = {facts.transaction["checkout_request_id"] for facts in story.facts.values()}
    sent = [
        one
        for one in story.shop.simulate("GET", "/deliveries")["deliveries"]
        if one["state"] == "done" and one["checkout_request_id"] in ours
    ]
    assert len(sent) == sum(len(facts.inbox) for facts in story.facts.values())
    assert {one["status"] for one in sent} == {200}
    # sixty at once on a machine that others use too; the median is what a customer sees
    times = sorted(one["real_milliseconds"] for one in sent)
    assert times[len(times) // 2] < 1000


@pytest.mark.fault("F13")
def test_access_tokens_that_expired_are_replaced_unseen(story):
    shop = story.shop
    assert shop.simulate("POST", "/tokens/expire", {})["expired"] >= 1
    purchase = shop.buy(SUCCESS, name="expired-token")
    assert len(shop.prompts(purchase.buyer.phone)) == 1
    shop.advance(3)
    shop.wait_for_order(purchase, "paid")
    assert shop.ledger_of(purchase.order_id) == PAID_BOOKS


def test_callbacks_settle_by_themselves_while_no_worker_runs(story):
    still_open = {
        digits for digits in ENDS if story.midway[digits] in {"created", "pending", "unknown"}
    }
    queried_by_the_web_server = {"7008", "7015", "7016"}  # now, or a moment later
    lost_or_late = {"7001", "7002", "7007", "7020"}
    no_callback = {digits for digits in ENDS if digits.startswith("72")}
    assert still_open - queried_by_the_web_server == (lost_or_late | no_callback | {"7014", "7022"})


def test_a_failure_that_was_reported_gives_way_to_money(story):
    assert story.midway["7018"] == "failed"
    assert story.facts["7018"].transaction["status"] == "succeeded"


def test_what_is_late_was_settled_by_a_query_before_it_came(story):
    assert story.facts["7002"].inbox == ["already_settled"]
    assert story.facts["7007"].inbox == ["already_settled"]
    assert story.facts["7002"].payment["amount_verified"] is True


def test_the_payer_of_a_silent_push_is_told_not_to_pay_twice(story):
    for digits in ("7019", "7020", "7021", "7022", "7023", "7028", "7106"):
        assert story.purchases[digits].push.json()["customer_message"] == (
            "We could not reach M-Pesa for a moment. If your phone shows a prompt, enter your PIN;"
            " we will see the payment. Do not pay twice."
        )


def test_a_cancelled_prompt_whose_answer_was_lost_is_known_by_its_callback(story):
    transaction = story.facts["7028"].transaction
    (prompt,) = story.shop.prompts(story.purchases["7028"].buyer.phone)
    assert transaction["checkout_request_id"] == prompt["checkout_request_id"]
    assert transaction["merchant_request_id"] == prompt["merchant_request_id"]
    assert transaction["customer_message"] == explain("1032").customer_message


@pytest.mark.parametrize("digits", ENDS)
def test_the_shop_ends_where_the_simulator_says_a_correct_one_does(story, digits):
    expected = {"paid": "succeeded"}.get(
        story.outcomes[digits]["shop_ends"], story.outcomes[digits]["shop_ends"]
    )
    if expected == "unknown" and digits not in {"7014", "7204", "7205"}:
        expected = "failed"  # there is no id to ask with: it is let go, with a task for a person
    if digits == "7017":
        expected = "succeeded"  # believed for its secret, and disputed by a task
    assert story.facts[digits].transaction["status"] == expected


def test_our_books_and_safaricoms_agree_to_the_shilling(story):
    story.shop.check_books(unbooked=story.unbooked, disputed=story.disputed)


def test_nothing_was_logged_as_a_bug(story):
    """A traceback in any log is a fault that nobody foresaw."""
    for program in story.shop.programs:
        assert "Traceback" not in program.log(), program.tail()
