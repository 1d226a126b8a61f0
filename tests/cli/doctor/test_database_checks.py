"""The database: there, of the right shape, and keeping what it was given."""

import shutil
from dataclasses import replace
from typing import NamedTuple

import pytest
from sqlalchemy import text

from app import schema_migrations
from app.cli.doctor.checks import database as checks
from app.db import Database
from app.jobs.build import connections_of
from app.jobs.work import Work
from tests.cli.doctor.conftest import codes, look, only_line
from tests.postgres import create_database


class Usage(NamedTuple):
    total: int
    used: int
    free: int


GIGABYTE = 1024**3


@pytest.fixture
def on(make_exam, ports, live):
    """An examination of another database."""
    opened = []

    def examine_that(url, config=None):
        opened.append(Database(url))
        exam = make_exam(config or live)
        exam.work = Work(opened[-1], ports, replace(exam.config, database_url=str(opened[-1].url)))
        return exam

    yield examine_that
    for database in opened:
        database.dispose()


@pytest.fixture
def empty_url(database_kind, request, tmp_path) -> str:
    if database_kind == "sqlite":
        return f"sqlite:///{tmp_path}/empty.db"
    worker_id = request.getfixturevalue("worker_id")
    uri = request.getfixturevalue("postgres_uri")
    return create_database(uri, f"sokoni_doctor_{worker_id}")


def test_a_database_that_answers_is_named_with_its_version(make_exam, live, database_kind):
    exam = make_exam(live)
    code, sentence = only_line(exam, "database")
    name = {"sqlite": "SQLite 3.", "postgresql": "PostgreSQL 1"}[database_kind]
    assert (code, sentence[: len(name)]) == ("ok", name)
    code, sentence = only_line(exam, "migrations")
    assert (code, sentence) == (
        "ok",
        f"The tables are as the code expects them ({schema_migrations.head_revision()}).",
    )


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_a_database_that_is_away_is_named_without_its_password(on):
    exam = on("postgresql+psycopg://shop:secret-word@127.0.0.1:1/shop")
    code, sentence = only_line(exam, "database")
    assert code == "database_unreachable"
    assert "Connection refused" in sentence
    assert "secret-word" not in sentence


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_a_file_that_is_no_database_is_unreachable(on, tmp_path):
    (tmp_path / "notes.db").write_text("a text that is long enough to be taken for a file" * 50)
    assert codes(on(f"sqlite:///{tmp_path}/notes.db"), "database") == ["database_unreachable"]


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_looking_at_a_file_that_is_not_there_makes_none(on, tmp_path):
    exam = on(f"sqlite:///{tmp_path}/new/folder/sokoni.db")
    assert codes(exam, "database") == ["ok"]
    assert codes(exam, "migrations") == ["migrations_missing"]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_a_file_of_another_user_can_only_be_read(on, database_url, monkeypatch):
    monkeypatch.setattr("app.db.os.access", lambda _path, _mode: False)
    code, sentence = only_line(on(database_url), "database")
    assert code == "database_read_only"
    assert "belongs to another user" in sentence


@pytest.mark.parametrize("database_kind", ["postgresql"])
def test_a_database_whose_transactions_only_read_is_named(on, empty_url):
    exam = on(empty_url)
    with exam.work.database.engine.begin() as connection:
        name = connection.exec_driver_sql("SELECT current_database()").scalar()
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    exam.work.database.dispose()
    code, sentence = only_line(exam, "database")
    assert code == "database_read_only"
    assert "read only by default" in sentence


def test_migrations_that_never_ran_stopped_half_way_or_went_ahead(on, empty_url):
    exam = on(empty_url)
    database = exam.work.database
    with database.engine.connect():
        assert codes(exam, "migrations") == ["migrations_missing"]
    schema_migrations.upgrade(database, "0008")
    head = schema_migrations.head_revision()
    assert only_line(exam, "migrations") == (
        "migrations_behind",
        f"The database is at 0008 and the code expects {head}: run python manage.py db upgrade.",
    )
    with database.transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    code, sentence = only_line(exam, "migrations")
    assert code == "migrations_ahead"
    assert sentence.startswith("The database is at 9999, which this code does not know")


