"""Baskets of guests and of users."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _whole(column: str, minimum: int, maximum: int) -> str:
    return f"{column} BETWEEN {minimum} AND {maximum} AND CAST({column} AS BIGINT) = {column}"


def upgrade() -> None:
    op.create_table(
        "baskets",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("user_id", BIG_ID, nullable=True),
        sa.Column("token_hash", sa.String(length=64), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("ordered_version", sa.Integer(), nullable=True),
        sa.Column("last_order_id", BIG_ID, nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(user_id IS NULL) <> (token_hash IS NULL)", name=op.f("ck_baskets_one_owner")
        ),
        sa.CheckConstraint(
            "(ordered_version IS NULL) = (last_order_id IS NULL)",
            name=op.f("ck_baskets_order_has_its_version"),
        ),
        sa.CheckConstraint(_whole("version", 1, 2147483647), name=op.f("ck_baskets_version_whole")),
        sa.CheckConstraint(
            _whole("ordered_version", 1, 2147483647), name=op.f("ck_baskets_ordered_version_whole")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_baskets_user_id_users")),
        sa.ForeignKeyConstraint(
            ["last_order_id"], ["orders.id"], name=op.f("fk_baskets_last_order_id_orders")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_baskets")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_baskets_token_hash")),
        sa.UniqueConstraint("user_id", name=op.f("uq_baskets_user_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_baskets_updated_at", "baskets", ["updated_at"])
    op.create_table(
        "basket_lines",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("basket_id", BIG_ID, nullable=False),
        sa.Column("product_id", BIG_ID, nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("price_cents", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(_whole("quantity", 1, 1000), name=op.f("ck_basket_lines_quantity_whole")),
        sa.CheckConstraint(
            _whole("price_cents", 0, 999999999999), name=op.f("ck_basket_lines_price_cents_whole")
        ),
        sa.ForeignKeyConstraint(
            ["basket_id"],
            ["baskets.id"],
            name=op.f("fk_basket_lines_basket_id_baskets"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name=op.f("fk_basket_lines_product_id_products")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_basket_lines")),
        sa.UniqueConstraint(
            "basket_id", "product_id", name=op.f("uq_basket_lines_basket_id_product_id")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_basket_lines_product_id", "basket_lines", ["product_id"])


def downgrade() -> None:
    op.drop_table("basket_lines")
    op.drop_table("baskets")
