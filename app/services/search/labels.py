"""Labels stand among a product's words in the index, and narrow a search as a word does.

No person can type one. Triggers write them: migrations/versions/0023.
"""

from collections.abc import Iterator

from app.models.base import MAX_CENTS

_LABEL = "\ue000"
_FINEST = 10
"""The finest label of a price names its first two digits: so many and more."""


def category_label(category_id: int) -> str:
    """0 stands for no category."""
    return f"{_LABEL}c{category_id}"


def seller_label(seller_id: int) -> str:
    return f"{_LABEL}s{seller_id}"


def price_labels(lowest: int | None, highest: int | None) -> list[str]:
    """The fewest that hold every price of this range, in cents, and few others.

    A price has three labels: how many digits it has, the first of them, the first two. Prices
    that share the finest one lie within a tenth of each other; which of them are in the range is
    left to who asks.
    """
    low = 0 if lowest is None else lowest
    high = MAX_CENTS if highest is None else min(highest, MAX_CENTS)
    return [
        label
        for digits in range(1, len(str(MAX_CENTS)) + 1)
        for label in _with_digits(digits, low, high)
    ]


def _with_digits(digits: int, low: int, high: int) -> Iterator[str]:
    least = 10 ** (digits - 1) if digits > 1 else 0
    most = min(10**digits - 1, MAX_CENTS)
    if low <= least and most <= high:
        yield f"{_LABEL}p{digits}"
    elif low <= most and least <= high:
        for first in range(min(least, 1), 10):
            yield from _beginning_with(first, digits - 1, low, high)


def _beginning_with(digits: int, more: int, low: int, high: int) -> Iterator[str]:
    """Of prices that begin with these digits and have so many more."""
    least = digits * 10**more
    most = least + 10**more - 1
    if high < least or most < low:
        return
    if (low <= least and most <= high) or digits >= _FINEST or not more:
        yield f"{_LABEL}p{len(str(digits)) + more}d{digits}"
        return
    for last in range(10):
        yield from _beginning_with(10 * digits + last, more - 1, low, high)
