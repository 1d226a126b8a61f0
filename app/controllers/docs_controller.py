"""The documentation, for programs and for people."""

import flask
from flask import Response, current_app, render_template

from app.context import current_config
from app.controllers.docs_chapters import chapters_of, prose
from app.controllers.entity_tags import public_answer
from app.controllers.openapi import PARAMETERS, openapi_document
from app.security import public
from app.utils.json_provider import json_response

docs = flask.Blueprint("docs", __name__)

ERROR_MEANINGS = {
    400: "The request cannot be understood, or a field is wrong: `errors` names each.",
    401: "Sign in: the token is missing, wrong, expired or revoked.",
    403: "You are known, and may not do this.",
    404: "It is not there, or not yours.",
    405: "Another method; Allow names them.",
    409: "The request is sound, but the present state stands against it.",
    412: "Somebody changed it since you read it: read it again.",
    413: "The body is too large.",
    415: "Send JSON, with Content-Type: application/json.",
    422: "This Idempotency-Key was used for another request.",
    429: "Too many requests: wait as long as Retry-After says.",
    500: "Our fault. Tell us the request_id.",
    502: "The payment network refused.",
    503: "Not available now: try again after Retry-After.",
}


@docs.get("/api/openapi.json")
@public
def openapi() -> Response:
    """The OpenAPI 3.1 document."""
    return public_answer(json_response(openapi_document(current_app)))


@docs.get("/docs")
@public
def docs_page() -> Response:
    """The same as a page."""
    document = openapi_document(current_app)
    chapters = chapters_of(document, current_config().public_url)
    page = render_template(
        "docs.html",
        document=document,
        chapters=chapters,
        errors=ERROR_MEANINGS,
        shared=PARAMETERS.values(),
        prose=prose,
    )
    return public_answer(Response(page))
