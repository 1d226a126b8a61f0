"""How long a search takes among many products.

    .venv/bin/python bench/search.py                      # 100,000 products, both databases
    .venv/bin/python bench/search.py --products 1000000 --database sqlite

Makes a database of its own for each kind: a SQLite file in a temporary folder, and a PostgreSQL
out of the package that the tests use. Another PostgreSQL is taken where DATABASE_URL names one;
its database has to be empty. Products are written as the shop writes them, so that the triggers
that keep the index are timed as well.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sqlalchemy import func, insert, select, text, update

from app import schema_migrations
from app.db import Database
from app.models import Category, Product, User
from app.services.search import SearchAsk, search_products, suggest

KINDS = [
    "headphones",
    "shoe",
    "boots",
    "kettle",
    "lamp",
    "phone",
    "charger",
    "basket",
    "shuka",
    "tea",
    "coffee",
    "flour",
    "soap",
    "blender",
    "radio",
    "jacket",
    "shirt",
    "dress",
    "handbag",
    "watch",
]
QUALITIES = [
    "wireless",
    "red",
    "blue",
    "leather",
    "cotton",
    "large",
    "small",
    "classic",
    "premium",
    "handmade",
    "organic",
    "solar",
    "steel",
    "wooden",
    "light",
]
FILLER = ["good", "quality", "for", "everyday", "use", "delivered", "all", "over", "kenya"]
SYLLABLES = [
    "ka",
    "ri",
    "mo",
    "ta",
    "ne",
    "lu",
    "shi",
    "pa",
    "do",
    "wa",
    "ki",
    "bu",
    "zo",
    "fe",
    "nge",
]
CATEGORIES = 40
SELLERS = 50
BATCH = 5_000
FIRST_DAY = datetime(2020, 1, 1, tzinfo=UTC)


def main() -> None:
    arguments = _arguments()
    shops = {"sqlite": _sqlite, "postgresql": _postgresql}
    for kind in shops if arguments.database == "both" else [arguments.database]:
        with shops[kind]() as database:
            _measure(kind, database, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--products", type=int, default=100_000, help="how many (100000)")
    parser.add_argument("--rounds", type=int, default=100, help="searches of each kind (100)")
    parser.add_argument(
        "--database", choices=["sqlite", "postgresql", "both"], default="both", help="(both)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the words that are made up (1)")
    return parser.parse_args()


@contextmanager
def _sqlite() -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="sokoni-bench-") as folder:
        database = Database(f"sqlite:///{folder}/shop.db")
        yield database
        database.dispose()


@contextmanager
def _postgresql() -> Iterator[Database]:
    url = os.environ.get("DATABASE_URL", "")
    if url.startswith("postgresql"):
        yield Database(url)
        return
    from tests.postgres import create_database, start_postgres, stop_postgres

    try:
        database = Database(create_database(start_postgres(), "sokoni_bench"))
        yield database
        database.dispose()
    finally:
        stop_postgres()


def _measure(kind: str, database: Database, arguments: argparse.Namespace) -> None:
    schema_migrations.upgrade(database)
    rare = _made_up_words(random.Random(arguments.seed))
    began = time.perf_counter()
    _fill(kind, database, arguments, rare)
    took = time.perf_counter() - began
    per_product = took / arguments.products * 1e3
    print(f"{kind}: {arguments.products:,} products in {took:.0f} s, {per_product:.2f} ms each")
    _settle(database)
    print(f"{kind}: {_stock_update(database, arguments):.2f} ms for a change of stock")
    print(f"\n{'':24} {'p50 ms':>8} {'p95 ms':>8} {'worst':>8} {'found':>8}")
    draw = random.Random(arguments.seed + 1)
    for label, query in _queries(draw, rare).items():
        _report(database, label, query, arguments.rounds)
    print()


def _made_up_words(draw: random.Random) -> list[str]:
    words = {"".join(draw.choices(SYLLABLES, k=draw.randint(3, 4))) for _ in range(20_000)}
    return sorted(words)


def _fill(kind: str, database: Database, arguments: argparse.Namespace, rare: list[str]) -> None:
    draw = random.Random(arguments.seed)
    with database.transaction() as session:
        if session.scalar(select(func.count()).select_from(Product)):
            raise SystemExit("This database holds products: name an empty one.")
        session.execute(insert(User), [_seller(number) for number in range(1, SELLERS + 1)])
        session.execute(insert(Category), [_category(one) for one in range(1, CATEGORIES + 1)])
    for start in range(0, arguments.products, BATCH):
        end = min(start + BATCH, arguments.products)
        with database.transaction() as session:
            session.execute(
                insert(Product), [_product(draw, rare, one) for one in range(start, end)]
            )
        print(f"\r{kind}: {end:,} products", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def _seller(number: int) -> dict[str, object]:
    name = f"seller{number}"
    address = f"{name}@shop.example"
    return {
        "id": number, "username": name, "username_key": name, "email": address,
        "email_key": address, "password_hash": "none", "role": "seller",
        "created_at": FIRST_DAY, "updated_at": FIRST_DAY,
    }  # fmt: skip


def _category(number: int) -> dict[str, object]:
    return {
        "id": number, "name": f"Shelf {number}", "slug": f"shelf-{number}",
        "created_at": FIRST_DAY, "updated_at": FIRST_DAY,
    }  # fmt: skip


def _product(draw: random.Random, rare: list[str], number: int) -> dict[str, object]:
    """Each of the twenty kinds and fifteen qualities stands in 5 to 7 of 100 names, and in a third
    of the descriptions.
    """
    moment = FIRST_DAY + timedelta(minutes=number)
    name = f"{draw.choice(QUALITIES)} {draw.choice(KINDS)} {draw.choice(rare)}".capitalize()
    words = [*draw.choices(KINDS + QUALITIES, k=14), *FILLER, *draw.choices(rare, k=6)]
    description = " ".join(words)
    return {
        "seller_id": number % SELLERS + 1, "category_id": draw.randint(1, CATEGORIES),
        "name": name, "description": description, "sku": f"SKU-{number}",
        "price_cents": draw.randint(100, 1_000_000), "on_hand": draw.randint(0, 5), "reserved": 0,
        "version": 1, "created_at": moment, "updated_at": moment,
    }  # fmt: skip


def _settle(database: Database) -> None:
    """What a database does by itself after a while."""
    if database.is_sqlite:
        return
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE"))


def _stock_update(database: Database, arguments: argparse.Namespace) -> float:
    """The median time of a product's stock going down, in milliseconds."""
    draw, times = random.Random(arguments.seed), []
    for _ in range(arguments.rounds):
        product_id = draw.randint(1, arguments.products)
        began = time.perf_counter()
        with database.transaction() as session:
            session.execute(
                update(Product).where(Product.id == product_id).values(on_hand=Product.on_hand + 1)
            )
        times.append((time.perf_counter() - began) * 1e3)
    return quantiles(times, n=2)[0]


