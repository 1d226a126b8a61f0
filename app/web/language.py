"""English and Swahili. The English sentence is the key; translations/ holds the Swahili ones.

A sentence that code writes with numbers in it, like "Must be from 1 to 99.", is found by its key
with {1}, {2}, … in their places: "Must be from {1} to {2}.".

A language is chosen by the buttons at the foot of each page (a cookie remembers it), otherwise by
what the browser asks for.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path

from babel.messages.pofile import read_po
from flask import Flask, g, has_request_context, request
from markupsafe import Markup
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

LANGUAGES = {"en": "English", "sw": "Kiswahili"}
DEFAULT_LANGUAGE = "en"
COOKIE = "sokoni_language"
_HERE = Path(__file__).parent / "translations"
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")

Translations = dict[str, tuple[str, str]]
"""A message, with its plural's translation; the two are one where there is no plural."""


def init_language(app: Flask) -> None:
    """Let templates say ``_("…")`` and ``{% trans %}``."""
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]
        gettext, ngettext, newstyle=True
    )
    app.jinja_env.globals["_"] = _say


def _say(message: str, /, **values: object) -> str:
    """``_("…")`` of the templates. Jinja's own takes any message for a format and for safe HTML.

    Here a message without values is text like any other: it is escaped where it is shown, as it
    may be one that ends in what somebody typed.
    """
    said = gettext(message)
    return Markup(said) % values if values else said  # noqa: S704 - values come with our literals


def choose_language() -> str:
    """The language of the page that is being made."""
    if not has_request_context():
        return DEFAULT_LANGUAGE
    if "language" not in g:
        g.language = language_asked(request.cookies, request.accept_languages)
    return str(g.language)


def language_asked(cookies: Mapping[str, str], accepted: LanguageAccept) -> str:
    """What the cookie says, or the first language of the browser's list that we speak; sw-KE is
    sw.
    """
    wanted = cookies.get(COOKIE, "")
    if wanted in LANGUAGES:
        return wanted
    asked = (tag.partition("-")[0].lower() for tag, _ in accepted)
    return next((tag for tag in asked if tag in LANGUAGES), DEFAULT_LANGUAGE)


@lru_cache(1024)
def language_of_header(accepted: str) -> str:
    """The language of who sends this Accept-Language, and no cookie."""
    return language_asked({}, parse_accept_header(accepted, LanguageAccept))


def gettext(message: str) -> str:
    """The message in the language of the page; as it stands where nobody has translated it."""
    if choose_language() == DEFAULT_LANGUAGE or not message:
        return message
    known = translations(choose_language())
    if message in known:
        return known[message][0]
    pattern, numbers = take_numbers_out(message)
    if pattern not in known:
        return message
    said = known[pattern][0]
    for place, number in enumerate(numbers, 1):
        said = said.replace(f"{{{place}}}", number)
    return said


def take_numbers_out(message: str) -> tuple[str, list[str]]:
    """A sentence with {1}, {2}, … where its numbers stood, and those numbers."""
    numbers: list[str] = []

    def note(found: re.Match[str]) -> str:
        numbers.append(found[0])
        return f"{{{len(numbers)}}}"

    return _NUMBER.sub(note, message), numbers


def ngettext(singular: str, plural: str, number: int) -> str:
    if choose_language() == DEFAULT_LANGUAGE:
        return singular if number == 1 else plural
    one, many = translations(choose_language()).get(singular, (singular, plural))
    return one if number == 1 else many


def mark(message: str) -> str:
    """Mark a sentence for translation where it is written; it is translated where it is shown."""
    return message


@cache
def translations(language: str) -> Translations:
    """Every translated message of a language."""
    path = _HERE / language / "LC_MESSAGES" / "messages.po"
    with path.open("rb") as file:
        catalogue = read_po(file, locale=language)
    found: Translations = {}
    for entry in catalogue:
        message, translated = entry.id, entry.string
        if isinstance(message, str) and isinstance(translated, str) and translated:
            found[message] = (translated, translated)
        elif isinstance(message, tuple) and isinstance(translated, tuple) and all(translated):
            found[message[0]] = (translated[0], translated[1])
    found.pop("", None)  # the file's own header
    return found
