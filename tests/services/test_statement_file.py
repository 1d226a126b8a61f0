"""The portal's statement, as exported, as saved by a spreadsheet, and as an attacker writes it."""

import tracemalloc
from datetime import UTC, datetime, timedelta
from io import BytesIO
from itertools import chain, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.models import LineKind
from app.services.statements import BookLine, LineFault, Numbers, PassedOver, Span, require_ours
from app.services.statements.details import conversation_of, kind_of, kind_of_pulled, party_of
from app.services.statements.file import LONGEST_LINE, StatementFile
from app.services.statements.whose import span_of
from app.utils.clock import EAT
from tests.statements import (
    CLASSIC,
    DAY,
    charged,
    classic,
    new_layout,
    paid,
    preamble,
    reversed_,
    swept,
)

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
PAID_AT = datetime(2026, 11, 22, 9, 1, tzinfo=UTC)
NUMBERS = Numbers(paid=frozenset({"174379", "600111"}), payout="600000")


def opened(content: bytes, name=None, most_lines=1_000) -> StatementFile:
    return StatementFile(BytesIO(content), name, most_lines)


def entries(content: bytes, **options) -> list:
    return list(opened(content, **options).entries(NOW))


def lines(content: bytes) -> list[BookLine]:
    found = entries(content)
    assert [entry for entry in found if not isinstance(entry, BookLine)] == []
    return found


def faults(content: bytes) -> list[tuple[int, str]]:
    found = [entry for entry in entries(content) if isinstance(entry, LineFault)]
    return [(fault.number, fault.message) for fault in found]


def refusal_of(content: bytes, **options) -> str:
    with pytest.raises(InvalidInput) as caught:
        opened(content, **options)
    return caught.value.code


def test_a_statement_is_read_line_by_line():
    content = classic(
        swept(),
        charged(),
        paid(account="K7M2Q9X"),
        paid("UKMFAILED1", **{"Transaction Status": "Failed"}),
        reversed_(),
    )
    statement = opened(content)

    assert statement.preamble.shortcode == "174379"
    assert statement.preamble.account == "Utility Account"
    assert statement.line_count == 5
    sweep, charge, payment, failed, reversal = statement.entries(NOW)
    assert payment == BookLine(
        number=10,
        receipt="UKM0000PAY",
        kind=LineKind.PAYMENT,
        amount_cents=150_000,
        transacted_at=PAID_AT,
        details="Pay Bill Online from 2547****678 - WANJIKU **** MWANGI Acc. K7M2Q9X",
        bill_reference="K7M2Q9X",
        other_party="2547****678 - WANJIKU **** MWANGI",
        payer_phone="2547****678",
        payer_name="WANJIKU MWANGI",
    )
    assert (charge.receipt, charge.kind, charge.amount_cents) == ("UKM0000PAY", "charge", -825)
    assert (sweep.kind, sweep.amount_cents) == ("transfer", -2_000_000)
    assert failed == PassedOver(11)
    assert (reversal.kind, reversal.amount_cents, reversal.linked_receipt) == (
        "reversal",
        -150_000,
        "UKM0000PAY",
    )


def test_the_newer_layout_says_the_same_in_fewer_columns():
    (payment, charge) = lines(new_layout(paid(amount="1,500.00", account="K7M2Q9X"), charged()))
    assert (payment.kind, payment.amount_cents, payment.bill_reference, payment.payer_phone) == (
        "payment",
        150_000,
        "K7M2Q9X",
        "2547****678",
    )
    assert payment.transacted_at == PAID_AT
    assert (charge.kind, charge.amount_cents) == ("charge", -825)


WAYS_TO_SAVE = {
    "as exported": lambda text: text.encode(),
    "with a mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "unix lines": lambda text: text.replace("\r\n", "\n").encode(),
    "semicolons": lambda text: text.replace(",", ";").encode(),
    "tabs": lambda text: text.replace(",", "\t").encode(),
    "declared": lambda text: b"sep=;\r\n" + text.replace(",", ";").encode(),
    "without an end": lambda text: text.rstrip("\r\n").encode(),
    "blank lines": lambda text: text.replace("\r\n", "\r\n\r\n").encode(),
    "padded": lambda text: text.replace("\r\n", ",,,\r\n").encode(),
    "in capitals": lambda text: text.replace("Receipt No.", "RECEIPT NO").encode(),
}


