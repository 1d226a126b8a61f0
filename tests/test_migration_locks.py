"""No migration after the first release keeps a reader waiting: by what it sends, and by the locks
that it holds while it looks at rows.
"""

import shutil
import threading
from importlib.util import module_from_spec, spec_from_file_location

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from sqlalchemy import event, inspect, text

from app import schema_migrations
from app.db import Database
from app.schema_changes import add_column
from app.schema_migrations import current_revision, head_revision, upgrade
from drill.processes import wait_until
from tests.factories import NOW
from tests.migration_rules import Sent, find_hazards, of_the_migration, recorded
from tests.postgres import create_database

FIRST_RELEASE = "0023"
"""The last migration of the first release. Up to it all tables are empty wherever they are made,
and nobody waits; from then on shops hold rows. It moves never again once there is a release.
"""

ROWS = 20_000
pytestmark = pytest.mark.fault("F46")


@pytest.fixture
def empty(request):
    """A PostgreSQL database without a table."""
    url = create_database(
        request.getfixturevalue("postgres_uri"),
        f"sokoni_locks_{request.getfixturevalue('worker_id')}",
    )
    database = Database(url)
    yield database
    database.dispose()


def later_revisions() -> list[str]:
    """Those after the first release, in their order."""
    scripts = ScriptDirectory(str(schema_migrations.FOLDER))
    found = [script.revision for script in scripts.walk_revisions(FIRST_RELEASE, "head")]
    return [revision for revision in reversed(found) if revision != FIRST_RELEASE]


def reasons_of(revision: str) -> dict[str, str]:
    path = ScriptDirectory(str(schema_migrations.FOLDER)).get_revision(revision).path
    spec = spec_from_file_location(f"migration_{revision}", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, "LOCKS", {})


def test_no_migration_keeps_anybody_waiting(empty):
    upgrade(empty, FIRST_RELEASE)
    for revision in later_revisions():
        tables = set(inspect(empty.engine).get_table_names())
        with recorded(empty.engine) as sent:
            upgrade(empty, revision)
        assert any("alembic_version" in one.sql for one in sent)
        ours = of_the_migration(sent)
        reasons = reasons_of(revision)
        unread = [
            hazard
            for hazard in find_hazards(ours, tables)
            if not any(piece in hazard for piece in reasons)
        ]
        assert unread == [], revision
        for piece, reason in reasons.items():
            assert any(piece in hazard for hazard in find_hazards(ours, tables)), (revision, piece)
            assert len(reason) >= 30, (revision, piece)
    assert current_revision(empty) == head_revision()


HAZARDS = {
    "CREATE INDEX ix ON orders (note)": "it keeps writers out",
    "CREATE UNIQUE INDEX ix ON orders (note)": "it keeps writers out",
    "DROP INDEX ix_orders_created_at": "drop_index() does it",
    "UPDATE orders SET note = 'x'": "it holds every row",
    "DELETE FROM orders": "it holds every row",
    "DROP TABLE orders": "the version that still runs",
    "TRUNCATE orders": "the version that still runs",
    "LOCK TABLE orders IN SHARE MODE": "it takes the table",
    "REINDEX TABLE orders": "it takes the table",
    "REFRESH MATERIALIZED VIEW sums": "it takes the table",
    "SET lock_timeout = '30s'": "a second is the most",
    "SET lock_timeout = 0": "a second is the most",
    "ALTER TABLE orders ADD COLUMN size INTEGER NOT NULL": "have no value for it",
    "ALTER TABLE orders ADD COLUMN made TIMESTAMPTZ DEFAULT now()": "worked out for each row",
    "ALTER TABLE orders ADD COLUMN made TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP": "worked out",
    "ALTER TABLE orders ADD COLUMN word TEXT GENERATED ALWAYS AS (note) STORED": "worked out",
    "ALTER TABLE orders ADD COLUMN other BIGINT REFERENCES users (id)": "a rule is added apart",
    "ALTER TABLE orders ADD COLUMN size INTEGER UNIQUE": "a rule is added apart",
    "ALTER TABLE orders ALTER COLUMN note TYPE VARCHAR(10)": "it takes the table",
    "ALTER TABLE orders ALTER COLUMN note SET NOT NULL": "it looks through the table",
    "ALTER TABLE orders ADD CONSTRAINT ck CHECK (note <> '')": "NOT VALID first",
    "ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY (a) REFERENCES users (id)": "NOT VALID first",
    "ALTER TABLE orders ADD CONSTRAINT uq UNIQUE (note)": "NOT VALID first",
    "ALTER TABLE orders ADD UNIQUE (note)": "it takes the table",
    "ALTER TABLE orders DROP COLUMN note": "the version that still runs",
    "ALTER TABLE orders RENAME COLUMN note TO remark": "the version that still runs",
    "ALTER TABLE orders ADD COLUMN a INTEGER, ALTER COLUMN note TYPE TEXT": "it takes the table",
    "ALTER TABLE orders ATTACH PARTITION old FOR VALUES IN (1)": "nobody has thought about",
    "ALTER TABLE orders SET TABLESPACE fast": "nobody has thought about",
}
HARMLESS = (
    "CREATE INDEX CONCURRENTLY ix ON orders (note)",
    "CREATE INDEX ix ON brand_new (note)",
    "UPDATE brand_new SET note = 'x'",
    "DROP INDEX CONCURRENTLY ix",
    "ALTER TABLE orders ADD COLUMN size INTEGER",
    "ALTER TABLE orders ADD COLUMN size INTEGER DEFAULT 5 NOT NULL",
    "ALTER TABLE orders ADD COLUMN size VARCHAR(10) DEFAULT 'a (b), c' NOT NULL",
    "ALTER TABLE orders ADD CONSTRAINT ck CHECK (note <> '') NOT VALID",
    "ALTER TABLE orders DROP CONSTRAINT ck",
    "ALTER TABLE orders ALTER COLUMN note DROP NOT NULL",
    "ALTER TABLE orders VALIDATE CONSTRAINT ck",
    "SET lock_timeout = '1s'",
    "CREATE TABLE brand_new (id BIGSERIAL NOT NULL)",
    "SELECT 1",
)


