"""Signatures, judged by the library of the Standard Webhooks specification itself."""

import base64
import re
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.services.webhooks.signing import new_secret, signed_headers
from app.utils.clock import utc_now

PAYLOAD = '{"type":"order.paid","timestamp":"2026-11-22T09:00:00Z","data":{"name":"Ñandú ☕"}}'


def headers(*secrets: str, now=None, payload: str = PAYLOAD) -> dict[str, str]:
    return signed_headers("evt_17", payload, secrets, now or utc_now())


def test_the_specifications_own_library_accepts_what_we_sign():
    secret = new_secret()
    verified = Webhook(secret).verify(PAYLOAD.encode(), headers(secret))
    assert verified == {
        "type": "order.paid",
        "timestamp": "2026-11-22T09:00:00Z",
        "data": {"name": "Ñandú ☕"},
    }


def test_a_signature_is_the_one_that_the_specification_gives_as_its_example():
    """The vector of its reference implementations."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    moment = datetime.fromtimestamp(1_614_265_330, UTC)
    signed = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", '{"test": 2432232314}', [secret], moment
    )
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signed["webhook-timestamp"] == "1614265330"


def test_headers_are_those_of_the_specification_and_what_http_needs():
    signed = headers(new_secret())
    assert list(signed) == [
        "Content-Type",
        "User-Agent",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    ]
    assert signed["Content-Type"] == "application/json"
    assert signed["webhook-id"] == "evt_17"
    assert re.fullmatch(r"\d{10}", signed["webhook-timestamp"])


def test_while_a_secret_is_changed_both_are_accepted_and_no_third():
    old, new, other = (new_secret() for _ in range(3))
    signed = headers(new, old)
    for secret in (old, new):
        assert Webhook(secret).verify(PAYLOAD.encode(), signed)
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(PAYLOAD.encode(), signed)


def test_a_word_more_another_id_or_another_time_is_no_longer_signed():
    secret = new_secret()
    signed = headers(secret)
    later = str(int(signed["webhook-timestamp"]) + 1)
    for payload, changed in (
        (PAYLOAD + " ", signed),
        (PAYLOAD, {**signed, "webhook-id": "evt_18"}),
        (PAYLOAD, {**signed, "webhook-timestamp": later}),
    ):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(payload.encode(), changed)


def test_what_was_sent_long_ago_cannot_be_played_again():
    secret = new_secret()
    signed = headers(secret, now=utc_now() - timedelta(minutes=6))
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(secret).verify(PAYLOAD.encode(), signed)


def test_a_secret_is_256_random_bits_as_the_specification_writes_them():
    secrets = {new_secret() for _ in range(50)}
    assert len(secrets) == 50
    for secret in secrets:
        assert secret.startswith("whsec_")
        assert 24 <= len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) <= 64
