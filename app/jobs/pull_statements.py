"""Safaricom's list of payments, fetched regularly: what no message told of is found there.

It is read in windows of at most 48 hours, each page by page, from a while before the last complete
window ended. Each page whose rows were taken is noted: a window that could not be read to its end
stays open, and the next run goes on in it from there.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import structlog

from app.config import MpesaEnv
from app.jobs.list_pages import ListPages, Piece
from app.jobs.register_c2b import c2b_addresses
from app.jobs.take_lines import Reading, take_lines
from app.jobs.turns import take_turn
from app.jobs.work import Work
from app.models import LineKind, MoneySource, StatementSource
from app.ports import GatewayError, PulledRow
from app.services.paces import move_pace
from app.services.restores import restored_from
from app.services.statements import (
    BEGINNING,
    LATE_ROWS,
    BookLine,
    BrokenOff,
    NewImport,
    Place,
    Span,
    Tally,
    begin_import,
    end_import,
    find_broken_off,
    kind_of_pulled,
    note_place,
    pulled_until,
    receipt_in,
    shop_began,
)
from app.services.statements.doubts import (
    money_is_known,
    report_empty_list,
    report_gap,
    report_unreadable_rows,
)
from app.utils.clock import EAT
from app.utils.failpoints import failpoint

PULL_PACE = "mpesa_pull"
LONGEST_WINDOW = timedelta(hours=48)
REACH = timedelta(hours=47)
"""So far back M-Pesa's list is looked at as one that stays. An hour less than it is kept for: a
place in it that was noted is good for that long.
"""
AGAIN_AFTER_TROUBLE = timedelta(minutes=10)
LEASE_SECONDS = 180.0
LONGEST_ABSENCE = timedelta(days=31)
BATCH = 100

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Window:
    """What became of one window; ``problem`` says why it stays open. ``place`` is where its reading
    begins, which is behind the rows that an earlier one took.
    """

    span: Span
    tally: Tally = field(default_factory=Tally)
    problem: str = ""
    place: Place = BEGINNING

    @property
    def is_complete(self) -> bool:
        return not self.problem


OnPage = Callable[[Window], object]


def pull_when_due(work: Work) -> None:
    """Fetch what is new if it is time and no other worker is at it."""
    if not work.config.can_pull or not take_turn(work, PULL_PACE, LEASE_SECONDS):
        return
    windows = pull_statements(work, on_page=lambda _window: _keep_lease(work))
    pause = timedelta(seconds=work.config.mpesa_pull_every_seconds)
    if not all(window.is_complete for window in windows):
        pause = min(pause, AGAIN_AFTER_TROUBLE)
    with work.database.transaction() as session:
        now = work.now()
        move_pace(session, PULL_PACE, now + pause, now)


def _keep_lease(work: Work) -> None:
    with work.database.transaction() as session:
        move_pace(session, PULL_PACE, work.now() + timedelta(seconds=LEASE_SECONDS), work.now())


def register_for_list(work: Work, msisdn: str) -> None:
    """Ask Safaricom to keep a list of the shortcode's payments; that it does already is fine.

    It wants an address of ours as well. Should it post payments there, they are notices like those
    of the menu. Raises GatewayError.
    """
    work.ports.merchant.register_pull(msisdn, c2b_addresses(work.config).confirmation_url)


def pull_statements(
    work: Work, since: datetime | None = None, on_page: OnPage = lambda _window: None
) -> list[Window]:
    """Fetch the list until so lately that it is believed to be complete, from ``since`` or from
    where the last pull ended or was broken off; where there was none, from the backup that the shop
    was restored from. Answers the windows in order, the last of which may be open.
    """
    windows = []
    for window in _windows(work, since):
        _pull_window(work, window, on_page)
        windows.append(window)
        if not window.is_complete and not _is_out_of_reach(work, window.span):
            break
    return windows


def _windows(work: Work, since: datetime | None) -> Iterator[Window]:
    """One that was broken off is first, and what came late into it belongs to the next one."""
    now = work.now()
    until = now - timedelta(seconds=work.config.mpesa_pull_settling_seconds)
    if since is None:
        since, broken = _what_is_due(work, now)
        if broken is not None:
            yield Window(broken.span, broken.tally, place=broken.place)
            since = max(since, broken.span.until - LATE_ROWS)
    while since < until:
        end = min(since + LONGEST_WINDOW, until)
        edge = now - REACH
        if since < edge < end:
            end = edge
        yield Window(Span(since, end))
        since = end


def _what_is_due(work: Work, now: datetime) -> tuple[datetime, BrokenOff | None]:
    """From when on the list is due, and the reading that ended in the middle of that."""
    with work.database.reading() as session:
        # what came after a backup is lost, also where the list had not been read before it
        last = pulled_until(session) or restored_from(session)
        since = last - LATE_ROWS if last is not None else now - REACH
        since = max(since, now - LONGEST_ABSENCE)
        shortcode = work.config.mpesa_c2b_shortcode
        return since, find_broken_off(session, shortcode, since, now - LONGEST_WINDOW)


def _is_out_of_reach(work: Work, span: Span) -> bool:
    """Safaricom promises its list for 48 hours: what is older may never be shown."""
    return span.until <= work.now() - REACH


def _pull_window(work: Work, window: Window, on_page: OnPage) -> None:
    """Read one window to its end, or as far as it goes."""
    span = window.span
    with work.database.transaction() as session:
        new = NewImport(StatementSource.PULL, span, shortcode=work.config.mpesa_c2b_shortcode)
        started = begin_import(session, new, work.now())
        note_place(session, started.id, window.place, window.tally)
        reading = Reading(started.id, MoneySource.PULL, shop_began(session))
    ask = partial(work.ports.merchant.pull, span.since, span.until)
    try:
        for piece in ListPages(ask, window.place):
            _take_piece(work, reading, window, piece)
            on_page(window)
    except GatewayError as error:
        window.problem = error.message
    _end(work, reading.import_id, window)


def _take_piece(work: Work, reading: Reading, window: Window, piece: Piece) -> None:
    """Take the rows, and note the place behind them.

    Behind a row that could not be read or booked no place is noted: it has to be looked at again.
    """
    tally = window.tally
    if piece.is_anew:
        tally.forget_lines()
        log.warning("list_begun_anew", since=window.span.since, until=window.span.until)
    lines = [_line_of(row, window.span) for row in piece.rows]
    for at in range(0, len(lines), BATCH):
        take_lines(work, reading, lines[at : at + BATCH], tally)
    tally.unreadable += piece.unreadable
    failpoint("before_place_noted")
    if piece.is_anew or (piece.place.receipt and not tally.unreadable and not tally.unbooked):
        with work.database.transaction() as session:
            note_place(session, reading.import_id, piece.place, tally)
    failpoint("after_place_noted")


def _end(work: Work, import_id: int, window: Window) -> None:
    """Close the window if all of it was read; else leave it open, and say why. One that was read to
    its end and has a fault is read anew, together with what came since.
    """
    now = work.now()
    is_read = window.is_complete
    with work.database.transaction() as session:
        if not window.problem:
            if window.tally.unreadable:
                window.problem = f"{window.tally.unreadable} rows could not be read"
                report_unreadable_rows(session, window.span, window.tally.unreadable, now)
            elif window.tally.unbooked:
                window.problem = f"{window.tally.unbooked} payments could not be booked"
            elif not window.tally.lines and money_is_known(session, window.span):
                window.problem = "the list is empty, though payments came"
                simulated = work.config.mpesa_env is MpesaEnv.SIMULATOR
                report_empty_list(session, now, simulated=simulated)
        if is_read and window.problem:
            note_place(session, import_id, BEGINNING, window.tally)
        if window.problem and _is_out_of_reach(work, window.span):
            report_gap(session, window.span, window.problem, now)
        end_import(session, import_id, window.tally, now, is_complete=window.is_complete)
    log.info(
        "statement_pulled",
        since=window.span.since,
        until=window.span.until,
        lines=window.tally.lines,
        fresh=window.tally.fresh,
        recovered=window.tally.recovered,
        unmatched=window.tally.unmatched,
        reversals=window.tally.reversals,
        refunds=window.tally.refunds,
        problem=window.problem,
    )


def _line_of(row: PulledRow, span: Span) -> BookLine:
    """The undoing of a payment names that as its reference; one that does not is kept, and stands
    in the report as a reversal of which we know nothing.
    """
    kind = kind_of_pulled(row.kind, row.amount_cents)
    is_in = kind is LineKind.PAYMENT
    reference = row.bill_reference or None
    is_undoing = kind is LineKind.REVERSAL
    return BookLine(
        receipt=row.receipt,
        kind=kind,
        amount_cents=row.amount_cents if is_in else -abs(row.amount_cents),
        transacted_at=_moment_of(row, span),
        details=row.kind,
        linked_receipt=receipt_in(reference) if is_undoing else None,
        bill_reference=None if is_undoing else reference,
        other_party=" - ".join(part for part in (row.msisdn, row.sender) if part)[:120] or None,
        payer_phone=row.msisdn or None,
        payer_name=row.sender or None,
    )


def _moment_of(row: PulledRow, span: Span) -> datetime:
    """Safaricom was asked for what moved before the window's end: what seems to lie behind it was
    written in Nairobi's time and called UTC.
    """
    if row.transacted_at <= span.until:
        return row.transacted_at
    return row.transacted_at - EAT.utcoffset(None)
