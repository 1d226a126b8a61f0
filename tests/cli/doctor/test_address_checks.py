"""The address that Safaricom reports to: its form, its way, and what arrives at its end."""

import json
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest
from sqlalchemy import select

from app.cli.doctor.checks.arrival import judge_sender
from app.config import MpesaEnv
from app.integrations.outside import BadCertificate, CertificateFault, Trouble, Unreached
from app.models import DoctorProbe
from app.services.probes import Arrival, note_arrival
from app.utils.callback_secret import split_callback_token
from app.utils.http import API_POLICY
from tests.cli.doctor.conftest import codes, look, only_line, sight

OURS = "https://duka.co.ke"


@pytest.fixture
def database_kind() -> str:
    return "sqlite"  # which database it is makes no difference to an address


@pytest.fixture
def at(make_exam, live):
    """An examination of a shop with another PUBLIC_URL."""
    return lambda url, **settings: make_exam(replace(live, public_url=url, **settings))


# --- its form ---


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://duka.co.ke", ["ok"]),
        ("https://duka.co.ke:8443/shop", ["ok"]),
        ("https://8.8.8.8", ["address_is_ip"]),
        ("https://Duka.co.ke", ["address_capitals"]),
        ("https://localhost", ["address_private"]),
        ("https://duka", ["address_private"]),
        ("https://duka.local", ["address_private"]),
        ("https://192.168.1.10", ["address_private"]),
        ("https://[::1]", ["address_private"]),
        ("https://shop.example", ["address_private"]),
        ("https://DUKA.internal", ["address_private", "address_capitals"]),
        ("https://duka.co.ke?shop=1", ["address_malformed"]),
        ("https://amina:word@duka.co.ke", ["address_malformed"]),
        ("https://duka.co.ke#top", ["address_malformed"]),
    ],
)
def test_an_address_is_judged_by_its_form(at, url, found):
    exam = at(url)
    assert codes(exam, "address") == found
    assert ":word@" not in look(exam, "address").lines[0].sentence


def test_on_a_laptop_with_its_simulator_nothing_has_to_be_public(make_exam, laptop):
    exam = make_exam(laptop)
    code, sentence = only_line(exam, "address")
    assert (code, "which is not public; with the simulator it need not be." in sentence) == (
        "ok",
        True,
    )
    assert codes(exam, "name") == ["skipped"]
    assert codes(exam, "certificate") == ["skipped"]


@pytest.mark.parametrize(
    ("url", "code", "word"),
    [
        ("https://mpesa.duka.co.ke", "address_word", "“mpesa”"),
        ("https://lipa-na-M-Pesa.co.ke", "address_word", "“m-pesa”"),
        ("https://mysqlshop.co.ke", "address_word", "“sql”"),
        ("https://duka.co.ke/query", "address_word", "“query”"),
        ("https://executive-shoes.co.ke", "address_word", "“exec”"),
        ("https://1a2b.ngrok-free.app", "address_tunnel", "of ngrok"),
        ("https://abc.m.requestbin.net", "address_tunnel", "of requestbin"),
    ],
)
def test_words_and_hosts_that_safaricom_blocks_are_named(at, url, code, word):
    report = look(at(url), "wording")
    assert [(line.code, line.level) for line in report.lines] == [(code, "fault")]
    assert word in report.lines[0].sentence
    sandbox = at(url, mpesa_env=MpesaEnv.SANDBOX)
    assert [line.level for line in look(sandbox, "wording").lines] == ["warning"]


def test_an_address_without_such_words_is_fine(at):
    assert codes(at(OURS), "wording") == ["ok"]


# --- its name and its certificate ---


def test_a_name_is_looked_up(at, outside):
    code, sentence = only_line(at(OURS), "name")
    assert (code, "does not resolve ([Errno -2]" in sentence) == ("name_unresolved", True)
    outside.names["duka.co.ke"] = ["10.0.0.7", "fe80::1%eth0"]
    code, sentence = only_line(at(OURS), "name")
    assert (code, "leads to 10.0.0.7, fe80::1%eth0, which" in sentence) == ("name_private", True)
    outside.names["duka.co.ke"] = ["10.0.0.7", "102.22.1.9"]
    assert only_line(at(OURS), "name") == ("ok", "duka.co.ke leads to 10.0.0.7, 102.22.1.9.")
    assert codes(at("https://8.8.8.8"), "name") == ["skipped"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (CertificateFault.EXPIRED, "certificate_expired"),
        (CertificateFault.NOT_YET_VALID, "certificate_not_yet"),
        (CertificateFault.OTHER_NAME, "certificate_other_name"),
        (CertificateFault.UNKNOWN_ISSUER, "certificate_untrusted"),
        (CertificateFault.OTHER, "certificate_unaccepted"),
    ],
)
def test_each_fault_of_a_certificate_has_a_sentence_of_its_own(at, outside, fault, code):
    outside.certificate = BadCertificate(fault, "as OpenSSL says")
    found, sentence = only_line(at(OURS), "certificate")
    assert (found, "duka.co.ke" in sentence) == (code, True)


