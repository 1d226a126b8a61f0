"""The list of payments, the registered addresses, simulated payments, QR codes."""

import base64
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx2
import pytest
from daraja_fakes import UNHURRIED, FakeDaraja, envelope
from hypothesis import given
from hypothesis import strategies as st
from merchant_fakes import REGISTERED, merchant, merchant_client, qr

from app.integrations.mpesa import (
    MpesaAlreadyRegistered,
    MpesaBusy,
    MpesaError,
    MpesaMisconfigured,
    MpesaRefused,
    MpesaUnavailable,
    MpesaUncertain,
)
from app.integrations.mpesa.exchange import Answer
from app.integrations.mpesa.merchant_answers import read_pull_page, read_qr
from app.ports import GatewayError, NoMerchantGateway, PulledRow, PullPage
from app.utils.clock import EAT

START = datetime(2026, 11, 21, 21, 30, tzinfo=UTC)
END = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
ROW = {
    "transactionId": "yzlyrEsRG1",
    "trxDate": "2020-08-05T10:13:00Z",
    "msisdn": 72200000,
    "sender": "UAT2",
    "transactiontype": "c2b-pay-bill-debit",
    "billreference": "37207636392",
    "amount": "168.00",
    "organizationname": "Daraja Pull API Test",
}
PULLED = PulledRow(
    receipt="YZLYRESRG1",
    amount_cents=16800,
    transacted_at=datetime(2020, 8, 5, 10, 13, tzinfo=UTC),
    msisdn="72200000",
    bill_reference="37207636392",
    kind="c2b-pay-bill-debit",
    sender="UAT2",
)
NOTHING = PullPage(())


def listed(*rows):
    return {
        "ResponseRefID": "26178-42530161-2",
        "ResponseCode": "1000",
        "ResponseMessage": "Success",
        "Response": [list(rows)],
    }


def pull(*answer):
    return merchant_client(FakeDaraja(answer)).pull(START, END, 0)


def page_of(document):
    return read_pull_page(Answer(status=200, document=document))


# The list of payments


def test_the_list_is_asked_for_in_nairobis_time_and_read_whole():
    fake = FakeDaraja((200, listed(ROW)))
    client = merchant_client(fake, agreed=merchant(c2b_shortcode="987654"))
    assert client.pull(START, END, 40) == PullPage((PULLED,))
    assert fake.requests[0].url == "https://daraja.example/pulltransactions/v1/query"
    assert fake.bodies == [
        {
            "ShortCode": "987654",
            "StartDate": "2026-11-22 00:30:00",
            "EndDate": "2026-11-22 12:00:00",
            "OffSetValue": "40",
        }
    ]


@pytest.mark.parametrize(
    ("start", "end", "offset"),
    [
        (START.replace(tzinfo=None), END, 0),
        (START, END.replace(tzinfo=None), 0),
        (END, START, 0),
        (START, START, 0),
        (START, START + timedelta(hours=48, seconds=1), 0),
        (START, END, -1),
        (START, END, 1.0),
        (START, END, True),
    ],
)
def test_a_window_that_safaricom_does_not_keep_is_refused_before_anything_is_sent(
    start, end, offset
):
    fake = FakeDaraja((200, listed(ROW)))
    with pytest.raises(ValueError, match="must"):
        merchant_client(fake).pull(start, end, offset)
    assert (fake.requests, fake.token_requests) == ([], [])


def test_forty_eight_hours_are_allowed_whatever_the_zones():
    fake = FakeDaraja((200, listed()))
    end = (START + timedelta(hours=48)).astimezone(EAT)
    assert merchant_client(fake).pull(START, end, 0) == NOTHING
    assert fake.bodies[0]["EndDate"] == "2026-11-24 00:30:00"


EMPTY = [
    (200, listed()),
    (200, {**listed(), "Response": []}),
    (200, {**listed(), "Response": "[[]]"}),
    (200, {"ResponseCode": "1001", "Transaction": "[[]]"}),
    (200, {"ResponseCode": 1001, "ResponseMessage": "Null"}),
    (500, {"ResponseCode": "1001", "Response": [[]]}),
    (
        500,
        envelope(
            "500",
            "Failed to retrieve transactions."
            " The short code does not have any available transactions.",
        ),
    ),
    (500, {"ResponseCode": "500", "ResponseMessage": "No transactions available for the period"}),
    (404, envelope("500.001", "no transaction on G2")),
]


@pytest.mark.parametrize(("status", "answer"), EMPTY)
def test_there_are_many_ways_to_say_that_there_is_nothing(status, answer):
    page = pull(status, answer)
    assert (page, page.length) == (NOTHING, 0)


