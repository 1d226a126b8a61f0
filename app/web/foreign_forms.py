"""Whether a form comes from a page of ours: a form that another site made a browser send changes
nothing.

A form carries a token that belongs to a secret in the browser's cookie. A page that anybody may
read would need a secret, and a cookie, for each who reads it; so two forms do without while their
sender is not signed in, where the browser itself says which site the form comes from:

    @buying.post("/basket/add")
    @public_page
    @needs_no_token

See docs/decisions/0025-answers-before-flask.md.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Response, current_app, g, render_template, request, session
from flask_wtf.csrf import generate_csrf, validate_csrf
from wtforms import ValidationError as BadFormToken

from app.errors import Forbidden
from app.utils.token import page_cookie_name

View = TypeVar("View", bound=Callable[..., Any])

FORM_TOKEN = "csrf_token"  # noqa: S105 - the name of a field
_OWN_SITES = frozenset({"same-origin", "none"})
_MARK = "needs_no_token"
_NO_ORIGIN = "null"


def needs_no_token(view: View) -> View:
    """For a form of a page that strangers read, which does nothing that they could not undo.

    Stands right under the guard.
    """
    vars(view)[_MARK] = True
    return view


def token_if_known() -> str:
    """The token of a form that may do without: a stranger gets none, and so no cookie."""
    return generate_csrf() if FORM_TOKEN in session or _has_sign_in() else ""


def refuse_foreign_form() -> Response | None:
    """None for a form of ours. Raises Forbidden for one of another site.

    One of which nothing says where it comes from is shown again, to be sent with a token.
    """
    if request.headers.get("Sec-Fetch-Site", "none") not in _OWN_SITES:
        raise _foreign_form()
    token = request.form.get(FORM_TOKEN) or request.headers.get("X-CSRF-Token")
    view = current_app.view_functions.get(request.endpoint or "")
    if not token and hasattr(view, _MARK) and not _has_sign_in():
        is_ours = _browser_says_it_is_ours()
        if is_ours is None:
            return _shown_again()
        if is_ours:
            return None
    try:
        validate_csrf(token)
    except BadFormToken as error:
        raise _foreign_form() from error
    return None


def _has_sign_in() -> bool:
    """Whether it is still good is for others to say: who ever signed in here is no stranger."""
    return page_cookie_name() in request.cookies


def _browser_says_it_is_ours() -> bool | None:
    """No page can make a browser lie about these two; None where it says nothing."""
    if request.headers.get("Sec-Fetch-Site") == "same-origin":
        return True
    origin = request.headers.get("Origin", _NO_ORIGIN)
    if origin == _NO_ORIGIN:
        return None
    scheme = "https" if current_app.config["SESSION_COOKIE_SECURE"] else "http"
    return origin.lower() == f"{scheme}://{request.host.lower()}"


def _shown_again() -> Response:
    g.problem_code = _foreign_form().code
    values = [(name, value) for name, value in request.form.items() if name != FORM_TOKEN]
    return Response(render_template("again.html", values=values), Forbidden.status)


def _foreign_form() -> Forbidden:
    return Forbidden(
        "This form is too old, or another page sent it. Go back, load the page anew and try again.",
        code="foreign_form",
    )
