"""What happens to payments that a customer starts, and to the confirmations of all payments.

The confirmation of a paid push obeys this table too, by the same phone.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from daraja_simulator.posting import LATE_SECONDS, Posting
from daraja_simulator.results import RESULTS, SUCCESS, Result
from daraja_simulator.table import Outcome as AnyOutcome
from daraja_simulator.table import ShopEnd, Table


class NoticeDisguise(StrEnum):
    """What a confirmation looks like when it does not look as the manual says."""

    NONE = "none"
    MALFORMED = "malformed"
    HASHED_PHONE = "hashed phone"
    PLAIN_PHONE = "plain phone"
    NO_NAMES = "names empty"
    NO_TYPE = "type empty"
    WRONG_AMOUNT = "wrong amount"


class Order(StrEnum):
    """When the confirmation of a paid push comes: about the callback."""

    BY_CHANCE = "chance"
    BEFORE = "before"
    AFTER = "after"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class ConfirmationPlan(Posting):
    disguise: NoticeDisguise = NoticeDisguise.NONE
    order: Order | None = None  # None leaves it to the configuration


@dataclass(frozen=True, slots=True)
class C2bPlan:
    """What becomes of one payment; a result that is no success ends it before anybody is asked."""

    result: Result = SUCCESS
    is_validation_lost: bool = False
    is_forged: bool = False
    confirmation: ConfirmationPlan = field(default_factory=ConfirmationPlan)

    @property
    def result_code(self) -> str | None:
        return self.result.code


Outcome = AnyOutcome[C2bPlan]

PAID, FAILED, UNKNOWN = ShopEnd.PAID, ShopEnd.FAILED, ShopEnd.UNKNOWN


def _confirmed(
    digits: str, name: str, sentence: str, plan: ConfirmationPlan, end: ShopEnd = PAID
) -> Outcome:
    return Outcome(digits, name, sentence, end, C2bPlan(confirmation=plan))


def _disguised(
    digits: str, name: str, sentence: str, disguise: NoticeDisguise, end: ShopEnd = PAID
) -> Outcome:
    return _confirmed(digits, name, sentence, ConfirmationPlan(disguise=disguise), end)


DEFAULT = Outcome(
    "",
    "success",
    "The shop is asked where it registered for it; the money moves; one confirmation comes.",
    PAID,
    C2bPlan(),
)

_ROWS = (
    _confirmed(
        "7301",
        "confirmation_lost",
        "The confirmation never comes; the money has moved.",
        ConfirmationPlan(copies=0),
    ),
    _confirmed(
        "7302",
        "confirmation_late",
        "The confirmation comes three minutes late.",
        ConfirmationPlan(delay_seconds=LATE_SECONDS),
    ),
    _confirmed(
        "7303", "confirmation_twice", "The confirmation comes twice.", ConfirmationPlan(copies=2)
    ),
    _confirmed(
        "7304",
        "confirmation_five_times",
        "The confirmation comes five times.",
        ConfirmationPlan(copies=5),
    ),
    _confirmed(
        "7305",
        "confirmation_twice_at_once",
        "Two copies of the confirmation come at the same moment.",
        ConfirmationPlan(copies=2, at_once=True),
    ),
    _confirmed(
        "7306",
        "confirmation_first",
        "Of a paid push, the confirmation comes a second before the callback.",
        ConfirmationPlan(order=Order.BEFORE),
    ),
    _confirmed(
        "7307",
        "confirmation_second",
        "Of a paid push, the confirmation comes a second after the callback.",
        ConfirmationPlan(order=Order.AFTER),
    ),
    _disguised(
        "7308",
        "confirmation_malformed",
        "The confirmation's JSON is broken off.",
        NoticeDisguise.MALFORMED,
    ),
    _disguised(
        "7309",
        "confirmation_hashed",
        "The confirmation has the phone as a SHA-256.",
        NoticeDisguise.HASHED_PHONE,
    ),
    _disguised(
        "7310",
        "confirmation_plain",
        "The confirmation has the phone in plain digits.",
        NoticeDisguise.PLAIN_PHONE,
    ),
    _disguised(
        "7311",
        "confirmation_nameless",
        "The confirmation leaves all names empty.",
        NoticeDisguise.NO_NAMES,
    ),
    _disguised(
        "7312",
        "confirmation_typeless",
        "The confirmation leaves TransactionType empty.",
        NoticeDisguise.NO_TYPE,
    ),
    _disguised(
        "7314",
        "confirmation_wrong_amount",
        "The confirmation names one shilling more than moved; a person must look.",
        NoticeDisguise.WRONG_AMOUNT,
        UNKNOWN,
    ),
    Outcome(
        "7315",
        "validation_lost",
        "The validation never reaches the shop; the registered ResponseType decides.",
        PAID,
        C2bPlan(is_validation_lost=True),
    ),
    Outcome(
        "7317",
        "confirmation_forged",
        "The payer has too little money, yet a confirmation is posted; no receipt of it exists.",
        FAILED,
        C2bPlan(RESULTS["1"], is_forged=True),
    ),
    Outcome(
        "7318",
        "payer_too_poor",
        "The payer has too little money: nobody is asked, nothing comes.",
        FAILED,
        C2bPlan(RESULTS["1"]),
    ),
)

TABLE = Table(
    "c2b",
    "Payments by the customer's menu, and confirmations (C2B), by the payer's phone",
    DEFAULT,
    _ROWS,
)
