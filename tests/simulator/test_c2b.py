"""Customers who pay by the menu of their phones: registering, asking, telling."""

import json
import re
import socket
import threading

import pytest

from daraja_simulator.c2b_outcomes import TABLE, Order
from daraja_simulator.c2b_request import normalise_phone
from daraja_simulator.config import C2bVersion, PhoneShape
from daraja_simulator.notices import print_phone
from tests.simulator.shop import PAYBILL, PHONE, TILL
from tests.simulator.test_tokens import assert_envelope

PREFIX = "25471234"


# --- registering ---


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_registration_is_answered_as_the_manual_prints_it(shop, version):
    answer = shop.register(version=version)
    assert answer.status_code == 200
    body = json.loads(answer.text)
    assert list(body) == ["OriginatorCoversationID", "ResponseCode", "ResponseDescription"]
    assert re.fullmatch(r"([0-9a-f]{4}-){3}[0-9a-f]{12}[0-9]{4,7}", body["OriginatorCoversationID"])
    assert (body["ResponseCode"], body["ResponseDescription"]) == ("0", "Success")
    assert shop.get("registration")["registrations"] == [
        {
            "shortcode": "174379",
            "response_type": "Completed",
            "confirmation_url": f"{shop.sink.url}/c2b/confirm",
            "validation_url": f"{shop.sink.url}/c2b/validate",
            "version": version,
            "registered_at": "2026-11-22T23:59:50+03:00",
        }
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ShortCode", ...),
        ("ShortCode", "12"),
        ("ShortCode", "600999"),  # nobody's
        ("ResponseType", ...),
        ("ResponseType", "completed"),
        ("ResponseType", "Canceled"),
        ("ConfirmationURL", ...),
        ("ConfirmationURL", "shop.example"),
        ("ValidationURL", ""),
        ("ValidationURL", "ftp://shop.example/"),
    ],
)
def test_a_bad_field_of_a_registration_is_named(shop, name, value):
    answer = shop.register(**{name: value})
    assert_envelope(answer, 400, "400.002.02", f"Bad Request - Invalid {name}")
    assert shop.get("registration")["registrations"] == []


def test_the_sandbox_takes_registrations_as_often_as_one_likes(shop):
    shop.register_accepted()
    shop.register_accepted(ConfirmationURL=f"{shop.sink.url}/c2b/other")
    (one,) = shop.get("registration")["registrations"]
    assert one["confirmation_url"] == f"{shop.sink.url}/c2b/other"


def test_production_takes_one_registration_until_the_portal_forgets_it(open_shop):
    shop = open_shop(register_once=True)
    assert shop.get("registration")["may_register_again"] is False
    shop.register_accepted()
    answer = shop.register(ConfirmationURL=f"{shop.sink.url}/c2b/other")
    assert_envelope(answer, 500, "500.003.1001", "URLs are already registered")
    (one,) = shop.get("registration")["registrations"]
    assert one["confirmation_url"] == f"{shop.sink.url}/c2b/confirm"
    shop.register_accepted(merchant=TILL)  # another shortcode has its own
    assert shop.post("registration/forget") == {"forgotten": 2}
    shop.register_accepted()


def test_an_app_has_the_product_in_one_version(open_shop):
    shop = open_shop(c2b_version=C2bVersion.V1)
    text = "Error Occurred - Invalid Access Token - Invalid API call as no apiproduct match found"
    assert_envelope(shop.register(version="v2"), 401, "401.003.01", text)
    assert_envelope(shop.simulate(version="v2"), 401, "401.003.01", text)
    shop.register_accepted(version="v1")


def test_no_other_version_exists(shop):
    assert_envelope(shop.register(version="v3"), 404, "404.001.01", "Resource not found")


def test_a_dead_token_has_words_of_its_own_here(shop):
    answer = shop.client.post(
        shop.url("/mpesa/c2b/v2/registerurl"),
        json=shop.register_body(),
        headers={"Authorization": "Bearer nonsense"},
    )
    assert_envelope(answer, 400, "400.003.01", "Invalid Access Token")


