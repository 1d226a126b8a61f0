"""Accounts are made once each, under names that cannot pass for one another."""

import threading

import pytest
from sqlalchemy import select
from werkzeug.security import check_password_hash

from app.models import User
from app.policies import Role
from tests.controllers.callers import NEW_ACCOUNT, accounts, bearer, caller, is_refused, saved_user
from tests.controllers.callers import signed_in as sign_in
from tests.factories import PASSWORD

ROUTES = ("/api/register", "/api/users", "/users")


def register(client, **fields):
    return client.post("/api/register", json={**NEW_ACCOUNT, **fields})


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_of_registration_makes_a_customer(client, database, clock, route):
    response = client.post(route, json={**NEW_ACCOUNT, "phone_number": "0712 345 678"})
    assert response.status_code == 201
    assert response.get_json() == {
        "id": 1,
        "username": "amina",
        "email": "amina@example.co.ke",
        "phone_number": "254712345678",
        "role": "customer",
        "picture_url": None,
        "created_at": "2026-11-22T09:00:00Z",
    }
    with database.reading() as session:
        (user,) = session.scalars(select(User))
    assert (user.role, user.suspended_at, user.created_at) == ("customer", None, clock.now)
    assert check_password_hash(user.password_hash, PASSWORD)
    assert "Location" not in response.headers


def test_a_new_account_can_sign_in_at_once(client):
    user = register(client).get_json()
    response = client.post("/api/login", json={"username": "amina", "password": PASSWORD})
    assert response.get_json()["user"] == user


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("missing", ["username", "email", "password"])
def test_what_is_missing_is_named(client, database, route, missing):
    body = {name: value for name, value in NEW_ACCOUNT.items() if name != missing}
    assert is_refused(client.post(route, json=body), 400, "invalid_input", missing)
    assert accounts(database) == []


@pytest.mark.parametrize("body", ["null", "[]", '"x"', "1", "true"])
def test_attack_53_a_body_that_is_no_object_is_refused(client, database, body):
    response = client.post("/api/register", data=body, content_type="application/json")
    assert is_refused(response, 400, "invalid_input", "body")
    assert accounts(database) == []


@pytest.mark.parametrize(
    "field",
    ["role", "is_admin", "id", "user_id", "status", "created_at", "token_version",
     "password_hash", "suspended_at", "picture_url"],
)  # fmt: skip
@pytest.mark.parametrize("route", ROUTES)
def test_attack_37_a_field_that_is_not_the_callers_to_set_is_refused(
    client, database, route, field
):
    response = client.post(route, json={**NEW_ACCOUNT, field: "admin"})
    assert is_refused(response, 400, "invalid_input", field)
    assert accounts(database) == []


@pytest.mark.parametrize("field", ["username", "email", "password", "phone_number"])
@pytest.mark.parametrize(
    "value", [1, True, [], {}, 1.5, "\x00\x00\x00\x00\x00\x00\x00\x00", "a\nb"]
)
def test_attack_50_a_value_that_is_no_plain_text_is_refused(client, database, field, value):
    assert is_refused(register(client, **{field: value}), 400, "invalid_input", field)
    assert accounts(database) == []


@pytest.mark.parametrize(
    "password",
    ["", "a", "1234567", "Sh0rt! ", "x" * 129, "password", "PASSWORD", "12345678", "qwertyuiop",
     "password123", "iloveyou", "safaricom", "liverpool", "x" * 1025, "é" * 600],
)  # fmt: skip
def test_attack_26_a_weak_password_is_refused(client, database, password):
    assert is_refused(register(client, password=password), 400, "invalid_input", "password")
    assert accounts(database) == []


@pytest.mark.parametrize(
    "password", ["Amina.Wanjiku", "amina.w@example.co.ke", "amina.w@EXAMPLE.co.ke", "AMINA.WANJIKU"]
)
def test_attack_26_a_password_that_is_ones_own_name_is_refused(client, database, password):
    own = {"username": "amina.wanjiku", "email": "amina.w@example.co.ke"}
    assert is_refused(register(client, **own, password=password), 400, "invalid_input", "password")
    assert accounts(database) == []


def test_attack_26_a_megabyte_of_password_is_refused_before_it_is_hashed(
    client, database, hashes_made
):
    response = register(client, password="x" * 1_000_000)
    assert is_refused(response, 400, "invalid_input", "password")
    response = register(client, password="x" * 1_100_000)
    assert is_refused(response, 413, "body_too_large")
    assert hashes_made == []
    assert accounts(database) == []


@pytest.mark.parametrize(
    "password",
    ["a" * 64, "b" * 128, "neno la siri", "пароль длинный", "🦁🐘🦏🦒🐆🦓🐃🦛", "  spaces  ",
     "aaaaaaaa1", "password but longer", "\u00e9" * 128],
)  # fmt: skip
def test_attack_26_any_characters_make_a_password_and_none_is_cut_off(client, password):
    assert register(client, password=password).status_code == 201
    for wrong in (password[:-1], password + " ", password.strip() + "x", password.swapcase() + "x"):
        response = client.post("/api/login", json={"username": "amina", "password": wrong})
        assert is_refused(response, 401, "wrong_credentials")
    response = client.post("/api/login", json={"username": "amina", "password": password})
    assert response.status_code == 200


