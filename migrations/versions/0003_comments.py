"""Comments, and what they make of a product's rating; what notifications are about.

Columns are added where the tables stand: making a table anew, as Alembic's batches do on SQLite,
would lose its checks. Notifications have none, and two references to gain.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UNREAD = sa.text("read_at IS NULL")
PRIORITY_KNOWN = "CONSTRAINT ck_tasks_priority_known CHECK (priority IN ('low', 'normal', 'high'))"


def upgrade() -> None:
    op.create_table(
        "comments",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("product_id", BIG_ID, nullable=False),
        sa.Column("user_id", BIG_ID, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "rating BETWEEN 1 AND 5 AND CAST(rating AS BIGINT) = rating",
            name=op.f("ck_comments_rating_whole"),
        ),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name=op.f("fk_comments_product_id_products")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_comments_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comments")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_comments_product_id_id", "comments", ["product_id", "id"])
    op.create_index(
        "ix_comments_product_id_user_id_id", "comments", ["product_id", "user_id", "id"]
    )
    for column in ("rating_sum", "rating_count"):
        op.execute(
            f"ALTER TABLE products ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0"
            f" CONSTRAINT ck_products_{column}_whole"
            f" CHECK ({column} BETWEEN 0 AND 2147483647 AND CAST({column} AS BIGINT) = {column})"
        )
    _point_notifications()
    if op.get_bind().dialect.name == "sqlite":
        _replace_priority(check=f" {PRIORITY_KNOWN}")
    else:
        op.execute(f"ALTER TABLE tasks ADD {PRIORITY_KNOWN}")


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _replace_priority(check="")
    else:
        op.execute("ALTER TABLE tasks DROP CONSTRAINT ck_tasks_priority_known")
    with _notifications() as batch:
        batch.drop_index("ix_notifications_unread")
        batch.drop_index("ix_notifications_task_id")
        batch.drop_constraint("fk_notifications_task_id_tasks", type_="foreignkey")
        batch.drop_constraint("fk_notifications_product_id_products", type_="foreignkey")
        batch.drop_column("task_id")
        batch.drop_column("product_id")
    for column in ("rating_count", "rating_sum"):
        op.execute(f"ALTER TABLE products DROP COLUMN {column}")
    op.drop_table("comments")


def _notifications():
    return op.batch_alter_table("notifications", table_kwargs={"sqlite_autoincrement": True})


def _point_notifications() -> None:
    with _notifications() as batch:
        batch.add_column(sa.Column("product_id", BIG_ID, nullable=True))
        batch.add_column(sa.Column("task_id", BIG_ID, nullable=True))
        batch.create_foreign_key(
            op.f("fk_notifications_product_id_products"), "products", ["product_id"], ["id"]
        )
        batch.create_foreign_key(
            op.f("fk_notifications_task_id_tasks"),
            "tasks",
            ["task_id"],
            ["id"],
            ondelete="SET NULL",
        )
        batch.create_index("ix_notifications_task_id", ["task_id"])
        batch.create_index(
            "ix_notifications_unread",
            ["user_id", "id"],
            sqlite_where=UNREAD,
            postgresql_where=UNREAD,
        )


def _replace_priority(*, check: str) -> None:
    """SQLite adds and drops a check only with its column; renaming that renames it in the check."""
    op.execute("ALTER TABLE tasks RENAME COLUMN priority TO old_priority")
    op.execute(
        f"ALTER TABLE tasks ADD COLUMN priority VARCHAR(10) NOT NULL DEFAULT 'normal'{check}"
    )
    op.execute("UPDATE tasks SET priority = old_priority")
    op.execute("ALTER TABLE tasks DROP COLUMN old_priority")
