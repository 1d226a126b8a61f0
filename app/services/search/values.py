"""What is asked of the search, what it answers, and what it asks the index."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from app.models import Task
from app.services.pages import DEFAULT_LIMIT
from app.services.product_rows import ProductRow
from app.services.search.labels import category_label, price_labels, seller_label

MOST_WORDS = 8
"""What is typed behind them is not looked for."""

MOST_RANKED = 1000
"""See SearchAsk.most_ranked."""

T = TypeVar("T")


class SearchKind(StrEnum):
    ITEMS = "items"
    TASKS = "tasks"


@dataclass(frozen=True, slots=True)
class SearchAsk:
    """What somebody looks for. ``kind`` None: products, and tasks for who is signed in.

    The filters are the catalogue's, and about products alone. ``most_ranked`` of the newest hits
    are ranked among themselves.
    """

    query: str
    kind: SearchKind | None = None
    category: str | None = None
    min_price_cents: int | None = None
    max_price_cents: int | None = None
    in_stock: bool | None = None
    seller_id: int | None = None
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None
    include_total: bool = False
    most_ranked: int = MOST_RANKED


@dataclass(frozen=True, slots=True)
class CategoryCount:
    slug: str
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class PriceCount:
    """How many cost at least ``from_cents`` and less than ``below_cents``; None: no upper end."""

    from_cents: int
    below_cents: int | None
    count: int


@dataclass(frozen=True, slots=True)
class StockCount:
    in_stock: int = 0
    sold_out: int = 0


@dataclass(frozen=True, slots=True)
class Facets:
    """What the ranked products are like. ``is_capped``: there are more than were counted."""

    counted: int = 0
    is_capped: bool = False
    categories: Sequence[CategoryCount] = ()
    prices: Sequence[PriceCount] = ()
    stock: StockCount = StockCount()


@dataclass(frozen=True, slots=True)
class SearchResult(Generic[T]):
    """One page, the best first, each row with its score from 0 to 1.

    ``corrected`` is the query that was answered, where the one that was asked found nothing.
    ``total`` stops counting one behind what is ranked.
    """

    rows: list[tuple[T, float]]
    facets: Facets = field(default_factory=Facets)
    corrected: str | None = None
    next_cursor: str | None = None
    total: int = 0


Found = ProductRow | Task


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What somebody who is still typing may mean."""

    product_id: int
    name: str


@dataclass(frozen=True, slots=True)
class Term:
    """One word of a query: any of its forms will do, or a category whose name holds it.

    The last word of a query is a prefix: more of it may still be typed.
    """

    word: str
    forms: tuple[str, ...]
    is_prefix: bool = False
    category_ids: tuple[int, ...] = ()


class PriceRange(NamedTuple):
    """Both ends are in it; None: there is no such end."""

    lowest: int | None
    highest: int | None


@dataclass(frozen=True, slots=True)
class Expression:
    """What the index is asked: all terms together, in some categories, of one seller.

    Of ``prices`` it finds a few more, just outside the range.
    """

    terms: tuple[Term, ...]
    category_ids: tuple[int, ...] | None = None
    seller_id: int | None = None
    prices: PriceRange | None = None
    in_name: bool = False

    @property
    def labels(self) -> list[list[str]]:
        """One of each group must stand beside the words."""
        groups = []
        if self.category_ids is not None:
            groups.append([category_label(category_id) for category_id in self.category_ids])
        if self.seller_id is not None:
            groups.append([seller_label(self.seller_id)])
        if self.prices is not None:
            groups.append(price_labels(*self.prices))
        return groups
