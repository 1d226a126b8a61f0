"""The office's own doors: its blueprint and the sections that lead through it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import current_app, request
from werkzeug.exceptions import HTTPException

from app.security import Guard
from app.web.language import mark
from app.web.pages import Pages
from app.web.visitors import visitor

office = Pages("office", __name__, never_kept=True)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the office, by the address of its first page."""

    address: str
    name: str
    icon: str
    also: tuple[str, ...] = ()
    """Further addresses that belong to it."""


SECTIONS = (
    Section("/office", mark("Today"), "chart"),
    Section("/office/orders", mark("Orders"), "truck"),
    Section("/office/products", mark("Products"), "tag"),
    Section("/office/payments", mark("Payments"), "money", also=("/office/reconciliation",)),
    Section("/office/refunds", mark("Refunds"), "back"),
    Section("/office/exceptions", mark("To decide"), "scales"),
    Section("/office/users", mark("Users"), "people"),
    Section("/office/tasks", mark("Tasks"), "task"),
    Section("/office/webhooks", mark("Webhooks"), "hook"),
)


@office.context_processor
def _office_context() -> dict[str, Callable[..., Any]]:
    return {
        "office_sections": office_sections,
        "office_section": office_section,
        "opens": opens,
        "query_of": query_of,
    }


def office_sections() -> list[Section]:
    """Those that the visitor may open."""
    return [section for section in SECTIONS if opens(section.address)]


def office_section() -> str:
    """The address of the section that the page shown belongs to."""
    below = [
        section.address
        for section in SECTIONS[1:]
        if any(_is_at(address) for address in (section.address, *section.also))
    ]
    return below[0] if below else SECTIONS[0].address


def _is_at(address: str) -> bool:
    return request.path == address or request.path.startswith(f"{address}/")


def opens(address: str) -> bool:
    """Whether there is a page at this address, and its guard lets the visitor in."""
    try:
        endpoint, _ = current_app.url_map.bind("localhost").match(address, method="GET")
    except HTTPException:
        return False
    guard: Guard = vars(current_app.view_functions[endpoint])["guard"]
    actor = visitor()
    return actor is not None and (not guard.roles or actor.role in guard.roles)


def query_of(values: Mapping[str, str]) -> str:
    """``?status=paid&number=…`` of the values that are not empty."""
    said = {name: value for name, value in values.items() if value}
    return f"?{urlencode(said)}" if said else ""
