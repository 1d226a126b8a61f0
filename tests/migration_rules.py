"""What a migration may do to a PostgreSQL table that holds rows, read off what it sends.

A statement that takes a table from its readers may not look at its rows, or write them anew. Kinds
of change that nobody has thought about are refused like bad ones. Where a migration knows better,
its module says so: ``LOCKS = {"a piece of the statement": "why nobody waits long for it"}``.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine, event

_SPACES = re.compile(r"\s+")
_NAME = r'"?(?P<table>[a-z_][a-z0-9_.]*)"?'


@dataclass(frozen=True, slots=True)
class Sent:
    """A statement as the database got it, and in which transaction; None: one of its own."""

    sql: str
    transaction: int | None


@contextmanager
def recorded(engine: Engine) -> Iterator[list[Sent]]:
    """Everything that is sent meanwhile."""
    sent: list[Sent] = []
    number = [0]

    def note(connection, _cursor, statement, _parameters, _context, _many):
        options = connection.get_execution_options()
        is_own = options.get("isolation_level") == "AUTOCOMMIT"
        sent.append(Sent(_SPACES.sub(" ", statement).strip(), None if is_own else number[0]))

    def count(_connection):
        number[0] += 1

    event.listen(engine, "before_cursor_execute", note)
    event.listen(engine, "commit", count)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)
        event.remove(engine, "commit", count)


def of_the_migration(sent: Sequence[Sent]) -> list[Sent]:
    """Without what the machinery around it sends: before it is its turn, and its own table."""
    turn = next(at for at, one in enumerate(sent) if one.sql == "SET lock_timeout = '1s'")
    return [one for one in sent[turn:] if "alembic_version" not in one.sql]


def find_hazards(sent: Sequence[Sent], tables: set[str]) -> list[str]:
    """What would keep people waiting on ``tables``, those that were there before: a sentence each,
    with the statement behind it.
    """
    hazards = []
    for at, statement in enumerate(sent):
        before = [*sent[:at]]
        reason = _reason(statement, before, tables)
        if reason is not None:
            hazards.append(f"{reason} | {statement.sql}")
    return hazards


def _reason(statement: Sent, before: Sequence[Sent], tables: set[str]) -> str | None:
    if _LOOKS_AT_ROWS.match(statement.sql) and (held := _held(statement, before, tables)):
        return f"it takes its time while {held} is kept from its readers"
    for pattern, judge in _JUDGES:
        match = re.match(pattern, statement.sql, re.IGNORECASE)
        if match is None:
            continue
        table = match.groupdict().get("table")
        if table is not None and table.lower() not in tables:
            return None  # this migration made it: nobody uses it yet
        return judge(statement, before, match)
    return None


def _held(statement: Sent, before: Sequence[Sent], tables: set[str]) -> str | None:
    """A table of others' that this transaction has for itself by now."""
    if statement.transaction is None:
        return None
    for one in before:
        taken = _TAKES_ALL.match(one.sql)
        is_ours = one.transaction == statement.transaction
        if taken and is_ours and taken["table"].lower() in tables:
            return taken["table"]
    return None


def _index(statement: Sent, _before: Sequence[Sent], match: re.Match[str]) -> str | None:
    if match["beside"]:
        return None
    return "it keeps writers out while it reads the table: create_index() does it beside them"


def _drop_index(_statement: Sent, _before: Sequence[Sent], match: re.Match[str]) -> str | None:
    return None if match["beside"] else "drop_index() does it beside everybody"


def _update(statement: Sent, _before: Sequence[Sent], _match: re.Match[str]) -> str | None:
    is_batch = re.search(r"\bid <= ", statement.sql) is not None
    if statement.transaction is None and is_batch:
        return None
    return "it holds every row that it writes until the migration ends: fill() goes in batches"


def _goes(_statement: Sent, _before: Sequence[Sent], _match: re.Match[str]) -> str:
    return "the version that still runs needs what it takes away"


def _whole(_statement: Sent, _before: Sequence[Sent], _match: re.Match[str]) -> str:
    return "it takes the table for as long as it needs"


def _timeout(statement: Sent, _before: Sequence[Sent], match: re.Match[str]) -> str | None:
    if match["value"] == "1s" or (match["value"] == "0" and statement.transaction is None):
        return None
    return "everybody waits behind who waits for a lock: a second is the most"


def _alter(statement: Sent, before: Sequence[Sent], match: re.Match[str]) -> str | None:
    for action in _split(match["actions"]):
        for pattern, judge in _ACTIONS:
            if found := re.match(pattern, action, re.IGNORECASE):
                reason = judge(statement, before, found) if judge else None
                break
        else:
            reason = "nobody has thought about this kind of change yet"
        if reason is not None:
            return reason
    return None


