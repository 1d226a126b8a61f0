"""Words as the search sees them: what a text holds, a word's other forms, words that look alike."""

import re
import unicodedata
from collections.abc import Iterable

SHORTEST_FORGIVEN = 3
"""Shorter words have too many neighbours."""

_PREFIX = 7  # spellings are kept of so many first letters: migrations/versions/0005
_LOSES_ONE = 5  # up to so many letters, a spelling leaves one out; of longer words, two
_SHORTEST_PLURAL = 4

# What stands between words. The index is made by the same rule on PostgreSQL, and by Unicode's
# categories, which differ in nothing that people type, on SQLite.
_GAPS = re.compile(
    "[\0-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf"
    "\u00d7\u00f7\u2000-\u206f\u20a0-\u20ff\u2190-\u245f\u2500-\u2bff\u3000-\u3004\u3008-\u3020"
    "\ue000-\uf8ff\ufe00-\ufe6f\ufeff-\uff0f\ufff0-\uffff\U0001f000-\U0001faff"
    "\U000e0000-\U000e0fff]+"
)
_ACCENTS = re.compile("([A-Za-z])[\u0300-\u036f]+")
_SIBILANT = re.compile("(?:s|x|z|ch|sh)$")


def words_of(text: str) -> list[str]:
    """``Café-au-lait!`` → ``["cafe", "au", "lait"]``: small letters, Latin ones bare."""
    if not text.isascii():
        bare = _ACCENTS.sub(r"\1", unicodedata.normalize("NFD", text))
        text = unicodedata.normalize("NFC", bare)
    return [word for word in _GAPS.split(text.lower()) if word]


def forms_of(word: str) -> tuple[str, ...]:
    """The word itself first, then what its plural or its singular may be in English.

    A form that is no word finds nothing, and costs as little.
    """
    if not (word.isascii() and word.isalpha()) or len(word) < SHORTEST_FORGIVEN:
        return (word,)
    forms = [word, word + "s"]
    if _SIBILANT.search(word):
        forms.append(word + "es")
    if word.endswith("y"):
        forms.append(word[:-1] + "ies")
    if word.endswith("s") and not word.endswith("ss") and len(word) >= _SHORTEST_PLURAL:
        forms.append(word[:-1])
        if word.endswith("es"):
            forms.append(word[:-2])
        if word.endswith("ies"):
            forms.append(word[:-3] + "y")
    return tuple(forms)


def may_be_misspelt(word: str) -> bool:
    return len(word) >= SHORTEST_FORGIVEN and word.isalpha()


def spellings_of(word: str) -> set[str]:
    """The first letters of a word, with up to two of them left out (one, of a short word).

    Two words that are two mistakes apart have one of these in common.
    """
    once = {word[:_PREFIX]} | set(_one_left_out(word[:_PREFIX]))
    if len(word) <= _LOSES_ONE:
        return once
    return once | {twice for shorter in once for twice in _one_left_out(shorter)}


def mistakes_allowed(word: str) -> int:
    return 1 if len(word) <= _LOSES_ONE else 2


def mistakes_between(word: str, other: str) -> int:
    """How many letters have to be put in, left out, exchanged or swapped with their neighbour."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for place, letter in enumerate(word, start=1):
        before, above, row = row, before, [place]
        for column, opposite in enumerate(other, start=1):
            best = min(
                before[column] + 1, row[column - 1] + 1, before[column - 1] + (letter != opposite)
            )
            swapped = (
                place > 1
                and column > 1
                and letter == other[column - 2]
                and opposite == word[place - 2]
            )
            row.append(min(best, above[column - 2] + 1) if swapped else best)
    return row[-1]


def _one_left_out(word: str) -> Iterable[str]:
    return (word[:place] + word[place + 1 :] for place in range(len(word)))
