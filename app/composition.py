"""The composition root: the only module that knows every other."""

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import flask_smorest
from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from app.config import Config
from app.context import CATALOGUE, GATE, METER, TRACING, WORK
from app.controllers import register_controllers
from app.controllers.converters import IdConverter
from app.controllers.rate_counters import build_limits
from app.db import EXTENSION, reserved_connections
from app.error_handlers import init_error_handlers
from app.jobs.build import build_work, pool_limit
from app.jobs.work import Work
from app.ports import Ports
from app.ready_answers import ReadyAnswers
from app.schemas.base import Money, Timestamp
from app.schemas.problem import ProblemSchema
from app.security import init_security, known_user_id
from app.services.kept_catalogue import KeptCatalogue
from app.traces import start_tracing
from app.utils.gate import Doorkeeper, Gate
from app.utils.http import init_http
from app.utils.json_provider import OrjsonProvider
from app.utils.limiter import init_limiter
from app.utils.logs import AccessLog, configure_logging, init_access_log
from app.utils.places import INTAKE_PLACES
from app.web import register_pages
from app.web.language import language_of_header
from app.web.sent_away import build_refusals

if TYPE_CHECKING:
    from app.tracing import Tracing

MAX_BODY_BYTES = 1024 * 1024
_LAPTOP_HOSTS = ("localhost", "127.0.0.1", "[::1]")


class Api(flask_smorest.Api):
    """flask-smorest, with our errors in place of its own."""

    ERROR_SCHEMA = ProblemSchema

    def _register_error_handlers(self) -> None:
        """Ours are registered for the whole app."""


def compose(config: Config, ports: Ports | None) -> Flask:
    app = Flask("app", static_folder="web/static", template_folder="web/templates")
    configure_logging(
        level=config.log_level,
        as_json=config.log_format == "json",
        secrets=config.secrets,
    )
    tracing = start_tracing(config)
    watch = tracing.watch_transport if tracing else None
    work = build_work(config, ports, reserve=INTAKE_PLACES, watch_transport=watch)
    if tracing is not None:
        work = _trace(app, work, tracing)
    app.extensions[WORK] = work
    app.extensions[EXTENSION] = work.database
    app.extensions[CATALOGUE] = KeptCatalogue(
        lambda: app.extensions[EXTENSION], config.catalogue_cache_bytes
    )
    _configure(app, config)
    access_log = init_access_log(app, known_user_id)
    trusted_hosts = _trusted_hosts(config)
    init_http(app, https=config.is_https, trusted_hosts=trusted_hosts)
    init_error_handlers(app)
    init_security(app, config, work.ports.clock)
    init_limiter(app, build_limits(config, lambda: app.extensions[EXTENSION], work.ports.clock))
    app.url_map.converters["id"] = IdConverter
    register_controllers(app, _build_api(app))
    register_pages(app, config)
    # Around Flask, from the inmost to the outmost.
    ready = None if tracing else _answer_at_once(app, access_log, trusted_hosts)
    _trust_proxies(app, config)
    gate = _put_doorkeeper(app, config)
    if config.metrics_enabled:
        _count(app, work, gate, ready)
    return app


def _answer_at_once(app: Flask, log: AccessLog, trusted_hosts: frozenset[str]) -> ReadyAnswers:
    """Not where requests are traced: their spans are begun and ended by Flask's hooks."""
    ready = ReadyAnswers(
        app.wsgi_app, lambda: app.extensions[CATALOGUE], log, trusted_hosts, language_of_header
    )
    app.wsgi_app = ready  # type: ignore[method-assign]
    return ready


def _count(app: Flask, work: Work, gate: Gate, ready: ReadyAnswers | None) -> None:
    from app.utils.metrics import Meter, init_metrics

    app.extensions[METER] = meter = Meter()
    init_metrics(app, meter)
    gate.watcher = meter
    meter.watch_catalogue(lambda: app.extensions[CATALOGUE].counts)
    if ready is not None:
        ready.count = meter.answered
    meter.watch_pool("main", work.database.engine, pool_limit(work.config))
    if work.database.reserve is not None:
        meter.watch_pool("reserve", work.database.reserve, INTAKE_PLACES)


def _trace(app: Flask, work: Work, tracing: "Tracing") -> Work:
    """First of all that is done with a request, so that its span holds the rest."""
    app.extensions[TRACING] = tracing
    tracing.watch_requests(app)
    tracing.watch_database(work.database)
    return replace(work, ports=replace(work.ports, run_soon=tracing.carried(work.ports.run_soon)))


def _put_doorkeeper(app: Flask, config: Config) -> Gate:
    """Around everything else: whom it sends away costs nothing more."""
    gate = Gate(config.web_threads, config.web_queue, config.web_queue_seconds)
    app.extensions[GATE] = gate
    app.wsgi_app = Doorkeeper(  # type: ignore[method-assign]
        app.wsgi_app, gate, build_refusals(app, https=config.is_https), reserved_connections
    )
    return gate


def _build_api(app: Flask) -> Api:
    api = Api(app)
    api.register_field(Money, "number", None)
    api.register_field(Timestamp, "string", "date-time")
    api.register_converter(IdConverter, lambda _converter: {"type": "integer", "minimum": 1})
    return api


def _configure(app: Flask, config: Config) -> None:
    app.json = OrjsonProvider(app)
    app.config.update(
        SECRET_KEY=config.secret_key,
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_PARTS=50,
        PROPAGATE_EXCEPTIONS=False,
        API_TITLE="Sokoni",
        API_VERSION="1",
        OPENAPI_VERSION="3.1.0",
    )
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    app.url_map.strict_slashes = False  # /orders/ is /orders; nothing is redirected
    app.url_map.merge_slashes = False


def _trust_proxies(app: Flask, config: Config) -> None:
    if config.trusted_proxy_count:
        hops = config.trusted_proxy_count
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=hops, x_proto=hops, x_host=0
        )


def _trusted_hosts(config: Config) -> frozenset[str]:
    own = urlsplit(config.public_url).hostname or ""
    laptop = () if config.is_production else _LAPTOP_HOSTS
    return frozenset(host.lower() for host in (*config.trusted_hosts, own, *laptop) if host)
