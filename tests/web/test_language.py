"""The language of a page, and what becomes of a sentence on its way into it."""

import pytest
from flask import Flask, render_template, render_template_string

from app.web.language import COOKIE, gettext, init_language, take_numbers_out
from tests.web.browsing import Browser, words


@pytest.fixture
def swahili():
    """A page that is read in Swahili, without a shop behind it."""
    app = Flask(__name__)
    init_language(app)
    with app.test_request_context(headers={"Cookie": f"{COOKIE}=sw"}):
        yield app


def test_what_is_no_literal_is_escaped_and_is_no_format(swahili):
    for text in ("<b>Bei</b>", "100% pamba", "%(secret)s", "{1} & 2"):
        for template in ("{{ _(text) }}", "{{ _('by %(name)s', name=text) }}"):
            shown = render_template_string(template, text=text)
            assert text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in shown


def test_an_error_page_shows_what_somebody_sent_as_text(app):
    detail = "There is no category “<b>100% pamba</b>”."
    with app.test_request_context():
        shown = render_template("error.html", problem={"title": "Not found", "detail": detail})
    assert "<p>There is no category “&lt;b&gt;100% pamba&lt;/b&gt;”.</p>" in shown


def test_numbers_find_their_places_in_a_translated_sentence(swahili):
    assert take_numbers_out("Row 7 of 1,024: 2.50") == (
        "Row {1} of {2}: {3}",
        ["7", "1,024", "2.50"],
    )
    assert gettext("Must be from 1 to 99.") == "Iwe kati ya 1 na 99."
    assert gettext("Nobody has written 99 of this.") == "Nobody has written 99 of this."


def test_a_page_is_read_in_the_language_that_was_chosen(app):
    browser = Browser(app)
    english = words(browser.get("/login"))
    assert "Sign in" in english
    browser.post("/language", {"language": "sw", "next": "/login"})
    answer = browser.get("/login")
    assert '<html lang="sw">' in answer.text
    assert "Namba ya simu, barua pepe au jina la mtumiaji" in words(answer)
    refused = browser.post("/register", {"username": "ab", "email": "x", "password": "y"})
    assert refused.status_code == 400
    assert "Andika angalau herufi 3." in words(refused)
