"""Who looks at a page: a sign-in carried by a cookie, and the guards of pages.

The cookie holds a token of its own kind, good as long as the sign-in that it names. The API does
not read cookies, and pages read nothing else, so neither opens the other's doors.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar
from urllib.parse import quote

from flask import Response, current_app, redirect, request, session
from werkzeug.wrappers import Response as AnyResponse

from app.errors import Forbidden
from app.policies import Actor, Role
from app.security import (
    PUBLIC,
    SIGNED_IN,
    Guard,
    current_actor,
    marked,
    remember_sign_in,
    sign_in_of,
)
from app.services.users import SignedIn
from app.utils.token import (
    BadToken,
    TokenKind,
    make_page_token,
    page_cookie_name,
    read_token,
)

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_VISITOR = "sokoni.visitor"
_NOBODY = "nobody"


def visitor() -> Actor | None:
    """Who looks at this page, or None; a cookie that is good no more is nobody's."""
    signed_in = visitor_sign_in()
    return signed_in.actor if signed_in else None


def visitor_sign_in() -> SignedIn | None:
    """The visitor and their session: one query a request, none without a cookie."""
    found = request.environ.get(_VISITOR)
    if found is None:
        found = _look_up() or _NOBODY
        request.environ[_VISITOR] = found
    return found if isinstance(found, SignedIn) else None


def _look_up() -> SignedIn | None:
    token = request.cookies.get(page_cookie_name())
    if not token:
        return None
    try:
        found = sign_in_of(read_token(token, TokenKind.PAGE))
    except BadToken:
        return None
    if found is not None:
        remember_sign_in(found)
    return found


def public_page(view: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Anyone may see this page; it may ask for visitor()."""
    return marked(view, PUBLIC)


def user_page(
    view: Callable[Parameters, Result],
) -> Callable[Parameters, Result | AnyResponse]:
    """Who is not signed in is sent to the login page, and comes back from there."""

    @wraps(view)
    def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result | AnyResponse:
        if visitor() is None:
            return to_login()
        return view(*args, **kwargs)

    return marked(guarded, SIGNED_IN)


def role_page(
    *roles: Role,
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result | AnyResponse]]:
    """As user_page; and who holds none of these roles gets a 403."""

    def guard(view: Callable[Parameters, Result]) -> Callable[Parameters, Result | AnyResponse]:
        @wraps(view)
        def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result | AnyResponse:
            if visitor() is None:
                return to_login()
            if current_actor().role not in roles:
                raise Forbidden("Your account does not have the role that this page needs.")
            return view(*args, **kwargs)

        return marked(guarded, Guard(signed_in=True, roles=frozenset(roles)))

    return guard


def to_login() -> AnyResponse:
    """To the login page; and from there back to what was asked for, if it can be asked again."""
    here = request.full_path.rstrip("?") if request.method == "GET" else ""
    return redirect(f"/login?next={quote(here)}" if here else "/login", 303)


def welcome(response: Response, user_id: int, session_id: str) -> Response:
    """Give a browser the sign-in that was just opened. What it held before is forgotten."""
    session.clear()  # a form's secret from before the sign-in is not one from after it
    response.set_cookie(
        page_cookie_name(),
        make_page_token(user_id, session_id),
        max_age=current_app.config["JWT_REFRESH_TOKEN_EXPIRES"],
        path="/",
        secure=current_app.config["SESSION_COOKIE_SECURE"],
        httponly=True,
        samesite="Lax",
    )
    return response


def farewell(response: Response) -> Response:
    """Take the sign-in out of a browser; ending the session itself is the caller's."""
    session.clear()
    response.delete_cookie(
        page_cookie_name(),
        path="/",
        secure=current_app.config["SESSION_COOKIE_SECURE"],
        httponly=True,
        samesite="Lax",
    )
    return response


def local_path(wanted: str | None, default: str = "/") -> str:
    """Where to go after signing in: a path of this shop, or the default for anything else.

    One slash first, no backslash, no control character, no space: what else browsers read as
    another host is refused with it.
    """
    if not wanted or not wanted.startswith("/") or wanted.startswith("//"):
        return default
    if any(character in "\\ " or not character.isprintable() for character in wanted):
        return default
    return wanted
