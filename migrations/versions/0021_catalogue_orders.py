"""Indexes in which each list of products stands in each order: all, a category's, a seller's.

A page is then read off an index, however long its list is. None of them holds what a sale changes,
so that PostgreSQL writes a product's new stock beside the old one and touches no index.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

LOWER_NAME = sa.text("lower(name)")
INDEXES = (
    ("ix_products_lower_name_id", [LOWER_NAME, "id"]),
    ("ix_products_category_id_created_at_id", ["category_id", "created_at", "id"]),
    ("ix_products_category_id_price_cents_id", ["category_id", "price_cents", "id"]),
    ("ix_products_category_id_lower_name_id", ["category_id", LOWER_NAME, "id"]),
    ("ix_products_seller_id_created_at_id", ["seller_id", "created_at", "id"]),
    ("ix_products_seller_id_price_cents_id", ["seller_id", "price_cents", "id"]),
    ("ix_products_seller_id_lower_name_id", ["seller_id", LOWER_NAME, "id"]),
)
BEFORE = (
    ("ix_products_name_id", ["name", "id"]),  # lists are sorted whatever the case
    ("ix_products_category_id_id", ["category_id", "id"]),
)


def upgrade() -> None:
    for name, columns in INDEXES:
        op.create_index(name, "products", columns)
    for name, _columns in BEFORE:
        op.drop_index(name, table_name="products")


def downgrade() -> None:
    for name, columns in BEFORE:
        op.create_index(name, "products", columns)
    for name, _columns in reversed(INDEXES):
        op.drop_index(name, table_name="products")
