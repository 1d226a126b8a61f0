"""A browser without a window: it keeps cookies, and sends forms as they stand on their page."""

import re
from dataclasses import dataclass, field
from html import unescape

from flask import Flask
from werkzeug.test import TestResponse

from app.models import User
from app.utils.token import make_page_token, page_cookie_name
from tests.controllers.sign_in import open_session

_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
_TAGS = re.compile(r"<[^>]+>")
_BLANKS = re.compile(r"\s+")


@dataclass
class Browser:
    """Pages are asked for with get(); post() takes the form's token from the page shown last."""

    app: Flask
    page: TestResponse | None = None
    _token: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        self.client = self.app.test_client()

    def get(self, path: str, **options) -> TestResponse:
        return self._shown(self.client.get(path, headers=self.headers, **options))

    def post(self, path: str, form: dict | None = None, *, follow=False, **options) -> TestResponse:
        """Send a form; the token is that of the last page that had one, or of the login page."""
        if not self._token:
            self._shown(self.client.get("/login", follow_redirects=True))
        sent = {"csrf_token": self._token, **(form or {})}
        headers = {**self.headers, "Sec-Fetch-Site": "same-origin"}
        answer = self.client.post(path, data=sent, headers=headers, **options)
        answer.request.environ["wsgi.input"].close()  # a big body waits in a file
        if follow and answer.status_code == 303:
            return self.get(answer.headers["Location"])
        return self._shown(answer)

    def _shown(self, answer: TestResponse) -> TestResponse:
        self.page = answer
        if answer.mimetype == "text/html":
            token = _TOKEN.search(answer.text)
            self._token = unescape(token[1]) if token else self._token
        return answer


def signed_in(app: Flask, user: User) -> Browser:
    """A browser in which this user is signed in, without the cost of a password."""
    browser = Browser(app)
    opened = open_session(app, user)
    with app.app_context():
        browser.client.set_cookie(page_cookie_name(), make_page_token(user.id, opened.id))
    return browser


def words(answer: TestResponse) -> str:
    """What a page says, without its tags and with single blanks."""
    body = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", answer.text, flags=re.DOTALL)
    return _BLANKS.sub(" ", unescape(_TAGS.sub(" ", body))).strip()