def test_what_a_power_cut_would_take_is_named(make_exam, live, database_kind):
    """The PostgreSQL of the tests is as fast, and as forgetful, as it can be made."""
    expected = {
        "sqlite": ["sqlite_in_production", "ok"],
        "postgresql": ["fsync_off", "commit_not_durable"],
    }
    assert codes(make_exam(live), "durability") == expected[database_kind]


def test_sqlite_is_fine_outside_production(make_exam, laptop, database_kind):
    if database_kind == "sqlite":
        assert codes(make_exam(laptop), "durability") == ["ok"]


@pytest.mark.parametrize("database_kind", ["postgresql"])
def test_another_encoding_and_an_old_server_are_named(make_exam, live, monkeypatch):
    shown = {
        "fsync": "on",
        "full_page_writes": "off",
        "synchronous_commit": "local",
        "server_encoding": "SQL_ASCII",
        "server_version_num": "130022",
    }
    monkeypatch.setattr(checks, "_show", lambda _database, *_names: shown)
    report = look(make_exam(live), "durability")
    assert [line.code for line in report.lines] == [
        "fsync_off",
        "encoding_not_utf8",
        "database_old",
    ]
    assert "stores SQL_ASCII, not UTF-8" in report.lines[1].sentence
    shown |= {"full_page_writes": "on", "server_encoding": "UTF8", "server_version_num": "180004"}
    assert codes(make_exam(live), "durability") == ["ok"]


@pytest.mark.parametrize("database_kind", ["postgresql"])
def test_connections_are_counted_against_what_is_let_in(make_exam, live):
    """The tests' server lets in 400, of which PostgreSQL keeps 3 and we leave 10."""
    assert connections_of(live) == 4 + 2 + 5 + 4 + 4 + 4
    assert only_line(make_exam(live), "connections") == (
        "ok",
        "2 processes open at most 46 connections of 387.",
    )
    many = replace(live, web_workers=15)
    assert only_line(make_exam(many), "connections")[0] == "ok"
    code, sentence = only_line(make_exam(replace(many, web_workers=16)), "connections")
    assert code == "connections_few"
    assert sentence == (
        "17 processes may open 391 connections and PostgreSQL lets in 387: raise max_connections,"
        " or lower WEB_WORKERS, WEB_THREADS or WORKER_THREADS."
    )


@pytest.mark.parametrize("database_kind", ["postgresql"])
def test_a_limit_of_the_database_alone_counts_as_well(on, empty_url, live):
    exam = on(empty_url)
    with exam.work.database.engine.begin() as connection:
        name = connection.exec_driver_sql("SELECT current_database()").scalar()
        connection.exec_driver_sql(f"ALTER DATABASE {name} CONNECTION LIMIT 40")
    assert codes(exam, "connections") == ["connections_few"]


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_sqlite_has_no_connections_to_count(make_exam, live):
    assert codes(make_exam(live), "connections") == ["skipped"]


@pytest.mark.parametrize(
    ("free", "code"),
    [
        (5 * GIGABYTE, "ok"),
        (GIGABYTE, "ok"),
        (GIGABYTE - 1, "disk_low"),
        (100 * 1024**2, "disk_low"),
        (100 * 1024**2 - 1, "disk_full"),
        (0, "disk_full"),
    ],
)
@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_a_disk_that_fills_is_named_once_for_all_that_lies_on_it(
    make_exam, live, monkeypatch, free, code
):
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: Usage(1, 1, free))
    assert codes(make_exam(live), "disk") == [code]


@pytest.mark.parametrize("database_kind", ["postgresql"])
def test_a_shop_that_keeps_nothing_here_has_no_disk(make_exam, live):
    elsewhere = replace(live, queue_url="redis://127.0.0.1/0", media_url="s3://bucket/pictures")
    assert codes(make_exam(elsewhere), "disk") == ["skipped"]
    on_disk = replace(elsewhere, media_url="file:///srv/media")
    assert codes(make_exam(on_disk), "disk") == ["ok"]
