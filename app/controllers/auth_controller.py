"""Accounts that are made and opened: register, sign in, stay signed in, sign out."""

from typing import Any

from flask import request

from app.context import current_work, now
from app.controllers.blueprint import Blueprint
from app.db import transaction
from app.jobs.accounts import create_user
from app.jobs.sign_in import SignIn, renew_sign_in, sign_in
from app.models import User
from app.schemas.problem import ProblemSchema
from app.schemas.user import (
    CredentialsSchema,
    LogoutQuery,
    RegistrationSchema,
    TokensSchema,
    UserSchema,
)
from app.security import (
    current_refresh_claims,
    current_sign_in,
    public,
    require_refresh_token,
    require_user,
)
from app.services.users import Credentials, NewUser, end_session, end_sessions_of
from app.sign_in_limits import limit_registrations, limit_sign_ins
from app.utils.token import make_tokens

auth = Blueprint("auth", __name__, description="Accounts, and signing in to them.")


@auth.post("/register")
@public
@auth.arguments(RegistrationSchema)
@auth.response(201, UserSchema)
@auth.alt_response(409, schema=ProblemSchema)
@limit_registrations
def register(new: NewUser) -> User:
    """Make an account. 409 names every field that another account has."""
    return create_user(current_work(), new)


@auth.post("/login")
@public
@auth.arguments(CredentialsSchema)
@auth.response(200, TokensSchema)
@auth.alt_response(401, schema=ProblemSchema)
@limit_sign_ins
def login(credentials: Credentials) -> dict[str, Any]:
    """Sign in. Every wrong pair gets the same 401, a suspended account as well."""
    return _tokens(sign_in(current_work(), credentials, request.remote_addr))


@auth.post("/refresh")
@require_refresh_token
@auth.response(200, TokensSchema)
def refresh() -> dict[str, Any]:
    """Exchange the refresh token for new tokens. Each is good once: sending one again ends the
    session, so send one refresh at a time.
    """
    return _tokens(renew_sign_in(current_work(), current_refresh_claims()))


@auth.post("/logout")
@require_user
@auth.arguments(LogoutQuery, location="query")
@auth.response(204)
def logout(query: dict[str, Any]) -> None:
    """End this session, or with `all=true` every session of the user: their tokens are dead."""
    caller = current_sign_in()
    with transaction() as session:
        if query["all"]:
            end_sessions_of(session, caller.actor.user_id, "logout", now())
        else:
            end_session(session, caller.session_id, "logout", now())


def _tokens(signed_in: SignIn) -> dict[str, Any]:
    pair = make_tokens(signed_in.user.id, signed_in.session_id, signed_in.refresh_token_id)
    return {
        "access_token": pair.access_token,
        "refresh_token": pair.refresh_token,
        "token_type": "Bearer",
        "expires_in": pair.expires_in_seconds,
        "user": signed_in.user,
    }
