"""Refunds, requests that are answered later, M-Pesa's own books, customers' claims, decisions.

The histories among them are append-only, as those of the first tables are.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
HISTORIES = ("refund_events", "decisions")


def upgrade() -> None:
    op.create_table(
        "statement_imports",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("file_name", sa.String(length=200), nullable=True),
        sa.Column("actor_id", BIG_ID, nullable=True),
        sa.Column("covers_from", MOMENT, nullable=False),
        sa.Column("covers_to", MOMENT, nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("fresh_count", sa.Integer(), nullable=False),
        sa.Column("different_count", sa.Integer(), nullable=False),
        sa.Column("unreadable_count", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "source IN ('pull', 'file')", name=op.f("ck_statement_imports_source_known")
        ),
        sa.CheckConstraint(
            "different_count BETWEEN 0 AND 2147483647 AND CAST(different_count AS BIGINT) = different_count",
            name=op.f("ck_statement_imports_different_count_whole"),
        ),
        sa.CheckConstraint(
            "fresh_count BETWEEN 0 AND 2147483647 AND CAST(fresh_count AS BIGINT) = fresh_count",
            name=op.f("ck_statement_imports_fresh_count_whole"),
        ),
        sa.CheckConstraint(
            "row_count BETWEEN 0 AND 2147483647 AND CAST(row_count AS BIGINT) = row_count",
            name=op.f("ck_statement_imports_row_count_whole"),
        ),
        sa.CheckConstraint(
            "unreadable_count BETWEEN 0 AND 2147483647 AND CAST(unreadable_count AS BIGINT) = unreadable_count",
            name=op.f("ck_statement_imports_unreadable_count_whole"),
        ),
        sa.ForeignKeyConstraint(
            ["actor_id"], ["users.id"], name=op.f("fk_statement_imports_actor_id_users")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_statement_imports")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_statement_imports_source_covers_to",
        "statement_imports",
        ["source", "covers_to"],
        unique=False,
    )

    op.create_table(
        "payment_claims",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("order_id", BIG_ID, nullable=False),
        sa.Column("user_id", BIG_ID, nullable=False),
        sa.Column("receipt", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("message", sa.String(length=300), nullable=True),
        sa.Column("next_check_at", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.CheckConstraint(
            "state IN ('open', 'accepted', 'refused', 'with_a_person')",
            name=op.f("ck_payment_claims_state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_payment_claims_order_id_orders")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_payment_claims_user_id_users")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_claims")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_payment_claims_order_id_id", "payment_claims", ["order_id", "id"], unique=False
    )
    op.create_index(
        "ix_payment_claims_state_next_check_at",
        "payment_claims",
        ["state", "next_check_at"],
        unique=False,
    )
    op.create_index(
        "ix_payment_claims_user_id_created_at",
        "payment_claims",
        ["user_id", "created_at"],
        unique=False,
    )
    op.create_index(
        "uq_payment_claims_one_undecided_per_receipt",
        "payment_claims",
        ["receipt"],
        unique=True,
        sqlite_where=sa.text("state IN ('open', 'with_a_person')"),
        postgresql_where=sa.text("state IN ('open', 'with_a_person')"),
    )

    op.create_table(
        "statement_lines",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("import_id", BIG_ID, nullable=False),
        sa.Column("receipt", sa.String(length=20), nullable=False),
        sa.Column("linked_receipt", sa.String(length=20), nullable=True),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("transacted_at", MOMENT, nullable=False),
        sa.Column("details", sa.String(length=200), nullable=False),
        sa.Column("bill_reference", sa.String(length=40), nullable=True),
        sa.Column("other_party", sa.String(length=120), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.CheckConstraint(
            "amount_cents BETWEEN -999999999999 AND 999999999999 AND CAST(amount_cents AS BIGINT) = amount_cents",
            name=op.f("ck_statement_lines_amount_cents_whole"),
        ),
        sa.ForeignKeyConstraint(
            ["import_id"],
            ["statement_imports.id"],
            name=op.f("fk_statement_lines_import_id_statement_imports"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_statement_lines")),
        sa.UniqueConstraint(
            "receipt",
            "details",
            "amount_cents",
            name=op.f("uq_statement_lines_receipt_details_amount_cents"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_statement_lines_import_id", "statement_lines", ["import_id"], unique=False)
    op.create_index(
        "ix_statement_lines_transacted_at", "statement_lines", ["transacted_at"], unique=False
    )

    op.create_table(
        "refunds",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("order_id", BIG_ID, nullable=True),
        sa.Column("payment_id", BIG_ID, nullable=True),
        sa.Column("receipt", sa.String(length=20), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("msisdn", sa.String(length=12), nullable=True),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.Column("restock", sa.Boolean(), nullable=False),
        sa.Column("requested_by", BIG_ID, nullable=False),
        sa.Column("approved_by", BIG_ID, nullable=True),
        sa.Column("refund_receipt", sa.String(length=20), nullable=True),
        sa.Column("result_code", sa.String(length=40), nullable=True),
        sa.Column("result_desc", sa.String(length=300), nullable=True),
        sa.Column("next_check_at", MOMENT, nullable=True),
        sa.Column("leased_until", MOMENT, nullable=True),
        sa.Column("check_count", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "kind IN ('reversal', 'payout', 'by_hand')", name=op.f("ck_refunds_kind_known")
        ),
        sa.CheckConstraint(
            "state IN ('awaiting_approval', 'created', 'pending', 'succeeded', 'failed', 'unknown', 'rejected')",
            name=op.f("ck_refunds_state_known"),
        ),
        sa.CheckConstraint(
            "amount_cents BETWEEN 1 AND 999999999999 AND CAST(amount_cents AS BIGINT) = amount_cents",
            name=op.f("ck_refunds_amount_cents_whole"),
        ),
        sa.CheckConstraint(
            "approved_by <> requested_by", name=op.f("ck_refunds_approved_by_another")
        ),
        sa.CheckConstraint(
            "check_count BETWEEN 0 AND 2147483647 AND CAST(check_count AS BIGINT) = check_count",
            name=op.f("ck_refunds_check_count_whole"),
        ),
        sa.ForeignKeyConstraint(
            ["approved_by"], ["users.id"], name=op.f("fk_refunds_approved_by_users")
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_refunds_order_id_orders")
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.id"], name=op.f("fk_refunds_payment_id_payments")
        ),
        sa.ForeignKeyConstraint(
            ["requested_by"], ["users.id"], name=op.f("fk_refunds_requested_by_users")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refunds")),
        sa.UniqueConstraint("refund_receipt", name=op.f("uq_refunds_refund_receipt")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_refunds_next_check_at", "refunds", ["next_check_at"], unique=False)
    op.create_index("ix_refunds_order_id_id", "refunds", ["order_id", "id"], unique=False)
    op.create_index("ix_refunds_payment_id", "refunds", ["payment_id"], unique=False)
    op.create_index("ix_refunds_state_id", "refunds", ["state", "id"], unique=False)
    op.create_index(
        "uq_refunds_one_live_per_receipt",
        "refunds",
        ["receipt"],
        unique=True,
        sqlite_where=sa.text("state IN ('awaiting_approval', 'created', 'pending', 'unknown')"),
        postgresql_where=sa.text("state IN ('awaiting_approval', 'created', 'pending', 'unknown')"),
    )

    op.create_table(
        "mpesa_requests",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("refund_id", BIG_ID, nullable=True),
        sa.Column("claim_id", BIG_ID, nullable=True),
        sa.Column("receipt", sa.String(length=20), nullable=True),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("originator_id", sa.String(length=100), nullable=True),
        sa.Column("conversation_id", sa.String(length=100), nullable=True),
        sa.Column("result_code", sa.String(length=40), nullable=True),
        sa.Column("result_desc", sa.String(length=300), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("sent_at", MOMENT, nullable=True),
        sa.Column("answered_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "kind IN ('reversal', 'payout', 'status', 'balance')",
            name=op.f("ck_mpesa_requests_kind_known"),
        ),
        sa.CheckConstraint(
            "state IN ('created', 'sent', 'answered', 'refused', 'unknown', 'expired')",
            name=op.f("ck_mpesa_requests_state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["claim_id"],
            ["payment_claims.id"],
            name=op.f("fk_mpesa_requests_claim_id_payment_claims"),
        ),
        sa.ForeignKeyConstraint(
            ["refund_id"], ["refunds.id"], name=op.f("fk_mpesa_requests_refund_id_refunds")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mpesa_requests")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_mpesa_requests_claim_id", "mpesa_requests", ["claim_id"], unique=False)
    op.create_index("ix_mpesa_requests_refund_id", "mpesa_requests", ["refund_id"], unique=False)
    op.create_index(
        "ix_mpesa_requests_state_created_at",
        "mpesa_requests",
        ["state", "created_at"],
        unique=False,
    )

    op.create_table(
        "refund_events",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("refund_id", BIG_ID, nullable=False),
        sa.Column("from_state", sa.String(length=40), nullable=True),
        sa.Column("to_state", sa.String(length=40), nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("actor_id", BIG_ID, nullable=True),
        sa.Column("detail", sa.String(length=500), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["actor_id"], ["users.id"], name=op.f("fk_refund_events_actor_id_users")
        ),
        sa.ForeignKeyConstraint(
            ["refund_id"], ["refunds.id"], name=op.f("fk_refund_events_refund_id_refunds")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refund_events")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_refund_events_refund_id_id", "refund_events", ["refund_id", "id"], unique=False
    )

    op.create_table(
        "decisions",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("task_id", BIG_ID, nullable=False),
        sa.Column("actor_id", BIG_ID, nullable=True),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["actor_id"], ["users.id"], name=op.f("fk_decisions_actor_id_users")
        ),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_decisions_task_id_tasks")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_decisions_task_id_id", "decisions", ["task_id", "id"], unique=False)
    _protect_histories()


def downgrade() -> None:
    for table in (
        "decisions",
        "refund_events",
        "mpesa_requests",
        "refunds",
        "statement_lines",
        "payment_claims",
        "statement_imports",
    ):
        op.drop_table(table)


def _protect_histories() -> None:
    """They go with their tables."""
    for table in HISTORIES:
        if op.get_bind().dialect.name == "sqlite":
            for verb in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )
        else:
            op.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting()"
            )
