"""What processrequest takes, refuses, and answers."""

import json
import re

import pytest

from daraja_simulator import Api, Merchant, OverLong
from tests.simulator.shop import PAYBILL, PHONE, PUSH, TILL
from tests.simulator.test_tokens import assert_envelope


def test_an_accepted_push_is_answered_as_the_manual_prints_it(shop):
    answer = shop.push(phone="254708374149")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    body = json.loads(answer.text)
    assert list(body) == [
        "MerchantRequestID",
        "CheckoutRequestID",
        "ResponseCode",
        "ResponseDescription",
        "CustomerMessage",
    ]
    assert re.fullmatch(r"([0-9a-f]{4}-){3}[0-9a-f]{12}[0-9]{4,7}", body["MerchantRequestID"])
    # 23:59:50 of the 22nd in Nairobi
    assert re.fullmatch(r"ws_CO_22112026235950[0-9]{1,3}708374149", body["CheckoutRequestID"])
    assert body["ResponseCode"] == "0"
    assert body["ResponseDescription"] == "Success. Request accepted for processing"
    assert body["CustomerMessage"] == "Success. Request accepted for processing"


NOW = "20261122235950"

BAD_FIELDS = [
    ("BusinessShortCode", ..., "1234", "12345678", "17437a", True, None, [], 174379.5),
    ("Password", ..., "", None, [1]),
    ("Timestamp", ..., "2026112210101", "20261322101010", "20260230101010", "x" * 14),
    ("TransactionType", ..., "PayBill", "", 7, None, ["CustomerPayBillOnline"]),
    ("Amount", ..., 0, "0", 1.5, "1.5", -1, "abc", "", True, None, "1" * 13, 1e300, "\uff11"),
    ("PartyA", ..., "0712345678", "25471234567", "254212345678", "255712345678"),
    ("PartyB", ..., "", "123", "abc"),
    ("PhoneNumber", ..., "0712345678", "+254712345678", 712345678, True),
    (
        "CallBackURL",
        ...,
        "",
        "shop.example/cb",
        "ftp://shop.example/cb",
        "http://",
        "http://[::1",
        "http://shop.example:port/",
        "http://shop.example:0/",
        "http://shop.example/a b",
        "http://shop.example/\n",
        7,
    ),
    ("AccountReference", ..., "", None, "thirteen char", {}, True),
    ("TransactionDesc", "fourteen chars", ["a"], False),
]


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, *values in BAD_FIELDS for value in values]
)
def test_a_bad_field_is_named(shop, name, value):
    answer = shop.push(**{name: value})
    assert_envelope(answer, 400, "400.002.02", f"Bad Request - Invalid {name}")
    assert shop.prompts() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BusinessShortCode", 174379),
        ("BusinessShortCode", 174379.0),
        ("Amount", "1"),
        ("Amount", 250_000),
        ("Amount", 10.0),
        ("PartyA", 254712345678),
        ("PartyA", "254112345678"),
        ("PartyB", 174379),
        ("PhoneNumber", 254712345678),
        ("TransactionDesc", ...),
        ("TransactionDesc", None),
        ("TransactionDesc", "thirteen char"),
        ("AccountReference", "twelve chars"),
        ("AccountReference", 42),
        ("CallBackURL", "http://localhost:9/cb"),
        ("CallBackURL", "https://Shop.Example/mpesa?x=1"),
        ("SomethingElse", "is not looked at"),
    ],
)
def test_numbers_and_strings_are_both_taken(shop, name, value):
    shop.push_accepted(**{name: value})
    assert len(shop.prompts()) == 1


def test_the_first_bad_field_is_the_one_that_is_named(shop):
    answer = shop.push(Amount="x", PhoneNumber="x")
    assert answer.json()["errorMessage"] == "Bad Request - Invalid Amount"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_an_invalid_payload(shop, body):
    answer = shop.client.post(
        shop.url(PUSH), content=body, headers={**shop.headers, "Content-Type": "application/json"}
    )
    assert_envelope(answer, 400, "400.002.05", "Invalid Request Payload")


