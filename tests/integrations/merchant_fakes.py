"""What the tests of the merchant's requests share: asks, answers, a client of them."""

import httpx2
from daraja_fakes import Moment, settings

from app.config import SIMULATOR_CERTIFICATE
from app.integrations.mpesa import Initiator, MemoryTokenStore, MerchantClient, MerchantSettings
from app.ports import BalanceAsk, PayoutAsk, QrAsk, ReversalAsk, StatusAsk

CERTIFICATE = SIMULATOR_CERTIFICATE.read_bytes()
ADDRESSES = {
    "result_url": "https://shop.example/api/pay/result/7.secret",
    "timeout_url": "https://shop.example/api/pay/timeout/7.secret",
}
CONVERSATION_ID = "AG_20261122_20106e9209f64bebd05b"
ACKNOWLEDGED = {
    "OriginatorConversationID": "f1e2-4b95-a71d-b30d3cdbb7a7735297",
    "ConversationID": CONVERSATION_ID,
    "ResponseCode": "0",
    "ResponseDescription": "Accept the service request successfully.",
}
REGISTERED = {
    "OriginatorCoversationID": "53e3-4aa8-9fe0-8fb5e4092cdd3405976",
    "ResponseCode": "0",
    "ResponseDescription": "Success",
}


def initiator(**changes):
    return Initiator(
        **{
            "name": "sokoni",
            "password": "password-of-ours",
            "certificate": CERTIFICATE,
            **changes,
        }
    )


def merchant(**changes):
    return MerchantSettings(
        **{
            "c2b_shortcode": "174379",
            "initiator": initiator(),
            "b2c_shortcode": "3012345",
            "may_pull": True,
            "may_simulate": True,
            **changes,
        }
    )


def merchant_client(fake, *, moment=None, agreed=None, **changes):
    moment = moment or Moment()
    return MerchantClient(
        settings(**changes),
        agreed or merchant(),
        MemoryTokenStore(monotonic=moment.monotonic),
        moment.clock,
        httpx2.MockTransport(fake),
        monotonic=moment.monotonic,
        sleep=moment.sleep,
    )


def reversal(**changes):
    plain = {"receipt": "SG632NMUAB", "amount_cents": 150000, "remarks": "Order SK-1024"}
    return ReversalAsk(**{**plain, **ADDRESSES, **changes})


def payout(**changes):
    plain = {
        "originator_id": "sokoni-refund-31",
        "msisdn": "254712345678",
        "amount_shillings": 1500,
        "remarks": "Order SK-1024",
    }
    return PayoutAsk(**{**plain, **ADDRESSES, **changes})


def status(**changes):
    plain = {"receipt": "SG632NMUAB", "conversation_id": None, "remarks": "Order SK-1024"}
    return StatusAsk(**{**plain, **ADDRESSES, **changes})


def balance(**changes):
    return BalanceAsk(**{"remarks": "Daily", **ADDRESSES, **changes})


def qr(**changes):
    return QrAsk(
        **{
            "merchant_name": "Sokoni",
            "reference": "SK-1024",
            "amount_shillings": 1500,
            **changes,
        }
    )