def test_the_sandbox_paybill_may_be_refused_as_the_sandbox_does(open_shop):
    shop = open_shop(refuse_174379=True)
    assert_envelope(shop.register(), 400, "400.002.02", "Bad Request - Invalid ShortCode")
    shop.register_accepted(merchant=TILL)


def test_strict_urls_hold_for_registrations_too(open_shop):
    shop = open_shop(strict_callback_urls=True)
    good = "https://shop.example.com/c2b"
    bad = "https://shop.example.com/mpesa"
    answer = shop.register(ConfirmationURL=good, ValidationURL=bad)
    assert_envelope(answer, 400, "400.002.02", "Bad Request - Invalid ValidationURL")
    shop.register_accepted(ConfirmationURL=good, ValidationURL=good)


def test_a_registration_can_be_made_by_hand_as_by_whoever_had_the_shortcode_before(open_shop):
    shop = open_shop(register_once=True)
    found = shop.post(
        "registration",
        {
            "shortcode": "174379",
            "confirmation_url": "https://elsewhere.example/c",
            "validation_url": "https://elsewhere.example/v",
            "response_type": "Cancelled",
            "version": "v1",
        },
    )
    (one,) = found["registrations"]
    assert (one["confirmation_url"], one["version"]) == ("https://elsewhere.example/c", "v1")
    assert shop.register().json()["errorCode"] == "500.003.1001"
    assert "Invalid ShortCode" in shop.post("registration", {"shortcode": 1}, status=400)["error"]
    assert shop.post("registration", {"version": "v3"}, status=400)["error"]


def test_registrations_stay_through_a_reset(shop):
    shop.register_accepted()
    shop.post("reset")
    assert len(shop.get("registration")["registrations"]) == 1
    assert shop.pay()["state"] == "completed"
    assert len(shop.confirmations) == 1


# --- paying ---


def test_a_payment_is_asked_about_and_told_byte_for_byte(shop):
    shop.register_accepted()
    answer = shop.simulate(phone="254708374149", amount=5)
    assert answer.json()["ResponseDescription"] == "Accept the service request successfully."
    assert shop.ledger() == []
    shop.simulator.advance(1)
    (payment,) = shop.ledger()
    validation, confirmation = [one.body.decode() for one in shop.sink.received]
    assert confirmation == (
        '{"TransactionType":"Pay Bill",'
        f'"TransID":"{payment["receipt"]}",'
        '"TransTime":"20261122235951",'
        '"TransAmount":"5.00",'
        '"BusinessShortCode":"174379",'
        '"BillRefNumber":"ORDER-1",'
        '"InvoiceNumber":"",'
        '"OrgAccountBalance":"100005.00",'
        '"ThirdPartyTransID":"",'
        '"MSISDN":"2547 ***** 149",'
        '"FirstName":"HALIMA","MiddleName":"MUTHONI","LastName":"KARIUKI"}'
    )
    assert validation == confirmation.replace("100005.00", "")
    assert [one.path for one in shop.sink.received] == ["/c2b/validate", "/c2b/confirm"]
    headers = shop.sink.received[1].headers
    assert headers["Content-Type"] == "application/json;charset=UTF-8"
    assert "Businessshortcode" not in headers
    assert payment == {
        "receipt": payment["receipt"],
        "kind": "c2b",
        "amount": 5,
        "balance": 100_005,
        "phone": "254708374149",
        "name": "HALIMA MUTHONI KARIUKI",
        "merchant": "174379",
        "receiver": "174379",
        "account_reference": "ORDER-1",
        "merchant_request_id": None,
        "checkout_request_id": None,
        "conversation_id": None,
        "originator_conversation_id": None,
        "linked_receipt": None,
        "reversed_by": None,
        "moved_at": "2026-11-22T23:59:51+03:00",
    }


