"""What the edge makes of bodies and query strings, good and bad."""

import io
import shutil

import pytest

from app import create_app
from app.config import Config
from app.db import EXTENSION
from app.models import Category
from app.ports import Ports
from tests.controllers.probe import add_probe
from tests.fakes import FakeClock, FakeDoorbell, FakeGateway


@pytest.fixture(scope="module")
def app(sqlite_template, tmp_path_factory):
    """One app for all of these: nothing here reaches a table."""
    file = tmp_path_factory.mktemp("json") / "sokoni.db"
    shutil.copy(sqlite_template, file)
    config = Config.from_environment(
        {
            "SECRET_KEY": "test-secret-0123456789-abcdefghijklmnopqrstuvwxyz",
            "JWT_SECRET_KEY": "test-jwt-secret-9876543210-zyxwvutsrqponmlkjihgf",
            "DATABASE_URL": f"sqlite:///{file}",
            "RATE_LIMITS_ENABLED": "false",
        }
    )
    app = create_app(config, Ports(FakeClock(), FakeGateway(), FakeDoorbell()))
    add_probe(app)
    yield app
    app.extensions[EXTENSION].dispose()


@pytest.fixture
def client(app):
    return app.test_client()


CHUNKED = {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
"""What a server says of a body whose length nobody knew beforehand."""


def post(client, body, content_type="application/json", **options):
    return client.post("/api/probe", data=body, content_type=content_type, **options)


DEEP = b'{"products": ' + b"[" * 40 + b"]" * 40 + b"}"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"price": NaN}',
        b'{"price": Infinity}',
        b'{"price": -Infinity}',
        b'{"price": 1e400}',
        b'{"count": 1, "count": 2}',
        b'{"products": [{"quantity": 1, "quantity": 2}]}',
        b'{"count": ' + b"1" * 4000 + b"}",
        b'{"count": ' + b"1" * 5000 + b"}",
        DEEP,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 1100 + b"1" + b"}" * 1100,
        '{"name": "x"}'.encode("utf-16"),
        b"\xef\xbb\xbf" + b'{"name": "x"}',
        b'{"name": "\xe9"}',
        b'{"name": "\\ud800"}',
        b'{"\\udfff": 1}',
        b"{'name': 'x'}",
        b'{"name": "x"} trailing',
    ],
)
def test_attacks_46_to_52_what_is_not_strict_json_is_a_400(client, body):
    response = post(client, body)
    assert response.status_code == 400
    assert response.json["code"] == "invalid_json"
    assert response.json["errors"] == []


@pytest.mark.parametrize("body", [b"null", b"[]", b'"x"', b"1", b"true", b"1.5"])
def test_attack_53_a_body_that_is_no_object_is_a_400_about_the_body(client, body):
    response = post(client, body)
    assert response.status_code == 400
    assert response.json["errors"] == [{"field": "body", "message": "Send a JSON object."}]


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x+json",
        "application/problem+json",
        "application/json; charset=latin-1",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
    ],
)
def test_attack_54_another_content_type_is_a_415(client, content_type):
    response = post(client, b'{"count": 1}', content_type=content_type)
    assert response.status_code == 415
    assert response.json["code"] == "unsupported_media_type"


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON", "application/json; charset=UTF-8"]
)
def test_json_in_utf8_is_read(client, content_type):
    response = post(client, '{"name": "Wanjikũ"}'.encode(), content_type=content_type)
    assert response.json == {"read": {"name": "Wanjikũ"}}


def test_attack_56_a_body_over_the_limit_is_a_413_by_its_length(client):
    response = post(client, b'{"name": "' + b"x" * 1024 * 1024 + b'"}')
    assert response.status_code == 413
    assert response.json["code"] == "body_too_large"


def test_attack_56_a_body_over_the_limit_is_a_413_without_a_length(client):
    stream = io.BytesIO(b'{"name": "' + b"x" * 1024 * 1024 + b'"}')
    response = client.post(
        "/api/probe",
        input_stream=stream,
        content_type="application/json",
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides=CHUNKED,
    )
    assert response.status_code == 413


def test_a_body_in_chunks_is_read(client):
    response = client.post(
        "/api/probe",
        input_stream=io.BytesIO(b'{"count": 3}'),
        content_type="application/json",
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides=CHUNKED,
    )
    assert response.json == {"read": {"count": "3"}}


