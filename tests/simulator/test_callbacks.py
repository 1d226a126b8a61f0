"""What a callback looks like, and how it is delivered."""

import json
import re
import socket
import threading
import time

import pytest

from daraja_simulator.callbacks import build_callback
from daraja_simulator.wire import print_json
from tests.simulator.shop import PAYBILL, TILL, Shop


def finish(shop: Shop, digits="5678", seconds=600, **changes):
    """The callback of a push to a phone that ends in these digits."""
    shop.push_accepted("25471234" + digits, **changes)
    shop.simulator.advance(seconds)
    return shop.sink.received[-1]


def test_a_success_is_printed_byte_for_byte(shop):
    answer = shop.push(phone="254708374149", amount=1).json()
    shop.simulator.advance(3)
    received = shop.sink.received[0]
    receipt = shop.ledger()[0]["receipt"]
    assert received.body.decode() == (
        '{"Body":{"stkCallback":{'
        f'"MerchantRequestID":"{answer["MerchantRequestID"]}",'
        f'"CheckoutRequestID":"{answer["CheckoutRequestID"]}",'
        '"ResultCode":0,'
        '"ResultDesc":"The service request is processed successfully.",'
        '"CallbackMetadata":{"Item":['
        '{"Name":"Amount","Value":1.00},'
        f'{{"Name":"MpesaReceiptNumber","Value":"{receipt}"}},'
        '{"Name":"TransactionDate","Value":20261122235953},'
        '{"Name":"PhoneNumber","Value":254708374149}]}}}}'
    )
    assert received.path == "/callbacks/secret"
    assert received.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert received.headers["Businessshortcode"] == "174379"


def test_a_receipt_tells_its_day(shop):
    finish(shop, seconds=3)
    # U is 2026, K is November, M is the 22nd
    assert re.fullmatch(r"UKM[A-Z0-9]{7}", shop.ledger()[0]["receipt"])


def test_a_failure_is_printed_byte_for_byte(shop):
    answer = shop.push(phone="254712341032").json()
    shop.simulator.advance(3)
    assert shop.sink.received[0].body.decode() == (
        '{"Body":{"stkCallback":{'
        f'"MerchantRequestID":"{answer["MerchantRequestID"]}",'
        f'"CheckoutRequestID":"{answer["CheckoutRequestID"]}",'
        '"ResultCode":1032,"ResultDesc":"Request cancelled by user"}}}'
    )


def test_the_header_names_the_store_of_a_till(shop):
    received = finish(shop, merchant=TILL, seconds=3)
    assert received.headers["Businessshortcode"] == TILL.shortcode
    assert shop.ledger()[0]["receiver"] == TILL.till


def test_the_address_is_used_as_it_was_given(shop):
    finish(shop, CallBackURL=f"{shop.sink.url}/a%20b/c?d=e&f", seconds=3)
    assert shop.sink.received[0].path == "/a%20b/c?d=e&f"
    finish(shop, "5679", CallBackURL=shop.sink.url, seconds=3)
    assert shop.sink.received[1].path == "/"


def test_a_broken_off_callback_is_no_json(shop):
    received = finish(shop, "7008")
    assert received.body.startswith(b'{"Body":{"stkCallback":{"MerchantRequestID"')
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(received.body)


def test_a_string_result_code(shop):
    assert b'"ResultCode":"0"' in finish(shop, "7009").body


def test_a_balance_without_value(shop):
    items = finish(shop, "7010").callback["CallbackMetadata"]["Item"]
    assert items[2] == {"Name": "Balance"}
    assert len(items) == 5


def test_a_balance_with_a_number(shop):
    assert re.search(rb'\{"Name":"Balance","Value":[0-9]+(\.[0-9]+)?\}', finish(shop, "7011").body)


def test_a_balance_with_text(shop):
    assert finish(shop, "7027").metadata["Balance"] == (
        "{Amount={CurrencyCode=KES, MinimumAmount=618683, BasicAmount=6186.83}}"
    )


