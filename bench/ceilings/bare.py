"""A Flask app with nothing around it, served by the same server with the same places."""

import threading
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask

from bench.ceilings.driver_writes import writes

PREFIX = "/bare"

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def beside(shop: WsgiApp, database_url: str, places: int) -> WsgiApp:
    """The shop, and under PREFIX the views that it is measured against."""
    app = Flask("bare")
    app.config["DATABASE_URL"] = database_url
    app.register_blueprint(writes, url_prefix=PREFIX)
    room = threading.BoundedSemaphore(places)

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if not environ["PATH_INFO"].startswith(PREFIX):
            return shop(environ, start_response)
        with room:
            return app.wsgi_app(environ, start_response)

    return answer
