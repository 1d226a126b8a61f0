"""The password that Safaricom wants with every M-Pesa Express request."""

import base64
from datetime import datetime

from app.utils.clock import EAT


def stk_password(shortcode: str, passkey: str, now: datetime) -> tuple[str, str]:
    """The ``Timestamp`` and the ``Password`` made of it; the two must travel together.

    Daraja, M-Pesa Express: the password is base64(shortcode + passkey + timestamp), the timestamp
    YYYYMMDDHHmmss. The portal names no zone; it is Nairobi's, whatever the host is set to. Raises
    ValueError for a naive moment.
    """
    if now.tzinfo is None:
        raise ValueError("The moment must know its zone.")
    timestamp = now.astimezone(EAT).strftime("%Y%m%d%H%M%S")
    password = base64.b64encode(f"{shortcode}{passkey}{timestamp}".encode()).decode()
    return timestamp, password
