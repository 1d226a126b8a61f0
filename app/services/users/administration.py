"""What an admin does with accounts."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from app.errors import Conflict, NotFound
from app.models import User
from app.policies import Role
from app.services.pages import Page, PageRequest, SortKey, paginate
from app.services.users.accounts import lock_user
from app.services.users.sessions import end_sessions_of
from app.utils.identity import email_key, username_key
from app.utils.phone import normalise_msisdn


@dataclass(frozen=True, slots=True)
class UserFilter:
    """``search`` is part of a name or an address, or a whole phone number in any spelling."""

    search: str | None = None
    role: Role | None = None
    suspended: bool | None = None


@dataclass(frozen=True, slots=True)
class UserChange:
    """What an admin decides of an account; None leaves it."""

    role: Role | None = None
    suspended: bool | None = None


def list_users(session: Session, wanted: UserFilter, page: PageRequest) -> Page[User]:
    """Accounts, the newest first."""
    statement = select(User)
    if wanted.search is not None:
        statement = statement.where(_matches(wanted.search))
    if wanted.role is not None:
        statement = statement.where(User.role == wanted.role.value)
    if wanted.suspended is not None:
        statement = statement.where(User.suspended_at.is_not(None) == wanted.suspended)
    return paginate(session, statement, [SortKey(User.id, descending=True)], page)


def change_user(session: Session, user_id: int, change: UserChange, now: datetime) -> User:
    """Give another role, suspend, or let in again; each counts from the next request on.

    A suspension ends every session, for good. Raises NotFound, and Conflict if no admin who can
    sign in would be left.
    """
    if change.suspended or change.role not in (None, Role.ADMIN):
        _keep_an_admin(session, besides=user_id)
    user = lock_user(session, user_id)
    if change.role is not None:
        user.role = change.role.value
    if change.suspended is True and user.suspended_at is None:
        user.suspended_at = now
        end_sessions_of(session, user.id, "suspended", now)
    elif change.suspended is False:
        user.suspended_at = None
    user.updated_at = now
    session.flush()
    return user


def promote_user(session: Session, name: str, role: Role, now: datetime) -> User:
    """Give a role by username or e-mail address, as the command line does. Raises NotFound."""
    user_id = session.scalar(
        select(User.id).where(
            or_(User.username_key == username_key(name), User.email_key == email_key(name))
        )
    )
    if user_id is None:
        raise NotFound(f"There is no user {name}.")
    return change_user(session, user_id, UserChange(role=role), now)


def _matches(search: str) -> ColumnElement[bool]:
    clauses = [
        User.username_key.contains(username_key(search), autoescape=True),
        User.email_key.contains(email_key(search), autoescape=True),
    ]
    try:
        clauses.append(User.phone_number == normalise_msisdn(search))
    except ValueError:
        return or_(*clauses)
    return or_(*clauses)


def _keep_an_admin(session: Session, *, besides: int) -> None:
    """Lock the admins, so that two of them cannot demote each other in the same moment."""
    admins = session.scalars(
        select(User.id)
        .where(User.role == Role.ADMIN.value, User.suspended_at.is_(None))
        .order_by(User.id)
        .with_for_update()
    ).all()
    if list(admins) == [besides]:
        raise Conflict(
            "This is the last admin. Make another account an admin first.", code="last_admin"
        )
