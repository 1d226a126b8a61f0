import threading

import httpx2
import pytest
from daraja_fakes import (
    ACCEPTED,
    CHECKOUT_ID,
    FakeDaraja,
    Moment,
    ask,
    client_of,
    envelope,
    store_with_token,
)

from app.integrations.mpesa import CircuitBreaker, MpesaError, MpesaUnavailable
from app.ports import Verdict


def opened(moment):
    breaker = CircuitBreaker(failures=5, pause_seconds=30, monotonic=moment.monotonic)
    for _ in range(5):
        assert breaker.enter() == 0
        breaker.report_failure()
    return breaker


def test_it_opens_at_the_fifth_failure_in_a_row():
    breaker = CircuitBreaker()
    for _ in range(4):
        breaker.report_failure()
    breaker.report_success()
    for _ in range(4):
        breaker.report_failure()
    assert breaker.enter() == 0
    breaker.report_failure()
    assert breaker.enter() == pytest.approx(30, abs=1)


def test_after_its_pause_it_lets_one_try_through():
    moment = Moment()
    breaker = opened(moment)
    moment.move(29)
    assert breaker.enter() == 1
    moment.move(1)
    entered = []
    threads = [
        threading.Thread(target=lambda: entered.append(breaker.enter() == 0)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(entered) == [False] * 7 + [True]


def test_a_try_that_works_closes_it():
    moment = Moment()
    breaker = opened(moment)
    moment.move(30)
    assert breaker.enter() == 0
    breaker.report_success()
    assert [breaker.enter() for _ in range(3)] == [0, 0, 0]
    breaker.report_failure()
    assert breaker.enter() == 0


def test_a_try_that_fails_opens_it_for_as_long_again():
    moment = Moment()
    breaker = opened(moment)
    moment.move(30)
    assert breaker.enter() == 0
    moment.move(5)
    breaker.report_failure()
    moment.move(29)
    assert breaker.enter() == 1


def test_a_try_that_never_reports_does_not_close_the_door_for_ever():
    moment = Moment()
    breaker = opened(moment)
    moment.move(30)
    assert breaker.enter() == 0
    moment.move(30)
    assert breaker.enter() == 0


@pytest.mark.parametrize(
    "trouble",
    [
        httpx2.ConnectError("refused"),
        httpx2.ReadTimeout("silence"),
        (502, b"<html>"),
        (200, b"<html>"),
        (302, b""),
        (200, b"x" * 70_000),
    ],
)
def test_the_client_stops_sending_to_a_gateway_that_is_down_and_tries_again(trouble):
    moment = Moment()
    fake = FakeDaraja(*[trouble] * 5, (200, ACCEPTED))
    client = client_of(fake, moment=moment, tokens=store_with_token())
    for _ in range(5):
        with pytest.raises(MpesaError):
            client.push(ask())
    with pytest.raises(MpesaUnavailable) as caught:
        client.push(ask())
    assert caught.value.certain is True
    assert caught.value.retry_after_seconds == 31
    assert client.query(CHECKOUT_ID).verdict is Verdict.NONE
    assert len(fake.requests) == 5
    moment.move(30)
    assert client.push(ask()).checkout_request_id == CHECKOUT_ID
    assert client.push(ask()).checkout_request_id == CHECKOUT_ID


@pytest.mark.parametrize(
    "refusal",
    [
        (400, envelope("400.002.02", "Bad Request - Invalid Amount")),
        (400, b""),
        (500, envelope("500.001.1001", "Unable to lock subscriber")),
        (500, envelope("500.003.1001", "Internal")),
    ],
)
def test_a_gateway_that_refuses_is_not_down(refusal):
    fake = FakeDaraja(refusal)
    client = client_of(fake)
    for _ in range(12):
        with pytest.raises(MpesaError):
            client.push(ask())
    assert len(fake.requests) == 12
