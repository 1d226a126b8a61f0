"""What the drill on several machines is made of, as far as it needs none."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from drill.caller import NoAnswer
from drill.hosts import callers
from drill.hosts.callers import ManyHosts
from drill.hosts.front import write_front
from drill.hosts.options import HostsOptions
from drill.processes import free_port


@contextmanager
def answering(name: str, port: int):
    """A web host that says which it is."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = f'{{"host": "{name}"}}'.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def ports() -> dict[str, int]:
    return {"a": free_port(), "b": free_port()}


@pytest.fixture
def both(ports, monkeypatch):
    monkeypatch.setattr(callers, "_REST_SECONDS", 1000.0)
    made = ManyHosts({name: ("127.0.0.1", port) for name, port in ports.items()})
    yield made
    made.close()


def test_customers_ask_the_hosts_by_turns_and_leave_one_alone_that_does_not_answer(both, ports):
    with answering("a", ports["a"]):
        with answering("b", ports["b"]):
            asked = [both.call("GET", "/").document["host"] for _ in range(4)]
            assert asked == ["a", "b"] * 2
            both.callers["b"].hang_up()
        both.call("GET", "/")
        with pytest.raises(NoAnswer):
            both.call("GET", "/")
        assert [both.call("GET", "/").document["host"] for _ in range(4)] == ["a"] * 4
        both.close()


def test_where_no_host_answers_they_are_asked_all_the_same(both, ports):
    for _ in range(3):
        with pytest.raises(NoAnswer):
            both.call("GET", "/")
    with answering("a", ports["a"]), answering("b", ports["b"]):
        assert both.call("GET", "/").status == 200
        both.close()


def test_what_stands_in_front_is_the_site_of_deploy_without_its_certificates(tmp_path):
    write_front(tmp_path, "10.77.0.51", ["10.77.0.11:5000", "10.77.0.12:5000"])
    told = (tmp_path / "front.conf").read_text()
    assert "    server 10.77.0.11:5000 max_fails=1 fail_timeout=1s;\n" in told
    assert "    server 10.77.0.12:5000 max_fails=1 fail_timeout=1s;\n" in told
    assert told.count("server {") == 1
    assert "    listen 10.77.0.51:80;\n    server_name 10.77.0.51;\n" in told
    assert "non_idempotent" in told
    settings = [line for line in told.splitlines() if not line.startswith("#")]
    assert not any("ssl" in line or "shop.example" in line for line in settings)


def test_a_run_is_repeated_by_what_it_was_told():
    assert HostsOptions(seed=5).command == 'make drill-hosts HOSTS_ARGS="--rounds 3 --seed 5"'
    assert HostsOptions.short(7).command == 'make drill-hosts HOSTS_ARGS="--short --seed 7"'
