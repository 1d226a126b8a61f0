"""Notices of payments from the menu: read whole, or refused."""

import json
from datetime import UTC, datetime

import pytest
from daraja_fakes import UNHURRIED
from hypothesis import given
from hypothesis import strategies as st

from app.integrations.mpesa import C2bNotice, UnreadableMessage, read_c2b_notice

CONFIRMATION = {
    "TransactionType": "Pay Bill",
    "TransID": "RKL51ZDR4F",
    "TransTime": "20231121121325",
    "TransAmount": "5.00",
    "BusinessShortCode": "600966",
    "BillRefNumber": "Sample Transaction",
    "InvoiceNumber": "",
    "OrgAccountBalance": "25.00",
    "ThirdPartyTransID": "",
    "MSISDN": "2547 ***** 126",
    "FirstName": "NICHOLAS",
    "MiddleName": "",
    "LastName": "",
}
MSISDN = "254708374149"


def notice(**changes):
    return json.dumps({**CONFIRMATION, **changes}).encode()


def read(**changes):
    return read_c2b_notice(notice(**changes))


def without(*names):
    kept = {name: value for name, value in CONFIRMATION.items() if name not in names}
    return json.dumps(kept).encode()


def test_a_confirmation_is_read_whole():
    assert read() == C2bNotice(
        receipt="RKL51ZDR4F",
        amount_cents=500,
        bill_reference="Sample Transaction",
        transacted_at=datetime(2023, 11, 21, 9, 13, 25, tzinfo=UTC),
        shortcode="600966",
        msisdn="2547 ***** 126",
        payer_name="NICHOLAS",
        third_party_id="",
        balance_cents=2500,
    )


def test_a_validation_has_no_balance_and_a_till_no_reference():
    read_whole = read(OrgAccountBalance="", BillRefNumber="", TransactionType="Buy Goods")
    assert (read_whole.balance_cents, read_whole.bill_reference) == (None, "")


def test_what_is_not_money_may_be_missing():
    kept = read_c2b_notice(
        without(
            "TransactionType",
            "TransTime",
            "BillRefNumber",
            "InvoiceNumber",
            "OrgAccountBalance",
            "ThirdPartyTransID",
            "MSISDN",
            "FirstName",
            "MiddleName",
            "LastName",
        )
    )
    assert kept == C2bNotice("RKL51ZDR4F", 500, "", None, "600966", "", "", "", None)


def test_numbers_may_be_numbers_and_a_name_has_three_parts():
    raw = (
        b'{"TransID": "rkl51zdr4f", "TransAmount": 1500.50, "BusinessShortCode": 600966,'
        b' "TransTime": 20231121121325, "BillRefNumber": 1024, "MSISDN": 254708374149,'
        b' "OrgAccountBalance": -25.5, "FirstName": " JANE ", "MiddleName": "W.",'
        b' "LastName": "DOE", "ThirdPartyTransID": "7"}'
    )
    assert read_c2b_notice(raw) == C2bNotice(
        receipt="RKL51ZDR4F",
        amount_cents=150050,
        bill_reference="1024",
        transacted_at=datetime(2023, 11, 21, 9, 13, 25, tzinfo=UTC),
        shortcode="600966",
        msisdn=MSISDN,
        payer_name="JANE W. DOE",
        third_party_id="7",
        balance_cents=-2550,
    )


def test_every_text_fits_the_database():
    kept = read(
        BillRefNumber="\x00SK\ud800-10" + "x" * 100,
        MSISDN="2" * 100,
        FirstName="F" * 200,
        LastName="L" * 200,
        ThirdPartyTransID="t" * 200,
    )
    assert kept.bill_reference.startswith("SK -10xxx")
    lengths = (kept.bill_reference, kept.msisdn, kept.payer_name, kept.third_party_id)
    assert [len(text) for text in lengths] == [40, 64, 120, 100]


@pytest.mark.parametrize(
    ("value", "cents"),
    [
        ("5", 500),
        ("5.0", 500),
        (" 5.00 ", 500),
        ("0.01", 1),
        ("250000.00", 25_000_000),
        ("00005.10", 510),
        ("100000000", 10_000_000_000),
    ],
)
def test_an_amount_is_exact(value, cents):
    assert read(TransAmount=value).amount_cents == cents


UNREADABLE = [
    (b"", "not JSON"),
    (b"TransID=RKL51ZDR4F&TransAmount=5.00", "not JSON"),
    (b"\xff\xfe", "not UTF-8"),
    (b"[" * 100_000, "nested too deeply"),
    (b" " * 1_048_577, "longer than any message"),
    (b"[]", "no object"),
    (b"null", "no object"),
    (b'"RKL51ZDR4F"', "no object"),
    (b"{}", "TransID is missing or malformed"),
    (notice().replace(b'"TransID"', b'"TransID": "A", "TransID"'), "a name is given twice"),
    *[
        (notice(TransID=value), "TransID is missing or malformed")
        for value in (None, "", "RKL", 1234567890, "RKL51ZDR4F\n", "R" * 21, ["RKL51ZDR4F"])
    ],
    *[
        (notice(TransAmount=value), "TransAmount is missing or malformed")
        for value in (
            None,
            "",
            "0",
            "0.00",
            "-5.00",
            "5.005",
            "5,000.00",
            "5e3",
            "KES 5",
            "NaN",
            "\u0665",
            "100000001",
            "9" * 30,
            True,
            [5],
            {"Amount": 5},
        )
    ],
    (notice().replace(b'"5.00"', b"NaN"), "TransAmount is missing or malformed"),
    (notice().replace(b'"5.00"', b"1e-400"), "TransAmount is missing or malformed"),
    *[
        (notice(BusinessShortCode=value), "BusinessShortCode is missing or malformed")
        for value in (None, "", "1234", "12345678", "60096a", 1.5)
    ],
]


@pytest.mark.parametrize(("raw", "reason"), UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_cannot_be_understood_is_named(raw, reason):
    with pytest.raises(UnreadableMessage) as caught:
        read_c2b_notice(raw)
    assert caught.value.reason == reason


@pytest.mark.parametrize("moment", ["", "2023-11-21", "20231321121325", None, True])
def test_money_without_a_date_is_money(moment):
    kept = read(TransTime=moment)
    assert (kept.amount_cents, kept.transacted_at) == (500, None)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=6,
)
notices = st.fixed_dictionaries(
    {},
    optional={name: st.just(value) | json_values for name, value in CONFIRMATION.items()},
)


def read_or_refuse(raw):
    try:
        kept = read_c2b_notice(raw)
    except UnreadableMessage:
        return
    assert kept.amount_cents > 0
    texts = (kept.bill_reference, kept.msisdn, kept.payer_name, kept.third_party_id)
    for text in texts:
        assert "\x00" not in text
        text.encode()


@UNHURRIED
@given(st.binary())
def test_no_bytes_break_the_reader(raw):
    read_or_refuse(raw)


@UNHURRIED
@given(notices)
def test_no_values_in_the_right_places_break_the_reader(values):
    read_or_refuse(json.dumps(values).encode())


@UNHURRIED
@given(st.data())
def test_no_damage_to_a_sound_message_breaks_the_reader(data):
    raw = bytearray(notice())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(raw) - 1))
        raw[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    read_or_refuse(bytes(raw))


@UNHURRIED
@given(st.integers(1, 100_000_000 * 100))
def test_every_amount_to_the_cent_survives_the_wire(cents):
    assert read(TransAmount=f"{cents // 100}.{cents % 100:02}").amount_cents == cents
