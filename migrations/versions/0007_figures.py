"""Indexes by which the office counts a day's orders, sales and payments, and finds a phone."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INDEXES = (
    ("ix_orders_created_at", "orders", ["created_at"]),
    ("ix_orders_phone_number_id", "orders", ["phone_number", "id"]),
    ("ix_payments_created_at_status", "payments", ["created_at", "status"]),
    ("ix_ledger_events_kind_created_at", "ledger_events", ["kind", "created_at"]),
)


def upgrade() -> None:
    for name, table, columns in INDEXES:
        op.create_index(name, table, columns)


def downgrade() -> None:
    for name, table, _columns in reversed(INDEXES):
        op.drop_index(name, table_name=table)
