import base64
import threading
from datetime import timedelta

import httpx2
import pytest
from daraja_fakes import (
    ACCEPTED,
    CHECKOUT_ID,
    NOON,
    TOKEN,
    FakeDaraja,
    Moment,
    ask,
    client_of,
    envelope,
    settings,
)

from app.integrations.mpesa import (
    DarajaClient,
    MemoryTokenStore,
    MpesaBusy,
    MpesaError,
    MpesaMisconfigured,
    MpesaRefused,
    MpesaUnavailable,
)
from app.ports import AccessToken, Verdict
from app.utils.clock import utc_now

INVALID_TOKEN = (404, envelope("404.001.03", "Invalid Access Token"))


def token_answer(**changes):
    return 200, {"access_token": "a-token-of-theirs", "expires_in": "3599", **changes}


def test_a_token_is_asked_for_with_basic_auth_and_used_again():
    fake, store = FakeDaraja(), MemoryTokenStore()
    client = client_of(fake, tokens=store)
    client.push(ask())
    client.push(ask())
    (request,) = fake.token_requests
    assert request.method == "GET"
    url = "https://daraja.example/oauth/v1/generate?grant_type=client_credentials"
    assert str(request.url) == url
    keys = base64.b64encode(b"key-of-ours:secret-of-ours").decode()
    assert request.headers["Authorization"] == f"Basic {keys}"
    assert request.content == b""
    assert store.read() == AccessToken(f"{TOKEN}1", NOON + timedelta(seconds=3539))


@pytest.mark.parametrize(
    ("expires_in", "usable_seconds"),
    [
        ("3599", 3539),
        (3599, 3539),
        (" 3599 ", 3539),
        (86400, 3540),
        (121, 61),
        (120, 60),
        (40, 20),
        (0, 0),
        (None, 60),
        ("soon", 60),
        (-5, 60),
        (True, 60),
        (3599.0, 60),
        ({}, 60),
        ("9" * 400, 60),
    ],
)
def test_a_token_is_replaced_a_minute_early_whatever_form_its_life_has(expires_in, usable_seconds):
    fake = FakeDaraja(tokens=[token_answer(expires_in=expires_in)])
    store = MemoryTokenStore()
    client_of(fake, tokens=store).push(ask())
    assert store.read().expires_at == NOON + timedelta(seconds=usable_seconds)


def test_a_token_that_is_due_is_replaced():
    fake, moment = FakeDaraja(), Moment()
    client = client_of(fake, moment=moment)
    client.push(ask())
    moment.move(3538)
    client.push(ask())
    assert len(fake.token_requests) == 1
    moment.move(1)
    client.push(ask())
    assert len(fake.token_requests) == 2
    assert fake.requests[2].headers["Authorization"] == f"Bearer {TOKEN}2"


@pytest.mark.fault("F13")
@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (
            (400, envelope("400.008.01", "Invalid Authentication passed")),
            MpesaMisconfigured,
            "400.008.01",
        ),
        (
            (400, envelope("400.008.02", "Invalid grant type passed")),
            MpesaMisconfigured,
            "400.008.02",
        ),
        ((400, b""), MpesaMisconfigured, None),
        ((401, envelope("401.002.01", "Invalid credentials")), MpesaMisconfigured, "401.002.01"),
        ((401, b"<html>"), MpesaMisconfigured, None),
        ((404, b"not here"), MpesaMisconfigured, None),
        (
            (200, envelope("400.008.01", "Invalid Authentication passed")),
            MpesaMisconfigured,
            "400.008.01",
        ),
        ((429, b""), MpesaBusy, None),
        ((500, envelope("500.003.02", "Spike Arrest Violation")), MpesaBusy, "500.003.02"),
        ((400, b"<html>"), MpesaUnavailable, None),
        ((403, b"<html>"), MpesaUnavailable, None),
        ((500, envelope("500.003.1001", "Internal")), MpesaUnavailable, "500.003.1001"),
        ((503, b"<html>"), MpesaUnavailable, None),
        ((302, b""), MpesaUnavailable, None),
        ((200, b"<html>"), MpesaUnavailable, None),
        ((200, b"[]"), MpesaUnavailable, None),
        ((200, {"expires_in": "3599"}), MpesaUnavailable, None),
        (token_answer(access_token=""), MpesaUnavailable, None),
        (token_answer(access_token=7), MpesaUnavailable, None),
        (token_answer(access_token="a\r\nX: y"), MpesaUnavailable, None),
        (token_answer(access_token="a b"), MpesaUnavailable, None),
        (token_answer(access_token="é"), MpesaUnavailable, None),
        (httpx2.ConnectError("refused"), MpesaUnavailable, None),
        (httpx2.ReadTimeout("silence"), MpesaUnavailable, None),
        (httpx2.RemoteProtocolError("cut"), MpesaUnavailable, None),
    ],
)
def test_without_a_token_nothing_is_sent_and_that_is_certain(answer, kind, code):
    fake = FakeDaraja(tokens=[answer])
    with pytest.raises(MpesaError) as caught:
        client_of(fake).push(ask())
    assert type(caught.value) is kind
    assert caught.value.certain is True
    assert caught.value.code == code
    assert fake.requests == []
    assert len(fake.token_requests) == 1


