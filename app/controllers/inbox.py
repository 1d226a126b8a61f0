"""What Safaricom posts: stored before it is answered, answered before it is read."""

import time
from collections.abc import Mapping

import structlog
from flask import Response, jsonify, request

from app.context import current_work, now
from app.jobs.process_message import RING_EVERY_SECONDS, process_message
from app.jobs.work import Work
from app.models import InboxSource
from app.services.inbox import MAX_BODY_BYTES, ReceivedMessage, store_message
from app.utils.failpoints import failpoint
from app.utils.intake import wait_for_a_pause

log = structlog.get_logger()
ACCEPTED = {"ResultCode": 0, "ResultDesc": "Accepted"}
_KEPT_HEADERS = ("content-type", "businessshortcode", "user-agent", "x-forwarded-for")
_LONGEST_ADDRESS = 45


def keep_and_answer(
    source: InboxSource,
    answer: Mapping[str, object],
    *,
    payment_id: int | None = None,
    request_id: int | None = None,
) -> Response:
    """Store the body and give the ``answer``; reading it waits for nobody and keeps nobody waiting.

    A thread of this process reads it at once. If the process dies first, the sweep finds the row.
    """
    message = ReceivedMessage(
        source=source,
        body=request.get_data(cache=False)[: MAX_BODY_BYTES + 1],
        headers={
            name: value[:300]
            for name in _KEPT_HEADERS
            if (value := request.headers.get(name)) is not None
        },
        remote_addr=(request.remote_addr or "")[:_LONGEST_ADDRESS] or None,
        payment_id=payment_id,
        request_id=request_id,
    )
    work = current_work()
    with work.database.turn():
        message_id = store_message(work.database.keeping, message, now())
    failpoint("after_inbox_commit")
    if not work.ports.run_soon(lambda: _process_after_answer(work, message_id)):
        _ring_for_backlog(work, message_id)
    return jsonify(answer)


_rung_at = float("-inf")


def _ring_for_backlog(work: Work, message_id: int) -> None:
    """More wait than are told of: in a burst a bell for each would cost more than keeping it."""
    global _rung_at  # noqa: PLW0603 - one clock a process
    now = time.monotonic()
    if now >= _rung_at + RING_EVERY_SECONDS:
        _rung_at = now
        work.ports.doorbell.ring("process_backlog", message_id)


def _process_after_answer(work: Work, message_id: int) -> None:
    failpoint("beside_callback_answer")
    wait_for_a_pause()
    try:
        process_message(work, message_id)
    except Exception:
        log.exception("callback_left_to_the_worker", message_id=message_id)
        work.ports.doorbell.ring("process_message", message_id)
