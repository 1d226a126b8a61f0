"""Corrections: money that was booked and was not there, and the losses that it may leave.

Checks are widened, as in the migration of paybill money: PostgreSQL is told that the rows fit
(NOT VALID) and looks later; SQLite makes each table anew from its own text.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

EVENTS = (
    "payment",
    "sale",
    "refund",
    "unmatched",
    "matched",
    "dismissed",
    "set_aside",
    "reclaim",
)
ACCOUNTS = (
    "mpesa",
    "customer",
    "sales",
    "rounding",
    "refunds_due",
    "refunds",
    "unmatched",
    "outside",
)
RECEIPTS = ("matched", "unmatched", "refunded", "dismissed")


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


CHECKS = {
    "ledger_events": (
        "kind_known",
        _one_of("kind", EVENTS),
        _one_of("kind", (*EVENTS, "correction")),
    ),
    "ledger_entries": (
        "account_known",
        _one_of("account", ACCOUNTS),
        _one_of("account", (*ACCOUNTS, "losses")),
    ),
    "mpesa_receipts": (
        "state_known",
        _one_of("state", RECEIPTS),
        _one_of("state", (*RECEIPTS, "written_off")),
    ),
}
"""``{table: (name, condition before, condition after)}``."""


def upgrade() -> None:
    _change(back=False)


def downgrade() -> None:
    """Fails where something was corrected that the old tables cannot hold."""
    _change(back=True)


def _change(*, back: bool) -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for table, (name, old, new) in CHECKS.items():
        before, after = (new, old) if back else (old, new)
        check = f"CONSTRAINT ck_{table}_{name}"
        if is_sqlite:
            _make_anew(table, f"{check} CHECK ({before})", f"{check} CHECK ({after})")
        else:
            op.execute(f"ALTER TABLE {table} DROP {check}")
            op.execute(f"ALTER TABLE {table} ADD {check} CHECK ({after}) NOT VALID")
    if is_sqlite:
        return
    with op.get_context().autocommit_block():
        for table, (name, _old, _new) in CHECKS.items():
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT ck_{table}_{name}")


def _make_anew(table: str, before: str, after: str) -> None:
    """SQLite's own recipe for what ALTER TABLE cannot do; foreign keys are off meanwhile."""
    bind = op.get_bind()
    around = list(
        bind.exec_driver_sql(
            "SELECT sql FROM sqlite_master"
            " WHERE tbl_name = ? AND type <> 'table' AND sql IS NOT NULL",
            (table,),
        ).scalars()
    )
    text = bind.exec_driver_sql(
        "SELECT sql FROM sqlite_master WHERE name = ? AND type = 'table'", (table,)
    ).scalar_one()
    # a table that was made anew before has its name in quotes
    text = text.replace(f'CREATE TABLE "{table}"', f"CREATE TABLE {table}")
    if before not in text:
        raise RuntimeError(f"The table {table} is not as expected: {before!r} is missing.")
    anew = f"anew_{table}"
    text = text.replace(before, after, 1)
    bind.exec_driver_sql(text.replace(f"CREATE TABLE {table}", f"CREATE TABLE {anew}", 1))
    columns = bind.exec_driver_sql(f"PRAGMA table_info({anew})").fetchall()
    kept = ", ".join(row[1] for row in columns)
    bind.exec_driver_sql(f"INSERT INTO {anew} ({kept}) SELECT {kept} FROM {table}")
    last_id = bind.exec_driver_sql(
        "SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)
    ).scalar_one_or_none()
    bind.exec_driver_sql(f"DROP TABLE {table}")
    bind.exec_driver_sql(f"ALTER TABLE {anew} RENAME TO {table}")
    if last_id is not None:
        bind.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": table})
        bind.execute(
            sa.text("INSERT INTO sqlite_sequence VALUES (:name, :last)"),
            {"name": table, "last": last_id},
        )
    for statement in around:
        bind.exec_driver_sql(statement)
