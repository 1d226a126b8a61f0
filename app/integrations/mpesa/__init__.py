"""The adapter for Safaricom's Daraja: it knows no table and no web framework."""

from app.integrations.mpesa.breaker import CircuitBreaker
from app.integrations.mpesa.c2b import C2bNotice, read_c2b_notice
from app.integrations.mpesa.client import DarajaClient
from app.integrations.mpesa.credentials import certificate_subject, security_credential
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
from app.integrations.mpesa.examiner import Examiner, PairAnswer, PairTrial
from app.integrations.mpesa.exchange import build_transport
from app.integrations.mpesa.fields import UnreadableMessage
from app.integrations.mpesa.memory_token_store import MemoryTokenStore
from app.integrations.mpesa.merchant_client import MerchantClient
from app.integrations.mpesa.merchant_result_codes import (
    MERCHANT_RESULT_CODES,
    MerchantResultCode,
    explain_merchant_result,
)
from app.integrations.mpesa.messages import StkCallback, read_stk_callback, read_stk_query
from app.integrations.mpesa.passwords import stk_password
from app.integrations.mpesa.result_codes import (
    FINAL_FAILURES,
    RESULT_CODES,
    FailureStatus,
    ResultCode,
    explain,
)
from app.integrations.mpesa.results import (
    ApiResult,
    QueueTimeout,
    TransactionFacts,
    read_api_result,
    read_balances,
    read_moved_cents,
    read_queue_timeout,
    read_transaction_facts,
)
from app.integrations.mpesa.settings import Initiator, MerchantSettings, MpesaSettings

__all__ = [
    "FINAL_FAILURES",
    "MERCHANT_RESULT_CODES",
    "RESULT_CODES",
    "ApiResult",
    "C2bNotice",
    "CircuitBreaker",
    "DarajaClient",
    "Examiner",
    "FailureStatus",
    "Initiator",
    "MemoryTokenStore",
    "MerchantClient",
    "MerchantResultCode",
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
    "PairAnswer",
    "PairTrial",
    "QueueTimeout",
    "ResultCode",
    "StkCallback",
    "TransactionFacts",
    "UnreadableMessage",
    "build_transport",
    "certificate_subject",
    "explain",
    "explain_merchant_result",
    "read_api_result",
    "read_balances",
    "read_c2b_notice",
    "read_moved_cents",
    "read_queue_timeout",
    "read_stk_callback",
    "read_stk_query",
    "read_transaction_facts",
    "scrub_text",
    "security_credential",
    "stk_password",
]
