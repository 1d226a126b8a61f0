"""A refund is sent once: the database takes no second request that moves its money."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

INDEX = "uq_mpesa_requests_one_sending_per_refund"
MOVES_MONEY = sa.text("kind IN ('reversal', 'payout')")


def upgrade() -> None:
    op.create_index(
        INDEX,
        "mpesa_requests",
        ["refund_id"],
        unique=True,
        sqlite_where=MOVES_MONEY,
        postgresql_where=MOVES_MONEY,
    )


def downgrade() -> None:
    op.drop_index(INDEX, table_name="mpesa_requests")
