"""Names and e-mail addresses: many spellings in, one out, and the key that uniqueness goes by.

All of it happens in Python: SQLite folds the case of ASCII letters alone, and ``lower()`` is not
what two databases agree on.
"""

import re
import unicodedata

SHORTEST_USERNAME = 3
LONGEST_USERNAME = 30
LONGEST_EMAIL = 254
_LONGEST_LOCAL_PART = 64
_LONGEST_SPELLING = 200

_LAST_LATIN_LETTER = "\u017f"
_LOOK_ALIKES = frozenset("ıĸŋĿŀſ")
"""Latin letters that pass for others: an i without its dot is no i."""
_USERNAME_MARKS = frozenset("._-")

_EMAIL = re.compile(
    r"(?P<local>[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*)"
    r"@(?P<domain>(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+"
    r"(?:[A-Za-z]{2,63}|[Xx][Nn]--[A-Za-z0-9-]{1,58}[A-Za-z0-9]))"
)


def clean_username(text: str) -> str:
    """The one spelling of a username that is stored and shown.

    Full-width and other compatibility letters become plain ones. Raises ValueError for anything
    but 3 to 30 Latin letters, digits, dots, hyphens and underscores with a letter among them: a
    name of one script cannot pass for another, and one with a letter is never a phone number.
    """
    name = _compatible(text).strip(" ")
    if not SHORTEST_USERNAME <= len(name) <= LONGEST_USERNAME:
        raise ValueError(f"Use {SHORTEST_USERNAME} to {LONGEST_USERNAME} characters.")
    if not all(map(_is_name_character, name)):
        raise ValueError("Use Latin letters, digits, dots, hyphens and underscores only.")
    if not any(map(str.isalpha, name)):
        raise ValueError("Use at least one letter.")
    return name


def username_key(text: str) -> str:
    """What two usernames share when they are the same one; of any text, to search with."""
    return _compatible(_compatible(text).strip(" ").casefold())


def clean_email(text: str) -> str:
    """An address as it is stored: trimmed, its domain in lower case.

    Raises ValueError for what is no plain address: quoted names, IP literals, a single label,
    letters beyond ASCII, more than 254 characters.
    """
    address = text.strip(" ")
    match = _EMAIL.fullmatch(address) if len(address) <= LONGEST_EMAIL else None
    if match is None or len(match["local"]) > _LONGEST_LOCAL_PART:
        raise ValueError("Not an e-mail address. Write it like amina@example.co.ke.")
    return f"{match['local']}@{match['domain'].lower()}"


def email_key(text: str) -> str:
    """What two addresses share when they are the same one; of any text, to search with."""
    return text.strip(" ").casefold()


def _compatible(text: str) -> str:
    # A text this long is no name; cutting it keeps the work small and the refusal the same.
    return unicodedata.normalize("NFKC", text[:_LONGEST_SPELLING])


def _is_name_character(character: str) -> bool:
    if character.isascii():
        return character.isalnum() or character in _USERNAME_MARKS
    return (
        character.isalpha()
        and character <= _LAST_LATIN_LETTER
        and character not in _LOOK_ALIKES
        and unicodedata.name(character).startswith("LATIN ")
    )