@pytest.mark.parametrize("way", WAYS_TO_SAVE)
def test_it_does_not_matter_how_a_spreadsheet_saved_it(way):
    text = classic(paid(account="K7M2Q9X"), charged()).decode().replace("1,500.00", "1500.00")
    found = lines(WAYS_TO_SAVE[way](text))
    assert [(line.receipt, line.amount_cents, line.transacted_at) for line in found] == [
        ("UKM0000PAY", 150_000, PAID_AT),
        ("UKM0000PAY", -825, PAID_AT),
    ]


def test_columns_are_found_by_name_in_any_order_and_number():
    columns = ("Withdrawn", "Nothing", "Completion Time", "Paid In", "Receipt No.", "Paid In")
    (line,) = lines(classic(paid(), columns=columns))
    assert (line.receipt, line.amount_cents, line.details) == ("UKM0000PAY", 150_000, "")


def test_names_from_windows_are_read():
    (line,) = lines(
        classic(paid(**{"Other Party Info": "2547****678 - RENÉ"})).decode().encode("cp1252")
    )
    assert line.payer_name == "RENÉ"


def test_a_name_may_hold_quotes_commas_and_what_looks_like_a_formula():
    party = "2547****678 - =cmd|'/C calc'!A0, \"JANE\""
    (line,) = lines(classic(paid(**{"Other Party Info": party})))
    assert line.other_party == party


@pytest.mark.parametrize(
    ("moment", "receipt", "shown"),
    [
        ("11/22/2026 12:01", "UKM0000PAY", PAID_AT),
        ("11/05/2026 12:01", "UK50000PAY", datetime(2026, 11, 5, 9, 1, tzinfo=UTC)),
        ("05/11/2026 12:01", "UK50000PAY", datetime(2026, 11, 5, 9, 1, tzinfo=UTC)),
    ],
)
def test_american_dates_are_told_by_the_file_or_its_receipts(moment, receipt, shown):
    (line,) = lines(classic(paid(receipt, at=moment), above=[]))
    assert line.transacted_at == shown


def test_one_certain_line_tells_the_order_of_all():
    content = classic(
        paid("AAAAAAAAA1", at="11/22/2026 12:01"),
        paid("AAAAAAAAA2", at="11/05/2026 12:01"),
        above=[],
    )
    assert [line.transacted_at.day for line in lines(content)] == [22, 5]


def test_days_in_two_orders_are_refused_rather_than_guessed_at():
    content = classic(paid(at="11/22/2026 12:01"), paid(at="22/11/2026 12:01"))
    assert refusal_of(content) == "statement_dates_mixed"


BROKEN = [
    ({"Receipt No.": ""}, "It has no receipt."),
    ({"Receipt No.": "UKM 0000"}, "It has no receipt."),
    ({"Receipt No.": "x' OR 1=1"}, "It has no receipt."),
    ({"Completion Time": ""}, "It has no completion time."),
    ({"Completion Time": "yesterday"}, "Its completion time cannot be read."),
    ({"Completion Time": "22-11-2026"}, "Its completion time cannot be read."),
    ({"Completion Time": "22-11-2027 10:00:00"}, "Its completion time lies in the future."),
    ({"Transaction Status": ""}, "It does not say whether it was completed."),
    ({"Paid In": "NaN"}, "Its amount cannot be read."),
    ({"Paid In": "-1500.00"}, "Its amount cannot be read."),
    ({"Paid In": "1.500"}, "Its amount cannot be read."),
    ({"Withdrawn": "abc"}, "Its amount cannot be read."),
    ({"Withdrawn": "20.00"}, "It has an amount paid in and one withdrawn."),
]


@pytest.mark.parametrize(("cells", "message"), BROKEN)
def test_a_line_that_cannot_be_read_is_named_and_takes_no_other_with_it(cells, message):
    content = classic(paid("UKM0000001"), paid(**cells), paid("UKM0000003"))
    assert faults(content) == [(9, message)]
    good = [entry for entry in entries(content) if isinstance(entry, BookLine)]
    assert [line.receipt for line in good] == ["UKM0000001", "UKM0000003"]


def test_money_of_another_country_is_not_counted_as_shillings():
    content = classic(paid(Currency="USD"), columns=(*CLASSIC, "Currency"))
    assert faults(content) == [(8, "It is not in Kenyan shillings.")]


