"""What the products found are like, counted among those that were ranked."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence

from app.services.search.candidates import Candidate
from app.services.search.categories import CategoryBook
from app.services.search.values import CategoryCount, Facets, PriceCount, StockCount

_PRICE_STEPS_CENTS = (0, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000)
_MOST_CATEGORIES = 20


def facets_of(candidates: Sequence[Candidate], book: CategoryBook, most_ranked: int) -> Facets:
    in_stock = sum(candidate.is_in_stock for candidate in candidates)
    return Facets(
        counted=len(candidates),
        is_capped=len(candidates) > most_ranked,
        categories=_categories(candidates, book),
        prices=_prices(candidates),
        stock=StockCount(in_stock, len(candidates) - in_stock),
    )


def _categories(candidates: Sequence[Candidate], book: CategoryBook) -> list[CategoryCount]:
    """The biggest first."""
    counts = Counter(candidate.category_id for candidate in candidates)
    named = [
        CategoryCount(*book.names[category_id], count)
        for category_id, count in counts.items()
        if category_id in book.names
    ]
    return sorted(named, key=lambda one: (-one.count, one.slug))[:_MOST_CATEGORIES]


def _prices(candidates: Sequence[Candidate]) -> list[PriceCount]:
    """Only the steps that hold something."""
    counts = Counter(
        bisect_right(_PRICE_STEPS_CENTS, candidate.price_cents) for candidate in candidates
    )
    ends: list[int | None] = [*_PRICE_STEPS_CENTS[1:], None]
    return [
        PriceCount(start, end, counts[step])
        for step, (start, end) in enumerate(zip(_PRICE_STEPS_CENTS, ends, strict=True), start=1)
        if counts[step]
    ]
