"""Whether readers wait while the tables of a shop with a million orders are changed.

    .venv/bin/python -m bench.migrations                    # 1,000,000 orders, both databases
    .venv/bin/python -m bench.migrations --orders 100000 --database postgresql
    .venv/bin/python -m bench.migrations --plain            # the same changes in the usual way

Each change is a migration, run by the machinery that a shop is brought up with, while three
readers ask for orders without a pause and a writer changes some. Shown is the longest that one of
them waited. Exit code 1 if a reader waited for more than a second.

PostgreSQL is the one out of the package that the tests use; another is taken where DATABASE_URL
names one, and its database has to be empty.
"""

import argparse
import os
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import text

from app import schema_migrations
from app.db import Database
from app.schema_migrations import head_revision, upgrade

LONGEST_WAIT_SECONDS = 1.0
READS = (
    "SELECT status FROM orders WHERE id = :id",
    "SELECT id, total_cents FROM orders WHERE id < :id ORDER BY id DESC LIMIT 20",
    "SELECT count(*) FROM orders WHERE user_id = 1 AND id BETWEEN :id AND :id + 500",
)
WRITE = "UPDATE orders SET updated_at = updated_at WHERE id = :id"
REST_SECONDS = 3.0

GENTLE = {
    "a column that may be empty": 'change.add_column("orders", sa.Column("grams", sa.Integer()))',
    "a column with a constant": 'change.add_column("orders", sa.Column("channel", sa.String(10),'
    ' nullable=False, server_default="web"))',
    "fill the column": 'change.fill("orders", "grams", "500")',
    "an index": 'change.create_index("ix_load_grams", "orders", ["grams"])',
    "a check": 'change.add_check("orders", "grams_whole", "grams >= 0")',
    "never empty": 'change.require_value("orders", "grams")',
    "another column": 'change.add_column("orders", sa.Column("packer_id", sa.BigInteger()))',
    "a foreign key": 'change.add_reference("orders", "packer_id", "users")',
    "drop the index": 'change.drop_index("ix_load_grams", "orders")',
}
PLAIN = {
    "a column that may be empty": 'op.add_column("orders", sa.Column("grams", sa.Integer()))',
    "a column with a value for each": 'op.execute("ALTER TABLE orders ADD COLUMN made timestamptz'
    ' DEFAULT clock_timestamp()")',
    "fill the column": 'op.execute("UPDATE orders SET grams = 500")',
    "an index": 'op.create_index("ix_load_grams", "orders", ["grams"])',
    "a check": 'op.execute("ALTER TABLE orders ADD CONSTRAINT ck_g CHECK (grams >= 0)")',
    "never empty": 'op.execute("ALTER TABLE orders ALTER COLUMN grams SET NOT NULL")',
    "a foreign key": 'op.execute("ALTER TABLE orders ADD COLUMN packer_id bigint;'
    ' ALTER TABLE orders ADD CONSTRAINT fk_p FOREIGN KEY (packer_id) REFERENCES users (id)")',
    "another type": 'op.execute("ALTER TABLE orders ALTER COLUMN total_cents TYPE numeric")',
}
ON_POSTGRESQL_ALONE = {"a check", "never empty", "a foreign key"}
ANEW = {
    "the table made anew": 'with op.batch_alter_table("orders", recreate="always") as batch:'
    ' batch.add_column(sa.Column("colour", sa.Integer()))'
}
SCRIPT = '''"""{name}"""
import sqlalchemy as sa
from alembic import op
from app import schema_changes as change
revision, down_revision, branch_labels, depends_on = {revision!r}, {down!r}, None, None
def upgrade():
    {line}
def downgrade():
    pass
'''


@dataclass
class Waits:
    """The longest that anybody waited, in seconds, and how often they were served."""

    read: float = 0.0
    write: float = 0.0
    reads: int = 0
    writes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, seconds: float, *, is_read: bool) -> None:
        with self._lock:
            if is_read:
                self.read, self.reads = max(self.read, seconds), self.reads + 1
            else:
                self.write, self.writes = max(self.write, seconds), self.writes + 1


def main() -> None:
    arguments = _arguments()
    kinds = ["postgresql", "sqlite"] if arguments.database == "both" else [arguments.database]
    is_well = True
    for kind in kinds:
        if arguments.plain and kind == "sqlite":
            continue
        with _opened(kind) as database, _own_migrations() as versions:
            is_well &= _measure(kind, database, versions, arguments)
    if not is_well:
        raise SystemExit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--orders", type=int, default=1_000_000, help="how many (1000000)")
    parser.add_argument(
        "--database", choices=["sqlite", "postgresql", "both"], default="both", help="(both)"
    )
    parser.add_argument("--plain", action="store_true", help="in the way that keeps people waiting")
    return parser.parse_args()


