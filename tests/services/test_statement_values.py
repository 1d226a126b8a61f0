"""Amounts and moments as portals, spreadsheets and people write them: exact, or none at all."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models.base import MAX_CENTS
from app.services.statements.values import (
    DayOrder,
    day_order_of,
    read_cents,
    read_day,
    read_moment,
)
from app.utils.clock import EAT

AMOUNTS = [
    ("1053", 105_300),
    ("1,053.00", 105_300),
    ("1,234,567.89", 123_456_789),
    ("30.0", 3_000),
    ("0.5", 50),
    ("168.00", 16_800),
    ("168.5000", 16_850),
    ("-22779.95", -2_277_995),
    ("-22,779.95", -2_277_995),
    ("\u2212600.00", -60_000),
    ("- 60.00", -6_000),
    ("+60.00", 6_000),
    ("(60.00)", -6_000),
    ("KES 1,053.00", 105_300),
    ("Ksh1,053", 105_300),
    ("KShs. 1,053", 105_300),
    ("-KES 60", -6_000),
    ("KES -60", -6_000),
    ("1,053/=", 105_300),
    ("1.053,00", 105_300),
    ("1053,5", 105_350),
    ("1 053,00", 105_300),
    ("1\u00a0053.00", 105_300),
    ("1\u202f053\u202f000.00", 105_300_000),
    ("12'345.60", 1_234_560),
    ("", 0),
    ("  ", 0),
    ("-", 0),
    ("0.00", 0),
    (" 10.00 ", 1_000),
]
NO_AMOUNTS = [
    "abc",
    "1e5",
    "1.05E+06",
    "NaN",
    "inf",
    "1.053",  # a thousand, or three decimals
    "1.500",
    "1.005",
    "168.005",
    "1,05,300",
    "10,53,00",
    "1.0.0",
    "1,053,00",
    "--5",
    "5-",
    "(5",
    "((5))",
    "=1+1",
    "0x10",
    "\u0661\u0662",
    "\uff11\uff10",
    "10 000 0",
    "USD 10",
    "10 USD",
    "1" * 41,
    "99999999999.99",
    "10.00.KES",
]


@pytest.mark.parametrize(("text", "cents"), AMOUNTS)
def test_an_amount_is_read_to_the_cent(text, cents):
    assert read_cents(text) == cents


@pytest.mark.parametrize("text", NO_AMOUNTS)
def test_what_is_no_amount_or_may_be_two_is_none(text):
    assert read_cents(text) is None


@given(st.integers(-MAX_CENTS, MAX_CENTS), st.sampled_from(["f", ",f", "-f", "comma", "spaced"]))
def test_every_amount_is_read_back_however_it_is_grouped(cents, style):
    value = Decimal(cents).scaleb(-2)
    text = f"{value:,.2f}" if style in {",f", "comma", "spaced"} else f"{value:.2f}"
    if style == "comma":
        text = text.replace(",", "_").replace(".", ",").replace("_", ".")
    elif style == "spaced":
        text = text.replace(",", " ")
    assert read_cents(text) == cents


@given(st.text(max_size=60))
def test_no_text_is_too_odd_for_an_amount(text):
    cents = read_cents(text)
    assert cents is None or -MAX_CENTS <= cents <= MAX_CENTS


TEN = datetime(2026, 9, 25, 7, 32, 37, tzinfo=UTC)
MOMENTS = [
    ("25-09-2026 10:32:37", TEN),
    ("25/09/2026 10:32:37", TEN),
    ("25.09.2026 10:32:37", TEN),
    ("25/9/2026 10:32", TEN.replace(second=0)),
    ("2026-09-25 10:32:37", TEN),
    ("2026-09-25T10:32:37", TEN),
    ("2026/09/25 10:32:37", TEN),
    ("2026-09-25T10:32:37+03:00", TEN),
    ("2026-09-25T07:32:37Z", TEN),
    ("2026-09-25T10:32:37.123", TEN),
    ("25/09/2026 10:32:37 AM", TEN),
    ("25/09/2026, 10:32:37 am", TEN),
    ("25/09/2026 10:32:37 PM", TEN + timedelta(hours=12)),
    ("25/09/2026 12:00:00 AM", datetime(2026, 9, 24, 21, 0, tzinfo=UTC)),
    ("25/09/2026 12:00 p.m.", datetime(2026, 9, 25, 9, 0, tzinfo=UTC)),
    ("  25-09-2026   10:32:37 ", TEN),
    ("01-01-2026 00:00:00", datetime(2025, 12, 31, 21, 0, tzinfo=UTC)),
]
NO_MOMENTS = [
    "",
    "25-09-2026",
    "2026-09-25",
    "10:32:37",
    "31-02-2026 10:00:00",
    "25-13-2026 10:00:00",
    "25-09-2026 24:00:00",
    "25-09-2026 10:60:00",
    "25-09-26 10:32:37",
    "25-09-2026 13:00 PM",
    "25-09-2026 0:30 AM",
    "1999-09-25 10:32:37",
    "9999-09-25 10:32:37",
    "0000-00-00 00:00:00",
    "45925.4393",
    "25-09-2026 10:32:37 EAT",
    "2026-09-25T10:32:37+99:99",
    "\u0662\u0665-09-2026 10:32:37",
    "tomorrow 10:00",
    "25-09-2026 10:32:37" + " " * 40 + "x",
]


@pytest.mark.parametrize(("text", "moment"), MOMENTS)
def test_a_moment_without_a_zone_is_nairobis(text, moment):
    assert read_moment(text) == moment
    assert read_moment(text).tzinfo is UTC


@pytest.mark.parametrize("text", NO_MOMENTS)
def test_what_is_no_moment_is_none(text):
    assert read_moment(text) is None


@given(
    st.integers(1_173_000_000, 4_000_000_000).map(lambda at: datetime.fromtimestamp(at, EAT)),
    st.sampled_from(["%d-%m-%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S"]),
)
def test_every_moment_is_read_back_to_the_second(moment, form):
    assert read_moment(moment.strftime(form)) == moment
    american = moment.strftime("%m/%d/%Y %I:%M:%S %p")
    assert read_moment(american, DayOrder.MONTH_FIRST) == moment


@given(st.text(max_size=60), st.sampled_from(DayOrder))
def test_no_text_is_too_odd_for_a_moment(text, order):
    assert read_moment(text, order) is None or read_moment(text, order).tzinfo is UTC


@given(st.dates(date(2007, 1, 1), date(2099, 12, 31)))
def test_a_day_begins_at_midnight_in_nairobi(day):
    midnight = datetime(day.year, day.month, day.day, tzinfo=EAT)
    assert read_day(f"{day:%d-%m-%Y}") == midnight
    assert read_day(f"{day:%Y-%m-%d}") == midnight
    assert read_day(f"{day:%d-%m-%Y} 10:00:00") is None


@pytest.mark.parametrize(
    ("moment", "receipt", "told"),
    [
        ("25/09/2026 10:00:00", "", (DayOrder.DAY_FIRST, True)),
        ("09/25/2026 10:00:00", "", (DayOrder.MONTH_FIRST, True)),
        ("09/10/2026 10:00:00", "", (None, False)),
        ("10/09/2026 10:00:00", "UIAQ7RT61S", (DayOrder.DAY_FIRST, False)),  # I A: September, 10
        ("09/10/2026 10:00:00", "UIAQ7RT61S", (DayOrder.MONTH_FIRST, False)),
        ("09/10/2026 10:00:00", "UBBQ7RT61S", (None, False)),  # another day altogether
        ("09/09/2026 10:00:00", "UI9Q7RT61S", (None, False)),
        ("2026-09-25 10:00:00", "", (None, False)),
        ("no moment", "UIAQ7RT61S", (None, False)),
        ("9" * 99, "", (None, False)),
    ],
)
def test_the_order_of_days_is_told_by_what_cannot_be_a_month_or_hinted_by_the_receipt(
    moment, receipt, told
):
    assert day_order_of(moment, receipt) == told
