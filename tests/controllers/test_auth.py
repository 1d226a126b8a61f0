"""Signing in: one answer for every wrong pair, and limits that count failures alone."""

import pytest
from sqlalchemy import select

from app.models import LoginSession
from tests.controllers.callers import accounts, bearer, is_refused, saved_user, signed_in
from tests.factories import PASSWORD

HOME, OFFICE, ATTACKER = "41.90.0.1", "197.232.0.2", "203.0.113.9"


@pytest.fixture
def user(database):
    return saved_user(
        database, username="Amina", email="Amina@example.co.ke", phone_number="254712345678"
    )


@pytest.fixture
def shop(make_app):
    """Make an app with limits on; its settings by name."""
    return lambda **settings: make_app(rate_limits_enabled=True, **settings).test_client()


def attempt(client, name="Amina", password="wrong password", address=ATTACKER, **options):
    return client.post(
        "/api/login",
        json={"username": name, "password": password},
        environ_overrides={"REMOTE_ADDR": address},
        **options,
    )


def is_throttled(response, seconds: int) -> bool:
    assert is_refused(response, 429, "rate_limited")
    # rounded up to the whole second after the window's end: never too early
    assert response.headers["Retry-After"] == str(seconds + 1)
    return True


@pytest.mark.parametrize(
    "name",
    [
        {"username": "Amina"},
        {"username": "aMINA"},
        {"username": " \uff21mina "},
        {"email": "Amina@example.co.ke"},
        {"email": "amina@EXAMPLE.co.ke"},
        {"phone_number": "0712 345 678"},
        {"phone_number": "+254712345678"},
    ],
)
def test_each_of_ones_names_opens_the_account(client, user, name):
    response = client.post("/api/login", json={**name, "password": PASSWORD})
    body = response.get_json()
    assert response.status_code == 200
    assert set(body) == {"access_token", "refresh_token", "token_type", "expires_in", "user"}
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 900)
    assert body["user"] == {
        "id": user.id,
        "username": "Amina",
        "email": "Amina@example.co.ke",
        "phone_number": "254712345678",
        "role": "customer",
        "picture_url": None,
        "created_at": "2026-11-22T09:00:00Z",
    }
    assert response.headers["Cache-Control"] == "no-store"


def test_a_sign_in_is_on_record_with_its_address(client, database, clock, user):
    for address in (HOME, "2c0f:fe38:2000:1:aaaa::1", "::ffff:41.90.0.7"):
        assert attempt(client, password=PASSWORD, address=address).status_code == 200
    with database.reading() as session:
        rows = session.scalars(select(LoginSession)).all()
    assert {row.remote_addr for row in rows} == {HOME, "2c0f:fe38:2000:1::/64", "41.90.0.7"}
    assert {(row.user_id, row.created_at, row.revoked_at) for row in rows} == {
        (user.id, clock.now, None)
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"password": PASSWORD}, "username"),
        ({"username": "a", "email": "a@b.co", "password": PASSWORD}, "username"),
        ({"username": "a", "phone_number": "0712345678", "password": PASSWORD}, "username"),
        ({"username": "Amina"}, "password"),
        ({"username": "Amina", "password": None}, "password"),
        ({"username": "Amina", "password": 12345678}, "password"),
        ({"username": "Amina", "password": "a\x00b"}, "password"),
        ({"username": "Amina", "password": "x" * 1025}, "password"),
        ({"username": ["Amina"], "password": PASSWORD}, "username"),
        ({"username": {"$ne": ""}, "password": PASSWORD}, "username"),
        ({"username": "Amina\x00", "password": PASSWORD}, "username"),
        ({"username": "A" * 255, "password": PASSWORD}, "username"),
        ({"phone_number": "12", "password": PASSWORD}, "phone_number"),
        ({"username": "Amina", "password": PASSWORD, "role": "admin"}, "role"),
    ],
)
def test_a_malformed_sign_in_is_invalid_input(client, database, user, body, field):
    before = accounts(database)
    assert is_refused(client.post("/api/login", json=body), 400, "invalid_input", field)
    assert accounts(database) == before


def test_attack_25_wrong_names_wrong_passwords_and_suspended_accounts_are_not_told_apart(
    client, database, clock, user, hashes_made
):
    saved_user(database, username="gone", suspended_at=clock.now)
    before = accounts(database)
    answers = []
    for name, password in (
        ("Amina", "wrong password"),
        ("nobody", "wrong password"),
        ("nobody", PASSWORD),
        ("gone", "wrong password"),
        ("gone", PASSWORD),
        ("Amina' OR '1'='1", PASSWORD),
        ("%", PASSWORD),
        ("Amina", ""),
    ):
        hashes_made.clear()
        response = attempt(client, name, password)
        assert is_refused(response, 401, "wrong_credentials")
        assert hashes_made == ["check"], name
        body = response.get_json()
        del body["request_id"]
        answers.append((body, response.headers["WWW-Authenticate"]))
    assert all(answer == answers[0] for answer in answers)
    assert accounts(database) == before


