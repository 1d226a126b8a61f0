"""Results that come later: every shape that was seen, and nothing believed that is not said."""

import json
from datetime import UTC, datetime

import pytest
from daraja_fakes import UNHURRIED
from hypothesis import given
from hypothesis import strategies as st

from app.integrations.mpesa import (
    FINAL_FAILURES,
    MERCHANT_RESULT_CODES,
    ApiResult,
    QueueTimeout,
    TransactionFacts,
    UnreadableMessage,
    explain_merchant_result,
    read_api_result,
    read_balances,
    read_queue_timeout,
    read_transaction_facts,
)

IDS = {
    "OriginatorConversationID": "dad6-4c34-8787-c8cb963a496d1268232",
    "ConversationID": "AG_20211114_201018edbbf9f1582eaa",
}
REVERSED = {
    "ResultType": 0,
    "ResultCode": 0,
    "ResultDesc": "The service request is processed successfully.",
    **IDS,
    "TransactionID": "SKE52PAWR9",
    "ResultParameters": {
        "ResultParameter": [
            {"Key": "DebitAccountBalance", "Value": "Utility Account|KES|7722179.62|7722179.62"},
            {"Key": "Amount", "Value": 1.0},
            {"Key": "TransCompletedTime", "Value": 20211114132711},
            {"Key": "OriginalTransactionID", "Value": "SKC82PACB8"},
            {"Key": "Charge", "Value": 0.0},
            {"Key": "CreditPartyPublicName", "Value": "254705912645 - NICHOLAS JOHN SONGOK"},
        ]
    },
    "ReferenceData": {"ReferenceItem": {"Key": "QueueTimeoutURL", "Value": "https://x.example"}},
}
FAILED = {
    "ResultType": "0",
    "ResultCode": "R000002",
    "ResultDesc": "The OriginalTransactionID is invalid.",
    **IDS,
    "TransactionID": "SKE0000000",
    "ReferenceData": {"ReferenceItem": []},
}
STATE = {
    "ResultType": 0,
    "ResultCode": "0",
    "ResultDesc": "The service request is processed successfully.",
    **IDS,
    "TransactionID": "MBN0000000",
    "ResultParameters": {
        "ResultParameter": [
            {"Key": "DebitPartyName", "Value": "600310 - Safaricom333"},
            {"Key": "CreditPartyName", "Value": "254708374149 - John Doe"},
            {"Key": "Originator Conversation ID", "Value": "3211-416020-3"},
            {"Key": "InitiatedTime", "Value": 20180223054110},
            {"Key": "DebitAccountType", "Value": "Utility Account"},
            {"Key": "DebitPartyCharges", "Value": "Fee For B2C Payment|KES|22.40"},
            {"Key": "TransactionReason"},
            {"Key": "ReasonType", "Value": "Business Payment to Customer via API"},
            {"Key": "TransactionStatus", "Value": "Completed"},
            {"Key": "FinalisedTime", "Value": 20180223054112},
            {"Key": "Amount", "Value": 300},
            {"Key": "ConversationID", "Value": "AG_20180223_000041b09c22e613d6c9"},
            {"Key": "ReceiptNo", "Value": "MBN31H462N"},
        ]
    },
}
ACCOUNTS = (
    "Working Account|KES|46713.00|46713.00|0.00|0.00&Float Account|KES|0.00|0.00|0.00|0.00"
    "&Utility Account|KES|49217.50|49217.50|0.00|0.00"
    "&Charges Paid Account|KES|-220.00|-220.00|0.00|0.00"
    "&Organization Settlement Account|KES|0.00|0.00|0.00|0.00"
)


def raw(result):
    return json.dumps({"Result": result}).encode()


def read(result, **changes):
    return read_api_result(raw({**result, **changes}))


def pairs(**values):
    listed = [{"Key": name, "Value": value} for name, value in values.items()]
    return {"ResultParameter": listed}


def replaced(name, value):
    """The state of a transaction with another value for one of its parameters."""
    listed = [
        {"Key": name, "Value": value} if pair["Key"] == name else pair
        for pair in STATE["ResultParameters"]["ResultParameter"]
    ]
    return read(STATE, ResultParameters={"ResultParameter": listed})


