"""What is believed of a token, and for how long."""

import base64
import hmac
import json
import threading
from datetime import timedelta

import jwt
import pytest
from sqlalchemy import event, select

from app.db import EXTENSION, Database
from app.models import LoginSession
from app.policies import Role
from app.security import Guard
from tests.controllers.callers import accounts, bearer, caller, is_refused, saved_user, signed_in
from tests.factories import PASSWORD

OTHER_KEY = "another-key-0123456789-abcdefghijklmnopqrstuvwxyz-9876543210-ABCDEF"


@pytest.fixture
def user(database):
    return saved_user(database, username="amina")


@pytest.fixture
def tokens(client, user):
    return signed_in(client, user)


@pytest.fixture
def forge(config, tokens):
    """A token like the access token, with claims changed; a claim of ``...`` is left out."""
    good = jwt.decode(tokens["access_token"], options={"verify_signature": False})

    def make(key=config.jwt_secret_key, algorithm="HS256", **changes):
        claims = {k: v for k, v in {**good, **changes}.items() if v is not ...}
        return signed(json.dumps(claims).encode(), key, algorithm)

    return make


def refuses(client, database, token: str) -> bool:
    """The token opens no route, and nothing changes by it."""
    before = accounts(database)
    for method, path in (
        ("GET", "/api/profile"),
        ("PUT", "/api/profile"),
        ("POST", "/api/logout"),
        ("POST", "/api/refresh"),
        ("GET", "/users/1"),  # open to anyone, but not to a bad token
    ):
        response = client.open(path, method=method, headers=bearer(token), json={})
        assert is_refused(response, 401, "invalid_token")
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
    return accounts(database) == before


def signed(payload: bytes, key: str, algorithm: str = "HS256") -> str:
    """By hand, because the library itself refuses to sign some of what an attacker sends."""
    header = encoded(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
    signing = f"{header}.{encoded(payload)}"
    digest = hmac.digest(key.encode(), signing.encode(), f"sha{algorithm.removeprefix('HS')}")
    return f"{signing}.{encoded(digest)}"


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def test_a_forged_token_with_every_claim_right_is_good(client, forge, user):
    """The other tests of this file refuse a token for the one thing that they change."""
    assert client.get("/api/profile", headers=bearer(forge())).get_json()["id"] == user.id


def test_a_token_holds_the_user_and_the_session_and_nothing_else_of_them(config, tokens, user):
    claims = jwt.decode(
        tokens["access_token"],
        config.jwt_secret_key,
        ["HS256"],
        options={
            "verify_aud": False,
            "verify_exp": False,
            "verify_iat": False,
            "verify_nbf": False,
        },
    )
    assert set(claims) == {"sub", "sid", "jti", "type", "fresh", "iat", "nbf", "exp", "iss", "aud"}
    assert (claims["sub"], claims["type"], claims["fresh"]) == (str(user.id), "access", False)
    assert claims["exp"] - claims["iat"] == 900


def test_attack_1_a_token_without_a_signature_is_refused(client, database, tokens):
    _, payload, signature = tokens["access_token"].split(".")
    for algorithm in ("none", "None", "NONE", "nOnE"):
        header = encoded(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
        assert refuses(client, database, f"{header}.{payload}.")
        assert refuses(client, database, f"{header}.{payload}.{signature}")
    good_header = tokens["access_token"].partition(".")[0]
    assert refuses(client, database, f"{good_header}.{payload}.")


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_attack_2_another_algorithm_with_our_key_is_refused(client, database, forge, algorithm):
    assert refuses(client, database, forge(algorithm=algorithm))


def test_attack_2_a_header_that_claims_rs256_is_refused(client, database, tokens):
    _, payload, signature = tokens["access_token"].split(".")
    header = encoded(b'{"alg":"RS256","typ":"JWT"}')
    assert refuses(client, database, f"{header}.{payload}.{signature}")


def test_attack_3_a_signature_by_another_key_is_refused(client, database, forge):
    assert refuses(client, database, forge(key=OTHER_KEY))


def test_attack_3_a_changed_payload_or_signature_is_refused(client, database, tokens):
    header, payload, signature = tokens["access_token"].split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    again = encoded(json.dumps({**claims, "sub": "2"}).encode())
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    assert refuses(client, database, f"{header}.{again}.{signature}")
    assert refuses(client, database, f"{header}.{payload}.{flipped}")


def test_attack_4_an_expired_token_is_refused(client, database, clock, tokens):
    clock.advance(seconds=909)
    assert client.get("/api/profile", headers=bearer(tokens)).status_code == 200
    clock.advance(seconds=1)
    before = accounts(database)
    assert is_refused(client.get("/api/profile", headers=bearer(tokens)), 401, "invalid_token")
    assert accounts(database) == before


def test_attack_4_a_token_of_the_future_is_refused(client, database, clock, forge):
    now = int(clock.now.timestamp())
    assert client.get("/api/profile", headers=bearer(forge(iat=now + 10))).status_code == 200
    assert refuses(client, database, forge(nbf=now + 11))
    assert refuses(client, database, forge(iat=now + 11))


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf", "jti", "sub", "type", "sid", "aud", "iss"])
def test_attacks_5_and_6_a_token_without_any_one_claim_is_refused(client, database, forge, claim):
    assert refuses(client, database, forge(**{claim: ...}))


@pytest.mark.parametrize("kind", ["weird", "ACCESS", "", None, 1, ["access"], {"type": "access"}])
def test_attack_6_a_token_of_an_unknown_type_is_refused(client, database, forge, kind):
    assert refuses(client, database, forge(type=kind))


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another-service"},
        {"aud": ["sokoni-api", "another-service"]},
        {"aud": ["sokoni-api"]},
        {"aud": "sokoni"},
        {"iss": "another-service"},
        {"iss": "sok"},
        {"iss": ["sokoni"]},
    ],
)
def test_attack_7_a_token_of_another_service_is_refused(client, database, forge, claims):
    assert refuses(client, database, forge(**claims))


