"""Profiles, and what admins do with accounts."""

import threading

import pytest
from sqlalchemy import select
from werkzeug.security import check_password_hash

from app.models import LoginSession, User
from app.policies import Role
from tests.controllers.callers import accounts, bearer, caller, is_refused, saved_user, signed_in
from tests.factories import PASSWORD

NEW_PASSWORD = "mvua ya masika 7"
PRIVATE_ROUTES = [
    ("GET", "/api/profile"),
    ("PUT", "/api/profile"),
    ("PATCH", "/api/profile"),
    ("POST", "/api/logout"),
    ("POST", "/api/refresh"),
    ("GET", "/api/users"),
    ("GET", "/users"),
    ("PATCH", "/api/users/1"),
    ("PATCH", "/users/1"),
]


@pytest.fixture
def amina(client, database):
    """A customer and their headers."""
    return caller(
        client,
        database,
        username="amina",
        email="amina@example.co.ke",
        phone_number="254712345678",
    )


def put(client, headers, **changes):
    return client.put("/api/profile", json=changes, headers=headers)


@pytest.mark.parametrize(("method", "path"), PRIVATE_ROUTES)
def test_a_stranger_is_asked_to_sign_in_before_anything_is_read(
    client, database, amina, method, path
):
    before = accounts(database)
    for body in ({"username": "other"}, {"nonsense": 1}):
        response = client.open(path, method=method, json=body)
        assert is_refused(response, 401, "unauthenticated")
    assert accounts(database) == before


@pytest.mark.parametrize("role", [Role.CUSTOMER, Role.SELLER])
@pytest.mark.parametrize(("method", "path"), [r for r in PRIVATE_ROUTES if "users" in r[1]])
def test_who_is_no_admin_does_not_administer(client, database, role, method, path):
    _, headers = caller(client, database, role)
    before = accounts(database)
    for body in ({"role": "admin"}, {"suspended": True}, {"nonsense": 1}):
        response = client.open(path, method=method, json=body, headers=headers)
        assert is_refused(response, 403, "forbidden")
    assert accounts(database) == before


def test_a_profile_is_the_whole_user_and_nothing_more(client, amina):
    user, headers = amina
    response = client.get("/api/profile", headers=headers)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert response.get_json() == {
        "id": user.id,
        "username": "amina",
        "email": "amina@example.co.ke",
        "phone_number": "254712345678",
        "role": "customer",
        "picture_url": None,
        "created_at": "2026-11-22T09:00:00Z",
    }


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize(
    ("field", "given", "shown"),
    [
        ("username", "Amina.Wanjiku", "Amina.Wanjiku"),
        ("username", "AMINA", "AMINA"),
        ("email", "Wanjiku@Example.co.ke", "Wanjiku@example.co.ke"),
        ("phone_number", "0799 000 111", "254799000111"),
        ("phone_number", None, None),
    ],
)
def test_one_field_changes_and_the_others_stay(client, amina, method, field, given, shown):
    _, headers = amina
    before = client.get("/api/profile", headers=headers).get_json()
    response = client.open("/api/profile", method=method, json={field: given}, headers=headers)
    assert response.status_code == 200
    assert response.get_json() == {**before, field: shown}
    assert client.get("/api/profile", headers=headers).get_json() == response.get_json()


def test_a_new_name_signs_in_and_the_old_one_does_not(client, amina):
    _, headers = amina
    changes = {
        "username": "wanjiku",
        "email": "wanjiku@example.co.ke",
        "phone_number": "0799000111",
    }
    assert put(client, headers, **changes).status_code == 200
    for name, status in (
        ({"username": "wanjiku"}, 200),
        ({"email": "wanjiku@example.co.ke"}, 200),
        ({"phone_number": "0799000111"}, 200),
        ({"username": "amina"}, 401),
        ({"email": "amina@example.co.ke"}, 401),
        ({"phone_number": "0712345678"}, 401),
    ):
        response = client.post("/api/login", json={**name, "password": PASSWORD})
        assert response.status_code == status, name