def test_a_reversal_is_read_whole():
    result = read(REVERSED)
    assert result == ApiResult(
        result_code="0",
        result_desc="The service request is processed successfully.",
        receipt="SKE52PAWR9",
        originator_conversation_id="dad6-4c34-8787-c8cb963a496d1268232",
        conversation_id="AG_20211114_201018edbbf9f1582eaa",
        parameters={
            "DebitAccountBalance": "Utility Account|KES|7722179.62|7722179.62",
            "Amount": "1.0",
            "TransCompletedTime": "20211114132711",
            "OriginalTransactionID": "SKC82PACB8",
            "Charge": "0.0",
            "CreditPartyPublicName": "254705912645 - NICHOLAS JOHN SONGOK",
        },
    )
    assert result.claims_success


def test_a_failure_has_a_placeholder_for_a_receipt_and_no_parameters():
    result = read(FAILED)
    assert (result.result_code, result.receipt, result.parameters) == ("R000002", None, {})
    assert result.result_desc == "The OriginalTransactionID is invalid."
    assert not result.claims_success


def test_what_failed_has_no_receipt_even_where_it_names_one():
    failed = read(REVERSED, ResultCode=2001, TransactionID="SG722NMVXQ")
    assert (failed.result_code, failed.receipt) == ("2001", None)


@pytest.mark.parametrize(
    ("transaction_id", "in_parameters", "receipt"),
    [
        ("SG632NMUAB", None, "SG632NMUAB"),
        ("SG632NMUAB", "SG632NMUAB", "SG632NMUAB"),
        ("sg632nmuab", "SG632NMUAB", "SG632NMUAB"),
        (None, "SG632NMUAB", "SG632NMUAB"),
        ("OAK0000000", "SG632NMUAB", "SG632NMUAB"),
        ("SG632NMUAB", "SG632NMUAC", None),
        ("OAK0000000", None, None),
        ("OA90000000", None, None),
        ("0000000000", None, None),
        ("SG600000AB", None, "SG600000AB"),
        ("", "", None),
        (1234567890, None, None),
        (["SG632NMUAB"], None, None),
        ("SG632NMUAB; DROP", None, None),
    ],
)
def test_a_receipt_is_the_one_that_is_named(transaction_id, in_parameters, receipt):
    parameters = pairs(TransactionAmount=10, TransactionReceipt=in_parameters)
    result = read(REVERSED, TransactionID=transaction_id, ResultParameters=parameters)
    assert result.receipt == receipt


@pytest.mark.parametrize(
    "parameters",
    [
        {"ResultParameter": [{"Key": "Amount", "Value": "10.00"}]},
        {"ResultParameter": {"Key": "Amount", "Value": "10.00"}},
        [{"Key": "Amount", "Value": "10.00"}],
        {"ResultParameter": [{"Key": "Amount", "Value": "10.00"}, 7, None, {"Key": 7}, {}, []]},
        {"ResultParameter": [{"Key": "A m ount", "Value": "10.00"}]},
        {"ResultParameter": [{"Key": "Amount", "Value": "10.00"}] * 3},
    ],
)
def test_parameters_come_in_many_shapes(parameters):
    assert read(REVERSED, ResultParameters=parameters).parameters == {"Amount": "10.00"}


@pytest.mark.parametrize("parameters", [None, {}, [], "", 7, {"ResultParameter": None}, [[]]])
def test_parameters_may_be_missing(parameters):
    assert read(REVERSED, ResultParameters=parameters).parameters == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('"x"', "x"),
        ("10", "10"),
        ("10.50", "10.50"),
        ("1e2", "100"),
        ("8959269.6", "8959269.6"),
        ("-1980.0", "-1980.0"),
        ("1e999999999", ""),
        ("1e-999999999", ""),
        ("true", ""),
        ("null", ""),
        ("NaN", ""),
        ("{}", ""),
        ('["x"]', ""),
        ('"a\\u0000b\\ud800"', "a b"),
    ],
)
def test_a_value_is_text_whatever_it_was(value, text):
    message = raw({"ResultCode": 0, "ResultParameters": pairs(X="@")}).replace(
        b'"@"', value.encode()
    )
    assert read_api_result(message).parameters == {"X": text}