def test_attack_8_a_refresh_token_opens_no_other_route(client, database, tokens):
    before = accounts(database)
    for path in ("/api/profile", "/users/1"):
        response = client.get(path, headers=bearer(tokens["refresh_token"]))
        assert is_refused(response, 401, "invalid_token")
    assert accounts(database) == before


def test_attack_8_an_access_token_refreshes_nothing(client, database, tokens):
    before = accounts(database)
    response = client.post("/api/refresh", headers=bearer(tokens))
    assert is_refused(response, 401, "invalid_token")
    assert accounts(database) == before


def test_attack_9_both_tokens_are_dead_after_logout(client, database, tokens):
    response = client.post("/api/logout", headers=bearer(tokens))
    assert (response.status_code, response.data) == (204, b"")
    before = accounts(database)
    assert is_refused(client.get("/api/profile", headers=bearer(tokens)), 401, "invalid_token")
    response = client.post("/api/refresh", headers=bearer(tokens["refresh_token"]))
    assert is_refused(response, 401, "invalid_token")
    assert is_refused(client.post("/api/logout", headers=bearer(tokens)), 401, "invalid_token")
    assert accounts(database) == before


def test_logout_leaves_the_other_sessions_alone(client, user, tokens):
    other = signed_in(client, user)
    client.post("/api/logout", headers=bearer(tokens))
    assert client.get("/api/profile", headers=bearer(other)).status_code == 200


def test_logout_of_all_ends_every_session_of_this_user_alone(client, database, user, tokens):
    other = signed_in(client, user)
    _, stranger = caller(client, database)
    assert client.post("/api/logout?all=true", headers=bearer(tokens)).status_code == 204
    for dead in (tokens, other):
        assert is_refused(client.get("/api/profile", headers=bearer(dead)), 401, "invalid_token")
    assert client.get("/api/profile", headers=stranger).status_code == 200


def test_attack_10_a_new_password_ends_the_other_sessions(client, user, tokens):
    other = signed_in(client, user)
    change = {"password": "mvua ya masika 7", "current_password": PASSWORD}
    assert client.put("/api/profile", json=change, headers=bearer(tokens)).status_code == 200
    assert is_refused(client.get("/api/profile", headers=bearer(other)), 401, "invalid_token")
    response = client.post("/api/refresh", headers=bearer(other["refresh_token"]))
    assert is_refused(response, 401, "invalid_token")
    assert client.get("/api/profile", headers=bearer(tokens)).status_code == 200