def test_shuffled_metadata_never_keep_their_order(open_shop):
    names = ["Amount", "MpesaReceiptNumber", "TransactionDate", "PhoneNumber"]
    for seed in range(5):
        shop = open_shop(seed=seed)
        items = finish(shop, "7012").callback["CallbackMetadata"]["Item"]
        assert [item["Name"] for item in items] != names
        assert sorted(item["Name"] for item in items) == sorted(names)


def test_a_masked_phone(shop):
    assert finish(shop, "7013").metadata["PhoneNumber"] == "254******013"


def test_a_wrong_amount_while_the_right_one_moved(shop):
    assert b'"Value":51.00}' in finish(shop, "7014", amount=50).body
    assert shop.ledger()[0]["amount"] == 50


def test_an_amount_without_decimals(shop):
    assert b'{"Name":"Amount","Value":50}' in finish(shop, "7026", amount=50).body


@pytest.mark.parametrize(
    ("digits", "wrong", "right"),
    [
        ("7015", "MerchantRequestID", "CheckoutRequestID"),
        ("7016", "CheckoutRequestID", "MerchantRequestID"),
    ],
)
def test_an_id_of_somebody_else(shop, digits, wrong, right):
    answer = shop.push("25471234" + digits).json()
    shop.simulator.advance(3)
    callback = shop.sink.received[0].callback
    assert callback[wrong] != answer[wrong]
    assert callback[right] == answer[right]


def test_a_forged_success_has_a_receipt_of_nothing(shop):
    received = finish(shop, "7017")
    assert received.callback["ResultCode"] == 0
    assert received.metadata["Amount"] == 1.0
    assert shop.ledger() == []
    assert shop.prompts()[0]["state"] == "cancelled"


def test_a_success_that_follows_a_failure_carries_the_metadata(shop):
    checkout_id = shop.push_accepted("254712347018")
    shop.simulator.advance(3)
    assert shop.query_code(checkout_id) == "1037"
    assert "CallbackMetadata" not in shop.sink.received[0].callback
    shop.simulator.advance(29.9)
    assert shop.sink.codes == [1037]
    shop.simulator.advance(0.1)
    assert shop.query_code(checkout_id) == "0"
    assert shop.sink.received[1].metadata["MpesaReceiptNumber"] == shop.ledger()[0]["receipt"]


def test_a_late_callback_comes_three_minutes_after_the_end(shop):
    checkout_id = shop.push_accepted("254712347002")
    shop.simulator.advance(3 + 179.9)
    assert shop.query_code(checkout_id) == "0"
    assert shop.sink.codes == []
    shop.simulator.advance(0.1)
    assert shop.sink.codes == [0]
    # it tells when the money moved, not when it was sent
    assert shop.sink.received[0].metadata["TransactionDate"] == 20261122235953


def test_a_callback_after_a_query_waits_for_one(shop):
    checkout_id = shop.push_accepted("254712347007")
    assert shop.query_code(checkout_id) == "4999"
    shop.simulator.advance(600)
    assert shop.sink.codes == []
    assert [shop.query_code(checkout_id) for _ in range(2)] == ["0", "0"]
    shop.simulator.advance(1)
    assert shop.sink.codes == [0]


def test_two_copies_come_one_after_the_other(shop):
    busy = threading.Lock()
    overlaps = []

    def answer():
        overlaps.append(not busy.acquire(blocking=False))
        time.sleep(0.02)
        busy.release()

    shop.sink.before_answer = answer
    finish(shop, "7003")
    assert overlaps == [False, False]
    assert len({one.body for one in shop.sink.received}) == 1


def test_two_copies_at_once_meet(shop):
    both = threading.Barrier(2, timeout=5)
    shop.sink.before_answer = both.wait  # neither is answered until both have come
    finish(shop, "7005")
    assert shop.sink.codes == [0, 0]


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_a_callback_that_is_refused_is_not_sent_again(shop, status):
    shop.sink.status = status
    finish(shop, seconds=3600)
    assert shop.sink.codes == [0]
    delivery = shop.get("deliveries")["deliveries"][0]
    assert (delivery["status"], delivery["was_received"]) == (status, False)


def test_a_redirect_is_not_followed(shop):
    shop.sink.status, shop.sink.location = 307, shop.sink.url + "/elsewhere"
    finish(shop, seconds=3600)
    assert [one.path for one in shop.sink.received] == ["/callbacks/secret"]
    assert shop.get("deliveries")["deliveries"][0]["status"] == 307


