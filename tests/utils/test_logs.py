"""What leaves through the log, and what never does."""

import json
import logging
import time

import pytest
import structlog

from app.utils.logs import REDACTED, Scrubber, configure_logging
from tests.controllers.callers import NEW_ACCOUNT, bearer, signed_in
from tests.factories import PASSWORD, make_user

OUR_SECRET = "our-own-secret-0123456789"


@pytest.fixture
def lines(capsys):
    """The log so far, one object a line."""
    configure_logging(level="INFO", as_json=True, secrets=[OUR_SECRET])
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("call 0712345678 now", "call 2547****678 now"),
        ("+254712345678", "2547****678"),
        ("254 112 345 678", "2541****678"),
        (254712345678, "2547****678"),
        ("id 1712345678901", "id 1712345678901"),
        (712345678, 712345678),
        (150_000_000, 150_000_000),
        ("POST /api/pay/cb/17.s3cr3t-Token_x HTTP", f"POST /api/pay/cb/{REDACTED} HTTP"),
        ("POST /api/pay/c2b/confirm/00ff HTTP", f"POST /api/pay/c2b/confirm/{REDACTED} HTTP"),
        ("https://x.y/api/pay/c2b/validate/00ff/", f"https://x.y/api/pay/c2b/validate/{REDACTED}"),
        ("POST /api/pay/result/17.5ec HTTP", f"POST /api/pay/result/{REDACTED} HTTP"),
        ("POST /api/pay/timeout/17.5ec HTTP", f"POST /api/pay/timeout/{REDACTED} HTTP"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer " + REDACTED),
        ("got eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl", f"got {REDACTED}"),
        ("signed with whsec_MfKQ9r8GKYqr+jUPD8/ILP= here", f"signed with {REDACTED} here"),
        ("scrypt:32768:8:1$salt$00ff", REDACTED),
        ('{"password": "hunter2", "a": 1}', f'{{"password": "{REDACTED}", "a": 1}}'),
        ("consumer_secret=abc&x=1", f"consumer_secret={REDACTED}&x=1"),
        ("postgresql://shop:hunter2@db/x", f"postgresql://shop:{REDACTED}@db/x"),
        (f"key {OUR_SECRET}", f"key {REDACTED}"),
        (b"bytes 0712345678", "bytes 2547****678"),
        (["0712345678", {"pin_token": "x"}], ["2547****678", {"pin_token": REDACTED}]),
        (None, None),
        (True, True),
        (1.5, 1.5),
    ],
)
def test_a_value_is_scrubbed_wherever_it_stands(value, shown):
    scrubber = Scrubber([OUR_SECRET])
    assert scrubber(None, "info", {"event": "x", "value": value})["value"] == shown


@pytest.mark.parametrize(
    "name", ["password", "new_password", "access_token", "Authorization", "passkey", "api_key"]
)
def test_what_is_called_a_secret_is_not_shown(name):
    assert Scrubber()(None, "info", {name: "plain"}) == {name: REDACTED}


def test_libraries_and_tracebacks_pass_the_same_gate(lines):
    logging.getLogger("library").warning("calling %s", "0712345678")
    try:
        int(f"secret {OUR_SECRET} for 0712345678")
    except ValueError:
        structlog.get_logger("ours").exception("bug", token="abc")
    first, second = lines()
    assert first["event"] == "calling 2547****678"
    assert first["level"] == "warning"
    assert second["token"] == REDACTED
    assert second["exception"].endswith(f"'secret {REDACTED} for 2547****678'")
    assert OUR_SECRET not in json.dumps(second)


def test_below_the_level_nothing_is_written(lines):
    structlog.get_logger("ours").debug("detail")
    assert lines() == []


@pytest.mark.parametrize(
    "repeated",
    [
        "x",
        "token",
        "password",
        "eyJ",
        "eyJaaaaa.",
        "scrypt:",
        "argon2",
        "://a:",
        "token ",
        "_",
        "07",
    ],
)
def test_no_text_that_a_caller_chooses_makes_the_log_slow(repeated):
    """A path of 4,000 letters once held a process for minutes."""
    text = (repeated * 60_000)[:60_000]
    began = time.process_time()
    Scrubber().scrub(text)
    assert time.process_time() - began < 1


def test_a_request_is_one_line_with_its_id(client, capsys):
    capsys.readouterr()
    client.get("/api/nothing?secret=canary-query", headers={"X-Request-Id": "request-0001"})
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert line.pop("duration_ms") >= 0
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "request",
        "level": "info",
        "logger": "sokoni.access",
        "method": "GET",
        "path": "/api/nothing",
        "status": 404,
        "code": "not_found",
        "remote_addr": "127.0.0.1",
        "request_id": "request-0001",
    }


def test_a_signed_in_request_names_its_user(client, database, capsys):
    with database.transaction() as session:
        user = make_user(session)
    tokens = signed_in(client, user)
    capsys.readouterr()
    client.get("/api/profile", headers=bearer(tokens))
    (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert line["user_id"] == user.id


def test_no_canary_sings_in_the_log(client, database, capsys):
    """Everything secret that a request may carry, sent in every place that it may stand in."""
    canaries = ["canary-password-1", "canary-callback-1", "canary-refresh-1", "0798765432"]
    client.post("/api/register", json={**NEW_ACCOUNT, "phone_number": "0798765432"})
    client.post("/api/login", json={"username": "amina", "password": "canary-password-1"})
    tokens = client.post("/api/login", json={"username": "amina", "password": PASSWORD}).get_json()
    client.get("/api/profile", headers=bearer(tokens))
    client.post("/api/refresh", headers=bearer("canary-refresh-1.x.y"))
    for door in ("cb", "result", "timeout"):
        client.post(f"/api/pay/{door}/1.canary-callback-1", json={})
    client.get("/api/nothing?password=canary-password-1")
    log = capsys.readouterr().err
    canaries += [tokens["access_token"], tokens["refresh_token"], PASSWORD, "254798765432"]
    assert [canary for canary in canaries if canary in log] == []
    for door in ("cb", "result", "timeout"):
        assert f'"path":"/api/pay/{door}/{REDACTED}"' in log
