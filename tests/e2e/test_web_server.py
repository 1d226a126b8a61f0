"""The web server itself: doubtful requests, several processes, and its end."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from drill.processes import children_of, wait_until
from tests.e2e.raw import TRICKS, say, told
from tests.e2e.shop import Shop

TOKEN = "a-token-of-thirty-two-characters-or-more"
COUNTED = 'sokoni_http_request_seconds_count{method="GET",route="/healthz",status="2xx"}'


@pytest.fixture(scope="module")
def shop(make_shop):
    with make_shop("server", WEB_WORKERS="2", METRICS_TOKEN=TOKEN) as made:
        made.simulator_url = "http://127.0.0.1:9"  # nobody pays here
        yield made


@pytest.fixture
def web(shop: Shop):
    if shop.web is None or not shop.web.is_alive():
        shop.start_web()
    wait_until(lambda: len(children_of(shop.web.pid)) == 2, "two processes serve")
    return shop.web


@pytest.mark.parametrize("name", TRICKS)
def test_what_two_servers_may_read_differently_is_refused(shop, web, name):
    trick = TRICKS[name]
    heard = say(shop.web_port, told(trick, f"127.0.0.1:{shop.web_port}"))
    assert len(heard.statuses) == 1, heard
    assert set(heard.statuses) <= trick.alone
    assert heard.is_closed or not trick.closes


def figures(shop: Shop) -> dict[str, float]:
    answer = shop.http.get(shop.web_url + "/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    lines = (line for line in answer.text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def ask_often(shop: Shop, times: int) -> None:
    """Each time by a new connection, so that every process gets some."""
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda _: shop.http.get(shop.web_url + "/healthz"), range(times))
        assert {answer.status_code for answer in answers} == {200}


def test_two_processes_tell_one_and_the_same_count_and_a_dead_one_is_not_forgotten(shop, web):
    before = figures(shop).get(COUNTED, 0)
    ask_often(shop, 200)
    for _ in range(10):  # whichever of the two answers
        assert figures(shop)[COUNTED] == before + 200
    victim = children_of(web.pid)[-1]
    os.kill(victim, signal.SIGKILL)
    wait_until(
        lambda: victim not in children_of(web.pid) and len(children_of(web.pid)) == 2,
        "another process stands in for the dead one",
    )
    shop.wait_for_web()
    after = figures(shop)[COUNTED]
    assert after >= before + 200
    ask_often(shop, 100)
    found = figures(shop)
    assert found[COUNTED] == after + 100
    assert found["sokoni_http_in_flight"] == 0
    assert found['sokoni_database_connections_in_use{pool="main"}'] == 0


@pytest.mark.fault("F43")
def test_readiness_goes_before_the_port_and_a_second_signal_ends_the_wait(shop, web):
    web.stop()
    web = shop.start_web(WEB_DRAIN_SECONDS="3600")
    assert shop.http.get(shop.web_url + "/readyz").status_code == 200
    web.signal(signal.SIGTERM)

    def says_no() -> bool:
        answer = shop.http.get(shop.web_url + "/readyz")
        return answer.status_code == 503 and answer.json()["not_ready"] == "stopping"

    wait_until(says_no, "it is not ready any more")
    alive = shop.http.get(shop.web_url + "/healthz")
    assert (alive.status_code, alive.headers["Connection"]) == (200, "close")
    web.signal(signal.SIGTERM)
    assert web.wait() == 0


def test_a_server_under_load_is_gone_when_it_is_told(shop, web):
    """And not only when it is killed, after twenty seconds."""
    stopped = False

    def go_on() -> None:
        while not stopped:
            say(shop.web_port, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")

    def press() -> None:
        try:
            go_on()
        except OSError:
            return  # it takes no more connections

    with ThreadPoolExecutor(6) as pool:
        pressing = [pool.submit(press) for _ in range(6)]
        ask_often(shop, 20)
        web.signal(signal.SIGTERM)
        code = web.wait(15)
        stopped = True
        for one in pressing:
            one.result()
    assert code == 0
