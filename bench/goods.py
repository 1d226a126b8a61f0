"""A catalogue that is made up, the same each time: names of a kind, a quality and a rare word.

Each of the twenty kinds and fifteen qualities stands in 5 to 7 of 100 names, and in a third of the
descriptions. Twenty products are 11 KB of JSON.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

KINDS = (  # noqa: SIM905 - a list of words reads better
    "headphones shoe boots kettle lamp phone charger basket shuka tea coffee flour soap blender"
    " radio jacket shirt dress handbag watch"
).split()
QUALITIES = (  # noqa: SIM905 - as above
    "wireless red blue leather cotton large small classic premium handmade organic solar steel"
    " wooden light"
).split()
FILLER = "good quality for everyday use delivered all over kenya".split()  # noqa: SIM905 - as above
_SYLLABLES = "ka ri mo ta ne lu shi pa do wa ki bu zo fe nge".split()  # noqa: SIM905 - as above
_RARE_WORDS = 20_000
SELLERS = 50
TOPS, BELOW_EACH = 8, 5
CATEGORIES = TOPS * BELOW_EACH
"""Where products lie; above each five of them stands one that holds nothing itself."""
DEAREST_SHILLINGS = 10_000
FIRST_DAY = datetime(2020, 1, 1, tzinfo=UTC)

Row = tuple[object, ...]

USER_COLUMNS = (
    *("id", "username", "username_key", "email", "email_key", "password_hash", "role"),
    *("created_at", "updated_at"),
)
CATEGORY_COLUMNS = ("id", "parent_id", "name", "slug", "position", "created_at", "updated_at")
PRODUCT_COLUMNS = (
    *("id", "seller_id", "category_id", "name", "description", "price_cents", "sku", "image_url"),
    *("on_hand", "reserved", "version", "rating_sum", "rating_count", "created_at", "updated_at"),
)


def rare_words() -> list[str]:
    draw = random.Random("rare words")
    words = {"".join(draw.choices(_SYLLABLES, k=draw.randint(3, 4))) for _ in range(_RARE_WORDS)}
    return sorted(words)


def categories() -> Iterator[Row]:
    """The ids of those that hold products are 1 to CATEGORIES."""
    for top in range(1, TOPS + 1):
        number = CATEGORIES + top
        yield (number, None, f"Floor {top}", f"floor-{top}", top, FIRST_DAY, FIRST_DAY)
    for number in range(1, CATEGORIES + 1):
        above = CATEGORIES + (number - 1) // BELOW_EACH + 1
        name = f"Shelf {number}"
        yield (number, above, name, f"shelf-{number}", number, FIRST_DAY, FIRST_DAY)


def products(count: int) -> Iterator[Row]:
    """A higher id is newer, by a minute. Those of a longer catalogue begin with the shorter's."""
    draw = random.Random("products")
    rare = rare_words()
    for number in range(1, count + 1):
        yield _product(draw, rare, number)


def sellers() -> Iterator[Row]:
    for number in range(1, SELLERS + 1):
        name = f"seller{number}"
        address = f"{name}@shop.example"
        yield (
            *(number, name, name, address, address, "none", "seller"),
            *(FIRST_DAY, FIRST_DAY),
        )


def _product(draw: random.Random, rare: list[str], number: int) -> Row:
    moment = FIRST_DAY + timedelta(minutes=number)
    name = f"{draw.choice(QUALITIES)} {draw.choice(KINDS)} {draw.choice(rare)}".capitalize()
    words = [*draw.choices(KINDS + QUALITIES, k=14), *FILLER, *draw.choices(rare, k=6)]
    ratings = draw.randint(0, 9)
    return (
        number,
        number % SELLERS + 1,
        draw.randint(1, CATEGORIES),
        name,
        " ".join(words),
        draw.randint(100, 100 * DEAREST_SHILLINGS),
        f"SKU-{number}",
        f"/media/products/{number}/320.webp" if number % 3 else None,
        draw.randint(0, 20),
        0,
        1,
        ratings * 4,
        ratings,
        moment,
        moment,
    )
