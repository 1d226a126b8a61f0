"""How far a reading of M-Pesa's list has come, so that the next one goes on from there."""

import sqlalchemy as sa
from alembic import op

from app.schema_changes import add_column

revision = "0025"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add_column(
        "statement_imports",
        sa.Column("place", sa.Integer(), server_default="0", nullable=False),
    )
    add_column(
        "statement_imports", sa.Column("place_receipt", sa.String(length=20), nullable=True)
    )


def downgrade() -> None:
    op.drop_column("statement_imports", "place_receipt")
    op.drop_column("statement_imports", "place")
