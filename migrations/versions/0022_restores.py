"""When the shop was restored from a backup, and since when refunds are sent again."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "restores",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("backup_name", sa.String(length=200), nullable=False),
        sa.Column("backup_made_at", MOMENT, nullable=False),
        sa.Column("restored_at", MOMENT, nullable=False),
        sa.Column("refunds_released_at", MOMENT, nullable=True),
        sa.Column("released_by", BIG_ID, nullable=True),
        sa.Column("release_reason", sa.String(length=500), nullable=True),
        sa.CheckConstraint(
            "restored_at >= backup_made_at", name=op.f("ck_restores_after_its_backup")
        ),
        sa.ForeignKeyConstraint(
            ["released_by"], ["users.id"], name=op.f("fk_restores_released_by_users")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_restores")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_restores_refunds_released_at", "restores", ["refunds_released_at"])


def downgrade() -> None:
    op.drop_table("restores")
