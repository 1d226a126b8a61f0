"""Full-text search, kept in step by the database itself."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """..."""


def downgrade() -> None:
    """..."""