@pytest.mark.parametrize(("sql", "reason"), HAZARDS.items())
def test_what_would_keep_people_waiting_is_found(sql, reason):
    (hazard,) = find_hazards([Sent(sql, 1)], {"orders", "users"})
    assert reason in hazard
    assert hazard.endswith(sql)


@pytest.mark.parametrize("sql", HARMLESS)
def test_what_keeps_nobody_waiting_is_let_through(sql):
    assert find_hazards([Sent(sql, 1)], {"orders", "users"}) == []


@pytest.mark.parametrize(
    "takes", ["ALTER TABLE orders ADD COLUMN size INTEGER", "DROP TRIGGER told ON orders"]
)
@pytest.mark.parametrize(
    "looks",
    [
        "ALTER TABLE orders VALIDATE CONSTRAINT ck",
        "INSERT INTO brand_new (id) SELECT id FROM users",
        "CREATE INDEX ix ON brand_new (note)",
        "ANALYZE brand_new",
    ],
)
def test_no_row_is_looked_at_while_a_table_is_kept_from_its_readers(takes, looks):
    (hazard,) = find_hazards([Sent(takes, 1), Sent(looks, 1)], {"orders", "users"})
    assert hazard == f"it takes its time while orders is kept from its readers | {looks}"
    for later in (2, None):
        assert find_hazards([Sent(takes, 1), Sent(looks, later)], {"orders", "users"}) == []
    assert find_hazards([Sent(takes, 1), Sent(looks, 1)], {"users"}) == []


def test_real_migrations_are_read_by_these_rules(empty):
    """Two of before the first release: what they did to empty tables, none may do to full ones."""
    found = {}
    for revision, before in (("0021", "0020"), ("0023", "0022")):
        upgrade(empty, before)
        tables = set(inspect(empty.engine).get_table_names())
        with recorded(empty.engine) as sent:
            upgrade(empty, revision)
        found[revision] = find_hazards(of_the_migration(sent), tables)
    indexes = [one for one in found["0021"] if one.startswith("it keeps writers out")]
    dropped = [one for one in found["0021"] if one.startswith("drop_index()")]
    assert (len(indexes), len(dropped)) == (7, 2)
    assert len(found["0021"]) == 9
    slow = [one for one in found["0023"] if "while products is kept from its readers" in one]
    assert len(slow) == 3
    assert "INSERT INTO search_products_new SELECT" in slow[0]


GENTLE = '''"""Everything that our helpers do, to a table that is full."""
import sqlalchemy as sa
from alembic import op
from app.schema_changes import *
from app import schema_changes as change
revision, down_revision, branch_labels, depends_on = "9999", {down!r}, None, None
def upgrade():
    change.add_column("orders", sa.Column("weight_grams", sa.Integer()))
    change.add_column("orders", sa.Column("channel", sa.String(10), nullable=False,
                      server_default="web"))
    change.fill("orders", "weight_grams", "500")
    change.create_index("ix_orders_weight_grams", "orders", ["weight_grams"])
    if op.get_bind().dialect.name == "postgresql":
        change.add_column("orders", sa.Column("packer_id", sa.BigInteger()))
        change.add_check("orders", "weight_grams_whole", "weight_grams >= 0")
        change.add_reference("orders", "packer_id", "users")
        change.require_value("orders", "weight_grams")
{more}
def downgrade():
    pass
'''