def test_a_quotation_mark_that_is_never_closed_costs_its_own_line_only():
    text = classic(paid("UKM0000001"), paid("UKM0000002"), paid("UKM0000003")).decode()
    broken = text.replace("UKM0000002,", 'UKM0000002,"', 1).encode()
    assert faults(broken) == [(9, "A quotation mark opens or closes in the wrong place.")]
    good = [entry.receipt for entry in entries(broken) if isinstance(entry, BookLine)]
    assert good == ["UKM0000001", "UKM0000003"]


def test_totals_headings_and_what_did_not_complete_are_passed_over():
    total = {"Details": "Total", "Paid In": "1,785.00", "Withdrawn": "15.00"}
    heading = dict(zip(CLASSIC, CLASSIC, strict=True))
    nothing = paid(amount="0.00")
    pending = paid(**{"Transaction Status": "Pending"})
    content = classic(paid(), heading, total, nothing, pending)
    assert [type(entry) for entry in entries(content)] == [BookLine, *[PassedOver] * 4]


NOT_STATEMENTS = [
    (b"", "statement_empty"),
    (b"PK\x03\x04rest of a workbook", "statement_not_csv"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "statement_not_csv"),
    (b"%PDF-1.7", "statement_not_csv"),
    ("Receipt No.,Completion Time".encode("utf-16"), "statement_not_csv"),
    (b"hello,world\n1,2\n", "statement_without_columns"),
    (b"sku,name,price\nK-1,Kiondo,900\n", "statement_without_columns"),
    (b"\x00" * 5_000, "statement_without_columns"),
    (b"a" * 100_000, "statement_without_columns"),
    (b"\n" * 70 + classic(paid(), above=[]), "statement_without_columns"),
    (b"Receipt No.,Completion Time,Paid In\r\n", "statement_without_columns"),
]


@pytest.mark.parametrize(("content", "code"), NOT_STATEMENTS)
def test_what_is_no_statement_is_refused(content, code):
    assert refusal_of(content) == code


def test_a_file_with_more_lines_than_allowed_is_refused_before_any_is_taken():
    content = classic(*[paid(f"UKM{number:07d}") for number in range(6)])
    assert refusal_of(content, most_lines=5) == "statement_too_long"
    assert opened(content, most_lines=6).line_count == 6


class Hostile(BytesIO):
    """A file that is never there as a whole: what comes after its head is made as it is read."""

    def __init__(self, head: bytes, pieces) -> None:
        super().__init__()
        self._head, self._pieces = head, pieces
        self.seek(0)

    def seek(self, offset, whence=0):
        assert (offset, whence) == (0, 0)
        self._beginning, self._coming = BytesIO(self._head), self._pieces()
        return 0

    def read(self, size=-1):
        return self._head[:size]

    def readline(self, size=-1):
        return self._beginning.readline(size) or next(self._coming, b"")


def walk(file) -> tuple[int, int]:
    """(lines, bytes of memory that reading took at most)."""
    tracemalloc.start()
    try:
        statement = StatementFile(file, None, 10_000_000)
        count = sum(1 for _ in statement.entries(NOW))
        return count, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_attack_73_a_long_file_takes_no_more_memory_than_a_short_one():
    head = classic(paid(), above=[])
    garbage = b'UKM0000001,"22-11-2026 12:01:00,,,Completed,=1+1,\n'
    _, little = walk(Hostile(head, lambda: repeat(garbage, 100)))
    count, much = walk(Hostile(head, lambda: repeat(garbage, 20_000)))
    assert count == 20_001
    assert much < little + 200_000


def test_attack_73_a_line_without_an_end_takes_no_more_memory_than_a_short_one():
    head = classic(paid(), above=[])
    piece = b"x" * LONGEST_LINE
    count, memory = walk(Hostile(head, lambda: chain(repeat(piece, 20_000), [b"x\n"])))
    assert count == 2
    assert memory < 500_000


def test_a_line_that_is_too_long_takes_no_other_with_it():
    content = classic(paid(), above=[]) + b"x" * LONGEST_LINE + b"\r\n"
    content += classic(paid("UKM0000009"), above=[])
    assert faults(content) == [(3, "The line is too long.")]
    assert entries(content)[-1].receipt == "UKM0000009"


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_no_bytes_are_too_odd_to_be_read(garbage):
    content = classic(paid(), above=[]) + garbage + b"\r\n" + classic(paid("UKM0000009"), above=[])
    found = entries(content)
    receipts = [entry.receipt for entry in found if isinstance(entry, BookLine)]
    assert receipts[0] == "UKM0000PAY"
    assert receipts[-1] == "UKM0000009"
    for line in found:
        if isinstance(line, BookLine):
            assert "\x00" not in line.details + (line.other_party or "")


