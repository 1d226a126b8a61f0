"""What all pages share: their blueprint, forms, what every template knows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import flask
import marshmallow as ma
from flask import Response, flash, g, redirect, render_template, request, session, url_for
from flask_wtf.csrf import generate_csrf, validate_csrf
from werkzeug.wrappers import Response as AnyResponse
from wtforms import ValidationError as BadFormToken

from app.error_handlers import invalid_fields
from app.errors import AppError, Forbidden
from app.web.language import choose_language, gettext
from app.web.visitors import visitor

_FORM_TOKEN = "csrf_token"  # noqa: S105 - the name of a field
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES = frozenset({"same-origin", "none"})
_PRIVATE = "private, no-cache"


class Pages(flask.Blueprint):
    """A blueprint of pages: every form is checked to come from a page of ours."""

    def __init__(self, name: str, import_name: str, *, never_kept: bool = False) -> None:
        """``never_kept``: its pages may not lie in any cache, not even the browser's."""
        super().__init__(name, import_name)
        self._cache_control = "no-store" if never_kept else _PRIVATE
        self.before_request(_remember_browser)
        self.before_request(_refuse_foreign_forms)
        self.after_request(self._say_how_to_keep)

    def _say_how_to_keep(self, response: Response) -> Response:
        response.headers.setdefault("Cache-Control", self._cache_control)
        response.vary.add("Cookie")
        response.vary.add("Accept-Language")
        return response


def _remember_browser() -> None:
    """The cookie that forms are checked against outlives the browser's window."""
    if not session.permanent:
        session.permanent = True


def takes_upload(max_bytes: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let one view take a bigger body than others. Stands right under the route."""

    def mark(view: Callable[..., Any]) -> Callable[..., Any]:
        vars(view)["max_body_bytes"] = max_bytes
        return view

    return mark


def _refuse_foreign_forms() -> None:
    """A form that another site made the browser send changes nothing."""
    view = flask.current_app.view_functions.get(request.endpoint or "")
    limit = getattr(view, "max_body_bytes", None)
    if limit is not None:
        request.max_content_length = limit
    if request.method in _SAFE_METHODS:
        return
    if request.headers.get("Sec-Fetch-Site", "none") not in _OWN_SITES:
        raise _foreign_form()
    try:
        validate_csrf(request.form.get(_FORM_TOKEN) or request.headers.get("X-CSRF-Token"))
    except BadFormToken as error:
        raise _foreign_form() from error


def _foreign_form() -> Forbidden:
    return Forbidden(
        "This form is too old, or another page sent it. Go back, load the page anew and try again.",
        code="foreign_form",
    )


@dataclass(frozen=True, slots=True)
class Form:
    """What a form shows: values to start from or to correct, and what is wrong with them."""

    values: Mapping[str, Any] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    """What is wrong with the whole, in a sentence."""
    problem_code: str = ""

    def value(self, name: str) -> Any:
        found = self.values.get(name)
        return "" if found is None else found

    def error(self, name: str) -> str:
        return self.errors.get(name, "")


def sent_values(nullable: tuple[str, ...] = ()) -> dict[str, Any]:
    """What the browser sent, without the fields that were left empty.

    An empty field among ``nullable`` is None instead: it takes a value away.
    """
    values: dict[str, Any] = {}
    for name, text in request.form.items():
        if name == _FORM_TOKEN:
            continue
        if text.strip():
            values[name] = text
        elif name in nullable:
            values[name] = None
    return values


def submit(
    schema: ma.Schema,
    act: Callable[[Any], AnyResponse],
    again: Callable[[Form], str],
    *,
    nullable: tuple[str, ...] = (),
) -> AnyResponse:
    """Load what was sent, and ``act`` on it; what is refused is shown ``again`` to be corrected.

    The page then has the status and the headers of the refusal, like the API's answer to it.
    """
    values = sent_values(nullable)
    try:
        try:
            command = schema.load(values)
        except ma.ValidationError as error:
            raise invalid_fields(error.messages) from error
        return act(command)
    except AppError as refusal:
        return show_again(refusal, again, request.form)


def show_again(
    refusal: AppError, again: Callable[[Form], str], values: Mapping[str, Any]
) -> Response:
    """A form with what is wrong in it, as the answer to a refused one."""
    g.problem_code = refusal.code
    response = Response(again(refused_form(refusal, values)), refusal.status)
    if refusal.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_seconds)
    return response


def refused_form(refusal: AppError, values: Mapping[str, Any]) -> Form:
    errors = {fault["field"]: gettext(fault["message"]) for fault in refusal.errors or []}
    kept = {name: value for name, value in values.items() if "password" not in name}
    shown_at_fields = bool(errors) and all(name in values for name in errors)
    problem = "" if shown_at_fields else gettext(refusal.detail)
    return Form(kept, errors, problem, refusal.code)


def done(message: str, endpoint: str, **values: Any) -> AnyResponse:
    """Say that it is done, on the page that is shown next."""
    flash(message, "done")
    return redirect(url_for(endpoint, **values), 303)


def wants_fragment() -> bool:
    """True where htmx asks for a part of a page; without JavaScript nobody does."""
    return (
        request.headers.get("HX-Request") == "true" and request.headers.get("HX-Boosted") != "true"
    )


def page(template: str, status: int = 200, **context: Any) -> Response:
    return Response(render_template(template, **context), status)


def shared_context() -> dict[str, Any]:
    """What every template of a page may use; nothing here is asked for unless it is used."""
    return {
        "visitor": visitor,
        "language": choose_language,
        "form_token": generate_csrf,
        "here": _here,
        "unread_count": _unread_count,
        "basket_count": _basket_count,
    }


def _here() -> str:
    """The address of this page, to come back to."""
    return request.full_path.rstrip("?") if request.method == "GET" else "/"


def _unread_count() -> int:
    return 0


def _basket_count() -> int:
    return 0
