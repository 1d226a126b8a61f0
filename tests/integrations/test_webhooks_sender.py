"""Webhooks over real sockets: where they go, what is sent, how little of an answer is believed."""

import json
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from daraja_fakes import read_request, send_response

from app.db import Database
from app.integrations.webhooks import HttpWebhooks
from app.integrations.webhooks.sender import LONGEST_ANSWER
from app.ports import WebhookRequest
from app.utils.web_address import CallRules

NAME = "hooks.example.co.ke"
PUBLIC = "102.130.1.2"
CERTIFICATE = Path(__file__).parent / "hooks_certificate.pem"
NOON = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
BODY = b'{"type":"test","timestamp":"2026-11-22T09:30:00Z","data":{"message":"Haba \xc3\xa9"}}'
HEADERS = {"Content-Type": "application/json", "webhook-id": "evt_1", "webhook-timestamp": "17"}
NOT_OPEN = "This host leads to a machine that not everybody can reach."


@pytest.fixture
def sender():
    """Makes senders; names lead to this machine unless told otherwise."""
    made = []

    def make(resolve=lambda _host, _port: ["127.0.0.1"], *, private=True, **options):
        rules = CallRules(allow_http=True, allow_private=private)
        options.setdefault("ssl_context", trusting())
        made.append(HttpWebhooks(rules, lambda: NOON, resolve=resolve, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def connections(monkeypatch):
    """Where a connection was opened to, from now on."""
    opened = []
    connect = socket.create_connection

    def recording(address, *arguments, **options):
        opened.append(address)
        return connect(address, *arguments, **options)

    monkeypatch.setattr(socket, "create_connection", recording)
    return opened


def trusting() -> ssl.SSLContext:
    """As a client that knows the test's own authority, and nobody else's."""
    return ssl.create_default_context(cafile=str(CERTIFICATE))


def ask(url: str) -> WebhookRequest:
    return WebhookRequest(url, HEADERS, BODY)


def answering(status_line: str, body: bytes = b"", *headers: str, seen: list | None = None):
    def behave(_server, connection):
        head, sent = read_request(connection)
        if seen is not None:
            seen.append((head.decode(), sent))
        send_response(connection, status_line, body, *headers)

    return behave


def test_what_is_sent_is_what_was_signed_byte_for_byte(serve, sender):
    seen = []
    server = serve(answering("204 No Content", seen=seen))
    answer = sender().send(ask(f"http://{NAME}:{server.port}/sokoni/hook?key=1"))

    assert (answer.status, answer.error, answer.text, answer.is_success) == (204, None, "", True)
    assert answer.duration_ms >= 0
    ((head, body),) = seen
    request_line, *lines = head.split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert request_line == "POST /sokoni/hook?key=1 HTTP/1.1"
    assert body == BODY
    assert headers["host"] == f"{NAME}:{server.port}"
    assert {name: headers[name.lower()] for name in HEADERS} == HEADERS
    assert headers["content-length"] == str(len(BODY))
    assert headers["accept-encoding"] == "identity"
    assert headers.keys().isdisjoint({"cookie", "authorization", "referer", "x-forwarded-for"})


@pytest.mark.parametrize(
    ("status_line", "status", "is_success"),
    [
        ("200 OK", 200, True),
        ("202 Accepted", 202, True),
        ("299 Whatever", 299, True),
        ("304 Not Modified", 304, False),
        ("400 Bad Request", 400, False),
        ("410 Gone", 410, False),
        ("500 Internal Server Error", 500, False),
    ],
)
def test_any_2xx_is_a_success_and_nothing_else(serve, sender, status_line, status, is_success):
    body = b"" if status == 304 else b"Said <b>so</b>\r\nand\x00more"
    server = serve(answering(status_line, body))
    answer = sender().send(ask(f"http://{NAME}:{server.port}/"))
    assert (answer.status, answer.is_success) == (status, is_success)
    assert answer.text == ("" if status == 304 else "Said <b>so</b>\nand\ufffdmore")


def test_attack_67_a_redirect_is_a_failure_and_is_not_followed(serve, sender, connections):
    inside = serve(answering("200 OK", b"secret"))
    server = serve(answering("307 Elsewhere", b"", f"Location: {inside.url}/admin"))
    answer = sender().send(ask(f"http://{NAME}:{server.port}/"))

    assert (answer.status, answer.is_success, answer.text) == (307, False, "")
    assert connections == [("127.0.0.1", server.port)]
    assert inside.connections == 0


INSIDE = [
    ["127.0.0.1"],
    ["::1"],
    ["10.0.0.7"],
    ["169.254.169.254"],
    ["100.64.0.1"],
    ["0.0.0.0"],
    ["fd00:ec2::254"],
    ["fe80::1%eth0"],
    ["::ffff:127.0.0.1"],
    ["::127.0.0.1"],
    ["64:ff9b::7f00:1"],
    ["2002:7f00:1::"],
    ["224.0.0.1"],
    ["255.255.255.255"],
    [PUBLIC, "127.0.0.1"],  # one of several is enough
    ["2606:4700::1111", "10.0.0.7", PUBLIC],
    [],
]


@pytest.mark.parametrize("addresses", INSIDE, ids=" ".join)
def test_attack_67_a_name_that_leads_inside_is_neither_taken_nor_called(
    sender, connections, addresses
):
    strict = sender(lambda _host, _port: addresses, private=False)
    with pytest.raises(ValueError, match=NOT_OPEN):
        strict.check(f"https://{NAME}/hook")
    answer = strict.send(ask(f"https://{NAME}/hook"))
    assert (answer.status, answer.error) == (None, NOT_OPEN)
    assert connections == []


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://localhost/",
        "https://localhost./",
        "http://127.0.0.1:5432/",
        f"https://{NAME}:5432/",
        f"https://{NAME}@127.0.0.1/",
        f"https://127.0.0.1\\@{NAME}/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_INFO",
    ],
)
def test_attack_67_an_address_that_says_so_itself_is_not_even_resolved(sender, connections, url):
    asked = []
    strict = sender(lambda host, port: asked.append((host, port)) or [PUBLIC], private=False)
    with pytest.raises(ValueError, match=r"\."):
        strict.check(url)
    answer = strict.send(ask(url))
    assert (answer.status, bool(answer.error)) == (None, True)
    assert (asked, connections) == ([], [])


