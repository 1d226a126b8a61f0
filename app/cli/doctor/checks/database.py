"""The database: there, of the right shape, and keeping what it was given."""

import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app import schema_migrations
from app.cli.doctor.exam import Check, Exam, Group
from app.cli.doctor.findings import Finding, fault, fine, skipped, warning
from app.db import Database
from app.jobs.build import connections_of

UNREACHABLE = fault(
    "database_unreachable",
    "The database does not answer ({reason}): check DATABASE_URL, and that the server runs and"
    " lets this machine in.",
    cause="No connection: a wrong host, port, name, user or password; a server that is down; a"
    " firewall; or a SQLite file that cannot be opened.",
    cure="Try the same address with `psql`. A password with special characters has to be"
    " percent-encoded in DATABASE_URL.",
)
READ_ONLY = fault(
    "database_read_only",
    "The database can only be read ({reason}): point DATABASE_URL at the one that is written to,"
    " or mend the permissions.",
    cause="The address leads to a standby server, the role may only read, or the SQLite file or"
    " its folder belongs to another user.",
    cure="Use the primary's address. SQLite writes beside its file as well, so the folder must be"
    " writable too.",
)
MISSING = fault(
    "migrations_missing",
    "The database has no tables yet: run python manage.py db upgrade.",
    cause="Nobody has made the tables, or DATABASE_URL names another database than you think.",
    cure="`python manage.py db upgrade`, before the web server and the worker start.",
)
BEHIND = fault(
    "migrations_behind",
    "The database is at {current} and the code expects {head}: run python manage.py db upgrade.",
    cause="The code was updated and the database was not.",
    cure="`python manage.py db upgrade`. Make a backup before.",
)
AHEAD = fault(
    "migrations_ahead",
    "The database is at {current}, which this code does not know: run the code that made it, or"
    " restore the database that belongs to this code.",
    cause="An older version of the code runs on a database that a newer one has migrated.",
    cure="Deploy the newer code again. To go back for good, run its `python manage.py db"
    " downgrade` first.",
)
FSYNC_OFF = fault(
    "fsync_off",
    "PostgreSQL has fsync or full_page_writes switched off: a power cut can destroy the whole"
    " database; switch both on.",
    cause="Somebody traded safety for speed, as one does for tests.",
    cure="`ALTER SYSTEM SET fsync = on; ALTER SYSTEM SET full_page_writes = on;`, then reload.",
)
NOT_DURABLE = fault(
    "commit_not_durable",
    "PostgreSQL answers before it has written (synchronous_commit is off): a crash forgets"
    " payments that Safaricom was told are safe; set it to on.",
    cause="`synchronous_commit = off` for the server, the database or the role.",
    cure="`ALTER SYSTEM SET synchronous_commit = on;` and look at `ALTER ROLE … SET` and `ALTER"
    " DATABASE … SET` as well.",
)
NOT_UTF8 = fault(
    "encoding_not_utf8",
    "The database stores {encoding}, not UTF-8: names with letters beyond it are refused; make it"
    " anew with ENCODING 'UTF8'.",
    cause="The database was created with another encoding, which cannot be changed later.",
    cure="Dump it, `CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0`, and restore.",
)
OLD = warning(
    "database_old",
    "{version} is older than what Sokoni is tested with: move to PostgreSQL 14 or newer.",
    cause="The server's version gets no more security updates, or soon none.",
    cure="Upgrade PostgreSQL.",
)
SQLITE_LIVE = warning(
    "sqlite_in_production",
    "Production runs on SQLite, which serves one machine and one writer at a time: use"
    " PostgreSQL before the shop grows.",
    cause="DATABASE_URL names a SQLite file.",
    cure="It is sound for a shop that begins, with backups. Beyond that:"
    " `DATABASE_URL=postgresql://…`.",
)
FEW_CONNECTIONS = warning(
    "connections_few",
    "{processes} processes may open {wanted} connections and PostgreSQL lets in {allowed}: raise"
    " max_connections, or lower WEB_WORKERS, WEB_THREADS or WORKER_THREADS.",
    cause="Each process of the web server, and each worker, keeps a connection for every thread"
    " and opens some more under load; ten are left for backups and people.",
    cure="Raise `max_connections` (and the role's CONNECTION LIMIT). One web server and one worker"
    " are counted; more of them need more. A pooler that gives each transaction another connection"
    " is no way out: the shop's limits and prepared statements belong to its connections.",
)

_OLDEST_POSTGRES = 140_000
_LEFT_FOR_OTHERS = 10


def look_at_database(exam: Exam) -> Iterator[Finding]:
    database = exam.work.database
    if _is_absent(database):
        yield fine("There is no SQLite file yet; the migrations make it.")
        return
    if not database.can_be_written():
        yield READ_ONLY.found(reason="the file or its folder belongs to another user")
        return
    began = time.monotonic()
    try:
        reason, version = _why_read_only(database), _version(database)
    except SQLAlchemyError as error:
        yield UNREACHABLE.found(reason=exam.quote(_reason(error)))
        return
    milliseconds = (time.monotonic() - began) * 1000
    if reason is not None:
        yield READ_ONLY.found(reason=reason)
    else:
        yield fine(f"{version} answers, in {milliseconds:.0f} ms.")


