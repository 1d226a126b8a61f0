"""What a status query says, and when it says nothing of use."""

import json

import pytest

from daraja_simulator import Merchant
from tests.simulator.shop import PAYBILL, QUERY, TILL
from tests.simulator.test_tokens import assert_envelope

PREFIX = "25471234"


def test_an_answer_is_printed_byte_for_byte(shop):
    push = shop.push(PREFIX + "1032").json()
    shop.simulator.advance(3)
    assert shop.query(push["CheckoutRequestID"]).text == (
        '{"ResponseCode":"0",'
        '"ResponseDescription":"The service request has been accepted successsfully",'
        f'"MerchantRequestID":"{push["MerchantRequestID"]}",'
        f'"CheckoutRequestID":"{push["CheckoutRequestID"]}",'
        '"ResultCode":"1032","ResultDesc":"Request cancelled by user"}'
    )


def test_a_pending_prompt_is_4999(shop):
    body = shop.query(shop.push_accepted()).json()
    assert (body["ResponseCode"], body["ResultCode"], body["ResultDesc"]) == (
        "0",
        "4999",
        "The transaction is still under processing",
    )


def test_a_pending_prompt_may_be_an_error_instead(open_shop):
    shop = open_shop(pending_query_as_500=True)
    checkout_id = shop.push_accepted()
    answer = shop.query(checkout_id)
    assert_envelope(answer, 500, "500.001.1001", "The transaction is being processed")
    assert answer.json()["requestId"] == checkout_id
    shop.simulator.advance(3)
    assert shop.query_code(checkout_id) == "0"


def test_the_query_words_1037_in_its_own_way(shop):
    checkout_id = shop.push_accepted(PREFIX + "1037")
    shop.simulator.advance(26)
    assert shop.query(checkout_id).json()["ResultDesc"] == "DS timeout user cannot be reached."
    assert shop.sink.received[0].callback["ResultDesc"] == "No response from user."


def test_an_unknown_id_does_not_exist(shop):
    answer = shop.query("ws_CO_220120261010101712345678")
    assert_envelope(answer, 500, "500.001.1001", "The transaction does not Exist")


def test_an_unknown_id_may_be_an_invalid_field(open_shop):
    shop = open_shop(unknown_query_as_400=True)
    answer = shop.query("ws_CO_220120261010101712345678")
    assert_envelope(answer, 400, "400.002.02", "Bad Request - Invalid CheckoutRequestID")


def test_a_merchant_sees_its_own_prompts_only(shop):
    checkout_id = shop.push_accepted(merchant=PAYBILL)
    answer = shop.query(checkout_id, merchant=TILL)
    assert_envelope(answer, 500, "500.001.1001", "The transaction does not Exist")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BusinessShortCode", "x"),
        ("Password", ""),
        ("Timestamp", "20261322101010"),
        ("CheckoutRequestID", ""),
        ("CheckoutRequestID", None),
    ],
)
def test_a_bad_field_is_named(shop, name, value):
    answer = shop.query("x", **{name: value})
    assert_envelope(answer, 400, "400.002.02", f"Bad Request - Invalid {name}")


def test_merchant_and_password_are_checked(shop):
    answer = shop.query("x", merchant=Merchant("600999", "x"))
    assert_envelope(answer, 500, "500.001.1001", "Merchant does not exist")
    answer = shop.query("x", Password="x")
    assert_envelope(answer, 500, "500.001.1001", "[MerchantValidate] - Wrong credentials")


def test_a_broken_body_is_an_invalid_payload(shop):
    headers = {**shop.headers, "Content-Type": "application/json"}
    answer = shop.client.post(shop.url(QUERY), content=b"{", headers=headers)
    assert_envelope(answer, 400, "400.002.05", "Invalid Request Payload")


def test_pending_as_500_turns_into_the_truth(shop):
    checkout_id = shop.push_accepted(PREFIX + "7201")
    answer = shop.query(checkout_id)
    assert_envelope(answer, 500, "500.001.1001", "The transaction is being processed")
    shop.simulator.advance(3)
    assert shop.query_code(checkout_id) == "0"


def test_no_verdict_for_half_an_hour(shop):
    checkout_id = shop.push_accepted(PREFIX + "7202")
    shop.simulator.advance(3 + 1799)
    assert shop.query_code(checkout_id) == "4999"
    shop.simulator.advance(1)
    assert shop.query_code(checkout_id) == "0"


def test_a_flaky_query_errs_in_one_of_five_after_the_end(shop):
    checkout_id = shop.push_accepted(PREFIX + "7203")
    assert {shop.query_code(checkout_id) for _ in range(10)} == {"4999"}
    shop.simulator.advance(3)
    answers = [shop.query(checkout_id).json() for _ in range(100)]
    errors = [one for one in answers if "errorCode" in one]
    assert {one["errorCode"] for one in errors} == {"500.001.1001"}
    assert {one["ResultCode"] for one in answers if one not in errors} == {"0"}
    assert 10 <= len(errors) <= 30


def test_a_push_that_does_not_exist_yet(shop):
    checkout_id = shop.push_accepted(PREFIX + "7206")
    shop.simulator.advance(89)
    answer = shop.query(checkout_id)
    assert_envelope(answer, 500, "500.001.1001", "The transaction does not Exist")
    shop.simulator.advance(1)
    assert shop.query_code(checkout_id) == "0"


def test_a_query_answered_in_html(shop):
    checkout_id = shop.push_accepted(PREFIX + "7205")
    answer = shop.query(checkout_id)
    assert answer.status_code == 502
    assert answer.headers["Content-Type"].startswith("text/html")
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(answer.text)


def test_every_query_can_be_made_flaky(shop):
    shop.post("faults", {"query_error": 1})
    checkout_id = shop.push_accepted()
    shop.simulator.advance(3)
    statuses = {shop.query(checkout_id).status_code for _ in range(50)}
    assert statuses == {200, 500}
