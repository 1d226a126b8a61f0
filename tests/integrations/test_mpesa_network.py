"""The client against a real socket whose other side misbehaves."""

import gzip
import json
import logging
import shutil
import socket
import ssl
import subprocess
import threading
import time
import tracemalloc
import zlib

import pytest
from daraja_fakes import (
    ACCEPTED,
    CHECKOUT_ID,
    TOKEN,
    ask,
    read_request,
    send_response,
    settings,
    store_with_token,
)

from app.integrations.deadline_transport import DeadlineTransport
from app.integrations.mpesa import (
    DarajaClient,
    MemoryTokenStore,
    MpesaError,
    MpesaRefused,
    MpesaUnavailable,
    MpesaUncertain,
)
from app.ports import Verdict
from app.utils.clock import utc_now

SOUND = json.dumps(ACCEPTED).encode()


def assert_uncertain(client, match):
    with pytest.raises(MpesaUncertain, match=match) as caught:
        client.push(ask())
    assert caught.value.certain is False
    assert TOKEN not in f"{caught.value} {caught.value!r}"


def test_a_sound_exchange_uses_one_connection_and_keeps_none(serve, connect):
    heads = []

    def behave(server, connection):
        head, body = read_request(connection)
        heads.append(head)
        assert json.loads(body)["Amount"] == 1500
        send_response(connection, "200 OK", SOUND)
        assert connection.recv(1) == b""  # the client hangs up first

    server = serve(behave)
    client = connect(server.url)
    assert client.push(ask()).checkout_request_id == CHECKOUT_ID
    assert client.push(ask()).checkout_request_id == CHECKOUT_ID
    assert server.connections == 2
    assert heads[0].startswith(b"POST /mpesa/stkpush/v1/processrequest HTTP/1.1\r\n")


def test_a_connection_cut_after_the_request_leaves_the_outcome_open(serve, connect):
    server = serve(lambda _server, connection: read_request(connection))
    assert_uncertain(connect(server.url), "No answer")
    assert server.connections == 1


def test_a_reset_after_the_request_leaves_the_outcome_open(serve, connect):
    def behave(server, connection):
        read_request(connection)
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    server = serve(behave)
    assert_uncertain(connect(server.url), "No answer: ReadError")
    assert server.connections == 1


def test_a_body_cut_short_leaves_the_outcome_open(serve, connect):
    def behave(server, connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + SOUND)

    assert_uncertain(connect(serve(behave).url), "No answer: RemoteProtocolError")


@pytest.mark.fault("F12")
def test_silence_ends_at_the_read_timeout(serve, connect):
    def behave(server, connection):
        read_request(connection)
        connection.recv(1)

    started = time.monotonic()
    assert_uncertain(connect(serve(behave).url), "No answer: ReadTimeout")
    assert 0.3 < time.monotonic() - started < 20


@pytest.mark.fault("F12")
def test_a_connection_that_is_never_accepted_is_silence_too(connect):
    with socket.create_server(("127.0.0.1", 0), backlog=1) as listener:
        client = connect(f"http://127.0.0.1:{listener.getsockname()[1]}")
        assert_uncertain(client, "No answer: ReadTimeout")


@pytest.mark.fault("F12")
@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"])
def test_a_slow_drip_ends_at_the_deadline(serve, connect, head):
    def behave(server, connection):
        read_request(connection)
        connection.sendall(head)
        for byte in b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" * 2:
            if server.stopped.wait(0.05):
                return
            connection.sendall(bytes([byte]))

    started = time.monotonic()
    assert_uncertain(connect(serve(behave).url), "No answer: ReadTimeout")
    assert 0.7 < time.monotonic() - started < 20


def test_after_the_deadline_nothing_more_is_read(serve):
    times = iter([0.0, 0.1, 0.1, 0.1])  # the connection, the head, the body, the first read

    def behave(server, connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        connection.recv(1)

    server = serve(behave)
    with DeadlineTransport(
        total_timeout_seconds=5,
        max_connections=1,
        ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        monotonic=lambda: next(times, 5.0),
    ) as transport:
        client = DarajaClient(settings(base_url=server.url), store_with_token(), utc_now, transport)
        assert_uncertain(client, "the deadline of the whole exchange has passed")


def test_no_log_holds_a_token_or_a_key(serve, connect, caplog):
    caplog.set_level(logging.DEBUG)

    def behave(server, connection):
        head, _ = read_request(connection)
        granted = {"access_token": f"{TOKEN}9", "expires_in": "3599"}
        is_grant = head.startswith(b"GET")
        send_response(connection, "200 OK", json.dumps(granted).encode() if is_grant else SOUND)

    server = serve(behave)
    with DarajaClient(settings(base_url=server.url), MemoryTokenStore(), utc_now) as client:
        client.push(ask())
    assert server.connections == 2
    assert "receive_response_body" in caplog.text
    for secret in (TOKEN, "of-ours", "a2V5LW9mLW91cnM", "254712345678"):
        assert secret not in caplog.text


def test_attack_103_an_oversize_body_is_not_read_to_its_end(serve, connect):
    sent = []

    def behave(server, connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        for _ in range(50):
            connection.sendall(b" " * 1_000_000)
            sent.append(1)

    assert_uncertain(connect(serve(behave).url), "HTTP 200: a body beyond all bounds")
    assert len(sent) < 50


@pytest.mark.parametrize(
    ("encoding", "bomb"),
    [
        ("gzip", gzip.compress(b" " * 50_000_000)),
        ("deflate", zlib.compress(b" " * 50_000_000)),
    ],
)
def test_attack_103_a_compression_bomb_does_not_unfold(serve, connect, encoding, bomb):
    def behave(server, connection):
        read_request(connection)
        send_response(connection, "200 OK", bomb, f"Content-Encoding: {encoding}")

    client = connect(serve(behave).url, read_timeout_seconds=2, total_timeout_seconds=4)
    assert len(bomb) < 65_536
    tracemalloc.start()
    try:
        assert_uncertain(client, "HTTP 200: a body beyond all bounds")
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 8_000_000


def test_a_modest_compressed_answer_is_read_though_not_asked_for(serve, connect):
    def behave(server, connection):
        read_request(connection)
        send_response(connection, "200 OK", gzip.compress(SOUND), "Content-Encoding: gzip")

    assert connect(serve(behave).url).push(ask()).checkout_request_id == CHECKOUT_ID


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "nonsense"])
def test_other_encodings_are_not_tried(serve, connect, encoding):
    def behave(server, connection):
        read_request(connection)
        send_response(connection, "200 OK", SOUND, f"Content-Encoding: {encoding}")

    assert_uncertain(connect(serve(behave).url), "an encoding that we did not ask for")