def test_attack_67_a_name_that_answers_otherwise_the_second_time_is_not_called(sender, connections):
    answers = [[PUBLIC], ["127.0.0.1"]]
    strict = sender(lambda _host, _port: answers.pop(0), private=False)
    strict.check(f"https://{NAME}/hook")  # as when it was added
    answer = strict.send(ask(f"https://{NAME}/hook"))
    assert (answer.status, answer.error) == (None, NOT_OPEN)
    assert (answers, connections) == ([], [])


def test_attack_67_the_connection_goes_to_the_very_address_that_was_checked(
    serve, sender, connections
):
    """Rebinding between the look and the call: there is one look, and its answer is called."""
    asked = []
    server = serve(answering("200 OK"))

    def resolve(host, port):
        asked.append((host, port))
        return ["127.0.0.1"]

    answer = sender(resolve).send(ask(f"http://{NAME}:{server.port}/"))
    assert answer.status == 200
    assert asked == [(NAME, server.port)]
    assert connections == [("127.0.0.1", server.port)]


def test_attack_67_a_literal_address_that_a_resolver_reads_in_its_own_way_is_held_to_that(
    sender, connections
):
    """The real resolver takes 127.1; the text is refused before, and its answer would be."""
    for url in ("https://127.1/", "https://2130706433/"):
        strict = HttpWebhooks(CallRules(), lambda: NOON)
        with pytest.raises(ValueError, match="Name a host"):
            strict.check(url)
        with pytest.raises(Exception, match=NOT_OPEN):
            strict._open_addresses(url.removeprefix("https://").rstrip("/"), 443)
    assert connections == []


def test_no_proxy_of_the_environment_is_asked(serve, sender, monkeypatch):
    proxy = serve(answering("200 OK"))
    server = serve(answering("204 No Content"))
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)
    assert sender().send(ask(f"http://{NAME}:{server.port}/")).status == 204
    assert proxy.connections == 0


def test_a_cookie_is_not_kept(serve, sender):
    seen = []
    server = serve(answering("200 OK", b"", "Set-Cookie: a=b; Path=/", seen=seen))
    one = sender()
    for _ in range(2):
        one.send(ask(f"http://{NAME}:{server.port}/"))
    assert len(seen) == 2
    assert not [head for head, _ in seen if "cookie" in head.lower()]


def serving_tls(names: list):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    context.sni_callback = lambda _socket, name, _context: names.append(name)

    def behave(_server, connection):
        with context.wrap_socket(connection, server_side=True) as secured:
            read_request(secured)
            send_response(secured, "204 No Content", b"")

    return behave


def test_with_tls_the_name_is_whose_certificate_is_wanted(serve, sender, connections):
    names = []
    server = serve(serving_tls(names))
    assert sender().send(ask(f"https://{NAME}:{server.port}/")).status == 204
    assert names == [NAME]
    assert connections == [("127.0.0.1", server.port)]