def look_at_migrations(exam: Exam) -> Iterator[Finding]:
    database = exam.work.database
    head = schema_migrations.head_revision()
    current = None if _is_absent(database) else schema_migrations.current_revision(database)
    if current is None:
        yield MISSING.found()
    elif current == head:
        yield fine(f"The tables are as the code expects them ({head}).")
    elif schema_migrations.is_known(current):
        yield BEHIND.found(current=current, head=head)
    else:
        yield AHEAD.found(current=current)


def look_at_durability(exam: Exam) -> Iterator[Finding]:
    database = exam.work.database
    if database.is_sqlite:
        if exam.config.is_production:
            yield SQLITE_LIVE.found()
        yield fine("SQLite writes to the disk before it answers.")
        return
    shown = _show(
        database,
        *("fsync", "full_page_writes", "synchronous_commit", "server_encoding"),
        "server_version_num",
    )
    found = []
    if "off" in {shown["fsync"], shown["full_page_writes"]}:
        found.append(FSYNC_OFF.found())
    if shown["synchronous_commit"] == "off":
        found.append(NOT_DURABLE.found())
    if shown["server_encoding"] != "UTF8":
        found.append(NOT_UTF8.found(encoding=shown["server_encoding"]))
    if int(shown["server_version_num"]) < _OLDEST_POSTGRES:
        found.append(OLD.found(version=_version(database)))
    yield from found or [fine("What is committed is on the disk, in UTF-8.")]


def look_at_connections(exam: Exam) -> Iterator[Finding]:
    database = exam.work.database
    if database.is_sqlite:
        yield skipped("SQLite has no limit of connections.")
        return
    processes = exam.config.web_workers + 1
    wanted = processes * connections_of(exam.config)
    allowed = _allowed_connections(database) - _LEFT_FOR_OTHERS
    if wanted >= allowed:
        yield FEW_CONNECTIONS.found(processes=processes, wanted=wanted, allowed=allowed)
    else:
        yield fine(f"{processes} processes open at most {wanted} connections of {allowed}.")


def _is_absent(database: Database) -> bool:
    """Looking into a SQLite file that is not there would make one."""
    file = database.url.database or ":memory:"
    return database.is_sqlite and file != ":memory:" and not Path(file).exists()


def _why_read_only(database: Database) -> str | None:
    """Why nothing can be written, or None. Raises SQLAlchemyError for what does not answer."""
    with database.reading() as session:
        if database.is_sqlite:
            session.execute(text("PRAGMA schema_version"))
            return None
        if session.scalar(text("SELECT pg_is_in_recovery()")):
            return "it is a standby"
        rule = session.scalar(text("SHOW default_transaction_read_only"))
        return "transactions are read only by default" if rule == "on" else None


def _allowed_connections(database: Database) -> int:
    """The least of what the server, the database and the role let in; ours alone are counted."""
    with database.reading() as session:
        server: int = session.scalars(
            text(
                "SELECT current_setting('max_connections')::int"
                " - current_setting('superuser_reserved_connections')::int"
            )
        ).one()
        limits = session.execute(
            text(
                "SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user UNION ALL"
                " SELECT datconnlimit FROM pg_database WHERE datname = current_database()"
            )
        ).scalars()
        return min([server, *[int(limit) for limit in limits if limit >= 0]])


def _show(database: Database, *names: str) -> dict[str, str]:
    with database.reading() as session:
        return {name: str(session.scalar(text(f"SHOW {name}"))) for name in names}


def _version(database: Database) -> str:
    with database.reading() as session:
        if database.is_sqlite:
            return f"SQLite {session.scalar(text('SELECT sqlite_version()'))}"
        return f"PostgreSQL {str(session.scalar(text('SHOW server_version'))).split()[0]}"


def _reason(error: SQLAlchemyError) -> str:
    original = getattr(error, "orig", None)
    return str(original or error).strip().partition("\n")[0]


CHECKS = (
    Check(
        "database",
        Group.DATABASE,
        "whether it answers and can be written",
        look_at_database,
        kinds=(UNREACHABLE, READ_ONLY),
        limit_seconds=20,
    ),
    Check(
        "migrations",
        Group.DATABASE,
        "whether its tables are those that the code expects",
        look_at_migrations,
        kinds=(MISSING, BEHIND, AHEAD),
        needs=("database",),
    ),
    Check(
        "durability",
        Group.DATABASE,
        "whether a power cut forgets what was committed; encoding and version",
        look_at_durability,
        kinds=(FSYNC_OFF, NOT_DURABLE, NOT_UTF8, OLD, SQLITE_LIVE),
        needs=("database",),
    ),
    Check(
        "connections",
        Group.DATABASE,
        "whether all processes together get their connections",
        look_at_connections,
        kinds=(FEW_CONNECTIONS,),
        needs=("database",),
    ),
)
