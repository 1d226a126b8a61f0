"""The pages for people: a storefront, their account, and the office behind them.

They call the same services as the API's controllers, work without JavaScript, and take nothing
from outside.
"""

from datetime import timedelta

from flask import Flask, Response, request
from flask_compress import Compress

from app.config import Config
from app.web.account import account
from app.web.buying import buying
from app.web.formats import fingerprint, init_formats
from app.web.language import init_language
from app.web.office import office
from app.web.pages import Pages, shared_context
from app.web.signing_in import signing_in
from app.web.storefront import storefront

BLUEPRINTS: tuple[Pages, ...] = (storefront, buying, signing_in, account, office)

_A_YEAR = "public, max-age=31536000, immutable"


def register_pages(app: Flask, config: Config) -> None:
    app.config.update(
        SESSION_COOKIE_NAME="__Host-sokoni_forms" if config.is_https else "sokoni_forms",
        SESSION_COOKIE_SECURE=config.is_https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=timedelta(days=30),
        SESSION_REFRESH_EACH_REQUEST=False,
        WTF_CSRF_TIME_LIMIT=None,  # a form's token is good as long as the browser keeps its cookie
        COMPRESS_MIMETYPES=["text/html", "text/css", "text/javascript", "image/svg+xml"],
        COMPRESS_ALGORITHM=["br", "gzip"],
        COMPRESS_MIN_SIZE=800,
        COMPRESS_STREAMS=False,
    )
    Compress(app)
    init_language(app)
    init_formats(app)
    app.jinja_env.globals.update(shop_name=config.shop_name, shop_contact=config.shop_contact)
    app.context_processor(shared_context)
    app.after_request(_keep_static_files)
    app.after_request(_read_static_files)  # runs before the compression, which closes no file
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)


def _keep_static_files(response: Response) -> Response:
    """A file whose address changes with its content may be kept for good; not under the address
    of another version, which a page of a newer or older process may name while both run.
    """
    if request.endpoint == "static" and response.status_code in {200, 304}:
        name = (request.view_args or {})["filename"]
        if request.args.get("v") == fingerprint(name):
            response.headers["Cache-Control"] = _A_YEAR
    return response


def _read_static_files(response: Response) -> Response:
    if request.endpoint == "static" and response.is_streamed:
        response.direct_passthrough = False
        response.make_sequence()
    return response
