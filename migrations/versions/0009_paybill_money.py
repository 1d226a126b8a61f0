"""Money that comes by itself: payments without a prompt, receipts and books without an order.

Checks are widened, so every row that is there fits the new ones. PostgreSQL is told so (NOT VALID)
and looks later, without keeping anybody waiting. SQLite changes no check of a table that stands:
each is made anew from its own text, with its indexes, its triggers and the last id it gave.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TASK_KINDS = (
    "manual",
    "late_money",
    "double_payment",
    "wrong_amount",
    "mismatched_callback",
    "unreadable_callback",
    "unknown_payment",
    "disputed_payment",
    "receipt_conflict",
    "mpesa_configuration",
    "stuck_message",
)
NEW_TASK_KINDS = (
    "over_payment",
    "unmatched_money",
    "payment_claim",
    "refund_approval",
    "refund_failed",
    "unknown_refund",
    "statement_difference",
    "broken_invariant",
    "webhook_failing",
)
ACCOUNTS = ("mpesa", "customer", "sales", "rounding", "refunds_due")
NEW_ACCOUNTS = ("refunds", "unmatched", "outside")
EVENTS = ("payment", "sale", "refund")
NEW_EVENTS = ("unmatched", "matched", "dismissed", "set_aside", "reclaim")
SOURCES = ("stk_callback", "unsigned_callback")
NEW_SOURCES = ("c2b_confirmation", "api_result", "queue_timeout")


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def _whole(minimum: int) -> str:
    return (
        f"amount_cents BETWEEN {minimum} AND 999999999999"
        " AND CAST(amount_cents AS BIGINT) = amount_cents"
    )


def _widened(column: str, old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, str]:
    return _one_of(column, old), _one_of(column, old + new)


CHECKS = {
    "payments": {
        "kind_known": _widened("kind", ("stk_push",), ("paybill",)),
        "amount_cents_whole_shillings": (
            "amount_cents % 100 = 0",
            "kind <> 'stk_push' OR amount_cents % 100 = 0",
        ),
        "amount_cents_whole": (_whole(100), _whole(1)),
        "prompt_has_phone_and_secret": (
            None,
            "kind <> 'stk_push' OR (msisdn IS NOT NULL AND callback_secret_hash IS NOT NULL)",
        ),
    },
    "mpesa_receipts": {
        "state_known": (
            None,
            _one_of("state", ("matched", "unmatched", "refunded", "dismissed")),
        ),
        "matched_has_a_payment": (None, "state <> 'matched' OR payment_id IS NOT NULL"),
    },
    "ledger_events": {"kind_known": _widened("kind", EVENTS, NEW_EVENTS)},
    "ledger_entries": {"account_known": _widened("account", ACCOUNTS, NEW_ACCOUNTS)},
    "tasks": {"kind_known": _widened("kind", TASK_KINDS, NEW_TASK_KINDS)},
    "callback_inbox": {"source_known": _widened("source", SOURCES, NEW_SOURCES)},
}
"""``{table: {name: (condition before, condition after)}}``."""

NULLABLE = {
    "payments": {"msisdn": "VARCHAR(12)", "callback_secret_hash": "VARCHAR(64)"},
    "mpesa_receipts": {"payment_id": "INTEGER"},
    "ledger_events": {"order_id": "INTEGER"},
    "ledger_entries": {"order_id": "INTEGER"},
}
"""Columns that need no value any more, with their type on SQLite."""

COLUMNS = {
    "mpesa_receipts": {
        "state": "VARCHAR(40) NOT NULL DEFAULT 'matched'",
        "bill_reference": "VARCHAR(40)",
        "payer_phone": "VARCHAR(64)",
        "payer_name": "VARCHAR(120)",
        "transacted_at": "{moment}",
    },
    "tasks": {
        "refund_id": "{id}",
        "receipt": "VARCHAR(20)",
    },
    "callback_inbox": {
        "request_id": "{id}",
    },
}
REFERENCES = {
    "tasks": ("fk_tasks_refund_id_refunds", "refund_id", "refunds"),
    "callback_inbox": (
        "fk_callback_inbox_request_id_mpesa_requests",
        "request_id",
        "mpesa_requests",
    ),
}
INDEXES = (
    ("ix_mpesa_receipts_state_created_at", "mpesa_receipts", ["state", "created_at"]),
    ("ix_mpesa_receipts_transacted_at", "mpesa_receipts", ["transacted_at"]),
    ("ix_tasks_refund_id", "tasks", ["refund_id"]),
    ("ix_tasks_receipt", "tasks", ["receipt"]),
    ("ix_callback_inbox_request_id", "callback_inbox", ["request_id"]),
)


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    words = (
        {"id": "INTEGER", "moment": "DATETIME"}
        if is_sqlite
        else {"id": "BIGINT", "moment": "TIMESTAMP WITH TIME ZONE"}
    )
    for table, columns in COLUMNS.items():
        for column, kind in columns.items():
            op.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind.format(**words)}")
    if is_sqlite:
        for table in CHECKS:
            _make_anew(table, _edits(table, back=False))
    else:
        _alter_postgresql(back=False)
        for table in REFERENCES:
            op.execute(f"ALTER TABLE {table} ADD {_reference(table)} NOT VALID")
    for name, table, columns in INDEXES:
        op.create_index(name, table, columns)
    if not is_sqlite:
        _validate()


def downgrade() -> None:
    """Fails where money came that the old tables cannot hold."""
    for name, table, _columns in INDEXES:
        op.drop_index(name, table_name=table)
    if op.get_bind().dialect.name == "sqlite":
        for table in CHECKS:
            edits = _edits(table, back=True)
            for column, kind in COLUMNS.get(table, {}).items():
                kind = kind.format(id="INTEGER", moment="DATETIME")
                edits.append((f", {column} {kind}", ""))
            _make_anew(table, edits)
        return
    _alter_postgresql(back=True)
    _validate()
    for table, columns in COLUMNS.items():
        for column in columns:
            op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")


def _alter_postgresql(*, back: bool) -> None:
    for table, columns in NULLABLE.items():
        for column in columns:
            verb = "SET" if back else "DROP"
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} {verb} NOT NULL")
    for table, checks in CHECKS.items():
        for name, (old, new) in checks.items():
            before, after = (new, old) if back else (old, new)
            if before is not None:
                op.execute(f"ALTER TABLE {table} DROP CONSTRAINT ck_{table}_{name}")
            if after is not None:
                op.execute(
                    f"ALTER TABLE {table} ADD CONSTRAINT ck_{table}_{name}"
                    f" CHECK ({after}) NOT VALID"
                )


def _validate() -> None:
    """Look through the rows that stand, in transactions of their own that lock out no reader."""
    unlooked = sa.text(
        "SELECT conrelid::regclass::text, conname FROM pg_constraint"
        " WHERE contype IN ('c', 'f') AND NOT convalidated ORDER BY 1, 2"
    )
    found = op.get_bind().execute(unlooked).fetchall()
    with op.get_context().autocommit_block():
        for table, name in found:
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def _reference(table: str) -> str:
    name, column, target = REFERENCES[table]
    return f"CONSTRAINT {name} FOREIGN KEY({column}) REFERENCES {target} (id)"


def _edits(table: str, *, back: bool) -> list[tuple[str, str]]:
    """What is to be said differently in the text that made the table: ``(before, after)``."""
    edits = []
    for column, kind in NULLABLE.get(table, {}).items():
        edits.append((f"\t{column} {kind} NOT NULL,", f"\t{column} {kind},"))
    first = f"CONSTRAINT {'pk' if table == 'mpesa_receipts' else 'ck'}_{table}"
    for name, (old, new) in CHECKS[table].items():
        said = f"CONSTRAINT ck_{table}_{name} CHECK ({new})"
        if old is None:
            edits.append((f"\t{first}", f"\t{said}, \n\t{first}"))
        else:
            edits.append((f"CONSTRAINT ck_{table}_{name} CHECK ({old})", said))
    if table in REFERENCES:
        edits.append((f"\t{first}", f"\t{_reference(table)}, \n\t{first}"))
    return [(after, before) for before, after in reversed(edits)] if back else edits


def _make_anew(table: str, edits: list[tuple[str, str]]) -> None:
    """SQLite's own recipe for what ALTER TABLE cannot do; foreign keys are off meanwhile."""
    bind = op.get_bind()
    around = bind.exec_driver_sql(
        "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND type <> 'table' AND sql IS NOT NULL",
        (table,),
    ).scalars()
    around = list(around)
    text = bind.exec_driver_sql(
        "SELECT sql FROM sqlite_master WHERE name = ? AND type = 'table'", (table,)
    ).scalar_one()
    # a table that was made anew before has its name in quotes
    text = text.replace(f'CREATE TABLE "{table}"', f"CREATE TABLE {table}")
    for before, after in edits:
        if before not in text:
            raise RuntimeError(f"The table {table} is not as expected: {before!r} is missing.")
        text = text.replace(before, after, 1)
    anew = f"anew_{table}"
    bind.exec_driver_sql(text.replace(f"CREATE TABLE {table}", f"CREATE TABLE {anew}", 1))
    kept = ", ".join(
        row[1] for row in bind.exec_driver_sql(f"PRAGMA table_info({anew})").fetchall()
    )
    bind.exec_driver_sql(f"INSERT INTO {anew} ({kept}) SELECT {kept} FROM {table}")
    last_id = bind.exec_driver_sql(
        "SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)
    ).scalar_one_or_none()
    bind.exec_driver_sql(f"DROP TABLE {table}")
    bind.exec_driver_sql(f"ALTER TABLE {anew} RENAME TO {table}")
    if last_id is not None:
        bind.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        bind.exec_driver_sql("INSERT INTO sqlite_sequence VALUES (?, ?)", (table, last_id))
    for statement in around:
        bind.exec_driver_sql(statement)
