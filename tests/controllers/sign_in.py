"""A signed-in caller for tests, without the cost of a password."""

from datetime import timedelta

from flask import Flask

from app.context import WORK
from app.db import transaction
from app.models import LoginSession, User
from app.utils.token import TokenPair, make_tokens, new_opaque_id
from tests.factories import make_user


def open_session(app: Flask, user: User) -> LoginSession:
    """A session of this user that has just begun."""
    opened = LoginSession(
        id=new_opaque_id(),
        user_id=user.id,
        refresh_jti=new_opaque_id(),
        created_at=app.extensions[WORK].now(),
        expires_at=app.extensions[WORK].now() + timedelta(days=30),
    )
    with app.app_context(), transaction() as session:
        session.add(opened)
    return opened


def tokens_of(app: Flask, user: User) -> TokenPair:
    """What signing in would have answered with."""
    opened = open_session(app, user)
    with app.app_context():
        return make_tokens(user.id, opened.id, opened.refresh_jti)


def sign_in(app: Flask, user: User) -> dict[str, str]:
    """Headers of a request by this user."""
    return {"Authorization": f"Bearer {tokens_of(app, user).access_token}"}


def new_caller(app: Flask, database, role) -> tuple[User, dict[str, str]]:
    """A new user of a role, and the headers of their requests."""
    with database.transaction() as session:
        user = make_user(session, role)
    return user, sign_in(app, user)
