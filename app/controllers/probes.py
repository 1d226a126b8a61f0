"""What the doctor posts to the callback's address, to see how Safaricom's messages would arrive."""

from hashlib import sha256

from flask import request

from app.context import now
from app.db import reading, transaction
from app.services.inbox import MAX_BODY_BYTES
from app.services.probes import Arrival, is_probe, note_arrival
from app.utils.callback_secret import CallbackSecret


def hear_probe(secret: CallbackSecret) -> bool:
    """Write down how this request arrived, if the doctor has just made a probe with this secret."""
    with reading() as session:
        if not is_probe(session, secret, now()):
            return False
    body = request.get_data(cache=False)[:MAX_BODY_BYTES]
    arrival = Arrival(
        remote_addr=request.remote_addr,
        forwarded_for=request.headers.get("X-Forwarded-For"),
        body_hash=sha256(body).hexdigest(),
    )
    with transaction() as session:
        note_arrival(session, secret, arrival, now())
    return True
