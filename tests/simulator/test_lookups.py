"""What is answered at once: pulled transactions, and QR codes."""

import base64
import io
import json

import pytest
from PIL import Image

from daraja_simulator.apis import Api
from tests.simulator.shop import PAYBILL, PHONE, REVERSAL, TILL
from tests.simulator.test_tokens import assert_envelope

REGISTER = "/pulltransactions/v1/register"
PULL = "/pulltransactions/v1/query"
QR = "/mpesa/qrcode/v1/generate"


def register(shop, merchant=PAYBILL, **changes):
    body = {
        "ShortCode": merchant.shortcode,
        "RequestType": "Pull",
        "NominatedNumber": "0722000000",
        "CallBackURL": f"{shop.sink.url}/pull",
    } | changes
    return shop.call(REGISTER, {name: value for name, value in body.items() if value is not ...})


def pull(shop, merchant=PAYBILL, offset="0", **changes):
    body = {
        "ShortCode": merchant.shortcode,
        "StartDate": "2026-11-20 00:00:00",
        "EndDate": "2026-11-30 00:00:00",
        "OffSetValue": offset,
    } | changes
    return shop.call(PULL, {name: value for name, value in body.items() if value is not ...})


def rows(shop, **changes):
    """All in the one list within the list."""
    body = pull(shop, **changes).json()
    if body["ResponseCode"] == "1001":
        return []
    (found,) = body["Response"]
    return found


def test_a_shortcode_is_registered_once_and_again_does_no_harm(shop):
    bodies = [register(shop).json() for _ in range(2)]
    for body in bodies:
        assert body.pop("ResponseRefID")
    assert bodies == [
        {
            "ResponseStatus": "1000",
            "ShortCode": "174379",
            "ResponseDescription": "Shortcode Registered Successfully",
        },
        {
            "ResponseStatus": "1001",
            "ShortCode": "174379",
            "ResponseDescription": "ShortCode already Registered",
        },
    ]
    shop.post("reset")
    assert register(shop).json()["ResponseStatus"] == "1001"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ShortCode", ...),
        ("ShortCode", "600999"),
        ("RequestType", "Push"),
        ("NominatedNumber", ...),
        ("NominatedNumber", "174379"),
        ("CallBackURL", "shop.example"),
    ],
)
def test_a_bad_field_of_a_registration_has_a_code_of_its_own(shop, name, value):
    assert_envelope(register(shop, **{name: value}), 400, "400.001", f"Invalid {name}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ShortCode", "12"),
        ("StartDate", ...),
        ("StartDate", "22-11-2026"),
        ("StartDate", "2026-11-30 00:00:01"),  # later than the end
        ("EndDate", "2026-13-01 00:00:00"),
        ("OffSetValue", ...),
        ("OffSetValue", "-1"),
    ],
)
def test_a_bad_field_of_a_query_has_a_code_of_its_own(shop, name, value):
    register(shop)
    told = "EndDate" if value == "2026-11-30 00:00:01" else name
    assert_envelope(pull(shop, **{name: value}), 400, "400.001", f"Invalid {told}")


def test_nothing_is_pulled_without_a_registration(shop):
    shop.pay()
    answer = pull(shop)
    text = (
        "Failed to retrieve transactions. The short code does not have any available transactions."
    )
    assert_envelope(answer, 500, "500", text)
    register(shop)
    assert len(rows(shop)) == 1


def test_the_product_and_the_token_are_told_in_one_way(open_shop):
    shop = open_shop(missing_products=frozenset({Api.PULL}))
    text = "Error Occurred - Invalid Access Token - "
    assert_envelope(register(shop), 401, "401.001", text)
    headers = {"Authorization": "Bearer nonsense"}
    answer = shop.client.post(shop.url(PULL), json={}, headers=headers)
    assert_envelope(answer, 401, "401.001", text)


def test_none_is_answered_as_the_sandbox_does(shop):
    register(shop)
    answer = pull(shop)
    assert answer.status_code == 200
    body = answer.json()
    assert body.pop("RequestID")
    assert body == {
        "ResponseCode": "1001",
        "ResponseMessage": "No records found or Organization Name not available",
    }


def test_a_payment_is_pulled_as_the_manual_prints_it(shop):
    register(shop)
    receipt = shop.pay(phone="254708374149", amount=168, account="37207636392")["id"]
    shop.push_accepted(amount=7, AccountReference="ORDER-7")
    shop.simulator.advance(3)
    answer = pull(shop)
    body = json.loads(answer.text)
    assert list(body) == ["ResponseRefID", "ResponseCode", "ResponseMessage", "Response"]
    assert (body["ResponseCode"], body["ResponseMessage"]) == ("1000", "Success")
    ((first, second),) = body["Response"]
    assert first == {
        "transactionId": receipt,
        "trxDate": "2026-11-22 23:59:51",
        "msisdn": 708374149,
        "sender": "HALIMA MUTHONI KARIUKI",
        "transactiontype": "c2b-pay-bill-debit",
        "billreference": "37207636392",
        "amount": "168.00",
        "organizationname": "SIMULATED SHOP 379",
    }
    assert (second["billreference"], second["amount"]) == ("ORDER-7", "7.00")
    assert second["transactionId"] == shop.ledger()[1]["receipt"]


