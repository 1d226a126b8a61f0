"""By which way money goes back."""

from app.errors import Conflict, InvalidInput
from app.models import RefundKind
from app.services.refunds.values import RefundRules
from app.utils.money import CENTS_PER_SHILLING, cents_to_wire


def choose_kind(
    wanted: RefundKind | None,
    rules: RefundRules,
    *,
    is_whole: bool,
    amount_cents: int,
    msisdn: str | None,
) -> RefundKind:
    """The way that was asked for, or the surest that there is; by hand always works.

    A reversal takes the very payment back and can never happen twice, so it comes first where all
    of it goes back at once. Raises Conflict or InvalidInput for a way that cannot be gone.
    """
    refusals = {
        RefundKind.REVERSAL: _refuse_reversal(rules, is_whole=is_whole),
        RefundKind.PAYOUT: _refuse_payout(rules, amount_cents, msisdn),
        RefundKind.BY_HAND: None,
    }
    if wanted is None:
        return next(kind for kind, refusal in refusals.items() if refusal is None)
    refusal = refusals[wanted]
    if refusal is not None:
        raise refusal
    return wanted


def _refuse_reversal(rules: RefundRules, *, is_whole: bool) -> Conflict | None:
    if not rules.can_reverse:
        return _not_set_up("Reversals")
    if not is_whole:
        return Conflict(
            "A reversal gives a whole payment back, at once. Choose another method for a part.",
            code="reversal_is_whole",
        )
    return None


def _refuse_payout(
    rules: RefundRules, amount_cents: int, msisdn: str | None
) -> Conflict | InvalidInput | None:
    if not rules.can_pay_out:
        return _not_set_up("Payouts")
    if msisdn is None:
        return Conflict(
            "M-Pesa did not show the payer's number whole, so nothing can be paid out to it.",
            code="payer_unknown",
        )
    if amount_cents % CENTS_PER_SHILLING:
        return InvalidInput.field("amount", "A payout moves whole shillings.")
    if amount_cents > rules.max_amount_shillings * CENTS_PER_SHILLING:
        limit = cents_to_wire(rules.max_amount_shillings * CENTS_PER_SHILLING)
        return Conflict(
            f"M-Pesa carries at most KES {limit} in one payout.", code="above_mpesa_limit"
        )
    return None


def _not_set_up(what: str) -> Conflict:
    return Conflict(
        f"{what} are not set up with M-Pesa here. See `python manage.py config check`.",
        code="method_not_set_up",
    )
