"""Where limits are counted and pictures lie, and who can sign in."""

import time
from collections.abc import Iterator
from secrets import token_hex

from limits.errors import StorageError
from sqlalchemy.exc import SQLAlchemyError

from app.cli.demo.people import ACCOUNTS_FILE, DEMO_DOMAIN
from app.cli.doctor.exam import Check, Exam, Group
from app.cli.doctor.findings import Finding, Level, fault, fine, skipped, warning
from app.controllers.rate_counters import DatabaseCounters
from app.ports import FileStoreError
from app.services.users import has_admin, list_usernames_at
from app.utils.limiter import Counters, RedisCounters

LIMITS_ALONE = fault(
    "limits_alone",
    "RATE_LIMIT_STORAGE_URL=memory:// counts in each process alone and forgets at every restart:"
    " use database:// or redis://.",
    cause="Each process of the web server has counts of its own, so a guesser of passwords gets as"
    " many tries as there are processes.",
    cure="Remove the setting: `database://` is the default.",
    elsewhere=Level.WARNING,
)
LIMITS_OFF = warning(
    "limits_off",
    "RATE_LIMITS_ENABLED is off: anybody may guess passwords and ring phones without end; switch"
    " it on.",
    cause="Limits were switched off, as one does for a test of load.",
    cure="Remove the setting.",
)
LIMITS_UNREACHABLE = fault(
    "limits_unreachable",
    "The store of limits does not answer ({reason}): mend RATE_LIMIT_STORAGE_URL or start Redis;"
    " until then each process counts alone.",
    cause="Redis is down, or the address or its password is wrong.",
    cure="Try `redis-cli -u …` with the same address.",
)
LIMITS_FORGOTTEN = fault(
    "limits_forgotten",
    "The store of limits forgot a count at once: give it a Redis that evicts nothing"
    " (maxmemory-policy noeviction) and is one, not several behind one address.",
    cause="What one connection counted another does not find.",
    cure="Use one Redis, or `database://`.",
)
FILES_UNWRITABLE = fault(
    "files_unwritable",
    "Pictures cannot be stored at MEDIA_URL ({reason}): mend the folder's permissions, or the"
    " bucket's address and keys.",
    cause="The folder belongs to another user, or the bucket refuses or does not answer.",
    cure="Let the user that the shop runs as write the folder. For a bucket, try the same keys"
    " with another client.",
)
FILES_IN_MEMORY = fault(
    "files_in_memory",
    "MEDIA_URL=memory:// forgets every picture at the next restart: use a folder or s3://.",
    cause="A setting for tests.",
    cure="Remove the setting: `instance/media` is the default.",
    elsewhere=Level.WARNING,
)
ADMIN_MISSING = fault(
    "admin_missing",
    "Nobody can enter the office as an admin: make one with python manage.py users create NAME"
    " ADDRESS --role admin.",
    cause="There is no admin, or all of them are suspended.",
    cure="The command asks for the password. `users promote` gives the role to who is there.",
)
DEMO_ACCOUNTS = fault(
    "demo_accounts",
    "Accounts of the demo shop are in this database ({names}): suspend them in the office, or"
    " start with a new database.",
    cause="The database was filled by `make run` or `seed --demo`, and its passwords lie in a"
    " file.",
    cure="Going live, begin with an empty database: the demo's orders and payments are made up as"
    " well.",
)
DEMO_FILE = fault(
    "demo_file",
    "{file} still holds passwords in plain text: delete it.",
    cause="The file in which the demo shop keeps its accounts was left behind.",
    cure="`rm` it, when the accounts are suspended.",
)

_WINDOW_SECONDS = 60
_NONCE_BYTES = 16


def look_at_limits(exam: Exam) -> Iterator[Finding]:
    config = exam.config
    if not config.rate_limits_enabled:
        yield LIMITS_OFF.found()
    url = config.rate_limit_storage_url
    if url.startswith("memory"):
        yield LIMITS_ALONE.found()
    elif url.startswith("database") and not exam.is_sound("migrations"):
        yield skipped("limits are counted in the database, which has to be mended first.")
    else:
        yield from _count_twice(exam, url)


def _count_twice(exam: Exam, url: str) -> Iterator[Finding]:
    """Over two connections: what one counts the other has to find."""
    key = f"doctor:{token_hex(_NONCE_BYTES)}"
    try:
        _open(exam, url).add(key, 1, _WINDOW_SECONDS)
        found = _open(exam, url).look(key)
    except (StorageError, SQLAlchemyError, ValueError) as error:
        yield LIMITS_UNREACHABLE.found(reason=exam.quote(error))
        return
    if found is None or found.hits != 1:
        yield LIMITS_FORGOTTEN.found()
    else:
        yield fine("Limits are counted where all processes see them.")


def _open(exam: Exam, url: str) -> Counters:
    if url.startswith("database"):
        return DatabaseCounters(lambda: exam.work.database, time.time)
    return RedisCounters(url)


def look_at_files(exam: Exam) -> Iterator[Finding]:
    if exam.config.media_url.startswith("memory:"):
        yield FILES_IN_MEMORY.found()
        return
    try:
        exam.work.ports.files.check()
    except FileStoreError as error:
        yield FILES_UNWRITABLE.found(reason=exam.quote(error))
    else:
        yield fine("Pictures can be stored.")


def look_at_accounts(exam: Exam) -> Iterator[Finding]:
    with exam.work.database.reading() as session:
        admin, demo = has_admin(session), list_usernames_at(session, DEMO_DOMAIN)
    if not admin:
        yield ADMIN_MISSING.found()
    if exam.config.is_production and demo:
        yield DEMO_ACCOUNTS.found(names=", ".join(demo))
    if exam.config.is_production and ACCOUNTS_FILE.exists():
        yield DEMO_FILE.found(file=ACCOUNTS_FILE)
    if admin:
        yield fine("An admin can sign in.")


CHECKS = (
    Check(
        "limits",
        Group.STORES,
        "whether limits are counted for all processes together",
        look_at_limits,
        kinds=(LIMITS_ALONE, LIMITS_OFF, LIMITS_UNREACHABLE, LIMITS_FORGOTTEN),
        after=("migrations",),
    ),
    Check(
        "files",
        Group.STORES,
        "whether pictures can be stored",
        look_at_files,
        kinds=(FILES_UNWRITABLE, FILES_IN_MEMORY),
        limit_seconds=30,
    ),
    Check(
        "accounts",
        Group.STORES,
        "whether there is an admin, and nobody of the demo shop",
        look_at_accounts,
        kinds=(ADMIN_MISSING, DEMO_ACCOUNTS, DEMO_FILE),
        needs=("migrations",),
    ),
)
