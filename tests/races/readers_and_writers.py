"""What the processes of tests/races/test_catalogue_reads.py do; they are started by name.

A writer commits a number into a product's price and only then says so. A reader notes what was
said before it asks; an answer that shows a smaller number is stale.
"""

from threading import Thread
from typing import Any

import orjson

from app.db import Database
from app.services.kept_catalogue import Kept, KeptCatalogue
from app.services.list_products import ProductFilter, list_products
from app.services.pages import PageRequest
from app.services.product_rows import find_product_row

NEVER_COMMITTED = 10**9
_ROOM = 1_000_000


def write(url: str, product_id: int, said: Any, writes: int) -> None:
    """Raise the price by a cent, over and over. What goes before is thrown away every seventh
    time, and otherwise overwritten: nobody may ever see it.
    """
    from sqlalchemy import text

    database = Database(url)
    raise_price = text("UPDATE products SET price_cents = :cents WHERE id = :id")
    sell = text("UPDATE products SET on_hand = on_hand + 1 WHERE id = :id")
    for number in range(1, writes + 1):
        values = {"id": product_id, "cents": number}
        with database.transaction() as session:
            session.execute(raise_price, {**values, "cents": NEVER_COMMITTED})
            if number % 7 == 0:
                session.rollback()
            else:
                session.execute(sell, values)
            session.execute(raise_price, values)
        said.value = number
    database.dispose()


def read(url: str, said: dict[int, Any], is_over: Any, stale: Any, read_count: Any) -> None:
    """Read the list and each product, in several threads, until the writers are done."""
    database = Database(url)
    kept = KeptCatalogue(lambda: database, _ROOM)

    def one(product_id: int) -> Kept:
        row = find_product_row(database.asking, product_id)
        body = orjson.dumps({product_id: row.price_cents}, option=orjson.OPT_NON_STR_KEYS)
        return Kept(body, len(body), frozenset({product_id}))

    def everything() -> Kept:
        rows = list_products(database.asking, ProductFilter(), PageRequest(100)).rows
        prices = {row.id: row.price_cents for row in rows}
        body = orjson.dumps(prices, option=orjson.OPT_NON_STR_KEYS)
        return Kept(body, len(body), frozenset(prices))

    def look_on() -> None:
        while True:
            is_last = bool(is_over.value)
            for key, build in [("list", everything)] + [
                (product_id, lambda product_id=product_id: one(product_id)) for product_id in said
            ]:
                floors = {product_id: known.value for product_id, known in said.items()}
                shown = orjson.loads(kept.get(key, build).content)
                wrong = [
                    product_id
                    for product_id, cents in shown.items()
                    if not floors[int(product_id)] <= cents < NEVER_COMMITTED
                ]
                with stale.get_lock():
                    stale.value += len(wrong)
                    read_count.value += 1
            if is_last:
                return

    threads = [Thread(target=look_on) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    database.dispose()
