"""A shop whose limits and queue are in Redis, and a Redis that dies and comes back."""

import pytest
import redis

from drill.processes import Program, free_port, wait_until
from tests.e2e.proxies import installed
from tests.e2e.shop import Shop
from tests.e2e.story import SUCCESS

pytestmark = pytest.mark.timeout(300)
LIMIT = 5
PROCESSES = 2
PAYER_ANSWERS_SECONDS = 3


class Redis:
    """One server on one port, which can be killed and started again."""

    def __init__(self, folder) -> None:
        self._command = installed("redis-server")
        self._folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis.from_url(self.url, socket_timeout=5)
        self.program: Program | None = None
        self.start()

    def start(self) -> None:
        arguments = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self.program = Program(
            "redis", [self._command, *arguments], self._folder, {"PATH": "/usr/bin:/bin"}
        )
        wait_until(self._answers, "Redis answers")

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False

    def kill(self) -> None:
        self.program.clear_away()


@pytest.fixture(scope="module")
def store(e2e_database_kind, tmp_path_factory):
    if e2e_database_kind != "postgresql":
        pytest.skip("where there is one machine there is no Redis")
    made = Redis(tmp_path_factory.mktemp("redis"))
    yield made
    made.kill()
    made.client.close()


@pytest.fixture(scope="module")
def shop(make_shop, store):
    settings = {
        "REDIS_URL": store.url,
        "QUEUE_URL": "",  # as the other two: where REDIS_URL says
        "RATE_LIMITS_ENABLED": "true",
        "UNSIGNED_CALLBACK_LIMIT": f"{LIMIT} per hour",
        "WEB_WORKERS": str(PROCESSES),
    }
    with make_shop("redis", **settings).open() as made:
        yield made


def post_unsigned(shop: Shop) -> int:
    """By a new connection each, so that either process may get it."""
    return shop.call("POST", "/mpesa/callback", content=b"{}").status_code


def test_limits_hold_over_all_processes(shop, store):
    answers = [post_unsigned(shop) for _ in range(LIMIT + 10)]
    assert answers == [200] * LIMIT + [429] * 10
    assert store.client.dbsize() > 0


@pytest.mark.fault("F49")
def test_while_redis_is_gone_the_shop_sells_and_is_paid_and_limits_do_not_vanish(shop, store):
    store.kill()
    try:
        purchase = shop.buy(SUCCESS, name="withoutredis")
        shop.advance(PAYER_ANSWERS_SECONDS)
        shop.wait_for_order(purchase, "paid")
        answers = [post_unsigned(shop) for _ in range(PROCESSES * LIMIT + 10)]
        assert set(answers) <= {200, 429}
        # each process counts for itself
        assert answers.count(200) <= PROCESSES * LIMIT
        assert answers[-1] == 429
        assert shop.worker.is_alive()
        assert shop.call("GET", "/readyz").status_code == 200
    finally:
        store.start()


@pytest.mark.fault("F49")
def test_when_redis_is_back_it_is_used_again_without_a_restart(shop, store):
    def is_counted_there() -> bool:
        post_unsigned(shop)
        return any(store.client.scan_iter("LIMITS*", count=1000))

    wait_until(is_counted_there, "the limits are counted in Redis again")
    wait_until(
        lambda: store.client.info("clients")["blocked_clients"] > 0, "the worker waits at its queue"
    )
    purchase = shop.buy(SUCCESS, name="withredis")
    shop.advance(PAYER_ANSWERS_SECONDS)
    shop.wait_for_order(purchase, "paid")
    shop.check_books()