def test_a_shop_that_is_down_loses_its_callback(shop):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        shop.push_accepted(CallBackURL=f"http://127.0.0.1:{port}/cb")
        shop.simulator.advance(3600)
    deliveries = shop.get("deliveries")["deliveries"]
    assert len(deliveries) == 1
    assert deliveries[0]["error"].startswith("ConnectionRefusedError")
    assert (deliveries[0]["status"], deliveries[0]["state"]) == (None, "done")


def test_a_shop_that_speaks_no_http_loses_its_callback(shop):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def babble():
            connection, _ = server.accept()
            connection.recv(65_536)
            connection.sendall(b"what?\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=babble)
        thread.start()
        shop.push_accepted(CallBackURL=f"http://127.0.0.1:{server.getsockname()[1]}/")
        shop.simulator.advance(3)
        thread.join()
    assert shop.get("deliveries")["deliveries"][0]["error"].startswith("BadStatusLine")


def test_a_silent_shop_is_given_up(open_shop, monkeypatch):
    monkeypatch.setattr("daraja_simulator.courier._SHORTEST_TIMEOUT_SECONDS", 0.1)
    shop = open_shop(delivery_timeout_seconds=0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        shop.push_accepted(CallBackURL=f"http://127.0.0.1:{server.getsockname()[1]}/")
        shop.simulator.advance(3)
    delivery = shop.get("deliveries")["deliveries"][0]
    assert delivery["error"].startswith("TimeoutError")
    assert delivery["real_milliseconds"] >= 100


def test_an_https_address_is_spoken_to_in_tls(shop):
    with socket.create_server(("127.0.0.1", 0)) as server:
        heard = []

        def listen():
            connection, _ = server.accept()
            heard.append(connection.recv(1))
            connection.close()

        thread = threading.Thread(target=listen)
        thread.start()
        shop.push_accepted(CallBackURL=f"https://127.0.0.1:{server.getsockname()[1]}/")
        shop.simulator.advance(3)
        thread.join()
    assert heard == [b"\x16"]  # a handshake
    assert shop.get("deliveries")["deliveries"][0]["error"]


def test_one_slow_shop_does_not_hold_up_another(shop):
    arrived, release = threading.Event(), threading.Event()
    shop.sink.before_answer = lambda: (arrived.set(), release.wait(5))
    shop.push_accepted("254712345671")
    shop.simulator.gateway.timetable.advance(3)
    assert arrived.wait(5)
    shop.sink.before_answer = lambda: None
    shop.push_accepted("254712345672")
    shop.simulator.gateway.timetable.advance(3)
    deadline = time.monotonic() + 5
    while shop.get("deliveries")["deliveries"][-1]["state"] != "done":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert shop.get("deliveries")["deliveries"][0]["state"] == "sending"
    with pytest.raises(TimeoutError):
        shop.simulator.settle(timeout_seconds=0.01)
    release.set()
    shop.simulator.settle()


def test_a_prompt_that_waits_has_no_callback(shop):
    shop.push_accepted()
    gateway = shop.simulator.gateway
    prompt = gateway.express.book.all()[0]
    with pytest.raises(ValueError, match="still waits"):
        build_callback(prompt, gateway.dice.named("x"), gateway.clock.now())
    with pytest.raises(ValueError, match="still waits"):
        gateway.express.replay(prompt, 1, at_once=False)


@pytest.mark.parametrize("digits", ["7009", "7012", "7013", "7026"])
def test_a_disguise_leaves_a_failure_readable(shop, digits):
    checkout_id = shop.push_accepted("25471234" + digits, PartyB="600999", merchant=PAYBILL)
    shop.simulator.advance(3)
    callback = shop.sink.received[0].callback
    assert callback["CheckoutRequestID"] == checkout_id
    assert callback["ResultCode"] == "SFC_IC0003"
    assert "CallbackMetadata" not in callback


def test_json_is_printed_like_the_standard_library_does():
    value = {"a": [1, "two", None, True, {"ü": '"'}], "b": {}, "c": []}
    assert json.loads(print_json(value)) == value
