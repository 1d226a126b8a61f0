"""The life of an order, step by step, asked of the whole app in this process."""

import json
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import func, select
from werkzeug.test import Client
from werkzeug.wrappers import Response

from app import create_app
from app.config import Config
from app.context import WORK
from app.db import Database
from app.jobs.deliver_webhooks import deliver_due_webhooks
from app.jobs.rules import call_rules
from app.jobs.work import Work
from app.models import Order, OrderStatus
from app.policies import Actor, Role
from app.ports import (
    Doorbell,
    Ports,
    PushAccepted,
    PushRequest,
    PushStatus,
    Verdict,
    WebhookAnswer,
    WebhookRequest,
)
from app.services.audit import audit
from app.services.webhooks.endpoints import NewEndpoint, create_endpoint
from app.utils.callback_secret import split_callback_token
from app.utils.clock import utc_now
from bench.load import FRESH, Request
from bench.options import FEW
from bench.prompts import Prompt, checkout_request_id, merchant_request_id


class _NoDoorbell:
    def ring(self, job: str, row_id: int, *, delay_seconds: float = 0) -> None:
        pass

    def waiting(self) -> int | None:
        return None


class _Safaricom:
    """Takes every prompt, at once, and remembers it."""

    def __init__(self) -> None:
        self.prompts: list[Prompt] = []

    def push(self, ask: PushRequest) -> PushAccepted:
        token = ask.callback_url.rpartition("/")[2]
        if (parts := split_callback_token(token)) is None:
            raise RuntimeError(f"A prompt is to be reported at {ask.callback_url}.")
        payment_id, _ = parts
        self.prompts.append(Prompt(payment_id, token, ask.amount_shillings * 100))
        return PushAccepted(
            merchant_request_id(payment_id), checkout_request_id(payment_id), "Success."
        )

    def query(self, _checkout_request_id: str) -> PushStatus:
        return PushStatus(Verdict.NONE, None, None)


class _Receiver:
    """Of webhooks: it takes everything, at once."""

    def send(self, _request: WebhookRequest) -> WebhookAnswer:
        return WebhookAnswer(200, 1)

    def check(self, url: str) -> None:
        pass


class Story:
    """A shop in this process. A step is done for one order at a time: ``place(3)`` is the third's.

    With ``doorbell`` the queue is what that rings at, otherwise nobody comes.
    """

    def __init__(
        self, config: Config, requests: Sequence[Request], doorbell: Doorbell | None = None
    ) -> None:
        self._requests = requests
        self._safaricom = _Safaricom()
        self._orders: list[int] = []
        self._put_off_until_answered: list[Callable[[], None]] = []
        self._app = create_app(
            config,
            Ports(
                clock=utc_now,
                gateway=self._safaricom,
                doorbell=doorbell or _NoDoorbell(),
                run_soon=self._put_off,
                webhooks=_Receiver(),
            ),
        )
        self._client = Client(self._app.wsgi_app, Response, use_cookies=False)
        self._work: Work = self._app.extensions[WORK]

    @property
    def database(self) -> Database:
        return self._work.database

    def add_webhook(self, admin_id: int) -> None:
        new, admin = NewEndpoint("https://erp.example/hooks"), Actor(admin_id, Role.ADMIN, "bench")
        with self.database.transaction() as session:
            create_endpoint(session, admin, new, call_rules(self._work.config), utc_now())

    def place(self, number: int) -> None:
        told = self._ask(self._requests[number % len(self._requests)], 201)
        self._orders.append(told["id"])

    def ask_phone(self, number: int) -> None:
        document = {"order_id": self._orders[number], "phone_number": f"2547{number:08d}"}
        headers = self._requests[number % len(self._requests)].headers
        self._ask(Request("/api/mpesa/stkpush", "POST", headers, json.dumps(document)), 202)

    def report(self, number: int) -> None:
        """Kept, answered, and read: the payment is settled and its order paid."""
        self._ask(self._safaricom.prompts[number].report(), 200)
        while self._put_off_until_answered:
            self._put_off_until_answered.pop()()

    def tell(self) -> None:
        """Whatever the webhook has not been told yet."""
        deliver_due_webhooks(self._work)

    def look(self, number: int) -> None:
        """How the order stands, for its buyer."""
        headers = self._requests[number % len(self._requests)].headers
        self._ask(Request(f"/api/orders/{self._orders[number]}", headers=headers), 200)

    def show_page(self, _number: int) -> None:
        self._ask(Request("/api/items"), 200)

    def show_product(self, number: int) -> None:
        self._ask(Request(f"/api/items/{number % FEW + 1}"), 200)

    def _put_off(self, work: Callable[[], None]) -> bool:
        self._put_off_until_answered.append(work)
        return True

    def _ask(self, asked: Request, status: int) -> Any:
        headers = {**asked.headers}
        if FRESH in headers.values():
            headers["Idempotency-Key"] = uuid4().hex
        answer = self._client.open(
            asked.path, method=asked.method, headers=headers, data=asked.body or None
        )
        if answer.status_code != status:
            raise RuntimeError(f"{asked.path} was answered {answer.status}: {answer.text[:500]}")
        return answer.json

    def check(self) -> None:
        """Raises where an order is not paid, or the books do not add up."""
        with self.database.reading() as session:
            paid = select(func.count()).select_from(Order).where(Order.status == OrderStatus.PAID)
            count = session.scalar(paid.where(Order.id.in_(self._orders)))
            found = audit(session, utc_now())
        if count != len(self._orders) or found:
            raise RuntimeError(f"{count} of {len(self._orders)} orders are paid; {found[:5]}")


Step = Callable[[Story, range], None]


def _each(do: Callable[[Story, int], None]) -> Step:
    def step(story: Story, numbers: range) -> None:
        for number in numbers:
            do(story, number)

    return step


PAID: dict[str, Step] = {
    "an order placed": _each(Story.place),
    "its prompt asked for": _each(Story.ask_phone),
    "its callback kept, and read: paid": _each(Story.report),
    "its webhooks sent": lambda story, _: story.tell(),
}
STEPS: dict[str, Step] = {
    **PAID,
    "an order looked at": _each(Story.look),
    "a page of the catalogue, kept": _each(Story.show_page),
    "a product, each another": _each(Story.show_product),
}
