"""What kind of thing each line of M-Pesa's books is, and whose books they are; and a way from the
conversation that a line names to our request.
"""

from alembic import op

revision = "0013"
down_revision = "0011"
branch_labels = None
depends_on = None

KINDS = ("payment", "reversal", "payout", "charge", "transfer", "other")
CONVERSATIONS = ("originator_id", "conversation_id")


def upgrade() -> None:
    known = ", ".join(repr(kind) for kind in KINDS)
    op.execute(
        "ALTER TABLE statement_lines ADD COLUMN kind VARCHAR(40) DEFAULT 'payment' NOT NULL"
        f" CONSTRAINT ck_statement_lines_kind_known CHECK (kind IN ({known}))"
    )
    op.execute("ALTER TABLE statement_imports ADD COLUMN shortcode VARCHAR(20)")
    op.create_index("ix_statement_lines_linked_receipt", "statement_lines", ["linked_receipt"])
    for column in CONVERSATIONS:
        op.create_index(f"ix_mpesa_requests_{column}", "mpesa_requests", [column])


def downgrade() -> None:
    for column in CONVERSATIONS:
        op.drop_index(f"ix_mpesa_requests_{column}", table_name="mpesa_requests")
    op.drop_index("ix_statement_lines_linked_receipt", table_name="statement_lines")
    op.execute("ALTER TABLE statement_imports DROP COLUMN shortcode")
    op.execute("ALTER TABLE statement_lines DROP COLUMN kind")
