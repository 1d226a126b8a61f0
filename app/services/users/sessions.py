"""Sign-ins: opened by a password, prolonged by a refresh token, ended by either side."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.models import LoginSession, User
from app.policies import Actor, Role


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who is calling, by which sign-in."""

    actor: Actor
    session_id: str


def find_signed_in(
    session: Session, user_id: int, session_id: str, now: datetime
) -> SignedIn | None:
    """The user behind a token, if the sign-in that it names still stands; one query."""
    row = session.execute(
        select(User.id, User.role, User.username)
        .join(LoginSession, LoginSession.user_id == User.id)
        .where(
            User.id == user_id,
            User.suspended_at.is_(None),
            LoginSession.id == session_id,
            LoginSession.revoked_at.is_(None),
            LoginSession.expires_at > now,
        )
    ).one_or_none()
    if row is None:
        return None
    return SignedIn(Actor(row.id, Role(row.role), row.username), session_id)
