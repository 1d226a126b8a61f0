"""The documentation, and the page that the address itself answers with."""

import flask
from flask import Response, current_app

from app.security import public
from app.utils.json_provider import json_response

docs = flask.Blueprint("docs", __name__)


@docs.get("/api/openapi.json")
@public
def openapi() -> Response:
    """The OpenAPI 3.1 document."""
    api = current_app.extensions["flask-smorest"]["apis"][""]["ext_obj"]
    return json_response(api.spec.to_dict())
