"""Buyers of django-oscar's API. An order of two lines takes three requests, one after the other:
each line is put into the basket, whose address the answer tells, and the basket is checked out.
"""

import http.client
import json
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.load import Load
from bench.options import FEW
from bench.peers.oscar import Oscar

REQUESTS = 3
"""That make an order."""

_CSRF = "0123456789abcdef0123456789abcdef"
_ADD, _CHECKOUT = "/api/basket/add-product/", "/api/checkout/"


@dataclass(slots=True)
class _Round:
    """What all buyers did until its end."""

    end: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    times_ms: list[float] = field(default_factory=list)
    """Of each order that was done in time."""
    done: int = 0
    errors: list[Exception] = field(default_factory=list)


def buy(oscar: Oscar, sessions: Sequence[str], seconds: float) -> Load:
    """Each session is a buyer who orders without a pause. Raises for whoever is refused."""
    began, used = time.perf_counter(), time.process_time()
    told = _Round(began + seconds)
    buyers = [
        threading.Thread(target=_buy_until, args=(oscar.port, session, number, told))
        for number, session in enumerate(sessions)
    ]
    for buyer in buyers:
        buyer.start()
    for buyer in buyers:
        buyer.join()
    if told.errors:
        raise RuntimeError(f"{told.errors[0]}\n{oscar.program.tail()}") from told.errors[0]
    share = (time.process_time() - used) / (time.perf_counter() - began)
    times = sorted(told.times_ms)
    return Load(
        rate=len(times) / seconds,
        p50_ms=times[len(times) // 2],
        p99_ms=times[len(times) * 99 // 100],
        failed=0,
        client_share=share,
        done=told.done,
    )


def _buy_until(port: int, session: str, number: int, told: _Round) -> None:
    draw = random.Random(number)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        while (began := time.perf_counter()) < told.end:
            _order(connection, session, draw.sample(range(1, FEW + 1), 2))
            with told.lock:
                told.done += 1
                if (now := time.perf_counter()) < told.end:
                    told.times_ms.append((now - began) * 1e3)
    except (OSError, http.client.HTTPException, RuntimeError) as error:
        told.errors.append(error)
    finally:
        connection.close()


def _order(connection: http.client.HTTPConnection, session: str, products: Sequence[int]) -> None:
    here = f"http://127.0.0.1:{connection.port}"
    basket: dict[str, Any] = {}
    for product_id in products:
        line = {"url": f"{here}/api/products/{product_id}/", "quantity": 1}
        basket = _post(connection, session, _ADD, line)
    _post(connection, session, _CHECKOUT, {"basket": basket["url"]})


def _post(
    connection: http.client.HTTPConnection, session: str, path: str, document: dict[str, object]
) -> dict[str, Any]:
    headers = {
        "Content-Type": "application/json",
        "Cookie": f"sessionid={session}; csrftoken={_CSRF}",
        "X-CSRFToken": _CSRF,
    }
    connection.request("POST", path, json.dumps(document), headers)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != http.client.OK:
        raise RuntimeError(f"{path} was answered {answer.status}: {body[:500]!r}")
    told: dict[str, Any] = json.loads(body)
    return told