@pytest.fixture
def gently(tmp_path, monkeypatch):
    """Put a migration of the future behind ours; ``more`` are further lines of it."""
    folder = tmp_path / "migrations"
    shutil.copytree(schema_migrations.FOLDER, folder)
    head = head_revision()
    monkeypatch.setattr(schema_migrations, "FOLDER", folder)

    def put(more: str = "", script: str = GENTLE) -> None:
        (folder / "versions" / "9999_gentle.py").write_text(script.format(down=head, more=more))

    return put


def fill_orders(database, count: int) -> None:
    """So many orders of one buyer, made by the database itself."""
    with database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO users (username, username_key, email, email_key, password_hash, role,"
                " created_at, updated_at) VALUES ('b', 'b', 'b@b', 'b@b', 'x', 'customer', :now,"
                " :now)"
            ),
            {"now": NOW},
        )
        session.execute(
            text(
                "INSERT INTO orders (number, user_id, status, total_cents, created_at, updated_at,"
                " expires_at) SELECT 'N' || n, 1, 'delivered', 100, :now, :now, :now"
                " FROM generate_series(1, :count) AS n"
            ),
            {"now": NOW, "count": count},
        )


HELD = text(
    "SELECT mode FROM pg_locks WHERE pid = pg_backend_pid() AND granted"
    " AND relation = 'orders'::regclass"
)
READ = text("SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'orders'")
KEEPS_OTHERS_OUT = {
    "AccessExclusiveLock",
    "ExclusiveLock",
    "ShareRowExclusiveLock",
    "ShareLock",
}


class Watch:
    """Of each statement: how many rows of orders it read, and what its transaction holds of them
    after it.
    """

    def __init__(self, engine) -> None:
        self.seen: list[tuple[str, set[str], int]] = []
        self._engine = engine
        self._is_looking = False
        self._read_before = 0
        event.listen(engine, "before_cursor_execute", self._note)
        event.listen(engine, "after_cursor_execute", self._look)

    def _note(self, connection, *_):
        if not self._is_looking:
            self._read_before = self._ask(connection)[1]

    def _look(self, connection, _cursor, statement, *_):
        if not self._is_looking:
            modes, read = self._ask(connection)
            self.seen.append((" ".join(statement.split()), modes, read - self._read_before))

    def _ask(self, connection) -> tuple[set[str], int]:
        self._is_looking = True
        try:
            modes = set(connection.execute(HELD).scalars())
            return modes, connection.execute(READ).scalar_one_or_none() or 0
        finally:
            self._is_looking = False

    def scans_under_lock(self) -> list[str]:
        """The statements that read the rows, and kept others out meanwhile."""
        return [
            statement
            for statement, modes, read in self.seen
            if read >= ROWS and modes & KEEPS_OTHERS_OUT
        ]

    def close(self) -> None:
        event.remove(self._engine, "before_cursor_execute", self._note)
        event.remove(self._engine, "after_cursor_execute", self._look)


@pytest.fixture
def full(empty):
    """A PostgreSQL database with many orders, at the newest migration that there is."""
    upgrade(empty)
    fill_orders(empty, ROWS)
    return empty


def test_our_helpers_read_no_row_while_they_keep_others_out(full, gently):
    gently()
    watch = Watch(full.engine)
    with recorded(full.engine) as sent:
        upgrade(full)
    watch.close()
    assert watch.scans_under_lock() == []
    assert max(read for _statement, _modes, read in watch.seen) >= ROWS  # the watch sees reading
    taken = [modes for _statement, modes, _read in watch.seen if "AccessExclusiveLock" in modes]
    assert taken  # the watch sees what is held
    assert find_hazards(of_the_migration(sent), {"orders"}) == []
    with full.reading() as session:
        found = session.execute(
            text("SELECT count(*), min(weight_grams), min(channel) FROM orders")
        ).one()
    assert tuple(found) == (ROWS, 500, "web")
    columns = {column["name"]: column for column in inspect(full.engine).get_columns("orders")}
    assert columns["weight_grams"]["nullable"] is False
    with full.reading() as session:
        open_rules = session.execute(
            text("SELECT conname FROM pg_constraint WHERE NOT convalidated")
        ).all()
        names = (
            session.execute(
                text(
                    "SELECT conname FROM pg_constraint WHERE contype IN ('c', 'f') AND (conname"
                    " LIKE '%weight_grams%' OR conname LIKE '%packer%') ORDER BY 1"
                )
            )
            .scalars()
            .all()
        )
    assert open_rules == []
    assert names == ["ck_orders_weight_grams_whole", "fk_orders_packer_id_users"]


