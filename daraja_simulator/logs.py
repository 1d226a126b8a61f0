"""One line an event, with phones masked wherever they stand."""

import logging
import re
import sys

_PHONE = re.compile(r"(254[17])[0-9]{5}([0-9]{3})(?![0-9])")
# A checkout id ends in the last nine digits of the phone.
_CHECKOUT_ID = re.compile(r"(ws_CO_[0-9]{14}[0-9]{1,3}?)[0-9]{6}([0-9]{3})(?![0-9])")


def mask_text(text: str) -> str:
    return _CHECKOUT_ID.sub(r"\1****\2", _PHONE.sub(r"\1****\2", text))


class MaskingFormatter(logging.Formatter):
    """Masks the finished line, so nothing that was formatted into it can slip through."""

    def format(self, record: logging.LogRecord) -> str:
        return mask_text(super().format(record))


def set_up_logging() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(MaskingFormatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("daraja_simulator")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False