KINDS = [
    ("Pay Bill from 25470****111 - ALICE Acc. 850060", "Pay Utility", 1, "payment"),
    ("Pay Bill Online from 07****222 - Bob Acc. bob shop", "", 1, "payment"),
    ("Small Business Pay Bill from 2547****333 - CAROL Acc. Carol", "", 1, "payment"),
    ("Merchant Pay Utility Received from 1234567 - FAKE AUTO Acc. dave", "", 1, "payment"),
    ("Business Pay Bill via API by 999001 - BANK TO PAYBILL Acc. erin", "", 1, "payment"),
    ("FSI to Pay Bill by 999002 - MOCK BANK Acc. Frank via WEB by MOCK", "", 1, "payment"),
    ("Merchant Payment Online from 070****366 - SAMUEL", "Pay Merchant", 1, "payment"),
    ("Merchant Payment", "Pay Merchant", 1, "payment"),
    ("Pay Bill from 2547****1 - JANE REVERSAL Acc. CHARGE SETTLEMENT", "Pay Utility", 1, "payment"),
    ("Something that nobody has seen before", "", 1, "payment"),
    ("", "", 1, "payment"),
    ("Pay Bill Charge", "Pay Utility", -1, "charge"),
    ("Pay merchant Charge", "Pay Merchant", -1, "charge"),
    ("Business Pay Bill Charge", "Business Pay Bill Charge", -1, "charge"),
    ("Pay Bill Charge Reversal", "", 1, "charge"),
    ("Pay Utility Reversal by TINGG\\AKINUTHIA", "", -1, "reversal"),
    ("Pay Merchant Reversal by M- PESA - Jkiema", "", -1, "reversal"),
    ("Merchant Payment", "Pay Merchant Reversal", -1, "reversal"),
    ("Business Payment Reversal", "", 1, "reversal"),
    ("Utility Account to Organization Settlement Account", "", -1, "transfer"),
    ("Merchant Account to Organization Settlement Account", "", 1, "transfer"),
    ("Organization Settlement Account to Organization MMF Account", "", 1, "transfer"),
    ("Agency Withdrawal of funds to Bank", "", -1, "transfer"),
    ("Organization Settle to Bank", "Withdraw Funds to Bank", -1, "transfer"),
    ("Funds received from KCB current", "Organization Settlement", 1, "transfer"),
    (
        "Business Payment to 254712345678 - JANE via API. Original conversation ID is",
        "",
        -1,
        "payout",
    ),
    ("Salary Payment to 254712345678 - JANE", "", -1, "payout"),
    ("Business Pay Bill to 888880 - KPLC", "Business Pay Bill", -1, "other"),
]


@pytest.mark.parametrize(("details", "reason", "sign", "kind"), KINDS)
def test_what_a_line_is_shows_in_its_first_words_and_its_reason(details, reason, sign, kind):
    assert kind_of(details, reason, sign * 10_000) == kind


@pytest.mark.parametrize(
    ("pulled", "kind", "below_zero"),
    [
        ("c2b-pay-bill-debit", "payment", "reversal"),
        ("c2b-buy-goods-debit", "payment", "reversal"),
        ("", "payment", "reversal"),
        ("c2b-pay-bill-reversal", "reversal", "reversal"),
        ("merchant-to-organization-settlement", "transfer", "transfer"),
        ("b2c-business-payment", "payout", "payout"),
        ("pay-bill-charge", "charge", "charge"),
    ],
)
def test_what_a_row_of_the_list_is_shows_in_its_type_and_its_sign(pulled, kind, below_zero):
    assert (kind_of_pulled(pulled, 100), kind_of_pulled(pulled, -100)) == (kind, below_zero)


@pytest.mark.parametrize(
    ("other", "details", "number", "name"),
    [
        ("25470****111 - ALICE **** EXAMPLE", "", "25470****111", "ALICE EXAMPLE"),
        ("2547 ***** 126 - NICHOLAS", "", "2547*****126", "NICHOLAS"),
        ("254712345678", "", "254712345678", None),
        ("SP", "Pay Bill from 0712****678 - JOHN DOE Acc. 12", "0712****678", "JOHN DOE"),
        ("", "Merchant Payment from 070****366 - SAMUEL", "070****366", "SAMUEL"),
        ("", "Merchant Payment", None, None),
        ("KCB BANK", "", None, None),
    ],
)
def test_who_paid_stands_in_a_column_or_in_the_details(other, details, number, name):
    assert (party_of(other, details).number, party_of(other, details).name) == (number, name)


