"""Signing in and out, making an account, and choosing a language."""

from typing import Any

import marshmallow as ma
from flask import Response, current_app, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from app.context import current_work, now
from app.db import transaction
from app.jobs.accounts import create_user
from app.jobs.sign_in import SignIn, sign_in
from app.schemas.base import PlainText, Schema
from app.schemas.user import Password, RegistrationSchema
from app.services.users import Credentials, LoginField, NewUser, end_session
from app.sign_in_limits import limit_registrations, limit_sign_ins
from app.utils.identity import LONGEST_EMAIL
from app.utils.phone import normalise_msisdn
from app.web.basket_cookie import bring_basket
from app.web.foreign_forms import needs_no_token
from app.web.language import COOKIE, LANGUAGES, gettext
from app.web.pages import Form, Pages, page, submit
from app.web.visitors import farewell, local_path, public_page, visitor, visitor_sign_in, welcome

signing_in = Pages("signing_in", __name__, never_kept=True)

_A_YEAR_SECONDS = 365 * 86400


class LoginForm(Schema):
    """One name, of any kind, and the password."""

    name = PlainText(max=LONGEST_EMAIL, required=True)
    password = Password(required=True)
    next = ma.fields.String(load_default=None)

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> Credentials:
        return credentials_of(data["name"], data["password"])


class RegistrationForm(RegistrationSchema):
    next = ma.fields.String(load_default=None)

    @ma.post_load
    def _command(self, data: dict[str, Any], **_kwargs: Any) -> NewUser:
        data.pop("next")
        return NewUser(**data)


def credentials_of(name: str, password: str) -> Credentials:
    """What kind of name it is shows in itself: a username holds a letter and no @."""
    if "@" in name:
        return Credentials(LoginField.EMAIL, name, password)
    try:
        return Credentials(LoginField.PHONE_NUMBER, normalise_msisdn(name), password)
    except ValueError:
        return Credentials(LoginField.USERNAME, name, password)


@signing_in.get("/login")
@public_page
def login_page() -> AnyResponse:
    """Where one signs in; who is signed in already is sent on."""
    if visitor() is not None:
        return redirect(_onward(), 303)
    return page("account/login.html", form=Form({"next": _next()}))


@signing_in.post("/login")
@public_page
def log_in() -> AnyResponse:
    """Open a session for this browser."""
    return submit(LoginForm(), _sign_in, _login_again)


@limit_sign_ins
def _sign_in(credentials: Credentials) -> AnyResponse:
    return _welcomed(sign_in(current_work(), credentials, request.remote_addr))


def _login_again(form: Form) -> str:
    return page("account/login.html", form=form).get_data(as_text=True)


@signing_in.get("/register")
@public_page
def registration_page() -> AnyResponse:
    """Where one makes an account."""
    if visitor() is not None:
        return redirect(_onward(), 303)
    return page("account/register.html", form=Form({"next": _next()}))


@signing_in.post("/register")
@public_page
def make_account() -> AnyResponse:
    """Make an account, and sign in to it."""
    return submit(RegistrationForm(), _register, _register_again)


@limit_registrations
def _register(new: NewUser) -> AnyResponse:
    work = current_work()
    create_user(work, new)
    credentials = credentials_of(new.email, new.password)
    return _welcomed(sign_in(work, credentials, request.remote_addr))


def _register_again(form: Form) -> str:
    return page("account/register.html", form=form).get_data(as_text=True)


@signing_in.post("/logout")
@public_page
def log_out() -> AnyResponse:
    """End the session of this browser. Twice is once."""
    signed_in = visitor_sign_in()
    if signed_in is not None:
        with transaction() as session:
            end_session(session, signed_in.session_id, "logout", now())
    return farewell(_see("/"))


@signing_in.post("/language")
@public_page
@needs_no_token
def choose() -> AnyResponse:
    """Remember in which language this browser reads."""
    response = _see(local_path(request.form.get("next")))
    wanted = request.form.get("language", "")
    if wanted in LANGUAGES:
        response.set_cookie(
            COOKIE,
            wanted,
            max_age=_A_YEAR_SECONDS,
            secure=current_app.config["SESSION_COOKIE_SECURE"],
            httponly=True,
            samesite="Lax",
        )
    return response


def _welcomed(signed_in: SignIn) -> Response:
    """On to where the visitor was going, with the sign-in in the browser, and their basket."""
    response = welcome(_see(_onward()), signed_in.user.id, signed_in.session_id)
    return bring_basket(response, signed_in.user.id)


def _see(path: str) -> Response:
    response = Response(gettext("Go on here:") + f" {path}", 303, mimetype="text/plain")
    response.headers["Location"] = path
    return response


def _next() -> str:
    return local_path(request.values.get("next"), "")


def _onward() -> str:
    return local_path(request.values.get("next"))