def test_a_payment_to_a_till_has_no_account(shop):
    shop.register_accepted(merchant=TILL)
    shop.pay(merchant=TILL, account=None)
    assert shop.confirmations[0]["TransactionType"] == "Buy Goods"
    assert shop.confirmations[0]["BusinessShortCode"] == TILL.till
    assert shop.confirmations[0]["BillRefNumber"] == ""
    assert shop.balance(TILL)["utility"] == 100_005
    assert shop.balance(PAYBILL)["utility"] == 100_000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ShortCode", "600999"),
        ("CommandID", "CustomerBuyGoodsOnline"),  # a paybill's customers do not
        ("CommandID", "Dance"),
        ("Amount", "1.5"),
        ("Amount", 0),
        ("Msisdn", "0712345678"),
        ("BillRefNumber", ...),
        ("BillRefNumber", "  "),
        ("BillRefNumber", "x" * 21),
    ],
)
def test_a_bad_field_of_a_payment_is_named(shop, name, value):
    answer = shop.simulate(**{name: value})
    assert_envelope(answer, 400, "400.002.02", f"Bad Request - Invalid {name}")
    assert shop.get("payments") == {"payments": []}


def test_free_text_is_passed_on_as_the_customer_typed_it(shop):
    shop.register_accepted()
    typed = ' order "1" / ñ <b>'
    shop.pay(account=typed)
    assert shop.confirmations[0]["BillRefNumber"] == typed


def test_nobody_registered_and_the_money_moves_all_the_same(shop):
    assert shop.pay()["state"] == "completed"
    assert shop.sink.received == []
    assert len(shop.ledger()) == 1


def test_without_external_validation_the_shop_is_told_alone(open_shop):
    shop = open_shop(external_validation=False)
    shop.register_accepted()
    shop.sink.answers["/c2b/validate"] = {"ResultCode": "C2B00012"}
    assert shop.pay()["state"] == "completed"
    assert (len(shop.validations), len(shop.confirmations)) == (0, 1)


@pytest.mark.parametrize("number", range(11, 17))
def test_a_shop_may_refuse_a_payment(shop, number):
    shop.register_accepted()
    code = f"C2B000{number}"
    shop.sink.answers["/c2b/validate"] = {"ResultCode": code, "ResultDesc": "Rejected"}
    payment = shop.pay()
    assert (payment["state"], payment["result_code"]) == ("rejected", code)
    assert (shop.ledger(), shop.confirmations) == ([], [])


@pytest.mark.parametrize("code", [1, "1", "C2B00099", ""])
def test_any_other_code_is_a_refusal_too(shop, code):
    shop.register_accepted()
    shop.sink.answers["/c2b/validate"] = {"ResultCode": code}
    payment = shop.pay()
    assert (payment["state"], payment["result_code"]) == ("rejected", "C2B00016")


@pytest.mark.parametrize("code", [0, "0", "00000000"])
def test_what_the_shop_called_the_payment_comes_back(shop, code):
    shop.register_accepted()
    answer = {"ResultCode": code, "ResultDesc": "Accepted", "ThirdPartyTransID": "order-17"}
    shop.sink.answers["/c2b/validate"] = answer
    assert shop.pay()["third_party_id"] == "order-17"
    assert shop.validations[0]["ThirdPartyTransID"] == ""
    assert shop.confirmations[0]["ThirdPartyTransID"] == "order-17"


UNREADABLE = [b"", b"ok", b"[]", b"{}", b'{"ResultCode": null}', b"[" * 100_000]


@pytest.mark.parametrize("answer", UNREADABLE)
@pytest.mark.parametrize(
    ("kind", "state"), [("Completed", "completed"), ("Cancelled", "cancelled")]
)
def test_no_answer_is_decided_by_what_was_registered(shop, answer, kind, state):
    shop.register_accepted(ResponseType=kind)
    shop.sink.answers["/c2b/validate"] = answer
    assert shop.pay()["state"] == state
    assert len(shop.ledger()) == len(shop.confirmations) == (1 if state == "completed" else 0)


@pytest.mark.parametrize("status", [302, 404, 500])
def test_an_answer_that_is_no_success_is_none(shop, status):
    shop.register_accepted(ResponseType="Cancelled")
    shop.sink.status = status
    assert shop.pay()["state"] == "cancelled"


