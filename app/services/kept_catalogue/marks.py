"""What was changed in the catalogue since somebody last looked, as its marks say.

Triggers write them, in the transaction of each change: migrations/versions/0020.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.asking import Asking
from app.db import Database

MOST_PRODUCTS = 1000
"""When more have changed, it is quicker to forget everything."""

# The snapshot says which transactions a statement sees. What was marked by one that the last look
# did not see, and that this one does, has changed in between: also by a long transaction that is
# older than the last look. Marks beyond the newest transaction came with a dump of another server.
_POSTGRESQL = f"""
SELECT pg_current_snapshot()::text,
    pg_postmaster_start_time()::text || ' ' || 'catalogue_marks'::regclass::oid,
    ARRAY(
        SELECT CASE WHEN pg_visible_in_snapshot(moved_by::text::xid8, %(since)s::pg_snapshot)
            THEN product_id ELSE 0 END
        FROM catalogue_marks
        WHERE changed_by >= pg_snapshot_xmin(%(since)s::pg_snapshot)::text::bigint
            AND changed_by < pg_snapshot_xmax(pg_current_snapshot())::text::bigint
            AND NOT pg_visible_in_snapshot(changed_by::text::xid8, %(since)s::pg_snapshot)
        ORDER BY changed_by LIMIT {MOST_PRODUCTS + 1}
    )
"""  # noqa: S608 - a number of ours
_SQLITE = (
    "SELECT CASE WHEN moved_by > :since THEN 0 ELSE product_id END, changed_by FROM catalogue_marks"  # noqa: S608 - a number of ours
    f" WHERE changed_by > :since ORDER BY changed_by LIMIT {MOST_PRODUCTS + 1}"
)
_SQLITE_NEWEST = "SELECT coalesce(max(changed_by), 0) FROM catalogue_marks"
_NOTHING_SEEN = "1:1:"
_ONE_FILE = "file"


class Place(NamedTuple):
    """Up to where the marks were read. It is good for one run of one server."""

    server: str
    position: str | int


@dataclass(frozen=True, slots=True)
class Changes:
    """Between two looks. ``products`` show something else now, in the lists where they were; by
    ``everything`` lists may have changed as well.
    """

    place: Place
    products: frozenset[int] = frozenset()
    everything: bool = False


def read_changes(database: Database, since: Place | None) -> Changes:
    """What was committed since then, and before this was called, at the least.

    Without a ``since``, and where the server is another one or was out of reach, it is everything.
    """
    read = _read_sqlite if database.is_sqlite else _read_postgresql
    return read(database.asking, since)


def _read_postgresql(asking: Asking, since: Place | None) -> Changes:
    position = since.position if since else _NOTHING_SEEN
    ((snapshot, server, products),) = asking.rows(_POSTGRESQL, {"since": position})
    return _changes(Place(f"{server} {asking.lost}", snapshot), products, since)


def _read_sqlite(asking: Asking, since: Place | None) -> Changes:
    rows = asking.rows(_SQLITE, {"since": since.position if since else 0})
    products = [product_id for product_id, _mark in rows]
    if since is not None and len(rows) <= MOST_PRODUCTS:
        return _changes(Place(_ONE_FILE, rows[-1][1] if rows else since.position), products, since)
    ((newest,),) = asking.rows(_SQLITE_NEWEST, {})
    return Changes(Place(_ONE_FILE, newest), everything=True)


def _changes(place: Place, products: Sequence[int], since: Place | None) -> Changes:
    if since is None or since.server != place.server:
        return Changes(place, everything=True)
    if not products:
        return Changes(place)
    everything = 0 in products or len(products) > MOST_PRODUCTS
    return Changes(place, frozenset(products), everything)