def test_broken_compression_leaves_the_outcome_open(serve, connect):
    def behave(server, connection):
        read_request(connection)
        send_response(connection, "200 OK", SOUND, "Content-Encoding: gzip")

    assert_uncertain(connect(serve(behave).url), "No answer: DecodingError")


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Again", "308 There"])
def test_attack_103_a_redirect_is_not_followed(serve, connect, status):
    def behave(server, connection):
        read_request(connection)
        send_response(connection, status, SOUND, f"Location: {server.url}/elsewhere")

    server = serve(behave)
    assert_uncertain(connect(server.url), "a redirect, which we do not follow")
    assert server.connections == 1


def test_headers_without_end_are_cut(serve, connect):
    def behave(server, connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for _ in range(1000):
            connection.sendall(b"X: " + b"x" * 5000 + b"\r\n")

    assert_uncertain(connect(serve(behave).url), "No answer: RemoteProtocolError")


@pytest.mark.parametrize("noise", [b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"\x00" * 64, b"\r\n" * 40])
def test_another_protocol_leaves_the_outcome_open(serve, connect, noise):
    def behave(server, connection):
        read_request(connection)
        connection.sendall(noise)

    assert_uncertain(connect(serve(behave).url), "No answer")


def test_a_long_refusal_is_still_a_refusal(serve, connect):
    def behave(server, connection):
        read_request(connection)
        send_response(connection, "403 Forbidden", b"<html>" * 20_000)

    with pytest.raises(MpesaRefused) as caught:
        connect(serve(behave).url).push(ask())
    assert caught.value.certain is True


@pytest.mark.fault("F11")
def test_a_refused_connection_is_certain_and_no_verdict(connect):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = connect(f"http://127.0.0.1:{port}")
    with pytest.raises(MpesaUnavailable, match="Not sent: ConnectError") as caught:
        client.push(ask())
    assert caught.value.certain is True
    assert caught.value.retry_after_seconds == 30
    assert client.query(CHECKOUT_ID).verdict is Verdict.NONE


def test_a_pool_with_no_place_left_is_certain(serve, connect):
    entered = threading.Event()

    def behave(server, connection):
        read_request(connection)
        entered.set()
        connection.recv(1)

    client = connect(serve(behave).url, max_connections=1, connect_timeout_seconds=0.1)
    outcomes = []

    def push():
        try:
            client.push(ask())
        except MpesaError as error:
            outcomes.append((type(error), error.certain))

    first = threading.Thread(target=push)
    first.start()
    assert entered.wait(2)
    push()
    first.join()
    assert outcomes == [(MpesaUnavailable, True), (MpesaUncertain, False)]


@pytest.fixture(scope="module")
def strangers_certificate(tmp_path_factory):
    """A certificate that nobody has vouched for."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj /CN=Stranger -addext subjectAltName=IP:127.0.0.1 "
        f"-keyout {folder}/key.pem -out {folder}/certificate.pem",
        shell=True,
        check=True,
        capture_output=True,
    )
    return folder / "certificate.pem", folder / "key.pem"


def serve_tls(serve, certificate, behave):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)

    def behave_in_tls(server, connection):
        with context.wrap_socket(connection, server_side=True) as secured:
            behave(server, secured)

    return serve(behave_in_tls).url.replace("http://", "https://")


@pytest.mark.fault("F11")
def test_attack_103_a_strangers_certificate_gets_no_request(serve, connect, strangers_certificate):
    received = []
    url = serve_tls(
        serve, strangers_certificate, lambda _server, tls: received.append(tls.recv(65536))
    )
    with pytest.raises(MpesaUnavailable, match="Not sent: ConnectError") as caught:
        connect(url).push(ask())
    assert caught.value.certain is True
    assert b"".join(received) == b""


def answer_soundly(_server, tls):
    read_request(tls)
    send_response(tls, "200 OK", SOUND)


def test_a_trusted_certificate_of_that_name_is_spoken_to(
    serve, connect, strangers_certificate, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(strangers_certificate[0]))
    url = serve_tls(serve, strangers_certificate, answer_soundly)
    assert connect(url).push(ask()).checkout_request_id == CHECKOUT_ID


def test_a_trusted_certificate_of_another_name_gets_no_request(
    serve, connect, strangers_certificate, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(strangers_certificate[0]))
    url = serve_tls(serve, strangers_certificate, answer_soundly)
    with pytest.raises(MpesaUnavailable, match="Not sent: ConnectError"):
        connect(url.replace("127.0.0.1", "localhost")).push(ask())


def test_a_proxy_of_the_environment_is_not_used(serve, connect, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert connect(serve(answer_soundly).url).push(ask()).checkout_request_id == CHECKOUT_ID