def test_inner_lists_are_one_list():
    another = {**ROW, "transactionId": "ABC1234567"}
    document = {**listed(), "Response": [[ROW], [], [another], ROW]}
    page = page_of(document)
    assert [row.receipt for row in page.rows] == ["YZLYRESRG1", "ABC1234567", "YZLYRESRG1"]
    assert (page.unreadable, page.length) == (0, 3)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2020-08-05T13:13:00", datetime(2020, 8, 5, 10, 13, tzinfo=UTC)),
        ("2020-08-05 13:13:00", datetime(2020, 8, 5, 10, 13, tzinfo=UTC)),
        ("2020-08-05 13:13", datetime(2020, 8, 5, 10, 13, tzinfo=UTC)),
        ("2020-08-05T13:13:00+03:00", datetime(2020, 8, 5, 10, 13, tzinfo=UTC)),
        ("2020-08-05T13:13:00+0300", datetime(2020, 8, 5, 10, 13, tzinfo=UTC)),
        ("2020-08-05T10:13:00.5Z", datetime(2020, 8, 5, 10, 13, 0, 500000, tzinfo=UTC)),
    ],
)
def test_a_moment_without_a_zone_is_nairobis(value, moment):
    (row,) = page_of(listed({**ROW, "trxDate": value})).rows
    assert row.transacted_at == moment
    assert row.transacted_at.tzinfo is UTC


UNREADABLE_ROWS = [
    {"transactionId": ""},
    {"transactionId": None},
    {"transactionId": 1234567890},
    {"amount": "0"},
    {"amount": "-0.00"},
    {"amount": "-168.005"},
    {"amount": "-100000001"},
    {"amount": "100000001"},
    {"amount": "1,168.00"},
    {"amount": "168.005"},
    {"amount": "KES 168"},
    {"amount": None},
    {"amount": "1e3"},
    {"trxDate": "2020-08-05"},
    {"trxDate": "2020-13-45T99:99:00Z"},
    {"trxDate": "0001-01-01T00:00:00"},
    {"trxDate": "9999-12-31T23:59:59-11:00"},
    {"trxDate": "2020-08-05T10:13:00Zjunk"},
    {"trxDate": "\uff12020-08-05T10:13:00Z"},
    {"trxDate": 20200805101300},
    {"trxDate": None},
]


@pytest.mark.parametrize("changes", UNREADABLE_ROWS)
def test_a_row_that_cannot_be_read_is_counted_and_hides_no_other(changes):
    page = page_of(listed({**ROW, **changes}, ROW, "row", None, 7, [ROW]))
    assert page == PullPage((PULLED,), unreadable=5)
    assert page.length == 6


@pytest.mark.parametrize(
    "kind", ["c2b-pay-bill-debit", "c2b-pay-bill-reversal", "Pay Bill Reversed", ""]
)
@pytest.mark.parametrize("value", ["-168.00", -168])
def test_a_row_below_zero_is_a_sound_row_whatever_its_type_is_called(kind, value):
    page = page_of(listed({**ROW, "amount": value, "transactiontype": kind}))
    assert (page.unreadable, [row.amount_cents for row in page.rows]) == (0, [-16_800])
    assert page.rows[0].kind == kind


def test_what_a_row_shows_is_kept_as_it_came_and_fits_the_database():
    row = {
        "TRANSACTIONID": "ABC1234567",
        "trxdate": "2020-08-05T10:13:00Z",
        "amount": 233.8,
        "msisdn": "2547 ***** 126",
        "sender": "JANE\x00 DOE " + "x" * 200,
        "billreference": "y" * 60,
    }
    (read,) = page_of(json.loads(json.dumps(listed(row)), parse_float=Decimal)).rows
    assert (read.amount_cents, read.msisdn, read.kind) == (23380, "2547 ***** 126", "")
    assert read.sender.startswith("JANE  DOE xxx")
    assert (len(read.sender), len(read.bill_reference)) == (120, 40)