def test_a_parameter_with_two_values_has_none():
    listed = [{"Key": "DebitPartyName", "Value": "A"}, {"Key": "DebitPartyName", "Value": "B"}]
    spaced = [{"Key": "ConversationID", "Value": "A"}, {"Key": "Conversation ID", "Value": "B"}]
    parameters = {"ResultParameter": [*listed, *spaced]}
    assert read(REVERSED, ResultParameters=parameters).parameters == {
        "DebitPartyName": "",
        "ConversationID": "",
    }


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "0"),
        ("0", "0"),
        (" 0 ", "0"),
        (2001, "2001"),
        ("R000001", "R000001"),
        ("SFC_IC0003", "SFC_IC0003"),
        ("TP40153", "TP40153"),
        (-1, "-1"),
    ],
)
def test_a_code_is_text_whatever_it_was(code, text):
    result = read(REVERSED, ResultCode=code)
    assert (result.result_code, result.claims_success) == (text, text == "0")


def test_the_envelope_and_the_ids_may_be_missing():
    bare = json.dumps({"ResultCode": "0", "ResultDesc": " Done\u0000. "}).encode()
    assert read_api_result(bare) == ApiResult("0", "Done .", None, "", "", {})


UNREADABLE = [
    (b"", "not JSON"),
    (b"<xml/>", "not JSON"),
    (b"\xff\xfe", "not UTF-8"),
    (b"[" * 100_000, "nested too deeply"),
    (b" " * 1_048_577, "longer than any message"),
    (b"[]", "Result is missing or no object"),
    (b"null", "Result is missing or no object"),
    (b'{"Result": []}', "Result is missing or no object"),
    (b'{"Result": null}', "Result is missing or no object"),
    (b"{}", "ResultCode is missing or malformed"),
    (b'{"Body": {"stkCallback": {"ResultCode": 0}}}', "ResultCode is missing or malformed"),
    (b'{"Result": {"ResultCode": 0}, "Result": {"ResultCode": 1}}', "a name is given twice"),
    *[
        (raw({**REVERSED, "ResultCode": code}), "ResultCode is missing or malformed")
        for code in (None, "", True, 0.0, [], "0\n1", "x" * 40, "\u0660")
    ],
    *[
        (raw({**REVERSED, name: value}), f"{name} is malformed")
        for name in IDS
        for value in (7, "a b", "x" * 101, ["x"], "\u0660")
    ],
]


@pytest.mark.parametrize(("message", "reason"), UNREADABLE, ids=range(len(UNREADABLE)))
def test_what_cannot_be_understood_is_named(message, reason):
    with pytest.raises(UnreadableMessage) as caught:
        read_api_result(message)
    assert caught.value.reason == reason


# The state of a transaction


def test_the_facts_of_a_transaction_are_read_whole():
    facts = read_transaction_facts(read(STATE))
    assert facts == TransactionFacts(
        receipt="MBN31H462N",
        status="Completed",
        amount_cents=30000,
        debit_party="600310 - Safaricom333",
        credit_party="254708374149 - John Doe",
        transacted_at=datetime(2018, 2, 23, 2, 41, 12, tzinfo=UTC),
        reason="Business Payment to Customer via API",
    )
    assert (facts.is_completed, facts.is_reversed) == (True, False)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("Completed", "completed"),
        ("completed", "completed"),
        ("COMPLETED", "completed"),
        ("Reversed", "reversed"),
        ("Completed (Reversed)", "reversed"),
        ("Failed", "failed"),
        ("Cancelled", "failed"),
        ("Declined", "failed"),
        ("Expired", "failed"),
        ("Pending Authorized", None),
        ("Initiated", None),
        ("Not Completed", None),
        ("Not Failed", None),
        ("Completed?", None),
    ],
)
def test_a_state_is_completed_failed_or_reversed_or_not_known(status, kind):
    facts = read_transaction_facts(replaced("TransactionStatus", status))
    assert (facts.is_completed, facts.is_failed, facts.is_reversed) == (
        kind == "completed",
        kind == "failed",
        kind == "reversed",
    )


def test_facts_go_by_other_names_elsewhere():
    result = read(
        STATE,
        ResultParameters=pairs(
            TransactionReceipt="SG632NMUAB",
            TransactionAmount="10.00",
            TransactionStatus="Completed",
            TransactionCompletedDateTime="06.07.2024 22:48:52",
            DebitPartyPublicName="600992 - Safaricom Daraja 992",
            CreditPartyPublicName="254705912645 - NICHOLAS JOHN SONGOK",
            ReasonType="Payment",
            TransactionReason="Monthly",
        ),
    )
    assert read_transaction_facts(result) == TransactionFacts(
        receipt="SG632NMUAB",
        status="Completed",
        amount_cents=1000,
        debit_party="600992 - Safaricom Daraja 992",
        credit_party="254705912645 - NICHOLAS JOHN SONGOK",
        transacted_at=datetime(2024, 7, 6, 19, 48, 52, tzinfo=UTC),
        reason="Payment: Monthly",
    )


