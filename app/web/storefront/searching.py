"""The search box, and what it finds."""

from dataclasses import dataclass

from flask import Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from app.db import reading
from app.services.product_rows import ProductRow
from app.services.search import PriceCount, SearchAsk, SearchResult, search_products
from app.services.suggest_products import suggest_products
from app.utils.money import CENTS_PER_SHILLING
from app.web.pages import page, wants_fragment
from app.web.storefront.blueprint import CARDS, shelf, storefront
from app.web.storefront.filters import NARROWING, Filters, narrowed, read_filters
from app.web.visitors import public_page

LONGEST_QUERY = 200
SUGGESTIONS = 6


@dataclass(frozen=True, slots=True)
class PriceStep:
    """A facet of prices as the filters that choose it."""

    low_cents: int
    high_cents: int | None
    count: int
    address: str
    is_chosen: bool


@storefront.get("/search")
@public_page
def search_page() -> Response:
    """What was found, the best first, with what to narrow it down by."""
    query = _query()
    filters = read_filters(NARROWING)
    found: SearchResult[ProductRow] = SearchResult([])
    if query and filters.wanted is not None:
        ask = SearchAsk(
            query,
            category=request.args.get("category") or None,
            limit=CARDS,
            cursor=request.args.get("cursor") or None,
            **filters.wanted,
        )
        with reading() as session:
            found = search_products(session, ask)
    sheet = shelf(
        "storefront/search.html",
        [product for product, _score in found.rows],
        found.next_cursor,
        filters.status,
        query=query,
        found=found,
        steps=[_step(step, filters) for step in found.facets.prices],
        category=request.args.get("category") or None,
        filters=filters,
        narrowed=narrowed,
    )
    response = page(sheet.template, sheet.status, **sheet.context)
    response.vary.add("HX-Request")
    return response


@storefront.get("/search/suggest")
@public_page
def suggestions() -> AnyResponse:
    """What somebody who is still typing may mean: a few links below the box."""
    query = _query()
    if not wants_fragment():
        return redirect(f"/search?{request.query_string.decode('latin-1')}", 303)
    with reading() as session:
        products = suggest_products(session, query, SUGGESTIONS)
    if not products:
        return Response("", mimetype="text/html")  # the box below hides where it is quite empty
    return page("storefront/_suggestions.html", products=products, query=query)


def _query() -> str:
    """What was typed, on one line."""
    text = request.args.get("query", "")
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(line.split())[:LONGEST_QUERY]


def _step(step: PriceCount, filters: Filters) -> PriceStep:
    """A step ends one cent below the next."""
    low = _shillings(step.from_cents) if step.from_cents else None
    high = _shillings(step.below_cents - 1) if step.below_cents else None
    values = filters.form.values
    is_chosen = (values.get("min_price"), values.get("max_price")) == (low, high)
    address = (
        narrowed(min_price=None, max_price=None)
        if is_chosen
        else narrowed(min_price=low, max_price=high)
    )
    return PriceStep(step.from_cents, step.below_cents, step.count, address, is_chosen)


def _shillings(cents: int) -> str:
    shillings, rest = divmod(cents, CENTS_PER_SHILLING)
    return f"{shillings}.{rest:02d}" if rest else str(shillings)