def test_a_query_may_be_a_get_with_a_body(shop):
    register(shop)
    shop.pay()
    body = {
        "ShortCode": 174379,
        "StartDate": "2026-11-22 8:36:00",
        "EndDate": "2026-11-23 10:10",
        "OffSetValue": 0,
    }
    answer = shop.client.request("GET", shop.url(PULL), json=body, headers=shop.headers)
    assert answer.json()["ResponseCode"] == "1000"


def test_a_till_sees_its_own_and_no_account(shop):
    register(shop, TILL)
    shop.pay()
    shop.push_accepted(merchant=TILL, amount=9)
    shop.simulator.advance(3)
    (row,) = rows(shop, merchant=TILL)
    assert (row["transactiontype"], row["billreference"]) == ("c2b-buy-goods-debit", "")


def test_only_what_was_paid_in_the_time_is_pulled(shop):
    register(shop)
    first = shop.pay()["id"]  # at 23:59:51
    shop.simulator.advance(60)
    second = shop.pay()["id"]  # at 00:00:52 of the next day

    def pulled(start, end):
        found = rows(shop, StartDate=start, EndDate=end)
        return [one["transactionId"] for one in found]

    assert pulled("2026-11-22 23:59:51", "2026-11-23 00:00:52") == [first, second]
    assert pulled("2026-11-22 23:59:52", "2026-11-23 00:00:52") == [second]
    assert pulled("2026-11-22 00:00", "2026-11-23 00:00") == [first]
    shop.simulator.advance(48 * 3600 - 61)
    shop.forget_token()  # it is dead by now
    assert pulled("2026-11-20 00:00", "2026-11-30 00:00") == [first, second]
    shop.simulator.advance(1)  # the first is 48 hours old
    assert pulled("2026-11-20 00:00", "2026-11-30 00:00") == [second]


def test_payments_are_paged_by_rows_until_none_is_left(open_shop):
    shop = open_shop(duplicate_window_seconds=0)
    register(shop)
    for number in range(205):
        body = {"shortcode": "174379", "phone": PHONE, "amount": number + 1, "account": "x"}
        shop.post("payments", body)
    shop.simulator.settle()
    pages = [rows(shop, offset=offset) for offset in (0, "100", 200, "205", "300")]
    assert [len(page) for page in pages] == [100, 100, 5, 0, 0]
    amounts = [row["amount"] for page in pages for row in page]
    assert amounts == [f"{number + 1}.00" for number in range(205)]


def test_a_reversal_is_a_row_of_its_own(shop):
    register(shop)
    original = shop.pay(amount=5)["id"]
    shop.result_of(REVERSAL, TransactionID=original, Amount=5)
    paid, reversed_ = rows(shop)
    assert (paid["transactionId"], paid["amount"]) == (original, "5.00")
    assert (reversed_["transactiontype"], reversed_["amount"]) == (
        "c2b-pay-bill-reversal",
        "-5.00",
    )
    assert reversed_["billreference"] == original


# --- QR codes ---


def generate(shop, **changes):
    body = {
        "MerchantName": "TEST SUPERMARKET",
        "RefNo": "Invoice Test",
        "Amount": 1,
        "TrxCode": "PB",
        "CPI": "174379",
        "Size": "300",
    } | changes
    return shop.call(QR, {name: value for name, value in body.items() if value is not ...})


def test_a_qr_code_is_a_square_picture(shop):
    body = generate(shop).json()
    assert body["ResponseCode"] == "00"
    assert body["RequestID"]
    assert body["ResponseDescription"] == "QR Code Successfully Generated."
    with Image.open(io.BytesIO(base64.b64decode(body["QRCode"]))) as picture:
        assert picture.format == "PNG"
        assert picture.width == picture.height
        assert 200 < picture.width <= 300


def test_a_bigger_size_gives_a_bigger_picture(shop):
    widths = []
    for size in ("20", "300", 900):
        code = base64.b64decode(generate(shop, Size=size).json()["QRCode"])
        with Image.open(io.BytesIO(code)) as picture:
            widths.append(picture.width)
    assert widths == sorted(set(widths))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MerchantName", ...),
        ("RefNo", ""),
        ("Amount", "0"),
        ("TrxCode", "XX"),
        ("CPI", "abc"),
        ("Size", "large"),
    ],
)
def test_a_bad_field_of_a_qr_code_is_named(shop, name, value):
    answer = generate(shop, **{name: value})
    assert_envelope(answer, 400, "400.002.02", f"Bad Request - Invalid {name}")
