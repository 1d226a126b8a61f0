"""The OpenAPI document as chapters for the documentation page: short words and curl lines."""

import json
import re
import shlex
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from app.controllers.openapi import ALIAS_TAG, METHODS, PARAMETERS

_CODE = re.compile(r"`([^`\n]+)`")
SHARED_NAMES = frozenset(value["name"] for value in PARAMETERS.values())
"""Parameters that many operations take: explained once, then only named."""

_PLAIN_ANSWERS = frozenset({"default", "503", "415", "413", "429"})


@dataclass(frozen=True, slots=True)
class Row:
    """One field or parameter."""

    name: str
    kind: str
    required: bool
    description: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One operation."""

    anchor: str
    method: str
    path: str
    summary: str
    description: str
    who: str
    parameters: list[Row]
    also: list[str]
    body: list[Row]
    statuses: str
    curl: str


@dataclass(frozen=True, slots=True)
class Chapter:
    title: str
    anchor: str
    description: str
    entries: list[Entry]


def chapters_of(document: dict[str, Any], base_url: str) -> list[Chapter]:
    """A chapter for each tag. What merely answers at a second address is not repeated."""
    chapters = []
    for tag in document["tags"]:
        entries = [
            _entry(document, base_url, path, _label(item, method), item[method])
            for path, item in document["paths"].items()
            for method in METHODS
            if method in item
            and tag["name"] in item[method]["tags"]
            and not _is_repeated(item, path, method)
        ]
        if entries and tag["name"] != ALIAS_TAG:
            title = tag["name"].capitalize()
            chapters.append(Chapter(title, tag["name"], tag.get("description", ""), entries))
    return chapters


def prose(text: str) -> Markup:
    """Plain text with its `code` marked up."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped first


def _is_repeated(item: dict[str, Any], path: str, method: str) -> bool:
    if method == "patch" and item["patch"].get("summary") == item.get("put", {}).get("summary"):
        return True
    return path.startswith("/api/products")


def _label(item: dict[str, Any], method: str) -> str:
    """PUT that is also answered as PATCH says so."""
    also_patch = method == "put" and _is_repeated(item, "", "patch") if "patch" in item else False
    return "PUT, PATCH" if also_patch else method.upper()


def _entry(
    document: dict[str, Any], base_url: str, path: str, label: str, operation: dict[str, Any]
) -> Entry:
    parameters = [_resolved(document, given) for given in operation.get("parameters", [])]
    schema = _body_schema(operation)
    return Entry(
        anchor=operation["operationId"],
        method=label,
        path=path,
        summary=operation.get("summary", ""),
        description=operation.get("description", ""),
        who=_who(operation),
        parameters=[
            Row(
                name=given["name"],
                kind=_kind(document, given["schema"]),
                required=given.get("required", False),
                description=given.get("description", ""),
            )
            for given in parameters
            if given["name"] not in SHARED_NAMES
        ],
        also=[given["name"] for given in parameters if given["name"] in SHARED_NAMES],
        body=_rows(document, schema) if schema else [],
        statuses=", ".join(code for code in operation["responses"] if code not in _PLAIN_ANSWERS),
        curl=_curl(base_url, path, label.partition(",")[0], operation, parameters),
    )


def _resolved(document: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    found: Any = value
    while "$ref" in found:
        kind, name = found["$ref"].split("/")[-2:]
        found = document["components"][kind][name]
    return dict(found)


def _body_schema(operation: dict[str, Any]) -> dict[str, Any] | None:
    content = operation.get("requestBody", {}).get("content", {})
    media: dict[str, Any] = next(iter(content.values()), {})
    return media.get("schema")


def _rows(document: dict[str, Any], schema: dict[str, Any]) -> list[Row]:
    resolved = _resolved(document, schema)
    required = set(resolved.get("required", []))
    return [
        Row(name, _kind(document, field), name in required, field.get("description", ""))
        for name, field in resolved.get("properties", {}).items()
        if not field.get("readOnly")
    ]


def _kind(document: dict[str, Any], schema: dict[str, Any]) -> str:
    resolved = _resolved(document, schema)
    if "enum" in resolved:
        return " | ".join(str(value) for value in resolved["enum"] if value is not None)
    kind = resolved.get("type", "any")
    if isinstance(kind, list):
        kind = " or ".join(dict.fromkeys(kind))
    if kind == "array":
        return f"list of {_kind(document, resolved.get('items', {}))}"
    return str(resolved.get("format", kind))


def _who(operation: dict[str, Any]) -> str:
    if "x-roles" in operation:
        return " or ".join(operation["x-roles"])
    return "signed in" if operation.get("security") == [{"bearer": []}] else "anyone"


def _curl(
    base_url: str,
    path: str,
    method: str,
    operation: dict[str, Any],
    parameters: list[dict[str, Any]],
) -> str:
    """A line to paste: ids are 1, and the token is taken from $TOKEN."""
    for part in path.split("/"):
        if part.startswith("{"):
            path = path.replace(part, "1")
    needed = [
        f"{given['name']}={given.get('example', given['schema'].get('example', 'text'))}"
        for given in parameters
        if given["in"] == "query" and given.get("required")
    ]
    url = base_url + path + ("?" + "&".join(needed) if needed else "")
    words = ["curl"] if method == "GET" else ["curl", "-X", method]
    words.append(shlex.quote(url) if needed else url)
    if _who(operation) != "anyone":
        words.append('-H "Authorization: Bearer $TOKEN"')
    return " ".join(words + _body_words(operation.get("requestBody", {}).get("content", {})))


def _body_words(content: dict[str, Any]) -> list[str]:
    if "application/json" in content:
        example = json.dumps(content["application/json"].get("example", {}))
        return ["-H 'Content-Type: application/json'", "-d " + shlex.quote(example)]
    if "text/csv" in content:
        example = content["text/csv"].get("example", "")
        return ["-H 'Content-Type: text/csv'", "--data-binary " + shlex.quote(example)]
    return []