def test_a_shop_that_is_down_is_decided_for(shop):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/"
        shop.register_accepted(ResponseType="Cancelled", ValidationURL=url)
        assert shop.pay()["state"] == "cancelled"


def test_a_shop_that_thinks_too_long_is_decided_for(open_shop, monkeypatch):
    monkeypatch.setattr("daraja_simulator.courier._SHORTEST_TIMEOUT_SECONDS", 0.05)
    shop = open_shop(validation_seconds=0.05)
    over = threading.Event()
    shop.sink.before_answer = lambda: over.wait(5)
    shop.register_accepted(ResponseType="Cancelled")
    assert shop.pay()["state"] == "cancelled"
    over.set()
    (delivery,) = shop.get("deliveries?kind=validation")["deliveries"]
    assert delivery["error"].startswith("TimeoutError")


@pytest.mark.parametrize("mode", ["hold", "drop"])
def test_what_is_held_back_or_dropped_is_no_answer(shop, mode):
    shop.register_accepted()
    shop.post("callbacks", {"mode": mode})
    assert shop.pay()["state"] == "completed"
    assert shop.sink.received == []
    shop.post("callbacks", {"mode": "deliver"})
    shop.simulator.settle()
    assert len(shop.confirmations) == (1 if mode == "hold" else 0)
    assert shop.validations == []


def test_the_money_waits_for_the_shops_word(shop):
    shop.register_accepted()
    seen = []
    shop.sink.before_answer = lambda: seen.append(len(shop.simulator.gateway.ledger.movements()))
    shop.pay()
    assert seen == [0, 1]  # at the validation, at the confirmation


def test_an_amount_above_the_maximum_never_gets_to_the_shop(shop):
    shop.register_accepted()
    payment = shop.pay(amount=250_001)
    assert (payment["state"], payment["result_code"]) == ("failed", "3")
    assert (shop.sink.received, shop.ledger()) == ([], [])


def test_a_payment_forgotten_by_a_reset_moves_no_money(shop):
    shop.register_accepted()
    shop.sink.before_answer = shop.simulator.gateway.reset
    shop.simulate()
    shop.simulator.advance(1)
    assert shop.ledger() == []
    assert shop.confirmations == []


# --- phones in notices ---


def test_v1_hashes_and_v2_masks(shop):
    shop.register_accepted(version="v1")
    shop.pay(phone="254708374149")
    shop.register_accepted(version="v2")
    shop.pay(phone="254708374149")
    assert [one["MSISDN"] for one in shop.confirmations] == [
        "bbff37cea44ac0b2d964ee0dfb8d2df8513dc7ba1b36129a929fc3fbd6dd4af4",
        "2547 ***** 149",
    ]


@pytest.mark.parametrize(
    ("shape", "printed"),
    [(PhoneShape.PLAIN, "254708374149"), (PhoneShape.MASKED, "2547 ***** 149")],
)
def test_the_shape_of_phones_can_be_chosen(open_shop, shape, printed):
    shop = open_shop(phone_shape=shape)
    shop.register_accepted(version="v1")
    shop.pay(phone="254708374149")
    assert shop.confirmations[0]["MSISDN"] == printed


# --- the table ---

# digits: confirmations, whether money moved, the state of the payment
FACTS = {
    "5678": (1, True, "completed"),
    "7301": (0, True, "completed"),
    "7302": (1, True, "completed"),
    "7303": (2, True, "completed"),
    "7304": (5, True, "completed"),
    "7305": (2, True, "completed"),
    "7306": (1, True, "completed"),
    "7307": (1, True, "completed"),
    "7308": (1, True, "completed"),
    "7309": (1, True, "completed"),
    "7310": (1, True, "completed"),
    "7311": (1, True, "completed"),
    "7312": (1, True, "completed"),
    "7314": (1, True, "completed"),
    "7315": (1, True, "completed"),
    "7317": (1, False, "failed"),
    "7318": (0, False, "failed"),
}


