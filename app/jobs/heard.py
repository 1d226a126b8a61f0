"""What became of a message that was read, and who acts on answers to requests."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.integrations.mpesa import ApiResult
from app.jobs.work import Work
from app.models import MpesaRequest


@dataclass(frozen=True, slots=True)
class Heard:
    """``outcome`` in a word, for the inbox; ``then`` is done once that is committed."""

    outcome: str
    then: Callable[[Work], None] | None = None


@dataclass(frozen=True, slots=True)
class Listener:
    """Who acts on the answers to one kind of request, in the transaction that reads them.

    ``lock`` locks what the request is about, before the request itself is locked. ``heard`` acts on
    a result: the first, or another than before. ``silenced`` is told why there is none that counts:
    given up by M-Pesa, unreadable, or not fitting.
    """

    lock: Callable[[Session, MpesaRequest], None]
    heard: Callable[[Session, Work, MpesaRequest, ApiResult], Heard]
    silenced: Callable[[Session, Work, MpesaRequest, str], Heard]