def _queries(draw: random.Random, rare: list[str]) -> dict[str, Callable[[], SearchAsk | str]]:
    def kind() -> str:
        return draw.choice(KINDS)

    def misspelt() -> str:
        word = draw.choice([word for word in KINDS if len(word) > len("boots")])
        place = draw.randrange(1, len(word) - 1)
        return word[:place] + word[place + 1 :]

    return {
        "a frequent word": lambda: SearchAsk(kind()),
        "a rare word": lambda: SearchAsk(draw.choice(rare)),
        "a SKU": lambda: SearchAsk(f"SKU-{draw.randint(0, 99_999)}"),
        "two frequent words": lambda: SearchAsk(f"{draw.choice(QUALITIES)} {kind()}"),
        "frequent and rare": lambda: SearchAsk(f"{kind()} {draw.choice(rare)}"),
        "three letters": lambda: SearchAsk(kind()[:3]),
        "one letter": lambda: SearchAsk(kind()[0]),
        "a typing error": lambda: SearchAsk(misspelt()),
        "no word of ours": lambda: SearchAsk("xyzzy plugh"),
        "in a category": lambda: SearchAsk(kind(), category=f"shelf-{draw.randint(1, CATEGORIES)}"),
        "from a seller": lambda: SearchAsk(kind(), seller_id=draw.randint(1, SELLERS)),
        "in stock, cheap": lambda: SearchAsk(kind(), max_price_cents=20_000, in_stock=True),
        "suggestions": lambda: kind()[:4],
    }


def _report(
    database: Database, label: str, query: Callable[[], SearchAsk | str], rounds: int
) -> None:
    times, found = [], 0
    for number in range(rounds + 3):
        ask = query()
        began = time.perf_counter()
        with database.reading() as session:
            if isinstance(ask, str):
                found += len(suggest(session, ask))
            else:
                found += search_products(session, ask).total
        if number >= 3:  # noqa: PLR2004 - the first ones compile the statements
            times.append((time.perf_counter() - began) * 1e3)
    places = quantiles(times, n=20)
    average = found / (rounds + 3)
    print(f"{label:24} {places[9]:8.1f} {places[18]:8.1f} {max(times):8.1f} {average:8.0f}")


if __name__ == "__main__":
    main()
