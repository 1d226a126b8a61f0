"""Accounts, for admins: found, given another role, suspended, let in again."""

from functools import partial
from typing import Any

import marshmallow as ma
from flask import Response
from werkzeug.wrappers import Response as AnyResponse

from app.context import now
from app.db import reading, transaction
from app.models import User
from app.policies import Role
from app.schemas.base import PlainText, QueryBoolean, Schema
from app.security import current_actor
from app.services.pages import Page
from app.services.users import UserChange, UserFilter, change_user, list_users
from app.services.users.overview import find_user_file
from app.web.language import gettext, mark
from app.web.office.blueprint import office
from app.web.office.lists import look_up
from app.web.office.words import ROLE_WORDS
from app.web.pages import Form, asked_page, done, page, submit
from app.web.visitors import role_page

CHIPS = (
    ("", mark("All")),
    (Role.CUSTOMER, mark("Customers")),
    (Role.SELLER, mark("Sellers")),
    (Role.ADMIN, mark("Admins")),
)


class UserSearch(Schema):
    """What accounts are searched by. What else an address carries does not matter."""

    class Meta:
        unknown = ma.EXCLUDE

    search = PlainText(min=2, max=100, load_default=None)
    role = ma.fields.Enum(Role, by_value=True, load_default=None)
    suspended = QueryBoolean(load_default=None)

    @ma.post_load
    def _filter(self, data: dict[str, Any], **_kwargs: Any) -> UserFilter:
        return UserFilter(**data)


class RoleForm(Schema):
    role = ma.fields.Enum(Role, by_value=True, required=True)


class AccessForm(Schema):
    suspended = QueryBoolean(required=True)


@office.get("/office/users")
@role_page(Role.ADMIN)
def users() -> AnyResponse:
    """Accounts, newest first."""
    return look_up(UserSearch(), _find, "office/users.html", chips=CHIPS, role_words=ROLE_WORDS)


def _find(wanted: UserFilter) -> Page[User]:
    with reading() as session:
        return list_users(session, wanted, asked_page())


@office.get("/office/users/<id:user_id>")
@role_page(Role.ADMIN)
def user(user_id: int) -> AnyResponse:
    """One account, without anything that signs in to it."""
    return _user_page(user_id)


@office.post("/office/users/<id:user_id>/role")
@role_page(Role.ADMIN)
def give_role(user_id: int) -> AnyResponse:
    """Give an account another role; it counts from the next request on."""

    def act(data: dict[str, Any]) -> AnyResponse:
        return _change(user_id, UserChange(role=data["role"]), gettext("The role is changed."))

    return submit(RoleForm(), act, partial(_again, user_id))


@office.post("/office/users/<id:user_id>/access")
@role_page(Role.ADMIN)
def change_access(user_id: int) -> AnyResponse:
    """Suspend an account, or let it in again."""

    def act(data: dict[str, Any]) -> AnyResponse:
        message = gettext("This account may sign in again.")
        if data["suspended"]:
            message = gettext("This account is suspended, and signed out everywhere.")
        return _change(user_id, UserChange(suspended=data["suspended"]), message)

    return submit(AccessForm(), act, partial(_again, user_id))


def _change(user_id: int, change: UserChange, message: str) -> AnyResponse:
    """Who gave up their own role may not come back here, and so is sent to the front door."""
    actor = current_actor()
    with transaction() as session:
        changed = change_user(session, user_id, change, now())
    stays = changed.id != actor.user_id or (changed.role == Role.ADMIN and not changed.suspended_at)
    if not stays:
        return done(message, "storefront.home")
    return done(message, "office.user", user_id=user_id)


def _again(user_id: int, form: Form) -> str:
    return _user_page(user_id, form).get_data(as_text=True)


def _user_page(user_id: int, form: Form | None = None) -> Response:
    with reading() as session:
        file = find_user_file(session, user_id)
    return page(
        "office/user.html",
        file=file,
        form=form or Form({"role": file.user.role}),
        is_oneself=user_id == current_actor().user_id,
        role_words=ROLE_WORDS,
    )
