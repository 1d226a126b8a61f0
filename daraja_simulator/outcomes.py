"""THE table: the last four digits of the phone decide what happens to its prompts.

`--help` prints it, the page shows it, and `/__sim/outcomes` returns it.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from daraja_simulator import results, wire
from daraja_simulator.posting import LATE_SECONDS, Posting
from daraja_simulator.results import CANCELLED, RESULTS, SUCCESS, UNREACHABLE, Result
from daraja_simulator.table import Outcome as AnyOutcome
from daraja_simulator.table import ShopEnd, Table
from daraja_simulator.wire import Refusal

UNREACHABLE_SECONDS = 26.0  # measured twice on the real sandbox
SILENCE_SECONDS = 30.0
SECOND_RESULT_SECONDS = 30.0
NO_VERDICT_SECONDS = 1800.0
NOT_YET_SECONDS = 90.0


class Answer(StrEnum):
    """How processrequest answers a push that it has accepted."""

    ACCEPTED = "accepted"
    AFTER_CALLBACK = "after the callback"
    CUT = "connection cut"
    HTML_502 = "HTML 502"
    INTERNAL_ERROR = "internal error"
    SILENT = "accepted after 30 s of silence"


class Disguise(StrEnum):
    """What a callback looks like when it does not look as the manual says."""

    NONE = "none"
    MALFORMED = "malformed"
    STRING_RESULT_CODE = "string result code"
    BALANCE_WITHOUT_VALUE = "balance without value"
    BALANCE_WITH_VALUE = "balance with value"
    BALANCE_AS_TEXT = "balance as text"
    SHUFFLED = "metadata shuffled"
    MASKED_PHONE = "masked phone"
    WHOLE_AMOUNT = "amount without decimals"
    WRONG_AMOUNT = "wrong amount"
    WRONG_MERCHANT_REQUEST_ID = "wrong MerchantRequestID"
    WRONG_CHECKOUT_REQUEST_ID = "wrong CheckoutRequestID"
    FORGED_SUCCESS = "forged success"


class QueryFault(StrEnum):
    NONE = "none"
    PENDING_AS_500 = "pending as HTTP 500"
    NO_VERDICT = "pending long after the end"
    FLAKY = "every fifth answer an error"
    NEVER_EXISTS = "does not exist"
    NOT_YET = "does not exist at first"
    HTML = "HTML"


@dataclass(frozen=True, slots=True)
class CallbackPlan(Posting):
    after_query: bool = False
    disguise: Disguise = Disguise.NONE


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of one push.

    `refusal` stands in place of acceptance. `end_seconds` None is the configured time for an
    answer; a plan that `waits` ends by a person's hand or with the prompt's life. `then` is a
    second result that follows the first.
    """

    result: Result = SUCCESS
    end_seconds: float | None = None
    waits: bool = False
    answer: Answer = Answer.ACCEPTED
    refusal: Refusal | None = None
    rejects_token_once: bool = False
    callback: CallbackPlan = field(default_factory=CallbackPlan)
    query: QueryFault = QueryFault.NONE
    then: Result | None = None

    @property
    def result_code(self) -> str | None:
        return None if self.refusal else self.result.code


Outcome = AnyOutcome[Plan]

PAID, FAILED, UNKNOWN = ShopEnd.PAID, ShopEnd.FAILED, ShopEnd.UNKNOWN


def _result(
    digits: str, name: str, sentence: str, *, code: str | None = None, seconds: float | None = None
) -> Outcome:
    result = RESULTS[code or digits.lstrip("0")]
    end = ShopEnd.CANCELLED if result is CANCELLED else FAILED
    return Outcome(digits, name, sentence, end, Plan(result, end_seconds=seconds))


def _callback(
    digits: str, name: str, sentence: str, plan: CallbackPlan, end: ShopEnd = PAID
) -> Outcome:
    return Outcome(digits, name, sentence, end, Plan(callback=plan))


def _disguised(
    digits: str, name: str, sentence: str, disguise: Disguise, end: ShopEnd = PAID
) -> Outcome:
    return _callback(digits, name, sentence, CallbackPlan(disguise=disguise), end)


def _refused(digits: str, name: str, sentence: str, refusal: Refusal) -> Outcome:
    return Outcome(digits, name, sentence, FAILED, Plan(refusal=refusal))


def _query(
    digits: str, name: str, sentence: str, fault: QueryFault, end: ShopEnd = PAID
) -> Outcome:
    plan = Plan(callback=CallbackPlan(copies=0), query=fault)
    return Outcome(digits, name, sentence, end, plan)


DEFAULT = Outcome("", "success", "The payer enters the PIN and pays.", PAID, Plan())

WAITS = Outcome(
    "0000",
    "waits_for_payer",
    "Waits for a person to press pay or cancel on the page; 1037 when the prompt's life is over.",
    UNKNOWN,
    Plan(UNREACHABLE, waits=True),
)