def test_attack_26_a_password_is_read_beyond_its_72nd_byte(client):
    register(client, password="p" * 72 + "a")
    response = client.post("/api/login", json={"username": "amina", "password": "p" * 72 + "b"})
    assert is_refused(response, 401, "wrong_credentials")


def test_a_password_is_the_same_however_the_keyboard_composes_it(client):
    register(client, password="caf\u00e9 au lait")
    response = client.post(
        "/api/login", json={"username": "amina", "password": "cafe\u0301 au lait"}
    )
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Admin", "ADMIN"),
        ("admin", "\uff41\uff44\uff4d\uff49\uff4e"),  # full-width
        ("admin", " admin"),
        ("admin", "admin "),
        ("strasse", "stra\u00dfe"),
        ("kamau", "\u212aamau"),  # the Kelvin sign
        ("simba", "\u017fimba"),  # the long s
        ("jos\u00e9", "jose\u0301"),
        ("\u00c9tienne", "\u00e9tienne"),
        ("M\u0169thoni", "m\u0168THONI"),
        ("user123", "user\uff11\uff12\uff13"),
        ("fish.fi", "\ufb01sh.\ufb01"),  # ligatures
    ],
)
def test_attack_27_a_name_that_passes_for_another_is_taken(client, database, first, second):
    assert register(client, username=first).status_code == 201
    before = accounts(database)
    response = register(client, username=second, email="other@example.co.ke")
    assert is_refused(response, 409, "username_taken", "username")
    assert accounts(database) == before


@pytest.mark.parametrize(
    "username",
    [
        "\u0430dmin",  # Cyrillic
        "\u0430\u043d\u043d\u0430",
        "admin\u200b",
        "ad\u200dmin",
        "ad\u00admin",
        "\u202eadmin",
        "\ufeffadmin",
        "adm\u0131n",  # a dotless i
        "admin\u0301\u0301\u0301",
        "ab",
        "a" * 31,
        "amina wanjiku",
        "amina@example",
        "<script>",
        "amina/..",
        "a\u0660b\u0661c",
        "254712345678",
        "...",
        "___",
        "\u6d4b\u8bd5\u7528\u6237",
        "\U0001f981\U0001f981\U0001f981",
        "am\u00a0ina",
        "",
        "   ",
    ],
)
def test_attack_27_a_name_of_strange_characters_is_refused(client, database, username):
    assert is_refused(register(client, username=username), 400, "invalid_input", "username")
    assert accounts(database) == []


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("\uff21mina", "Amina"),
        (" amina.w_k-9 ", "amina.w_k-9"),
        ("Amina", "Amina"),
        ("abc", "abc"),
        ("a" * 30, "a" * 30),
        ("m\u0169thoni", "m\u0169thoni"),
    ],
)
def test_a_username_is_kept_in_its_plain_spelling(client, given, stored):
    assert register(client, username=given).get_json()["username"] == stored


@pytest.mark.parametrize(
    "email",
    ["AMINA@example.co.ke", "amina@EXAMPLE.co.ke", "aMiNa@eXaMpLe.Co.Ke", " amina@example.co.ke "],
)
def test_attack_28_an_address_that_differs_in_case_is_taken_on_every_database(
    client, database, email
):
    assert register(client).status_code == 201
    before = accounts(database)
    response = register(client, username="other", email=email)
    assert is_refused(response, 409, "email_taken", "email")
    assert accounts(database) == before


def test_attack_28_a_letter_that_sqlite_cannot_fold_is_one_name_on_every_database(client, database):
    assert register(client, username="\u00c9lodie").status_code == 201
    response = client.post("/api/login", json={"username": "\u00e9LODIE", "password": PASSWORD})
    assert response.status_code == 200
    response = register(client, username="\u00e9lodie", email="other@example.co.ke")
    assert is_refused(response, 409, "username_taken", "username")


@pytest.mark.parametrize(
    "email",
    [
        "amina@example.co.ke\nbcc: other@example.co.ke",
        "amina\r@example.co.ke",
        '"<script>"@b.co',
        '"amina"@example.co.ke',
        "a" * 300 + "@example.co.ke",
        "a" * 65 + "@example.co.ke",
        "a@" + "b" * 64 + ".co",
        "a@" + ".".join(["b" * 60] * 5) + ".co",
        "a@[127.0.0.1]",
        "a@127.0.0.1",
        "a@localhost",
        "a@b",
        "a@b.c",
        "a@-b.co",
        "a@b-.co",
        "a@b..co",
        "a@.co",
        "a@b.co.",
        "@b.co",
        "a.@b.co",
        ".a@b.co",
        "a..b@b.co",
        "a b@b.co",
        "a@b@c.co",
        "Amina <a@b.co>",
        "a@b.co, c@d.co",
        "a@b.co;c@d.co",
        "a@b_c.co",
        "\u00e9lodie@example.co.ke",
        "amina@ex\u0430mple.co.ke",
        "amina@example.co.ke\u200b",
        "amina",
        "",
    ],
)
def test_attack_29_what_is_no_plain_address_is_refused(client, database, email):
    assert is_refused(register(client, email=email), 400, "invalid_input", "email")
    assert accounts(database) == []


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("Amina.K+shop@Example.CO.KE", "Amina.K+shop@example.co.ke"),
        ("o'brien@example.ie", "o'brien@example.ie"),
        ("a@b.co", "a@b.co"),
        ("a@b.co\n", "a@b.co"),  # trimmed like a space, before anything reads it
        ("a@xn--bcher-kva.example", "a@xn--bcher-kva.example"),
        ("a" * 64 + "@example.co.ke", "a" * 64 + "@example.co.ke"),
    ],
)
def test_an_address_is_kept_with_its_domain_in_lower_case(client, given, stored):
    assert register(client, email=given).get_json()["email"] == stored


