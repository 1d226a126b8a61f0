"""Up, down, up again; with rows in place; and the models say what the database is."""

import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import event, inspect, text

from app import schema_migrations
from app.db import Database
from app.models import Base
from app.schema_migrations import (
    current_revision,
    differences,
    downgrade,
    head_revision,
    is_current,
    make_revision,
    upgrade,
)
from drill.processes import wait_until
from tests.core import ask_to_pay, buy, database_snapshot, make_buyer, pay
from tests.factories import NOW, make_product, make_task
from tests.postgres import create_database
from tests.races.starting_line import together


@pytest.fixture
def empty(database_kind, request, tmp_path):
    """A database without a table, of each kind in turn."""
    if database_kind == "sqlite":
        url = f"sqlite:///{tmp_path}/empty.db"
    else:
        url = create_database(
            request.getfixturevalue("postgres_uri"),
            f"sokoni_migrations_{request.getfixturevalue('worker_id')}",
        )
    database = Database(url)
    yield database
    database.dispose()


def tables(database) -> set[str]:
    return set(inspect(database.engine).get_table_names())


def test_an_empty_database_is_brought_up_taken_down_and_up_again(empty):
    assert (tables(empty), current_revision(empty), is_current(empty)) == (set(), None, False)
    for _ in range(2):
        upgrade(empty)
        upgrade(empty)
        assert current_revision(empty) == head_revision()
        assert is_current(empty) is True
        assert tables(empty) - {"alembic_version"} >= set(Base.metadata.tables)
        assert differences(empty) == []

        downgrade(empty, "base")
        assert tables(empty) - {"sqlite_sequence"} == {"alembic_version"}
        assert (current_revision(empty), is_current(empty)) == (None, False)


def test_the_migrations_are_read_once(database, monkeypatch):
    """A load balancer asks all day, and to read them takes a tenth of a second."""
    assert is_current(database)
    monkeypatch.setattr(schema_migrations, "_scripts", None)
    assert is_current(database)


def test_to_look_again_compiles_nothing_new(database):
    """A statement that is made anew each time pushes others out of the engine's cache."""
    assert is_current(database)
    compiled = len(database.engine._compiled_cache)
    for _ in range(3):
        assert is_current(database)
    assert len(database.engine._compiled_cache) == compiled


def test_a_column_that_no_migration_made_is_a_difference(empty):
    upgrade(empty)
    with empty.transaction() as session:
        session.execute(text("ALTER TABLE users ADD COLUMN shoe_size INTEGER"))

    (difference,) = differences(empty)
    assert "shoe_size" in difference


def test_the_triggers_go_and_come_with_their_migration(empty):
    upgrade(empty)
    with empty.transaction() as session:
        order = buy(session, make_buyer(session), (make_product(session), 1))
        pay(session, ask_to_pay(session, order))
    before = database_snapshot(empty)
    downgrade(empty, "0001")
    with empty.transaction() as session:
        session.execute(text("UPDATE order_events SET reason = reason"))
    upgrade(empty)

    with pytest.raises(Exception, match="append-only"), empty.transaction() as session:
        session.execute(text("UPDATE order_events SET reason = reason"))
    assert database_snapshot(empty) == before


def test_the_migration_of_paybill_money_keeps_rows_and_gives_no_id_twice(empty):
    upgrade(empty, "0008")
    with empty.transaction() as session:
        session.execute(
            text(
                "INSERT INTO tasks (kind, title, description, status, priority, created_at,"
                " updated_at) VALUES ('manual', 'Pack', '', 'todo', 'low', :now, :now)"
            ),
            {"now": NOW.isoformat()},
        )
        session.execute(text("DELETE FROM tasks"))
    upgrade(empty)
    with empty.transaction() as session:
        order = buy(session, make_buyer(session), (make_product(session), 1))
        pay(session, ask_to_pay(session, order))
        assert make_task(session, None).id == 2
    before = database_snapshot(empty)
    downgrade(empty, "0008")
    with pytest.raises(Exception, match="kind_known"), empty.transaction() as session:
        session.execute(text("UPDATE tasks SET kind = 'unmatched_money'"))
    upgrade(empty)

    assert database_snapshot(empty) == before
    assert differences(empty) == []


