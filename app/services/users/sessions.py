"""Sign-ins: opened by a password, prolonged by a refresh token, ended by either side."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import BigInteger, String, bindparam, select, update
from sqlalchemy.orm import Session

from app.asking import Prepared, Reader
from app.models import LoginSession, User
from app.models.base import Moment, table_of
from app.policies import Actor, Role
from app.utils.identity import email_key, username_key

LONGEST_SESSION = timedelta(days=90)
"""However often it is prolonged: after that the password is asked for again."""


class LoginField(StrEnum):
    USERNAME = "username"
    EMAIL = "email"
    PHONE_NUMBER = "phone_number"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What somebody signs in with; ``name`` is of the kind that ``by`` says, in any spelling."""

    by: LoginField
    name: str
    password: str = field(repr=False)

    @property
    def key(self) -> str:
        """What all spellings of the name share."""
        if self.by is LoginField.USERNAME:
            return username_key(self.name)
        return email_key(self.name) if self.by is LoginField.EMAIL else self.name


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who is calling, by which sign-in."""

    actor: Actor
    session_id: str


def find_account(session: Session, by: LoginField, key: str) -> User | None:
    """The account that a name belongs to, suspended or not."""
    column = {
        LoginField.USERNAME: User.username_key,
        LoginField.EMAIL: User.email_key,
        LoginField.PHONE_NUMBER: User.phone_number,
    }[by]
    return session.scalar(select(User).where(column == key))


_USER, _SIGN_IN = table_of(User).c, table_of(LoginSession).c
_STANDING = Prepared(
    select(_USER.id, _USER.role, _USER.username)
    .join_from(table_of(User), table_of(LoginSession), _SIGN_IN.user_id == _USER.id)
    .where(
        _USER.id == bindparam("user_id", type_=BigInteger),
        _USER.suspended_at.is_(None),
        _SIGN_IN.id == bindparam("session_id", type_=String),
        _SIGN_IN.revoked_at.is_(None),
        _SIGN_IN.expires_at > bindparam("now", type_=Moment),
    )
)


def find_signed_in(reader: Reader, user_id: int, session_id: str, now: datetime) -> SignedIn | None:
    """The user behind a token, if the sign-in that it names still stands; one query."""
    for found_id, role, username in _STANDING.rows(
        reader, user_id=user_id, session_id=session_id, now=now
    ):
        return SignedIn(Actor(found_id, Role(role), username), session_id)
    return None


def open_session(
    session: Session, proven: User, opening: LoginSession, now: datetime
) -> LoginSession | None:
    """Record a sign-in of a user whose password was just proven.

    None if the account was suspended, or its password changed, since it was read: the row is
    locked, so that neither can slip in between.
    """
    user = session.scalar(select(User).where(User.id == proven.id).with_for_update())
    if user is None or user.suspended_at or user.password_hash != proven.password_hash:
        return None
    opening.user_id = user.id
    opening.created_at = now
    session.add(opening)
    session.flush()
    return opening


def rotate_session(
    session: Session,
    user_id: int,
    session_id: str,
    *,
    old_token_id: str,
    new_token_id: str,
    good_for: timedelta,
    now: datetime,
) -> User | None:
    """Put a new refresh token in the place of the old one, which is good this once.

    None if it was not. A token that was replaced before shows that two hold it: the whole session
    ends, which the caller must commit.
    """
    row = session.execute(
        select(User, LoginSession.created_at)
        .join(LoginSession, LoginSession.user_id == User.id)
        .where(User.id == user_id, LoginSession.id == session_id, User.suspended_at.is_(None))
    ).one_or_none()
    if row is None:
        return None
    user, started = row
    standing = update(LoginSession).where(
        LoginSession.id == session_id, LoginSession.revoked_at.is_(None)
    )
    rotated = session.scalar(
        standing.where(LoginSession.refresh_jti == old_token_id, LoginSession.expires_at > now)
        .values(refresh_jti=new_token_id, expires_at=min(now + good_for, started + LONGEST_SESSION))
        .returning(LoginSession.id)
    )
    if rotated is not None:
        return user
    session.execute(
        standing.where(LoginSession.refresh_jti != old_token_id).values(
            revoked_at=now, revoked_reason="refresh_token_reused"
        )
    )
    return None


def end_session(session: Session, session_id: str, reason: str, now: datetime) -> None:
    """End one sign-in: its access and refresh tokens are dead from the commit on."""
    session.execute(
        update(LoginSession)
        .where(LoginSession.id == session_id, LoginSession.revoked_at.is_(None))
        .values(revoked_at=now, revoked_reason=reason)
    )


def end_sessions_of(
    session: Session, user_id: int, reason: str, now: datetime, *, besides: str | None = None
) -> None:
    """End every sign-in of a user, except the one named ``besides``."""
    ending = update(LoginSession).where(
        LoginSession.user_id == user_id, LoginSession.revoked_at.is_(None)
    )
    if besides is not None:
        ending = ending.where(LoginSession.id != besides)
    session.execute(ending.values(revoked_at=now, revoked_reason=reason))


def has_signed_in_from(session: Session, by: LoginField, key: str, subscriber: str) -> bool:
    """Whether this account was signed in to from this address before, however long ago."""
    user = find_account(session, by, key)
    if user is None:
        return False
    found = session.scalar(
        select(LoginSession.id)
        .where(LoginSession.user_id == user.id, LoginSession.remote_addr == subscriber)
        .limit(1)
    )
    return found is not None
