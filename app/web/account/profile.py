"""One's own names, password and picture."""

from typing import Any

import marshmallow as ma
from werkzeug.wrappers import Response as AnyResponse

from app.context import current_config, current_work, now
from app.db import reading, transaction
from app.errors import AppError
from app.jobs.accounts import update_profile
from app.jobs.pictures import put_profile_picture
from app.models import User
from app.schemas.base import Schema
from app.schemas.user import Password, ProfileChangeSchema
from app.security import current_actor, current_sign_in
from app.services.pictures import remove_profile_picture
from app.services.users import ProfileChange, end_sessions_of, find_user
from app.sign_in_limits import limit_password_changes
from app.web.account.blueprint import account
from app.web.language import gettext
from app.web.pages import Form, done, page, refused_form, sent_file, submit, takes_upload
from app.web.visitors import user_page


class PasswordForm(Schema):
    current_password = Password(required=True)
    password = Password(required=True)

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> ProfileChange:
        return ProfileChange(**data)


@account.get("/account")
@user_page
def profile() -> AnyResponse:
    """Who one is, and what one may change of it."""
    return page("account/profile.html", **_profile())


@account.post("/account/profile")
@user_page
def change_profile() -> AnyResponse:
    """Change one's names; an empty phone number takes it away."""

    def act(change: ProfileChange) -> AnyResponse:
        update_profile(current_work(), current_sign_in(), change)
        return done(gettext("Your profile is saved."), "account.profile")

    schema = ProfileChangeSchema(only=("username", "email", "phone_number"))
    return submit(schema, act, _again("form"), nullable=("phone_number",))


@account.post("/account/password")
@user_page
def change_password() -> AnyResponse:
    """Change the password; every other session of the account ends."""
    return submit(PasswordForm(), _change_password, _again("password_form"))


@limit_password_changes
def _change_password(change: ProfileChange) -> AnyResponse:
    update_profile(current_work(), current_sign_in(), change)
    return done(
        gettext("Your password is changed. Everywhere else you are signed out."), "account.profile"
    )


@account.post("/account/picture")
@user_page
@takes_upload(lambda config: config.max_picture_bytes)
def change_picture() -> AnyResponse:
    """Show another picture beside one's comments."""
    try:
        put_profile_picture(
            current_work(),
            current_actor(),
            sent_file("picture", current_config().max_picture_bytes),
        )
    except AppError as refusal:
        shown = page("account/profile.html", **_profile(picture_form=refused_form(refusal, {})))
        shown.status_code = refusal.status
        return shown
    return done(gettext("Your picture is changed."), "account.profile")


@account.post("/account/picture/delete")
@user_page
def remove_picture() -> AnyResponse:
    """Show no picture."""
    with transaction() as session:
        remove_profile_picture(session, current_actor(), now())
    return done(gettext("Your picture is removed."), "account.profile")


@account.post("/account/sessions/end")
@user_page
def end_other_sessions() -> AnyResponse:
    """Sign out everywhere but here: for a phone that was lost."""
    here = current_sign_in()
    with transaction() as session:
        end_sessions_of(session, here.actor.user_id, "logout", now(), besides=here.session_id)
    return done(gettext("Everywhere else you are signed out."), "account.profile")


def _again(name: str) -> Any:
    """The profile page, with one of its forms to be corrected."""
    return lambda form: page("account/profile.html", **_profile(**{name: form})).get_data(
        as_text=True
    )


def _profile(**forms: Form) -> dict[str, Any]:
    with reading() as session:
        user = find_user(session, current_actor().user_id)
    return {
        "user": user,
        "form": _form_of(user),
        "password_form": Form(),
        "picture_form": Form(),
        **forms,
    }


def _form_of(user: User) -> Form:
    return Form({"username": user.username, "email": user.email, "phone_number": user.phone_number})