def test_a_payout_names_the_request_that_sent_it():
    said = "Business Payment to 2547****678 - J via API. Original conversation ID is refund-7-ab12."
    assert conversation_of(said) == "refund-7-ab12"
    assert conversation_of("Business Payment to 2547****678 - J") is None


def span_said(content: bytes, name=None, now=NOW) -> Span:
    statement = opened(content, name)
    movements = (one for one in statement.entries(now) if isinstance(one, BookLine))
    return span_of(statement.preamble, movements, now)


def eat(day, hour=0, minute=0, second=0) -> datetime:
    return datetime(2026, 11, day, hour, minute, second, tzinfo=EAT)


def test_a_statement_covers_the_period_that_it_names():
    assert span_said(classic(paid())) == Span(eat(22), eat(23))


def test_a_statement_covers_nothing_after_it_was_made():
    content = classic(paid(), above=preamble(last="23-11-2026", reported="23-11-2026 07:00:00"))
    assert span_said(content) == Span(eat(22), eat(23, 7))
    unreported = classic(paid(), above=preamble(last="30-11-2026", reported=None))
    assert span_said(unreported) == Span(eat(22), NOW)


@pytest.mark.parametrize(
    "above",
    [
        [["Time Period:,01-11-2026 - 22-11-2026"]],
        [["Statement Period", "01-11-2026 to 22-11-2026"]],
        [["Time Period: From 01-11-2026 00:00:00 To 22-11-2026 23:59:59"]],
    ],
)
def test_a_period_is_found_however_it_is_laid_out(above):
    assert span_said(classic(paid(), above=above)) == Span(eat(1), eat(23))


def test_without_a_period_the_name_of_the_file_tells_or_else_its_lines():
    content = new_layout(paid("UKM0000001"), paid("UKM0000002", at=f"{DAY} 18:30:00"))
    named = "Statements for 174379 from 2026-11-21 to 2026-11-22 (1).csv"
    assert span_said(content, named) == Span(eat(21), eat(23))
    assert span_said(content, "november.csv") == Span(eat(22, 12, 1), eat(22, 18, 30, 1))


@pytest.mark.parametrize(
    "content",
    [
        new_layout(),
        classic(above=preamble(first="25-11-2026", last="25-11-2026", reported=None)),
    ],
)
def test_a_statement_that_covers_nothing_is_refused(content):
    with pytest.raises(InvalidInput) as caught:
        span_said(content)
    assert caught.value.code == "statement_covers_nothing"


@pytest.mark.parametrize(
    ("above", "name", "code"),
    [
        (preamble(shortcode="999999"), None, "statement_of_another"),
        ([], "Statements for 999999 from 2026-11-21 to 2026-11-22.csv", "statement_of_another"),
        (preamble(account="Organization Settlement Account"), None, "statement_of_other_account"),
        (preamble(account="Working Account"), None, "statement_of_other_account"),
        (preamble(account="M-PESA Account"), None, "statement_of_other_account"),
        (preamble(account="Charges Paid Account"), None, "statement_of_other_account"),
    ],
)
def test_anothers_statement_and_that_of_another_account_are_refused(above, name, code):
    with pytest.raises(InvalidInput) as caught:
        require_ours(opened(classic(paid(), above=above), name).preamble, NUMBERS)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "above",
    [
        preamble(),
        preamble(shortcode="600111", account="Merchant Account"),
        preamble(shortcode="600000"),
        preamble(account="An account that nobody has heard of"),
        [],
    ],
)
def test_the_shops_own_statement_is_welcome(above):
    require_ours(opened(classic(paid(), above=above)).preamble, NUMBERS)


def test_the_moment_of_a_line_may_lie_an_hour_ahead_of_our_clock_and_no_more():
    soon = (NOW + timedelta(minutes=59)).astimezone(EAT)
    late = (NOW + timedelta(minutes=61)).astimezone(EAT)
    form = "%d-%m-%Y %H:%M:%S"
    content = classic(
        paid("UKM0000001", at=f"{soon:{form}}"), paid("UKM0000002", at=f"{late:{form}}")
    )
    assert [type(entry) for entry in entries(content)] == [BookLine, LineFault]
