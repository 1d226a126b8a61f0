"""How pages write money, moments and phones."""

import hashlib
import re
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from pathlib import Path

from babel.dates import format_date, format_datetime
from flask import Flask, url_for
from markupsafe import Markup, escape

from app.utils.clock import rfc3339
from app.utils.money import CENTS_PER_SHILLING
from app.web.language import choose_language

NAIROBI = timezone(timedelta(hours=3), "EAT")
"""Kenya has one zone and no summer time."""

_MEDIA = re.compile(r"(?P<folder>/media/(?:[\w-]+/)+)\d+\.webp")
_STATIC = Path(__file__).parent / "static"


def init_formats(app: Flask) -> None:
    app.jinja_env.filters.update(
        money=money, moment=moment, day=day, phone=phone, paragraphs=paragraphs
    )
    app.jinja_env.globals.update(asset=asset, sized=sized)


def money(cents: int | None) -> str:
    """``KSh 1,499`` or ``KSh 1,499.50``; the blank between does not break."""
    if cents is None:
        return ""
    shillings, rest = divmod(abs(cents), CENTS_PER_SHILLING)
    sign = "-" if cents < 0 else ""
    return f"{sign}KSh\u00a0{shillings:,}" + (f".{rest:02d}" if rest else "")


def in_nairobi(value: datetime) -> datetime:
    """The same moment there; the last hours of the year 9999, which have none there, as they are.

    A task may be due whenever its writer says, and its page is to open all the same.
    """
    try:
        return value.astimezone(NAIROBI)
    except OverflowError:
        return value


def moment(value: datetime | None, form: str = "d MMM y, HH:mm") -> Markup | str:
    """A moment in Nairobi, as a <time> element."""
    if value is None:
        return ""
    shown = format_datetime(in_nairobi(value), form, locale=choose_language())
    return Markup('<time datetime="{}">{}</time>').format(rfc3339(value.astimezone(UTC)), shown)


def day(value: datetime | None) -> str:
    """A day in Nairobi."""
    if value is None:
        return ""
    local = in_nairobi(value).date()
    return format_date(local, "d MMM y", locale=choose_language())


def local_day(value: datetime | None) -> str:
    """A day in Nairobi as a date field takes it."""
    return "" if value is None else in_nairobi(value).date().isoformat()


def phone(msisdn: str | None) -> str:
    """``0712 345 678``, as people in Kenya write it."""
    if not msisdn:
        return ""
    local = "0" + msisdn.removeprefix("254")
    return f"{local[:4]} {local[4:7]} {local[7:]}"


def paragraphs(text: str) -> Markup:
    """Plain text with its line breaks; whatever else is in it is text."""
    blocks = [block for block in text.split("\n\n") if block.strip()]
    return Markup("").join(
        Markup("<p>{}</p>").format(Markup("<br>").join(escape(line) for line in block.split("\n")))
        for block in blocks
    )


def asset(name: str) -> str:
    """The address of a static file, which changes when the file does."""
    return url_for("static", filename=name, v=fingerprint(name))


def sized(url: str, width: int) -> str:
    """The address of a picture in another of its sizes, as ``/media/<name>/<width>.webp`` has."""
    found = _MEDIA.fullmatch(url)
    return f"{found['folder']}{width}.webp" if found else url


@cache
def fingerprint(name: str) -> str:
    """A short word that changes when the static file does."""
    return hashlib.sha256((_STATIC / name).read_bytes()).hexdigest()[:12]
