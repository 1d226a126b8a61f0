"""Searching the catalogue and one's tasks: ranked, forgiving, a page at a time."""

from app.services.search.find import search, search_products, suggest
from app.services.search.values import (
    MOST_RANKED,
    CategoryCount,
    Facets,
    Found,
    PriceCount,
    SearchAsk,
    SearchKind,
    SearchResult,
    StockCount,
    Suggestion,
)

__all__ = [
    "MOST_RANKED",
    "CategoryCount",
    "Facets",
    "Found",
    "PriceCount",
    "SearchAsk",
    "SearchKind",
    "SearchResult",
    "StockCount",
    "Suggestion",
    "search",
    "search_products",
    "suggest",
]
