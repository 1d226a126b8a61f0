"""The Flask application: endpoints, error envelopes, and one log line a request."""

import logging
import time
from dataclasses import replace

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from daraja_simulator import wire
from daraja_simulator.calls import this_gateway
from daraja_simulator.config import SimulatorConfig
from daraja_simulator.control import answer_control_error, control
from daraja_simulator.control_money import control_money
from daraja_simulator.daraja import daraja
from daraja_simulator.daraja_c2b import c2b
from daraja_simulator.daraja_lookups import lookups
from daraja_simulator.daraja_services import services
from daraja_simulator.gateway import Gateway
from daraja_simulator.page import page
from daraja_simulator.wire import Refused

log = logging.getLogger("daraja_simulator")

_LONGEST_BODY_BYTES = 1_000_000


def create_simulator(config: SimulatorConfig | None = None) -> Flask:
    """Build the application; its gateway is `app.extensions["gateway"]`.

    The gateway's timetable is not started: SimulatorServer does that, and stops it again.
    """
    app = Flask("daraja_simulator", static_folder=None)  # the page brings its own
    app.config["MAX_CONTENT_LENGTH"] = _LONGEST_BODY_BYTES
    app.url_map.merge_slashes = False  # the real gateway redirects nobody
    app.extensions["gateway"] = Gateway(config or SimulatorConfig())
    for blueprint in (daraja, c2b, services, lookups, control, control_money, page):
        app.register_blueprint(blueprint)
    app.register_error_handler(Refused, _answer_refusal)
    app.register_error_handler(HTTPException, _answer_http_error)
    app.before_request(_note_start)
    app.after_request(_log_request)
    return app


def _answer_refusal(refused: Refused) -> Response:
    g.came_of_it = f" {refused.refusal.code or refused.refusal.message}"
    request_id = refused.request_id or this_gateway().core.make_request_id()
    body, content_type = refused.refusal.render(request_id)
    return Response(body, refused.refusal.status, content_type=content_type)


def _answer_http_error(error: HTTPException) -> Response:
    """Even what no endpoint takes is refused in the manner of the side that was called."""
    if request.path.startswith(control.url_prefix or "/__sim"):
        return answer_control_error(error)
    known = {404: wire.NOT_FOUND, 405: wire.METHOD_NOT_ALLOWED, 500: wire.INTERNAL_ERROR}
    refusal = known.get(error.code or 500) or replace(wire.BAD_PAYLOAD, status=error.code or 400)
    return _answer_refusal(Refused(refusal))


def _note_start() -> None:
    g.started = time.monotonic()


def _log_request(response: Response) -> Response:
    """The query string stays out, and bodies and headers too: phones and tokens travel there."""
    milliseconds = round((time.monotonic() - g.started) * 1000)
    what = (request.method, request.path, response.status_code, g.get("came_of_it", ""))
    log.info("%s %s %s%s in %s ms", *what, milliseconds)
    return response