ROUGH = {
    "check": 'op.execute("ALTER TABLE orders ADD CONSTRAINT ck_r CHECK (total_cents > 0)")',
    "not null": "op.execute(\"UPDATE orders SET note = '-'\");"
    ' op.execute("ALTER TABLE orders ALTER COLUMN note SET NOT NULL")',
    "index": 'op.create_index("ix_rough", "orders", ["note"])',
}


@pytest.mark.parametrize("more", ROUGH.values(), ids=ROUGH)
def test_the_watch_sees_what_the_plain_way_holds(full, gently, more):
    gently(f"    {more}")
    watch = Watch(full.engine)
    upgrade(full)
    watch.close()
    assert len(watch.scans_under_lock()) >= 1


def test_readers_and_writers_pass_while_an_index_is_made(full, gently):
    """It waits for a transaction that is older: nobody waits for it meanwhile."""
    gently()
    old = full.engine.connect()
    # a snapshot that the index has to wait for
    old.execution_options(isolation_level="REPEATABLE READ").execute(
        text("SELECT count(*) FROM users")
    )
    thread = threading.Thread(target=lambda: upgrade(full))
    thread.start()
    waits = text(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%'"
        " AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()"
    )
    with full.engine.connect() as other:
        wait_until(lambda: _count(other, waits), "the index waits")
        other.execute(text("SET LOCAL lock_timeout = '1ms'"))
        assert other.execute(text("SELECT count(*) FROM orders")).scalar_one() == ROWS
        other.execute(text("UPDATE orders SET note = 'x' WHERE id = 1"))
        other.commit()
        assert thread.is_alive()
    old.rollback()
    old.close()
    thread.join()
    assert current_revision(full) == "9999"


def _count(connection, statement) -> int:
    found = connection.execute(statement).scalar_one()
    connection.rollback()
    return found


def test_a_migration_that_was_interrupted_is_finished_by_the_next_try(full, gently):
    """Half of it is committed by then; an index that was not finished is made anew."""
    gently("    op.execute('this is no SQL')")
    with pytest.raises(Exception, match="this"):
        upgrade(full)
    assert current_revision(full) == head_without(full)
    with full.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(
            text(
                "UPDATE pg_index SET indisvalid = false"
                " WHERE indexrelid = 'ix_orders_weight_grams'::regclass"
            )
        )
        connection.execute(text("ALTER TABLE orders ALTER COLUMN weight_grams DROP NOT NULL"))
    gently()
    upgrade(full)
    with full.reading() as session:
        valid = session.execute(
            text(
                "SELECT indisvalid FROM pg_index"
                " WHERE indexrelid = 'ix_orders_weight_grams'::regclass"
            )
        ).scalar_one()
    assert valid is True
    assert current_revision(full) == "9999"


def head_without(database) -> str:
    """The revision before the one of the test."""
    with database.reading() as session:
        return session.execute(text("SELECT version_num FROM alembic_version")).scalar_one()


def test_on_sqlite_the_same_changes_are_made_in_the_plain_way(tmp_path, gently):
    database = Database(f"sqlite:///{tmp_path}/plain.db")
    upgrade(database)
    with database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO users (username, username_key, email, email_key, password_hash, role,"
                " created_at, updated_at) VALUES ('b', 'b', 'b', 'b', 'x', 'customer', '2', '2')"
            )
        )
        session.execute(
            text(
                "INSERT INTO orders (number, user_id, status, total_cents, created_at, updated_at,"
                " expires_at) VALUES ('N1', 1, 'delivered', 100, '2', '2', '2')"
            )
        )
    gently()
    upgrade(database)
    with database.reading() as session:
        assert session.execute(text("SELECT weight_grams, channel FROM orders")).one() == (
            500,
            "web",
        )
    names = {index["name"] for index in inspect(database.engine).get_indexes("orders")}
    assert "ix_orders_weight_grams" in names
    database.dispose()


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        (sa.Column("a", sa.Integer(), nullable=False), "let it be empty first"),
        (sa.Column("a", sa.DateTime(), server_default=sa.func.now()), "only a constant"),
        (sa.Column("a", sa.Uuid(), server_default=sa.text("gen_random_uuid()")), "only a constant"),
    ],
)
def test_a_column_that_would_write_every_row_is_refused(column, sentence):
    with pytest.raises(ValueError, match=sentence):
        add_column("orders", column)