PULL_REFUSALS = [
    (400, envelope("400.001", "Invalid ShortCode"), MpesaRefused),
    (401, envelope("401.001", "Invalid Access Token"), MpesaMisconfigured),
    (500, envelope("500.003.02", "Error Occurred: Spike Arrest Violation"), MpesaBusy),
    (500, envelope("500.003.1001", "Internal Server Error"), MpesaUnavailable),
    (200, envelope("500.003.1001", "Internal Server Error"), MpesaUnavailable),
    (200, {**listed(ROW), "ResponseCode": "1002"}, MpesaUnavailable),
    (200, {**listed(ROW), "ResponseCode": None}, MpesaUnavailable),
    (200, {"ResponseCode": "1000"}, MpesaUnavailable),
    (200, {"ResponseCode": "1000", "Response": {}}, MpesaUnavailable),
    (200, {"ResponseCode": "1000", "Response": "[[{}]]"}, MpesaUnavailable),
    (502, listed(ROW), MpesaUnavailable),
    (200, b"<html>", MpesaUnavailable),
    (200, b"", MpesaUnavailable),
]


@pytest.mark.parametrize(("status", "body", "kind"), PULL_REFUSALS)
def test_no_answer_is_taken_for_an_empty_list_and_asking_again_is_always_safe(status, body, kind):
    with pytest.raises(MpesaError) as caught:
        pull(status, body)
    assert type(caught.value) is kind
    assert caught.value.certain is True


@pytest.mark.parametrize("error", [httpx2.ReadTimeout("silence"), httpx2.ConnectError("refused")])
def test_a_question_without_an_answer_may_be_asked_again(error):
    with pytest.raises(MpesaUnavailable) as caught:
        merchant_client(FakeDaraja(error)).pull(START, END, 0)
    assert caught.value.certain is True


def test_a_long_page_is_read_although_other_answers_may_not_be_so_long():
    rows = [{**ROW, "transactionId": f"ABC{number:07}"} for number in range(1000)]
    page = pull(200, listed(*rows))
    assert page.length == len(page.rows) == 1000


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=6,
)
rows = st.fixed_dictionaries({}, optional={name: st.just(ROW[name]) | json_values for name in ROW})


@UNHURRIED
@given(st.lists(rows | json_values | st.lists(rows | json_values, max_size=3), max_size=4))
def test_no_list_breaks_the_reader_and_no_row_is_lost(entries):
    page = page_of({**listed(), "Response": entries})
    expected = sum(len(entry) if isinstance(entry, list) else 1 for entry in entries)
    assert page.length == expected
    for row in page.rows:
        assert row.amount_cents > 0
        assert row.transacted_at.tzinfo is UTC
        f"{row.sender}{row.msisdn}{row.bill_reference}{row.kind}".encode()


def test_without_pull_nothing_is_sent():
    fake = FakeDaraja((200, listed(ROW)))
    client = merchant_client(fake, agreed=merchant(may_pull=False))
    with pytest.raises(MpesaMisconfigured, match=r"^Not sent: MPESA_PULL is not set$"):
        client.pull(START, END, 0)
    with pytest.raises(MpesaMisconfigured, match="MPESA_PULL"):
        client.register_pull("254712345678", "https://shop.example/pull")
    assert (fake.requests, fake.token_requests) == ([], [])


@pytest.mark.parametrize(
    "answer",
    [
        {"ResponseStatus": "1000", "ResponseDescription": "Shortcode Registered Successfully"},
        {"ResponseStatus": "1001", "ResponseDescription": "ShortCode already Registered"},
        {"Response Status": 1001, "Response Description": "ShortCode already Registered"},
    ],
)
def test_the_list_is_registered_for_once(answer):
    fake = FakeDaraja((200, answer))
    merchant_client(fake).register_pull("254722000000", "https://shop.example/pull")
    assert fake.requests[0].url == "https://daraja.example/pulltransactions/v1/register"
    assert fake.bodies == [
        {
            "ShortCode": "174379",
            "RequestType": "Pull",
            "NominatedNumber": "254722000000",
            "CallBackURL": "https://shop.example/pull",
        }
    ]


@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        (200, {"ResponseStatus": "1002", "ResponseDescription": "Refused"}, MpesaUncertain),
        (200, {"ResponseRefID": "x"}, MpesaUncertain),
        (500, {"ResponseStatus": "1000"}, MpesaUncertain),
        (400, envelope("400.002.02", "Bad Request - Invalid NominatedNumber"), MpesaRefused),
    ],
)
def test_a_registration_for_the_list_that_failed_is_told(status, answer, kind):
    with pytest.raises(kind):
        merchant_client(FakeDaraja((status, answer))).register_pull(
            "254722000000", "https://shop.example/pull"
        )


# The registered addresses

URLS = ("https://shop.example/c/confirm/s", "https://shop.example/c/validate/s")


def register(fake, *, cancel=False, **changes):
    client = merchant_client(fake, agreed=merchant(**changes))
    client.register_c2b_urls(*URLS, cancel_when_unreachable=cancel)