_RESULTS = (
    _result("0001", "insufficient_balance", "The payer has not enough money."),
    _result("0002", "below_minimum", "M-Pesa finds the amount below its minimum."),
    _result("0003", "above_maximum", "M-Pesa finds the amount above its maximum."),
    _result("0004", "daily_limit", "The payer would pass the daily limit."),
    _result("0008", "merchant_balance_full", "The merchant would pass its maximum balance."),
    _result("0017", "rule_limited", "Same phone and amount within two minutes of a success."),
    _result("0026", "traffic_blocked", "M-Pesa is too busy."),
    _result("1001", "busy_elsewhere", "Another session is open on the phone."),
    _result("1019", "expired", "The transaction was not processed in its time.", seconds=60),
    _result("1025", "push_not_sent", "The prompt could not be sent.", seconds=1),
    _result("1031", "pin_timeout", "The PIN was not entered in time.", seconds=60),
    _result("1032", "cancelled", "The payer presses cancel."),
    _result(
        "1036", "smsc_timeout", "The message centre got no answer.", seconds=UNREACHABLE_SECONDS
    ),
    _result("1037", "unreachable", "The phone is off; 26 s pass.", seconds=UNREACHABLE_SECONDS),
    _result("2001", "wrong_pin", "The payer types a wrong PIN."),
    _result("2006", "account_inactive", "The payer's account is not active."),
    _result("2028", "not_permitted", "Transaction type and receiver do not go together."),
    _result("2029", "unresolved", "A reason that nobody has resolved."),
    _result("5003", "unknown_party", "The receiver is unknown.", code="SFC_IC0003"),
    _result("5555", "unknown_code", "A result code that no list has."),
    _result("8006", "pin_locked", "The payer's PIN is locked."),
    _result("9999", "request_failed", "The prompt could not be sent, says another system."),
)

_CALLBACKS = (
    _callback("7001", "callback_lost", "The callback never comes.", CallbackPlan(copies=0)),
    _callback(
        "7002",
        "callback_late",
        "The callback comes three minutes late.",
        CallbackPlan(delay_seconds=LATE_SECONDS),
    ),
    _callback("7003", "callback_twice", "The callback comes twice.", CallbackPlan(copies=2)),
    _callback(
        "7004", "callback_five_times", "The callback comes five times.", CallbackPlan(copies=5)
    ),
    _callback(
        "7005",
        "callback_twice_at_once",
        "Two copies of the callback come at the same moment.",
        CallbackPlan(copies=2, at_once=True),
    ),
    Outcome(
        "7006",
        "callback_before_answer",
        "The callback comes before the push is answered.",
        PAID,
        Plan(end_seconds=0, answer=Answer.AFTER_CALLBACK),
    ),
    _callback(
        "7007",
        "callback_after_query",
        "The callback comes only after a query has told the end.",
        CallbackPlan(after_query=True),
    ),
    _disguised(
        "7008", "callback_malformed", "The callback's JSON is broken off.", Disguise.MALFORMED
    ),
    _disguised(
        "7009",
        "string_result_code",
        "The callback's ResultCode is a string.",
        Disguise.STRING_RESULT_CODE,
    ),
    _disguised(
        "7010",
        "balance_without_value",
        "A Balance item without Value is among the metadata.",
        Disguise.BALANCE_WITHOUT_VALUE,
    ),
    _disguised(
        "7011",
        "balance_with_value",
        "A Balance item with a number is among the metadata.",
        Disguise.BALANCE_WITH_VALUE,
    ),
    _disguised(
        "7012",
        "metadata_shuffled",
        "The metadata come in another order.",
        Disguise.SHUFFLED,
    ),
    _disguised("7013", "phone_masked", "The payer's phone is masked.", Disguise.MASKED_PHONE),
    _disguised(
        "7014",
        "wrong_amount",
        "The callback names one shilling more than was asked; a person must look.",
        Disguise.WRONG_AMOUNT,
        UNKNOWN,
    ),
    _disguised(
        "7015",
        "wrong_merchant_request_id",
        "The callback names another MerchantRequestID; a query tells the truth.",
        Disguise.WRONG_MERCHANT_REQUEST_ID,
    ),
    _disguised(
        "7016",
        "wrong_checkout_request_id",
        "The callback names another CheckoutRequestID; a query tells the truth.",
        Disguise.WRONG_CHECKOUT_REQUEST_ID,
    ),
    Outcome(
        "7017",
        "forged_success",
        "The payer cancels, but a success is posted to the callback address; a query says 1032.",
        ShopEnd.CANCELLED,
        Plan(CANCELLED, callback=CallbackPlan(disguise=Disguise.FORGED_SUCCESS)),
    ),
    Outcome(
        "7018",
        "failure_then_success",
        "Callback and query say 1037, then 30 s later success: the money did move.",
        PAID,
        Plan(UNREACHABLE, then=SUCCESS),
    ),
    Outcome(
        "7019",
        "answer_lost",
        "The push is accepted and the connection cut without an answer.",
        PAID,
        Plan(answer=Answer.CUT),
    ),
    Outcome(
        "7020",
        "answer_and_callback_lost",
        "Neither answer nor callback arrive; only a statement shows the money.",
        UNKNOWN,
        Plan(answer=Answer.CUT, callback=CallbackPlan(copies=0)),
    ),
    Outcome(
        "7021",
        "html_502_accepted",
        "The push is accepted and answered with an HTML 502.",
        PAID,
        Plan(answer=Answer.HTML_502),
    ),
    Outcome(
        "7022",
        "html_502_refused",
        "The push is answered with an HTML 502 and was never accepted: no money moves.",
        UNKNOWN,
        Plan(refusal=wire.BAD_GATEWAY),
    ),
    Outcome(
        "7023",
        "silence_then_accepted",
        "The prompt rings at once; the answer follows after 30 s of silence.",
        PAID,
        Plan(answer=Answer.SILENT),
    ),
    Outcome(
        "7024",
        "error_with_http_200",
        "HTTP 200 carries an error envelope (system busy); no prompt is sent.",
        FAILED,
        Plan(refusal=wire.BUSY_WITH_HTTP_200),
    ),
    Outcome(
        "7025",
        "token_rejected_once",
        "Every other push is answered 404.001.03 though the token was fine.",
        PAID,
        Plan(rejects_token_once=True),
    ),
    _disguised(
        "7026",
        "amount_without_decimals",
        "The callback's Amount is printed 1, not 1.00.",
        Disguise.WHOLE_AMOUNT,
    ),
    _disguised(
        "7027",
        "balance_as_text",
        "A Balance item with text in braces is among the metadata.",
        Disguise.BALANCE_AS_TEXT,
    ),
    Outcome(
        "7028",
        "answer_lost_then_cancelled",
        "The connection is cut without an answer, and the payer cancels.",
        ShopEnd.CANCELLED,
        Plan(CANCELLED, answer=Answer.CUT),
    ),
)

