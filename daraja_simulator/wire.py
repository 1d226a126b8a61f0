"""What goes over the wire, as Safaricom prints it: JSON, ids and error envelopes."""

import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from random import Random

JSON_TYPE = "application/json"

_HEX = "0123456789abcdef"
_CAPITALS = string.ascii_uppercase + string.digits
_DAYS = "123456789ABCDEFGHIJKLMNOPQRSTUV"
_RECEIPT_YEAR_OF_A = 2006  # L is 2017, T is 2025


class Shape(StrEnum):
    """The faces of a refusal."""

    ENVELOPE = "envelope"
    APIGEE = "apigee"
    HTML = "html"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer in place of the one hoped for."""

    status: int
    code: str = ""
    message: str = ""
    shape: Shape = Shape.ENVELOPE

    def render(self, request_id: str) -> tuple[str, str]:
        """The body and its content type."""
        if self.shape is Shape.ENVELOPE:
            envelope = {
                "requestId": request_id,
                "errorCode": self.code,
                "errorMessage": self.message,
            }
            return print_json(envelope), JSON_TYPE
        if self.shape is Shape.APIGEE:
            fault = {"faultstring": self.message, "detail": {"errorcode": self.code}}
            return print_json({"fault": fault}), JSON_TYPE
        if self.shape is Shape.HTML:
            return _HTML.format(status=self.status, message=self.message), "text/html"
        return "", "text/plain"


class Refused(Exception):
    """Carries a refusal up to the edge that prints it."""

    def __init__(self, refusal: Refusal, request_id: str | None = None) -> None:
        super().__init__(f"{refusal.status} {refusal.code} {refusal.message}")
        self.refusal = refusal
        self.request_id = request_id


_HTML = (
    "<html>\r\n<head><title>{status} {message}</title></head>\r\n<body>\r\n"
    "<center><h1>{status} {message}</h1></center>\r\n</body>\r\n</html>\r\n"
)

BAD_CREDENTIALS = Refusal(400, "400.008.01", "Invalid Authentication passed")
EMPTY_BAD_CREDENTIALS = Refusal(400, shape=Shape.EMPTY)
BAD_GRANT = Refusal(400, "400.008.02", "Invalid grant type passed")
INVALID_TOKEN = Refusal(404, "404.001.03", "Invalid Access Token")
INVALID_TOKEN_400 = Refusal(400, "400.003.01", "Invalid Access Token")
NOT_FOUND = Refusal(404, "404.001.01", "Resource not found")
METHOD_NOT_ALLOWED = Refusal(405, "405.001", "Method Not Allowed")
BAD_PAYLOAD = Refusal(400, "400.002.05", "Invalid Request Payload")
NO_MERCHANT = Refusal(500, "500.001.1001", "Merchant does not exist")
WRONG_PASSWORD = Refusal(500, "500.001.1001", "[MerchantValidate] - Wrong credentials")
SUBSCRIBER_LOCKED = Refusal(
    500,
    "500.001.1001",
    "Unable to lock subscriber, a transaction is already in process for the current subscriber",
)
BEING_PROCESSED = Refusal(500, "500.001.1001", "The transaction is being processed")
NO_TRANSACTION = Refusal(500, "500.001.1001", "The transaction does not Exist")
SYSTEM_BUSY = Refusal(500, "500.003.02", "System is busy. Please try again in few minutes")
SPIKE_ARREST = Refusal(500, "500.003.02", "Error Occurred: Spike Arrest Violation")
QUOTA = Refusal(500, "500.003.03", "Quota Violation")
INTERNAL_ERROR = Refusal(500, "500.003.1001", "Internal Server Error")
APIGEE_SPIKE_ARREST = Refusal(
    429,
    "policies.ratelimit.SpikeArrestViolation",
    "Spike arrest violation. Allowed rate : MessageRate{messagesPerPeriod=5, periodInMicroseconds="
    "1000000, maxBurstMessageCount=1.0}",
    Shape.APIGEE,
)
BAD_GATEWAY = Refusal(502, message="Bad Gateway", shape=Shape.HTML)
UNAVAILABLE = Refusal(503, message="Service Temporarily Unavailable", shape=Shape.HTML)
URLS_REGISTERED = Refusal(500, "500.003.1001", "URLs are already registered")
NO_PRODUCT = Refusal(
    401,
    "401.003.01",
    "Error Occurred - Invalid Access Token - Invalid API call as no apiproduct match found",
)
DUPLICATE_ORIGINATOR = Refusal(500, "500.002.1001", "Duplicate OriginatorConversationID.")
PULL_UNREGISTERED = Refusal(
    500,
    "500",
    "Failed to retrieve transactions. The short code does not have any available transactions.",
)
PULL_WITHOUT_PRODUCT = Refusal(401, "401.001", "Error Occurred - Invalid Access Token - ")
BUSY_WITH_HTTP_200 = Refusal(200, SYSTEM_BUSY.code, SYSTEM_BUSY.message)


def invalid_field(name: str) -> Refusal:
    return Refusal(400, "400.002.02", f"Bad Request - Invalid {name}")


def echo_token(token: str) -> Refusal:
    """Some products print the very token that they do not take."""
    return Refusal(401, "401.002.01", f"Error Occurred - Invalid Access Token - {token}")


def print_json(value: object) -> str:
    """Compact JSON in which a Decimal keeps its decimals: 1.00 stays 1.00."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        items = (f"{json.dumps(str(key))}:{print_json(item)}" for key, item in value.items())
        return "{" + ",".join(items) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(print_json(item) for item in value) + "]"
    return json.dumps(value)


def make_request_id(dice: Random) -> str:
    """Like 7071-4170-a0e4-8345632bad441652435: hexadecimal groups, then some digits."""
    groups = ["".join(dice.choices(_HEX, k=length)) for length in (4, 4, 4, 12)]
    digits = "".join(dice.choices(string.digits, k=dice.randint(4, 7)))
    return "-".join(groups) + digits


def make_conversation_id(dice: Random, moment: datetime) -> str:
    """Like AG_20240706_20106e9209f64bebd05b."""
    return f"AG_{moment:%Y%m%d}_" + "".join(dice.choices(_HEX, k=20))


def make_checkout_id(dice: Random, moment: datetime, phone: str) -> str:
    """`ws_CO_`, Nairobi's time, one to three digits, the last nine of the phone."""
    return f"ws_CO_{moment:%d%m%Y%H%M%S}{dice.randint(1, 999)}{phone[-9:]}"


def make_receipt(dice: Random, moment: datetime) -> str:
    """Ten capitals and digits, of which the first three tell year, month and day."""
    return _print_day(moment) + "".join(dice.choices(_CAPITALS, k=7))


def print_no_receipt(moment: datetime) -> str:
    """What stands where a receipt would, when nothing was booked: OAK0000000."""
    return _print_day(moment) + "0000000"


def _print_day(moment: datetime) -> str:
    year = string.ascii_uppercase[(moment.year - _RECEIPT_YEAR_OF_A) % 26]
    month = string.ascii_uppercase[moment.month - 1]
    return year + month + _DAYS[moment.day - 1]


def print_moment(moment: datetime) -> str:
    """YYYYMMDDHHmmss, as TransactionDate has it."""
    return f"{moment:%Y%m%d%H%M%S}"
