"""Takes the pictures of docs/screenshots anew: the main pages of a demo shop, at two widths.

Run as `make screenshots`. It starts a whole shop on free ports in a folder that is thrown away,
buys something in it, and writes one WebP for each page and width.
"""

import io
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from app.cli.demo.people import ACCOUNTS_FILE
from drill.processes import ROOT, free_port
from tests.browser.chromium import FLAGS, find_chromium

FOLDER = ROOT / "docs" / "screenshots"
WIDTHS = {"phone": (360, 780), "desk": (1280, 860)}
READY_SECONDS = 120
_QUALITY = 82
_WAITING_PHONES = {"phone": "0712 340 000", "desk": "0712 350 000"}
"""The simulator's prompts on these wait for a person."""


class Tour:
    """One visitor who goes through the shop and takes a picture of each stop."""

    def __init__(self, browser: Browser, url: str, form: str) -> None:
        width, height = WIDTHS[form]
        self.form, self.url = form, url
        self.page: Page = browser.new_context(
            viewport={"width": width, "height": height},
            device_scale_factor=2 if form == "phone" else 1,
            locale="en-KE",
            timezone_id="Africa/Nairobi",
        ).new_page()

    def go(self, path: str) -> None:
        self.page.goto(self.url + path, wait_until="networkidle")

    def take(self, name: str) -> None:
        target = FOLDER / f"{name}-{self.form}.webp"
        image = Image.open(io.BytesIO(self.page.screenshot()))
        image.save(target, "WEBP", quality=_QUALITY, method=6)
        print(f"{target.relative_to(ROOT)}  {target.stat().st_size // 1024} KB")

    def sign_in(self, name: str, password: str) -> None:
        self.go("/login")
        self.page.get_by_label("Phone number, e-mail or username").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.locator("main").get_by_role("button", name="Sign in").click()
        self.page.get_by_role("link", name="Account").wait_for()

    def sign_out(self) -> None:
        self.page.context.clear_cookies()


def main() -> int:
    path = find_chromium()
    if path is None:
        print("There is no Chromium. `make screenshots` installs one.", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    with running_shop() as (url, passwords), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        for form in WIDTHS:
            take_all(Tour(browser, url, form), passwords)
        browser.close()
    return 0


def take_all(tour: Tour, passwords: dict[str, str]) -> None:
    tour.go("/")
    tour.take("home")
    tour.go("/search?query=basket")
    tour.take("search")
    tour.go("/")
    tour.page.locator("main a[href^='/p/']").first.click()
    tour.take("product")
    tour.page.get_by_role("button", name=re.compile("basket", re.IGNORECASE)).first.click()
    tour.go("/login")
    tour.take("login")
    tour.sign_in("wanjiku", passwords["wanjiku"])
    tour.go("/basket")
    tour.take("basket")
    tour.go("/checkout")
    tour.take("checkout")
    tour.page.get_by_label("M-Pesa phone number").fill(_WAITING_PHONES[tour.form])
    tour.page.get_by_role("button", name=re.compile("pay", re.IGNORECASE)).last.click()
    tour.page.wait_for_url("**/pay")
    tour.take("paying")
    tour.go("/my/orders")
    tour.take("orders")
    tour.sign_out()
    tour.sign_in("amina", passwords["amina"])
    tour.go("/office")
    tour.take("office")
    tour.go("/office/payments")
    tour.take("office-payments")
    tour.go("/office/products")
    tour.take("office-products")
    tour.sign_out()


@contextmanager
def running_shop() -> Iterator[tuple[str, dict[str, str]]]:
    """`manage.py run` in a new folder: the address of the shop, and the demo passwords."""
    with tempfile.TemporaryDirectory() as folder:
        port, simulator_port = free_port(), free_port()
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PORT": str(port),
            "SIMULATOR_PORT": str(simulator_port),
            "LOG_LEVEL": "WARNING",
        }
        command = [sys.executable, str(ROOT / "manage.py"), "run"]
        shop = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until(lambda: _is_ready(url) and (Path(folder) / ACCOUNTS_FILE).exists())
            yield url, _passwords(Path(folder))
        finally:
            shop.terminate()
            shop.wait(30)


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"The shop did not start within {READY_SECONDS} s.")
        time.sleep(0.3)


def _is_ready(url: str) -> bool:
    try:
        return httpx2.get(url + "/readyz").status_code == 200
    except httpx2.TransportError:
        return False


def _passwords(folder: Path) -> dict[str, str]:
    text = (folder / ACCOUNTS_FILE).read_text("utf-8")
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return {username: password for _role, username, password in lines}


if __name__ == "__main__":
    sys.exit(main())