def test_the_facts_cover_the_whole_table():
    assert set(FACTS) == {row.digits for row in TABLE.rows[1:]} | {"5678"}


@pytest.mark.parametrize("digits", FACTS)
def test_each_row_does_what_it_says(shop, digits):
    confirmations, money_moves, state = FACTS[digits]
    shop.register_accepted()
    payment = shop.pay(PREFIX + digits, seconds=200)
    assert payment["state"] == state
    told = [one for one in shop.sink.received if one.path == "/c2b/confirm"]
    assert len(told) == confirmations
    assert [one["receipt"] for one in shop.ledger()] == ([payment["id"]] if money_moves else [])
    assert len({one.body for one in told}) <= 1
    for one in told:
        check_disguise(digits, one.body, PREFIX + digits)


def check_disguise(digits, body, phone):
    if digits == "7308":
        assert body.startswith(b'{"TransactionType":"Pay Bill"')
        with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
            json.loads(body)
        return
    notice = json.loads(body)
    assert all(isinstance(value, str) for value in notice.values())
    shapes = {"7309": PhoneShape.HASHED, "7310": PhoneShape.PLAIN}
    shape = shapes.get(digits, PhoneShape.MASKED)
    assert notice["MSISDN"] == print_phone(phone, shape, "v2")
    names = notice["FirstName"] + notice["MiddleName"] + notice["LastName"]
    assert (names == "") == (digits == "7311")
    assert notice["TransactionType"] == ("" if digits == "7312" else "Pay Bill")
    assert notice["TransAmount"] == ("6.00" if digits == "7314" else "5.00")


def test_a_forged_confirmation_has_a_receipt_of_nothing(shop):
    shop.register_accepted()
    shop.pay(PREFIX + "7317")
    assert shop.confirmations[0]["OrgAccountBalance"] == "100005.00"
    assert shop.validations == []
    assert shop.balance()["utility"] == 100_000


def test_a_lost_validation_is_decided_by_what_was_registered(shop):
    shop.register_accepted(ResponseType="Cancelled")
    assert shop.pay(PREFIX + "7315")["state"] == "cancelled"
    assert shop.sink.received == []


def test_two_confirmations_at_once_meet(shop):
    shop.register_accepted()
    both = threading.Barrier(2, timeout=5)

    def meet():
        if shop.sink.received[-1].path == "/c2b/confirm":
            both.wait()

    shop.sink.before_answer = meet
    shop.pay(PREFIX + "7305")
    assert len(shop.confirmations) == 2


def test_a_payment_is_forced_and_spoilt_by_chance(shop):
    shop.register_accepted()
    shop.post("next", {"api": "c2b", "outcome": "payer_too_poor", "phone": PHONE})
    assert shop.pay()["state"] == "failed"
    for fault, confirmations, validations in [
        ("confirmation_lost", 0, 1),
        ("confirmation_twice", 2, 1),
        ("confirmation_late", 0, 1),
        ("validation_lost", 1, 0),
    ]:
        shop.post("reset")
        shop.sink.received.clear()
        shop.post("faults", {fault: 1})
        assert shop.pay()["state"] == "completed"
        assert (len(shop.confirmations), len(shop.validations)) == (confirmations, validations)
    shop.simulator.advance(180)


def test_a_confirmation_is_replayed_as_often_as_asked(shop):
    shop.register_accepted()
    payment = shop.pay(PREFIX + "7301")
    answer = shop.post(f"payments/{payment['id']}/replay", {"times": 3})
    assert [one["status"] for one in answer["deliveries"]] == [200] * 3
    assert len(shop.confirmations) == 3
    failed = shop.pay(PREFIX + "7318")
    assert "no confirmation" in shop.post(f"payments/{failed['id']}/replay", status=409)["error"]
    assert shop.post("payments/unknown/replay", status=404)["error"]


# --- a customer of one's own ---


