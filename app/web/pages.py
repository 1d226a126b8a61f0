"""What all pages share: their blueprint, forms, what every template knows."""

from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from typing import Any
from urllib.parse import urlencode

import flask
import marshmallow as ma
from flask import Response, flash, g, redirect, render_template, request, session, url_for
from flask_wtf.csrf import generate_csrf
from werkzeug.wrappers import Response as AnyResponse

from app.config import Config
from app.context import current_config
from app.db import reading
from app.error_handlers import invalid_fields
from app.errors import AppError, InvalidInput, TooLarge
from app.services.notifications import count_unread
from app.services.pages import DEFAULT_LIMIT, PageRequest
from app.web.basket_cookie import count_in_basket
from app.web.foreign_forms import FORM_TOKEN, refuse_foreign_form, token_if_known
from app.web.language import choose_language, gettext
from app.web.visitors import visitor

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_PRIVATE = "private, no-cache"
_ROOM_BESIDE_FILE = 16 * 1024


class Pages(flask.Blueprint):
    """A blueprint of pages: every form is checked to come from a page of ours."""

    def __init__(self, name: str, import_name: str, *, never_kept: bool = False) -> None:
        """``never_kept``: its pages may not lie in any cache, not even the browser's."""
        super().__init__(name, import_name)
        self._cache_control = "no-store" if never_kept else _PRIVATE
        self.before_request(_check_form)
        self.after_request(_remember_browser)
        self.after_request(self._say_how_to_keep)

    def _say_how_to_keep(self, response: Response) -> Response:
        response.headers.setdefault("Cache-Control", self._cache_control)
        response.vary.add("Cookie")
        response.vary.add("Accept-Language")
        return response


def _remember_browser(response: Response) -> Response:
    """The cookie that forms are checked against outlives the browser's window."""
    if session and not session.permanent:
        session.permanent = True
    return response


def takes_upload(
    biggest: Callable[[Config], int],
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let one view take a file of that many bytes. Stands right under the guard."""

    def mark(view: Callable[..., Any]) -> Callable[..., Any]:
        vars(view)["biggest_file"] = biggest
        return view

    return mark


def sent_file(name: str, biggest: int) -> bytes:
    """The file of a form. Raises InvalidInput for none, TooLarge beyond ``biggest`` bytes."""
    with ExitStack() as held:  # a big one waits in a file of its own
        for file in chain.from_iterable(request.files.listvalues()):
            held.callback(file.close)
        chosen = request.files.getlist(name)
        if len(chosen) > 1:
            raise InvalidInput.field(name, "Choose one file.")
        content = chosen[0].read() if chosen else b""
    if not content:
        raise InvalidInput.field(name, "Choose a file first.")
    if len(content) > biggest:
        raise TooLarge(f"Choose a file of at most {biggest // 1024} KiB.")
    return content


def _check_form() -> Response | None:
    view = flask.current_app.view_functions.get(request.endpoint or "")
    biggest = getattr(view, "biggest_file", None)
    if biggest is not None:
        request.max_content_length = biggest(current_config()) + _ROOM_BESIDE_FILE
    return None if request.method in _SAFE_METHODS else refuse_foreign_form()


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

    An empty field among ``nullable`` is None instead: it takes a value away. Raises InvalidInput
    for a field that was sent twice: which of the two counts would be a guess.
    """
    for name, sent in request.form.lists():
        if len(sent) > 1:
            raise InvalidInput.field(name, "Send this once.")
    values: dict[str, Any] = {}
    for name, text in request.form.items():
        if name == FORM_TOKEN:
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
    try:
        values = sent_values(nullable)
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


def asked_page(limit: int = DEFAULT_LIMIT) -> PageRequest:
    """The page of a list that the address names by its cursor."""
    return PageRequest(limit=limit, cursor=request.args.get("cursor") or None)


def asked_word(name: str, known: Collection[str]) -> str | None:
    """A parameter of the address, if it is one of the words that mean something there."""
    word = request.args.get(name)
    return word if word in known else None


def next_address(cursor: str | None) -> str | None:
    """This address with another cursor; None after the last page."""
    if cursor is None:
        return None
    asked = {name: value for name, value in request.args.items() if name != "cursor"}
    return f"{request.path}?{urlencode({**asked, 'cursor': cursor})}"


def shared_context() -> dict[str, Any]:
    """What every template of a page may use; nothing here is asked for unless it is used."""
    return {
        "visitor": visitor,
        "language": choose_language,
        "form_token": generate_csrf,
        "open_form_token": token_if_known,
        "here": _here,
        "unread_count": _unread_count,
        "basket_count": count_in_basket,
    }


def _here() -> str:
    """The address of this page, to come back to."""
    return request.full_path.rstrip("?") if request.method == "GET" else "/"


def _unread_count() -> int:
    actor = visitor()
    if actor is None:
        return 0
    with reading() as session:
        return count_unread(session, actor)