def test_a_certificate_of_another_name_or_of_nobody_we_know_is_refused(serve, sender):
    server = serve(serving_tls([]))
    for url, options in (
        (f"https://other.example.co.ke:{server.port}/", {}),
        (f"https://127.0.0.1:{server.port}/", {}),
        (f"https://{NAME}:{server.port}/", {"ssl_context": ssl.create_default_context()}),
    ):
        answer = sender(**options).send(ask(url))
        assert answer.status is None
        assert answer.error.startswith("ConnectError: ")
        assert "CERTIFICATE_VERIFY_FAILED" in answer.error


def test_who_is_not_there_is_no_answer(sender):
    def unknown(_host, _port):
        raise socket.gaierror(-2, "Name or service not known")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    answer = sender().send(ask(f"http://{NAME}:{port}/"))
    assert (answer.status, answer.error.startswith("ConnectError: ")) == (None, True)
    lost = sender(unknown)
    assert lost.send(ask(f"http://{NAME}:{port}/")).error == (
        "gaierror: [Errno -2] Name or service not known"
    )
    with pytest.raises(ValueError, match="This host is not known to the internet's name servers"):
        lost.check(f"https://{NAME}/")


def test_of_several_addresses_the_next_one_is_tried(serve, sender, connections):
    server = serve(answering("204 No Content"))
    several = sender(lambda _host, _port: ["::1", "127.0.0.1"])
    assert several.send(ask(f"http://{NAME}:{server.port}/")).status == 204
    assert connections == [("::1", server.port), ("127.0.0.1", server.port)]


def test_a_receiver_that_accepts_and_says_nothing_is_given_up(serve, sender):
    def behave(server, connection):
        read_request(connection)
        server.stopped.wait(10)

    server = serve(behave)
    answer = sender(total_seconds=0.3).send(ask(f"http://{NAME}:{server.port}/"))
    assert (answer.status, answer.error.startswith("ReadTimeout")) == (None, True)


def test_a_receiver_that_dribbles_its_status_is_given_up_at_the_deadline(serve, sender):
    def behave(server, connection):
        read_request(connection)
        while not server.stopped.wait(0.05):
            connection.sendall(b"H")

    server = serve(behave)
    answer = sender(total_seconds=0.4).send(ask(f"http://{NAME}:{server.port}/"))
    assert answer.status is None


def test_a_status_counts_though_its_body_never_ends(serve, sender):
    def endless(server, connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
        while not server.stopped.is_set():
            connection.sendall(b"x" * 65536)

    def hanging(server, connection):
        read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nso far")
        server.stopped.wait(10)

    long = sender(total_seconds=5).send(ask(f"http://{NAME}:{serve(endless).port}/"))
    assert (long.status, long.text) == (200, "x" * LONGEST_ANSWER)
    cut = sender(total_seconds=0.4).send(ask(f"http://{NAME}:{serve(hanging).port}/"))
    assert (cut.status, cut.text) == (200, "so far")


def test_an_answer_that_was_packed_is_not_unpacked(serve, sender):
    server = serve(answering("200 OK", b"\x1f\x8b\x08\x00bomb", "Content-Encoding: gzip"))
    answer = sender().send(ask(f"http://{NAME}:{server.port}/"))
    assert answer.status == 200
    assert answer.text.endswith("bomb")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("9" * 30, 999_999_999),
        ("Sun, 22 Nov 2026 09:31:30 GMT", 90),
        ("Sun, 22 Nov 2026 09:00:00 GMT", 0),
        ("Sun, 22 Nov 2026 09:31:30 -0000", 90),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("soon", None),
        ("", None),
    ],
)
def test_when_to_come_back_is_read_as_seconds_or_a_date(serve, sender, value, seconds):
    server = serve(answering("503 Busy", b"", f"Retry-After: {value}"))
    answer = sender().send(ask(f"http://{NAME}:{server.port}/"))
    assert (answer.status, answer.retry_after_seconds) == (503, seconds)


def test_nonsense_in_place_of_http_is_no_answer(serve, sender):
    def behave(_server, connection):
        read_request(connection)
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\x1b[2J")

    answer = sender().send(ask(f"http://{NAME}:{serve(behave).port}/"))
    assert (answer.status, answer.error.startswith("RemoteProtocolError")) == (None, True)
    assert answer.error.isprintable()
    assert json.dumps(answer.error).isascii()


def test_nothing_is_asked_or_sent_inside_a_transaction(sender, sqlite_template, tmp_path):
    database = Database(f"sqlite:///{tmp_path}/empty.db")
    with database.transaction():
        with pytest.raises(RuntimeError, match="inside a transaction"):
            sender().check(f"https://{NAME}/")
        with pytest.raises(RuntimeError, match="inside a transaction"):
            sender().send(ask(f"https://{NAME}/"))
    database.dispose()