CHANGE = '''"""A column more."""
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "9999", {down!r}, None, None
def upgrade():
    with op.batch_alter_table("users", recreate="always") as batch:
        batch.add_column(sa.Column("shoe_size", sa.Integer()))
{more}
def downgrade():
    with op.batch_alter_table("users", recreate="always") as batch:
        batch.drop_column("shoe_size")
'''


@pytest.fixture
def later(tmp_path, monkeypatch):
    """Put a migration of the future behind ours: a function that takes its further lines."""
    folder = tmp_path / "migrations"
    shutil.copytree(schema_migrations.FOLDER, folder)
    head = head_revision()
    monkeypatch.setattr(schema_migrations, "FOLDER", folder)

    def put(more: str = "") -> None:
        script = CHANGE.format(down=head, more=more)
        (folder / "versions" / "9999_later.py").write_text(script)

    return put


def test_a_table_that_is_made_anew_keeps_its_rows_and_theirs(database_kind, empty, later):
    if database_kind == "postgresql":
        pytest.skip("PostgreSQL changes a table where it stands")
    upgrade(empty)
    with empty.transaction() as session:
        order = buy(session, make_buyer(session), (make_product(session), 1))
        pay(session, ask_to_pay(session, order))
    before = database_snapshot(empty)
    later()
    upgrade(empty)

    assert "shoe_size" in {column["name"] for column in inspect(empty.engine).get_columns("users")}
    assert database_snapshot(empty) == before
    with empty.reading() as session:
        assert session.execute(text("PRAGMA foreign_keys")).scalar_one() == 1
    downgrade(empty, "-1")
    assert database_snapshot(empty) == before


def test_a_migration_that_breaks_a_reference_says_so(database_kind, empty, later):
    if database_kind == "postgresql":
        pytest.skip("PostgreSQL keeps its foreign keys on")
    upgrade(empty)
    with empty.transaction() as session:
        buy(session, make_buyer(session), (make_product(session), 1))
    later('    op.execute("DELETE FROM users")')

    with pytest.raises(RuntimeError, match="left rows without what they refer to"):
        upgrade(empty)


def test_a_migration_that_fails_changes_nothing_and_leaves_foreign_keys_on(empty, later):
    upgrade(empty)
    with empty.transaction() as session:
        make_buyer(session)
    before, revision = database_snapshot(empty), current_revision(empty)
    later('    op.execute("this is no SQL")')
    with pytest.raises(Exception, match="this"):
        upgrade(empty)

    assert database_snapshot(empty) == before
    assert current_revision(empty) == revision
    assert "shoe_size" not in {c["name"] for c in inspect(empty.engine).get_columns("users")}
    if empty.is_sqlite:
        for _ in range(3):
            with empty.reading() as session:
                assert session.execute(text("PRAGMA foreign_keys")).scalar_one() == 1


