"""Looking at an address as a stranger would, against real sockets."""

import socket
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from daraja_fakes import read_request, send_response

from app.integrations.outside import (
    BadCertificate,
    CertificateFault,
    Outside,
    Trouble,
    Unreached,
)
from tests.certificates import Authority

NOBODY = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def outside(authority) -> Outside:
    return Outside(timeout_seconds=1, ssl_context=authority.client_context)


@pytest.fixture
def serve_tls(serve):
    """A server at https://localhost with this certificate."""

    def start(issued):
        def behave(server, connection):
            with issued.server_context.wrap_socket(connection, server_side=True) as secured:
                if secured.recv(65_536):  # who looks at the certificate alone sends nothing
                    send_response(secured, "200 OK", b"secure")

        return f"https://localhost:{serve(behave).port}"

    return start


def trouble_of(outside, url, **options) -> Trouble:
    with pytest.raises(Unreached) as caught:
        outside.look("GET", url, **options)
    assert "\n" not in caught.value.detail
    return caught.value.trouble


def test_one_request_is_sent_as_it_is_and_answered_as_it_is(serve, outside):
    seen = []

    def behave(_server, connection):
        seen.append(read_request(connection))
        send_response(
            connection, "404 Not Found", b'{"code": "x"}', "Content-Type: Text/HTML; charset=x"
        )

    url = serve(behave).url
    sight = outside.look("POST", f"{url}/a/b?c", headers={"X-Own": "1"}, content=b"body")
    ((head, body),) = seen
    assert head.startswith(b"POST /a/b?c HTTP/1.1\r\n")
    assert b"X-Own: 1" in head
    assert b"User-Agent: sokoni-doctor" in head
    assert b"Cookie" not in head
    assert body == b"body"
    assert (sight.status, sight.body, sight.kind) == (404, b'{"code": "x"}', "text/html")
    assert sight.is_redirect is False
    assert sight.seconds >= 0


def test_a_redirect_is_shown_and_not_followed(serve, outside):
    def behave(_server, connection):
        read_request(connection)
        send_response(connection, "301 Moved", b"", f"Location: {NOBODY}/")

    server = serve(behave)
    sight = outside.look("GET", server.url)
    assert (sight.is_redirect, sight.headers["location"]) == (True, f"{NOBODY}/")
    assert server.connections == 1


def test_a_proxy_of_the_environment_is_passed_by(serve, outside, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, NOBODY)

    def behave(_server, connection):
        read_request(connection)
        send_response(connection, "200 OK", b"here")

    assert outside.look("GET", serve(behave).url).body == b"here"


def test_an_endless_body_is_cut(serve, outside):
    def behave(server, connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not server.stopped.is_set():
            connection.sendall(b"x" * 65_536)

    sight = outside.look("GET", serve(behave).url)
    assert sight.body == b"x" * 65_536


def test_why_there_is_no_answer_is_told_in_a_word(serve, outside):
    assert trouble_of(outside, NOBODY) is Trouble.REFUSED
    assert trouble_of(outside, "http://no-such-host.invalid/") is Trouble.NAME
    assert trouble_of(outside, "http://[::1/") is Trouble.BROKEN
    hang_up = serve(lambda _server, _connection: None)
    assert trouble_of(outside, hang_up.url) is Trouble.BROKEN

    def say_nothing(server, connection):
        read_request(connection)
        server.stopped.wait(10)

    assert trouble_of(outside, serve(say_nothing).url) is Trouble.LATE

    def speak_nonsense(_server, connection):
        read_request(connection)
        connection.sendall(b"220 smtp ready\r\n")

    assert trouble_of(outside, serve(speak_nonsense).url) is Trouble.BROKEN


def test_names_are_resolved_each_address_once(outside):
    assert "127.0.0.1" in outside.resolve("localhost")
    assert len(outside.resolve("127.0.0.1")) == 1
    for name in ("no-such-host.invalid", "", "a" * 70, "-.-"):
        with pytest.raises(Unreached) as caught:
            outside.resolve(name)
        assert caught.value.trouble is Trouble.NAME


def test_a_certificate_is_read_to_its_last_day(serve_tls, outside, authority):
    url = serve_tls(authority.issue("localhost", last_day=20))
    assert outside.look("GET", url).body == b"secure"
    ends_at = outside.certificate_ends_at("localhost", int(url.rpartition(":")[2]))
    left = ends_at - datetime.now(UTC)
    assert timedelta(days=19, hours=23) < left <= timedelta(days=20)


@pytest.mark.parametrize(
    ("name", "life", "fault"),
    [
        ("localhost", {"last_day": -0.5}, CertificateFault.EXPIRED),
        ("localhost", {"first_day": 2}, CertificateFault.NOT_YET_VALID),
        ("duka.co.ke", {}, CertificateFault.OTHER_NAME),
    ],
)
def test_what_is_wrong_with_a_certificate_is_told_in_a_word(
    serve_tls, outside, authority, name, life, fault
):
    url = serve_tls(authority.issue(name, **life))
    with pytest.raises(BadCertificate) as caught:
        outside.certificate_ends_at("localhost", int(url.rpartition(":")[2]))
    assert caught.value.fault is fault
    assert trouble_of(outside, url) is Trouble.CERTIFICATE


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("A stranger", CertificateFault.UNKNOWN_ISSUER),
        ("Authority of a test", CertificateFault.OTHER),  # an impostor
    ],
)
def test_a_certificate_of_another_authority_is_not_accepted(
    serve_tls, authority, tmp_path, name, fault
):
    stranger = Authority(tmp_path, name)
    url = serve_tls(stranger.issue("localhost"))
    outside = Outside(timeout_seconds=1, ssl_context=authority.client_context)
    with pytest.raises(BadCertificate) as caught:
        outside.certificate_ends_at("localhost", int(url.rpartition(":")[2]))
    assert caught.value.fault is fault


def test_without_a_connection_there_is_no_certificate(serve, outside):
    with pytest.raises(Unreached) as caught:
        outside.certificate_ends_at("127.0.0.1", 1)
    assert caught.value.trouble is Trouble.REFUSED

    def speak_plainly(_server, connection):
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with pytest.raises(Unreached) as caught:
        outside.certificate_ends_at("localhost", serve(speak_plainly).port)
    assert caught.value.trouble is Trouble.BROKEN


def test_the_certificates_that_are_trusted_are_those_of_the_system():
    context = Outside()._context
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname is True


def test_the_loopback_has_a_name():
    """What the tests above stand on."""
    assert socket.gethostbyname("localhost") == "127.0.0.1"
