"""Far more at once than the web server takes in: who is served, who is sent away, who never is."""

import asyncio
import json
from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from app.models import Order
from bench.overload import Ask, Crowd, Tally, request
from tests.e2e.shop import Person, Shop
from tests.e2e.story import SUCCESS

pytestmark = pytest.mark.timeout(300)
PLACES, QUEUE = 1, 4
ROOM = PLACES + QUEUE
REPORTED = 8
ENOUGH = 30
PAYER_ANSWERS_SECONDS = 3
CLIENT_THINKS_SECONDS = 0.01


@pytest.fixture(scope="module")
def shop(make_shop):
    settings = {
        "WEB_WORKERS": "1",
        "WEB_THREADS": str(PLACES),
        "WEB_QUEUE": str(QUEUE),
        "MAX_OPEN_ORDERS": "1000000",
    }
    with make_shop("overload", **settings).open() as made:
        yield made


class Buyers:
    """One of five that ask wants to order: each once, with a key of its own."""

    def __init__(self, shop: Shop, buyer: Person) -> None:
        self._host = f"127.0.0.1:{shop.web_port}"
        self._token = buyer.headers["Authorization"].removeprefix("Bearer ")
        self._product_id = shop.offer(stock=1_000_000)
        self._asked = 0
        self.placed: set[str] = set()
        self.sent_away: set[str] = set()

    async def ask(self, crowd: Crowd, tally: Tally) -> None:
        self._asked += 1
        if self._asked % 5 == 0:
            await self.order(f"order-{self._asked}", crowd, tally)
        else:
            await crowd.send(Ask("read", request(self._host, "GET", "/api/items")), 0, tally)

    async def order(self, key: str, crowd: Crowd, tally: Tally) -> None:
        body = json.dumps({"products": [{"product_id": self._product_id, "quantity": 1}]})
        raw = request(self._host, "POST", "/api/orders", body, self._token)
        keyed = raw.replace(b"\r\n", f"\r\nIdempotency-Key: {key}\r\n".encode(), 1)
        answered = Tally()
        await crowd.send(Ask("order", keyed), 0, answered)
        (self.placed if answered.served["order"] else self.sent_away).add(key)
        tally.add(answered)


async def press(shop: Shop, buyers: Buyers, clients: int, beside: Callable[[], None]) -> Tally:
    """As many clients, none of which ever gives up, until ``beside`` is done, and meanwhile enough
    orders were placed and readers sent away.
    """
    crowd, tally = Crowd(shop.web_port), Tally()
    work = asyncio.create_task(asyncio.to_thread(beside))

    async def go_on() -> None:
        while not work.done() or min(tally.sent_away["read"], tally.served["order"]) < ENOUGH:
            await buyers.ask(crowd, tally)
            await asyncio.sleep(CLIENT_THINKS_SECONDS)

    await asyncio.gather(*[go_on() for _ in range(clients)])
    await work
    await crowd.close()
    return tally


async def ask_again(shop: Shop, buyers: Buyers) -> Tally:
    """Those whose orders were not taken, one after the other."""
    crowd, tally = Crowd(shop.web_port), Tally()
    for key in sorted(buyers.sent_away):
        await buyers.order(key, crowd, tally)
    await crowd.close()
    return tally


def orders_of(shop: Shop, buyer: Person) -> int:
    with shop.reading() as session:
        count = select(func.count()).select_from(Order).where(Order.user_id == buyer.id)
        return session.scalar(count)


@pytest.mark.fault("F41")
@pytest.mark.parametrize("times", [2, 4])
def test_under_several_times_the_load_every_report_is_kept_and_no_order_half_made(shop, times):
    purchases = [shop.buy(SUCCESS, name=f"paid{number}") for number in range(REPORTED)]
    buyer = shop.sign_up("crowd", shop.phone("0000"))
    buyers = Buyers(shop, buyer)
    pressed = asyncio.run(
        press(shop, buyers, times * ROOM, lambda: shop.advance(PAYER_ANSWERS_SECONDS))
    )
    assert pressed.failed == {}
    assert orders_of(shop, buyer) == len(buyers.placed) == pressed.served["order"]
    for purchase in purchases:
        (report,) = shop.deliveries_of(purchase.push.json()["checkout_request_id"])
        assert report["status"] == 200
        shop.wait_for_order(purchase, "paid")
    wanted = len(buyers.placed | buyers.sent_away)
    calm = asyncio.run(ask_again(shop, buyers))
    assert (calm.sent_away, calm.failed) == ({}, {})
    assert orders_of(shop, buyer) == len(buyers.placed) == wanted
    assert shop.call("GET", "/").status_code == 200
    shop.check_books()
