"""Where a page of ranked results ends, as a word that clients hand back."""

import base64
import hashlib
import json
from dataclasses import astuple, replace
from typing import NamedTuple

from app.errors import InvalidInput
from app.services.search.values import SearchAsk

_LONGEST_CURSOR = 200


class Place(NamedTuple):
    """In ascending order the best come first; of equals products before tasks, the newest first."""

    worse_by: int
    kind: int
    newest_first: int


def write_cursor(ask: SearchAsk, place: Place) -> str:
    document = json.dumps([_fingerprint(ask), *place], separators=(",", ":"))
    return base64.urlsafe_b64encode(document.encode()).rstrip(b"=").decode()


def read_cursor(ask: SearchAsk) -> Place | None:
    """Raises InvalidInput for a cursor that is not ours, or belongs to another query."""
    if ask.cursor is None:
        return None
    try:
        return _decoded(ask.cursor, _fingerprint(ask))
    except (ValueError, TypeError, RecursionError):
        raise InvalidInput.field(
            "cursor", "This cursor does not belong to this search. Start again without one."
        ) from None


def _decoded(cursor: str, fingerprint: str) -> Place:
    if len(cursor) > _LONGEST_CURSOR:
        raise ValueError("too long")
    padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
    known, *numbers = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    if known != fingerprint or any(type(number) is not int for number in numbers):
        raise ValueError("another search")
    return Place(*numbers)


def _fingerprint(ask: SearchAsk) -> str:
    """What was asked, whichever page of it."""
    asked = json.dumps(astuple(replace(ask, cursor=None, limit=0, include_total=False)))
    return hashlib.sha256(asked.encode()).hexdigest()[:16]
