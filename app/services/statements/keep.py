"""Lines of M-Pesa's books as rows, each once; and which of them the shop does not know yet."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.models import LineKind, MpesaReceipt, ReceiptState, StatementLine
from app.services.receipts import ReceiptFacts
from app.services.statements.lines import BookLine

_KEY = ("receipt", "details", "amount_cents")


def keep_lines(session: Session, import_id: int, lines: Iterable[BookLine], now: datetime) -> int:
    """Keep those that no reading has shown before; answers how many these are.

    In one order whoever does it, so that two that keep the same lines never wait for each other.
    """
    by_key = {line.key: line for line in lines}
    if not by_key:
        return 0
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    statement = (
        dialect.insert(StatementLine)
        .values([_row_of(by_key[key], import_id, now) for key in sorted(by_key)])
        .on_conflict_do_nothing(index_elements=list(_KEY))
        .returning(StatementLine.id)
    )
    return len(session.execute(statement).all())


def lines_to_receive(session: Session, lines: Sequence[BookLine]) -> list[BookLine]:
    """Money that people paid and that the register lacks, or knows otherwise: the ones to count.

    The register alone decides, so that a line whose reading died half-way is counted by the next.
    """
    paid = [line for line in lines if line.kind is LineKind.PAYMENT and line.amount_cents > 0]
    found = session.scalars(
        select(MpesaReceipt).where(MpesaReceipt.receipt.in_({line.receipt for line in paid}))
    )
    known = {row.receipt: row for row in found}
    return [line for line in paid if _is_news(line, known.get(line.receipt))]


def find_undone(session: Session, lines: Sequence[BookLine]) -> frozenset[str]:
    """The receipts among these whose whole money M-Pesa's books show as taken back again."""
    found = session.execute(
        select(StatementLine.linked_receipt, StatementLine.amount_cents).where(
            StatementLine.kind == LineKind.REVERSAL,
            StatementLine.linked_receipt.in_({line.receipt for line in lines}),
        )
    )
    taken = {(receipt, -cents) for receipt, cents in found}
    return frozenset(line.receipt for line in lines if (line.receipt, line.amount_cents) in taken)


def _is_news(line: BookLine, row: MpesaReceipt | None) -> bool:
    if row is None or row.amount_cents != line.amount_cents:
        return True
    return row.state == ReceiptState.UNMATCHED or row.transacted_at is None


def facts_of(line: BookLine, source: str) -> ReceiptFacts:
    return ReceiptFacts(
        receipt=line.receipt,
        amount_cents=line.amount_cents,
        source=source,
        bill_reference=line.bill_reference,
        transacted_at=line.transacted_at,
        payer_phone=line.payer_phone,
        payer_name=line.payer_name,
    )


def _row_of(line: BookLine, import_id: int, now: datetime) -> dict[str, object]:
    return {
        "import_id": import_id,
        "receipt": line.receipt,
        "linked_receipt": line.linked_receipt,
        "kind": line.kind,
        "amount_cents": line.amount_cents,
        "transacted_at": line.transacted_at,
        "details": line.details,
        "bill_reference": line.bill_reference,
        "other_party": line.other_party,
        "created_at": now,
    }
