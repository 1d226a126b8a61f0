"""Comments, and what they make of a product's rating."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """..."""


def downgrade() -> None:
    """..."""
