"""What happens to service requests: payouts, reversals, and inquiries.

The digits are those of the phone that the money goes to; what has no such phone is forced.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from daraja_simulator import wire
from daraja_simulator.outcomes import Answer
from daraja_simulator.posting import LATE_SECONDS, Posting
from daraja_simulator.results import ALREADY_REVERSED, POOR, SERVICE_RESULTS, Result
from daraja_simulator.table import Outcome as AnyOutcome
from daraja_simulator.table import ShopEnd, Table
from daraja_simulator.wire import Refusal


class ResultDisguise(StrEnum):
    """What a result looks like when it does not look as the manual says."""

    NONE = "none"
    MALFORMED = "malformed"
    OTHER_TYPES = "numbers as text, text as numbers"
    OTHER_KEYS = "keys in their other spelling"
    OBJECT_PARAMETER = "one parameter in place of a list"
    OF_ANOTHER = "ids of another request"
    FORGED_SUCCESS = "forged success"


class News(StrEnum):
    """What the caller hears of the end."""

    RESULT = "result"
    QUEUE_TIMEOUT = "queue timeout"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class ResultPlan(Posting):
    disguise: ResultDisguise = ResultDisguise.NONE
    news: News = News.RESULT


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """What becomes of one request.

    `refusal` stands in place of acceptance; one that is `never_heard` is cut off before it.
    A `result` is forced; None leaves it to the request, the initiator and the money.
    `is_executed` false: acknowledged, and then forgotten.
    """

    result: Result | None = None
    answer: Answer = Answer.ACCEPTED
    refusal: Refusal | None = None
    never_heard: bool = False
    is_executed: bool = True
    posting: ResultPlan = field(default_factory=ResultPlan)

    @property
    def result_code(self) -> str | None:
        if self.refusal or self.never_heard or not self.is_executed:
            return None
        return self.result.code if self.result else "0"


Outcome = AnyOutcome[ServicePlan]

DONE, FAILED, UNKNOWN = ShopEnd.DONE, ShopEnd.FAILED, ShopEnd.UNKNOWN


def _posted(
    digits: str, name: str, sentence: str, posting: ResultPlan, end: ShopEnd = DONE
) -> Outcome:
    return Outcome(digits, name, sentence, end, ServicePlan(posting=posting))


def _disguised(digits: str, name: str, sentence: str, disguise: ResultDisguise) -> Outcome:
    return _posted(digits, name, sentence, ResultPlan(disguise=disguise))


def _answered(digits: str, name: str, sentence: str, answer: Answer) -> Outcome:
    return Outcome(digits, name, sentence, DONE, ServicePlan(answer=answer))


def _refused(
    digits: str, name: str, sentence: str, refusal: Refusal, end: ShopEnd = FAILED
) -> Outcome:
    return Outcome(digits, name, sentence, end, ServicePlan(refusal=refusal))


def _result(digits: str, name: str, sentence: str, code: str, end: ShopEnd = FAILED) -> Outcome:
    return Outcome(digits, name, sentence, end, ServicePlan(SERVICE_RESULTS[code]))


DEFAULT = Outcome("", "success", "Acknowledged; it is done; one result comes.", DONE, ServicePlan())

_POSTED = (
    _posted("7401", "result_lost", "It is done, but no result comes.", ResultPlan(copies=0)),
    _posted(
        "7402",
        "result_late",
        "The result comes three minutes late.",
        ResultPlan(delay_seconds=LATE_SECONDS),
    ),
    _posted("7403", "result_twice", "The result comes twice.", ResultPlan(copies=2)),
    _posted("7404", "result_five_times", "The result comes five times.", ResultPlan(copies=5)),
    _posted(
        "7405",
        "result_twice_at_once",
        "Two copies of the result come at the same moment.",
        ResultPlan(copies=2, at_once=True),
    ),
    _answered(
        "7406",
        "result_before_ack",
        "The result comes before the acknowledgement.",
        Answer.AFTER_CALLBACK,
    ),
    _disguised(
        "7408", "result_malformed", "The result's JSON is broken off.", ResultDisguise.MALFORMED
    ),
    _disguised(
        "7409",
        "result_other_types",
        "Codes and numbers come as text where they are numbers, and the other way round.",
        ResultDisguise.OTHER_TYPES,
    ),
    _disguised(
        "7410",
        "result_other_keys",
        "Keys come in the other spelling that is about, such as FinalizedTime.",
        ResultDisguise.OTHER_KEYS,
    ),
    _disguised(
        "7411",
        "result_one_parameter",
        "One parameter stands where a list of them should.",
        ResultDisguise.OBJECT_PARAMETER,
    ),
    _disguised(
        "7412",
        "result_of_another",
        "The result names the ids of another request; the transaction status tells the truth.",
        ResultDisguise.OF_ANOTHER,
    ),
    Outcome(
        "7413",
        "result_forged",
        "It fails for want of money, but a success is posted; no receipt of it exists.",
        FAILED,
        ServicePlan(POOR, posting=ResultPlan(disguise=ResultDisguise.FORGED_SUCCESS)),
    ),
    Outcome(
        "7414",
        "queue_timeout",
        "A notice comes to the QueueTimeOutURL, and nothing was done.",
        UNKNOWN,
        ServicePlan(is_executed=False, posting=ResultPlan(news=News.QUEUE_TIMEOUT)),
    ),
    _posted(
        "7415",
        "queue_timeout_done",
        "A notice comes to the QueueTimeOutURL, yet it was done.",
        ResultPlan(news=News.QUEUE_TIMEOUT),
    ),
    Outcome(
        "7416",
        "forgotten",
        "Acknowledged; nothing is done, and nothing comes.",
        UNKNOWN,
        ServicePlan(is_executed=False, posting=ResultPlan(news=News.NOTHING)),
    ),
)

_ANSWERED = (
    _answered(
        "7419", "ack_lost", "The connection is cut without an answer; it was accepted.", Answer.CUT
    ),
    Outcome(
        "7420",
        "ack_and_result_lost",
        "Neither answer nor result come, and yet it was done.",
        DONE,
        ServicePlan(answer=Answer.CUT, posting=ResultPlan(copies=0)),
    ),
    _answered(
        "7421",
        "html_502_accepted",
        "Answered with an HTML 502, yet accepted.",
        Answer.HTML_502,
    ),
    _refused(
        "7422",
        "html_502_refused",
        "Answered with an HTML 502 and never accepted: nothing is done, nothing comes.",
        wire.BAD_GATEWAY,
        UNKNOWN,
    ),
    _answered("7423", "silence_then_accepted", "Answered after 30 s of silence.", Answer.SILENT),
    Outcome(
        "7424",
        "never_heard",
        "The connection is cut without an answer, and it was never accepted.",
        UNKNOWN,
        ServicePlan(never_heard=True),
    ),
    _answered(
        "7425",
        "internal_error_accepted",
        "Answered with internal error 500.003.1001, yet accepted.",
        Answer.INTERNAL_ERROR,
    ),
    _refused(
        "7426",
        "internal_error_refused",
        "Answered with internal error 500.003.1001 and never accepted.",
        wire.INTERNAL_ERROR,
        UNKNOWN,
    ),
    _refused("7427", "system_busy", "Refused: the system is busy.", wire.SYSTEM_BUSY),
    _refused("7428", "spike_arrest", "Refused: too many requests a second.", wire.SPIKE_ARREST),
    _refused("7429", "quota", "Refused: the quota is used up.", wire.QUOTA),
)

_RESULTS = (
    _result("7501", "insufficient_funds", "The merchant's account has too little money.", "1"),
    _result("7502", "below_minimum", "M-Pesa finds the amount below its minimum.", "2"),
    _result("7503", "above_maximum", "M-Pesa finds the amount above its maximum.", "3"),
    _result("7504", "daily_limit", "The receiver would pass the daily limit.", "4"),
    _result("7508", "receiver_full", "The receiver would pass the maximum balance.", "8"),
    _result("7511", "account_inactive", "The merchant's account is in an invalid state.", "11"),
    _result(
        "7515",
        "duplicate_detected",
        "M-Pesa takes it for a duplicate, of which nobody has heard.",
        "15",
        UNKNOWN,
    ),
    _result("7517", "internal_failure", "M-Pesa fails inside; a status says so.", "17"),
    _result("7518", "credential_check_failed", "The initiator's credential fails a check.", "18"),
    _result("7520", "initiator_unresolved", "M-Pesa cannot resolve the initiator.", "20"),
    _result("7521", "initiator_not_allowed", "The initiator lacks the role for it.", "21"),
    _result("7525", "invalid_parameter", "M-Pesa does not like a parameter.", "25"),
    _result("7526", "traffic_blocked", "M-Pesa is too busy.", "26"),
    _result("7528", "not_permitted", "The shortcode lacks the product.", "2028"),
    _result("7540", "receiver_unregistered", "The receiver is no M-Pesa customer.", "2040"),
    _result("7541", "initiator_invalid", "The initiator's information is invalid.", "2001"),
    _result("7546", "status_forbids", "The account's status forbids it.", "2006"),
    _result("7548", "credential_locked", "The initiator's password is locked.", "8006"),
    _result("7549", "unknown_receiver", "The receiver does not exist.", "SFC_IC0003"),
    _result("7553", "not_in_organisation", "The initiator is not of this merchant's.", "TP40153"),
    _result("7555", "unknown_code", "A code that no list has; a status says it failed.", "5555"),
)

_FORCED = (
    Outcome(
        "",
        "already_reversed",
        "Reversals: somebody reversed it in the portal a moment before; R000001.",
        DONE,
        ServicePlan(ALREADY_REVERSED),
    ),
    _result("", "unknown_receipt", "Reversals: the receipt is not known; R000002.", "R000002"),
    _result("", "receipt_not_found", "Inquiries: the receipt is not known; 2032.", "2032"),
)

TABLE = Table(
    "requests",
    "Payouts, reversals, inquiries and transfers (B2C, reversal, status, balance, B2B), by the "
    "phone that gets the money",
    DEFAULT,
    (*_POSTED, *_ANSWERED, *_RESULTS, *_FORCED),
    {code: row.name for row in (*_RESULTS, *_FORCED) if (code := row.plan.result_code)},
)