def test_a_form_is_refused_as_an_invalid_shortcode(shop):
    answer = shop.client.post(shop.url(PUSH), data={"Amount": "1"}, headers=shop.headers)
    assert_envelope(answer, 400, "400.002.02", "Bad Request - Invalid BusinessShortCode")


def test_a_content_type_with_a_charset_is_json_too(shop):
    headers = {**shop.headers, "Content-Type": "application/json; charset=utf-8"}
    body = json.dumps(shop.push_body())
    assert shop.client.post(shop.url(PUSH), content=body, headers=headers).status_code == 200


def test_an_unknown_merchant_does_not_exist(shop):
    answer = shop.push(merchant=Merchant("600999", "x"))
    assert_envelope(answer, 500, "500.001.1001", "Merchant does not exist")


@pytest.mark.parametrize(
    "password", ["nonsense", PAYBILL.password_at("20261122101011"), TILL.password_at("2026")]
)
def test_a_password_that_does_not_match_is_refused(shop, password):
    answer = shop.push(Password=password)
    assert_envelope(answer, 500, "500.001.1001", "[MerchantValidate] - Wrong credentials")


def test_the_password_is_the_published_vector():
    assert PAYBILL.password_at("20180814085620") == (
        "MTc0Mzc5YmZiMjc5ZjlhYTliZGJjZjE1OGU5N2RkNzFhNDY3Y2QyZTBjODkzMDU5YjEwZjc4ZTZiNzJhZGExZWQy"
        "YzkxOTIwMTgwODE0MDg1NjIw"
    )


def test_checks_come_in_their_order(shop):
    """Token before JSON before fields before merchant before password before the phone's lock."""
    shop.push_accepted()
    other = Merchant("600999", "x")
    steps = [
        ({}, b"{", "404.001.03"),
        (shop.headers, b"{", "Invalid Request Payload"),
        (shop.headers, shop.push_body(merchant=other, Amount=0), "Invalid Amount"),
        (shop.headers, shop.push_body(merchant=other), "Merchant does not exist"),
        (shop.headers, shop.push_body(Password="x"), "Wrong credentials"),
        (shop.headers, shop.push_body(), "Unable to lock subscriber"),
    ]
    for headers, body, expected in steps:
        content = body if isinstance(body, bytes) else json.dumps(body)
        typed = {**headers, "Content-Type": "application/json"}
        answer = shop.client.post(shop.url(PUSH), content=content, headers=typed)
        assert expected in answer.text


def test_a_merchant_of_ones_own_replaces_the_built_in_one(open_shop):
    own = Merchant("174379", "own passkey")
    shop = open_shop(merchants=(PAYBILL, own))
    assert "Wrong credentials" in shop.push(merchant=PAYBILL).text
    shop.push_accepted(merchant=own)


@pytest.mark.parametrize(
    ("merchant", "changes", "code"),
    [
        (PAYBILL, {}, 0),
        (TILL, {}, 0),
        (PAYBILL, {"PartyB": "600999"}, "SFC_IC0003"),
        (PAYBILL, {"PartyB": TILL.till}, "SFC_IC0003"),
        (TILL, {"PartyB": TILL.shortcode}, "SFC_IC0003"),
        (PAYBILL, {"TransactionType": "CustomerBuyGoodsOnline"}, 2028),
        (TILL, {"TransactionType": "CustomerPayBillOnline"}, 2028),
        (TILL, {"TransactionType": "CustomerPayBillOnline", "PartyB": "4001001"}, 2028),
        (PAYBILL, {"Amount": 250_001}, 3),
    ],
)
def test_a_wrong_pairing_is_accepted_and_fails_without_ringing(shop, merchant, changes, code):
    shop.push_accepted(merchant=merchant, **changes)
    shop.simulator.advance(3)
    assert shop.sink.codes == [code]
    assert len(shop.ledger()) == (1 if code == 0 else 0)


def test_a_wrong_pairing_fails_even_a_phone_that_waits_for_a_person(shop):
    shop.push_accepted(phone="254712340000", PartyB="600999")
    shop.simulator.advance(1)
    assert shop.sink.codes == ["SFC_IC0003"]


