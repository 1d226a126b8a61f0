"""Work out of settings alone: the one composition that web, worker and command line share."""

from pathlib import Path

from app.config import Config
from app.db import Database
from app.jobs.work import Work
from app.ports import Clock, Ports
from app.utils.background import Background
from app.utils.clock import utc_now

_SPARE_CONNECTIONS = 2


def build_work(config: Config, ports: Ports | None = None) -> Work:
    """The database, and the world outside unless ``ports`` stand in for it.

    Nothing is connected yet.
    """
    database = build_database(config)
    return Work(database, ports or build_ports(config, database), config)


def build_database(config: Config) -> Database:
    """One connection for each thread that may want one; SQLite's file gets its folder."""
    threads = max(config.web_threads, config.worker_threads)
    database = Database(config.database_url, pool_size=threads + _SPARE_CONNECTIONS)
    if database.is_sqlite and database.url.database:
        Path(database.url.database).parent.mkdir(parents=True, exist_ok=True)
    return database


def build_ports(config: Config, database: Database, clock: Clock = utc_now) -> Ports:
    # Loaded here: whoever wants the database alone is spared an HTTP client and a queue.
    from app.integrations.files import open_files
    from app.integrations.mpesa import DarajaClient, MpesaSettings
    from app.integrations.pictures import DecoderProcesses
    from app.jobs.queue import HueyDoorbell
    from app.jobs.shared_token import SharedTokenStore, token_name

    settings = MpesaSettings(
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
    name = token_name(config.mpesa_base_url, config.mpesa_consumer_key)
    gateway = DarajaClient(settings, SharedTokenStore(database, name, clock), clock)
    return Ports(
        clock=clock,
        gateway=gateway,
        doorbell=HueyDoorbell(config.queue_url),
        run_soon=Background(),
        files=open_files(config.media_url),
        shrink_picture=DecoderProcesses(config.picture_decoders),
    )
