"""Profiles: one's own, other people's, and the admin's list of all."""

from flask import Response

from app.context import current_work, now
from app.controllers.blueprint import Blueprint
from app.controllers.paging import page_response
from app.db import reading, transaction
from app.jobs.accounts import create_user, update_profile
from app.models import User
from app.policies import Role, may_see_whole_user
from app.schemas.base import page_of
from app.schemas.problem import ProblemSchema
from app.schemas.user import (
    ProfileChangeSchema,
    PublicUserSchema,
    RegistrationSchema,
    UserChangeSchema,
    UserQuery,
    UserSchema,
    WantedUsers,
)
from app.security import (
    current_actor,
    current_sign_in,
    optional_actor,
    public,
    require_role,
    require_user,
)
from app.services.users import (
    NewUser,
    ProfileChange,
    UserChange,
    change_user,
    find_user,
    list_users,
)
from app.sign_in_limits import limit_password_changes, limit_registrations
from app.utils.json_provider import json_response

users = Blueprint("users", __name__, description="Profiles, and what admins do with accounts.")
_whole = UserSchema()
_public = PublicUserSchema()


@users.get("/profile")
@require_user
@users.response(200, UserSchema)
def show_profile() -> User:
    """The caller's own account."""
    with reading() as session:
        return find_user(session, current_actor().user_id)


@users.route("/profile", methods=["PUT", "PATCH"])
@require_user
@users.arguments(ProfileChangeSchema)
@users.response(200, UserSchema)
@limit_password_changes
def change_own_profile(change: ProfileChange) -> User:
    """Change the fields that are named. A new password needs the current one (400 if it is wrong)
    and ends the user's other sessions; this one goes on.
    """
    return update_profile(current_work(), current_sign_in(), change)


@users.post("/users")
@public
@users.arguments(RegistrationSchema)
@users.response(201, UserSchema)
@users.alt_response(409, schema=ProblemSchema)
@limit_registrations
def create(new: NewUser) -> User:
    """Make an account, as `POST /api/register` does."""
    return create_user(current_work(), new)


@users.get("/users/<id:user_id>")
@public
@users.response(200, UserSchema)
def show_user(user_id: int) -> Response:
    """A user's public profile (`id, username, picture_url, created_at`); to the user and to admins
    the whole user.
    """
    actor = optional_actor()
    with reading() as session:
        user = find_user(session, user_id)
    schema = _whole if may_see_whole_user(actor, user) else _public
    return json_response(schema.dump(user))


@users.get("/users")
@require_role(Role.ADMIN)
@users.arguments(UserQuery, location="query")
@users.response(200, page_of(UserSchema))
def list_all(wanted: WantedUsers) -> Response:
    """Every account, the newest first."""
    with reading() as session:
        page = list_users(session, wanted.filter, wanted.page)
    return page_response(page, _whole)


@users.patch("/users/<id:user_id>")
@require_role(Role.ADMIN)
@users.arguments(UserChangeSchema)
@users.response(200, UserSchema)
def change(change: UserChange, user_id: int) -> User:
    """Give a role, suspend, or let in again; it counts from the next request on."""
    with transaction() as session:
        return change_user(session, user_id, change, now())