_REFUSALS = (
    _refused(
        "7101",
        "subscriber_locked",
        "Refused: the phone has another session; no prompt is sent.",
        wire.SUBSCRIBER_LOCKED,
    ),
    _refused("7102", "system_busy", "Refused: the system is busy.", wire.SYSTEM_BUSY),
    _refused("7103", "spike_arrest", "Refused: too many requests a second.", wire.SPIKE_ARREST),
    _refused(
        "7104",
        "apigee_spike_arrest",
        "Refused: 429 with the fault body of the proxy in front.",
        wire.APIGEE_SPIKE_ARREST,
    ),
    _refused("7105", "quota", "Refused: the quota is used up.", wire.QUOTA),
    Outcome(
        "7106",
        "internal_error_accepted",
        "Answered with internal error 500.003.1001, yet accepted.",
        PAID,
        Plan(answer=Answer.INTERNAL_ERROR),
    ),
    _refused(
        "7107",
        "invalid_phone",
        "Refused: 400 Invalid PhoneNumber.",
        wire.invalid_field("PhoneNumber"),
    ),
)

_QUERIES = (
    _query(
        "7201",
        "query_pending_as_500",
        "No callback; while pending, a query is answered 500 being processed.",
        QueryFault.PENDING_AS_500,
    ),
    _query(
        "7202",
        "query_no_verdict",
        "No callback; queries say 4999 until half an hour after the end.",
        QueryFault.NO_VERDICT,
    ),
    _query(
        "7203",
        "query_flaky",
        "No callback; after the end one query in five is answered 500.001.1001.",
        QueryFault.FLAKY,
    ),
    _query(
        "7204",
        "query_does_not_exist",
        "No callback; every query says the transaction does not exist, which proves nothing.",
        QueryFault.NEVER_EXISTS,
        UNKNOWN,
    ),
    _query(
        "7205",
        "query_html",
        "No callback; every query is answered with an HTML 502.",
        QueryFault.HTML,
        UNKNOWN,
    ),
    _query(
        "7206",
        "query_not_yet",
        "No callback; for 90 s queries say the transaction does not exist, then the truth.",
        QueryFault.NOT_YET,
    ),
)

OUTCOMES = (WAITS, *_RESULTS, *_CALLBACKS, *_REFUSALS, *_QUERIES)

TABLE = Table(
    "outcomes",
    "Pushes (STK), by the phone that is to ring",
    DEFAULT,
    OUTCOMES,
    {
        "pay": "success",
        "cancel": "cancelled",
        "0": "success",
        results.UNKNOWN_PARTY.code: "unknown_party",
    },
)