def _split(actions: str) -> list[str]:
    """The actions of one ALTER TABLE: at commas outside of brackets and quotes."""
    parts, depth, start, is_quoted = [], 0, 0, False
    for at, letter in enumerate(actions):
        is_quoted ^= letter == "'"
        depth += 0 if is_quoted else {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0 and not is_quoted:
            parts.append(actions[start:at].strip())
            start = at + 1
    return [*parts, actions[start:].strip()]


def _add_column(_statement: Sent, _before: Sequence[Sent], match: re.Match[str]) -> str | None:
    rest = match["rest"]
    default = re.search(r"\bDEFAULT (?P<value>'[^']*'|[^ ]+)(?P<call>\()?", rest, re.IGNORECASE)
    if default is None and re.search(r"\bNOT NULL\b", rest, re.IGNORECASE):
        return "the rows that are there have no value for it"
    is_quoted = default is not None and default["value"].startswith("'")
    if default is not None and not is_quoted and ("(" in default["value"] or default["call"]):
        return "its default is worked out for each row, which is written anew"
    if re.search(r"\b(CURRENT_\w+|GENERATED|SERIAL|BIGSERIAL)\b", rest, re.IGNORECASE):
        return "its value is worked out for each row, which is written anew"
    if re.search(r"\b(REFERENCES|UNIQUE|PRIMARY KEY|CHECK)\b", rest, re.IGNORECASE):
        return "a rule is added apart from its column: add_reference(), add_check(), create_index()"
    return None


def _add_constraint(_statement: Sent, _before: Sequence[Sent], match: re.Match[str]) -> str | None:
    rest = match["rest"]
    if re.match(r"(UNIQUE|PRIMARY KEY) USING INDEX", rest, re.IGNORECASE):
        return None
    if re.match(r"(CHECK|FOREIGN KEY)", rest, re.IGNORECASE) and rest.endswith("NOT VALID"):
        return None
    return "it looks through the table while it holds it: NOT VALID first, then VALIDATE"


def _set_not_null(statement: Sent, before: Sequence[Sent], match: re.Match[str]) -> str | None:
    column = match["column"]
    rule = re.compile(rf'CHECK \("?{column}"? IS NOT NULL\)', re.IGNORECASE)
    made = any(rule.search(one.sql) for one in before)
    looked = any(" VALIDATE CONSTRAINT " in one.sql.upper() for one in before)
    if made and looked:
        return None
    return "it looks through the table while it holds it: require_value() does not"


_LOOKS_AT_ROWS = re.compile(
    r"INSERT INTO .* SELECT |UPDATE |DELETE FROM |ANALYZE|CREATE (UNIQUE )?INDEX |"
    r"CREATE TABLE .* AS |ALTER TABLE .* VALIDATE CONSTRAINT",
    re.IGNORECASE,
)
_TAKES_ALL = re.compile(
    r"(ALTER TABLE (IF EXISTS )?(ONLY )?|DROP TRIGGER (IF EXISTS )?\S+ ON |DROP TABLE )" + _NAME,
    re.IGNORECASE,
)
_COLUMN = r'"?(?P<column>\w+)"?'
_ACTIONS = (
    (r"ADD CONSTRAINT \S+ (?P<rest>.*)", _add_constraint),
    (r"ADD (CHECK|FOREIGN KEY|UNIQUE|PRIMARY KEY|EXCLUDE)\b", _whole),
    (r"ADD (COLUMN )?(IF NOT EXISTS )?\S+ (?P<rest>.*)", _add_column),
    (r"VALIDATE CONSTRAINT", None),
    (r"DROP CONSTRAINT", None),
    (rf"ALTER (COLUMN )?{_COLUMN} SET NOT NULL", _set_not_null),
    (rf"ALTER (COLUMN )?{_COLUMN} (DROP NOT NULL|SET DEFAULT|DROP DEFAULT|SET STATISTICS)", None),
    (rf"ALTER (COLUMN )?{_COLUMN} (SET DATA )?TYPE", _whole),
    (r"DROP (COLUMN )?", _goes),
    (r"RENAME", _goes),
    (r"(ENABLE|DISABLE) (ALWAYS |REPLICA )?TRIGGER", None),
    (r"SET \(", None),
)
_JUDGES = (
    (
        r"CREATE (UNIQUE )?INDEX (?P<beside>CONCURRENTLY )?(IF NOT EXISTS )?\S+ ON (ONLY )?"
        + _NAME,
        _index,
    ),
    (r"DROP INDEX (?P<beside>CONCURRENTLY )?", _drop_index),
    (r"UPDATE (ONLY )?" + _NAME, _update),
    (r"DELETE FROM (ONLY )?" + _NAME, _update),
    (r"(DROP TABLE (IF EXISTS )?|TRUNCATE (TABLE )?)" + _NAME, _goes),
    (r"(LOCK (TABLE )?|CLUSTER |VACUUM FULL |REINDEX (TABLE|INDEX) )" + _NAME, _whole),
    (r"REFRESH MATERIALIZED VIEW (?!CONCURRENTLY)", _whole),
    (r"SET (LOCAL |SESSION )?lock_timeout (=|TO) '?(?P<value>\w+)'?", _timeout),
    (r"ALTER TABLE (IF EXISTS )?(ONLY )?" + _NAME + r" (?P<actions>.*)", _alter),
)