@pytest.mark.parametrize("by", ["email", "phone_number"])
def test_attack_25_an_unknown_address_or_phone_costs_the_same_hash(client, by, hashes_made):
    name = {"email": "nobody@example.co.ke", "phone_number": "0799999999"}[by]
    response = client.post("/api/login", json={by: name, "password": PASSWORD})
    assert is_refused(response, 401, "wrong_credentials")
    assert hashes_made == ["check"]


def test_attack_58_a_name_is_compared_and_never_matched(client, database, user):
    for name in ("Amin_", "%", "Amina--", "Amina' --", "*"):
        assert is_refused(attempt(client, name, PASSWORD), 401, "wrong_credentials")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x+json", ""])
def test_attack_54_what_is_not_json_by_its_type_is_refused(client, database, user, content_type):
    before = accounts(database)
    response = client.post(
        "/api/login",
        data='{"username": "Amina", "password": "Correct horse 12"}',
        content_type=content_type,
    )
    assert is_refused(response, 415, "unsupported_media_type")
    assert accounts(database) == before


def test_attack_47_a_password_that_is_given_twice_is_refused(client, database, user):
    before = accounts(database)
    response = client.post(
        "/api/login",
        data='{"username": "Amina", "password": "x", "password": "Correct horse 12"}',
        content_type="application/json",
    )
    assert is_refused(response, 400, "invalid_json")
    assert accounts(database) == before


