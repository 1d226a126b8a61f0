"""How a payer is shown to people who need not know who they are."""

import hashlib

import pytest

from app.utils.payer import mask_payer_name, mask_payer_phone

HASH = hashlib.sha256(b"254711222333").hexdigest()


@pytest.mark.parametrize(
    ("shown", "masked"),
    [
        (None, None),
        ("254711222333", "2547****333"),
        ("0711222333", "2547****333"),
        ("+254711222333", "2547****333"),
        ("2547 ***** 149", "2547 ***** 149"),
        ("25470****149", "25470****149"),
        ("447911123456", "4479****456"),
        (HASH, f"{HASH[:8]}…"),
    ],
)
def test_a_phone_is_masked_however_it_comes(shown, masked):
    assert mask_payer_phone(shown) == masked


@pytest.mark.parametrize(
    ("shown", "masked"),
    [
        (None, None),
        ("", ""),
        ("JANE", "JANE"),
        ("JANE WANJIKU DOE", "JANE W. D."),
        ("254708374149 - JANE DOE", "2547****149 - J. D."),
        ("Duka 2", "Duka 2"),
    ],
)
def test_a_name_is_shown_by_its_first_word(shown, masked):
    assert mask_payer_name(shown) == masked
