"""The books: every movement, the balances, and the portal's export of them."""

import csv
import io
from decimal import Decimal

import pytest

from daraja_simulator.statement import COLUMNS, NEW_COLUMNS
from tests.simulator.shop import B2B, B2C, PAYBILL, PHONE, REVERSAL, TILL


def export(shop, query=""):
    answer = shop.client.get(shop.url(f"/__sim/statement.csv{query}"))
    assert answer.status_code == 200, answer.text
    return answer


def read(shop, query=""):
    """The lines about the account, and the table by its columns."""
    lines = list(csv.reader(io.StringIO(export(shop, query).text)))
    start = lines.index(list(COLUMNS))
    return lines[:start], [dict(zip(COLUMNS, line, strict=True)) for line in lines[start + 1 :]]


def live(shop):
    """A day with everything in it; the receipts by what they are of."""
    receipts = {"c2b": shop.pay(amount=1000, account="ORDER, 1")["id"]}
    shop.push_accepted(amount=70, AccountReference="ORDER-7")
    shop.simulator.advance(3)
    receipts["express"] = shop.ledger()[-1]["receipt"]
    shop.result_of(B2C, Amount=30)
    receipts["b2c"] = shop.movements()[-2]["receipt"]
    shop.result_of(REVERSAL, TransactionID=receipts["express"], Amount=70)
    receipts["reversal"] = shop.movements()[-1]["receipt"]
    shop.result_of(B2B, Amount=100)
    receipts["b2b"] = shop.movements()[-1]["receipt"]
    return receipts


@pytest.fixture
def lived(open_shop):
    shop = open_shop(charge_percent=Decimal("0.55"), payout_charge=15, utility_balance=500)
    return shop, live(shop)


def test_every_movement_is_in_the_ledger_and_the_balances_add_up(lived):
    shop, _ = lived
    movements = shop.movements()
    assert [(one["kind"], one["amount"], one["balance"]) for one in movements] == [
        ("c2b", 1000, 1500),
        ("charge", -5.50, 1494.50),
        ("express", 70, 1564.50),
        ("charge", -0.39, 1564.11),
        ("b2c", -30, 1534.11),
        ("charge", -15, 1519.11),
        ("reversal", -70, 1449.11),
        ("b2b", -100, 1349.11),
    ]
    assert shop.balance() == {
        "merchant": "174379",
        "opening": 500,
        "paid_in": 1070,
        "withdrawn": 200,
        "charges": 20.89,
        "utility": 1349.11,
    }
    assert shop.balance(TILL)["utility"] == 500
    assert shop.get("ledger")["total"] == 1070


def test_the_ledger_is_listed_by_phone_merchant_and_kind(lived):
    shop, receipts = lived

    def found(query):
        return [one["receipt"] for one in shop.get(f"ledger?{query}")["movements"]]

    assert found("kind=b2c") == [receipts["b2c"]]
    assert found("kind=b2c&phone=254700000000") == []
    assert found(f"phone={PHONE}&kind=reversal") == [receipts["reversal"]]
    assert found(f"merchant={TILL.shortcode}") == []
    assert found("limit=1") == [receipts["b2b"]]
    assert found("limit=0") == []
    assert len(found(f"merchant={PAYBILL.shortcode}")) == 8


def test_the_statement_is_exported_byte_for_byte(lived):
    shop, receipts = lived
    answer = export(shop)
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="statement-174379.csv"'
    name = shop.ledger()[0]["name"]
    party = f"25471****678 - {name}"
    c2b, express, b2c = receipts["c2b"], receipts["express"], receipts["b2c"]
    assert answer.text.split("\r\n") == [
        "Account Holder:,SIMULATED SHOP 379",
        "Short Code:,174379",
        "Account:,Utility Account",
        "Time Period:,From,22-11-2026 23:59:50,To,23-11-2026 00:00:09",
        "Operator:,Simulator,Organization:,SIMULATED SHOP 379,Date of Report:,23-11-2026 00:00:09",
        (
            "Opening Balance:,500.00,Closing Balance:,1349.11,Available Balance:,1349.11,"
            "Total Paid In:,1070.00,Total Withdrawn:,-220.89"
        ),
        (
            "Receipt No.,Completion Time,Initiation Time,Details,Transaction Status,Paid In,"
            "Withdrawn,Balance,Balance Confirmed,Reason Type,Other Party Info,"
            "Linked Transaction ID,A/C No."
        ),
        (
            f"{receipts['b2b']},23-11-2026 00:00:09,23-11-2026 00:00:04,"
            "Business Pay Bill to 600000 - SIMULATED BUSINESS 000,Completed,,-100.00,1349.11,true,"
            "Business Pay Bill,600000 - SIMULATED BUSINESS 000,,353353"
        ),
        (
            f"{receipts['reversal']},23-11-2026 00:00:04,22-11-2026 23:59:59,Pay Utility Reversal,"
            f"Completed,,-70.00,1449.11,true,Pay Utility Reversal,{party},{express},"
        ),
        (
            f"{b2c},22-11-2026 23:59:59,22-11-2026 23:59:54,Business Payment Charge,"
            "Completed,,-15.00,1519.11,true,Business Payment Charge,,,"
        ),
        (
            f"{b2c},22-11-2026 23:59:59,22-11-2026 23:59:54,"
            f"Business Payment to {party} via API. Original conversation ID is refund-1.,"
            f"Completed,,-30.00,1534.11,true,Business Payment,{party},,"
        ),
        (
            f"{express},22-11-2026 23:59:54,22-11-2026 23:59:51,Pay Bill Charge,"
            "Completed,,-0.39,1564.11,true,Pay Bill Charge,,,"
        ),
        (
            f"{express},22-11-2026 23:59:54,22-11-2026 23:59:51,"
            f"Pay Bill Online from {party} Acc. ORDER-7,"
            f"Completed,70.00,,1564.50,true,Pay Bill Online,{party},,ORDER-7"
        ),
        (
            f"{c2b},22-11-2026 23:59:51,22-11-2026 23:59:50,Pay Bill Charge,"
            "Completed,,-5.50,1494.50,true,Pay Bill Charge,,,"
        ),
        (
            f'{c2b},22-11-2026 23:59:51,22-11-2026 23:59:50,"Pay Bill from {party} Acc. ORDER, 1",'
            f'Completed,1000.00,,1500.00,true,Pay Bill,{party},,"ORDER, 1"'
        ),
        "",
    ]


