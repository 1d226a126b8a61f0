import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models.base import MAX_CENTS
from app.utils.clock import rfc3339, utc_now
from app.utils.money import cents_to_wire, whole_shillings
from app.utils.phone import fits_msisdn, mask_msisdn, normalise_msisdn


@pytest.mark.parametrize(
    ("cents", "wire"),
    [(0, "0"), (1, "0.01"), (149_950, "1499.5"), (150_000, "1500"), (MAX_CENTS, "9999999999.99")],
)
def test_cents_on_the_wire(cents, wire):
    assert json.dumps(cents_to_wire(cents)) == wire


@given(st.integers(0, MAX_CENTS))
def test_no_cent_is_lost_on_the_wire(cents):
    assert Decimal(json.dumps(cents_to_wire(cents))) * 100 == cents


@given(st.integers(0, MAX_CENTS))
def test_shillings_are_rounded_up_by_less_than_one(cents):
    assert 0 <= whole_shillings(cents) * 100 - cents < 100


@pytest.mark.parametrize(
    "text",
    [
        "0712345678",
        "712345678",
        "254712345678",
        "+254712345678",
        "0712 345 678",
        "+254 (712) 345-678",
    ],
)
def test_each_spelling_of_a_phone_is_one_phone(text):
    assert normalise_msisdn(text) == "254712345678"


@pytest.mark.parametrize(
    "text",
    [
        *("", "0812345678", "071234567", "07123456789", "+255712345678", "+12025550100"),
        *("2540712345678", "\u0660712345678", "071234567\u0668", "0712345678" + " " * 30, "07a"),
    ],
)
def test_what_is_no_kenyan_phone_is_refused(text):
    with pytest.raises(ValueError, match="Not a Kenyan mobile number"):
        normalise_msisdn(text)


def test_a_masked_phone_tells_a_person_from_another_and_no_more():
    assert mask_msisdn("254712345678") == "2547****678"
    assert mask_msisdn("12345") == "****"


def test_moments_are_written_in_utc():
    nairobi = timezone(timedelta(hours=3))
    assert rfc3339(datetime(2026, 11, 22, 12, 30, 0, 999, nairobi)) == "2026-11-22T09:30:00Z"
    assert utc_now().tzinfo is UTC


PHONE = "254708374149"
ITS_HASH = "bbff37cea44ac0b2d964ee0dfb8d2df8513dc7ba1b36129a929fc3fbd6dd4af4"


def test_the_hash_fits_the_published_vector():
    assert sha256(PHONE.encode()).hexdigest() == ITS_HASH


@pytest.mark.parametrize(
    ("shown", "fits"),
    [
        # plain, in every spelling
        (PHONE, True),
        ("+254708374149", True),
        ("0708 374 149", True),
        ("0708-374-149", True),
        ("708374149", True),
        ("254708374148", False),
        # hashed
        (ITS_HASH, True),
        (ITS_HASH.upper(), True),
        (ITS_HASH[:-1] + "5", False),
        (sha256(b"0708374149").hexdigest(), False),
        # masked
        ("2547 ***** 149", True),
        ("25470****149", True),
        ("254708xxx149", True),
        ("+2547 ##### 149", True),
        ("0708***149", True),
        ("70*****49", True),
        ("********4149", True),
        ("2547 ***** 126", False),
        ("2541 ***** 149", False),
        ("25471****149", False),
        ("254******867", False),
        ("********4148", False),
        ("255******149", None),
        # what tells nothing, or fits too many
        ("", None),
        (None, None),
        ("***", None),
        ("254*********", None),
        ("2547********", None),
        ("254******149", None),
        ("254708******", None),
        ("***********9", None),
        ("**********49", None),
        ("254708*374149", None),
        ("254708374149***", None),
        ("254708374149 - WANJIKU", None),
        ("**** hidden ****", None),
        ("2547**83**49", None),
        ("N/A", None),
        ("72200000", None),
        ("255708374149", None),
        ("\u0662\u0665\u0664708374149", None),
    ],
)
def test_what_is_shown_of_a_payer_fits_or_not_or_does_not_tell(shown, fits):
    assert fits_msisdn(shown, PHONE) is fits


@given(st.from_regex(r"254[17][0-9]{8}", fullmatch=True), st.integers(4, 8))
def test_every_mask_fits_its_own_number(msisdn, head):
    tail = 3
    masked = msisdn[:head] + "*" * (12 - head - tail) + msisdn[-tail:]
    assert fits_msisdn(masked, msisdn) is True
    assert fits_msisdn(sha256(msisdn.encode()).hexdigest(), msisdn) is True


@given(st.text(max_size=80) | st.from_regex(r"\+?[0-9*xX# ]{0,70}", fullmatch=True))
def test_whatever_is_shown_breaks_nothing(shown):
    assert fits_msisdn(shown, PHONE) in {True, False, None}
