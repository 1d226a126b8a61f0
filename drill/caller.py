"""A customer's HTTP: one kept connection a thread, and either an answer or none."""

import http.client
import json
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

HTTP_SECONDS = 20.0


class NoAnswer(Exception):
    """Whatever was asked for may have been done, or not."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    document: dict[str, Any]
    retry_after_seconds: float | None = None

    @property
    def code(self) -> str:
        """The problem's stable code; of what is no problem, the status."""
        return str(self.document.get("code", self.status))


class Caller:
    """Shared by all customers; each thread that calls has a connection of its own."""

    def __init__(
        self, port: int, host: str = "127.0.0.1", *, patience_seconds: float = HTTP_SECONDS
    ) -> None:
        self._host, self._port = host, port
        self._patience_seconds = patience_seconds
        self._local = threading.local()
        self._opened: set[http.client.HTTPConnection] = set()

    def close(self) -> None:
        """Close the connections of all threads; none of them calls any more."""
        for connection in list(self._opened):
            connection.close()
        self._opened.clear()

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = None,
        key: str | None = None,
        hang_up_after_seconds: float | None = None,
    ) -> Answer:
        """One request. Raises NoAnswer, also where we hang up ourselves instead of listening."""
        headers = {"Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if key:
            headers["Idempotency-Key"] = key
        payload = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            payload = json.dumps(body)
        try:
            return self._exchange(method, path, payload, headers, hang_up_after_seconds)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.hang_up()
            raise NoAnswer(f"{type(error).__name__}: {error}") from error

    def hang_up(self) -> None:
        """Close this thread's connection; the next call opens another."""
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is not None:
            with suppress(OSError):
                connection.close()
            self._opened.discard(connection)
            self._local.connection = None

    def _exchange(
        self,
        method: str,
        path: str,
        payload: str | None,
        headers: Mapping[str, str],
        hang_up_after_seconds: float | None,
    ) -> Answer:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(
                self._host, self._port, timeout=self._patience_seconds
            )
            self._local.connection = connection
            self._opened.add(connection)
        connection.request(method, path, payload, dict(headers))
        if hang_up_after_seconds is not None:
            time.sleep(hang_up_after_seconds)
            raise ConnectionError("we hung up")
        response = connection.getresponse()
        text = response.read()
        document = json.loads(text) if text else {}
        wait = response.headers.get("Retry-After", "")
        return Answer(
            response.status,
            document if isinstance(document, dict) else {"": document},
            float(wait) if wait.isdecimal() else None,
        )
