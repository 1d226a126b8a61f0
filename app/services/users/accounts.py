"""A person's own account: made, shown, changed. Passwords come here hashed."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.errors import Conflict, InvalidInput, NotFound
from app.models import User
from app.policies import Role
from app.services.constraints import breaks
from app.services.users.sessions import SignedIn, end_sessions_of
from app.utils.identity import clean_email, clean_username, email_key, username_key
from app.utils.passwords import password_fault
from app.utils.unset import UNSET, Unset

_UNIQUE = {
    "username": "uq_users_username_key",
    "email": "uq_users_email_key",
    "phone_number": "uq_users_phone_number",
}
_LABELS = {"username": "username", "email": "e-mail address", "phone_number": "phone number"}


@dataclass(frozen=True, slots=True)
class NewUser:
    """Who wants an account, spelled the one way; anything else is a ValueError."""

    username: str
    email: str
    password: str = field(repr=False)
    phone_number: str | None = None

    def __post_init__(self) -> None:
        _must_be_clean(self.username, self.email)


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """What is to change; None leaves it, but takes a phone number away."""

    username: str | None = None
    email: str | None = None
    phone_number: str | Unset | None = UNSET
    password: str | None = field(default=None, repr=False)
    current_password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        _must_be_clean(self.username, self.email)


@dataclass(frozen=True, slots=True)
class NewPassword:
    """A new hash, and the one that the caller proved to know the password of."""

    hash: str = field(repr=False)
    proven_hash: str = field(repr=False)


def check_new_password(password: str, username: str, email: str) -> None:
    """Raises InvalidInput for a password that guessing would find."""
    fault = password_fault(password, username, email, email.partition("@")[0])
    if fault is not None:
        raise InvalidInput.field("password", fault)


def register_user(
    session: Session, new: NewUser, password_hash: str, role: Role, now: datetime
) -> User:
    """Make an account. Raises Conflict that names every field which somebody else has."""
    user = User(
        username=new.username,
        username_key=username_key(new.username),
        email=new.email,
        email_key=email_key(new.email),
        phone_number=new.phone_number,
        password_hash=password_hash,
        role=role.value,
        created_at=now,
        updated_at=now,
    )
    _refuse_taken(session, user)
    session.add(user)
    _flush(session)
    return user


def change_profile(
    session: Session,
    signed_in: SignedIn,
    change: ProfileChange,
    new_password: NewPassword | None,
    now: datetime,
) -> User:
    """Change the caller's own account; a new password ends their other sessions.

    Raises Conflict that names every field which somebody else has, or if the password was changed
    by another request since it was proven.
    """
    user = lock_user(session, signed_in.actor.user_id)
    wanted = User(
        id=user.id,
        username=change.username or user.username,
        email=change.email or user.email,
        phone_number=user.phone_number if change.phone_number is UNSET else change.phone_number,
    )
    wanted.username_key = username_key(wanted.username)
    wanted.email_key = email_key(wanted.email)
    _refuse_taken(session, wanted)
    for name in ("username", "username_key", "email", "email_key", "phone_number"):
        setattr(user, name, getattr(wanted, name))
    if new_password is not None:
        _put_password(session, user, new_password, signed_in, now)
    user.updated_at = now
    _flush(session)
    return user


def _put_password(
    session: Session, user: User, new: NewPassword, signed_in: SignedIn, now: datetime
) -> None:
    if user.password_hash != new.proven_hash:
        raise Conflict("The password was changed a moment ago.", code="password_changed")
    user.password_hash = new.hash
    end_sessions_of(session, user.id, "password_changed", now, besides=signed_in.session_id)


def find_user(session: Session, user_id: int) -> User:
    """Raises NotFound."""
    user = session.get(User, user_id)
    if user is None:
        raise NotFound("There is no such user.")
    return user


def lock_user(session: Session, user_id: int) -> User:
    """The user as they are now; nobody else changes them until the commit. Raises NotFound."""
    find_user(session, user_id)
    return session.get_one(User, user_id, with_for_update=True, populate_existing=True)


def _must_be_clean(username: str | None, email: str | None) -> None:
    if username is not None and clean_username(username) != username:
        raise ValueError("The username must be cleaned before.")
    if email is not None and clean_email(email) != email:
        raise ValueError("The e-mail address must be cleaned before.")


def _refuse_taken(session: Session, wanted: User) -> None:
    """Name all that is taken at once; the database has the last word at the flush."""
    clauses = [User.username_key == wanted.username_key, User.email_key == wanted.email_key]
    if wanted.phone_number is not None:
        clauses.append(User.phone_number == wanted.phone_number)
    others = session.execute(
        select(User.id, User.username_key, User.email_key, User.phone_number).where(or_(*clauses))
    ).all()
    taken = [
        name
        for name, column in (
            ("username", "username_key"),
            ("email", "email_key"),
            ("phone_number", "phone_number"),
        )
        if (value := getattr(wanted, column)) is not None
        and any(row.id != wanted.id and getattr(row, column) == value for row in others)
    ]
    if taken:
        raise _taken(taken)


def _flush(session: Session) -> None:
    try:
        session.flush()
    except IntegrityError as error:  # lost to another registration in the same moment
        for name, constraint in _UNIQUE.items():
            if breaks(error, constraint):
                raise _taken([name]) from error
        raise


def _taken(names: list[str]) -> Conflict:
    words = " and ".join(_LABELS[name] for name in names)
    return Conflict(
        f"Another account has this {words}. Use another, or sign in.",
        code=f"{names[0]}_taken",
        errors=[
            {"field": name, "message": f"Another account has this {_LABELS[name]}."}
            for name in names
        ],
    )
