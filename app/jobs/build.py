"""Work out of settings alone: the one composition that web, worker and command line share."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from app.config import Config
from app.db import OVERFLOW, Database
from app.jobs.rules import call_rules
from app.jobs.work import Work
from app.ports import Clock, Ports
from app.utils.background import Background
from app.utils.clock import utc_now
from app.utils.places import INTAKE_PLACES

if TYPE_CHECKING:
    from httpx2 import BaseTransport

    from app.integrations.mpesa import MerchantSettings, MpesaSettings

    WatchTransport = Callable[[BaseTransport], BaseTransport]

_SPARE_CONNECTIONS = 2
_WEB_PATIENCE_SECONDS = 2.0
_WORKER_PATIENCE_SECONDS = 5.0


def build_work(
    config: Config,
    ports: Ports | None = None,
    *,
    reserve: int = 0,
    watch_transport: "WatchTransport | None" = None,
) -> Work:
    """The database, and the world outside unless ``ports`` stand in for it.

    ``reserve``: connections that a web server keeps for reports of payments. Nothing is connected
    yet. ``watch_transport`` is put around what carries requests to Safaricom.
    """
    database = build_database(config, reserve=reserve)
    ports = ports or build_ports(config, database, watch_transport=watch_transport)
    database.bell = ports.doorbell.ring
    return Work(database, ports, config)


def build_database(config: Config, *, reserve: int = 0) -> Database:
    """One connection for each thread that may want one; SQLite's file gets its folder.

    Somebody waits for the web server, which has a reserve: there, no connection is a quick 503.
    """
    database = Database(
        config.database_url,
        pool_size=_pool_size(config),
        pool_timeout_seconds=_WEB_PATIENCE_SECONDS if reserve else _WORKER_PATIENCE_SECONDS,
        reserve=reserve,
    )
    if database.is_sqlite and database.url.database:
        Path(database.url.database).parent.mkdir(parents=True, exist_ok=True)
    return database


def connections_of(config: Config) -> int:
    """How many connections to PostgreSQL one process may have open at its busiest.

    A thread that serves has one of its own beside the pool's, for what each request asks.
    """
    return pool_limit(config) + config.web_threads + 2 * INTAKE_PLACES


def pool_limit(config: Config) -> int:
    """How many of those serve whatever comes; others are for reports of payments alone."""
    return _pool_size(config) + OVERFLOW


def _pool_size(config: Config) -> int:
    return max(config.web_threads, config.worker_threads) + _SPARE_CONNECTIONS


def build_ports(
    config: Config,
    database: Database,
    clock: Clock = utc_now,
    *,
    watch_transport: "WatchTransport | None" = None,
) -> Ports:
    # Loaded here: whoever wants the database alone is spared an HTTP client and a queue.
    from app.integrations.files import open_files
    from app.integrations.mpesa import DarajaClient, MerchantClient, build_transport
    from app.integrations.pictures import DecoderProcesses
    from app.integrations.webhooks import HttpWebhooks
    from app.jobs.queue import HueyDoorbell
    from app.jobs.shared_token import SharedTokenStore, token_name

    settings = build_mpesa_settings(config)
    name = token_name(config.mpesa_base_url, config.mpesa_consumer_key)
    tokens = SharedTokenStore(database, name, clock)
    watch = watch_transport
    lines = [None if watch is None else watch(build_transport(settings)) for _ in range(2)]
    return Ports(
        clock=clock,
        gateway=DarajaClient(settings, tokens, clock, lines[0]),
        merchant=MerchantClient(settings, build_merchant_settings(config), tokens, clock, lines[1]),
        doorbell=HueyDoorbell(config.queue_url),
        run_soon=Background(),
        files=open_files(config.media_url),
        shrink_picture=DecoderProcesses(config.picture_decoders),
        webhooks=HttpWebhooks(call_rules(config), clock),
    )


def build_mpesa_settings(config: Config) -> "MpesaSettings":
    """What every request to Safaricom needs."""
    from app.integrations.mpesa import MpesaSettings

    return MpesaSettings(
        base_url=config.mpesa_base_url,
        consumer_key=config.mpesa_consumer_key,
        consumer_secret=config.mpesa_consumer_secret,
        shortcode=config.mpesa_shortcode,
        passkey=config.mpesa_passkey,
        till=config.mpesa_till,
        connect_timeout_seconds=config.mpesa_connect_timeout_seconds,
        read_timeout_seconds=config.mpesa_read_timeout_seconds,
        breaker_pause_seconds=config.mpesa_outage_pause_seconds,
    )


def build_merchant_settings(config: Config) -> "MerchantSettings":
    """What the requests beyond M-Pesa Express need, as far as it is set."""
    from app.integrations.mpesa import Initiator, MerchantSettings

    name, password = config.mpesa_initiator_name, config.mpesa_initiator_password
    certificate = config.mpesa_certificate
    return MerchantSettings(
        c2b_shortcode=config.mpesa_c2b_shortcode,
        c2b_version=config.mpesa_c2b_version.value,
        initiator=Initiator(name, password, certificate)
        if name and password and certificate
        else None,
        b2c_shortcode=config.mpesa_b2c_shortcode,
        may_pull=config.mpesa_pull,
        may_simulate=not config.is_production,
    )
