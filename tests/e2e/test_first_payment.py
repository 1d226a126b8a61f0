"""The whole shop as a person starts it, on each database, and a first payment in it."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from drill.processes import wait_until
from tests.postgres import create_database

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "first_payment.sh"
pytestmark = pytest.mark.timeout(180)


def free_port() -> int:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        return holder.getsockname()[1]


class Shop:
    """``manage.py run`` in a folder of its own."""

    def __init__(self, folder, database_url=None) -> None:
        self.folder = folder
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.port = free_port()
        self.environment = {
            **kept,
            "PORT": str(self.port),
            "SIMULATOR_PORT": str(free_port()),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        if database_url is not None:
            self.environment["DATABASE_URL"] = database_url
        self.banner = ""
        self.process = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), "run"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith("Ctrl-C"):
                break
        self.banner = "".join(lines)
        assert "Sokoni is open." in self.banner, self.banner + self.log()

    def close(self, number=signal.SIGINT) -> int:
        """The launcher's exit code."""
        self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode

    def manage(self, *arguments):
        return self.run([sys.executable, str(ROOT / "manage.py"), *arguments])

    def run(self, command, **environment):
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def log(self) -> str:
        return (self.folder / "log").read_text()


@pytest.fixture(params=["sqlite", "postgresql"])
def opened_shop(request, tmp_path):
    database_url = None
    if request.param == "postgresql":
        uri = request.getfixturevalue("postgres_uri")
        worker_id = request.getfixturevalue("worker_id")
        database_url = create_database(uri, f"e2e_{worker_id}")
    shop = Shop(tmp_path, database_url)
    shop.open()
    yield shop
    if shop.process.poll() is None:
        shop.process.kill()
        shop.process.communicate()


def test_a_new_shop_takes_its_first_payment_and_its_books_are_clean(opened_shop):
    """One shop for all of it: opening one is what takes the time."""
    shop = opened_shop
    paid_by_script(shop)
    paid_by_the_banners_three_lines(shop)
    refused_by_the_payer(shop)
    paid_from_the_menu(shop)
    assert shop.manage("audit").stdout == "All 8 invariants of money and stock hold.\n"
    refused_a_second_time(shop)
    open_again_after_its_web_processes_died(shop)
    opened_again_with_its_accounts(shop)


def paid_by_script(shop) -> None:
    result = shop.run(["sh", str(SCRIPT)], BASE_URL=shop.url)
    assert result.returncode == 0, result.stdout + result.stderr + shop.log()
    assert re.search(r"paid: receipt [A-Z0-9]{10}\n", result.stdout)
    assert re.search(r"^7\. Order [A-Z0-9]+ is paid\.$", result.stdout, re.MULTILINE)


def paid_by_the_banners_three_lines(shop) -> None:
    lines = re.findall(r"^  ((?:TOKEN=|ORDER=|curl ).*)$", shop.banner, re.MULTILINE)
    assert len(lines) == 3
    look = (
        f'curl -s "{shop.url}/api/transactions?order_id=$ORDER" -H "Authorization: Bearer $TOKEN"'
    )
    wait = f"for i in $(seq 60); do {look} | grep -q succeeded && exit 0; sleep 0.5; done; exit 1"
    result = shop.run(["sh", "-c", "\n".join([*lines, wait])])
    assert result.returncode == 0, result.stdout + result.stderr + shop.log()
    assert '"status":"pending"' in result.stdout


def refused_by_the_payer(shop) -> None:
    result = shop.run(["sh", str(SCRIPT)], BASE_URL=shop.url, PHONE="0712341032")
    assert result.returncode == 1
    assert "the payment ended as cancelled: " in result.stderr


def paid_from_the_menu(shop) -> None:
    """The shop has told the simulator where such payments are reported."""
    [(name, password)] = re.findall(r"^  customer +(\S+) +(\S+)$", shop.banner, re.MULTILINE)
    with httpx2.Client(base_url=shop.url, trust_env=False) as http:
        signed_in = http.post("/api/login", json={"username": name, "password": password}).json()
        headers = {"Authorization": f"Bearer {signed_in['access_token']}"}
        body = {"products": [{"product_id": 1, "quantity": 1}]}
        order = http.post("/api/orders", json=body, headers=headers).json()
        to_type = order["pay_by_paybill"]
        wish = {
            "shortcode": to_type["paybill"],
            "phone": "0712345678",
            "amount": str(to_type["amount"]),
            "account": to_type["account"],
        }
        simulator = f"http://127.0.0.1:{shop.environment['SIMULATOR_PORT']}"
        assert http.post(f"{simulator}/__sim/payments", json=wish).status_code == 200

        def is_paid() -> bool:
            read = http.get(f"/api/orders/{order['id']}", headers=headers)
            return read.json()["status"] == "paid"

        wait_until(is_paid, "the order is paid from the menu")


def refused_a_second_time(shop) -> None:
    result = shop.manage("run")
    assert (result.returncode, result.stdout) == (1, "")
    assert f"Port {shop.port} on 127.0.0.1 is in use." in result.stderr


def children_of(pid: int, command: str) -> list[int]:
    """The processes that it started whose command line ends so."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        lines = {int(one): Path(f"/proc/{one}/cmdline").read_bytes() for one in found}
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [one for one, line in lines.items() if line.endswith(f"{command}\0".encode())]


def open_again_after_its_web_processes_died(shop) -> None:
    """The server gives up when they die twice in a few seconds; the launcher starts it anew."""
    (server,) = children_of(shop.process.pid, "\0web")
    killed: set[int] = set()
    while server in children_of(shop.process.pid, "\0web"):
        for process in set(children_of(server, "\0web")) - killed:
            os.kill(process, signal.SIGKILL)
            killed.add(process)
    assert len(killed) >= 2
    line = "The web server ended with exit code 1; it starts again in 1 s.\n"
    wait_until(lambda: line in shop.log(), "the launcher says so")

    def answers() -> bool:
        try:
            return httpx2.get(f"{shop.url}/readyz", trust_env=False).status_code == 200
        except httpx2.TransportError:
            return False

    wait_until(answers, "the shop is open again")
    assert shop.log().count("it starts again") == 1


def opened_again_with_its_accounts(shop) -> None:
    accounts = re.findall(r"^  (admin|seller|customer) +(\S+) +(\S+)$", shop.banner, re.MULTILINE)
    assert [account[0] for account in accounts] == ["admin", "seller", "seller", "customer"]
    assert shop.close() == 0
    shop.open()
    again = re.findall(r"^  (admin|seller|customer) +(\S+) +(\S+)$", shop.banner, re.MULTILINE)
    assert again == accounts
    assert "Making the demo shop" not in shop.banner
    assert shop.close(signal.SIGTERM) == 0
    for secret in (account[2] for account in accounts):
        assert secret not in shop.log()


def test_the_script_says_when_nobody_answers(tmp_path):
    shop = Shop(tmp_path)
    result = shop.run(["sh", str(SCRIPT)], BASE_URL="http://127.0.0.1:1")
    assert result.returncode == 1
    assert "no answer from http://127.0.0.1:1. Is the shop open (make run)?" in result.stderr


def test_the_script_rings_no_phone_that_was_not_named(tmp_path):
    shop = Shop(tmp_path)
    result = shop.run(["sh", str(SCRIPT)], BASE_URL="https://shop.example")
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == "first_payment: say which phone is to pay: PHONE=0712345678\n"
