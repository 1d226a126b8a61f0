"""What only a person can decide about money, in plain words."""

from app.models import ReceiptState, TaskKind
from app.services.exceptions import Action
from app.services.find_account import Clue
from app.web.language import mark
from app.web.office.words import Word

EXCEPTION_WORDS: dict[str, str] = {
    TaskKind.UNMATCHED_MONEY: mark(
        "Money came to our M-Pesa number, and nobody knows which order it is for. Look at what the"
        " payer typed and find the order, or send the money back."
    ),
    TaskKind.LATE_MONEY: mark(
        "Money came for an order that was over. We keep it safe until it is sent back."
    ),
    TaskKind.DOUBLE_PAYMENT: mark(
        "The order was paid already when more money came for it. That is to be sent back."
    ),
    TaskKind.OVER_PAYMENT: mark(
        "More came than the order costs. The order is paid; the rest is to be sent back."
    ),
    TaskKind.WRONG_AMOUNT: mark(
        "M-Pesa reported another amount than was asked for, and nothing was counted. Look the"
        " receipt up on the M-Pesa statement, and say what is there."
    ),
    TaskKind.MISMATCHED_CALLBACK: mark(
        "A report came that does not fit the payment. It moved nothing; M-Pesa itself is asked"
        " what happened."
    ),
    TaskKind.UNREADABLE_CALLBACK: mark(
        "A report came that nobody can read. It moved nothing; M-Pesa itself is asked what"
        " happened."
    ),
    TaskKind.UNKNOWN_PAYMENT: mark(
        "M-Pesa never told us whether this was paid. Look for it on the M-Pesa statement, and say"
        " what is there."
    ),
    TaskKind.DISPUTED_PAYMENT: mark(
        "A report said that this was paid, and M-Pesa says that it was not. Send nothing before you"
        " have looked the receipt up on the M-Pesa statement."
    ),
    TaskKind.RECEIPT_CONFLICT: mark(
        "One receipt was reported for two payments, or one payment with two receipts. Compare them"
        " with the M-Pesa statement."
    ),
    TaskKind.STUCK_MESSAGE: mark(
        "A message from M-Pesa could not be processed. It is kept whole, and tried again by itself."
    ),
    TaskKind.PAYMENT_CLAIM: mark(
        "A customer says that they have paid, and names a receipt. Look it up on the M-Pesa"
        " statement."
    ),
    TaskKind.REFUND_APPROVAL: mark(
        "A large refund waits for a second administrator to approve it."
    ),
    TaskKind.REFUND_FAILED: mark("A refund did not go through. The money is still here."),
    TaskKind.UNKNOWN_REFUND: mark(
        "Nobody knows whether a refund went through. Look on the M-Pesa statement before it is"
        " tried again."
    ),
    TaskKind.STATEMENT_DIFFERENCE: mark("M-Pesa's own books say something else than ours."),
    TaskKind.BROKEN_INVARIANT: mark(
        "The regular check of the books found something that does not add up. Have it looked into"
        " before you close it."
    ),
}
"""What each kind means, and what to do first."""

ACTION_WORDS: dict[str, str] = {
    Action.ATTACH: mark("Give it to an order"),
    Action.PAID: mark("It was paid"),
    Action.NOT_PAID: mark("It was not paid"),
    Action.RECEIPT: mark("Write down its receipt"),
    Action.IS_THERE: mark("The money is there"),
    Action.NOT_THERE: mark("The money is not there"),
    Action.CORRECT: mark("M-Pesa's amount is right"),
    Action.RETRY: mark("Try it again now"),
    Action.REFUND: mark("Send it back"),
    Action.DISMISS: mark("Close it with a reason"),
    Action.NOTE: mark("Write a note"),
}

DECISION_WORDS: dict[str, str] = {
    **ACTION_WORDS,
    Action.DISMISS: mark("Closed"),
    Action.NOTE: mark("Note"),
    Action.RETRY: mark("Tried again"),
    Action.RECEIPT: mark("Receipt given"),
    Action.CORRECT: mark("Amount corrected"),
    "matched": mark("Given to an order"),
    "dismissed": mark("Dismissed"),
    "settled": mark("Settled"),
    "refunded": mark("Paid back"),
    "approved": mark("Approved"),
    "rejected": mark("Called off"),
    "not_gone": mark("It did not go back"),
    "given_again": mark("Given back by hand"),
    "reclaimed": mark("Used after all"),
    "corrected": mark("Nothing is owed any more"),
    "processed": mark("Processed"),
    "claim_accepted": mark("The money was found"),
    "claim_refused": mark("The claim was refused"),
    "failed": mark("Failed"),
    "found": mark("It was found"),
    "found_again": mark("It was found again"),
    "gone": mark("It is not found any more"),
    "recorded": mark("Recorded"),
}
"""What was done about a matter."""

CLUE_WORDS: dict[str, str] = {
    Clue.NUMBER: mark("Its number is one slip of the finger away."),
    Clue.CALLED_PAID_AND_PHONE: mark(
        "M-Pesa called its prompt of just this amount paid and named no receipt, and the payer's"
        " phone fits."
    ),
    Clue.AMOUNT_AND_PHONE: mark("It waits for just this amount, and the payer's phone fits."),
    Clue.CALLED_PAID: mark(
        "M-Pesa called its prompt of just this amount paid, and named no receipt."
    ),
    Clue.AMOUNT: mark("It waits for just this amount."),
}

RECEIPT_WORDS: dict[str, Word] = {
    ReceiptState.MATCHED: Word(mark("Counted for a payment"), "good"),
    ReceiptState.UNMATCHED: Word(mark("Without an order"), "wait"),
    ReceiptState.REFUNDED: Word(mark("Paid back")),
    ReceiptState.DISMISSED: Word(mark("Dismissed")),
    ReceiptState.WRITTEN_OFF: Word(mark("Was not there"), "bad"),
}

EFFECT_DONE: dict[str, str] = {
    "pays": mark("The order is paid. The buyer is told."),
    "pays_part": mark("The money is counted, and the order waits for the rest. The buyer is told."),
    "revives": mark("The order is paid after all. The buyer is told."),
    "joins": mark("The receipt is on the payment that M-Pesa had called paid."),
    "owed_back": mark("The money is counted, and is to be sent back: see the new matter."),
}
"""What giving money to an order did."""