def test_a_failed_fetch_keeps_nobody_waiting():
    moment = Moment()
    fake = FakeDaraja(tokens=[(503, b""), token_answer()])
    client = client_of(fake, moment=moment)
    with pytest.raises(MpesaUnavailable):
        client.push(ask())
    client.push(ask())
    assert moment.seconds == 1000.0
    assert len(fake.token_requests) == 2


def test_a_failed_fetch_that_outlived_its_claim_overwrites_nothing():
    moment, store = Moment(), MemoryTokenStore()

    class Slow(FakeDaraja):
        def __call__(self, request):
            moment.move(100)
            store.write(AccessToken("of-another-process", NOON + timedelta(hours=2)))
            return super().__call__(request)

    with pytest.raises(MpesaUnavailable):
        client_of(Slow(tokens=[(503, b"")]), moment=moment, tokens=store).push(ask())
    assert store.read().value == "of-another-process"


@pytest.mark.parametrize(
    "refusal",
    [
        INVALID_TOKEN,
        (401, envelope("401.002.01", f"Error Occurred - Invalid Access Token - {TOKEN}1")),
        (401, envelope("401.003.01", "Error Occurred - Invalid Access Token - no apiproduct")),
        (400, envelope("400.003.01", "Invalid access token")),
        (401, envelope("401.001", "Invalid Access Token")),
        (200, envelope("404.001.03", "Invalid Access Token")),
        (401, {"fault": {"faultstring": "Invalid Access Token", "detail": {"errorcode": "x"}}}),
    ],
)
def test_a_refused_token_is_replaced_and_the_push_sent_once_more(refusal):
    fake = FakeDaraja(refusal, (200, ACCEPTED))
    assert client_of(fake).push(ask()).checkout_request_id == CHECKOUT_ID
    assert len(fake.token_requests) == 2
    assert [request.headers["Authorization"] for request in fake.requests] == [
        f"Bearer {TOKEN}1",
        f"Bearer {TOKEN}2",
    ]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("404.001.03", MpesaUnavailable),
        ("401.002.01", MpesaUnavailable),
        ("401.003.01", MpesaMisconfigured),
        ("401.001", MpesaMisconfigured),
    ],
)
def test_a_fresh_token_that_is_refused_too_ends_it(code, kind):
    text = f"Error Occurred - Invalid Access Token - {TOKEN}2"
    fake, store = FakeDaraja((401, envelope(code, text))), MemoryTokenStore()
    with pytest.raises(MpesaError) as caught:
        client_of(fake, tokens=store).push(ask())
    assert type(caught.value) is kind
    assert caught.value.certain is True
    assert len(fake.requests) == 2
    assert len(fake.token_requests) == 2
    assert TOKEN not in f"{caught.value} {caught.value!r}"
    assert store.read() is None


def test_the_reason_for_a_missing_product_is_kept_while_an_echoed_token_is_not():
    text = "Error Occurred - Invalid Access Token - Invalid API call as no apiproduct match found"
    fake = FakeDaraja((401, envelope("401.003.01", text)))
    with pytest.raises(MpesaMisconfigured, match="no apiproduct match found"):
        client_of(fake).push(ask())

    old = "letters-only-token-of-old"
    text = f"Error Occurred - Invalid Access Token - {old}"
    fake = FakeDaraja((401, envelope("401.002.01", text)))
    with pytest.raises(MpesaUnavailable) as caught:
        client_of(fake).push(ask())
    assert old not in str(caught.value)


