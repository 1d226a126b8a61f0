"""A real browser before a real shop: web server, worker and simulator as processes."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.chromium import FLAGS, find_chromium
from tests.e2e.shop import PASSWORD, Person, Shop, make_database

PHONE = {"width": 360, "height": 780}
DESK = {"width": 1280, "height": 800}
_MILLISECONDS = 15_000
SERIOUS = ("serious", "critical")

expect.set_options(timeout=_MILLISECONDS)


@pytest.fixture(scope="package")
def shop(tmp_path_factory, sqlite_template) -> Iterator[Shop]:
    """Simulated time runs fast, so that nobody waits for a PIN to be typed."""
    folder = tmp_path_factory.mktemp("browser")
    url = make_database("sqlite", "browser", folder, sqlite_template, "")
    with Shop(folder, url, SHOP_NAME="Duka la Amina", RATE_LIMITS_ENABLED="true") as shop:
        yield shop.open(clock_factor=10)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    path = find_chromium()
    if path is None:
        pytest.fail("There is no Chromium. `make test` installs one, or says what to do.", False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Visitor:
    """One person with one browser window."""

    shop: Shop
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)

    def go(self, path: str) -> None:
        self.page.goto(self.shop.web_url + path)

    def sign_in(self, person: Person) -> None:
        self.go("/login")
        self.page.get_by_label("Phone number, e-mail or username").fill(person.username)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.locator("main").get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("link", name="Account")).to_be_visible()

    @property
    def path(self) -> str:
        return self.page.url.removeprefix(self.shop.web_url)

    def reads(self, text: str) -> None:
        expect(self.page.locator("main")).to_contain_text(text)

    def has_no_serious_fault(self) -> None:
        """Axe finds nothing serious, and the page is no wider than the window."""
        found = Axe().run(self.page).response["violations"]
        serious = [
            f"{self.path}: {one['id']}: {node['html'][:120]}"
            for one in found
            if one["impact"] in SERIOUS
            for node in one["nodes"]
        ]
        assert serious == []
        self.fits_the_window()

    def fits_the_window(self) -> None:
        wide = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert wide <= 0, f"{self.path} is {wide} px wider than the window"


@pytest.fixture
def visit(shop, chromium):
    """Opens a window for somebody; whatever the page complains of fails the test."""
    opened: list[Visitor] = []

    def open_window(
        person: Person | None = None, *, size: dict = PHONE, scripts: bool = True
    ) -> Visitor:
        context = chromium.new_context(
            viewport=size, java_script_enabled=scripts, locale="en-KE", bypass_csp=False
        )
        context.set_default_timeout(_MILLISECONDS)
        visitor = Visitor(shop, context, context.new_page())
        visitor.page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
        visitor.page.on(
            "console",
            lambda line: (
                visitor.complaints.append(line.text)
                if "Content Security Policy" in line.text
                else None
            ),
        )
        visitor.page.on(
            "request",
            lambda ask: (
                None
                if ask.url.startswith((shop.web_url, "data:"))
                else visitor.complaints.append(f"asked for {ask.url}")
            ),
        )
        opened.append(visitor)
        if person is not None:
            visitor.sign_in(person)
        return visitor

    yield open_window
    for visitor in opened:
        visitor.context.close()
    assert [complaint for visitor in opened for complaint in visitor.complaints] == []