@pytest.mark.parametrize("name", ["AccountReference", "TransactionDesc"])
def test_an_over_long_text_may_end_in_1025(open_shop, name):
    shop = open_shop(over_long=OverLong.RESULT_1025)
    shop.push_accepted(**{name: "x" * 40})
    shop.simulator.advance(3)
    assert shop.sink.codes == [1025]


def test_over_long_texts_may_be_cut(open_shop):
    shop = open_shop(over_long=OverLong.TRUNCATE)
    shop.push_accepted(AccountReference="abcdefghijklmnop", TransactionDesc="abcdefghijklmnop")
    shop.simulator.advance(3)
    prompt = shop.prompts()[0]
    assert (prompt["account_reference"], prompt["description"]) == (
        "abcdefghijkl",
        "abcdefghijklm",
    )
    assert shop.sink.codes == [0]


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example.com/cb",
        "https://localhost/cb",
        "https://127.0.0.1/cb",
        "https://10.1.2.3/cb",
        "https://abc.ngrok.io/cb",
        "https://Shop.example.com/cb",
        "https://shop.example.com/mpesa/cb",
        "https://shop.example.com/SQL",
        "https://shop.example.com/cb?query=1",
    ],
)
def test_strict_callback_urls_follow_the_portal(open_shop, url):
    shop = open_shop(strict_callback_urls=True)
    answer = shop.push(CallBackURL=url)
    assert_envelope(answer, 400, "400.002.02", "Bad Request - Invalid CallBackURL")


@pytest.mark.parametrize("url", ["https://shop.invalid/cb", "https://8.8.8.8:8443/cb/1?a=b"])
def test_strict_callback_urls_let_public_ones_pass(open_shop, url):
    shop = open_shop(strict_callback_urls=True)
    shop.push_accepted(CallBackURL=url)


def test_a_busy_phone_is_locked_until_its_prompt_ends(shop):
    locked = (
        "Unable to lock subscriber, a transaction is already in process for the current subscriber"
    )
    shop.push_accepted(amount=1)
    assert_envelope(shop.push(amount=2), 500, "500.001.1001", locked)
    shop.push_accepted(phone="254712345679", amount=2)
    shop.simulator.advance(2.9)
    assert_envelope(shop.push(amount=2), 500, "500.001.1001", locked)
    shop.simulator.advance(0.1)
    shop.push_accepted(amount=2)
    assert len(shop.prompts()) == 3


def test_the_same_amount_within_two_minutes_of_a_payment_ends_in_17(shop):
    shop.push_accepted(amount=5)
    shop.simulator.advance(3)  # the money moves now
    shop.push_accepted(amount=5)
    shop.simulator.advance(3)
    shop.push_accepted(amount=6)
    shop.simulator.advance(3)
    shop.push_accepted(phone="254712345679", amount=5)
    shop.simulator.advance(110.9)  # the next payer answers 119.9 s after the first payment
    shop.push_accepted(amount=5)
    shop.simulator.advance(3)
    assert shop.sink.codes == [0, 17, 0, 0, 17]
    shop.push_accepted(amount=5)
    shop.simulator.advance(3)
    assert shop.sink.codes == [0, 17, 0, 0, 17, 0]
    assert [one["amount"] for one in shop.ledger()] == [5, 6, 5, 5]


def test_a_failure_does_not_start_the_two_minutes(shop):
    shop.post("next", {"outcome": "wrong_pin"})
    for code in (2001, 0):
        shop.push_accepted()
        shop.simulator.advance(3)
        assert shop.sink.codes[-1] == code


def test_the_two_minute_rule_can_be_turned_off(open_shop):
    shop = open_shop(duplicate_window_seconds=0)
    for _ in range(3):
        shop.push_accepted()
        shop.simulator.advance(3)
    assert shop.sink.codes == [0, 0, 0]


def test_a_rejected_token_is_taken_at_the_next_try(shop):
    phone = "254712347025"
    answers = [shop.push(phone).status_code for _ in range(2)]
    shop.simulator.advance(300)
    answers += [shop.push(phone).status_code for _ in range(2)]
    shop.simulator.advance(300)
    assert answers == [404, 200, 404, 200]
    assert shop.sink.codes == [0, 0]


