"""Passwords: what is taken for one, and hashing that is slow on purpose, so only a few at a time.

Nothing here may run inside a transaction: a hash takes a tenth of a second and 32 MiB.
"""

import os
import unicodedata
from functools import cache
from importlib import resources
from threading import BoundedSemaphore

from werkzeug.security import check_password_hash, generate_password_hash

SHORTEST_PASSWORD = 8
LONGEST_PASSWORD = 128
LONGEST_PASSWORD_BYTES = 1024

_at_once = BoundedSemaphore(os.cpu_count() or 1)
"""scrypt gives up the interpreter's lock; more hashes than cores would only fill the memory."""


def password_fault(password: str, *own_names: str) -> str | None:
    """Why this must not become a password, or None. Length and guessability; no composition rules.

    ``own_names`` are the username and the e-mail address of whose password it would be.
    """
    password = _normal(password)
    if len(password) < SHORTEST_PASSWORD:
        return f"Use at least {SHORTEST_PASSWORD} characters."
    if len(password) > LONGEST_PASSWORD:
        return f"Use at most {LONGEST_PASSWORD} characters."
    folded = password.casefold()
    if folded in {name.casefold() for name in own_names}:
        return "Use something other than your username or e-mail address."
    if folded in common_passwords():
        return "This is among the passwords that everybody tries first. Use another."
    return None


@cache
def common_passwords() -> frozenset[str]:
    """Passwords that attackers try first, in lower case."""
    text = resources.files("app.data").joinpath("common_passwords.txt").read_text("utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


def hash_password(password: str, method: str) -> str:
    """A salted hash in werkzeug's notation. ``method`` is a setting, such as scrypt:32768:8:1."""
    with _at_once:
        return generate_password_hash(_normal(password), method=method)


def verify_password(stored_hash: str | None, password: str, method: str) -> bool:
    """Whether this is the password.

    With no hash (there is no such account) the work is done all the same, against a dummy, so
    that the time tells nothing.
    """
    dummy = _dummy_hash(method)  # before the question, so that the first time costs both alike
    with _at_once:
        matches = check_password_hash(stored_hash or dummy, _normal(password))
    return matches and stored_hash is not None


@cache
def _dummy_hash(method: str) -> str:
    return generate_password_hash(os.urandom(16).hex(), method=method)


def _normal(password: str) -> str:
    """One form of what is typed: keyboards write é in two ways. Nothing is trimmed or cut off."""
    return unicodedata.normalize("NFC", password)