def test_an_empty_change_changes_nothing_that_is_shown(client, amina):
    _, headers = amina
    before = client.get("/api/profile", headers=headers).get_json()
    response = put(client, headers)
    assert (response.status_code, response.get_json()) == (200, before)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", None),
        ("username", "a"),
        ("username", "\u0430mina"),
        ("email", None),
        ("email", "a@[127.0.0.1]"),
        ("phone_number", "12"),
        ("password", NEW_PASSWORD),  # without the current one it is that which is missing
        ("current_password", PASSWORD),
        ("id", 2),
        ("role", "admin"),
        ("picture_url", "https://example.com/x.png"),
        ("suspended", False),
        ("created_at", "2020-01-01T00:00:00Z"),
        ("password_hash", "x"),
        ("token_version", 1),
    ],
)
def test_attack_37_a_profile_takes_its_own_fields_in_their_form_alone(
    client, database, amina, field, value
):
    _, headers = amina
    before = accounts(database)
    named = {"password": "current_password", "current_password": "password"}.get(field, field)
    # alone, and beside a change that would be good
    for good in ({}, {"username": "wanjiku"} if field != "username" else {"phone_number": None}):
        response = put(client, headers, **{**good, field: value})
        assert is_refused(response, 400, "invalid_input", named)
    assert accounts(database) == before


@pytest.mark.parametrize(
    ("field", "theirs"),
    [("username", "OTIENO"), ("email", "Otieno@example.co.ke"), ("phone_number", "0799000111")],
)
def test_what_another_account_has_is_taken(client, database, amina, field, theirs):
    _, headers = amina
    saved_user(
        database, username="otieno", email="otieno@example.co.ke", phone_number="254799000111"
    )
    before = accounts(database)
    response = put(client, headers, **{field: theirs})
    assert is_refused(response, 409, f"{field}_taken", field)
    assert accounts(database) == before


