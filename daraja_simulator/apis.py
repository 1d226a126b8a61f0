"""The products of Safaricom's API; an app in the portal has some of them."""

from enum import StrEnum


class Api(StrEnum):
    EXPRESS = "stk"
    C2B = "c2b"
    B2C = "b2c"
    REVERSAL = "reversal"
    STATUS = "status"
    BALANCE = "balance"
    B2B = "b2b"
    QR = "qr"
    PULL = "pull"


# These acknowledge a request, and post its result to an address of the caller's later.
ASYNCHRONOUS = (Api.B2C, Api.REVERSAL, Api.STATUS, Api.BALANCE, Api.B2B)
