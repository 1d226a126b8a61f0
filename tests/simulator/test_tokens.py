import base64
import json

import pytest

from daraja_simulator import RateAnswer
from tests.simulator.shop import GENERATE, PAYBILL

GRANT = {"grant_type": "client_credentials"}


def assert_envelope(answer, status, code, message):
    assert answer.status_code == status
    body = answer.json()
    assert list(body) == ["requestId", "errorCode", "errorMessage"]
    assert (body["errorCode"], body["errorMessage"]) == (code, message)
    assert body["requestId"]


def test_a_token_is_opaque_and_its_life_a_string(shop):
    answer = shop.client.get(shop.url(GENERATE), params=GRANT, auth=("key", "secret"))
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    body = json.loads(answer.text)
    assert list(body) == ["access_token", "expires_in"]
    assert body["expires_in"] == "3599"
    assert len(body["access_token"]) == 28
    assert body["access_token"].isalnum()


def test_the_life_may_be_printed_as_a_number(open_shop):
    shop = open_shop(expires_in_as_number=True, token_seconds=1800)
    answer = shop.client.get(shop.url(GENERATE), params=GRANT, auth=("key", "secret"))
    assert '"expires_in":1800}' in answer.text


BAD_HEADERS = [
    {},
    {"Authorization": "Bearer abc"},
    {"Authorization": "Bearer " + base64.b64encode(b"key:secret").decode()},
    {"Authorization": "Basic"},
    {"Authorization": "Basic !!!"},
    {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:x").decode()},
    {"Authorization": "Basic " + base64.b64encode(b"no colon").decode()},
    {"Authorization": "Basic " + base64.b64encode(b":secret").decode()},
    {"Authorization": "Basic " + base64.b64encode(b"key:").decode()},
]


@pytest.mark.parametrize("headers", BAD_HEADERS)
def test_without_basic_credentials_there_is_no_token(shop, headers):
    answer = shop.client.get(shop.url(GENERATE), params=GRANT, headers=headers)
    assert_envelope(answer, 400, "400.008.01", "Invalid Authentication passed")


@pytest.mark.parametrize("auth", [("key", "wrong"), ("wrong", "secret")])
def test_wrong_credentials_are_refused_when_the_right_ones_are_set(open_shop, auth):
    shop = open_shop(consumer_key="key", consumer_secret="secret")
    answer = shop.client.get(shop.url(GENERATE), params=GRANT, auth=auth)
    assert_envelope(answer, 400, "400.008.01", "Invalid Authentication passed")
    assert shop.fetch_token(("key", "secret"))


def test_bad_credentials_may_be_answered_by_nothing_at_all(open_shop):
    shop = open_shop(empty_credentials_error=True)
    answer = shop.client.get(shop.url(GENERATE), params=GRANT)
    assert (answer.status_code, answer.content) == (400, b"")


@pytest.mark.parametrize("query", ["", "?grant_type=password", "?grant_type=client_credentials%20"])
def test_another_grant_type_is_refused(shop, query):
    answer = shop.client.get(shop.url(GENERATE + query), auth=("key", "secret"))
    assert_envelope(answer, 400, "400.008.02", "Invalid grant type passed")


@pytest.mark.parametrize("value", [None, "", "Bearer", "Bearer unknown", "Basic {token}"])
def test_a_call_without_a_living_token_is_not_found(shop, value):
    headers = {} if value is None else {"Authorization": value.format(token=shop.fetch_token())}
    answer = shop.client.post(
        shop.url("/mpesa/stkpush/v1/processrequest"), json=shop.push_body(), headers=headers
    )
    assert_envelope(answer, 404, "404.001.03", "Invalid Access Token")


def test_a_token_dies_on_its_second(shop):
    assert shop.query("x").json()["errorCode"] == "500.001.1001"
    shop.simulator.advance(3598)
    assert shop.query("x").json()["errorCode"] == "500.001.1001"
    shop.simulator.advance(1)
    assert_envelope(shop.query("x"), 404, "404.001.03", "Invalid Access Token")


def test_tokens_live_side_by_side(shop):
    assert shop.query("x").status_code == 500
    shop.fetch_token()
    assert shop.query("x").status_code == 500


def test_a_new_token_may_kill_the_old_one_of_the_same_key(open_shop):
    shop = open_shop(new_token_kills_old=True)
    assert shop.query("x").status_code == 500
    shop.fetch_token(("another key", "secret"))
    assert shop.query("x").status_code == 500
    shop.fetch_token()
    assert_envelope(shop.query("x"), 404, "404.001.03", "Invalid Access Token")


def test_tokens_are_never_the_same_even_with_one_seed(open_shop):
    assert open_shop(seed=5).fetch_token() != open_shop(seed=5).fetch_token()


def test_all_tokens_can_be_killed_at_once(shop):
    assert shop.query("x").status_code == 500
    assert shop.post("tokens/expire") == {"expired": 1}
    assert_envelope(shop.query("x"), 404, "404.001.03", "Invalid Access Token")


def test_the_token_endpoint_can_be_down(shop):
    shop.post("faults", {"token_unavailable": 1})
    answer = shop.client.get(shop.url(GENERATE), params=GRANT, auth=("key", "secret"))
    assert answer.status_code == 503
    assert answer.headers["Content-Type"].startswith("text/html")
    shop.post("faults", {"token_unavailable": 0})
    assert shop.fetch_token()


@pytest.mark.parametrize("limit", ["spike", "apigee"])
def test_too_many_calls_in_a_second_are_refused(open_shop, limit):
    shop = open_shop(requests_per_second=2, rate_answer=RateAnswer(limit))
    assert [shop.query("x").json()["errorCode"] for _ in range(2)] == ["500.001.1001"] * 2
    answer = shop.query("x")
    if limit == "spike":
        assert_envelope(answer, 500, "500.003.02", "Error Occurred: Spike Arrest Violation")
    else:
        assert answer.status_code == 429
        fault = answer.json()["fault"]
        assert fault["faultstring"].startswith("Spike arrest violation. Allowed rate : ")
        assert fault["detail"] == {"errorcode": "policies.ratelimit.SpikeArrestViolation"}
    shop.simulator.advance(1)
    assert shop.query("x").json()["errorCode"] == "500.001.1001"


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "message"),
    [
        ("GET", "/mpesa/stkpush/v1/processrequest", 405, "405.001", "Method Not Allowed"),
        ("OPTIONS", "/mpesa/stkpush/v1/processrequest", 405, "405.001", "Method Not Allowed"),
        ("PUT", "/mpesa/stkpushquery/v1/query", 405, "405.001", "Method Not Allowed"),
        ("POST", GENERATE, 405, "405.001", "Method Not Allowed"),
        ("POST", "/mpesa/stkpush/v1/processrequest/", 404, "404.001.01", "Resource not found"),
        ("POST", "/mpesa//stkpush/v1/processrequest", 404, "404.001.01", "Resource not found"),
        ("GET", "/nowhere", 404, "404.001.01", "Resource not found"),
    ],
)
def test_a_wrong_method_or_path_is_refused_in_the_envelope(
    shop, method, path, status, code, message
):
    assert_envelope(shop.client.request(method, shop.url(path)), status, code, message)


def test_a_body_of_megabytes_is_refused(shop):
    answer = shop.client.post(
        shop.url("/mpesa/stkpush/v1/processrequest"),
        content=b" " * 1_000_001,
        headers={**shop.headers, "Content-Type": "application/json"},
    )
    assert_envelope(answer, 413, "400.002.05", "Invalid Request Payload")


def test_a_request_id_is_never_used_twice(shop):
    ids = {shop.client.get(shop.url("/nowhere")).json()["requestId"] for _ in range(20)}
    assert len(ids) == 20


def test_a_password_never_shows_in_a_merchants_print():
    assert PAYBILL.passkey not in repr(PAYBILL)