def test_attack_10_a_suspended_user_is_out_at_once_and_for_good(client, database, user, tokens):
    _, admin = caller(client, database, Role.ADMIN)
    path = f"/api/users/{user.id}"
    assert client.patch(path, json={"suspended": True}, headers=admin).status_code == 200
    for _ in range(2):
        assert is_refused(client.get("/api/profile", headers=bearer(tokens)), 401, "invalid_token")
        response = client.post("/api/refresh", headers=bearer(tokens["refresh_token"]))
        assert is_refused(response, 401, "invalid_token")
        # let in again, the person signs in again: what was revoked stays so
        client.patch(path, json={"suspended": False}, headers=admin)
    assert signed_in(client, user)["user"]["id"] == user.id


def test_attack_11_the_role_is_read_from_the_database_at_each_request(client, database, forge):
    _, admin = caller(client, database, Role.ADMIN)
    other, other_admin = caller(client, database, Role.ADMIN)
    assert client.get("/api/users", headers=other_admin).status_code == 200
    response = client.patch(f"/api/users/{other.id}", json={"role": "customer"}, headers=admin)
    assert response.get_json()["role"] == "customer"
    before = accounts(database)
    assert is_refused(client.get("/api/users", headers=other_admin), 403, "forbidden")
    response = client.patch("/api/users/1", json={"role": "admin"}, headers=other_admin)
    assert is_refused(response, 403, "forbidden")
    assert accounts(database) == before


def test_attack_11_a_role_in_the_token_is_not_read(client, database, forge):
    before = accounts(database)
    response = client.get("/api/users", headers=bearer(forge(role="admin")))
    assert is_refused(response, 403, "forbidden")
    assert accounts(database) == before


def test_a_refresh_gives_new_tokens_of_the_same_session(client, database, clock, user, tokens):
    clock.advance(days=29)
    response = client.post("/api/refresh", headers=bearer(tokens["refresh_token"]))
    fresh = response.get_json()
    assert response.status_code == 200
    assert set(fresh) == {"access_token", "refresh_token", "token_type", "expires_in", "user"}
    assert (fresh["token_type"], fresh["expires_in"]) == ("Bearer", 900)
    assert fresh["refresh_token"] != tokens["refresh_token"]
    assert client.get("/api/profile", headers=bearer(fresh)).get_json() == fresh["user"]
    with database.reading() as session:
        (login,) = session.scalars(select(LoginSession))
    assert (login.user_id, login.revoked_at) == (user.id, None)
    assert login.expires_at == clock.now + timedelta(days=30)


def test_a_refresh_token_ends_after_thirty_days(client, database, clock, tokens):
    clock.advance(days=30)
    before = accounts(database)
    response = client.post("/api/refresh", headers=bearer(tokens["refresh_token"]))
    assert is_refused(response, 401, "invalid_token")
    assert accounts(database) == before


def test_a_session_ends_after_ninety_days_however_often_it_is_refreshed(client, clock, tokens):
    refresh_token = tokens["refresh_token"]
    for _ in range(3):
        clock.advance(days=29)
        response = client.post("/api/refresh", headers=bearer(refresh_token))
        refresh_token = response.get_json()["refresh_token"]
    clock.advance(days=3)
    response = client.post("/api/refresh", headers=bearer(refresh_token))
    assert is_refused(response, 401, "invalid_token")


def test_attack_12_a_replayed_refresh_token_ends_the_session(client, database, user, tokens):
    other = signed_in(client, user)
    fresh = client.post("/api/refresh", headers=bearer(tokens["refresh_token"])).get_json()
    response = client.post("/api/refresh", headers=bearer(tokens["refresh_token"]))
    assert is_refused(response, 401, "invalid_token")
    assert is_refused(client.get("/api/profile", headers=bearer(fresh)), 401, "invalid_token")
    response = client.post("/api/refresh", headers=bearer(fresh["refresh_token"]))
    assert is_refused(response, 401, "invalid_token")
    assert client.get("/api/profile", headers=bearer(other)).status_code == 200
    with database.reading() as session:
        ended = session.scalars(select(LoginSession).where(LoginSession.revoked_at.is_not(None)))
        assert [login.revoked_reason for login in ended] == ["refresh_token_reused"]


