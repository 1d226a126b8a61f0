"""transaction() and reading(): the one place that commits."""

import threading

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.db import (
    SQLITE_PRAGMAS,
    Database,
    current_database,
    in_transaction,
    reading,
    reserved_connections,
    ring_after_commit,
    transaction,
)
from app.error_handlers import _is_passing
from app.models import Category
from drill.processes import free_port
from tests.core import database_snapshot
from tests.factories import make_category


def names(database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(select(Category.name).order_by(Category.id)))


def test_a_transaction_commits_at_its_end(database):
    with database.transaction() as session:
        make_category(session, "Shoes")
        assert names(database) == []

    assert names(database) == ["Shoes"]


def test_a_transaction_that_raises_leaves_nothing(database):
    before = database_snapshot(database)
    with pytest.raises(ZeroDivisionError), database.transaction() as session:
        make_category(session, "Shoes")
        raise ZeroDivisionError

    assert database_snapshot(database) == before
    assert in_transaction() is False


def test_what_is_changed_while_reading_is_thrown_away(database):
    with database.transaction() as session:
        make_category(session, "Shoes")
    with database.reading() as session:
        category = session.scalars(select(Category)).one()
        category.name = "Hats"
        session.flush()

    assert names(database) == ["Shoes"]
    assert category.slug.startswith("shoes")  # what was loaded stays readable


def test_transaction_does_not_nest(database):
    with database.transaction() as session:
        with (
            pytest.raises(RuntimeError, match="does not nest: pass the session on"),
            database.transaction(),
        ):
            pytest.fail("a second transaction was opened")
        make_category(session, "Shoes")
        assert in_transaction() is True

    assert names(database) == ["Shoes"]
    assert in_transaction() is False


def test_a_transaction_belongs_to_its_thread(database):
    seen = []
    with database.transaction():
        thread = threading.Thread(target=lambda: seen.append(in_transaction()))
        thread.start()
        thread.join()

    assert seen == [False]


def test_what_a_transaction_gave_is_readable_after_it(database):
    with database.transaction() as session:
        category = make_category(session, "Shoes")

    assert (category.id, category.name) == (1, "Shoes")


def test_the_apps_own_database_is_the_one_that_is_used(app, database):
    with app.app_context():
        assert current_database() is database
        with transaction() as session:
            make_category(session, "Shoes")
        with reading() as session:
            assert session.scalars(select(Category.name)).all() == ["Shoes"]


