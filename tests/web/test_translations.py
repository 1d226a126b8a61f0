"""Swahili for everything that a page can show, and nothing beside it."""

import re
from collections import Counter

import pytest
from babel.messages.pofile import read_po

from app.web import language
from tests.web.sentences import formatted_variables, sentences_of_pages, templates

CATALOGUE = language._HERE / "sw" / "LC_MESSAGES" / "messages.po"
_PLACE = re.compile(r"%\(\w+\)s|\{\d+\}")
_MARKUP = re.compile(r"</?[a-z][^>]*>|&\w+;")
_CODE = re.compile(r"{%.*?%}|{{.*?}}|{#.*?#}", re.DOTALL)
_ELEMENTS_WITHOUT_WORDS = re.compile(r"<(script|style|svg)\b.*?</\1>", re.DOTALL)
_SHOWN_ATTRIBUTE = re.compile(r'\b(?:aria-label|alt|title|placeholder|data-label)="([^"]*)"')
_TAG = re.compile(r"<[^>]*>")
_WORD = re.compile(r"[^\W\d_]{2,}")
_SAME_EVERYWHERE = {"PESA", "nbsp"}
"""A name, and that of a blank."""


@pytest.fixture(scope="module")
def catalogue():
    with CATALOGUE.open("rb") as file:
        return {entry.id: entry for entry in read_po(file, locale="sw") if entry.id}


def forms(text):
    return text if isinstance(text, tuple) else (text,)


def test_every_sentence_of_the_pages_has_its_swahili_and_nothing_else_has(catalogue):
    assert set(catalogue) == sentences_of_pages()
    assert [key for key, entry in catalogue.items() if entry.fuzzy] == []
    for key, entry in catalogue.items():
        assert len(forms(entry.string)) == len(forms(key)), key
        assert all(text.strip() for text in forms(entry.string)), key


def test_a_translation_keeps_placeholders_markup_and_the_blanks_around_it(catalogue):
    for key, entry in catalogue.items():
        for english, swahili in zip(forms(key), forms(entry.string), strict=True):
            assert Counter(_PLACE.findall(swahili)) == Counter(_PLACE.findall(english)), key
            assert Counter(_MARKUP.findall(swahili)) == Counter(_MARKUP.findall(english)), key
            assert swahili[:1].isspace() == english[:1].isspace(), key
            assert swahili[-1:].isspace() == english[-1:].isspace(), key


def test_the_templates_say_nothing_that_cannot_be_translated():
    english = {}
    for name, text in templates():
        shown = _ELEMENTS_WITHOUT_WORDS.sub(" ", _CODE.sub(" ", text))
        attributes = " ".join(_SHOWN_ATTRIBUTE.findall(shown))
        found = set(_WORD.findall(f"{_TAG.sub(' ', shown)} {attributes}")) - _SAME_EVERYWHERE
        if found:
            english[name] = found
    assert english == {}


def test_values_are_put_into_literal_messages_only():
    assert formatted_variables() == []