def test_a_certificate_that_ends_soon_is_a_warning(at, outside, clock):
    outside.certificate = clock() + timedelta(days=14)
    assert only_line(at(OURS), "certificate") == (
        "ok",
        "The certificate of duka.co.ke is good for 14 days.",
    )
    outside.certificate -= timedelta(seconds=1)
    report = look(at(OURS), "certificate")
    assert [(line.code, line.level) for line in report.lines] == [
        ("certificate_ends_soon", "warning")
    ]
    assert "ends in 13 days" in report.lines[0].sentence
    outside.certificate = Unreached(Trouble.LATE, "timed out")
    assert codes(at(OURS), "certificate") == ["address_unreachable"]


# --- the way to it ---


def healthy(_method, _url, headers, _content):
    return sight(200, {"status": "ok"}, x_request_id=headers["X-Request-Id"])


def missing(_method, _url, headers, _content):
    problem = {"code": "not_found", "status": 404}
    return sight(
        404,
        problem,
        x_request_id=headers["X-Request-Id"],
        content_type="application/problem+json",
    )


def test_our_own_answer_shows_that_the_shop_is_reached(at, outside):
    outside.answers = {f"{OURS}/healthz": healthy, f"{OURS}/api/pay/cb/1.": missing}
    exam = at(OURS)
    assert only_line(exam, "reachable") == (
        "ok",
        "The shop answers at https://duka.co.ke/healthz, in 12 ms.",
    )
    assert codes(exam, "callback") == ["ok"]
    get, post = outside.looks
    assert (get[0], post[0]) == ("GET", "POST")
    token = post[1].rpartition("/")[2]
    assert split_callback_token(token)[0] == 1
    assert post[2]["Content-Type"] == "application/json;charset=UTF-8"
    assert json.loads(post[3])["Body"]["stkCallback"]["ResultCode"] == 1032


def test_a_proxy_with_request_ids_of_its_own_does_not_hide_us(at, outside):
    outside.answers = {
        f"{OURS}/healthz": sight(
            200, {"status": "ok"}, x_request_id="proxy-1", content_security_policy=API_POLICY
        )
    }
    assert codes(at(OURS), "reachable") == ["ok"]


DETOURS = [
    (Unreached(Trouble.LATE, "timed out"), "address_unreachable", "callback_blocked"),
    (sight(301, location=f"{OURS}/"), "address_redirects", "address_redirects"),
    (sight(308, location="https://www.duka.co.ke/"), "address_redirects", "address_redirects"),
    (sight(502, b"<html>", content_type="text/html"), "address_erring", "address_erring"),
    (sight(504, b""), "address_erring", "address_erring"),
    (
        sight(400, b'{"detail": "This is not the host of this shop. Correct the Host header."}'),
        "host_refused",
        "host_refused",
    ),
    (sight(200, b"<html>parked", content_type="text/html"), "address_not_ours", "callback_blocked"),
    (sight(200, {"status": "ok"}), "address_not_ours", "callback_blocked"),
    (sight(403, b"<html>", content_type="text/html"), "address_not_ours", "callback_blocked"),
    (sight(404, {"code": "not_found"}), "address_not_ours", "callback_blocked"),
    (sight(405, b""), "address_not_ours", "callback_blocked"),
]


@pytest.mark.parametrize(("answer", "on_get", "on_post"), DETOURS)
def test_whatever_stands_in_the_way_is_named(at, outside, answer, on_get, on_post):
    outside.answers = {OURS: answer}
    exam = at(OURS)
    code, sentence = only_line(exam, "reachable")
    assert (code, OURS in sentence or code == "host_refused") == (on_get, True)
    code, sentence = only_line(exam, "callback")
    assert code == on_post
    secret = outside.looks[-1][1].rpartition(".")[2]
    assert len(secret) == 64
    assert secret not in sentence