def test_a_silent_push_rings_at_once_and_is_answered_after_30_seconds(shop):
    answer = shop.push_through_silence("254712347023", 30)
    assert answer.json()["ResponseCode"] == "0"
    assert shop.sink.codes == [0]


def test_a_callback_before_the_answer_has_been_delivered_when_the_answer_comes(shop):
    answer = shop.push("254712347006")
    assert [one.callback["CheckoutRequestID"] for one in shop.sink.received] == [
        answer.json()["CheckoutRequestID"]
    ]
    assert shop.query_code(answer.json()["CheckoutRequestID"]) == "0"


def test_a_callback_before_the_answer_may_be_lost_by_chance(shop):
    shop.post("faults", {"callback_lost": 1})
    shop.push_accepted("254712347006")
    assert [one["state"] for one in shop.get("deliveries")["deliveries"]] == ["lost"]


def test_two_pushes_in_one_instant_get_ids_of_their_own(open_shop):
    shop = open_shop(answer_seconds=0, duplicate_window_seconds=0)
    ids = set()
    for _ in range(30):
        ids.add(shop.push_accepted())
        shop.simulator.advance(0)
    assert len(ids) == 30
    assert len({one["receipt"] for one in shop.ledger()}) == 30


def test_a_push_for_another_payer_rings_the_phone_that_is_named(shop):
    shop.push_accepted(phone=PHONE, PartyA="254799999999")
    assert shop.prompts()[0]["phone"] == PHONE


# --- mistakes that are told apart ---


@pytest.mark.parametrize(
    ("stamp", "is_taken"),
    [
        ("20261122235950", True),
        ("20261123000450", True),  # five minutes ahead
        ("20261122235450", True),
        ("20261123000451", False),
        ("20261122205950", False),  # UTC
    ],
)
def test_a_clock_that_is_wrong_may_be_refused(open_shop, stamp, is_taken):
    shop = open_shop(timestamp_minutes=5)
    changes = {"Timestamp": stamp, "Password": PAYBILL.password_at(stamp)}
    push, query = shop.push(**changes), shop.query("x", **changes)
    if is_taken:
        assert push.status_code == 200
        assert query.json()["errorMessage"] == "The transaction does not Exist"
    else:
        for answer in (push, query):
            assert_envelope(answer, 400, "400.002.02", "Bad Request - Invalid Timestamp")


def test_an_app_may_lack_the_product(open_shop):
    shop = open_shop(missing_products=frozenset({Api.EXPRESS}))
    text = "Error Occurred - Invalid Access Token - Invalid API call as no apiproduct match found"
    assert_envelope(shop.push(), 401, "401.003.01", text)
    assert_envelope(shop.query("x"), 401, "401.003.01", text)
    assert shop.simulate().status_code == 200


def test_each_mistake_of_a_set_up_has_an_answer_of_its_own(open_shop):
    """What a shop that examines its own settings can tell apart."""
    own = Merchant("600123", "own passkey")
    shop = open_shop(
        merchants=(PAYBILL, TILL, own),
        consumer_key="key",
        consumer_secret="secret",
        timestamp_minutes=5,
    )

    def push(merchant=own, **changes):
        signed = {"Password": merchant.password_at(NOW), "Timestamp": NOW, **changes}
        answer = shop.push(merchant=merchant, **signed)
        if answer.status_code != 200:
            return answer.json()["errorMessage"]
        shop.simulator.advance(3)
        code = shop.sink.codes[-1]
        shop.simulator.advance(120)
        return code

    wrong = shop.client.get(
        shop.url("/oauth/v1/generate?grant_type=client_credentials"), auth=("key", "guess")
    )
    answers = [
        wrong.json()["errorMessage"],
        push(Password=Merchant("600123", PAYBILL.passkey).password_at(NOW)),
        push(Merchant("600999", "own passkey")),
        push(TILL, TransactionType="CustomerPayBillOnline", PartyB=TILL.shortcode),
        push(PartyB="5001001"),
    ]
    assert answers == [
        "Invalid Authentication passed",
        "[MerchantValidate] - Wrong credentials",
        "Merchant does not exist",
        2028,
        "SFC_IC0003",
    ]
