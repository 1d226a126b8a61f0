"""Somebody who asks one web host and no other, to see what that one says."""

import itertools
import time
from typing import Any

from sqlalchemy import select

from app.db import Database
from app.models import Product
from drill.caller import Answer, NoAnswer
from drill.hosts.callers import ManyHosts
from drill.hosts.town import TRIES
from drill.market import PASSWORD

_CREATED, _OK, _WRONG, _TOO_MANY, _AWAY = 201, 200, 401, 429, 503
_OVERLOADED = "overloaded"
_TIMES, _PAUSE_SECONDS = 20, 0.5
_PLENTY = 1000


class Visitor:
    """Each question comes by a new connection: a kept one may have died meanwhile."""

    def __init__(self, callers: ManyHosts) -> None:
        self._callers = callers.callers
        self._names = (f"visitor{number}" for number in itertools.count(1))

    @property
    def hosts(self) -> list[str]:
        return list(self._callers)

    # --- the catalogue ---

    def look(self, host: str) -> Answer:
        """At what stands in the database. Raises NoAnswer."""
        return self._ask(host, "GET", "/api/items")

    def is_served(self, host: str) -> bool:
        try:
            return self.look(host).status == _OK
        except NoAnswer:
            return False

    def is_put_off(self, host: str) -> bool:
        """Told that the shop is away, and when to come again."""
        try:
            answer = self.look(host)
        except NoAnswer:
            return False
        return answer.status == _AWAY and answer.retry_after_seconds is not None

    # --- an order ---

    def order(self, host: str, database: Database) -> tuple[str, int]:
        """A new customer's, of something of which there is plenty: the token and the order's id."""
        name = next(self._names)
        new = {"username": name, "email": f"{name}@shop.example", "password": PASSWORD}
        self._insist(host, "/api/register", new, _CREATED)
        signed_in = self._insist(host, "/api/login", {"username": name, "password": PASSWORD}, _OK)
        token: str = signed_in["access_token"]
        with database.reading() as session:
            plenty = select(Product.id).where(Product.on_hand > _PLENTY).limit(1)
            product_id = session.scalars(plenty).one()
        wish = {"products": [{"product_id": product_id, "quantity": 1}]}
        return token, self._insist(host, "/api/orders", wish, _CREATED, token)["id"]

    def cancel(self, host: str, token: str, order_id: int) -> Answer:
        return self._ask(host, "POST", f"/api/orders/{order_id}/cancel", {}, token)

    # --- limits ---

    def is_limited_everywhere(self) -> bool:
        """Whether the tries that one host counts are not to be had again at another."""
        first, *others = self.hosts
        account = next(self._names)
        try:
            spent = [self._guess(first, account) for _ in range(TRIES)]
            beyond = [self._guess(other, account) for other in others]
        except NoAnswer:
            return False
        return set(spent) == {_WRONG} and set(beyond) == {_TOO_MANY}

    def is_limited_apart(self) -> bool:
        """While no host knows what another counts: each lets through its own, and no more."""
        account = next(self._names)
        expected = [_WRONG] * TRIES + [_TOO_MANY]
        try:
            found = [[self._guess(host, account) for _ in expected] for host in self.hosts]
        except NoAnswer:
            return False
        return found == [expected] * len(self.hosts)

    def _guess(self, host: str, account: str) -> int:
        wrong = {"username": account, "password": "Wrong horse 12"}
        return self._ask(host, "POST", "/api/login", wrong).status

    # --- asking ---

    def _insist(
        self, host: str, path: str, body: object, status: int, token: str | None = None
    ) -> dict[str, Any]:
        answer = self._ask(host, "POST", path, body, token)
        if answer.status != status:
            raise RuntimeError(f"{path} at {host}: {answer}")
        return answer.document

    def _ask(
        self, host: str, method: str, path: str, body: object = None, token: str | None = None
    ) -> Answer:
        """Again while too many are there. Raises NoAnswer."""
        caller = self._callers[host]
        for _ in range(_TIMES):
            caller.hang_up()
            answer = caller.call(method, path, body, token=token)
            if answer.code != _OVERLOADED:
                break
            time.sleep(_PAUSE_SECONDS)
        return answer
