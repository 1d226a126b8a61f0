"""Customers who say that they have paid, and name the M-Pesa receipt.

Such a claim proves nothing by itself. The money is used for the claimant's order where the payer's
phone is known to be theirs and nobody else's; in any doubt a person decides.
"""

from app.services.claims.end import accept_claim, lock_claim, refuse_claim
from app.services.claims.file import ClaimRequest, claim_payment
from app.services.claims.look_again import (
    find_claims_to_look_at,
    look_at_claim,
    note_question_refused,
)
from app.services.claims.read import claims_of, list_claims
from app.services.claims.said import LOOKED_FOR
from app.services.claims.weigh import StatusFacts, note_no_facts, weigh_absence, weigh_status

__all__ = [
    "LOOKED_FOR",
    "ClaimRequest",
    "StatusFacts",
    "accept_claim",
    "claim_payment",
    "claims_of",
    "find_claims_to_look_at",
    "list_claims",
    "lock_claim",
    "look_at_claim",
    "note_no_facts",
    "note_question_refused",
    "refuse_claim",
    "weigh_absence",
    "weigh_status",
]