@pytest.mark.parametrize("phone", ["0712 345 678", "+254712345678", "712345678", "254-712-345678"])
def test_a_phone_number_that_somebody_has_is_taken_in_any_spelling(client, database, phone):
    assert register(client, phone_number="0712345678").status_code == 201
    before = accounts(database)
    other = {"username": "other", "email": "other@example.co.ke", "phone_number": phone}
    response = register(client, **other)
    assert is_refused(response, 409, "phone_number_taken", "phone_number")
    assert accounts(database) == before


@pytest.mark.parametrize(
    "phone", ["+255712345678", "0812345678", "07123", "", "\u0660712345678", "0712345678x"]
)
def test_a_number_that_is_not_kenyan_and_mobile_is_refused(client, database, phone):
    assert is_refused(register(client, phone_number=phone), 400, "invalid_input", "phone_number")
    assert accounts(database) == []


def test_accounts_without_a_phone_do_not_collide(client):
    assert register(client).status_code == 201
    response = register(client, username="other", email="other@example.co.ke", phone_number=None)
    assert (response.status_code, response.get_json()["phone_number"]) == (201, None)


def test_every_taken_field_is_named_at_once(client, database):
    assert register(client, phone_number="0712345678").status_code == 201
    before = accounts(database)
    response = register(client, phone_number="0712345678")
    assert is_refused(response, 409, "username_taken", "username", "email", "phone_number")
    assert accounts(database) == before


def test_names_that_different_people_have_are_all_named(client, database):
    saved_user(database, username="otieno", email="otieno@example.co.ke")
    saved_user(database, username="njeri", email="njeri@example.co.ke")
    before = accounts(database)
    response = register(client, username="Otieno", email="NJERI@example.co.ke")
    assert is_refused(response, 409, "username_taken", "username", "email")
    assert accounts(database) == before


@pytest.mark.parametrize("same", ["email", "username", "phone_number"])
def test_attack_31_of_two_registrations_at_once_one_is_made_and_one_is_told(app, database, same):
    bodies = [
        {
            "username": f"amina{number}",
            "email": f"amina{number}@example.co.ke",
            "phone_number": f"071234567{number}",
            "password": PASSWORD,
        }
        for number in range(6)
    ]
    for body in bodies:
        body[same] = bodies[0][same]
    start = threading.Barrier(len(bodies))
    answers = []

    def work(body):
        start.wait()
        answers.append(app.test_client().post("/api/register", json=body))

    threads = [threading.Thread(target=work, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refusals = [answer for answer in answers if answer.status_code != 201]
    assert len(refusals) == len(bodies) - 1
    for refusal in refusals:
        assert is_refused(refusal, 409, f"{same}_taken", same)
    assert len(accounts(database)) == 1


@pytest.mark.parametrize("taken", [True, False])
def test_attack_25_a_taken_name_costs_as_many_hashes_as_a_free_one(
    client, database, hashes_made, taken
):
    if taken:
        saved_user(database, username="amina")
    assert register(client).status_code == (409 if taken else 201)
    assert len(hashes_made) == 1


def test_an_answer_never_holds_a_password_or_its_hash(client, database):
    register(client)
    user, headers = caller(client, database, Role.ADMIN)
    tokens = sign_in(client, user)
    for response in (
        client.get("/api/profile", headers=headers),
        client.get("/api/users", headers=headers),
        client.get("/users/1", headers=headers),
        client.patch("/api/users/1", json={"role": "seller"}, headers=headers),
        client.post("/api/refresh", headers=bearer(tokens["refresh_token"])),
        register(client),
    ):
        assert "password" not in response.text.replace("password_changed", "")
        assert "scrypt" not in response.text
        assert PASSWORD not in response.text


def test_passwords_and_tokens_do_not_reach_the_log(client, database, capfd):
    register(client, password="canary-in-the-mine")
    pair = client.post(
        "/api/login", json={"username": "amina", "password": "canary-in-the-mine"}
    ).get_json()
    client.post("/api/login", json={"username": "canary-in-the-mine", "password": "canary-wrong"})
    client.get("/api/profile", headers=bearer(pair))
    log = capfd.readouterr().err
    assert "signed_in" in log
    for secret in ("canary", pair["access_token"], pair["refresh_token"], "scrypt"):
        assert secret not in log