def test_sqlite_is_told_what_it_must_know(database, database_kind):
    if database_kind == "postgresql":
        pytest.skip("about SQLite alone")
    assert SQLITE_PRAGMAS == (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "cache_size=-512",
        "busy_timeout=10000",
    )
    with database.reading() as session:
        told = [
            session.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    assert told == ["wal", 2, 1, 10_000]


@pytest.mark.fault("F39")
def test_postgresql_gives_up_on_what_takes_too_long(database, database_kind):
    if database_kind == "sqlite":
        pytest.skip("about PostgreSQL alone")
    settings = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    with database.reading() as session:
        told = [session.execute(text(f"SHOW {name}")).scalar_one() for name in settings]
        assert session.execute(text("SHOW timezone")).scalar_one().lower() == "utc"
    assert told == ["10s", "5s", "4s"]


@pytest.mark.fault("F39")
def test_who_waits_for_a_row_of_a_machine_that_vanished_is_not_refused_before_it_is_free(
    database, database_kind
):
    """tests/e2e/test_hosts.py cuts a machine off and sees it."""
    if database_kind == "sqlite":
        pytest.skip("about PostgreSQL alone")
    milliseconds = text("SELECT setting::int FROM pg_settings WHERE name = :name")
    with database.reading() as session:
        idle, lock = (
            session.execute(milliseconds, {"name": name}).scalar_one()
            for name in ("idle_in_transaction_session_timeout", "lock_timeout")
        )
    assert 0 < idle < lock


def test_who_only_reads_may_take_time_between_two_questions(database, database_kind):
    if database_kind == "sqlite":
        pytest.skip("about PostgreSQL alone")
    show = text("SHOW idle_in_transaction_session_timeout")
    with database.reading(may_pause=True) as session:
        assert session.execute(show).scalar_one() == "0"
    with database.reading() as session:
        assert session.execute(show).scalar_one() == "4s"


def test_both_ends_of_a_line_to_postgresql_look_whether_it_is_cut(database, database_kind):
    if database_kind == "sqlite":
        pytest.skip("about PostgreSQL alone")
    with database.reading() as session:
        told = session.connection().connection.driver_connection.info.get_parameters()
    ours = {
        "connect_timeout": "5",
        "keepalives_idle": "5",
        "keepalives_interval": "2",
        "keepalives_count": "3",
        "tcp_user_timeout": "10000",
    }
    assert {name: told.get(name) for name in ours} == ours
    for setting in ("idle=5", "interval=2", "count=3"):
        assert f"-c tcp_keepalives_{setting}" in told["options"]
    assert "-c tcp_user_timeout=10000" in told["options"]


@pytest.mark.fault("F34")
def test_a_server_that_is_away_is_no_bug_of_ours_whichever_way_it_is_asked(database_kind):
    if database_kind == "sqlite":
        pytest.skip("about PostgreSQL alone")
    database = Database(f"postgresql+psycopg://nobody@127.0.0.1:{free_port()}/nothing")

    def ask_a_session() -> None:
        with database.reading() as session:
            session.execute(text("SELECT 1"))

    for ask in (ask_a_session, lambda: database.asking.rows("SELECT 1", {})):
        with pytest.raises(OperationalError) as caught:
            ask()
        assert _is_passing(caught.value) is True
    database.dispose()


@pytest.mark.fault("F38")
def test_a_pool_that_is_empty_says_so_in_time(database_url):
    database = Database(database_url, pool_size=1, pool_timeout_seconds=0.05)
    held = [database.engine.connect() for _ in range(6)]
    try:
        with pytest.raises(PoolTimeout) as caught, database.transaction():
            pytest.fail("a seventh connection was opened")
        assert _is_passing(caught.value) is True
        assert in_transaction() is False
    finally:
        for connection in held:
            connection.close()
        database.dispose()


@pytest.mark.fault("F38")
def test_the_reserve_is_free_whoever_holds_the_pool(database_url):
    database = Database(database_url, pool_size=1, pool_timeout_seconds=0.05, reserve=1)
    held = [database.engine.connect() for _ in range(6)]
    try:
        with reserved_connections(), database.transaction() as session:
            assert session.scalar(text("SELECT 1")) == 1
            assert database.reserve.pool.checkedout() == 1
        with pytest.raises(PoolTimeout), database.transaction():
            pytest.fail("the reserve is for who asks for it")
    finally:
        for connection in held:
            connection.close()
        database.dispose()


@pytest.mark.parametrize(
    ("sqlstate", "is_passing"),
    [
        ("40001", True),
        ("40P01", True),
        ("55P03", True),
        ("57014", True),
        ("53300", True),
        ("08006", True),
        ("23505", False),
        ("22001", False),
        ("42601", False),
    ],
)
def test_which_errors_of_postgresql_pass(sqlstate, is_passing):
    class Cause(Exception):
        pass

    Cause.sqlstate = sqlstate
    assert _is_passing(OperationalError("SELECT 1", {}, Cause())) is is_passing


def test_a_broken_statement_is_a_bug_and_no_passing_trouble(database):
    with pytest.raises(DBAPIError) as caught, database.reading() as session:
        session.execute(text("SELECT nothing FROM nowhere"))

    assert _is_passing(caught.value) is False


def test_bells_are_rung_once_after_the_commit_and_not_at_all_without_one(database):
    rung = []

    def bell(job: str, row_id: int) -> None:
        rung.append((job, row_id, names(database), in_transaction()))

    database.bell = bell
    with database.transaction() as session:
        make_category(session, "Shoes")
        for row_id in (2, 1, 2):
            ring_after_commit(session, "look", row_id)
        assert rung == []
    assert rung == [("look", 2, ["Shoes"], False), ("look", 1, ["Shoes"], False)]
    rung.clear()
    with pytest.raises(ZeroDivisionError), database.transaction() as session:
        ring_after_commit(session, "look", 3)
        raise ZeroDivisionError
    with database.transaction() as session:
        make_category(session, "Hats")
    assert rung == []


def test_without_a_bell_nothing_is_rung(database):
    assert database.bell is None
    with database.transaction() as session:
        make_category(session, "Shoes")
        ring_after_commit(session, "look", 1)
    assert names(database) == ["Shoes"]


def test_threads_take_turns_in_writing_a_sqlite_file(database, database_kind):
    """On PostgreSQL they need not: whoever writes something else goes on."""
    done, wrote = [], threading.Event()

    def write() -> None:
        with database.transaction() as session:
            make_category(session, "Hats")
        done.append("second")
        wrote.set()

    with database.turn():
        second = threading.Thread(target=write)
        second.start()
        if database_kind == "postgresql":
            assert wrote.wait(30)
        done.append("first")
    second.join()
    order = ["second", "first"] if database_kind == "postgresql" else ["first", "second"]
    assert done == order


def test_only_what_is_just_asked_does_not_wait_for_the_disk(database, database_kind):
    """The tests' own server waits for no disk at all."""
    is_sqlite = database_kind == "sqlite"
    setting = "SELECT setting, source FROM pg_settings WHERE name = 'synchronous_commit'"
    ask = "PRAGMA synchronous" if is_sqlite else setting
    with database.transaction() as session:
        kept = tuple(session.execute(text(ask)).one())
    asked = tuple(database.asking.rows(ask, {})[0])
    if is_sqlite:
        assert (kept, asked) == ((2,), (1,))
    else:
        assert (kept[1] != "session", asked) == (True, ("off", "session"))


@pytest.mark.fault("F35")
def test_a_connection_that_the_server_has_ended_is_not_used_again(database, database_kind):
    if database_kind == "sqlite":
        pytest.skip("about PostgreSQL alone")
    with database.reading() as session:
        ours = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
    other = Database(database.url.render_as_string(hide_password=False))
    try:
        with other.transaction() as session:
            session.execute(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": ours})
    finally:
        other.dispose()
    with database.reading() as session:
        assert session.execute(text("SELECT pg_backend_pid()")).scalar_one() != ours