def test_attack_12_of_many_refreshes_with_one_token_exactly_one_is_answered(app, database, tokens):
    start = threading.Barrier(8)
    answers = []

    def refresh():
        start.wait()
        response = app.test_client().post("/api/refresh", headers=bearer(tokens["refresh_token"]))
        answers.append(response.status_code)

    threads = [threading.Thread(target=refresh) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, *[401] * 7]
    with database.reading() as session:
        (login,) = session.scalars(select(LoginSession))
        assert login.revoked_reason == "refresh_token_reused"


@pytest.mark.parametrize(
    "subject",
    [
        1,
        None,
        {},
        ["1"],
        True,
        1.0,
        "",
        "0",
        "-1",
        " 1",
        "1 ",
        "01",
        "1_0",
        "\u0661",
        "1e0",
        "a",
        "1" * 19,
        "1" * 5000,
    ],
)
def test_attack_15_a_subject_that_is_no_user_id_is_refused(client, database, forge, subject):
    assert refuses(client, database, forge(sub=subject))


@pytest.mark.parametrize("subject", ["999999", "999999999999999999"])
def test_attack_15_a_subject_that_is_nobody_is_refused(client, database, forge, subject):
    assert refuses(client, database, forge(sub=subject))


def test_a_token_of_another_users_session_is_refused(client, database, forge):
    other = saved_user(database)
    assert refuses(client, database, forge(sub=str(other.id)))


@pytest.mark.parametrize("claim", ["sid", "jti"])
@pytest.mark.parametrize("value", [1, None, {}, "", "a", "0" * 32 + "\x00", "x" * 32, "0" * 31])
def test_attack_15_a_malformed_session_or_token_id_is_refused(
    client, database, forge, claim, value
):
    assert refuses(client, database, forge(**{claim: value}))


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", ["9999999999", None, True, 9999999999.5, [], {}])
def test_attack_15_a_moment_that_is_no_whole_number_is_refused(
    client, database, forge, claim, value
):
    assert refuses(client, database, forge(**{claim: value}))


@pytest.mark.parametrize(
    "token",
    [
        "a",
        "a.b",
        "a.b.c",
        "a.b.c.d",
        "..",
        "null",
        "é.é.é",
        "a" * 100_000,
        "a" * 4000 + "." + "b" * 4000 + "." + "c" * 4000,
        encoded(b'{"a":' * 1300 + b"1" + b"}" * 1300) + ".e30.AAAA",
        encoded(b"[" * 2500) + ".e30.AAAA",
        encoded(b'{"alg":' + b"9" * 5000 + b"}") + ".e30.AAAA",
        encoded(b'{"alg":"HS256","typ":"JWT","crit":["x"]}') + ".e30.AAAA",
        encoded(b"\xff\xfe") + ".e30.AAAA",
        encoded(b"[]") + ".e30.AAAA",
        encoded(b"{}") + ".e30.AAAA",
    ],
    ids=range(16),
)
def test_attack_15_what_is_no_token_is_refused(client, database, token):
    assert refuses(client, database, token)


def test_attack_15_a_good_token_that_is_too_long_is_refused(client, database, forge):
    assert len(forge(padding="x" * 7000)) > 8192
    assert refuses(client, database, forge(padding="x" * 7000))


@pytest.mark.parametrize("payload", [b"[]", b"1", b'"x"', b"null", b"[" * 2000 + b"]" * 2000])
def test_a_signed_payload_that_is_no_object_is_refused(client, database, config, payload):
    assert refuses(client, database, signed(payload, config.jwt_secret_key))


@pytest.mark.parametrize(
    "shape",
    [
        "Bearer {0}, Bearer {0}",
        "Bearer {0},Bearer {1}",
        "Bearer {0} {0}",
        "Bearer {0},",
        "Bearer  {0}",
        "Bearer",
        "Bearer ",
        "{0}",
        "bearer {0}",
        "Basic {0}",
        "Token {0}",
        "",
    ],
)
def test_attack_15_only_one_bearer_token_is_taken(client, database, tokens, shape):
    header = shape.format(tokens["access_token"], tokens["refresh_token"])
    before = accounts(database)
    for path in ("/api/profile", "/users/1"):
        response = client.get(path, headers={"Authorization": header})
        assert is_refused(response, 401, "invalid_token")
    assert accounts(database) == before


