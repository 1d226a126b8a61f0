"""`python -m bench.peers.oscar_site.fill PRODUCTS`: an empty database becomes a shop.

It has as many of the same products as ours, and buyers who have signed in.
"""

import sys
from collections.abc import Iterator
from decimal import Decimal

import django

django.setup()

from django.conf import settings  # noqa: E402 - Django wants to be set up first
from django.contrib.auth import (  # noqa: E402
    BACKEND_SESSION_KEY,
    HASH_SESSION_KEY,
    SESSION_KEY,
    get_user_model,
)
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from oscar.core.loading import get_model  # noqa: E402

from bench import goods  # noqa: E402

BUYERS = 64
_PLENTY = 10_000_000
_BATCH = 2_000

Category = get_model("catalogue", "Category")
Product = get_model("catalogue", "Product")
ProductCategory = get_model("catalogue", "ProductCategory")
ProductClass = get_model("catalogue", "ProductClass")
Partner = get_model("partner", "Partner")
StockRecord = get_model("partner", "StockRecord")


def main() -> None:
    call_command("migrate", verbosity=0)
    with transaction.atomic():
        _put_products(int(sys.argv[1]))
        _sign_in()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    connection.close()


def _put_products(count: int) -> None:
    """Nothing is sent, and no more than its price, stock and category belongs to a product."""
    kind = ProductClass.objects.create(name="Goods", requires_shipping=False, track_stock=True)
    partners = {
        number: Partner.objects.create(name=f"Seller {number}")
        for number in range(1, goods.SELLERS + 1)
    }
    categories = {
        number: Category.objects.add_root({"name": name, "slug": slug})
        for number, above, name, slug, *_ in goods.categories()
        if above is not None
    }
    for rows in _batches(goods.products(count)):
        told = [dict(zip(goods.PRODUCT_COLUMNS, row, strict=True)) for row in rows]
        Product.objects.bulk_create(_products(kind, told))
        StockRecord.objects.bulk_create(
            StockRecord(
                product_id=one["id"],
                partner=partners[one["seller_id"]],
                partner_sku=one["sku"],
                price_currency="KES",
                price=Decimal(one["price_cents"]) / 100,
                num_in_stock=_PLENTY,
            )
            for one in told
        )
        ProductCategory.objects.bulk_create(
            ProductCategory(product_id=one["id"], category=categories[one["category_id"]])
            for one in told
        )


def _products(kind: object, told: list[dict[str, object]]) -> Iterator[object]:
    for one in told:
        yield Product(
            id=one["id"],
            structure=Product.STANDALONE,
            product_class=kind,
            upc=one["sku"],
            title=one["name"],
            slug=f"product-{one['id']}",
            description=one["description"],
        )


def _batches(rows: Iterator[goods.Row]) -> Iterator[list[goods.Row]]:
    batch: list[goods.Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _sign_in() -> None:
    users = get_user_model()
    for number in range(BUYERS):
        user = users.objects.create_user(f"buyer{number}", f"buyer{number}@shop.example")
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.save()


if __name__ == "__main__":
    main()