class TestLimits:
    def test_the_sixth_wrong_password_from_one_address_waits(self, shop, database, clock, user):
        client = shop()
        for _ in range(5):
            assert is_refused(attempt(client), 401, "wrong_credentials")
        before = accounts(database)
        assert is_throttled(attempt(client, password=PASSWORD), 60)
        assert accounts(database) == before
        clock.advance(seconds=61)
        assert attempt(client, password=PASSWORD).status_code == 200

    def test_right_passwords_are_never_counted(self, shop, user):
        client = shop()
        for _ in range(12):
            assert attempt(client, password=PASSWORD).status_code == 200
        for _ in range(5):
            assert attempt(client).status_code == 401
        assert attempt(client).status_code == 429

    def test_malformed_requests_are_not_counted_as_wrong_passwords(self, shop, user):
        client = shop()
        for _ in range(10):
            assert attempt(client, password=None).status_code == 400
        assert attempt(client, password=PASSWORD).status_code == 200

    def test_attack_20_one_account_is_guarded_against_many_addresses(
        self, shop, database, clock, user
    ):
        client = shop()
        for number in range(30):
            address = f"203.0.113.{number}"
            assert is_refused(attempt(client, address=address), 401, "wrong_credentials")
        before = accounts(database)
        assert is_throttled(attempt(client, password=PASSWORD, address="203.0.113.99"), 900)
        assert accounts(database) == before
        clock.advance(minutes=15, seconds=1)
        response = attempt(client, password=PASSWORD, address="203.0.113.99")
        assert response.status_code == 200

    def test_attack_20_an_attacker_does_not_lock_the_owner_out(self, shop, user):
        client = shop()
        assert attempt(client, password=PASSWORD, address=HOME).status_code == 200
        for number in range(30):
            assert attempt(client, address=f"203.0.113.{number}").status_code == 401
        assert attempt(client, password=PASSWORD, address=OFFICE).status_code == 429
        assert attempt(client, password=PASSWORD, address=HOME).status_code == 200

    def test_attack_20_an_address_that_is_known_may_not_guess_without_end(self, shop, user):
        client = shop()
        assert attempt(client, password=PASSWORD, address=HOME).status_code == 200
        for _ in range(5):
            assert attempt(client, address=HOME).status_code == 401
        assert is_throttled(attempt(client, password=PASSWORD, address=HOME), 60)

    def test_attack_20_an_address_known_to_another_account_is_not_known_to_this_one(
        self, shop, database, user
    ):
        client = shop()
        saved_user(database, username="attacker")
        assert attempt(client, "attacker", PASSWORD, address=ATTACKER).status_code == 200
        for number in range(30):
            assert attempt(client, address=f"203.0.113.{100 + number}").status_code == 401
        assert attempt(client, password=PASSWORD, address=ATTACKER).status_code == 429

    def test_the_names_of_one_account_share_its_count(self, shop, user):
        client = shop()
        names = [
            {"username": "Amina"},
            {"username": "AMINA"},
            {"email": "amina@example.co.ke"},
            {"phone_number": "0712345678"},
            {"phone_number": "+254712345678"},
        ]
        for name in names:
            response = client.post("/api/login", json={**name, "password": "wrong password"})
            assert response.status_code == 401
        for name in names:
            response = client.post("/api/login", json={**name, "password": PASSWORD})
            assert is_throttled(response, 60)

    def test_attack_25_a_name_that_nobody_has_is_limited_alike(self, shop, user):
        client = shop()
        for _ in range(5):
            assert attempt(client, "nobody").status_code == 401
        known = [attempt(client).status_code for _ in range(5)]
        assert known == [401] * 5
        assert is_throttled(attempt(client, "nobody"), 60)
        assert is_throttled(attempt(client), 60)

    def test_attack_21_one_password_is_not_tried_on_everybody(self, shop, database, user):
        client = shop()
        for number in range(60):
            response = attempt(client, f"person{number}", "Nairobi 2026 karibu")
            assert is_refused(response, 401, "wrong_credentials")
        before = accounts(database)
        assert is_throttled(attempt(client, password=PASSWORD), 900)
        assert accounts(database) == before
        assert attempt(client, password=PASSWORD, address=HOME).status_code == 200

    def test_attack_21_a_whole_ipv6_network_is_one_address(self, shop, user):
        client = shop(login_failure_address_limit="3 per hour")
        for number in range(3):
            response = attempt(client, f"person{number}", address=f"2001:db8:1:2::{number + 1}")
            assert response.status_code == 401
        response = attempt(client, password=PASSWORD, address="2001:db8:1:2:ffff::9")
        assert is_throttled(response, 3600)
        assert attempt(client, password=PASSWORD, address="2001:db8:1:3::1").status_code == 200

    @pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Real-IP", "Forwarded"])
    def test_attack_22_an_address_that_the_caller_claims_is_not_believed(self, shop, user, header):
        client = shop(trusted_proxy_count=0)
        answers = [
            attempt(client, headers={header: f"10.0.0.{number}"}).status_code
            for number in range(30)
        ]
        assert answers == [401] * 5 + [429] * 25

    def test_attack_22_behind_one_proxy_only_its_own_word_is_believed(self, shop, user):
        client = shop(trusted_proxy_count=1)
        answers = [
            attempt(
                client, headers={"X-Forwarded-For": f"10.0.0.{number}, {ATTACKER}"}, address="::1"
            ).status_code
            for number in range(30)
        ]
        assert answers == [401] * 5 + [429] * 25
        response = attempt(
            client, password=PASSWORD, headers={"X-Forwarded-For": HOME}, address="::1"
        )
        assert response.status_code == 200

    def test_a_forwarded_address_that_is_none_opens_nothing(self, shop, database, user):
        client = shop(trusted_proxy_count=1)
        header = {"X-Forwarded-For": "x" * 300}
        response = attempt(client, password=PASSWORD, headers=header)
        assert response.status_code == 200
        with database.reading() as session:
            assert session.scalars(select(LoginSession.remote_addr)).all() == [None]
        for _ in range(5):
            assert attempt(client, headers=header).status_code == 401
        assert is_throttled(attempt(client, password=PASSWORD, headers=header), 60)

    def test_attack_23_the_count_is_one_over_all_processes(self, shop, user):
        clients = [shop() for _ in range(4)]
        answers = [attempt(clients[number % 4]).status_code for number in range(12)]
        assert answers == [401] * 5 + [429] * 7

    def test_attack_24_every_spelling_of_the_route_is_one_count(self, shop, user):
        client = shop()
        reached = 0
        for number in range(24):
            path = ("/api/login", "/api/login/", "//api/login", "/API/LOGIN")[number % 4]
            response = client.post(
                "/api/login",
                json={"username": "Amina", "password": "wrong password"},
                environ_overrides={"PATH_INFO": path},  # a client would read // as a host
            )
            assert response.status_code in {401, 404, 429}
            reached += response.status_code == 401
        assert reached == 5
        assert client.head("/api/login").status_code == 405

    @pytest.mark.parametrize("taken", [True, False])
    def test_registrations_are_one_count_over_their_routes(self, shop, database, taken):
        client = shop(register_limit="3 per hour")
        routes = ("/api/register", "/api/users", "/users", "/api/register")
        if taken:
            saved_user(database, username="person")
        answers = []
        for number, route in enumerate(routes):
            before = accounts(database)
            body = {
                "username": "person" if taken else f"person{number}",
                "email": f"person{number}@example.co.ke",
                "password": PASSWORD,
            }
            response = client.post(route, json=body)
            answers.append(response.status_code)
        assert answers == [409 if taken else 201] * 3 + [429]
        assert is_throttled(response, 3600)
        assert accounts(database) == before

    def test_a_stolen_access_token_does_not_find_the_password(self, shop, database, user):
        client = shop()
        headers = bearer(signed_in(client, user))
        for number in range(6):
            before = accounts(database)
            response = client.put(
                "/api/profile",
                json={"password": "mvua ya masika 7", "current_password": f"guess {number}"},
                headers=headers,
            )
            assert accounts(database) == before
            if number < 5:
                assert is_refused(response, 400, "wrong_password", "current_password")
        assert is_throttled(response, 60)
        body = {"password": "mvua ya masika 7", "current_password": PASSWORD}
        assert client.put("/api/profile", json=body, headers=headers).status_code == 429
