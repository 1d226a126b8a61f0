"""Accounts and sign-ins with a bare session."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from app.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from app.jobs.accounts import create_user
from app.jobs.sign_in import renew_sign_in, sign_in
from app.jobs.work import Work
from app.models import LoginSession, User
from app.policies import Role
from app.ports import Ports
from app.services.pages import PageRequest
from app.services.users import (
    Credentials,
    LoginField,
    NewPassword,
    NewUser,
    ProfileChange,
    SignedIn,
    UserChange,
    UserFilter,
    change_profile,
    change_user,
    end_sessions_of,
    find_account,
    find_signed_in,
    has_signed_in_from,
    list_users,
    open_session,
    promote_user,
    register_user,
    rotate_session,
)
from app.utils.address import subscriber_of
from app.utils.identity import clean_email, clean_username, email_key, username_key
from app.utils.passwords import (
    common_passwords,
    hash_password,
    password_fault,
    verify_password,
)
from app.utils.token import Claims, TokenKind
from tests.factories import CHEAP_HASH, NOW, PASSWORD, actor_of, ids, make_user

LATER = NOW + timedelta(minutes=5)
MONTH = timedelta(days=30)
SESSION_ID, FIRST, SECOND, THIRD = ("a" * 32, "1" * 32, "2" * 32, "3" * 32)


@pytest.fixture
def user(session):
    return make_user(session, username="amina", email="amina@example.co.ke")


@pytest.fixture
def login(session, user):
    opening = LoginSession(
        id=SESSION_ID, refresh_jti=FIRST, remote_addr="41.90.0.1", expires_at=NOW + MONTH
    )
    return open_session(session, user, opening, NOW)


@pytest.fixture
def work(config, database, clock, gateway, doorbell):
    return Work(database, Ports(clock=clock, gateway=gateway, doorbell=doorbell), config)


def rotate(session, user, old, new, now=LATER, session_id=SESSION_ID):
    return rotate_session(
        session,
        user.id,
        session_id,
        old_token_id=old,
        new_token_id=new,
        good_for=MONTH,
        now=now,
    )


def found(session, user, now=LATER, session_id=SESSION_ID):
    return find_signed_in(session, user.id, session_id, now)


class TestSessions:
    def test_a_signed_in_user_is_found_with_the_role_of_the_moment(self, session, user, login):
        assert found(session, user) == SignedIn(actor_of(user), SESSION_ID)
        user.role = "seller"
        session.flush()
        assert found(session, user).actor.role is Role.SELLER

    def test_nobody_is_found_by_a_session_that_does_not_stand(self, session, user, login):
        other = make_user(session)
        assert found(session, other) is None
        assert found(session, user, session_id="b" * 32) is None
        assert found(session, user, now=NOW + MONTH) is None
        assert found(session, user, now=NOW + MONTH - timedelta(seconds=1)) is not None
        login.revoked_at = NOW
        session.flush()
        assert found(session, user) is None

    def test_nobody_is_found_who_is_suspended(self, session, user, login):
        user.suspended_at = NOW
        session.flush()
        assert found(session, user) is None
        assert rotate(session, user, FIRST, SECOND) is None
        assert login.refresh_jti == FIRST

    def test_no_session_is_opened_for_who_changed_since_the_password_was_proven(
        self, session, user
    ):
        proven = User(id=user.id, password_hash=user.password_hash)
        for change in ({"password_hash": "another"}, {"suspended_at": NOW}):
            for name, value in change.items():
                setattr(user, name, value)
            session.flush()
            opening = LoginSession(id=SESSION_ID, refresh_jti=FIRST, expires_at=NOW + MONTH)
            assert open_session(session, proven, opening, NOW) is None
            user.password_hash, user.suspended_at = proven.password_hash, None
        assert session.scalar(select(func.count()).select_from(LoginSession)) == 0

    def test_each_refresh_token_is_good_once(self, session, user, login):
        assert rotate(session, user, FIRST, SECOND) is user
        assert (login.refresh_jti, login.expires_at) == (SECOND, LATER + MONTH)
        assert rotate(session, user, FIRST, THIRD) is None
        session.refresh(login)
        assert (login.refresh_jti, login.revoked_at, login.revoked_reason) == (
            SECOND, LATER, "refresh_token_reused"
        )  # fmt: skip
        assert rotate(session, user, SECOND, THIRD) is None

    def test_an_expired_token_rotates_nothing_and_accuses_nobody(self, session, user, login):
        assert rotate(session, user, FIRST, SECOND, now=NOW + MONTH) is None
        session.refresh(login)
        assert (login.refresh_jti, login.revoked_at) == (FIRST, None)

    def test_another_users_session_is_neither_rotated_nor_ended(self, session, user, login):
        other = make_user(session)
        assert rotate(session, other, FIRST, SECOND) is None
        assert rotate(session, other, SECOND, THIRD) is None
        session.refresh(login)
        assert (login.refresh_jti, login.revoked_at) == (FIRST, None)

    def test_ending_the_others_leaves_the_one_that_is_named(self, session, user, login):
        for number in "bcd":
            opening = LoginSession(id=number * 32, refresh_jti=FIRST, expires_at=NOW + MONTH)
            open_session(session, user, opening, NOW)
        end_sessions_of(session, user.id, "logout", NOW, besides="b" * 32)
        session.expire_all()
        end_sessions_of(session, user.id, "again", LATER, besides="b" * 32)
        session.expire_all()
        rows = session.scalars(select(LoginSession).order_by(LoginSession.id)).all()
        assert [(row.revoked_at, row.revoked_reason) for row in rows] == [
            (NOW, "logout"), (None, None), (NOW, "logout"), (NOW, "logout")
        ]  # fmt: skip

    def test_an_address_is_known_to_the_account_that_signed_in_from_it(self, session, user, login):
        make_user(session, username="other")

        def knows(name, address):
            return has_signed_in_from(session, LoginField.USERNAME, name, address)

        assert knows("amina", "41.90.0.1") is True
        assert knows("amina", "41.90.0.2") is False
        assert knows("other", "41.90.0.1") is False
        assert knows("nobody", "41.90.0.1") is False


class TestAccounts:
    def new(self, **fields):
        return NewUser(
            **{
                "username": "wanjiku",
                "email": "wanjiku@example.co.ke",
                "password": PASSWORD,
                **fields,
            }
        )

    def test_a_new_user_has_the_role_that_they_are_given(self, session):
        user = register_user(session, self.new(), "hash", Role.SELLER, NOW)
        assert (user.role, user.username_key, user.email_key, user.password_hash) == (
            "seller", "wanjiku", "wanjiku@example.co.ke", "hash"
        )  # fmt: skip

    def test_a_taken_name_leaves_no_account(self, session, user):
        with pytest.raises(Conflict) as refusal:
            register_user(session, self.new(username="AMINA"), "hash", Role.CUSTOMER, NOW)
        assert refusal.value.code == "username_taken"
        assert ids(session.scalars(select(User)).all()) == [user.id]

    @pytest.mark.parametrize(
        "fields", [{"username": " amina"}, {"username": "\uff41mina"}, {"email": "a@B.CO"}]
    )
    def test_a_name_that_nobody_cleaned_is_a_bug(self, fields):
        with pytest.raises(ValueError, match="cleaned"):
            self.new(**fields)
        with pytest.raises(ValueError, match="cleaned"):
            ProfileChange(**fields)

    def test_a_password_that_was_changed_meanwhile_is_not_changed_again(self, session, user, login):
        old = user.password_hash
        caller = SignedIn(actor_of(user), SESSION_ID)
        change = ProfileChange(password="mvua ya masika 7", current_password=PASSWORD)
        change_profile(session, caller, change, NewPassword("first", old), LATER)
        with pytest.raises(Conflict) as refusal:
            change_profile(session, caller, change, NewPassword("second", old), LATER)
        assert refusal.value.code == "password_changed"
        assert user.password_hash == "first"

    def test_a_secret_stays_out_of_what_is_printed(self):
        credentials = Credentials(LoginField.EMAIL, "a@b.co", PASSWORD)
        change = ProfileChange(password=PASSWORD, current_password=PASSWORD)
        for value in (self.new(), change, credentials, NewPassword(PASSWORD, PASSWORD)):
            assert PASSWORD not in repr(value)

    def test_a_suspension_keeps_the_moment_of_the_first(self, session, user, login):
        change_user(session, user.id, UserChange(suspended=True), NOW)
        change_user(session, user.id, UserChange(suspended=True), LATER)
        session.refresh(login)
        assert (user.suspended_at, login.revoked_reason) == (NOW, "suspended")

    def test_a_role_is_given_by_name_or_address(self, session, user):
        assert promote_user(session, "AMINA", Role.SELLER, NOW).role == "seller"
        assert promote_user(session, "amina@EXAMPLE.co.ke", Role.ADMIN, NOW).role == "admin"
        with pytest.raises(Conflict):
            promote_user(session, "amina", Role.CUSTOMER, NOW)
        with pytest.raises(NotFound):
            promote_user(session, "nobody", Role.ADMIN, NOW)
        assert user.role == "admin"

    def test_accounts_are_listed_by_filter(self, session, user):
        seller = make_user(session, Role.SELLER)
        gone = make_user(session, Role.SELLER, suspended_at=NOW)

        def listed(**wanted):
            return ids(list_users(session, UserFilter(**wanted), PageRequest()).rows)

        assert listed() == [gone.id, seller.id, user.id]
        assert listed(role=Role.SELLER) == [gone.id, seller.id]
        assert listed(suspended=False) == [seller.id, user.id]
        assert listed(search="AMIN") == [user.id]
        assert listed(search="+" + user.phone_number) == [user.id]

    @pytest.mark.parametrize("by", list(LoginField))
    def test_an_account_is_found_by_each_of_its_names(self, session, user, by):
        name = {"username": "AMINA", "email": "AMINA@example.co.ke"}.get(by, user.phone_number)
        assert find_account(session, by, Credentials(by, name, "").key) is user
        assert find_account(session, by, "nobody") is None


class TestWork:
    def test_a_weak_password_makes_no_account(self, work, database):
        with pytest.raises(InvalidInput):
            create_user(work, NewUser("amina", "amina@example.co.ke", "password"))
        with database.reading() as session:
            assert session.scalars(select(User)).all() == []

    def test_the_command_lines_user_signs_in(self, work):
        new = NewUser("amina", "amina@example.co.ke", PASSWORD)
        user = create_user(work, new, Role.ADMIN)
        opened = sign_in(work, Credentials(LoginField.USERNAME, "amina", PASSWORD), None)
        assert (opened.user.id, opened.user.role) == (user.id, "admin")

    def test_the_end_of_a_copied_session_outlives_the_refusal(self, work, database):
        user = create_user(work, NewUser("amina", "amina@example.co.ke", PASSWORD))
        opened = sign_in(work, Credentials(LoginField.USERNAME, "amina", PASSWORD), None)
        claims = Claims(user.id, opened.session_id, opened.refresh_token_id, TokenKind.REFRESH)
        renew_sign_in(work, claims)
        with pytest.raises(Unauthenticated):
            renew_sign_in(work, claims)
        with database.reading() as session:
            login = session.get_one(LoginSession, opened.session_id)
        assert login.revoked_reason == "refresh_token_reused"


class TestNames:
    @pytest.mark.parametrize("name", ["Admin", "stra\u00dfe", "jos\u00e9", "A.b-c_9", "\u0130pek"])
    def test_a_clean_name_stays_clean_and_its_key_is_its_own_key(self, name):
        assert clean_username(clean_username(name)) == clean_username(name)
        assert username_key(username_key(name)) == username_key(name)
        assert username_key(name.upper()) == username_key(name)
        assert len(username_key(name)) <= 80

    def test_the_longest_name_and_address_fit_their_columns(self):
        assert len(username_key(clean_username("\u00df" * 30))) == 60
        address = "a" * 64 + "@" + ".".join(["b" * 61] * 3) + ".co"
        assert len(email_key(clean_email(address))) == len(address) == 253

    def test_a_very_long_text_costs_little_and_is_no_name(self):
        for clean in (clean_username, clean_email):
            with pytest.raises(ValueError, match=r"Use|Not"):
                clean("\ufdfa" * 1_000_000)

    @pytest.mark.parametrize(
        ("address", "subscriber"),
        [
            ("41.90.0.1", "41.90.0.1"),
            ("::ffff:41.90.0.1", "41.90.0.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("::1", "::/64"),
            ("x" * 300, None),
            ("41.90.0.1:80", None),
            ("", None),
            (None, None),
        ],
    )
    def test_a_subscriber_is_one_key(self, address, subscriber):
        assert subscriber_of(address) == subscriber


class TestPasswords:
    def test_a_hash_is_salted_and_checks_its_own_password_alone(self):
        first, second = hash_password(PASSWORD, CHEAP_HASH), hash_password(PASSWORD, CHEAP_HASH)
        assert first != second
        assert verify_password(first, PASSWORD, CHEAP_HASH) is True
        assert verify_password(first, PASSWORD + " ", CHEAP_HASH) is False

    def test_no_password_opens_what_is_not_there(self):
        assert verify_password(None, PASSWORD, CHEAP_HASH) is False
        assert verify_password(None, "", CHEAP_HASH) is False

    def test_the_common_ones_are_few_long_enough_to_be_typed_and_all_refused(self):
        words = common_passwords()
        assert 2000 < len(words) <= 3000
        assert min(map(len, words)) == 8
        assert {word for word in words if password_fault(word, "a", "b@c.co") is None} == set()
        assert {word for word in words if word != word.casefold()} == set()

    @pytest.mark.parametrize("password", [PASSWORD, "x7" * 4, "\U0001f981" * 8, "p" * 128])
    def test_length_alone_makes_the_others_good(self, password):
        assert password_fault(password, "amina", "amina@example.co.ke") is None
