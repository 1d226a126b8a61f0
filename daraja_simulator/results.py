"""How a prompt or a service request can end, with the words each road uses for it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """A result code is text: not every one is a number."""

    code: str
    callback_text: str
    query_text: str

    @property
    def is_success(self) -> bool:
        return self.code == "0"

    @property
    def printed_code(self) -> int | str:
        """As a callback prints it: a number where it is one."""
        return int(self.code) if self.code.isdigit() else self.code


_LIMIT = "Declined due to limit rule: "
_NOT_SENT = "An error occurred while sending a push request"

# code: words of the callback, and of the query where they differ
_WORDS: dict[str, tuple[str, ...]] = {
    "0": ("The service request is processed successfully.",),
    "1": ("The balance is insufficient for the transaction.",),
    "2": (_LIMIT + "less than the minimum transaction amount.",),
    "3": (_LIMIT + "greater than the maximum transaction amount.",),
    "4": (_LIMIT + "would exceed daily transfer limit",),
    "8": (_LIMIT + "would exceed the maximum balance",),
    "17": ("Rule limited",),
    "26": ("Traffic blocking condition in place",),
    "1001": (
        "Unable to lock subscriber, a transaction is already in process for the current subscriber",
    ),
    "1019": ("Transaction has expired",),
    "1025": (_NOT_SENT,),
    "1031": ("STK push timeout",),
    "1032": ("Request cancelled by user",),
    "1036": ("SMSC ACK timeout",),
    "1037": ("No response from user.", "DS timeout user cannot be reached."),
    "2001": ("The initiator information is invalid.",),
    "2006": ("Declined due to account rule: The account status does not allow this transaction.",),
    "2028": ("The request is not permitted according to product assignment.",),
    "2029": ("Unresolved reason",),
    "5555": ("A result that no list explains",),
    "8006": ("The security credential is locked.",),
    "9999": (_NOT_SENT,),
    "SFC_IC0003": ("The operator does not exist.",),
}

RESULTS = {code: Result(code, words[0], words[-1]) for code, words in _WORDS.items()}

SUCCESS = RESULTS["0"]
ABOVE_MAXIMUM = RESULTS["3"]
DUPLICATE = RESULTS["17"]
NOT_SENT = RESULTS["1025"]
CANCELLED = RESULTS["1032"]
UNREACHABLE = RESULTS["1037"]
NOT_PERMITTED = RESULTS["2028"]
UNKNOWN_PARTY = RESULTS["SFC_IC0003"]

# What service requests (payouts, reversals, inquiries) know besides, or say otherwise.
_SERVICE_WORDS = {
    "11": "The DebitParty is in an invalid state.",
    "15": "Duplicate Detected",
    "17": "Internal Failure",
    "18": "Initiator Credential Check Failure",
    "20": "Unresolved Initiator",
    "21": "The initiator is not allowed to initiate this request.",
    "25": "The format of parameter null is invalid.",
    "2032": "The transaction receipt number does not exist.",
    "2040": (
        "Credit Party customer type (Unregistered or Registered Customer) can't be supported by"
        " the service."
    ),
    "R000001": "The transaction has already been reversed.",
    "R000002": "The OriginalTransactionID is invalid.",
    "TP40153": "The operator has no permission, or is not in the organization.",
}
SERVICE_RESULTS = RESULTS | {
    code: Result(code, words, words) for code, words in _SERVICE_WORDS.items()
}

POOR = SERVICE_RESULTS["1"]
BELOW_MINIMUM = SERVICE_RESULTS["2"]
INVALID_PARAMETER = SERVICE_RESULTS["25"]
WRONG_INITIATOR = SERVICE_RESULTS["2001"]
NO_RECEIPT = SERVICE_RESULTS["2032"]
ALREADY_REVERSED = SERVICE_RESULTS["R000001"]
NOT_REVERSIBLE = SERVICE_RESULTS["R000002"]
NOT_IN_ORGANISATION = SERVICE_RESULTS["TP40153"]

_NOT_ANSWERED = "C2B00016"


def refused_by_shop(code: str) -> Result:
    """A push whose money the shop did not want, or could not be asked about."""
    code = code or _NOT_ANSWERED
    return Result(code, "Rejected", "Rejected")