def test_a_push_whose_second_answer_is_lost_is_not_sent_a_third_time():
    fake = FakeDaraja(INVALID_TOKEN, httpx2.ReadTimeout("silence"))
    with pytest.raises(MpesaError) as caught:
        client_of(fake).push(ask())
    assert caught.value.certain is False
    assert len(fake.requests) == 2


def test_other_refusals_cost_no_token():
    fake = FakeDaraja((400, envelope("400.002.02", "Bad Request - Invalid Amount")))
    with pytest.raises(MpesaRefused):
        client_of(fake).push(ask())
    assert len(fake.token_requests) == 1
    assert len(fake.requests) == 1


def test_a_query_replaces_a_refused_token_too():
    ended = {"ResponseCode": "0", "CheckoutRequestID": CHECKOUT_ID, "ResultCode": "0"}
    fake = FakeDaraja(INVALID_TOKEN, (200, ended))
    assert client_of(fake).query(CHECKOUT_ID).verdict is Verdict.PAID
    assert len(fake.token_requests) == 2


@pytest.mark.fault("F13")
def test_eight_threads_fetch_one_token():
    fake, store = FakeDaraja(), MemoryTokenStore()
    fetching = threading.Event()

    def slowly(request):
        if request.url.path.startswith("/oauth"):
            fetching.wait(0.2)
        return fake(request)

    # Two clients that share a store stand for two processes.
    clients = [
        DarajaClient(settings(), store, utc_now, httpx2.MockTransport(slowly)) for _ in range(2)
    ]
    together, answers = threading.Barrier(8), []

    def push(client):
        together.wait()
        answers.append(client.push(ask()))

    threads = [threading.Thread(target=push, args=(clients[n % 2],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert len(fake.token_requests) == 1
    assert {request.headers["Authorization"] for request in fake.requests} == {f"Bearer {TOKEN}1"}


def test_eight_threads_replace_a_refused_token_once():
    good = f"Bearer {TOKEN}1"
    fake, store = FakeDaraja(), MemoryTokenStore()
    store.write(AccessToken("refused-everywhere", utc_now() + timedelta(hours=1)))
    together, answers = threading.Barrier(8), []

    def judge(request):
        if request.url.path.startswith("/oauth") or request.headers["Authorization"] == good:
            return fake(request)
        return httpx2.Response(404, json=envelope("404.001.03", "Invalid Access Token"))

    client = DarajaClient(settings(), store, utc_now, httpx2.MockTransport(judge))

    def push():
        together.wait()
        answers.append(client.push(ask()))

    threads = [threading.Thread(target=push) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert len(fake.token_requests) == 1


def test_whoever_waits_in_vain_for_anothers_token_fetches_one():
    moment = Moment()
    store = MemoryTokenStore(monotonic=lambda: 0.0)
    assert store.claim(1000)  # by a process that died; this claim never runs out
    fake = FakeDaraja()
    client_of(fake, moment=moment, tokens=store).push(ask())
    assert len(fake.token_requests) == 1
    assert moment.seconds == pytest.approx(1018, abs=0.1)


def test_a_token_written_between_look_and_claim_is_used():
    class Raced(MemoryTokenStore):
        def claim(self, lease_seconds):
            won = super().claim(lease_seconds)
            self._token = AccessToken("of-another-process", NOON + timedelta(hours=1))
            return won

    fake, store = FakeDaraja(), Raced()
    client_of(fake, tokens=store).push(ask())
    assert fake.token_requests == []
    assert fake.requests[0].headers["Authorization"] == "Bearer of-another-process"
    assert store.claim(1)  # and the claim is free again


def test_a_store_drops_only_the_token_that_is_named():
    store = MemoryTokenStore()
    store.drop("anything")
    token = AccessToken("new", NOON)
    store.write(token)
    store.drop("old")
    assert store.read() == token
    store.drop("new")
    assert store.read() is None


def test_a_claim_excludes_others_until_it_ends():
    moment = Moment()
    store = MemoryTokenStore(monotonic=moment.monotonic)
    assert store.claim(10)
    assert not store.claim(10)
    moment.move(10)
    assert store.claim(10)
    store.write(AccessToken("x", NOON))
    assert store.claim(10)
