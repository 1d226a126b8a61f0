import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.utils.order_number import (
    _CLEAR_ALPHABET,
    _ISO_ALPHABET,
    check_character,
    is_order_number,
    neighbours_of,
    new_order_number,
)

bodies = st.text(_ISO_ALPHABET, min_size=6, max_size=6)


def test_the_standards_own_example():
    assert check_character("A12425GABC1234002") == "M"


def test_a_new_number_has_seven_clear_characters_and_checks():
    numbers = {new_order_number() for _ in range(300)}

    assert len(numbers) == 300
    assert all(is_order_number(number) for number in numbers)
    assert all(set(number) <= set(_CLEAR_ALPHABET) and len(number) == 7 for number in numbers)
    assert not set("01ILOU") & set(_CLEAR_ALPHABET)


@given(bodies, st.integers(0, 6), st.sampled_from(_ISO_ALPHABET))
def test_every_single_wrong_character_is_noticed(body, place, wrong):
    number = body + check_character(body)
    slipped = number[:place] + wrong + number[place + 1 :]

    assert is_order_number(slipped) is (slipped == number)


def test_nearly_every_swap_of_neighbours_is_noticed():
    swaps = missed = 0
    for _ in range(300):
        number = new_order_number()
        for place in range(6):
            if number[place] != number[place + 1]:
                swapped = number[:place] + number[place + 1] + number[place] + number[place + 2 :]
                swaps += 1
                missed += is_order_number(swapped)
    assert missed / swaps < 0.01


def test_case_and_spaces_do_not_matter():
    number = new_order_number()
    assert is_order_number(f" {number[:3].lower()} {number[3:]}\n")


@pytest.mark.parametrize("text", ["", "ABC", "A" * 8, "ABCDEF-", "ABCDEF\u0665", "\u0131BCDEFG"])
def test_what_is_no_number_is_none(text):
    assert is_order_number(text) is False


@given(bodies, st.integers(0, 6), st.sampled_from(_CLEAR_ALPHABET))
def test_a_slip_leads_back_to_the_number_that_was_meant(body, place, wrong):
    number = body + check_character(body)
    if set(number) - set(_CLEAR_ALPHABET):
        return
    for slipped in (
        number[:place] + wrong + number[place + 1 :],
        number[:place] + number[place + 1 :],
        number[:place] + wrong + number[place:],
    ):
        near = neighbours_of(f" {slipped.lower()}\n")
        assert (number in near) is (slipped != number)
        assert all(is_order_number(one) for one in near)


@pytest.mark.parametrize("text", ["", "A", "ABCDE", "ABCDEFGHI", "RENT 2026 PLEASE"])
def test_what_is_far_from_any_number_has_no_neighbours(text):
    assert neighbours_of(text) == frozenset()
