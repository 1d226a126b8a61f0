"""Hosts, addresses, ids and headers: what holds for every answer."""

import re

import pytest

from app.utils.http import API_POLICY, HSTS
from tests.controllers.probe import add_probe


@pytest.fixture
def database_kind():
    return "sqlite"  # nothing here depends on the database


@pytest.fixture
def make_client(make_app):
    """A client of an app whose settings differ where the test says."""
    return lambda **settings: make_app(_add_views, **settings).test_client()


def _add_views(app) -> None:
    add_probe(app)

    @app.get("/api/address")
    def address():
        from flask import request

        return {"address": request.remote_addr, "https": request.is_secure}


@pytest.fixture
def client(make_client):
    return make_client()


@pytest.mark.parametrize(
    "host",
    [
        "evil.com",
        "shop.example.evil.com",
        "evil.com:443",
        "shop.example@evil.com",
        "shop.example/x",
        "a/b@c",
        "",
        "shop.example:x",
        "[::1",
        "shop.example evil.com",
    ],
)
def test_attack_92_another_host_is_a_400(client, host):
    response = client.get("/api/items", headers={"Host": host})
    assert response.status_code == 400
    assert response.json["code"] == "bad_request"


@pytest.mark.parametrize(
    "host", ["shop.example", "SHOP.example:443", "localhost:5000", "127.0.0.1:80", "[::1]:5000"]
)
def test_our_own_hosts_are_served(client, host):
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/api/probe/", "/healthz/", "/api/items/", "/orders/"])
def test_no_address_is_redirected_for_its_slash(client, path):
    assert client.get(path).status_code == client.get(path.rstrip("/")).status_code


@pytest.mark.parametrize(("path", "status"), [("//healthz", 200), ("/api//items", 404)])
def test_doubled_slashes_are_never_redirected(client, path, status):
    response = client.get("/", environ_overrides={"PATH_INFO": path})
    assert response.status_code == status


def test_head_is_a_get_without_its_body(client):
    response = client.head("/healthz")
    assert (response.status_code, response.data) == (200, b"")


@pytest.mark.parametrize("given", ["abcdefgh", "A-b_c.1-2-3", "x" * 64])
def test_a_sane_request_id_comes_back(client, given):
    response = client.get("/healthz", headers={"X-Request-Id": given})
    assert response.headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["short", "x" * 65, "a b c d e f", "<script>alert", "é" * 10])
def test_another_request_id_is_replaced(client, given):
    response = client.get("/healthz", headers={"X-Request-Id": given})
    assert response.headers["X-Request-Id"] != given
    assert len(response.headers["X-Request-Id"]) == 32


@pytest.mark.parametrize(
    "path",
    ["/healthz", "/api/nothing", "/nothing", "/", "/docs", "/static/docs.css", "/api/probe/bug"],
)
def test_attack_98_every_answer_carries_the_security_headers(client, path):
    with client.get(path) as response:
        headers = response.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] in {"no-referrer", "same-origin"}
    assert headers["Strict-Transport-Security"] == HSTS
    assert "Server" not in headers
    assert "X-Powered-By" not in headers


def test_json_may_load_nothing(client):
    assert client.get("/healthz").headers["Content-Security-Policy"] == API_POLICY


def test_no_hsts_without_https(make_client):
    client = make_client(public_url="http://127.0.0.1:5000")
    assert "Strict-Transport-Security" not in client.get("/healthz").headers


def test_attack_22_without_a_proxy_nobody_says_where_they_come_from(client):
    response = client.get(
        "/api/address", headers={"X-Forwarded-For": "196.201.214.200", "X-Forwarded-Proto": "https"}
    )
    assert response.json == {"address": "127.0.0.1", "https": False}


def test_attack_22_behind_one_proxy_its_own_entry_counts_and_no_other(make_client):
    client = make_client(trusted_proxy_count=1)
    response = client.get(
        "/api/address",
        headers={"X-Forwarded-For": "196.201.214.200, 41.90.1.2", "X-Forwarded-Proto": "https"},
    )
    assert response.json == {"address": "41.90.1.2", "https": True}


def test_behind_a_proxy_the_host_is_still_the_one_asked_for(make_client):
    client = make_client(trusted_proxy_count=1)
    response = client.get(
        "/healthz", headers={"Host": "evil.com", "X-Forwarded-Host": "shop.example"}
    )
    assert response.status_code == 400


@pytest.mark.parametrize("path", ["/", "/docs", "/nothing"])
def test_pages_hold_nothing_that_the_policy_forbids(client, path):
    page = client.get(path).text
    assert re.findall(r"<script(?! src=\"/static/)[^>]*>", page) == []
    assert " style=" not in page
    assert "<style" not in page
    assert " onclick" not in page
