"""Pictures: what is kept in the file store, and whose it is."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """..."""


def downgrade() -> None:
    """..."""