def test_a_customer_pays_without_a_token_and_at_once(shop):
    shop.register_accepted()
    body = {"shortcode": "174379", "phone": "0712 345 678", "amount": 100, "account": "ORDER-9"}
    payment = shop.post("payments", body)
    shop.simulator.settle()
    payment = shop.get(f"payments/{payment['id']}")
    assert (payment["state"], payment["phone"], payment["account"]) == (
        "completed",
        PHONE,
        "ORDER-9",
    )
    assert len(shop.confirmations) == 1
    assert shop.get("payments?state=completed&phone=254712345678")["payments"] == [payment]
    assert shop.get("payments?state=failed")["payments"] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"shortcode": "600999"},
        {"shortcode": None},
        {"phone": "12"},
        {"phone": "+1 202 555 0100"},
        {"amount": 0},
        {"amount": 1.5},
        {"amount": "ten"},
        {"account": ""},
        {"account": "x" * 21},
    ],
)
def test_a_senseless_payment_is_refused(shop, changes):
    body = {"shortcode": "174379", "phone": PHONE, "amount": 1, "account": "x"} | changes
    assert shop.post("payments", body, status=400)["error"].endswith(".")
    assert shop.get("payments") == {"payments": []}


@pytest.mark.parametrize("text", ["0712345678", "+254 712-345-678", "712345678", "254712345678"])
def test_a_phone_is_read_as_people_write_it(text):
    assert normalise_phone(text) == "254712345678"


# --- pushes are confirmed too ---


@pytest.mark.parametrize(
    ("order", "paths"),
    [
        (Order.BEFORE, ["/c2b/confirm", "/callbacks/secret"]),
        (Order.AFTER, ["/callbacks/secret", "/c2b/confirm"]),
        (Order.NEVER, ["/callbacks/secret"]),
    ],
)
def test_a_paid_push_is_confirmed_with_the_same_receipt(open_shop, order, paths):
    shop = open_shop(confirm_express=order)
    shop.register_accepted()
    shop.push_accepted(amount=70, AccountReference="ORDER-7")
    shop.simulator.advance(4)
    assert [one.path for one in shop.sink.received] == paths
    (movement,) = shop.ledger()
    for one in shop.confirmations:
        assert one["TransID"] == movement["receipt"]
        assert (one["TransAmount"], one["BillRefNumber"]) == ("70.00", "ORDER-7")
        assert one["OrgAccountBalance"] == "100070.00"
    (callback,) = [one for one in shop.sink.received if one.path == "/callbacks/secret"]
    assert callback.metadata["MpesaReceiptNumber"] == movement["receipt"]


def test_by_chance_the_confirmation_comes_before_or_after(shop):
    shop.register_accepted()
    firsts = set()
    for number in range(10, 30):
        shop.sink.received.clear()
        shop.push_accepted(f"2547123456{number}")
        shop.simulator.advance(4)
        assert len(shop.sink.received) == 2
        firsts.add(shop.sink.received[0].path)
    assert firsts == {"/c2b/confirm", "/callbacks/secret"}


@pytest.mark.parametrize(
    ("digits", "paths"),
    [
        ("7306", ["/c2b/confirm", "/callbacks/secret"]),
        ("7307", ["/callbacks/secret", "/c2b/confirm"]),
        ("7301", ["/callbacks/secret"]),
        ("7303", ["/callbacks/secret", "/c2b/confirm", "/c2b/confirm"]),
    ],
)
def test_the_confirmation_of_a_push_obeys_the_table(open_shop, digits, paths):
    shop = open_shop(confirm_express=Order.AFTER)
    shop.register_accepted()
    shop.push_accepted(PREFIX + digits)
    shop.simulator.advance(5)
    assert [one.path for one in shop.sink.received] == paths


def test_when_callbacks_are_lost_the_confirmation_brings_the_news(shop):
    shop.register_accepted()
    shop.push_accepted(PREFIX + "7001")
    shop.simulator.advance(5)
    assert [one.path for one in shop.sink.received] == ["/c2b/confirm"]


def test_what_was_not_paid_is_not_confirmed(shop):
    shop.register_accepted()
    for digits in ("1032", "1037", "7017"):
        shop.push_accepted(PREFIX + digits)
    shop.simulator.advance(60)
    assert (shop.validations, shop.confirmations) == ([], [])


