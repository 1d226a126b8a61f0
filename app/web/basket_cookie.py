"""Whose basket a browser fills: the user's who is signed in, otherwise that of its cookie."""

import hmac
import re
from hashlib import sha256

from flask import Response, current_app, flash, request, session
from flask_wtf.csrf import generate_csrf
from werkzeug.wrappers import Response as AnyResponse

from app.context import now
from app.db import reading, transaction
from app.services.basket import BasketOwner, count_units, join_baskets
from app.web.language import gettext
from app.web.visitors import visitor

_TOKEN = re.compile(r"[0-9a-f]{64}")
_A_MONTH_SECONDS = 30 * 86400


def basket_cookie_name() -> str:
    prefix = "__Host-" if current_app.config["SESSION_COOKIE_SECURE"] else ""
    return f"{prefix}sokoni_basket"


def basket_owner() -> BasketOwner | None:
    """Whose basket this browser shows; None for a guest who never put anything in."""
    actor = visitor()
    if actor is not None:
        return BasketOwner(user_id=actor.user_id)
    token = _cookie()
    return _guest(token) if token else None


def basket_to_fill() -> BasketOwner:
    """As basket_owner; a guest without a basket gets one."""
    return basket_owner() or _guest(_first_token())


def keep_basket(response: AnyResponse) -> AnyResponse:
    """Let a guest's browser remember its basket, from now for as long as it is kept."""
    if visitor() is None:
        response.set_cookie(
            basket_cookie_name(),
            _cookie() or _first_token(),
            max_age=_A_MONTH_SECONDS,
            path="/",
            secure=current_app.config["SESSION_COOKIE_SECURE"],
            httponly=True,
            samesite="Lax",
        )
    return response


def count_in_basket() -> int:
    owner = basket_owner()
    if owner is None:
        return 0
    with reading() as database_session:
        return count_units(database_session, owner)


def bring_basket(response: Response, user_id: int) -> Response:
    """Who signs in brings along what they put in as a guest. The cookie is forgotten."""
    token = _cookie()
    if token is None:
        return response
    with transaction() as database_session:
        left_out = join_baskets(database_session, _hash(token), user_id, now())
    if left_out:
        names = ", ".join(left_out)
        flash(
            gettext("Your basket is full. This found no room in it: %(names)s") % {"names": names}
        )
    response.delete_cookie(
        basket_cookie_name(),
        path="/",
        secure=current_app.config["SESSION_COOKIE_SECURE"],
        httponly=True,
        samesite="Lax",
    )
    return response


def _guest(token: str) -> BasketOwner:
    return BasketOwner(token_hash=_hash(token))


def _hash(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def _cookie() -> str | None:
    token = request.cookies.get(basket_cookie_name(), "")
    return token if _TOKEN.fullmatch(token) else None


def _first_token() -> str:
    """Made of the random secret that this browser's forms carry, so that two tabs which both put
    in the first thing name one basket. Only a form that was found to be ours gets here, if need be
    without a secret: then it has one from here on.
    """
    generate_csrf()
    key = str(current_app.config["SECRET_KEY"]).encode()
    secret = str(session["csrf_token"])
    return hmac.new(key, b"basket:" + secret.encode(), "sha256").hexdigest()
