"""The endpoints that answer at once: the Pull API, and dynamic QR codes."""

import base64
import io
import re

import segno
from flask import Blueprint, Response

from daraja_simulator import wire
from daraja_simulator.apis import Api
from daraja_simulator.calls import answer_json, check_caller, read_body, this_gateway
from daraja_simulator.fields import read_amount, read_choice, read_matching, read_text
from daraja_simulator.pull_request import read_pull_query, read_pull_register
from daraja_simulator.wire import Refused

lookups = Blueprint("lookups", __name__)

_TRANSACTION_CODES = ("BG", "WA", "PB", "SM", "SB")
_CPI = re.compile(r"[0-9]{5,12}")
_SIZE = re.compile(r"[0-9]{2,4}")
_TEXT_LIMIT = 100
_MARGIN = 4  # modules that the standard wants to stay white


@lookups.post("/pulltransactions/v1/register", provide_automatic_options=False)
def register_pull() -> Response:
    gateway = this_gateway()
    check_caller(gateway, Api.PULL)
    merchant, shortcode = read_pull_register(read_body(), gateway.config)
    is_new = gateway.pull.register(merchant)
    words = "Shortcode Registered Successfully" if is_new else "ShortCode already Registered"
    return answer_json(
        {
            "ResponseRefID": gateway.core.make_request_id(),
            "ResponseStatus": "1000" if is_new else "1001",
            "ShortCode": shortcode,
            "ResponseDescription": words,
        }
    )


@lookups.route(
    "/pulltransactions/v1/query", methods=["POST", "GET"], provide_automatic_options=False
)
def query_pull() -> Response:
    """The manual says POST in one place and GET, with a body, in another."""
    gateway = this_gateway()
    check_caller(gateway, Api.PULL)
    query = read_pull_query(read_body(), gateway.config)
    if not gateway.pull.is_registered(query.merchant):
        raise Refused(wire.PULL_UNREGISTERED)
    reference, rows = gateway.core.make_request_id(), gateway.pull.page(query)
    if not rows:  # as the sandbox answers; the manual prints a Response of [[]]
        return answer_json(
            {
                "RequestID": reference,
                "ResponseCode": "1001",
                "ResponseMessage": "No records found or Organization Name not available",
            }
        )
    return answer_json(
        {
            "ResponseRefID": reference,
            "ResponseCode": "1000",
            "ResponseMessage": "Success",
            "Response": [rows],
        }
    )


@lookups.post("/mpesa/qrcode/v1/generate", provide_automatic_options=False)
def generate_qr() -> Response:
    gateway = this_gateway()
    check_caller(gateway, Api.QR)
    payload = read_body()
    name = read_text(payload, "MerchantName", 1, _TEXT_LIMIT)
    reference = read_text(payload, "RefNo", 1, _TEXT_LIMIT)
    amount = read_amount(payload)
    code = read_choice(payload, "TrxCode", _TRANSACTION_CODES)
    party = read_matching(payload, "CPI", _CPI)
    size = int(read_matching(payload, "Size", _SIZE))
    # What the real one holds is not published; this can be read by any phone, if not paid by one.
    picture = _draw(f"{code}|{party}|{amount}|{reference}|{name}", size)
    return answer_json(
        {
            "ResponseCode": "00",
            "RequestID": gateway.core.make_request_id(),
            "ResponseDescription": "QR Code Successfully Generated.",
            "QRCode": base64.b64encode(picture).decode(),
        }
    )


def _draw(text: str, size: int) -> bytes:
    """A square PNG of at most so many pixels, though never less than one for a module."""
    code = segno.make(text, micro=False)
    modules = code.symbol_size(border=_MARGIN)[0]
    written = io.BytesIO()
    code.save(written, kind="png", scale=max(size // modules, 1), border=_MARGIN)
    return written.getvalue()