def test_attack_15_two_authorization_headers_are_refused(client, database, tokens):
    header = ("Authorization", f"Bearer {tokens['access_token']}")
    before = accounts(database)
    for path in ("/api/profile", "/users/1"):
        response = client.get(path, headers=[header, header])
        assert is_refused(response, 401, "invalid_token")
    assert accounts(database) == before


@pytest.mark.parametrize("name", ["jwt", "token", "access_token", "Authorization"])
def test_attack_15_a_token_anywhere_but_in_the_header_is_not_seen(client, tokens, name):
    token = tokens["access_token"]
    client.set_cookie(name, token)
    client.set_cookie("access_token_cookie", token)
    response = client.get("/api/profile", query_string={name: token})
    assert is_refused(response, 401, "unauthenticated")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="sokoni"'
    assert "email" not in client.get("/users/1", query_string={name: token}).get_json()


def test_attack_18_signing_in_always_opens_a_new_session(client, user, tokens):
    response = client.post(
        "/api/login",
        json={"username": user.username, "password": PASSWORD},
        headers=bearer(tokens),
    )
    old, new = (
        jwt.decode(pair["access_token"], options={"verify_signature": False})["sid"]
        for pair in (tokens, response.get_json())
    )
    assert response.status_code == 200
    assert old != new


def test_attack_19_a_database_that_does_not_answer_closes_the_door(app, config, tokens, tmp_path):
    app.extensions[EXTENSION] = Database(f"sqlite:///{tmp_path}/nowhere/sokoni.db")
    try:
        for path in ("/api/profile", "/users/1"):
            response = app.test_client().get(path, headers=bearer(tokens))
            assert is_refused(response, 503, "unavailable")
            assert int(response.headers["Retry-After"]) == 2
    finally:
        app.extensions[EXTENSION].dispose()


def test_a_request_with_a_token_asks_the_database_once_who_is_calling(
    client, database, tokens, monkeypatch
):
    statements, rows = [], database.asking.rows

    def remember(_connection, _cursor, statement, *_rest):
        statements.append(statement)

    def remember_what_is_just_asked(statement, values):
        statements.append(statement)
        return rows(statement, values)

    monkeypatch.setattr(database.asking, "rows", remember_what_is_just_asked)
    event.listen(database.engine, "before_cursor_execute", remember)
    try:
        assert client.get("/api/profile", headers=bearer(tokens)).status_code == 200
    finally:
        event.remove(database.engine, "before_cursor_execute", remember)
    asked = [statement for statement in statements if "login_sessions" in statement]
    read = [statement for statement in statements if "users.password_hash" in statement]
    assert (len(asked), len(read)) == (1, 1)
    assert len([s for s in statements if s.startswith("SELECT") and "FROM" in s]) == 2


def test_a_deleted_sessions_token_is_refused(client, database, tokens):
    with database.transaction() as session:
        session.delete(session.scalars(select(LoginSession)).one())
    assert is_refused(client.get("/api/profile", headers=bearer(tokens)), 401, "invalid_token")


def test_every_view_of_accounts_says_who_may_call_it(app):
    guards = {
        endpoint: str(view.guard)
        for endpoint, view in app.view_functions.items()
        if endpoint.startswith(("auth.", "users.", "root_users."))
    }
    assert guards == {
        "auth.register": "anyone",
        "auth.login": "anyone",
        "auth.refresh": "signed in",
        "auth.logout": "signed in",
        "users.show_profile": "signed in",
        "users.change_own_profile": "signed in",
        "users.create": "anyone",
        "users.show_user": "anyone",
        "users.list_all": "admin",
        "users.change": "admin",
        "root_users.create": "anyone",
        "root_users.show_user": "anyone",
        "root_users.list_all": "admin",
        "root_users.change": "admin",
    }
    assert str(Guard(signed_in=True, roles=frozenset({Role.SELLER, Role.ADMIN}))) == (
        "admin or seller"
    )
