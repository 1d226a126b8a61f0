"""Texts that are not ours, shown without what they may hold: secrets and whole phones."""

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from app.config import Config
from app.utils.phone import mask_msisdn

HIDDEN = "[hidden]"
_LONGEST = 200
_SHORTEST_SECRET = 6
_PHONE = re.compile(r"(?<!\d)(?:\+?254|0)?([17]\d{8})(?!\d)")
_PASSWORD_IN_URL = re.compile(r"(://[^\s:/@]*:)[^\s@/]+@")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a0-\uffff]+")
_WORDS = frozenset({"simulator"})
"""The simulator's key and secret: a word that sentences need, and no secret."""


class Quoter:
    """Knows every secret of the settings."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET} - _WORDS
        self._secrets = sorted(known, key=len, reverse=True)

    def quote(self, text: str) -> str:
        """One short line."""
        line = _UNPRINTABLE.sub(" ", self.hide(text)).strip()
        return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"

    def hide(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        text = _PASSWORD_IN_URL.sub(rf"\1{HIDDEN}@", text)
        return _PHONE.sub(lambda match: mask_msisdn(f"254{match[1]}"), text)


def secrets_of(config: Config) -> list[str]:
    """Everything in the settings that nobody should read on a screen."""
    urls = (
        config.database_url,
        config.queue_url,
        config.media_url,
        config.rate_limit_storage_url,
    )
    return [
        config.secret_key,
        config.jwt_secret_key,
        config.mpesa_consumer_key,
        config.mpesa_consumer_secret,
        config.mpesa_passkey,
        config.mpesa_initiator_password or "",
        config.mpesa_c2b_secret,
        *[secret for url in urls for secret in _passwords_in(url)],
    ]


def _passwords_in(url: str) -> list[str]:
    try:
        password = urlsplit(url).password or ""
    except ValueError:
        return []
    return [password, unquote(password)]