@pytest.mark.parametrize(("version", "cancel"), [("v1", False), ("v2", True)])
def test_addresses_are_registered_with_the_product_that_the_app_has(version, cancel):
    fake = FakeDaraja((200, REGISTERED))
    register(fake, cancel=cancel, c2b_version=version, c2b_shortcode="987654")
    assert fake.requests[0].url == f"https://daraja.example/mpesa/c2b/{version}/registerurl"
    assert fake.bodies == [
        {
            "ShortCode": "987654",
            "ResponseType": "Cancelled" if cancel else "Completed",
            "ConfirmationURL": URLS[0],
            "ValidationURL": URLS[1],
        }
    ]


SOAP_FAULT = {
    "Envelope": {
        "Body": {
            "Fault": {
                "faultcode": "Server",
                "faultstring": (
                    "Execution of ServiceCallout SCO-AddURLVault failed. Reason:"
                    " ResponseCode 409 is treated as error"
                ),
            }
        }
    }
}


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (500, envelope("500.003.1001", "Urls are already registered.")),
        (200, envelope("500.003.1001", "URLs are already registered")),
        (500, SOAP_FAULT),
        (200, {"ResponseCode": "1", "ResponseDescription": "Short code already registered"}),
    ],
)
def test_addresses_that_stand_already_are_told_apart_from_any_other_refusal(status, answer):
    fake = FakeDaraja((status, answer))
    with pytest.raises(MpesaAlreadyRegistered) as caught:
        register(fake)
    assert caught.value.certain is True
    assert caught.value.message.startswith(f"HTTP {status}")
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        (500, envelope("500.003.1001", "Internal Server Error"), MpesaUncertain),
        (400, envelope("400.002.02", "Bad Request - Invalid ConfirmationURL"), MpesaRefused),
        (200, {**REGISTERED, "ResponseCode": "1"}, MpesaUncertain),
        (200, {}, MpesaUncertain),
        (200, b"", MpesaUncertain),
    ],
)
def test_any_other_answer_is_no_registration(status, answer, kind):
    with pytest.raises(MpesaError) as caught:
        register(FakeDaraja((status, answer)))
    assert type(caught.value) is kind


def test_the_other_version_of_the_product_is_our_fault():
    text = "Error Occurred - Invalid Access Token - Invalid API call as no apiproduct match found"
    with pytest.raises(MpesaMisconfigured):
        register(FakeDaraja((401, envelope("401.003.01", text))))


@pytest.mark.parametrize("url", ["/c/confirm", "ftp://shop.example", "", "https:///x"])
def test_an_address_that_is_none_is_not_sent(url):
    fake = FakeDaraja((200, REGISTERED))
    with pytest.raises(ValueError, match="web address"):
        merchant_client(fake).register_c2b_urls(URLS[0], url, cancel_when_unreachable=False)
    assert fake.token_requests == []


# Simulated payments


@pytest.mark.parametrize(
    ("reference", "command"),
    [("SK-1024", "CustomerPayBillOnline"), (None, "CustomerBuyGoodsOnline")],
)
def test_a_test_phone_pays_from_the_menu(reference, command):
    fake = FakeDaraja((200, REGISTERED))
    merchant_client(fake, agreed=merchant(c2b_version="v1")).simulate_c2b(
        "254708374149", 250, reference
    )
    assert fake.requests[0].url == "https://daraja.example/mpesa/c2b/v1/simulate"
    assert fake.bodies == [
        {
            "ShortCode": "174379",
            "CommandID": command,
            "Amount": "250",
            "Msisdn": "254708374149",
            "BillRefNumber": reference,
        }
    ]


def test_in_production_no_payment_is_simulated():
    fake = FakeDaraja((200, REGISTERED))
    client = merchant_client(fake, agreed=merchant(may_simulate=False))
    with pytest.raises(MpesaMisconfigured, match="MPESA_ENV=production"):
        client.simulate_c2b("254708374149", 250, "SK-1024")
    assert (fake.requests, fake.token_requests) == ([], [])


def test_a_simulation_that_failed_is_told():
    with pytest.raises(MpesaRefused):
        merchant_client(
            FakeDaraja((400, envelope("400.002.02", "Bad Request - Invalid Msisdn")))
        ).simulate_c2b("254708374149", 250, "SK-1024")


