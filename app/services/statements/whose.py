"""Whether a statement is of the shop's own number and account, and which time it covers."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.errors import InvalidInput
from app.services.statements.imports import Span
from app.services.statements.lines import BookLine
from app.services.statements.preamble import Preamble

_HOLDS_PAYMENTS = re.compile(r"\butility\b|\bmerchant\b", re.IGNORECASE)
_OTHER_ACCOUNTS = re.compile(
    r"\bworking\b|\bmmf\b|\bm-?pesa\b|\bsettlement\b|\bcharges?\b|\bfloat\b|\bairtime\b|\bloan\b"
    r"|\bsavings?\b",
    re.IGNORECASE,
)
_A_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Numbers:
    """The shop's numbers at M-Pesa: those that customers pay to, and the one that pays out."""

    paid: frozenset[str]
    payout: str | None

    @property
    def payout_apart(self) -> str | None:
        """The number that pays out, where its books are not those of the payments."""
        return self.payout if self.payout not in self.paid else None


def require_ours(preamble: Preamble, numbers: Numbers) -> None:
    """Raises InvalidInput for another business's statement, or one of an account that shows no
    customer's payment.
    """
    own = numbers.paid | ({numbers.payout} if numbers.payout else set())
    if preamble.shortcode is not None and preamble.shortcode not in own:
        raise _refusal(
            "statement_of_another",
            "This is the statement of another shortcode than those of this shop.",
        )
    account = preamble.account or ""
    if _OTHER_ACCOUNTS.search(account) and not _HOLDS_PAYMENTS.search(account):
        raise _refusal(
            "statement_of_other_account",
            "This account shows no payments of customers. Export the statement of the Utility"
            " Account (paybill) or of the Merchant Account (till).",
        )


def span_of(preamble: Preamble, lines: Iterable[BookLine], now: datetime) -> Span:
    """What a statement covers: the period that it names, no later than when it was made; or else
    from its first line to its last. Raises InvalidInput where it covers nothing.
    """
    if preamble.since is not None and preamble.until is not None:
        made_at = min(preamble.reported_at or now, now)
        span = Span(preamble.since, min(preamble.until, made_at))
    else:
        span = _extent_of(lines, now)
    if span.since >= span.until:
        raise _refusal("statement_covers_nothing", "The statement has no line and no period.")
    return span


def _extent_of(lines: Iterable[BookLine], now: datetime) -> Span:
    since, until = now, now
    is_first = True
    for line in lines:
        moment = line.transacted_at
        if is_first:
            since, until, is_first = moment, moment, False
        since, until = min(since, moment), max(until, moment)
    return Span(since, now if is_first else until + _A_SECOND)


def _refusal(code: str, sentence: str) -> InvalidInput:
    return InvalidInput.field("file", sentence, code=code)
