"""Pages of the catalogue that are kept in pieces, and put together anew for each visitor.

What a visitor alone sees (their links in the header, a form's token, a notice) is left out of what
is kept: a hole is kept in its place. So one page serves everybody, and holds nothing of anybody.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, wraps
from secrets import token_hex
from typing import Any

from flask import Response, render_template, request, session
from flask_wtf.csrf import generate_csrf
from markupsafe import Markup

from app.ready_answers import kept_answer
from app.services.kept_catalogue import Kept
from app.web.basket_cookie import count_in_basket
from app.web.foreign_forms import token_if_known
from app.web.language import choose_language
from app.web.pages import page, wants_fragment
from app.web.visitors import visitor

_MARK = token_hex(16)  # nobody can write one into a product's name
_HOLE = re.compile(f"<{_MARK}:([a-z]+)>")
_FLASHES = "_flashes"


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a page of the catalogue is made of. ``shows`` and ``follows_stock`` as Kept has them.

    Nothing in ``context`` may come from a cookie or a header.
    """

    template: str
    context: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    shows: frozenset[int] = frozenset()
    follows_stock: bool = False


def kept_page(view: Callable[..., Sheet]) -> Callable[..., Response]:
    """Send the sheet of the view, without making it anew while nothing on it has changed.

    Stands right above the view: what it says is kept for an address and a language.
    """

    @wraps(view)
    def kept_view(*args: Any, **kwargs: Any) -> Response:
        address = (request.environ["PATH_INFO"], request.environ.get("QUERY_STRING", ""))
        key = (choose_language(), wants_fragment(), *address)
        try:
            kept = kept_answer(key, lambda: _kept(view(*args, **kwargs), address))
        except _NotKept as refused:
            sheet = refused.sheet
            response = page(sheet.template, sheet.status, **sheet.context)
        else:
            response = Response(_filled(kept.content), mimetype="text/html")
        response.vary.add("HX-Request")
        return response

    return kept_view


class _NotKept(Exception):
    """A sheet that tells what is wrong with the question."""

    def __init__(self, sheet: Sheet) -> None:
        super().__init__()
        self.sheet = sheet


def _kept(sheet: Sheet, address: tuple[str, str]) -> Kept:
    """Every other piece names what belongs in the hole between its neighbours."""
    if sheet.status != Response.default_status:
        raise _NotKept(sheet)
    text = render_template(
        sheet.template,
        **sheet.context,
        hole=_hole,
        form_token=lambda: _hole("token"),
        open_form_token=lambda: _hole("opentoken"),
    )
    pieces = [
        piece.encode() if place % 2 == 0 else piece for place, piece in enumerate(_HOLE.split(text))
    ]
    size = len(text) + sum(map(len, address))
    return Kept(pieces, size, sheet.shows, sheet.follows_stock)


def _hole(name: str) -> Markup:
    return Markup(f"<{_MARK}:{name}>")  # noqa: S704 - both are ours


def _filled(pieces: list[bytes | str]) -> bytes:
    return b"".join(
        piece if isinstance(piece, bytes) else _FILLINGS[piece]().encode() for piece in pieces
    )


def _links() -> str:
    """Where the header leads. Most visitors are nobody yet, and have nothing in a basket."""
    if visitor() is None and not count_in_basket():
        return _links_of_a_stranger(choose_language())
    return render_template("_links.html")


@cache
def _links_of_a_stranger(_language: str) -> str:
    return render_template("_links.html")


def _notices() -> str:
    return render_template("_notices.html") if session.get(_FLASHES) else ""


_FILLINGS: dict[str, Callable[[], str]] = {
    "links": _links,
    "notices": _notices,
    "token": generate_csrf,
    "opentoken": token_if_known,
}
