"""The adapter for Safaricom's Daraja: it knows no table and no web framework."""

from app.integrations.mpesa.breaker import CircuitBreaker
from app.integrations.mpesa.client import DarajaClient
from app.integrations.mpesa.credentials import security_credential
from app.integrations.mpesa.errors import (
    MpesaAlreadyRegistered,
    MpesaBusy,
    MpesaError,
    MpesaMisconfigured,
    MpesaPhoneBusy,
    MpesaRefused,
    MpesaUnavailable,
    MpesaUncertain,
    scrub_text,
)
from app.integrations.mpesa.fields import UnreadableMessage
from app.integrations.mpesa.memory_token_store import MemoryTokenStore
from app.integrations.mpesa.merchant_client import MerchantClient
from app.integrations.mpesa.messages import StkCallback, read_stk_callback, read_stk_query
from app.integrations.mpesa.passwords import stk_password
from app.integrations.mpesa.result_codes import (
    FINAL_FAILURES,
    RESULT_CODES,
    FailureStatus,
    ResultCode,
    explain,
)
from app.integrations.mpesa.settings import Initiator, MerchantSettings, MpesaSettings

__all__ = [
    "FINAL_FAILURES",
    "RESULT_CODES",
    "CircuitBreaker",
    "DarajaClient",
    "FailureStatus",
    "Initiator",
    "MemoryTokenStore",
    "MerchantClient",
    "MerchantSettings",
    "MpesaAlreadyRegistered",
    "MpesaBusy",
    "MpesaError",
    "MpesaMisconfigured",
    "MpesaPhoneBusy",
    "MpesaRefused",
    "MpesaSettings",
    "MpesaUnavailable",
    "MpesaUncertain",
    "ResultCode",
    "StkCallback",
    "UnreadableMessage",
    "explain",
    "read_stk_callback",
    "read_stk_query",
    "scrub_text",
    "security_credential",
    "stk_password",
]
