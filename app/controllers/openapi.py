"""The OpenAPI document: what flask-smorest knows, and what it cannot know by itself.

Who may call, which refusals may come and which headers matter are read from the views themselves,
so that the document cannot say one thing and the code another.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from http import HTTPStatus
from typing import Any

import flask_smorest
import orjson
from flask import Flask
from werkzeug.routing import Rule

from app.controllers.blueprint import ROOT_PREFIX
from app.error_handlers import PROBLEM_JSON
from app.schemas.webhook_news import SAID_OF, news_example, news_schema
from app.utils.json_provider import to_json
from app.utils.limiter import CALLBACK_PATHS

ALIAS_TAG = "Root aliases"
METHODS = ("get", "post", "put", "patch", "delete")
_WRITES = frozenset({"post", "put", "patch", "delete"})
_CONVERTER = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
_EXTENSION = "sokoni_openapi"

DESCRIPTION = """\
Commerce for people who sell in Kenya and are paid by M-Pesa.

Every error is `application/problem+json` with a stable `code`. Lists are paged: follow
`page.next`, or the `Link` header. Money is in shillings with at most two decimals, time is UTC,
phone numbers come back as `2547…` or `2541…`. Unknown fields in a body are refused; unknown
parameters in a query are ignored, and a known one may stand there once. Only requests that may
change something count against the rate limits.
"""

PARAMETERS: dict[str, dict[str, Any]] = {
    "Limit": {
        "in": "query",
        "name": "limit",
        "description": "How many rows to answer with.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
    },
    "Cursor": {
        "in": "query",
        "name": "cursor",
        "description": "`page.next` of the page before; leave it out for the first.",
        "schema": {"type": "string"},
    },
    "IncludeTotal": {
        "in": "query",
        "name": "include_total",
        "description": "Also count the whole list, as `page.total`.",
        "schema": {"type": "boolean", "default": False},
    },
    "IdempotencyKey": {
        "in": "header",
        "name": "Idempotency-Key",
        "description": "A word of your own for this request, such as a UUID. Sent again with the"
        " same body within 24 hours, the first answer comes again, with `Idempotent-Replayed:"
        " true`, and nothing is done twice.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        "example": "5f1c6a0e-2d0b-4d35-9b1c-9f5f0f6f7c11",
    },
    "IfNoneMatch": {
        "in": "header",
        "name": "If-None-Match",
        "description": "The `ETag` that you have; a 304 says that it still holds.",
        "schema": {"type": "string"},
    },
    "IfMatch": {
        "in": "header",
        "name": "If-Match",
        "description": "The `ETag` that you read; a 412 says that somebody changed it since.",
        "schema": {"type": "string"},
    },
}
_SHARED_BY_NAME = {value["name"]: name for name, value in PARAMETERS.items()}

# What a view calls says what a client may send it: (function, methods, parameter, statuses).
_SIGNS: tuple[tuple[str, frozenset[str], str, tuple[int, ...]], ...] = (
    ("run_once", frozenset({"post"}), "IdempotencyKey", (409, 422)),
    ("run_in_phases", frozenset({"post"}), "IdempotencyKey", (409, 422)),
    ("public_answer", frozenset({"get"}), "IfNoneMatch", (304,)),
    ("versions_expected", _WRITES, "IfMatch", (412,)),
)


def openapi_document(app: Flask) -> dict[str, Any]:
    """The whole document; made once for each app."""
    found: dict[str, Any] | None = app.extensions.get(_EXTENSION)
    if found is None:
        api = app.extensions["flask-smorest"]["apis"][""]["ext_obj"]
        found = app.extensions[_EXTENSION] = _build(app, api)
    return found


def _build(app: Flask, api: flask_smorest.Api) -> dict[str, Any]:
    events = {str(name): _describe_event(api, name, said) for name, said in SAID_OF.items()}
    document: dict[str, Any] = orjson.loads(to_json(api.spec.to_dict()))
    document["info"]["description"] = DESCRIPTION
    document["servers"] = [{"url": "/"}]
    components = document["components"]
    components["parameters"] = deepcopy(PARAMETERS)
    components["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The `access_token` of `POST /api/login`.",
        }
    }
    components["schemas"].pop("PaginationMetadata", None)
    statuses: set[int] = set()
    for rule, method, operation in list(_operations(app, document)):
        view = app.view_functions[rule.endpoint]
        _complete(operation, method, _path_of(rule), view, components)
        statuses |= {int(status) for status in operation["responses"] if status.isdecimal()}
    components["responses"] = _problems(statuses)
    for item in document["paths"].values():
        _tidy_path_parameters(item)
    _add_aliases(app, document)
    document["webhooks"] = events
    return document


def _describe_event(api: flask_smorest.Api, event_type: str, said: str) -> dict[str, Any]:
    """What a receiver of webhooks is sent, as OpenAPI writes it down."""
    schema = news_schema(event_type)
    name = schema.__name__.removesuffix("Schema")
    if name not in api.spec.components.schemas:
        api.spec.components.schema(name, schema=schema)
    reference = {"$ref": f"#/components/schemas/{name}"}
    body = {"application/json": {"schema": reference, "example": news_example(event_type)}}
    return {
        "post": {
            "summary": said,
            "tags": ["webhooks"],
            "requestBody": {"required": True, "content": body},
            "responses": {"2XX": {"description": "Any of them: it has arrived."}},
        }
    }


def _operations(app: Flask, document: dict[str, Any]) -> Iterator[tuple[Rule, str, Any]]:
    for rule in app.url_map.iter_rules():
        item = document["paths"].get(_path_of(rule), {})
        for method in METHODS:
            if method in item and method.upper() in (rule.methods or ()):
                yield rule, method, item[method]


def _path_of(rule: Rule) -> str:
    return _CONVERTER.sub(r"{\1}", rule.rule)


def _complete(
    operation: dict[str, Any],
    method: str,
    path: str,
    view: Callable[..., Any],
    components: dict[str, Any],
) -> None:
    """Add to one operation what its view says of itself."""
    # What decorators wrap keeps its name and code: what the view calls is in there.
    called = inspect.unwrap(view).__code__.co_names
    operation["operationId"] = _operation_id(method, path)
    parameters = [_parameter(given) for given in operation.pop("parameters", [])]
    counted = method in _WRITES and not CALLBACK_PATHS.match(path)
    statuses = {503} | ({429} if counted else set()) | _declared(operation)
    for function, methods, parameter, codes in _SIGNS:
        if function in called and method in methods:
            parameters.append({"$ref": f"#/components/parameters/{parameter}"})
            statuses |= set(codes)
    if parameters:
        operation["parameters"] = parameters
        statuses.add(400)
    if "requestBody" in operation:
        _add_body_example(operation["requestBody"], components)
        statuses |= {400, 413, 415}
    if "{" in path:
        statuses.add(404)
    statuses |= _guard(operation, method, view, called)
    _set_responses(operation, statuses, components)


def _guard(
    operation: dict[str, Any], method: str, view: Callable[..., Any], called: tuple[str, ...]
) -> set[int]:
    """Say who may call; the refusals that this brings."""
    guard = getattr(view, "guard", None)
    if guard is not None and guard.signed_in:
        operation["security"] = [{"bearer": []}]
        if guard.roles:
            roles = " or ".join(sorted(role.value for role in guard.roles))
            operation["x-roles"] = sorted(role.value for role in guard.roles)
            said = operation.get("description", "")
            operation["description"] = f"{said}\n\nNeeds the role {roles}.".strip()
        may_conflict = {409} if method in _WRITES else set()
        return {401} | may_conflict | ({403} if guard.roles else set())
    if "optional_actor" in called:
        operation["security"] = [{}, {"bearer": []}]
        return {401}
    operation["security"] = []
    return set()


def _declared(operation: dict[str, Any]) -> set[int]:
    """The refusals that a view names by itself: ``@bp.alt_response(409, schema=ProblemSchema)``."""
    return {
        int(status)
        for status in operation["responses"]
        if status.isdecimal() and int(status) >= 400  # noqa: PLR2004 - the first error status
    }


def _set_responses(
    operation: dict[str, Any], statuses: set[int], components: dict[str, Any]
) -> None:
    responses = {
        status: value
        for status, value in operation["responses"].items()
        if status.isdecimal() and int(status) < 400  # noqa: PLR2004 - the first error status
    }
    for answer in responses.values():
        for media in answer.get("content", {}).values():
            media.setdefault("example", sample(media.get("schema", {}), components, sent=False))
    for status in statuses:
        responses.setdefault(str(status), {"$ref": f"#/components/responses/Problem{status}"})
    responses["default"] = {"$ref": "#/components/responses/Problem"}
    if "304" in responses:
        responses["304"] = {"description": "What you have still holds."}
        for status, answer in responses.items():
            if status == "200":
                answer["headers"] = {"ETag": {"schema": {"type": "string"}}}
    operation["responses"] = dict(sorted(responses.items()))


def _problems(statuses: set[int]) -> dict[str, Any]:
    content = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    problems: dict[str, Any] = {
        "Problem": {"description": "Any other refusal, in the same shape.", "content": content}
    }
    for status in sorted(statuses):
        if status >= 400:  # noqa: PLR2004 - the first error status
            problem: dict[str, Any] = {
                "description": HTTPStatus(status).phrase,
                "content": content,
            }
            if status in {429, 503}:
                seconds = {"schema": {"type": "integer"}, "description": "In seconds."}
                problem["headers"] = {"Retry-After": seconds}
            problems[f"Problem{status}"] = problem
    return problems


def _parameter(given: dict[str, Any]) -> dict[str, Any]:
    """A query parameter as it can stand in a URL, where there is no null."""
    if given.get("name") in _SHARED_BY_NAME:
        return {"$ref": f"#/components/parameters/{_SHARED_BY_NAME[given['name']]}"}
    schema = given.get("schema", {})
    if schema.get("default", "") is None:
        del schema["default"]
    kinds = schema.get("type")
    if isinstance(kinds, list):
        rest = [kind for kind in dict.fromkeys(kinds) if kind != "null"]
        schema["type"] = rest[0] if len(rest) == 1 else rest
    if "enum" in schema:
        schema["enum"] = [value for value in schema["enum"] if value is not None]
    return given


def _tidy_path_parameters(item: dict[str, Any]) -> None:
    for parameter in item.get("parameters", []):
        if parameter["in"] == "path" and parameter["schema"].get("type") == "integer":
            parameter["schema"] = {"type": "integer", "minimum": 1}


def _add_body_example(body: dict[str, Any], components: dict[str, Any]) -> None:
    for kind, media in body["content"].items():
        if kind == "application/json" and "example" not in media and "examples" not in media:
            media["example"] = sample(media["schema"], components, sent=True)


def sample(schema: dict[str, Any], components: dict[str, Any], *, sent: bool) -> Any:
    """A value that fits a schema, its own examples first; as it is sent to us, or as we answer."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return sample(components["schemas"][name], components, sent=sent)
    for key in ("example", "const"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("allOf", "anyOf", "oneOf"):
        if schema.get(key):
            return sample(schema[key][0], components, sent=sent)
    return _sample_of_kind(schema, components, sent=sent)


def _sample_of_kind(schema: dict[str, Any], components: dict[str, Any], *, sent: bool) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object" or "properties" in schema:
        return _sample_object(schema, components, sent=sent)
    if kind == "array":
        return [sample(schema.get("items", {}), components, sent=sent)]
    if kind == "string":
        return "2026-11-22T09:30:00Z" if schema.get("format") == "date-time" else "text"
    plain: dict[Any, Any] = {"integer": 1, "number": 1499.5, "boolean": True}
    return plain.get(kind)


def _sample_object(
    schema: dict[str, Any], components: dict[str, Any], *, sent: bool
) -> dict[str, Any]:
    """An answer with all its fields, or a body with those that matter: optional ones without an
    example are left out.
    """
    hidden = "readOnly" if sent else "writeOnly"
    required = schema.get("required", [])
    return {
        name: sample(field, components, sent=sent)
        for name, field in schema.get("properties", {}).items()
        if not field.get(hidden) and (not sent or name in required or "example" in field)
    }


def _operation_id(method: str, path: str) -> str:
    words = [part for part in path.split("/") if part and part != "api"]
    named = [
        "By" + part.strip("{}").title().replace("_", "")
        if part.startswith("{")
        else part.replace("-", "_").title().replace("_", "").replace(".", "")
        for part in words
    ]
    return method + "".join(named)


def _add_aliases(app: Flask, document: dict[str, Any]) -> None:
    """Root addresses are the same views: their entries are copies under a tag of their own."""
    document["tags"].append(
        {
            "name": ALIAS_TAG,
            "description": "The same views without /api in front, for clients that know them so.",
        }
    )
    for rule in app.url_map.iter_rules():
        path = _path_of(rule)
        original = document["paths"].get(f"/api{path}")
        if not rule.endpoint.startswith(ROOT_PREFIX) or original is None:
            continue
        copy = document["paths"].setdefault(path, deepcopy(original))
        for method in METHODS:
            if method in copy and ALIAS_TAG not in copy[method]["tags"]:
                copy[method]["tags"] = [ALIAS_TAG]
                copy[method]["operationId"] = f"{original[method]['operationId']}AtRoot"