@pytest.mark.parametrize("name", ["FinalisedTime", "FinalizedTime", "Finalised Time"])
def test_the_end_of_a_transaction_is_spelled_in_two_ways(name):
    parameters = {
        "ResultParameter": [
            {"Key": "InitiatedTime", "Value": "20180223054110"},
            {"Key": name, "Value": "20180223054112"},
            {"Key": "TransactionStatus", "Value": "Completed"},
        ]
    }
    facts = read_transaction_facts(read(STATE, ResultParameters=parameters))
    assert facts.transacted_at == datetime(2018, 2, 23, 2, 41, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("ReceiptNo", "MBN0000000", "receipt"),
        ("ReceiptNo", "", "receipt"),
        ("Amount", "0", "amount_cents"),
        ("Amount", "-300", "amount_cents"),
        ("Amount", "300.005", "amount_cents"),
        ("Amount", "300 KES", "amount_cents"),
        ("FinalisedTime", "31.02.2024 22:48:52", "transacted_at"),
        ("FinalisedTime", "yesterday", "transacted_at"),
        ("FinalisedTime", "01.01.0001 00:00:00", "transacted_at"),
    ],
)
def test_a_fact_that_cannot_be_read_is_none(name, value, field):
    facts = read_transaction_facts(replaced(name, value))
    assert getattr(facts, field) is None
    assert facts.is_completed


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ResultCode": 2001}, "no state of a transaction, but 2001"),
        ({"ResultParameters": {}}, "no state of a transaction, but 0"),
        (
            {
                "ResultParameters": {
                    "ResultParameter": [
                        {"Key": "TransactionStatus", "Value": "Completed"},
                        {"Key": "TransactionStatus", "Value": "Reversed"},
                    ]
                }
            },
            "no state of a transaction, but 0",
        ),
    ],
)
def test_an_answer_without_a_state_is_none(changes, reason):
    with pytest.raises(UnreadableMessage) as caught:
        read_transaction_facts(read(STATE, **changes))
    assert caught.value.reason == reason


# Balances


def balances_of(text):
    return read_balances(read(STATE, ResultParameters=pairs(AccountBalance=text)))


def test_balances_are_cents_by_the_accounts_names():
    assert balances_of(ACCOUNTS) == {
        "working": 4671300,
        "float": 0,
        "utility": 4921750,
        "charges_paid": -22000,
        "organization_settlement": 0,
    }


def test_only_the_first_number_is_believed_and_only_of_shillings():
    listed = (
        "Utility Account|KES|1.5|junk&Working Account|USD|7.00&Merchant Account|KES|x"
        "&Charges Paid Account|KES&|KES|1.00&& Float Account | kes | 7|0 "
    )
    assert balances_of(listed) == {"utility": 150, "float": 700}


def test_an_account_with_two_balances_has_none():
    listed = "Utility Account|KES|1.00&Utility Account|KES|2.00&Working Account|KES|3.00"
    assert balances_of(listed) == {"working": 300}
    assert balances_of("Utility Account|KES|1.00&Utility Account|KES|1.00") == {"utility": 100}


@pytest.mark.parametrize(
    ("listed", "code"),
    [("", 0), ("Utility Account", 0), ("a|b|c", 0), ("|||&&&", 0), (ACCOUNTS, "21")],
)
def test_without_one_balance_there_is_no_answer(listed, code):
    result = read(STATE, ResultCode=code, ResultParameters=pairs(AccountBalance=listed))
    with pytest.raises(UnreadableMessage, match=f"no balances, but {code}"):
        read_balances(result)


def test_a_long_list_of_accounts_is_read_to_its_end():
    listed = "&".join(f"Store {number} Account|KES|{number}.00|0.00|0.00" for number in range(90))
    assert len(listed) > 2000
    assert balances_of(listed)["store_89"] == 8900


# What the queue gave up