@pytest.mark.fault("F46")
def test_on_sqlite_a_migration_holds_off_writers_before_it_reads(database_kind, empty, later):
    """A reader that turns writer fails at once, if somebody wrote meanwhile: beside a shop that
    runs, somebody always has.
    """
    if database_kind == "postgresql":
        pytest.skip("PostgreSQL locks what it changes, when it changes it")
    upgrade(empty)
    later()
    free = {}

    def try_to_write(_connection, _cursor, statement, *_):
        with closing(sqlite3.connect(empty.url.database, timeout=0)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                free[statement] = False
            else:
                free[statement] = True

    event.listen(empty.engine, "after_cursor_execute", try_to_write)
    upgrade(empty)
    event.remove(empty.engine, "after_cursor_execute", try_to_write)
    read = [said for said in free if "FROM alembic_version" in said]
    assert read
    assert not any(free.values()), free


def test_two_processes_that_start_migrate_one_after_the_other(database_kind, empty):
    if database_kind == "sqlite":
        pytest.skip("a laptop starts one process")
    assert together([lambda: upgrade(empty)] * 3) == [None, None, None]
    assert is_current(empty) is True


def test_a_revision_is_written_from_what_the_models_say_beyond_the_database(empty, later):
    upgrade(empty)
    with empty.transaction() as session:
        session.execute(text("ALTER TABLE users DROP COLUMN picture_url"))
    make_revision(empty, "give pictures back")

    (written,) = schema_migrations.FOLDER.glob("versions/*give_pictures_back.py")
    assert "picture_url" in written.read_text()


@pytest.mark.fault("F46")
def test_readers_pass_a_migration_that_waits_for_a_lock(database_kind, empty, monkeypatch):
    """A transaction holds the table; the migration waits for it, and a reader does not."""
    if database_kind == "sqlite":
        pytest.skip("SQLite's readers see the file as it was, whatever is written")
    monkeypatch.setattr(schema_migrations, "_PAUSE_SECONDS", 0.2)
    upgrade(empty, "0008")
    with ThreadPoolExecutor(1) as pool:
        with empty.engine.connect() as holder:
            holder.execute(text("SELECT count(*) FROM payments"))
            waiting = pool.submit(upgrade, empty)
            wait_until(lambda: _waits_for_a_lock(empty), "the migration waits")
            with empty.engine.connect() as reader:
                # behind the migration's lock it would wait for ever: the holder lets go later
                reader.execute(text("SET statement_timeout = '30s'"))
                assert reader.execute(text("SELECT count(*) FROM payments")).scalar_one() == 0
            assert not waiting.done()
        waiting.result(timeout=60)
    assert is_current(empty)


def _waits_for_a_lock(database) -> bool:
    waits = text(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'"
        " AND relation = 'payments'::regclass"
    )
    with database.engine.connect() as connection:
        return connection.execute(waits).scalar_one() > 0


def test_a_migration_that_never_finds_a_moment_says_so(database_kind, empty, monkeypatch):
    if database_kind == "sqlite":
        pytest.skip("SQLite waits for its one writer")
    monkeypatch.setattr(schema_migrations, "_PAUSE_SECONDS", 0)
    monkeypatch.setattr(schema_migrations, "_TRIES", 2)
    upgrade(empty, "0008")
    with empty.engine.connect() as holder:
        holder.execute(text("SELECT count(*) FROM payments"))
        with pytest.raises(TimeoutError, match="found no moment without a lock"):
            upgrade(empty)
    assert current_revision(empty) == "0008"


FIRST_DEPLOYED = "0007"
"""What ran somewhere before: from here on a migration only ever adds room."""


def _columns(database) -> dict[str, dict[str, dict]]:
    found = inspect(database.engine)
    return {
        table: {column["name"]: column for column in found.get_columns(table)}
        for table in found.get_table_names()
    }


@pytest.mark.fault("F47")
def test_the_old_version_works_on_the_new_tables(empty):
    """While a deploy runs, both versions write. The old one names the columns that it knows: they
    are all there, none wants more than before, and each that came has a value of its own.
    """
    upgrade(empty, FIRST_DEPLOYED)
    old = _columns(empty)
    upgrade(empty)
    new = _columns(empty)
    for table, columns in old.items():
        assert columns.keys() <= new[table].keys(), table
        for name, column in new[table].items():
            if name in columns:
                assert column["nullable"] or not columns[name]["nullable"], (table, name)
            else:
                assert column["nullable"] or column["default"] is not None, (table, name)


@pytest.mark.fault("F47")
def test_a_payment_of_the_old_version_is_one_of_the_new(empty):
    upgrade(empty, FIRST_DEPLOYED)
    old = _columns(empty)
    upgrade(empty)
    with empty.transaction() as session:
        order = buy(session, make_buyer(session), (make_product(session), 1))
        pay(session, ask_to_pay(session, order))
    for table in ("mpesa_receipts", "payments", "ledger_events", "callback_inbox", "tasks"):
        names = [name for name in old[table] if name != "id"]
        again = ", ".join(_another(name) for name in names)
        with empty.transaction() as session:
            rows = session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
            session.execute(
                text(f"INSERT INTO {table} ({', '.join(names)}) SELECT {again} FROM {table}")
            )
            added = session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
            assert added == 2 * rows, table
            session.rollback()


def _another(name: str) -> str:
    """A column's value for a second row: unique where it has to be."""
    unique = {"receipt": "'UKM0ANOTHER'", "mpesa_receipt": "NULL", "checkout_request_id": "NULL"}
    return unique.get(name, "'another'" if name == "reference" else name)
