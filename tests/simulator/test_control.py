"""The control API: forcing, spoiling, replaying, auditing."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from daraja_simulator.guard import _is_loopback
from daraja_simulator.outcomes import OUTCOMES
from daraja_simulator.people import name_of
from daraja_simulator.push_request import read_push
from daraja_simulator.tables import distinct_tables

WAITS = "254712340000"


def test_the_table_is_served_as_it_stands(shop):
    tables = shop.get("outcomes")
    assert {key: len(rows) for key, rows in tables.items()} == {
        table.key: len(table.rows) for table in distinct_tables()
    }
    rows = tables["outcomes"]
    assert len(rows) == len(OUTCOMES) + 1
    assert rows[0] == {
        "digits": "",
        "name": "success",
        "sentence": "The payer enters the PIN and pays.",
        "shop_ends": "paid",
        "result_code": "0",
    }
    by_digits = {row["digits"]: row for row in rows}
    assert by_digits["5003"]["result_code"] == "SFC_IC0003"
    assert by_digits["7102"]["result_code"] is None


def test_a_prompt_tells_all_about_itself(shop):
    checkout_id = shop.push_accepted(amount=70)
    prompt = shop.get(f"prompts/{checkout_id}")
    assert prompt == {
        "id": checkout_id,
        "merchant_request_id": prompt["merchant_request_id"],
        "checkout_request_id": checkout_id,
        "state": "waiting",
        "outcome": "success",
        "phone": "254712345678",
        "amount": 70,
        "merchant": "174379",
        "receiver": "174379",
        "transaction_type": "CustomerPayBillOnline",
        "account_reference": "ORDER-1",
        "description": "Tea",
        "callback_url": f"{shop.sink.url}/callbacks/secret",
        "result_code": None,
        "result_desc": None,
        "receipt": None,
        "created_at": "2026-11-22T23:59:50+03:00",
        "ended_at": None,
    }
    shop.simulator.advance(3)
    prompt = shop.get(f"prompts/{checkout_id}")
    assert (prompt["state"], prompt["result_code"], prompt["ended_at"]) == (
        "paid",
        "0",
        "2026-11-22T23:59:53+03:00",
    )
    movement = {
        "receipt": prompt["receipt"],
        "kind": "express",
        "amount": 70,
        "balance": 100_070,
        "phone": "254712345678",
        "name": str(name_of("254712345678")),
        "merchant": "174379",
        "receiver": "174379",
        "account_reference": "ORDER-1",
        "merchant_request_id": prompt["merchant_request_id"],
        "checkout_request_id": checkout_id,
        "conversation_id": None,
        "originator_conversation_id": None,
        "linked_receipt": None,
        "reversed_by": None,
        "moved_at": "2026-11-22T23:59:53+03:00",
    }
    ledger = shop.get("ledger")
    assert ledger["payments"] == ledger["movements"] == [movement]
    assert ledger["total"] == 70


def test_prompts_are_listed_by_phone_and_state(shop):
    first = shop.push_accepted()
    second = shop.push_accepted("254712345679")
    shop.post(f"prompts/{first}/cancel")

    def ids(query):
        return [one["id"] for one in shop.get(f"prompts{query}")["prompts"]]

    assert ids("") == [first, second]
    assert ids("?phone=254712345679") == [second]
    assert ids("?state=cancelled") == [first]
    assert ids("?phone=254712345679&state=cancelled") == []


@pytest.mark.parametrize(
    ("ending", "state", "code"),
    [
        ("pay", "paid", "0"),
        ("cancel", "cancelled", "1032"),
        ("wrong_pin", "failed", "2001"),
        ("1037", "failed", "1037"),
        ("1", "failed", "1"),
    ],
)
def test_a_prompt_is_ended_by_hand_once(shop, ending, state, code):
    checkout_id = shop.push_accepted(WAITS)
    prompt = shop.post(f"prompts/{checkout_id}/{ending}")
    assert (prompt["state"], prompt["result_code"]) == (state, code)
    assert "ended already" in shop.post(f"prompts/{checkout_id}/pay", status=409)["error"]
    shop.simulator.advance(120)
    assert len(shop.sink.codes) == 1
    assert len(shop.ledger()) == (1 if state == "paid" else 0)


def test_a_prompt_is_ended_with_a_fault_of_the_callback(shop):
    checkout_id = shop.push_accepted(WAITS)
    shop.post(f"prompts/{checkout_id}/callback_five_times")
    shop.simulator.settle()
    assert shop.sink.codes == [0] * 5


def test_a_late_success_can_be_had_by_hand(shop):
    checkout_id = shop.push_accepted(WAITS)
    shop.post(f"prompts/{checkout_id}/failure_then_success")
    shop.simulator.advance(30)
    assert shop.sink.codes == [1037, 0]


def test_what_cannot_end_a_prompt_is_refused(shop):
    checkout_id = shop.push_accepted(WAITS)
    assert "no outcome" in shop.post(f"prompts/{checkout_id}/dance", status=400)["error"]
    assert "ends no prompt" in shop.post(f"prompts/{checkout_id}/quota", status=400)["error"]
    assert shop.post("prompts/unknown/pay", status=404) == {"error": "There is no such prompt."}


def test_the_next_push_of_a_phone_is_forced_before_that_of_any(shop):
    shop.post("next", {"outcome": "wrong_pin"})
    forced = shop.post("next", {"outcome": "1032", "phone": "254712345678", "count": 2})
    assert forced == shop.get("next")
    assert forced["next"] == [
        {"api": "stk", "phone": None, "outcome": "wrong_pin"},
        {"api": "stk", "phone": "254712345678", "outcome": "cancelled"},
        {"api": "stk", "phone": "254712345678", "outcome": "cancelled"},
    ]
    for code in (1032, 1032, 2001, 0):
        shop.push_accepted()
        shop.simulator.advance(3)
        assert shop.sink.codes[-1] == code
    assert shop.get("next") == {"next": []}


def test_a_forced_refusal_sends_no_prompt(shop):
    shop.post("next", {"outcome": "system_busy", "phone": 254712345678})
    assert shop.push().json()["errorCode"] == "500.003.02"
    assert shop.prompts() == []


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"outcome": "dance"},
        {"outcome": "pay", "count": 0},
        {"outcome": "pay", "count": "1"},
        {"outcome": "pay", "count": True},
        {"outcome": "pay", "count": 1001},
        {"outcome": "pay", "api": "dance"},
        {"outcome": "pay", "api": "qr"},
        {"outcome": "wrong_pin", "api": "c2b"},
    ],
)
def test_a_senseless_force_is_refused(shop, body):
    assert shop.post("next", body, status=400)["error"]


@pytest.mark.parametrize("content", ["[]", "{", "1"])
def test_a_body_that_is_no_object_is_refused(shop, content):
    answer = shop.client.post(shop.url("/__sim/faults"), content=content)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_faults_keep_what_is_not_named(shop):
    shop.post("faults", {"callback_lost": 0.5})
    faults = shop.post("faults", {"refused": 1})
    assert (faults["callback_lost"], faults["refused"], faults["answer_lost"]) == (0.5, 1.0, 0.0)
    assert shop.get("faults") == faults


@pytest.mark.parametrize("body", [{"x": 0.1}, {"refused": 2}, {"refused": "1"}, {"refused": True}])
def test_a_senseless_fault_is_refused(shop, body):
    assert shop.post("faults", body, status=400)["error"]


def test_each_fault_does_what_it_is_called(shop):
    def push_with(fault, phone):
        shop.post("reset")
        shop.sink.received.clear()
        shop.post("faults", {fault: 1})
        try:
            status = shop.push(phone).status_code
        except httpx2.RemoteProtocolError:
            status = None
        shop.simulator.advance(3)
        early = list(shop.sink.codes)
        shop.simulator.advance(180)
        return status, early, shop.sink.codes, len(shop.ledger())

    assert push_with("callback_lost", "254712345671") == (200, [], [], 1)
    assert push_with("callback_twice", "254712345672") == (200, [0, 0], [0, 0], 1)
    assert push_with("callback_late", "254712345673") == (200, [], [0], 1)
    assert push_with("answer_lost", "254712345674") == (None, [0], [0], 1)
    assert push_with("refused", "254712345675") == (500, [], [], 0)
    # a row that refuses stays as it is
    assert push_with("answer_lost", "254712347107") == (400, [], [], 0)


def test_chance_strikes_as_often_as_it_is_told(shop):
    shop.post("faults", {"refused": 0.3})
    statuses = [shop.push(f"2547123456{number}").status_code for number in range(10, 99)]
    assert 15 <= statuses.count(500) <= 39


def test_the_clock_is_set_and_advanced(shop):
    assert shop.get("clock") == {"now": "2026-11-22T23:59:50+03:00", "factor": 0}
    shop.push_accepted()
    assert shop.post("clock", {"advance": 20, "wait": True})["now"] == "2026-11-23T00:00:10+03:00"
    assert shop.sink.codes == [0]
    assert shop.post("clock", {"factor": 0.5})["factor"] == 0.5


def test_an_advance_tells_whether_it_waited_long_enough(shop):
    release = threading.Event()
    shop.sink.before_answer = lambda: release.wait(5)
    shop.push_accepted()
    assert shop.post("clock", {"advance": 3, "wait": True, "timeout": 0.05})["idle"] is False
    release.set()
    assert shop.post("clock", {"wait": True})["idle"] is True
    assert "idle" not in shop.post("clock", {"advance": 1})


@pytest.mark.parametrize(
    "body",
    [
        {"advance": -1},
        {"timeout": "x"},
        {"factor": "x"},
        {"factor": 2_000_000},
        {"wait": 1},
        {"advance": True},
    ],
)
def test_a_senseless_clock_is_refused(shop, body):
    assert shop.post("clock", body, status=400)["error"]


def test_a_callback_is_replayed_as_often_as_asked(shop):
    checkout_id = shop.push_accepted()
    assert "still waits" in shop.post(f"prompts/{checkout_id}/replay", status=409)["error"]
    shop.simulator.advance(3)
    answer = shop.post(f"prompts/{checkout_id}/replay", {"times": 3})
    assert [one["status"] for one in answer["deliveries"]] == [200] * 3
    assert len({one.body for one in shop.sink.received}) == 1
    assert len(shop.sink.received) == 4
    assert len(shop.ledger()) == 1


def test_a_callback_is_replayed_many_times_at_once(shop):
    checkout_id = shop.push_accepted()
    shop.simulator.advance(3)
    together = threading.Barrier(8, timeout=5)
    shop.sink.before_answer = together.wait
    shop.post(f"prompts/{checkout_id}/replay", {"times": 8, "at_once": True})
    assert len(shop.sink.received) == 9


def test_a_lost_callback_can_be_sent_after_all(shop):
    checkout_id = shop.push_accepted("254712347001")
    shop.simulator.advance(3)
    assert [one["state"] for one in shop.get("deliveries")["deliveries"]] == ["lost"]
    shop.post(f"prompts/{checkout_id}/replay")
    assert shop.sink.codes == [0]


def test_held_callbacks_go_when_they_are_released(shop):
    assert shop.post("callbacks", {"mode": "hold"}) == shop.get("callbacks") == {"mode": "hold"}
    shop.push_accepted()
    shop.push_accepted("254712341032")
    shop.simulator.advance(3)
    assert shop.sink.codes == []
    assert {one["state"] for one in shop.get("deliveries")["deliveries"]} == {"held"}
    shop.post("callbacks", {"mode": "deliver"})
    shop.simulator.settle()
    assert sorted(shop.sink.codes) == [0, 1032]


def test_dropped_callbacks_are_gone(shop):
    shop.post("callbacks", {"mode": "drop"})
    shop.push_accepted()
    shop.simulator.advance(3)
    shop.post("callbacks", {"mode": "deliver"})
    shop.simulator.settle()
    assert shop.sink.codes == []
    assert [one["state"] for one in shop.get("deliveries")["deliveries"]] == ["lost"]
    assert len(shop.ledger()) == 1


def test_a_senseless_mode_is_refused(shop):
    assert shop.post("callbacks", {"mode": "dance"}, status=400)["error"]


def test_a_delivery_is_on_record(shop):
    checkout_id = shop.push_accepted()
    shop.simulator.advance(3)
    delivery = shop.get("deliveries")["deliveries"][0]
    assert delivery.pop("real_milliseconds") >= 0
    assert delivery == {
        "number": 1,
        "kind": "callback",
        "reference": checkout_id,
        "checkout_request_id": checkout_id,
        "url": f"{shop.sink.url}/callbacks/secret",
        "body": shop.sink.received[0].body.decode(),
        "state": "done",
        "created_at": "2026-11-22T23:59:53+03:00",
        "attempted_at": "2026-11-22T23:59:53+03:00",
        "status": 200,
        "answer": '{"ResultCode":0,"ResultDesc":"Accepted"}',
        "error": None,
        "was_received": True,
    }


def test_a_reset_forgets_all_but_tokens_and_clock(shop):
    shop.post("faults", {"refused": 0.5})
    shop.post("next", {"outcome": "pay", "count": 2})
    shop.post("faults", {"refused": 0})
    shop.push_accepted()
    shop.simulator.advance(3)
    shop.push_accepted(WAITS)
    shop.post("callbacks", {"mode": "hold"})
    shop.post("reset")
    shop.simulator.advance(600)
    status = shop.get("status")
    assert (status["prompts"], status["deliveries"], status["payments"]) == (0, 0, 0)
    assert status["callbacks"] == "deliver"
    assert set(status["faults"].values()) == {0}
    assert shop.get("next") == {"next": []}
    assert shop.sink.codes == [0]
    shop.push_accepted(WAITS)  # neither locked nor without a token


def test_the_status_names_merchants_and_seed(shop):
    status = shop.get("status")
    assert status["seed"] == 1
    assert status["merchants"] == [
        {
            "shortcode": "174379",
            "receiver": "174379",
            "transaction_type": "CustomerPayBillOnline",
        },
        {
            "shortcode": "4001001",
            "receiver": "5001001",
            "transaction_type": "CustomerBuyGoodsOnline",
        },
    ]


def test_an_unknown_call_is_refused_in_json(shop):
    assert shop.post("dance", status=404)["error"]
    assert shop.post("ledger", status=405)["error"]


@pytest.mark.parametrize("path", ["/", "/__sim/status"])
def test_another_machine_gets_neither_page_nor_control(shop, path):
    client = shop.simulator.app.test_client()
    elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
    assert client.get(path, environ_base=elsewhere).status_code == 403
    assert client.get(path, environ_base={"REMOTE_ADDR": "::1"}).status_code == 200
    assert client.get("/oauth/v1/generate", environ_base=elsewhere).status_code == 400


def test_another_machine_may_be_let_in(open_shop):
    client = open_shop(control_from_anywhere=True).simulator.app.test_client()
    elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
    assert client.get("/__sim/status", environ_base=elsewhere).status_code == 200


def test_another_sites_page_cannot_turn_the_knobs(shop):
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert shop.client.post(shop.url("/__sim/reset"), headers=headers).status_code == 403
    headers = {"Sec-Fetch-Site": "same-origin"}
    assert shop.client.post(shop.url("/__sim/reset"), headers=headers).status_code == 200


def test_loopback_is_known_in_every_spelling():
    assert _is_loopback("127.3.2.1")
    assert _is_loopback("::1")
    assert _is_loopback("::ffff:127.0.0.1")
    assert not _is_loopback("::ffff:192.0.2.7")
    assert not _is_loopback(None)


def test_a_connection_is_cut_only_under_the_simulators_own_server(shop):
    client = shop.simulator.app.test_client()
    body = shop.push_body("254712347019")
    answer = client.post("/mpesa/stkpush/v1/processrequest", json=body, headers=shop.headers)
    assert (answer.status_code, answer.json["errorCode"]) == (500, "500.003.1001")


def at_once(count, call):
    """Run calls that start together; what each returns."""
    ready = threading.Barrier(count)

    def run(number):
        ready.wait(5)
        return call(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_of_many_pushes_at_once_one_rings(shop):
    assert shop.headers  # one token for all
    answers = at_once(12, lambda _: shop.push(WAITS).status_code)
    assert sorted(answers) == [200] + [500] * 11
    assert len(shop.prompts()) == 1


def test_of_pay_and_cancel_at_once_one_wins(shop):
    checkout_id = shop.push_accepted(WAITS)

    def press(number):
        ending = ("pay", "cancel")[number % 2]
        return shop.client.post(shop.url(f"/__sim/prompts/{checkout_id}/{ending}")).status_code

    assert sorted(at_once(8, press)) == [200] + [409] * 7
    shop.simulator.settle()
    assert len(shop.sink.codes) == 1
    assert len(shop.ledger()) == (1 if shop.sink.codes == [0] else 0)


def test_a_prompt_forgotten_by_a_reset_never_ends(shop):
    shop.push_accepted()
    gateway = shop.simulator.gateway
    prompt = gateway.express.book.all()[0]
    gateway.reset()
    assert not gateway.express.end_prompt(prompt, prompt.plan)
    assert shop.ledger() == []


# --- when there is much of it ---


def test_long_lists_are_cut_to_the_newest(shop):
    ids = [shop.push_accepted(f"25471234{number}0000"[:12]) for number in range(10, 15)]
    assert [one["id"] for one in shop.get("prompts?limit=2")["prompts"]] == ids[-2:]
    assert shop.get("prompts?limit=0") == {"prompts": []}
    assert [one["id"] for one in shop.get("prompts?limit=99")["prompts"]] == ids
    for path in ("prompts", "deliveries", "payments", "requests", "ledger"):
        answer = shop.client.get(shop.url(f"/__sim/{path}?limit=some"))
        assert answer.status_code == 400


def test_what_waits_is_listed_and_counted_by_itself(shop):
    first = shop.push_accepted(WAITS)
    second = shop.push_accepted("254712350000")
    shop.post(f"prompts/{first}/pay")
    shop.simulator.settle()
    waiting = shop.get("prompts?state=waiting")["prompts"]
    assert [one["id"] for one in waiting] == [second]
    status = shop.get("status")
    assert (status["prompts"], status["waiting"], status["payments"]) == (2, 1, 1)


def test_deliveries_are_listed_by_kind_state_and_reference(shop):
    shop.register_accepted()
    checkout_id = shop.push_accepted("254712347001")
    payment = shop.pay()
    shop.simulator.advance(5)

    def kinds(query):
        return [one["kind"] for one in shop.get(f"deliveries?{query}")["deliveries"]]

    assert kinds("kind=validation") == ["validation"]
    assert kinds("state=lost") == ["callback"]
    assert kinds(f"reference={checkout_id}") == ["callback"]
    assert kinds(f"reference={payment['id']}") == ["validation", "confirmation"]
    assert len(kinds("limit=1")) == 1


def test_the_status_counts_what_is_on_its_way_and_tells_what_is_due(shop):
    status = shop.get("status")
    assert (status["due"], status["next"], status["on_the_way"]) == (0, None, 0)
    shop.push_accepted("254712347002")
    checkout_id = shop.push_accepted()
    status = shop.get("status")
    assert status["due"] == 2
    assert status["next"]["at"] == "2026-11-22T23:59:53+03:00"
    assert status["next"]["what"].startswith("end of prompt ws_CO_")
    arrived, release = threading.Event(), threading.Event()
    shop.sink.before_answer = lambda: (arrived.set(), release.wait(5))
    shop.simulator.gateway.timetable.advance(3)
    assert arrived.wait(5)
    status = shop.get("status")
    assert status["on_the_way"] == status["deliveries_by_state"]["sending"] == 1
    assert status["next"] == {
        "at": "2026-11-23T00:02:53+03:00",
        "what": status["next"]["what"],
    }
    assert checkout_id not in status["next"]["what"]
    release.set()
    shop.simulator.settle()
    states = shop.get("status")["deliveries_by_state"]
    assert states == {"sending": 0, "held": 0, "lost": 0, "done": 1}


def test_a_reset_begins_the_counts_anew_whatever_was_on_its_way(shop):
    arrived, release = threading.Event(), threading.Event()
    shop.sink.before_answer = lambda: (arrived.set(), release.wait(5))
    shop.push_accepted()
    shop.simulator.gateway.timetable.advance(3)
    assert arrived.wait(5)
    shop.post("reset")
    release.set()
    shop.simulator.settle()
    status = shop.get("status")
    assert set(status["deliveries_by_state"].values()) == {0}
    assert status["deliveries"] == 0


def test_a_thousand_pushes_are_carried_at_once(open_shop):
    """All end in one moment; every callback arrives, and the books have every shilling."""
    shop = open_shop()
    shop.register_accepted()
    gateway, count = shop.simulator.gateway, 1000
    body, now = shop.push_body(), gateway.clock.now()
    for number in range(count):
        phone = f"2547{number:04}5678"
        push = read_push(body | {"PartyA": phone, "PhoneNumber": phone}, gateway.config, now)
        gateway.express.take_push(push, gateway.identify(push.credentials))
    assert shop.get("status")["waiting"] == count
    shop.simulator.advance(5, timeout_seconds=60)
    status = shop.get("status")
    assert (status["waiting"], status["payments"], status["due"]) == (0, count, 0)
    assert status["deliveries_by_state"] == {"sending": 0, "held": 0, "lost": 0, "done": 2 * count}
    receipts = {one["receipt"] for one in shop.ledger()}
    callbacks = [one for one in shop.sink.received if one.path == "/callbacks/secret"]
    assert len(callbacks) == len(shop.confirmations) == len(receipts) == count
    assert {one.metadata["MpesaReceiptNumber"] for one in callbacks} == receipts
    assert {one["TransID"] for one in shop.confirmations} == receipts
    assert shop.balance()["utility"] == 100_000 + count
