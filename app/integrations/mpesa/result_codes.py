"""The result codes of M-Pesa Express and what each one asks of whom.

Daraja, M-Pesa Express: a code comes in the callback and in the status query. In a callback every
code is final. In a query some only mean "not yet". Texts differ between channels and years, so
only the code counts, and it is text: not every code is a number.
"""

from dataclasses import dataclass
from enum import StrEnum

SUCCESS = "0"


class FailureStatus(StrEnum):
    """How a payment that brought no money ended."""

    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class ResultCode:
    """``retry``: the payer may try again. ``alert``: our own set-up is at fault, tell a person.

    ``may_turn``: time ran out, which nobody on the phone decided; money has been seen to move yet.
    """

    code: str
    meaning: str
    customer_message: str
    status: FailureStatus = FailureStatus.FAILED
    final_in_query: bool = True
    retry: bool = True
    alert: bool = False
    may_turn: bool = False


_OUR_FAULT = (
    "We could not take this payment because of a fault on our side. No money was taken. "
    "Please choose another way to pay or contact us."
)
_PROMPT_NOT_SENT = "M-Pesa could not show the prompt on your phone. Please try again in a minute."

_ROWS = (
    ResultCode(
        "1",
        "the payer's balance does not cover the amount",
        "Your M-Pesa balance is too low for this payment. Top up, then try again.",
    ),
    ResultCode(
        "2",
        "less than the smallest amount of a transaction",
        "This amount is below the smallest that M-Pesa accepts. Please choose another way to pay.",
        retry=False,
    ),
    ResultCode(
        "3",
        "more than the largest amount of a transaction",
        "This amount is above what M-Pesa allows in one payment. Please choose another way to pay.",
        retry=False,
    ),
    ResultCode(
        "4",
        "the payer's daily limit would be exceeded",
        "This payment would exceed your M-Pesa limit for today. "
        "Try again tomorrow, or choose another way to pay.",
        retry=False,
    ),
    ResultCode(
        "8",
        "our own account would exceed its largest balance",
        _OUR_FAULT,
        retry=False,
        alert=True,
    ),
    ResultCode(
        "17",
        "the same amount from the same phone within two minutes",
        "M-Pesa does not take the same amount from one phone twice within two minutes. "
        "Wait two minutes, then try again.",
    ),
    ResultCode(
        "26",
        "M-Pesa is turning traffic away",
        "M-Pesa is very busy. Wait half a minute, then try again.",
    ),
    ResultCode(
        "1001",
        "another transaction holds the payer's line",
        "Another M-Pesa request is open on your phone. "
        "Finish or close it, wait two minutes, then try again.",
    ),
    ResultCode(
        "1019",
        "not completed in the time allowed",
        "The payment was not completed in time. Please try again.",
        may_turn=True,
    ),
    ResultCode("1025", "the prompt could not be sent, or its text is too long", _PROMPT_NOT_SENT),
    ResultCode(
        "1031",
        "no PIN in the time allowed",
        "No PIN was entered in time. Please try again and answer the prompt on your phone.",
    ),
    ResultCode(
        "1032",
        "cancelled on the phone, or the prompt ran out there",
        "The M-Pesa prompt was cancelled or not answered in time. "
        "Try again when you are ready to pay.",
        status=FailureStatus.CANCELLED,
    ),
    ResultCode("1036", "the prompt's delivery was not confirmed", _PROMPT_NOT_SENT, may_turn=True),
    ResultCode(
        "1037",
        "the phone could not be reached, or nobody answered",
        "We could not reach your phone. Check that it is on and has signal, then try again. "
        "If no prompt appears, dial *234# to update your M-Pesa menu.",
        may_turn=True,
    ),
    ResultCode(
        "2001",
        "the payer typed a wrong PIN",
        "The M-Pesa PIN was not correct. Please try again with the right PIN.",
    ),
    ResultCode(
        "2006",
        "the payer's account may not do this",
        "Your M-Pesa account does not allow this payment. "
        "Please choose another way to pay, or call Safaricom on 100.",
        retry=False,
    ),
    ResultCode(
        "2028",
        "transaction type and receiving number do not fit each other",
        _OUR_FAULT,
        retry=False,
        alert=True,
    ),
    ResultCode(
        "2029",
        "not documented; one shop sees it while a payment is still running",
        "M-Pesa could not complete this payment. Please try again in a few minutes.",
        final_in_query=False,
    ),
    ResultCode(
        "4999",
        "still under processing",
        "M-Pesa could not complete this payment. Please try again in a few minutes.",
        final_in_query=False,
    ),
    ResultCode(
        "8006",
        "the payer's PIN is locked",
        "Your M-Pesa PIN is locked. Call Safaricom on 100 to unlock it, then try again.",
        retry=False,
    ),
    ResultCode("9999", "the prompt could not be sent", _PROMPT_NOT_SENT),
    ResultCode(
        "SFC_IC0003",
        "the receiving number or the transaction type is wrong",
        _OUR_FAULT,
        retry=False,
        alert=True,
    ),
)

RESULT_CODES = {row.code: row for row in _ROWS}
"""Every code that is known to come for M-Pesa Express, but for success."""

FINAL_FAILURES = frozenset(row.code for row in _ROWS if row.final_in_query)
"""The codes that, in a status query, say that no money will move for this prompt."""


def explain(code: str) -> ResultCode:
    """What a failure means. An unknown code is final in a callback and proves nothing in a query.

    Raises ValueError for ``0``: money that moved is no failure to explain.
    """
    if code == SUCCESS:
        raise ValueError("Result code 0 is a success.")
    return RESULT_CODES.get(code) or ResultCode(
        code,
        "a code that we do not know",
        "M-Pesa could not complete this payment. Please try again, or choose another way to pay.",
        final_in_query=False,
    )