def _measure(kind: str, database: Database, versions: Path, arguments: argparse.Namespace) -> bool:
    upgrade(database)
    began = time.perf_counter()
    _fill(database, arguments.orders)
    print(f"{kind}: {arguments.orders} orders, filled in {time.perf_counter() - began:.0f} s")
    print(f"  {'':<32} {'took':>8} {'reader':>10} {'writer':>10}   served meanwhile")
    changes = dict(PLAIN if arguments.plain else GENTLE)
    if kind == "sqlite":
        changes = {name: line for name, line in changes.items() if name not in ON_POSTGRESQL_ALONE}
        changes |= ANEW
    steps: list[tuple[str, Callable[[], None]]] = [("at rest", lambda: time.sleep(REST_SECONDS))]
    for number, (name, line) in enumerate(changes.items()):
        steps.append((name, _migration(database, versions, number, name, line)))
    longest = 0.0
    for name, step in steps:
        waits, seconds = _watched(database, arguments.orders, step)
        if name != "at rest":
            longest = max(longest, waits.read)
        print(
            f"  {name:<32} {seconds:>6.1f} s {waits.read * 1000:>7.0f} ms"
            f" {waits.write * 1000:>7.0f} ms   {waits.reads} reads, {waits.writes} writes",
            flush=True,
        )
    verdict = "no reader waited" if longest <= LONGEST_WAIT_SECONDS else "A READER WAITED"
    print(f"  {verdict} for more than a second (longest {longest * 1000:.0f} ms)\n")
    return longest <= LONGEST_WAIT_SECONDS or arguments.plain


def _migration(
    database: Database, versions: Path, number: int, name: str, line: str
) -> Callable[[], None]:
    down = f"load{number - 1}" if number else head_revision()

    def run() -> None:
        revision = f"load{number}"
        script = SCRIPT.format(name=name, revision=revision, down=down, line=line)
        (versions / f"{revision}.py").write_text(script)
        upgrade(database, revision)

    return run


def _watched(database: Database, orders: int, step: Callable[[], None]) -> tuple[Waits, float]:
    """Do something while people read and write; how long they waited, and how long it took."""
    waits, stop = Waits(), threading.Event()
    people = [
        threading.Thread(target=_ask_on, args=(database, sql, orders, waits, stop))
        for sql in (*READS, WRITE)
    ]
    for one in people:
        one.start()
    began = time.perf_counter()
    try:
        step()
    finally:
        seconds = time.perf_counter() - began
        stop.set()
        for one in people:
            one.join()
    return waits, seconds


def _ask_on(database: Database, sql: str, orders: int, waits: Waits, stop: threading.Event) -> None:
    draw, is_read = random.Random(sql), sql != WRITE
    statement = text(sql)
    with database.engine.connect() as connection:
        if not database.is_sqlite:  # to measure how long they wait, and not when they give up
            connection.exec_driver_sql("SET statement_timeout = 0")
            connection.exec_driver_sql("SET lock_timeout = 0")
            connection.commit()
        while not stop.is_set():
            began = time.perf_counter()
            connection.execute(statement, {"id": draw.randint(1, orders)})
            connection.commit()
            waits.note(time.perf_counter() - began, is_read=is_read)
            time.sleep(0.002)
        connection.invalidate()


def _fill(database: Database, orders: int) -> None:
    """Delivered orders of one buyer with a line each, made by the database itself."""
    made = "'2026-01-01 08:00:00.000000'"
    numbers = (
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < :orders)"
        if database.is_sqlite
        else "WITH n AS (SELECT n FROM generate_series(1, :orders) AS n)"
    )
    person = (
        "INSERT INTO users (username, username_key, email, email_key, password_hash, role,"
        f" created_at, updated_at) VALUES ('b', 'b', 'b', 'b', 'x', 'seller', {made}, {made})"
    )
    product = (
        "INSERT INTO products (seller_id, name, description, price_cents, on_hand, reserved,"
        f" version, created_at, updated_at) VALUES (1, 'Boots', '', 100, 1, 0, 1, {made}, {made})"
    )
    rows = (
        "INSERT INTO orders (number, user_id, status, total_cents, created_at, updated_at,"
        f" expires_at) {numbers} SELECT 'N' || n, 1, 'delivered', 100, {made}, {made}, {made}"
        " FROM n"
    )
    lines = (
        "INSERT INTO order_lines (order_id, product_id, seller_id, position, product_name,"
        " quantity, unit_price_cents) SELECT id, 1, 1, 0, 'Boots', 1, 100 FROM orders"
    )
    with database.transaction() as session:
        if not database.is_sqlite:
            session.execute(text("SET LOCAL statement_timeout = 0"))
        for statement in (person, product):
            session.execute(text(statement))
        session.execute(text(rows), {"orders": orders})
        session.execute(text(lines))
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


@contextmanager
def _own_migrations() -> Iterator[Path]:
    """A copy of our migrations, to which those of this run are added."""
    with tempfile.TemporaryDirectory(prefix="sokoni-bench-") as folder:
        copy = Path(folder) / "migrations"
        shutil.copytree(schema_migrations.FOLDER, copy)
        before, schema_migrations.FOLDER = schema_migrations.FOLDER, copy
        try:
            yield copy / "versions"
        finally:
            schema_migrations.FOLDER = before


@contextmanager
def _opened(kind: str) -> Iterator[Database]:
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(prefix="sokoni-bench-") as folder:
            database = Database(f"sqlite:///{folder}/shop.db")
            yield database
            database.dispose()
        return
    url = os.environ.get("DATABASE_URL", "")
    if url.startswith("postgresql"):
        yield Database(url)
        return
    from tests.postgres import create_database, start_postgres, stop_postgres

    try:
        database = Database(create_database(start_postgres(), "sokoni_bench"))
        yield database
        database.dispose()
    finally:
        stop_postgres()


if __name__ == "__main__":
    main()
