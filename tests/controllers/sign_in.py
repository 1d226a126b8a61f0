"""A signed-in caller for tests, without the cost of a password."""

from datetime import timedelta

from flask import Flask

from app.context import now
from app.db import transaction
from app.models import LoginSession, User
from app.utils.token import make_tokens, new_opaque_id
from tests.factories import make_user


def sign_in(app: Flask, user: User) -> dict[str, str]:
    """Headers of a request by this user."""
    session_id, refresh_id = new_opaque_id(), new_opaque_id()
    with app.app_context():
        with transaction() as session:
            session.add(
                LoginSession(
                    id=session_id,
                    user_id=user.id,
                    refresh_jti=refresh_id,
                    created_at=now(),
                    expires_at=now() + timedelta(days=30),
                )
            )
        tokens = make_tokens(user.id, session_id, refresh_id)
    return {"Authorization": f"Bearer {tokens.access_token}"}


def new_caller(app: Flask, database, role) -> tuple[User, dict[str, str]]:
    """A new user of a role, and the headers of their requests."""
    with database.transaction() as session:
        user = make_user(session, role)
    return user, sign_in(app, user)
