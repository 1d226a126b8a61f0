import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.utils.callback_secret import CallbackSecret, callback_token, split_callback_token


def test_a_secret_is_256_bits_and_never_the_same():
    secrets = {CallbackSecret.new().value for _ in range(100)}

    assert len(secrets) == 100
    assert {len(bytes.fromhex(secret)) for secret in secrets} == {32}


def test_a_secret_matches_its_own_hash_alone_and_does_not_show_itself():
    secret = CallbackSecret.new()

    assert secret.matches(secret.hash) is True
    assert secret.matches(CallbackSecret.new().hash) is False
    assert secret.matches("") is False
    assert secret.value not in repr(secret)
    assert len(secret.hash) == 64


@given(st.integers(1, 10**18 - 1))
def test_a_token_is_split_into_what_it_was_made_of(payment_id):
    secret = CallbackSecret.new()
    assert split_callback_token(callback_token(payment_id, secret)) == (payment_id, secret)


@pytest.mark.parametrize(
    "token", ["", ".", "1", "1.", ".x", "a.x", "-1.x", "1_0.x", "\u0665.x", "9" * 19 + ".x", " 1.x"]
)
def test_what_no_payment_ever_carried_is_no_token(token):
    assert split_callback_token(token) is None


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader(text):
    parts = split_callback_token(text)
    assert parts is None or text == f"{text.partition('.')[0]}.{parts[1].value}"