def test_a_redirect_is_named_with_where_it_leads(at, outside):
    outside.answers = {OURS: sight(301, location="https://www.duka.co.ke/healthz")}
    assert only_line(at(OURS), "reachable")[1] == (
        "https://duka.co.ke/healthz sends whoever asks on to https://www.duka.co.ke/healthz:"
        " Safaricom does not follow, so PUBLIC_URL must be the address where the way ends."
    )


# --- what arrives ---


@pytest.fixture
def web_server(outside, database, clock):
    """The shop behind the address: it writes down how a probe arrived, like the real one."""

    def listen(answer=None, *, remote_addr="102.22.1.9", forwarded_for=None, change=bytes):
        def hear(_method, url, headers, content):
            number, secret = split_callback_token(url.rpartition("/")[2])
            assert number == 0
            seen = headers["X-Forwarded-For"] if forwarded_for is None else forwarded_for
            arrival = Arrival(remote_addr, seen, sha256(change(content)).hexdigest())
            with database.transaction() as session:
                note_arrival(session, secret, arrival, clock())
            return answer or sight(200, {"ResultCode": 0})

        outside.answers[f"{OURS}/api/pay/cb/0."] = hear

    return listen


def probes(database) -> list:
    with database.reading() as session:
        return session.scalars(select(DoctorProbe)).all()


def test_a_message_that_arrives_whole_from_the_right_sender_is_fine(at, web_server, database):
    web_server(forwarded_for="198.51.100.77")
    assert only_line(at(OURS), "arrival") == (
        "ok",
        "What is posted arrives unchanged, and the shop knows who called (0 proxies).",
    )
    assert probes(database) == []


def test_a_shop_on_another_database_is_told_from_ours(at, outside, database):
    outside.answers[f"{OURS}/api/pay/cb/0."] = missing
    assert codes(at(OURS), "arrival") == ["callback_elsewhere"]
    outside.answers[f"{OURS}/api/pay/cb/0."] = sight(200, {"ResultCode": 0})
    assert codes(at(OURS), "arrival") == ["callback_elsewhere"]
    outside.answers.clear()
    assert codes(at(OURS), "arrival") == ["address_unreachable"]
    assert probes(database) == []


def test_a_body_that_was_changed_on_the_way_is_named(at, web_server):
    web_server(change=lambda content: content.replace(b" ", b""))
    assert codes(at(OURS), "arrival") == ["callback_changed"]


FORGED = "198.51.100.77"


@pytest.mark.parametrize(
    ("count", "remote_addr", "forwarded_for", "code", "words"),
    [
        (0, "102.22.1.9", FORGED, "ok", "(0 proxies)"),
        (1, "102.22.1.9", f"{FORGED}, 102.22.1.9", "ok", "(1 proxies)"),
        (2, "102.22.1.9", f"{FORGED}, 102.22.1.9, 172.16.0.1", "ok", "(2 proxies)"),
        (1, "102.22.1.9", "102.22.1.9", "ok", "(1 proxies)"),
        (1, FORGED, FORGED, "proxies_too_many", "set it to 0."),
        (2, FORGED, f"{FORGED}, 102.22.1.9", "proxies_too_many", "set it to 1."),
        (0, "127.0.0.1", f"{FORGED}, 102.22.1.9", "proxies_miscounted", "set it to 1."),
        (0, "127.0.0.1", "102.22.1.9", "proxies_miscounted", "proxy (127.0.0.1) for the caller"),
        (1, "172.16.0.1", f"{FORGED}, 102.22.1.9, 172.16.0.1", "proxies_miscounted", "to 2."),
        (2, "127.0.0.1", "102.22.1.9", "proxies_miscounted", "set it to 1."),
        (1, "127.0.0.1", None, "proxies_silent", "nobody in front says who called"),
    ],
)
def test_proxies_are_counted_by_what_becomes_of_a_forged_header(
    count, remote_addr, forwarded_for, code, words
):
    finding = judge_sender(count, Arrival(remote_addr, forwarded_for, "0" * 64))
    assert (finding.code, words in finding.sentence) == (code, True), finding.sentence


def test_a_count_that_believes_anybody_is_found_on_the_way(at, web_server):
    web_server(remote_addr=FORGED)
    exam = at(OURS, trusted_proxy_count=1)
    assert only_line(exam, "arrival") == (
        "proxies_too_many",
        "TRUSTED_PROXY_COUNT=1 believes what anybody writes into X-Forwarded-For: set it to 0.",
    )