def test_attack_94_two_lengths_are_refused_and_the_connection_closed(client):
    response = client.post(
        "/api/probe",
        data=b'{"count": 3}',
        content_type="application/json",
        headers={"Transfer-Encoding": "chunked"},
    )
    assert response.status_code == 400
    assert response.headers["Connection"] == "close"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[
            ("count", v)
            for v in ("5", 5.0, 5.7, "1_0", "\u0665", True, None, [], {}, 10**19 - 1, "")
        ],
        *[("flag", v) for v in ("true", 1, 0, "on", None, [])],
        *[
            ("price", v)
            for v in (
                *("1.234", -1, "-1", "1e3", "1_000", " 5 ", "", "\u0665", "NaN", "Infinity"),
                *(True, None, [], 10**10, 10_000_000_000.5, "12345678901", 0.001, "+5", "5."),
            )
        ],
        *[("phone", v) for v in (712345678, "", "12345", "+1 202 555 0100", None, "0812345678")],
        *[
            ("at", v)
            for v in ("2026-11-22", "2026-11-22T09:30:00", "22/11/2026", 1, None, "", "9999-99-99")
        ],
        *[("name", v) for v in (5, None, "", "   ", "x" * 11, "a\u0000b", "a\nb", "a\u200bb")],
        *[("name", v) for v in ("a\u202eb", "a\ue000", "a\x1bb", [], {})],
        *[("text", v) for v in ("a\u0000", "x" * 21)],
    ],
)
def test_a_wrong_value_is_a_400_that_names_its_field(client, field, value):
    response = client.post("/api/probe", json={field: value})
    assert response.status_code == 400
    assert [error["field"] for error in response.json["errors"]] == [field]
    assert response.json["code"] == "invalid_input"


@pytest.mark.parametrize(
    ("field", "value", "read"),
    [
        ("count", -3, "-3"),
        ("flag", False, "False"),
        ("price", 1499.5, "149950"),
        ("price", "1499.50", "149950"),
        ("price", 0, "0"),
        ("price", 0.29, "29"),
        ("price", 9_999_999_999.99, "999999999999"),
        ("phone", " 0712 345 678 ", "254712345678"),
        ("phone", "+254-112-345-678", "254112345678"),
        ("at", "2026-11-22T12:30:00+03:00", "2026-11-22 09:30:00+00:00"),
        ("at", "2026-11-22T09:30:00.5z", "2026-11-22 09:30:00.500000+00:00"),
        ("name", "  e\u0301  ", "é"),
        ("name", "👩\u200d🌾", "👩\u200d🌾"),
        ("text", "a\r\nb\tc", "a\nb\tc"),
    ],
)
def test_a_right_value_is_read(client, field, value, read):
    assert client.post("/api/probe", json={field: value}).json == {"read": {field: read}}


def test_a_fault_deep_inside_is_named_with_its_path(client):
    response = client.post(
        "/api/probe", json={"products": [{"quantity": "2"}, {"quantity": 2, "price": 1}]}
    )
    assert response.json["errors"] == [
        {"field": "products.0.quantity", "message": "Must be a whole number."},
        {"field": "products.1.price", "message": "There is no such field."},
    ]
    assert response.json["detail"].startswith("Correct 2 fields.")


def test_attack_37_an_unknown_field_is_refused_by_name(client):
    response = client.post("/api/probe", json={"role": "admin"})
    assert response.status_code == 400
    assert response.json["errors"] == [{"field": "role", "message": "There is no such field."}]


def test_an_unknown_query_parameter_is_ignored(client):
    assert client.get("/api/probe?word=a&utm_source=b").json == {"word": "a"}


def test_attack_55_a_query_parameter_given_twice_is_refused(client):
    response = client.get("/api/probe?word=a&word=b")
    assert response.status_code == 400
    assert response.json["errors"] == [{"field": "word", "message": "Give word once."}]


def test_attack_55_the_body_of_a_get_is_ignored(client):
    response = client.get("/api/probe?word=a", data=b"{", content_type="application/json")
    assert response.json == {"word": "a"}


def test_nothing_was_written_by_any_of_this(client, app):
    post(client, b"{")
    with app.extensions[EXTENSION].reading() as session:
        assert session.query(Category).count() == 0