def test_a_success_that_follows_a_failure_is_confirmed_once(shop):
    shop.register_accepted()
    shop.push_accepted(PREFIX + "7018")
    shop.simulator.advance(3)
    assert shop.confirmations == []
    shop.simulator.advance(40)
    assert len(shop.confirmations) == 1


def test_a_callback_before_the_answer_goes_with_a_confirmation_too(shop):
    shop.register_accepted()
    shop.push_accepted(PREFIX + "7006")
    shop.simulator.advance(2)
    assert len(shop.confirmations) == 1


def test_shops_are_asked_before_a_push_moves_money_where_that_is_chosen(open_shop):
    shop = open_shop(validate_express=True)
    shop.register_accepted()
    shop.sink.answers["/c2b/validate"] = {"ResultCode": 0, "ThirdPartyTransID": "mine"}
    shop.push_accepted(AccountReference="ORDER-7")
    shop.simulator.advance(5)
    (validation,), (confirmation,) = shop.validations, shop.confirmations
    (movement,) = shop.ledger()
    assert validation["TransID"] == confirmation["TransID"] == movement["receipt"]
    assert (validation["BillRefNumber"], validation["OrgAccountBalance"]) == ("ORDER-7", "")
    assert confirmation["ThirdPartyTransID"] == "mine"
    assert shop.sink.codes == [0]


@pytest.mark.parametrize(
    ("answer", "code"), [({"ResultCode": "C2B00012"}, "C2B00012"), (b"", "C2B00016")]
)
def test_a_push_that_the_shop_does_not_want_fails(open_shop, answer, code):
    shop = open_shop(validate_express=True)
    shop.register_accepted(ResponseType="Cancelled")
    shop.sink.answers["/c2b/validate"] = answer
    checkout_id = shop.push_accepted()
    shop.simulator.advance(5)
    assert shop.sink.codes == [code]
    assert shop.query_code(checkout_id) == code
    assert (shop.ledger(), shop.confirmations) == ([], [])
    assert shop.get(f"prompts/{checkout_id}")["receipt"] is None
    shop.push_accepted()  # the phone is free again


def test_a_prompt_cannot_be_ended_while_the_shop_is_asked(open_shop):
    shop = open_shop(validate_express=True)
    shop.register_accepted()
    checkout_id = shop.push_accepted("254712340000")
    asked, answer = threading.Event(), threading.Event()

    def think():
        if shop.sink.received[-1].path == "/c2b/validate":
            asked.set()
            answer.wait(5)

    shop.sink.before_answer = think
    shop.post(f"prompts/{checkout_id}/pay")
    assert asked.wait(5)
    assert "ended already" in shop.post(f"prompts/{checkout_id}/cancel", status=409)["error"]
    answer.set()
    shop.simulator.settle()
    assert shop.get(f"prompts/{checkout_id}")["state"] == "paid"
    assert len(shop.ledger()) == 1


def test_a_reset_while_the_shop_is_asked_about_a_push_moves_no_money(open_shop):
    shop = open_shop(validate_express=True)
    shop.register_accepted()
    shop.push_accepted()
    shop.sink.before_answer = shop.simulator.gateway.reset
    shop.simulator.advance(3)
    assert shop.ledger() == []
    assert shop.sink.codes == []


def run(open_shop):
    """What thirty payments of both kinds lead to under heavy faults."""
    shop = open_shop(seed=3)
    shop.register_accepted()
    shop.post("faults", {"confirmation_lost": 0.3, "confirmation_twice": 0.3})
    for number in range(10, 25):
        shop.push_accepted(f"2547123456{number}")
        shop.simulate(f"2547123457{number}")
    shop.simulator.advance(300)
    return (
        sorted(one["TransID"] for one in shop.confirmations),
        sorted(one["receipt"] for one in shop.ledger()),
    )


def test_one_seed_gives_one_run(open_shop, sink):
    first = run(open_shop)
    sink.received.clear()
    assert run(open_shop) == first
