"""Pictures: what is kept in the file store, and whose it is."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    big_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "pictures",
        sa.Column("id", big_id, nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("user_id", big_id, nullable=False),
        sa.Column("product_id", big_id, nullable=True),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('storing', 'in_use', 'unwanted', 'given_up', 'erased')",
            name=op.f("ck_pictures_state_known"),
        ),
        sa.CheckConstraint(
            "(state = 'in_use') = (due_at IS NULL)", name=op.f("ck_pictures_due_unless_in_use")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_pictures_user_id_users")),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name=op.f("fk_pictures_product_id_products")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pictures")),
        sa.UniqueConstraint("key", name=op.f("uq_pictures_key")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_pictures_user_id_created_at", "pictures", ["user_id", "created_at"])
    op.create_index("ix_pictures_due_at", "pictures", ["due_at"])
    for name, column, condition in (
        ("uq_pictures_product_in_use", "product_id", "state = 'in_use'"),
        ("uq_pictures_profile_in_use", "user_id", "state = 'in_use' AND product_id IS NULL"),
    ):
        op.create_index(
            name,
            "pictures",
            [column],
            unique=True,
            sqlite_where=sa.text(condition),
            postgresql_where=sa.text(condition),
        )


def downgrade() -> None:
    op.drop_table("pictures")