@pytest.mark.parametrize(
    ("message", "ids"),
    [
        (b"{}", ("", "")),
        (b"null", ("", "")),
        (b"[]", ("", "")),
        (b'"timeout"', ("", "")),
        (json.dumps(IDS).encode(), tuple(IDS.values())),
        (raw({**IDS, "ResultCode": 1}), tuple(IDS.values())),
        (b'{"Result": 7, "ConversationID": "AG_1"}', ("", "AG_1")),
        (b'{"ConversationID": ["AG_1"], "OriginatorConversationID": "a b"}', ("", "")),
    ],
)
def test_any_json_is_a_notice_of_the_queue(message, ids):
    assert read_queue_timeout(message) == QueueTimeout(*ids)


@pytest.mark.parametrize("message", [b"", b"timeout", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_no_notice(message):
    with pytest.raises(UnreadableMessage):
        read_queue_timeout(message)


# What the codes ask of the operator

OUR_FAULT = {"11", "18", "20", "21", "25", "2001", "2006", "2028", "8006", "TP40153"}
PROVES_NOTHING = {"15", "17"}


def test_each_code_is_sorted_by_whether_we_must_mend_something():
    known = MERCHANT_RESULT_CODES.values()
    assert {row.code for row in known if row.our_fault} == OUR_FAULT
    assert {row.code for row in known if not row.final} == PROVES_NOTHING
    assert {row.code for row in known if row.already_reversed} == {"R000001"}
    assert {row.code for row in known if row.no_such_receipt} == {"2032", "R000002"}
    expected = {"1", "2", "3", "4", "8", "26", "2032", "2040", "SFC_IC0003", "R000001", "R000002"}
    assert set(MERCHANT_RESULT_CODES) == OUR_FAULT | PROVES_NOTHING | expected
    assert all(row.meaning.endswith(".") for row in known)


def test_a_code_means_another_thing_than_it_does_for_a_prompt():
    assert "2001" in FINAL_FAILURES
    assert "MPESA_INITIATOR_PASSWORD" in explain_merchant_result("2001").meaning
    assert "PIN" not in explain_merchant_result("2001").meaning


def test_an_unknown_code_proves_nothing():
    unknown = explain_merchant_result("4242")
    assert (unknown.code, unknown.final, unknown.our_fault) == ("4242", False, False)


def test_a_success_is_no_failure_to_explain():
    with pytest.raises(ValueError, match="success"):
        explain_merchant_result("0")


# Whatever the bytes are

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=6,
)
names = st.sampled_from(
    [pair["Key"] for pair in STATE["ResultParameters"]["ResultParameter"]] + ["AccountBalance"]
)
parameters = st.fixed_dictionaries(
    {"Key": names | json_values},
    optional={"Value": json_values | st.just("Completed") | st.just(ACCOUNTS)},
)
results = st.fixed_dictionaries(
    {"ResultCode": st.just(0) | json_values},
    optional={
        "ResultDesc": json_values,
        "TransactionID": st.just("SG632NMUAB") | json_values,
        "ConversationID": st.just("AG_1") | json_values,
        "OriginatorConversationID": st.just("1-1") | json_values,
        "ResultParameters": json_values
        | st.fixed_dictionaries(
            {"ResultParameter": st.lists(parameters, max_size=6) | parameters | json_values}
        ),
    },
)


def read_or_refuse(message):
    try:
        result = read_api_result(message)
    except UnreadableMessage:
        return
    texts = [result.result_desc, *result.parameters, *result.parameters.values()]
    for text in texts:
        assert "\x00" not in text
        text.encode()
    for reader in (read_transaction_facts, read_balances):
        try:
            reader(result)
        except UnreadableMessage:
            continue


@UNHURRIED
@given(st.binary())
def test_no_bytes_break_the_readers(message):
    read_or_refuse(message)
    try:
        read_queue_timeout(message)
    except UnreadableMessage:
        return


@UNHURRIED
@given(results)
def test_no_values_in_the_right_places_break_the_readers(result):
    read_or_refuse(raw(result))


@UNHURRIED
@given(st.sampled_from([REVERSED, FAILED, STATE]), st.data())
def test_no_damage_to_a_sound_message_breaks_the_readers(sound, data):
    message = bytearray(raw(sound))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(message) - 1))
        damage = data.draw(st.binary(max_size=4))
        message[position : position + data.draw(st.integers(0, 3))] = damage
    read_or_refuse(bytes(message))