def test_of_two_users_who_take_one_name_at_once_one_has_it(app, client, database):
    callers = [caller(client, database)[1] for _ in range(4)]
    start = threading.Barrier(len(callers))
    answers = []

    def take(headers):
        start.wait()
        answers.append(put(app.test_client(), headers, username="wanted"))

    threads = [threading.Thread(target=take, args=(headers,)) for headers in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refusals = [answer for answer in answers if answer.status_code != 200]
    assert len(refusals) == 3
    for refusal in refusals:
        assert is_refused(refusal, 409, "username_taken", "username")


class TestPassword:
    def test_a_new_one_signs_in_and_the_old_one_does_not(self, client, database, amina):
        user, headers = amina
        response = put(client, headers, password=NEW_PASSWORD, current_password=PASSWORD)
        assert response.status_code == 200
        assert set(response.get_json()) == {
            "id", "username", "email", "phone_number", "role", "picture_url", "created_at"
        }  # fmt: skip
        assert signed_in(client, user, NEW_PASSWORD)["user"]["id"] == user.id
        old = client.post("/api/login", json={"username": "amina", "password": PASSWORD})
        assert is_refused(old, 401, "wrong_credentials")
        with database.reading() as session:
            stored = session.get_one(User, user.id).password_hash
        assert check_password_hash(stored, NEW_PASSWORD)

    def test_the_other_sessions_end_and_say_why(self, client, database, amina):
        user, headers = amina
        signed_in(client, user)
        stranger, strangers_headers = caller(client, database)
        put(client, headers, password=NEW_PASSWORD, current_password=PASSWORD)
        with database.reading() as session:
            rows = session.scalars(select(LoginSession)).all()
        reasons = [(row.user_id, row.revoked_reason) for row in rows]
        assert sorted(reasons, key=str) == sorted(
            [(user.id, None), (user.id, "password_changed"), (stranger.id, None)], key=str
        )
        assert client.get("/api/profile", headers=strangers_headers).status_code == 200

    def test_a_wrong_current_one_is_named_and_changes_nothing(self, client, database, amina):
        _, headers = amina
        before = accounts(database)
        response = put(
            client,
            headers,
            username="other",
            password=NEW_PASSWORD,
            current_password="wrong password",
        )
        assert is_refused(response, 400, "wrong_password", "current_password")
        assert accounts(database) == before

    @pytest.mark.parametrize(
        "password", ["short", "password", "x" * 129, "AMINA@example.co.ke", "wanjiku.amina"]
    )
    def test_a_weak_one_is_refused_by_the_names_that_will_hold(
        self, client, database, amina, password
    ):
        _, headers = amina
        before = accounts(database)
        response = put(
            client,
            headers,
            username="wanjiku.amina",
            password=password,
            current_password=PASSWORD,
        )
        assert is_refused(response, 400, "invalid_input", "password")
        assert accounts(database) == before


class TestPublicProfile:
    PUBLIC = {"id", "username", "picture_url", "created_at"}  # noqa: RUF012 - a constant

    @pytest.mark.parametrize("path", ["/users/{}", "/api/users/{}"])
    def test_anybody_sees_the_public_part_alone(self, client, database, amina, path):
        user, _ = amina
        _, stranger = caller(client, database)
        _, seller = caller(client, database, Role.SELLER)
        for headers in ({}, stranger, seller):
            response = client.get(path.format(user.id), headers=headers)
            assert response.get_json() == {
                "id": user.id,
                "username": "amina",
                "picture_url": None,
                "created_at": "2026-11-22T09:00:00Z",
            }

    def test_the_user_and_admins_see_the_whole(self, client, database, amina):
        user, headers = amina
        _, admin = caller(client, database, Role.ADMIN)
        whole = client.get("/api/profile", headers=headers).get_json()
        for allowed in (headers, admin):
            assert client.get(f"/users/{user.id}", headers=allowed).get_json() == whole

    def test_attack_36_no_parameter_adds_a_field(self, client, amina):
        user, _ = amina
        for query in ("fields=password_hash", "include=email", "user_id=1", "fields=*"):
            response = client.get(f"/users/{user.id}?{query}")
            assert set(response.get_json()) == self.PUBLIC

    @pytest.mark.parametrize(
        "path",
        ["/users/999", "/users/0", "/users/-1", "/users/1.0", "/users/01", "/users/a",
         "/users/9223372036854775808", "/users/99999999999999999999", "/users/%D9%A1",
         "/users/1%00", "/users/1'"],
    )  # fmt: skip
    def test_who_is_not_there_is_a_404(self, client, amina, path):
        assert is_refused(client.get(path), 404, "not_found")
        assert is_refused(client.get("/api" + path), 404, "not_found")


class TestAdministration:
    @pytest.fixture
    def admin(self, client, database):
        return caller(client, database, Role.ADMIN, username="mkubwa")

    @pytest.mark.parametrize("path", ["/api/users/{}", "/users/{}"])
    @pytest.mark.parametrize("role", ["seller", "admin", "customer"])
    def test_a_role_is_given(self, client, admin, amina, path, role):
        user, headers = amina
        response = client.patch(path.format(user.id), json={"role": role}, headers=admin[1])
        assert (response.status_code, response.get_json()["role"]) == (200, role)
        assert client.get("/api/profile", headers=headers).get_json()["role"] == role

    def test_a_suspended_user_cannot_sign_in_until_let_in_again(
        self, client, database, clock, admin, amina
    ):
        user, _ = amina
        clock.advance(minutes=5)
        path, credentials = f"/api/users/{user.id}", {"username": "amina", "password": PASSWORD}
        response = client.patch(path, json={"suspended": True}, headers=admin[1])
        assert response.status_code == 200
        with database.reading() as session:
            assert session.get_one(User, user.id).suspended_at == clock.now
        assert is_refused(client.post("/api/login", json=credentials), 401, "wrong_credentials")
        client.patch(path, json={"suspended": False}, headers=admin[1])
        assert client.post("/api/login", json=credentials).status_code == 200

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("role", "owner"),
            ("role", "ADMIN"),
            ("role", None),
            ("role", ["admin"]),
            ("suspended", "true"),
            ("suspended", 1),
            ("suspended", None),
            ("username", "other"),
            ("password", NEW_PASSWORD),
            ("suspended_at", "2026-01-01T00:00:00Z"),
        ],
    )
    def test_a_malformed_change_is_invalid_input(
        self, client, database, admin, amina, field, value
    ):
        before = accounts(database)
        path = f"/api/users/{amina[0].id}"
        response = client.patch(path, json={field: value}, headers=admin[1])
        assert is_refused(response, 400, "invalid_input", field)
        assert accounts(database) == before

    def test_nobody_is_changed_who_is_not_there(self, client, database, admin):
        before = accounts(database)
        response = client.patch("/api/users/999", json={"role": "seller"}, headers=admin[1])
        assert is_refused(response, 404, "not_found")
        assert accounts(database) == before

    @pytest.mark.parametrize(
        "change", [{"role": "customer"}, {"role": "seller"}, {"suspended": True}]
    )
    def test_the_last_admin_stays(self, client, database, clock, admin, change):
        saved_user(database, Role.ADMIN, suspended_at=clock.now)  # who cannot sign in is no help
        before = accounts(database)
        path = f"/api/users/{admin[0].id}"
        response = client.patch(path, json=change, headers=admin[1])
        assert is_refused(response, 409, "last_admin")
        assert accounts(database) == before

    def test_an_admin_who_is_not_the_last_may_go(self, client, database, admin):
        saved_user(database, Role.ADMIN)
        path = f"/api/users/{admin[0].id}"
        response = client.patch(path, json={"role": "customer"}, headers=admin[1])
        assert (response.status_code, response.get_json()["role"]) == (200, "customer")
        assert is_refused(client.get("/api/users", headers=admin[1]), 403, "forbidden")

    def test_admins_who_demote_each_other_at_once_leave_one(self, app, client, database):
        admins = [caller(client, database, Role.ADMIN) for _ in range(2)]
        start = threading.Barrier(2)
        answers = []

        def demote(target, headers):
            start.wait()
            response = app.test_client().patch(
                f"/api/users/{target.id}", json={"role": "customer"}, headers=headers
            )
            answers.append(response.status_code)

        threads = [
            threading.Thread(target=demote, args=(admins[1 - number][0], admins[number][1]))
            for number in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers.count(200) == 1
        assert {409, 403, 401} >= set(answers) - {200}
        with database.reading() as session:
            left = session.scalars(select(User).where(User.role == "admin")).all()
        assert len(left) == 1


class TestList:
    @pytest.fixture
    def admin(self, client, database, clock):
        people = (
            ("otieno", "otieno@example.co.ke", Role.SELLER, {}),
            ("Wanjiku_1", "w.k@shop.example", Role.CUSTOMER, {"phone_number": "254711222333"}),
            ("gone", "gone@example.co.ke", Role.SELLER, {"suspended_at": clock.now}),
        )
        for username, email, role, fields in people:
            saved_user(database, role, username=username, email=email, **fields)
        return caller(client, database, Role.ADMIN, username="mkubwa", email="boss@shop.example")[1]

    def names(self, client, admin, query=""):
        response = client.get(f"/api/users{query}", headers=admin)
        assert response.status_code == 200, response.text
        return [user["username"] for user in response.get_json()["data"]]

    def test_everybody_is_listed_the_newest_first(self, client, admin):
        response = client.get("/api/users?include_total=true", headers=admin)
        body = response.get_json()
        assert [user["username"] for user in body["data"]] == [
            "mkubwa", "gone", "Wanjiku_1", "otieno"
        ]  # fmt: skip
        assert body["page"] == {"next": None, "has_more": False, "total": 4}
        assert set(body["data"][0]) == {
            "id", "username", "email", "phone_number", "role", "picture_url", "created_at"
        }  # fmt: skip
        assert response.headers["Cache-Control"] == "no-store"

    def test_a_page_leads_to_the_next(self, client, admin):
        first = client.get("/api/users?limit=3", headers=admin)
        assert [user["username"] for user in first.get_json()["data"]] == [
            "mkubwa", "gone", "Wanjiku_1"
        ]  # fmt: skip
        link = first.headers["Link"].partition(">")[0].removeprefix("<")
        second = client.get(link, headers=admin).get_json()
        assert [user["username"] for user in second["data"]] == ["otieno"]
        assert second["page"] == {"next": None, "has_more": False}

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("?role=seller", ["gone", "otieno"]),
            ("?role=admin", ["mkubwa"]),
            ("?suspended=true", ["gone"]),
            ("?suspended=false", ["mkubwa", "Wanjiku_1", "otieno"]),
            ("?q=OTIE", ["otieno"]),
            ("?q=shop.example", ["mkubwa", "Wanjiku_1"]),
            ("?q=wanjiku_1", ["Wanjiku_1"]),
            ("?q=0711%20222%20333", ["Wanjiku_1"]),
            ("?q=%2B254711222333", ["Wanjiku_1"]),
            ("?q=nobody", []),
            ("?q=%25%25", []),
            ("?q=__", []),
            ("?q=u_1", ["Wanjiku_1"]),
            ("?q=%5C%5C", []),
            ("?q=%27%20OR%201=1--", []),
            ("?q=example&role=seller&suspended=false", ["otieno"]),
        ],
    )
    def test_attack_59_filters_compare_text_as_it_is(self, client, admin, query, names):
        assert self.names(client, admin, query) == names

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("role=owner", "role"),
            ("suspended=maybe", "suspended"),
            ("q=a", "q"),
            ("q=" + "a" * 101, "q"),
            ("q=a%00b", "q"),
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=x", "limit"),
            ("cursor=x", "cursor"),
            ("role=seller&role=admin", "role"),
        ],
    )
    def test_a_malformed_query_names_its_field(self, client, admin, query, field):
        response = client.get(f"/api/users?{query}", headers=admin)
        assert is_refused(response, 400, "invalid_input", field)


def test_a_bad_token_is_refused_where_a_token_is_optional(client, amina):
    user, _ = amina
    response = client.get(f"/users/{user.id}", headers=bearer("a.b.c"))
    assert is_refused(response, 401, "invalid_token")
