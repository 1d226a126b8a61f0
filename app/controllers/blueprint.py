"""flask-smorest's Blueprint, with our own reading of requests.

``@bp.arguments(Schema)`` reads a JSON body strictly, ``location="query"`` a query string. All that
is wrong with either is a 400 that names each field.
"""

from collections.abc import Callable
from typing import Any, NoReturn

import flask_smorest
import marshmallow as ma
from flask import Flask, Request
from flask.sansio.app import App
from flask.sansio.blueprints import BlueprintSetupState
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from app.error_handlers import BODY, invalid_fields
from app.errors import InvalidInput
from app.utils.strict_json import JsonFault, parse_json

ROOT_ALIASES = ("users", "products", "orders", "mpesa", "transactions")
"""The resources that answer at the root as well as under /api."""

ROOT_PREFIX = "root_"
"""What stands before a blueprint's name when it is registered at the root."""


class Parser(FlaskParser):
    """Reads requests. Unknown query parameters are ignored, because links collect them; a known
    one that is given twice is refused, because two readers would take two different values.
    """

    DEFAULT_VALIDATION_STATUS = 400

    def use_args(self, argmap: Any, *args: Any, **kwargs: Any) -> Callable[..., Callable[..., Any]]:
        """One schema for all requests: making one takes longer than reading a query with it."""
        schema = argmap() if isinstance(argmap, type) else argmap
        return super().use_args(schema, *args, **kwargs)

    def load_json(self, req: Request, schema: ma.Schema) -> Any:  # noqa: ARG002 - webargs' signature
        body = req.get_data(cache=True)
        if req.max_content_length is not None and len(body) >= req.max_content_length:
            # Without a Content-Length the body is cut at the limit, and nobody says so.
            raise RequestEntityTooLarge
        if not body:
            raise InvalidInput.field(BODY, "Send a JSON object.", code="body_missing")
        if not is_json(req):
            raise UnsupportedMediaType("Send JSON, with the header Content-Type: application/json.")
        try:
            return parse_json(body)
        except JsonFault as fault:
            raise InvalidInput(str(fault), code="invalid_json") from None

    def load_querystring(self, req: Request, schema: ma.Schema) -> Any:
        for name, field in schema.load_fields.items():
            known = field.data_key or name
            if not isinstance(field, ma.fields.List) and len(req.args.getlist(known)) > 1:
                raise InvalidInput.field(known, f"Give {known} once.")
        return super().load_querystring(req, schema)

    def handle_error(
        self,
        error: ma.ValidationError,
        req: Request,  # noqa: ARG002 - webargs' signature
        schema: ma.Schema,  # noqa: ARG002 - likewise
        *,
        error_status_code: int | None,  # noqa: ARG002 - likewise
        error_headers: Any,  # noqa: ARG002 - likewise
    ) -> NoReturn:
        messages = error.messages
        if isinstance(messages, dict):  # webargs puts the location around them
            messages = next(iter(messages.values()))
        raise invalid_fields(messages)


def is_json(req: Request) -> bool:
    """application/json, in UTF-8 if a charset is named; nothing that merely ends in +json."""
    charset = req.mimetype_params.get("charset", "utf-8").lower()
    return req.mimetype == "application/json" and charset in {"utf-8", "utf8"}


class _Registration(BlueprintSetupState):
    """Registers at the root only the routes of resources that have an alias there."""

    def add_url_rule(self, rule: str, *args: Any, **options: Any) -> None:
        at_root = self.options.get("at_root", False)
        if at_root and rule.lstrip("/").partition("/")[0] not in ROOT_ALIASES:
            return
        super().add_url_rule(rule, *args, **options)


class Blueprint(flask_smorest.Blueprint):
    """Write routes without the /api prefix: ``@orders.post("/orders")``."""

    ARGUMENTS_PARSER = Parser()

    def __init__(self, name: str, import_name: str, *, description: str = "") -> None:
        super().__init__(name, import_name, description=description)

    def make_setup_state(
        self,
        app: App,
        options: dict[str, Any],
        first_registration: bool = False,  # noqa: FBT001, FBT002 - Flask's signature
    ) -> BlueprintSetupState:
        return _Registration(self, app, options, first_registration)

    def register_alias(self, app: Flask) -> None:
        """Let the views with a root alias answer there as well."""
        app.register_blueprint(self, name=f"{ROOT_PREFIX}{self.name}", at_root=True)
