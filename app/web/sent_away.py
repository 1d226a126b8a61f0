"""What those are told who are sent away while the shop is overloaded: made once, then kept."""

from functools import cache
from typing import Any

import flask
from flask import Flask, render_template
from werkzeug.wrappers import Request

from app.errors import Unavailable
from app.utils.gate import Refusals
from app.utils.http import HSTS
from app.utils.json_provider import to_json
from app.web.language import language_asked

_MARK = "request-id-here"


def build_refusals(app: Flask, *, https: bool) -> Refusals:
    refusal = Unavailable(
        "Too many are here at once, so this was not begun. Try again in a moment.",
        code="overloaded",
    )
    problem = {
        "type": f"/docs#error-{refusal.status}",
        "title": refusal.title,
        "status": refusal.status,
        "detail": refusal.detail,
        "code": refusal.code,
        "errors": [],
        "request_id": _MARK,
    }
    before, _, after = to_json(problem).partition(_MARK.encode())

    @cache
    def page(language: str) -> bytes:
        with app.test_request_context("/"):
            flask.g.language = language
            return render_template("error.html", problem={**problem, "request_id": ""}).encode()

    return Refusals(
        problem=lambda request_id: before + request_id.encode() + after,
        page=page,
        language_of=_language_of,
        https_header=HSTS if https else None,
    )


def _language_of(environ: dict[str, Any]) -> str:
    asked = Request(environ)
    return language_asked(asked.cookies, asked.accept_languages)