def test_a_part_begins_with_what_was_there_before(lived):
    shop, receipts = lived
    preamble, rows = read(shop, "?from=2026-11-22T23:59:55&to=2026-11-23T00:00:04")
    assert preamble[5][1] == "1564.11"
    assert preamble[5][3] == "1449.11"
    assert [one["Receipt No."] for one in rows] == [
        receipts["reversal"],
        receipts["b2c"],
        receipts["b2c"],
    ]


def test_a_day_is_whole(lived):
    shop, receipts = lived
    _, first = read(shop, "?from=2026-11-22&to=2026-11-22")
    _, second = read(shop, "?from=2026-11-23&to=2026-11-23")
    assert {one["Receipt No."] for one in first} == {
        receipts[kind] for kind in ("c2b", "express", "b2c")
    }
    assert {one["Receipt No."] for one in second} == {
        receipts[kind] for kind in ("reversal", "b2b")
    }
    _, by_utc = read(shop, "?from=2026-11-22T21:00:00Z")
    assert by_utc == second


def test_every_part_adds_up(lived):
    shop, _ = lived
    preamble, rows = read(shop)
    opening, closing = Decimal(preamble[5][1]), Decimal(preamble[5][3])
    balance = opening
    for row in reversed(rows):
        balance += Decimal(row["Paid In"] or 0) + Decimal(row["Withdrawn"] or 0)
        assert Decimal(row["Balance"]) == balance
    assert balance == closing


def test_the_other_layout_has_neither_preamble_nor_blanks(lived):
    shop, receipts = lived
    lines = list(csv.reader(io.StringIO(export(shop, "?layout=new").text)))
    assert tuple(lines[0]) == NEW_COLUMNS
    name = shop.ledger()[0]["name"]
    assert lines[-1] == [
        receipts["c2b"],
        "22/11/2026 23:59:51",
        f"Pay Bill from 25471****678 - {name} Acc. ORDER, 1",
        "Completed",
        "1,000.00",
        "0.00",
        "1,500.00",
    ]
    assert lines[1][4:] == ["0.00", "-100.00", "1,349.11"]


def test_a_till_has_a_statement_without_accounts(open_shop):
    shop = open_shop(charge_percent=Decimal(1))
    shop.pay(merchant=TILL, account=None, amount=100)
    preamble, rows = read(shop, f"?merchant={TILL.till}")
    assert preamble[1] == ["Short Code:", TILL.till]
    assert [(one["Details"], one["A/C No."]) for one in rows] == [
        ("Pay merchant Charge", ""),
        (f"Merchant Payment from 25471****678 - {shop.ledger()[0]['name']}", ""),
    ]


@pytest.mark.parametrize("query", ["?merchant=600999", "?from=soon", "?to=x", "?layout=dance"])
def test_a_senseless_export_is_refused(shop, query):
    answer = shop.client.get(shop.url(f"/__sim/statement.csv{query}"))
    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")


def test_an_empty_statement_is_a_statement(shop):
    preamble, rows = read(shop)
    assert rows == []
    assert preamble[5][1] == preamble[5][3] == "100000.00"


def test_a_receipt_is_booked_once(shop):
    shop.pay()
    ledger = shop.simulator.gateway.ledger
    with pytest.raises(ValueError, match="given once"):
        ledger.record(ledger.movements()[0])
    assert len(ledger.movements()) == 1
    assert shop.balance()["utility"] == 100_005
