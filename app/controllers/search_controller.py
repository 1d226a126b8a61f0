"""Searching: products for anyone, and one's own tasks for who is signed in."""

from flask import Response

from app.controllers.blueprint import Blueprint
from app.controllers.entity_tags import public_answer
from app.controllers.paging import page_response
from app.db import reading
from app.schemas.search import (
    FacetsSchema,
    SearchPageSchema,
    SearchQuery,
    hits_on_wire,
)
from app.security import optional_actor, public
from app.services.pages import Page
from app.services.search import SearchAsk, search

searching = Blueprint("search", __name__, description="One box for everything.")
_facets = FacetsSchema()


@searching.get("/search")
@public
@searching.arguments(SearchQuery, location="query")
@searching.response(200, SearchPageSchema)
def get_search(ask: SearchAsk) -> Response:
    """Products that hold all the words, and with a token your tasks that do, the best first.

    The newest thousand hits are ranked among themselves, those in a name before all others; all
    that is counted, `page.total` as well, stops at 1001, which stands for more. Words that find
    nothing are taken for typing errors: `corrected` then says what was looked for. `facets` counts
    what was found. A cursor stays good while the catalogue changes: what is new
    shows up if its place lies ahead, and what is gone is left out.
    """
    actor = optional_actor()
    with reading() as session:
        found = search(session, actor, ask)
    page = Page(found.rows, found.next_cursor, found.total if ask.include_total else None)
    response = page_response(
        page, hits_on_wire, facets=_facets.dump(found.facets), corrected=found.corrected
    )
    return public_answer(response) if actor is None else response