@pytest.mark.parametrize(
    ("msisdn", "shillings", "reference"),
    [
        ("0708374149", 1, "x"),
        ("254708374149", 0, "x"),
        ("254708374149", 1, "x" * 21),
        ("254708374149", 1, "x\n"),
    ],
)
def test_a_simulation_against_the_manual_is_not_sent(msisdn, shillings, reference):
    fake = FakeDaraja((200, REGISTERED))
    with pytest.raises(ValueError, match="must be"):
        merchant_client(fake).simulate_c2b(msisdn, shillings, reference)
    assert fake.token_requests == []


# QR codes

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 300


def drawn(picture=PNG, **changes):
    return {
        "ResponseCode": "00",
        "RequestID": "16738-27456357-1",
        "ResponseDescription": "QR Code Successfully Generated.",
        "QRCode": base64.b64encode(picture).decode(),
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "code", "number"),
    [
        ({}, "PB", "600123"),
        ({"till": "5012345"}, "BG", "600123"),
    ],
)
def test_a_code_names_whom_to_pay(changes, code, number):
    fake = FakeDaraja((200, drawn()))
    client = merchant_client(fake, agreed=merchant(c2b_shortcode="600123"), **changes)
    assert client.make_qr(qr()) == PNG
    assert fake.requests[0].url == "https://daraja.example/mpesa/qrcode/v1/generate"
    assert fake.bodies == [
        {
            "MerchantName": "Sokoni",
            "RefNo": "SK-1024",
            "Amount": 1500,
            "TrxCode": code,
            "CPI": number,
            "Size": "300",
        }
    ]


@pytest.mark.parametrize(
    "answer",
    [
        drawn(ResponseCode="AG_20191219_000043fdf61864fe9ff5"),
        drawn(QRCode="data:image/png;base64," + base64.b64encode(PNG).decode()),
    ],
)
def test_the_picture_is_the_sign_of_success(answer):
    assert merchant_client(FakeDaraja((200, answer))).make_qr(qr()) == PNG


@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        (200, drawn(QRCode=""), MpesaUnavailable),
        (200, drawn(QRCode=None), MpesaUnavailable),
        (200, drawn(QRCode="%%%"), MpesaUnavailable),
        (200, drawn(QRCode="é"), MpesaUnavailable),
        (200, drawn(b"<svg onload=alert(1)>"), MpesaUnavailable),
        (200, {**drawn(), "errorCode": "500.003.1001"}, MpesaUnavailable),
        (500, drawn(), MpesaUnavailable),
        (200, b"PNG", MpesaUnavailable),
        (400, envelope("400.002.02", "Bad Request - Invalid CPI"), MpesaRefused),
    ],
)
def test_anything_else_is_no_picture_and_may_be_asked_for_again(status, answer, kind):
    with pytest.raises(MpesaError) as caught:
        merchant_client(FakeDaraja((status, answer))).make_qr(qr())
    assert type(caught.value) is kind
    assert caught.value.certain is True


@pytest.mark.parametrize(
    "changes",
    [
        {"merchant_name": ""},
        {"merchant_name": "Sokoni\n"},
        {"reference": "x" * 101},
        {"amount_shillings": 0},
        {"amount_shillings": 1.5},
        {"size_pixels": 0},
        {"size_pixels": 10_000},
        {"size_pixels": 300.5},
    ],
)
def test_a_code_against_the_manual_is_not_asked_for(changes):
    fake = FakeDaraja((200, drawn()))
    with pytest.raises(ValueError, match="must be"):
        merchant_client(fake).make_qr(qr(**changes))
    assert fake.token_requests == []


@UNHURRIED
@given(json_values)
def test_no_value_breaks_the_reader_of_codes(value):
    picture = read_qr(Answer(status=200, document={"QRCode": value}))
    assert picture is None or picture.startswith(PNG[:8])


# A process that was given no gateway

CALLS = {
    "reverse": lambda gateway: gateway.reverse(None),
    "pay_out": lambda gateway: gateway.pay_out(None),
    "ask_status": lambda gateway: gateway.ask_status(None),
    "ask_balance": lambda gateway: gateway.ask_balance(None),
    "pull": lambda gateway: gateway.pull(START, END, 0),
    "register_pull": lambda gateway: gateway.register_pull("254712345678", URLS[0]),
    "register_c2b_urls": lambda gateway: gateway.register_c2b_urls(
        *URLS, cancel_when_unreachable=True
    ),
    "simulate_c2b": lambda gateway: gateway.simulate_c2b("254712345678", 1),
    "make_qr": lambda gateway: gateway.make_qr(qr()),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_process_without_a_gateway_refuses_certainly(name):
    with pytest.raises(GatewayError) as caught:
        CALLS[name](NoMerchantGateway())
    assert caught.value.certain is True
