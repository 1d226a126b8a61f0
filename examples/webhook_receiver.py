"""Listens for the shop's webhooks and prints each event once: the Python standard library, no more.

    python examples/webhook_receiver.py whsec_… [PORT]

A system of your own does the same four things: it reads the raw body, verifies it before anything
else, answers at once, and remembers the ids that it has seen.
"""

import base64
import hmac
import json
import sys
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PORT = 5055
LONGEST_BODY = 1024 * 1024
TOLERANCE_SECONDS = 300


def verify(secret: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """The event, if the shop sent it a moment ago. Raises ValueError otherwise."""
    sent_at = headers.get("webhook-timestamp", "")
    if not sent_at.isdecimal() or abs(time.time() - int(sent_at)) > TOLERANCE_SECONDS:
        raise ValueError("not sent just now")
    signed = f"{headers.get('webhook-id', '')}.{sent_at}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    for signature in headers.get("webhook-signature", "").split():
        version, _, value = signature.partition(",")
        if version == "v1" and hmac.compare_digest(value.encode(), expected.encode()):
            event: dict[str, Any] = json.loads(body)
            return event
    raise ValueError("not signed with this secret")


def say(line: str) -> None:
    """At once and in one piece: two events may come at the same moment."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to what the shop sent, also to what is here already; 400 to anything else."""

    secret = ""
    seen: set[str]

    def do_POST(self) -> None:
        length = min(int(self.headers.get("Content-Length", "0")), LONGEST_BODY)
        body = self.rfile.read(length)
        try:
            event = verify(self.secret, self.headers, body)
        except ValueError as error:
            say(f"refused: {error}")
            self.send_error(400)
            return
        event_id = self.headers["webhook-id"]
        if event_id not in self.seen:
            self.seen.add(event_id)
            say(f"{event_id} {event['type']} {json.dumps(event['data'])}")
        else:
            say(f"{event_id} again")
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its own signature
        """What matters is printed above."""


def main() -> None:
    if len(sys.argv) not in {2, 3}:
        sys.exit("usage: webhook_receiver.py SECRET [PORT]")
    Receiver.secret, Receiver.seen = sys.argv[1], set()
    port = int(sys.argv[2]) if sys.argv[2:] else PORT
    with ThreadingHTTPServer(("127.0.0.1", port), Receiver) as server:
        say(f"listening on http://127.0.0.1:{server.server_port}/")
        server.serve_forever()


if __name__ == "__main__":
    main()
